/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer: options, gaps, cancelling, the same bits for any number of threads, failing memory,
 * and that what is learnt forecasts better than the last windows do.
 */
#include "model_priv.h"
#include "learn.h"

/* Mean absolute error of log(1 + calls) one and six windows ahead, over windows never trained on. */
static void judge(stg_ctx *ctx, const stg_model *m, uint32_t nodes, uint64_t seed, uint64_t from,
                  uint64_t to, double error[2])
{
    world w;
    stg_session *s;
    static double kept[512][2][64];
    double count = 0;
    ck_assert_int_eq(world_open(&w, ctx, nodes, seed), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    error[0] = error[1] = 0;
    for (uint64_t at = 0; at < to; at++) {
        const stg_graph *g;
        const stg_forecast *f;
        ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
        const double *calls = stg_graph_column(g, STG_NODE, "calls", 5);
        for (uint32_t i = 0; at >= from + 6 && i < nodes; i++) {
            error[0] += fabs(log1p(calls[i]) - log1p(kept[at - 1][0][i]));
            error[1] += fabs(log1p(calls[i]) - log1p(kept[at - 6][1][i]));
            count++;
        }
        if (at >= from - 20) {
            ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
            ck_assert_int_eq(stg_session_forecast(s, 6, &f), STG_OK);
            memcpy(kept[at][0], stg_forecast_mean(f, STG_NODE, "calls", 5, 0), nodes * 8);
            memcpy(kept[at][1], stg_forecast_mean(f, STG_NODE, "calls", 5, 5), nodes * 8);
            stg_unref(f);
        }
        stg_unref(g);
    }
    error[0] /= count;
    error[1] /= count;
    stg_session_destroy(s);
    world_close(&w);
}

/* Stated margins: the net is at least 5 % better than persistence one window ahead and 40 % better
 * six windows ahead, and not worse than the profile of the day. */
START_TEST(learns)
{
    stg_ctx *ctx = test_ctx(NULL);
    static const char *const kinds[] = {"persistence", "seasonal", "dcrnn"};
    double error[3][2];
    for (int k = 0; k < 3; k++) {
        const stg_model *m;
        stg_error err;
        const stg_trainer_opts opts = {.size = sizeof opts,
                                       .kind = kinds[k],
                                       .day_ns = (uint64_t)WORLD_DAY * WORLD_WINDOW,
                                       .seed = 3,
                                       .epochs = 30,
                                       .units = 16};
        ck_assert_msg(learn(ctx, &opts, 7, 300, 11, &m, &err) == STG_OK, "%s", err.text);
        judge(ctx, m, 7, 11, 310, 500, error[k]);
        stg_unref(m);
        printf("# %s: %.4f one window ahead, %.4f six\n", kinds[k], error[k][0], error[k][1]);
    }
    ck_assert_double_lt(error[2][0], 0.95 * error[0][0]);
    ck_assert_double_lt(error[2][1], 0.60 * error[0][1]);
    ck_assert_double_lt(error[2][0], error[1][0]);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("train", learns)
