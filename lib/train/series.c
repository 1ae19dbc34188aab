/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows as the trainer keeps them: the columns it needs, on the scale of the kind, under its own numbers of
 * nodes, which graphs of any topology are mapped to by name. Of edges only sums are kept.
 */
#include <math.h>
#include <string.h>

#include "train_priv.h"

int32_t stg__series_edge_room(stg_trainer *t, uint32_t need)
{
    uint32_t cap = t->edge_cap ? t->edge_cap : 64;
    while (cap < need)
        cap *= 2;
    if (cap == t->edge_cap)
        return STG_OK;
    double *calls = (double *)stg__realloc(t->ctx, t->edge_calls, cap, sizeof *calls);
    if (calls)
        t->edge_calls = calls;
    double *caller = (double *)stg__realloc(t->ctx, t->caller_calls, cap, sizeof *caller);
    if (caller)
        t->caller_calls = caller;
    uint32_t *windows = (uint32_t *)stg__realloc(t->ctx, t->edge_windows, cap, sizeof *windows);
    if (windows)
        t->edge_windows = windows;
    if (!calls || !caller || !windows)
        return STG_E_NOMEM;
    for (uint32_t e = t->edge_cap; e < cap; e++) {
        calls[e] = caller[e] = 0;
        windows[e] = 0;
    }
    t->edge_cap = cap;
    return STG_OK;
}

static int32_t number_all(stg_trainer *t, const stg__topology *topo, uint32_t *node, uint32_t *edge)
{
    for (uint32_t i = 0; i < topo->nodes; i++)
        STG_RETURN_IF_ERROR(
            stg__names_add(t->nodes, topo->node_name[i], topo->node_len[i], &node[i]));
    for (uint32_t e = 0; e < topo->edges; e++) {
        uint32_t key[3] = {node[topo->src[e]], node[topo->dst[e]], 0};
        const uint32_t r = topo->route[e];
        STG_RETURN_IF_ERROR(
            stg__names_add(t->routes, topo->route_name[r], topo->route_len[r], &key[2]));
        STG_RETURN_IF_ERROR(stg__names_add(t->edges, (const char *)key, sizeof key, &edge[e]));
    }
    return stg__series_edge_room(t, stg__names_count(t->edges));
}

/* Numbers for the nodes and edges of a topology that is new. */
static int32_t learn_topology(stg_trainer *t, stg__topology *topo)
{
    if (t->topo == topo)
        return STG_OK;
    uint32_t *node = (uint32_t *)stg__calloc(t->ctx, topo->nodes, sizeof *node);
    uint32_t *edge = (uint32_t *)stg__calloc(t->ctx, topo->edges, sizeof *edge);
    const int32_t status = node && edge ? number_all(t, topo, node, edge) : STG_E_NOMEM;
    if (status != STG_OK) {
        stg__free(t->ctx, node);
        stg__free(t->ctx, edge);
        return status;
    }
    stg__free(t->ctx, t->node_id);
    stg__free(t->ctx, t->edge_id);
    stg__topology_unref(t->topo);
    t->topo = stg__topology_ref(topo);
    t->node_id = node;
    t->edge_id = edge;
    return STG_OK;
}

/* In an incident, says the caller: nothing is learnt of such a node, nor of its edges. */
static const double *mask_of(const stg_trainer *t, const stg_graph *g)
{
    return *t->mask ? stg_graph_column(g, STG_NODE, t->mask, strlen(t->mask)) : NULL;
}

static bool masked(const double *mask, uint32_t node)
{
    return mask && mask[node] != 0 && !isnan(mask[node]);
}

static bool edge_masked(const stg_trainer *t, const double *mask, uint32_t e)
{
    return masked(mask, t->topo->src[e]) || masked(mask, t->topo->dst[e]);
}

/* Weights as a session of a plain kind takes them. */
static void sum_weights(stg_trainer *t, const stg_graph *g)
{
    const double *mask = mask_of(t, g);
    const double *weight = stg_graph_column(g, STG_EDGE, "weight", 6);
    if (!weight)
        weight = stg_graph_column(g, STG_EDGE, "calls", 5);
    for (uint32_t e = 0; e < t->topo->edges; e++) {
        const double w = weight ? stg__taken(t->kind, weight[e]) : 1;
        const uint32_t id = t->edge_id[e];
        if (isnan(w) || edge_masked(t, mask, e))
            continue;
        t->edge_calls[id] += w > 0 ? w : 0;
        t->edge_windows[id]++;
    }
}

static void sum_edges(stg_trainer *t, const stg_graph *g)
{
    const double *calls = stg_graph_column(g, STG_EDGE, "calls", 5);
    const double *node = stg_graph_column(g, STG_NODE, "calls", 5);
    const double *mask = mask_of(t, g);
    if (!calls || !node)
        return;
    for (uint32_t e = 0; e < t->topo->edges; e++) {
        const double all = node[t->topo->src[e]];
        const uint32_t id = t->edge_id[e];
        if (!isfinite(calls[e]) || !isfinite(all) || edge_masked(t, mask, e))
            continue;
        t->edge_calls[id] += calls[e] > 0 ? calls[e] : 0;
        t->caller_calls[id] += all > 0 ? all : 0;
        t->edge_windows[id]++;
    }
}

int32_t stg__series_append(stg_trainer *t, size_t columns, uint64_t start_ns, uint32_t nodes,
                           const double *from)
{
    if (t->windows == t->window_cap) {
        const size_t cap = t->window_cap ? t->window_cap * 2 : 256;
        stg__window *grown = (stg__window *)stg__realloc(t->ctx, t->window, cap, sizeof *grown);
        if (!grown)
            return STG_E_NOMEM;
        t->window = grown;
        t->window_cap = cap;
    }
    double *values = (double *)stg__calloc(t->ctx, columns * nodes, sizeof *values);
    if (!values)
        return STG_E_NOMEM;
    for (size_t i = 0; i < columns * nodes; i++)
        values[i] = from ? from[i] : NAN;
    t->window[t->windows++] = (stg__window){start_ns, nodes, values};
    return STG_OK;
}

int32_t stg__series_add(stg_trainer *t, const stg_graph *g)
{
    stg__topology *topo = stg__graph_topology(g);
    STG_RETURN_IF_ERROR(learn_topology(t, topo));
    const uint32_t nodes = stg__names_count(t->nodes);
    const uint32_t columns = stg__names_count(t->columns);
    STG_RETURN_IF_ERROR(stg__series_append(t, columns, g->start_ns, nodes, NULL));
    double *values = t->window[t->windows - 1].values;
    const double *mask = mask_of(t, g);
    for (uint32_t c = 0; c < columns; c++) {
        size_t len = 0;
        const char *name = stg__names_get(t->columns, c, &len);
        const double *from = stg_graph_column(g, STG_NODE, name, len);
        for (uint32_t i = 0; from && i < topo->nodes; i++)
            values[(size_t)c * nodes + t->node_id[i]] =
                masked(mask, i) ? NAN : stg__taken(t->kind, from[i]);
    }
    if (t->kind->plain)
        sum_weights(t, g);
    else
        sum_edges(t, g);
    return STG_OK;
}
