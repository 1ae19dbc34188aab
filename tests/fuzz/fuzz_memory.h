/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An allocator for fuzz targets: bounded, so that an input cannot ask for all memory, and failing
 * from the n-th request on when told to. A leak or a double free ends the program.
 */
#ifndef STG_FUZZ_MEMORY_H
#define STG_FUZZ_MEMORY_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stgraph/base.h>

#define FUZZ_MEMORY_MAX ((size_t)256 << 20)

typedef struct fuzz_memory {
    size_t requests;
    size_t fail_from; /* 0: never */
    size_t live;      /* blocks */
    size_t bytes;
} fuzz_memory;

typedef union fuzz_block {
    size_t bytes;
    max_align_t align;
} fuzz_block;

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline int fuzz_refuses(fuzz_memory *m, size_t bytes)
{
    m->requests++;
    return (m->fail_from && m->requests >= m->fail_from) || bytes > FUZZ_MEMORY_MAX - m->bytes;
}

static inline void *fuzz_alloc(size_t bytes, void *user)
{
    fuzz_memory *m = (fuzz_memory *)user;
    fuzz_block *block = fuzz_refuses(m, bytes) ? NULL : (fuzz_block *)malloc(sizeof *block + bytes);
    if (!block)
        return NULL;
    block->bytes = bytes;
    m->bytes += bytes;
    m->live++;
    return block + 1;
}

static inline void fuzz_free(void *data, void *user)
{
    fuzz_memory *m = (fuzz_memory *)user;
    if (!data)
        return;
    fuzz_block *block = (fuzz_block *)data - 1;
    FUZZ_CHECK(m->live > 0 && m->bytes >= block->bytes);
    m->bytes -= block->bytes;
    m->live--;
    free(block);
}

static inline void *fuzz_realloc(void *data, size_t bytes, void *user)
{
    void *moved = fuzz_alloc(bytes, user);
    if (!moved || !data)
        return moved;
    const size_t old = ((fuzz_block *)data - 1)->bytes;
    memcpy(moved, data, old < bytes ? old : bytes);
    fuzz_free(data, user);
    return moved;
}

/* A context on this memory; NULL when it fails at once. */
static inline stg_ctx *fuzz_ctx(fuzz_memory *m, size_t fail_from)
{
    const stg_allocator allocator = {fuzz_alloc, fuzz_realloc, fuzz_free, m};
    const stg_ctx_opts opts = {.size = sizeof opts, .allocator = &allocator};
    stg_ctx *ctx = NULL;
    *m = (fuzz_memory){.fail_from = fail_from};
    FUZZ_CHECK((stg_ctx_create(&ctx, &opts) == STG_OK) == (ctx != NULL));
    return ctx;
}

/* A small number drawn from the input, to choose which request for memory fails. */
static inline size_t fuzz_draw(const uint8_t *data, size_t size, size_t bound)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 16777619u;
    return hash % bound;
}

#endif
