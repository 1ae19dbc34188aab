/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kind "dcrnn_series": the net as it was published (Li et al. 2017), on z-scores of plain values,
 * with supports from the graph's own weights. Every node is treated alike, so a model needs no names.
 * The encoder may know the time of day, as the share of the day that is over.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

#define Z_MOST 1e4         /* of an input; keeps floats finite */
#define FORECAST_MOST 1e17 /* of a forecast; a saved one is read back */

double stg__plain_input(double x, double mean, double deviation)
{
    const double z = (x - mean) / deviation;
    return isnan(z) ? 0 : fmax(fmin(z, Z_MOST), -Z_MOST);
}

/* One step of the encoder, whose last window lies `back` windows ago: each column's values from the
 * oldest on, then the time of day of the last. */
static void fill_step(const stg_session *s, const stg__state *st, uint32_t back, real *to)
{
    const stg_model *m = s->model;
    const uint64_t far = (uint64_t)back * m->window_ns;
    const uint64_t start = far < s->last_start ? s->last_start - far : 0;
    const double day = (double)(start % m->day_ns) / (double)m->day_ns;
    for (uint32_t i = 0; i < st->nodes; i++) {
        for (uint32_t c = 0; c < m->inputs; c++)
            for (uint32_t lag = m->lags; lag-- > 0;) {
                const double x = stg__ring_row(s, st, back + lag, c)[i];
                *to++ = (real)stg__plain_input(x, s->mean[c], s->deviation[c]);
            }
        if (m->time_inputs)
            *to++ = (real)day;
    }
}

static void fill_inputs(const stg_session *s, stg__state *st)
{
    const stg__shape *shape = &s->model->net.shape;
    for (uint32_t t = 0; t < shape->history; t++)
        fill_step(s, st, shape->history - 1 - t, st->x + (size_t)t * st->nodes * shape->inputs);
}

static void series_predict(const stg_session *s, stg__state *st, uint32_t steps)
{
    const stg_model *m = s->model;
    if (!s->stateful)
        fill_inputs(s, st);
    const stg__feed feed = {.x = st->x};
    (s->stateful ? stg__run_decode : stg__run_forward)(&st->run, m->packed, &feed, steps);
    for (uint32_t d = 0; d < steps; d++)
        for (uint32_t k = 0; k < m->targets; k++) {
            const uint32_t column = m->target[k];
            for (uint32_t i = 0; i < st->nodes; i++) {
                const double z = st->run.out[((size_t)d * st->nodes + i) * m->targets + k];
                const double x = z * s->deviation[column] + s->mean[column];
                st->pred[((size_t)d * m->targets + k) * st->nodes + i] =
                    st->seen[i] ? fmax(fmin(x, FORECAST_MOST), -FORECAST_MOST) : NAN;
            }
        }
}

static void series_observe(const stg_session *s, stg__state *st, uint64_t start, const double *now)
{
}

/* --- state ------------------------------------------------------------------------------------ */

static int32_t series_prepare(const stg_session *s, stg__state *st, const stg_graph *g)
{
    if (g) {
        const double *weight = stg__graph_column_at(g, STG_EDGE, s->weight_column);
        for (uint32_t e = 0; e < st->edges; e++)
            if (isnan(st->arc_calls[e])) /* not carried over */
                st->arc_calls[e] = !weight ? 1
                                   : isfinite(weight[e]) ? fmax(fmin(weight[e], STG__PLAIN_MOST), 0)
                                                         : NAN;
    }
    STG_RETURN_IF_ERROR(stg__state_supports(s, st));
    return stg__state_net_room(s, st);
}

static void series_advance(const stg_session *s, stg__state *st)
{
    fill_step(s, st, 0, st->x);
    stg__state_advance(s, st);
}

/* --- file ------------------------------------------------------------------------------------- */

static int32_t series_load(stg_model *m, const stg_bundle *bundle, stg_error *err)
{
    stg__shape shape;
    uint64_t time = 0;
    if (stg__bundle_meta_u64(bundle, "model/time_of_day", &time) != STG_OK || time > 1)
        return stg__fail(err, STG_E_FORMAT, "metadata model/time_of_day is not a number up to 1");
    STG_RETURN_IF_ERROR(stg__net_read_shape(m, bundle, &shape, err));
    m->time_inputs = time;
    stg__net_inputs(m, &shape);
    return stg__net_load(m, bundle, &shape, err);
}

static int32_t series_store(const stg_model *m, stg_bundle *bundle)
{
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(bundle, "model/time_of_day", m->time_inputs));
    return stg__net_store(m, bundle);
}

const stg__kind stg__kind_series = {
    .name = "dcrnn_series",
    .plain = true,
    .net = true,
    .load = series_load,
    .store = series_store,
    .prepare = series_prepare,
    .observe = series_observe,
    .advance = series_advance,
    .predict = series_predict,
};
