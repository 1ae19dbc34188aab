/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of a checkpoint: a zip whose entries are stored as they are. The central directory
 * tells where they lie; it is believed only when every entry lies inside the file, in front of the
 * directory and apart from all others, and has a header of its own that says the same. Sums of
 * entries are looked at when they are used.
 */
#include <stdlib.h>
#include <string.h>

#include "torch_priv.h"

#define END_BYTES 22u
#define LOCATOR_BYTES 20u
#define END64_BYTES 56u
#define CENTRAL_BYTES 46u
#define LOCAL_BYTES 30u
#define COMMENT_MAX 65535u
#define MASK32 0xffffffffu

#define END_SIGN 0x06054b50u
#define LOCATOR_SIGN 0x07064b50u
#define END64_SIGN 0x06064b50u
#define CENTRAL_SIGN 0x02014b50u
#define LOCAL_SIGN 0x04034b50u

#define FLAG_ENCRYPTED (0x0001u | 0x0040u | 0x2000u)
#define FLAG_DESCRIPTOR 0x0008u /* sizes stand behind the bytes, and in the directory */

typedef struct directory {
    uint64_t at;
    uint64_t size;
    uint64_t count;
} directory;

static int32_t fail_entry(const stg__zip_entry *e, const char *what, stg_error *err)
{
    char shown[STG__TORCH_SHOWN];
    return stg__fail(err, STG_E_FORMAT, "zip entry %s %s",
                     stg__torch_shown(shown, e->name, e->name_len), what);
}

static bool find_end(const stg__zip *z, size_t *at)
{
    if (z->len < END_BYTES)
        return false;
    const size_t last = z->len - END_BYTES;
    for (size_t back = 0; back <= last && back <= COMMENT_MAX; back++) {
        const unsigned char *p = z->data + (last - back);
        if (stg__le32(p) == END_SIGN && stg__le16(p + 20) == back) {
            *at = last - back;
            return true;
        }
    }
    return false;
}

/* Where the directory is, and where it has to end. */
static int32_t find_directory(const stg__zip *z, directory *d, stg_error *err)
{
    size_t end = 0;
    if (!find_end(z, &end))
        return stg__fail(err, STG_E_FORMAT, "the zip is cut short: it has no directory");
    const unsigned char *p = z->data + end;
    if (stg__le16(p + 4) != stg__le16(p + 6) || stg__le16(p + 8) != stg__le16(p + 10))
        return stg__fail(err, STG_E_FORMAT, "the zip is one part of several");
    *d = (directory){stg__le32(p + 16), stg__le32(p + 12), stg__le16(p + 10)};
    if (end >= LOCATOR_BYTES + END64_BYTES && stg__le32(p - LOCATOR_BYTES) == LOCATOR_SIGN) {
        const uint64_t at = stg__le64(p - LOCATOR_BYTES + 8);
        if (at > end - LOCATOR_BYTES - END64_BYTES || stg__le32(z->data + at) != END64_SIGN)
            return stg__fail(err, STG_E_FORMAT, "the zip's long end record is not where it should be");
        p = z->data + at;
        *d = (directory){stg__le64(p + 48), stg__le64(p + 40), stg__le64(p + 32)};
        end = (size_t)at;
    }
    if (d->at > end || d->size > end - d->at)
        return stg__fail(err, STG_E_FORMAT, "the zip's directory lies outside of the file");
    if (d->count > STG__ZIP_MAX_ENTRIES)
        return stg__fail(err, STG_E_LIMIT, "a zip of more than %u entries", STG__ZIP_MAX_ENTRIES);
    if (d->count > d->size / CENTRAL_BYTES)
        return stg__fail(err, STG_E_FORMAT, "the zip's directory is shorter than its entries");
    return STG_OK;
}

/* Numbers that do not fit 32 bits stand in an extra field, in this order and only when asked for. */
static bool read_extra(const unsigned char *p, size_t len, uint64_t *size, uint64_t *packed,
                       uint64_t *header)
{
    uint64_t *const wanted[] = {*size == MASK32 ? size : NULL, *packed == MASK32 ? packed : NULL,
                                *header == MASK32 ? header : NULL};
    if (!wanted[0] && !wanted[1] && !wanted[2])
        return true;
    while (len >= 4) {
        const uint32_t id = stg__le16(p);
        size_t left = stg__le16(p + 2);
        p += 4;
        len -= 4;
        if (left > len)
            return false;
        len -= left;
        if (id != 1) {
            p += left;
            continue;
        }
        for (int i = 0; i < 3; i++) {
            if (!wanted[i])
                continue;
            if (left < 8)
                return false;
            *wanted[i] = stg__le64(p);
            p += 8;
            left -= 8;
        }
        return true;
    }
    return false;
}

/* One entry of the directory, which has `left` more bytes; *used of them are its. */
static int32_t read_central(const unsigned char *p, size_t left, stg__zip_entry *e, size_t *used,
                            stg_error *err)
{
    if (left < CENTRAL_BYTES || stg__le32(p) != CENTRAL_SIGN)
        return stg__fail(err, STG_E_FORMAT, "the zip's directory is malformed");
    const size_t name = stg__le16(p + 28);
    const size_t extra = stg__le16(p + 30);
    *used = CENTRAL_BYTES + name + extra + stg__le16(p + 32);
    if (*used > left)
        return stg__fail(err, STG_E_FORMAT, "the zip's directory is cut short");
    uint64_t packed = stg__le32(p + 20);
    e->name = (const char *)p + CENTRAL_BYTES;
    e->name_len = (uint32_t)name;
    e->flags = stg__le16(p + 8);
    e->crc = stg__le32(p + 16);
    e->size = stg__le32(p + 24);
    e->header = stg__le32(p + 42);
    if (e->flags & FLAG_ENCRYPTED)
        return fail_entry(e, "is encrypted", err);
    if (stg__le16(p + 10) != 0)
        return fail_entry(e, "is compressed; torch.save stores entries as they are", err);
    if (stg__le16(p + 34) != 0)
        return fail_entry(e, "lies in another part", err);
    if (!read_extra(p + CENTRAL_BYTES + name, extra, &e->size, &packed, &e->header))
        return fail_entry(e, "lacks its long sizes", err);
    return packed == e->size ? STG_OK : fail_entry(e, "is stored, but has two sizes", err);
}

/* Finds the entry's bytes behind its own header, all in front of the directory. */
static int32_t read_local(const stg__zip *z, uint64_t directory_at, stg__zip_entry *e, stg_error *err)
{
    if (e->header > directory_at || directory_at - e->header < LOCAL_BYTES)
        return fail_entry(e, "lies outside of the file", err);
    const unsigned char *p = z->data + e->header;
    const uint32_t name = stg__le16(p + 26);
    const uint64_t begin = (uint64_t)LOCAL_BYTES + name + stg__le16(p + 28);
    if (stg__le32(p) != LOCAL_SIGN || begin > directory_at - e->header)
        return fail_entry(e, "has no header of its own", err);
    e->at = e->header + begin;
    if (e->size > directory_at - e->at)
        return fail_entry(e, "lies outside of the file", err);
    if (name != e->name_len || memcmp(p + LOCAL_BYTES, e->name, name) != 0 || stg__le16(p + 8) != 0)
        return fail_entry(e, "is another one by its own header", err);
    const uint32_t packed = stg__le32(p + 18);
    const uint32_t size = stg__le32(p + 22);
    if (!(e->flags & FLAG_DESCRIPTOR) && ((packed != e->size && packed != MASK32) ||
                                          (size != e->size && size != MASK32)))
        return fail_entry(e, "has another size by its own header", err);
    return STG_OK;
}

static int by_place(const void *a, const void *b)
{
    const stg__zip_entry *x = (const stg__zip_entry *)a;
    const stg__zip_entry *y = (const stg__zip_entry *)b;
    return x->header < y->header ? -1 : x->header > y->header;
}

static int by_name(const void *a, const void *b)
{
    const stg__zip_entry *x = (const stg__zip_entry *)a;
    const stg__zip_entry *y = (const stg__zip_entry *)b;
    return stg__name_compare(x->name, x->name_len, y->name, y->name_len);
}

/* No byte belongs to two entries, no name to two. Leaves the entries sorted by name. */
static int32_t check_apart(stg__zip *z, stg_error *err)
{
    if (z->count)
        qsort(z->entry, z->count, sizeof *z->entry, by_place);
    for (uint32_t i = 1; i < z->count; i++)
        if (z->entry[i - 1].at + z->entry[i - 1].size > z->entry[i].header)
            return fail_entry(&z->entry[i], "overlaps another one", err);
    if (z->count)
        qsort(z->entry, z->count, sizeof *z->entry, by_name);
    for (uint32_t i = 1; i < z->count; i++)
        if (by_name(&z->entry[i - 1], &z->entry[i]) == 0)
            return fail_entry(&z->entry[i], "stands there twice", err);
    return STG_OK;
}

static void make_table(uint32_t table[256])
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
        table[i] = c;
    }
}

int32_t stg__zip_open(stg__zip *z, stg_ctx *ctx, const void *data, size_t len, stg_error *err)
{
    *z = (stg__zip){.ctx = ctx, .data = (const unsigned char *)data, .len = len};
    directory d = {0};
    STG_RETURN_IF_ERROR(find_directory(z, &d, err));
    make_table(z->table);
    z->entry = (stg__zip_entry *)stg__calloc(ctx, (size_t)d.count + 1, sizeof *z->entry);
    if (!z->entry)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    const unsigned char *p = z->data + d.at;
    size_t left = (size_t)d.size;
    for (uint64_t i = 0; i < d.count; i++) {
        size_t used = 0;
        STG_RETURN_IF_ERROR(read_central(p, left, &z->entry[i], &used, err));
        STG_RETURN_IF_ERROR(read_local(z, d.at, &z->entry[i], err));
        z->count++;
        p += used;
        left -= used;
    }
    return check_apart(z, err);
}

void stg__zip_close(stg__zip *z)
{
    if (z->ctx)
        stg__free(z->ctx, z->entry);
    z->entry = NULL;
    z->count = 0;
}

stg__zip_entry *stg__zip_find(stg__zip *z, const char *name, size_t len)
{
    uint32_t low = 0;
    uint32_t high = z->count;
    while (low < high) {
        const uint32_t mid = low + (high - low) / 2;
        stg__zip_entry *e = &z->entry[mid];
        const int order = stg__name_compare(e->name, e->name_len, name, len);
        if (order == 0)
            return e;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

int32_t stg__zip_bytes(stg__zip *z, stg__zip_entry *e, const unsigned char **bytes, stg_error *err)
{
    const unsigned char *p = z->data + e->at;
    if (!e->checked) {
        uint32_t crc = MASK32;
        for (uint64_t i = 0; i < e->size; i++)
            crc = z->table[(crc ^ p[i]) & 0xff] ^ crc >> 8;
        if ((crc ^ MASK32) != e->crc)
            return fail_entry(e, "is damaged: its checksum is wrong", err);
        e->checked = true;
    }
    *bytes = p;
    return STG_OK;
}
