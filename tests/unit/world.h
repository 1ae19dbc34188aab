/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small system of services for the tests of model and trainer: a load with a day and a slower
 * swing comes in from outside and spreads along the edges, with Poisson noise. Everything follows
 * from a seed.
 */
#ifndef STG_TEST_WORLD_H
#define STG_TEST_WORLD_H

#include <math.h>

#include "graph_priv.h"
#include "test.h"

#define WORLD_WINDOW 5000000000u /* ns */
#define WORLD_DAY 48u            /* windows */

typedef struct world_edge {
    uint32_t src;
    uint32_t dst;
    double share; /* of the caller's calls */
} world_edge;

typedef struct world {
    stg_graph_builder *b;
    stg__rng rng;
    uint32_t nodes; /* external included */
    uint32_t edges;
    uint32_t node[64];
    uint32_t edge[128];
    world_edge shape[128];
    uint32_t column[4]; /* calls, errors, mean_us of nodes; calls of edges */
    double scale;       /* calls of the outside in a window, in the mean */
    double swing;       /* present place of the slow swing */
} world;

static inline const char *world_name(uint32_t i, char buf[16])
{
    static const char *const first[] = {"external", "web", "auth", "cart", "db"};
    if (i < 5)
        return first[i];
    snprintf(buf, 16, "svc-%02u", i);
    return buf;
}

/* nodes: at least 3. Node 1 is the edge of the system; every further one is called by an earlier. */
static inline int32_t world_open(world *w, stg_ctx *ctx, uint32_t nodes, uint64_t seed)
{
    char buf[16];
    static const char *const column[] = {"calls", "errors", "mean_us"};
    memset(w, 0, sizeof *w);
    stg__rng_init(&w->rng, seed, 7);
    w->nodes = nodes;
    w->scale = 400;
    STG_RETURN_IF_ERROR(stg_graph_builder_create(&w->b, ctx, NULL));
    for (uint32_t c = 0; c < 3; c++)
        STG_RETURN_IF_ERROR(stg_graph_builder_column(w->b, STG_NODE, column[c], strlen(column[c]),
                                                     &w->column[c]));
    STG_RETURN_IF_ERROR(stg_graph_builder_column(w->b, STG_EDGE, "calls", 5, &w->column[3]));
    for (uint32_t i = 0; i < nodes; i++) {
        const char *name = world_name(i, buf);
        STG_RETURN_IF_ERROR(stg_graph_builder_node(w->b, name, strlen(name), &w->node[i]));
        if (i == 0)
            continue;
        const uint32_t callers = i < 3 ? 1 : 2;
        for (uint32_t k = 0; k < callers; k++) {
            const uint32_t src = i == 1 ? 0 : k == 0 ? 1 + (i - 2) / 2 : 1 + (i * 7) % (i - 2);
            if (k == 1 && src == w->shape[w->edges - 1].src)
                break;
            w->shape[w->edges] = (world_edge){src, i, i == 1 ? 1 : 0.3 + 0.1 * (i % 5)};
            STG_RETURN_IF_ERROR(stg_graph_builder_edge(w->b, w->node[src], w->node[i], "GET /", 5,
                                                       &w->edge[w->edges]));
            w->edges++;
        }
    }
    return STG_OK;
}

static inline void world_close(world *w)
{
    stg_graph_builder_destroy(w->b);
}

static inline double world_poisson(world *w, double mean)
{
    if (mean > 50)
        return fmax(0, floor(mean + sqrt(mean) * stg__rng_normal(&w->rng) + 0.5));
    const double limit = exp(-mean);
    double product = stg__rng_unit(&w->rng);
    double n = 0;
    while (product > limit) {
        product *= stg__rng_unit(&w->rng);
        n++;
    }
    return n;
}

/* Fills the columns of window number `at`. */
static inline int32_t world_fill(world *w, uint64_t at)
{
    double calls[64] = {0};
    const double day = sin(2 * M_PI * (double)(at % WORLD_DAY) / WORLD_DAY);
    w->swing = 0.9 * w->swing + 0.1 * stg__rng_normal(&w->rng);
    calls[0] = world_poisson(w, w->scale * exp(1.0 * day + w->swing));
    for (uint32_t e = 0; e < w->edges; e++) { /* callers stand before callees */
        const double n = world_poisson(w, calls[w->shape[e].src] * w->shape[e].share);
        calls[w->shape[e].dst] += n;
        STG_RETURN_IF_ERROR(stg_graph_builder_set(w->b, STG_EDGE, w->edge[e], w->column[3], n));
    }
    for (uint32_t i = 0; i < w->nodes; i++) {
        const double errors = world_poisson(w, 0.01 * calls[i]);
        const double mean_us = 2000.0 * (1 + i % 3) * (1 + calls[i] / (8 * w->scale)) *
                               exp(0.05 * stg__rng_normal(&w->rng));
        STG_RETURN_IF_ERROR(
            stg_graph_builder_set(w->b, STG_NODE, w->node[i], w->column[0], calls[i]));
        STG_RETURN_IF_ERROR(stg_graph_builder_set(w->b, STG_NODE, w->node[i], w->column[1], errors));
        STG_RETURN_IF_ERROR(stg_graph_builder_set(w->b, STG_NODE, w->node[i], w->column[2],
                                                  calls[i] > 0 ? mean_us : NAN));
    }
    return STG_OK;
}

static inline int32_t world_begin(world *w, uint64_t at)
{
    return stg_graph_builder_begin(w->b, at * WORLD_WINDOW, (at + 1) * WORLD_WINDOW);
}

/* Graph of window number `at`. */
static inline int32_t world_next(world *w, uint64_t at, const stg_graph **g)
{
    STG_RETURN_IF_ERROR(world_begin(w, at));
    STG_RETURN_IF_ERROR(world_fill(w, at));
    return stg_graph_builder_finish(w->b, g);
}

#endif
