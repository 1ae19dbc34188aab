/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Model files that were not written by the library: every tensor missing or of another shape, numbers
 * that are none, sizes beyond reason, damaged bytes. Refused by name and reason, or used unharmed.
 */
#include "learn.h"
#include "model_priv.h"

static stg_bundle *good(stg_ctx *ctx, const char *kind)
{
    const stg_model *m;
    stg_bundle *b;
    stg_error err = {0};
    const stg_trainer_opts opts = learn_small(kind);
    ck_assert_msg(learn(ctx, &opts, 5, 100, 9, &m, &err) == STG_OK, "%s", err.text);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    stg_unref(m);
    return b;
}

/* The bundle must be refused, with this in the text. */
static void refused(const stg_bundle *b, const char *text)
{
    const stg_model *m;
    stg_error err = {0};
    const int32_t status = stg_model_load(&m, b, &err);
    ck_assert_msg(status < 0, "%s: accepted", text);
    ck_assert_ptr_null(m);
    ck_assert_int_eq(err.status, status);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s: %s", text, err.text);
}

static stg_bundle *copy_of(stg_ctx *ctx, const stg_bundle *b)
{
    size_t len;
    stg_bundle *copy;
    ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, &len), STG_MORE);
    void *bytes = malloc(len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, len, &len), STG_OK);
    ck_assert_int_eq(stg_bundle_parse(&copy, ctx, bytes, len, NULL), STG_OK);
    free(bytes);
    return copy;
}

START_TEST(metadata)
{
    static const char *const bad[][3] = {
        {"model/version", "2", "version 2"},     {"model/version", "x", "model/version"},
        {"model/kind", "oracle", "oracle"},      {"model/window_ns", "0", "model/window_ns"},
        {"model/day_ns", "-1", "model/day_ns"},  {"model/history", "99999999", "model/history"},
        {"model/horizon", "0", "model/horizon"}, {"model/horizon", "4", "model/smear"},
        {"model/inputs", "0", "model/inputs"},   {"model/inputs", "4", "model/inputs"},
        {"model/layers", "0", "layers"},         {"model/layers", "2", "model/encoder/1/gates/weight"},
        {"model/layers", "4294967297", "layers"}, {"model/units", "1024", "gates/weight"},
        {"model/units", "0", "units"},           {"model/units", "99999999999", "model/units"},
        {"model/hops", "8", "gates/weight"},     {"model/hops", "9", "model/hops"},
        {"model/time_inputs", "2", "time_inputs"}, {"model/time_inputs", "0", "gates/weight"},
        {"model/recursion", "?", "recursion"},   {"model/slots", "289", "model/slots"},
        {"model/slots", "47", "model/profile"},
    };
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = good(ctx, "dcrnn");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        stg_bundle *c = copy_of(ctx, b);
        ck_assert_int_eq(stg__bundle_set_meta(c, bad[i][0], bad[i][1]), STG_OK);
        refused(c, bad[i][2]);
        stg_bundle_destroy(c);
    }
    stg_bundle_destroy(b);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    const stg_model *m;
    ck_assert_int_eq(stg_model_load(&m, b, NULL), STG_E_NOTFOUND);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Each tensor in turn is missing, of another type, or of one number less in each dimension. */
START_TEST(tensors)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        stg_bundle *b = good(ctx, learn_kinds[k]);
        for (size_t i = 0; i < stg__bundle_count(b); i++) {
            const stg__tensor *t = stg__bundle_at(b, i);
            stg_bundle *c = copy_of(ctx, b);
            stg__bundle_drop(c, t->name);
            refused(c, t->name);
            ck_assert_int_eq(stg__bundle_put(c, t->name, STG__I64, 1, (uint64_t[]){1}, "12345678"),
                             STG_OK);
            refused(c, t->name);
            stg_bundle_destroy(c);
            for (uint32_t d = 0; d < t->dims; d++) {
                uint64_t shape[STG__MAX_DIMS];
                memcpy(shape, t->shape, sizeof shape);
                if (strstr(t->name, "targets") || shape[d] == 0)
                    continue; /* one target less is another model */
                shape[d]--;
                c = copy_of(ctx, b);
                ck_assert_int_eq(stg__bundle_put(c, t->name, t->dtype, t->dims, shape, t->data),
                                 STG_OK);
                const stg_model *m;
                stg_error err = {0};
                ck_assert_msg(stg_model_load(&m, c, &err) < 0, "%s: accepted", t->name);
                ck_assert_msg(strstr(err.text, "model/") != NULL, "%s: %s", t->name, err.text);
                stg_bundle_destroy(c);
            }
        }
        stg_bundle_destroy(b);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Puts one number into a tensor; the item is 4 or 8 bytes of the given value. */
static void poke(stg_ctx *ctx, const stg_bundle *b, const char *name, size_t index, const void *item,
                 size_t bytes)
{
    stg_bundle *c = copy_of(ctx, b);
    const stg__tensor *t = stg__bundle_find(c, name);
    ck_assert_msg(t != NULL, "%s", name);
    ck_assert_uint_lt(index * bytes, t->bytes);
    memcpy((char *)(uintptr_t)t->data + index * bytes, item, bytes);
    refused(c, name);
    stg_bundle_destroy(c);
}

START_TEST(numbers)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = good(ctx, "dcrnn");
    static const float bad_weight[] = {NAN, INFINITY, -INFINITY, 1e30f};
    for (size_t i = 0; i < 4; i++) {
        poke(ctx, b, "model/encoder/0/gates/weight", 7, &bad_weight[i], 4);
        poke(ctx, b, "model/decoder/0/candidate/bias", 1, &bad_weight[i], 4);
        poke(ctx, b, "model/projection/weight", 0, &bad_weight[i], 4);
    }
    const double zero = 0;
    const double minus = -1;
    const double two = 2;
    const double infinite = INFINITY;
    const double unknown = NAN;
    poke(ctx, b, "model/scale/deviation", 3, &zero, 8);
    poke(ctx, b, "model/scale/mean", 3, &minus, 8);
    poke(ctx, b, "model/scale/mean", 3, &infinite, 8);
    poke(ctx, b, "model/scale/global_mean", 0, &unknown, 8);
    poke(ctx, b, "model/scale/global_deviation", 0, &zero, 8);
    poke(ctx, b, "model/smear", 5, &zero, 8);
    poke(ctx, b, "model/smear", 5, &unknown, 8);
    poke(ctx, b, "model/pull", 0, &two, 8);
    poke(ctx, b, "model/profile", 1, &unknown, 8);
    poke(ctx, b, "model/profile", 48, &unknown, 8);
    poke(ctx, b, "model/edges/calls", 0, &minus, 8);
    poke(ctx, b, "model/edges/caller", 1, &infinite, 8);
    const uint32_t far = 1000000;
    const uint32_t none = 0;
    for (size_t i = 0; i < 3; i++)
        poke(ctx, b, "model/edges/ends", i, &far, 4);
    poke(ctx, b, "model/edges/ends", 3, &none, 4); /* the second edge before the first, or the same */
    poke(ctx, b, "model/edges/ends", 6, &none, 4);
    poke(ctx, b, "model/targets", 1, &far, 4);
    poke(ctx, b, "model/columns", 0, "\0\0\0\0", 4);
    stg_bundle *c = copy_of(ctx, b);
    const stg__tensor *t = stg__bundle_find(c, "model/nodes.len");
    ((uint32_t *)(uintptr_t)t->data)[1] = 4000000000u;
    refused(c, "model/nodes");
    stg_bundle_destroy(c);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A file with bytes turned over is refused or gives a model that a session can use. */
START_TEST(damaged_bytes)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg__rng rng;
    stg__rng_init(&rng, 4, 4);
    for (int k = 0; k < LEARN_KINDS; k++) {
        stg_bundle *b = good(ctx, learn_kinds[k]);
        size_t len;
        ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, &len), STG_MORE);
        unsigned char *bytes = (unsigned char *)malloc(len);
        ck_assert_int_eq(stg_bundle_serialize(b, bytes, len, &len), STG_OK);
        stg_bundle_destroy(b);
        int used = 0;
        for (int round = 0; round < 400; round++) {
            const size_t at = stg__rng_below(&rng, (uint32_t)len);
            const unsigned char kept = bytes[at];
            const stg_model *m = NULL;
            bytes[at] ^= (unsigned char)(1u << stg__rng_below(&rng, 8));
            if (stg_bundle_parse(&b, ctx, bytes, len, NULL) == STG_OK) {
                if (stg_model_load(&m, b, NULL) == STG_OK) {
                    stg_session *s;
                    world w;
                    ck_assert_int_eq(world_open(&w, ctx, 5, 1), STG_OK);
                    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
                    for (uint64_t i = 0; i < 3; i++) {
                        const stg_graph *g;
                        const stg_forecast *f;
                        ck_assert_int_eq(world_next(&w, i, &g), STG_OK);
                        if (stg_session_step(s, g, NULL) == STG_OK &&
                            stg_session_forecast(s, m->horizon, &f) == STG_OK)
                            stg_unref(f);
                        stg_unref(g);
                    }
                    used++;
                    stg_session_destroy(s);
                    world_close(&w);
                    stg_unref(m);
                }
                stg_bundle_destroy(b);
            }
            bytes[at] = kept;
        }
        ck_assert_int_gt(used, 20);
        free(bytes);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(failing_memory)
{
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *ctx = test_ctx(&memory);
    for (int k = 0; k < LEARN_KINDS; k++) {
        stg_bundle *b = good(ctx, learn_kinds[k]);
        const size_t live = memory.live;
        int32_t status = STG_E_NOMEM;
        for (size_t n = 1; status != STG_OK; n++) {
            const stg_model *m;
            stg_bundle *to = NULL;
            stg_error err = {0};
            memory.requests = 0;
            memory.fail_at = n;
            status = stg_model_load(&m, b, &err);
            if (status == STG_OK)
                status = stg_bundle_open(&to, ctx, NULL, NULL);
            if (status == STG_OK)
                status = stg_model_store(m, to);
            ck_assert(status == STG_OK || status == STG_E_NOMEM);
            memory.fail_at = 0;
            stg_bundle_destroy(to);
            stg_unref(m);
            ck_assert_uint_eq(memory.live, live);
        }
        stg_bundle_destroy(b);
    }
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

TEST_SUITE("model", metadata, tensors, numbers, damaged_bytes, failing_memory)
