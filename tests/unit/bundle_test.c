/* SPDX-License-Identifier: Apache-2.0 */
/* The bundle: round trip, unknown prefixes, hostile files, what is JSON, failing memory. */
#include <cJSON.h>
#include <unistd.h>

#include "bundle_priv.h"
#include "test.h"

static stg_bundle *sample(stg_ctx *ctx)
{
    stg_bundle *b = NULL;
    const float w[6] = {1, 2, 3, 4, 5, 6};
    const uint64_t shape[2] = {2, 3};
    if (stg_bundle_open(&b, ctx, NULL, NULL) != STG_OK)
        return NULL;
    if (stg__bundle_put(b, "model/w", STG__F32, 2, shape, w) != STG_OK ||
        stg__bundle_put(b, "other/x", STG__U8, 1, (uint64_t[]){3}, "abc") != STG_OK ||
        stg__bundle_put(b, "model/empty", STG__F64, 1, (uint64_t[]){0}, NULL) != STG_OK ||
        stg__bundle_set_meta(b, "model/kind", "test \"quoted\"") != STG_OK ||
        stg__bundle_set_meta_num(b, "model/x", 0.1) != STG_OK ||
        stg__bundle_set_meta_u64(b, "model/n", UINT64_MAX) != STG_OK) {
        stg_bundle_destroy(b);
        return NULL;
    }
    return b;
}

static void check_sample(const stg_bundle *b)
{
    const stg__tensor *t;
    double x;
    uint64_t n;
    ck_assert_int_eq(stg__bundle_get(b, "model/w", STG__F32, 2, (uint64_t[]){2, UINT64_MAX}, &t, NULL),
                     STG_OK);
    ck_assert_uint_eq((uintptr_t)t->data % 64, 0);
    ck_assert_float_eq(((const float *)t->data)[5], 6);
    ck_assert_str_eq(stg__bundle_meta(b, "model/kind"), "test \"quoted\"");
    ck_assert_int_eq(stg__bundle_meta_num(b, "model/x", &x), STG_OK);
    ck_assert(x == 0.1);
    ck_assert_int_eq(stg__bundle_meta_u64(b, "model/n", &n), STG_OK);
    ck_assert(n == UINT64_MAX);
    ck_assert_mem_eq(stg__bundle_find(b, "other/x")->data, "abc", 3);
}

START_TEST(round_trip)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = sample(ctx);
    ck_assert_ptr_nonnull(b);
    check_sample(b);
    char path[] = "/tmp/stgraph-test-XXXXXX";
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    stg_error err;
    ck_assert_int_eq(stg_bundle_save(b, path, &err), STG_OK);
    stg_bundle_destroy(b);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, path, &err), STG_OK);
    check_sample(b);
    char text[1024];
    size_t len;
    ck_assert_int_eq(stg_bundle_describe(b, text, sizeof text, &len), STG_OK);
    ck_assert_ptr_nonnull(strstr(text, "{\"name\":\"model/w\",\"dtype\":\"F32\",\"shape\":[2,3]}"));
    stg__bundle_drop(b, "model/");
    ck_assert_ptr_null(stg__bundle_find(b, "model/w"));
    ck_assert_ptr_null(stg__bundle_meta(b, "model/kind"));
    ck_assert_ptr_nonnull(stg__bundle_find(b, "other/x"));
    stg_bundle_destroy(b);
    unlink(path);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, path, &err), STG_E_IO);
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    stg_ctx_destroy(ctx);
}
END_TEST

static int32_t parse(stg_ctx *ctx, const char *json, size_t data, stg_error *err)
{
    char file[1024] = {0};
    const uint64_t header = strlen(json);
    memcpy(file, &header, 8);
    memcpy(file + 8, json, header);
    stg_bundle *b;
    const int32_t status = stg_bundle_parse(&b, ctx, file, 8 + header + data, err);
    stg_bundle_destroy(b);
    return status;
}

START_TEST(hostile_headers)
{
    static const struct {
        const char *json;
        size_t data;
        const char *reason;
    } bad[] = {
        {"[]", 0, "not a JSON object"},
        {"{", 0, "not JSON"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]}}", 5, "do not fit"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, "do not fit"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, "behind"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "hole"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "whole numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1e30,1e30],\"data_offsets\":[0,4]}}", 4, "whole"},
        {"{\"\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "UTF-8"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[65536,65536,65536],\"data_offsets\":[0,4]}}", 4, "fit"},
        {"{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[2,6]}}", 6, "overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "twice"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "not a text"},
        {"{\"a\":[[[[[]]]]]}", 0, "deeply"},
    };
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        stg_error err = {0};
        ck_assert_int_eq(parse(ctx, bad[i].json, bad[i].data, &err), STG_E_FORMAT);
        ck_assert_msg(strstr(err.text, bad[i].reason) != NULL, "%s: %s", bad[i].json, err.text);
    }
    ck_assert_int_eq(parse(ctx, "{}", 0, NULL), STG_OK);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Every cut and every flipped byte of a good file is refused or read, never more. */
START_TEST(damaged_files)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b = sample(ctx);
    unsigned char file[2048];
    size_t len;
    ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, &len), STG_MORE);
    ck_assert_int_eq(stg_bundle_serialize(b, file, sizeof file, &len), STG_OK);
    stg_bundle_destroy(b);
    for (size_t cut = 0; cut < len; cut++) {
        ck_assert_int_eq(stg_bundle_parse(&b, ctx, file, cut, NULL), STG_E_FORMAT);
        ck_assert_ptr_null(b);
    }
    for (size_t at = 0; at < len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            file[at] ^= (unsigned char)(1 << bit);
            if (stg_bundle_parse(&b, ctx, file, len, NULL) == STG_OK)
                stg_bundle_destroy(b);
            file[at] ^= (unsigned char)(1 << bit);
        }
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Every header that is taken for JSON is read by cJSON too, so that its NULL means no memory; what is
 * made of good ones by changing a byte is judged alike. */
START_TEST(json_or_no_memory)
{
    static const char *const good[] = {
        "{}", " [ ]", "{\"a\":[1,-2.5e+3,0.0E-7,10],\"b\":{\"c\":null}} behind", "[true,false,null]",
        "\"\\u0041\\ud83d\\ude00\\n\\\\ \xc3\xa4\"", "[\"\", {\"\":\"\"}]", "-0", "[[[[1]]]]"};
    static const char *const bad[] = {
        "", " ", "{", "[1,]", "{\"a\"}", "{\"a\":}", "{a:1}", "[01]", "[1.]", "[.5]", "[1e]", "[-]",
        "\"", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\ud83d\"", "\"\\ude00\"", "[tru]", "nul", "[1 2]",
        "[1000000000000000000000000000000000000000000000000000000000000000]"};
    char text[128];
    size_t changed = 0;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!stg__is_json(bad[i], strlen(bad[i])), "%s", bad[i]);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        const size_t len = strlen(good[i]);
        ck_assert_msg(stg__is_json(good[i], len), "%s", good[i]);
        for (size_t at = 0; at < len * 128; at++) {
            memcpy(text, good[i], len);
            text[at / 128] = (char)(at % 128);
            if (!stg__is_json(text, len))
                continue;
            cJSON *json = cJSON_ParseWithLength(text, len);
            ck_assert_msg(json != NULL, "%.*s", (int)len, text);
            cJSON_Delete(json);
            changed++;
        }
    }
    ck_assert_uint_ge(changed, 1000);
}
END_TEST

START_TEST(failing_memory)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    size_t failures = 0;
    for (size_t n = 1;; n++) {
        m.requests = 0;
        m.fail_at = n;
        stg_bundle *b = sample(ctx);
        m.fail_at = 0;
        stg_bundle_destroy(b);
        ck_assert_uint_eq(m.live, 1); /* the context */
        if (b)
            break;
        failures++;
    }
    ck_assert_uint_ge(failures, 10);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

TEST_SUITE("bundle", round_trip, hostile_headers, damaged_files, json_or_no_memory,
           failing_memory)
