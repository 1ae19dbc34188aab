/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tensors out of storages: what a checkpoint says of a tensor (storage, offset, sizes, strides) is
 * checked against the entry that holds the storage and against what may come out in all, and only
 * then memory is asked for and the items are gathered in order.
 */
#include <string.h>

#include "torch_priv.h"

typedef struct source {
    const char *name; /* of the storage's class in module torch */
    uint32_t dtype;   /* what it becomes */
    uint32_t from;    /* bytes of an item there */
    uint32_t to;      /* and in the bundle */
} source;

/* Only types that are widened change their number of bytes; the shift makes bfloat16 a float. */
static const source sources[] = {
    {"FloatStorage", STG__F32, 4, 4}, {"DoubleStorage", STG__F64, 8, 8},
    {"HalfStorage", STG__F32, 2, 4},  {"BFloat16Storage", STG__F32, 2, 4},
    {"LongStorage", STG__I64, 8, 8},  {"IntStorage", STG__I32, 4, 4},
    {"ByteStorage", STG__U8, 1, 1},   {"BoolStorage", STG__U8, 1, 1},
};
#define HALF (&sources[2])

typedef struct view {
    const char *path;
    const source *type;
    const unsigned char *data; /* of the storage */
    uint64_t count;            /* its items */
    uint64_t offset;
    uint32_t dims;
    uint64_t size[STG__MAX_DIMS];
    uint64_t stride[STG__MAX_DIMS];
    uint64_t items; /* that come out */
    uint64_t bytes;
} view;

static int32_t fail_tensor(const stg__torch *t, const char *path, const char *what)
{
    return stg__fail(t->err, STG_E_FORMAT, "tensor %.160s: %s", path, what);
}

static bool read_whole(const stg__pickle *p, uint32_t index, uint64_t *number)
{
    const stg__pvalue *v = stg__pickle_at(p, index);
    if (v->kind != STG__P_INT || v->is.whole < 0)
        return false;
    *number = (uint64_t)v->is.whole;
    return true;
}

static bool read_wholes(const stg__pickle *p, uint32_t index, uint32_t count, uint64_t *numbers)
{
    if (!stg__pickle_is(p, index, STG__P_TUPLE) || stg__pickle_at(p, index)->count != count)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (!read_whole(p, stg__pickle_item(p, index, i), &numbers[i]))
            return false;
    return true;
}

static int32_t read_shape(const stg__torch *t, uint32_t args, view *v)
{
    const stg__pickle *p = &t->pickle;
    const uint32_t sizes = stg__pickle_item(p, args, 2);
    if (!stg__pickle_is(p, sizes, STG__P_TUPLE))
        return fail_tensor(t, v->path, "its sizes are malformed");
    v->dims = stg__pickle_at(p, sizes)->count;
    if (v->dims > STG__MAX_DIMS)
        return fail_tensor(t, v->path, "it has more than 4 dimensions");
    if (!read_wholes(p, sizes, v->dims, v->size) ||
        !read_wholes(p, stg__pickle_item(p, args, 3), v->dims, v->stride) ||
        !read_whole(p, stg__pickle_item(p, args, 1), &v->offset))
        return fail_tensor(t, v->path, "sizes, strides or offset are malformed or negative");
    return STG_OK;
}

static int32_t read_type(const stg__torch *t, uint32_t type, view *v)
{
    const stg__pickle *p = &t->pickle;
    if (!stg__pickle_is(p, type, STG__P_GLOBAL))
        return fail_tensor(t, v->path, "its storage has no type");
    const stg__pvalue *g = stg__pickle_at(p, type);
    const stg__pvalue *name = stg__pickle_at(p, g->is.global.name);
    if (stg__pickle_says(p, g->is.global.module, "torch"))
        for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
            if (stg__pickle_says(p, g->is.global.name, sources[i].name))
                v->type = &sources[i];
    char shown[STG__TORCH_SHOWN];
    if (!v->type)
        return stg__fail(t->err, STG_E_FORMAT, "tensor %.100s: a storage of type %.60s is not read",
                         v->path, stg__torch_shown(shown, name->is.text, name->count));
    return STG_OK;
}

/* What comes out has to stay below the limit together with all before it. */
static int32_t count_items(stg__torch *t, view *v)
{
    v->items = 1;
    for (uint32_t i = 0; i < v->dims; i++)
        if (v->size[i] == 0)
            v->items = 0;
    for (uint32_t i = 0; i < v->dims && v->items; i++)
        if (__builtin_mul_overflow(v->items, v->size[i], &v->items) ||
            v->items > STG__TORCH_MAX_BYTES)
            v->items = STG__TORCH_MAX_BYTES + 1;
    v->bytes = v->items * v->type->to;
    if (v->bytes > STG__TORCH_MAX_BYTES - t->bytes)
        return stg__fail(t->err, STG_E_LIMIT, "tensor %.160s: with it, more than 1 GiB of tensors",
                         v->path);
    t->bytes += v->bytes;
    return STG_OK;
}

/* The last item that is asked for has to lie in the storage. */
static int32_t check_extent(const stg__torch *t, const view *v)
{
    uint64_t last = v->offset;
    for (uint32_t i = 0; i < v->dims; i++) {
        uint64_t step;
        if (__builtin_mul_overflow(v->size[i] - 1, v->stride[i], &step) ||
            __builtin_add_overflow(last, step, &last))
            return fail_tensor(t, v->path, "it reaches beyond its storage");
    }
    return last < v->count ? STG_OK : fail_tensor(t, v->path, "it reaches beyond its storage");
}

static int32_t read_storage(stg__torch *t, uint32_t id, view *v)
{
    const stg__pickle *p = &t->pickle;
    const stg__pvalue *key = stg__pickle_at(p, stg__pickle_item(p, id, 2));
    if (key->kind != STG__P_TEXT || !read_whole(p, stg__pickle_item(p, id, 4), &v->count))
        return fail_tensor(t, v->path, "its storage is malformed");
    STG_RETURN_IF_ERROR(count_items(t, v));
    if (v->items == 0) /* nothing is asked of it */
        return STG_OK;
    STG_RETURN_IF_ERROR(check_extent(t, v));
    stg__zip_entry *entry = stg__torch_entry(t, "data/", key->is.text, key->count);
    if (!entry)
        return fail_tensor(t, v->path, "its storage is missing");
    if (v->count > entry->size / v->type->from)
        return fail_tensor(t, v->path, "its storage is shorter than it should be");
    return stg__zip_bytes(&t->zip, entry, &v->data, t->err);
}

static bool contiguous(const view *v)
{
    uint64_t expected = 1;
    for (uint32_t i = v->dims; i-- > 0;) {
        if (v->size[i] != 1 && v->stride[i] != expected)
            return false;
        expected *= v->size[i];
    }
    return true;
}

uint32_t stg__torch_half(uint32_t half)
{
    const uint32_t sign = (half & 0x8000u) << 16;
    uint32_t exponent = half >> 10 & 31;
    uint32_t mantissa = half & 0x3ff;
    if (exponent == 31)
        return sign | 0x7f800000u | mantissa << 13;
    if (exponent == 0 && mantissa == 0)
        return sign;
    if (exponent == 0) { /* floats reach further down: the leading bit becomes the hidden one */
        exponent = 1;
        while (!(mantissa & 0x400)) {
            mantissa <<= 1;
            exponent--;
        }
        mantissa &= 0x3ff;
    }
    return sign | (exponent + 112) << 23 | mantissa << 13;
}

/* Items of one row, `step` bytes apart. */
static void copy_row(const source *type, unsigned char *to, const unsigned char *from, uint64_t step,
                     uint64_t items)
{
    if (type->from == type->to) {
        for (uint64_t i = 0; i < items; i++, to += type->to, from += step)
            memcpy(to, from, type->from);
        return;
    }
    for (uint64_t i = 0; i < items; i++, to += type->to, from += step) {
        const uint32_t small = stg__le16(from);
        const uint32_t bits = type == HALF ? stg__torch_half(small) : small << 16;
        memcpy(to, &bits, sizeof bits);
    }
}

static void copy_items(const view *v, unsigned char *to)
{
    uint64_t size[STG__MAX_DIMS] = {1, 1, 1, 1};
    uint64_t step[STG__MAX_DIMS] = {0}; /* in bytes; of a dimension of one item it is never used */
    for (uint32_t i = 0; i < v->dims; i++) {
        const uint32_t at = STG__MAX_DIMS - v->dims + i;
        size[at] = v->size[i];
        step[at] = v->size[i] > 1 ? v->stride[i] * v->type->from : 0;
    }
    const unsigned char *from = v->data + v->offset * v->type->from;
    const uint64_t row = size[3] * v->type->to;
    for (uint64_t a = 0; a < size[0]; a++)
        for (uint64_t b = 0; b < size[1]; b++)
            for (uint64_t c = 0; c < size[2]; c++, to += row)
                copy_row(v->type, to, from + a * step[0] + b * step[1] + c * step[2], step[3],
                         size[3]);
}

static int32_t put_view(stg__torch *t, view *v)
{
    const void *data = v->data;
    unsigned char *made = NULL;
    if (v->items && v->type->from == v->type->to && contiguous(v)) {
        data = v->data + v->offset * v->type->from;
    } else if (v->items) {
        data = made = (unsigned char *)stg__alloc(t->ctx, (size_t)v->bytes);
        if (!made)
            return stg__fail(t->err, STG_E_NOMEM, "tensor %.160s: out of memory", v->path);
        copy_items(v, made);
    }
    if (v->dims == 0)
        v->size[v->dims++] = 1;
    const int32_t status =
        stg__bundle_put(t->bundle, v->path, v->type->dtype, v->dims, v->size, data);
    stg__free(t->ctx, made);
    if (status == STG_E_NOMEM)
        return stg__fail(t->err, STG_E_NOMEM, "tensor %.160s: out of memory", v->path);
    return status == STG_OK ? STG_OK /* it may be empty and yet have a dimension beyond all sense */
                            : stg__fail(t->err, STG_E_LIMIT, "tensor %.160s: too large", v->path);
}

int32_t stg__torch_tensor(stg__torch *t, const char *path, uint32_t index)
{
    const stg__pickle *p = &t->pickle;
    const stg__pvalue *tensor = stg__pickle_at(p, index);
    const uint32_t args = tensor->is.args;
    view v = {.path = path};
    if (tensor->what == STG__CALL_TENSOR_V3)
        return fail_tensor(t, path, "it is of a newer type that is not read (uint16, float8, ...)");
    if (stg__pickle_at(p, args)->count < 4 ||
        !stg__pickle_is(p, stg__pickle_item(p, args, 0), STG__P_STORAGE))
        return fail_tensor(t, path, "it is malformed");
    const uint32_t id = stg__pickle_at(p, stg__pickle_item(p, args, 0))->is.args;
    STG_RETURN_IF_ERROR(read_type(t, stg__pickle_item(p, id, 1), &v));
    STG_RETURN_IF_ERROR(read_shape(t, args, &v));
    STG_RETURN_IF_ERROR(read_storage(t, id, &v));
    return put_view(t, &v);
}
