/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ingest in a bundle, under "state/ingest/": which window closes next, the names and edges it knows
 * and by whom they were seen, the last gauges, the known client groups. Lanes and what is in them
 * belong to their writers and are not in it; calls of windows that are not closed are lost with the
 * process that had read them.
 */
#include <string.h>

#include "ingest_priv.h"

#define PREFIX "state/ingest/"

/* --- edges ------------------------------------------------------------------------------------ */

enum { EDGE_FIELDS = 4 }; /* src, dst, route, observers as bits */

static int32_t put_edges(const stg_ingest *in, stg_bundle *bundle)
{
    uint32_t kept = 0;
    uint32_t(*row)[EDGE_FIELDS] =
        (uint32_t(*)[EDGE_FIELDS])stg__calloc(in->ctx, in->edges.count, sizeof *row);
    if (!row)
        return STG_E_NOMEM;
    for (uint32_t i = 0; i < in->edges.count; i++) {
        const stg__edge *e = &in->edges.at[i];
        uint32_t sides = 0;
        for (uint32_t side = 0; side < STG__SIDES; side++)
            sides |= e->seen[side] ? 1u << side : 0;
        if (sides) /* without: memory ran out before its first call was counted */
            memcpy(row[kept++], (uint32_t[]){e->src, e->dst, e->route, sides}, sizeof *row);
    }
    const int32_t status = stg__put(bundle, PREFIX, "edges", STG__U32, kept, EDGE_FIELDS, row);
    stg__free(in->ctx, row);
    return status;
}

/* The edge as calls of all its observers would have made it. */
static int32_t get_edge(stg_ingest *in, const uint32_t *row, uint32_t place)
{
    stg__acc *acc;
    if (row[0] >= stg__names_count(in->node_names) || row[1] >= stg__names_count(in->node_names) ||
        row[2] >= stg__names_count(in->routes) || row[3] == 0 || row[3] >> STG__SIDES)
        return STG_E_FORMAT;
    for (uint32_t side = 0; side < STG__SIDES; side++) {
        stg_call call = {.src = row[0], .dst = row[1], .route = row[2], .side = (uint8_t)side};
        if (!(row[3] >> side & 1))
            continue;
        STG_RETURN_IF_ERROR(stg__edge_acc(
            in, &call, stg__edge_hash(in, call.src, call.dst, call.route), 0, &acc));
        if (call.src != row[0] || call.route != row[2])
            return STG_E_LIMIT; /* went to "other" */
    }
    return in->edges.count == place + 1 ? STG_OK : STG_E_FORMAT;
}

static int32_t get_edges(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "edges", STG__U32, UINT64_MAX, EDGE_FIELDS, &t, err));
    const uint32_t *row = (const uint32_t *)t->data;
    for (uint64_t i = 0; i < t->shape[0]; i++, row += EDGE_FIELDS) {
        const int32_t status = get_edge(in, row, (uint32_t)i);
        if (status == STG_E_FORMAT)
            return stg__fail(err, status, PREFIX "edges: edge %llu cannot be",
                             (unsigned long long)i);
        if (status == STG_E_LIMIT)
            return stg__fail(err, status, "more edges were saved than max_edges allows");
        STG_RETURN_IF_ERROR(status);
    }
    return STG_OK;
}

/* --- names ------------------------------------------------------------------------------------ */

static int32_t get_nodes(stg_ingest *in, const stg__names *saved, stg_error *err)
{
    for (uint32_t i = 0; i < stg__names_count(saved); i++) {
        size_t len;
        uint32_t id;
        const char *name = stg__names_get(saved, i, &len);
        if (len == 0 || len > STG_NAME_MAX || (i == 0 && strcmp(name, STG__EXTERNAL) != 0))
            return stg__fail(err, STG_E_FORMAT, PREFIX "nodes: name %u cannot be", i);
        STG_RETURN_IF_ERROR(stg__node_add(in, name, len, &id));
    }
    return STG_OK;
}

static int32_t get_routes(stg_ingest *in, const stg__names *saved, stg_error *err)
{
    for (uint32_t i = 0; i < stg__names_count(saved); i++) {
        size_t len;
        uint32_t id;
        const char *name = stg__names_get(saved, i, &len);
        if ((len == 0) != (i == 0) || len > STG_NAME_MAX)
            return stg__fail(err, STG_E_FORMAT, PREFIX "routes: name %u cannot be", i);
        STG_RETURN_IF_ERROR(stg__names_add(in->routes, name, len, &id));
    }
    return STG_OK;
}

static int32_t get_other(const stg_bundle *bundle, const char *name, uint32_t count, uint32_t *id,
                         stg_error *err)
{
    uint64_t value; /* one more than the id; 0: none */
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, name, count, &value, err));
    *id = value ? (uint32_t)value - 1 : STG__NONE;
    return STG_OK;
}

/* Both ends of the tables "other" come on top of what the options allow. */
static int32_t get_names(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    stg__names *nodes = NULL;
    stg__names *routes = NULL;
    int32_t status = stg__names_create(&nodes, in->ctx, in->max_nodes + 1);
    if (status == STG_OK)
        status = stg__names_create(&routes, in->ctx, in->max_routes + 2);
    if (status == STG_OK)
        status = stg__get_names(bundle, PREFIX, "nodes", nodes, err);
    if (status == STG_OK)
        status = stg__get_names(bundle, PREFIX, "routes", routes, err);
    if (status == STG_OK)
        status = get_nodes(in, nodes, err);
    if (status == STG_OK)
        status = get_routes(in, routes, err);
    stg__names_destroy(nodes);
    stg__names_destroy(routes);
    STG_RETURN_IF_ERROR(status);
    STG_RETURN_IF_ERROR(get_other(bundle, "other_node", stg__names_count(in->node_names),
                                  &in->other_node, err));
    return get_other(bundle, "other_route", stg__names_count(in->routes), &in->other_route, err);
}

/* --- gauges ----------------------------------------------------------------------------------- */

enum { G_NODE, G_PRODUCER, G_OPEN, G_WAITING, G_ACTIVE, G_IDLE, G_IN_FLIGHT, G_CONN, G_HEADER,
       GAUGE_FIELDS };

static int32_t put_gauges(const stg_ingest *in, stg_bundle *bundle)
{
    const uint32_t count = in->gauges.count;
    uint64_t *time = (uint64_t *)stg__calloc(in->ctx, count, sizeof *time);
    uint32_t(*row)[GAUGE_FIELDS] = (uint32_t(*)[GAUGE_FIELDS])stg__calloc(in->ctx, count, sizeof *row);
    int32_t status = time && row ? STG_OK : STG_E_NOMEM;
    for (uint32_t i = 0; status == STG_OK && i < count; i++) {
        const stg_gauge *g = &in->gauges.at[i].now;
        const uint32_t all[GAUGE_FIELDS] = {
            g->node, g->producer,  g->open,           g->waiting_headers, g->active,
            g->idle, g->in_flight, g->oldest_conn_ms, g->oldest_header_ms};
        time[i] = g->time_ns;
        memcpy(row[i], all, sizeof all);
    }
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "gauges.time", STG__U64, count, 0, time);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "gauges", STG__U32, count, GAUGE_FIELDS, row);
    stg__free(in->ctx, time);
    stg__free(in->ctx, row);
    return status;
}

static int32_t get_gauges(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *time;
    const stg__tensor *rows;
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "gauges.time", STG__U64, UINT64_MAX, 0, &time, err));
    const uint64_t count = time->shape[0];
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "gauges", STG__U32, count, GAUGE_FIELDS, &rows, err));
    const uint32_t *r = (const uint32_t *)rows->data;
    for (uint64_t i = 0; i < count; i++, r += GAUGE_FIELDS) {
        const stg_gauge g = {
            .time_ns = ((const uint64_t *)time->data)[i],
            .node = r[G_NODE],
            .producer = r[G_PRODUCER],
            .open = r[G_OPEN],
            .waiting_headers = r[G_WAITING],
            .active = r[G_ACTIVE],
            .idle = r[G_IDLE],
            .in_flight = r[G_IN_FLIGHT],
            .oldest_conn_ms = r[G_CONN],
            .oldest_header_ms = r[G_HEADER],
        };
        if (g.node >= stg__names_count(in->node_names))
            return stg__fail(err, STG_E_FORMAT, PREFIX "gauges: no such node");
        STG_RETURN_IF_ERROR(stg__gauges_take(in, &g, false));
    }
    in->gauge_count = in->malformed = 0; /* of the ledger, which begins anew */
    return STG_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static uint64_t or_zero(uint32_t id)
{
    return id == STG__NONE ? 0 : id + UINT64_C(1);
}

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_ingest *in = (const stg_ingest *)object;
    if (stg__ctx_forked(in->ctx))
        return stg__fail(err, STG_E_FORK, "ingest used in a child process");
    const stg__number number[] = {
        {"version", 1},
        {"window_ns", in->window_ns},
        {"closed", in->closed_any},
        {"cur", in->cur},
        {"other_node", or_zero(in->other_node)},
        {"other_route", or_zero(in->other_route)},
    };
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, PREFIX, number, sizeof number / sizeof *number));
    STG_RETURN_IF_ERROR(stg__put_names(bundle, PREFIX, "nodes", in->node_names));
    STG_RETURN_IF_ERROR(stg__put_names(bundle, PREFIX, "routes", in->routes));
    STG_RETURN_IF_ERROR(put_edges(in, bundle));
    STG_RETURN_IF_ERROR(put_gauges(in, bundle));
    return stg__groups_put(in, bundle, PREFIX);
}

static int32_t fill(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    uint64_t closed;
    uint64_t cur;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "closed", 1, &closed, err));
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, PREFIX, "cur", UINT64_MAX / in->window_ns - 2, &cur, err));
    STG_RETURN_IF_ERROR(get_names(in, bundle, err));
    STG_RETURN_IF_ERROR(get_edges(in, bundle, err));
    STG_RETURN_IF_ERROR(stg__groups_get(in, bundle, PREFIX, err));
    if (closed) {
        stg__groups_resume(in, cur * in->window_ns);
        stg__windows_move(in, cur);
        in->closed_any = true;
    }
    return get_gauges(in, bundle, err);
}

static int32_t check(const stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    uint64_t window;
    if (stg__ctx_forked(in->ctx))
        return stg__fail(err, STG_E_FORK, "ingest used in a child process");
    if (in->port_count || in->have)
        return stg__fail(err, STG_E_STATE, "the ingest has lanes or windows already");
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "window_ns", UINT64_MAX, &window, err));
    return window == in->window_ns
               ? STG_OK
               : stg__fail(err, STG_E_MISMATCH, "the ingest was saved with another window");
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_ingest *in = (const stg_ingest *)object;
    stg_ingest *fresh;
    STG_RETURN_IF_ERROR(check(in, bundle, err));
    const stg_ingest_opts opts = {
        .size = sizeof opts,
        .window_ns = in->window_ns,
        .gauge_ttl_ns = in->gauge_ttl_ns,
        .ahead_ns = in->ahead_ns,
        .snapshots = in->snapshots,
        .max_nodes = in->max_nodes,
        .max_edges = in->edges.max,
        .max_routes = in->max_routes,
        .max_lanes = in->max_lanes,
    };
    STG_RETURN_IF_ERROR(stg_ingest_create(&fresh, in->ctx, &opts));
    const int32_t status = fill(fresh, bundle, err);
    if (status != STG_OK) {
        stg_ingest_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

static void swap(void *object, void *twin)
{
    stg_ingest *in = (stg_ingest *)object;
    stg_ingest *t = (stg_ingest *)twin;
    const stg_ingest old = *in;
    *in = *t;
    *t = old;
}

static void destroy(void *twin)
{
    stg_ingest_destroy((stg_ingest *)twin);
}

const stg__state_type stg__ingest_state = {PREFIX, 1, save, load, swap, destroy, {NULL}};
