/* SPDX-License-Identifier: Apache-2.0 */
/* Distinct clients, networks, accounts of an edge and of a node: 1 KiB each, merged by maximum. */
#include <math.h>
#include <string.h>

#include "sketch_hll_priv.h"

void stg__hll_clear(stg__hll *hll)
{
    memset(hll, 0, sizeof *hll);
}

void stg__hll_merge(stg__hll *to, const stg__hll *from)
{
    for (uint32_t i = 0; i < STG__HLL_SIZE; i++)
        to->rank[i] = to->rank[i] > from->rank[i] ? to->rank[i] : from->rank[i];
}

/* Series of the paper; both end when the number stops changing, after some 60 terms at most. */
static double sigma(double x)
{
    double y = 1.0;
    double z = x;
    double last;
    do {
        x *= x;
        last = z;
        z += x * y;
        y += y;
    } while (z != last);
    return z;
}

static double tau(double x)
{
    if (x == 0.0 || x == 1.0)
        return 0.0;
    double y = 1.0;
    double z = 1.0 - x;
    double last;
    do {
        x = sqrt(x);
        last = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
    } while (z != last);
    return z / 3.0;
}

double stg__hll_estimate(const stg__hll *hll)
{
    const double m = STG__HLL_SIZE;
    uint32_t count[256] = {0};
    for (uint32_t i = 0; i < STG__HLL_SIZE; i++)
        count[hll->rank[i]]++;
    if (count[0] == STG__HLL_SIZE)
        return 0.0;
    double z = m * tau(1.0 - count[STG__HLL_RANKS] / m);
    for (uint32_t k = STG__HLL_RANKS - 1; k >= 1; k--)
        z = 0.5 * (z + count[k]);
    z += m * sigma(count[0] / m);
    return m * m / (2.0 * 0.69314718055994530942 * z);
}
