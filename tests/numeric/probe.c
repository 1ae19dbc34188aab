/* SPDX-License-Identifier: Apache-2.0 */
/* The probe's one source for both number types; the loss is smooth so that it can be differentiated. */
#include <math.h>

#include "probe.h"
#include "test.h"

#ifdef STG_DOUBLE
#define PROBE_RUN probe_run_d
#else
#define PROBE_RUN probe_run
#endif

static real *reals(const double *from, size_t count)
{
    real *x = (real *)calloc(count + 16, sizeof *x);
    for (size_t i = 0; from && i < count; i++)
        x[i] = (real)from[i];
    return x;
}

void PROBE_RUN(probe *p, stg_ctx *ctx, const stg__kernels *kernels)
{
    const stg__shape *s = &p->shape;
    stg__net net;
    stg__run run;
    stg__back back;
    stg__supports supports;
    ck_assert(stg__net_init(&net, s));
    ck_assert_int_eq(stg__supports_build(&supports, ctx, p->nodes, p->filter, p->arc, p->arcs), STG_OK);
    ck_assert_int_eq(stg__run_create(&run, ctx, &net, p->nodes, true), STG_OK);
    ck_assert_int_eq(stg__back_create(&back, ctx, &run), STG_OK);
    run.supports = &supports;
    if (kernels)
        run.kernels = kernels;
    const size_t outputs = (size_t)s->horizon * p->nodes * s->targets;
    real *params = reals(p->params, net.params);
    real *gradient = reals(NULL, net.params);
    real *packed = reals(NULL, net.pack_size);
    real *packed_back = reals(NULL, net.back_size);
    real *x = reals(p->x, (size_t)s->history * p->nodes * s->inputs);
    real *extras = reals(p->extras, (size_t)s->horizon * s->extras);
    real *labels = reals(p->labels, outputs);
    stg__net_pack(&net, params, packed);
    stg__net_pack_back(&net, params, packed_back);
    const stg__feed feed = {.x = x, .extras = extras, .labels = labels, .feed = p->feed};
    stg__run_forward(&run, packed, &feed, s->horizon);
    p->loss = 0;
    for (size_t i = 0; i < outputs; i++) {
        const real e = isnan(labels[i]) ? 0 : run.out[i] - labels[i];
        p->loss += 0.5 * (double)e * (double)e;
        p->out[i] = (double)run.out[i];
        back.dout[i] = e;
    }
    if (p->gradient) {
        stg__back_run(&back, packed_back, s->horizon, gradient);
        for (size_t i = 0; i < net.params; i++)
            p->gradient[i] = (double)gradient[i];
    }
    free(params);
    free(gradient);
    free(packed);
    free(packed_back);
    free(x);
    free(extras);
    free(labels);
    stg__back_clear(&back);
    stg__run_clear(&run);
    stg__supports_clear(&supports);
}
