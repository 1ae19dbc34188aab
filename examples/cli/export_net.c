/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net of a model, from what the library writes of it: no other way leads to single weights. The
 * bytes come from the library itself; sizes are checked all the same.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"

typedef struct reader {
    export_net *net;
    const char *data;
    size_t data_len;
    float *free; /* in net->memory */
    bool ok;
} reader;

static const char *setting(const export_net *net, const char *key, const char *absent)
{
    const cJSON *all = cJSON_GetObjectItemCaseSensitive(net->header, "__metadata__");
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(all, key));
    return text ? text : absent;
}

/* Bytes of a tensor; NULL when it is not there or not as large. */
static const char *tensor_at(const reader *r, const char *name, const char *type, size_t bytes)
{
    const cJSON *t = cJSON_GetObjectItemCaseSensitive(r->net->header, name);
    const cJSON *at = cJSON_GetObjectItemCaseSensitive(t, "data_offsets");
    const char *found = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(t, "dtype"));
    const double from = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 0));
    const double to = cJSON_GetNumberValue(cJSON_GetArrayItem(at, 1));
    if (!found || strcmp(found, type) != 0 || !(from >= 0 && to <= (double)r->data_len) ||
        to - from != (double)bytes)
        return NULL;
    return r->data + (size_t)from;
}

static const float *floats(reader *r, const char *name, size_t rows, size_t cols)
{
    const char *from = tensor_at(r, name, "F32", rows * cols * sizeof(float));
    float *to = r->free;
    if (!from) {
        r->ok = false;
        return to;
    }
    memcpy(to, from, rows * cols * sizeof *to);
    r->free += rows * cols;
    return to;
}

static void read_cell(reader *r, uint32_t part, uint32_t layer)
{
    static const char *const name[] = {"encoder", "decoder"};
    export_net *n = r->net;
    export_cell *c = &n->cell[part][layer];
    const size_t units = n->info.units;
    char key[64];
    c->inputs = layer ? n->info.units : part ? n->info.targets : n->inputs;
    const size_t rows = n->copies * (c->inputs + units);
    snprintf(key, sizeof key, "model/%s/%" PRIu32 "/gates/weight", name[part], layer);
    c->gate_w = floats(r, key, rows, 2 * units);
    snprintf(key, sizeof key, "model/%s/%" PRIu32 "/gates/bias", name[part], layer);
    c->gate_b = floats(r, key, 1, 2 * units);
    snprintf(key, sizeof key, "model/%s/%" PRIu32 "/candidate/weight", name[part], layer);
    c->cand_w = floats(r, key, rows, units);
    snprintf(key, sizeof key, "model/%s/%" PRIu32 "/candidate/bias", name[part], layer);
    c->cand_b = floats(r, key, 1, units);
}

static void read_scale(reader *r)
{
    export_net *n = r->net;
    const size_t count = n->info.targets;
    const char *mean = tensor_at(r, "model/scale/global_mean", "F64", count * sizeof(double));
    const char *deviation =
        tensor_at(r, "model/scale/global_deviation", "F64", count * sizeof(double));
    if (!mean || !deviation) {
        r->ok = false;
        return;
    }
    memcpy(n->mean, mean, count * sizeof *n->mean);
    memcpy(n->deviation, deviation, count * sizeof *n->deviation);
}

static void read_shape(export_net *n)
{
    const char *decoder = setting(n, "model/decoder", "seq2seq");
    const uint32_t lags = (uint32_t)strtoul(setting(n, "model/lags", "1"), NULL, 10);
    n->filter = setting(n, "model/filter", "dual_random_walk");
    n->supports = setting(n, "model/supports", "exact");
    n->recursion = setting(n, "model/recursion", "restart");
    n->time_of_day = strcmp(setting(n, "model/time_of_day", "0"), "1") == 0;
    n->decoder = strcmp(decoder, "seq2seq") == 0;
    n->relu = strcmp(decoder, "direct_relu") == 0;
    n->inputs = n->info.inputs * lags + n->time_of_day;
    n->steps = n->info.history - lags + 1;
    n->walks = strcmp(n->filter, "dual_random_walk") == 0 ? 2 : 1;
    n->copies = n->walks * n->info.hops + 1;
    n->outputs = n->info.targets * (n->decoder ? 1 : n->info.horizon);
}

static bool read_net(reader *r)
{
    export_net *n = r->net;
    read_shape(n);
    n->memory = (float *)malloc(r->data_len + 1);
    r->free = n->memory;
    r->ok = n->memory && n->info.layers <= EXPORT_MAX_LAYERS && n->info.targets <= 64 &&
            n->steps <= n->info.history;
    for (uint32_t part = 0; part < (n->decoder ? 2u : 1u); part++)
        for (uint32_t l = 0; r->ok && l < n->info.layers; l++)
            read_cell(r, part, l);
    if (r->ok) {
        n->proj_w = floats(r, "model/projection/weight", n->info.units, n->outputs);
        n->proj_b = floats(r, "model/projection/bias", 1, n->outputs);
        read_scale(r);
    }
    return r->ok;
}

static char *serialize(stg_ctx *ctx, const stg_model *model, size_t *len)
{
    stg_bundle *bundle = NULL;
    char *bytes = NULL;
    *len = 0;
    if (stg_bundle_open(&bundle, ctx, NULL, NULL) == STG_OK &&
        stg_model_store(model, bundle) == STG_OK) {
        stg_bundle_serialize(bundle, NULL, 0, len);
        bytes = (char *)malloc(*len + 1);
        if (bytes && stg_bundle_serialize(bundle, bytes, *len, len) != STG_OK) {
            free(bytes);
            bytes = NULL;
        }
    }
    stg_bundle_destroy(bundle);
    return bytes;
}

bool export_net_open(export_net *n, stg_ctx *ctx, const stg_model *model, const char *path)
{
    uint64_t header = 0;
    size_t len;
    *n = (export_net){.info = {.size = sizeof n->info}};
    stg_model_get_info(model, &n->info);
    if (strcmp(n->info.kind, "dcrnn_series") != 0) {
        cli_say("%s: a model of kind %s; only the published net, dcrnn_series, can be written in forms "
                "of others", path, n->info.kind);
        return false;
    }
    if (strcmp(n->info.cell, "dcgru") != 0) {
        cli_say("%s: cells of %s cannot be written in forms of others", path, n->info.cell);
        return false;
    }
    char *bytes = serialize(ctx, model, &len);
    if (!bytes || len < sizeof header) {
        free(bytes);
        cli_say("out of memory");
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    reader r = {.net = n, .data = bytes + sizeof header + header};
    r.data_len = len - sizeof header - (size_t)header;
    n->header = cJSON_ParseWithLength(bytes + sizeof header, (size_t)header);
    for (uint32_t k = 0; k < n->info.targets && k < 64; k++)
        n->columns[k] = stg_model_column(model, 1, k);
    const bool ok = n->header && read_net(&r);
    free(bytes);
    if (!ok)
        cli_say("%s: a net of a form that export does not know", path);
    return ok;
}

void export_net_close(export_net *n)
{
    cJSON_Delete(n->header);
    free(n->memory);
}
