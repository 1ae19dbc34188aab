/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a lane in shared memory whose writer is hostile. The input is a list of orders of 8
 * bytes: scribble into the page or the slots, push, gauge, intern, poll, close a window. Nothing may
 * crash, and the ledger has to add up after every order.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stgraph/ingest.h>

#define PAGE 4096u
#define RECORDS 256u
#define BYTES (PAGE + RECORDS * 64u)
#define WINDOW UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition)
        abort();
}

typedef struct target {
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    uint8_t *memory;
    uint64_t id;
    uint64_t end;
} target;

static void scribble(target *t, const uint8_t *order)
{
    const uint32_t place = order[1] | (uint32_t)order[2] << 8;
    /* Mostly where it matters: the counters, and the slots that are read next. */
    const uint32_t at = order[0] & 8 ? PAGE + place % (RECORDS * 64) : 64 + place % 128;
    memcpy(t->memory + at, order + 3, at + 5 <= BYTES ? 5 : BYTES - at);
}

static void obey(target *t, const uint8_t *order)
{
    stg_call call;
    stg_gauge gauge;
    uint32_t id;
    switch (order[0] & 7) {
    case 0:
    case 1:
        scribble(t, order);
        break;
    case 2: /* a call with anything in it, near the open windows */
        memset(&call, order[7], sizeof call);
        call.end_ns = t->end + order[1] * (WINDOW / 4) - 8 * WINDOW;
        call.src = order[2] % 4;
        call.dst = order[3];
        call.route = order[4] % 4;
        call.side = order[5];
        call.duration_us = order[6] * 10000000u;
        stg_lane_push(t->lane, &call, 1);
        break;
    case 3:
        memset(&gauge, order[7], sizeof gauge);
        gauge.time_ns = t->end + order[1] * (WINDOW / 4) - 8 * WINDOW;
        gauge.node = order[2] % 8;
        stg_lane_gauge(t->lane, &gauge);
        break;
    case 4:
        stg_lane_intern(t->lane, order[1] & 2, (const char *)order, 1 + order[1] % 8, &id);
        break;
    case 5:
        stg_lane_beat(t->lane, t->end);
        break;
    case 6:
        require(stg_ingest_poll(t->in) == STG_OK);
        break;
    default:
        t->end += WINDOW * (1 + order[1] % 3);
        const stg_graph *g = NULL;
        require(stg_ingest_close(t->in, t->end - WINDOW, &g) == STG_OK);
        stg_unref(g);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    target t = {.end = UINT64_C(1700000000000) * WINDOW / 1000};
    int fd;
    const stg_lane_opts lane_opts = {.size = sizeof lane_opts, .records = RECORDS, .names = 16};
    const stg_ingest_opts opts = {.size = sizeof opts, .window_ns = WINDOW, .max_nodes = 6,
                                  .max_edges = 8, .max_routes = 2};
    require(stg_ctx_create(&t.ctx, NULL) == STG_OK);
    require(stg_ingest_create(&t.in, t.ctx, &opts) == STG_OK);
    require(stg_lane_create_fd(&fd, t.ctx, &lane_opts) == STG_OK);
    require(stg_lane_attach(&t.lane, t.ctx, fd) == STG_OK);
    require(stg_ingest_attach(t.in, fd, &t.id) == STG_OK);
    t.memory = (uint8_t *)mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    require(t.memory != MAP_FAILED);
    close(fd);
    for (size_t at = 0; at + 8 <= size && at < 4096; at += 8) {
        obey(&t, data + at);
        stg_ingest_stats s = {.size = sizeof s};
        require(stg_ingest_get_stats(t.in, &s) == STG_OK);
        require(s.pushed == s.windowed + s.late + s.refused + s.waiting);
    }
    const int32_t status = stg_ingest_detach(t.in, t.id);
    require(status == STG_OK || status == STG_E_NOTFOUND);
    stg_lane_close(t.lane);
    munmap(t.memory, BYTES);
    stg_ingest_destroy(t.in);
    stg_ctx_destroy(t.ctx);
    return 0;
}
