/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rooms above use of base: the context's allocator and log, shared objects and their
 * pools, hashes, random numbers, name tables, the text writer and the bundle's inner side.
 */
#ifndef STG_BASE_PRIV_H
#define STG_BASE_PRIV_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stgraph/base.h>

#define STG_ALIGN 64 /* a cache line, and the widest vector */

#define STG_RETURN_IF_ERROR(expression)                                                            \
    do {                                                                                           \
        const int32_t status_ = (expression);                                                      \
        if (status_ < 0)                                                                           \
            return status_;                                                                        \
    } while (0)

/* --- context ---------------------------------------------------------------------------------- */

struct stg_ctx {
    atomic_uint refs;
    stg_allocator allocator;
    stg_log_fn log;
    void *log_user;
    uint32_t log_level;
    uint64_t table_key[2];  /* random per process: keys of hash tables */
    uint64_t sketch_key[2]; /* per deployment: keys of client hashes and sketches */
    const volatile uint32_t *alive; /* a page that reads 0 in a child process */
};

stg_ctx *stg__ctx_ref(stg_ctx *ctx);
void stg__ctx_unref(stg_ctx *ctx);

/* True in a child of the process that made the context; costs one load. */
static inline bool stg__ctx_forked(const stg_ctx *ctx)
{
    return ctx->alive && *ctx->alive == 0;
}

void *stg__alloc(stg_ctx *ctx, size_t bytes);                       /* not zeroed */
void *stg__calloc(stg_ctx *ctx, size_t count, size_t bytes);        /* zeroed; overflow checked */
void *stg__realloc(stg_ctx *ctx, void *block, size_t count, size_t bytes); /* overflow checked */
void stg__free(stg_ctx *ctx, void *block);
/* Zeroed block at a multiple of STG_ALIGN; free with stg__free_aligned(). */
void *stg__alloc_aligned(stg_ctx *ctx, size_t count, size_t bytes);
void stg__free_aligned(stg_ctx *ctx, void *block);

void stg__log(const stg_ctx *ctx, uint32_t level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills *err when it is there; returns status, so that it can end a function. */
int32_t stg__fail(stg_error *err, int32_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int32_t stg__fail_line(stg_error *err, int32_t status, uint32_t line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/*
 * Copies a caller's options struct into the library's full-sized one: what the caller does not know
 * is zero, what the library does not know must be zero. NULL gives all zeros.
 */
int32_t stg__opts_read(void *to, size_t known, const void *from, const char *name, stg_error *err);

/* Copies the library's info struct out: not more than the caller's size field says. */
int32_t stg__info_write(void *to, void *from, size_t known);

/* --- shared objects and pools ----------------------------------------------------------------- */

#define STG_OBJECT_MAGIC 0x53544730u /* "STG0" */

typedef struct stg__object stg__object;
struct stg__object { /* first member of every shared immutable */
    uint32_t magic;
    uint32_t kind; /* STG__KIND_*: a wrong pointer gives an error, not a crash */
    atomic_uint refs;
    uint32_t slot;
    void (*release)(stg__object *object); /* called when the last reference goes */
    void *pool;
};

enum { STG__KIND_GRAPH = 1, STG__KIND_MODEL, STG__KIND_FORECAST, STG__KIND_REPORT, STG__KIND_PLAN };

static inline bool stg__is(const void *object, uint32_t kind)
{
    const stg__object *o = (const stg__object *)object;
    return o && o->magic == STG_OBJECT_MAGIC && o->kind == kind;
}

/*
 * A bounded set of reusable objects of one type. The owner takes, any thread gives back. When all
 * slots are out a further object comes from the allocator and returns to it. Buffers that an object
 * holds stay with it; `recycle` (may be NULL) runs when the last reference goes, `fini` (may be
 * NULL) before the memory goes.
 */
typedef struct stg__pool stg__pool;
typedef struct stg__pool_type {
    size_t size; /* of the object, stg__object first */
    uint32_t kind;
    void (*recycle)(stg__object *object);
    void (*fini)(stg_ctx *ctx, stg__object *object);
} stg__pool_type;

int32_t stg__pool_create(stg__pool **out, stg_ctx *ctx, const stg__pool_type *type, uint32_t slots);
stg__object *stg__pool_take(stg__pool *pool); /* one reference; NULL: out of memory */
stg_ctx *stg__pool_ctx(const stg__pool *pool);
void stg__pool_destroy(stg__pool *pool); /* objects that are out live on */

/* --- handles with a state --------------------------------------------------------------------- */

#define STG_HANDLE_MAGIC 0x53544831u /* "STH1" */
#define STG__STATE_PARTS 4u

/*
 * How a kind of handle saves what it is in the middle of, and takes it back: it is loaded into a twin,
 * a new object with the same options, and only when all of it was good do the two change places. What
 * is made of several parts loads all twins before it lets any take over.
 */
typedef struct stg__state_type {
    const char *prefix; /* of its tensors and metadata in a bundle: "state/.../" */
    uint32_t version;
    int32_t (*save)(const void *object, stg_bundle *bundle, stg_error *err);
    int32_t (*load)(const void *object, const stg_bundle *bundle, void **twin, stg_error *err);
    void (*swap)(void *object, void *twin); /* cannot fail */
    void (*destroy)(void *twin);
    const char *part[STG__STATE_PARTS]; /* further prefixes, of what it is made of */
} stg__state_type;

typedef struct stg__handle { /* first member of these handles */
    uint32_t magic; /* a wrong pointer gives an error, not a crash */
    const stg__state_type *type;
} stg__handle;

void stg__handle_init(stg__handle *handle, const stg__state_type *type);
/* The two halves of stg_state_restore(). */
int32_t stg__state_load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err);
void stg__state_swap(void *object, void *twin);

/* --- hashes, random numbers ------------------------------------------------------------------- */

uint64_t stg__siphash(const uint64_t key[2], const void *data, size_t len); /* SipHash-2-4 */

/* Philox4x32-10 (Salmon et al. 2011): a counter in, four random words out; no state. */
void stg__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A sequence of uniform numbers over Philox: (seed, stream) name it, index counts. */
typedef struct stg__rng {
    uint64_t seed;
    uint64_t stream;
    uint64_t index; /* blocks used */
    uint32_t block[4];
    uint32_t left; /* words left in block */
} stg__rng;
void stg__rng_init(stg__rng *rng, uint64_t seed, uint64_t stream);
uint32_t stg__rng_u32(stg__rng *rng);
uint32_t stg__rng_below(stg__rng *rng, uint32_t bound); /* unbiased; bound > 0 */
double stg__rng_unit(stg__rng *rng);                    /* (0, 1), 53 bits */
double stg__rng_normal(stg__rng *rng);

/* One uniform number in (0, 1) named by three numbers, without a sequence. */
double stg__uniform_at(uint64_t seed, uint64_t stream, uint64_t index);

/* --- names ------------------------------------------------------------------------------------ */

/* Table of names with dense ids in order of arrival; texts never move and end with NUL. */
typedef struct stg__names stg__names;
int32_t stg__names_create(stg__names **out, stg_ctx *ctx, uint32_t limit);
void stg__names_destroy(stg__names *names);
uint32_t stg__names_find(const stg__names *names, const char *name, size_t len); /* UINT32_MAX */
int32_t stg__names_add(stg__names *names, const char *name, size_t len, uint32_t *id);
uint32_t stg__names_count(const stg__names *names);
const char *stg__names_get(const stg__names *names, uint32_t id, size_t *len);
int stg__name_compare(const char *a, size_t alen, const char *b, size_t blen);

/* --- text ------------------------------------------------------------------------------------- */

/* Writes text into a caller's buffer and counts on when it is full. */
typedef struct stg__text {
    char *buf;
    size_t cap;
    size_t len; /* needed so far */
} stg__text;
void stg__text_init(stg__text *text, char *buf, size_t cap);
void stg__text_bytes(stg__text *text, const char *bytes, size_t len);
void stg__text_str(stg__text *text, const char *str);
void stg__text_u64(stg__text *text, uint64_t value);
void stg__text_i64(stg__text *text, int64_t value);
void stg__text_num(stg__text *text, double value, int digits);            /* %.*g; null if not finite */
void stg__text_json(stg__text *text, const char *str, size_t len);        /* quoted and escaped */
bool stg__utf8(const char *str, size_t len); /* well formed */
int32_t stg__text_end(stg__text *text, size_t *len); /* STG_OK or STG_MORE; terminates with NUL */

/* --- bundle ----------------------------------------------------------------------------------- */

enum { STG__F32 = 1, STG__F64, STG__I32, STG__U32, STG__I64, STG__U64, STG__U8 };
#define STG__MAX_DIMS 4

typedef struct stg__tensor {
    const char *name;
    uint32_t dtype; /* STG__F32 ... */
    uint32_t dims;
    uint64_t shape[STG__MAX_DIMS];
    const void *data; /* 64-byte aligned */
    size_t bytes;
} stg__tensor;

stg_ctx *stg__bundle_ctx(const stg_bundle *bundle);
size_t stg__bundle_count(const stg_bundle *bundle);
const stg__tensor *stg__bundle_at(const stg_bundle *bundle, size_t index);
const stg__tensor *stg__bundle_find(const stg_bundle *bundle, const char *name);
/* Finds a tensor of this type and these dims (UINT64_MAX in shape: any length there). */
int32_t stg__bundle_get(const stg_bundle *bundle, const char *name, uint32_t dtype, uint32_t dims,
                        const uint64_t *shape, const stg__tensor **out, stg_error *err);
int32_t stg__bundle_put(stg_bundle *bundle, const char *name, uint32_t dtype, uint32_t dims,
                        const uint64_t *shape, const void *data);
/* Metadata are texts; values are borrowed until the bundle changes. */
const char *stg__bundle_meta(const stg_bundle *bundle, const char *key);
int32_t stg__bundle_set_meta(stg_bundle *bundle, const char *key, const char *value);
int32_t stg__bundle_meta_u64(const stg_bundle *bundle, const char *key, uint64_t *value);
int32_t stg__bundle_set_meta_u64(stg_bundle *bundle, const char *key, uint64_t value);
int32_t stg__bundle_meta_num(const stg_bundle *bundle, const char *key, double *value);
int32_t stg__bundle_set_meta_num(stg_bundle *bundle, const char *key, double value);
void stg__bundle_drop(stg_bundle *bundle, const char *prefix); /* tensors and metadata under it */
/* Room for all of `from` beside what is there: stg__bundle_replace() then cannot fail. */
int32_t stg__bundle_reserve(stg_bundle *bundle, const stg_bundle *from);
/* Moves all of `from`, which is of the same context and holds nothing that is there but under prefix, in
 * place of what is there under it. On E_NOMEM both are as they were. */
int32_t stg__bundle_replace(stg_bundle *bundle, const char *prefix, stg_bundle *from);
/* A list of names as two tensors: NAME (bytes in a row) and NAME.len (their lengths). */
int32_t stg__bundle_put_names(stg_bundle *bundle, const char *name, uint32_t count,
                              const char *(*get)(const void *from, uint32_t i, size_t *len),
                              const void *from);
int32_t stg__bundle_get_names(const stg_bundle *bundle, const char *name, stg__names *into,
                              stg_error *err);

/* The same under a prefix, for saved state; cols 0 means one dimension. */
#define STG__KEY_MAX 160
const char *stg__key(char out[STG__KEY_MAX], const char *prefix, const char *name);
int32_t stg__put(stg_bundle *bundle, const char *prefix, const char *name, uint32_t dtype,
                 uint64_t rows, uint64_t cols, const void *data);
int32_t stg__get(const stg_bundle *bundle, const char *prefix, const char *name, uint32_t dtype,
                 uint64_t rows, uint64_t cols, const stg__tensor **out, stg_error *err);
int32_t stg__put_number(stg_bundle *bundle, const char *prefix, const char *name, uint64_t value);
/* Errors: E_FORMAT when it is missing, no number, or beyond most. */
int32_t stg__get_number(const stg_bundle *bundle, const char *prefix, const char *name,
                        uint64_t most, uint64_t *value, stg_error *err);
typedef struct stg__number {
    const char *name;
    uint64_t value;
} stg__number;
int32_t stg__put_numbers(stg_bundle *bundle, const char *prefix, const stg__number *number,
                         uint32_t count);
int32_t stg__put_names(stg_bundle *bundle, const char *prefix, const char *name,
                       const stg__names *names);
int32_t stg__get_names(const stg_bundle *bundle, const char *prefix, const char *name,
                       stg__names *into, stg_error *err);
/* One more piece into a digest that is the same in every process; begins with 0. */
uint64_t stg__mix_digest(uint64_t h, const void *data, size_t len);
/* Of the tensors under a prefix: tells whether a state goes with a model. */
uint64_t stg__digest(const stg_bundle *bundle, const char *prefix);

#endif
