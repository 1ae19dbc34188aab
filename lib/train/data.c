/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The windows as the net reads them: inputs in standard deviations, unknown ones at the mean, labels
 * with holes, time of day; and where samples may begin so that none reaches over a gap.
 */
#include <math.h>

#include "fit_net.h"

void stg__data_clear(stg_ctx *ctx, stg__data *d)
{
    stg__free_aligned(ctx, d->x);
    stg__free_aligned(ctx, d->y);
    stg__free_aligned(ctx, d->time);
    stg__free(ctx, d->train);
    stg__free(ctx, d->valid);
}

static double scaled(const stg_model *m, const stg__window *w, uint32_t column, uint32_t node,
                     uint32_t id)
{
    const size_t at = (size_t)column * stg__model_nodes(m) + node;
    return (stg__window_value(w, column, id) - m->mean[at]) / m->deviation[at];
}

static void fill_window(stg__data *d, const stg_model *m, const stg__window *w, size_t place,
                        const uint32_t *order)
{
    const stg__shape *s = &m->net.shape;
    const uint32_t nodes = stg__model_nodes(m);
    double time[2];
    stg__day_time(m->day_ns, w->start_ns, time);
    for (uint32_t j = 0; j < s->extras; j++)
        d->time[place * s->extras + j] = (real)time[j];
    for (uint32_t i = 0; i < nodes; i++) {
        real *x = d->x + (place * nodes + i) * s->inputs;
        real *y = d->y + (place * nodes + i) * s->targets;
        for (uint32_t c = 0; c < m->inputs; c++) {
            const double z = scaled(m, w, c, i, order[i]);
            x[c] = (real)(isnan(z) ? 0 : z > STG__CLIP ? STG__CLIP : z < -STG__CLIP ? -STG__CLIP : z);
        }
        for (uint32_t j = 0; j < s->extras; j++)
            x[m->inputs + j] = (real)time[j];
        for (uint32_t k = 0; k < s->targets; k++)
            y[k] = (real)scaled(m, w, m->target[k], i, order[i]);
    }
}

/* A training sample lies before `train` whole; a sample that judges has all its labels after it. */
static void find_samples(stg__data *d, const stg_model *m, const stg_trainer *t, size_t train)
{
    const size_t length = (size_t)m->history + m->horizon;
    size_t run = 0; /* windows in a row that end here */
    for (size_t w = 0; w < t->windows; w++) {
        const bool joined =
            w > 0 && t->window[w].start_ns == t->window[w - 1].start_ns + t->window_ns;
        run = joined ? run + 1 : 1;
        if (run < length)
            continue;
        const size_t first = w + 1 - length;
        if (w < train)
            d->train[d->trains++] = first;
        else if (first + m->history >= train)
            d->valid[d->valids++] = first;
    }
}

int32_t stg__data_create(stg__data *d, const stg_model *m, const stg_trainer *t,
                         const uint32_t *order, size_t train)
{
    const stg__shape *s = &m->net.shape;
    const size_t rows = t->windows * stg__model_nodes(m);
    *d = (stg__data){
        .x = (real *)stg__alloc_aligned(t->ctx, rows * s->inputs, sizeof(real)),
        .y = (real *)stg__alloc_aligned(t->ctx, rows * s->targets, sizeof(real)),
        .time = (real *)stg__alloc_aligned(t->ctx, t->windows * s->extras, sizeof(real)),
        .train = (size_t *)stg__calloc(t->ctx, t->windows, sizeof(size_t)),
        .valid = (size_t *)stg__calloc(t->ctx, t->windows, sizeof(size_t)),
    };
    if (!d->x || !d->y || !d->time || !d->train || !d->valid)
        return STG_E_NOMEM;
    for (size_t w = 0; w < t->windows; w++)
        fill_window(d, m, &t->window[w], w, order);
    find_samples(d, m, t, train);
    return STG_OK;
}
