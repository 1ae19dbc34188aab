/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Name tables: bytes to dense ids and back. Names are hashed once, when interned, with a key that is
 * random per process, so that nobody outside can make them collide on purpose.
 */
#include <string.h>

#include "base_priv.h"

#define CHUNK 16384u

typedef struct chunk {
    struct chunk *next;
    size_t used;
    size_t cap;
} chunk; /* the bytes follow */

typedef struct entry {
    const char *text;
    uint64_t hash;
    uint32_t len;
} entry;

struct stg__names {
    stg_ctx *ctx;
    uint32_t limit;
    uint32_t count;
    uint32_t cap;   /* of entries */
    uint32_t slots; /* of the table, a power of two */
    entry *entries;
    uint32_t *table; /* id + 1; 0: free */
    chunk *chunks;
};

int32_t stg__names_create(stg__names **out, stg_ctx *ctx, uint32_t limit)
{
    *out = NULL;
    stg__names *n = (stg__names *)stg__calloc(ctx, 1, sizeof *n);
    if (!n)
        return STG_E_NOMEM;
    n->slots = 64;
    n->table = (uint32_t *)stg__calloc(ctx, n->slots, sizeof *n->table);
    if (!n->table) {
        stg__free(ctx, n);
        return STG_E_NOMEM;
    }
    n->ctx = stg__ctx_ref(ctx);
    n->limit = limit;
    *out = n;
    return STG_OK;
}

void stg__names_destroy(stg__names *n)
{
    if (!n)
        return;
    stg_ctx *ctx = n->ctx;
    for (chunk *c = n->chunks; c;) {
        chunk *next = c->next;
        stg__free(ctx, c);
        c = next;
    }
    stg__free(ctx, n->entries);
    stg__free(ctx, n->table);
    stg__free(ctx, n);
    stg__ctx_unref(ctx);
}

static uint32_t slot_of(const stg__names *n, uint64_t hash, const char *name, size_t len)
{
    uint32_t slot = (uint32_t)hash & (n->slots - 1);
    while (n->table[slot]) {
        const entry *e = &n->entries[n->table[slot] - 1];
        if (e->hash == hash && e->len == len && memcmp(e->text, name, len) == 0)
            return slot;
        slot = (slot + 1) & (n->slots - 1);
    }
    return slot;
}

uint32_t stg__names_find(const stg__names *n, const char *name, size_t len)
{
    const uint32_t slot = slot_of(n, stg__siphash(n->ctx->table_key, name, len), name, len);
    return n->table[slot] ? n->table[slot] - 1 : UINT32_MAX;
}

static int32_t grow_table(stg__names *n)
{
    const uint32_t slots = n->slots * 2;
    uint32_t *table = (uint32_t *)stg__calloc(n->ctx, slots, sizeof *table);
    if (!table)
        return STG_E_NOMEM;
    for (uint32_t id = 0; id < n->count; id++) {
        uint32_t slot = (uint32_t)n->entries[id].hash & (slots - 1);
        while (table[slot])
            slot = (slot + 1) & (slots - 1);
        table[slot] = id + 1;
    }
    stg__free(n->ctx, n->table);
    n->table = table;
    n->slots = slots;
    return STG_OK;
}

static char *take_bytes(stg__names *n, size_t bytes)
{
    chunk *c = n->chunks;
    if (!c || c->cap - c->used < bytes) {
        const size_t cap = bytes > CHUNK ? bytes : CHUNK;
        c = (chunk *)stg__alloc(n->ctx, sizeof *c + cap);
        if (!c)
            return NULL;
        c->next = n->chunks;
        c->used = 0;
        c->cap = cap;
        n->chunks = c;
    }
    char *at = (char *)(c + 1) + c->used;
    c->used += bytes;
    return at;
}

int32_t stg__names_add(stg__names *n, const char *name, size_t len, uint32_t *id)
{
    const uint64_t hash = stg__siphash(n->ctx->table_key, name, len);
    uint32_t slot = slot_of(n, hash, name, len);
    if (n->table[slot]) {
        *id = n->table[slot] - 1;
        return STG_OK;
    }
    if (n->count >= n->limit)
        return STG_E_LIMIT;
    if (n->count == n->cap) {
        const uint32_t cap = n->cap ? n->cap * 2 : 32;
        entry *entries = (entry *)stg__realloc(n->ctx, n->entries, cap, sizeof *entries);
        if (!entries)
            return STG_E_NOMEM;
        n->entries = entries;
        n->cap = cap;
    }
    if (n->count + 1 > n->slots / 2) {
        STG_RETURN_IF_ERROR(grow_table(n));
        slot = slot_of(n, hash, name, len);
    }
    char *text = take_bytes(n, len + 1);
    if (!text)
        return STG_E_NOMEM;
    memcpy(text, name, len);
    text[len] = '\0';
    n->entries[n->count] = (entry){text, hash, (uint32_t)len};
    n->table[slot] = n->count + 1;
    *id = n->count++;
    return STG_OK;
}

uint32_t stg__names_count(const stg__names *n)
{
    return n->count;
}

const char *stg__names_get(const stg__names *n, uint32_t id, size_t *len)
{
    if (id >= n->count)
        return NULL;
    if (len)
        *len = n->entries[id].len;
    return n->entries[id].text;
}

int stg__name_compare(const char *a, size_t alen, const char *b, size_t blen)
{
    const int order = memcmp(a, b, alen < blen ? alen : blen);
    if (order)
        return order;
    return alen < blen ? -1 : alen > blen;
}
