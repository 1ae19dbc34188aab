/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Losses over the labels that are known, and their derivatives by the net's outputs. Compiled for double
 * too in the tests.
 */
#ifndef STG_LOSS_H
#define STG_LOSS_H

#include "real.h"

#define stg__loss_sum STG_REAL(stg__loss_sum)

/* Of an error e: |e|, e^2, and Huber's (1964) e^2 / 2 up to delta, delta (|e| - delta / 2) beyond. */
enum { STG__MAE, STG__MSE, STG__HUBER };

typedef struct stg__loss {
    uint32_t kind;
    double delta;
} stg__loss;

/* Sum over the labels that are not NaN, and their number to *known; dout, when given, receives the
 * derivative of the sum times scale, 0 where a label is not known. */
double stg__loss_sum(const stg__loss *loss, const real *out, const real *labels, size_t count,
                     real scale, real *dout, double *known);

#endif
