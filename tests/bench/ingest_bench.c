/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Speed of ingest: nanoseconds for a call through push and poll (counters and latency sketch, no
 * client), with clients and networks, and the time to close a window. Ten thousand edges whose
 * shares follow Zipf's law with exponent 1.1. Prints a JSON line for each figure; the median of
 * the rounds counts. Usage: ingest_bench [--quick] [PLAIN CLIENTS CLOSE], the last three being
 * a peer's figures in the same units.
 */
#include <math.h>
#include <string.h>

#include <stgraph/ingest.h>

#include "bench.h"

#define EDGES 10000u
#define CALLS (1u << 17) /* 8 MiB: what is measured is not the reading of the input */
#define TIMES 8u         /* all calls, in each round */
#define NODES 100u
#define WINDOW UINT64_C(5000000000)
#define T0 UINT64_C(1700000000000000000)

typedef struct bench {
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    stg_call *calls; /* [CALLS] */
    uint64_t end;
} bench;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

/* Edges drawn by Zipf's law: cumulative shares and a search. */
static uint32_t *draw_edges(uint64_t *random, uint32_t edges)
{
    double *share = malloc(edges * sizeof *share);
    uint32_t *edge = malloc(CALLS * sizeof *edge);
    must(share && edge, "out of memory");
    double total = 0;
    for (uint32_t i = 0; i < edges; i++)
        share[i] = total += pow(i + 1, -1.1);
    for (uint32_t i = 0; i < CALLS; i++) {
        const double u = (double)next_random(random) / 2147483648.0 * total;
        uint32_t low = 0;
        uint32_t high = edges - 1;
        while (low < high) {
            const uint32_t mid = (low + high) / 2;
            if (share[mid] < u)
                low = mid + 1;
            else
                high = mid;
        }
        edge[i] = low * 7919u % EDGES; /* neighbours in rank are not neighbours in memory */
    }
    free(share);
    return edge;
}

static void setup(bench *b, uint32_t edges)
{
    uint64_t random = 1;
    uint32_t *edge = draw_edges(&random, edges);
    uint32_t node[NODES];
    const stg_ingest_opts opts = {.size = sizeof opts, .window_ns = WINDOW, .max_edges = 16384};
    const stg_lane_opts lane_opts = {.size = sizeof lane_opts, .records = 4096};
    must(stg_ctx_create(&b->ctx, NULL) == STG_OK, "context");
    must(stg_ingest_create(&b->in, b->ctx, &opts) == STG_OK, "ingest");
    must(stg_lane_open(&b->lane, b->in, &lane_opts) == STG_OK, "lane");
    for (uint32_t i = 0; i < NODES; i++) {
        char name[32];
        snprintf(name, sizeof name, "service-%u", i);
        must(stg_lane_intern(b->lane, STG_NODE, name, strlen(name), &node[i]) == STG_OK, "name");
    }
    b->calls = malloc(CALLS * sizeof *b->calls);
    must(b->calls != NULL, "out of memory");
    b->end = T0 + WINDOW;
    for (uint32_t i = 0; i < CALLS; i++) {
        const double u = (double)(next_random(&random) + 1) / 2147483649.0;
        b->calls[i] = (stg_call){
            .src = node[edge[i] / NODES], .dst = node[edge[i] % NODES],
            .status = next_random(&random) % 100 ? 200 : 503,
            .duration_us = (uint32_t)(500 * pow(u, -0.7)), .bytes_in = 300, .bytes_out = 2000,
            .side = STG_SIDE_CLIENT,
        };
    }
    free(edge);
}

/* `batch` calls at a time; poll keeps up. */
static void run(bench *b, size_t batch)
{
    for (uint32_t at = 0; at < CALLS * TIMES; at += 2048) {
        const stg_call *calls = b->calls + at % CALLS;
        for (uint32_t i = 0; i < 2048; i += (uint32_t)batch)
            must(stg_lane_push(b->lane, calls + i, batch) == batch, "refused");
        must(stg_ingest_poll(b->in) == STG_OK, "poll");
    }
}

static double close_window(bench *b)
{
    const stg_graph *g;
    const double start = now();
    must(stg_ingest_close(b->in, b->end, &g) == STG_OK, "close");
    const double took = now() - start;
    stg_unref(g);
    b->end += WINDOW;
    return took;
}

static void measure(bench *b, const char *name, size_t batch, int rounds, double peer,
                    double peer_close)
{
    double push[BENCH_ROUNDS_MAX];
    double close[BENCH_ROUNDS_MAX];
    char label[64];
    for (int i = -1; i < rounds; i++) { /* the first round is the warm-up: edges appear */
        const uint64_t time = b->end - WINDOW;
        for (uint32_t k = 0; k < CALLS; k++)
            b->calls[k].end_ns = time;
        const double start = now();
        run(b, batch);
        const double took = now() - start;
        const double closed = close_window(b);
        if (i < 0)
            continue;
        push[i] = took;
        close[i] = closed;
    }
    snprintf(label, sizeof label, "ingest.%s", name);
    print(label, median(push, rounds) * 1e9 / (CALLS * TIMES), "ns/call", peer);
    snprintf(label, sizeof label, "ingest.close.%s", name);
    print(label, median(close, rounds) * 1e3, "ms", peer_close);
}

static void teardown(bench *b, uint32_t edges)
{
    stg_ingest_stats s = {.size = sizeof s};
    must(stg_ingest_get_stats(b->in, &s) == STG_OK, "stats");
    must(s.windowed == s.pushed && s.edges > edges, "ledger");
    stg_lane_close(b->lane);
    stg_ingest_destroy(b->in);
    stg_ctx_destroy(b->ctx);
    free(b->calls);
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    const int rounds = quick ? 3 : 15;
    double peer[3] = {0};
    for (int i = 0; i < 3 && 1 + quick + i < argc; i++)
        peer[i] = strtod(argv[1 + quick + i], NULL);
    bench b;
    setup(&b, EDGES);
    measure(&b, "batch32", 32, rounds, peer[0], peer[2]);
    measure(&b, "single", 1, rounds, peer[0], peer[2]);
    uint64_t random = 9;
    for (uint32_t i = 0; i < CALLS; i++) {
        b.calls[i].client = 1 + next_random(&random) % 5000;
        b.calls[i].group = 1 + (uint32_t)(b.calls[i].client % 300);
    }
    measure(&b, "clients", 32, rounds, peer[1], 0);
    teardown(&b, EDGES / 2);
    setup(&b, 500);
    measure(&b, "500edges", 32, rounds, 0, 0);
    teardown(&b, 400);
    return 0;
}
