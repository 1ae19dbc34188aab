/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facade: which forecast judges a window, what a failed tick leaves behind, the event lines and
 * their queue. The rooms below it are doubles (monitor_bench.h), graphs and plans are real.
 */
#include <cJSON.h>
#include <locale.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "monitor_bench.h"

static char line[STG__LINE_MAX];

static cJSON *take(bench *b)
{
    size_t len = 0;
    ck_assert_int_eq(stg_monitor_event(b->mon, line, sizeof line, &len), STG_OK);
    ck_assert_uint_eq(len, strlen(line));
    ck_assert_uint_gt(len, 2);
    ck_assert_ptr_eq(strchr(line, '\n'), line + len - 1); /* one line */
    cJSON *json = cJSON_Parse(line);
    ck_assert_ptr_nonnull(json);
    return json;
}

static const char *text(const cJSON *json, const char *key)
{
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    ck_assert_msg(s != NULL, "no text %s in %s", key, line);
    return s;
}

static double number(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    ck_assert_msg(cJSON_IsNumber(item), "no number %s in %s", key, line);
    return item->valuedouble;
}

static const cJSON *first(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(json, key), 0);
    ck_assert_msg(item != NULL, "nothing in %s of %s", key, line);
    return item;
}

/* --- making one ------------------------------------------------------------------------------- */

START_TEST(parts_agree_and_have_room)
{
    bench b;
    setup(&b, 3);
    put_tensor(b.bundle, "ingest/groups");
    const stg_ingest_opts ingest = {.size = sizeof ingest, .window_ns = 1, .snapshots = 7};
    const stg_monitor_opts opts = {.size = sizeof opts, .ingest = &ingest};
    create(&b, &opts);
    ck_assert_uint_eq(told.ingest.window_ns, WINDOW); /* the model's */
    ck_assert_uint_eq(told.ingest.snapshots, 9);      /* two for the monitor itself */
    ck_assert_uint_eq(told.detector.reports, 6);
    ck_assert_uint_eq(told.session.forecasts, 9);
    ck_assert_int_eq(told.restored, 1);
    ck_assert_ptr_nonnull(stg_monitor_ingest(b.mon));
    for (uint32_t what = 0; what < 7; what++)
        ck_assert_ptr_null(stg_monitor_get(b.mon, what));
    teardown(&b);
    setup(&b, 0);
    create(&b, NULL);
    ck_assert_int_eq(told.restored, 0);
    teardown(&b);
}
END_TEST

START_TEST(bad_bundles_and_options)
{
    bench b;
    setup(&b, HORIZON + 1);
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "score/lead is 5"));
    ck_assert_ptr_null(b.mon);
    stg__bundle_set_meta(b.bundle, "score/lead", "-3");
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err), STG_E_FORMAT);
    ck_assert_str_eq(b.err.text, "score/lead is not a number");
    stg__bundle_set_meta(b.bundle, "score/lead", "0");
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err), STG_E_FORMAT);
    stg__bundle_drop(b.bundle, "model/");
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err), STG_E_NOTFOUND);
    stg_monitor_opts opts = {.size = sizeof opts, .max_events = STG__MAX_EVENTS + 1};
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, &opts, &b.err), STG_E_INVALID);
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, NULL, NULL, &b.err), STG_E_INVALID);
    struct {
        stg_monitor_opts known;
        uint64_t later;
    } newer = {{.size = sizeof newer}, 1};
    ck_assert_int_eq(stg_monitor_create(&b.mon, b.ctx, b.bundle, &newer.known, &b.err),
                     STG_E_VERSION);
    ck_assert_uint_eq(stg_monitor_dropped(NULL), 0);
    ck_assert_ptr_null(stg_monitor_get(NULL, 0));
    ck_assert_ptr_null(stg_monitor_ingest(NULL));
    ck_assert_int_eq(stg_monitor_tick(NULL, 5, NULL), STG_E_INVALID);
    teardown(&b);
}
END_TEST

/* --- which forecast judges -------------------------------------------------------------------- */

START_TEST(windows_are_judged_from_before)
{
    for (uint64_t lead = 1; lead <= HORIZON; lead++) {
        bench b;
        setup(&b, lead == 1 ? 0 : lead);
        create(&b, NULL);
        const uint64_t start = b.end;
        ck_assert_int_eq(next(&b), STG_OK);
        ck_assert_uint_eq(told.judge_start, 0); /* nothing was forecast yet */
        for (uint64_t k = 1; k < 10; k++) {
            ck_assert_int_eq(next(&b), STG_OK);
            /* Made `lead` windows before; in the first windows the oldest there is. */
            const uint64_t ago = k < lead ? k : lead;
            ck_assert_uint_eq(told.judge_start, start + (k - ago + 1) * WINDOW);
        }
        const stg_forecast *judge = (const stg_forecast *)stg_monitor_get(b.mon, STG_GET_FORECAST);
        const stg_forecast *after = (const stg_forecast *)stg_monitor_get(b.mon, STG_GET_NEXT);
        ck_assert_uint_eq(judge->info.start_ns, told.judge_start);
        ck_assert_uint_eq(after->info.start_ns, b.end);
        stg_unref(judge);
        stg_unref(after);
        teardown(&b);
    }
}
END_TEST

START_TEST(skipped_windows)
{
    bench b;
    setup(&b, 2);
    create(&b, NULL);
    for (int i = 0; i < 5; i++)
        ck_assert_int_eq(next(&b), STG_OK);
    const uint64_t last = b.end;
    b.end += 2 * WINDOW; /* two are missing: the last forecast reaches beyond them */
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_uint_eq(told.judge_start, last);
    b.end += HORIZON * WINDOW; /* none reaches that far */
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_uint_eq(told.judge_start, 0);
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_uint_eq(told.judge_start, b.end - WINDOW);
    ck_assert_int_eq(stg_monitor_tick(b.mon, last, &b.err), STG_E_TIME);
    ck_assert_ptr_nonnull(strstr(b.err.text, "closing the window"));
    ck_assert_int_eq(next(&b), STG_OK);
    teardown(&b);
}
END_TEST

START_TEST(masks)
{
    bench b;
    setup(&b, 0);
    create(&b, NULL);
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_int_eq(told.masked, 0);
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_int_eq(told.masked, 1);
    told.incidents = 0;
    told.coverage = 0.4; /* counts of less than half of the lanes must not be learnt */
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_int_eq(told.masked, 2);
    teardown(&b);
}
END_TEST

/* --- errors ----------------------------------------------------------------------------------- */

START_TEST(a_failed_tick_goes_on_where_it_stopped)
{
    static const char *const what[] = {"", "closing", "judging", "taking in", "forecasting"};
    for (int fail = FAIL_CLOSE; fail <= FAIL_FORECAST; fail++) {
        bench b;
        setup(&b, 0);
        create(&b, NULL);
        ck_assert_int_eq(next(&b), STG_OK);
        told.fail = fail;
        told.incidents = 1;
        ck_assert_int_eq(next(&b), STG_E_NOMEM);
        ck_assert_int_eq(b.err.status, STG_E_NOMEM);
        ck_assert_ptr_nonnull(strstr(b.err.text, what[fail]));
        size_t len;
        ck_assert_int_eq(stg_monitor_event(b.mon, line, sizeof line, &len), STG_AGAIN);
        ck_assert_int_eq(stg_monitor_tick(b.mon, b.end, &b.err), STG_OK);
        ck_assert_int_eq(told.steps, 2); /* each window once */
        cJSON_Delete(take(&b));
        ck_assert_int_eq(stg_monitor_event(b.mon, line, sizeof line, &len), STG_AGAIN);
        teardown(&b);
    }
}
END_TEST

START_TEST(news_survive_a_window_given_up)
{
    bench b;
    setup(&b, 0);
    create(&b, NULL);
    ck_assert_int_eq(next(&b), STG_OK);
    told.fail = FAIL_STEP;
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_E_NOMEM);
    told.incidents = 0;
    ck_assert_int_eq(next(&b), STG_OK); /* the host does not repeat it */
    cJSON *json = take(&b);
    ck_assert_str_eq(text(json, "state"), "open");
    ck_assert_double_eq(number(json, "time_ns"), (double)(b.end - WINDOW));
    cJSON_Delete(json);
    teardown(&b);
}
END_TEST

/* --- lines ------------------------------------------------------------------------------------ */

START_TEST(line_has_everything)
{
    bench b;
    setup(&b, 0);
    create(&b, NULL);
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    cJSON *json = take(&b);
    ck_assert_str_eq(text(json, "id"), "000000000000abc0");
    ck_assert_str_eq(text(json, "state"), "open");
    ck_assert_str_eq(text(json, "time"), "2023-11-14T22:13:25.000Z");
    ck_assert_double_eq(number(json, "time_ns"), 1700000005e9);
    ck_assert_str_eq(text(json, "opened"), "2023-11-14T22:13:20.000Z");
    ck_assert_double_eq(number(json, "opened_ns"), 1700000000e9);
    ck_assert_double_eq(number(json, "onset_ns"), 1699999990e9);
    ck_assert_str_eq(text(json, "class"), "http_flood");
    ck_assert_double_eq_tol(number(json, "confidence"), 0.9375, 1e-12);
    ck_assert_double_eq(number(json, "severity"), 3.5);
    ck_assert_str_eq(text(json, "technique"), "T1499.002");
    ck_assert_str_eq(text(json, "text"), "A sentence.");
    ck_assert_str_eq(cJSON_GetStringValue(first(json, "nodes")), "web");
    ck_assert_str_eq(text(first(json, "edges"), "src"), "external");
    ck_assert_str_eq(text(first(json, "edges"), "dst"), "web");
    ck_assert_str_eq(text(first(json, "edges"), "route"), "GET /");
    const cJSON *cause = first(json, "root_cause");
    ck_assert_double_eq(number(cause, "score"), 2.5);
    ck_assert_str_eq(text(cJSON_GetObjectItem(cause, "edge"), "dst"), "web");
    const cJSON *ev = first(json, "evidence");
    ck_assert_str_eq(text(ev, "column"), "calls");
    ck_assert_str_eq(text(ev, "where"), "external -> web GET /");
    ck_assert_double_eq(number(ev, "observed"), 500);
    ck_assert_double_eq(number(ev, "expected"), 100);
    ck_assert_double_eq(number(ev, "contribution"), 2.5);
    const cJSON *act = first(json, "plan");
    ck_assert_str_eq(text(act, "verb"), "limit");
    ck_assert_str_eq(text(act, "target"), "external -> web GET /");
    ck_assert_double_eq(number(act, "value"), 30); /* 100 in 5 s, by half more */
    ck_assert_double_eq(number(act, "present"), 100);
    ck_assert_double_eq(number(act, "expires_ns"), (1700000005.0 + 300) * 1e9);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(act, "dry_run")));
    ck_assert_ptr_nonnull(strstr(text(act, "reason"), "http_flood with confidence 0.94"));
    ck_assert_ptr_null(cJSON_GetObjectItem(json, "truncated"));
    cJSON_Delete(json);
    teardown(&b);
}
END_TEST

START_TEST(states)
{
    static const struct {
        uint32_t state;
        const char *name; /* NULL: no line */
    } cases[] = {{STG_INCIDENT_OPEN, "open"},
                 {STG_INCIDENT_UPDATE, "update"},
                 {STG_INCIDENT_QUIET, NULL},
                 {STG_INCIDENT_CLOSE, "close"}};
    bench b;
    size_t len;
    setup(&b, 0);
    create(&b, NULL);
    told.incidents = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        told.incident.state = cases[i].state;
        ck_assert_int_eq(next(&b), STG_OK);
        if (cases[i].name) {
            cJSON *json = take(&b);
            ck_assert_str_eq(text(json, "state"), cases[i].name);
            const cJSON *plan = cJSON_GetObjectItem(json, "plan");
            ck_assert_int_eq(cJSON_GetArraySize(plan), cases[i].state != STG_INCIDENT_CLOSE);
            cJSON_Delete(json);
        }
        ck_assert_int_eq(stg_monitor_event(b.mon, line, sizeof line, &len), STG_AGAIN);
    }
    teardown(&b);
}
END_TEST

START_TEST(hostile_names_and_locale)
{
    bench b;
    setup(&b, 0);
    create(&b, NULL);
    char *old = setlocale(LC_NUMERIC, "de_DE.UTF-8"); /* decimal comma, where installed */
    told.node = "a\"}\n\\\xff</script>";
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    if (old)
        setlocale(LC_NUMERIC, "C");
    cJSON *json = take(&b);
    ck_assert_str_eq(cJSON_GetStringValue(first(json, "nodes")), "a\"}\n\\\xc3\xbf</script>");
    ck_assert_ptr_null(strstr(line, "</script>"));
    ck_assert_double_eq(number(json, "severity"), 3.5);
    cJSON_Delete(json);
    teardown(&b);
}
END_TEST

START_TEST(lists_are_bounded)
{
    bench b;
    char name[STG_NAME_MAX + 1];
    setup(&b, 0);
    create(&b, NULL);
    told.items = 1000;
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    cJSON *json = take(&b);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "nodes")), 64);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "edges")), 64);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "root_cause")), 5);
    ck_assert_int_eq(cJSON_GetArraySize(cJSON_GetObjectItem(json, "evidence")), 8);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "truncated")));
    cJSON_Delete(json);
    /* Names of the greatest length, every byte of which takes six: still one line that fits. */
    memset(name, 1, sizeof name - 1);
    name[sizeof name - 1] = '\0';
    told.node = name;
    ck_assert_int_eq(next(&b), STG_OK);
    json = take(&b);
    ck_assert_int_gt(cJSON_GetArraySize(cJSON_GetObjectItem(json, "nodes")), 4);
    ck_assert(cJSON_IsTrue(cJSON_GetObjectItem(json, "truncated")));
    cJSON_Delete(json);
    ck_assert_uint_eq(stg_monitor_dropped(b.mon), 0);
    teardown(&b);
}
END_TEST

static void check_time(uint64_t ns, const char *expected)
{
    char buf[64];
    stg__text t;
    stg__text_init(&t, buf, sizeof buf);
    stg__text_time(&t, ns);
    ck_assert_int_eq(stg__text_end(&t, NULL), STG_OK);
    ck_assert_str_eq(buf, expected);
}

START_TEST(times)
{
    check_time(0, "\"1970-01-01T00:00:00.000Z\"");
    check_time(951782399999999999u, "\"2000-02-28T23:59:59.999Z\"");
    check_time(951868800000000000u, "\"2000-03-01T00:00:00.000Z\"");
    check_time(1709208000123456789u, "\"2024-02-29T12:00:00.123Z\"");
    check_time(1735689599000000000u, "\"2024-12-31T23:59:59.000Z\"");
    check_time(UINT64_MAX, "\"2554-07-21T23:34:33.709Z\"");
    for (uint64_t day = 0; day < 213000; day += 13) { /* against the C library, to 2553 */
        const time_t at = (time_t)(day * 86400 + 3661);
        struct tm tm;
        char expected[64];
        gmtime_r(&at, &tm);
        strftime(expected, sizeof expected, "\"%Y-%m-%dT%H:%M:%S.000Z\"", &tm);
        check_time((uint64_t)at * S, expected);
    }
}
END_TEST

/* --- queue ------------------------------------------------------------------------------------ */

START_TEST(queue_overflows_by_count)
{
    bench b;
    setup(&b, 0);
    create(&b, &(stg_monitor_opts){.size = sizeof(stg_monitor_opts), .max_events = 3});
    told.incidents = 5;
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_uint_eq(stg_monitor_dropped(b.mon), 2);
    for (int i = 2; i < 5; i++) { /* the oldest are gone */
        char id[20];
        snprintf(id, sizeof id, "%016x", 0xabc0 + i);
        cJSON *json = take(&b);
        ck_assert_str_eq(text(json, "id"), id);
        cJSON_Delete(json);
    }
    size_t len;
    ck_assert_int_eq(stg_monitor_event(b.mon, line, sizeof line, &len), STG_AGAIN);
    teardown(&b);
}
END_TEST

START_TEST(small_buffers)
{
    bench b;
    size_t len = 0;
    size_t need = 0;
    setup(&b, 0);
    create(&b, NULL);
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    ck_assert_int_eq(stg_monitor_event(b.mon, NULL, 0, &need), STG_MORE);
    ck_assert_int_eq(stg_monitor_event(b.mon, line, need - 1, &len), STG_MORE);
    ck_assert_uint_eq(len, need);
    ck_assert_int_eq(stg_monitor_event(b.mon, line, need, &len), STG_OK); /* it stayed */
    ck_assert_uint_eq(len, need - 1);
    ck_assert_uint_eq(strlen(line), len);
    ck_assert_int_eq(stg_monitor_event(b.mon, line, sizeof line, NULL), STG_E_INVALID);
    teardown(&b);
}
END_TEST

/* Lines of every size through a ring that wraps, against a plain list. */
START_TEST(queue_keeps_order_and_bound)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg__events q;
    stg__rng rng;
    static char big[STG__LINE_MAX];
    uint64_t in = 0;
    uint64_t out = 0;
    uint64_t dropped = 0;
    stg__events_init(&q, ctx, 8);
    stg__rng_init(&rng, 1, 2);
    for (int i = 0; i < 20000; i++) {
        if (stg__rng_below(&rng, 5) < 3) {
            const size_t len = 9 + stg__rng_below(&rng, i % 7 ? 300 : STG__LINE_MAX - 10);
            memcpy(big, &in, 8);
            big[len - 1] = (char)in;
            stg__events_push(&q, big, len);
            in++;
        } else {
            size_t len = 0;
            const int32_t status = stg__events_take(&q, line, sizeof line, &len);
            out += q.dropped - dropped;
            dropped = q.dropped;
            if (status == STG_AGAIN) {
                ck_assert_uint_eq(out, in);
                continue;
            }
            uint64_t at;
            memcpy(&at, line, 8);
            ck_assert_uint_eq(at, out);
            ck_assert_int_eq(line[len - 1], (char)at);
            out++;
        }
        ck_assert_uint_le(q.cap, q.max_bytes);
        ck_assert_uint_le(q.lines, 8);
    }
    ck_assert_uint_gt(q.dropped, 0);
    m.fail_at = 1; /* no memory to grow: lines are dropped, nothing breaks */
    m.requests = 0;
    stg__events small;
    stg__events_init(&small, ctx, 8);
    stg__events_push(&small, "x", 1);
    ck_assert_uint_eq(small.dropped, 1);
    ck_assert_uint_eq(small.lines, 0);
    m.fail_at = 0;
    stg__events_fini(&small);
    stg__events_fini(&q);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

/* --- promises --------------------------------------------------------------------------------- */

START_TEST(no_allocation_after_warm_up)
{
    bench b;
    const void *held[4] = {NULL};
    setup(&b, 2);
    create(&b, NULL);
    size_t before = 0;
    for (int i = 0; i < 60; i++) {
        if (i == 20)
            before = b.memory.requests;
        ck_assert_int_eq(next(&b), STG_OK);
        stg_unref(held[i % 4]);
        held[i % 4] = stg_monitor_get(b.mon, STG_GET_NEXT);
    }
    ck_assert_uint_eq(b.memory.requests, before);
    for (int i = 0; i < 4; i++)
        stg_unref(held[i]);
    teardown(&b);
}
END_TEST

START_TEST(failing_memory)
{
    bench b;
    setup(&b, 2);
    put_tensor(b.bundle, "ingest/groups");
    told.incidents = 1;
    int32_t status = STG_E_NOMEM;
    for (size_t n = 1; status != STG_OK || stg_monitor_dropped(b.mon) > 0; n++) {
        stg_monitor_destroy(b.mon);
        b.mon = NULL;
        ck_assert_int_eq(told.live, 0);
        b.end += WINDOW;
        b.memory.requests = 0;
        b.memory.fail_at = n;
        status = stg_monitor_create(&b.mon, b.ctx, b.bundle, NULL, &b.err);
        for (int i = 0; status == STG_OK && i < 2; i++)
            status = stg_monitor_tick(b.mon, b.end + i * WINDOW, &b.err);
        b.memory.fail_at = 0;
        ck_assert(status == STG_OK || status == STG_E_NOMEM);
        if (b.mon && status != STG_OK) { /* it can go on */
            ck_assert_int_eq(stg_monitor_tick(b.mon, b.end + 5 * WINDOW, &b.err), STG_OK);
            cJSON_Delete(take(&b));
        }
        ck_assert_uint_lt(n, 1000);
    }
    teardown(&b);
}
END_TEST

START_TEST(child_is_refused)
{
    bench b;
    setup(&b, 0);
    create(&b, NULL);
    told.incidents = 1;
    ck_assert_int_eq(next(&b), STG_OK);
    const pid_t pid = fork();
    if (pid == 0) {
        size_t len;
        const int ok = next(&b) == STG_E_FORK && stg_monitor_ingest(b.mon) == NULL &&
                       stg_monitor_event(b.mon, line, sizeof line, &len) == STG_E_FORK &&
                       stg_monitor_get(b.mon, STG_GET_GRAPH) == NULL;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    teardown(&b);
}
END_TEST

TEST_SUITE("monitor", parts_agree_and_have_room, bad_bundles_and_options,
           windows_are_judged_from_before, skipped_windows, masks,
           a_failed_tick_goes_on_where_it_stopped, news_survive_a_window_given_up,
           line_has_everything, states, hostile_names_and_locale, lists_are_bounded, times,
           queue_overflows_by_count, small_buffers, queue_keeps_order_and_bound,
           no_allocation_after_warm_up, failing_memory, child_is_refused)
