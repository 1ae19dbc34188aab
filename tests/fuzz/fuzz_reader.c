/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: bytes of JSON lines, fed in pieces, into records, lane and ingest. The first byte
 * says how long the pieces are. Nothing may crash, and every line ends as a record or an error.
 */
#include <stdint.h>
#include <stdlib.h>

#include <stgraph/ingest.h>
#include <stgraph/telemetry.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

static void take(stg_ingest *in, stg_lane *lane, stg_reader *reader)
{
    stg_record rec[7];
    stg_error err;
    /* Rounds without room for a name: what is ahead of the open windows waits in the ring. */
    for (uint32_t stuck = 0; stuck < 2;) {
        size_t n = 0;
        const int32_t status = stg_reader_next(reader, rec, 7, &n, &err);
        require(status == STG_OK || n == 0);
        require(status != STG_E_FORMAT || (err.line > 0 && err.text[0]));
        for (size_t i = 0; i < n; i++) {
            if (rec[i].kind == STG_RECORD_CALL)
                stg_lane_push(lane, &rec[i].u.call, 1);
            else
                stg_lane_gauge(lane, &rec[i].u.gauge);
        }
        stuck = status == STG_AGAIN ? stuck + 1 : 0;
        if (status == STG_AGAIN || n == 7)
            require(stg_ingest_poll(in) == STG_OK);
        if (status == STG_OK && n == 0)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    stg_reader *reader;
    const stg_lane_opts lane_opts = {.size = sizeof lane_opts, .records = 256, .names = 32};
    const stg_ingest_opts opts = {.size = sizeof opts, .max_nodes = 8, .max_edges = 8,
                                  .max_routes = 4};
    if (size < 1)
        return 0;
    const size_t piece = data[0] ? data[0] : 4096;
    require(stg_ctx_create(&ctx, NULL) == STG_OK);
    require(stg_ingest_create(&in, ctx, &opts) == STG_OK);
    require(stg_lane_open(&lane, in, &lane_opts) == STG_OK);
    require(stg_reader_create(&reader, ctx, lane, "jsonl", NULL) == STG_OK);
    for (size_t at = 1; at < size; at += piece) {
        require(stg_reader_feed(reader, data + at, size - at < piece ? size - at : piece) == STG_OK);
        take(in, lane, reader);
    }
    require(stg_reader_feed(reader, NULL, 0) == STG_OK);
    take(in, lane, reader);
    const stg_graph *g = NULL;
    require(stg_ingest_close(in, UINT64_C(1764000005000000000), &g) == STG_OK);
    stg_unref(g);
    stg_ingest_stats s = {.size = sizeof s};
    require(stg_ingest_get_stats(in, &s) == STG_OK);
    require(s.pushed == s.windowed + s.late + s.refused + s.waiting);
    stg_reader_destroy(reader);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
    return 0;
}
