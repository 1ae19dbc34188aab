/* SPDX-License-Identifier: Apache-2.0 */
/* The planner's queueing formulas: golden values and what must hold for all of them. */
#include <math.h>

#include "respond_priv.h"
#include "test.h"

START_TEST(erlang_golden)
{
    /* Replicas for rates of 45, 450, 4500 a second at 10 a second each; 0.5 service times, 5 %. */
    ck_assert_uint_eq(stg__erlang_replicas(45, 10, 0.05, 0.05), 8);
    ck_assert_uint_eq(stg__erlang_replicas(450, 10, 0.05, 0.05), 50);
    ck_assert_uint_eq(stg__erlang_replicas(4500, 10, 0.05, 0.05), 456);
    ck_assert_uint_eq(stg__erlang_replicas(450, 10, 0, 0.01), 63);
    ck_assert_double_eq_tol(stg__erlang_c(10, 8), 0.4091801508, 1e-10);
}
END_TEST

START_TEST(erlang_properties)
{
    /* One server: the probability of waiting is the load. */
    for (double a = 0; a < 1; a += 0.125)
        ck_assert_double_eq_tol(stg__erlang_c(1, a), a, 1e-14);
    ck_assert_double_eq(stg__erlang_c(3, 3), 1);
    ck_assert(isnan(stg__erlang_c(0, 1)));
    /* The least number: one server fewer is not enough. */
    for (double rate = 1; rate < 3000; rate *= 1.7) {
        const uint32_t c = stg__erlang_replicas(rate, 10, 0.05, 0.05);
        ck_assert(c * 10 > rate);
        ck_assert(stg__erlang_c(c, rate / 10) * exp(-(c * 10 - rate) * 0.05) <= 0.05);
        if (c > 1 && (c - 1) * 10 > rate)
            ck_assert(stg__erlang_c(c - 1, rate / 10) * exp(-((c - 1) * 10 - rate) * 0.05) > 0.05);
    }
    ck_assert_uint_eq(stg__erlang_replicas(0, 10, 0.05, 0.05), 1);
    ck_assert_uint_eq(stg__erlang_replicas(NAN, 10, 0.05, 0.05), 0);
    ck_assert_uint_eq(stg__erlang_replicas(1, 0, 0.05, 0.05), 0);
    ck_assert_uint_eq(stg__erlang_replicas(INFINITY, 10, 0.05, 0.05), STG__REPLICAS_MAX);
    ck_assert_uint_eq(stg__erlang_replicas(1e300, 1e-3, 0.05, 0.05), STG__REPLICAS_MAX);
}
END_TEST

TEST_SUITE("erlang", erlang_golden, erlang_properties)
