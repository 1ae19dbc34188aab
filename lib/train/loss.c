/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The losses: what the errors of a sample cost, and the derivative that the reverse pass begins with.
 */
#include <math.h>

#include "loss.h"

static double cost(const stg__loss *loss, double e, double *slope)
{
    const double size = fabs(e);
    const double sign = e > 0 ? 1 : e < 0 ? -1 : 0;
    if (loss->kind == STG__MAE) {
        *slope = sign;
        return size;
    }
    if (loss->kind == STG__MSE) {
        *slope = 2 * e;
        return e * e;
    }
    const double delta = loss->delta;
    *slope = size <= delta ? e : sign * delta;
    return size <= delta ? 0.5 * e * e : delta * (size - 0.5 * delta);
}

double stg__loss_sum(const stg__loss *loss, const real *out, const real *labels, size_t count,
                     real scale, real *dout, double *known)
{
    double sum = 0;
    *known = 0;
    for (size_t i = 0; i < count; i++) {
        const bool unknown = isnan(labels[i]);
        double slope = 0;
        if (!unknown) {
            sum += cost(loss, (double)out[i] - (double)labels[i], &slope);
            (*known)++;
        }
        if (dout)
            dout[i] = (real)(slope * (double)scale);
    }
    return sum;
}
