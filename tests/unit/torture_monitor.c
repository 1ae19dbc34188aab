/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of the whole line in one handle. */
#include "torture.h"

static char line[65536];

static int32_t create(stage *s)
{
    HANDED(stg_monitor_create(&s->monitor, s->ctx, s->bundle, NULL, &s->err), s->monitor);
}

static void a_file(stage *s)
{
    s->bundle = torture_parse(s->ctx, &torture_line);
}

static void a_lane(stage *s)
{
    const stg_lane_opts opts = {.size = sizeof opts, .records = 8192, .names = 64};
    OK(stg_lane_open(&s->lane, stg_monitor_ingest(s->monitor), &opts));
}

/* Events that the call dropped for want of memory. */
static int32_t tick(stage *s)
{
    const uint64_t before = stg_monitor_dropped(s->monitor);
    const int32_t status = stg_monitor_tick(s->monitor, torture_window_end(s->done), &s->err);
    s->lost += stg_monitor_dropped(s->monitor) - before;
    return status;
}

/* Ticked so many windows; the traffic of the next one is there. */
static void ticked(stage *s, uint32_t windows)
{
    OK(stg_monitor_create(&s->monitor, s->ctx, torture_scene()->bundle, NULL, NULL));
    a_lane(s);
    for (; s->done < windows; s->done++) {
        torture_traffic(s, s->done);
        OK(tick(s));
    }
    torture_traffic(s, s->done);
}

static void ticked_none(stage *s)
{
    ticked(s, 0);
}

static void ticked_once(stage *s)
{
    ticked(s, 1);
}

static void ticked_to_change(stage *s)
{
    ticked(s, CHANGE);
}

static void ticked_calm(stage *s)
{
    ticked(s, CALM - 1);
}

static void ticked_to_incident(stage *s)
{
    ticked(s, torture_scene()->opens);
}

/* The incident's first lines are taken; more follow. */
static void ticked_into_incident(stage *s)
{
    size_t len;
    ticked(s, torture_scene()->opens + 3);
    while (stg_monitor_event(s->monitor, line, sizeof line, &len) == STG_OK)
        ;
}

/* A window of which nothing was seen: no call, no sign of life. */
static void silent(stage *s)
{
    ticked(s, 3);
    OK(tick(s));
    s->done++;
}

static void with_event(stage *s)
{
    ticked_to_incident(s);
    OK(tick(s));
}

static void prove_objects(stage *s, proof *p)
{
    const void *o[5];
    for (uint32_t what = 0; what < 5; what++)
        o[what] = stg_monitor_get(s->monitor, what);
    prove_graph(p, (const stg_graph *)o[STG_GET_GRAPH]);
    prove_report(p, (const stg_report *)o[STG_GET_REPORT]);
    prove_plan(p, (const stg_plan *)o[STG_GET_PLAN]);
    if (o[STG_GET_FORECAST])
        prove_forecast(p, (const stg_forecast *)o[STG_GET_FORECAST]);
    prove_forecast(p, (const stg_forecast *)o[STG_GET_NEXT]);
    for (uint32_t what = 0; what < 5; what++)
        stg_unref(o[what]);
}

/* How many lines were written or dropped counts always, what they say only when all are there. */
static void prove_events(stage *s, proof *p)
{
    proof text = {0};
    size_t len;
    double lines = (double)s->lost;
    while (stg_monitor_event(s->monitor, line, sizeof line, &len) == STG_OK) {
        prove_text(&text, line);
        lines++;
    }
    prove_number(p, lines);
    p->soft = p->len;
    prove_bytes(p, text.bytes, text.len);
    free(text.bytes);
}

/* This window and the two that follow. */
static void prove_ticks(stage *s, proof *p)
{
    prove_objects(s, p);
    for (uint32_t last = s->done + 2; s->done < last;) {
        torture_traffic(s, ++s->done);
        OK(tick(s));
        prove_objects(s, p);
    }
    prove_stats(p, stg_monitor_ingest(s->monitor));
    prove_events(s, p);
}

static void prove_created(stage *s, proof *p)
{
    a_lane(s);
    torture_traffic(s, 0);
    OK(tick(s));
    prove_ticks(s, p);
}

static int32_t destroy(stage *s)
{
    stg_lane_close(s->lane);
    s->lane = NULL;
    stg_monitor_destroy(s->monitor);
    stg_monitor_destroy(NULL);
    s->monitor = NULL;
    return STG_OK;
}

static int32_t event(stage *s)
{
    size_t len = 0;
    return stg_monitor_event(s->monitor, line, sizeof line, &len);
}

static void prove_event(stage *s, proof *p)
{
    prove_text(p, line);
    prove_ticks(s, p);
}

static int32_t dropped(stage *s)
{
    return stg_monitor_dropped(s->monitor) ? STG_E_STATE : STG_OK;
}

static int32_t ingest(stage *s)
{
    return stg_monitor_ingest(s->monitor) ? STG_OK : STG_E_STATE;
}

static int32_t get(stage *s)
{
    s->report = (const stg_report *)stg_monitor_get(s->monitor, STG_GET_REPORT);
    return s->report ? STG_OK : STG_E_STATE;
}

/* --- state ------------------------------------------------------------------------------------ */

static void prove_the_bundle(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

static int32_t save(stage *s)
{
    return stg_state_save(s->monitor, s->bundle, &s->err);
}

/* The bundle has an older state of it. */
static void with_older(stage *s)
{
    ticked(s, 2);
    torture_keep(s, s->monitor);
    OK(tick(s));
    torture_traffic(s, ++s->done);
    OK(tick(s));
}

/* In the middle of an incident the process ends, another one makes the monitor anew. */
static void died(stage *s)
{
    with_event(s);
    s->done++;
    torture_keep(s, s->monitor);
    (void)destroy(s);
    OK(stg_monitor_create(&s->monitor, s->ctx, torture_scene()->bundle, NULL, NULL));
}

static int32_t restore(stage *s)
{
    return stg_state_restore(s->monitor, s->bundle, &s->err);
}

static void prove_own_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->monitor);
}

static void prove_restored(stage *s, proof *p)
{
    prove_own_state(s, p);
    a_lane(s);
    OK(traffic_open(&s->traffic, s->lane, 3));
    torture_traffic(s, s->done);
    OK(tick(s));
    prove_ticks(s, p);
}

static const torture_case list[] = {
    {"stg_state_save", "monitor", with_older, save, prove_the_bundle, prove_the_bundle, TELLS},
    {"stg_state_restore", "monitor", died, restore, prove_restored, prove_own_state, TELLS},
    {"stg_monitor_create", "whole line", a_file, create, prove_created, NULL, TELLS},
    {"stg_monitor_tick", "first", ticked_none, tick, prove_ticks, NULL, TELLS},
    {"stg_monitor_tick", "second", ticked_once, tick, prove_ticks, NULL, TELLS},
    {"stg_monitor_tick", "a change", ticked_to_change, tick, prove_ticks, NULL, TELLS},
    {"stg_monitor_tick", "an incident", ticked_to_incident, tick, prove_ticks, NULL, TELLS | LOSES},
    {"stg_monitor_tick", "it goes on", ticked_into_incident, tick, prove_ticks, NULL, TELLS | LOSES},
    {"stg_monitor_tick", "silence", silent, tick, prove_ticks, NULL, TELLS},
    {"stg_monitor_tick", "nothing new", ticked_calm, tick, prove_ticks, NULL, QUIET},
    {"stg_monitor_destroy", "busy", with_event, destroy, NULL, NULL, QUIET},
    {"stg_monitor_event", "a line", with_event, event, prove_event, NULL, QUIET},
    {"stg_monitor_dropped", "none", with_event, dropped, prove_ticks, NULL, QUIET},
    {"stg_monitor_ingest", "there", with_event, ingest, prove_ticks, NULL, QUIET},
    {"stg_monitor_get", "a report", with_event, get, prove_ticks, NULL, QUIET},
};
const torture_table torture_monitor = {list, sizeof list / sizeof *list};
