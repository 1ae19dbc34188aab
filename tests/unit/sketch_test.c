/* SPDX-License-Identifier: Apache-2.0 */
/* Sketches: golden numbers, error bounds on generated streams, merging, starting over. */
#include <math.h>

#include "sketch_dd_priv.h"
#include "sketch_hll_priv.h"
#include "sketch_top_priv.h"

#include "test.h"

/* The portable data source of the golden numbers. */
static double unit(uint64_t *state)
{
    const uint64_t value = stg__mix64(*state);
    *state += 0x9e3779b97f4a7c15u;
    return ((double)(value >> 11) + 0.5) / 9007199254740992.0;
}

START_TEST(dd_golden)
{
    static const struct {
        double value;
        int32_t key;
    } known[] = {{1e-3, -345}, {0.5, -34}, {1.0, 0}, {1.5, 21}, {10, 116}, {1234.5, 356}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        ck_assert_int_eq(stg__dd_key(known[i].value), known[i].key);
        const double back = stg__dd_value(known[i].key);
        ck_assert_double_le(fabs(back - known[i].value) / known[i].value, 0.0100000001);
    }
    ck_assert_double_eq_tol(stg__dd_value(21), 1.5067630359, 1e-10);
}
END_TEST

START_TEST(dd_map_is_the_definition)
{
    static stg__dd_map map;
    stg__dd_map_init(&map);
    ck_assert_uint_eq(stg__dd_bin(&map, 0), 0);
    ck_assert_uint_eq(stg__dd_bin(&map, UINT32_MAX), STG__DD_BINS - 1);
    for (uint64_t v = 1; v < 61000000; v += 1 + v / 4096) {
        const int32_t key = stg__dd_key((double)v);
        const uint32_t bin = key < (int32_t)STG__DD_BINS ? (uint32_t)key : STG__DD_BINS - 1;
        ck_assert_msg(stg__dd_bin(&map, (uint32_t)v) == bin, "value %lu", (unsigned long)v);
    }
}
END_TEST

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a;
    const uint32_t y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

#define N 20000

START_TEST(dd_quantiles_are_one_percent_off_at_most)
{
    static stg__dd_map map;
    static uint32_t values[N];
    static uint32_t bins[3][STG__DD_BINS];
    uint64_t state = 7;
    stg__dd_map_init(&map);
    memset(bins, 0xa5, sizeof bins); /* bins need not be zero in the beginning */
    stg__dd half[2] = {{1, 0, bins[0]}, {1, 0, bins[1]}};
    stg__dd all = {1, 0, bins[2]};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++) {
            values[i] = (uint32_t)exp(2 + 14 * unit(&state)); /* 7 us to 9 s */
            stg__dd_add(&half[i % 2], stg__dd_bin(&map, values[i]));
        }
        stg__dd_clear(&all);
        stg__dd_merge(&all, &half[0]);
        stg__dd_merge(&all, &half[1]);
        qsort(values, N, sizeof *values, by_value);
        for (double q = 0; q <= 1.0; q += 0.01) {
            const double truth = values[(size_t)(q * (N - 1))];
            ck_assert_double_le(fabs(stg__dd_quantile(&all, q) - truth), 0.0101 * truth);
        }
        stg__dd_clear(&half[0]);
        stg__dd_clear(&half[1]);
    }
    ck_assert(isnan(stg__dd_quantile(&half[0], 0.5)));
    stg__dd_merge(&all, &half[0]); /* an empty one changes nothing */
    ck_assert_double_gt(stg__dd_quantile(&all, 0.5), 1);
}
END_TEST

START_TEST(hll_golden)
{
    static stg__hll hll;
    stg__hll_clear(&hll);
    ck_assert_double_eq(stg__hll_estimate(&hll), 0);
    for (uint64_t key = 17; key <= 1016; key++)
        stg__hll_add(&hll, key);
    ck_assert_double_eq_tol(stg__hll_estimate(&hll), 983.6381804218, 1e-9);
    for (uint64_t key = 17; key <= 1016; key++) /* seen again: nothing new */
        stg__hll_add(&hll, key);
    ck_assert_double_eq_tol(stg__hll_estimate(&hll), 983.6381804218, 1e-9);
}
END_TEST

START_TEST(hll_error_and_union)
{
    static stg__hll a;
    static stg__hll b;
    static stg__hll both;
    double squares = 0;
    int runs = 0;
    for (uint64_t run = 1; run <= 40; run++) {
        stg__hll_clear(&a);
        stg__hll_clear(&b);
        stg__hll_clear(&both);
        const uint64_t n = 1 + 977 * run;
        for (uint64_t i = 0; i < n; i++) {
            stg__hll_add(i % 3 ? &a : &b, run << 32 | i);
            stg__hll_add(&both, run << 32 | i);
        }
        const double relative = stg__hll_estimate(&both) / (double)n - 1;
        squares += relative * relative;
        runs++;
        stg__hll_merge(&a, &b);
        ck_assert_int_eq(memcmp(&a, &both, sizeof a), 0);
    }
    /* 1.04 / sqrt(1024) = 0.0325; 40 runs. */
    ck_assert_double_lt(sqrt(squares / runs), 0.045);
    ck_assert_double_gt(sqrt(squares / runs), 0.01);
    stg__hll_clear(&a);
    for (uint64_t i = 0; i < 5; i++)
        stg__hll_add(&a, i);
    ck_assert_double_eq_tol(stg__hll_estimate(&a), 5, 0.05);
    memset(&a, STG__HLL_RANKS, sizeof a); /* full registers: finite or infinite, no endless loop */
    ck_assert_double_gt(stg__hll_estimate(&a), 1e15);
}
END_TEST

START_TEST(top_bounds)
{
    enum { KEYS = 3000 };
    static stg__top top;
    static uint32_t truth[KEYS];
    uint64_t state = 3;
    for (int round = 0; round < 2; round++) {
        memset(truth, 0, sizeof truth);
        stg__top_clear(&top);
        ck_assert_uint_eq(stg__top_most(&top), 0);
        for (int i = 0; i < 50000; i++) {
            const double u = unit(&state);
            const uint32_t key = (uint32_t)(KEYS * u * u * u * u); /* skewed */
            truth[key]++;
            stg__top_add(&top, 1000 + key);
        }
        uint32_t most = 0;
        uint64_t sum = 0;
        for (uint32_t k = 0; k < KEYS; k++)
            most = truth[k] > most ? truth[k] : most;
        ck_assert_uint_eq(top.used, STG__TOP_KEYS);
        for (uint32_t i = 0; i < top.used; i++) {
            const uint32_t t = truth[top.key[i] - 1000];
            ck_assert_uint_ge(top.count[i], t);
            ck_assert_uint_le(top.count[i] - top.error[i], t);
            sum += top.count[i];
        }
        ck_assert_uint_eq(sum, 50000); /* the invariant of SpaceSaving */
        ck_assert_uint_le(stg__top_most(&top), most);
        ck_assert_uint_ge(stg__top_most(&top), most - most / 50);
        for (uint32_t k = 0; k < KEYS; k++) { /* every key above n / 64 is there */
            uint32_t at = 0;
            while (truth[k] > 50000 / STG__TOP_KEYS && top.key[at] != 1000 + k)
                ck_assert_uint_lt(++at, top.used);
        }
    }
}
END_TEST

TEST_SUITE("sketch", dd_golden, dd_map_is_the_definition,
           dd_quantiles_are_one_percent_off_at_most, hll_golden, hll_error_and_union, top_bounds)
