/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a proxy embeds stgraph. A worker thread serves requests and pushes each into its lane: no lock,
 * no memory, no system call. The owner, which is never a worker's event loop, closes a window every
 * five seconds and prints the news. The clock is made up, so that ten minutes pass at once.
 *
 *     embed MODEL     a model file as "learn" in this folder writes it; JSON lines on standard output
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "traffic.h"

#define FIRST 1440 /* windows; where the learning ended */
#define WINDOWS 180

static atomic_uint_fast64_t clock_ns = TRAFFIC_START_NS + FIRST * TRAFFIC_WINDOW_NS;
static atomic_uint_fast64_t owner_ns = TRAFFIC_START_NS + FIRST * TRAFFIC_WINDOW_NS;

static void *worker(void *lane)
{
    traffic t;
    if (traffic_open(&t, (stg_lane *)lane, 2) != STG_OK) {
        clock_ns = UINT64_MAX; /* the owner must not wait for what never comes */
        return lane;
    }
    for (uint64_t k = 0; k < WINDOWS; k++) {
        const uint64_t now = clock_ns;
        traffic_window(&t, now, k >= 100 && k < 124 ? 150 : 0); /* two minutes of flood */
        clock_ns = now + TRAFFIC_WINDOW_NS;
        while (owner_ns < clock_ns) /* a real clock does not wait for anyone */
            sched_yield();
    }
    return t.refused ? lane : NULL;
}

static int32_t own(stg_monitor *mon, stg_error *err)
{
    static char line[65536];
    size_t len;
    for (uint32_t k = 0; k < WINDOWS; k++) {
        const uint64_t end = owner_ns + TRAFFIC_WINDOW_NS;
        while (clock_ns < end) /* in a real host: sleep until then */
            sched_yield();
        const int32_t status = stg_monitor_tick(mon, end, err);
        if (status < 0)
            return status;
        while (stg_monitor_event(mon, line, sizeof line, &len) == STG_OK)
            fwrite(line, 1, len, stdout);
        owner_ns = end;
    }
    return STG_OK;
}

int main(int argc, char **argv)
{
    stg_ctx *ctx = NULL;
    stg_bundle *bundle = NULL;
    stg_monitor *mon = NULL;
    stg_lane *lane = NULL;
    stg_error err = {.text = ""};
    pthread_t thread;
    void *failed = NULL;
    if (argc != 2 || stg_ctx_create(&ctx, NULL) != STG_OK)
        return fprintf(stderr, "usage: embed MODEL\n"), 2;
    int32_t status = stg_bundle_open(&bundle, ctx, argv[1], &err);
    if (status == STG_OK)
        status = stg_monitor_create(&mon, ctx, bundle, NULL, &err);
    if (status == STG_OK)
        status = stg_lane_open(&lane, stg_monitor_ingest(mon), NULL);
    if (status == STG_OK && pthread_create(&thread, NULL, worker, lane) == 0) {
        status = own(mon, &err);
        owner_ns = UINT64_MAX;
        pthread_join(thread, &failed);
    }
    if (status != STG_OK || failed)
        fprintf(stderr, "embed: %s %s\n", stg_status_name(status), err.text);
    stg_lane_close(lane);
    stg_monitor_destroy(mon);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    return status == STG_OK && !failed ? 0 : 1;
}
