/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and edges of an ingest: names become ids of the graph builder, edges get accumulators when
 * they first appear, and keep them. Tables that are full send what is new to the node "other" or to
 * routes "other", so that sums stay right while memory stays bounded.
 */
#include <string.h>

#include "ingest_priv.h"

#define OTHER "other"

int32_t stg__edges_init(stg_ingest *in, uint32_t max_edges)
{
    const stg_graph_builder_opts opts = {
        .size = sizeof opts,
        .snapshots = in->snapshots,
        .max_nodes = in->max_nodes + 1,
        .max_edges = max_edges + 2 * in->max_nodes + 2,
        .max_routes = in->max_routes + 2,
    };
    uint32_t id;
    for (uint32_t i = 0; i < 3; i++)
        in->hash_key[i] = stg__siphash(in->ctx->table_key, &i, sizeof i) | 1;
    in->edges.max = max_edges;
    in->edges.slots = 64;
    in->other_node = STG__NONE;
    in->other_route = STG__NONE;
    in->nodes = (stg__node *)stg__alloc(in->ctx, (in->max_nodes + 1) * sizeof *in->nodes);
    in->edges.table = (uint64_t *)stg__calloc(in->ctx, in->edges.slots, sizeof(uint64_t));
    if (!in->nodes || !in->edges.table)
        return STG_E_NOMEM;
    memset(in->nodes, 0xff, (in->max_nodes + 1) * sizeof *in->nodes); /* STG__NONE */
    STG_RETURN_IF_ERROR(stg_graph_builder_create(&in->builder, in->ctx, &opts));
    STG_RETURN_IF_ERROR(stg__names_create(&in->node_names, in->ctx, opts.max_nodes));
    STG_RETURN_IF_ERROR(stg__names_create(&in->routes, in->ctx, opts.max_routes));
    STG_RETURN_IF_ERROR(
        stg__names_add(in->node_names, STG__EXTERNAL, sizeof STG__EXTERNAL - 1, &id));
    return stg__names_add(in->routes, "", 0, &id);
}

void stg__edges_free(stg_ingest *in)
{
    for (uint32_t e = 0; e < in->edges.count; e++) {
        for (uint32_t side = 0; side < STG__SIDES; side++) {
            stg__seen *seen = in->edges.at[e].seen[side];
            if (seen)
                stg__free(in->ctx, seen->acc[0].outside); /* one block for both windows */
            stg__free_aligned(in->ctx, seen);
        }
    }
    stg__free_aligned(in->ctx, in->edges.at);
    stg__free(in->ctx, in->edges.table);
    stg__free(in->ctx, in->nodes);
    stg__names_destroy(in->node_names);
    stg__names_destroy(in->routes);
    stg_graph_builder_destroy(in->builder);
}

/* --- names ------------------------------------------------------------------------------------ */

int32_t stg__node_add(stg_ingest *in, const char *name, size_t len, uint32_t *id)
{
    /* The builder first: if the second step fails, trying again finds the same id there. */
    STG_RETURN_IF_ERROR(stg_graph_builder_node(in->builder, name, len, id));
    return stg__names_add(in->node_names, name, len, id);
}

int32_t stg__node_id(stg_ingest *in, const char *name, size_t len, uint32_t *id)
{
    *id = stg__names_find(in->node_names, name, len);
    if (*id != STG__NONE)
        return STG_OK;
    if (stg__names_count(in->node_names) < in->max_nodes)
        return stg__node_add(in, name, len, id);
    if (in->other_node == STG__NONE)
        STG_RETURN_IF_ERROR(stg__node_add(in, OTHER, sizeof OTHER - 1, &in->other_node));
    *id = in->other_node;
    return STG_OK;
}

static int32_t other_route(stg_ingest *in, uint32_t *id)
{
    if (in->other_route == STG__NONE)
        STG_RETURN_IF_ERROR(
            stg__names_add(in->routes, OTHER, sizeof OTHER - 1, &in->other_route));
    *id = in->other_route;
    return STG_OK;
}

int32_t stg__route_id(stg_ingest *in, const char *name, size_t len, uint32_t *id)
{
    *id = stg__names_find(in->routes, name, len);
    if (*id != STG__NONE)
        return STG_OK;
    if (stg__names_count(in->routes) <= in->max_routes) /* "" is not counted */
        return stg__names_add(in->routes, name, len, id);
    return other_route(in, id);
}

/* --- the table -------------------------------------------------------------------------------- */

static uint32_t edge_find(const stg_ingest *in, const stg_call *c, uint64_t hash)
{
    const stg__edge_table *t = &in->edges;
    uint32_t slot = (uint32_t)hash & (t->slots - 1);
    for (; t->table[slot]; slot = (slot + 1) & (t->slots - 1)) {
        if ((t->table[slot] ^ hash) >> 32)
            continue;
        const uint32_t place = (uint32_t)t->table[slot] - 1;
        const stg__edge *e = &t->at[place];
        if (e->src == c->src && e->dst == c->dst && e->route == c->route)
            return place;
    }
    return STG__NONE;
}

static void table_put(uint64_t *table, uint32_t slots, uint64_t hash, uint32_t place)
{
    uint32_t slot = (uint32_t)hash & (slots - 1);
    while (table[slot])
        slot = (slot + 1) & (slots - 1);
    table[slot] = hash >> 32 << 32 | (place + 1);
}

static int32_t edge_room(stg_ingest *in)
{
    stg__edge_table *t = &in->edges;
    if (t->count == t->cap) {
        const uint32_t cap = t->cap ? t->cap * 2 : 32;
        stg__edge *grown = (stg__edge *)stg__alloc_aligned(in->ctx, cap, sizeof *grown);
        if (!grown)
            return STG_E_NOMEM;
        if (t->count)
            memcpy(grown, t->at, t->count * sizeof *grown);
        stg__free_aligned(in->ctx, t->at);
        t->at = grown;
        t->cap = cap;
    }
    if (t->count < t->slots / 2)
        return STG_OK;
    uint64_t *table = (uint64_t *)stg__calloc(in->ctx, (size_t)t->slots * 2, sizeof *table);
    if (!table)
        return STG_E_NOMEM;
    for (uint32_t i = 0; i < t->count; i++) {
        const stg__edge *e = &t->at[i];
        table_put(table, t->slots * 2, stg__edge_hash(in, e->src, e->dst, e->route), i);
    }
    stg__free(in->ctx, t->table);
    t->table = table;
    t->slots *= 2;
    return STG_OK;
}

static int32_t edge_make(stg_ingest *in, const stg_call *c, uint64_t hash, uint32_t *place)
{
    stg__edge_table *t = &in->edges;
    STG_RETURN_IF_ERROR(edge_room(in));
    size_t len = 0;
    const char *route = stg__names_get(in->routes, c->route, &len);
    stg__edge e = {.src = c->src, .dst = c->dst, .route = c->route, .primary = STG__NONE};
    STG_RETURN_IF_ERROR(
        stg_graph_builder_edge(in->builder, c->src, c->dst, route, len, &e.index));
    e.next_out = in->nodes[c->src].first_out;
    e.next_in = in->nodes[c->dst].first_in;
    in->nodes[c->src].first_out = t->count;
    in->nodes[c->dst].first_in = t->count;
    t->at[t->count] = e;
    table_put(t->table, t->slots, hash, t->count);
    *place = t->count++;
    return STG_OK;
}

/* The edge of the call, or, when the table is full, the route "other" of its ends, or that from the
 * node "other" to its callee; each of the latter two has room for one edge a node at least. */
static int32_t edge_place(stg_ingest *in, stg_call *c, uint64_t hash, uint32_t *place)
{
    *place = edge_find(in, c, hash);
    if (*place != STG__NONE)
        return STG_OK;
    for (uint32_t level = 0; level < 3; level++) {
        if (level == 1)
            STG_RETURN_IF_ERROR(other_route(in, &c->route));
        if (level == 2 && in->other_node == STG__NONE)
            STG_RETURN_IF_ERROR(stg__node_add(in, OTHER, sizeof OTHER - 1, &in->other_node));
        if (level == 2)
            c->src = in->other_node;
        if (level) {
            hash = stg__edge_hash(in, c->src, c->dst, c->route);
            *place = edge_find(in, c, hash);
            if (*place != STG__NONE)
                return STG_OK;
        }
        if (in->edges.count < in->edges.max + level * (in->max_nodes + 1))
            return edge_make(in, c, hash, place);
    }
    return STG_E_LIMIT; /* not reached: level 2 has room for every callee */
}

/* --- accumulators ----------------------------------------------------------------------------- */

static stg__seen *seen_new(stg_ctx *ctx)
{
    stg__seen *seen = (stg__seen *)stg__alloc_aligned(ctx, 1, sizeof *seen);
    for (uint32_t i = 0; seen && i < 2; i++) {
        seen->acc[i].latency.bins = seen->bins[i];
        stg__dd_clear(&seen->acc[i].latency);
    }
    return seen;
}

int32_t stg__edge_acc(stg_ingest *in, stg_call *c, uint64_t hash, uint32_t parity, stg__acc **acc)
{
    uint32_t place;
    STG_RETURN_IF_ERROR(edge_place(in, c, hash, &place));
    stg__seen **seen = &in->edges.at[place].seen[c->side];
    if (!*seen) {
        *seen = seen_new(in->ctx);
        if (!*seen)
            return STG_E_NOMEM;
        in->side_seen[c->side] = true;
    }
    *acc = &(*seen)->acc[parity];
    if ((c->client | c->group | c->user) != 0 && !(*acc)->outside) {
        stg__outside *both = (stg__outside *)stg__calloc(in->ctx, 2, sizeof *both);
        if (!both)
            return STG_E_NOMEM;
        (*seen)->acc[0].outside = both;
        (*seen)->acc[1].outside = both + 1;
    }
    return STG_OK;
}

static void acc_clear(stg__acc *acc)
{
    const stg__acc empty = {.latency = acc->latency, .outside = acc->outside};
    *acc = empty;
    stg__dd_clear(&acc->latency);
    stg__outside *o = acc->outside;
    if (!o || !o->dirty)
        return;
    stg__hll_clear(&o->clients);
    stg__hll_clear(&o->groups);
    stg__hll_clear(&o->users);
    stg__top_clear(&o->top);
    o->dirty = false;
}

void stg__edges_clear(stg_ingest *in, uint32_t parity)
{
    for (uint32_t e = 0; e < in->edges.count; e++)
        for (uint32_t side = 0; side < STG__SIDES; side++) {
            stg__seen *seen = in->edges.at[e].seen[side];
            if (seen && seen->acc[parity].calls)
                acc_clear(&seen->acc[parity]);
        }
}
