/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints that people have trained and saved with PyTorch, read by the library: every parameter
 * bit for bit as PyTorch itself gave it, the settings beside them. Skips where the golden files are
 * not there.
 */
#include <unistd.h>

#include "test.h"
#include "torch.h"

#define FOLDER SHARED_DATA "/golden/dcrnn/"

static unsigned char *read_whole_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    unsigned char *data = (unsigned char *)malloc(1 << 22);
    ck_assert_ptr_nonnull(data);
    *len = fread(data, 1, 1 << 22, file);
    ck_assert(*len > 0 && *len < 1 << 22);
    fclose(file);
    return data;
}

/* All tensors that the golden file has under the prefix, and no others. */
static void same_tensors(const stg_bundle *ours, const stg_bundle *golden, const char *prefix)
{
    const char *under = "model_state_dict/";
    size_t count = 0;
    char name[512];
    for (size_t i = 0; i < stg__bundle_count(golden); i++) {
        const stg__tensor *g = stg__bundle_at(golden, i);
        if (strncmp(g->name, prefix, strlen(prefix)) != 0)
            continue;
        snprintf(name, sizeof name, "%s%s", under, g->name + strlen(prefix));
        const stg__tensor *t = stg__bundle_find(ours, name);
        ck_assert_msg(t != NULL, "%s is missing", name);
        ck_assert_uint_eq(t->dtype, g->dtype);
        ck_assert_uint_eq(t->dims, g->dims);
        ck_assert_mem_eq(t->shape, g->shape, sizeof t->shape);
        ck_assert_mem_eq(t->data, g->data, g->bytes);
        count++;
    }
    ck_assert_uint_gt(count, 9);
    ck_assert_uint_eq(stg__bundle_count(ours), count);
}

static void meta_is(const stg_bundle *b, const char *key, const char *value)
{
    const char *is = stg__bundle_meta(b, key);
    ck_assert_msg(is ? value && strcmp(is, value) == 0 : !value, "%s is %s", key, is ? is : "missing");
}

static void real(const char *checkpoint, const char *golden_file, const char *prefix,
                 const char *units, uint64_t epoch)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *golden;
    stg_bundle *ours;
    stg_error err;
    size_t len;
    uint64_t number = 0;
    double rate = 0;
    ck_assert_int_eq(stg_bundle_open(&golden, ctx, golden_file, &err), STG_OK);
    unsigned char *data = read_whole_file(checkpoint, &len);
    ck_assert_msg(stg__torch_read(&ours, ctx, data, len, &err) == STG_OK, "%s", err.text);
    same_tensors(ours, golden, prefix);
    meta_is(ours, "model/rnn_units", units);
    meta_is(ours, "model/filter_type", "dual_random_walk");
    meta_is(ours, "model/use_curriculum_learning", "true");
    meta_is(ours, "train/steps/3", "50");
    meta_is(ours, "model_state_dict/_metadata", NULL);
    ck_assert_int_eq(stg__bundle_meta_u64(ours, "epoch", &number), STG_OK);
    ck_assert_uint_eq(number, epoch);
    ck_assert_int_eq(stg__bundle_meta_num(ours, "train/min_learning_rate", &rate), STG_OK);
    ck_assert(rate == 2e-6);
    for (size_t cut = 0; cut < len; cut += 1 + len / 300) {
        stg_bundle *none;
        ck_assert_int_eq(stg__torch_read(&none, ctx, data, cut, &err), STG_E_FORMAT);
    }
    free(data);
    stg_bundle_destroy(golden);
    stg_bundle_destroy(ours);
    stg_ctx_destroy(ctx);
}

START_TEST(real_large)
{
    real(FOLDER "ckpt/garygsw_models2_epo49.tar", FOLDER "metr_la_weights.safetensors", "", "64", 49);
}
END_TEST

START_TEST(real_small)
{
    real(FOLDER "ckpt/kevinkbc_models_epo64.tar", FOLDER "metr_la_small_16u.safetensors", "param/",
         "16", 12);
}
END_TEST

int main(void)
{
    if (access(FOLDER "metr_la_weights.safetensors", R_OK) != 0) {
        printf("1..0 # SKIP no golden files in %s\n", FOLDER);
        return TEST_SKIPPED;
    }
    Suite *suite = suite_create("checkpoint");
    TCase *tcase = tcase_create("checkpoint");
    tcase_add_test(tcase, real_large);
    tcase_add_test(tcase, real_small);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
