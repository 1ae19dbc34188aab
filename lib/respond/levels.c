/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the planner remembers of ordinary demand: calls a second of every node and edge and the
 * nodes' own time of a call, as exponentially weighted means over some 100 windows. Windows in which
 * a node is in an incident do not enter, so that no attack becomes the norm.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define SLOW 0.01 /* weight of the newest window once more than 1 / SLOW were seen */

void stg__levels_fini(stg__levels *lv, stg_ctx *ctx)
{
    stg__free(ctx, lv->rate);
    stg__free(ctx, lv->service_us);
    stg__free(ctx, lv->seen);
    stg__free(ctx, lv->timed);
    stg__free(ctx, lv->crowd);
    stg__free(ctx, lv->edge_rate);
    stg__free(ctx, lv->edge_seen);
    stg__topology_unref(lv->topo);
    memset(lv, 0, sizeof *lv);
}

static int32_t make(stg__levels *lv, stg_ctx *ctx, stg__topology *topo)
{
    memset(lv, 0, sizeof *lv);
    lv->topo = stg__topology_ref(topo);
    lv->nodes = topo->nodes;
    lv->edges = topo->edges;
    lv->rate = (double *)stg__calloc(ctx, topo->nodes, sizeof *lv->rate);
    lv->service_us = (double *)stg__calloc(ctx, topo->nodes, sizeof *lv->service_us);
    lv->seen = (uint32_t *)stg__calloc(ctx, topo->nodes, sizeof *lv->seen);
    lv->timed = (uint32_t *)stg__calloc(ctx, topo->nodes, sizeof *lv->timed);
    lv->crowd = (uint64_t *)stg__calloc(ctx, topo->nodes, sizeof *lv->crowd);
    lv->edge_rate = (double *)stg__calloc(ctx, topo->edges, sizeof *lv->edge_rate);
    lv->edge_seen = (uint32_t *)stg__calloc(ctx, topo->edges, sizeof *lv->edge_seen);
    if (lv->rate && lv->service_us && lv->seen && lv->timed && lv->crowd && lv->edge_rate &&
        lv->edge_seen)
        return STG_OK;
    stg__levels_fini(lv, ctx);
    return STG_E_NOMEM;
}

static void carry(const stg__levels *from, stg__levels *to, const uint32_t *node_map,
                  const uint32_t *edge_map)
{
    for (uint32_t i = 0; i < from->nodes; i++) {
        const uint32_t k = node_map[i];
        if (k == UINT32_MAX)
            continue;
        to->rate[k] = from->rate[i];
        to->service_us[k] = from->service_us[i];
        to->seen[k] = from->seen[i];
        to->timed[k] = from->timed[i];
    }
    for (uint32_t e = 0; e < from->edges; e++) {
        const uint32_t k = edge_map[e];
        if (k == UINT32_MAX)
            continue;
        to->edge_rate[k] = from->edge_rate[e];
        to->edge_seen[k] = from->edge_seen[e];
    }
}

int32_t stg__levels_align(stg__levels *lv, stg_ctx *ctx, stg__topology *topo)
{
    if (lv->topo && lv->topo->id == topo->id)
        return STG_OK;
    stg__levels next;
    STG_RETURN_IF_ERROR(make(&next, ctx, topo));
    if (lv->topo) {
        uint32_t *map = (uint32_t *)stg__calloc(ctx, (size_t)lv->nodes + lv->edges, sizeof *map);
        if (!map) {
            stg__levels_fini(&next, ctx);
            return STG_E_NOMEM;
        }
        stg__topology_map(lv->topo, topo, map, map + lv->nodes);
        carry(lv, &next, map, map + lv->nodes);
        stg__free(ctx, map);
    }
    stg__levels_fini(lv, ctx);
    *lv = next;
    return STG_OK;
}

static void average(double *mean, uint32_t *seen, double value)
{
    if (!isfinite(value) || value < 0)
        return;
    if (*seen < UINT32_MAX)
        ++*seen;
    *mean += fmax(SLOW, 1.0 / *seen) * (value - *mean);
}

static double at(const double *column, uint32_t i)
{
    return column ? column[i] : NAN;
}

void stg__levels_learn(stg__levels *lv, const stg__window *win)
{
    if (win->coverage < 0.5) /* counts of what was seen only: not a level */
        return;
    const uint8_t *mask = win->info.mask;
    for (uint32_t i = 0; i < lv->nodes; i++) {
        if (mask && mask[i])
            continue;
        const double own = at(win->node_exclusive, i);
        average(&lv->rate[i], &lv->seen[i], at(win->node_calls, i) / win->seconds);
        average(&lv->service_us[i], &lv->timed[i], isfinite(own) ? own : at(win->node_mean, i));
    }
    for (uint32_t e = 0; e < lv->edges; e++)
        if (!mask || !(mask[lv->topo->src[e]] || mask[lv->topo->dst[e]]))
            average(&lv->edge_rate[e], &lv->edge_seen[e], at(win->edge_calls, e) / win->seconds);
}
