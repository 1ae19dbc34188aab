/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shape of the net: where each parameter stands in the flat vector that the optimiser sees, in which
 * order the diffused copies are made, and the packing for the kernels after each change of the
 * parameters.
 */
#include <math.h>
#include <string.h>

#include "net.h"

static size_t take(size_t *at, size_t count)
{
    const size_t here = *at;
    *at += count;
    return here;
}

static size_t padded(uint32_t cols)
{
    return (size_t)(cols + STG__PANEL - 1) / STG__PANEL * STG__PANEL;
}

static void place_cell(stg__net *net, stg__cell *c, uint32_t inputs)
{
    const uint32_t u = net->shape.units;
    const uint32_t g = net->gates * u;
    const uint32_t x_rows = net->copies * inputs;
    const uint32_t h_rows = net->copies * u;
    const uint32_t rows = x_rows + h_rows;
    c->inputs = inputs;
    c->gate_w = take(&net->params, (size_t)rows * g);
    c->gate_b = take(&net->params, g);
    c->cand_w = take(&net->params, (size_t)rows * u);
    c->cand_b = take(&net->params, u);
    c->pack_gate_w = take(&net->pack_size, stg__packed_size(rows, g));
    c->pack_gate_b = take(&net->pack_size, padded(g));
    c->pack_cand_w = take(&net->pack_size, stg__packed_size(rows, u));
    c->pack_cand_b = take(&net->pack_size, padded(u));
    c->back_x = take(&net->back_size, stg__packed_size(g + u, x_rows));
    c->back_gate = take(&net->back_size, stg__packed_size(g, h_rows));
    c->back_cand = take(&net->back_size, stg__packed_size(u, h_rows));
}

/* The chain of each walk: T1 = S T0, and after it Tk = 2 S Tk-1 - Tk-2, or - T0, or Tk = S Tk-1. T0
 * is the input or, when it is carried over, the last but one of the walk before. */
static void place_steps(stg__net *net)
{
    const uint32_t recursion = net->shape.recursion;
    uint32_t before = 0;
    uint32_t m = 1;
    for (uint32_t w = 0; w < net->shape.walks; w++) {
        if (recursion != STG__CARRY)
            before = 0;
        uint32_t last = before;
        for (uint32_t k = 0; k < net->shape.hops; k++, m++) {
            const bool alone = k == 0 || recursion == STG__POWER;
            net->step[m] = (stg__step){w, last, alone ? UINT32_MAX : before};
            if (k > 0 && recursion != STG__PYGT)
                before = last;
            last = m;
        }
    }
}

static bool within(const stg__shape *s)
{
    const struct {
        uint32_t value;
        uint32_t least;
        uint32_t most;
    } limit[] = {
        {s->inputs, 1, 256},
        {s->targets, 1, 256},
        {s->extras, 0, s->decoder == STG__SEQ2SEQ ? 256 : 0},
        {s->layers, 1, STG__MAX_LAYERS},
        {s->units, 1, STG__MAX_UNITS},
        {s->hops, 0, STG__MAX_HOPS},
        {s->walks, 1, 2},
        {s->recursion, STG__RESTART, STG__POWER},
        {s->decoder, STG__SEQ2SEQ, STG__DIRECT_RELU},
        {s->cell, STG__DCGRU, STG__DCLSTM},
        {s->history, 1, STG__MAX_WINDOWS},
        {s->horizon, 0, STG__MAX_WINDOWS},
    };
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++)
        if (limit[i].value < limit[i].least || limit[i].value > limit[i].most)
            return false;
    return true;
}

bool stg__net_init(stg__net *net, const stg__shape *s)
{
    memset(net, 0, sizeof *net);
    if (!within(s))
        return false;
    net->shape = *s;
    net->copies = s->walks * s->hops + 1;
    net->gates = s->cell == STG__DCLSTM ? 3 : 2;
    net->parts = s->decoder == STG__SEQ2SEQ ? 2 : 1;
    net->outputs = s->decoder == STG__SEQ2SEQ ? s->targets : s->horizon * s->targets;
    place_steps(net);
    for (uint32_t part = 0; part < net->parts; part++)
        for (uint32_t l = 0; l < s->layers; l++) {
            const uint32_t lowest = part == STG__ENCODER ? s->inputs : s->targets + s->extras;
            place_cell(net, &net->cell[part][l], l == 0 ? lowest : s->units);
        }
    net->proj_w = take(&net->params, (size_t)s->units * net->outputs);
    net->proj_b = take(&net->params, net->outputs);
    net->pack_proj_w = take(&net->pack_size, stg__packed_size(s->units, net->outputs));
    net->pack_proj_b = take(&net->pack_size, padded(net->outputs));
    net->back_proj = take(&net->back_size, stg__packed_size(net->outputs, s->units));
    return true;
}

static void pack_all(real *to, real *bias_to, uint32_t rows, uint32_t cols, const real *w,
                     const real *bias)
{
    stg__pack(to, rows, 0, rows, cols, w, cols, 1);
    memset(bias_to, 0, padded(cols) * sizeof *bias_to);
    memcpy(bias_to, bias, cols * sizeof *bias_to);
}

void stg__net_pack(const stg__net *net, const real *p, real *packed)
{
    const uint32_t u = net->shape.units;
    for (uint32_t i = 0; i < net->parts * net->shape.layers; i++) {
        const stg__cell *c = stg__net_cell(net, i);
        const uint32_t rows = net->copies * (c->inputs + u);
        pack_all(packed + c->pack_gate_w, packed + c->pack_gate_b, rows, net->gates * u, p + c->gate_w,
                 p + c->gate_b);
        pack_all(packed + c->pack_cand_w, packed + c->pack_cand_b, rows, u, p + c->cand_w,
                 p + c->cand_b);
    }
    pack_all(packed + net->pack_proj_w, packed + net->pack_proj_b, u, net->outputs, p + net->proj_w,
             p + net->proj_b);
}

void stg__net_pack_back(const stg__net *net, const real *p, real *packed)
{
    const uint32_t u = net->shape.units;
    const uint32_t g = net->gates * u;
    const uint32_t h_rows = net->copies * u;
    for (uint32_t i = 0; i < net->parts * net->shape.layers; i++) {
        const stg__cell *c = stg__net_cell(net, i);
        const uint32_t x_rows = net->copies * c->inputs;
        const real *gate_h = p + c->gate_w + (size_t)x_rows * g;
        const real *cand_h = p + c->cand_w + (size_t)x_rows * u;
        stg__pack(packed + c->back_x, g + u, 0, g, x_rows, p + c->gate_w, 1, g);
        stg__pack(packed + c->back_x, g + u, g, u, x_rows, p + c->cand_w, 1, u);
        stg__pack(packed + c->back_gate, g, 0, g, h_rows, gate_h, 1, g);
        stg__pack(packed + c->back_cand, u, 0, u, h_rows, cand_h, 1, u);
    }
    stg__pack(packed + net->back_proj, net->outputs, 0, net->outputs, u, p + net->proj_w, 1,
              net->outputs);
}

static void fill_normal(real *w, size_t count, double deviation, stg__rng *rng)
{
    for (size_t i = 0; i < count; i++)
        w[i] = (real)(deviation * stg__rng_normal(rng));
}

void stg__net_start(const stg__net *net, real *p, uint64_t seed)
{
    const uint32_t u = net->shape.units;
    const uint32_t g = net->gates * u;
    stg__rng rng;
    memset(p, 0, net->params * sizeof *p);
    for (uint32_t i = 0; i < net->parts * net->shape.layers; i++) {
        const stg__cell *c = stg__net_cell(net, i);
        const size_t rows = (size_t)net->copies * (c->inputs + u);
        stg__rng_init(&rng, seed, i);
        fill_normal(p + c->gate_w, rows * g, sqrt(2.0 / (double)(rows + g)), &rng);
        fill_normal(p + c->cand_w, rows * u, sqrt(2.0 / (double)(rows + u)), &rng);
        const bool lstm = net->shape.cell == STG__DCLSTM; /* only what is forgotten */
        for (uint32_t j = lstm ? u : 0; j < 2 * u; j++)
            p[c->gate_b + j] = 1;
    }
    stg__rng_init(&rng, seed, 2 * STG__MAX_LAYERS);
    fill_normal(p + net->proj_w, (size_t)u * net->outputs, sqrt(2.0 / (u + net->outputs)), &rng);
}
