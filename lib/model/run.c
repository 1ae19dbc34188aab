/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass: history through the encoder, then the decoder step by step on its own outputs.
 * One run serves one graph; with all slots kept it leaves the tape that the reverse pass reads.
 */
#include <math.h>
#include <string.h>

#include "net.h"

static size_t slot_of(const stg__run *run, uint32_t slot)
{
    return run->taped ? slot : slot & 1;
}

static size_t step_of(const stg__run *run, uint32_t t)
{
    return run->taped ? t : 0;
}

real *stg__run_state(const stg__run *run, uint32_t layer, uint32_t slot)
{
    const size_t wide = (size_t)run->net->copies * run->net->shape.units;
    return run->g[layer] + slot_of(run, slot) * run->nodes * wide;
}

/* The decoder's steps count on from the encoder's. */
real *stg__run_inputs(const stg__run *run, uint32_t part, uint32_t t)
{
    const uint32_t own = part == STG__ENCODER ? t : t - run->net->shape.history;
    const size_t wide = (size_t)run->net->copies * run->net->cell[part][0].inputs;
    return run->x[part] + step_of(run, own) * run->nodes * wide;
}

typedef struct carve {
    real **to;
    size_t count;
} carve;

/* All working memory in one block; every piece starts on a cache line. */
int32_t stg__run_create(stg__run *run, stg_ctx *ctx, const stg__net *net, uint32_t nodes, bool taped)
{
    const stg__shape *s = &net->shape;
    const size_t steps = taped ? stg__net_steps(net) : 1;
    const size_t slots = taped ? steps + 1 : 2;
    const size_t n = nodes;
    const size_t direct = s->decoder == STG__SEQ2SEQ ? 0 : n;
    carve piece[4 * STG__MAX_LAYERS + 5];
    size_t pieces = 0;
    memset(run, 0, sizeof *run);
    for (uint32_t l = 0; l < s->layers; l++) {
        piece[pieces++] = (carve){&run->g[l], slots * n * net->copies * s->units};
        piece[pieces++] = (carve){&run->ru[l], steps * n * 2 * s->units};
        piece[pieces++] = (carve){&run->rh[l], steps * n * net->copies * s->units};
        piece[pieces++] = (carve){&run->c[l], steps * n * s->units};
    }
    for (uint32_t part = 0; part < 2; part++) {
        const size_t own = !taped ? 1 : part == STG__ENCODER ? s->history : s->horizon;
        piece[pieces++] = (carve){&run->x[part], own * n * net->copies * net->cell[part][0].inputs};
    }
    piece[pieces++] = (carve){&run->out, (size_t)s->horizon * n * s->targets};
    piece[pieces++] = (carve){&run->top, direct * s->units};
    piece[pieces++] = (carve){&run->wide, direct * net->outputs};
    size_t total = 0;
    for (size_t i = 0; i < pieces; i++)
        total += (piece[i].count + 15) / 16 * 16;
    real *at = (real *)stg__alloc_aligned(ctx, total + 16, sizeof *at);
    if (taped)
        run->own = (uint8_t *)stg__calloc(ctx, (size_t)s->horizon * n * s->targets + 1, 1);
    if (!at || (taped && !run->own)) {
        stg__free_aligned(ctx, at);
        stg__free(ctx, run->own);
        memset(run, 0, sizeof *run);
        return STG_E_NOMEM;
    }
    run->memory = at;
    for (size_t i = 0; i < pieces; i++) {
        *piece[i].to = at;
        at += (piece[i].count + 15) / 16 * 16;
    }
    run->ctx = stg__ctx_ref(ctx);
    run->net = net;
    run->kernels = stg__kernels_get(STG__ISA_BEST);
    run->nodes = nodes;
    run->taped = taped;
    return STG_OK;
}

void stg__run_clear(stg__run *run)
{
    if (!run->ctx)
        return;
    stg__free_aligned(run->ctx, run->memory);
    stg__free(run->ctx, run->own);
    stg__ctx_unref(run->ctx);
    memset(run, 0, sizeof *run);
}

void stg__run_diffuse(const stg__run *run, real *copies, uint32_t width)
{
    const stg__net *net = run->net;
    for (uint32_t m = 1; m < net->copies; m++) {
        const stg__step *s = &net->step[m];
        const bool alone = s->minus == UINT32_MAX;
        const stg__hop hop = {
            .matrix = &run->supports->walk[s->walk],
            .x = copies + (size_t)s->from * width,
            .z = alone ? NULL : copies + (size_t)s->minus * width,
            .y = copies + (size_t)m * width,
            .ld = (size_t)net->copies * width,
            .width = width,
            .alpha = alone ? 1 : 2,
            .beta = alone ? 0 : -1,
        };
        run->kernels->hop(&hop);
    }
}

void stg__run_cell(stg__run *run, const real *packed, uint32_t part, uint32_t layer, uint32_t t)
{
    const stg__net *net = run->net;
    const stg__cell *cell = &net->cell[part][layer];
    const uint32_t u = net->shape.units;
    const size_t n = run->nodes;
    const uint32_t wide = net->copies * u;
    const real *before = stg__run_state(run, layer, t);
    real *after = stg__run_state(run, layer, t + 1);
    real *ru = run->ru[layer] + step_of(run, t) * n * 2 * u;
    real *rh = run->rh[layer] + step_of(run, t) * n * wide;
    real *c = run->c[layer] + step_of(run, t) * n * u;
    const real *x = layer ? stg__run_state(run, layer - 1, t + 1) : stg__run_inputs(run, part, t);
    const uint32_t x_wide = net->copies * cell->inputs;
    const stg__segment for_gates[2] = {{x, x_wide, x_wide}, {before, wide, wide}};
    const stg__segment for_cand[2] = {{x, x_wide, x_wide}, {rh, wide, wide}};
    const stg__product gates = {ru, 2 * u, run->nodes, 2 * u, for_gates, 2, STG__ACT_SIGMOID,
                                packed + cell->pack_gate_w, packed + cell->pack_gate_b};
    const stg__product cand = {c, u, run->nodes, u, for_cand, 2, STG__ACT_TANH,
                               packed + cell->pack_cand_w, packed + cell->pack_cand_b};
    stg__gate gate = {.rows = run->nodes, .units = u, .ru = ru, .c = c, .h = before, .h_ld = wide};
    run->kernels->product(&gates);
    gate.to = rh;
    gate.to_ld = wide;
    run->kernels->reset(&gate);
    stg__run_diffuse(run, rh, u);
    run->kernels->product(&cand);
    gate.to = after;
    run->kernels->update(&gate);
    stg__run_diffuse(run, after, u);
}

static void encode(stg__run *run, const real *packed, const real *x)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    for (uint32_t l = 0; l < s->layers; l++) {
        const size_t wide = (size_t)net->copies * s->units;
        memset(stg__run_state(run, l, 0), 0, run->nodes * wide * sizeof(real));
    }
    for (uint32_t t = 0; t < s->history; t++) {
        real *to = stg__run_inputs(run, STG__ENCODER, t);
        for (uint32_t i = 0; i < run->nodes; i++, x += s->inputs)
            memcpy(to + (size_t)i * net->copies * s->inputs, x, s->inputs * sizeof *x);
        stg__run_diffuse(run, to, s->inputs);
        for (uint32_t l = 0; l < s->layers; l++)
            stg__run_cell(run, packed, STG__ENCODER, l, t);
    }
}

/* Inputs of decoder step d: zeros at first, then labels where they are fed and known, else the
 * output before; and what is known in advance. */
static void fill_decoder(stg__run *run, const stg__feed *feed, uint32_t d)
{
    const stg__shape *s = &run->net->shape;
    const size_t wide = s->targets + s->extras;
    real *to = stg__run_inputs(run, STG__DECODER, s->history + d);
    const size_t outputs = (size_t)run->nodes * s->targets;
    const size_t last = d ? (d - 1) * outputs : 0;
    const bool fed = d && feed->feed && feed->feed[d - 1];
    for (uint32_t i = 0; i < run->nodes; i++) {
        real *row = to + i * run->net->copies * wide;
        for (uint32_t j = 0; j < s->targets; j++) {
            const size_t at = last + (size_t)i * s->targets + j;
            const bool label = fed && !isnan(feed->labels[at]);
            row[j] = !d ? 0 : label ? feed->labels[at] : run->out[at];
            if (d && run->own)
                run->own[at] = !label;
        }
        for (uint32_t j = 0; j < s->extras; j++)
            row[s->targets + j] = feed->extras[d * s->extras + j];
    }
    stg__run_diffuse(run, to, (uint32_t)wide);
}

void stg__run_forward(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    const uint32_t wide = net->copies * s->units;
    encode(run, packed, feed->x);
    if (s->decoder != STG__SEQ2SEQ) {
        stg__run_direct(run, packed, feed->base);
        return;
    }
    for (uint32_t d = 0; d < steps; d++) {
        const uint32_t t = s->history + d;
        fill_decoder(run, feed, d);
        for (uint32_t l = 0; l < s->layers; l++)
            stg__run_cell(run, packed, STG__DECODER, l, t);
        const stg__segment state = {stg__run_state(run, s->layers - 1, t + 1), wide, s->units};
        real *to = run->out + (size_t)d * run->nodes * s->targets;
        const stg__product out = {to,
                                  s->targets,
                                  run->nodes,
                                  s->targets,
                                  &state,
                                  1,
                                  STG__ACT_NONE,
                                  packed + net->pack_proj_w,
                                  packed + net->pack_proj_b};
        run->kernels->product(&out);
        for (size_t i = 0; feed->base && i < (size_t)run->nodes * s->targets; i++)
            to[i] += feed->base[(size_t)d * run->nodes * s->targets + i];
    }
}
