/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a checkpoint of PyTorch: as a whole file; as one whose checksums are mended, so that a
 * change gets past them; and as the pickle of a file that is otherwise good. Refused with a text, or
 * read into a bundle that can be written and read again. Then once more with memory failing.
 */
#include "fuzz_memory.h"
#include "torch.h"
#include "torch_file.h"

#define TAKEN (FUZZ_MEMORY_MAX - ((size_t)16 << 20)) /* larger tensors only cost time */
#define WRITTEN ((size_t)1 << 20)

static uint32_t get(const uint8_t *at, int bytes)
{
    uint32_t number = 0;
    for (int i = 0; i < bytes; i++)
        number |= (uint32_t)at[i] << 8 * i;
    return number;
}

/* Gives every entry of a directory the sum of its bytes. */
static void mend(uint8_t *data, size_t size)
{
    for (size_t at = 0; size >= 46 && at <= size - 46; at++) {
        if (get(data + at, 4) != 0x02014b50u)
            continue;
        const size_t len = get(data + at + 24, 4);
        const size_t header = get(data + at + 42, 4);
        if (header > size || size - header < 30)
            continue;
        const size_t begin = 30 + get(data + header + 26, 2) + get(data + header + 28, 2);
        if (begin > size - header || len > size - header - begin)
            continue;
        const uint32_t crc = torch_crc(data + header + begin, len);
        memcpy(data + at + 16, &crc, sizeof crc);
    }
}

static void write_again(stg_ctx *ctx, const stg_bundle *bundle)
{
    size_t need = 0, len = 0;
    stg_bundle *again = NULL;
    stg_error err;
    size_t bytes = 0;
    for (size_t i = 0; i < stg__bundle_count(bundle); i++)
        bytes += stg__bundle_at(bundle, i)->bytes;
    if (bytes > WRITTEN)
        return;
    FUZZ_CHECK(stg_bundle_serialize(bundle, NULL, 0, &need) == STG_MORE);
    uint8_t *text = (uint8_t *)malloc(need);
    FUZZ_CHECK(text && stg_bundle_serialize(bundle, text, need, &len) == STG_OK && len == need);
    FUZZ_CHECK(stg_bundle_parse(&again, ctx, text, len, &err) == STG_OK);
    FUZZ_CHECK(stg__bundle_count(again) == stg__bundle_count(bundle));
    free(text);
    stg_bundle_destroy(again);
}

static void read_once(const uint8_t *data, size_t size, size_t fail_from)
{
    fuzz_memory memory;
    stg_bundle *bundle = NULL;
    stg_error err = {0};
    stg_ctx *ctx = fuzz_ctx(&memory, fail_from);
    FUZZ_CHECK(ctx || fail_from);
    if (!ctx)
        return;
    memory.bytes += TAKEN;
    const int32_t status = stg__torch_read(&bundle, ctx, data, size, &err);
    FUZZ_CHECK((status == STG_OK) == (bundle != NULL));
    FUZZ_CHECK(status == STG_OK ||
               ((status == STG_E_FORMAT || status == STG_E_LIMIT || status == STG_E_NOMEM) &&
                err.status == status && err.text[0]));
    if (bundle && !fail_from)
        write_again(ctx, bundle);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
}

static void read_mended(const uint8_t *data, size_t size)
{
    uint8_t *copy = (uint8_t *)malloc(size ? size : 1);
    FUZZ_CHECK(copy);
    memcpy(copy, data, size);
    mend(copy, size);
    read_once(copy, size, 0);
    read_once(copy, size, 1 + fuzz_draw(data, size, 32));
    free(copy);
}

/* A few storages for the pickle to speak of. */
static void read_pickle(const uint8_t *data, size_t size)
{
    static const unsigned char numbers[96] = {0, 0, 0x80, 0x3f, 1, 0, 0xff, 0x7f, 0, 0x7c, 9};
    torch_file f = {0};
    torch_add(&f, "a/data.pkl", data, size);
    torch_add(&f, "a/data/0", numbers, 96);
    torch_add(&f, "a/data/1", numbers, 7);
    torch_add(&f, "a/data/2", numbers, 0);
    torch_add(&f, "a/version", "3\n", 2);
    torch_end(&f, size % 2);
    read_once(f.out.data, f.out.len, 0);
    read_once(f.out.data, f.out.len, 1 + fuzz_draw(data, size, 32));
    free(f.out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 1 && data[0] == 0x80) {
        read_pickle(data, size);
    } else {
        read_mended(data, size);
    }
    read_once(data, size, 0);
    return 0;
}
