/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner's rules. Reports and forecasts are doubles (respond_bench.h), linked in place of the
 * rooms that make them, so that every rule meets exactly the incident it is about.
 */
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "respond_bench.h"

/* --- limits ----------------------------------------------------------------------------------- */

START_TEST(attack_is_limited_where_it_enters)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 40);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    b.outside = 600;
    incident *inc = happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    put_item(inc, STG_ITEM_CAUSE, (stg_item){.src = "web", .dst = "cart", .route = "GET /cart"});
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1); /* nothing within the system */
    const stg_action a = action(&b, 0);
    ck_assert_uint_eq(a.kind, STG_ACTION_LIMIT);
    ck_assert_str_eq(a.verb, "limit");
    ck_assert_str_eq(a.src, "external");
    ck_assert_str_eq(a.node, "web");
    ck_assert_str_eq(a.route, "GET /");
    ck_assert_double_eq_tol(a.value, 100 / 5.0 * 1.5, 1e-9); /* calls a second, not a window */
    ck_assert_double_eq_tol(a.present, 120, 1e-9);
    ck_assert_uint_eq(a.dry_run, 1);
    ck_assert_uint_eq(a.incident, 0xabc);
    ck_assert_uint_eq(a.expires_ns, b.now + 300 * (uint64_t)S);
    ck_assert_ptr_nonnull(strstr(a.reason, "some_class with confidence 0.9: 120 calls/s seen"));
    stg_action beyond = {.size = sizeof beyond};
    ck_assert_int_eq(stg_plan_action(b.plan, 1, &beyond), STG_E_NOTFOUND);
    ck_assert_int_eq(stg_plan_action((const stg_plan *)&b.report, 0, &beyond), STG_E_INVALID);
    teardown(&b);
}
END_TEST

START_TEST(young_edges_go_by_the_evidence_and_floor_holds)
{
    bench b;
    setup(&b, &(stg_planner_opts){.size = sizeof(stg_planner_opts), .enforce = 1});
    b.outside = 1;
    warm(&b, 3);
    incident *inc = happen(&b, STG_CLASS_BRUTE_FORCE, 0.95);
    b.outside = 50;
    tick(&b);
    ck_assert_double_eq(action(&b, 0).value, 1); /* 0.2 a second expected: the floor */
    ck_assert_uint_eq(action(&b, 0).dry_run, 0);
    put_item(inc, STG_ITEM_EVIDENCE,
             (stg_item){.src = "external", .dst = "web", .route = "GET /", .column = "calls",
                        .observed = 50, .expected = 20});
    put_item(inc, STG_ITEM_EVIDENCE, /* its part of traffic that the attack is in */
             (stg_item){.src = "external", .dst = "web", .route = "GET /", .column = "calls",
                        .observed = 50, .expected = 45});
    warm(&b, 7); /* over the dwell */
    ck_assert_double_eq_tol(action(&b, 0).value, 20 / 5.0 * 1.5, 1e-9);
    teardown(&b);
}
END_TEST

START_TEST(forecast_of_the_edge_counts)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    happen(&b, STG_CLASS_DDOS_VOLUMETRIC, 0.9);
    b.outside = 5000;
    expect_calls(&b, &f, 100);
    f.edge[0][0] = 300; /* peak of the day ahead */
    tick(&b);
    ck_assert_double_eq_tol(action(&b, 0).value, 300 / 5.0 * 1.5, 1e-9);
    teardown(&b);
}
END_TEST

START_TEST(benign_and_unknown_are_never_limited)
{
    static const uint32_t classes[] = {STG_CLASS_UNKNOWN, STG_CLASS_FLASH_CROWD, STG_CLASS_DEPLOY,
                                       STG_CLASS_CASCADE, STG_CLASS_RETRY_STORM};
    for (size_t k = 0; k < sizeof classes / sizeof *classes; k++) {
        bench b;
        setup(&b, NULL);
        warm(&b, 40);
        happen(&b, classes[k], 1.0);
        b.outside = 2000;
        for (int i = 0; i < 20; i++) {
            tick(&b);
            for (uint32_t a = 0; a < stg_plan_actions(b.plan); a++)
                ck_assert_uint_eq(action(&b, a).kind, STG_ACTION_SCALE);
        }
        teardown(&b);
    }
}
END_TEST

START_TEST(doubt_is_not_limited)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.79);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    b.report.inc[0].info.confidence = NAN;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    b.report.inc[0].info.confidence = 0.8;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    teardown(&b);
}
END_TEST

START_TEST(attack_that_turns_out_benign_is_freed_at_once)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    b.report.inc[0].info.class_id = STG_CLASS_FLASH_CROWD;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(inner_edge_only_without_one_from_outside)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    incident *inc = happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    memset(inc->items, 0, sizeof inc->items);
    put_item(inc, STG_ITEM_CAUSE, (stg_item){.node = "cart"});
    put_item(inc, STG_ITEM_CAUSE, (stg_item){.src = "web", .dst = "cart", .route = "GET /cart"});
    put_item(inc, STG_ITEM_EDGE, (stg_item){.src = "external", .dst = "web", .route = "GET /"});
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_str_eq(action(&b, 0).src, "external"); /* a member from outside goes first */
    inc->items[STG_ITEM_EDGE] = 0;
    inc->info.id = 0xabd;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_str_eq(action(&b, 0).src, "web");
    /* An edge that the graph does not know: the floor, nothing breaks. */
    inc->item[STG_ITEM_CAUSE][1].dst = "nowhere";
    inc->info.id = 0xabe;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_double_eq(action(&b, 0).value, 1);
    ck_assert(isnan(action(&b, 0).present));
    teardown(&b);
}
END_TEST

START_TEST(slow_requests_get_a_time_limit)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    incident *inc = happen(&b, STG_CLASS_SLOW_DOS, 0.9);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    stg_action a = action(&b, 0);
    ck_assert_uint_eq(a.kind, STG_ACTION_TIMEOUT);
    ck_assert_str_eq(a.verb, "timeout");
    ck_assert_str_eq(a.node, "web");
    ck_assert_str_eq(a.src, "");
    ck_assert_double_eq(a.value, 10);
    put_item(inc, STG_ITEM_EVIDENCE,
             (stg_item){.node = "web", .column = "oldest_header_ms", .observed = 60000,
                        .expected = 500});
    warm(&b, 7);
    a = action(&b, 0);
    ck_assert_double_eq(a.value, 2);
    ck_assert_double_eq(a.present, 60);
    teardown(&b);
}
END_TEST

/* --- life of an action ------------------------------------------------------------------------ */

START_TEST(actions_live_refresh_and_end)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    tick(&b);
    const uint64_t key = action(&b, 0).key;
    const uint64_t first = action(&b, 0).expires_ns;
    b.report.inc[0].info.state = STG_INCIDENT_QUIET;
    tick(&b);
    ck_assert_uint_eq(action(&b, 0).key, key);
    ck_assert_uint_eq(action(&b, 0).expires_ns, first + WINDOW); /* refreshed */
    /* The class wavers: the action stays, but its time runs. */
    b.report.inc[0].info.confidence = 0.5;
    const uint64_t expires = action(&b, 0).expires_ns;
    while (b.now + WINDOW < expires) {
        tick(&b);
        ck_assert_uint_eq(action(&b, 0).expires_ns, expires);
    }
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(closing_withdraws_and_dwell_holds_back)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    tick(&b);
    const uint64_t key = action(&b, 0).key;
    b.report.inc[0].info.state = STG_INCIDENT_CLOSE;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    const uint64_t closed = b.now;
    b.report.inc[0].info.state = STG_INCIDENT_OPEN;
    b.report.inc[0].info.id = 0xdef;
    tick(&b);
    while (b.now < closed + 30 * (uint64_t)S) {
        ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
        tick(&b);
    }
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_uint_eq(action(&b, 0).key, key); /* the same action, whoever asks for it */
    ck_assert_uint_eq(action(&b, 0).incident, 0xdef);
    b.report.info.incidents = 0; /* vanished without a word */
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(two_incidents_share_an_action)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    b.report.inc[1] = b.report.inc[0];
    b.report.inc[1].info.id = 0xdef;
    b.report.info.incidents = 2;
    for (int i = 0; i < 3; i++) {
        tick(&b);
        ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
        ck_assert_uint_eq(action(&b, 0).incident, 0xabc);
    }
    b.report.inc[0].info.state = STG_INCIDENT_CLOSE; /* the other one still asks */
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_uint_eq(action(&b, 0).incident, 0xdef);
    b.report.inc[1].info.state = STG_INCIDENT_CLOSE;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(value_moves_only_after_the_dwell)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    incident *inc = happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    put_item(inc, STG_ITEM_EVIDENCE, /* no reason to move: the level is known */
             (stg_item){.src = "external", .dst = "web", .route = "GET /", .column = "calls",
                        .observed = 500, .expected = 300});
    tick(&b);
    const uint64_t began = b.now;
    while (b.now + WINDOW < began + 30 * (uint64_t)S) {
        expect_calls(&b, &f, 100);
        f.edge[0][0] = 200;
        tick(&b);
        ck_assert_double_eq_tol(action(&b, 0).value, 30, 1e-9);
    }
    expect_calls(&b, &f, 100);
    f.edge[0][0] = 200;
    tick(&b);
    ck_assert_double_eq_tol(action(&b, 0).value, 60, 1e-9);
    teardown(&b);
}
END_TEST

START_TEST(keys_are_stable_and_tell_apart)
{
    const uint64_t k = stg__action_key(STG_ACTION_LIMIT, "web", "external", "GET /");
    ck_assert_uint_eq(k, stg__action_key(STG_ACTION_LIMIT, "web", "external", "GET /"));
    ck_assert_uint_eq(k, UINT64_C(0x93e005a323416642)); /* in every build, process and machine */
    ck_assert_uint_ne(k, stg__action_key(STG_ACTION_SCALE, "web", "external", "GET /"));
    ck_assert_uint_ne(stg__action_key(1, "ab", "c", ""), stg__action_key(1, "a", "bc", ""));
}
END_TEST

START_TEST(unjudged_windows_end_nothing)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 5);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    tick(&b);
    const uint64_t expires = action(&b, 0).expires_ns;
    b.report.info.incidents = 0;
    b.report.info.judged = 0;
    while (b.now + WINDOW < expires) {
        b.now += WINDOW;
        ck_assert_int_eq(plan(&b), STG_OK);
        ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    }
    b.now += WINDOW;
    ck_assert_int_eq(plan(&b), STG_OK);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(table_is_bounded)
{
    bench b;
    setup(&b, NULL);
    for (uint32_t i = 0; i < STG__LIVE_MAX + 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "node-%u", i);
        const stg__proposal p = {
            .kind = STG_ACTION_TIMEOUT, .node = name, .src = "", .route = "", .value = 10};
        ck_assert_int_eq(stg__live_want(b.planner, &p, b.now), STG_OK);
    }
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), STG__LIVE_MAX);
    for (uint32_t i = 1; i < STG__LIVE_MAX; i++)
        ck_assert_uint_lt(action(&b, i - 1).key, action(&b, i).key);
    b.now += 300 * (uint64_t)S;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

/* --- contract --------------------------------------------------------------------------------- */

START_TEST(what_does_not_belong_together_is_refused)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 2);
    ck_assert_int_eq(plan(&b), STG_E_TIME); /* the same window again */
    b.now -= WINDOW;
    ck_assert_int_eq(plan(&b), STG_E_TIME);
    b.now += WINDOW;
    expect_calls(&b, &f, 100);
    b.now += WINDOW;
    const stg_graph *g = graph(&b);
    const stg_plan *p;
    fit_report(&b, g);
    b.report.info.start_ns -= WINDOW;
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, NULL, &p), STG_E_MISMATCH);
    ck_assert_ptr_null(p);
    fit_report(&b, g);
    f.info.topology++;
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, &f, &p), STG_E_MISMATCH);
    f.info.topology--;
    f.info.window_ns *= 2;
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, &f, &p), STG_E_MISMATCH);
    f.info.window_ns /= 2;
    f.info.start_ns -= 3 * WINDOW; /* all of it is past */
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, &f, &p), STG_E_MISMATCH);
    f.info.start_ns += WINDOW; /* its last window is ahead */
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, &f, &p), STG_OK);
    stg_unref(p);
    ck_assert_int_eq(stg_planner_plan(b.planner, NULL, &b.report, NULL, &p), STG_E_INVALID);
    ck_assert_int_eq(stg_planner_plan(b.planner, g, NULL, NULL, &p), STG_E_INVALID);
    ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, NULL, NULL), STG_E_INVALID);
    stg_unref(g);
    teardown(&b);
}
END_TEST

START_TEST(options)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_planner *p;
    stg_planner_opts o = {.size = sizeof o, .min_confidence = 1.5};
    ck_assert_int_eq(stg_planner_create(&p, ctx, &o), STG_E_INVALID);
    ck_assert_ptr_null(p);
    o = (stg_planner_opts){.size = sizeof o, .enforce = 2};
    ck_assert_int_eq(stg_planner_create(&p, ctx, &o), STG_E_INVALID);
    ck_assert_int_eq(stg_planner_create(&p, NULL, NULL), STG_E_INVALID);
    stg_planner_destroy(NULL);
    ck_assert_uint_eq(stg_plan_actions(NULL), 0);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(no_allocation_after_warm_up)
{
    bench b;
    const stg_plan *out[3] = {NULL};
    setup(&b, NULL);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    size_t before = 0;
    for (int i = 0; i < 40; i++) {
        if (i == 8)
            before = b.memory.requests;
        tick(&b);
        stg_unref(out[i % 3]);
        out[i % 3] = (const stg_plan *)stg_ref(b.plan);
    }
    ck_assert_uint_eq(b.memory.requests, before);
    for (int i = 0; i < 3; i++)
        stg_unref(out[i]);
    teardown(&b);
}
END_TEST

START_TEST(failing_memory)
{
    bench b;
    setup(&b, NULL);
    stg_planner_destroy(b.planner);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    b.report.info.judged = 1;
    memset(b.mask, 0, sizeof b.mask);
    int32_t status = STG_E_NOMEM;
    for (size_t n = 1; status != STG_OK; n++) {
        b.planner = NULL;
        b.now += WINDOW;
        const stg_graph *g = graph(&b);
        fit_report(&b, g);
        const size_t before = b.memory.live;
        b.memory.requests = 0;
        b.memory.fail_at = n;
        status = stg_planner_create(&b.planner, b.ctx, NULL);
        if (status == STG_OK)
            status = stg_planner_plan(b.planner, g, &b.report, NULL, &b.plan);
        b.memory.fail_at = 0;
        if (status != STG_OK) {
            ck_assert_int_eq(status, STG_E_NOMEM);
            ck_assert_ptr_null(b.plan);
            if (b.planner) /* the same window can be planned again */
                ck_assert_int_eq(stg_planner_plan(b.planner, g, &b.report, NULL, &b.plan), STG_OK);
        }
        if (b.planner) {
            ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
            ck_assert_uint_eq(b.planner->levels.seen[1], 1); /* learnt once */
        }
        stg_unref(b.plan);
        b.plan = NULL;
        stg_planner_destroy(b.planner);
        b.planner = NULL;
        ck_assert_uint_eq(b.memory.live, before);
        stg_unref(g);
    }
    teardown(&b);
}
END_TEST

START_TEST(plan_outlives_planner)
{
    bench b;
    setup(&b, NULL);
    happen(&b, STG_CLASS_HTTP_FLOOD, 0.9);
    tick(&b);
    stg_planner_destroy(b.planner);
    b.planner = NULL;
    ck_assert_str_eq(action(&b, 0).node, "web");
    teardown(&b);
}
END_TEST

START_TEST(child_is_refused)
{
    bench b;
    setup(&b, NULL);
    tick(&b);
    const pid_t pid = fork();
    if (pid == 0) {
        b.now += WINDOW;
        _exit(plan(&b) == STG_E_FORK ? 0 : 1);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    teardown(&b);
}
END_TEST

TEST_SUITE("respond", attack_is_limited_where_it_enters,
           young_edges_go_by_the_evidence_and_floor_holds, forecast_of_the_edge_counts,
           benign_and_unknown_are_never_limited, doubt_is_not_limited,
           attack_that_turns_out_benign_is_freed_at_once, inner_edge_only_without_one_from_outside,
           slow_requests_get_a_time_limit, actions_live_refresh_and_end,
           closing_withdraws_and_dwell_holds_back,
           two_incidents_share_an_action, value_moves_only_after_the_dwell,
           keys_are_stable_and_tell_apart, unjudged_windows_end_nothing, table_is_bounded,
           what_does_not_belong_together_is_refused, options, no_allocation_after_warm_up,
           failing_memory, plan_outlives_planner, child_is_refused)
