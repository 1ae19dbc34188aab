/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forecast as an object: nodes as the kind predicted them, edges as their caller's calls times
 * the learnt share. It keeps the topology and the model it speaks of alive.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

static void recycle(stg__object *o)
{
    stg_forecast *f = (stg_forecast *)o;
    stg__topology_unref(f->topo);
    stg_unref(f->model);
    f->topo = NULL;
    f->model = NULL;
}

static void fini(stg_ctx *ctx, stg__object *o)
{
    stg_forecast *f = (stg_forecast *)o;
    stg__free_aligned(ctx, f->node);
    stg__free_aligned(ctx, f->edge);
}

const stg__pool_type stg__forecast_type = {sizeof(stg_forecast), STG__KIND_FORECAST, recycle, fini};

static int32_t room(stg_ctx *ctx, double **at, size_t *cap, size_t need)
{
    if (*at && *cap >= need)
        return STG_OK;
    double *grown = (double *)stg__alloc_aligned(ctx, need + 8, sizeof *grown);
    if (!grown)
        return STG_E_NOMEM;
    stg__free_aligned(ctx, *at);
    *at = grown;
    *cap = need + 8;
    return STG_OK;
}

static size_t stride_of(uint32_t items)
{
    return ((size_t)items + 7) / 8 * 8;
}

/* A caller that is never called itself (a timer, a worker) has no share to learn: its edges are
 * forecast at their own level. */
static void fill_edges(const stg_session *s, stg_forecast *f)
{
    const stg__state *st = s->state;
    for (uint32_t step = 0; step < f->horizon; step++) {
        const double *callers = f->node + ((size_t)f->calls_target * f->horizon + step) * f->node_stride;
        double *to = f->edge + step * f->edge_stride;
        for (uint32_t e = 0; e < st->edges; e++) {
            const double all = callers[st->topo->src[e]];
            const double calls = all < 0 ? 0 : all;
            if (!st->edge_seen[e])
                to[e] = NAN;
            else if (st->caller[e] > 0) /* a caller of next to nothing: the share has an end */
                to[e] = calls * fmin(st->share[e] / st->caller[e], stg__from_log(INFINITY));
            else
                to[e] = st->share[e];
        }
    }
}

int32_t stg__forecast_room(const stg_session *s, stg__topology *topo, uint32_t horizon,
                           stg_forecast **out)
{
    const stg_model *m = s->model;
    stg_forecast *f = (stg_forecast *)stg__pool_take(s->pool);
    if (!f)
        return STG_E_NOMEM;
    f->model = (const stg_model *)stg_ref(m);
    f->topo = stg__topology_ref(topo);
    f->node_stride = stride_of(topo->nodes);
    f->edge_stride = stride_of(topo->edges);
    /* Always room for the whole horizon, so that a longer forecast later needs nothing new. */
    const size_t node = (size_t)m->targets * m->horizon * f->node_stride;
    const size_t edge = (size_t)m->horizon * f->edge_stride;
    if (room(s->ctx, &f->node, &f->node_cap, node) != STG_OK ||
        room(s->ctx, &f->edge, &f->edge_cap, edge) != STG_OK) {
        stg_unref(f);
        return STG_E_NOMEM;
    }
    memset(f->node, 0, node * sizeof *f->node); /* what pads the rows is the same every time */
    memset(f->edge, 0, edge * sizeof *f->edge);
    f->horizon = horizon;
    f->calls_target = s->calls_target;
    *out = f;
    return STG_OK;
}

int32_t stg__forecast_make(const stg_session *s, uint32_t horizon, const stg_forecast **out)
{
    const stg_model *m = s->model;
    const stg__state *st = s->state;
    stg_forecast *f;
    STG_RETURN_IF_ERROR(stg__forecast_room(s, st->topo, horizon, &f));
    f->start_ns = s->last_start + m->window_ns;
    f->ready = s->steps >= m->history;
    for (uint32_t k = 0; k < m->targets; k++)
        for (uint32_t step = 0; step < horizon; step++)
            memcpy(f->node + ((size_t)k * horizon + step) * f->node_stride,
                   st->pred + ((size_t)step * m->targets + k) * st->nodes,
                   st->nodes * sizeof *f->node);
    if (f->calls_target != STG__NONE)
        fill_edges(s, f);
    *out = f;
    return STG_OK;
}

int32_t stg_forecast_get_info(const stg_forecast *f, stg_forecast_info *info)
{
    if (!stg__is(f, STG__KIND_FORECAST))
        return STG_E_INVALID;
    stg_forecast_info i = {
        .start_ns = f->start_ns,
        .window_ns = f->model->window_ns,
        .topology = f->topo->id,
        .horizon = f->horizon,
        .nodes = f->topo->nodes,
        .edges = f->topo->edges,
        .ready = f->ready,
    };
    return stg__info_write(info, &i, sizeof i);
}

const double *stg_forecast_mean(const stg_forecast *f, uint32_t kind, const char *column, size_t len,
                                uint32_t step)
{
    if (!stg__is(f, STG__KIND_FORECAST) || !column || step >= f->horizon)
        return NULL;
    if (kind == STG_EDGE)
        return f->calls_target != STG__NONE && len == 5 && memcmp(column, "calls", 5) == 0
                   ? f->edge + step * f->edge_stride
                   : NULL;
    const stg_model *m = f->model;
    for (uint32_t k = 0; kind == STG_NODE && k < m->targets; k++) {
        size_t have = 0;
        const char *name = stg__names_get(m->columns, m->target[k], &have);
        if (have == len && memcmp(name, column, len) == 0)
            return f->node + ((size_t)k * f->horizon + step) * f->node_stride;
    }
    return NULL;
}
