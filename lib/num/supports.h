/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supports of the diffusion: the matrices that a signal on the nodes of a weighted graph is spread by,
 * and their transposes for the reverse pass (Li et al. 2017, section 2.2 and appendix).
 */
#ifndef STG_SUPPORTS_H
#define STG_SUPPORTS_H

#include "base_priv.h"
#include "kernel.h"

#define stg__supports_build STG_REAL(stg__supports_build)
#define stg__supports_set STG_REAL(stg__supports_set)
#define stg__supports_commit STG_REAL(stg__supports_commit)
#define stg__supports_clear STG_REAL(stg__supports_clear)
#define stg__laplacian_build STG_REAL(stg__laplacian_build)

/*
 * Random walks: along the calls S = (D_out^-1 A)^T, against them S = (D_in^-1 A^T)^T; one or both.
 * Laplacian of the graph without directions, B = max(A, A^T): S = 2/lambda L - I with
 * L = I - D^-1/2 B D^-1/2, lambda its largest eigenvalue, or 2, which bounds it.
 */
enum { STG__RANDOM_WALK, STG__DUAL_RANDOM_WALK, STG__LAPLACIAN, STG__LAPLACIAN_2 };

/*
 * The numbers of a walk: where they belong, or in the reverse order among the edges that leave a node
 * (for the walk against the calls: that arrive at it), as PyTorch ports of DCRNN hold them, whose
 * checkpoints are wrong with anything else. A Laplacian is not touched by that.
 */
enum { STG__EXACT, STG__PORT_REVERSED };

typedef struct stg__filter {
    uint32_t kind;
    uint32_t order;
} stg__filter;

typedef struct stg__supports {
    stg_ctx *ctx;
    uint32_t nodes;
    uint32_t walks;
    stg__csr walk[2];
    stg__csr transposed[2];
    uint32_t *index; /* memory of the structure */
    real *value;     /* memory of the numbers */
    /* walks only: what the numbers are made from */
    uint32_t order;
    uint32_t arcs;
    uint32_t *place;      /* [arcs] of each arc among those sorted by callee */
    uint32_t *arc_at;     /* the other way round */
    uint32_t *touched;    /* [2][nodes] callers, and callees, whose weights have changed */
    uint32_t touches[2];
    uint8_t *is_touched;  /* [2][nodes] */
    double *weight;       /* [arcs] as they are */
} stg__supports;

/* A weighted edge; a list of them is sorted by (src, dst) and has each pair once. */
typedef struct stg__arc {
    uint32_t src;
    uint32_t dst;
    double weight; /* >= 0; of a Laplacian > 0 */
} stg__arc;

static inline uint32_t stg__filter_walks(uint32_t kind)
{
    return kind == STG__DUAL_RANDOM_WALK ? 2 : 1;
}

/* Errors: STG_E_NOMEM. */
int32_t stg__supports_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, stg__filter filter,
                            const stg__arc *arc, uint32_t arcs);
/*
 * Another weight for an arc of a random walk, by its place in the list; 0: as if the arc were not there.
 * set notes both ends of the arc, no more; commit makes the numbers of the noted nodes anew, each from all
 * of its weights in their order. So what comes out is what a build would make, to the bit, in whatever order
 * the changes came, and no rounding adds up. It costs the degrees of the noted nodes, at most twice the arcs.
 */
void stg__supports_set(stg__supports *s, uint32_t arc, double weight);
void stg__supports_commit(stg__supports *s);
void stg__supports_clear(stg__supports *s); /* zeroed memory is allowed */

/* The part of it for Laplacians; lambda_max false: 2. */
int32_t stg__laplacian_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, bool lambda_max,
                             const stg__arc *arc, uint32_t arcs);

#endif
