/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind "dcrnn": what stands between the net's arithmetic and a session. Columns become inputs in
 * standard deviations of each node's own log scale, the supports come from the mean calls of the
 * edges, outputs go back to the scale of the columns.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model_priv.h"

/* --- scales ----------------------------------------------------------------------------------- */

typedef struct scale { /* of a column of a node */
    const double *profile; /* by the time of day; NULL: mean */
    double mean;
    double deviation;
} scale;

/*
 * A node that training did not know has no profile: its mean starts as that over all nodes and moves
 * to what the session saw of it; the first `history` windows count half.
 */
static scale scale_of(const stg_session *s, const stg__state *st, uint32_t column, uint32_t node)
{
    const stg_model *m = s->model;
    const double *profile = stg__profile_of(m, column, st->known[node]);
    if (profile)
        return (scale){profile, 0,
                       m->deviation[(size_t)column * stg__model_nodes(m) + st->known[node]]};
    const size_t at = (size_t)column * st->nodes + node;
    const double weight = st->own_count[at] / (st->own_count[at] + m->history);
    const double between = m->global_mean[column] - st->own_mean[at];
    const double global = m->global_deviation[column] * m->global_deviation[column];
    const double deviation = sqrt(weight * st->own_square[at] + (1 - weight) * global);
    return (scale){NULL, m->global_mean[column] - weight * between,
                   deviation > 0.1 ? deviation : 0.1};
}

static double middle(const scale *sc, const stg_model *m, uint64_t start)
{
    return sc->profile ? sc->profile[stg__day_slot(m, start)] : sc->mean;
}

/* Start of the window `back` windows ago. */
static uint64_t start_of(const stg_session *s, uint32_t back)
{
    const uint64_t far = (uint64_t)back * s->model->window_ns;
    return far < s->last_start ? s->last_start - far : 0;
}

static double deviation_of(const stg_session *s, const stg__state *st, const scale *sc,
                           uint32_t column, uint32_t node, uint32_t back)
{
    const double x = stg__ring_row(s, st, back, column)[node];
    return (x - middle(sc, s->model, start_of(s, back))) / sc->deviation;
}

static void fill_inputs(const stg_session *s, stg__state *st)
{
    const stg_model *m = s->model;
    const uint32_t wide = m->net.shape.inputs;
    for (uint32_t c = 0; c < m->inputs; c++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const scale sc = scale_of(s, st, c, i);
            for (uint32_t t = 0; t < m->history; t++) {
                const double z = deviation_of(s, st, &sc, c, i, m->history - 1 - t);
                st->x[((size_t)t * st->nodes + i) * wide + c] = (real)stg__clipped(z);
            }
        }
    for (uint32_t t = 0; m->time_inputs && t < m->history; t++) {
        double time[2];
        stg__day_time(m->day_ns, start_of(s, m->history - 1 - t), time);
        for (uint32_t i = 0; i < st->nodes; i++) {
            real *row = st->x + ((size_t)t * st->nodes + i) * wide + m->inputs;
            row[0] = (real)time[0];
            row[1] = (real)time[1];
        }
    }
}

/* What is left of the present deviation at each step: the outputs' starting point. */
static void fill_base(const stg_session *s, stg__state *st, uint32_t steps)
{
    const stg_model *m = s->model;
    for (uint32_t k = 0; k < m->targets; k++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const scale sc = scale_of(s, st, m->target[k], i);
            stg__recent recent = {0, 0, 1};
            for (uint32_t back = 0; back < m->history; back++)
                stg__recent_add(&recent, deviation_of(s, st, &sc, m->target[k], i, back));
            for (uint32_t d = 0; d < steps; d++)
                st->base[((size_t)d * st->nodes + i) * m->targets + k] =
                    (real)(m->pull[(size_t)d * m->targets + k] * stg__recent_get(&recent));
        }
}

static double unscale(const stg_session *s, const stg__state *st, uint32_t step, uint32_t target,
                      uint32_t node, double z)
{
    const stg_model *m = s->model;
    const uint64_t start = s->last_start + (step + 1) * m->window_ns;
    const scale sc = scale_of(s, st, m->target[target], node);
    const double x = stg__from_log(middle(&sc, m, start) + z * sc.deviation);
    if (st->known[node] == STG__NONE)
        return x;
    const size_t nodes = stg__model_nodes(m);
    const double smear = m->smear[((size_t)step * m->targets + target) * nodes + st->known[node]];
    const double mean_x = (1 + x) * smear - 1;
    return mean_x > 0 ? mean_x : 0;
}

/* A stranger is not forecast before it has a history; a known node from its first window on. */
static bool forecastable(const stg_session *s, const stg__state *st, uint32_t node)
{
    return st->seen[node] >= (st->known[node] == STG__NONE ? s->model->history : 1);
}

static void dcrnn_predict(const stg_session *s, stg__state *st, uint32_t steps)
{
    const stg_model *m = s->model;
    fill_inputs(s, st);
    fill_base(s, st, steps);
    for (uint32_t d = 0; m->time_inputs && d < steps; d++) {
        double time[2];
        stg__day_time(m->day_ns, s->last_start + (d + 1) * m->window_ns, time);
        st->extras[d * STG__TIME_INPUTS] = (real)time[0];
        st->extras[d * STG__TIME_INPUTS + 1] = (real)time[1];
    }
    const stg__feed feed = {.x = st->x, .extras = st->extras, .base = st->base};
    stg__run_forward(&st->run, m->packed, &feed, steps);
    for (uint32_t d = 0; d < steps; d++)
        for (uint32_t k = 0; k < m->targets; k++)
            for (uint32_t i = 0; i < st->nodes; i++) {
                const double z = st->run.out[((size_t)d * st->nodes + i) * m->targets + k];
                st->pred[((size_t)d * m->targets + k) * st->nodes + i] =
                    forecastable(s, st, i) ? unscale(s, st, d, k, i, z) : NAN;
            }
}

/* --- state ------------------------------------------------------------------------------------ */

/* Mean calls of an edge: from training, else what the session has seen of it so far. */
static double calls_of(const stg_model *m, const stg__state *st, uint32_t e, const double *calls)
{
    if (st->known_edge[e] != STG__NONE)
        return m->edge_calls[st->known_edge[e]];
    const double now = calls && isfinite(calls[e]) && calls[e] > 1 ? calls[e] : 1;
    return st->edge_seen[e] ? st->share[e] : now;
}

static int32_t make_supports(stg__state *st)
{
    const stg__topology *t = st->topo;
    stg__arc *arc = (stg__arc *)stg__calloc(st->ctx, t->edges, sizeof *arc);
    if (!arc)
        return STG_E_NOMEM;
    const stg__filter both = {STG__DUAL_RANDOM_WALK, STG__EXACT};
    const uint32_t arcs = stg__make_arcs(t->src, t->dst, st->arc_calls, t->edges, arc);
    const int32_t status = stg__supports_build(&st->supports, st->ctx, t->nodes, both, arc, arcs);
    stg__free(st->ctx, arc);
    return status;
}

static int32_t dcrnn_prepare(const stg_session *s, stg__state *st, const stg_graph *g)
{
    const stg_model *m = s->model;
    const stg__shape *shape = &m->net.shape;
    const stg__topology *t = st->topo;
    if (g) {
        const double *now = stg__graph_column_at(g, STG_EDGE, s->edge_column);
        for (uint32_t e = 0; e < t->edges; e++)
            st->arc_calls[e] = calls_of(m, st, e, now);
    }
    STG_RETURN_IF_ERROR(make_supports(st));
    STG_RETURN_IF_ERROR(stg__run_create(&st->run, st->ctx, &m->net, t->nodes, false));
    st->run.supports = &st->supports;
    const size_t inputs = (size_t)shape->history * t->nodes * shape->inputs;
    const size_t extras = (size_t)shape->horizon * shape->extras;
    st->x = (real *)stg__alloc_aligned(st->ctx, inputs, sizeof *st->x);
    st->extras = (real *)stg__alloc_aligned(st->ctx, extras, sizeof *st->extras);
    st->base = (real *)stg__alloc_aligned(
        st->ctx, (size_t)shape->horizon * t->nodes * shape->targets, sizeof *st->base);
    return st->x && st->extras && st->base ? STG_OK : STG_E_NOMEM;
}

static void dcrnn_observe(const stg_session *s, stg__state *st, uint64_t start, const double *now)
{
}

/* --- file ------------------------------------------------------------------------------------- */

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
    const uint32_t cells = 2 * net->shape.layers;
    if (i >= 4 * cells + 2)
        return false;
    if (i >= 4 * cells) {
        const bool bias = i > 4 * cells;
        snprintf(b->name, sizeof b->name, "model/projection/%s", bias ? "bias" : "weight");
        b->at = bias ? net->proj_b : net->proj_w;
        b->inputs = 0;
        b->rows = bias ? 0 : u;
        b->cols = net->shape.targets;
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
    b->cols = gates ? 2 * u : u;
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

static int32_t read_shape(stg_model *m, const stg_bundle *b, stg__shape *s, stg_error *err)
{
    uint32_t time = 0;
    const char *recursion = stg__bundle_meta(b, "model/recursion");
    *s = (stg__shape){.targets = m->targets, .walks = 2, .history = m->history,
                      .horizon = m->horizon};
    STG_RETURN_IF_ERROR(read_u32(b, "model/layers", STG__MAX_LAYERS, &s->layers, err));
    STG_RETURN_IF_ERROR(read_u32(b, "model/units", STG__MAX_UNITS, &s->units, err));
    STG_RETURN_IF_ERROR(read_u32(b, "model/hops", STG__MAX_HOPS, &s->hops, err));
    STG_RETURN_IF_ERROR(read_u32(b, "model/time_inputs", 1, &time, err));
    if (recursion && strcmp(recursion, "restart") != 0 && strcmp(recursion, "carry") != 0)
        return stg__fail(err, STG_E_FORMAT, "metadata model/recursion is \"%.40s\"", recursion);
    s->recursion = recursion && strcmp(recursion, "carry") == 0 ? STG__CARRY : STG__RESTART;
    m->time_inputs = time;
    s->extras = time ? STG__TIME_INPUTS : 0;
    s->inputs = m->inputs + s->extras;
    return STG_OK;
}

/* Factors of the outputs, within bounds. */
static int32_t load_factors(const stg_bundle *b, const char *name, uint32_t dims,
                            const uint64_t *shape, double least, double most, double *to,
                            stg_error *err)
{
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, name, STG__F64, dims, shape, &t, err));
    const double *from = (const double *)t->data;
    for (size_t i = 0; i < t->bytes / sizeof *from; i++)
        if (!(from[i] >= least && from[i] <= most))
            return stg__fail(err, STG_E_FORMAT, "tensor %s: number %zu is not usable", name, i);
    memcpy(to, from, t->bytes);
    return STG_OK;
}

/* The sizes in the metadata are believed only when the file has tensors of these sizes. */
static int32_t dcrnn_load(stg_model *m, const stg_bundle *bundle, stg_error *err)
{
    stg__shape shape;
    stg__net net;
    block b;
    STG_RETURN_IF_ERROR(read_shape(m, bundle, &shape, err));
    if (!stg__net_init(&net, &shape))
        return stg__fail(err, STG_E_LIMIT, "model has no layers or units, or too many inputs");
    for (uint32_t i = 0; block_at(&net, i, &b); i++) {
        const uint64_t dims[2] = {b.rows ? b.rows : b.cols, b.cols};
        const stg__tensor *t;
        STG_RETURN_IF_ERROR(
            stg__bundle_get(bundle, b.name, STG__F32, b.rows ? 2 : 1, dims, &t, err));
    }
    const uint64_t factors[3] = {m->horizon, m->targets, stg__model_nodes(m)};
    const stg__tensor *smear;
    STG_RETURN_IF_ERROR(stg__bundle_get(bundle, "model/smear", STG__F64, 3, factors, &smear, err));
    STG_RETURN_IF_ERROR(stg__model_net_room(m, &shape));
    for (uint32_t i = 0; block_at(&net, i, &b); i++)
        STG_RETURN_IF_ERROR(load_block(m, bundle, &b, err));
    STG_RETURN_IF_ERROR(load_factors(bundle, "model/pull", 2, factors, 0, 1, m->pull, err));
    STG_RETURN_IF_ERROR(load_factors(bundle, "model/smear", 3, factors, 1e-3, 1e3, m->smear, err));
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

static int32_t dcrnn_store(const stg_model *m, stg_bundle *bundle)
{
    const stg__shape *s = &m->net.shape;
    const uint64_t shape[3] = {m->horizon, m->targets, stg__model_nodes(m)};
    block b;
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/layers", s->layers));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/units", s->units));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/hops", s->hops));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/time_inputs", m->time_inputs));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta(
        bundle, "model/recursion", s->recursion == STG__CARRY ? "carry" : "restart"));
    for (uint32_t i = 0; block_at(&m->net, i, &b); i++)
        STG_RETURN_IF_ERROR(store_block(m, bundle, &b));
    STG_RETURN_IF_ERROR(stg__bundle_put(bundle, "model/pull", STG__F64, 2, shape, m->pull));
    return stg__bundle_put(bundle, "model/smear", STG__F64, 3, shape, m->smear);
}

const stg__kind stg__kind_dcrnn = {"dcrnn",       dcrnn_load,    dcrnn_store,
                                   dcrnn_prepare, dcrnn_observe, dcrnn_predict};
