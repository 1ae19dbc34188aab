/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a bundle, shared by its three source files. */
#ifndef STG_BUNDLE_PRIV_H
#define STG_BUNDLE_PRIV_H

#include "base_priv.h"

#define STG__BUNDLE_MAX_BYTES ((size_t)1 << 30)
#define STG__BUNDLE_MAX_HEADER ((size_t)16 << 20)
#define STG__BUNDLE_MAX_ENTRIES 65536u
#define STG__BUNDLE_MAX_NAME 511u

typedef struct stg__meta {
    char *key;
    char *value;
} stg__meta;

struct stg_bundle {
    stg_ctx *ctx;
    stg__tensor *tensors; /* sorted by name; each owns its name and data */
    size_t count;
    size_t cap;
    stg__meta *meta; /* sorted by key */
    size_t metas;
    size_t meta_cap;
};

typedef struct stg__dtype {
    uint32_t dtype;
    uint32_t bytes;
    const char *name; /* as safetensors writes it */
} stg__dtype;

const stg__dtype *stg__dtype_of(uint32_t dtype);
const stg__dtype *stg__dtype_named(const char *name);

/* Number of bytes of a tensor; false when it overflows the limit of a bundle. */
bool stg__tensor_bytes(uint32_t item, uint32_t dims, const uint64_t *shape, size_t *bytes);

/* Whether the text begins with a JSON value; it is at most a few levels deep. */
bool stg__is_json(const char *text, size_t len);

#endif
