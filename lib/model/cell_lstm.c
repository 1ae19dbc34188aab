/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DC-LSTM cell, forward and back. All four gates read the same diffused input and state, so a step
 * has no diffusion but that of its own result. The state of the cell itself is never diffused.
 */
#include <math.h>

#include "net.h"

#ifdef STG_DOUBLE
#define TANH tanh
#else
#define TANH tanhf
#endif

/* Gates i, f, o stand side by side in a row of ru, g in c. */
static void update(const stg__run *run, uint32_t layer, uint32_t t, const real *ru, const real *g,
                   real *th)
{
    const uint32_t u = run->net->shape.units;
    const size_t wide = (size_t)run->net->copies * u;
    const real *before = stg__run_cells(run, layer, t);
    real *after = stg__run_cells(run, layer, t + 1);
    real *h = stg__run_state(run, layer, t + 1);
    for (uint32_t i = 0; i < run->nodes; i++) {
        const real *gate = ru + (size_t)i * 3 * u;
        for (uint32_t j = 0; j < u; j++) {
            const size_t at = (size_t)i * u + j;
            const real s = gate[u + j] * before[at] + gate[j] * g[at];
            after[at] = s;
            th[at] = TANH(s);
            h[i * wide + j] = gate[2 * u + j] * th[at];
        }
    }
}

void stg__run_lstm(stg__run *run, const real *packed, uint32_t part, uint32_t layer, uint32_t t)
{
    const stg__net *net = run->net;
    const stg__cell *cell = &net->cell[part][layer];
    const uint32_t u = net->shape.units;
    const uint32_t wide = net->copies * u;
    const uint32_t x_wide = net->copies * cell->inputs;
    const size_t step = run->taped ? (size_t)t * run->nodes : 0;
    const real *x = layer ? stg__run_state(run, layer - 1, t + 1) : stg__run_inputs(run, part, t);
    real *ru = run->ru[layer] + step * 3 * u;
    real *c = run->c[layer] + step * u;
    const stg__segment from[2] = {{x, x_wide, x_wide}, {stg__run_state(run, layer, t), wide, wide}};
    const stg__product gates = {.to = ru, .ld = 3 * u, .rows = run->nodes, .cols = 3 * u,
                                .segment = from, .segments = 2, .act = STG__ACT_SIGMOID,
                                .packed = packed + cell->pack_gate_w,
                                .bias = packed + cell->pack_gate_b};
    const stg__product cand = {.to = c, .ld = u, .rows = run->nodes, .cols = u,
                               .segment = from, .segments = 2, .act = STG__ACT_TANH,
                               .packed = packed + cell->pack_cand_w,
                               .bias = packed + cell->pack_cand_b};
    stg__run_product(run, &gates);
    stg__run_product(run, &cand);
    update(run, layer, t, ru, c, run->th[layer] + step * u);
    stg__run_diffuse(run, stg__run_state(run, layer, t + 1), u);
}

/* dh and ds are of the states after the step, and then ds of the one before it; what the state before
 * gets comes through the gates alone. */
static void update_back(stg__back *back, uint32_t layer, uint32_t t, real *dru, real *dg)
{
    const stg__run *run = back->run;
    const uint32_t u = run->net->shape.units;
    const size_t step = (size_t)t * run->nodes * u;
    const real *ru = run->ru[layer] + 3 * step;
    const real *g = run->c[layer] + step;
    const real *th = run->th[layer] + step;
    const real *before = stg__run_cells(run, layer, t);
    real *dh = back->dh[layer];
    real *ds = back->ds[layer];
    for (uint32_t n = 0; n < run->nodes; n++) {
        const real *i = ru + (size_t)n * 3 * u;
        const real *f = i + u;
        const real *o = f + u;
        real *to = dru + (size_t)n * 3 * u;
        for (uint32_t j = 0; j < u; j++) {
            const size_t at = (size_t)n * u + j;
            const real d = ds[at] + dh[at] * o[j] * (1 - th[at] * th[at]);
            to[j] = d * g[at] * i[j] * (1 - i[j]);
            to[u + j] = d * before[at] * f[j] * (1 - f[j]);
            to[2 * u + j] = dh[at] * th[at] * o[j] * (1 - o[j]);
            dg[at] = d * i[j] * (1 - g[at] * g[at]);
            ds[at] = d * f[j];
            dh[at] = 0;
        }
    }
}

/* After stg__back_cell() has gathered dh. */
void stg__back_lstm(stg__back *back, const real *packed, uint32_t part, uint32_t layer, uint32_t t,
                    bool want_dx)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const stg__cell *cell = &net->cell[part][layer];
    const uint32_t u = net->shape.units;
    const uint32_t wide = net->copies * u;
    const uint32_t x_wide = net->copies * cell->inputs;
    real *dru = back->dru[layer] + (size_t)t * run->nodes * 3 * u;
    real *dc = back->dc[layer] + (size_t)t * run->nodes * u;
    update_back(back, layer, t, dru, dc);
    const stg__segment from[2] = {{dru, 3 * u, 3 * u}, {dc, u, u}};
    stg__product to = {.to = back->dg[layer], .ld = wide, .rows = run->nodes, .cols = wide,
                       .segment = from, .segments = 1, .act = STG__ACT_NONE,
                       .packed = packed + cell->back_gate};
    run->kernels->product(&to);
    to.segment = &from[1];
    to.act = STG__ACT_ADD;
    to.packed = packed + cell->back_cand;
    run->kernels->product(&to);
    if (!layer && !want_dx)
        return;
    const stg__product to_x = {.to = layer ? back->dg[layer - 1] : back->dx, .ld = x_wide,
                               .rows = run->nodes, .cols = x_wide, .segment = from, .segments = 2,
                               .act = layer ? STG__ACT_ADD : STG__ACT_NONE,
                               .packed = packed + cell->back_x};
    run->kernels->product(&to_x);
}
