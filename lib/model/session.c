/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session: takes the windows in one after the other, keeps the last ones on a log scale in a ring,
 * and asks the model's kind for forecasts when somebody wants one. A node in an incident enters with
 * its forecast, so does a window that is missing.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

#define MOST_THREADS 64u
#define EDGE_RATE 0.02 /* of the EWMA of edge shares: about 50 windows */

static int32_t read_scale(double mean, double deviation, double *to_mean, double *to_deviation)
{
    if (!(fabs(mean) <= STG__PLAIN_MOST && deviation >= 1e-9 && deviation <= STG__PLAIN_MOST))
        return STG_E_INVALID;
    *to_mean = mean;
    *to_deviation = deviation;
    return STG_OK;
}

/* What a kind on plain values can be told; the others have it all in the model. */
static int32_t read_plain(stg_session *s, const stg_model *m, const stg_session_opts *o)
{
    if (!o->mean != !o->deviation || o->supports > STG_SUPPORTS_PORT_REVERSED)
        return STG_E_INVALID;
    s->filter = m->filter;
    if (!m->kind->plain)
        return o->mean || o->supports ? STG_E_INVALID : STG_OK;
    if (o->supports)
        s->filter.order = o->supports == STG_SUPPORTS_EXACT ? STG__EXACT : STG__PORT_REVERSED;
    for (uint32_t c = 0; c < stg__model_columns(m); c++) {
        const bool given = o->mean && c < m->inputs;
        const double mean = given ? o->mean[c] : m->global_mean[c];
        const double deviation = given ? o->deviation[c] : m->global_deviation[c];
        if (!given && (isnan(mean) || isnan(deviation)))
            return STG_E_NOTFOUND;
        STG_RETURN_IF_ERROR(read_scale(mean, deviation, &s->mean[c], &s->deviation[c]));
    }
    return STG_OK;
}

/* A state that training never carried beyond a history goes where training never was. */
static int32_t read_mode(stg_session *s, const stg_model *m, const stg_session_opts *o)
{
    if (o->mode > STG_MODE_STATEFUL || (o->mode && !m->kind->net))
        return STG_E_INVALID;
    s->stateful = o->mode == STG_MODE_STATEFUL;
    return s->stateful && !m->stateful_ok ? STG_E_UNSUPPORTED : STG_OK;
}

/* The largest eigenvalue of a Laplacian is another one after every change. */
static int32_t read_graph(stg_session *s, const stg_model *m, const stg_session_opts *o)
{
    const bool walks = m->filter.kind == STG__RANDOM_WALK || m->filter.kind == STG__DUAL_RANDOM_WALK;
    if (o->graph > STG_GRAPH_EWMA || (o->graph && !(m->kind->net && walks)))
        return STG_E_INVALID;
    if (!(o->graph_rate >= 0 && o->graph_rate <= 1) || (o->graph_rate > 0 && o->graph != STG_GRAPH_EWMA))
        return STG_E_INVALID;
    s->graph = o->graph;
    s->graph_rate = o->graph_rate > 0 ? o->graph_rate : EDGE_RATE;
    return STG_OK;
}

/* What the options say, and what a session has of its own before its first graph. */
static int32_t equip(stg_session *s, stg_ctx *ctx, const stg_model *m, const stg_session_opts *o)
{
    if (o->threads > MOST_THREADS || o->reserved)
        return STG_E_INVALID;
    STG_RETURN_IF_ERROR(read_plain(s, m, o));
    STG_RETURN_IF_ERROR(read_mode(s, m, o));
    STG_RETURN_IF_ERROR(read_graph(s, m, o));
    STG_RETURN_IF_ERROR(
        stg__pool_create(&s->pool, ctx, &stg__forecast_type, o->forecasts ? o->forecasts : 4));
    return o->threads > 1 && m->kind->net ? stg__crew_create(&s->crew, ctx, o->threads) : STG_OK;
}

int32_t stg_session_create(stg_session **out, stg_ctx *ctx, const stg_model *model,
                           const stg_session_opts *opts)
{
    if (!out || !ctx || !stg__is(model, STG__KIND_MODEL))
        return STG_E_INVALID;
    *out = NULL;
    if (stg__ctx_forked(ctx))
        return STG_E_FORK;
    stg_session_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_session_opts", NULL));
    stg_session *s = (stg_session *)stg__calloc(ctx, 1, sizeof *s);
    if (!s)
        return STG_E_NOMEM;
    const int32_t status = equip(s, ctx, model, &o);
    if (status != STG_OK) {
        stg__pool_destroy(s->pool);
        stg__free(ctx, s);
        return status;
    }
    stg__handle_init(&s->handle, &stg__session_state);
    s->ctx = stg__ctx_ref(ctx);
    s->model = (const stg_model *)stg_ref(model);
    s->calls_column = stg__names_find(model->columns, "calls", 5);
    s->calls_target = STG__NONE;
    for (uint32_t k = 0; k < model->targets; k++)
        if (model->target[k] == s->calls_column)
            s->calls_target = k;
    *out = s;
    return STG_OK;
}

void stg_session_destroy(stg_session *s)
{
    if (!s)
        return;
    stg_ctx *ctx = s->ctx;
    stg__crew_destroy(s->crew);
    stg__state_destroy(s->state);
    stg__pool_destroy(s->pool);
    stg_unref(s->model);
    stg__free(ctx, s);
    stg__ctx_unref(ctx);
}

/* Columns are looked up by name once for each schema, that is once as a rule. */
static void find_columns(stg_session *s, const stg_graph *g)
{
    const uint64_t schema = stg__graph_schema_id(g);
    if (s->schema == schema)
        return;
    for (uint32_t c = 0; c < stg__model_columns(s->model); c++) {
        size_t len = 0;
        const char *name = stg__names_get(s->model->columns, c, &len);
        s->column[c] = stg__graph_column_index(g, STG_NODE, name, len);
    }
    s->edge_column = stg__graph_column_index(g, STG_EDGE, "calls", 5);
    s->weight_column = stg__graph_column_index(g, STG_EDGE, "weight", 6);
    if (s->weight_column == STG__NONE)
        s->weight_column = s->edge_column;
    s->schema = schema;
}

static void need_forecast(stg_session *s, uint32_t steps)
{
    if (s->pred_steps >= steps)
        return;
    s->state->run.crew = s->crew;
    s->model->kind->predict(s, s->state, steps);
    s->pred_steps = steps;
}

/* Forecast of a column on the scale of the ring, NaN when it is not a target or nothing is known. */
static double forecast_of(const stg_session *s, uint32_t step, uint32_t column, uint32_t node)
{
    const stg_model *m = s->model;
    if (step >= s->pred_steps)
        return NAN;
    for (uint32_t k = 0; k < m->targets; k++)
        if (m->target[k] == column)
            return stg__taken(
                m->kind, s->state->pred[((size_t)step * m->targets + k) * s->state->nodes + node]);
    return NAN;
}

/* Fills the ring's next place: from the graph, or from the forecast where there is no graph or the
 * node is masked. */
static void push(stg_session *s, const stg_graph *g, const uint8_t *mask, uint32_t step)
{
    const stg_model *m = s->model;
    stg__state *st = s->state;
    const uint32_t columns = stg__model_columns(m);
    double *row = st->ring + (size_t)s->head * columns * st->nodes;
    for (uint32_t c = 0; c < columns; c++, row += st->nodes) {
        const double *from = g ? stg__graph_column_at(g, STG_NODE, s->column[c]) : NULL;
        for (uint32_t i = 0; i < st->nodes; i++) {
            const bool own = !g || (mask && mask[i]);
            row[i] = own ? forecast_of(s, step, c, i) : from ? stg__taken(m->kind, from[i]) : NAN;
        }
    }
    s->head = (s->head + 1) % m->history;
    s->steps++;
}

/* What was really seen of nodes: how often, and the scale of those that training did not know. */
static void learn_nodes(stg_session *s, const uint8_t *mask)
{
    const stg_model *m = s->model;
    stg__state *st = s->state;
    const uint32_t columns = stg__model_columns(m);
    const uint64_t day = m->day_ns / m->window_ns;
    const uint32_t most = day < m->history ? m->history : day > 100000 ? 100000 : (uint32_t)day;
    for (uint32_t i = 0; i < st->nodes; i++) {
        bool any = false;
        if (mask && mask[i])
            continue;
        for (uint32_t c = 0; c < columns; c++) {
            const double x = stg__ring_row(s, st, 0, c)[i];
            if (isnan(x))
                continue;
            any = true;
            if (m->kind->plain)
                continue;
            const size_t at = (size_t)c * st->nodes + i;
            const double off = x - st->own_mean[at];
            if (st->own_count[at] < most)
                st->own_count[at]++;
            st->own_mean[at] += off / st->own_count[at];
            const double square = off * (x - st->own_mean[at]);
            st->own_square[at] += (square - st->own_square[at]) / st->own_count[at];
        }
        if (any && st->seen[i] < UINT32_MAX)
            st->seen[i]++;
    }
}

/* Shares of edges, frozen while an end is in an incident. */
static void learn_edges(stg_session *s, const stg_graph *g, const uint8_t *mask)
{
    stg__state *st = s->state;
    const stg__topology *t = st->topo;
    const double *calls = stg__graph_column_at(g, STG_EDGE, s->edge_column);
    if (!calls || s->calls_column == STG__NONE)
        return;
    const double *caller = stg__ring_row(s, st, 0, s->calls_column);
    for (uint32_t e = 0; e < st->edges; e++) {
        const double level = caller[t->src[e]];
        const double all = s->model->kind->plain ? level : stg__from_log(level);
        if ((mask && (mask[t->src[e]] || mask[t->dst[e]])) || !isfinite(calls[e]) || isnan(all))
            continue;
        /* As columns of nodes are read: below zero is zero, and there is an end to it. */
        const double seen = fmin(fmax(calls[e], 0), stg__from_log(INFINITY));
        double rate = EDGE_RATE; /* an edge without a past: the plain mean at first */
        if (st->edge_seen[e] < 1 / EDGE_RATE)
            rate = 1.0 / ++st->edge_seen[e];
        st->share[e] += rate * (seen - st->share[e]);
        st->caller[e] += rate * (all - st->caller[e]);
    }
}

static void forget(stg_session *s)
{
    const stg__state *st = s->state;
    const size_t ring = (size_t)s->model->history * stg__model_columns(s->model) * st->nodes;
    for (size_t i = 0; i < ring; i++)
        st->ring[i] = NAN;
    s->steps = 0;
    s->pred_steps = 0;
    if (s->stateful) {
        stg__run_reset(&s->state->run);
        stg__run_read(&s->state->run, st->hidden);
    }
}

static void advance(stg_session *s)
{
    if (s->stateful)
        s->model->kind->advance(s, s->state);
}

/* Windows that are missing before this one; they are bridged when they are few. */
static int32_t check_time(const stg_session *s, const stg_graph *g, uint64_t *missing)
{
    const uint64_t window = s->model->window_ns;
    *missing = 0;
    if (g->end_ns - g->start_ns != window)
        return STG_E_MISMATCH;
    if (!s->state)
        return STG_OK;
    if (g->start_ns < s->last_start + window)
        return STG_E_TIME;
    if ((g->start_ns - s->last_start) % window)
        return STG_E_MISMATCH;
    *missing = (g->start_ns - s->last_start) / window - 1;
    return STG_OK;
}

static bool any_masked(const uint8_t *mask, uint32_t nodes)
{
    for (uint32_t i = 0; mask && i < nodes; i++)
        if (mask[i])
            return true;
    return false;
}

int32_t stg_session_step(stg_session *s, const stg_graph *g, const uint8_t *mask)
{
    uint64_t missing;
    if (!s || !stg__is(g, STG__KIND_GRAPH))
        return STG_E_INVALID;
    if (stg__ctx_forked(s->ctx))
        return STG_E_FORK;
    STG_RETURN_IF_ERROR(check_time(s, g, &missing));
    find_columns(s, g);
    const bool first = !s->state;
    if (first || s->state->topo->id != stg__graph_topology(g)->id) {
        stg__state *st;
        STG_RETURN_IF_ERROR(stg__state_create(&st, s, g));
        stg__state_destroy(s->state);
        s->state = st;
    }
    const bool bridged = missing > 0 && missing <= s->model->horizon;
    if (missing && !bridged)
        forget(s);
    const uint32_t ahead = bridged ? (uint32_t)missing : 0;
    if (s->steps && (ahead || any_masked(mask, s->state->nodes)))
        need_forecast(s, ahead < s->model->horizon ? ahead + 1 : ahead);
    for (uint32_t step = 0; step < ahead; step++) {
        push(s, NULL, NULL, step);
        s->last_start += s->model->window_ns;
        advance(s);
    }
    push(s, g, mask, ahead);
    s->last_start = g->start_ns;
    s->pred_steps = 0;
    learn_nodes(s, mask);
    learn_edges(s, g, mask);
    const double *now = stg__ring_row(s, s->state, 0, 0);
    s->state->run.crew = s->crew;
    stg__state_follow(s, s->state, g, mask);
    s->model->kind->observe(s, s->state, g->start_ns, now);
    advance(s);
    return STG_OK;
}

int32_t stg_session_forecast(stg_session *s, uint32_t horizon, const stg_forecast **out)
{
    if (!s || !out)
        return STG_E_INVALID;
    *out = NULL;
    if (stg__ctx_forked(s->ctx))
        return STG_E_FORK;
    if (horizon == 0 || horizon > s->model->horizon)
        return STG_E_INVALID;
    if (!s->state || !s->steps)
        return STG_E_STATE;
    need_forecast(s, horizon);
    return stg__forecast_make(s, horizon, out);
}
