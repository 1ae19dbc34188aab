/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole line with its real rooms: calls go in through a lane, windows are ticked, a planted flood
 * comes out as an incident with class, cause and plan, and closes. On the same line: what may be
 * allocated after warm-up (nothing), which threads appear (none), and what happens without memory.
 */
#include <cJSON.h>
#include <dirent.h>
#include <math.h>

#include <stgraph/stgraph.h>

#include "test.h"
#include "traffic.h"

#define FIRST (TRAFFIC_START_NS + 1440 * TRAFFIC_WINDOW_NS) /* the model learnt up to here */

static char line[65536];

typedef struct bench {
    test_memory memory;
    stg_ctx *ctx;
    stg_bundle *bundle;
    stg_monitor *mon;
    stg_lane *lane;
    traffic traffic;
    uint64_t start; /* of the next window */
    stg_error err;
} bench;

static void setup(bench *b)
{
    memset(b, 0, sizeof *b);
    test_memory_init(&b->memory);
    b->ctx = test_ctx(&b->memory);
    b->start = FIRST;
    ck_assert_ptr_nonnull(getenv("MODEL_FILE"));
    ck_assert_int_eq(stg_bundle_open(&b->bundle, b->ctx, getenv("MODEL_FILE"), &b->err), STG_OK);
}

static void open_line(bench *b)
{
    ck_assert_msg(stg_monitor_create(&b->mon, b->ctx, b->bundle, NULL, &b->err) == STG_OK, "%s",
                  b->err.text);
    ck_assert_int_eq(stg_lane_open(&b->lane, stg_monitor_ingest(b->mon), NULL), STG_OK);
    ck_assert_int_eq(traffic_open(&b->traffic, b->lane, 3), STG_OK);
}

static void teardown(bench *b)
{
    stg_lane_close(b->lane);
    stg_monitor_destroy(b->mon);
    stg_bundle_destroy(b->bundle);
    stg_ctx_destroy(b->ctx);
    ck_assert_uint_eq(b->memory.live, 0);
}

static int32_t next(bench *b, double flood)
{
    traffic_window(&b->traffic, b->start, flood);
    b->start += TRAFFIC_WINDOW_NS;
    return stg_monitor_tick(b->mon, b->start, &b->err);
}

static cJSON *take(bench *b)
{
    size_t len;
    if (stg_monitor_event(b->mon, line, sizeof line, &len) != STG_OK)
        return NULL;
    cJSON *json = cJSON_Parse(line);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const char *text(const cJSON *json, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItem(json, key));
    return s ? s : "";
}

static double number(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItem(json, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static uint32_t threads(void)
{
    uint32_t n = 0;
    DIR *dir = opendir("/proc/self/task");
    for (const struct dirent *d = dir ? readdir(dir) : NULL; d; d = readdir(dir))
        n += d->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

/* What the lines of a stretch of windows said. */
typedef struct tale {
    int opened;
    int closed;
    int named;   /* lines that call it a flood */
    int limits;  /* limits planned at external -> web GET /search */
    int other;   /* limits planned elsewhere */
    int caused;  /* lines with the flooded edge or its callee among the first three causes */
    double delay; /* from the start of the flood to the first opening, in windows */
} tale;

static void read_plan(const cJSON *json, tale *t)
{
    const cJSON *act;
    cJSON_ArrayForEach(act, cJSON_GetObjectItem(json, "plan"))
    {
        if (strcmp(text(act, "verb"), "limit") != 0)
            continue;
        const int here = strcmp(text(act, "target"), "external -> web GET /search") == 0;
        t->limits += here;
        if (here) /* it bites: the flood is twice the rest, the limit half over ordinary traffic */
            ck_assert_double_lt(number(act, "value"), 0.7 * number(act, "present"));
        t->other += !here;
    }
}

static int is_flooded(const cJSON *cause)
{
    const cJSON *edge = cJSON_GetObjectItem(cause, "edge");
    return strcmp(text(edge, "route"), "GET /search") == 0 || strcmp(text(cause, "node"), "web") == 0;
}

static void read_lines(bench *b, tale *t, uint64_t flood_start)
{
    for (cJSON *json = take(b); json; json = take(b)) {
        const cJSON *causes = cJSON_GetObjectItem(json, "root_cause");
        const char *name = text(json, "class");
        int caused = 0;
        for (int i = 0; i < 3; i++)
            caused |= is_flooded(cJSON_GetArrayItem(causes, i));
        t->caused += caused;
        t->named += !strcmp(name, "http_flood") || !strcmp(name, "ddos_volumetric");
        t->closed += !strcmp(text(json, "state"), "close");
        if (!strcmp(text(json, "state"), "open") && t->opened++ == 0)
            t->delay = (double)(b->start - flood_start) / TRAFFIC_WINDOW_NS;
        read_plan(json, t);
        cJSON_Delete(json);
    }
}

START_TEST(a_flood_is_told_named_limited_and_closed)
{
    bench b;
    tale before = {0};
    tale during = {0};
    tale after = {0};
    setup(&b);
    open_line(&b);
    for (int i = 0; i < 120; i++) {
        ck_assert_int_eq(next(&b, 0), STG_OK);
        read_lines(&b, &before, b.start);
    }
    ck_assert_int_eq(before.opened, 0);
    const uint64_t flood_start = b.start;
    for (int i = 0; i < 24; i++) {
        ck_assert_int_eq(next(&b, 150), STG_OK);
        read_lines(&b, &during, flood_start);
    }
    ck_assert_int_ge(during.opened, 1);
    ck_assert_double_le(during.delay, 6);
    ck_assert_int_ge(during.named, 1);
    ck_assert_int_ge(during.limits, 1);
    ck_assert_int_eq(during.other, 0);
    ck_assert_int_ge(during.caused, 1);
    for (int i = 0; i < 120; i++) {
        ck_assert_int_eq(next(&b, 0), STG_OK);
        read_lines(&b, &after, b.start);
    }
    ck_assert_int_eq(during.closed + after.closed, during.opened + after.opened);
    const stg_plan *plan = (const stg_plan *)stg_monitor_get(b.mon, STG_GET_PLAN);
    for (uint32_t i = 0; i < stg_plan_actions(plan); i++) { /* withdrawn with the incident */
        stg_action a = {.size = sizeof a};
        ck_assert_int_eq(stg_plan_action(plan, i, &a), STG_OK);
        ck_assert_uint_ne(a.kind, STG_ACTION_LIMIT);
    }
    stg_unref(plan);
    ck_assert_uint_eq(stg_monitor_dropped(b.mon), 0);
    teardown(&b);
}
END_TEST

static uint32_t incidents(bench *b)
{
    const stg_report *report = (const stg_report *)stg_monitor_get(b->mon, STG_GET_REPORT);
    stg_report_info info = {.size = sizeof info};
    ck_assert_int_eq(stg_report_get_info(report, &info), STG_OK);
    stg_unref(report);
    return info.incidents;
}

/*
 * Push, close, score, step, forecast and plan, all through the monitor, with four objects of each
 * kind out. No BLAS is called for inference; the count of threads holds with a serial or the
 * reference BLAS (a threading one may start its own when it is loaded, before main).
 */
START_TEST(nothing_is_allocated_and_no_thread_appears)
{
    bench b;
    const void *out[4][5] = {{NULL}};
    setup(&b);
    const uint32_t at_first = threads();
    ck_assert_uint_gt(at_first, 0);
    open_line(&b);
    int quiet = 0;
    for (int i = 0; i < 200; i++) {
        const size_t before = b.memory.requests;
        ck_assert_int_eq(next(&b, 0), STG_OK);
        if (i >= 60 && incidents(&b) == 0) {
            ck_assert_uint_eq(b.memory.requests, before);
            quiet++;
        }
        for (uint32_t what = 0; what < 5; what++) {
            stg_unref(out[i % 4][what]);
            out[i % 4][what] = NULL;
            out[i % 4][what] = stg_monitor_get(b.mon, what);
        }
    }
    ck_assert_int_ge(quiet, 100);
    ck_assert_uint_eq(threads(), at_first);
    for (int i = 0; i < 4; i++)
        for (uint32_t what = 0; what < 5; what++)
            stg_unref(out[i][what]);
    teardown(&b);
}
END_TEST

/* One window; everything it needs fails in turn, and the same window is ticked again. */
START_TEST(failing_memory)
{
    bench b;
    int32_t status = STG_E_NOMEM;
    setup(&b);
    for (size_t n = 1; status != STG_OK; n++) {
        b.start = FIRST;
        b.memory.requests = 0;
        b.memory.fail_at = n;
        status = stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err);
        b.memory.fail_at = 0;
        ck_assert(status == STG_OK || status == STG_E_NOMEM);
        stg_monitor_destroy(b.mon);
        b.mon = NULL;
    }
    status = STG_E_NOMEM;
    for (size_t n = 1; status != STG_OK; n++) {
        b.start = FIRST;
        open_line(&b);
        traffic_window(&b.traffic, b.start, 0);
        b.start += TRAFFIC_WINDOW_NS;
        b.memory.requests = 0;
        b.memory.fail_at = n;
        status = stg_monitor_tick(b.mon, b.start, &b.err);
        b.memory.fail_at = 0;
        ck_assert(status == STG_OK || status == STG_E_NOMEM);
        if (status != STG_OK)
            ck_assert_msg(stg_monitor_tick(b.mon, b.start, &b.err) == STG_OK, "%s", b.err.text);
        ck_assert_int_eq(next(&b, 0), STG_OK);
        stg_ingest_stats st = {.size = sizeof st};
        ck_assert_int_eq(stg_ingest_get_stats(stg_monitor_ingest(b.mon), &st), STG_OK);
        ck_assert_uint_eq(st.pushed, st.windowed + st.late + st.refused + st.waiting);
        stg_lane_close(b.lane);
        stg_monitor_destroy(b.mon);
        b.lane = NULL;
        b.mon = NULL;
    }
    teardown(&b);
}
END_TEST

TEST_SUITE("line", a_flood_is_told_named_limited_and_closed,
           nothing_is_allocated_and_no_thread_appears, failing_memory)
