/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HyperLogLog with 1024 registers (precision 10, 3.3 % standard error) and the estimator of Ertl
 * (arXiv 1702.01284, algorithm 6), which needs no bias tables and no switch for small counts.
 */
#ifndef STG_SKETCH_HLL_PRIV_H
#define STG_SKETCH_HLL_PRIV_H

#include <stdint.h>

#define STG__HLL_BITS 10
#define STG__HLL_SIZE (1u << STG__HLL_BITS)
#define STG__HLL_RANKS (64 - STG__HLL_BITS + 1) /* ranks 1 to this; 0: nothing seen */

typedef struct stg__hll {
    uint8_t rank[STG__HLL_SIZE];
} stg__hll;

/* One step of SplitMix64: spreads keys that are only 32 bits or not random. */
static inline uint64_t stg__mix64(uint64_t key)
{
    uint64_t z = key + 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline uint32_t stg__hll_place(uint64_t key)
{
    return (uint32_t)(stg__mix64(key) >> (64 - STG__HLL_BITS));
}

static inline void stg__hll_add(stg__hll *hll, uint64_t key)
{
    const uint64_t hash = stg__mix64(key);
    uint8_t *at = &hll->rank[hash >> (64 - STG__HLL_BITS)];
    /* The bit below the hash's rest bounds the rank. */
    const uint64_t rest = hash << STG__HLL_BITS | UINT64_C(1) << (STG__HLL_BITS - 1);
    const uint8_t rank = (uint8_t)(__builtin_clzll(rest) + 1);
    if (rank > *at)
        *at = rank;
}

void stg__hll_clear(stg__hll *hll);
void stg__hll_merge(stg__hll *to, const stg__hll *from);
double stg__hll_estimate(const stg__hll *hll);

#endif
