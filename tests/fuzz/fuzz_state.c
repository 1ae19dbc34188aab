/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved state: that of a line in the middle of an incident, with forecasts on their way and events not
 * taken, is spoilt as the input orders and then restored by the monitor and by each part alone. It is
 * refused with a text, and the object is as it was; or it is taken, and what comes out holds together.
 */
#include "fuzz_base.h"
#include "fuzz_line.h"
#include "fuzz_mutate.h"

#define BEFORE 24 /* windows before it is saved; the last ones flooded */
#define AFTER 4
#define START (BASE_FIRST * BASE_WINDOW)

typedef struct life {
    stg_ctx *ctx;
    stg_bundle *model;
    stg_monitor *mon;
    stg_lane *lane;
} life;

static void begin(life *l, stg_ctx *ctx, uint32_t kind)
{
    const base_file *f = base_bundle(kind);
    const stg_ingest_opts ingest = {.size = sizeof ingest, .max_nodes = 8, .max_edges = 8,
                                    .max_routes = 4};
    const stg_monitor_opts opts = {.size = sizeof opts, .ingest = &ingest};
    stg_error err;
    *l = (life){.ctx = ctx};
    FUZZ_CHECK(stg_bundle_parse(&l->model, ctx, f->bytes, f->len, &err) == STG_OK);
    FUZZ_CHECK(stg_monitor_create(&l->mon, ctx, l->model, &opts, &err) == STG_OK);
}

static void end(life *l)
{
    stg_lane_close(l->lane);
    stg_monitor_destroy(l->mon);
    stg_bundle_destroy(l->model);
}

static void push(stg_lane *lane, const stg_call *like, uint64_t start, uint32_t n)
{
    stg_call c = *like;
    for (uint32_t i = 0; i < n; i++) {
        c.end_ns = start + i * (BASE_WINDOW / n);
        c.client = c.group = i % 7 + 1;
        stg_lane_push(lane, &c, 1);
    }
}

/* One window of the system that the model has learnt, and a service that it does not know. */
static int32_t window(life *l, uint64_t at, uint32_t calls)
{
    const uint64_t start = START + at * BASE_WINDOW;
    stg_call in = {.duration_us = 900, .status = 200, .side = STG_SIDE_SERVER};
    stg_call out = {.duration_us = 700, .status = 500, .side = STG_SIDE_CLIENT};
    stg_gauge gauge = {.time_ns = start + 1, .producer = 4, .open = 9, .in_flight = 2};
    stg_error err;
    if (!l->lane) {
        const stg_lane_opts opts = {.size = sizeof opts, .records = 1024, .names = 16};
        FUZZ_CHECK(stg_lane_open(&l->lane, stg_monitor_ingest(l->mon), &opts) == STG_OK);
    }
    FUZZ_CHECK(stg_lane_intern(l->lane, STG_NODE, "web", 3, &in.dst) == STG_OK);
    FUZZ_CHECK(stg_lane_intern(l->lane, STG_NODE, at > 9 ? "new" : "cart", at > 9 ? 3 : 4, &out.dst) ==
               STG_OK);
    FUZZ_CHECK(stg_lane_intern(l->lane, STG_ROUTE, "GET /", 5, &in.route) == STG_OK);
    out.src = gauge.node = in.dst;
    push(l->lane, &in, start, calls);
    push(l->lane, &out, start, 60);
    stg_lane_gauge(l->lane, &gauge);
    return stg_monitor_tick(l->mon, start + BASE_WINDOW, &err);
}

static void serialize(const stg_monitor *mon, stg_ctx *ctx, base_file *out)
{
    stg_bundle *b;
    stg_error err;
    FUZZ_CHECK(stg_bundle_open(&b, ctx, NULL, &err) == STG_OK);
    FUZZ_CHECK(stg_state_save(mon, b, &err) == STG_OK);
    FUZZ_CHECK(stg_bundle_serialize(b, NULL, 0, &out->len) == STG_MORE);
    out->bytes = (uint8_t *)malloc(out->len);
    FUZZ_CHECK(out->bytes && stg_bundle_serialize(b, out->bytes, out->len, &out->len) == STG_OK);
    stg_bundle_destroy(b);
}

/* A good state, and that of a monitor that has seen nothing. */
static const base_file *saved(uint32_t kind, bool used)
{
    static base_file files[BASE_KINDS][2];
    base_file *f = &files[kind][used];
    life l;
    stg_ctx *ctx;
    if (f->bytes)
        return f;
    FUZZ_CHECK(stg_ctx_create(&ctx, NULL) == STG_OK);
    begin(&l, ctx, kind);
    for (uint64_t at = 0; used && at < BEFORE; at++)
        FUZZ_CHECK(window(&l, at, at < BEFORE - 6 ? 100 : 800) == STG_OK);
    serialize(l.mon, ctx, f);
    end(&l);
    stg_ctx_destroy(ctx);
    return f;
}

static bool refused(int32_t status, const stg_error *err)
{
    return (status == STG_E_FORMAT || status == STG_E_VERSION || status == STG_E_NOTFOUND ||
            status == STG_E_LIMIT || status == STG_E_MISMATCH || status == STG_E_NOMEM) &&
           err->status == status && err->text[0];
}

static void take_events(stg_monitor *mon)
{
    static char text[STG__LINE_MAX];
    size_t len = 0;
    while (stg_monitor_event(mon, text, sizeof text, &len) == STG_OK)
        FUZZ_CHECK(len && text[len - 1] == '\n' && strlen(text) == len);
}

/* What the old process had queued may be any text; what this one writes is JSON. */
static void go_on(life *l)
{
    static char text[STG__LINE_MAX];
    size_t len = 0;
    take_events(l->mon);
    for (uint64_t at = 0; at < AFTER; at++) {
        const int32_t status = window(l, BEFORE + at, at < 2 ? 100 : 700);
        FUZZ_CHECK(status == STG_OK || status == STG_E_NOMEM || status == STG_E_MISMATCH ||
                   status == STG_E_TIME);
        while (stg_monitor_event(l->mon, text, sizeof text, &len) == STG_OK)
            fuzz_json(text, len);
        const stg_graph *g = (const stg_graph *)stg_monitor_get(l->mon, STG_GET_GRAPH);
        const stg_report *r = (const stg_report *)stg_monitor_get(l->mon, STG_GET_REPORT);
        if (g && r && status == STG_OK)
            line_report(r, g);
        stg_unref(g);
        stg_unref(r);
    }
}

static void whole(stg_ctx *ctx, uint32_t kind, const stg_bundle *bundle)
{
    life l;
    stg_error err = {0};
    begin(&l, ctx, kind);
    const int32_t status = stg_state_restore(l.mon, bundle, &err);
    if (status == STG_OK) {
        go_on(&l);
    } else {
        base_file now;
        const base_file *fresh = saved(kind, false);
        FUZZ_CHECK(refused(status, &err));
        serialize(l.mon, ctx, &now);
        FUZZ_CHECK(now.len == fresh->len && memcmp(now.bytes, fresh->bytes, now.len) == 0);
        free(now.bytes);
    }
    end(&l);
}

/* Each part takes what it can, whatever has become of the others. */
static void parts(stg_ctx *ctx, uint32_t kind, const stg_bundle *bundle)
{
    life l;
    begin(&l, ctx, kind);
    void *const part[] = {l.mon->ingest, l.mon->session, l.mon->detector, l.mon->planner};
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        stg_error err = {0};
        const int32_t status = stg_state_restore(part[i], bundle, &err);
        FUZZ_CHECK(status == STG_OK || refused(status, &err));
    }
    go_on(&l);
    end(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const prefixes[] = {
        "state/",         "state/ingest/", "state/session/", "state/score/inc",
        "state/respond/", "state/monitor/", "state/score/r", "state/score/pool."};
    fuzz_input in = {data, size};
    fuzz_memory memory;
    stg_bundle *bundle = NULL;
    stg_error err;
    const uint8_t how = fuzz_u8(&in);
    const uint32_t kind = how % BASE_KINDS;
    const base_file *f = saved(kind, true);
    saved(kind, false);
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    FUZZ_CHECK(stg_bundle_parse(&bundle, ctx, f->bytes, f->len, &err) == STG_OK);
    const char *prefix = prefixes[how / BASE_KINDS % (sizeof prefixes / sizeof *prefixes)];
    for (int n = 0; in.left && n < 6; n++)
        fuzz_mutate(bundle, prefix, &in);
    if (how & 128)
        parts(ctx, kind, bundle);
    else
        whole(ctx, kind, bundle);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    return 0;
}
