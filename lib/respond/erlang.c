/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many servers a demand needs: the queue M/M/c by Erlang's formula C. The recursion of the loss
 * formula B makes every next server O(1), so the search from the first stable number of servers on
 * costs no more than that number.
 */
#include <math.h>

#include "respond_priv.h"

/* Erlang C from Erlang B of the same c and a < c. */
static double delay_from_loss(double b, double a, double c)
{
    return b / (1.0 - (a / c) * (1.0 - b));
}

double stg__erlang_c(uint32_t servers, double load)
{
    if (servers == 0 || !(load >= 0))
        return NAN;
    if (load >= servers)
        return 1.0; /* the queue grows without bound: everyone waits */
    double b = 1.0;
    for (uint32_t k = 1; k <= servers; k++)
        b = load * b / (k + load * b);
    return delay_from_loss(b, load, servers);
}

uint32_t stg__erlang_replicas(double rate, double service_rate, double wait, double share)
{
    if (!(rate >= 0) || !(service_rate > 0) || !(wait >= 0) || !(share > 0))
        return 0;
    const double load = rate / service_rate;
    if (!(load < STG__REPLICAS_MAX))
        return STG__REPLICAS_MAX;
    double b = 1.0;
    for (uint32_t c = 1; c < STG__REPLICAS_MAX; c++) {
        b = load * b / (c + load * b);
        if (c <= load)
            continue;
        const double late = delay_from_loss(b, load, c) * exp(-(c * service_rate - rate) * wait);
        if (late <= share)
            return c;
    }
    return STG__REPLICAS_MAX;
}
