/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of other codes: a good one is spoilt as the input orders, or the input is the file; then
 * it is imported with options that the input chooses, stored, loaded and used for some windows. So is
 * the file of a model that was imported. It is refused with a text, or works: no crash, no memory
 * beyond all sense, no forecast that is infinite.
 */
#include <math.h>

#include "checkpoint.h"
#include "fuzz_base.h"
#include "fuzz_mutate.h"

#define WINDOWS 6
#define ANY_FILE 5u /* the input's remaining bytes are the file */
#define OUR_FILE 6u /* a model's, spoilt */

static const checkpoint bases[ANY_FILE] = {
    {.prefix = "model_state_dict/", .layers = 2, .units = 2, .copies = 5, .inputs = 2, .targets = 1,
     .weight = 0.3f,
     .settings = "\"model/filter_type\":\"dual_random_walk\",\"model/horizon\":\"3\","
                 "\"model/seq_len\":\"4\",\"model/max_diffusion_step\":\"2\",\"model/rnn_units\":\"2\""},
    {.prefix = "0/", .settings = "", .libcity = true, .layers = 1, .units = 3, .copies = 3, .inputs = 1,
     .targets = 1, .weight = -0.7f},
    {.prefix = "", .settings = "", .layers = 1, .units = 1, .copies = 1, .inputs = 3, .targets = 2,
     .weight = 2},
    {.prefix = "m/", .settings = "\"model/filter_type\":\"laplacian\"", .layers = 1, .units = 2,
     .copies = 4, .inputs = 1, .targets = 1, .weight = 0.1f},
    {.prefix = "", .settings = "", .layers = 3, .units = 1, .copies = 5, .inputs = 1, .targets = 1,
     .weight = 1e5f},
};

static stg_bundle *good_file(stg_ctx *ctx, uint8_t which)
{
    size_t len;
    stg_bundle *b = NULL;
    const stg_model *model = NULL;
    const stg_import_opts opts = {.size = sizeof opts, .column = "calls", .window_ns = BASE_WINDOW};
    unsigned char *good = checkpoint_make(&bases[which == OUR_FILE ? 0 : which], &len);
    if (which != OUR_FILE) {
        FUZZ_CHECK(stg_bundle_parse(&b, ctx, good, len, NULL) == STG_OK);
    } else {
        FUZZ_CHECK(stg_model_import(&model, ctx, good, len, &opts, NULL) == STG_OK);
        FUZZ_CHECK(stg_bundle_open(&b, ctx, NULL, NULL) == STG_OK);
        FUZZ_CHECK(stg_model_store(model, b) == STG_OK);
        stg_unref(model);
    }
    free(good);
    return b;
}

/* The file: a spoilt one, written anew, or the bytes themselves. The caller frees it. */
static uint8_t *make_file(stg_ctx *ctx, uint8_t which, fuzz_input *in, size_t *len)
{
    if (which == ANY_FILE) {
        uint8_t *bytes = (uint8_t *)malloc(in->left + 1);
        FUZZ_CHECK(bytes);
        memcpy(bytes, in->at, in->left);
        *len = in->left;
        return bytes;
    }
    stg_bundle *b = good_file(ctx, which);
    for (int n = 0; in->left && n < 8; n++)
        fuzz_mutate(b, "", in);
    FUZZ_CHECK(stg_bundle_serialize(b, NULL, 0, len) == STG_MORE);
    uint8_t *bytes = (uint8_t *)malloc(*len);
    FUZZ_CHECK(bytes && stg_bundle_serialize(b, bytes, *len, len) == STG_OK);
    stg_bundle_destroy(b);
    return bytes;
}

static void check_forecast(const stg_session *s, const stg_model *model, const stg_forecast *f)
{
    stg_forecast_info info = {.size = sizeof info};
    FUZZ_CHECK(s && stg_forecast_get_info(f, &info) == STG_OK);
    const char *column = stg_model_column(model, 1, 0);
    for (uint32_t step = 0; step < info.horizon; step++) {
        const double *x = stg_forecast_mean(f, STG_NODE, column, strlen(column), step);
        FUZZ_CHECK(x);
        for (uint32_t i = 0; i < info.nodes; i++)
            FUZZ_CHECK(isnan(x[i]) || fabs(x[i]) <= 1e17);
    }
}

static void use(stg_ctx *ctx, const stg_model *model, uint8_t how)
{
    static const double means[64] = {3, -1e15, 1e15};
    double deviations[64];
    base_world w;
    stg_session *s = NULL;
    stg_model_info info = {.size = sizeof info};
    for (int i = 0; i < 64; i++)
        deviations[i] = how & 1 ? 1e-9 : 40;
    const stg_session_opts opts = {.size = sizeof opts, .mean = means, .deviation = deviations,
                                   .supports = how / 2 % 3};
    FUZZ_CHECK(stg_model_get_info(model, &info) == STG_OK && info.inputs <= 64);
    FUZZ_CHECK(stg_session_create(&s, ctx, model, &opts) == STG_OK);
    FUZZ_CHECK(base_open(&w, ctx, 9) == STG_OK);
    for (uint64_t at = 0; at < WINDOWS; at++) {
        const stg_forecast *f = NULL;
        const stg_graph *g = base_next(&w, BASE_FIRST + at, at < 3 ? 1 : 1e15);
        const int32_t status = stg_session_step(s, g, NULL);
        FUZZ_CHECK(status == STG_OK || status == STG_E_MISMATCH || status == STG_E_NOMEM);
        if (status == STG_OK &&
            stg_session_forecast(s, info.horizon < 3 ? info.horizon : 3, &f) == STG_OK)
            check_forecast(s, model, f);
        stg_unref(f);
        stg_unref(g);
    }
    stg_graph_builder_destroy(w.b);
    stg_session_destroy(s);
}

static void store_and_load(stg_ctx *ctx, const stg_model *model)
{
    stg_bundle *b = NULL;
    const stg_model *again = NULL;
    stg_error err = {0};
    FUZZ_CHECK(stg_bundle_open(&b, ctx, NULL, NULL) == STG_OK);
    if (stg_model_store(model, b) == STG_OK) {
        const int32_t status = stg_model_load(&again, b, &err);
        FUZZ_CHECK(status == STG_OK || status == STG_E_NOMEM);
    }
    stg_unref(again);
    stg_bundle_destroy(b);
}

static int32_t load_ours(stg_ctx *ctx, const uint8_t *file, size_t len, const stg_model **model,
                         stg_error *err)
{
    stg_bundle *b = NULL;
    int32_t status = stg_bundle_parse(&b, ctx, file, len, err);
    if (status == STG_OK)
        status = stg_model_load(model, b, err);
    stg_bundle_destroy(b);
    return status;
}

/* Models of another kind, which a spoilt file may say, do not take the options of this one. */
static bool of_this_kind(const stg_model *model)
{
    stg_model_info info = {.size = sizeof info};
    FUZZ_CHECK(stg_model_get_info(model, &info) == STG_OK);
    return strcmp(info.kind, "dcrnn_series") == 0;
}

/* opts NULL: the file is a model's. */
static void import_once(const uint8_t *file, size_t len, const stg_import_opts *opts, uint8_t how,
                        size_t fail_from)
{
    fuzz_memory memory;
    const stg_model *model = NULL;
    stg_error err = {0};
    stg_ctx *ctx = fuzz_ctx(&memory, fail_from);
    if (!ctx)
        return;
    const int32_t status = opts ? stg_model_import(&model, ctx, file, len, opts, &err)
                                : load_ours(ctx, file, len, &model, &err);
    FUZZ_CHECK((status == STG_OK) == (model != NULL));
    FUZZ_CHECK(status == STG_OK || (status < 0 && err.status == status && err.text[0]));
    if (model && !fail_from) {
        store_and_load(ctx, model);
        if (of_this_kind(model))
            use(ctx, model, how);
    }
    stg_unref(model);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {NULL, NULL, "basicts", "libcity", "dcrnn_pytorch", "", "x"};
    static const char *const filters[] = {NULL, NULL, NULL, "random_walk", "laplacian", "laplacian_2", "x"};
    fuzz_input in = {data, size};
    fuzz_memory memory;
    size_t len;
    const uint8_t which = fuzz_u8(&in) % (OUR_FILE + 1);
    const uint8_t how = fuzz_u8(&in);
    const uint8_t names = fuzz_u8(&in);
    const stg_import_opts opts = {
        .size = sizeof opts,
        .column = how & 8 ? NULL : "calls",
        .format = formats[names % 7],
        .filter = filters[names / 7 % 7],
        .supports = how / 16 % 4,
        .window_ns = how & 64 ? 0 : BASE_WINDOW,
        .deviation = how & 128 ? fuzz_value(&in) : 0,
        .mean = how & 128 ? fuzz_value(&in) : 0,
    };
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    uint8_t *file = make_file(ctx, which, &in, &len);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    const stg_import_opts *given = which == OUR_FILE ? NULL : &opts;
    import_once(file, len, given, how, 0);
    import_once(file, len, given, how, 1 + names);
    free(file);
    return 0;
}
