/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The head of a net without a decoder: the encoder's last state, or what of it is above zero, through
 * one linear map to all steps ahead at once, as the documented examples of PyTorch Geometric Temporal
 * (Rozemberczki et al. 2021, arXiv:2104.07788) have it. And its reverse pass.
 */
#include <string.h>

#include "net.h"

static void read_top(const stg__run *run)
{
    const stg__shape *s = &run->net->shape;
    const size_t wide = (size_t)run->net->copies * s->units;
    const bool cut = s->decoder == STG__DIRECT_RELU;
    const real *from = stg__run_state(run, s->layers - 1, s->history);
    for (uint32_t i = 0; i < run->nodes; i++)
        for (uint32_t j = 0; j < s->units; j++) {
            const real h = from[i * wide + j];
            run->top[(size_t)i * s->units + j] = cut && h < 0 ? 0 : h;
        }
}

void stg__run_direct(stg__run *run, const real *packed, const real *base)
{
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    read_top(run);
    const stg__segment from = {run->top, s->units, s->units};
    const stg__product out = {run->wide, net->outputs, run->nodes, net->outputs, &from, 1,
                              STG__ACT_NONE, packed + net->pack_proj_w, packed + net->pack_proj_b,
                              NULL};
    stg__run_product(run, &out);
    for (uint32_t d = 0; d < s->horizon; d++)
        for (uint32_t i = 0; i < run->nodes; i++) {
            const size_t at = ((size_t)d * run->nodes + i) * s->targets;
            const real *row = run->wide + (size_t)i * net->outputs + (size_t)d * s->targets;
            for (uint32_t k = 0; k < s->targets; k++)
                run->out[at + k] = row[k] + (base ? base[at + k] : 0);
        }
}

/* Derivatives by the map, and by the state it read, which go to dh of the top layer. */
void stg__back_direct(stg__back *back, const real *packed, uint32_t steps, real *gradient)
{
    const stg__run *run = back->run;
    const stg__net *net = run->net;
    const stg__shape *s = &net->shape;
    const uint32_t top = s->layers - 1;
    memset(back->wide, 0, (size_t)run->nodes * net->outputs * sizeof *back->wide);
    for (uint32_t d = 0; d < steps; d++)
        for (uint32_t i = 0; i < run->nodes; i++)
            memcpy(back->wide + (size_t)i * net->outputs + (size_t)d * s->targets,
                   back->dout + ((size_t)d * run->nodes + i) * s->targets,
                   s->targets * sizeof *back->wide);
    const stg__segment from = {back->wide, net->outputs, net->outputs};
    const stg__product to_h = {back->dh[top], s->units, run->nodes, s->units, &from, 1,
                               STG__ACT_NONE, packed + net->back_proj, NULL, NULL};
    run->kernels->outer(gradient + net->proj_w, net->outputs, s->units, net->outputs, run->top,
                        s->units, back->wide, net->outputs, run->nodes);
    for (uint32_t i = 0; i < run->nodes; i++)
        for (uint32_t o = 0; o < net->outputs; o++)
            gradient[net->proj_b + o] += back->wide[(size_t)i * net->outputs + o];
    run->kernels->product(&to_h);
    for (size_t i = 0; s->decoder == STG__DIRECT_RELU && i < (size_t)run->nodes * s->units; i++)
        if (!(run->top[i] > 0))
            back->dh[top][i] = 0;
}
