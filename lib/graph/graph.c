/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a graph: names, edges, columns. All of it is borrowed from the immutable object. */
#include <string.h>

#include "topology_priv.h"

#define MAX_COLUMNS 4096u

static atomic_uint_fast64_t next_schema = 1;

void stg__schema_unref(stg__schema *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    stg_ctx *ctx = s->ctx;
    stg__names_destroy(s->names[0]);
    stg__names_destroy(s->names[1]);
    stg__free(ctx, s);
    stg__ctx_unref(ctx);
}

stg__schema *stg__schema_ref(stg__schema *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

bool stg__schema_own(stg__schema *s)
{
    if (atomic_load_explicit(&s->refs, memory_order_acquire) != 1)
        return false;
    s->id = atomic_fetch_add_explicit(&next_schema, 1, memory_order_relaxed);
    return true;
}

stg__schema *stg__schema_new(stg_ctx *ctx, const stg__schema *copy)
{
    stg__schema *s = (stg__schema *)stg__calloc(ctx, 1, sizeof *s);
    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->ctx = stg__ctx_ref(ctx);
    s->id = atomic_fetch_add_explicit(&next_schema, 1, memory_order_relaxed);
    for (uint32_t kind = 0; kind < 2; kind++) {
        int32_t status = stg__names_create(&s->names[kind], ctx, MAX_COLUMNS);
        for (uint32_t i = 0; status == STG_OK && copy && i < copy->count[kind]; i++) {
            size_t len;
            uint32_t id;
            const char *name = stg__names_get(copy->names[kind], i, &len);
            status = stg__names_add(s->names[kind], name, len, &id);
            s->count[kind]++;
        }
        if (status != STG_OK) {
            stg__schema_unref(s);
            return NULL;
        }
    }
    return s;
}

int32_t stg_graph_get_info(const stg_graph *g, stg_graph_info *info)
{
    if (!stg__is(g, STG__KIND_GRAPH))
        return STG_E_INVALID;
    stg_graph_info i = {
        .start_ns = g->start_ns,
        .end_ns = g->end_ns,
        .topology = g->topo->id,
        .coverage = g->coverage,
        .nodes = g->topo->nodes,
        .edges = g->topo->edges,
        .routes = g->topo->routes,
        .node_columns = g->schema->count[STG_NODE],
        .edge_columns = g->schema->count[STG_EDGE],
    };
    return stg__info_write(info, &i, sizeof i);
}

const char *stg_graph_name(const stg_graph *g, uint32_t kind, uint32_t index, size_t *len)
{
    if (!stg__is(g, STG__KIND_GRAPH))
        return NULL;
    const stg__topology *t = g->topo;
    if (kind == STG_NODE && index < t->nodes) {
        if (len)
            *len = t->node_len[index];
        return t->node_name[index];
    }
    if (kind == STG_ROUTE && index < t->routes) {
        if (len)
            *len = t->route_len[index];
        return t->route_name[index];
    }
    if (kind == STG_NODE_COLUMN || kind == STG_EDGE_COLUMN)
        return stg__names_get(g->schema->names[kind - STG_NODE_COLUMN], index, len);
    return NULL;
}

int32_t stg_graph_get_edges(const stg_graph *g, stg_edges *edges)
{
    if (!stg__is(g, STG__KIND_GRAPH))
        return STG_E_INVALID;
    const stg__topology *t = g->topo;
    stg_edges e = {
        .src = t->src,
        .dst = t->dst,
        .route = t->route,
        .out_ptr = t->out_ptr,
        .in_ptr = t->in_ptr,
        .in_edge = t->in_edge,
    };
    return stg__info_write(edges, &e, sizeof e);
}

uint32_t stg__graph_column_index(const stg_graph *g, uint32_t kind, const char *name, size_t len)
{
    return kind > STG_EDGE ? UINT32_MAX : stg__names_find(g->schema->names[kind], name, len);
}

const double *stg__graph_column_at(const stg_graph *g, uint32_t kind, uint32_t index)
{
    if (kind > STG_EDGE || index >= g->schema->count[kind])
        return NULL;
    return kind == STG_NODE ? g->node_values + index * g->node_stride
                            : g->edge_values + index * g->edge_stride;
}

uint64_t stg__graph_schema_id(const stg_graph *g)
{
    return g->schema->id;
}

const double *stg_graph_column(const stg_graph *g, uint32_t kind, const char *name, size_t len)
{
    if (!stg__is(g, STG__KIND_GRAPH) || !name)
        return NULL;
    return stg__graph_column_at(g, kind, stg__graph_column_index(g, kind, name, len));
}

uint32_t stg_graph_find(const stg_graph *g, const char *name, size_t len)
{
    return stg__is(g, STG__KIND_GRAPH) && name ? stg__topology_find(g->topo, name, len) : UINT32_MAX;
}
