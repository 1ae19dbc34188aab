/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latency quantiles of an edge and of a node: fixed memory, mergeable, 1 % off at most. The update
 * is in the header, in the hot loop; here is what happens once for an ingest or once for a window.
 */
#include <math.h>
#include <string.h>

#include "sketch_dd_priv.h"

int32_t stg__dd_key(double value)
{
    return (int32_t)ceil(log(value) / log(STG__DD_GAMMA));
}

double stg__dd_value(int32_t key)
{
    return 2.0 * pow(STG__DD_GAMMA, key) / (1.0 + STG__DD_GAMMA);
}

void stg__dd_map_init(stg__dd_map *map)
{
    for (uint32_t k = 0; k < STG__DD_BINS; k++)
        map->bound[k] = (uint32_t)floor(pow(STG__DD_GAMMA, k));
    map->bound[STG__DD_BINS - 1] = UINT32_MAX;
    uint32_t bin = 0;
    for (uint32_t cell = 0; cell < 32 * 64; cell++) {
        /* The cell's smallest integer; cells of small powers may hold none. */
        const uint64_t first = ((uint64_t)(64 + (cell & 63)) << (cell >> 6)) >> 6;
        while (first > map->bound[bin])
            bin++;
        map->cell[cell] = (uint16_t)bin;
    }
}

void stg__dd_extend(stg__dd *dd, uint32_t lo, uint32_t hi)
{
    if (dd->lo > dd->hi) {
        memset(dd->bins + lo, 0, (hi - lo + 1) * sizeof *dd->bins);
        dd->lo = lo;
        dd->hi = hi;
        return;
    }
    if (lo < dd->lo) {
        memset(dd->bins + lo, 0, (dd->lo - lo) * sizeof *dd->bins);
        dd->lo = lo;
    }
    if (hi > dd->hi) {
        memset(dd->bins + dd->hi + 1, 0, (hi - dd->hi) * sizeof *dd->bins);
        dd->hi = hi;
    }
}

void stg__dd_merge(stg__dd *to, const stg__dd *from)
{
    if (from->lo > from->hi)
        return;
    stg__dd_extend(to, from->lo, from->hi);
    for (uint32_t k = from->lo; k <= from->hi; k++)
        to->bins[k] += from->bins[k];
}

double stg__dd_quantile(const stg__dd *dd, double q)
{
    uint64_t total = 0;
    for (uint32_t k = dd->lo; k <= dd->hi; k++)
        total += dd->bins[k];
    if (total == 0)
        return NAN;
    const double rank = q * (double)(total - 1);
    uint64_t below = 0;
    for (uint32_t k = dd->lo; k < dd->hi; k++) {
        below += dd->bins[k];
        if ((double)below > rank)
            return stg__dd_value((int32_t)k);
    }
    return stg__dd_value((int32_t)dd->hi);
}
