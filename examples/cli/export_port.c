/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net under the names of the PyTorch port of DCRNN, which BasicTS has too, with its settings as
 * metadata. What these codes do not know stands under "stgraph/", for the way back.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"

typedef struct writer {
    cJSON *header;
    char *bytes;
    size_t cap;
    size_t len; /* of the numbers */
    bool ok;
} writer;

static void put(writer *w, const char *name, size_t rows, size_t cols, const float *data)
{
    const size_t bytes = (rows ? rows : 1) * cols * sizeof *data;
    const int shape[2] = {(int)(rows ? rows : cols), (int)cols};
    const double at[2] = {(double)w->len, (double)(w->len + bytes)};
    cJSON *t = cJSON_AddObjectToObject(w->header, name);
    w->ok = w->ok && bytes <= w->cap - w->len && cJSON_AddStringToObject(t, "dtype", "F32") &&
            cJSON_AddItemToObject(t, "shape", cJSON_CreateIntArray(shape, rows ? 2 : 1)) &&
            cJSON_AddItemToObject(t, "data_offsets", cJSON_CreateDoubleArray(at, 2));
    if (!w->ok)
        return;
    memcpy(w->bytes + w->len, data, bytes);
    w->len += bytes;
}

static void put_cell(writer *w, const export_net *n, uint32_t part, uint32_t layer)
{
    const export_cell *c = &n->cell[part][layer];
    const size_t rows = n->copies * ((size_t)c->inputs + n->info.units);
    const size_t units = n->info.units;
    char prefix[64];
    char name[128];
    snprintf(prefix, sizeof prefix, "%s_model.dcgru_layers.%" PRIu32, part ? "decoder" : "encoder",
             layer);
    snprintf(name, sizeof name, "%s.gconv_weight_(%zu, %zu)", prefix, rows, 2 * units);
    put(w, name, rows, 2 * units, c->gate_w);
    snprintf(name, sizeof name, "%s.gconv_biases_%zu", prefix, 2 * units);
    put(w, name, 0, 2 * units, c->gate_b);
    snprintf(name, sizeof name, "%s.gconv_weight_(%zu, %zu)", prefix, rows, units);
    put(w, name, rows, units, c->cand_w);
    snprintf(name, sizeof name, "%s.gconv_biases_%zu", prefix, units);
    put(w, name, 0, units, c->cand_b);
}

static void put_projection(writer *w, const export_net *n)
{
    const size_t units = n->info.units;
    const size_t targets = n->info.targets;
    float *turned = (float *)malloc(units * targets * sizeof *turned);
    if (!turned) {
        w->ok = false;
        return;
    }
    for (size_t u = 0; u < units; u++)
        for (size_t k = 0; k < targets; k++)
            turned[k * units + u] = n->proj_w[u * targets + k];
    put(w, "decoder_model.projection_layer.weight", targets, units, turned);
    put(w, "decoder_model.projection_layer.bias", 0, targets, n->proj_b);
    free(turned);
}

static void put_setting(writer *w, cJSON *meta, const char *key, uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    w->ok = w->ok && cJSON_AddStringToObject(meta, key, text);
}

/* The bits of a double as 16 hexadecimal digits, as in all our files. */
static void put_scale(writer *w, cJSON *meta, const char *what, uint32_t k, double value)
{
    char key[64];
    char text[32];
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    snprintf(key, sizeof key, "stgraph/%s/%" PRIu32, what, k);
    snprintf(text, sizeof text, "%016" PRIx64, bits);
    w->ok = w->ok && cJSON_AddStringToObject(meta, key, text);
}

static void put_settings(writer *w, const export_net *n)
{
    const stg_model_info *i = &n->info;
    cJSON *meta = cJSON_AddObjectToObject(w->header, "__metadata__");
    w->ok = w->ok && cJSON_AddStringToObject(meta, "model/filter_type", n->filter) &&
            cJSON_AddStringToObject(meta, "stgraph/supports", n->supports) &&
            cJSON_AddStringToObject(meta, "stgraph/recursion", n->recursion);
    put_setting(w, meta, "model/num_rnn_layers", i->layers);
    put_setting(w, meta, "model/rnn_units", i->units);
    put_setting(w, meta, "model/max_diffusion_step", i->hops);
    put_setting(w, meta, "model/input_dim", n->inputs);
    put_setting(w, meta, "model/output_dim", i->targets);
    put_setting(w, meta, "model/seq_len", i->history);
    put_setting(w, meta, "model/horizon", i->horizon);
    put_setting(w, meta, "stgraph/window_ns", i->window_ns);
    put_setting(w, meta, "stgraph/day_ns", i->day_ns);
    for (uint32_t k = 0; k < i->targets; k++) {
        char key[64];
        snprintf(key, sizeof key, "stgraph/column/%" PRIu32, k);
        w->ok = w->ok && cJSON_AddStringToObject(meta, key, n->columns[k]);
        if (isnan(n->mean[k]) || isnan(n->deviation[k]))
            continue;
        put_scale(w, meta, "mean", k, n->mean[k]);
        put_scale(w, meta, "deviation", k, n->deviation[k]);
    }
}

static size_t count(const export_net *n)
{
    size_t sum = (size_t)(n->info.units + 1) * n->info.targets;
    for (uint32_t i = 0; i < 2 * n->info.layers; i++) {
        const uint32_t inputs = n->cell[i % 2][i / 2].inputs;
        sum += (n->copies * ((size_t)inputs + n->info.units) + 1) * 3 * n->info.units;
    }
    return sum;
}

/* The library reads what was made and writes it, so that a file is whole or not there. */
static int save(const writer *w, stg_ctx *ctx, const char *path)
{
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    char *text = cJSON_PrintUnformatted(w->header);
    const size_t len = text ? strlen(text) : 0;
    const uint64_t padded = (len + 7) / 8 * 8;
    char *file = (char *)malloc(sizeof padded + padded + w->len);
    int code = CLI_FAILED;
    if (!text || !file) {
        cli_say("out of memory");
    } else {
        memcpy(file, &padded, sizeof padded);
        memset(file + sizeof padded, ' ', padded);
        memcpy(file + sizeof padded, text, len);
        memcpy(file + sizeof padded + padded, w->bytes, w->len);
        const size_t all = sizeof padded + padded + w->len;
        if (stg_bundle_parse(&bundle, ctx, file, all, &err) == STG_OK &&
            stg_bundle_save(bundle, path, &err) == STG_OK)
            code = CLI_OK;
        else
            cli_say("%s: %s", path, err.text);
        stg_bundle_destroy(bundle);
    }
    cJSON_free(text);
    free(file);
    return code;
}

/* What the code that reads the names does otherwise by itself. */
static void warn(const export_net *n)
{
    const bool walks = strncmp(n->filter, "laplacian", 9) != 0;
    if (walks && n->info.hops && strcmp(n->supports, "port_reversed") != 0)
        cli_say("note: the weights want exact supports, as BasicTS has them; the PyTorch port's own are "
                "reversed");
    if (n->info.hops > 1 && strcmp(n->recursion, "carry") != 0 &&
        (n->walks > 1 || strcmp(n->recursion, "restart") != 0))
        cli_say("note: the weights want the recursion '%s'; published codes of these names have 'carry'",
                n->recursion);
}

int export_port(const export_net *n, stg_ctx *ctx, const char *path)
{
    if (!n->decoder || n->inputs != n->info.targets + n->time_of_day)
        return cli_fail("%s: a net without a decoder, or one that reads several windows at once, has no "
                        "form in the PyTorch port", path);
    const size_t numbers = count(n);
    writer w = {.header = cJSON_CreateObject(), .cap = numbers * sizeof(float)};
    w.bytes = (char *)malloc(w.cap);
    w.ok = w.header && w.bytes;
    if (w.ok)
        put_settings(&w, n);
    for (uint32_t i = 0; w.ok && i < 2 * n->info.layers; i++)
        put_cell(&w, n, i % 2, i / 2);
    if (w.ok)
        put_projection(&w, n);
    const int code = w.ok ? save(&w, ctx, path) : cli_fail("out of memory");
    if (code == CLI_OK)
        warn(n);
    cJSON_Delete(w.header);
    free(w.bytes);
    return code;
}
