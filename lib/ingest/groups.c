/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known client groups (networks): who has been here in the last seven days. Four generations of a
 * blocked Bloom filter, each for a third of that time; a group seen again moves to the youngest.
 * What a window saw is kept beside and joins when the window closes, so that all its calls count as
 * new together. Memory is fixed; up to 100,000 groups a generation about one in a hundred unknown
 * groups passes for known, and far fewer below that.
 */
#include <string.h>

#include "ingest_priv.h"

#define KEEP_NS (UINT64_C(7) * 24 * 3600 * 1000000000)
#define GENERATION_NS (KEEP_NS / (STG__GENERATIONS - 1))
#define BITS 7u /* of 512, for each group */
#define BYTES (STG__GROUP_WORDS * sizeof(uint64_t))

int32_t stg__groups_init(stg_ingest *in)
{
    stg__groups *g = &in->groups;
    g->memory = (uint64_t *)stg__alloc_aligned(in->ctx, STG__GENERATIONS + 2, BYTES);
    if (!g->memory)
        return STG_E_NOMEM;
    for (uint32_t i = 0; i < STG__GENERATIONS; i++)
        g->known[i] = g->memory + (size_t)i * STG__GROUP_WORDS;
    for (uint32_t i = 0; i < 2; i++)
        g->pending[i] = g->memory + (size_t)(STG__GENERATIONS + i) * STG__GROUP_WORDS;
    return STG_OK;
}

void stg__groups_free(stg_ingest *in)
{
    stg__free_aligned(in->ctx, in->groups.memory);
}

typedef struct place {
    uint32_t word; /* first of the block's eight */
    uint64_t bits;
} place;

static place place_of(uint32_t group)
{
    const uint64_t hash = stg__mix64(group);
    return (place){(uint32_t)(hash >> 32) % STG__GROUP_BLOCKS * 8, stg__mix64(hash)};
}

static bool has(const uint64_t *filter, const place *p)
{
    const uint64_t *block = filter + p->word;
    uint64_t missing = 0;
    for (uint32_t i = 0; i < BITS; i++) {
        const uint32_t bit = (uint32_t)(p->bits >> 9 * i) & 511;
        missing |= ~block[bit / 64] >> bit % 64 & 1;
    }
    return !missing;
}

static void add(uint64_t *filter, const place *p)
{
    for (uint32_t i = 0; i < BITS; i++) {
        const uint32_t bit = (uint32_t)(p->bits >> 9 * i) & 511;
        filter[p->word + bit / 64] |= UINT64_C(1) << bit % 64;
    }
}

bool stg__groups_see(stg_ingest *in, uint32_t group, uint32_t parity)
{
    stg__groups *g = &in->groups;
    const place p = place_of(group);
    if (has(g->known[0], &p))
        return false;
    bool known = false;
    for (uint32_t i = 1; !known && i < STG__GENERATIONS; i++)
        known = has(g->known[i], &p);
    /* A window that is read before the one in front of it has closed. */
    const uint32_t cur = (uint32_t)(in->cur & 1);
    if (!known && parity != cur && g->dirty[cur])
        known = has(g->pending[cur], &p);
    add(g->pending[parity], &p);
    g->dirty[parity] = true;
    return !known;
}

void stg__groups_age(stg_ingest *in, uint64_t time_ns)
{
    stg__groups *g = &in->groups;
    const uint64_t generation = time_ns / GENERATION_NS;
    uint64_t steps = g->started && generation > g->generation ? generation - g->generation : 0;
    if (g->resumed && steps > 1)
        steps = 0;
    g->resumed = false;
    if (!g->started || generation > g->generation)
        g->generation = generation;
    g->started = true;
    for (steps = steps > STG__GENERATIONS ? STG__GENERATIONS : steps; steps; steps--) {
        uint64_t *oldest = g->known[STG__GENERATIONS - 1];
        for (uint32_t i = STG__GENERATIONS - 1; i > 0; i--)
            g->known[i] = g->known[i - 1];
        memset(oldest, 0, BYTES);
        g->known[0] = oldest;
    }
}

void stg__groups_forget(stg_ingest *in, uint32_t parity)
{
    if (in->groups.dirty[parity])
        memset(in->groups.pending[parity], 0, BYTES);
    in->groups.dirty[parity] = false;
}

void stg__groups_close(stg_ingest *in, uint32_t parity)
{
    stg__groups *g = &in->groups;
    if (!g->dirty[parity])
        return;
    for (uint32_t i = 0; i < STG__GROUP_WORDS; i++)
        g->known[0][i] |= g->pending[parity][i];
    stg__groups_forget(in, parity);
}

/* --- saved state ------------------------------------------------------------------------------ */

#define VERSION 1u
#define FILE_PREFIX "ingest/" /* of a model file */

/* Tells whether stored group hashes were made with the key of this context. */
static uint64_t key_id(const stg_ctx *ctx)
{
    return stg__siphash(ctx->sketch_key, "ingest/groups", 13);
}

int32_t stg__groups_put(const stg_ingest *in, stg_bundle *bundle, const char *prefix)
{
    const stg__groups *g = &in->groups;
    uint64_t *all = (uint64_t *)stg__alloc(in->ctx, STG__GENERATIONS * BYTES);
    if (!all)
        return STG_E_NOMEM;
    for (uint32_t i = 0; i < STG__GENERATIONS; i++)
        memcpy(all + (size_t)i * STG__GROUP_WORDS, g->known[i], BYTES);
    const int32_t status =
        stg__put(bundle, prefix, "groups", STG__U64, STG__GENERATIONS, STG__GROUP_WORDS, all);
    stg__free(in->ctx, all);
    return status == STG_OK ? stg__put_number(bundle, prefix, "key", key_id(in->ctx)) : status;
}

int32_t stg__groups_get(stg_ingest *in, const stg_bundle *bundle, const char *prefix,
                        stg_error *err)
{
    uint64_t value = 0;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "key", UINT64_MAX, &value, err));
    if (value != key_id(in->ctx))
        return stg__fail(err, STG_E_MISMATCH,
                         "known client groups were hashed with another sketch key");
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "groups", STG__U64, STG__GENERATIONS,
                                 STG__GROUP_WORDS, &t, err));
    stg__groups *g = &in->groups;
    for (uint32_t i = 0; i < STG__GENERATIONS; i++)
        memcpy(g->known[i], (const uint64_t *)t->data + (size_t)i * STG__GROUP_WORDS, BYTES);
    g->started = false; /* time in between was seen by nobody: nothing grows old in it */
    return STG_OK;
}

void stg__groups_resume(stg_ingest *in, uint64_t time_ns)
{
    in->groups.generation = time_ns / GENERATION_NS;
    in->groups.started = in->groups.resumed = true;
}

static int32_t put_file(const stg_ingest *in, stg_bundle *bundle)
{
    STG_RETURN_IF_ERROR(stg__groups_put(in, bundle, FILE_PREFIX));
    return stg__put_number(bundle, FILE_PREFIX, "version", VERSION);
}

/* Written beside and then put in place: without memory the bundle keeps the groups it has. */
int32_t stg_ingest_store(const stg_ingest *in, stg_bundle *bundle)
{
    if (!in || !bundle)
        return STG_E_INVALID;
    if (stg__ctx_forked(in->ctx))
        return STG_E_FORK;
    stg_bundle *own;
    STG_RETURN_IF_ERROR(stg_bundle_open(&own, stg__bundle_ctx(bundle), NULL, NULL));
    int32_t status = put_file(in, own);
    if (status == STG_OK)
        status = stg__bundle_replace(bundle, FILE_PREFIX, own);
    stg_bundle_destroy(own);
    return status;
}

int32_t stg_ingest_restore(stg_ingest *in, const stg_bundle *bundle, stg_error *err)
{
    if (!in || !bundle)
        return stg__fail(err, STG_E_INVALID, "no ingest or no bundle");
    if (stg__ctx_forked(in->ctx))
        return stg__fail(err, STG_E_FORK, "ingest used in a child process");
    uint64_t value = 0;
    if (stg__bundle_meta_u64(bundle, FILE_PREFIX "version", &value) != STG_OK)
        return stg__fail(err, STG_E_NOTFOUND, "the bundle has no known client groups");
    if (value != VERSION)
        return stg__fail(err, STG_E_VERSION, "known client groups of version %llu, not %u",
                         (unsigned long long)value, VERSION);
    return stg__groups_get(in, bundle, FILE_PREFIX, err);
}
