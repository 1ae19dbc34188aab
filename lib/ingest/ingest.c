/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ingest as its host sees it: made, polled, closed window by window, asked for its ledger. A
 * window that could not be closed for want of memory is still open and can be closed again.
 */
#include <string.h>

#include "ingest_priv.h"

#define SECOND UINT64_C(1000000000)
#define MAX_NODES (1u << 20)
#define MAX_EDGES (1u << 22)
#define MAX_LANES 65536u

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
    return value ? value : otherwise;
}

static int32_t read_opts(stg_ingest *in, const stg_ingest_opts *opts, uint32_t *max_edges)
{
    stg_ingest_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_ingest_opts", NULL));
    in->window_ns = o.window_ns ? o.window_ns : 5 * SECOND;
    if (in->window_ns < SECOND / 1000 || in->window_ns > 3600 * SECOND)
        return STG_E_INVALID;
    in->gauge_ttl_ns = o.gauge_ttl_ns ? o.gauge_ttl_ns : 3 * in->window_ns;
    in->ahead_ns = o.ahead_ns ? o.ahead_ns : 3600 * SECOND;
    in->snapshots = or_default(o.snapshots, 4);
    in->max_nodes = or_default(o.max_nodes, 1024);
    in->max_routes = or_default(o.max_routes, 4096);
    in->max_lanes = or_default(o.max_lanes, 256);
    *max_edges = or_default(o.max_edges, 8192);
    return in->max_nodes > MAX_NODES || in->max_routes > MAX_NODES || *max_edges > MAX_EDGES ||
                   in->max_lanes > MAX_LANES || in->snapshots > 4096
               ? STG_E_INVALID
               : STG_OK;
}

static int32_t ingest_init(stg_ingest *in, uint32_t max_edges)
{
    for (in->gauges.max = 32; in->gauges.max < 4 * in->max_nodes;)
        in->gauges.max *= 2;
    in->ports = (stg__port **)stg__calloc(in->ctx, in->max_lanes, sizeof *in->ports);
    in->batch = (stg__item *)stg__alloc_aligned(in->ctx, STG__BATCH, sizeof *in->batch);
    if (!in->ports || !in->batch)
        return STG_E_NOMEM;
    stg__dd_map_init(&in->dd);
    STG_RETURN_IF_ERROR(stg__edges_init(in, max_edges));
    STG_RETURN_IF_ERROR(stg__groups_init(in));
    return stg__columns_init(in);
}

int32_t stg_ingest_create(stg_ingest **out, stg_ctx *ctx, const stg_ingest_opts *opts)
{
    if (!out || !ctx)
        return STG_E_INVALID;
    *out = NULL;
    if (stg__ctx_forked(ctx))
        return STG_E_FORK;
    stg_ingest *in = (stg_ingest *)stg__alloc_aligned(ctx, 1, sizeof *in);
    if (!in)
        return STG_E_NOMEM;
    stg__handle_init(&in->handle, &stg__ingest_state);
    in->ctx = stg__ctx_ref(ctx);
    uint32_t max_edges = 0;
    int32_t status = read_opts(in, opts, &max_edges);
    if (status == STG_OK)
        status = ingest_init(in, max_edges);
    if (status != STG_OK) {
        stg_ingest_destroy(in);
        return status;
    }
    *out = in;
    return STG_OK;
}

void stg_ingest_destroy(stg_ingest *in)
{
    if (!in)
        return;
    stg_ctx *ctx = in->ctx;
    while (in->port_count)
        stg__port_free(in, in->port_count - 1);
    stg__edges_free(in);
    stg__gauges_free(in);
    stg__groups_free(in);
    stg__free(ctx, in->ports);
    stg__free_aligned(ctx, in->batch);
    stg__free(ctx, in->merge_bins);
    stg__free_aligned(ctx, in);
    stg__ctx_unref(ctx);
}

int32_t stg_ingest_poll(stg_ingest *in)
{
    if (!in)
        return STG_E_INVALID;
    return stg__ctx_forked(in->ctx) ? STG_E_FORK : stg__drain(in);
}

static int32_t make_graph(stg_ingest *in, uint32_t parity, uint64_t window_end,
                          const stg_graph **out)
{
    STG_RETURN_IF_ERROR(stg__columns_fill(in, parity, window_end));
    return stg_graph_builder_finish(in->builder, out);
}

int32_t stg_ingest_close(stg_ingest *in, uint64_t window_end, const stg_graph **out)
{
    if (out)
        *out = NULL;
    if (!in || window_end == 0 || window_end % in->window_ns)
        return STG_E_INVALID;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    const uint64_t window = window_end / in->window_ns - 1;
    const uint32_t parity = (uint32_t)(window & 1);
    if (in->closed_any && window < in->cur)
        return STG_E_TIME;
    stg__windows_move(in, window);
    in->closed_any = true;
    STG_RETURN_IF_ERROR(stg__drain(in));
    if (out)
        STG_RETURN_IF_ERROR(make_graph(in, parity, window_end, out));
    stg__groups_close(in, parity);
    stg__window_clear(in, parity);
    stg__windows_move(in, window + 1);
    return STG_OK;
}

int32_t stg_ingest_get_stats(const stg_ingest *in, stg_ingest_stats *stats)
{
    if (!in || !stats)
        return STG_E_INVALID;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    stg_ingest_stats s = {
        .windowed = in->windowed,
        .late = in->late,
        .refused = in->refused,
        .other_nodes = in->other_nodes,
        .other_edges = in->other_edges,
        .gauges = in->gauge_count,
        .malformed = in->malformed,
        .lanes = in->port_count,
        .nodes = stg__names_count(in->node_names),
        .edges = in->edges.count,
    };
    for (uint32_t i = 0; i < in->port_count; i++) {
        const stg__port *p = in->ports[i];
        const uint64_t refused = atomic_load_explicit(&p->page->refused, memory_order_relaxed);
        s.refused += refused > p->refused ? refused - p->refused : 0;
        s.waiting += stg__port_waiting(p);
    }
    s.pushed = s.windowed + s.late + s.refused + s.waiting;
    return stg__info_write(stats, &s, sizeof s);
}
