/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session in a bundle, under "state/session/": the names of the nodes and edges that it holds
 * something for, and the arrays of its state. Forecasts are saved for who keeps some, the monitor.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

#define PREFIX "state/session/"
#define VERSION 2
#define MAX_STEPS (UINT64_C(1) << 60)

/* One array of a state: where it stands and how long it is. */
typedef struct piece {
    const char *name;
    void *at;
    uint64_t count;
    uint32_t dtype;
} piece;

enum { PIECES = 12 };

static void pieces_of(const stg_model *m, const stg__state *st, piece p[PIECES])
{
    const uint64_t n = st->nodes;
    const uint64_t columns = stg__model_columns(m);
    const piece all[PIECES] = {
        {"ring", st->ring, m->history * columns * n, STG__F64},
        {"seen", st->seen, n, STG__U32},
        {"own_count", st->own_count, columns * n, STG__F64},
        {"own_mean", st->own_mean, columns * n, STG__F64},
        {"own_square", st->own_square, columns * n, STG__F64},
        {"pred", st->pred, (uint64_t)m->horizon * m->targets * n, STG__F64},
        {"share", st->share, st->edges, STG__F64},
        {"caller", st->caller, st->edges, STG__F64},
        {"edge_seen", st->edge_seen, st->edges, STG__U32},
        {"level", st->level, UINT64_C(2) * m->targets * n, STG__F64},
        {"arc_calls", st->arc_calls, st->edges, STG__F64},
        {"hidden", st->hidden, st->hidden ? m->net.shape.layers * stg__net_states(&m->net) * n : 0,
         STG__F32},
    };
    memcpy(p, all, sizeof all);
}

/* What tells one model from another. */
static int32_t model_digest(const stg_model *m, uint64_t *digest)
{
    stg_bundle *b;
    STG_RETURN_IF_ERROR(stg_bundle_open(&b, m->ctx, NULL, NULL));
    const int32_t status = stg_model_store(m, b);
    if (status == STG_OK)
        *digest = stg__digest(b, "model/");
    stg_bundle_destroy(b);
    return status;
}

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_session *s = (const stg_session *)object;
    if (stg__ctx_forked(s->ctx))
        return stg__fail(err, STG_E_FORK, "session used in a child process");
    uint64_t digest = 0;
    STG_RETURN_IF_ERROR(model_digest(s->model, &digest));
    const stg__number number[] = {
        {"version", VERSION},
        {"model", digest},
        {"stateful", s->stateful},
        {"started", s->state != NULL},
        {"last_start", s->last_start},
        {"steps", s->steps},
        {"head", s->head},
        {"pred_steps", s->pred_steps},
    };
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, PREFIX, number, sizeof number / sizeof *number));
    if (!s->state)
        return STG_OK;
    piece p[PIECES];
    pieces_of(s->model, s->state, p);
    for (uint32_t i = 0; i < PIECES; i++)
        STG_RETURN_IF_ERROR(
            stg__put(bundle, PREFIX, p[i].name, p[i].dtype, p[i].count, 0, p[i].at));
    return stg__topology_put(s->state->topo, bundle, PREFIX "graph/");
}

/* Values that no session comes to. Levels, shares and counts are finite; what stands on the log scale,
 * and the mean calls that training saw of an edge, may be unknown. */
static bool sensible(const char *name, const double *x, uint64_t count)
{
    const bool unknown = strcmp(name, "ring") == 0 || strcmp(name, "pred") == 0 ||
                         strcmp(name, "arc_calls") == 0;
    for (uint64_t i = 0; i < count; i++)
        if (isnan(x[i]) ? !unknown : !(fabs(x[i]) < 1e18))
            return false;
    return true;
}

/* The state of a gated cell is within [-1, 1]; that of an LSTM moves by no more than 1 in a step. */
static bool usable(const float *x, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        if (!(fabsf(x[i]) < 1e18f))
            return false;
    return true;
}

static int32_t load_pieces(const stg_model *m, const stg__state *st, const stg_bundle *bundle,
                           stg_error *err)
{
    piece p[PIECES];
    const stg__tensor *t;
    pieces_of(m, st, p);
    for (uint32_t i = 0; i < PIECES; i++) {
        STG_RETURN_IF_ERROR(
            stg__get(bundle, PREFIX, p[i].name, p[i].dtype, p[i].count, 0, &t, err));
        if (p[i].dtype == STG__F64 &&
            !sensible(p[i].name, (const double *)t->data, p[i].count))
            return stg__fail(err, STG_E_FORMAT, PREFIX "%s: a number that cannot be", p[i].name);
        if (p[i].dtype == STG__F32 && !usable((const float *)t->data, p[i].count))
            return stg__fail(err, STG_E_FORMAT, PREFIX "%s: a number that cannot be", p[i].name);
        if (t->bytes)
            memcpy(p[i].at, t->data, t->bytes);
    }
    return STG_OK;
}

static int32_t load_state(stg__state **out, const stg_session *s, const stg_bundle *bundle,
                          stg_error *err)
{
    const stg_graph *g;
    const stg__tensor *arcs;
    STG_RETURN_IF_ERROR(stg__topology_get(&g, s->ctx, bundle, PREFIX "graph/", err));
    stg__topology *t = stg__graph_topology(g);
    int32_t status = stg__get(bundle, PREFIX, "arc_calls", STG__F64, t->edges, 0, &arcs, err);
    if (status == STG_OK && !sensible("arc_calls", (const double *)arcs->data, t->edges))
        status = stg__fail(err, STG_E_FORMAT, PREFIX "arc_calls: a number that cannot be");
    if (status == STG_OK)
        status = stg__state_revive(out, s, t, (const double *)arcs->data);
    stg_unref(g);
    STG_RETURN_IF_ERROR(status);
    status = load_pieces(s->model, *out, bundle, err);
    if (status == STG_OK)
        stg__state_resume(*out);
    if (status != STG_OK) {
        stg__state_destroy(*out);
        *out = NULL;
    }
    return status;
}

static int32_t check_model(const stg_session *s, const stg_bundle *bundle, stg_error *err)
{
    uint64_t own = 0;
    uint64_t digest;
    uint64_t stateful;
    STG_RETURN_IF_ERROR(model_digest(s->model, &own));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "model", UINT64_MAX, &digest, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "stateful", 1, &stateful, err));
    if (digest != own)
        return stg__fail(err, STG_E_MISMATCH, "the session was saved with another model");
    return stateful == s->stateful
               ? STG_OK
               : stg__fail(err, STG_E_MISMATCH, "the session was saved in another mode");
}

static int32_t fill_session(stg_session *s, const stg_bundle *bundle, stg_error *err)
{
    uint64_t started;
    uint64_t head;
    uint64_t pred_steps;
    const stg_model *m = s->model;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "started", 1, &started, err));
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, PREFIX, "last_start", UINT64_MAX, &s->last_start, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "steps", MAX_STEPS, &s->steps, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "head", m->history - 1, &head, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "pred_steps", m->horizon, &pred_steps, err));
    s->head = (uint32_t)head;
    s->pred_steps = (uint32_t)pred_steps;
    return started ? load_state(&s->state, s, bundle, err) : STG_OK;
}

/* A session with the same options. */
static int32_t twin_of(const stg_session *s, stg_session **out)
{
    const bool plain = s->model->kind->plain;
    const stg_session_opts opts = {
        .size = sizeof opts,
        .supports = !plain ? 0
                    : s->filter.order == STG__EXACT ? STG_SUPPORTS_EXACT
                                                    : STG_SUPPORTS_PORT_REVERSED,
        .mean = plain ? s->mean : NULL,
        .deviation = plain ? s->deviation : NULL,
        .mode = s->stateful ? STG_MODE_STATEFUL : STG_MODE_EXACT,
        .graph = s->graph,
        .graph_rate = s->graph == STG_GRAPH_EWMA ? s->graph_rate : 0,
    };
    return stg_session_create(out, s->ctx, s->model, &opts);
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_session *s = (const stg_session *)object;
    stg_session *fresh;
    if (stg__ctx_forked(s->ctx))
        return stg__fail(err, STG_E_FORK, "session used in a child process");
    STG_RETURN_IF_ERROR(check_model(s, bundle, err));
    STG_RETURN_IF_ERROR(twin_of(s, &fresh));
    const int32_t status = fill_session(fresh, bundle, err);
    if (status != STG_OK) {
        stg_session_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

static void swap(void *object, void *twin)
{
    stg_session *s = (stg_session *)object;
    stg_session *t = (stg_session *)twin;
    stg__state *old = s->state; /* the pool, and what was looked up by name, stay */
    s->state = t->state;
    t->state = old;
    s->last_start = t->last_start;
    s->steps = t->steps;
    s->head = t->head;
    s->pred_steps = t->pred_steps;
}

static void destroy(void *twin)
{
    stg_session_destroy((stg_session *)twin);
}

const stg__state_type stg__session_state = {PREFIX, VERSION, save, load, swap, destroy, {NULL}};

/* --- forecasts --------------------------------------------------------------------------------- */

int32_t stg__forecast_put(const stg_forecast *f, stg_bundle *bundle, const char *prefix)
{
    char key[STG__KEY_MAX];
    const uint64_t node_rows = (uint64_t)f->model->targets * f->horizon;
    const stg__number number[] = {{"start", f->start_ns}, {"horizon", f->horizon}, {"ready", f->ready}};
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, prefix, number, sizeof number / sizeof *number));
    STG_RETURN_IF_ERROR(
        stg__put(bundle, prefix, "node", STG__F64, node_rows, f->node_stride, f->node));
    if (f->calls_target != STG__NONE)
        STG_RETURN_IF_ERROR(
            stg__put(bundle, prefix, "edge", STG__F64, f->horizon, f->edge_stride, f->edge));
    return stg__topology_put(f->topo, bundle, stg__key(key, prefix, "graph/"));
}

static int32_t fill(stg_forecast *f, const stg_bundle *bundle, const char *prefix, stg_error *err)
{
    const stg__tensor *t;
    const uint64_t node_rows = (uint64_t)f->model->targets * f->horizon;
    STG_RETURN_IF_ERROR(
        stg__get(bundle, prefix, "node", STG__F64, node_rows, f->node_stride, &t, err));
    memcpy(f->node, t->data, t->bytes);
    if (f->calls_target == STG__NONE)
        return STG_OK;
    STG_RETURN_IF_ERROR(
        stg__get(bundle, prefix, "edge", STG__F64, f->horizon, f->edge_stride, &t, err));
    if (t->bytes)
        memcpy(f->edge, t->data, t->bytes);
    return STG_OK;
}

int32_t stg__forecast_get(const stg_forecast **out, const stg_session *s, const stg_bundle *bundle,
                          const char *prefix, stg_error *err)
{
    char key[STG__KEY_MAX];
    uint64_t start;
    uint64_t horizon;
    uint64_t ready;
    const stg_graph *g;
    stg_forecast *f;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "start", UINT64_MAX, &start, err));
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, prefix, "horizon", s->model->horizon, &horizon, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "ready", 1, &ready, err));
    if (start % s->model->window_ns || horizon == 0)
        return stg__fail(err, STG_E_FORMAT, "%s is no forecast of this model", prefix);
    STG_RETURN_IF_ERROR(
        stg__topology_get(&g, s->ctx, bundle, stg__key(key, prefix, "graph/"), err));
    int32_t status = stg__forecast_room(s, stg__graph_topology(g), (uint32_t)horizon, &f);
    stg_unref(g);
    STG_RETURN_IF_ERROR(status);
    f->start_ns = start;
    f->ready = (uint32_t)ready;
    status = fill(f, bundle, prefix, err);
    if (status != STG_OK) {
        stg_unref(f);
        return status;
    }
    *out = f;
    return STG_OK;
}
