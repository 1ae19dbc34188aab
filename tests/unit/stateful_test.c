/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions that carry their state on: over as many windows as the history they say what an exact session
 * says, bit by bit; the state goes with the nodes' names over a change of the topology and over a restart;
 * nothing is allocated; a model that was not trained for it is refused.
 */
#include <math.h>

#include "model_priv.h"
#include "learn.h"
#include "test.h"

enum { NODES = 5, HISTORY = 4, HORIZON = 3, ROW = HORIZON * 3 * (NODES + 3) };

typedef struct form {
    const char *kind;
    const char *cell;
    const char *decoder;
    uint32_t lags;
} form;

static const form forms[] = {
    {"dcrnn", NULL, NULL, 0},
    {"dcrnn_series", NULL, NULL, 0},
    {"dcrnn_series", "dclstm", NULL, 0},
    {"dcrnn", "dclstm", "direct_relu", 2},
};
enum { FORMS = sizeof forms / sizeof *forms };

static const stg_model *model_of(stg_ctx *ctx, const form *f, uint32_t warmup)
{
    const stg_model *m;
    stg_error err = {0};
    stg_trainer_opts opts = learn_small(f->kind);
    opts.layers = 2;
    opts.history = HISTORY;
    opts.horizon = HORIZON;
    opts.cell = f->cell;
    opts.decoder = f->decoder;
    opts.lags = f->lags;
    opts.warmup = warmup;
    opts.epochs = 1;
    const int32_t status = learn(ctx, &opts, NODES, 60, 3, &m, &err);
    ck_assert_msg(status == STG_OK, "%s", err.text);
    return m;
}

static stg_session *session_of(stg_ctx *ctx, const stg_model *m, uint32_t mode)
{
    stg_session *s;
    const stg_session_opts opts = {.size = sizeof opts, .mode = mode};
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_OK);
    return s;
}

static void step(stg_session *s, world *w, uint64_t at, const uint8_t *mask)
{
    const stg_graph *g;
    ck_assert_int_eq(world_next(w, at, &g), STG_OK);
    ck_assert_int_eq(stg_session_step(s, g, mask), STG_OK);
    stg_unref(g);
}

/* Every target, step and node of the forecast; its length. */
static size_t forecast(stg_session *s, double out[ROW])
{
    const stg_forecast *f;
    stg_forecast_info info = {.size = sizeof info};
    size_t count = 0;
    ck_assert_int_eq(stg_session_forecast(s, HORIZON, &f), STG_OK);
    ck_assert_int_eq(stg_forecast_get_info(f, &info), STG_OK);
    for (uint32_t k = 0; k < 3; k++)
        for (uint32_t d = 0; d < HORIZON; d++)
            for (uint32_t i = 0; i < info.nodes; i++) {
                static const char *const column[] = {"calls", "errors", "mean_us"};
                ck_assert_uint_lt(count, ROW);
                out[count++] =
                    stg_forecast_mean(f, STG_NODE, column[k], strlen(column[k]), d)[i];
            }
    stg_unref(f);
    return count;
}

static void check_same(stg_session *a, stg_session *b, bool same)
{
    double x[ROW];
    double y[ROW];
    const size_t count = forecast(a, x);
    ck_assert_uint_eq(forecast(b, y), count);
    ck_assert_int_eq(memcmp(x, y, count * sizeof *x) == 0, same);
}

/* As many steps as the exact session makes anew: the same numbers. Then the state knows more. */
START_TEST(begins_as_exact)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, &forms[_i], 8);
    stg_session *s[2] = {session_of(ctx, m, STG_MODE_EXACT), session_of(ctx, m, STG_MODE_STATEFUL)};
    world w[2];
    const uint32_t steps = HISTORY - (forms[_i].lags ? forms[_i].lags - 1 : 0);
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(world_open(&w[k], ctx, NODES, 9), STG_OK);
    for (uint64_t at = 0; at < HISTORY + 3; at++) {
        for (int k = 0; k < 2; k++)
            step(s[k], &w[k], at, NULL);
        if (steps == HISTORY && at + 1 >= HISTORY)
            check_same(s[0], s[1], at + 1 == HISTORY);
    }
    check_same(s[1], s[1], true); /* a forecast leaves the state as it was */
    for (int k = 0; k < 2; k++) {
        world_close(&w[k]);
        stg_session_destroy(s[k]);
    }
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Over a restart, with masked nodes, missing windows and a change of the topology behind it. */
START_TEST(goes_on_after_restart)
{
    static const uint8_t mask[NODES + 3] = {0, 1, 0, 1};
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, &forms[_i], 8);
    stg_session *s[3] = {session_of(ctx, m, STG_MODE_STATEFUL), session_of(ctx, m, STG_MODE_STATEFUL),
                         session_of(ctx, m, STG_MODE_EXACT)};
    stg_bundle *b;
    stg_error err = {0};
    world w[2];
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(world_open(&w[k], ctx, k ? NODES + 2 : NODES, 9), STG_OK);
    for (uint64_t at = 0; at < 20; at++)
        if (at != 7 && at != 8) /* two are bridged */
            step(s[0], &w[at >= 12], at, at == 10 ? mask : NULL);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_state_save(s[0], b, &err), STG_OK);
    ck_assert_int_eq(stg_state_restore(s[1], b, &err), STG_OK);
    ck_assert_int_eq(stg_state_restore(s[2], b, &err), STG_E_MISMATCH);
    ck_assert_ptr_nonnull(strstr(err.text, "mode"));
    check_same(s[0], s[1], true);
    for (uint64_t at = 20; at < 24; at++) {
        const stg_graph *g;
        ck_assert_int_eq(world_next(&w[1], at, &g), STG_OK);
        for (int k = 0; k < 2; k++)
            ck_assert_int_eq(stg_session_step(s[k], g, NULL), STG_OK);
        stg_unref(g);
        check_same(s[0], s[1], true);
    }
    stg_bundle_destroy(b);
    for (int k = 0; k < 3; k++)
        stg_session_destroy(s[k]);
    for (int k = 0; k < 2; k++)
        world_close(&w[k]);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A node's state is what it was when another one comes; a long gap empties it. */
START_TEST(follows_the_names)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, &forms[_i], 8);
    stg_session *s = session_of(ctx, m, STG_MODE_STATEFUL);
    const size_t rows = m->net.shape.layers * stg__net_states(&m->net) / m->net.shape.units;
    const size_t units = m->net.shape.units;
    world w[2];
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(world_open(&w[k], ctx, k ? NODES + 2 : NODES, 9), STG_OK);
    for (uint64_t at = 0; at < 10; at++)
        step(s, &w[0], at, NULL);
    const stg__state *old = s->state;
    const stg_graph *g;
    stg__state *new;
    ck_assert_int_eq(world_next(&w[1], 10, &g), STG_OK);
    ck_assert_int_eq(stg__state_create(&new, s, g), STG_OK);
    ck_assert_uint_gt(new->nodes, old->nodes);
    for (uint32_t i = 0; i < new->nodes; i++) {
        uint32_t from = 0;
        while (from < old->nodes && strcmp(old->topo->node_name[from], new->topo->node_name[i]) != 0)
            from++;
        for (size_t r = 0; r < rows; r++)
            for (size_t j = 0; j < units; j++) {
                const real x = new->hidden[(r * new->nodes + i) * units + j];
                const real y = from < old->nodes ? old->hidden[(r * old->nodes + from) * units + j] : 0;
                ck_assert(x == y && (from == old->nodes || x != 0 || i == 0));
            }
    }
    stg__state_destroy(new);
    ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
    stg_session *fresh = session_of(ctx, m, STG_MODE_STATEFUL);
    ck_assert_int_eq(stg_session_step(fresh, g, NULL), STG_OK); /* makes the same supports */
    stg_unref(g);
    ck_assert_int_eq(world_next(&w[1], 40, &g), STG_OK);
    ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
    ck_assert_int_eq(stg_session_step(fresh, g, NULL), STG_OK);
    const size_t bytes = rows * units * s->state->nodes * sizeof(real);
    ck_assert_mem_eq(s->state->hidden, fresh->state->hidden, bytes);
    stg_unref(g);
    stg_session_destroy(s);
    stg_session_destroy(fresh);
    for (int k = 0; k < 2; k++)
        world_close(&w[k]);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(allocates_nothing)
{
    enum { WINDOWS = 30 };
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *ctx = test_ctx(&memory);
    stg_ctx *plain = test_ctx(NULL);
    const stg_model *m = model_of(plain, &forms[_i], 4);
    stg_session *s = session_of(ctx, m, STG_MODE_STATEFUL);
    world w;
    double out[ROW];
    ck_assert_int_eq(world_open(&w, plain, NODES, 9), STG_OK);
    for (uint64_t at = 0; at < 5; at++) {
        step(s, &w, at, NULL);
        forecast(s, out);
    }
    const size_t before = memory.requests;
    for (uint64_t at = 6; at < WINDOWS; at += 1 + at % 2) { /* some are missing */
        step(s, &w, at, NULL);
        forecast(s, out);
    }
    ck_assert_uint_eq(memory.requests, before);
    world_close(&w);
    stg_session_destroy(s);
    stg_unref(m);
    stg_ctx_destroy(ctx);
    stg_ctx_destroy(plain);
}
END_TEST

/* What training carries the state over is told in the model; the bits do not depend on threads. */
START_TEST(refused_without_warmup)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_session *s;
    stg_session_opts opts = {.size = sizeof opts, .mode = STG_MODE_STATEFUL};
    stg_model_info info = {.size = sizeof info};
    const stg_model *m = model_of(ctx, &forms[1], 0);
    stg_model_get_info(m, &info);
    ck_assert_uint_eq(info.stateful_ok, 0);
    ck_assert_str_eq(info.cell, "dcgru");
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_E_UNSUPPORTED);
    stg_unref(m);
    m = model_of(ctx, &forms[2], 1);
    stg_model_get_info(m, &info);
    ck_assert_uint_eq(info.stateful_ok, 1);
    ck_assert_str_eq(info.cell, "dclstm");
    opts.mode = 2;
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_E_INVALID);
    stg_unref(m);
    opts.mode = STG_MODE_STATEFUL;
    const form simple = {"seasonal", NULL, NULL, 0};
    m = model_of(ctx, &simple, 8);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_E_INVALID);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stateful");
    TCase *tcase = tcase_create("stateful");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, begins_as_exact, 0, FORMS);
    tcase_add_loop_test(tcase, goes_on_after_restart, 0, FORMS);
    tcase_add_loop_test(tcase, follows_the_names, 0, FORMS);
    tcase_add_loop_test(tcase, allocates_nothing, 0, FORMS);
    tcase_add_test(tcase, refused_without_warmup);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
