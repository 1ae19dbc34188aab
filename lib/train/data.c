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
    stg__free_aligned(ctx, d->recent);
    stg__free(ctx, d->before);
    stg__free(ctx, d->train);
    stg__free(ctx, d->valid);
}

static double scaled(const stg_model *m, const stg__window *w, uint32_t column, uint32_t node,
                     uint32_t id)
{
    const size_t at = (size_t)column * stg__model_nodes(m) + node;
    const double *profile = stg__profile_of(m, column, node);
    if (!profile)
        return NAN;
    const double middle = profile[stg__day_slot(m, w->start_ns)];
    return (stg__window_value(w, column, id) - middle) / m->deviation[at];
}

/* Of the published net: z-scores on one scale, and to the encoder the share of the day that is over. */
static void fill_plain_window(stg__data *d, const stg_model *m, const stg__window *w, size_t place,
                              const uint32_t *order)
{
    const stg__shape *s = &m->net.shape;
    const uint32_t nodes = stg__model_nodes(m);
    const double day = (double)(w->start_ns % m->day_ns) / (double)m->day_ns;
    for (uint32_t i = 0; i < nodes; i++) {
        real *x = d->x + (place * nodes + i) * s->inputs;
        real *y = d->y + (place * nodes + i) * s->targets;
        for (uint32_t c = 0; c < m->inputs; c++)
            x[(c + 1) * m->lags - 1] = (real)stg__plain_input(
                stg__window_value(w, c, order[i]), m->global_mean[c], m->global_deviation[c]);
        if (m->time_inputs)
            x[m->inputs * m->lags] = (real)day;
        for (uint32_t k = 0; k < s->targets; k++) {
            const uint32_t c = m->target[k];
            y[k] = (real)((stg__window_value(w, c, order[i]) - m->global_mean[c]) /
                          m->global_deviation[c]);
        }
    }
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
        for (uint32_t c = 0; c < m->inputs; c++)
            x[(c + 1) * m->lags - 1] = (real)stg__clipped(scaled(m, w, c, i, order[i]));
        for (uint32_t j = 0; m->time_inputs && j < STG__TIME_INPUTS; j++)
            x[m->inputs * m->lags + j] = (real)time[j];
        for (uint32_t k = 0; k < s->targets; k++)
            y[k] = (real)scaled(m, w, m->target[k], i, order[i]);
    }
}

/* The windows before as further features of a window, the oldest first. What lies over a gap is another
 * series, but no sample reaches over a gap. */
static void fill_lags(stg__data *d, const stg_model *m, size_t w)
{
    const size_t wide = m->net.shape.inputs;
    const size_t row = stg__model_nodes(m) * wide;
    real *x = d->x + w * row;
    for (size_t i = 0; i < row; i += wide)
        for (uint32_t c = 0; c < m->inputs; c++)
            for (uint32_t back = 1; back < m->lags; back++) {
                const size_t last = i + (c + 1) * m->lags - 1;
                x[last - back] = back <= w ? (x - back * row)[last] : 0;
            }
}

/* The present deviation at the end of each window, as a session has it. Over a gap it would be another
 * one, but no sample reaches over a gap. */
static void fill_recent(stg__data *d, const stg_model *m, size_t w)
{
    const size_t row = (size_t)stg__model_nodes(m) * m->targets;
    for (size_t i = 0; i < row; i++) {
        stg__recent recent = {0, 0, 1};
        for (size_t back = 0; back < m->history && back <= w; back++)
            stg__recent_add(&recent, (double)d->y[(w - back) * row + i]);
        d->recent[w * row + i] = (real)stg__recent_get(&recent);
    }
}

/* How much of a deviation is left after each number of windows: least squares over all nodes. */
void stg__data_pull(const stg__data *d, stg_model *m)
{
    const size_t row = (size_t)stg__model_nodes(m) * m->targets;
    for (uint32_t h = 0; h < m->horizon; h++)
        for (uint32_t k = 0; k < m->targets; k++) {
            double both = 0;
            double square = 0;
            for (size_t s = 0; s < d->trains; s++) {
                const size_t now = d->train[s] + m->history - 1;
                for (size_t i = k; i < row; i += m->targets) {
                    const double then = (double)d->y[(now + 1 + h) * row + i];
                    const double recent = (double)d->recent[now * row + i];
                    if (isnan(then))
                        continue;
                    both += recent * stg__clipped(then);
                    square += recent * recent;
                }
            }
            const double pull = square > 0 ? both / square : 0;
            m->pull[(size_t)h * m->targets + k] = pull < 0 ? 0 : pull > 1 ? 1 : pull;
        }
}

/* The outputs' starting points for the sample that begins at `first`. */
void stg__data_base(const stg__data *d, const stg_model *m, size_t first, real *base)
{
    const size_t row = (size_t)stg__model_nodes(m) * m->targets;
    const real *recent = d->recent + (first + m->history - 1) * row;
    for (uint32_t h = 0; h < m->horizon; h++)
        for (size_t i = 0; i < row; i++)
            base[h * row + i] =
                (real)m->pull[(size_t)h * m->targets + i % m->targets] * recent[i];
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
        d->before[w] = (uint32_t)(run - 1);
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
        .recent = (real *)stg__alloc_aligned(t->ctx, rows * s->targets, sizeof(real)),
        .before = (uint32_t *)stg__calloc(t->ctx, t->windows, sizeof(uint32_t)),
        .train = (size_t *)stg__calloc(t->ctx, t->windows, sizeof(size_t)),
        .valid = (size_t *)stg__calloc(t->ctx, t->windows, sizeof(size_t)),
    };
    if (!d->x || !d->y || !d->time || !d->recent || !d->before || !d->train || !d->valid)
        return STG_E_NOMEM;
    for (size_t w = 0; w < t->windows; w++)
        (m->kind->plain ? fill_plain_window : fill_window)(d, m, &t->window[w], w, order);
    for (size_t w = 0; w < t->windows; w++)
        fill_lags(d, m, w);
    for (size_t w = 0; !m->kind->plain && w < t->windows; w++)
        fill_recent(d, m, w);
    find_samples(d, m, t, train);
    return STG_OK;
}
