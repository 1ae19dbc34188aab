/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a window: accumulators, sketches and gauges become the columns of a graph. Each edge
 * has one set of columns for every observer and one, without prefix, of its primary observer; nodes
 * sum up and merge what the primary observers of their edges saw.
 */
#include <math.h>
#include <string.h>

#include "ingest_priv.h"

/* Columns of an edge; the order is that of the enum. */
enum {
    E_CALLS, E_ERRORS, E_CLIENT_ERRORS, E_DENIED, E_BYTES_IN, E_BYTES_OUT, E_DURATION,
    E_LOGINS, E_LOGIN_FAILURES, E_REGISTERS, E_ASSETS, E_RETRIES, E_TIMEOUTS, E_INJECTIONS,
    E_NEW_GROUP_CALLS, E_TOP_CLIENT_CALLS, E_CLIENTS, E_GROUPS, E_USERS, E_P50, E_P99, E_MEAN
};

static const char *const edge_names[STG__EDGE_COLUMNS] = {
    "calls", "errors", "client_errors", "denied", "bytes_in", "bytes_out", "duration_us",
    "logins", "login_failures", "registers", "assets", "retries", "timeouts", "injections",
    "new_group_calls", "top_client_calls", "clients", "groups", "users", "p50_us", "p99_us",
    "mean_us",
};

/* Columns of a node: sums over its edges first, in the order of `summed`. */
#define SUMS 13u
enum {
    N_OUT_CALLS = SUMS, N_OUT_ERRORS, N_CLIENTS, N_P50, N_P99, N_MEAN, N_EXCLUSIVE,
    N_OPEN, N_WAITING_HEADERS, N_ACTIVE, N_IDLE, N_IN_FLIGHT, N_OLDEST_CONN, N_OLDEST_HEADER
};

static const uint8_t summed[SUMS] = {
    E_CALLS, E_ERRORS, E_CLIENT_ERRORS, E_DENIED, E_BYTES_IN, E_BYTES_OUT, E_LOGINS,
    E_LOGIN_FAILURES, E_REGISTERS, E_ASSETS, E_INJECTIONS, E_RETRIES, E_TIMEOUTS,
};

static const char *const node_names[STG__NODE_COLUMNS] = {
    "calls", "errors", "client_errors", "denied", "bytes_in", "bytes_out", "logins",
    "login_failures", "registers", "assets", "injections", "retries", "timeouts",
    "out_calls", "out_errors", "clients", "p50_us", "p99_us", "mean_us", "exclusive_us",
    "open", "waiting_headers", "active", "idle", "in_flight", "oldest_conn_ms",
    "oldest_header_ms",
};

static const char *const prefixes[STG__SIDES] = {"client.", "server.", "proxy.", "card."};
/* Among observers with equally many calls the first one here is the primary. */
static const uint8_t preference[STG__SIDES] = {STG_SIDE_CLIENT, STG_SIDE_PROXY, STG_SIDE_SERVER,
                                               STG_SIDE_CARD};

/* --- names of columns ------------------------------------------------------------------------- */

static int32_t edge_columns(stg_ingest *in, const char *prefix, uint32_t set)
{
    for (uint32_t c = 0; c < STG__EDGE_COLUMNS; c++) {
        char name[64];
        const size_t head = strlen(prefix);
        const size_t tail = strlen(edge_names[c]);
        memcpy(name, prefix, head);
        memcpy(name + head, edge_names[c], tail);
        STG_RETURN_IF_ERROR(stg_graph_builder_column(in->builder, STG_EDGE, name, head + tail,
                                                     &in->edge_column[set][c]));
    }
    return STG_OK;
}

int32_t stg__columns_init(stg_ingest *in)
{
    for (uint32_t c = 0; c < STG__NODE_COLUMNS; c++)
        STG_RETURN_IF_ERROR(stg_graph_builder_column(in->builder, STG_NODE, node_names[c],
                                                     strlen(node_names[c]), &in->node_column[c]));
    in->merge_bins = (uint32_t *)stg__calloc(in->ctx, STG__DD_BINS, sizeof *in->merge_bins);
    if (!in->merge_bins)
        return STG_E_NOMEM;
    return edge_columns(in, "", STG__SIDES);
}

static int32_t observer_columns(stg_ingest *in)
{
    for (uint32_t side = 0; side < STG__SIDES; side++) {
        if (!in->side_seen[side] || in->side_known[side])
            continue;
        STG_RETURN_IF_ERROR(edge_columns(in, prefixes[side], side));
        in->side_known[side] = true;
    }
    return STG_OK;
}

/* --- edges ------------------------------------------------------------------------------------ */

static void acc_values(const stg__acc *a, double *v)
{
    const stg__outside *o = a->outside && a->outside->dirty ? a->outside : NULL;
    v[E_CALLS] = a->calls;
    v[E_ERRORS] = a->errors;
    v[E_CLIENT_ERRORS] = a->client_errors;
    v[E_DENIED] = a->denied;
    v[E_BYTES_IN] = (double)a->bytes_in;
    v[E_BYTES_OUT] = (double)a->bytes_out;
    v[E_DURATION] = (double)a->duration_us;
    v[E_LOGINS] = a->logins;
    v[E_LOGIN_FAILURES] = a->login_failures;
    v[E_REGISTERS] = a->registers;
    v[E_ASSETS] = a->assets;
    v[E_RETRIES] = a->retries;
    v[E_TIMEOUTS] = a->timeouts;
    v[E_INJECTIONS] = a->injections;
    v[E_NEW_GROUP_CALLS] = a->new_group_calls;
    v[E_TOP_CLIENT_CALLS] = o ? stg__top_most(&o->top) : 0;
    v[E_CLIENTS] = o ? stg__hll_estimate(&o->clients) : 0;
    v[E_GROUPS] = o ? stg__hll_estimate(&o->groups) : 0;
    v[E_USERS] = o ? stg__hll_estimate(&o->users) : 0;
    v[E_P50] = stg__dd_quantile(&a->latency, 0.5);
    v[E_P99] = stg__dd_quantile(&a->latency, 0.99);
    v[E_MEAN] = a->calls ? (double)a->duration_us / a->calls : NAN;
}

static uint32_t primary_of(const stg__edge *e, uint32_t parity)
{
    uint32_t best = STG__NONE;
    uint32_t calls = 0;
    for (uint32_t i = 0; i < STG__SIDES; i++) {
        const stg__seen *seen = e->seen[preference[i]];
        if (seen && seen->acc[parity].calls > calls) {
            calls = seen->acc[parity].calls;
            best = preference[i];
        }
    }
    return best;
}

static void edge_write(stg_ingest *in, const stg__edge *e, uint32_t set, const double *v)
{
    size_t stride;
    double *row = stg__builder_row(in->builder, STG_EDGE, e->index, &stride);
    const uint32_t *column = in->edge_column[set];
    for (uint32_t c = 0; c < STG__EDGE_COLUMNS; c++)
        row[column[c] * stride] = v[c];
}

static void fill_edge(stg_ingest *in, stg__edge *e, uint32_t parity)
{
    static const stg__acc none = {.latency = {1, 0, NULL}};
    double v[STG__EDGE_COLUMNS];
    e->primary = primary_of(e, parity);
    for (uint32_t side = 0; side < STG__SIDES; side++) {
        if (!e->seen[side])
            continue;
        acc_values(&e->seen[side]->acc[parity], v);
        edge_write(in, e, side, v);
        if (side == e->primary)
            edge_write(in, e, STG__SIDES, v);
    }
    if (e->primary == STG__NONE) {
        acc_values(&none, v);
        edge_write(in, e, STG__SIDES, v);
    }
}

/* --- nodes ------------------------------------------------------------------------------------ */

static const stg__acc *primary_acc(const stg__edge *e, uint32_t parity)
{
    return e->primary == STG__NONE ? NULL : &e->seen[e->primary]->acc[parity];
}

static double *node_row(const stg_ingest *in, uint32_t node, size_t *stride)
{
    return stg__builder_row(in->builder, STG_NODE, node, stride);
}

/* Sums over edges: of the callee what came in, of the caller what went out. */
static void fill_sums(stg_ingest *in, uint32_t parity)
{
    size_t stride;
    const uint32_t *column = in->node_column;
    for (uint32_t node = 0; node < stg__names_count(in->node_names); node++) {
        double *row = node_row(in, node, &stride);
        for (uint32_t c = 0; c <= N_CLIENTS; c++)
            row[column[c] * stride] = 0;
    }
    for (uint32_t i = 0; i < in->edges.count; i++) {
        const stg__edge *e = &in->edges.at[i];
        const stg__acc *a = primary_acc(e, parity);
        if (!a)
            continue;
        const double *from = stg__builder_row(in->builder, STG_EDGE, e->index, &stride);
        double v[SUMS];
        for (uint32_t c = 0; c < SUMS; c++)
            v[c] = from[in->edge_column[STG__SIDES][summed[c]] * stride];
        double *row = node_row(in, e->dst, &stride);
        for (uint32_t c = e->dst == 0; c < SUMS; c++) /* of "external" calls are those it makes */
            row[column[c] * stride] += v[c];
        row = node_row(in, e->src, &stride);
        row[column[N_OUT_CALLS] * stride] += a->calls;
        row[column[N_OUT_ERRORS] * stride] += a->errors;
        if (e->src == 0)
            row[column[0] * stride] += a->calls;
    }
}

/* Latency and clients of what came in, merged over the edges. */
static void fill_merged(stg_ingest *in, uint32_t node, uint32_t parity)
{
    stg__dd merged = {1, 0, in->merge_bins};
    uint64_t calls = 0;
    uint64_t duration = 0;
    bool clients = false;
    stg__hll_clear(&in->merge_clients);
    for (uint32_t i = in->nodes[node].first_in; i != STG__NONE; i = in->edges.at[i].next_in) {
        const stg__acc *a = primary_acc(&in->edges.at[i], parity);
        if (!a)
            continue;
        calls += a->calls;
        duration += a->duration_us;
        stg__dd_merge(&merged, &a->latency);
        if (a->outside && a->outside->dirty) {
            stg__hll_merge(&in->merge_clients, &a->outside->clients);
            clients = true;
        }
    }
    if (!calls)
        return; /* latencies stay unknown, clients none */
    size_t stride;
    double *row = node_row(in, node, &stride);
    row[in->node_column[N_P50] * stride] = stg__dd_quantile(&merged, 0.5);
    row[in->node_column[N_P99] * stride] = stg__dd_quantile(&merged, 0.99);
    row[in->node_column[N_MEAN] * stride] = (double)duration / (double)calls;
    if (clients)
        row[in->node_column[N_CLIENTS] * stride] = stg__hll_estimate(&in->merge_clients);
}

/* Mean own time of an incoming call: what the server side measured, less the time that its calls
 * to others took by the client side. Unknown when either side is missing. */
static void fill_exclusive(stg_ingest *in, uint32_t node, uint32_t parity)
{
    double in_us = 0;
    double out_us = 0;
    uint64_t calls = 0;
    for (uint32_t i = in->nodes[node].first_in; i != STG__NONE; i = in->edges.at[i].next_in) {
        const stg__seen *server = in->edges.at[i].seen[STG_SIDE_SERVER];
        if (!server)
            continue;
        calls += server->acc[parity].calls;
        in_us += (double)server->acc[parity].duration_us;
    }
    for (uint32_t i = in->nodes[node].first_out; i != STG__NONE; i = in->edges.at[i].next_out) {
        const stg__edge *e = &in->edges.at[i];
        const stg__seen *client = e->seen[STG_SIDE_CLIENT];
        if (e->primary != STG__NONE && (!client || !client->acc[parity].calls))
            return;
        out_us += client ? (double)client->acc[parity].duration_us : 0;
    }
    if (!calls)
        return;
    size_t stride;
    double *row = node_row(in, node, &stride);
    row[in->node_column[N_EXCLUSIVE] * stride] = fmax(0, (in_us - out_us) / (double)calls);
}

/* --- gauges ----------------------------------------------------------------------------------- */

static void add_known(double *to, double value)
{
    *to = isnan(*to) ? value : *to + value;
}

static void max_known(double *to, double value)
{
    *to = isnan(*to) || value > *to ? value : *to;
}

static void fill_gauges(stg_ingest *in, uint64_t end_ns)
{
    const uint32_t *column = in->node_column;
    for (uint32_t i = 0; i < in->gauges.count; i++) {
        const stg_gauge *g = &in->gauges.at[i].now;
        if (g->time_ns == 0 || g->time_ns >= end_ns || end_ns - g->time_ns > in->gauge_ttl_ns)
            continue;
        size_t stride;
        double *row = node_row(in, g->node, &stride);
        add_known(&row[column[N_OPEN] * stride], g->open);
        add_known(&row[column[N_WAITING_HEADERS] * stride], g->waiting_headers);
        add_known(&row[column[N_ACTIVE] * stride], g->active);
        add_known(&row[column[N_IDLE] * stride], g->idle);
        add_known(&row[column[N_IN_FLIGHT] * stride], g->in_flight);
        max_known(&row[column[N_OLDEST_CONN] * stride], g->oldest_conn_ms);
        max_known(&row[column[N_OLDEST_HEADER] * stride], g->oldest_header_ms);
    }
}

int32_t stg__columns_fill(stg_ingest *in, uint32_t parity, uint64_t end_ns)
{
    const uint64_t start_ns = end_ns - in->window_ns;
    STG_RETURN_IF_ERROR(observer_columns(in));
    STG_RETURN_IF_ERROR(stg_graph_builder_begin(in->builder, start_ns, end_ns));
    stg__builder_coverage(in->builder, stg__ports_coverage(in, start_ns, parity));
    for (uint32_t i = 0; i < in->edges.count; i++)
        fill_edge(in, &in->edges.at[i], parity);
    fill_sums(in, parity);
    for (uint32_t node = 0; node < stg__names_count(in->node_names); node++) {
        fill_merged(in, node, parity);
        fill_exclusive(in, node, parity);
    }
    fill_gauges(in, end_ns);
    return STG_OK;
}
