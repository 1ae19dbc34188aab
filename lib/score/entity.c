/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entities: the detector's own nodes and edges, known by name and kept for good, so that streams
 * outlive the graph's indices. When a graph of another topology comes, its nodes and edges are
 * looked up once and new ones get storage; windows of the same topology ask for no memory.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define MAX_NAMES 1048576u

void stg__stream_init(stg__stream *s)
{
    const uint64_t hash = s->hash;
    memset(s, 0, sizeof *s);
    s->hash = hash;
    s->blend = 1;
    s->lump = 0.1f;
    for (int i = 0; i < KNOTS; i++)
        s->knot[i] = (float)stg__knot_z[i];
    s->kappa[UP] = s->kappa[DOWN] = 1;
    s->last[0] = s->last[1] = s->last[2] = NAN;
    s->observed = s->expected = NAN;
}

/* FNV-1a over names: stands in saved results, so it must not depend on the process. */
static uint64_t hash_text(uint64_t h, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001b3u;
    return (h ^ 0xff) * 0x100000001b3u;
}

static uint64_t hash_name(const stg_detector *d, uint64_t h, uint32_t id)
{
    size_t len = 0;
    const char *text = stg__names_get(d->names, id, &len);
    return hash_text(h, text ? text : "", len);
}

static void init_streams(stg__stream *s, uint32_t kinds, bool is_edge, uint64_t hash)
{
    for (uint32_t k = 0; k < kinds; k++) {
        const char *name = stg__kind_of(is_edge, k)->name;
        s[k].hash = hash_text(hash, name, strlen(name));
        stg__stream_init(&s[k]);
    }
}

/* Grows one array to cap items; what is there stays. */
static int32_t grow(stg_ctx *ctx, void *array, uint32_t cap, size_t item)
{
    void **at = (void **)array;
    void *more = stg__realloc(ctx, *at, cap, item);
    if (!more)
        return STG_E_NOMEM;
    *at = more;
    return STG_OK;
}

static int32_t grow_nodes(stg_detector *d)
{
    const uint32_t cap = d->node_cap ? d->node_cap * 2 : 16;
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_name, cap, sizeof *d->node_name));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_flag, cap, sizeof *d->node_flag));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->gateway, cap, sizeof *d->gateway));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_mark, cap, sizeof *d->node_mark));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_reach, cap, sizeof *d->node_reach));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_excess, cap, sizeof *d->node_excess));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_stream, cap, sizeof *d->node_stream * N_KINDS));
    d->node_cap = cap;
    return STG_OK;
}

int32_t stg__entity_name(stg_detector *d, const char *name, size_t len, uint32_t *id)
{
    STG_RETURN_IF_ERROR(stg__names_add(d->names, name, len, id));
    if (*id < d->name_cap)
        return STG_OK;
    const uint32_t cap = *id < 32 ? 64 : *id * 2;
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_of, cap, sizeof *d->node_of));
    memset(d->node_of + d->name_cap, 0, (cap - d->name_cap) * sizeof *d->node_of);
    d->name_cap = cap;
    return STG_OK;
}

int32_t stg__entity_node(stg_detector *d, const char *name, size_t len, uint32_t *index)
{
    uint32_t id;
    STG_RETURN_IF_ERROR(stg__entity_name(d, name, len, &id));
    if (d->node_of[id]) {
        *index = d->node_of[id] - 1;
        return STG_OK;
    }
    if (d->nodes == d->node_cap)
        STG_RETURN_IF_ERROR(grow_nodes(d));
    const uint32_t i = d->nodes++;
    d->node_of[id] = i + 1;
    d->node_name[i] = id;
    d->node_flag[i] = 0;
    d->gateway[i] = 0;
    init_streams(stg__node_stream(d, i, 0), N_KINDS, false, hash_name(d, 14695981039346656037u, id));
    *index = i;
    return STG_OK;
}

static uint32_t edge_slot(const stg_detector *d, stg__edge_id id)
{
    uint64_t h = id.src * 0x9E3779B97F4A7C15u;
    h = (h ^ (h >> 29) ^ id.dst) * 0xBF58476D1CE4E5B9u;
    h = (h ^ (h >> 32) ^ id.route) * 0x94D049BB133111EBu;
    uint32_t slot = (uint32_t)(h >> 32) & (d->edge_slots - 1);
    while (d->edge_table[slot]) {
        const stg__edge_id *e = &d->edge[d->edge_table[slot] - 1];
        if (e->src == id.src && e->dst == id.dst && e->route == id.route)
            break;
        slot = (slot + 1) & (d->edge_slots - 1);
    }
    return slot;
}

static int32_t grow_edges(stg_detector *d)
{
    const uint32_t cap = d->edge_cap ? d->edge_cap * 2 : 64;
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->edge, cap, sizeof *d->edge));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->edge_excess, cap, sizeof *d->edge_excess));
    STG_RETURN_IF_ERROR(grow(d->ctx, &d->edge_stream, cap, sizeof *d->edge_stream * E_KINDS));
    uint32_t *table = (uint32_t *)stg__calloc(d->ctx, cap * 4u, sizeof *table);
    if (!table)
        return STG_E_NOMEM;
    stg__free(d->ctx, d->edge_table);
    d->edge_table = table;
    d->edge_slots = cap * 4;
    for (uint32_t i = 0; i < d->edges; i++)
        d->edge_table[edge_slot(d, d->edge[i])] = i + 1;
    d->edge_cap = cap;
    return STG_OK;
}

int32_t stg__entity_edge(stg_detector *d, stg__edge_id id, uint32_t *index)
{
    if (d->edges == d->edge_cap)
        STG_RETURN_IF_ERROR(grow_edges(d));
    const uint32_t slot = edge_slot(d, id);
    if (!d->edge_table[slot]) {
        const uint32_t i = d->edges++;
        d->edge[i] = id;
        d->edge_table[slot] = i + 1;
        uint64_t h = hash_name(d, 1469598103934665603u, d->node_name[id.src]);
        h = hash_name(d, h, d->node_name[id.dst]);
        init_streams(stg__edge_stream(d, i, 0), E_KINDS, true, hash_name(d, h, id.route));
    }
    *index = d->edge_table[slot] - 1;
    return STG_OK;
}

static int32_t map_room(stg_detector *d, const stg__topology *t)
{
    if (t->nodes > d->node_map_cap) {
        STG_RETURN_IF_ERROR(grow(d->ctx, &d->node_map, t->nodes, sizeof *d->node_map));
        d->node_map_cap = t->nodes;
    }
    if (t->edges > d->edge_map_cap) {
        STG_RETURN_IF_ERROR(grow(d->ctx, &d->edge_map, t->edges, sizeof *d->edge_map));
        d->edge_map_cap = t->edges;
    }
    return STG_OK;
}

/*
 * A gateway passes on what comes from outside under the same route: outside is its only caller, and
 * most of its callees are called by routes that it is called by itself.
 */
static void find_gateways(stg_detector *d)
{
    memset(d->gateway, 0, d->nodes);
    if (d->edges == 0)
        return;
    for (uint32_t i = 1; i < d->nodes; i++) {
        uint32_t inside = 0;
        uint32_t out = 0;
        uint32_t same = 0;
        for (uint32_t e = 0; e < d->edges; e++) {
            inside += d->edge[e].dst == i && d->edge[e].src != 0;
            if (d->edge[e].src != i)
                continue;
            const stg__edge_id in = {0, i, d->edge[e].route};
            out++;
            same += d->edge_table[edge_slot(d, in)] != 0;
        }
        d->gateway[i] = inside == 0 && out > 1 && same * 10 >= out * 8;
    }
}

int32_t stg__entity_map(stg_detector *d, const stg_graph *g)
{
    const stg__topology *t = stg__graph_topology(g);
    if (t->id == d->topology)
        return STG_OK;
    uint32_t outside; /* node 0 here too */
    d->topology = 0;
    STG_RETURN_IF_ERROR(stg__entity_node(d, STG__EXTERNAL, strlen(STG__EXTERNAL), &outside));
    STG_RETURN_IF_ERROR(map_room(d, t));
    for (uint32_t i = 0; i < t->nodes; i++)
        STG_RETURN_IF_ERROR(stg__entity_node(d, t->node_name[i], t->node_len[i], &d->node_map[i]));
    for (uint32_t e = 0; e < t->edges; e++) {
        stg__edge_id id = {d->node_map[t->src[e]], d->node_map[t->dst[e]], 0};
        const uint32_t route = t->route[e];
        STG_RETURN_IF_ERROR(
            stg__entity_name(d, t->route_name[route], t->route_len[route], &id.route));
        STG_RETURN_IF_ERROR(stg__entity_edge(d, id, &d->edge_map[e]));
    }
    find_gateways(d);
    d->topology = t->id;
    return STG_OK;
}

void stg__entity_free(stg_detector *d)
{
    stg__free(d->ctx, d->node_name);
    stg__free(d->ctx, d->node_flag);
    stg__free(d->ctx, d->gateway);
    stg__free(d->ctx, d->node_mark);
    stg__free(d->ctx, d->node_reach);
    stg__free(d->ctx, d->node_excess);
    stg__free(d->ctx, d->node_stream);
    stg__free(d->ctx, d->node_of);
    stg__free(d->ctx, d->edge);
    stg__free(d->ctx, d->edge_excess);
    stg__free(d->ctx, d->edge_stream);
    stg__free(d->ctx, d->edge_table);
    stg__free(d->ctx, d->node_map);
    stg__free(d->ctx, d->edge_map);
    stg__names_destroy(d->names);
}

const char *stg__node_text(const stg_detector *d, uint32_t node)
{
    return stg__names_get(d->names, d->node_name[node], NULL);
}

const char *stg__route_text(const stg_detector *d, uint32_t edge)
{
    return stg__names_get(d->names, d->edge[edge].route, NULL);
}
