/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a bundle: refused with a text, or read; what was read is described and written, and
 * what was written is read again to the same bytes. Then once more with memory failing.
 */
#include "fuzz_memory.h"

static void describe(const stg_bundle *bundle)
{
    size_t need = 0, len = 0;
    FUZZ_CHECK(stg_bundle_describe(bundle, NULL, 0, &need) == STG_MORE);
    char *text = (char *)malloc(need + 1);
    FUZZ_CHECK(text && stg_bundle_describe(bundle, text, need + 1, &len) == STG_OK);
    FUZZ_CHECK(len <= need && text[0] == '{');
    free(text);
}

static uint8_t *serialize(const stg_bundle *bundle, size_t *len)
{
    size_t need = 0;
    FUZZ_CHECK(stg_bundle_serialize(bundle, NULL, 0, &need) == STG_MORE);
    uint8_t *bytes = (uint8_t *)malloc(need);
    FUZZ_CHECK(bytes && stg_bundle_serialize(bundle, bytes, need, len) == STG_OK && *len == need);
    return bytes;
}

static void whole(stg_ctx *ctx, const uint8_t *data, size_t size)
{
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    const int32_t status = stg_bundle_parse(&bundle, ctx, data, size, &err);
    if (status != STG_OK) {
        FUZZ_CHECK(!bundle && status < 0 && err.status == status && err.text[0]);
        return;
    }
    stg_bundle *again = NULL;
    size_t len = 0, len2 = 0;
    describe(bundle);
    uint8_t *bytes = serialize(bundle, &len);
    FUZZ_CHECK(stg_bundle_parse(&again, ctx, bytes, len, &err) == STG_OK);
    uint8_t *bytes2 = serialize(again, &len2);
    FUZZ_CHECK(len == len2 && memcmp(bytes, bytes2, len) == 0);
    free(bytes);
    free(bytes2);
    stg_bundle_destroy(again);
    stg_bundle_destroy(bundle);
}

static void failing(stg_ctx *ctx, const uint8_t *data, size_t size)
{
    stg_bundle *bundle = NULL;
    size_t len;
    if (stg_bundle_parse(&bundle, ctx, data, size, NULL) != STG_OK) {
        FUZZ_CHECK(!bundle);
        return;
    }
    const int32_t status = stg_bundle_serialize(bundle, NULL, 0, &len);
    FUZZ_CHECK(status == STG_MORE || status == STG_E_NOMEM);
    stg_bundle_destroy(bundle);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    FUZZ_CHECK(ctx);
    whole(ctx, data, size);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    ctx = fuzz_ctx(&memory, 1 + fuzz_draw(data, size, 48));
    if (ctx) {
        failing(ctx, data, size);
        stg_ctx_destroy(ctx);
    }
    FUZZ_CHECK(memory.live == 0);
    return 0;
}
