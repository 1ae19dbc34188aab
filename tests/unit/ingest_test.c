/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingest: every column against hand-made numbers, which window a call belongs to, the ledger,
 * coverage, gauges, known groups, full tables, no allocation after warm-up, no leak without memory.
 */
#include <math.h>
#include <unistd.h>

#include <stgraph/ingest.h>

#include "test.h"

#define S UINT64_C(1000000000)
#define T0 (UINT64_C(1700000000) * S) /* a multiple of 5 s */

typedef struct fixture {
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    const stg_graph *g;
} fixture;

static fixture setup(const stg_ingest_opts *opts)
{
    fixture f = {.ctx = test_ctx(NULL)};
    ck_assert_int_eq(stg_ingest_create(&f.in, f.ctx, opts), STG_OK);
    ck_assert_int_eq(stg_lane_open(&f.lane, f.in, NULL), STG_OK);
    return f;
}

static void teardown(fixture *f)
{
    stg_unref(f->g);
    stg_lane_close(f->lane);
    stg_ingest_destroy(f->in);
    stg_ctx_destroy(f->ctx);
}

static uint32_t node_of(stg_lane *lane, const char *name)
{
    uint32_t id = 0;
    if (strcmp(name, "external") != 0)
        ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, name, strlen(name), &id), STG_OK);
    return id;
}

static stg_call call_of(stg_lane *lane, const char *src, const char *dst, const char *route,
                        uint64_t end_ns, uint8_t side)
{
    stg_call c = {
        .end_ns = end_ns, .duration_us = 1000, .status = 200, .side = side,
        .src = node_of(lane, src), .dst = node_of(lane, dst),
    };
    if (*route)
        ck_assert_int_eq(stg_lane_intern(lane, STG_ROUTE, route, strlen(route), &c.route), STG_OK);
    return c;
}

static void push(stg_lane *lane, const stg_call *c, int n)
{
    for (int i = 0; i < n; i++)
        ck_assert_uint_eq(stg_lane_push(lane, c, 1), 1);
}

static void close_window(fixture *f, uint64_t end)
{
    stg_unref(f->g);
    f->g = NULL;
    ck_assert_int_eq(stg_ingest_close(f->in, end, &f->g), STG_OK);
}

static stg_ingest_stats stats_of(const fixture *f)
{
    stg_ingest_stats s = {.size = sizeof s};
    ck_assert_int_eq(stg_ingest_get_stats(f->in, &s), STG_OK);
    ck_assert_uint_eq(s.pushed, s.windowed + s.late + s.refused + s.waiting);
    return s;
}

static uint32_t edge_of(const stg_graph *g, const char *src, const char *dst, const char *route)
{
    stg_graph_info info = {.size = sizeof info};
    stg_edges e = {.size = sizeof e};
    stg_graph_get_info(g, &info);
    stg_graph_get_edges(g, &e);
    for (uint32_t i = 0; i < info.edges; i++)
        if (strcmp(stg_graph_name(g, STG_NODE, e.src[i], NULL), src) == 0 &&
            strcmp(stg_graph_name(g, STG_NODE, e.dst[i], NULL), dst) == 0 &&
            strcmp(stg_graph_name(g, STG_ROUTE, e.route[i], NULL), route) == 0)
            return i;
    return UINT32_MAX;
}

static double edge_value(const stg_graph *g, const char *src, const char *dst, const char *route,
                         const char *column)
{
    const double *c = stg_graph_column(g, STG_EDGE, column, strlen(column));
    const uint32_t e = edge_of(g, src, dst, route);
    ck_assert_msg(c != NULL, "no column %s", column);
    ck_assert_msg(e != UINT32_MAX, "no edge %s %s %s", src, dst, route);
    return c[e];
}

static double node_value(const stg_graph *g, const char *node, const char *column)
{
    const double *c = stg_graph_column(g, STG_NODE, column, strlen(column));
    const uint32_t n = stg_graph_find(g, node, strlen(node));
    ck_assert_msg(c != NULL, "no column %s", column);
    ck_assert_msg(n != UINT32_MAX, "no node %s", node);
    return c[n];
}

#define EDGE(src, dst, route, column, value)                                                       \
    ck_assert_double_eq(edge_value(f.g, src, dst, route, column), value)
#define NODE(name, column, value) ck_assert_double_eq(node_value(f.g, name, column), value)
#define NEAR(a, b) ck_assert_double_eq_tol(a, b, 0.0101 * fabs((double)(b)))

/* --- columns ---------------------------------------------------------------------------------- */

static void push_outside_calls(stg_lane *lane)
{
    stg_call c = call_of(lane, "external", "web", "GET /", T0 + 1, STG_SIDE_PROXY);
    static const uint16_t statuses[] = {200, 0, 500, 503, 404, 401, 403, 429, 302, 100};
    for (uint32_t i = 0; i < 10; i++) {
        c.status = statuses[i];
        c.duration_us = 1000 * (i + 1);
        c.bytes_in = 10;
        c.bytes_out = UINT32_MAX;
        c.client = i < 6 ? 77 : 100 + i;
        c.group = 1 + i % 2;
        c.flags = i < 3 ? STG_CALL_LOGIN : 0;
        c.flags |= i < 2 ? STG_CALL_LOGIN_FAILED : 0;
        c.flags |= i == 4 ? STG_CALL_REGISTER | STG_CALL_ASSET : 0;
        c.flags |= i == 5 ? STG_CALL_RETRY | STG_CALL_TIMEOUT : 0;
        c.attempt = i == 6;
        c.injection = i == 7 ? 3 : 0;
        c.user = 500 + i / 2; /* two accounts among the logins */
        push(lane, &c, 1);
    }
}

START_TEST(edge_columns)
{
    fixture f = setup(NULL);
    push_outside_calls(f.lane);
    close_window(&f, T0 + 5 * S);
    static const struct {
        const char *name;
        double value;
    } counts[] = {
        {"calls", 10}, {"errors", 3}, {"client_errors", 4}, {"denied", 3}, {"bytes_in", 100},
        {"bytes_out", 42949672950.0}, {"duration_us", 55000}, {"logins", 3},
        {"login_failures", 2}, {"registers", 1}, {"assets", 1}, {"retries", 2}, {"timeouts", 1},
        {"injections", 1}, {"new_group_calls", 10}, {"top_client_calls", 6}, {"mean_us", 5500},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        char name[64];
        EDGE("external", "web", "GET /", counts[i].name, counts[i].value);
        snprintf(name, sizeof name, "proxy.%s", counts[i].name);
        EDGE("external", "web", "GET /", name, counts[i].value);
    }
    NEAR(edge_value(f.g, "external", "web", "GET /", "clients"), 5);
    NEAR(edge_value(f.g, "external", "web", "GET /", "groups"), 2);
    NEAR(edge_value(f.g, "external", "web", "GET /", "users"), 2);
    NEAR(edge_value(f.g, "external", "web", "GET /", "p50_us"), 5000);
    NEAR(edge_value(f.g, "external", "web", "GET /", "p99_us"), 9000);
    ck_assert_ptr_null(stg_graph_column(f.g, STG_EDGE, "client.calls", 12));

    NODE("external", "calls", 10);
    NODE("external", "out_calls", 10);
    NODE("external", "out_errors", 3);
    NODE("external", "errors", 0);
    NODE("web", "calls", 10);
    NODE("web", "errors", 3);
    NODE("web", "client_errors", 4);
    NODE("web", "denied", 3);
    NODE("web", "bytes_in", 100);
    NODE("web", "bytes_out", 42949672950.0);
    NODE("web", "logins", 3);
    NODE("web", "login_failures", 2);
    NODE("web", "registers", 1);
    NODE("web", "assets", 1);
    NODE("web", "injections", 1);
    NODE("web", "retries", 2);
    NODE("web", "timeouts", 1);
    NODE("web", "out_calls", 0);
    NODE("web", "mean_us", 5500);
    NEAR(node_value(f.g, "web", "clients"), 5);
    NEAR(node_value(f.g, "web", "p50_us"), 5000);
    ck_assert(isnan(node_value(f.g, "web", "exclusive_us")));
    ck_assert(isnan(node_value(f.g, "web", "open")));
    ck_assert(isnan(node_value(f.g, "external", "mean_us")));

    close_window(&f, T0 + 10 * S); /* nothing happened: counts are zero, latencies unknown */
    EDGE("external", "web", "GET /", "calls", 0);
    EDGE("external", "web", "GET /", "clients", 0);
    EDGE("external", "web", "GET /", "proxy.top_client_calls", 0);
    ck_assert(isnan(edge_value(f.g, "external", "web", "GET /", "p99_us")));
    ck_assert(isnan(edge_value(f.g, "external", "web", "GET /", "mean_us")));
    NODE("web", "calls", 0);
    NODE("web", "clients", 0);
    ck_assert(isnan(node_value(f.g, "web", "p50_us")));
    teardown(&f);
}
END_TEST

START_TEST(observers_are_not_added_up)
{
    fixture f = setup(NULL);
    stg_call c = call_of(f.lane, "web", "cart", "", T0, STG_SIDE_CLIENT);
    push(f.lane, &c, 3);
    c.side = STG_SIDE_SERVER;
    c.duration_us = 400;
    push(f.lane, &c, 3);
    c.src = node_of(f.lane, "app");
    push(f.lane, &c, 5);
    c.side = STG_SIDE_CLIENT;
    push(f.lane, &c, 4);
    close_window(&f, T0 + 5 * S);
    EDGE("web", "cart", "", "client.calls", 3);
    EDGE("web", "cart", "", "server.calls", 3);
    EDGE("web", "cart", "", "calls", 3);
    EDGE("web", "cart", "", "mean_us", 1000); /* the client's, first among equals */
    EDGE("web", "cart", "", "server.mean_us", 400);
    EDGE("app", "cart", "", "calls", 5); /* the server saw more */
    NODE("cart", "calls", 8);
    NODE("web", "out_calls", 3);
    NODE("app", "out_calls", 5);
    /* An observer that never saw an edge says nothing about it. */
    c = call_of(f.lane, "web", "db", "", T0 + 6 * S, STG_SIDE_CARD);
    push(f.lane, &c, 1);
    close_window(&f, T0 + 10 * S);
    ck_assert(isnan(edge_value(f.g, "web", "cart", "", "card.calls")));
    ck_assert(isnan(edge_value(f.g, "web", "db", "", "client.calls")));
    EDGE("web", "cart", "", "client.calls", 0);
    EDGE("web", "db", "", "calls", 1);
    teardown(&f);
}
END_TEST

START_TEST(exclusive_time)
{
    fixture f = setup(NULL);
    stg_call c = call_of(f.lane, "external", "web", "", T0, STG_SIDE_SERVER);
    c.duration_us = 5000;
    push(f.lane, &c, 2);
    c = call_of(f.lane, "web", "db", "", T0, STG_SIDE_CLIENT);
    c.duration_us = 1500;
    push(f.lane, &c, 4);
    c.side = STG_SIDE_SERVER;
    c.duration_us = 1200;
    push(f.lane, &c, 4);
    close_window(&f, T0 + 5 * S);
    NODE("web", "exclusive_us", 2000); /* (2 x 5000 - 4 x 1500) / 2 */
    NODE("db", "exclusive_us", 1200);
    ck_assert(isnan(node_value(f.g, "external", "exclusive_us")));

    c = call_of(f.lane, "external", "web", "", T0 + 5 * S, STG_SIDE_SERVER);
    push(f.lane, &c, 1);
    c = call_of(f.lane, "web", "db", "", T0 + 5 * S, STG_SIDE_SERVER);
    push(f.lane, &c, 1);
    close_window(&f, T0 + 10 * S);
    ck_assert(isnan(node_value(f.g, "web", "exclusive_us"))); /* its calls were seen by db only */

    c = call_of(f.lane, "external", "web", "", T0 + 10 * S, STG_SIDE_SERVER);
    push(f.lane, &c, 1);
    c = call_of(f.lane, "web", "db", "", T0 + 10 * S, STG_SIDE_CLIENT);
    push(f.lane, &c, 3); /* in parallel */
    close_window(&f, T0 + 15 * S);
    NODE("web", "exclusive_us", 0);
    teardown(&f);
}
END_TEST

/* --- time ------------------------------------------------------------------------------------- */

START_TEST(windows)
{
    fixture f = setup(NULL);
    stg_call c = call_of(f.lane, "external", "web", "", T0, STG_SIDE_PROXY);
    c.end_ns = T0;
    push(f.lane, &c, 1);
    c.end_ns = T0 + 5 * S - 1;
    push(f.lane, &c, 2);
    c.end_ns = T0 + 5 * S;
    push(f.lane, &c, 4); /* the next window */
    c.end_ns = T0 + 10 * S;
    push(f.lane, &c, 8); /* not open yet: waits */
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).windowed, 7);
    ck_assert_uint_eq(stats_of(&f).waiting, 8);
    ck_assert_int_eq(stg_ingest_close(f.in, T0 + 5 * S + 1, &f.g), STG_E_INVALID);
    close_window(&f, T0 + 5 * S);
    NODE("web", "calls", 3);
    stg_graph_info info = {.size = sizeof info};
    stg_graph_get_info(f.g, &info);
    ck_assert_uint_eq(info.start_ns, T0);
    ck_assert_uint_eq(info.end_ns, T0 + 5 * S);
    ck_assert_int_eq(stg_ingest_close(f.in, T0 + 5 * S, NULL), STG_E_TIME);
    c.end_ns = T0 + 1;
    push(f.lane, &c, 16); /* late */
    close_window(&f, T0 + 10 * S);
    NODE("web", "calls", 4);
    close_window(&f, T0 + 15 * S);
    NODE("web", "calls", 8);
    ck_assert_uint_eq(stats_of(&f).late, 16);
    c.end_ns = T0 + 15 * S + 5 * S + 3600 * S;
    push(f.lane, &c, 1); /* an hour after the end of the window that closes next: waits */
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).waiting, 1);
    close_window(&f, T0 + 3620 * S);
    ck_assert_uint_eq(stats_of(&f).waiting, 0); /* windows were skipped: it is in the next one */
    close_window(&f, T0 + 3625 * S);
    NODE("web", "calls", 1);
    c.end_ns = T0 + 3630 * S + 3600 * S + 1;
    push(f.lane, &c, 32); /* a wrong clock */
    c.end_ns = UINT64_MAX;
    push(f.lane, &c, 1);
    c.end_ns = 0;
    push(f.lane, &c, 1);
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    const stg_ingest_stats s = stats_of(&f);
    ck_assert_uint_eq(s.refused, 33);
    ck_assert_uint_eq(s.late, 17);
    ck_assert_uint_eq(s.windowed, 16);
    ck_assert_uint_eq(s.pushed, 66);
    teardown(&f);
}
END_TEST

START_TEST(skipped_windows_are_late)
{
    fixture f = setup(NULL);
    stg_call c = call_of(f.lane, "external", "web", "", T0, STG_SIDE_PROXY);
    for (uint64_t w = 0; w < 6; w++) {
        c.end_ns = T0 + w * 5 * S;
        push(f.lane, &c, 1 << w);
    }
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK); /* 0 and 1 are in open windows */
    ck_assert_uint_eq(stats_of(&f).windowed, 3);
    close_window(&f, T0 + 20 * S); /* window 3 */
    NODE("web", "calls", 8);
    const stg_ingest_stats s = stats_of(&f);
    ck_assert_uint_eq(s.late, 7);
    ck_assert_uint_eq(s.windowed, 8 + 16);
    ck_assert_uint_eq(s.waiting, 32);
    ck_assert_int_eq(stg_ingest_close(f.in, T0 + 25 * S, NULL), STG_OK); /* without a graph */
    close_window(&f, T0 + 30 * S);
    NODE("web", "calls", 32);
    ck_assert_uint_eq(stats_of(&f).windowed, 8 + 16 + 32);
    teardown(&f);
}
END_TEST

/* Before the first close the calls say where time begins, then the host does. */
START_TEST(beginning)
{
    fixture f = setup(NULL);
    stg_call c = call_of(f.lane, "external", "web", "", T0 + 10 * S, STG_SIDE_PROXY);
    push(f.lane, &c, 1);
    c.end_ns = T0 + 5 * S; /* the lane of a slower worker is one window behind */
    push(f.lane, &c, 2);
    c.end_ns = T0 + 10 * S;
    push(f.lane, &c, 4);
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).windowed, 7);
    close_window(&f, T0 + 10 * S);
    NODE("web", "calls", 2);
    close_window(&f, T0 + 15 * S);
    NODE("web", "calls", 5);
    teardown(&f);

    f = setup(NULL);
    c = call_of(f.lane, "external", "web", "", T0 + 900 * S, STG_SIDE_PROXY);
    push(f.lane, &c, 1); /* a clock that is ahead comes first */
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).windowed, 1);
    c.end_ns = T0;
    push(f.lane, &c, 2);
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).waiting, 2);
    close_window(&f, T0 + 5 * S);
    NODE("web", "calls", 2); /* nothing of the right time is lost */
    ck_assert_uint_eq(stats_of(&f).refused, 1);
    teardown(&f);
}
END_TEST

START_TEST(polling_changes_nothing)
{
    double values[3][4];
    for (int way = 0; way < 3; way++) {
        fixture f = setup(NULL);
        stg_call c = call_of(f.lane, "external", "web", "", T0, STG_SIDE_PROXY);
        for (uint32_t i = 0; i < 3000; i++) {
            c.end_ns = T0 + i * 3333333;
            c.duration_us = i * 7919 % 10000;
            c.client = 1 + i * 31 % 200;
            c.group = 1 + i % 50;
            push(f.lane, &c, 1);
            if (way == 1 && i % 100 == 0)
                ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
        }
        if (way == 2)
            ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
        for (uint64_t w = 0; w < 2; w++) {
            close_window(&f, T0 + 5 * S * (w + 1));
            values[way][2 * w] = node_value(f.g, "web", "p99_us");
            values[way][2 * w + 1] = edge_value(f.g, "external", "web", "", "new_group_calls") +
                                     edge_value(f.g, "external", "web", "", "clients");
        }
        teardown(&f);
    }
    ck_assert_int_eq(memcmp(values[0], values[1], sizeof values[0]), 0);
    ck_assert_int_eq(memcmp(values[0], values[2], sizeof values[0]), 0);
}
END_TEST

static double coverage_of(const stg_graph *g)
{
    stg_graph_info info = {.size = sizeof info};
    stg_graph_get_info(g, &info);
    return info.coverage;
}

START_TEST(coverage)
{
    fixture f = setup(NULL);
    stg_lane *b;
    stg_lane *idle;
    ck_assert_int_eq(stg_lane_open(&b, f.in, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&idle, f.in, NULL), STG_OK);
    close_window(&f, T0);
    ck_assert(isnan(coverage_of(f.g))); /* nobody has shown life yet */
    stg_call c = call_of(f.lane, "external", "web", "", T0, STG_SIDE_PROXY);
    push(f.lane, &c, 1);
    stg_lane_beat(b, T0 + 1);
    close_window(&f, T0 + 5 * S);
    ck_assert_double_eq(coverage_of(f.g), 1); /* the third lane never began */
    c.end_ns = T0 + 5 * S;
    push(f.lane, &c, 1);
    close_window(&f, T0 + 10 * S);
    ck_assert_double_eq(coverage_of(f.g), 0.5);
    const stg_gauge gauge = {.time_ns = T0 + 11 * S, .node = c.dst};
    ck_assert_int_eq(stg_lane_gauge(f.lane, &gauge), STG_OK);
    stg_lane_beat(b, T0 + 12 * S);
    stg_lane_beat(idle, T0 + 12 * S);
    close_window(&f, T0 + 15 * S);
    ck_assert_double_eq(coverage_of(f.g), 1);
    c.end_ns = T0 + 15 * S;
    push(f.lane, &c, 1);
    stg_lane_close(f.lane); /* leaves after it was seen in this window */
    close_window(&f, T0 + 20 * S);
    ck_assert_double_eq_tol(coverage_of(f.g), 1.0 / 3, 1e-12);
    NODE("web", "calls", 1);
    close_window(&f, T0 + 25 * S);
    ck_assert_double_eq(coverage_of(f.g), 0);
    stg_lane_close(idle);
    f.lane = b;
    teardown(&f);
}
END_TEST

/* --- gauges ----------------------------------------------------------------------------------- */

START_TEST(gauges)
{
    fixture f = setup(NULL);
    const uint32_t web = node_of(f.lane, "web");
    stg_gauge g = {.time_ns = T0 + 1, .node = web, .producer = 1, .open = 10, .active = 1,
                   .waiting_headers = 2, .idle = 3, .in_flight = 4, .oldest_conn_ms = 50,
                   .oldest_header_ms = 60};
    ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
    g.open = 12; /* the last one counts */
    g.time_ns = T0 + 2;
    ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
    g.producer = 2;
    g.open = 5;
    g.oldest_conn_ms = 40;
    g.oldest_header_ms = 70;
    ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
    g.time_ns = T0 + 6 * S; /* read now, but of the next window */
    g.open = 100;
    ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
    close_window(&f, T0 + 5 * S);
    NODE("web", "open", 17);
    NODE("web", "waiting_headers", 4);
    NODE("web", "active", 2);
    NODE("web", "idle", 6);
    NODE("web", "in_flight", 8);
    NODE("web", "oldest_conn_ms", 50);
    NODE("web", "oldest_header_ms", 70);
    NODE("web", "calls", 0);
    ck_assert(isnan(node_value(f.g, "external", "open")));
    close_window(&f, T0 + 10 * S);
    NODE("web", "open", 112);
    close_window(&f, T0 + 15 * S);
    NODE("web", "open", 112);
    close_window(&f, T0 + 20 * S); /* producer 1 has been silent for more than three windows */
    NODE("web", "open", 100);
    close_window(&f, T0 + 25 * S);
    ck_assert(isnan(node_value(f.g, "web", "open")));
    ck_assert_uint_eq(stats_of(&f).gauges, 4);
    g.node = 999; /* never told */
    ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_uint_eq(stats_of(&f).malformed, 1);
    teardown(&f);
}
END_TEST

START_TEST(restarted_producers_need_no_memory_for_ever)
{
    const stg_ingest_opts opts = {.size = sizeof opts, .max_nodes = 4};
    fixture f = setup(&opts);
    stg_gauge g = {.node = node_of(f.lane, "web"), .open = 1};
    for (uint32_t w = 0; w < 200; w++) { /* far more producers in all than the table holds */
        g.time_ns = T0 + w * 5 * S;
        for (int i = 0; i < 5; i++) {
            g.producer++;
            ck_assert_int_eq(stg_lane_gauge(f.lane, &g), STG_OK);
        }
        close_window(&f, T0 + (w + 1) * 5 * S);
        NODE("web", "open", w < 3 ? 5 * (w + 1) : 15);
    }
    ck_assert_uint_eq(stats_of(&f).gauges, 1000);
    ck_assert_uint_eq(stats_of(&f).malformed, 0);
    teardown(&f);
}
END_TEST

/* --- groups ----------------------------------------------------------------------------------- */

static void group_calls(fixture *f, uint64_t at, uint32_t first, uint32_t count)
{
    stg_call c = call_of(f->lane, "external", "web", "", at, STG_SIDE_PROXY);
    for (uint32_t i = 0; i < count; i++) {
        c.group = first + i;
        push(f->lane, &c, 2);
    }
}

#define NEW_CALLS(value) EDGE("external", "web", "", "new_group_calls", value)

START_TEST(known_groups)
{
    const uint64_t day = 86400 * S;
    fixture f = setup(NULL);
    group_calls(&f, T0, 1, 100);
    close_window(&f, T0 + 5 * S);
    NEW_CALLS(200); /* both calls of each group */
    group_calls(&f, T0 + 5 * S, 51, 100);
    close_window(&f, T0 + 10 * S);
    NEW_CALLS(100);
    group_calls(&f, T0 + 10 * S, 1, 150);
    close_window(&f, T0 + 15 * S);
    NEW_CALLS(0);
    group_calls(&f, T0 + 6 * day, 1, 50); /* seen again, so known on */
    close_window(&f, T0 + 6 * day + 5 * S);
    NEW_CALLS(0);
    group_calls(&f, T0 + 12 * day, 1, 150);
    close_window(&f, T0 + 12 * day + 5 * S);
    NEW_CALLS(200); /* the other hundred were forgotten */
    teardown(&f);
}
END_TEST

START_TEST(groups_move_with_a_bundle)
{
    fixture f = setup(NULL);
    stg_bundle *bundle;
    stg_error err;
    size_t len;
    ck_assert_int_eq(stg_bundle_open(&bundle, f.ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_ingest_restore(f.in, bundle, &err), STG_E_NOTFOUND);
    group_calls(&f, T0, 1, 100);
    close_window(&f, T0 + 5 * S);
    ck_assert_int_eq(stg_ingest_store(f.in, bundle), STG_OK);
    ck_assert_int_eq(stg_ingest_store(f.in, bundle), STG_OK);
    ck_assert_int_eq(stg_bundle_serialize(bundle, NULL, 0, &len), STG_MORE);
    stg_bundle *copy;
    char *bytes = (char *)malloc(len);
    ck_assert_int_eq(stg_bundle_serialize(bundle, bytes, len, &len), STG_OK);
    ck_assert_int_eq(stg_bundle_parse(&copy, f.ctx, bytes, len, &err), STG_OK);
    free(bytes);
    teardown(&f);

    f = setup(NULL);
    ck_assert_int_eq(stg_ingest_restore(f.in, copy, &err), STG_OK);
    const uint64_t later = T0 + 30 * 86400 * S; /* nobody watched: nothing was forgotten */
    group_calls(&f, later, 1, 200);
    close_window(&f, later + 5 * S);
    NEW_CALLS(200);
    teardown(&f);

    stg_ctx *ctx;
    stg_ingest *in;
    const stg_ctx_opts opts = {.size = sizeof opts, .sketch_key = 5};
    ck_assert_int_eq(stg_ctx_create(&ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_ingest_restore(in, copy, &err), STG_E_MISMATCH);
    ck_assert_str_ne(err.text, "");
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
    stg_bundle_destroy(bundle);
    stg_bundle_destroy(copy);
}
END_TEST

START_TEST(few_groups_pass_for_known)
{
    fixture f = setup(NULL);
    for (uint32_t i = 0; i < 10; i++) {
        group_calls(&f, T0 + i * 5 * S, 1 + i * 10000, 10000);
        close_window(&f, T0 + (i + 1) * 5 * S);
        ck_assert_double_ge(edge_value(f.g, "external", "web", "", "new_group_calls"), 19700);
    }
    group_calls(&f, T0 + 50 * S, 1, 30000); /* none of them is ever unknown again */
    close_window(&f, T0 + 55 * S);
    NEW_CALLS(0);
    teardown(&f);
}
END_TEST

/* --- limits ----------------------------------------------------------------------------------- */

START_TEST(full_tables_count_into_other)
{
    const stg_ingest_opts opts = {.size = sizeof opts, .max_nodes = 8, .max_edges = 10,
                                  .max_routes = 3, .max_lanes = 2};
    fixture f = setup(&opts);
    stg_lane *lane;
    stg_lane *none;
    ck_assert_int_eq(stg_lane_open(&lane, f.in, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&none, f.in, NULL), STG_E_LIMIT);
    uint64_t calls = 0;
    for (int i = 0; i < 40; i++) {
        char src[8];
        char dst[8];
        char route[8];
        snprintf(src, sizeof src, "n%d", i % 7);
        snprintf(dst, sizeof dst, "n%d", (i * 5 + 1) % 13);
        snprintf(route, sizeof route, "/%d", i % 6);
        const stg_call c = call_of(i % 2 ? lane : f.lane, src, dst, route, T0, STG_SIDE_CLIENT);
        push(i % 2 ? lane : f.lane, &c, 3);
        calls += 3;
    }
    close_window(&f, T0 + 5 * S);
    stg_ingest_stats s = stats_of(&f);
    stg_graph_info info = {.size = sizeof info};
    stg_graph_get_info(f.g, &info);
    ck_assert_uint_eq(s.windowed, calls);
    ck_assert_uint_eq(info.nodes, 9); /* and "other" */
    ck_assert_uint_eq(info.edges, s.edges);
    ck_assert_uint_le(info.edges, 10 + 2 * 9);
    ck_assert_uint_gt(s.other_nodes, 0);
    ck_assert_uint_gt(s.other_edges, 0);
    const double *total = stg_graph_column(f.g, STG_EDGE, "calls", 5);
    const double *nodes = stg_graph_column(f.g, STG_NODE, "calls", 5);
    double sum = 0;
    double in_calls = 0;
    for (uint32_t e = 0; e < info.edges; e++)
        sum += total[e];
    for (uint32_t n = 1; n < info.nodes; n++)
        in_calls += nodes[n];
    ck_assert_double_eq(sum, (double)calls); /* nothing got lost */
    ck_assert_double_eq(in_calls, (double)calls);
    ck_assert_uint_ne(stg_graph_find(f.g, "other", 5), UINT32_MAX);
    stg_lane_close(lane);
    teardown(&f);
}
END_TEST

START_TEST(malformed_calls_are_refused)
{
    fixture f = setup(NULL);
    const stg_call good = call_of(f.lane, "external", "web", "/", T0, STG_SIDE_PROXY);
    stg_call c[5] = {good, good, good, good, good};
    c[0].dst = 2; /* never told */
    c[1].src = UINT32_MAX;
    c[2].route = 2;
    c[3].side = 4;
    ck_assert_uint_eq(stg_lane_push(f.lane, c, 5), 5);
    close_window(&f, T0 + 5 * S);
    const stg_ingest_stats s = stats_of(&f);
    ck_assert_uint_eq(s.malformed, 4);
    ck_assert_uint_eq(s.refused, 4);
    ck_assert_uint_eq(s.windowed, 1);
    NODE("web", "calls", 1);
    teardown(&f);
}
END_TEST

START_TEST(options)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    static const stg_ingest_opts bad[] = {
        {.size = sizeof bad[0], .window_ns = 999999},
        {.size = sizeof bad[0], .window_ns = 3601 * S},
        {.size = sizeof bad[0], .max_nodes = UINT32_MAX},
        {.size = sizeof bad[0], .max_edges = UINT32_MAX},
        {.size = sizeof bad[0], .max_routes = UINT32_MAX},
        {.size = sizeof bad[0], .max_lanes = UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(stg_ingest_create(&in, ctx, &bad[i]), STG_E_INVALID);
        ck_assert_ptr_null(in);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- memory ----------------------------------------------------------------------------------- */

/* One window with everything in it; stops at the first error. */
static int32_t busy_window(stg_ingest *in, stg_lane *lane, uint64_t at, const stg_graph **g)
{
    static const char *const names[] = {"web", "cart", "auth", "db"};
    uint32_t node[4];
    uint32_t route;
    int32_t status = STG_OK;
    for (int i = 0; status == STG_OK && i < 4; i++)
        status = stg_lane_intern(lane, STG_NODE, names[i], strlen(names[i]), &node[i]);
    if (status == STG_OK)
        status = stg_lane_intern(lane, STG_ROUTE, "GET /", 5, &route);
    if (status != STG_OK)
        return status;
    for (uint32_t i = 0; i < 400; i++) {
        const stg_call c = {
            .end_ns = at + i * (7 * S / 400), .src = i % 4 ? node[i % 4 - 1] : 0,
            .dst = node[i % 4], .route = i % 8 ? 0 : route, .side = (uint8_t)(i % 3),
            .client = i % 4 ? 0 : 1 + i % 99, .group = i % 4 ? 0 : 1 + i % 55,
            .user = 5, .flags = STG_CALL_LOGIN, .duration_us = i * i, .status = 200,
        };
        stg_lane_push(lane, &c, 1);
    }
    const stg_gauge gauge = {.time_ns = at, .node = node[0], .producer = 1, .open = 3};
    stg_lane_gauge(lane, &gauge);
    status = stg_ingest_poll(in);
    return status == STG_OK ? stg_ingest_close(in, at + 5 * S, g) : status;
}

START_TEST(no_allocation_after_warm_up)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg_ingest *in;
    stg_lane *lane;
    const stg_graph *g[4] = {NULL};
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, in, NULL), STG_OK);
    size_t before = 0;
    for (uint32_t w = 0; w < 40; w++) {
        stg_unref(g[w % 4]);
        ck_assert_int_eq(busy_window(in, lane, T0 + w * 5 * S, &g[w % 4]), STG_OK);
        if (w == 5)
            before = m.requests;
    }
    ck_assert_uint_eq(m.requests, before);
    for (int i = 0; i < 4; i++)
        stg_unref(g[i]);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

static int32_t whole_life(stg_ctx *ctx, test_memory *m)
{
    stg_ingest *in = NULL;
    stg_lane *lane = NULL;
    stg_lane *shared = NULL;
    stg_bundle *bundle = NULL;
    const stg_graph *g = NULL;
    int fd = -1;
    uint64_t id;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 1024, .names = 64};
    int32_t status = stg_ingest_create(&in, ctx, NULL);
    if (status == STG_OK)
        status = stg_lane_open(&lane, in, &opts);
    if (status == STG_OK)
        status = stg_lane_create_fd(&fd, ctx, &opts);
    if (status == STG_OK)
        status = stg_lane_attach(&shared, ctx, fd);
    if (status == STG_OK)
        status = stg_ingest_attach(in, fd, &id);
    if (status == STG_OK)
        status = busy_window(in, shared, T0, &g);
    stg_unref(g);
    g = NULL;
    if (status == STG_OK)
        status = busy_window(in, lane, T0 + 5 * S, &g);
    stg_unref(g);
    if (status == STG_OK)
        status = stg_bundle_open(&bundle, ctx, NULL, NULL);
    if (status == STG_OK)
        status = stg_ingest_store(in, bundle);
    if (status == STG_OK)
        status = stg_ingest_restore(in, bundle, NULL);
    stg_bundle_destroy(bundle);
    stg_lane_close(lane);
    stg_lane_close(shared);
    if (in) { /* with memory again everything is still there to be read, and the ledger is exact */
        stg_ingest_stats s = {.size = sizeof s};
        m->fail_at = 0;
        ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
        ck_assert_int_eq(stg_ingest_close(in, T0 + 30 * S, NULL), STG_OK);
        stg_ingest_get_stats(in, &s);
        ck_assert_uint_eq(s.waiting, 0);
        ck_assert_uint_eq(s.pushed, s.windowed + s.late + s.refused);
        ck_assert_uint_eq(s.pushed % 400, 0);
        ck_assert_uint_eq(s.malformed, 0);
    }
    stg_ingest_destroy(in);
    if (fd >= 0)
        close(fd);
    return status;
}

START_TEST(every_allocation_may_fail)
{
    for (size_t n = 1;; n++) {
        test_memory m;
        test_memory_init(&m);
        stg_ctx *ctx = test_ctx(&m);
        m.requests = 0;
        m.fail_at = n;
        const int32_t status = whole_life(ctx, &m);
        stg_ctx_destroy(ctx);
        ck_assert_uint_eq(m.live, 0);
        if (status == STG_OK) {
            ck_assert_uint_gt(n, 60);
            break;
        }
        ck_assert_int_eq(status, STG_E_NOMEM);
    }
}
END_TEST

TEST_SUITE("ingest", edge_columns, observers_are_not_added_up, exclusive_time, windows,
           skipped_windows_are_late, beginning, polling_changes_nothing, coverage, gauges,
           restarted_producers_need_no_memory_for_ever, known_groups, groups_move_with_a_bundle,
           few_groups_pass_for_known, full_tables_count_into_other, malformed_calls_are_refused,
           options, no_allocation_after_warm_up, every_allocation_may_fail)
