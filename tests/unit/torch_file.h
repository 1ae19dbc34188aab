/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes zips as torch.save does, entries stored with right sums, and the pickles for them, so that
 * tests can say everything that no real torch.save ever would.
 */
#ifndef STG_TORCH_FILE_H
#define STG_TORCH_FILE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TORCH_FILE_ENTRIES 16

typedef struct torch_bytes {
    unsigned char *data;
    size_t len;
    size_t cap;
} torch_bytes;

typedef struct torch_file {
    torch_bytes out;
    struct {
        char name[64];
        uint32_t crc;
        uint32_t size;
        uint32_t at;
    } entry[TORCH_FILE_ENTRIES];
    uint32_t entries;
} torch_file;

static inline void torch_put(torch_bytes *b, const void *data, size_t len)
{
    if (b->cap - b->len < len) {
        b->cap = (b->cap + len) * 2;
        b->data = (unsigned char *)realloc(b->data, b->cap);
        if (!b->data)
            abort();
    }
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
}

static inline void torch_put_number(torch_bytes *b, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++)
        torch_put(b, &(unsigned char){i < 8 ? (unsigned char)(number >> 8 * i) : 0}, 1);
}

static inline uint32_t torch_crc(const unsigned char *data, size_t len)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static inline void torch_add(torch_file *f, const char *name, const void *data, size_t len)
{
    const uint32_t n = f->entries++;
    if (n >= TORCH_FILE_ENTRIES || strlen(name) >= sizeof f->entry[n].name)
        abort();
    strcpy(f->entry[n].name, name);
    f->entry[n].at = (uint32_t)f->out.len;
    f->entry[n].size = (uint32_t)len;
    f->entry[n].crc = torch_crc((const unsigned char *)data, len);
    torch_put_number(&f->out, 0x04034b50u, 4);
    torch_put_number(&f->out, 0, 10); /* version, flags, stored, time, date */
    torch_put_number(&f->out, f->entry[n].crc, 4);
    torch_put_number(&f->out, len, 4);
    torch_put_number(&f->out, len, 4);
    torch_put_number(&f->out, strlen(name), 4); /* and no extra field */
    torch_put(&f->out, name, strlen(name));
    torch_put(&f->out, data, len);
}

/* The directory; `wide` writes sizes and places in the long forms. */
static inline void torch_end(torch_file *f, int wide)
{
    const size_t begin = f->out.len;
    for (uint32_t i = 0; i < f->entries; i++) {
        const uint32_t size = wide ? 0xffffffffu : f->entry[i].size;
        torch_put_number(&f->out, 0x02014b50u, 4);
        torch_put_number(&f->out, 0, 12); /* versions, flags, stored, time, date */
        torch_put_number(&f->out, f->entry[i].crc, 4);
        torch_put_number(&f->out, size, 4);
        torch_put_number(&f->out, size, 4);
        torch_put_number(&f->out, strlen(f->entry[i].name), 2);
        torch_put_number(&f->out, wide ? 32 : 0, 2);
        torch_put_number(&f->out, 0, 10); /* comment, part, attributes */
        torch_put_number(&f->out, wide ? 0xffffffffu : f->entry[i].at, 4);
        torch_put(&f->out, f->entry[i].name, strlen(f->entry[i].name));
        if (wide) { /* behind another field */
            torch_put_number(&f->out, 7, 2);
            torch_put_number(&f->out, 0, 2);
            torch_put_number(&f->out, 1, 2);
            torch_put_number(&f->out, 24, 2);
            torch_put_number(&f->out, f->entry[i].size, 8);
            torch_put_number(&f->out, f->entry[i].size, 8);
            torch_put_number(&f->out, f->entry[i].at, 8);
        }
    }
    const size_t size = f->out.len - begin;
    const size_t end = f->out.len;
    if (wide) {
        torch_put_number(&f->out, 0x06064b50u, 4);
        torch_put_number(&f->out, 44, 8);
        torch_put_number(&f->out, 0, 12);
        torch_put_number(&f->out, f->entries, 8);
        torch_put_number(&f->out, f->entries, 8);
        torch_put_number(&f->out, size, 8);
        torch_put_number(&f->out, begin, 8);
        torch_put_number(&f->out, 0x07064b50u, 4);
        torch_put_number(&f->out, 0, 4);
        torch_put_number(&f->out, end, 8);
        torch_put_number(&f->out, 1, 4);
    }
    torch_put_number(&f->out, 0x06054b50u, 4);
    torch_put_number(&f->out, 0, 4);
    torch_put_number(&f->out, wide ? 0xffff : f->entries, 2);
    torch_put_number(&f->out, wide ? 0xffff : f->entries, 2);
    torch_put_number(&f->out, wide ? 0xffffffffu : size, 4);
    torch_put_number(&f->out, wide ? 0xffffffffu : begin, 4);
    torch_put_number(&f->out, 0, 2);
}

/* --- pickles ---------------------------------------------------------------------------------- */

static inline void torch_code(torch_bytes *b, const char *codes)
{
    torch_put(b, codes, strlen(codes));
}

static inline void torch_begin(torch_bytes *b, int protocol)
{
    torch_code(b, "\x80");
    torch_put_number(b, (uint64_t)protocol, 1);
}

static inline void torch_text(torch_bytes *b, const char *text)
{
    torch_code(b, "X");
    torch_put_number(b, strlen(text), 4);
    torch_code(b, text);
}

static inline void torch_int(torch_bytes *b, int64_t number)
{
    torch_code(b, "\x8a\x08");
    torch_put_number(b, (uint64_t)number, 8);
}

static inline void torch_global(torch_bytes *b, const char *module, const char *name)
{
    torch_code(b, "c");
    torch_code(b, module);
    torch_code(b, "\n");
    torch_code(b, name);
    torch_code(b, "\n");
}

static inline void torch_tuple(torch_bytes *b, uint32_t count, const int64_t *numbers)
{
    torch_code(b, "(");
    for (uint32_t i = 0; i < count; i++)
        torch_int(b, numbers[i]);
    torch_code(b, "t");
}

/* A tensor on the stack: of the type, in the storage `key` of `count` items. */
static inline void torch_tensor(torch_bytes *b, const char *type, const char *key, int64_t count,
                                int64_t offset, uint32_t dims, const int64_t *size,
                                const int64_t *stride)
{
    torch_global(b, "torch._utils", "_rebuild_tensor_v2");
    torch_code(b, "((");
    torch_text(b, "storage");
    torch_global(b, "torch", type);
    torch_text(b, key);
    torch_text(b, "cpu");
    torch_int(b, count);
    torch_code(b, "tQ");
    torch_int(b, offset);
    torch_tuple(b, dims, size);
    torch_tuple(b, dims, stride);
    torch_code(b, "\x89"); /* requires no gradient; then no hooks */
    torch_global(b, "collections", "OrderedDict");
    torch_code(b, ")RtR");
}

#endif
