/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The content of a model file: a good one is spoilt as the input orders, then loaded by model,
 * detector and monitor, and used for some windows. It is refused with a text, or works: nothing
 * crashes, asks for memory beyond all sense, or says what is not a number.
 */
#include "fuzz_base.h"
#include "fuzz_line.h"
#include "fuzz_mutate.h"

#define TICKS 5

static bool refused(int32_t status)
{
    return status == STG_E_FORMAT || status == STG_E_VERSION || status == STG_E_NOTFOUND ||
           status == STG_E_LIMIT || status == STG_E_INVALID || status == STG_E_NOMEM;
}

static void check_text(int32_t status, const stg_error *err)
{
    FUZZ_CHECK(status == STG_OK || (refused(status) && err->status == status && err->text[0]));
}

/* The model alone: ordinary windows in, forecasts out. */
static void use_model(stg_ctx *ctx, const stg_bundle *bundle)
{
    const stg_model *model = NULL;
    stg_session *s = NULL;
    stg_model_info info = {.size = sizeof info};
    stg_error err = {0};
    const int32_t status = stg_model_load(&model, bundle, &err);
    check_text(status, &err);
    FUZZ_CHECK((model != NULL) == (status == STG_OK));
    if (!model)
        return;
    FUZZ_CHECK(stg_model_get_info(model, &info) == STG_OK && info.kind[0] && info.horizon);
    FUZZ_CHECK(stg_model_column(model, 0, info.inputs - 1) && !stg_model_column(model, 0, info.inputs));
    if (stg_session_create(&s, ctx, model, NULL) == STG_OK) {
        base_world w;
        FUZZ_CHECK(base_open(&w, ctx, 9) == STG_OK);
        for (uint64_t at = 0; at < TICKS; at++) {
            const stg_forecast *fc = NULL;
            const stg_graph *g = base_next(&w, BASE_FIRST + at, 1);
            const int32_t stepped = stg_session_step(s, g, NULL);
            FUZZ_CHECK(stepped == STG_OK || stepped == STG_E_MISMATCH || stepped == STG_E_NOMEM);
            if (stepped == STG_OK &&
                stg_session_forecast(s, info.horizon < 3 ? info.horizon : 3, &fc) == STG_OK)
                line_forecast(fc);
            stg_unref(fc);
            stg_unref(g);
        }
        stg_graph_builder_destroy(w.b);
        stg_session_destroy(s);
    }
    stg_unref(model);
}

/* The calibration alone, with levels of its own. */
static void use_detector(stg_ctx *ctx, const stg_bundle *bundle)
{
    stg_detector *d = NULL;
    stg_error err = {0};
    base_world w;
    stg__events events;
    const int32_t status = stg_detector_create(&d, ctx, bundle, NULL, &err);
    check_text(status, &err);
    FUZZ_CHECK((d != NULL) == (status == STG_OK));
    if (!d)
        return;
    FUZZ_CHECK(base_open(&w, ctx, 9) == STG_OK);
    stg__events_init(&events, ctx, 64);
    for (uint64_t at = 0; at < 3 * TICKS; at++) {
        const stg_report *report = NULL;
        const stg_graph *g = base_next(&w, BASE_FIRST + at, at < TICKS ? 1 : 40);
        const int32_t scored = stg_detector_score(d, g, NULL, &report);
        FUZZ_CHECK(scored == STG_OK || scored == STG_E_MISMATCH || scored == STG_E_NOMEM);
        if (report) {
            line_report(report, g);
            line_events(&events, report, NULL);
        }
        stg_unref(report);
        stg_unref(g);
    }
    stg__events_fini(&events);
    stg_graph_builder_destroy(w.b);
    stg_detector_destroy(d);
}

static void push_calls(stg_lane *lane, uint64_t start, uint64_t window, int n)
{
    stg_call c = {.duration_us = 900, .status = 200, .side = STG_SIDE_SERVER};
    stg_call out = {.duration_us = 700, .status = 200, .side = STG_SIDE_CLIENT};
    if (stg_lane_intern(lane, STG_NODE, "web", 3, &c.dst) != STG_OK ||
        stg_lane_intern(lane, STG_ROUTE, "GET /", 5, &c.route) != STG_OK ||
        stg_lane_intern(lane, STG_NODE, "cart", 4, &out.dst) != STG_OK)
        return;
    out.src = c.dst;
    for (int i = 0; i < n; i++) {
        c.end_ns = out.end_ns = start + (uint64_t)i * (window / (uint64_t)n);
        c.client = c.group = (uint32_t)i % 7 + 1;
        stg_lane_push(lane, &c, 1);
        stg_lane_push(lane, &out, 1);
    }
}

static void take_events(stg_monitor *mon)
{
    static char text[STG__LINE_MAX];
    size_t len = 0;
    int32_t status;
    while ((status = stg_monitor_event(mon, text, sizeof text, &len)) == STG_OK)
        fuzz_json(text, len);
    FUZZ_CHECK(status == STG_AGAIN);
}

/* Everything together, from calls to lines. */
static void use_monitor(stg_ctx *ctx, const stg_bundle *bundle)
{
    stg_monitor *mon = NULL;
    stg_lane *lane = NULL;
    stg_error err = {0};
    const stg_ingest_opts ingest = {.size = sizeof ingest, .max_nodes = 8, .max_edges = 8,
                                    .max_routes = 4};
    const stg_monitor_opts opts = {.size = sizeof opts, .ingest = &ingest};
    const stg_lane_opts lane_opts = {.size = sizeof lane_opts, .records = 256, .names = 16};
    const int32_t status = stg_monitor_create(&mon, ctx, bundle, &opts, &err);
    FUZZ_CHECK(status == STG_OK ||
               ((refused(status) || status == STG_E_MISMATCH) && err.status == status && err.text[0]));
    FUZZ_CHECK((mon != NULL) == (status == STG_OK));
    if (!mon)
        return;
    const uint64_t window = mon->window_ns;
    uint64_t start = UINT64_C(1700000000000000000) / window * window;
    FUZZ_CHECK(stg_lane_open(&lane, stg_monitor_ingest(mon), &lane_opts) == STG_OK);
    for (int i = 0; i < TICKS; i++, start += window) {
        push_calls(lane, start, window, i < 3 ? 20 : 90);
        const int32_t ticked = stg_monitor_tick(mon, start + window, &err);
        FUZZ_CHECK(ticked == STG_OK || ticked == STG_E_NOMEM || ticked == STG_E_MISMATCH);
        take_events(mon);
    }
    stg_lane_close(lane);
    stg_monitor_destroy(mon);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const prefixes[] = {"", "model/", "score/", "model/scale", "score/pool.",
                                           "score/stream.", "model/net", "model/p"};
    fuzz_input in = {data, size};
    fuzz_memory memory;
    stg_bundle *bundle = NULL;
    stg_error err;
    const uint8_t how = fuzz_u8(&in);
    const base_file *f = base_bundle(how % BASE_KINDS);
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    FUZZ_CHECK(stg_bundle_parse(&bundle, ctx, f->bytes, f->len, &err) == STG_OK);
    const char *prefix = prefixes[how / BASE_KINDS % (sizeof prefixes / sizeof *prefixes)];
    for (int n = 0; in.left && n < 12; n++)
        fuzz_mutate(bundle, prefix, &in);
    use_model(ctx, bundle);
    use_detector(ctx, bundle);
    use_monitor(ctx, bundle);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    return 0;
}
