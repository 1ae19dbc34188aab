/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The forward pass: history through the encoder, then the decoder step by step on its own outputs.
 * One run serves one graph; with all slots kept it leaves the tape that the reverse pass reads.
 */
#include <math.h>
#include <string.h>

#include "flush.h"
#include "net.h"

static size_t slot_of(const stg__run *run, uint32_t slot)
{
    return run->taped ? slot : 0; /* a state is not read any more when the next one is written */
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

real *stg__run_cells(const stg__run *run, uint32_t layer, uint32_t slot)
{
    return run->s[layer] + slot_of(run, slot) * run->nodes * run->net->shape.units;
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

/* What the layers need. Without a tape they take turns in all but their states, which are one
 * slot: a state is written where it was read. */
static size_t layer_pieces(stg__run *run, const stg__net *net, size_t n, bool taped, carve *piece)
{
    const size_t u = net->shape.units;
    const size_t steps = taped ? stg__net_steps(net) : 1;
    const size_t slots = taped ? steps + 1 : 1;
    const size_t lstm = net->shape.cell == STG__DCLSTM ? n : 0;
    size_t pieces = 0;
    for (uint32_t l = 0; l < net->shape.layers; l++) {
        piece[pieces++] = (carve){&run->g[l], slots * n * net->copies * u};
        piece[pieces++] = (carve){&run->s[l], slots * lstm * u};
        if (l > 0 && !taped)
            continue;
        piece[pieces++] = (carve){&run->ru[l], steps * n * net->gates * u};
        piece[pieces++] = (carve){&run->rh[l], steps * (n - lstm) * net->copies * u};
        piece[pieces++] = (carve){&run->th[l], steps * lstm * u};
        piece[pieces++] = (carve){&run->c[l], steps * n * u};
    }
    return pieces;
}

/* All working memory in one block; every piece starts on a cache line. */
int32_t stg__run_create(stg__run *run, stg_ctx *ctx, const stg__net *net, uint32_t nodes, bool taped)
{
    const stg__shape *s = &net->shape;
    const size_t n = nodes;
    const size_t direct = s->decoder == STG__SEQ2SEQ ? 0 : n;
    carve piece[6 * STG__MAX_LAYERS + 5];
    memset(run, 0, sizeof *run);
    size_t pieces = layer_pieces(run, net, n, taped, piece);
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
    for (uint32_t l = 1; l < s->layers && !taped; l++) {
        run->ru[l] = run->ru[0];
        run->rh[l] = run->rh[0];
        run->th[l] = run->th[0];
        run->c[l] = run->c[0];
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
    stg__free_aligned(run->ctx, run->kept);
    stg__ctx_unref(run->ctx);
    memset(run, 0, sizeof *run);
}

/* --- rows, shared by a crew ---------------------------------------------------------------------- */

typedef struct share {
    const stg__run *run;
    const stg__product *product;
    const stg__hop *hop;
} share;

static void share_product(const share *s, uint32_t first, uint32_t end)
{
    stg__product p = *s->product;
    stg__segment segment[2]; /* input and state: no product here has more */
    stg__after after;
    for (uint32_t i = 0; i < p.segments; i++) {
        segment[i] = p.segment[i];
        segment[i].at += first * segment[i].ld;
    }
    p.segment = segment;
    p.to += first * p.ld;
    p.rows = end - first;
    if (p.after) {
        after = *p.after;
        if (after.ru)
            after.ru += (size_t)first * 2 * after.units;
        after.h += first * after.h_ld;
        after.to += first * after.to_ld;
        p.after = &after;
    }
    s->run->kernels->product(&p);
}

static void share_hop(const share *s, uint32_t first, uint32_t end)
{
    stg__hop h = *s->hop;
    stg__csr rows = *h.matrix;
    rows.ptr += first;
    rows.rows = end - first;
    h.matrix = &rows;
    h.y += first * h.ld;
    if (h.z)
        h.z += first * h.ld;
    s->run->kernels->hop(&h);
}

static void do_share(void *job, uint32_t worker)
{
    const share *s = (const share *)job;
    const uint64_t host = stg__flush_begin();
    const uint64_t rows = s->run->nodes;
    const uint32_t members = stg__crew_members(s->run->crew);
    const uint32_t first = (uint32_t)(rows * worker / members);
    const uint32_t end = (uint32_t)(rows * (worker + 1) / members);
    if (s->product)
        share_product(s, first, end);
    else
        share_hop(s, first, end);
    stg__flush_end(host);
}

void stg__run_product(const stg__run *run, const stg__product *p)
{
    share s = {run, p, NULL};
    if (run->crew)
        stg__crew_run(run->crew, do_share, &s);
    else
        run->kernels->product(p);
}

static void run_hop(const stg__run *run, const stg__hop *hop)
{
    share s = {run, NULL, hop};
    if (run->crew)
        stg__crew_run(run->crew, do_share, &s);
    else
        run->kernels->hop(hop);
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
        run_hop(run, &hop);
    }
}

void stg__run_cell(stg__run *run, const real *packed, uint32_t part, uint32_t layer, uint32_t t)
{
    const stg__net *net = run->net;
    if (net->shape.cell == STG__DCLSTM) {
        stg__run_lstm(run, packed, part, layer, t);
        return;
    }
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
    const stg__after reset = {.units = u, .h = before, .h_ld = wide, .to = rh, .to_ld = wide};
    const stg__after update = {
        .units = u, .ru = ru, .h = before, .h_ld = wide, .to = after, .to_ld = wide};
    const stg__product gates = {
        ru,     2 * u, run->nodes, 2 * u, for_gates, 2, STG__ACT_SIGMOID, packed + cell->pack_gate_w,
        packed + cell->pack_gate_b, &reset};
    const stg__product cand = {
        c,      u, run->nodes, u, for_cand, 2, STG__ACT_TANH, packed + cell->pack_cand_w,
        packed + cell->pack_cand_b, &update};
    stg__run_product(run, &gates);
    stg__run_diffuse(run, rh, u);
    stg__run_product(run, &cand);
    stg__run_diffuse(run, after, u);
}

static void one_step(stg__run *run, const real *packed, const real *x, uint32_t t)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    real *to = stg__run_inputs(run, STG__ENCODER, t);
    for (uint32_t i = 0; i < run->nodes; i++, x += s->inputs)
        memcpy(to + (size_t)i * net->copies * s->inputs, x, s->inputs * sizeof *x);
    stg__run_diffuse(run, to, s->inputs);
    for (uint32_t l = 0; l < s->layers; l++)
        stg__run_cell(run, packed, STG__ENCODER, l, t);
}

static void encode(stg__run *run, const real *packed, const stg__feed *feed)
{
    const size_t window = (size_t)run->nodes * run->net->shape.inputs;
    stg__run_reset(run);
    for (uint32_t back = feed->warmup; back > 0; back--)
        stg__run_step(run, packed, feed->x - back * window);
    for (uint32_t t = 0; t < run->net->shape.history; t++)
        one_step(run, packed, feed->x + t * window, t);
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

static void decode(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    const uint32_t wide = net->copies * s->units;
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
                                  packed + net->pack_proj_b,
                                  NULL};
        stg__run_product(run, &out);
        for (size_t i = 0; feed->base && i < (size_t)run->nodes * s->targets; i++)
            to[i] += feed->base[(size_t)d * run->nodes * s->targets + i];
    }
}

void stg__run_forward(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps)
{
    const uint64_t host = stg__flush_begin();
    encode(run, packed, feed);
    decode(run, packed, feed, steps);
    stg__flush_end(host);
}

/* --- a state that is carried on ------------------------------------------------------------------ */

int32_t stg__run_carry(stg__run *run)
{
    const stg__net *net = run->net;
    const size_t one = (size_t)run->nodes * (net->copies + 1) * net->shape.units;
    run->kept = (real *)stg__alloc_aligned(run->ctx, net->shape.layers * one, sizeof *run->kept);
    return run->kept ? STG_OK : STG_E_NOMEM;
}

static void copy(real *to, const real *from, size_t count)
{
    if (to != from)
        memcpy(to, from, count * sizeof *to);
}

/* What stands in one slot goes to another. */
static void move_slot(stg__run *run, uint32_t to, uint32_t from)
{
    const stg__shape *s = &run->net->shape;
    const size_t units = (size_t)run->nodes * s->units;
    for (uint32_t l = 0; l < s->layers; l++) {
        copy(stg__run_state(run, l, to), stg__run_state(run, l, from), run->net->copies * units);
        if (s->cell == STG__DCLSTM)
            copy(stg__run_cells(run, l, to), stg__run_cells(run, l, from), units);
    }
}

void stg__run_reset(stg__run *run)
{
    const stg__shape *s = &run->net->shape;
    const size_t units = (size_t)run->nodes * s->units;
    for (uint32_t l = 0; l < s->layers; l++) {
        memset(stg__run_state(run, l, 0), 0, run->net->copies * units * sizeof(real));
        if (s->cell == STG__DCLSTM)
            memset(stg__run_cells(run, l, 0), 0, units * sizeof(real));
    }
}

void stg__run_step(stg__run *run, const real *packed, const real *x)
{
    const uint64_t host = stg__flush_begin();
    one_step(run, packed, x, 0);
    move_slot(run, 0, 1);
    stg__flush_end(host);
}

void stg__run_decode(stg__run *run, const real *packed, const stg__feed *feed, uint32_t steps)
{
    const stg__shape *s = &run->net->shape;
    const size_t units = (size_t)run->nodes * s->units;
    real *kept = run->kept;
    for (uint32_t l = 0; l < s->layers; l++, kept += (run->net->copies + 1) * units) {
        copy(kept, stg__run_state(run, l, 0), run->net->copies * units);
        if (s->cell == STG__DCLSTM)
            copy(kept + run->net->copies * units, stg__run_cells(run, l, 0), units);
    }
    const uint64_t host = stg__flush_begin();
    move_slot(run, s->history, 0);
    decode(run, packed, feed, steps);
    stg__flush_end(host);
    kept = run->kept;
    for (uint32_t l = 0; l < s->layers; l++, kept += (run->net->copies + 1) * units) {
        copy(stg__run_state(run, l, 0), kept, run->net->copies * units);
        if (s->cell == STG__DCLSTM)
            copy(stg__run_cells(run, l, 0), kept + run->net->copies * units, units);
    }
}

void stg__run_read(const stg__run *run, real *state)
{
    const stg__shape *s = &run->net->shape;
    const size_t wide = (size_t)run->net->copies * s->units;
    for (uint32_t l = 0; l < s->layers; l++) {
        const real *from = stg__run_state(run, l, 0);
        for (uint32_t i = 0; i < run->nodes; i++, state += s->units)
            copy(state, from + i * wide, s->units);
        if (s->cell == STG__DCLSTM)
            copy(state, stg__run_cells(run, l, 0), (size_t)run->nodes * s->units);
        state += (stg__net_states(run->net) - s->units) * run->nodes;
    }
}

void stg__run_write(stg__run *run, const real *state)
{
    const stg__shape *s = &run->net->shape;
    const size_t wide = (size_t)run->net->copies * s->units;
    for (uint32_t l = 0; l < s->layers; l++) {
        real *to = stg__run_state(run, l, 0);
        for (uint32_t i = 0; i < run->nodes; i++, state += s->units)
            copy(to + i * wide, state, s->units);
        stg__run_diffuse(run, to, s->units);
        if (s->cell == STG__DCLSTM)
            copy(stg__run_cells(run, l, 0), state, (size_t)run->nodes * s->units);
        state += (stg__net_states(run->net) - s->units) * run->nodes;
    }
}
