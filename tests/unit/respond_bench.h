/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small system for the planner's tests, external -> web -> cart, and doubles of report and
 * forecast with just the accessors the planner may use.
 */
#ifndef STG_RESPOND_BENCH_H
#define STG_RESPOND_BENCH_H

#include "respond_priv.h"
#include "test.h"

#define S 1000000000u
#define WINDOW (5u * (uint64_t)S)
#define MAX_ITEMS 8
#define MAX_NODES 8
#define STEPS 3

/* --- doubles ---------------------------------------------------------------------------------- */

typedef struct incident {
    stg_incident_info info;
    stg_item item[4][MAX_ITEMS];
    uint32_t items[4];
} incident;

struct stg_report {
    stg__object object;
    stg_report_info info;
    incident inc[2];
};

struct stg_forecast {
    stg__object object;
    stg_forecast_info info;
    double node[STEPS][MAX_NODES];
    double edge[STEPS][MAX_NODES];
};

int32_t stg_report_get_info(const stg_report *report, stg_report_info *info)
{
    if (!report)
        return STG_E_INVALID;
    stg_report_info copy = report->info;
    return stg__info_write(info, &copy, sizeof copy);
}

int32_t stg_report_incident(const stg_report *report, uint32_t index, stg_incident_info *info)
{
    if (index >= report->info.incidents)
        return STG_E_NOTFOUND;
    stg_incident_info copy = report->inc[index].info;
    return stg__info_write(info, &copy, sizeof copy);
}

int32_t stg_report_item(const stg_report *report, uint32_t at, uint32_t part, uint32_t index,
                        stg_item *item)
{
    if (at >= report->info.incidents || index >= report->inc[at].items[part])
        return STG_E_NOTFOUND;
    stg_item copy = report->inc[at].item[part][index];
    return stg__info_write(item, &copy, sizeof copy);
}

int32_t stg_forecast_get_info(const stg_forecast *forecast, stg_forecast_info *info)
{
    stg_forecast_info copy = forecast->info;
    return stg__info_write(info, &copy, sizeof copy);
}

const double *stg_forecast_mean(const stg_forecast *forecast, uint32_t kind, const char *column,
                                size_t len, uint32_t step)
{
    ck_assert(len == 5 && memcmp(column, "calls", 5) == 0);
    if (step >= forecast->info.horizon)
        return NULL;
    return kind == STG_NODE ? forecast->node[step] : forecast->edge[step];
}

/* --- the system ------------------------------------------------------------------------------- */

typedef struct bench {
    test_memory memory;
    stg_ctx *ctx;
    stg_graph_builder *builder;
    stg_planner *planner;
    uint64_t now;   /* end of the last window */
    double outside; /* calls of external -> web in a window; web -> cart has 100 */
    stg_report report;
    uint8_t mask[MAX_NODES];
    const stg_plan *plan;
    const stg_forecast *forecast;
    uint32_t extra_node;
} bench;

static inline void setup(bench *b, const stg_planner_opts *opts)
{
    memset(b, 0, sizeof *b);
    test_memory_init(&b->memory);
    b->ctx = test_ctx(&b->memory);
    ck_assert_int_eq(stg_graph_builder_create(&b->builder, b->ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_planner_create(&b->planner, b->ctx, opts), STG_OK);
    b->now = 100 * WINDOW;
    b->outside = 100;
}

static inline void teardown(bench *b)
{
    stg_unref(b->plan);
    stg_planner_destroy(b->planner);
    stg_graph_builder_destroy(b->builder);
    stg_ctx_destroy(b->ctx);
    ck_assert_uint_eq(b->memory.live, 0);
}

static inline const stg_graph *graph(bench *b)
{
    stg_graph_builder *build = b->builder;
    const stg_graph *g = NULL;
    uint32_t web, cart, extra, e[2], calls, mean, ecalls;
    ck_assert_int_eq(stg_graph_builder_begin(build, b->now - WINDOW, b->now), STG_OK);
    stg_graph_builder_node(build, "web", 3, &web);
    stg_graph_builder_node(build, "cart", 4, &cart);
    if (b->extra_node)
        stg_graph_builder_node(build, "auth", 4, &extra);
    stg_graph_builder_edge(build, 0, web, "GET /", 5, &e[0]);
    stg_graph_builder_edge(build, web, cart, "GET /cart", 9, &e[1]);
    stg_graph_builder_column(build, STG_NODE, "calls", 5, &calls);
    stg_graph_builder_column(build, STG_NODE, "mean_us", 7, &mean);
    stg_graph_builder_column(build, STG_EDGE, "calls", 5, &ecalls);
    stg_graph_builder_set(build, STG_NODE, web, calls, b->outside);
    stg_graph_builder_set(build, STG_NODE, web, mean, 50000);
    stg_graph_builder_set(build, STG_NODE, cart, calls, 100);
    stg_graph_builder_set(build, STG_NODE, cart, mean, 20000);
    stg_graph_builder_set(build, STG_EDGE, e[0], ecalls, b->outside);
    stg_graph_builder_set(build, STG_EDGE, e[1], ecalls, 100);
    ck_assert_int_eq(stg_graph_builder_finish(build, &g), STG_OK);
    return g;
}

static inline stg_graph_info graph_info(const stg_graph *g)
{
    stg_graph_info info = {.size = sizeof info};
    ck_assert_int_eq(stg_graph_get_info(g, &info), STG_OK);
    return info;
}

/* Makes the report one of this graph's window. */
static inline void fit_report(bench *b, const stg_graph *g)
{
    const stg_graph_info info = graph_info(g);
    stg_report_info *r = &b->report.info;
    r->start_ns = info.start_ns;
    r->end_ns = info.end_ns;
    r->nodes = info.nodes;
    r->mask = b->mask;
}

static inline int32_t plan(bench *b)
{
    const stg_graph *g = graph(b);
    fit_report(b, g);
    stg_unref(b->plan);
    b->plan = NULL;
    const int32_t status = stg_planner_plan(b->planner, g, &b->report, b->forecast, &b->plan);
    stg_unref(g);
    return status;
}

static inline void tick(bench *b)
{
    b->now += WINDOW;
    b->report.info.judged = 1;
    ck_assert_int_eq(plan(b), STG_OK);
    b->forecast = NULL;
}

static inline void warm(bench *b, int windows)
{
    for (int i = 0; i < windows; i++)
        tick(b);
}

static inline void put_item(incident *inc, uint32_t part, stg_item item)
{
    item.size = sizeof item;
    item.node = item.node ? item.node : "";
    item.src = item.src ? item.src : "";
    item.dst = item.dst ? item.dst : "";
    item.route = item.route ? item.route : "";
    item.column = item.column ? item.column : "";
    inc->item[part][inc->items[part]++] = item;
}

/* One incident at external -> web with the node web in it. */
static inline incident *happen(bench *b, uint32_t class_id, double confidence)
{
    incident *inc = &b->report.inc[0];
    *inc = (incident){.info = {.size = sizeof inc->info,
                               .id = 0xabc,
                               .class_name = "some_class",
                               .technique = "",
                               .text = "",
                               .confidence = confidence,
                               .state = STG_INCIDENT_OPEN,
                               .class_id = class_id}};
    put_item(inc, STG_ITEM_CAUSE,
             (stg_item){.src = "external", .dst = "web", .route = "GET /", .value = 1});
    put_item(inc, STG_ITEM_EDGE, (stg_item){.src = "external", .dst = "web", .route = "GET /"});
    put_item(inc, STG_ITEM_NODE, (stg_item){.node = "web"});
    b->report.info.incidents = 1;
    b->mask[2] = 1; /* external, cart, web */
    return inc;
}

static inline stg_action action(const bench *b, uint32_t index)
{
    stg_action a = {.size = sizeof a};
    ck_assert_int_eq(stg_plan_action(b->plan, index, &a), STG_OK);
    return a;
}

/* The forecast that the next tick plans by: 100 calls everywhere, but for web in its second window. */
static inline void expect_calls(bench *b, stg_forecast *f, double web)
{
    const stg_graph *g = graph(b);
    const stg_graph_info info = graph_info(g);
    stg_unref(g);
    *f = (stg_forecast){.info = {.size = sizeof f->info,
                                 .start_ns = b->now + WINDOW,
                                 .window_ns = WINDOW,
                                 .topology = info.topology,
                                 .horizon = STEPS,
                                 .nodes = info.nodes,
                                 .edges = info.edges,
                                 .ready = 1}};
    for (uint32_t step = 0; step < STEPS; step++)
        for (uint32_t node = 0; node < info.nodes; node++)
            f->node[step][node] = node == info.nodes - 1 && step == 1 ? web : 100; /* web is last */
    b->forecast = f;
}

#endif
