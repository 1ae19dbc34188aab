/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse pass over the tape of one sample, from the last output to the first input. What a step
 * needs from later ones is kept in two pieces for each layer: dh, the derivative by the state
 * itself, and dg, by its diffused copies; folding dg back through the diffusion happens once for each
 * state, after the layer above and the next step have both added to it. Derivatives by weights are
 * taken at the end, over all steps of a part at once.
 */
#include <string.h>

#include "flush.h"
#include "net.h"

typedef struct carve {
    real **to;
    size_t count;
} carve;

int32_t stg__back_create(stg__back *back, stg_ctx *ctx, const stg__run *run)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    const size_t steps = stg__net_steps(net);
    const size_t n = run->nodes;
    uint32_t widest = s->inputs;
    carve piece[5 * STG__MAX_LAYERS + 4];
    size_t pieces = 0;
    memset(back, 0, sizeof *back);
    if (widest < s->targets + s->extras)
        widest = s->targets + s->extras;
    for (uint32_t l = 0; l < s->layers; l++) {
        piece[pieces++] = (carve){&back->dg[l], n * net->copies * s->units};
        piece[pieces++] = (carve){&back->dh[l], n * s->units};
        piece[pieces++] = (carve){&back->dru[l], steps * n * net->gates * s->units};
        piece[pieces++] = (carve){&back->ds[l], s->cell == STG__DCLSTM ? n * s->units : 0};
        piece[pieces++] = (carve){&back->dc[l], steps * n * s->units};
    }
    piece[pieces++] = (carve){&back->drh, n * net->copies * s->units};
    piece[pieces++] = (carve){&back->dx, n * net->copies * widest};
    piece[pieces++] = (carve){&back->dout, (size_t)s->horizon * n * s->targets};
    piece[pieces++] = (carve){&back->wide, s->decoder == STG__SEQ2SEQ ? 0 : n * net->outputs};
    size_t total = 0;
    for (size_t i = 0; i < pieces; i++)
        total += (piece[i].count + 15) / 16 * 16;
    real *at = (real *)stg__alloc_aligned(ctx, total + 16, sizeof *at);
    if (!at)
        return STG_E_NOMEM;
    back->memory = at;
    for (size_t i = 0; i < pieces; i++) {
        *piece[i].to = at;
        at += (piece[i].count + 15) / 16 * 16;
    }
    back->ctx = stg__ctx_ref(ctx);
    back->run = run;
    return STG_OK;
}

void stg__back_clear(stg__back *back)
{
    if (!back->ctx)
        return;
    stg__free_aligned(back->ctx, back->memory);
    stg__ctx_unref(back->ctx);
    memset(back, 0, sizeof *back);
}

/* Each copy hands its derivative to the copies it was made from, the last one first. */
void stg__back_fold(const stg__back *back, real *copies, uint32_t width)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const size_t ld = (size_t)net->copies * width;
    for (uint32_t m = net->copies - 1; m > 0; m--) {
        const stg__step *s = &net->step[m];
        const bool alone = s->minus == UINT32_MAX;
        real *from = copies + (size_t)s->from * width;
        const real *d = copies + (size_t)m * width;
        const stg__hop hop = {
            .matrix = &run->supports->transposed[s->walk],
            .x = d,
            .z = from,
            .y = from,
            .ld = ld,
            .width = width,
            .alpha = alone ? 1 : 2,
            .beta = 1,
        };
        run->kernels->hop(&hop);
        for (uint32_t i = 0; !alone && i < run->nodes; i++) {
            real *minus = copies + (size_t)s->minus * width + i * ld;
            for (uint32_t j = 0; j < width; j++)
                minus[j] -= d[i * ld + j];
        }
    }
}

void stg__back_reset(stg__back *back)
{
    const stg__net *net = back->run->net;
    const size_t n = back->run->nodes;
    const size_t u = net->shape.units;
    for (uint32_t l = 0; l < net->shape.layers; l++) {
        memset(back->dg[l], 0, n * net->copies * u * sizeof(real));
        memset(back->dh[l], 0, n * u * sizeof(real));
        if (net->shape.cell == STG__DCLSTM)
            memset(back->ds[l], 0, n * u * sizeof(real));
    }
}

/* dh += the derivative that came in through the diffused copies, which then are empty. */
static void gather(stg__back *back, uint32_t layer)
{
    const stg__run *run = back->run;
    const uint32_t u = run->net->shape.units;
    const size_t wide = (size_t)run->net->copies * u;
    real *dg = back->dg[layer];
    real *dh = back->dh[layer];
    stg__back_fold(back, dg, u);
    for (size_t i = 0; i < run->nodes; i++)
        for (uint32_t j = 0; j < u; j++)
            dh[i * u + j] += dg[i * wide + j];
}

/*
 * Step t of a layer: dh and dg are of the state after it when this begins and of the state before it
 * when it ends. The input's share goes to dg of the layer below, or to dx.
 */
void stg__back_cell(stg__back *back, const real *packed, uint32_t part, uint32_t layer, uint32_t t,
                    bool want_dx)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const stg__cell *cell = &net->cell[part][layer];
    const uint32_t u = net->shape.units;
    const size_t n = run->nodes;
    const uint32_t wide = net->copies * u;
    const uint32_t x_wide = net->copies * cell->inputs;
    real *dru = back->dru[layer] + t * n * 2 * u;
    real *dc = back->dc[layer] + t * n * u;
    gather(back, layer);
    if (net->shape.cell == STG__DCLSTM) {
        stg__back_lstm(back, packed, part, layer, t, want_dx);
        return;
    }
    stg__gate gate = {
        .rows = run->nodes,
        .units = u,
        .ru = run->ru[layer] + t * n * 2 * u,
        .c = run->c[layer] + t * n * u,
        .h = stg__run_state(run, layer, t),
        .h_ld = wide,
        .dru = dru,
        .dc = dc,
        .dh = back->dh[layer],
    };
    run->kernels->update_back(&gate);
    const stg__segment from[2] = {{dru, 2 * u, 2 * u}, {dc, u, u}};
    const stg__product to_rh = {back->drh, wide, run->nodes, wide, &from[1], 1, STG__ACT_NONE,
                                packed + cell->back_cand, NULL, NULL};
    run->kernels->product(&to_rh);
    stg__back_fold(back, back->drh, u);
    gate.d = back->drh;
    gate.d_ld = wide;
    run->kernels->reset_back(&gate);
    const stg__product to_h = {back->dg[layer], wide, run->nodes, wide, &from[0], 1, STG__ACT_NONE,
                               packed + cell->back_gate, NULL, NULL};
    run->kernels->product(&to_h);
    const stg__product to_x = {layer ? back->dg[layer - 1] : back->dx,
                               x_wide,
                               run->nodes,
                               x_wide,
                               from,
                               2,
                               layer ? STG__ACT_ADD : STG__ACT_NONE,
                               packed + cell->back_x,
                               NULL,
                               NULL};
    if (layer || want_dx)
        run->kernels->product(&to_x);
}

static void add_columns(real *to, const real *from, size_t rows, uint32_t cols)
{
    for (size_t r = 0; r < rows; r++)
        for (uint32_t j = 0; j < cols; j++)
            to[j] += from[r * cols + j];
}

/* Derivatives by the weights of one part, over its steps [first, first + steps). */
void stg__back_weights(stg__back *back, uint32_t part, uint32_t first, uint32_t steps, real *gradient)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const uint32_t u = net->shape.units;
    const size_t n = run->nodes;
    const size_t rows = steps * n;
    const uint32_t wide = net->copies * u;
    const uint32_t g = net->gates * u;
    for (uint32_t l = 0; l < net->shape.layers && steps; l++) {
        const stg__cell *cell = &net->cell[part][l];
        const uint32_t x_wide = net->copies * cell->inputs;
        const real *dru = back->dru[l] + first * n * g;
        const real *dc = back->dc[l] + first * n * u;
        const real *x = l ? stg__run_state(run, l - 1, first + 1) : stg__run_inputs(run, part, first);
        const real *h = stg__run_state(run, l, first);
        const real *rh = net->shape.cell == STG__DCLSTM ? h : run->rh[l] + first * n * wide;
        real *gate = gradient + cell->gate_w;
        real *cand = gradient + cell->cand_w;
        run->kernels->outer(gate, g, x_wide, g, x, x_wide, dru, g, rows);
        run->kernels->outer(gate + (size_t)x_wide * g, g, wide, g, h, wide, dru, g, rows);
        run->kernels->outer(cand, u, x_wide, u, x, x_wide, dc, u, rows);
        run->kernels->outer(cand + (size_t)x_wide * u, u, wide, u, rh, wide, dc, u, rows);
        add_columns(gradient + cell->gate_b, dru, rows, g);
        add_columns(gradient + cell->cand_b, dc, rows, u);
    }
}

/* The projection of decoder step d: its weights, and the state it read. */
static void project_back(stg__back *back, const real *packed, uint32_t d, real *gradient)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    const uint32_t top = s->layers - 1;
    const size_t wide = (size_t)net->copies * s->units;
    const real *dout = back->dout + (size_t)d * run->nodes * s->targets;
    const real *h = stg__run_state(run, top, s->history + d + 1);
    const stg__segment from = {dout, s->targets, s->targets};
    const stg__product to_h = {back->dh[top], s->units, run->nodes, s->units, &from, 1,
                               STG__ACT_ADD, packed + net->back_proj, NULL, NULL};
    run->kernels->outer(gradient + net->proj_w, s->targets, s->units, s->targets, h, wide, dout,
                        s->targets, run->nodes);
    add_columns(gradient + net->proj_b, dout, run->nodes, s->targets);
    run->kernels->product(&to_h);
}

/* Hands the derivative by the decoder's inputs to the outputs they were. */
static void feed_back(stg__back *back, uint32_t d)
{
    const stg__run *run = back->run;
    const stg__shape *s = &run->net->shape;
    const uint32_t inputs = s->targets + s->extras;
    stg__back_fold(back, back->dx, inputs);
    for (uint32_t i = 0; i < run->nodes; i++)
        for (uint32_t j = 0; j < s->targets; j++) {
            const size_t at = ((size_t)(d - 1) * run->nodes + i) * s->targets + j;
            if (run->own[at])
                back->dout[at] += back->dx[(size_t)i * run->net->copies * inputs + j];
        }
}

void stg__back_run(stg__back *back, const real *packed, uint32_t steps, real *gradient)
{
    const stg__shape *s = &back->run->net->shape;
    const uint64_t host = stg__flush_begin();
    stg__back_reset(back);
    const bool direct = s->decoder != STG__SEQ2SEQ;
    if (direct)
        stg__back_direct(back, packed, steps, gradient);
    for (uint32_t d = direct ? 0 : steps; d-- > 0;) {
        project_back(back, packed, d, gradient);
        for (uint32_t l = s->layers; l-- > 0;)
            stg__back_cell(back, packed, STG__DECODER, l, s->history + d, d > 0);
        if (d > 0)
            feed_back(back, d);
    }
    for (uint32_t t = s->history; t-- > 0;)
        for (uint32_t l = s->layers; l-- > 0;)
            stg__back_cell(back, packed, STG__ENCODER, l, t, false);
    stg__back_weights(back, STG__ENCODER, 0, s->history, gradient);
    if (!direct)
        stg__back_weights(back, STG__DECODER, s->history, steps, gradient);
    stg__flush_end(host);
}
