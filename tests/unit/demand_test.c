/* SPDX-License-Identifier: Apache-2.0 */
/* Replicas: from the forecast, for flash crowds, and none for attacks. On the planner's doubles. */
#include <math.h>

#include "respond_bench.h"

START_TEST(replicas_from_the_forecast)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    expect_calls(&b, &f, 110); /* no more than noise */
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    expect_calls(&b, &f, 300);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    stg_action a = action(&b, 0);
    /* 60 calls/s with head-room 1.2 at 50 ms: 72 over 20 a second each; usual: 24 */
    const uint32_t need = stg__erlang_replicas(72, 20, 0.025, 0.05);
    const uint32_t base = stg__erlang_replicas(24, 20, 0.025, 0.05);
    ck_assert_uint_gt(need, base);
    ck_assert_uint_eq(a.kind, STG_ACTION_SCALE);
    ck_assert_str_eq(a.verb, "scale");
    ck_assert_str_eq(a.node, "web");
    ck_assert_double_eq(a.value, need);
    ck_assert(isnan(a.present));
    ck_assert_uint_eq(a.incident, 0);
    ck_assert_ptr_nonnull(strstr(a.reason, "forecast expects 60 calls/s where 20 are usual"));
    /* Less is expected: the replicas stay until their time is over, then there are fewer. */
    const uint64_t expires = a.expires_ns;
    while (b.now + WINDOW < expires) {
        expect_calls(&b, &f, 200);
        tick(&b);
        ck_assert_double_eq(action(&b, 0).value, need);
        ck_assert_uint_eq(action(&b, 0).expires_ns, expires);
    }
    expect_calls(&b, &f, 200);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_double_lt(action(&b, 0).value, need);
    ck_assert_uint_eq(action(&b, 0).expires_ns, b.now + 300 * (uint64_t)S);
    teardown(&b);
}
END_TEST

START_TEST(replicas_rise_in_steps)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    const uint32_t base = stg__erlang_replicas(24, 20, 0.025, 0.05);
    expect_calls(&b, &f, 1e12);
    tick(&b);
    const double value = action(&b, 0).value;
    ck_assert_double_eq(value, 2.0 * base + 2);
    for (int i = 0; i < 6; i++) {
        expect_calls(&b, &f, 1e12);
        tick(&b);
    }
    ck_assert_double_eq(action(&b, 0).value, 2 * value + 2); /* one more after the dwell */
    teardown(&b);
}
END_TEST

START_TEST(flash_crowd_gets_replicas)
{
    bench b;
    setup(&b, NULL);
    warm(&b, 40);
    happen(&b, STG_CLASS_FLASH_CROWD, 0.9);
    b.outside = 400;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    const stg_action a = action(&b, 0);
    ck_assert_uint_eq(a.kind, STG_ACTION_SCALE);
    ck_assert_str_eq(a.node, "web");
    ck_assert_uint_eq(a.incident, 0xabc);
    ck_assert_ptr_nonnull(strstr(a.reason, "flash crowd brings 80 calls/s"));
    b.report.inc[0].info.state = STG_INCIDENT_CLOSE;
    b.outside = 100;
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 0);
    teardown(&b);
}
END_TEST

START_TEST(attack_gets_no_replicas)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    happen(&b, STG_CLASS_DDOS_VOLUMETRIC, 0.9);
    b.outside = 5000;
    for (int i = 0; i < 20; i++) {
        expect_calls(&b, &f, 100); /* clean demand: the node is masked */
        tick(&b);
        ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
        ck_assert_uint_eq(action(&b, 0).kind, STG_ACTION_LIMIT);
    }
    /* Nor has the attack become the norm: the limit is still that of ordinary traffic. */
    ck_assert_double_eq_tol(action(&b, 0).value, 30, 1e-6);
    teardown(&b);
}
END_TEST

START_TEST(levels_survive_new_nodes)
{
    bench b;
    stg_forecast f;
    setup(&b, NULL);
    warm(&b, 40);
    b.extra_node = 1; /* another topology: the indices of all nodes move */
    expect_calls(&b, &f, 300);
    tick(&b);
    ck_assert_uint_eq(stg_plan_actions(b.plan), 1);
    ck_assert_str_eq(action(&b, 0).node, "web");
    teardown(&b);
}
END_TEST

TEST_SUITE("demand", replicas_from_the_forecast, replicas_rise_in_steps, flash_crowd_gets_replicas,
           attack_gets_no_replicas, levels_survive_new_nodes)
