/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle in memory: named tensors and texts, kept sorted. Rooms put in and take out what is
 * theirs, under their prefix; what nobody knows stays as it is.
 */
#include <stdio.h>
#include <string.h>

#include "bundle_priv.h"

static const stg__dtype dtypes[] = {
    {STG__F32, 4, "F32"}, {STG__F64, 8, "F64"}, {STG__I32, 4, "I32"}, {STG__U32, 4, "U32"},
    {STG__I64, 8, "I64"}, {STG__U64, 8, "U64"}, {STG__U8, 1, "U8"},
};

const stg__dtype *stg__dtype_of(uint32_t dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == dtype)
            return &dtypes[i];
    return NULL;
}

const stg__dtype *stg__dtype_named(const char *name)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0)
            return &dtypes[i];
    return NULL;
}

bool stg__tensor_bytes(uint32_t item, uint32_t dims, const uint64_t *shape, size_t *bytes)
{
    uint64_t total = item;
    for (uint32_t i = 0; i < dims; i++)
        if (__builtin_mul_overflow(total, shape[i], &total) || total > STG__BUNDLE_MAX_BYTES)
            return false;
    *bytes = (size_t)total;
    return true;
}

static void tensor_free(stg_ctx *ctx, stg__tensor *t)
{
    stg__free(ctx, (void *)(uintptr_t)t->name);
    stg__free_aligned(ctx, (void *)(uintptr_t)t->data);
}

static void meta_free(stg_ctx *ctx, stg__meta *m)
{
    stg__free(ctx, m->key);
    stg__free(ctx, m->value);
}

void stg_bundle_destroy(stg_bundle *b)
{
    if (!b)
        return;
    stg_ctx *ctx = b->ctx;
    for (size_t i = 0; i < b->count; i++)
        tensor_free(ctx, &b->tensors[i]);
    for (size_t i = 0; i < b->metas; i++)
        meta_free(ctx, &b->meta[i]);
    stg__free(ctx, b->tensors);
    stg__free(ctx, b->meta);
    stg__free(ctx, b);
    stg__ctx_unref(ctx);
}

stg_ctx *stg__bundle_ctx(const stg_bundle *b)
{
    return b->ctx;
}

size_t stg__bundle_count(const stg_bundle *b)
{
    return b->count;
}

const stg__tensor *stg__bundle_at(const stg_bundle *b, size_t index)
{
    return index < b->count ? &b->tensors[index] : NULL;
}

/* Position of the first tensor whose name is not before `name`. */
static size_t tensor_place(const stg_bundle *b, const char *name)
{
    size_t low = 0;
    size_t high = b->count;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (strcmp(b->tensors[mid].name, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t meta_place(const stg_bundle *b, const char *key)
{
    size_t low = 0;
    size_t high = b->metas;
    while (low < high) {
        const size_t mid = low + (high - low) / 2;
        if (strcmp(b->meta[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const stg__tensor *stg__bundle_find(const stg_bundle *b, const char *name)
{
    const size_t at = tensor_place(b, name);
    return at < b->count && strcmp(b->tensors[at].name, name) == 0 ? &b->tensors[at] : NULL;
}

int32_t stg__bundle_get(const stg_bundle *b, const char *name, uint32_t dtype, uint32_t dims,
                        const uint64_t *shape, const stg__tensor **out, stg_error *err)
{
    *out = NULL;
    const stg__tensor *t = stg__bundle_find(b, name);
    const stg__dtype *type = stg__dtype_of(dtype);
    uint32_t same = 0; /* dimensions that are as asked for */
    while (t && t->dims == dims && same < dims &&
           (shape[same] == UINT64_MAX || shape[same] == t->shape[same]))
        same++;
    if (!t)
        stg__fail(err, STG_E_FORMAT, "tensor %s is missing", name);
    else if (t->dtype != dtype)
        stg__fail(err, STG_E_FORMAT, "tensor %s is not %s", name, type ? type->name : "?");
    else if (t->dims != dims)
        stg__fail(err, STG_E_FORMAT, "tensor %s has %u dimensions, not %u", name, t->dims, dims);
    else if (same < dims)
        stg__fail(err, STG_E_FORMAT, "tensor %s: dimension %u is %llu, not %llu", name, same,
                  (unsigned long long)t->shape[same], (unsigned long long)shape[same]);
    else
        *out = t;
    return *out ? STG_OK : STG_E_FORMAT;
}

static char *copy_text(stg_ctx *ctx, const char *text)
{
    const size_t bytes = strlen(text) + 1;
    char *copy = (char *)stg__alloc(ctx, bytes);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

/* Room for so many tensors in all. */
static int32_t make_room(stg_bundle *b, size_t need)
{
    if (need <= b->cap)
        return STG_OK;
    size_t cap = b->cap ? b->cap * 2 : 32;
    if (cap < need)
        cap = need;
    stg__tensor *grown = (stg__tensor *)stg__realloc(b->ctx, b->tensors, cap, sizeof *grown);
    if (!grown)
        return STG_E_NOMEM;
    b->tensors = grown;
    b->cap = cap;
    return STG_OK;
}

static int32_t make_meta_room(stg_bundle *b, size_t need)
{
    if (need <= b->meta_cap)
        return STG_OK;
    size_t cap = b->meta_cap ? b->meta_cap * 2 : 16;
    if (cap < need)
        cap = need;
    stg__meta *grown = (stg__meta *)stg__realloc(b->ctx, b->meta, cap, sizeof *grown);
    if (!grown)
        return STG_E_NOMEM;
    b->meta = grown;
    b->meta_cap = cap;
    return STG_OK;
}

static void insert_tensor(stg_bundle *b, size_t at, stg__tensor t)
{
    memmove(&b->tensors[at + 1], &b->tensors[at], (b->count - at) * sizeof *b->tensors);
    b->tensors[at] = t;
    b->count++;
}

static void insert_meta(stg_bundle *b, size_t at, stg__meta m)
{
    memmove(&b->meta[at + 1], &b->meta[at], (b->metas - at) * sizeof *b->meta);
    b->meta[at] = m;
    b->metas++;
}

int32_t stg__bundle_put(stg_bundle *b, const char *name, uint32_t dtype, uint32_t dims,
                        const uint64_t *shape, const void *data)
{
    const stg__dtype *type = stg__dtype_of(dtype);
    stg__tensor t = {.dtype = dtype, .dims = dims};
    if (!type || dims > STG__MAX_DIMS || strlen(name) > STG__BUNDLE_MAX_NAME ||
        !stg__tensor_bytes(type->bytes, dims, shape, &t.bytes))
        return STG_E_INVALID;
    if (dims) /* a scalar may come without a shape */
        memcpy(t.shape, shape, dims * sizeof *shape);
    const size_t at = tensor_place(b, name);
    const bool replace = at < b->count && strcmp(b->tensors[at].name, name) == 0;
    if (!replace)
        STG_RETURN_IF_ERROR(make_room(b, b->count + 1));
    void *copy = stg__alloc_aligned(b->ctx, 1, t.bytes ? t.bytes : 1);
    t.name = copy_text(b->ctx, name);
    if (!copy || !t.name) {
        stg__free_aligned(b->ctx, copy);
        stg__free(b->ctx, (void *)(uintptr_t)t.name);
        return STG_E_NOMEM;
    }
    if (t.bytes)
        memcpy(copy, data, t.bytes);
    t.data = copy;
    if (replace) {
        tensor_free(b->ctx, &b->tensors[at]);
        b->tensors[at] = t;
    } else {
        insert_tensor(b, at, t);
    }
    return STG_OK;
}

const char *stg__bundle_meta(const stg_bundle *b, const char *key)
{
    const size_t at = meta_place(b, key);
    return at < b->metas && strcmp(b->meta[at].key, key) == 0 ? b->meta[at].value : NULL;
}

int32_t stg__bundle_set_meta(stg_bundle *b, const char *key, const char *value)
{
    const size_t at = meta_place(b, key);
    const bool replace = at < b->metas && strcmp(b->meta[at].key, key) == 0;
    if (!replace)
        STG_RETURN_IF_ERROR(make_meta_room(b, b->metas + 1));
    stg__meta m = {copy_text(b->ctx, key), copy_text(b->ctx, value)};
    if (!m.key || !m.value) {
        meta_free(b->ctx, &m);
        return STG_E_NOMEM;
    }
    if (replace) {
        meta_free(b->ctx, &b->meta[at]);
        b->meta[at] = m;
    } else {
        insert_meta(b, at, m);
    }
    return STG_OK;
}

int32_t stg__bundle_meta_u64(const stg_bundle *b, const char *key, uint64_t *value)
{
    const char *text = stg__bundle_meta(b, key);
    uint64_t v = 0;
    if (!text)
        return STG_E_NOTFOUND;
    if (!*text)
        return STG_E_FORMAT;
    for (; *text; text++)
        if (*text < '0' || *text > '9' || __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*text - '0'), &v))
            return STG_E_FORMAT;
    *value = v;
    return STG_OK;
}

int32_t stg__bundle_set_meta_u64(stg_bundle *b, const char *key, uint64_t value)
{
    char buf[24];
    stg__text t;
    stg__text_init(&t, buf, sizeof buf);
    stg__text_u64(&t, value);
    stg__text_end(&t, NULL);
    return stg__bundle_set_meta(b, key, buf);
}

/* Numbers are kept as the hexadecimal digits of their bits: exact, and free of any locale. */
int32_t stg__bundle_meta_num(const stg_bundle *b, const char *key, double *value)
{
    const char *text = stg__bundle_meta(b, key);
    union {
        uint64_t bits;
        double number;
    } is = {0};
    if (!text)
        return STG_E_NOTFOUND;
    if (strlen(text) != 16)
        return STG_E_FORMAT;
    for (; *text; text++) {
        const char c = *text;
        if (c >= '0' && c <= '9')
            is.bits = is.bits << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            is.bits = is.bits << 4 | (uint64_t)(c - 'a' + 10);
        else
            return STG_E_FORMAT;
    }
    *value = is.number;
    return STG_OK;
}

int32_t stg__bundle_set_meta_num(stg_bundle *b, const char *key, double value)
{
    uint64_t bits;
    char buf[24];
    memcpy(&bits, &value, sizeof bits);
    snprintf(buf, sizeof buf, "%016llx", (unsigned long long)bits);
    return stg__bundle_set_meta(b, key, buf);
}

void stg__bundle_drop(stg_bundle *b, const char *prefix)
{
    const size_t len = strlen(prefix);
    size_t kept = 0;
    for (size_t i = 0; i < b->count; i++) {
        if (strncmp(b->tensors[i].name, prefix, len) == 0)
            tensor_free(b->ctx, &b->tensors[i]);
        else
            b->tensors[kept++] = b->tensors[i];
    }
    b->count = kept;
    kept = 0;
    for (size_t i = 0; i < b->metas; i++) {
        if (strncmp(b->meta[i].key, prefix, len) == 0)
            meta_free(b->ctx, &b->meta[i]);
        else
            b->meta[kept++] = b->meta[i];
    }
    b->metas = kept;
}

int32_t stg__bundle_reserve(stg_bundle *b, const stg_bundle *from)
{
    STG_RETURN_IF_ERROR(make_room(b, b->count + from->count));
    return make_meta_room(b, b->metas + from->metas);
}

int32_t stg__bundle_replace(stg_bundle *b, const char *prefix, stg_bundle *from)
{
    STG_RETURN_IF_ERROR(stg__bundle_reserve(b, from));
    stg__bundle_drop(b, prefix);
    for (size_t i = 0; i < from->count; i++)
        insert_tensor(b, tensor_place(b, from->tensors[i].name), from->tensors[i]);
    for (size_t i = 0; i < from->metas; i++)
        insert_meta(b, meta_place(b, from->meta[i].key), from->meta[i]);
    from->count = from->metas = 0;
    return STG_OK;
}

static bool length_name(char *buf, size_t cap, const char *name)
{
    const int n = snprintf(buf, cap, "%s.len", name);
    return n > 0 && (size_t)n < cap;
}

int32_t stg__bundle_put_names(stg_bundle *b, const char *name, uint32_t count,
                              const char *(*get)(const void *from, uint32_t i, size_t *len),
                              const void *from)
{
    char lengths_name[STG__BUNDLE_MAX_NAME + 1];
    if (!length_name(lengths_name, sizeof lengths_name, name))
        return STG_E_INVALID;
    size_t total = 0;
    size_t len = 0;
    for (uint32_t i = 0; i < count; i++) {
        get(from, i, &len);
        total += len;
    }
    char *bytes = (char *)stg__alloc(b->ctx, total);
    uint32_t *lengths = (uint32_t *)stg__calloc(b->ctx, count, sizeof *lengths);
    int32_t status = STG_E_NOMEM;
    if (bytes && lengths) {
        size_t at = 0;
        for (uint32_t i = 0; i < count; i++) {
            const char *text = get(from, i, &len);
            memcpy(bytes + at, text, len);
            at += len;
            lengths[i] = (uint32_t)len;
        }
        status = stg__bundle_put(b, name, STG__U8, 1, (uint64_t[]){total}, bytes);
        if (status == STG_OK)
            status = stg__bundle_put(b, lengths_name, STG__U32, 1, (uint64_t[]){count}, lengths);
    }
    stg__free(b->ctx, bytes);
    stg__free(b->ctx, lengths);
    return status;
}

int32_t stg__bundle_get_names(const stg_bundle *b, const char *name, stg__names *into,
                              stg_error *err)
{
    char lengths_name[STG__BUNDLE_MAX_NAME + 1];
    if (!length_name(lengths_name, sizeof lengths_name, name))
        return STG_E_INVALID;
    const uint64_t any = UINT64_MAX;
    const stg__tensor *text;
    const stg__tensor *lens;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, name, STG__U8, 1, &any, &text, err));
    STG_RETURN_IF_ERROR(stg__bundle_get(b, lengths_name, STG__U32, 1, &any, &lens, err));
    const uint32_t *lengths = (const uint32_t *)lens->data;
    size_t at = 0;
    for (uint64_t i = 0; i < lens->shape[0]; i++) {
        uint32_t id;
        if (lengths[i] > text->bytes - at)
            return stg__fail(err, STG_E_FORMAT, "names %s are cut short", name);
        const int32_t status = stg__names_add(into, (const char *)text->data + at, lengths[i], &id);
        if (status < 0)
            return stg__fail(err, status, "names %s: %s", name, stg_status_name(status));
        if (id != i)
            return stg__fail(err, STG_E_FORMAT, "names %s: number %llu stands there twice", name,
                             (unsigned long long)i);
        at += lengths[i];
    }
    return STG_OK;
}
