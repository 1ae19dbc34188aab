/* SPDX-License-Identifier: Apache-2.0 */
/* Common to the benchmarks: give up loudly, processor time, medians, one JSON line a figure. */
#ifndef STG_BENCH_H
#define STG_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BENCH_ROUNDS_MAX 512

static inline void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "benchmark: %s\n", what);
        exit(1);
    }
}

/* Processor time in seconds: what else runs on the machine does not count. */
static inline double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline int bench_order(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the times. */
static inline double median(double *times, int count)
{
    qsort(times, (size_t)count, sizeof *times, bench_order);
    return (times[(count - 1) / 2] + times[count / 2]) / 2;
}

/* peer: figure of the peer on the same work, 0 where there is none. */
static inline void print(const char *name, double value, const char *unit, double peer)
{
    printf("{\"name\":\"%s\",\"value\":%.3f,\"unit\":\"%s\",", name, value, unit);
    if (peer > 0)
        printf("\"peer\":%.3f,\"ratio\":%.2f}\n", peer, peer / value);
    else
        printf("\"peer\":null,\"ratio\":null}\n");
    fflush(stdout);
}

#endif
