/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared immutable objects and the pools they live in. A stage takes an object from its pool, fills
 * it and hands it on; whoever drops the last reference, on any thread, returns it.
 */
#include <string.h>

#include "base_priv.h"

#define NO_SLOT UINT32_MAX /* an object beyond the pool's slots, straight from the allocator */

struct stg__pool {
    atomic_uint refs; /* the owner and every object that is out */
    stg_ctx *ctx;
    stg__pool_type type;
    uint32_t slots;
    uint32_t next;        /* where the search for a free slot goes on */
    atomic_uint *taken;   /* [slots] */
    stg__object **object; /* [slots], made when first taken */
};

const void *stg_ref(const void *object)
{
    stg__object *o = (stg__object *)(uintptr_t)object;
    if (o && o->magic == STG_OBJECT_MAGIC)
        atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return object;
}

void stg_unref(const void *object)
{
    stg__object *o = (stg__object *)(uintptr_t)object;
    if (!o || o->magic != STG_OBJECT_MAGIC)
        return;
    if (atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) == 1)
        o->release(o);
}

int32_t stg__pool_create(stg__pool **out, stg_ctx *ctx, const stg__pool_type *type, uint32_t slots)
{
    *out = NULL;
    stg__pool *pool = (stg__pool *)stg__calloc(ctx, 1, sizeof *pool);
    if (!pool)
        return STG_E_NOMEM;
    pool->taken = (atomic_uint *)stg__calloc(ctx, slots, sizeof *pool->taken);
    pool->object = (stg__object **)stg__calloc(ctx, slots, sizeof *pool->object);
    if (!pool->taken || !pool->object) {
        stg__free(ctx, pool->taken);
        stg__free(ctx, pool->object);
        stg__free(ctx, pool);
        return STG_E_NOMEM;
    }
    atomic_init(&pool->refs, 1);
    pool->ctx = stg__ctx_ref(ctx);
    pool->type = *type;
    pool->slots = slots;
    *out = pool;
    return STG_OK;
}

static void object_free(stg__pool *pool, stg__object *o)
{
    if (!o)
        return;
    if (pool->type.fini)
        pool->type.fini(pool->ctx, o);
    stg__free_aligned(pool->ctx, o);
}

static void pool_unref(stg__pool *pool)
{
    if (atomic_fetch_sub_explicit(&pool->refs, 1, memory_order_acq_rel) != 1)
        return;
    stg_ctx *ctx = pool->ctx;
    for (uint32_t i = 0; i < pool->slots; i++)
        object_free(pool, pool->object[i]);
    stg__free(ctx, pool->taken);
    stg__free(ctx, pool->object);
    stg__free(ctx, pool);
    stg__ctx_unref(ctx);
}

static void release(stg__object *o)
{
    stg__pool *pool = (stg__pool *)o->pool;
    if (pool->type.recycle)
        pool->type.recycle(o);
    if (o->slot == NO_SLOT)
        object_free(pool, o);
    else
        atomic_store_explicit(&pool->taken[o->slot], 0, memory_order_release);
    pool_unref(pool);
}

/* A free slot, marked as taken, or NO_SLOT. Only the owner takes, so a free slot stays free. */
static uint32_t find_slot(stg__pool *pool)
{
    for (uint32_t i = 0; i < pool->slots; i++) {
        const uint32_t slot = (pool->next + i) % pool->slots;
        if (atomic_load_explicit(&pool->taken[slot], memory_order_acquire))
            continue;
        pool->next = (slot + 1) % pool->slots;
        return slot;
    }
    return NO_SLOT;
}

stg__object *stg__pool_take(stg__pool *pool)
{
    const uint32_t slot = find_slot(pool);
    stg__object *o = slot == NO_SLOT ? NULL : pool->object[slot];
    if (!o) {
        o = (stg__object *)stg__alloc_aligned(pool->ctx, 1, pool->type.size);
        if (!o)
            return NULL;
        if (slot != NO_SLOT)
            pool->object[slot] = o;
    }
    if (slot != NO_SLOT)
        atomic_store_explicit(&pool->taken[slot], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&pool->refs, 1, memory_order_relaxed);
    o->magic = STG_OBJECT_MAGIC;
    o->kind = pool->type.kind;
    o->slot = slot;
    o->release = release;
    o->pool = pool;
    atomic_store_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

stg_ctx *stg__pool_ctx(const stg__pool *pool)
{
    return pool->ctx;
}

void stg__pool_destroy(stg__pool *pool)
{
    if (pool)
        pool_unref(pool);
}
