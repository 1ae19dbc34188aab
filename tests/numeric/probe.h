/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One forward and reverse pass with all numbers in double on the outside: built for float and for
 * double, so that one program can compare the two.
 */
#ifndef STG_PROBE_H
#define STG_PROBE_H

#include "net.h"

typedef struct probe {
    stg__shape shape;
    uint32_t nodes;
    const stg__arc *arc;
    uint32_t arcs;
    stg__filter filter; /* zero: the random walk, exact */
    const double *params; /* as the net places them */
    const double *x;      /* [history][nodes][inputs] */
    const double *extras; /* [horizon][extras] */
    const double *labels; /* [horizon][nodes][targets], NaN: unknown */
    const uint8_t *feed;  /* [horizon] */
    double *out;          /* [horizon][nodes][targets] */
    double *gradient;     /* [params], NULL: forward only; of the sum of errors squared / 2 */
    double loss;
} probe;

void probe_run(probe *p, stg_ctx *ctx, const stg__kernels *kernels); /* float; NULL: the best */
void probe_run_d(probe *p, stg_ctx *ctx, const stg__kernels *kernels);

#endif
