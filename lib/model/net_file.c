/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net of a model in a bundle: sizes as metadata, weights as one tensor each, in the layout of the
 * published codes. Shared by the kinds that have a net.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model_priv.h"

typedef struct block { /* one tensor of weights */
    char name[64];
    size_t at;
    uint32_t inputs; /* 0: a plain matrix, rows as they are */
    uint32_t rows;
    uint32_t cols; /* rows 0: a vector */
} block;

/*
 * Tensor number i of a net; false behind the last. Weights of cells are stored with the row of
 * feature f and copy m at f * M + m, inputs before state, as the published codes have them.
 */
static bool block_at(const stg__net *net, uint32_t i, block *b)
{
    static const char *const part[] = {"encoder", "decoder"};
    const uint32_t u = net->shape.units;
    const uint32_t cells = net->parts * net->shape.layers;
    if (i >= 4 * cells + 2)
        return false;
    if (i >= 4 * cells) {
        const bool bias = i > 4 * cells;
        snprintf(b->name, sizeof b->name, "model/projection/%s", bias ? "bias" : "weight");
        b->at = bias ? net->proj_b : net->proj_w;
        b->inputs = 0;
        b->rows = bias ? 0 : u;
        b->cols = net->outputs;
        return true;
    }
    const uint32_t p = i / 4 / net->shape.layers;
    const uint32_t l = i / 4 % net->shape.layers;
    const stg__cell *c = &net->cell[p][l];
    const bool gates = i % 4 < 2;
    const bool bias = i % 2;
    snprintf(b->name, sizeof b->name, "model/%s/%u/%s/%s", part[p], l, gates ? "gates" : "candidate",
             bias ? "bias" : "weight");
    b->at = gates ? (bias ? c->gate_b : c->gate_w) : (bias ? c->cand_b : c->cand_w);
    b->inputs = bias ? 0 : c->inputs;
    b->rows = bias ? 0 : net->copies * (c->inputs + u);
    b->cols = gates ? net->gates * u : u;
    return true;
}

/* Row in memory of row r of the file. */
static size_t memory_row(const stg__net *net, const block *b, uint32_t r)
{
    if (!b->inputs)
        return r;
    const uint32_t f = r / net->copies;
    const uint32_t m = r % net->copies;
    if (f < b->inputs)
        return (size_t)m * b->inputs + f;
    return (size_t)net->copies * b->inputs + (size_t)m * net->shape.units + (f - b->inputs);
}

static int32_t load_block(stg_model *m, const stg_bundle *bundle, const block *b, stg_error *err)
{
    const uint64_t shape[2] = {b->rows ? b->rows : b->cols, b->cols};
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(
        stg__bundle_get(bundle, b->name, STG__F32, b->rows ? 2 : 1, shape, &t, err));
    const float *from = (const float *)t->data;
    const uint32_t rows = b->rows ? b->rows : 1;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < b->cols; c++) {
            const float x = from[(size_t)r * b->cols + c];
            if (!isfinite(x) || fabsf(x) > 1e6f)
                return stg__fail(err, STG_E_FORMAT, "tensor %s: number %zu is not usable", b->name,
                                 (size_t)r * b->cols + c);
            m->params[b->at + memory_row(&m->net, b, r) * b->cols + c] = x;
        }
    return STG_OK;
}

static int32_t read_u32(const stg_bundle *b, const char *key, uint32_t most, uint32_t *value,
                        stg_error *err)
{
    uint64_t wide = 0;
    if (stg__bundle_meta_u64(b, key, &wide) != STG_OK || wide > most)
        return stg__fail(err, STG_E_FORMAT, "metadata %s is not a number up to %u", key, most);
    *value = (uint32_t)wide;
    return STG_OK;
}

const stg__word stg__recursions[] = {{"restart", STG__RESTART}, {"carry", STG__CARRY},
                                     {"pygt", STG__PYGT},       {"power", STG__POWER}, {NULL, 0}};
const stg__word stg__decoders[] = {{"seq2seq", STG__SEQ2SEQ}, {"direct", STG__DIRECT},
                                   {"direct_relu", STG__DIRECT_RELU}, {NULL, 0}};
const stg__word stg__cells[] = {{"dcgru", STG__DCGRU}, {"dclstm", STG__DCLSTM}, {NULL, 0}};
const stg__word stg__filters[] = {{"dual_random_walk", STG__DUAL_RANDOM_WALK},
                                  {"random_walk", STG__RANDOM_WALK},
                                  {"laplacian", STG__LAPLACIAN},
                                  {"laplacian_2", STG__LAPLACIAN_2}, {NULL, 0}};
const stg__word stg__orders[] = {{"exact", STG__EXACT}, {"port_reversed", STG__PORT_REVERSED},
                                   {NULL, 0}};

bool stg__word_find(const stg__word *words, const char *text, uint32_t *value)
{
    for (; words->text; words++)
        if (strcmp(text, words->text) == 0) {
            *value = words->value;
            return true;
        }
    return false;
}

const char *stg__word_text(const stg__word *words, uint32_t value)
{
    while (words->text && words->value != value)
        words++;
    return words->text;
}

int32_t stg__word_read(const stg_bundle *b, const char *key, const stg__word *words, uint32_t *value,
                       stg_error *err)
{
    const char *text = stg__bundle_meta(b, key);
    return !text || stg__word_find(words, text, value)
               ? STG_OK
               : stg__fail(err, STG_E_FORMAT, "metadata %s is \"%.40s\"", key, text);
}

void stg__net_inputs(const stg_model *m, stg__shape *s)
{
    const uint32_t time = !m->time_inputs ? 0 : m->kind->plain ? 1 : STG__TIME_INPUTS;
    s->inputs = m->inputs * m->lags + time;
    s->extras = m->kind->plain || s->decoder != STG__SEQ2SEQ ? 0 : time;
}

int32_t stg__net_read_shape(stg_model *m, const stg_bundle *b, stg__shape *s, stg_error *err)
{
    *s = (stg__shape){.targets = m->targets, .horizon = m->horizon, .recursion = STG__RESTART,
                      .decoder = STG__SEQ2SEQ};
    m->filter = (stg__filter){STG__DUAL_RANDOM_WALK, STG__EXACT};
    m->lags = 1;
    STG_RETURN_IF_ERROR(read_u32(b, "model/layers", STG__MAX_LAYERS, &s->layers, err));
    STG_RETURN_IF_ERROR(read_u32(b, "model/units", STG__MAX_UNITS, &s->units, err));
    STG_RETURN_IF_ERROR(read_u32(b, "model/hops", STG__MAX_HOPS, &s->hops, err));
    if (stg__bundle_meta(b, "model/lags"))
        STG_RETURN_IF_ERROR(read_u32(b, "model/lags", m->history, &m->lags, err));
    if (m->lags == 0)
        return stg__fail(err, STG_E_FORMAT, "metadata model/lags is 0");
    STG_RETURN_IF_ERROR(stg__word_read(b, "model/filter", stg__filters, &m->filter.kind, err));
    STG_RETURN_IF_ERROR(stg__word_read(b, "model/supports", stg__orders, &m->filter.order, err));
    STG_RETURN_IF_ERROR(stg__word_read(b, "model/decoder", stg__decoders, &s->decoder, err));
    STG_RETURN_IF_ERROR(stg__word_read(b, "model/cell", stg__cells, &s->cell, err));
    uint32_t stateful = 0;
    if (stg__bundle_meta(b, "model/stateful_ok"))
        STG_RETURN_IF_ERROR(read_u32(b, "model/stateful_ok", 1, &stateful, err));
    m->stateful_ok = stateful;
    s->walks = stg__filter_walks(m->filter.kind);
    s->history = m->history - m->lags + 1;
    return stg__word_read(b, "model/recursion", stg__recursions, &s->recursion, err);
}

/* The sizes in the metadata are believed only when the file has tensors of these sizes. */
int32_t stg__net_load(stg_model *m, const stg_bundle *bundle, const stg__shape *shape, stg_error *err)
{
    stg__net net;
    block b;
    if (!stg__net_init(&net, shape))
        return stg__fail(err, STG_E_LIMIT, "model has no layers or units, or too many inputs");
    for (uint32_t i = 0; block_at(&net, i, &b); i++) {
        const uint64_t dims[2] = {b.rows ? b.rows : b.cols, b.cols};
        const stg__tensor *t;
        STG_RETURN_IF_ERROR(
            stg__bundle_get(bundle, b.name, STG__F32, b.rows ? 2 : 1, dims, &t, err));
    }
    STG_RETURN_IF_ERROR(stg__model_net_room(m, shape));
    for (uint32_t i = 0; block_at(&net, i, &b); i++)
        STG_RETURN_IF_ERROR(load_block(m, bundle, &b, err));
    stg__net_pack(&m->net, m->params, m->packed);
    return STG_OK;
}

static int32_t store_block(const stg_model *m, stg_bundle *bundle, const block *b)
{
    const uint64_t shape[2] = {b->rows ? b->rows : b->cols, b->cols};
    const uint32_t rows = b->rows ? b->rows : 1;
    float *to = (float *)stg__calloc(m->ctx, (size_t)rows * b->cols, sizeof *to);
    if (!to)
        return STG_E_NOMEM;
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < b->cols; c++)
            to[(size_t)r * b->cols + c] =
                (float)m->params[b->at + memory_row(&m->net, b, r) * b->cols + c];
    const int32_t status =
        stg__bundle_put(bundle, b->name, STG__F32, b->rows ? 2 : 1, shape, to);
    stg__free(m->ctx, to);
    return status;
}

int32_t stg__net_store(const stg_model *m, stg_bundle *bundle)
{
    const stg__shape *s = &m->net.shape;
    block b;
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/layers", s->layers));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/units", s->units));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/hops", s->hops));
    const struct {
        const char *key;
        const char *text;
    } word[] = {
        {"model/filter", stg__word_text(stg__filters, m->filter.kind)},
        {"model/supports", stg__word_text(stg__orders, m->filter.order)},
        {"model/recursion", stg__word_text(stg__recursions, s->recursion)},
        {"model/decoder", stg__word_text(stg__decoders, s->decoder)},
        {"model/cell", stg__word_text(stg__cells, s->cell)},
    };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        STG_RETURN_IF_ERROR(stg__bundle_set_meta(bundle, word[i].key, word[i].text));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/lags", m->lags));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/stateful_ok", m->stateful_ok));
    for (uint32_t i = 0; block_at(&m->net, i, &b); i++)
        STG_RETURN_IF_ERROR(store_block(m, bundle, &b));
    return STG_OK;
}
