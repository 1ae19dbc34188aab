/* SPDX-License-Identifier: Apache-2.0 */
/* Files of the hostile world: a good model and calibration, cut anywhere, or with one byte changed. */
#include <unistd.h>

#include "fuzz_base.h"
#include "fuzz_memory.h"
#include "test.h"

/* A file of these bytes; its status when opened. */
static int32_t open_file(stg_ctx *ctx, const uint8_t *bytes, size_t len)
{
    char path[] = "/tmp/stg-hostile-XXXXXX";
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
    close(fd);
    const int32_t status = stg_bundle_open(&bundle, ctx, path, &err);
    unlink(path);
    ck_assert((bundle != NULL) == (status == STG_OK));
    ck_assert(status == STG_OK || (err.status == status && err.text[0]));
    stg_bundle_destroy(bundle);
    return status;
}

static size_t header_of(const base_file *f)
{
    uint64_t header;
    memcpy(&header, f->bytes, sizeof header);
    return (size_t)header + 8;
}

START_TEST(files_cut_short) /* _i: kind of model */
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    const base_file *f = base_bundle((uint32_t)_i);
    stg_error err;
    const size_t step = test_valgrind() ? 997 : 59;
    for (size_t len = 0; len < f->len; len += len < 64 || len > f->len - 64 ? 1 : step) {
        stg_bundle *bundle = NULL;
        memset(&err, 0, sizeof err);
        ck_assert_int_eq(stg_bundle_parse(&bundle, ctx, f->bytes, len, &err), STG_E_FORMAT);
        ck_assert(!bundle && err.status == STG_E_FORMAT && err.text[0]);
    }
    for (size_t len = 0; len < f->len; len += f->len / 37)
        ck_assert_int_eq(open_file(ctx, f->bytes, len), STG_E_FORMAT);
    ck_assert_int_eq(open_file(ctx, f->bytes, f->len), STG_OK);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

static bool refused(int32_t status)
{
    return status == STG_E_FORMAT || status == STG_E_VERSION || status == STG_E_NOTFOUND ||
           status == STG_E_LIMIT;
}

/* Whether the rooms take what the bundle holds. */
static bool loads(stg_ctx *ctx, const stg_bundle *bundle)
{
    const stg_model *model = NULL;
    stg_detector *d = NULL;
    stg_error err = {0};
    const int32_t a = stg_model_load(&model, bundle, &err);
    ck_assert_msg(a == STG_OK || (refused(a) && err.text[0]), "%d", a);
    const int32_t b = stg_detector_create(&d, ctx, bundle, NULL, &err);
    ck_assert_msg(b == STG_OK || (refused(b) && err.text[0]), "%d", b);
    stg_unref(model);
    stg_detector_destroy(d);
    return a == STG_OK && b == STG_OK;
}

/*
 * One byte changed. There is no sum over the file: a changed byte of a number is another number, and is
 * taken when it is one that could stand there. What may not be: a crash, or a file that says other
 * bytes than it holds.
 */
START_TEST(files_with_one_byte_changed) /* _i: kind of model */
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    const base_file *f = base_bundle((uint32_t)_i);
    uint8_t *bytes = (uint8_t *)malloc(f->len);
    uint8_t *again = (uint8_t *)malloc(f->len + 4096);
    const size_t header = header_of(f);
    size_t kept[2] = {0, 0};
    size_t lost[2] = {0, 0};
    stg_error err;
    ck_assert(bytes && again);
    memcpy(bytes, f->bytes, f->len);
    const size_t step = test_valgrind() ? 1009 : 331;
    for (size_t at = 0; at < f->len; at += at < 16 ? 1 : step) {
        stg_bundle *bundle = NULL;
        size_t len = 0;
        bytes[at] ^= (uint8_t)(1u << at % 8);
        const int32_t status = stg_bundle_parse(&bundle, ctx, bytes, f->len, &err);
        ck_assert(status == STG_OK || status == STG_E_FORMAT || status == STG_E_LIMIT);
        const bool good = status == STG_OK && loads(ctx, bundle);
        (good ? kept : lost)[at >= header]++;
        if (status == STG_OK && at >= header) {
            ck_assert_int_eq(stg_bundle_serialize(bundle, again, f->len + 4096, &len), STG_OK);
            ck_assert(len == f->len && memcmp(again + header, bytes + header, len - header) == 0);
        }
        ck_assert(at >= 8 || status != STG_OK); /* the header's length */
        stg_bundle_destroy(bundle);
        bytes[at] = f->bytes[at];
    }
    ck_assert_uint_gt(lost[0], 4 * kept[0]); /* of the header hardly any */
    ck_assert_uint_gt(kept[1], 0);
    ck_assert_uint_gt(lost[1], 0);
    free(again);
    free(bytes);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile-files");
    TCase *tcase = tcase_create("hostile-files");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, files_cut_short, 0, BASE_KINDS);
    tcase_add_loop_test(tcase, files_with_one_byte_changed, 0, BASE_KINDS);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
