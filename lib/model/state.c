/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session holds for the nodes and edges of one topology. When the topology changes a new
 * state is made, what is known of the same names is carried over, and only then takes the old one's
 * place: a failure leaves the session as it was.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

typedef struct carve {
    void **to;
    size_t count;
    size_t bytes;
} carve;

static int32_t allocate(stg_ctx *ctx, const carve *piece, size_t pieces)
{
    bool ok = true;
    for (size_t i = 0; i < pieces; i++) {
        *piece[i].to = stg__calloc(ctx, piece[i].count, piece[i].bytes);
        ok = ok && *piece[i].to;
    }
    return ok ? STG_OK : STG_E_NOMEM;
}

void stg__state_destroy(stg__state *st)
{
    if (!st)
        return;
    stg_ctx *ctx = st->ctx;
    stg__run_clear(&st->run);
    stg__supports_clear(&st->supports);
    stg__free(ctx, st->known);
    stg__free(ctx, st->known_edge);
    stg__free(ctx, st->ring);
    stg__free(ctx, st->seen);
    stg__free(ctx, st->own_count);
    stg__free(ctx, st->own_mean);
    stg__free(ctx, st->own_square);
    stg__free(ctx, st->pred);
    stg__free(ctx, st->share);
    stg__free(ctx, st->caller);
    stg__free(ctx, st->edge_seen);
    stg__free(ctx, st->arc_calls);
    stg__free(ctx, st->level);
    stg__free_aligned(ctx, st->x);
    stg__free_aligned(ctx, st->hidden);
    stg__free_aligned(ctx, st->extras);
    stg__free_aligned(ctx, st->base);
    stg__topology_unref(st->topo);
    stg__free(ctx, st);
    stg__ctx_unref(ctx);
}

static int32_t state_room(stg__state *st, const stg_model *m)
{
    const size_t n = st->nodes;
    const size_t columns = stg__model_columns(m);
    const carve piece[] = {
        {(void **)&st->known, n, sizeof *st->known},
        {(void **)&st->known_edge, st->edges, sizeof *st->known_edge},
        {(void **)&st->ring, m->history * columns * n, sizeof *st->ring},
        {(void **)&st->seen, n, sizeof *st->seen},
        {(void **)&st->own_count, columns * n, sizeof *st->own_count},
        {(void **)&st->own_mean, columns * n, sizeof *st->own_mean},
        {(void **)&st->own_square, columns * n, sizeof *st->own_square},
        {(void **)&st->pred, (size_t)m->horizon * m->targets * n, sizeof *st->pred},
        {(void **)&st->share, st->edges, sizeof *st->share},
        {(void **)&st->caller, st->edges, sizeof *st->caller},
        {(void **)&st->edge_seen, st->edges, sizeof *st->edge_seen},
        {(void **)&st->arc_calls, st->edges, sizeof *st->arc_calls},
        {(void **)&st->level, 2 * (size_t)m->targets * n, sizeof *st->level},
    };
    return allocate(st->ctx, piece, sizeof piece / sizeof *piece);
}

/* Looks every name up in the model; edges known from training start at what training saw. */
static void find_known(stg__state *st, const stg_model *m)
{
    const stg__topology *t = st->topo;
    for (uint32_t i = 0; i < st->nodes; i++)
        st->known[i] = stg__names_find(m->nodes, t->node_name[i], t->node_len[i]);
    for (uint32_t e = 0; e < st->edges; e++) {
        const uint32_t src = st->known[t->src[e]];
        const uint32_t dst = st->known[t->dst[e]];
        const uint32_t r = t->route[e];
        const uint32_t route = stg__names_find(m->routes, t->route_name[r], t->route_len[r]);
        const bool named = src != STG__NONE && dst != STG__NONE && route != STG__NONE;
        const uint32_t known = named ? stg__model_edge(m, src, dst, route) : STG__NONE;
        st->known_edge[e] = known;
        if (m->kind->plain || known == STG__NONE || isnan(m->edge_calls[known]) ||
            isnan(m->caller_calls[known])) /* a plain kind has weights there */
            continue;
        st->share[e] = m->edge_calls[known];
        st->caller[e] = m->caller_calls[known];
        st->edge_seen[e] = UINT32_MAX;
    }
}

static void carry_rows(const stg__state *from, const stg__state *to, const uint32_t *map, size_t rows,
                       const double *old, double *new)
{
    for (size_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < from->nodes; i++)
            if (map[i] != UINT32_MAX)
                new[r * to->nodes + map[i]] = old[r * from->nodes + i];
}

/* States of nodes: rows of units. */
static void carry_hidden(const stg_model *m, const stg__state *from, const stg__state *to,
                         const uint32_t *map)
{
    const size_t units = m->net.shape.units;
    const size_t rows = m->net.shape.layers * stg__net_states(&m->net) / units;
    for (size_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < from->nodes; i++)
            if (map[i] != UINT32_MAX)
                memcpy(to->hidden + (r * to->nodes + map[i]) * units,
                       from->hidden + (r * from->nodes + i) * units, units * sizeof *to->hidden);
}

static void carry_over(const stg_model *m, const stg__state *from, stg__state *to,
                       const uint32_t *node, const uint32_t *edge)
{
    const size_t columns = stg__model_columns(m);
    carry_rows(from, to, node, m->history * columns, from->ring, to->ring);
    carry_rows(from, to, node, columns, from->own_count, to->own_count);
    carry_rows(from, to, node, columns, from->own_mean, to->own_mean);
    carry_rows(from, to, node, columns, from->own_square, to->own_square);
    carry_rows(from, to, node, (size_t)m->horizon * m->targets, from->pred, to->pred);
    carry_rows(from, to, node, 2 * (size_t)m->targets, from->level, to->level);
    for (uint32_t i = 0; i < from->nodes; i++)
        if (node[i] != UINT32_MAX)
            to->seen[node[i]] = from->seen[i];
    for (uint32_t e = 0; e < from->edges; e++)
        if (edge[e] != UINT32_MAX) {
            to->share[edge[e]] = from->share[e];
            to->caller[edge[e]] = from->caller[e];
            to->edge_seen[edge[e]] = from->edge_seen[e];
        }
}

int32_t stg__state_net_room(const stg_session *s, stg__state *st)
{
    const stg__net *net = &s->model->net;
    const stg__shape *shape = &net->shape;
    const size_t n = st->nodes;
    const size_t outputs = (size_t)shape->horizon * n * shape->targets;
    STG_RETURN_IF_ERROR(stg__run_create(&st->run, st->ctx, net, st->nodes, false));
    st->run.supports = &st->supports;
    st->x = (real *)stg__alloc_aligned(
        st->ctx, (s->stateful ? 1 : shape->history) * n * shape->inputs, sizeof *st->x);
    st->extras = (real *)stg__alloc_aligned(st->ctx, (size_t)shape->horizon * shape->extras,
                                            sizeof *st->extras);
    st->base = (real *)stg__alloc_aligned(st->ctx, s->model->kind->plain ? 0 : outputs,
                                          sizeof *st->base);
    if (!st->x || !st->extras || !st->base)
        return STG_E_NOMEM;
    return s->stateful ? stg__run_carry(&st->run) : STG_OK;
}

void stg__state_advance(const stg_session *s, stg__state *st)
{
    stg__run_step(&st->run, s->model->packed, st->x);
    stg__run_read(&st->run, st->hidden);
}

void stg__state_resume(stg__state *st)
{
    if (st->hidden)
        stg__run_write(&st->run, st->hidden);
}

static int32_t carry_state(const stg_session *s, stg__state *st)
{
    const stg__state *old = s->state;
    uint32_t *node = (uint32_t *)stg__calloc(st->ctx, old->nodes, sizeof *node);
    uint32_t *edge = (uint32_t *)stg__calloc(st->ctx, old->edges, sizeof *edge);
    const bool ok = node && edge;
    if (ok) {
        stg__topology_map(old->topo, st->topo, node, edge);
        carry_over(s->model, old, st, node, edge);
        if (s->stateful)
            carry_hidden(s->model, old, st, node);
        for (uint32_t e = 0; s->graph != STG_GRAPH_STATIC && e < old->edges; e++)
            if (edge[e] != UINT32_MAX)
                st->arc_calls[edge[e]] = old->arc_calls[e];
    }
    stg__free(st->ctx, node);
    stg__free(st->ctx, edge);
    return ok ? STG_OK : STG_E_NOMEM;
}

static int32_t state_init(stg__state *st, const stg_session *s)
{
    const stg_model *m = s->model;
    const size_t hidden = (size_t)m->net.shape.layers * st->nodes * stg__net_states(&m->net);
    if (s->stateful) {
        st->hidden = (real *)stg__alloc_aligned(st->ctx, hidden, sizeof *st->hidden);
        if (!st->hidden)
            return STG_E_NOMEM;
    }
    STG_RETURN_IF_ERROR(state_room(st, m));
    const size_t ring = (size_t)m->history * stg__model_columns(m) * st->nodes;
    const size_t pred = (size_t)m->horizon * m->targets * st->nodes;
    for (size_t i = 0; i < ring; i++)
        st->ring[i] = NAN;
    for (size_t i = 0; i < pred; i++)
        st->pred[i] = NAN;
    for (uint32_t e = 0; m->kind->net && e < st->edges; e++)
        st->arc_calls[e] = NAN;
    find_known(st, m);
    return STG_OK;
}

static stg__state *state_new(const stg_session *s, stg__topology *t)
{
    stg__state *st = (stg__state *)stg__calloc(s->ctx, 1, sizeof *st);
    if (!st)
        return NULL;
    st->ctx = stg__ctx_ref(s->ctx);
    st->topo = stg__topology_ref(t);
    st->nodes = t->nodes;
    st->edges = t->edges;
    if (state_init(st, s) == STG_OK)
        return st;
    stg__state_destroy(st);
    return NULL;
}

/* Hands a state out, or takes it down when it could not be completed. */
static int32_t hand_out(stg__state **out, stg__state *st, int32_t status)
{
    if (status != STG_OK) {
        stg__state_destroy(st);
        return status;
    }
    *out = st;
    return STG_OK;
}

int32_t stg__state_create(stg__state **out, const stg_session *s, const stg_graph *g)
{
    const stg__kind *kind = s->model->kind;
    *out = NULL;
    stg__state *st = state_new(s, stg__graph_topology(g));
    if (!st)
        return STG_E_NOMEM;
    int32_t status = s->state ? carry_state(s, st) : STG_OK;
    if (status == STG_OK && kind->prepare)
        status = kind->prepare(s, st, g);
    if (status == STG_OK)
        stg__state_resume(st);
    return hand_out(out, st, status);
}

int32_t stg__state_revive(stg__state **out, const stg_session *s, stg__topology *t,
                          const double *arc_calls)
{
    const stg__kind *kind = s->model->kind;
    *out = NULL;
    stg__state *st = state_new(s, t);
    if (!st)
        return STG_E_NOMEM;
    if (t->edges)
        memcpy(st->arc_calls, arc_calls, t->edges * sizeof *arc_calls);
    return hand_out(out, st, kind->prepare ? kind->prepare(s, st, NULL) : STG_OK);
}
