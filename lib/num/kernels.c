/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses the kernels for the processor at hand, and packs matrices for them: panels of 16 columns,
 * row after row, the last panel filled up with zeros. The packed form is the same for all of them.
 */
#include <string.h>

#include "kernel.h"

#if defined(__x86_64__) && !defined(STG_DOUBLE)
static bool has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_v4(void)
{
    return has_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

const stg__kernels *stg__kernels_get(uint32_t isa)
{
    __builtin_cpu_init();
    if ((isa == STG__ISA_BEST || isa == STG__ISA_V4) && has_v4())
        return &stg__kernels_v4;
    if ((isa == STG__ISA_BEST || isa == STG__ISA_V3) && has_v3())
        return &stg__kernels_v3;
    return isa == STG__ISA_BEST || isa == STG__ISA_BASE ? &stg__kernels_base : NULL;
}
#else
const stg__kernels *stg__kernels_get(uint32_t isa)
{
    return isa == STG__ISA_BEST || isa == STG__ISA_BASE ? &stg__kernels_base : NULL;
}
#endif

size_t stg__packed_size(uint32_t depth, uint32_t cols)
{
    return (size_t)depth * ((cols + STG__PANEL - 1) / STG__PANEL) * STG__PANEL;
}

void stg__pack(real *to, uint32_t total, uint32_t first, uint32_t depth, uint32_t cols,
               const real *from, size_t row_step, size_t col_step)
{
    for (uint32_t col = 0; col < cols; col += STG__PANEL) {
        const uint32_t wide = cols - col < STG__PANEL ? cols - col : STG__PANEL;
        real *panel = to + (size_t)col * total + (size_t)first * STG__PANEL;
        for (uint32_t k = 0; k < depth; k++, panel += STG__PANEL) {
            memset(panel, 0, STG__PANEL * sizeof *panel);
            for (uint32_t o = 0; o < wide; o++)
                panel[o] = from[k * row_step + (col + o) * col_step];
        }
    }
}
