/* SPDX-License-Identifier: Apache-2.0 */
/* Trains a small model on a test world. */
#ifndef STG_TEST_LEARN_H
#define STG_TEST_LEARN_H

#include <stgraph/train.h>

#include "world.h"

static inline int32_t learn(stg_ctx *ctx, const stg_trainer_opts *opts, uint32_t nodes,
                            uint64_t windows, uint64_t seed, const stg_model **model, stg_error *err)
{
    world w = {0};
    stg_trainer *t = NULL;
    *model = NULL;
    int32_t status = stg_trainer_create(&t, ctx, opts, err);
    if (status == STG_OK)
        status = world_open(&w, ctx, nodes, seed);
    for (uint64_t at = 0; status == STG_OK && at < windows; at++) {
        const stg_graph *g;
        status = world_next(&w, at, &g);
        if (status == STG_OK) {
            status = stg_trainer_add(t, g);
            stg_unref(g);
        }
    }
    if (status == STG_OK)
        status = stg_trainer_run(t, model, err);
    world_close(&w);
    stg_trainer_destroy(t);
    return status;
}

/* Options of a net that trains in a moment. */
static inline stg_trainer_opts learn_small(const char *kind)
{
    return (stg_trainer_opts){
        .size = sizeof(stg_trainer_opts),
        .kind = kind,
        .day_ns = (uint64_t)WORLD_DAY * WORLD_WINDOW,
        .seed = 5,
        .history = 4,
        .horizon = 3,
        .layers = 1,
        .units = 4,
        .epochs = 2,
        .batch = 8,
    };
}

static const char *const learn_kinds[] = {"persistence", "seasonal", "dcrnn"};
#define LEARN_KINDS 3

#endif
