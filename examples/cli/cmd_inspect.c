/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph inspect: what a model file holds, for people or as JSON. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "cli.h"

#define MAX_PARTS 32

static const char help[] = "Usage: stgraph inspect FILE [--json]\n"
                           "Says what a model file or a saved state holds.\n"
                           "\n"
                           "      --json   metadata and tensors as one JSON object\n"
                           "      --help   this text\n";

static char *describe(const stg_bundle *bundle, size_t *len)
{
    *len = 0;
    stg_bundle_describe(bundle, NULL, 0, len);
    char *text = (char *)malloc(*len);
    if (text)
        stg_bundle_describe(bundle, text, *len, len);
    return text;
}

static int print_json(const stg_bundle *bundle)
{
    size_t len;
    char *text = describe(bundle, &len);
    if (!text)
        return cli_fail("out of memory");
    const bool ok = fwrite(text, 1, len, stdout) == len && putchar('\n') != EOF && fflush(stdout) == 0;
    free(text);
    return ok ? CLI_OK : cli_fail("writing failed");
}

/* --- parts: what stands under one prefix ------------------------------------------------------ */

typedef struct part {
    const char *name;
    size_t len;
    unsigned tensors;
    double bytes;
} part;

/* Up to the first slash, below "state/" up to the second. */
static size_t prefix_of(const char *name)
{
    const size_t state = strncmp(name, "state/", 6) == 0 ? 6 : 0;
    return state + strcspn(name + state, "/");
}

static double bytes_of(const cJSON *tensor)
{
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItem(tensor, "dtype"));
    double bytes = !type ? 0 : strchr(type, '8') ? 1 : strstr(type, "64") ? 8 : 4;
    const cJSON *side;
    cJSON_ArrayForEach(side, cJSON_GetObjectItem(tensor, "shape"))
        bytes *= side->valuedouble;
    return bytes;
}

static int count_parts(const cJSON *json, part *parts)
{
    int count = 0;
    const cJSON *tensor;
    cJSON_ArrayForEach(tensor, cJSON_GetObjectItem(json, "tensors"))
    {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(tensor, "name"));
        if (!name)
            continue;
        const size_t len = prefix_of(name);
        int i = 0;
        while (i < count && (parts[i].len != len || strncmp(parts[i].name, name, len) != 0))
            i++;
        if (i == count && count == MAX_PARTS)
            continue;
        if (i == count)
            parts[count++] = (part){.name = name, .len = len};
        parts[i].tensors++;
        parts[i].bytes += bytes_of(tensor);
    }
    return count;
}

/* What only the metadata say of a published net. Files are anybody's: words of small letters only. */
static void print_supports(const cJSON *metadata)
{
    static const char *const key[] = {"model/filter", "model/supports", "model/recursion"};
    const char *word[3];
    for (int i = 0; i < 3; i++) {
        word[i] = cJSON_GetStringValue(cJSON_GetObjectItem(metadata, key[i]));
        if (!word[i] || strspn(word[i], "abcdefghijklmnopqrstuvwxyz_2") != strlen(word[i]))
            return;
    }
    printf("supports    %s, %s; chains %s\n", word[0], word[1], word[2]);
}

static int print_parts(const stg_bundle *bundle)
{
    part parts[MAX_PARTS];
    size_t len;
    char *text = describe(bundle, &len);
    cJSON *json = text ? cJSON_Parse(text) : NULL;
    free(text);
    if (!json)
        return cli_fail("out of memory");
    print_supports(cJSON_GetObjectItem(json, "metadata"));
    const int count = count_parts(json, parts);
    for (int i = 0; i < count; i++) {
        fputs("part        ", stdout);
        for (size_t k = 0; k < parts[i].len; k++) /* names of files are anybody's: no control bytes */
            putchar((unsigned char)parts[i].name[k] < 0x20 || parts[i].name[k] == 0x7f
                        ? '?'
                        : parts[i].name[k]);
        printf(", %u tensors, %.1f KiB\n", parts[i].tensors, parts[i].bytes / 1024);
    }
    cJSON_Delete(json);
    return fflush(stdout) == 0 ? CLI_OK : cli_fail("writing failed");
}

static int print_model(const char *path, const stg_bundle *bundle)
{
    const stg_model *model;
    stg_error err;
    stg_model_info info = {.size = sizeof info};
    const int32_t status = stg_model_load(&model, bundle, &err);
    if (status == STG_E_NOTFOUND) /* a saved state, say */
        return CLI_OK;
    if (status != STG_OK)
        return cli_fail("%s: %s", path, err.text);
    stg_model_get_info(model, &info);
    printf("kind        %s\n", info.kind);
    printf("window      %g s\n", (double)info.window_ns / 1e9);
    printf("day         %g s\n", (double)info.day_ns / 1e9);
    printf("history     %" PRIu32 " windows\n", info.history);
    printf("horizon     %" PRIu32 " windows\n", info.horizon);
    if (info.layers)
        printf("network     %" PRIu32 " layers of %" PRIu32 " units, %" PRIu32
               " diffusion steps, %" PRIu64 " parameters\n",
               info.layers, info.units, info.hops, info.parameters);
    if (info.layers)
        printf("            %s, %s, %s, %s, %" PRIu32 " lags, time of day %s, state %s\n", info.cell,
               info.filter, info.recursion, info.decoder, info.lags,
               info.time == STG_TIME_NONE ? "not known" : "known",
               info.stateful_ok ? "may be carried on" : "made anew from the history");
    printf("nodes       %" PRIu32 "\n", info.nodes);
    for (uint32_t kind = 0; kind < 2; kind++) {
        fputs(kind ? "forecasts  " : "reads      ", stdout);
        for (uint32_t i = 0; i < (kind ? info.targets : info.inputs); i++)
            printf(" %s", stg_model_column(model, kind, i));
        putchar('\n');
    }
    stg_unref(model);
    return CLI_OK;
}

int cli_inspect(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    bool json = false;
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'h') {
            fputs(help, stdout);
            return CLI_OK;
        }
        if (option != 'j')
            return cli_usage_error("inspect", "bad option");
        json = true;
    }
    if (optind + 1 != argc)
        return cli_usage_error("inspect", "one file is needed");
    stg_ctx *ctx = cli_context();
    stg_bundle *bundle = ctx ? cli_open_bundle(ctx, argv[optind]) : NULL;
    int code = CLI_FAILED;
    if (bundle)
        code = json ? print_json(bundle) : print_model(argv[optind], bundle);
    if (code == CLI_OK && !json)
        code = print_parts(bundle);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    return code;
}
