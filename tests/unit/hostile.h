/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An honest lane, whose calls are counted one by one, beside a hostile lane whose memory is at hand.
 */
#ifndef STG_TEST_HOSTILE_H
#define STG_TEST_HOSTILE_H

#include <sys/mman.h>
#include <unistd.h>

#include "fuzz_memory.h"
#include "ring_priv.h"
#include "test.h"

#define S UINT64_C(1000000000)
#define T0 (UINT64_C(1700000000) * S)
#define W (5 * S)

static inline stg_ingest_stats stats_of(const stg_ingest *in)
{
    stg_ingest_stats s = {.size = sizeof s};
    ck_assert_int_eq(stg_ingest_get_stats(in, &s), STG_OK);
    ck_assert_uint_eq(s.pushed, s.windowed + s.late + s.refused + s.waiting);
    return s;
}

static inline uint32_t intern(stg_lane *lane, uint32_t kind, const char *name, size_t len)
{
    uint32_t id = UINT32_MAX;
    ck_assert_int_eq(stg_lane_intern(lane, kind, name, len, &id), STG_OK);
    return id;
}

/* --- an honest lane beside a hostile one ------------------------------------------------------ */

typedef struct pair {
    fuzz_memory memory;
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *honest;
    stg_call call;   /* of the honest lane, in the window that closes next */
    uint64_t pushed; /* by it */
} pair;

static inline void pair_open(pair *p)
{
    const stg_ingest_opts opts = {.size = sizeof opts, .max_nodes = 32, .max_edges = 64,
                                  .max_routes = 16};
    const stg_lane_opts lane = {.size = sizeof lane, .records = 1024};
    p->ctx = fuzz_ctx(&p->memory, 0);
    p->pushed = 0;
    ck_assert_int_eq(stg_ingest_create(&p->in, p->ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_lane_open(&p->honest, p->in, &lane), STG_OK);
    p->call = (stg_call){.end_ns = T0 + 1, .duration_us = 1000, .status = 200};
    p->call.src = intern(p->honest, STG_NODE, "good", 4);
    p->call.dst = intern(p->honest, STG_NODE, "better", 6);
    ck_assert_int_eq(stg_ingest_close(p->in, T0, NULL), STG_OK);
}

static inline void pair_close(pair *p)
{
    stg_lane_close(p->honest);
    stg_ingest_destroy(p->in);
    stg_ctx_destroy(p->ctx);
    ck_assert_uint_eq(p->memory.live, 0);
}

static inline void honest_push(pair *p, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        ck_assert_uint_eq(stg_lane_push(p->honest, &p->call, 1), 1);
    p->pushed += n;
}

/* Closes the window: the honest edge has exactly these calls. */
static inline void honest_close(pair *p, uint32_t calls)
{
    const stg_graph *g = NULL;
    stg_edges e = {.size = sizeof e};
    const uint64_t end = (p->call.end_ns / W + 1) * W;
    ck_assert_int_eq(stg_ingest_close(p->in, end, &g), STG_OK);
    ck_assert_int_eq(stg_graph_get_edges(g, &e), STG_OK);
    const uint32_t src = stg_graph_find(g, "good", 4);
    const uint32_t dst = stg_graph_find(g, "better", 6);
    const double *column = stg_graph_column(g, STG_EDGE, "calls", 5);
    double seen = 0;
    for (uint32_t k = e.out_ptr[src]; k < e.out_ptr[src + 1]; k++)
        if (e.dst[k] == dst)
            seen += column[k];
    ck_assert_double_eq(seen, calls);
    stg_unref(g);
    p->call.end_ns += W;
}

/* A lane in shared memory with names, calls and gauges in it, and the memory itself. */
typedef struct enemy {
    stg_lane *lane;
    uint64_t id;
    uint64_t *words;
    stg__lane_page *page;
    stg__slot *slots;
    size_t bytes;
} enemy;

static inline void enemy_open(enemy *e, pair *p, uint64_t end_ns)
{
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256, .names = 16};
    int fd;
    ck_assert_int_eq(stg_lane_create_fd(&fd, p->ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&e->lane, p->ctx, fd), STG_OK);
    ck_assert_int_eq(stg_ingest_attach(p->in, fd, &e->id), STG_OK);
    e->bytes = stg__lane_bytes(256);
    void *at = mmap(NULL, e->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(at, MAP_FAILED);
    close(fd);
    e->words = (uint64_t *)at;
    e->page = (stg__lane_page *)at;
    e->slots = (stg__slot *)(e->page + 1);
    stg_call c = {.end_ns = end_ns, .status = 200};
    stg_gauge gauge = {.time_ns = end_ns, .open = 5};
    c.dst = gauge.node = intern(e->lane, STG_NODE, "evil", 4);
    c.route = intern(e->lane, STG_ROUTE, "a route that takes more than one slot of the ring, all told", 58);
    for (int i = 0; i < 6; i++) {
        stg_lane_push(e->lane, &c, 1);
        stg_lane_gauge(e->lane, &gauge);
    }
}

static inline void enemy_close(enemy *e, pair *p)
{
    const int32_t status = stg_ingest_detach(p->in, e->id);
    ck_assert(status == STG_OK || status == STG_E_NOTFOUND); /* it said that it is closed */
    stg_lane_close(e->lane);
    munmap(e->words, e->bytes);
}

#endif
