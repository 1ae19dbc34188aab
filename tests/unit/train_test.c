/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer: options, gaps, cancelling, the same bits for any number of threads, failing memory,
 * and that what is learnt forecasts better than the last windows or the profile of the day do.
 */
#include "train_priv.h"
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

/* Stated margins: the net is at least 25 % better than persistence one window ahead (10 % than the last
 * window alone), 50 % better six windows ahead, and 5 % better than the profile of the day at both. */
START_TEST(learns)
{
    if (test_statistics_left_out("learns"))
        return;
    stg_ctx *ctx = test_ctx(NULL);
    static const char *const kinds[] = {"persistence", "persistence", "seasonal", "dcrnn"};
    double error[4][2];
    for (int k = 0; k < 4; k++) {
        const stg_model *m;
        stg_error err;
        const stg_trainer_opts opts = {.size = sizeof opts,
                                       .kind = kinds[k],
                                       .day_ns = (uint64_t)WORLD_DAY * WORLD_WINDOW,
                                       .seed = 3,
                                       .history = k == 1 ? 1 : 0,
                                       .epochs = 20};
        ck_assert_msg(learn(ctx, &opts, 7, 300, 11, &m, &err) == STG_OK, "%s", err.text);
        judge(ctx, m, 7, 11, 310, 500, error[k]);
        stg_unref(m);
        printf("# %s: %.4f one window ahead, %.4f six\n", kinds[k], error[k][0], error[k][1]);
    }
    ck_assert_double_lt(error[3][0], 0.75 * error[0][0]);
    ck_assert_double_lt(error[3][0], 0.90 * error[1][0]);
    ck_assert_double_lt(error[3][1], 0.50 * error[0][1]);
    ck_assert_double_lt(error[3][0], 0.95 * error[2][0]);
    ck_assert_double_lt(error[3][1], 0.95 * error[2][1]);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Bytes of the file that a model is stored in. */
static unsigned char *bytes_of(stg_ctx *ctx, const stg_trainer_opts *opts, size_t *len)
{
    const stg_model *m;
    stg_error err = {0};
    stg_bundle *b;
    ck_assert_msg(learn(ctx, opts, 6, 80, 2, &m, &err) == STG_OK, "%s", err.text);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, len), STG_MORE);
    unsigned char *bytes = (unsigned char *)malloc(*len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, *len, len), STG_OK);
    stg_bundle_destroy(b);
    stg_unref(m);
    return bytes;
}

START_TEST(same_seed_same_bits)
{
    stg_ctx *ctx = test_ctx(NULL);
    static const uint32_t threads[] = {1, 2, 3, 8, 1};
    unsigned char *first = NULL;
    size_t len = 0;
    for (int i = 0; i < 5; i++) {
        size_t other;
        stg_trainer_opts opts = learn_small("dcrnn");
        opts.layers = 2;
        opts.units = 20;
        opts.threads = threads[i];
        opts.seed = i == 4 ? 6 : 5;
        unsigned char *bytes = bytes_of(ctx, &opts, &other);
        if (i == 0) {
            first = bytes;
            len = other;
            continue;
        }
        ck_assert_uint_eq(len, other);
        ck_assert_int_eq(memcmp(first, bytes, len) != 0, i == 4);
        free(bytes);
    }
    free(first);
    stg_ctx_destroy(ctx);
}
END_TEST

typedef struct watcher {
    uint32_t calls;
    uint32_t stop_at;
    stg_train_progress last;
} watcher;

static int32_t watch(const stg_train_progress *p, void *user)
{
    watcher *w = (watcher *)user;
    ck_assert_uint_eq(p->size, sizeof *p);
    ck_assert_uint_ge(p->batch, 1);
    ck_assert_uint_le(p->batch, p->batches);
    ck_assert(p->train_loss > 0 && isfinite(p->train_loss));
    ck_assert_int_eq(isnan(p->valid_loss) != 0, p->epoch == 0);
    w->last = *p;
    return ++w->calls == w->stop_at;
}

/* What is the default by name is the default, without decay both optimisers are one; everything else
 * makes another model. */
START_TEST(every_option_counts)
{
    static const stg_trainer_opts option[] = {
        {.loss = NULL},
        {.loss = "mae", .optimizer = "adamw", .schedule = "plateau", .epsilon = 1e-8, .beta1 = 0.9,
         .beta2 = 0.999, .weight_decay = 0.1, .rate_factor = 0.5, .milestones = "7", .huber_delta = 2},
        {.loss = "mse"},
        {.loss = "huber"},
        {.loss = "huber", .huber_delta = 0.25},
        {.optimizer = "adam"},
        {.optimizer = "adam", .weight_decay = 0.01},
        {.weight_decay = -1},
        {.epsilon = 1e-3},
        {.beta1 = 0.5},
        {.beta2 = 0.9},
        {.schedule = "cosine"},
        {.schedule = "cosine", .rate_floor = 0.002},
        {.schedule = "steps", .milestones = "1"},
        {.schedule = "steps", .milestones = "1", .rate_factor = 0.3},
    };
    enum { COUNT = sizeof option / sizeof *option };
    stg_ctx *ctx = test_ctx(NULL);
    unsigned char *bytes[COUNT];
    size_t len[COUNT];
    for (int i = 0; i < COUNT; i++) {
        stg_trainer_opts opts = learn_small("dcrnn_series");
        const size_t from = offsetof(stg_trainer_opts, loss);
        memcpy((char *)&opts + from, (const char *)&option[i] + from, sizeof opts - from);
        bytes[i] = bytes_of(ctx, &opts, &len[i]);
        ck_assert_uint_eq(len[i], len[0]);
        for (int k = 0; k < i; k++)
            ck_assert_msg((memcmp(bytes[i], bytes[k], len[i]) == 0) == (i == 1 || (i == 7 && k == 5)),
                          "%d is as %d", i, k);
    }
    for (int i = 0; i < COUNT; i++)
        free(bytes[i]);
    stg_ctx_destroy(ctx);
}
END_TEST

static int32_t note_rate(const stg_train_progress *p, void *user)
{
    ck_assert_uint_eq(p->batches, 1); /* a batch as large as all there is */
    ((double *)user)[p->epoch] = p->learning_rate;
    return 0;
}

START_TEST(schedules)
{
    stg_ctx *ctx = test_ctx(NULL);
    const struct {
        stg_trainer_opts opts;
        double rate[5];
    } known[] = {
        {{.schedule = "constant"}, {8, 8, 8, 8, 8}},
        {{.schedule = "steps", .milestones = "1,3"}, {8, .8, .8, .08, .08}},
        {{.schedule = "steps", .milestones = "2", .rate_factor = 0.5, .rate_floor = 0.005},
         {8, 8, 5, 5, 5}},
        {{.schedule = "cosine"}, {8, 7.2360679775, 5.2360679775, 2.7639320225, 0.7639320225}},
        {{.schedule = "cosine", .rate_floor = 0.004},
         {8, 7.61803398875, 6.61803398875, 5.38196601125, 4.38196601125}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const stg_model *m;
        stg_error err = {0};
        double rate[5] = {0};
        stg_trainer_opts opts = learn_small("dcrnn");
        opts.epochs = 5;
        opts.batch = 1048576;
        opts.learning_rate = 0.008;
        opts.schedule = known[i].opts.schedule;
        opts.milestones = known[i].opts.milestones;
        opts.rate_factor = known[i].opts.rate_factor;
        opts.rate_floor = known[i].opts.rate_floor;
        opts.progress = note_rate;
        opts.progress_user = rate;
        ck_assert_msg(learn(ctx, &opts, 5, 80, 1, &m, &err) == STG_OK, "%s", err.text);
        for (int e = 0; e < 5; e++)
            ck_assert_double_eq_tol(rate[e], known[i].rate[e] / 1000, 1e-12);
        stg_unref(m);
    }
    ck_assert_double_eq(stg__course_rate(&(stg__course){.factor = 0.5}, 8, 4, 9, 20, 2), 4);
    ck_assert_double_eq(stg__course_rate(&(stg__course){.factor = 0.5}, 8, 4, 9, 20, 3), 2);
    ck_assert_double_eq(stg__course_rate(&(stg__course){.factor = 0.5}, 8, 4, 9, 20, 0), 4);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(progress_and_cancel)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m;
    stg_error err = {0};
    watcher w = {0};
    stg_trainer_opts opts = learn_small("dcrnn");
    opts.progress = watch;
    opts.progress_user = &w;
    ck_assert_int_eq(learn(ctx, &opts, 5, 80, 1, &m, &err), STG_OK);
    ck_assert_uint_eq(w.calls, 2 * w.last.batches);
    ck_assert_uint_eq(w.last.epoch, 1);
    ck_assert_double_le(w.last.best_loss, w.last.valid_loss);
    stg_unref(m);
    w = (watcher){.stop_at = 3};
    ck_assert_int_eq(learn(ctx, &opts, 5, 80, 1, &m, &err), STG_E_CANCELLED);
    ck_assert_uint_eq(w.calls, 3);
    ck_assert_ptr_null(m);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(refuses)
{
    stg_ctx *ctx = test_ctx(NULL);
    const struct {
        stg_trainer_opts opts;
        const char *text;
    } bad[] = {
        {{.kind = "oracle"}, "no kind of model \"oracle\""},
        {{.inputs = "calls,,errors"}, "inputs"},
        {{.targets = "calls,calls"}, "targets: a column stands there twice"},
        {{.targets = "calls,"}, "comma"},
        {{.targets = ""}, "targets: is empty"},
        {{.layers = 9}, "layers"},
        {{.units = 5000}, "units"},
        {{.hops = 9}, "hops"},
        {{.history = 5000}, "history"},
        {{.valid_share = 1}, "valid_share"},
        {{.learning_rate = INFINITY}, "learning_rate"},
        {{.threads = 1000}, "threads"},
        {{.batch = 1048577}, "batch"},
        {{.loss = "mape"}, "loss: there is none called \"mape\""},
        {{.optimizer = ""}, "optimizer"},
        {{.schedule = "Cosine"}, "schedule"},
        {{.schedule = "steps"}, "needs milestones"},
        {{.milestones = "3,3"}, "milestones: \"3,3\""},
        {{.milestones = "0"}, "milestones"},
        {{.milestones = "5,"}, "milestones"},
        {{.milestones = "5;6"}, "milestones"},
        {{.milestones = "99999999999999999999"}, "milestones"},
        {{.milestones = "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"}, "milestones"},
        {{.huber_delta = -1}, "huber_delta"},
        {{.epsilon = NAN}, "epsilon"},
        {{.beta1 = 1}, "beta1"},
        {{.beta2 = -0.5}, "beta2"},
        {{.weight_decay = INFINITY}, "weight_decay"},
        {{.rate_factor = 2}, "rate_factor"},
        {{.rate_floor = -1}, "rate_floor"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        stg_trainer *t;
        stg_error err = {0};
        stg_trainer_opts opts = bad[i].opts;
        opts.size = sizeof opts;
        ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, &err), STG_E_INVALID);
        ck_assert_ptr_null(t);
        ck_assert_msg(strstr(err.text, bad[i].text) != NULL, "%s: %s", bad[i].text, err.text);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Windows [from, to) of which every `gap`-th is missing; 0: none is. */
static int32_t learn_gaps(stg_ctx *ctx, const char *kind, uint64_t to, uint64_t gap,
                          const stg_model **m, stg_error *err)
{
    world w;
    stg_trainer *t;
    const stg_trainer_opts opts = learn_small(kind);
    ck_assert_int_eq(world_open(&w, ctx, 5, 3), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, err), STG_OK);
    for (uint64_t at = 0; at < to; at++) {
        const stg_graph *g;
        ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
        if (!gap || at % gap)
            ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        if (at == 3) {
            ck_assert_int_eq(stg_trainer_add(t, g), STG_E_TIME);
            const stg_graph *longer;
            stg_graph_builder_begin(w.b, 4 * WORLD_WINDOW, (uint64_t)6 * WORLD_WINDOW);
            ck_assert_int_eq(stg_graph_builder_finish(w.b, &longer), STG_OK);
            ck_assert_int_eq(stg_trainer_add(t, longer), STG_E_MISMATCH);
            stg_unref(longer);
        }
        stg_unref(g);
    }
    const int32_t status = stg_trainer_run(t, m, err);
    stg_trainer_destroy(t);
    world_close(&w);
    return status;
}

START_TEST(gaps_are_respected)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m;
    stg_error err = {0};
    /* samples are 4 + 3 windows: runs of 7 hold one, runs of 6 none */
    ck_assert_int_eq(learn_gaps(ctx, "dcrnn", 160, 8, &m, &err), STG_OK);
    stg_unref(m);
    ck_assert_int_eq(learn_gaps(ctx, "dcrnn", 160, 7, &m, &err), STG_E_STATE);
    ck_assert_ptr_nonnull(strstr(err.text, "no sample of 7 windows"));
    ck_assert_int_eq(learn_gaps(ctx, "dcrnn", 5, 0, &m, &err), STG_E_STATE);
    ck_assert_int_eq(learn_gaps(ctx, "seasonal", 160, 7, &m, &err), STG_OK);
    stg_unref(m);
    ck_assert_int_eq(learn_gaps(ctx, "seasonal", 0, 0, &m, &err), STG_E_STATE);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(failing_memory)
{
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *ctx = test_ctx(&memory);
    stg_ctx *plain = test_ctx(NULL);
    const stg_graph *g[14];
    world w;
    ck_assert_int_eq(world_open(&w, plain, 3, 3), STG_OK);
    for (uint64_t at = 0; at < 14; at++)
        ck_assert_int_eq(world_next(&w, at, &g[at]), STG_OK);
    for (int k = 0; k < LEARN_KINDS; k++) {
        int32_t status = STG_E_NOMEM;
        size_t failures = 0;
        stg_trainer_opts opts = learn_small(learn_kinds[k]);
        opts.history = opts.horizon = 2;
        opts.threads = 2;
        for (size_t n = 1; status != STG_OK; n++, failures++) {
            stg_trainer *t = NULL;
            const stg_model *m = NULL;
            stg_error err = {0};
            memory.requests = 0;
            memory.fail_at = n;
            status = stg_trainer_create(&t, ctx, &opts, &err);
            for (int at = 0; status == STG_OK && at < 14; at++)
                status = stg_trainer_add(t, g[at]);
            if (status == STG_OK)
                status = stg_trainer_run(t, &m, &err);
            ck_assert(status == STG_OK || status == STG_E_NOMEM);
            ck_assert_int_eq(m != NULL, status == STG_OK);
            memory.fail_at = 0;
            stg_unref(m);
            stg_trainer_destroy(t);
            ck_assert_uint_eq(memory.live, 1);
        }
        ck_assert_uint_ge(failures, 40);
    }
    for (int at = 0; at < 14; at++)
        stg_unref(g[at]);
    world_close(&w);
    stg_ctx_destroy(plain);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* Nodes that come late stand at their place by name, whatever the order they came in. */
START_TEST(late_nodes)
{
    stg_ctx *ctx = test_ctx(NULL);
    world w;
    stg_trainer *t;
    const stg_model *m;
    stg_error err = {0};
    uint32_t late;
    const stg_trainer_opts opts = learn_small("dcrnn");
    ck_assert_int_eq(world_open(&w, ctx, 4, 3), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, &err), STG_OK);
    for (uint64_t at = 0; at < 60; at++) {
        const stg_graph *g;
        if (at == 20)
            ck_assert_int_eq(stg_graph_builder_node(w.b, "aa", 2, &late), STG_OK);
        world_begin(&w, at);
        world_fill(&w, at);
        if (at >= 20)
            stg_graph_builder_set(w.b, STG_NODE, late, w.column[0], 50);
        ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_trainer_run(t, &m, &err), STG_OK);
    ck_assert_str_eq(stg__names_get(m->nodes, 0, NULL), "external");
    ck_assert_str_eq(stg__names_get(m->nodes, 1, NULL), "aa");
    ck_assert_double_eq_tol(m->mean[1], log1p(50), 1e-9);
    ck_assert(isnan(m->mean[2 * 5 + 1])); /* its latency was never seen */
    stg_unref(m);
    stg_trainer_destroy(t);
    world_close(&w);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("train", learns, same_seed_same_bits, every_option_counts, schedules, progress_and_cancel,
           refuses, gaps_are_respected, failing_memory, late_nodes)
