/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph inspect: what a model file holds, for people or as JSON. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

static const char help[] = "Usage: stgraph inspect MODEL [--json]\n"
                           "Says what a model file holds.\n"
                           "\n"
                           "      --json   metadata and tensors as one JSON object\n"
                           "      --help   this text\n";

static int print_json(const stg_bundle *bundle)
{
    size_t len = 0;
    stg_bundle_describe(bundle, NULL, 0, &len);
    char *text = (char *)malloc(len);
    if (!text)
        return cli_fail("out of memory");
    stg_bundle_describe(bundle, text, len, &len);
    const bool ok = fwrite(text, 1, len, stdout) == len && putchar('\n') != EOF && fflush(stdout) == 0;
    free(text);
    return ok ? CLI_OK : cli_fail("writing failed");
}

static int print_model(const char *path, const stg_bundle *bundle)
{
    const stg_model *model;
    stg_error err;
    stg_model_info info = {.size = sizeof info};
    if (stg_model_load(&model, bundle, &err) != STG_OK)
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
    printf("nodes       %" PRIu32 "\n", info.nodes);
    for (uint32_t kind = 0; kind < 2; kind++) {
        fputs(kind ? "forecasts  " : "reads      ", stdout);
        for (uint32_t i = 0; i < (kind ? info.targets : info.inputs); i++)
            printf(" %s", stg_model_column(model, kind, i));
        putchar('\n');
    }
    stg_unref(model);
    return fflush(stdout) == 0 ? CLI_OK : cli_fail("writing failed");
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
        return cli_usage_error("inspect", "one model file is needed");
    stg_ctx *ctx = cli_context();
    stg_bundle *bundle = ctx ? cli_open_bundle(ctx, argv[optind]) : NULL;
    int code = CLI_FAILED;
    if (bundle)
        code = json ? print_json(bundle) : print_model(argv[optind], bundle);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    return code;
}
