/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers too small to be normal count as zero while the net computes: some processors take a hundred
 * cycles for each, and states that have died away are full of them. The register belongs to the
 * host's thread and is given back as it was, flags of exceptions too.
 */
#ifndef STG_FLUSH_H
#define STG_FLUSH_H

#include <stdint.h>

#ifdef __SSE2__
#include <xmmintrin.h>

#define STG__FLUSH_BITS 0x8040u /* MXCSR: flush to zero, denormals are zero */

static inline uint64_t stg__flush_begin(void)
{
    const uint32_t before = _mm_getcsr();
    _mm_setcsr(before | STG__FLUSH_BITS);
    return before;
}

static inline void stg__flush_end(uint64_t before)
{
    _mm_setcsr((uint32_t)before);
}
#elif defined(__aarch64__)
#define STG__FLUSH_BITS ((uint64_t)1 << 24) /* FPCR: flush to zero */

static inline uint64_t stg__flush_begin(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" ::"r"(before | STG__FLUSH_BITS));
    return before;
}

static inline void stg__flush_end(uint64_t before)
{
    __asm__ volatile("msr fpcr, %0" ::"r"(before));
}
#else
static inline uint64_t stg__flush_begin(void)
{
    return 0;
}

static inline void stg__flush_end(uint64_t before)
{
    (void)before;
}
#endif

#endif
