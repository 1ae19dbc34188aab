/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A topology in a bundle: names of nodes and routes, and edges as three indices each. Read back it
 * goes through a builder, so that what comes out is as canonical as any other topology; numbers of
 * nodes and edges are then the saved ones, or the file is malformed.
 */
#include <string.h>

#include "topology_priv.h"

static const char *node_at(const void *from, uint32_t i, size_t *len)
{
    const stg__topology *t = (const stg__topology *)from;
    *len = t->node_len[i];
    return t->node_name[i];
}

static const char *route_at(const void *from, uint32_t i, size_t *len)
{
    const stg__topology *t = (const stg__topology *)from;
    *len = t->route_len[i];
    return t->route_name[i];
}

int32_t stg__topology_put(const stg__topology *t, stg_bundle *bundle, const char *prefix)
{
    char key[STG__KEY_MAX];
    STG_RETURN_IF_ERROR(
        stg__bundle_put_names(bundle, stg__key(key, prefix, "nodes"), t->nodes, node_at, t));
    STG_RETURN_IF_ERROR(
        stg__bundle_put_names(bundle, stg__key(key, prefix, "routes"), t->routes, route_at, t));
    STG_RETURN_IF_ERROR(stg__put(bundle, prefix, "src", STG__U32, t->edges, 0, t->src));
    STG_RETURN_IF_ERROR(stg__put(bundle, prefix, "dst", STG__U32, t->edges, 0, t->dst));
    return stg__put(bundle, prefix, "route", STG__U32, t->edges, 0, t->route);
}

typedef struct saved { /* as it stands in the bundle */
    stg__names *nodes;
    stg__names *routes;
    uint64_t edges;
    const uint32_t *src;
    const uint32_t *dst;
    const uint32_t *route;
} saved;

static int32_t read_edges(saved *in, const stg_bundle *bundle, const char *prefix, stg_error *err)
{
    const stg__tensor *src;
    const stg__tensor *dst;
    const stg__tensor *route;
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "src", STG__U32, UINT64_MAX, 0, &src, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "dst", STG__U32, src->shape[0], 0, &dst, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "route", STG__U32, src->shape[0], 0, &route, err));
    in->edges = src->shape[0];
    in->src = (const uint32_t *)src->data;
    in->dst = (const uint32_t *)dst->data;
    in->route = (const uint32_t *)route->data;
    return STG_OK;
}

static int32_t build(const saved *in, stg_graph_builder *b, const stg_graph **out)
{
    uint32_t index;
    size_t len = 0;
    for (uint32_t i = 0; i < stg__names_count(in->nodes); i++) {
        const char *name = stg__names_get(in->nodes, i, &len);
        STG_RETURN_IF_ERROR(stg_graph_builder_node(b, name, len, &index));
        if (index != i)
            return STG_E_FORMAT;
    }
    for (uint64_t e = 0; e < in->edges; e++) {
        const char *name = stg__names_get(in->routes, in->route[e], &len);
        if (!name)
            return STG_E_FORMAT;
        STG_RETURN_IF_ERROR(
            stg_graph_builder_edge(b, in->src[e], in->dst[e], name, len, &index));
        if (index != e)
            return STG_E_FORMAT;
    }
    STG_RETURN_IF_ERROR(stg_graph_builder_begin(b, 0, 1));
    return stg_graph_builder_finish(b, out);
}

/* The builder sorts: only what was sorted before keeps its numbers. Routes without an edge are not
 * made again, and their absence moves numbers too. */
static bool same(const saved *in, const stg__topology *t)
{
    const size_t bytes = (size_t)in->edges * sizeof(uint32_t);
    if (t->nodes != stg__names_count(in->nodes) || t->routes != stg__names_count(in->routes) ||
        t->edges != in->edges)
        return false;
    for (uint32_t i = 0; i < t->nodes; i++)
        if (stg__names_find(in->nodes, t->node_name[i], t->node_len[i]) != i)
            return false;
    return in->edges == 0 || (memcmp(t->src, in->src, bytes) == 0 &&
                              memcmp(t->dst, in->dst, bytes) == 0 &&
                              memcmp(t->route, in->route, bytes) == 0);
}

static int32_t make(const saved *in, stg_ctx *ctx, const stg_graph **out)
{
    const stg_graph_builder_opts opts = {
        .size = sizeof opts,
        .snapshots = 1,
        .max_nodes = stg__names_count(in->nodes) + 1,
        .max_edges = (uint32_t)in->edges + 1,
        .max_routes = stg__names_count(in->routes) + 1,
    };
    stg_graph_builder *b;
    STG_RETURN_IF_ERROR(stg_graph_builder_create(&b, ctx, &opts));
    int32_t status = build(in, b, out);
    stg_graph_builder_destroy(b);
    if (status == STG_OK && !same(in, stg__graph_topology(*out))) {
        stg_unref(*out);
        *out = NULL;
        status = STG_E_FORMAT;
    }
    return status;
}

int32_t stg__topology_get(const stg_graph **out, stg_ctx *ctx, const stg_bundle *bundle,
                          const char *prefix, stg_error *err)
{
    saved in = {0};
    *out = NULL;
    int32_t status = stg__names_create(&in.nodes, ctx, 1u << 20);
    if (status == STG_OK)
        status = stg__names_create(&in.routes, ctx, 1u << 20);
    if (status == STG_OK)
        status = stg__get_names(bundle, prefix, "nodes", in.nodes, err);
    if (status == STG_OK)
        status = stg__get_names(bundle, prefix, "routes", in.routes, err);
    if (status == STG_OK)
        status = read_edges(&in, bundle, prefix, err);
    if (status == STG_OK) {
        status = in.edges < 1u << 24 ? make(&in, ctx, out) : STG_E_FORMAT;
        if (status != STG_OK && status != STG_E_NOMEM) /* limits, too, speak of the file */
            status = stg__fail(err, STG_E_FORMAT, "%s is not a graph in canonical order", prefix);
    }
    stg__names_destroy(in.nodes);
    stg__names_destroy(in.routes);
    return status;
}
