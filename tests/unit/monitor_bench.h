/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Doubles of ingest, model, session, detector and report for the facade's tests: each does what it
 * is told, notes what it was given, and can run out of memory once.
 */
#ifndef STG_MONITOR_BENCH_H
#define STG_MONITOR_BENCH_H

#include <stgraph/monitor.h>

#include "graph_priv.h"
#include "monitor_priv.h"
#include "test.h"

#define S 1000000000u
#define WINDOW (5u * (uint64_t)S)
#define HORIZON 4

enum { FAIL_NONE, FAIL_CLOSE, FAIL_SCORE, FAIL_STEP, FAIL_FORECAST };

/* What the doubles are told and what they saw. */
static struct {
    int fail; /* FAIL_*: once */
    double coverage;
    uint32_t incidents;
    stg_incident_info incident;
    const char *node; /* of every item */
    uint32_t items;
    uint64_t judge_start; /* of the forecast the detector was given; 0: none */
    int masked;           /* nodes masked in the last step */
    int steps;
    int restored;
    int live; /* doubles that were not destroyed */
    stg_ingest_opts ingest;
    stg_detector_opts detector;
    stg_session_opts session;
} told;

static inline int32_t fails(int stage)
{
    if (told.fail != stage)
        return STG_OK;
    told.fail = FAIL_NONE;
    return STG_E_NOMEM;
}

struct stg_ingest {
    stg_ctx *ctx;
    stg_graph_builder *builder;
    uint64_t last;
};

int32_t stg_ingest_create(stg_ingest **out, stg_ctx *ctx, const stg_ingest_opts *opts)
{
    told.ingest = *opts;
    stg_ingest *in = (stg_ingest *)stg__calloc(ctx, 1, sizeof *in);
    if (!in)
        return STG_E_NOMEM;
    in->ctx = ctx;
    if (stg_graph_builder_create(&in->builder, ctx, NULL) != STG_OK) {
        stg__free(ctx, in);
        return STG_E_NOMEM;
    }
    told.live++;
    *out = in;
    return STG_OK;
}

void stg_ingest_destroy(stg_ingest *in)
{
    if (!in)
        return;
    told.live--;
    stg_graph_builder_destroy(in->builder);
    stg__free(in->ctx, in);
}

int32_t stg_ingest_restore(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    told.restored++;
    return in && bundle && err ? STG_OK : STG_E_INVALID;
}

int32_t stg_ingest_close(stg_ingest *in, uint64_t window_end, const stg_graph **out)
{
    uint32_t id;
    if (window_end <= in->last)
        return STG_E_TIME;
    STG_RETURN_IF_ERROR(fails(FAIL_CLOSE));
    STG_RETURN_IF_ERROR(stg_graph_builder_begin(in->builder, window_end - WINDOW, window_end));
    STG_RETURN_IF_ERROR(stg_graph_builder_node(in->builder, "web", 3, &id));
    stg__builder_coverage(in->builder, told.coverage);
    STG_RETURN_IF_ERROR(stg_graph_builder_finish(in->builder, out));
    in->last = window_end;
    return STG_OK;
}

struct stg_model {
    stg__object object;
};

static const stg__pool_type model_type = {sizeof(stg_model), STG__KIND_MODEL, NULL, NULL};

int32_t stg_model_load(const stg_model **out, const stg_bundle *bundle, stg_error *err)
{
    if (!stg__bundle_find(bundle, "model/x"))
        return stg__fail(err, STG_E_NOTFOUND, "no model");
    stg__pool *pool;
    STG_RETURN_IF_ERROR(stg__pool_create(&pool, stg__bundle_ctx(bundle), &model_type, 1));
    *out = (const stg_model *)stg__pool_take(pool);
    stg__pool_destroy(pool);
    return *out ? STG_OK : STG_E_NOMEM;
}

int32_t stg_model_get_info(const stg_model *model, stg_model_info *info)
{
    stg_model_info copy = {.window_ns = WINDOW, .horizon = HORIZON};
    return model ? stg__info_write(info, &copy, sizeof copy) : STG_E_INVALID;
}

struct stg_forecast {
    stg__object object;
    stg_forecast_info info;
    double mean[2];
};

static const stg__pool_type forecast_type = {sizeof(stg_forecast), STG__KIND_FORECAST, NULL, NULL};

int32_t stg_forecast_get_info(const stg_forecast *forecast, stg_forecast_info *info)
{
    stg_forecast_info copy = forecast->info;
    return stg__info_write(info, &copy, sizeof copy);
}

const double *stg_forecast_mean(const stg_forecast *forecast, uint32_t kind, const char *column,
                                size_t len, uint32_t step)
{
    return kind == STG_NODE && column && len && step < HORIZON ? forecast->mean : NULL;
}

struct stg_session {
    stg_ctx *ctx;
    stg__pool *pool;
    uint64_t end;
    uint64_t topology;
};

int32_t stg_session_create(stg_session **out, stg_ctx *ctx, const stg_model *model,
                           const stg_session_opts *opts)
{
    told.session = *opts;
    stg_session *s = (stg_session *)stg__calloc(ctx, 1, sizeof *s);
    if (!s || !model)
        return STG_E_NOMEM;
    s->ctx = ctx;
    if (stg__pool_create(&s->pool, ctx, &forecast_type, opts->forecasts) != STG_OK) {
        stg__free(ctx, s);
        return STG_E_NOMEM;
    }
    told.live++;
    *out = s;
    return STG_OK;
}

void stg_session_destroy(stg_session *s)
{
    if (!s)
        return;
    told.live--;
    stg__pool_destroy(s->pool);
    stg__free(s->ctx, s);
}

int32_t stg_session_step(stg_session *s, const stg_graph *graph, const uint8_t *mask)
{
    stg_graph_info g = {.size = sizeof g};
    STG_RETURN_IF_ERROR(fails(FAIL_STEP));
    stg_graph_get_info(graph, &g);
    ck_assert_uint_gt(g.end_ns, s->end);
    s->end = g.end_ns;
    s->topology = g.topology;
    told.masked = 0;
    for (uint32_t i = 0; i < g.nodes; i++)
        told.masked += mask[i];
    told.steps++;
    return STG_OK;
}

int32_t stg_session_forecast(stg_session *s, uint32_t horizon, const stg_forecast **out)
{
    STG_RETURN_IF_ERROR(fails(FAIL_FORECAST));
    stg_forecast *f = (stg_forecast *)stg__pool_take(s->pool);
    if (!f)
        return STG_E_NOMEM;
    f->info = (stg_forecast_info){.start_ns = s->end,
                                  .window_ns = WINDOW,
                                  .topology = s->topology,
                                  .horizon = horizon,
                                  .nodes = 2,
                                  .ready = 1};
    *out = f;
    return STG_OK;
}

struct stg_report {
    stg__object object;
    stg_report_info info;
    stg_incident_info incident;
    uint8_t mask[2];
};

static const stg__pool_type report_type = {sizeof(stg_report), STG__KIND_REPORT, NULL, NULL};

struct stg_detector {
    stg_ctx *ctx;
    stg__pool *pool;
};

int32_t stg_detector_create(stg_detector **out, stg_ctx *ctx, const stg_bundle *bundle,
                            const stg_detector_opts *opts, stg_error *err)
{
    told.detector = *opts;
    stg_detector *d = (stg_detector *)stg__calloc(ctx, 1, sizeof *d);
    if (!d || !bundle)
        return stg__fail(err, STG_E_NOMEM, "no memory");
    d->ctx = ctx;
    if (stg__pool_create(&d->pool, ctx, &report_type, opts->reports) != STG_OK) {
        stg__free(ctx, d);
        return STG_E_NOMEM;
    }
    told.live++;
    *out = d;
    return STG_OK;
}

void stg_detector_destroy(stg_detector *d)
{
    if (!d)
        return;
    told.live--;
    stg__pool_destroy(d->pool);
    stg__free(d->ctx, d);
}

int32_t stg_detector_score(stg_detector *d, const stg_graph *graph, const stg_forecast *forecast,
                           const stg_report **out)
{
    stg_graph_info g = {.size = sizeof g};
    STG_RETURN_IF_ERROR(fails(FAIL_SCORE));
    stg_graph_get_info(graph, &g);
    stg_report *r = (stg_report *)stg__pool_take(d->pool);
    if (!r)
        return STG_E_NOMEM;
    told.judge_start = forecast ? forecast->info.start_ns : 0;
    r->info = (stg_report_info){.start_ns = g.start_ns,
                                .end_ns = g.end_ns,
                                .mask = r->mask,
                                .nodes = g.nodes,
                                .incidents = told.incidents,
                                .judged = 1};
    r->mask[0] = 0;
    r->mask[1] = told.incidents > 0;
    r->incident = told.incident;
    *out = r;
    return STG_OK;
}

int32_t stg_report_get_info(const stg_report *report, stg_report_info *info)
{
    stg_report_info copy = report->info;
    return stg__info_write(info, &copy, sizeof copy);
}

int32_t stg_report_incident(const stg_report *report, uint32_t index, stg_incident_info *info)
{
    if (index >= report->info.incidents)
        return STG_E_NOTFOUND;
    stg_incident_info copy = report->incident;
    copy.id += index;
    return stg__info_write(info, &copy, sizeof copy);
}

int32_t stg_report_item(const stg_report *report, uint32_t incident, uint32_t part, uint32_t index,
                        stg_item *item)
{
    if (incident >= report->info.incidents || index >= told.items)
        return STG_E_NOTFOUND;
    stg_item copy = {.node = "",
                     .src = "external",
                     .dst = told.node,
                     .route = "GET /",
                     .column = part == STG_ITEM_EVIDENCE ? "calls" : "",
                     .observed = 500,
                     .expected = 100,
                     .value = 2.5};
    if (part == STG_ITEM_NODE)
        copy = (stg_item){.node = told.node, .src = "", .dst = "", .route = "", .column = ""};
    return stg__info_write(item, &copy, sizeof copy);
}

/* --- the facade under test -------------------------------------------------------------------- */

typedef struct bench {
    test_memory memory;
    stg_ctx *ctx;
    stg_bundle *bundle;
    stg_monitor *mon;
    uint64_t end; /* of the last window */
    stg_error err;
} bench;

static inline void put_tensor(stg_bundle *bundle, const char *name)
{
    const uint64_t shape[1] = {1};
    const uint8_t byte = 0;
    ck_assert_int_eq(stg__bundle_put(bundle, name, STG__U8, 1, shape, &byte), STG_OK);
}

/* A bundle with a model in it; lead 0: nothing said. */
static inline void setup(bench *b, uint64_t lead)
{
    memset(b, 0, sizeof *b);
    memset(&told, 0, sizeof told);
    told.coverage = 1;
    told.node = "web";
    told.items = 1;
    told.incident = (stg_incident_info){.size = sizeof told.incident,
                                        .id = 0xabc0,
                                        .opened_ns = 1700000000 * (uint64_t)S,
                                        .onset_ns = 1699999990 * (uint64_t)S,
                                        .class_name = "http_flood",
                                        .technique = "T1499.002",
                                        .text = "A sentence.",
                                        .confidence = 0.9375,
                                        .severity = 3.5,
                                        .state = STG_INCIDENT_OPEN,
                                        .class_id = STG_CLASS_HTTP_FLOOD};
    test_memory_init(&b->memory);
    b->ctx = test_ctx(&b->memory);
    ck_assert_int_eq(stg_bundle_open(&b->bundle, b->ctx, NULL, NULL), STG_OK);
    put_tensor(b->bundle, "model/x");
    if (lead)
        stg__bundle_set_meta_u64(b->bundle, "score/lead", lead);
    b->end = 1700000000 * (uint64_t)S;
}

static inline void create(bench *b, const stg_monitor_opts *opts)
{
    ck_assert_int_eq(stg_monitor_create(&b->mon, b->ctx, b->bundle, opts, &b->err), STG_OK);
}

static inline void teardown(bench *b)
{
    stg_monitor_destroy(b->mon);
    stg_bundle_destroy(b->bundle);
    stg_ctx_destroy(b->ctx);
    ck_assert_uint_eq(b->memory.live, 0);
    ck_assert_int_eq(told.live, 0);
}

static inline int32_t next(bench *b)
{
    b->end += WINDOW;
    return stg_monitor_tick(b->mon, b->end, &b->err);
}

/* Doubles have no state to save; that is tried on the real line. */
int32_t stg__forecast_put(const stg_forecast *f, stg_bundle *bundle, const char *prefix);
int32_t stg__forecast_get(const stg_forecast **out, const stg_session *s, const stg_bundle *bundle,
                          const char *prefix, stg_error *err);
int32_t stg__forecast_put(const stg_forecast *f, stg_bundle *bundle, const char *prefix)
{
    return STG_E_UNSUPPORTED;
}

int32_t stg__forecast_get(const stg_forecast **out, const stg_session *s, const stg_bundle *bundle,
                          const char *prefix, stg_error *err)
{
    return STG_E_UNSUPPORTED;
}

#endif
