/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A net trained on absolute errors of logarithms forecasts medians; of a count that is mostly zero
 * the median is zero and says nothing. The smearing factor of Duan (1983) turns the forecast into a
 * mean: E[1 + x] = (1 + forecast) times the mean of (1 + x) / (1 + forecast) over the training
 * windows, for each node, target and step ahead. Latencies stay medians.
 */
#include <math.h>

#include "fit_net.h"

#define MOST_SAMPLES 512u /* enough for a mean */
#define LEAST_WINDOWS 20u /* fewer say too little: factor 1 */

/* Adds one sample's ratios; sum and count: [horizon][targets][nodes]. */
static void add_sample(const stg__fit *f, size_t first, double *sum, uint32_t *count)
{
    const stg_model *m = f->m;
    const stg__shape *s = &m->net.shape;
    const uint32_t nodes = stg__model_nodes(m);
    const real *y = f->data.y + (first + m->history) * nodes * s->targets;
    const real *out = f->desk[0].run.out;
    for (uint32_t d = 0; d < s->horizon; d++) {
        const uint32_t slot = stg__day_slot(m, f->t->window[first + m->history + d].start_ns);
        for (uint32_t i = 0; i < nodes; i++)
            for (uint32_t k = 0; k < s->targets; k++) {
                const size_t from = ((size_t)d * nodes + i) * s->targets + k;
                const size_t to = ((size_t)d * s->targets + k) * nodes + i;
                if (isnan(y[from])) /* as all are where there is no profile */
                    continue;
                const double middle = stg__profile_of(m, m->target[k], i)[slot];
                const double unit = m->deviation[(size_t)m->target[k] * nodes + i];
                const double seen = middle + unit * (double)y[from];
                const double expected = middle + unit * (double)out[from];
                sum[to] += exp(seen - (expected > 0 ? expected : 0));
                count[to]++;
            }
    }
}

static void add_samples(stg__fit *f, const size_t *sample, size_t samples, double *sum,
                        uint32_t *count)
{
    const size_t stride = samples / MOST_SAMPLES + 1;
    for (size_t i = 0; i < samples; i += stride) {
        const stg__feed feed = stg__fit_feed(f, &f->desk[0], sample[i], f->t->o.warmup);
        stg__run_forward(&f->desk[0].run, f->m->packed, &feed, f->m->horizon);
        add_sample(f, sample[i], sum, count);
    }
}

int32_t stg__fit_smear(stg__fit *f)
{
    stg_model *m = f->m;
    const uint32_t nodes = stg__model_nodes(m);
    const size_t all = (size_t)m->horizon * m->targets * nodes;
    uint32_t *count = (uint32_t *)stg__calloc(f->ctx, all, sizeof *count);
    double *sum = m->smear; /* is all zero and turned into the mean in place */
    if (!count)
        return STG_E_NOMEM;
    add_samples(f, f->data.train, f->data.trains, sum, count);
    add_samples(f, f->data.valid, f->data.valids, sum, count);
    for (size_t at = 0; at < all; at++) {
        const uint32_t k = (uint32_t)(at / nodes % m->targets);
        const bool latency = stg__is_latency(stg__names_get(m->columns, m->target[k], NULL));
        const double ratio = count[at] >= LEAST_WINDOWS && !latency ? sum[at] / count[at] : 1;
        m->smear[at] = ratio > 4 ? 4 : ratio < 0.25 ? 0.25 : ratio;
    }
    stg__free(f->ctx, count);
    return STG_OK;
}
