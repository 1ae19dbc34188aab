/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a bundle: safetensors (u64 length, JSON header, raw little-endian data). Everything is
 * checked before anything is believed: sizes, types, offsets, holes, overlaps, names.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "bundle_priv.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "bundles are little endian and read as they are"
#endif

static int32_t bundle_new(stg_bundle **out, stg_ctx *ctx)
{
    stg_bundle *b = (stg_bundle *)stg__calloc(ctx, 1, sizeof *b);
    if (!b)
        return STG_E_NOMEM;
    b->ctx = stg__ctx_ref(ctx);
    *out = b;
    return STG_OK;
}

/* cJSON recurses; a header needs three levels, so deeper ones are refused before it sees them. */
static bool shallow(const char *json, size_t len)
{
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        const char c = json[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > 4)
                return false;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return true;
}

static bool whole_number(const cJSON *item, uint64_t *value)
{
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 0x1p52 ||
        item->valuedouble != (double)(uint64_t)item->valuedouble)
        return false;
    *value = (uint64_t)item->valuedouble;
    return true;
}

typedef struct span {
    uint64_t begin;
    uint64_t end;
} span;

static int32_t read_shape(const cJSON *shape, const char *name, uint32_t *n, uint64_t *dims,
                          stg_error *err)
{
    if (!cJSON_IsArray(shape) || cJSON_GetArraySize(shape) > STG__MAX_DIMS)
        return stg__fail(err, STG_E_FORMAT, "tensor %s: shape is missing or too long", name);
    for (const cJSON *d = shape->child; d; d = d->next)
        if (!whole_number(d, &dims[(*n)++]))
            return stg__fail(err, STG_E_FORMAT, "tensor %s: shape is not of whole numbers", name);
    return STG_OK;
}

static int32_t read_offsets(const cJSON *offsets, const char *name, span *where, stg_error *err)
{
    if (!cJSON_IsArray(offsets) || cJSON_GetArraySize(offsets) != 2 ||
        !whole_number(offsets->child, &where->begin) ||
        !whole_number(offsets->child->next, &where->end))
        return stg__fail(err, STG_E_FORMAT, "tensor %s: data_offsets are malformed", name);
    return STG_OK;
}

static int32_t read_tensor(stg_bundle *b, const cJSON *item, const unsigned char *data,
                           size_t bytes, span *where, stg_error *err)
{
    const char *name = item->string;
    if (!name || !*name || strlen(name) > STG__BUNDLE_MAX_NAME)
        return stg__fail(err, STG_E_FORMAT, "a tensor's name is empty or too long");
    if (stg__bundle_find(b, name))
        return stg__fail(err, STG_E_FORMAT, "tensor %s stands there twice", name);
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(item, "dtype");
    const cJSON *shape = cJSON_GetObjectItemCaseSensitive(item, "shape");
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(item, "data_offsets");
    const stg__dtype *dtype = cJSON_IsString(type) ? stg__dtype_named(type->valuestring) : NULL;
    if (!dtype)
        return stg__fail(err, STG_E_FORMAT, "tensor %s: type is missing or not supported", name);
    uint64_t dims[STG__MAX_DIMS] = {0};
    uint32_t n = 0;
    size_t need;
    STG_RETURN_IF_ERROR(read_shape(shape, name, &n, dims, err));
    STG_RETURN_IF_ERROR(read_offsets(offsets, name, where, err));
    if (!stg__tensor_bytes(dtype->bytes, n, dims, &need) || where->begin > where->end ||
        where->end > bytes || where->end - where->begin != need)
        return stg__fail(err, STG_E_FORMAT, "tensor %s: shape and offsets do not fit the file", name);
    const int32_t status = stg__bundle_put(b, name, dtype->dtype, n, dims, data + where->begin);
    return status == STG_OK ? STG_OK : stg__fail(err, status, "tensor %s: out of memory", name);
}

static int32_t read_meta(stg_bundle *b, const cJSON *object, stg_error *err)
{
    if (!cJSON_IsObject(object))
        return stg__fail(err, STG_E_FORMAT, "__metadata__ is not an object");
    for (const cJSON *m = object->child; m; m = m->next) {
        if (!cJSON_IsString(m))
            return stg__fail(err, STG_E_FORMAT, "metadata %s is not a text", m->string);
        const int32_t status = stg__bundle_set_meta(b, m->string, m->valuestring);
        if (status < 0)
            return stg__fail(err, status, "out of memory");
    }
    return STG_OK;
}

static int by_begin(const void *a, const void *b)
{
    const span *x = (const span *)a;
    const span *y = (const span *)b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* The data must be covered once: no hole, no overlap, nothing behind. */
static int32_t check_spans(span *spans, size_t count, size_t bytes, stg_error *err)
{
    uint64_t at = 0;
    qsort(spans, count, sizeof *spans, by_begin);
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin != at)
            return stg__fail(err, STG_E_FORMAT, "tensors overlap or leave a hole at byte %llu",
                             (unsigned long long)at);
        at = spans[i].end;
    }
    if (at != bytes)
        return stg__fail(err, STG_E_FORMAT, "%llu bytes behind the last tensor",
                         (unsigned long long)(bytes - at));
    return STG_OK;
}

static int32_t read_header(stg_bundle *b, const cJSON *root, const unsigned char *data, size_t bytes,
                           stg_error *err)
{
    if (!cJSON_IsObject(root))
        return stg__fail(err, STG_E_FORMAT, "the header is not a JSON object");
    size_t count = 0;
    for (const cJSON *i = root->child; i; i = i->next)
        count++;
    if (count > STG__BUNDLE_MAX_ENTRIES)
        return stg__fail(err, STG_E_LIMIT, "more than %u tensors", STG__BUNDLE_MAX_ENTRIES);
    span *spans = (span *)stg__calloc(b->ctx, count + 1, sizeof *spans);
    if (!spans)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    int32_t status = STG_OK;
    size_t n = 0;
    for (const cJSON *i = root->child; i && status == STG_OK; i = i->next) {
        if (i->string && strcmp(i->string, "__metadata__") == 0)
            status = read_meta(b, i, err);
        else
            status = read_tensor(b, i, data, bytes, &spans[n++], err);
    }
    if (status == STG_OK)
        status = check_spans(spans, n, bytes, err);
    stg__free(b->ctx, spans);
    return status;
}

static int32_t parse(stg_bundle *b, const unsigned char *data, size_t len, stg_error *err)
{
    uint64_t header = 0;
    if (len < 8)
        return stg__fail(err, STG_E_FORMAT, "too short for a bundle: %zu bytes", len);
    memcpy(&header, data, sizeof header);
    if (header > len - 8 || header > STG__BUNDLE_MAX_HEADER)
        return stg__fail(err, STG_E_FORMAT, "not a bundle: header of %llu bytes in %zu",
                         (unsigned long long)header, len);
    const char *json = (const char *)data + 8;
    /* Other bytes would be written as something else, and two names could become one. */
    if (!stg__utf8(json, (size_t)header))
        return stg__fail(err, STG_E_FORMAT, "the header is not UTF-8");
    if (!shallow(json, (size_t)header))
        return stg__fail(err, STG_E_FORMAT, "the header is nested too deeply");
    cJSON *root = cJSON_ParseWithLength(json, (size_t)header);
    if (!root)
        return stg__is_json(json, (size_t)header)
                   ? stg__fail(err, STG_E_NOMEM, "out of memory")
                   : stg__fail(err, STG_E_FORMAT, "the header is not JSON");
    const size_t from = 8 + (size_t)header;
    const int32_t status = read_header(b, root, data + from, len - from, err);
    cJSON_Delete(root);
    return status;
}

int32_t stg_bundle_parse(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len,
                         stg_error *err)
{
    if (!out || !ctx || (!data && len))
        return stg__fail(err, STG_E_INVALID, "a pointer is NULL");
    *out = NULL;
    if (len > STG__BUNDLE_MAX_BYTES)
        return stg__fail(err, STG_E_LIMIT, "a bundle of more than 1 GiB");
    stg_bundle *b;
    if (bundle_new(&b, ctx) != STG_OK)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    const int32_t status = parse(b, (const unsigned char *)data, len, err);
    if (status != STG_OK) {
        stg_bundle_destroy(b);
        return status;
    }
    *out = b;
    return STG_OK;
}

static int32_t read_file(stg_ctx *ctx, FILE *file, const char *path, unsigned char **data,
                         size_t *len, stg_error *err)
{
    size_t cap = 1 << 16;
    unsigned char *buf = (unsigned char *)stg__alloc(ctx, cap);
    *len = 0;
    while (buf) {
        *len += fread(buf + *len, 1, cap - *len, file);
        if (*len < cap)
            break;
        if (cap > STG__BUNDLE_MAX_BYTES) {
            stg__free(ctx, buf);
            return stg__fail(err, STG_E_LIMIT, "%.150s: more than 1 GiB", path);
        }
        cap *= 2;
        unsigned char *grown = (unsigned char *)stg__realloc(ctx, buf, cap, 1);
        if (!grown)
            stg__free(ctx, buf);
        buf = grown;
    }
    if (!buf)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    if (ferror(file)) {
        stg__free(ctx, buf);
        return stg__fail(err, STG_E_IO, "%.150s: reading failed", path);
    }
    *data = buf;
    return STG_OK;
}

int32_t stg_bundle_open(stg_bundle **out, stg_ctx *ctx, const char *path, stg_error *err)
{
    if (!out || !ctx)
        return stg__fail(err, STG_E_INVALID, "a pointer is NULL");
    *out = NULL;
    if (!path)
        return bundle_new(out, ctx) == STG_OK ? STG_OK : stg__fail(err, STG_E_NOMEM, "out of memory");
    FILE *file = fopen(path, "rbe");
    if (!file)
        return stg__fail(err, errno == ENOMEM ? STG_E_NOMEM : STG_E_IO, "%.150s: %s", path,
                         strerrordesc_np(errno));
    unsigned char *data = NULL;
    size_t len = 0;
    int32_t status = read_file(ctx, file, path, &data, &len, err);
    fclose(file);
    if (status != STG_OK)
        return status;
    status = stg_bundle_parse(out, ctx, data, len, err);
    stg__free(ctx, data);
    return status;
}
