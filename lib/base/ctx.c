/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The context: allocator, log, keys, and the page that tells a child process from its parent. Every
 * object holds a reference of its context, so that the caller may let go of it at any time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base_priv.h"

static void *default_alloc(size_t bytes, void *user)
{
    return malloc(bytes);
}

static void *default_realloc(void *block, size_t bytes, void *user)
{
    return realloc(block, bytes);
}

static void default_free(void *block, void *user)
{
    free(block);
}

static const stg_allocator default_allocator = {default_alloc, default_realloc, default_free, NULL};

/* A page that the kernel empties in every child (Linux 4.14 on); NULL where it cannot. */
static const volatile uint32_t *alive_page(void)
{
    const size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        return NULL;
    if (madvise(page, bytes, MADV_WIPEONFORK) != 0) {
        munmap(page, bytes);
        return NULL;
    }
    *(uint32_t *)page = 1;
    return (const volatile uint32_t *)page;
}

static void random_key(uint64_t key[2], const void *salt)
{
    if (getrandom(key, 16, GRND_NONBLOCK) == 16)
        return;
    /* No entropy yet, at early boot: addresses and the pid are better than a constant. */
    key[0] = (uint64_t)(uintptr_t)salt * 0x9e3779b97f4a7c15u;
    key[1] = (uint64_t)(uintptr_t)&key ^ ((uint64_t)getpid() << 32);
}

int32_t stg_ctx_create(stg_ctx **out, const stg_ctx_opts *opts)
{
    if (!out)
        return STG_E_INVALID;
    *out = NULL;
    stg_ctx_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_ctx_opts", NULL));
    const stg_allocator *a = o.allocator ? o.allocator : &default_allocator;
    if (!a->alloc || !a->realloc || !a->free)
        return STG_E_INVALID;

    stg_ctx *ctx = (stg_ctx *)a->alloc(sizeof *ctx, a->user);
    if (!ctx)
        return STG_E_NOMEM;
    memset(ctx, 0, sizeof *ctx);
    atomic_init(&ctx->refs, 1);
    ctx->allocator = *a;
    ctx->log = o.log;
    ctx->log_user = o.log_user;
    ctx->log_level = o.log_level ? o.log_level : STG_LOG_WARN;
    random_key(ctx->table_key, ctx);
    ctx->sketch_key[0] = o.sketch_key ? o.sketch_key : 0x5354677261706831u;
    ctx->sketch_key[1] = ctx->sketch_key[0] * 0x9e3779b97f4a7c15u + 1;
    ctx->alive = alive_page();
    *out = ctx;
    return STG_OK;
}

void stg_ctx_destroy(stg_ctx *ctx)
{
    stg__ctx_unref(ctx);
}

stg_ctx *stg__ctx_ref(stg_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void stg__ctx_unref(stg_ctx *ctx)
{
    if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (ctx->alive)
        munmap((void *)(uintptr_t)ctx->alive, (size_t)sysconf(_SC_PAGESIZE));
    const stg_allocator a = ctx->allocator;
    a.free(ctx, a.user);
}

void *stg__alloc(stg_ctx *ctx, size_t bytes)
{
    return ctx->allocator.alloc(bytes ? bytes : 1, ctx->allocator.user);
}

void *stg__calloc(stg_ctx *ctx, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    void *block = stg__alloc(ctx, total);
    if (block)
        memset(block, 0, total);
    return block;
}

void *stg__realloc(stg_ctx *ctx, void *block, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total))
        return NULL;
    return ctx->allocator.realloc(block, total ? total : 1, ctx->allocator.user);
}

void stg__free(stg_ctx *ctx, void *block)
{
    if (block)
        ctx->allocator.free(block, ctx->allocator.user);
}

void *stg__alloc_aligned(stg_ctx *ctx, size_t count, size_t bytes)
{
    size_t total;
    if (__builtin_mul_overflow(count, bytes, &total) || total > SIZE_MAX - 2 * STG_ALIGN)
        return NULL;
    char *raw = (char *)stg__alloc(ctx, total + 2 * STG_ALIGN);
    if (!raw)
        return NULL;
    char *block = raw + STG_ALIGN;
    block += (STG_ALIGN - (uintptr_t)block % STG_ALIGN) % STG_ALIGN;
    ((void **)(void *)block)[-1] = raw; /* where the raw block began */
    memset(block, 0, total);
    return block;
}

void stg__free_aligned(stg_ctx *ctx, void *block)
{
    if (block)
        stg__free(ctx, ((void **)block)[-1]);
}

void stg__log(const stg_ctx *ctx, uint32_t level, const char *format, ...)
{
    if (!ctx->log || level > ctx->log_level)
        return;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ctx->log(level, text, ctx->log_user);
}
