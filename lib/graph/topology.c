/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topology: the names of nodes and routes in canonical order and the edges in compressed rows,
 * both ways. Made by the builder when something is new, shared by everything that speaks of it.
 */
#include <string.h>

#include "topology_priv.h"

stg__topology *stg__topology_ref(stg__topology *t)
{
    if (t)
        atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void stg__topology_unref(stg__topology *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
        return;
    stg_ctx *ctx = t->ctx;
    stg__free(ctx, (void *)t->node_name);
    stg__free(ctx, t->node_len);
    stg__free(ctx, (void *)t->route_name);
    stg__free(ctx, t->route_len);
    stg__free(ctx, t->src);
    stg__free(ctx, t->dst);
    stg__free(ctx, t->route);
    stg__free(ctx, t->out_ptr);
    stg__free(ctx, t->in_ptr);
    stg__free(ctx, t->in_edge);
    stg__free(ctx, t->text);
    stg__free(ctx, t);
    stg__ctx_unref(ctx);
}

stg__topology *stg__topology_new(stg_ctx *ctx, uint32_t nodes, uint32_t edges, uint32_t routes,
                                 size_t text)
{
    stg__topology *t = (stg__topology *)stg__calloc(ctx, 1, sizeof *t);
    if (!t)
        return NULL;
    atomic_init(&t->refs, 1);
    t->ctx = stg__ctx_ref(ctx);
    t->nodes = nodes;
    t->edges = edges;
    t->routes = routes;
    t->node_name = (const char **)stg__calloc(ctx, nodes, sizeof *t->node_name);
    t->node_len = (uint32_t *)stg__calloc(ctx, nodes, sizeof *t->node_len);
    t->route_name = (const char **)stg__calloc(ctx, routes, sizeof *t->route_name);
    t->route_len = (uint32_t *)stg__calloc(ctx, routes, sizeof *t->route_len);
    t->src = (uint32_t *)stg__calloc(ctx, edges, sizeof *t->src);
    t->dst = (uint32_t *)stg__calloc(ctx, edges, sizeof *t->dst);
    t->route = (uint32_t *)stg__calloc(ctx, edges, sizeof *t->route);
    t->out_ptr = (uint32_t *)stg__calloc(ctx, (size_t)nodes + 1, sizeof *t->out_ptr);
    t->in_ptr = (uint32_t *)stg__calloc(ctx, (size_t)nodes + 1, sizeof *t->in_ptr);
    t->in_edge = (uint32_t *)stg__calloc(ctx, edges, sizeof *t->in_edge);
    t->text = (char *)stg__alloc(ctx, text);
    if (t->node_name && t->node_len && t->route_name && t->route_len && t->src && t->dst &&
        t->route && t->out_ptr && t->in_ptr && t->in_edge && t->text)
        return t;
    stg__topology_unref(t);
    return NULL;
}

static uint64_t hash_names(const stg__topology *t, uint64_t h, const char *const *name,
                           const uint32_t *len, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t part[2] = {h, stg__siphash(t->ctx->table_key, name[i], len[i])};
        h = stg__siphash(t->ctx->table_key, part, sizeof part);
    }
    return h;
}

static uint64_t hash_indices(const stg__topology *t, uint64_t h, const uint32_t *index)
{
    const uint64_t part[2] = {
        h, stg__siphash(t->ctx->table_key, index, t->edges * sizeof *index)};
    return stg__siphash(t->ctx->table_key, part, sizeof part);
}

/* The same names and edges give the same id, whoever made them: what was restored after a restart
 * lines up with what comes next. The key is secret, so nobody outside can make two that collide. */
static uint64_t content_id(const stg__topology *t)
{
    const uint32_t sizes[3] = {t->nodes, t->edges, t->routes};
    uint64_t h = stg__siphash(t->ctx->table_key, sizes, sizeof sizes);
    h = hash_names(t, h, t->node_name, t->node_len, t->nodes);
    h = hash_names(t, h, t->route_name, t->route_len, t->routes);
    h = hash_indices(t, h, t->src);
    h = hash_indices(t, h, t->dst);
    h = hash_indices(t, h, t->route);
    return h ? h : 1; /* 0 stands for none */
}

void stg__topology_finish(stg__topology *t)
{
    t->id = content_id(t);
    for (uint32_t e = 0; e < t->edges; e++) {
        t->out_ptr[t->src[e] + 1]++;
        t->in_ptr[t->dst[e] + 1]++;
    }
    for (uint32_t i = 0; i < t->nodes; i++) {
        t->out_ptr[i + 1] += t->out_ptr[i];
        t->in_ptr[i + 1] += t->in_ptr[i];
    }
    for (uint32_t e = 0; e < t->edges; e++) /* in_ptr serves as the cursor, then moves back */
        t->in_edge[t->in_ptr[t->dst[e]]++] = e;
    for (uint32_t i = t->nodes; i > 0; i--)
        t->in_ptr[i] = t->in_ptr[i - 1];
    t->in_ptr[0] = 0;
}

static uint32_t find(const char *const *names, const uint32_t *lens, uint32_t from, uint32_t to,
                     const char *name, size_t len)
{
    while (from < to) {
        const uint32_t mid = from + (to - from) / 2;
        const int order = stg__name_compare(names[mid], lens[mid], name, len);
        if (order == 0)
            return mid;
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return UINT32_MAX;
}

uint32_t stg__topology_find(const stg__topology *t, const char *name, size_t len)
{
    if (len == sizeof STG__EXTERNAL - 1 && memcmp(name, STG__EXTERNAL, len) == 0)
        return 0;
    return find(t->node_name, t->node_len, 1, t->nodes, name, len);
}

uint32_t stg__topology_find_route(const stg__topology *t, const char *name, size_t len)
{
    return find(t->route_name, t->route_len, 0, t->routes, name, len);
}

uint32_t stg__topology_edge(const stg__topology *t, uint32_t src, uint32_t dst, uint32_t route)
{
    if (src >= t->nodes)
        return UINT32_MAX;
    uint32_t from = t->out_ptr[src];
    uint32_t to = t->out_ptr[src + 1];
    while (from < to) {
        const uint32_t mid = from + (to - from) / 2;
        if (t->dst[mid] == dst && t->route[mid] == route)
            return mid;
        if (t->dst[mid] < dst || (t->dst[mid] == dst && t->route[mid] < route))
            from = mid + 1;
        else
            to = mid;
    }
    return UINT32_MAX;
}

void stg__topology_map(const stg__topology *from, const stg__topology *to, uint32_t *node_map,
                       uint32_t *edge_map)
{
    if (node_map)
        for (uint32_t i = 0; i < from->nodes; i++)
            node_map[i] = stg__topology_find(to, from->node_name[i], from->node_len[i]);
    if (!edge_map)
        return;
    for (uint32_t e = 0; e < from->edges; e++) {
        const uint32_t s = from->src[e];
        const uint32_t d = from->dst[e];
        const uint32_t r = from->route[e];
        const uint32_t src = stg__topology_find(to, from->node_name[s], from->node_len[s]);
        const uint32_t dst = stg__topology_find(to, from->node_name[d], from->node_len[d]);
        const uint32_t route = stg__topology_find_route(to, from->route_name[r], from->route_len[r]);
        edge_map[e] = src == UINT32_MAX || dst == UINT32_MAX || route == UINT32_MAX
                          ? UINT32_MAX
                          : stg__topology_edge(to, src, dst, route);
    }
}
