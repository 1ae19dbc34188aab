/* SPDX-License-Identifier: Apache-2.0 */
/* Adam (Kingma & Ba 2015), its decoupled decay of weights (Loshchilov & Hutter 2019) and the clipping
 * of gradients. */
#ifndef STG_ADAM_H
#define STG_ADAM_H

#include "real.h"

#define stg__adam_step STG_REAL(stg__adam_step)
#define stg__norm STG_REAL(stg__norm)
#define stg__clip STG_REAL(stg__clip)

typedef struct stg__adam {
    real *m; /* [count] first moment */
    real *v; /* [count] second moment */
    uint64_t steps;
    double beta1;
    double beta2;
    double epsilon; /* added to sqrt(v / (1 - beta2^t)) */
    double decay;   /* every step first takes rate * decay of each weight away */
    bool coupled;   /* no: decay times the weight is added to its gradient (Adam with an L2 penalty) */
} stg__adam;

/* One step: w -= rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon). */
void stg__adam_step(stg__adam *a, real *w, const real *gradient, size_t count, double rate);

/* Euclidean norm, summed in double in the order of the index. */
double stg__norm(const real *x, size_t count);

/* Scales x by min(1, limit / (norm + 1e-6)); returns the norm before. */
double stg__clip(real *x, size_t count, double limit);

#endif
