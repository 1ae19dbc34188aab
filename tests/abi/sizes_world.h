/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One object of every kind, made by the line itself from simulated traffic: a graph, a model that
 * was learnt, a forecast, a report with an incident, a plan with an action.
 */
#ifndef STG_SIZES_WORLD_H
#define STG_SIZES_WORLD_H

#include <stgraph/stgraph.h>

#include "sim.h"
#include "test.h"

#define LEARN_WINDOWS 240
#define ATTACK_WINDOWS 24

typedef struct world {
    stg_ctx *ctx;
    stg_bundle *bundle;
    stg_ingest *ingest;
    stg_lane *lane;
    const stg_graph *graph;
    const stg_model *model;
    const stg_forecast *forecast;
    const stg_report *report;
    const stg_plan *plan;
    uint32_t incident; /* of the report, with members, causes and evidence */
} world;

typedef struct maker {
    sim s;
    stg_detector *detector;
    stg_trainer *trainer;
    stg_session *session;
    stg_planner *planner;
} maker;

static inline void world_learn(world *w, maker *m)
{
    const stg_trainer_opts opts = {
        .size = sizeof opts, .kind = "persistence", .day_ns = 600000000000, .history = 4,
        .horizon = 3};
    ck_assert_int_eq(stg_detector_create(&m->detector, w->ctx, NULL, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&m->trainer, w->ctx, &opts, NULL), STG_OK);
    for (uint32_t i = 0; i < LEARN_WINDOWS; i++) {
        const stg_graph *g;
        ck_assert_int_eq(sim_step(&m->s, &g), STG_OK);
        ck_assert_int_eq(stg_detector_learn(m->detector, g, NULL), STG_OK);
        ck_assert_int_eq(stg_trainer_add(m->trainer, g), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_detector_fit(m->detector, NULL), STG_OK);
    ck_assert_int_eq(stg_trainer_run(m->trainer, &w->model, NULL), STG_OK);
    ck_assert_int_eq(stg_bundle_open(&w->bundle, w->ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(w->model, w->bundle), STG_OK);
    ck_assert_int_eq(stg_detector_store(m->detector, w->bundle), STG_OK);
    ck_assert_int_eq(stg_session_create(&m->session, w->ctx, w->model, NULL), STG_OK);
}

/* True when the window's report has an incident with everything in it, and the plan an action. */
static inline bool world_window(world *w, maker *m)
{
    stg_incident_info inc = {.size = sizeof inc};
    stg_unref(w->plan);
    stg_unref(w->report);
    stg_unref(w->graph);
    ck_assert_int_eq(sim_step(&m->s, &w->graph), STG_OK);
    ck_assert_int_eq(stg_detector_score(m->detector, w->graph, NULL, &w->report), STG_OK);
    ck_assert_int_eq(stg_session_step(m->session, w->graph, NULL), STG_OK);
    ck_assert_int_eq(stg_planner_plan(m->planner, w->graph, w->report, NULL, &w->plan), STG_OK);
    for (w->incident = 0; stg_report_incident(w->report, w->incident, &inc) == STG_OK; w->incident++)
        if (inc.nodes + inc.edges > 0 && inc.causes > 0 && inc.evidence > 0)
            return stg_plan_actions(w->plan) > 0;
    return false;
}

static inline void world_make(world *w)
{
    static maker m;
    const stg_planner_opts eager = {.size = sizeof eager, .min_confidence = 0.05};
    *w = (world){.ctx = test_ctx(NULL)};
    sim_init(&m.s, w->ctx, 11);
    world_learn(w, &m);
    ck_assert_int_eq(stg_planner_create(&m.planner, w->ctx, &eager), STG_OK);
    sim_add(&m.s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 8, 0, ATTACK_WINDOWS);
    bool found = false;
    for (int i = 0; i < ATTACK_WINDOWS && !found; i++)
        found = world_window(w, &m);
    ck_assert_msg(found, "no incident with an action came of the attack");
    ck_assert_int_eq(stg_session_forecast(m.session, 1, &w->forecast), STG_OK);
    ck_assert_int_eq(stg_ingest_create(&w->ingest, w->ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&w->lane, w->ingest, NULL), STG_OK);
    stg_planner_destroy(m.planner);
    stg_session_destroy(m.session);
    stg_trainer_destroy(m.trainer);
    stg_detector_destroy(m.detector);
    sim_free(&m.s);
}

static inline void world_end(world *w)
{
    const void *shared[] = {w->plan, w->report, w->forecast, w->model, w->graph};
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++)
        stg_unref(shared[i]);
    stg_lane_close(w->lane);
    stg_ingest_destroy(w->ingest);
    stg_bundle_destroy(w->bundle);
    stg_ctx_destroy(w->ctx);
}

#endif
