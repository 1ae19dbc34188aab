/* SPDX-License-Identifier: Apache-2.0 */
/* The optimiser's step over the flat vector of all parameters, after their gradients are summed. */
#include <math.h>

#include "adam.h"
#include "flush.h"

void stg__adam_step(stg__adam *a, real *w, const real *gradient, size_t count, double rate)
{
    a->steps++;
    const double t = (double)a->steps;
    const real b1 = (real)a->beta1;
    const real b2 = (real)a->beta2;
    const real scale = (real)(rate / (1 - pow(a->beta1, t)));
    const real root = (real)(1 / sqrt(1 - pow(a->beta2, t)));
    const real epsilon = (real)a->epsilon;
    const real keep = a->coupled ? 1 : (real)(1 - rate * a->decay);
    const real penalty = a->coupled ? (real)a->decay : 0;
    const uint64_t host = stg__flush_begin();
    for (size_t i = 0; i < count; i++) {
        const real g = gradient[i] + penalty * w[i];
        a->m[i] = b1 * a->m[i] + (1 - b1) * g;
        a->v[i] = b2 * a->v[i] + (1 - b2) * g * g;
        w[i] = keep * w[i] - scale * a->m[i] / ((real)sqrt(a->v[i]) * root + epsilon);
    }
    stg__flush_end(host);
}

double stg__norm(const real *x, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)x[i] * (double)x[i];
    return sqrt(sum);
}

double stg__clip(real *x, size_t count, double limit)
{
    const double norm = stg__norm(x, count);
    const double factor = limit / (norm + 1e-6);
    if (factor < 1)
        for (size_t i = 0; i < count; i++)
            x[i] *= (real)factor;
    return norm;
}
