/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A training that is stopped, kept over a restart of the process and run on, and windows of which
 * nothing may be learnt: both are compared by all bytes of the model.
 */
#include "learn.h"
#include "train_priv.h"

enum { NODES = 5, WINDOWS = 70 };

static stg_error err;

typedef struct stopper {
    uint32_t calls;
    uint32_t stop_at; /* 0: never */
    uint32_t first_epoch;
    uint32_t first_batch;
} stopper;

static int32_t stop(const stg_train_progress *p, void *user)
{
    stopper *s = (stopper *)user;
    if (s->calls++ == 0) {
        s->first_epoch = p->epoch;
        s->first_batch = p->batch;
    }
    return s->calls == s->stop_at;
}

static stg_trainer_opts options(const char *kind, stopper *s)
{
    stg_trainer_opts opts = learn_small(kind);
    opts.epochs = 3;
    opts.batch = 16;
    opts.curriculum = 3; /* labels are fed at first */
    opts.loss = "huber";
    opts.progress = s ? stop : NULL;
    opts.progress_user = s;
    return opts;
}

static stg_trainer *trainer_of(stg_ctx *ctx, const stg_trainer_opts *opts)
{
    stg_trainer *t;
    ck_assert_msg(stg_trainer_create(&t, ctx, opts, &err) == STG_OK, "%s", err.text);
    return t;
}

static void add_all(stg_ctx *ctx, stg_trainer *t)
{
    world w;
    ck_assert_int_eq(world_open(&w, ctx, NODES, 4), STG_OK);
    for (uint64_t at = 0; at < WINDOWS; at++) {
        const stg_graph *g;
        ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        stg_unref(g);
    }
    world_close(&w);
}

static char *bytes_of_bundle(stg_bundle *b, size_t *len)
{
    stg_bundle_serialize(b, NULL, 0, len);
    char *bytes = (char *)malloc(*len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, *len, len), STG_OK);
    stg_bundle_destroy(b);
    return bytes;
}

static char *learnt(stg_ctx *ctx, stg_trainer *t, size_t *len)
{
    const stg_model *m;
    stg_bundle *b;
    ck_assert_msg(stg_trainer_run(t, &m, &err) == STG_OK, "%s", err.text);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    stg_unref(m);
    return bytes_of_bundle(b, len);
}

static char *saved(stg_ctx *ctx, const stg_trainer *t, size_t *len)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_msg(stg_state_save(t, b, &err) == STG_OK, "%s", err.text);
    return bytes_of_bundle(b, len);
}

/* What the state holds, in a new trainer of a new process, so to say. */
static int32_t restored(stg_trainer *t, stg_ctx *ctx, const char *bytes, size_t len)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes, len, &err), STG_OK);
    const int32_t status = stg_state_restore(t, b, &err);
    stg_bundle_destroy(b);
    return status;
}

static void stopped(stg_ctx *ctx, const char *kind, stopper *s, stg_trainer **t)
{
    const stg_model *m;
    const stg_trainer_opts opts = options(kind, s);
    *t = trainer_of(ctx, &opts);
    add_all(ctx, *t);
    ck_assert_int_eq(stg_trainer_run(*t, &m, &err), STG_E_CANCELLED);
    ck_assert_ptr_null(m);
}

static void same(const char *whole, size_t len, char *other, size_t other_len)
{
    ck_assert_uint_eq(len, other_len);
    ck_assert_mem_eq(whole, other, len);
    free(other);
}

/* Stopped after any batch, and after each of two batches: in the same trainer and in another one. */
static void break_everywhere(const char *kind)
{
    stg_ctx *ctx = test_ctx(NULL);
    stopper count = {0};
    size_t len;
    stg_trainer_opts opts = options(kind, &count);
    stg_trainer *t = trainer_of(ctx, &opts);
    add_all(ctx, t);
    char *whole = learnt(ctx, t, &len);
    size_t twice;
    char *again = learnt(ctx, t, &twice); /* a whole run leaves nothing behind */
    same(whole, len, again, twice);
    stg_trainer_destroy(t);
    const uint32_t batches = count.calls / 2;
    ck_assert_uint_gt(batches, 6);
    for (uint32_t at = 1; at <= batches; at++) {
        stopper s = {.stop_at = at};
        stopper rest = {.stop_at = at < batches};
        const stg_model *m;
        size_t state_len;
        size_t other;
        stopped(ctx, kind, &s, &t);
        char *state = saved(ctx, t, &state_len);
        char *own = learnt(ctx, t, &other);
        same(whole, len, own, other);
        stg_trainer_destroy(t);
        ck_assert_uint_eq(s.calls, batches);
        opts = options(kind, &rest);
        opts.threads = 2;
        opts.patience = 50;
        t = trainer_of(ctx, &opts);
        ck_assert_msg(restored(t, ctx, state, state_len) == STG_OK, "%s", err.text);
        if (rest.stop_at) {
            ck_assert_int_eq(stg_trainer_run(t, &m, &err), STG_E_CANCELLED);
            ck_assert_uint_eq(rest.first_epoch * batches / 3 + rest.first_batch, at + 1);
        }
        own = learnt(ctx, t, &other);
        same(whole, len, own, other);
        ck_assert_uint_eq(rest.calls, batches - at);
        stg_trainer_destroy(t);
        free(state);
    }
    free(whole);
    stg_ctx_destroy(ctx);
}

START_TEST(breaks_change_nothing)
{
    break_everywhere("dcrnn");
    break_everywhere("dcrnn_series");
}
END_TEST

/* With other options, or more windows, a training begins anew. */
START_TEST(another_training_begins_anew)
{
    stg_ctx *ctx = test_ctx(NULL);
    stopper s = {.stop_at = 5};
    stg_trainer *t;
    size_t state_len;
    size_t len;
    stopped(ctx, "dcrnn", &s, &t);
    char *state = saved(ctx, t, &state_len);
    stg_trainer_destroy(t);
    for (int k = 0; k < 5; k++) {
        stopper count = {0};
        stg_trainer_opts opts = options("dcrnn", &count);
        opts.seed += k == 0;
        opts.units += k == 1;
        opts.huber_delta = k == 2 ? 2 : 0;
        opts.horizon += k == 3;
        t = trainer_of(ctx, &opts);
        ck_assert_int_eq(restored(t, ctx, state, state_len), STG_OK);
        if (k == 4) {
            const stg_graph *g;
            world w;
            ck_assert_int_eq(world_open(&w, ctx, NODES, 9), STG_OK);
            ck_assert_int_eq(world_next(&w, WINDOWS, &g), STG_OK);
            ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
            stg_unref(g);
            world_close(&w);
        }
        free(learnt(ctx, t, &len));
        ck_assert_uint_eq(count.first_epoch, 0);
        ck_assert_uint_eq(count.first_batch, 1);
        stg_trainer_destroy(t);
    }
    free(state);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Numbers that no training has are refused by name, and the trainer stays as it was. */
START_TEST(damaged_state)
{
    static const struct {
        const char *tensor;
        size_t at;
        double value;
    } damage[] = {
        {"halt.weights", 3, NAN},   {"halt.best", 0, INFINITY}, {"halt.first", 1, -INFINITY},
        {"halt.second", 2, -1e-9},  {"halt.numbers", 0, -1},    {"halt.numbers", 1, NAN},
        {"halt.numbers", 3, INFINITY},
    };
    stg_ctx *ctx = test_ctx(NULL);
    stopper s = {.stop_at = 5};
    stg_trainer *t;
    size_t len;
    stopped(ctx, "dcrnn", &s, &t);
    char *state = saved(ctx, t, &len);
    stg_trainer_destroy(t);
    const stg_trainer_opts opts = options("dcrnn", NULL);
    t = trainer_of(ctx, &opts);
    for (size_t i = 0; i < sizeof damage / sizeof *damage; i++) {
        stg_bundle *b;
        char name[64];
        ck_assert_int_eq(stg_bundle_parse(&b, ctx, state, len, &err), STG_OK);
        snprintf(name, sizeof name, "state/train/%s", damage[i].tensor);
        const stg__tensor *tensor = stg__bundle_find(b, name);
        ck_assert_ptr_nonnull(tensor);
        if (tensor->dtype == STG__F32)
            ((float *)(uintptr_t)tensor->data)[damage[i].at] = (float)damage[i].value;
        else
            ((double *)(uintptr_t)tensor->data)[damage[i].at] = damage[i].value;
        ck_assert_int_eq(stg_state_restore(t, b, &err), STG_E_FORMAT);
        ck_assert_msg(strstr(err.text, "halt.") != NULL, "%s", err.text);
        ck_assert_uint_eq(t->windows, 0);
        stg_bundle_destroy(b);
    }
    stg_trainer_destroy(t);
    free(state);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- incidents ---------------------------------------------------------------------------------- */

/* A world of which two nodes, and then all, are in an incident, in which `value` was seen. */
static char *learnt_over(stg_ctx *ctx, const char *kind, double value, const char *mask, size_t *len)
{
    world w;
    uint32_t column;
    stg_trainer_opts opts = options(kind, NULL);
    opts.mask = mask;
    stg_trainer *t = trainer_of(ctx, &opts);
    ck_assert_int_eq(world_open(&w, ctx, NODES, 4), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(w.b, STG_NODE, "incident", 8, &column), STG_OK);
    for (uint64_t at = 0; at < WINDOWS; at++) {
        const stg_graph *g;
        world_begin(&w, at);
        world_fill(&w, at);
        for (uint32_t i = 0; i < NODES; i++) {
            const bool in = (at >= 20 && at < 30 && i < 2) || (at >= 60 && at < 63);
            stg_graph_builder_set(w.b, STG_NODE, w.node[i], column, in ? 3 : i % 2 ? 0 : NAN);
            for (uint32_t c = 0; in && c < 3; c++)
                stg_graph_builder_set(w.b, STG_NODE, w.node[i], w.column[c], value);
        }
        ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        stg_unref(g);
    }
    world_close(&w);
    char *bytes = learnt(ctx, t, len);
    stg_trainer_destroy(t);
    return bytes;
}

START_TEST(incidents_are_never_learnt)
{
    static const char *const kind[] = {"persistence", "seasonal", "dcrnn", "dcrnn_series"};
    static const double value[] = {1e9, 0, -5, NAN, INFINITY};
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < 4; k++) {
        size_t len;
        size_t other;
        char *first = learnt_over(ctx, kind[k], 77, "incident", &len);
        for (int v = 0; v < 5; v++) {
            char *bytes = learnt_over(ctx, kind[k], value[v], "incident", &other);
            same(first, len, bytes, other);
        }
        char *bytes = learnt_over(ctx, kind[k], 77, NULL, &other); /* and without the mask it counts */
        ck_assert(len != other || memcmp(first, bytes, len) != 0);
        free(bytes);
        bytes = learnt_over(ctx, kind[k], 77, "no such column", &other);
        ck_assert(len != other || memcmp(first, bytes, len) != 0);
        free(bytes);
        free(first);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("train-halt", breaks_change_nothing, another_training_begins_anew, damaged_state,
           incidents_are_never_learnt)
