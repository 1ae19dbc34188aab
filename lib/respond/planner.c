/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: takes the report of a window, the graph it judged and the next forecast, lets the
 * rules propose, keeps the table of live actions and hands out a plan. It changes what it has
 * learnt only after the plan is made, so that a call that ran out of memory can be repeated.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define DEFAULT_TTL_NS 300000000000u
#define DEFAULT_DWELL_NS 30000000000u
#define MAX_PLANS 4096u

static bool sensible(const stg_planner_opts *o)
{
    return o->min_confidence >= 0 && o->min_confidence <= 1 && o->enforce <= 1 &&
           o->plans <= MAX_PLANS && o->ttl_ns <= INT64_MAX && o->dwell_ns <= INT64_MAX;
}

int32_t stg_planner_create(stg_planner **out, stg_ctx *ctx, const stg_planner_opts *opts)
{
    if (!out)
        return STG_E_INVALID;
    *out = NULL;
    stg_planner_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_planner_opts", NULL));
    if (!ctx || !sensible(&o))
        return STG_E_INVALID;
    stg_planner *p = (stg_planner *)stg__calloc(ctx, 1, sizeof *p);
    if (!p)
        return STG_E_NOMEM;
    stg__handle_init(&p->handle, &stg__planner_state);
    p->ctx = stg__ctx_ref(ctx);
    p->ttl_ns = o.ttl_ns ? o.ttl_ns : DEFAULT_TTL_NS;
    p->dwell_ns = o.dwell_ns ? o.dwell_ns : DEFAULT_DWELL_NS;
    p->min_confidence = o.min_confidence > 0 ? o.min_confidence : 0.8;
    p->dry_run = !o.enforce;
    p->live = (stg__live *)stg__calloc(ctx, STG__LIVE_MAX, sizeof *p->live);
    if (!p->live ||
        stg__pool_create(&p->pool, ctx, &stg__plan_type, o.plans ? o.plans : 4) != STG_OK) {
        stg_planner_destroy(p);
        return STG_E_NOMEM;
    }
    *out = p;
    return STG_OK;
}

void stg_planner_destroy(stg_planner *p)
{
    if (!p)
        return;
    stg_ctx *ctx = p->ctx;
    stg__pool_destroy(p->pool);
    if (p->live)
        for (uint32_t i = 0; i < STG__LIVE_MAX; i++)
            stg__free(ctx, p->live[i].names);
    stg__free(ctx, p->live);
    stg__levels_fini(&p->levels, ctx);
    stg__free(ctx, p);
    stg__ctx_unref(ctx);
}

/* The part of the forecast that lies after the window. Errors: E_MISMATCH. */
static int32_t view_forecast(stg__window *win, const stg_graph_info *g, const stg_forecast *forecast)
{
    if (!forecast)
        return STG_OK;
    stg_forecast_info f = {.size = sizeof f};
    STG_RETURN_IF_ERROR(stg_forecast_get_info(forecast, &f));
    const uint64_t length = g->end_ns - g->start_ns;
    if (f.window_ns != length || f.topology != g->topology || f.start_ns > g->end_ns ||
        (g->end_ns - f.start_ns) % length != 0)
        return STG_E_MISMATCH;
    const uint64_t first = (g->end_ns - f.start_ns) / length;
    if (first >= f.horizon)
        return STG_E_MISMATCH;
    if (!f.ready)
        return STG_OK; /* it has seen too little to plan by */
    win->forecast = forecast;
    win->first_step = (uint32_t)first;
    win->horizon = f.horizon;
    return STG_OK;
}

static const double *column(const stg_graph *g, uint32_t kind, const char *name)
{
    return stg_graph_column(g, kind, name, strlen(name));
}

static int32_t view(stg__window *win, const stg_graph *graph, const stg_report *report,
                    const stg_forecast *forecast)
{
    stg_graph_info g = {.size = sizeof g};
    STG_RETURN_IF_ERROR(stg_graph_get_info(graph, &g));
    *win = (stg__window){.graph = graph, .report = report, .info = {.size = sizeof win->info}};
    STG_RETURN_IF_ERROR(stg_report_get_info(report, &win->info));
    if (win->info.start_ns != g.start_ns || win->info.end_ns != g.end_ns ||
        win->info.nodes != g.nodes)
        return STG_E_MISMATCH;
    win->end_ns = g.end_ns;
    win->seconds = (double)(g.end_ns - g.start_ns) / 1e9;
    win->coverage = g.coverage;
    win->node_calls = column(graph, STG_NODE, "calls");
    win->node_exclusive = column(graph, STG_NODE, "exclusive_us");
    win->node_mean = column(graph, STG_NODE, "mean_us");
    win->edge_calls = column(graph, STG_EDGE, "calls");
    return view_forecast(win, &g, forecast);
}

int32_t stg_planner_plan(stg_planner *planner, const stg_graph *graph, const stg_report *report,
                         const stg_forecast *forecast, const stg_plan **out)
{
    if (!out)
        return STG_E_INVALID;
    *out = NULL;
    if (!planner)
        return STG_E_INVALID;
    if (stg__ctx_forked(planner->ctx))
        return STG_E_FORK;
    stg__window win;
    STG_RETURN_IF_ERROR(view(&win, graph, report, forecast));
    if (win.end_ns <= planner->last_end_ns)
        return STG_E_TIME;
    STG_RETURN_IF_ERROR(
        stg__levels_align(&planner->levels, planner->ctx, stg__graph_topology(graph)));
    if (win.info.judged) {
        STG_RETURN_IF_ERROR(stg__propose_answers(planner, &win));
        STG_RETURN_IF_ERROR(stg__propose_scale(planner, &win));
    }
    stg__live_sweep(planner, &win);
    STG_RETURN_IF_ERROR(stg__plan_make(planner, out));
    stg__levels_learn(&planner->levels, &win);
    planner->last_end_ns = win.end_ns;
    return STG_OK;
}
