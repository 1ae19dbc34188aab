/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind "dcrnn": what stands between the net's arithmetic and a session. Columns become inputs in
 * standard deviations of each node's own log scale, the supports come from the mean calls of the
 * edges, outputs go back to the scale of the columns.
 */
#include <math.h>
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

/* `steps` steps of the encoder, the last one's window `back` windows ago: each
 * column's deviations from the oldest on, then the time of day. */
static void fill_steps(const stg_session *s, const stg__state *st, uint32_t back, uint32_t steps,
                       real *x)
{
    const stg_model *m = s->model;
    const uint32_t wide = m->net.shape.inputs;
    for (uint32_t c = 0; c < m->inputs; c++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const scale sc = scale_of(s, st, c, i);
            for (uint32_t t = 0; t < steps; t++)
                for (uint32_t j = 0; j < m->lags; j++) {
                    const uint32_t ago = back + (steps - 1 - t) + (m->lags - 1 - j);
                    const double z = deviation_of(s, st, &sc, c, i, ago);
                    x[((size_t)t * st->nodes + i) * wide + c * m->lags + j] = (real)stg__clipped(z);
                }
        }
    for (uint32_t t = 0; m->time_inputs && t < steps; t++) {
        double time[2];
        stg__day_time(m->day_ns, start_of(s, back + steps - 1 - t), time);
        for (uint32_t i = 0; i < st->nodes; i++) {
            real *row = x + ((size_t)t * st->nodes + i) * wide + m->inputs * m->lags;
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
    if (!s->stateful)
        fill_steps(s, st, 0, m->net.shape.history, st->x);
    fill_base(s, st, steps);
    for (uint32_t d = 0; m->net.shape.extras && d < steps; d++) {
        double time[2];
        stg__day_time(m->day_ns, s->last_start + (d + 1) * m->window_ns, time);
        st->extras[d * STG__TIME_INPUTS] = (real)time[0];
        st->extras[d * STG__TIME_INPUTS + 1] = (real)time[1];
    }
    const stg__feed feed = {.x = st->x, .extras = st->extras, .base = st->base};
    (s->stateful ? stg__run_decode : stg__run_forward)(&st->run, m->packed, &feed, steps);
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

static int32_t dcrnn_prepare(const stg_session *s, stg__state *st, const stg_graph *g)
{
    const stg_model *m = s->model;
    const stg__topology *t = st->topo;
    if (g) {
        const double *now = stg__graph_column_at(g, STG_EDGE, s->edge_column);
        for (uint32_t e = 0; e < t->edges; e++)
            if (isnan(st->arc_calls[e])) /* not carried over */
                st->arc_calls[e] = calls_of(m, st, e, now);
    }
    STG_RETURN_IF_ERROR(stg__state_supports(s, st));
    return stg__state_net_room(s, st);
}

static void dcrnn_advance(const stg_session *s, stg__state *st)
{
    fill_steps(s, st, 0, 1, st->x);
    stg__state_advance(s, st);
}

static void dcrnn_observe(const stg_session *s, stg__state *st, uint64_t start, const double *now)
{
}

/* --- file ------------------------------------------------------------------------------------- */

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

static int32_t dcrnn_load(stg_model *m, const stg_bundle *bundle, stg_error *err)
{
    stg__shape shape;
    uint64_t time = 0;
    STG_RETURN_IF_ERROR(stg__net_read_shape(m, bundle, &shape, err));
    if (stg__bundle_meta_u64(bundle, "model/time_inputs", &time) != STG_OK || time > 1)
        return stg__fail(err, STG_E_FORMAT, "metadata model/time_inputs is not a number up to 1");
    m->time_inputs = time;
    stg__net_inputs(m, &shape);
    const uint64_t factors[3] = {m->horizon, m->targets, stg__model_nodes(m)};
    const stg__tensor *smear; /* before memory is asked for it */
    STG_RETURN_IF_ERROR(stg__bundle_get(bundle, "model/smear", STG__F64, 3, factors, &smear, err));
    STG_RETURN_IF_ERROR(stg__net_load(m, bundle, &shape, err));
    STG_RETURN_IF_ERROR(load_factors(bundle, "model/pull", 2, factors, 0, 1, m->pull, err));
    return load_factors(bundle, "model/smear", 3, factors, 1e-3, 1e3, m->smear, err);
}

static int32_t dcrnn_store(const stg_model *m, stg_bundle *bundle)
{
    const uint64_t shape[3] = {m->horizon, m->targets, stg__model_nodes(m)};
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/time_inputs", m->time_inputs));
    STG_RETURN_IF_ERROR(stg__net_store(m, bundle));
    STG_RETURN_IF_ERROR(stg__bundle_put(bundle, "model/pull", STG__F64, 2, shape, m->pull));
    return stg__bundle_put(bundle, "model/smear", STG__F64, 3, shape, m->smear);
}

const stg__kind stg__kind_dcrnn = {
    .name = "dcrnn",
    .profile = true,
    .net = true,
    .load = dcrnn_load,
    .store = dcrnn_store,
    .prepare = dcrnn_prepare,
    .observe = dcrnn_observe,
    .advance = dcrnn_advance,
    .predict = dcrnn_predict,
};
