/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Good things for targets to spoil: a small system of services with all columns that the rooms read,
 * and bundles of a model and a calibration learnt on it, made once for a process. Everything follows
 * from fixed seeds.
 */
#ifndef STG_FUZZ_BASE_H
#define STG_FUZZ_BASE_H

#include <stgraph/stgraph.h>

#include "fuzz_input.h"

#define BASE_WINDOW UINT64_C(5000000000)
#define BASE_DAY 16u /* windows */
#define BASE_FIRST (UINT64_C(1700000000000000000) / BASE_WINDOW) /* number of a window */
#define BASE_KINDS 3u
#define BASE_NODES 4u
#define BASE_EDGES 4u

static const char *const base_kinds[BASE_KINDS] = {"persistence", "seasonal", "dcrnn"};
static const char *const base_names[BASE_NODES] = {"external", "web", "cart", "db"};
static const struct {
    uint32_t src;
    uint32_t dst;
    const char *route;
    double calls;
} base_edges[BASE_EDGES] = {
    {0, 1, "GET /", 200}, {0, 1, "POST /login", 60}, {1, 2, "GET /cart", 120}, {2, 3, "", 90}};

/* Columns with what one call, or a node at rest, shows. */
typedef struct base_column {
    const char *name;
    double each;  /* for each call, in the mean */
    double level; /* whatever the calls */
} base_column;

static const base_column base_node_columns[] = {
    {"calls", 1, 0},   {"errors", .02, 0},          {"mean_us", 0, 2000},
    {"open", .05, 3},  {"exclusive_us", 0, 900},    {"waiting_headers", .01, 1},
    {"active", .02, 1}, {"in_flight", .02, 1},      {"oldest_conn_ms", 0, 4000},
    {"oldest_header_ms", 0, 30},
};
static const base_column base_edge_columns[] = {
    {"calls", 1, 0},       {"errors", .02, 0},        {"client_errors", .03, 0},
    {"logins", .2, 0},     {"login_failures", .02, 0}, {"registers", .02, 0},
    {"assets", .3, 0},     {"retries", .02, 0},       {"injections", .002, 0},
    {"new_group_calls", .05, 0}, {"top_client_calls", .05, 2}, {"bytes_in", 400, 0},
    {"bytes_out", 3000, 0}, {"clients", .4, 0},       {"users", .1, 0},
    {"p50_us", 0, 1500},
};
#define BASE_NODE_COLUMNS (sizeof base_node_columns / sizeof *base_node_columns)
#define BASE_EDGE_COLUMNS (sizeof base_edge_columns / sizeof *base_edge_columns)

typedef struct base_world {
    stg_graph_builder *b;
    stg__rng rng;
    uint32_t node[BASE_NODES];
    uint32_t edge[BASE_EDGES];
    uint32_t column[2][16];
} base_world;

static inline int32_t base_open(base_world *w, stg_ctx *ctx, uint64_t seed)
{
    const stg_graph_builder_opts opts = {.size = sizeof opts, .max_nodes = 24, .max_edges = 48,
                                         .max_routes = 16};
    memset(w, 0, sizeof *w);
    stg__rng_init(&w->rng, seed, 3);
    STG_RETURN_IF_ERROR(stg_graph_builder_create(&w->b, ctx, &opts));
    for (uint32_t c = 0; c < BASE_NODE_COLUMNS; c++)
        STG_RETURN_IF_ERROR(stg_graph_builder_column(w->b, STG_NODE, base_node_columns[c].name,
                                                     strlen(base_node_columns[c].name),
                                                     &w->column[STG_NODE][c]));
    for (uint32_t c = 0; c < BASE_EDGE_COLUMNS; c++)
        STG_RETURN_IF_ERROR(stg_graph_builder_column(w->b, STG_EDGE, base_edge_columns[c].name,
                                                     strlen(base_edge_columns[c].name),
                                                     &w->column[STG_EDGE][c]));
    for (uint32_t i = 0; i < BASE_NODES; i++)
        STG_RETURN_IF_ERROR(
            stg_graph_builder_node(w->b, base_names[i], strlen(base_names[i]), &w->node[i]));
    for (uint32_t e = 0; e < BASE_EDGES; e++)
        STG_RETURN_IF_ERROR(stg_graph_builder_edge(
            w->b, w->node[base_edges[e].src], w->node[base_edges[e].dst], base_edges[e].route,
            strlen(base_edges[e].route), &w->edge[e]));
    return STG_OK;
}

/* Mean plus noise of a count. */
static inline double base_count(base_world *w, double mean)
{
    return floor(fmax(0, mean + sqrt(mean) * stg__rng_normal(&w->rng)) + 0.5);
}

static inline int32_t base_item(base_world *w, uint32_t kind, uint32_t index, double calls)
{
    const base_column *column = kind == STG_NODE ? base_node_columns : base_edge_columns;
    const size_t count = kind == STG_NODE ? BASE_NODE_COLUMNS : BASE_EDGE_COLUMNS;
    for (size_t c = 0; c < count; c++) {
        const double level = column[c].level * exp(0.05 * stg__rng_normal(&w->rng));
        const double value =
            c == 0 ? calls : level + (column[c].each > 0 ? base_count(w, column[c].each * calls) : 0);
        STG_RETURN_IF_ERROR(
            stg_graph_builder_set(w->b, kind, index, w->column[kind][c], value));
    }
    return STG_OK;
}

/* Begins window number `at` and fills it with ordinary traffic times `factor`. */
static inline int32_t base_fill(base_world *w, uint64_t at, double factor)
{
    double calls[BASE_NODES] = {0};
    const double day = 1 + 0.4 * sin(2 * M_PI * (double)(at % BASE_DAY) / BASE_DAY);
    STG_RETURN_IF_ERROR(
        stg_graph_builder_begin(w->b, at * BASE_WINDOW, (at + 1) * BASE_WINDOW));
    for (uint32_t e = 0; e < BASE_EDGES; e++) {
        const double n = base_count(w, base_edges[e].calls * day * (e == 0 ? factor : 1));
        calls[base_edges[e].dst] += n;
        if (base_edges[e].src == 0)
            calls[0] += n;
        STG_RETURN_IF_ERROR(base_item(w, STG_EDGE, w->edge[e], n));
    }
    for (uint32_t i = 0; i < BASE_NODES; i++)
        STG_RETURN_IF_ERROR(base_item(w, STG_NODE, w->node[i], calls[i]));
    return STG_OK;
}

static inline const stg_graph *base_next(base_world *w, uint64_t at, double factor)
{
    const stg_graph *g = NULL;
    FUZZ_CHECK(base_fill(w, at, factor) == STG_OK);
    FUZZ_CHECK(stg_graph_builder_finish(w->b, &g) == STG_OK);
    return g;
}

#define BASE_LEARNT 64u /* windows */

static inline const stg_model *base_learn(stg_ctx *ctx, const char *kind)
{
    const stg_trainer_opts opts = {.size = sizeof opts, .kind = kind, .day_ns = BASE_DAY * BASE_WINDOW,
                                   .seed = 5, .history = 3, .horizon = 3, .layers = 1, .units = 3,
                                   .epochs = 2, .batch = 16};
    base_world w;
    stg_trainer *t;
    stg_error err;
    const stg_model *model = NULL;
    FUZZ_CHECK(stg_trainer_create(&t, ctx, &opts, &err) == STG_OK);
    FUZZ_CHECK(base_open(&w, ctx, 1) == STG_OK);
    for (uint64_t at = 0; at < BASE_LEARNT; at++) {
        const stg_graph *g = base_next(&w, BASE_FIRST - BASE_LEARNT + at, 1);
        FUZZ_CHECK(stg_trainer_add(t, g) == STG_OK);
        stg_unref(g);
    }
    FUZZ_CHECK(stg_trainer_run(t, &model, &err) == STG_OK);
    stg_graph_builder_destroy(w.b);
    stg_trainer_destroy(t);
    return model;
}

/* Calibration on the windows that were learnt, judged by the model's forecasts of them. */
static inline void base_calibrate(stg_ctx *ctx, const stg_model *model, stg_bundle *bundle)
{
    base_world w;
    stg_session *s;
    stg_detector *d;
    stg_error err;
    const stg_forecast *fc = NULL;
    FUZZ_CHECK(stg_session_create(&s, ctx, model, NULL) == STG_OK);
    FUZZ_CHECK(stg_detector_create(&d, ctx, NULL, NULL, &err) == STG_OK);
    FUZZ_CHECK(base_open(&w, ctx, 1) == STG_OK);
    for (uint64_t at = 0; at < BASE_LEARNT; at++) {
        const stg_graph *g = base_next(&w, BASE_FIRST - BASE_LEARNT + at, 1);
        FUZZ_CHECK(stg_detector_learn(d, g, fc) == STG_OK);
        stg_unref(fc);
        FUZZ_CHECK(stg_session_step(s, g, NULL) == STG_OK);
        FUZZ_CHECK(stg_session_forecast(s, 1, &fc) == STG_OK);
        stg_unref(g);
    }
    stg_unref(fc);
    FUZZ_CHECK(stg_detector_fit(d, &err) == STG_OK);
    FUZZ_CHECK(stg_detector_store(d, bundle) == STG_OK);
    stg_graph_builder_destroy(w.b);
    stg_detector_destroy(d);
    stg_session_destroy(s);
}

/* The bytes of a good bundle, for each kind of model. */
typedef struct base_file {
    uint8_t *bytes;
    size_t len;
} base_file;

static inline const base_file *base_bundle(uint32_t kind)
{
    static base_file files[BASE_KINDS];
    base_file *f = &files[kind % BASE_KINDS];
    if (f->bytes)
        return f;
    stg_ctx *ctx;
    stg_bundle *bundle;
    stg_error err;
    FUZZ_CHECK(stg_ctx_create(&ctx, NULL) == STG_OK);
    FUZZ_CHECK(stg_bundle_open(&bundle, ctx, NULL, &err) == STG_OK);
    const stg_model *model = base_learn(ctx, base_kinds[kind % BASE_KINDS]);
    FUZZ_CHECK(stg_model_store(model, bundle) == STG_OK);
    base_calibrate(ctx, model, bundle);
    FUZZ_CHECK(stg_bundle_serialize(bundle, NULL, 0, &f->len) == STG_MORE);
    f->bytes = (uint8_t *)malloc(f->len);
    FUZZ_CHECK(f->bytes && stg_bundle_serialize(bundle, f->bytes, f->len, &f->len) == STG_OK);
    stg_bundle_destroy(bundle);
    stg_unref(model);
    stg_ctx_destroy(ctx);
    return f;
}

#endif
