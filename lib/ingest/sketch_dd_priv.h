/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DDSketch (Masson, Rim, Lee, VLDB 2019) of latencies: bin k counts values in (g^(k-1), g^k] with
 * g = 1.01 / 0.99, so that any quantile is off by 1 % at most. Bins are dense from 1 us to 60 s;
 * what lies outside falls into the first or last bin. Only bins lo to hi hold numbers, the others
 * are not even zeroed: starting over costs nothing.
 */
#ifndef STG_SKETCH_DD_PRIV_H
#define STG_SKETCH_DD_PRIV_H

#include <stdint.h>

#define STG__DD_BINS 896u
#define STG__DD_GAMMA (1.01 / 0.99)

/* Key of an integer without a logarithm: a cell (power of two and six more bits) is narrower than
 * a bin, so it meets one bound at most. */
typedef struct stg__dd_map {
    uint16_t cell[32 * 64];
    uint32_t bound[STG__DD_BINS]; /* largest integer of each bin */
} stg__dd_map;

typedef struct stg__dd {
    uint32_t lo; /* lo > hi: empty */
    uint32_t hi;
    uint32_t *bins; /* [STG__DD_BINS] */
} stg__dd;

void stg__dd_map_init(stg__dd_map *map);
int32_t stg__dd_key(double value);   /* by definition, for any value > 0 */
double stg__dd_value(int32_t key);   /* what stands for all values of a bin */
void stg__dd_extend(stg__dd *dd, uint32_t lo, uint32_t hi); /* makes room down to lo, up to hi */
void stg__dd_merge(stg__dd *to, const stg__dd *from);
double stg__dd_quantile(const stg__dd *dd, double q); /* NaN when empty */

static inline uint32_t stg__dd_bin(const stg__dd_map *map, uint32_t value)
{
    const uint32_t v = value ? value : 1;
    const uint32_t zeros = (uint32_t)__builtin_clz(v);
    const uint32_t bin = map->cell[(31 - zeros) << 6 | (v << zeros >> 25 & 63)];
    return bin + (v > map->bound[bin]);
}

static inline void stg__dd_clear(stg__dd *dd)
{
    dd->lo = 1;
    dd->hi = 0;
}

static inline void stg__dd_add(stg__dd *dd, uint32_t bin)
{
    if (bin < dd->lo || bin > dd->hi)
        stg__dd_extend(dd, bin, bin);
    dd->bins[bin]++;
}

#endif
