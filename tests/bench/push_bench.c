/* SPDX-License-Identifier: Apache-2.0 */
/* What a push of calls that are ready in memory costs the writer from C, for the bindings to be
 * measured by: prints nanoseconds of one call, in batches of 4096; the reader's time is left out. */

#include <stgraph/stgraph.h>

#include "bench.h"

#define BATCH 4096
#define ROUNDS 400
#define T0 1764000000000000000u

int main(void)
{
    static stg_call calls[BATCH];
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    uint32_t web;
    double took[ROUNDS];
    must(stg_ctx_create(&ctx, NULL) == STG_OK, "context");
    must(stg_ingest_create(&in, ctx, NULL) == STG_OK, "ingest");
    must(stg_lane_open(&lane, in, NULL) == STG_OK, "lane");
    must(stg_lane_intern(lane, STG_NODE, "web", 3, &web) == STG_OK, "name");
    for (uint32_t i = 0; i < BATCH; i++)
        calls[i] = (stg_call){.end_ns = T0 + i, .dst = web, .status = 200, .duration_us = 900};
    for (int i = 0; i < ROUNDS; i++) {
        const double start = now();
        must(stg_lane_push(lane, calls, BATCH) == BATCH, "refused");
        took[i] = now() - start;
        must(stg_ingest_poll(in) == STG_OK, "poll");
    }
    printf("%.3f\n", median(took, ROUNDS) * 1e9 / BATCH);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
    return 0;
}
