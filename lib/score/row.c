/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: the columns that the streams read, gathered from a graph and from the forecast made before
 * it, in the order of the detector's entities. Learning keeps rows and replays them; a bounded
 * number of the latest is kept.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define MAX_ROWS 100000u
#define MAX_ROW_BYTES ((size_t)512 << 20)

static const char *const node_columns[NC_FORECAST] = {
    "calls", "errors", "exclusive_us", "open", "waiting_headers", "active", "in_flight",
    "oldest_conn_ms", "oldest_header_ms",
};
static const char *const edge_columns[EC_FORECAST] = {
    "calls", "errors", "client_errors", "logins", "login_failures", "registers", "assets",
    "retries", "injections", "new_group_calls", "top_client_calls", "bytes_in", "bytes_out",
    "clients", "users", "p50_us",
};

static int32_t row_room(stg_detector *d)
{
    if (d->nodes > d->row_node_cap) {
        float *more =
            (float *)stg__realloc(d->ctx, d->row.node, d->node_cap, sizeof *more * NC_COUNT);
        if (!more)
            return STG_E_NOMEM;
        d->row.node = more;
        d->row_node_cap = d->node_cap;
    }
    if (d->edges > d->row_edge_cap) {
        float *more =
            (float *)stg__realloc(d->ctx, d->row.edge, d->edge_cap, sizeof *more * EC_COUNT);
        if (!more)
            return STG_E_NOMEM;
        d->row.edge = more;
        d->row_edge_cap = d->edge_cap;
    }
    return STG_OK;
}

/* Values beyond all sense are treated as missing, so that later sums stay finite. */
static float sane(double v)
{
    return v >= 0 && v < 1e15 ? (float)v : NAN;
}

static void put_column(float *to, uint32_t count, const double *from, const uint32_t *map,
                       uint32_t n)
{
    for (uint32_t i = 0; i < count; i++)
        to[i] = NAN;
    for (uint32_t i = 0; from && i < n; i++)
        to[map[i]] = sane(from[i]);
}

/* The forecast's step for this window; it must cover it and share the graph's indices or names. */
static int32_t forecast_step(const stg_graph *g, const stg_forecast *fc, stg_forecast_info *info,
                             uint32_t *step)
{
    info->size = sizeof *info;
    STG_RETURN_IF_ERROR(stg_forecast_get_info(fc, info));
    if (g->start_ns < info->start_ns || info->window_ns != g->end_ns - g->start_ns)
        return STG_E_MISMATCH;
    const uint64_t off = g->start_ns - info->start_ns;
    if (off % info->window_ns || off / info->window_ns >= info->horizon)
        return STG_E_MISMATCH;
    *step = (uint32_t)(off / info->window_ns);
    return STG_OK;
}

/* A forecast of an older topology knows the indices of that one: it is taken as none. */
static void put_forecast(stg_detector *d, const stg_graph *g, const stg_forecast *fc, uint32_t step)
{
    stg_forecast_info info = {.size = sizeof info};
    const stg__topology *t = stg__graph_topology(g);
    const double *node = NULL;
    const double *edge = NULL;
    if (fc && stg_forecast_get_info(fc, &info) == STG_OK && info.ready && info.topology == t->id) {
        node = stg_forecast_mean(fc, STG_NODE, "calls", 5, step);
        edge = stg_forecast_mean(fc, STG_EDGE, "calls", 5, step);
    }
    put_column(d->row.node + (size_t)NC_FORECAST * d->nodes, d->nodes, node, d->node_map, t->nodes);
    put_column(d->row.edge + (size_t)EC_FORECAST * d->edges, d->edges, edge, d->edge_map, t->edges);
}

/* Calls out of each node, and those of them from new client networks. */
static void sum_out(stg_detector *d)
{
    float *calls = d->row.node + (size_t)NC_OUT_CALLS * d->nodes;
    float *fresh = d->row.node + (size_t)NC_OUT_NEW * d->nodes;
    const float *edge_calls = d->row.edge + (size_t)EC_CALLS * d->edges;
    const float *edge_fresh = d->row.edge + (size_t)EC_NEW_GROUP * d->edges;
    memset(calls, 0, d->nodes * sizeof *calls);
    memset(fresh, 0, d->nodes * sizeof *fresh);
    for (uint32_t e = 0; e < d->edges; e++)
        if (!isnan(edge_calls[e]) && !isnan(edge_fresh[e])) {
            calls[d->edge[e].src] += edge_calls[e];
            fresh[d->edge[e].src] += edge_fresh[e];
        }
}

int32_t stg__row_gather(stg_detector *d, const stg_graph *g, const stg_forecast *fc)
{
    const uint64_t window = g->end_ns - g->start_ns;
    stg_forecast_info info = {0};
    uint32_t step = 0;
    if (fc)
        STG_RETURN_IF_ERROR(forecast_step(g, fc, &info, &step));
    if (d->window_ns && d->window_ns != window)
        return STG_E_MISMATCH;
    if (d->last_start && g->start_ns <= d->last_start)
        return STG_E_TIME;
    STG_RETURN_IF_ERROR(stg__entity_map(d, g));
    STG_RETURN_IF_ERROR(row_room(d));
    const stg__topology *t = stg__graph_topology(g);
    d->row.start_ns = g->start_ns;
    d->row.nodes = d->nodes;
    d->row.edges = d->edges;
    for (uint32_t c = 0; c < NC_FORECAST; c++)
        put_column(d->row.node + (size_t)c * d->nodes, d->nodes,
                   stg_graph_column(g, STG_NODE, node_columns[c], strlen(node_columns[c])),
                   d->node_map, t->nodes);
    for (uint32_t c = 0; c < EC_FORECAST; c++)
        put_column(d->row.edge + (size_t)c * d->edges, d->edges,
                   stg_graph_column(g, STG_EDGE, edge_columns[c], strlen(edge_columns[c])),
                   d->edge_map, t->edges);
    sum_out(d);
    put_forecast(d, g, fc, step);
    return STG_OK;
}

static size_t row_bytes(const stg__row *r)
{
    return sizeof *r + sizeof(float) * ((size_t)r->nodes * NC_COUNT + (size_t)r->edges * EC_COUNT);
}

int32_t stg__row_append(stg_detector *d, const stg__row *head, const float *values)
{
    const size_t bytes = row_bytes(head);
    stg__row *r = (stg__row *)stg__alloc(d->ctx, bytes);
    if (!r)
        return STG_E_NOMEM;
    *r = *head;
    r->node = (float *)(r + 1);
    r->edge = r->node + (size_t)r->nodes * NC_COUNT;
    r->next = NULL;
    if (values)
        memcpy(r->node, values, bytes - sizeof *r);
    if (d->last)
        d->last->next = r;
    else
        d->first = r;
    d->last = r;
    d->learnt++;
    d->learnt_bytes += bytes;
    while (d->learnt > 1 && (d->learnt > MAX_ROWS || d->learnt_bytes > MAX_ROW_BYTES)) {
        stg__row *old = d->first;
        d->first = old->next;
        d->learnt--;
        d->learnt_bytes -= row_bytes(old);
        stg__free(d->ctx, old);
    }
    return STG_OK;
}

int32_t stg__row_keep(stg_detector *d)
{
    STG_RETURN_IF_ERROR(stg__row_append(d, &d->row, NULL));
    const stg__row *r = d->last;
    memcpy(r->node, d->row.node, (size_t)r->nodes * NC_COUNT * sizeof(float));
    memcpy(r->edge, d->row.edge, (size_t)r->edges * EC_COUNT * sizeof(float));
    return STG_OK;
}

void stg__rows_drop(stg_detector *d)
{
    while (d->first) {
        stg__row *r = d->first;
        d->first = r->next;
        stg__free(d->ctx, r);
    }
    d->last = NULL;
    d->learnt = 0;
    d->learnt_bytes = 0;
}
