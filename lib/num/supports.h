/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supports of the diffusion: the random walks along the edges of a weighted graph, and their
 * transposes for the reverse pass.
 */
#ifndef STG_SUPPORTS_H
#define STG_SUPPORTS_H

#include "base_priv.h"
#include "kernel.h"

#define stg__supports_build STG_REAL(stg__supports_build)
#define stg__supports_clear STG_REAL(stg__supports_clear)

/* Walk 0 follows the calls: S = (D_out^-1 A)^T; walk 1 goes against them: S = (D_in^-1 A^T)^T. */
typedef struct stg__supports {
    stg_ctx *ctx;
    uint32_t nodes;
    uint32_t edges;
    stg__csr walk[2];
    stg__csr transposed[2];
    uint32_t *index; /* memory of the structure */
    real *value;     /* memory of the numbers */
} stg__supports;

/* A weighted edge; a list of them is sorted by (src, dst) and has each pair once. */
typedef struct stg__arc {
    uint32_t src;
    uint32_t dst;
    double weight; /* > 0 */
} stg__arc;

/* Makes both walks. Errors: STG_E_NOMEM. */
int32_t stg__supports_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, const stg__arc *arc,
                            uint32_t arcs);
void stg__supports_clear(stg__supports *s); /* zeroed memory is allowed */

#endif
