/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most that one core does: multiply-adds on registers alone, for each instruction set. Built into
 * the program that is compared with it, so that both meet the same frequency and the same neighbours.
 */
#ifndef STG_PEAK_H
#define STG_PEAK_H

#include <string.h>

#include "bench.h"

#define PEAK_CHAINS 14 /* independent, more than latency times ports */

/* STEP in every chain; the result keeps the compiler from leaving it out. */
#define PEAK_LOOP(name, bytes, attribute, factor, STEP)                                            \
    attribute static float name(size_t steps)                                                      \
    {                                                                                              \
        typedef float lanes __attribute__((vector_size(bytes)));                                   \
        lanes x[PEAK_CHAINS];                                                                      \
        lanes a;                                                                                   \
        lanes b;                                                                                   \
        for (size_t j = 0; j < bytes / sizeof(float); j++) {                                       \
            a[j] = (factor) + (float)(steps & 1);                                                  \
            b[j] = 0.25f + (float)j;                                                               \
        }                                                                                          \
        _Pragma("GCC unroll 14") for (int i = 0; i < PEAK_CHAINS; i++) x[i] = b;                   \
        for (size_t s = 0; s < steps; s++) {                                                       \
            _Pragma("GCC unroll 14") for (int i = 0; i < PEAK_CHAINS; i++)                         \
            {                                                                                      \
                x[i] = STEP;                                                                       \
                __asm__ volatile("" : "+x"(x[i]));                                                 \
            }                                                                                      \
        }                                                                                          \
        float sum = 0;                                                                             \
        _Pragma("GCC unroll 14") for (int i = 0; i < PEAK_CHAINS; i++) sum += x[i][0];             \
        return sum;                                                                                \
    }

#ifdef __x86_64__
PEAK_LOOP(peak_v4, 64, __attribute__((noinline, target("avx512f"))), 0.5f, x[i] * a + b)
PEAK_LOOP(peak_v3, 32, __attribute__((noinline, target("avx2,fma"))), 0.5f, x[i] * a + b)
PEAK_LOOP(peak_base, 16, __attribute__((noinline)), 1.0f, i % 2 ? x[i] * a : x[i] + b)
#endif

/* GFLOP/s of the table's instruction set; 0 where this file has no loop for it. */
static inline double peak_gflops(const char *table)
{
#ifdef __x86_64__
    static const struct {
        const char *name;
        float (*loop)(size_t);
        double lanes;
        double flops; /* of a step of a lane */
    } loops[] = {{"x86-64-v4", peak_v4, 16, 2},
                 {"x86-64-v3", peak_v3, 8, 2},
                 {"base", peak_base, 4, 1}}; /* has no multiply-add: either, in turns */
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        if (strcmp(loops[i].name, table) != 0)
            continue;
        const size_t steps = 100000; /* even */
        loops[i].loop(steps / 10);
        const double start = now();
        const float kept = loops[i].loop(steps);
        const double took = now() - start;
        must(kept > 0, "the loop of the peak");
        return loops[i].flops * loops[i].lanes * PEAK_CHAINS * (double)steps / took * 1e-9;
    }
#endif
    return 0;
}

#endif
