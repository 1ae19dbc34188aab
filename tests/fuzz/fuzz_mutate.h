/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spoils a good bundle as the input orders: a tensor's values, type, shape or name, a text of the
 * metadata; drops and doubles. What comes out is a bundle that holds together as a file, so that it
 * gets past the file's checks to those of the rooms.
 */
#ifndef STG_FUZZ_MUTATE_H
#define STG_FUZZ_MUTATE_H

#include "bundle_priv.h"
#include "fuzz_input.h"

#define FUZZ_TENSOR_MAX 4096u /* items that a changed shape may ask for */

/* One number of the tensor, as its type has it. */
static inline void fuzz_mutate_value(stg__tensor *t, fuzz_input *in)
{
    static const uint64_t whole[] = {0, 1, 2, 3, 7, 255, 65535, 0x7fffffff, 0x80000000, 0xffffffff,
                                     UINT64_C(1) << 32, UINT64_MAX, UINT64_MAX - 1};
    const stg__dtype *type = stg__dtype_of(t->dtype);
    const size_t items = t->bytes / type->bytes;
    const uint16_t place = fuzz_u16(in);
    if (!items)
        return;
    uint8_t *at = (uint8_t *)(uintptr_t)t->data + place % items * type->bytes;
    const double number = fuzz_value(in);
    const float small = (float)number;
    const uint64_t integer = whole[place / 7 % (sizeof whole / sizeof *whole)];
    if (t->dtype == STG__F64)
        memcpy(at, &number, sizeof number);
    else if (t->dtype == STG__F32)
        memcpy(at, &small, sizeof small);
    else
        memcpy(at, &integer, type->bytes);
}

/* The whole tensor, to one number or scaled. */
static inline void fuzz_mutate_all(stg__tensor *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    const double number = fuzz_value(in);
    double *d = (double *)(uintptr_t)t->data;
    float *f = (float *)(uintptr_t)t->data;
    for (size_t i = 0; t->dtype == STG__F64 && i < t->bytes / sizeof *d; i++)
        d[i] = how & 1 ? number : d[i] * number;
    for (size_t i = 0; t->dtype == STG__F32 && i < t->bytes / sizeof *f; i++)
        f[i] = how & 1 ? (float)number : (float)((double)f[i] * number);
    if (t->dtype != STG__F64 && t->dtype != STG__F32)
        memset((void *)(uintptr_t)t->data, how, t->bytes);
}

/* Another shape or type with as many of the old bytes as fit. */
static inline void fuzz_mutate_shape(stg_bundle *b, const stg__tensor *t, const char *name,
                                     fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    const uint32_t dtype = how & 1 ? 1u + fuzz_u8(in) % 7 : t->dtype;
    const stg__dtype *type = stg__dtype_of(dtype);
    const uint32_t dims = how & 2 ? fuzz_u8(in) % (STG__MAX_DIMS + 1u) : t->dims;
    uint64_t shape[STG__MAX_DIMS] = {1, 1, 1, 1};
    size_t bytes = 0;
    memcpy(shape, t->shape, t->dims * sizeof *shape);
    if (how & 4) {
        const uint8_t step = fuzz_u8(in);
        shape[step % STG__MAX_DIMS] += step / 4 == 0 ? (uint64_t)-1 : step / 4;
    }
    if (!type || !stg__tensor_bytes(type->bytes, dims, shape, &bytes) ||
        bytes > FUZZ_TENSOR_MAX * 8 + t->bytes)
        return;
    uint8_t *data = (uint8_t *)calloc(1, bytes + 1);
    FUZZ_CHECK(data);
    memcpy(data, t->data, bytes < t->bytes ? bytes : t->bytes);
    stg__bundle_put(b, name, dtype, dims, shape, data);
    free(data);
}

/* A text of the metadata: another number, any bytes, or gone. */
static inline void fuzz_mutate_meta(stg_bundle *b, fuzz_input *in)
{
    static const char *const texts[] = {
        "",  "0", "1", "2",  "3",     "4",          "64",         "1024",  "1025", "4294967295",
        "-1", "4294967296",  "18446744073709551615", "18446744073709551616", "1000000",
        "5000000000", "7ff8000000000000", "0000000000000000", "persistence", "seasonal", "dcrnn",
        "gru", "1.5", " 1", "\xc3\xa9", "random_walk", "laplacian", "port_reversed", "carry",
    };
    char key[STG__BUNDLE_MAX_NAME + 1];
    char any[FUZZ_NAME_ROOM + 1];
    if (!b->metas)
        return;
    stg__meta *m = &b->meta[fuzz_u8(in) % b->metas];
    const uint8_t how = fuzz_u8(in);
    const size_t count = sizeof texts / sizeof *texts;
    snprintf(key, sizeof key, "%s", m->key);
    if (how == 255) {
        stg__bundle_drop(b, key);
        return;
    }
    if (how >= count)
        any[fuzz_name(in, any)] = '\0';
    stg__bundle_set_meta(b, key, how < count ? texts[how] : any);
}

/* The bytes of another tensor under this one's name. */
static inline void fuzz_mutate_copy(stg_bundle *b, const char *name, fuzz_input *in)
{
    const stg__tensor *from = stg__bundle_at(b, fuzz_u8(in) % b->count);
    if (strcmp(from->name, name) != 0)
        stg__bundle_put(b, name, from->dtype, from->dims, from->shape, from->data);
}

/* One order. The tensors are those whose names begin with prefix, if there are any. */
static inline void fuzz_mutate(stg_bundle *b, const char *prefix, fuzz_input *in)
{
    char name[STG__BUNDLE_MAX_NAME + 1];
    const uint8_t how = fuzz_u8(in);
    size_t place = fuzz_u8(in);
    if (how % 8 == 0 || !b->count) {
        fuzz_mutate_meta(b, in);
        return;
    }
    for (size_t i = 0; i < b->count; i++) /* the place-th of them, counted around */
        if (strncmp(b->tensors[(place + i) % b->count].name, prefix, strlen(prefix)) == 0) {
            place = (place + i) % b->count;
            break;
        }
    stg__tensor *t = &b->tensors[place % b->count];
    snprintf(name, sizeof name, "%s", t->name);
    switch (how % 8) {
    case 1:
    case 2:
    case 3:
        fuzz_mutate_value(t, in);
        break;
    case 4:
        fuzz_mutate_all(t, in);
        break;
    case 5:
        fuzz_mutate_shape(b, t, name, in);
        break;
    case 6:
        stg__bundle_drop(b, name);
        break;
    default:
        fuzz_mutate_copy(b, name, in);
    }
}

#endif
