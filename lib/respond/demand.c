/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replicas for demand that is legitimate: what the forecast expects of a node in the coming windows,
 * or what a flash crowd brings right now. The forecast takes masked nodes by what they would have
 * been, so an attack asks for no replicas here. Proposed only when Erlang's formula wants more
 * servers than for the long-run level of the node.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define HEAD_ROOM 1.2    /* over the demand */
#define RISE 1.25        /* demand over the level before anything is proposed */
#define WAIT_SHARE 0.05  /* share of the calls that may wait longer than ... */
#define WAIT_SERVICE 0.5 /* ... this part of the time a call takes */

static double forecast_peak(const stg__window *win, uint32_t node)
{
    double peak = NAN;
    for (uint32_t step = win->first_step; win->forecast && step < win->horizon; step++) {
        const double *mean = stg_forecast_mean(win->forecast, STG_NODE, "calls", 5, step);
        if (mean)
            peak = fmax(peak, mean[node] / win->seconds); /* fmax passes over NaN */
    }
    return peak;
}

static uint32_t replicas(double rate, double service_us)
{
    const double mu = 1e6 / service_us;
    return stg__erlang_replicas(rate * HEAD_ROOM, mu, WAIT_SERVICE / mu, WAIT_SHARE);
}

static void reason_scale(stg__proposal *p, double demand, double level)
{
    stg__text t;
    stg__text_init(&t, p->reason, sizeof p->reason);
    stg__text_str(&t, p->incident ? "flash crowd brings " : "forecast expects ");
    stg__text_num(&t, demand, 3);
    stg__text_str(&t, " calls/s where ");
    stg__text_num(&t, level, 3);
    stg__text_str(&t, " are usual: ");
    stg__text_num(&t, p->value, 6);
    stg__text_str(&t, " replicas keep waiting short, usually ");
    stg__text_num(&t, p->usual, 6);
    stg__text_str(&t, " do");
    (void)stg__text_end(&t, NULL);
}

static int32_t scale_node(stg_planner *planner, const stg__window *win, uint32_t node)
{
    const stg__levels *lv = &planner->levels;
    const double level = lv->rate[node];
    if (lv->seen[node] < STG__WARM || !lv->timed[node] || !(level > 0) || !(lv->service_us[node] > 0))
        return STG_OK;
    double demand = forecast_peak(win, node);
    bool crowd = false;
    if (lv->crowd[node] && win->node_calls) {
        const double now = win->node_calls[node] / win->seconds;
        crowd = now > level && !(now <= demand);
        demand = crowd ? now : demand;
    }
    if (!isfinite(demand) || demand < RISE * level)
        return STG_OK;
    const uint32_t base = replicas(level, lv->service_us[node]);
    const uint32_t need = replicas(demand, lv->service_us[node]);
    if (base == 0 || need <= base)
        return STG_OK;
    stg__proposal p = {
        .kind = STG_ACTION_SCALE,
        .node = lv->topo->node_name[node],
        .src = "",
        .route = "",
        .incident = crowd ? lv->crowd[node] : 0,
        .value = need,
        .usual = base,
        .present = NAN, /* the graph does not tell how many there are */
    };
    reason_scale(&p, demand, level);
    return stg__live_want(planner, &p, win->end_ns);
}

int32_t stg__propose_scale(stg_planner *planner, const stg__window *win)
{
    for (uint32_t node = 1; node < planner->levels.nodes; node++) /* 0 is the outside */
        STG_RETURN_IF_ERROR(scale_node(planner, win, node));
    return STG_OK;
}
