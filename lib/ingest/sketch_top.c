/* SPDX-License-Identifier: Apache-2.0 */
/* The most frequent clients of an edge in a window, in bounded memory. */
#include <string.h>

#include "sketch_top_priv.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

void stg__top_clear(stg__top *top)
{
    top->used = 0;
    top->least = 0;
    top->cursor = 0;
}

static uint8_t tag_of(uint64_t key)
{
    return (uint8_t)(key * 0x9e3779b97f4a7c15u >> 56);
}

/* Place of the key, or STG__TOP_KEYS. */
static uint32_t find(const stg__top *top, uint64_t key, uint8_t tag)
{
    for (uint32_t i = 0; i < top->used; i += 8) {
        uint64_t word;
        memcpy(&word, top->tag + i, sizeof word);
        word ^= ONES * tag;
        /* Marks bytes that are zero, and perhaps some above one: the key itself decides. */
        uint64_t hits = (word - ONES) & ~word & HIGHS;
        for (; hits; hits &= hits - 1) {
            const uint32_t at = i + (uint32_t)__builtin_ctzll(hits) / 8;
            if (at < top->used && top->key[at] == key)
                return at;
        }
    }
    return STG__TOP_KEYS;
}

/* A counter that is smallest. `least` only grows, so that the walk is short on average. */
static uint32_t smallest(stg__top *top)
{
    for (uint32_t i = 0; i < STG__TOP_KEYS; i++) {
        const uint32_t at = (top->cursor + i) % STG__TOP_KEYS;
        if (top->count[at] == top->least) {
            top->cursor = (at + 1) % STG__TOP_KEYS;
            return at;
        }
    }
    uint32_t at = 0;
    for (uint32_t i = 1; i < STG__TOP_KEYS; i++)
        if (top->count[i] < top->count[at])
            at = i;
    top->least = top->count[at];
    top->cursor = (at + 1) % STG__TOP_KEYS;
    return at;
}

void stg__top_add(stg__top *top, uint64_t key)
{
    const uint8_t tag = tag_of(key);
    uint32_t at = find(top, key, tag);
    if (at < STG__TOP_KEYS) {
        top->count[at]++;
        return;
    }
    uint32_t error = 0;
    if (top->used < STG__TOP_KEYS) {
        at = top->used++;
    } else {
        at = smallest(top);
        error = top->count[at];
    }
    top->tag[at] = tag;
    top->key[at] = key;
    top->count[at] = error + 1;
    top->error[at] = error;
}

uint32_t stg__top_most(const stg__top *top)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < top->used; i++)
        if (top->count[i] - top->error[i] > most)
            most = top->count[i] - top->error[i];
    return most;
}
