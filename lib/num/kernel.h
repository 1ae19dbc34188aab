/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loops that forecasting spends its time in. One source, built for several instruction sets; a
 * table of functions is chosen once and then carried along, there is no global state. All sums run
 * in the order of their index, so that results do not depend on how rows are cut into blocks.
 */
#ifndef STG_KERNEL_H
#define STG_KERNEL_H

#include "real.h"

#define stg__kernels_get STG_REAL(stg__kernels_get)
#define stg__kernels_base STG_REAL(stg__kernels_base)
#define stg__kernels_v3 STG_REAL(stg__kernels_v3)
#define stg__kernels_v4 STG_REAL(stg__kernels_v4)
#define stg__packed_size STG_REAL(stg__packed_size)
#define stg__pack STG_REAL(stg__pack)

#define STG__PANEL 16u /* columns of a packed panel, the same for every instruction set */

/* Sparse matrix in compressed rows. */
typedef struct stg__csr {
    uint32_t rows;
    const uint32_t *ptr; /* [rows + 1] */
    const uint32_t *col;
    const real *val;
} stg__csr;

/* A piece of the left factor: `len` columns from `at`, rows `ld` apart. */
typedef struct stg__segment {
    const real *at;
    size_t ld;
    uint32_t len;
} stg__segment;

enum { STG__ACT_NONE, STG__ACT_SIGMOID, STG__ACT_TANH, STG__ACT_ADD };

/*
 * What a gated recurrent cell makes of a product's results y while they are at hand: without `ru`, of
 * the first half of the columns, the reset gate, to = y h; with it, of the candidate,
 * to = u h + (1 - u) y.
 */
typedef struct stg__after {
    uint32_t units;
    const real *ru; /* [rows][2 units]: reset, update; NULL: y are these */
    const real *h;  /* state before */
    size_t h_ld;
    real *to;
    size_t to_ld;
} stg__after;

/*
 * to = act([segment 0 | segment 1 | ...] * packed + bias): the pieces are never put side by side in
 * memory. STG__ACT_ADD adds to what stands in `to`.
 */
typedef struct stg__product {
    real *to;
    size_t ld;
    uint32_t rows;
    uint32_t cols;
    const stg__segment *segment;
    uint32_t segments;
    uint32_t act;
    const real *packed; /* of stg__pack(): as many rows as the segments have columns */
    const real *bias;   /* padded to panels; NULL: none */
    const stg__after *after; /* NULL: nothing */
} stg__product;

/* One step of a diffusion over a matrix S: y = alpha S x + beta z; x, y, z have rows `ld` apart and
 * `width` columns; y may be z, never x. z may be NULL when beta is 0. */
typedef struct stg__hop {
    const stg__csr *matrix;
    const real *x;
    const real *z;
    real *y;
    size_t ld;
    uint32_t width;
    real alpha;
    real beta;
} stg__hop;

/* The derivative of the element-wise half of a gated recurrent cell; rows of h are far apart. */
typedef struct stg__gate {
    uint32_t rows;
    uint32_t units;
    const real *ru; /* [rows][2 units]: reset, update */
    const real *c;  /* [rows][units] candidate */
    const real *h;  /* state before */
    size_t h_ld;
    const real *d; /* of r h, rows d_ld apart */
    size_t d_ld;
    real *dru; /* [rows][2 units], before the sigmoid */
    real *dc;  /* [rows][units], before the tanh */
    real *dh;  /* [rows][units], of the new state, then of the state before (direct part) */
} stg__gate;

typedef struct stg__kernels {
    const char *name;
    void (*product)(const stg__product *p);
    /* to[k][o] += sum over rows of a[row][k] * b[row][o] */
    void (*outer)(real *to, size_t ld, uint32_t depth, uint32_t cols, const real *a, size_t lda,
                  const real *b, size_t ldb, size_t rows);
    void (*hop)(const stg__hop *h);
    void (*update_back)(const stg__gate *g); /* dh *= u; dru's update half; dc */
    void (*reset_back)(const stg__gate *g);  /* dh += d r; dru's reset half */
} stg__kernels;

enum { STG__ISA_BEST, STG__ISA_BASE, STG__ISA_V3, STG__ISA_V4 };

/* Table for an instruction set; NULL when this processor or build does not have it. */
const stg__kernels *stg__kernels_get(uint32_t isa);

/* Each instruction set's own table. */
extern const stg__kernels stg__kernels_base;
extern const stg__kernels stg__kernels_v3;
extern const stg__kernels stg__kernels_v4;
extern const stg__kernels stg__kernels_wide; /* tests only: the shape of v4 in any instructions */

/* Numbers that a matrix of depth rows and cols columns needs when packed. */
size_t stg__packed_size(uint32_t depth, uint32_t cols);
/*
 * Packs rows [first, first + depth) of a matrix of `total` rows into panels; row k, column o of the
 * matrix is from[k * row_step + o * col_step], so that a transpose is packed by swapping the steps.
 */
void stg__pack(real *to, uint32_t total, uint32_t first, uint32_t depth, uint32_t cols,
               const real *from, size_t row_step, size_t col_step);

#endif
