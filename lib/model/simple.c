/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two kinds without a net. "persistence": every coming window is the mean of the last few.
 * "seasonal": the profile of the day, times how high the present stands above it. They are the
 * measure for the net, and what a node that nobody knows yet is forecast by.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

double stg__recent_mean(const stg_session *s, const stg__state *st, uint32_t column, uint32_t node)
{
    double sum = 0;
    uint32_t count = 0;
    for (uint32_t back = 0; back < s->model->history; back++) {
        const double x = stg__ring_row(s, st, back, column)[node];
        if (!isnan(x)) {
            sum += stg__from_log(x);
            count++;
        }
    }
    return count ? sum / count : NAN;
}

static int32_t no_load(stg_model *m, const stg_bundle *b, stg_error *err)
{
    return STG_OK;
}

static int32_t no_store(const stg_model *m, stg_bundle *b)
{
    return STG_OK;
}

static void no_observe(const stg_session *s, stg__state *st, uint64_t start, const double *now)
{
}

static void persistence_predict(const stg_session *s, stg__state *st, uint32_t steps)
{
    const stg_model *m = s->model;
    for (uint32_t k = 0; k < m->targets; k++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const double x = stg__recent_mean(s, st, m->target[k], i);
            for (uint32_t step = 0; step < steps; step++)
                st->pred[((size_t)step * m->targets + k) * st->nodes + i] = x;
        }
}

const stg__kind stg__kind_persistence = {
    .name = "persistence",
    .load = no_load,
    .store = no_store,
    .observe = no_observe,
    .predict = persistence_predict,
};

/* --- seasonal --------------------------------------------------------------------------------- */

/* Levels follow slowly, over about twice the history, and start at the profile itself. */
static void seasonal_observe(const stg_session *s, stg__state *st, uint64_t start, const double *now)
{
    const stg_model *m = s->model;
    const double rate = 1.0 / (2.0 * m->history);
    const uint32_t slot = stg__day_slot(m, start);
    for (uint32_t k = 0; k < m->targets; k++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const double *profile = stg__profile_of(m, m->target[k], st->known[i]);
            const double x = now[(size_t)m->target[k] * st->nodes + i];
            if (!profile || isnan(x))
                continue;
            const double expected = stg__from_log(profile[slot]);
            double *seen = st->level + (size_t)k * st->nodes + i;
            double *usual = seen + (size_t)m->targets * st->nodes;
            if (*usual == 0 && *seen == 0)
                *seen = *usual = expected;
            *seen += rate * (stg__from_log(x) - *seen);
            *usual += rate * (expected - *usual);
        }
}

static void seasonal_predict(const stg_session *s, stg__state *st, uint32_t steps)
{
    const stg_model *m = s->model;
    for (uint32_t k = 0; k < m->targets; k++)
        for (uint32_t i = 0; i < st->nodes; i++) {
            const double *profile = stg__profile_of(m, m->target[k], st->known[i]);
            const double recent = stg__recent_mean(s, st, m->target[k], i);
            const double seen = st->level[(size_t)k * st->nodes + i];
            const double usual = st->level[((size_t)m->targets + k) * st->nodes + i];
            const double ratio = (seen + 1) / (usual + 1); /* one: where the profile is nothing */
            for (uint32_t step = 0; step < steps; step++) {
                const uint64_t start = s->last_start + (step + 1) * m->window_ns;
                double x = recent;
                if (profile && st->seen[i])
                    x = fmax((stg__from_log(profile[stg__day_slot(m, start)]) + 1) * ratio - 1, 0);
                st->pred[((size_t)step * m->targets + k) * st->nodes + i] = x;
            }
        }
}

const stg__kind stg__kind_seasonal = {
    .name = "seasonal",
    .profile = true,
    .load = no_load,
    .store = no_store,
    .observe = seasonal_observe,
    .predict = seasonal_predict,
};
