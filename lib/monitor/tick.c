/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One tick: close the window, judge it by a forecast made before it, take it in, forecast, plan,
 * write events. A tick that failed halfway keeps what it has: called again for the same window it
 * goes on where it stopped, so that a moment without memory costs no window.
 */
#include <math.h>
#include <string.h>

#include "monitor_priv.h"

void stg__tick_drop(stg__tick *tick)
{
    stg_unref(tick->graph);
    stg_unref(tick->report);
    stg_unref(tick->plan);
    stg_unref(tick->judge);
    stg_unref(tick->next);
    *tick = (stg__tick){0};
}

/*
 * The forecast to judge a window by: made `lead` windows before it, of those that reach it. After
 * skipped windows, or in the first ones, the nearest to that; NULL when none reaches it.
 */
static const stg_forecast *judge_of(const stg_monitor *mon, uint64_t start)
{
    const uint64_t ago = (mon->lead - 1) * mon->window_ns;
    const stg_forecast *best = NULL;
    uint64_t best_start = 0;
    for (uint32_t i = 0; i < mon->lead; i++) {
        stg_forecast_info f = {.size = sizeof f};
        if (!mon->ring[i] || stg_forecast_get_info(mon->ring[i], &f) != STG_OK)
            continue;
        if (f.start_ns > start || (start - f.start_ns) / f.window_ns >= f.horizon)
            continue;
        const bool old_enough = start - f.start_ns >= ago;
        const bool best_is = best && start - best_start >= ago;
        if (!best || (old_enough && (!best_is || f.start_ns > best_start)) ||
            (!old_enough && !best_is && f.start_ns < best_start)) {
            best = mon->ring[i];
            best_start = f.start_ns;
        }
    }
    return best;
}

/* The mask of the step: that of the report, or of all nodes when the window cannot be trusted. */
static int32_t step(stg_monitor *mon)
{
    stg_graph_info g = {.size = sizeof g};
    stg_report_info r = {.size = sizeof r};
    STG_RETURN_IF_ERROR(stg_graph_get_info(mon->work.graph, &g));
    STG_RETURN_IF_ERROR(stg_report_get_info(mon->work.report, &r));
    if (!(g.coverage < 0.5))
        return stg_session_step(mon->session, mon->work.graph, r.mask);
    if (g.nodes > mon->all_cap) {
        uint8_t *all = (uint8_t *)stg__realloc(mon->ctx, mon->all, g.nodes, 1);
        if (!all)
            return STG_E_NOMEM;
        memset(all, 1, g.nodes);
        mon->all = all;
        mon->all_cap = g.nodes;
    }
    return stg_session_step(mon->session, mon->work.graph, mon->all);
}

static int32_t run_stage(stg_monitor *mon)
{
    stg__tick *w = &mon->work;
    switch (mon->stage) {
    case STG__CLOSE:
        return stg_ingest_close(mon->ingest, mon->work_end, &w->graph);
    case STG__SCORE:
        if (!w->judge)
            w->judge = (const stg_forecast *)stg_ref(judge_of(mon, mon->work_end - mon->window_ns));
        return stg_detector_score(mon->detector, w->graph, w->judge, &w->report);
    case STG__STEP:
        return step(mon);
    case STG__FORECAST:
        return stg_session_forecast(mon->session, mon->horizon, &w->next);
    default:
        return stg_planner_plan(mon->planner, w->graph, w->report, w->next, &w->plan);
    }
}

static void finish(stg_monitor *mon)
{
    if (mon->work.report)
        stg__events_write(&mon->events, mon->work.report, mon->work.plan);
    if (mon->work.next) {
        stg_unref(mon->ring[mon->ring_at]);
        mon->ring[mon->ring_at] = (const stg_forecast *)stg_ref(mon->work.next);
        mon->ring_at = (mon->ring_at + 1) % mon->lead;
    }
    stg__tick_drop(&mon->last);
    mon->last = mon->work;
    mon->work = (stg__tick){0};
    mon->stage = STG__CLOSE;
}

int32_t stg_monitor_tick(stg_monitor *mon, uint64_t window_end, stg_error *err)
{
    static const char *const doing[] = {"closing", "judging", "taking in", "forecasting after",
                                        "planning"};
    if (!mon)
        return stg__fail(err, STG_E_INVALID, "no monitor");
    if (stg__ctx_forked(mon->ctx))
        return stg__fail(err, STG_E_FORK, "the monitor belongs to the parent process");
    if (mon->stage != STG__CLOSE && window_end != mon->work_end)
        finish(mon); /* the host went on after an error: what was found is still told */
    mon->work_end = window_end;
    for (; mon->stage < STG__DONE; mon->stage++) {
        const int32_t status = run_stage(mon);
        if (status < 0)
            return stg__fail(err, status, "%s the window that ends at %llu: %s", doing[mon->stage],
                             (unsigned long long)window_end, stg_status_name(status));
    }
    finish(mon);
    return STG_OK;
}
