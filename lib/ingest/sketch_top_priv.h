/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SpaceSaving (Metwally, Agrawal, El Abbadi, ICDT 2005): the most frequent keys of a stream in 64
 * counters. count - error is a lower bound of a key's true count, count an upper one; every key
 * with more than n / 64 occurrences is there.
 */
#ifndef STG_SKETCH_TOP_PRIV_H
#define STG_SKETCH_TOP_PRIV_H

#include <stdint.h>

#define STG__TOP_KEYS 64u

typedef struct stg__top {
    uint8_t tag[STG__TOP_KEYS]; /* one byte of each key, compared eight at a time */
    uint64_t key[STG__TOP_KEYS];
    uint32_t count[STG__TOP_KEYS];
    uint32_t error[STG__TOP_KEYS];
    uint32_t used;
    uint32_t least;  /* not above the smallest count */
    uint32_t cursor; /* where the search for a smallest counter goes on */
    uint32_t pad;
} stg__top;

void stg__top_clear(stg__top *top);
void stg__top_add(stg__top *top, uint64_t key);
/* Largest lower bound of a key's count: never more than the true count of the most frequent. */
uint32_t stg__top_most(const stg__top *top);

#endif
