/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of detector and planner, along the story of the whole line. */
#include <math.h>

#include "base_priv.h"
#include "torture.h"

/* --- detector --------------------------------------------------------------------------------- */

static int32_t create_empty(stage *s)
{
    HANDED(stg_detector_create(&s->detector, s->ctx, NULL, NULL, &s->err), s->detector);
}

static void a_file(stage *s)
{
    s->bundle = torture_parse(s->ctx, &torture_line);
}

static int32_t create(stage *s)
{
    HANDED(stg_detector_create(&s->detector, s->ctx, s->bundle, NULL, &s->err), s->detector);
}

static void an_empty(stage *s)
{
    OK(create_empty(s));
}

static int32_t learn_window(stage *s)
{
    const scene *sc = torture_scene();
    return stg_detector_learn(s->detector, sc->graph[s->done], sc->judge[s->done]);
}

static void learnt_to(stage *s, uint32_t windows)
{
    an_empty(s);
    for (; s->done < windows; s->done++)
        OK(learn_window(s));
}

static void learnt_some(stage *s)
{
    learnt_to(s, 4);
}

static void learnt_to_change(stage *s)
{
    learnt_to(s, CHANGE);
}

static void learnt_all(stage *s)
{
    learnt_to(s, SCENE);
}

static int32_t fit(stage *s)
{
    return stg_detector_fit(s->detector, &s->err);
}

/* The calibration comes in place of another. */
static void calibrated(stage *s)
{
    an_empty(s);
    s->bundle = torture_parse(s->ctx, &torture_small[0]);
    OK(stg_detector_store(s->detector, s->bundle));
    stg_detector_destroy(s->detector);
    s->detector = NULL;
    OK(stg_detector_create(&s->detector, s->ctx, torture_scene()->bundle, NULL, NULL));
}

static int32_t store(stage *s)
{
    return stg_detector_store(s->detector, s->bundle);
}

static void prove_the_bundle(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

static int32_t score(stage *s)
{
    const scene *sc = torture_scene();
    HANDED(stg_detector_score(s->detector, sc->graph[s->done], sc->judge[s->done], &s->report),
                  s->report);
}

/* A detector with the calibration of the file that has judged so many windows. */
static void judged(stage *s, uint32_t windows)
{
    OK(stg_detector_create(&s->detector, s->ctx, torture_scene()->bundle, NULL, NULL));
    for (; s->done < windows; s->done++) {
        OK(score(s));
        stg_unref(s->report);
        s->report = NULL;
    }
}

static void judged_none(stage *s)
{
    judged(s, 0);
}

static void judged_to_change(stage *s)
{
    judged(s, CHANGE);
}

static void judged_to_incident(stage *s)
{
    judged(s, torture_scene()->opens);
}

static void judged_calm(stage *s)
{
    judged(s, CALM - 1);
}

static void a_report(stage *s)
{
    judged_to_incident(s);
    OK(score(s));
}

/* This window's report and those of some more. */
static void prove_reports(stage *s, proof *p)
{
    const uint32_t last = s->done + 3;
    if (s->report)
        prove_report(p, s->report);
    while (++s->done < last && s->done < SCENE) {
        stg_unref(s->report);
        s->report = NULL;
        OK(score(s));
        prove_report(p, s->report);
    }
}

static void prove_judging(stage *s, proof *p)
{
    prove_detector(p, s->detector);
    OK(score(s));
    prove_reports(s, p);
}

/* What was learnt is as good as without a failure: fitted, it gives the same calibration. */
static void prove_learning(stage *s, proof *p)
{
    for (s->done++; s->done < SCENE; s->done++)
        OK(learn_window(s));
    OK(fit(s));
    prove_detector(p, s->detector);
}

static void prove_fitted(stage *s, proof *p)
{
    prove_detector(p, s->detector);
    s->done = CHANGE - 1;
    OK(score(s));
    prove_reports(s, p);
}

/* --- an incident whose report needs more than there is room for from the start ----------------- */

enum { MANY = 120, QUIET_WINDOWS = 70, LOUD = 12 };

static const stg_graph *many_window(stg_graph_builder *b, stg__rng *rng, uint32_t w, double times)
{
    const uint64_t start = 1700000000000000000 + w * TRAFFIC_WINDOW_NS;
    const stg_graph *g = NULL;
    char name[STG_NAME_MAX];
    uint32_t column[2], node[MANY], edge;
    memset(name, 'n', sizeof name);
    OK(stg_graph_builder_begin(b, start, start + TRAFFIC_WINDOW_NS));
    OK(stg_graph_builder_column(b, STG_NODE, "calls", 5, &column[0]));
    OK(stg_graph_builder_column(b, STG_EDGE, "calls", 5, &column[1]));
    for (uint32_t i = 0; i < MANY; i++) {
        const double calls = floor(times * 200 + 10 * stg__rng_normal(rng));
        name[snprintf(name, 8, "%u", i)] = '-';
        OK(stg_graph_builder_node(b, name, sizeof name, &node[i]));
        OK(stg_graph_builder_edge(b, i ? node[0] : 0, node[i], name, sizeof name, &edge));
        OK(stg_graph_builder_set(b, STG_NODE, node[i], column[0], calls));
        OK(stg_graph_builder_set(b, STG_EDGE, edge, column[1], calls));
    }
    OK(stg_graph_builder_finish(b, &g));
    return g;
}

typedef struct crowd {
    const stg_graph *graph[QUIET_WINDOWS + LOUD]; /* quiet ones, then loud ones, on plain memory */
    stg_bundle *bundle;                           /* a calibration of the quiet ones */
    uint32_t opens;                               /* window in which the incident opens */
} crowd;

static void learn_crowd(crowd *c, stg_ctx *ctx)
{
    stg_detector *d;
    OK(stg_detector_create(&d, ctx, NULL, NULL, NULL));
    for (uint32_t w = 0; w < QUIET_WINDOWS; w++)
        OK(stg_detector_learn(d, c->graph[w], NULL));
    OK(stg_detector_fit(d, NULL));
    OK(stg_bundle_open(&c->bundle, ctx, NULL, NULL));
    OK(stg_detector_store(d, c->bundle));
    stg_detector_destroy(d);
}

static void watch_crowd(crowd *c, stg_ctx *ctx)
{
    stg_detector *d;
    OK(stg_detector_create(&d, ctx, c->bundle, NULL, NULL));
    for (uint32_t w = QUIET_WINDOWS - 20; !c->opens; w++) {
        const stg_report *r;
        SURE(w < QUIET_WINDOWS + LOUD - 2);
        OK(stg_detector_score(d, c->graph[w], NULL, &r));
        if (torture_opens(r))
            c->opens = w;
        stg_unref(r);
    }
    stg_detector_destroy(d);
}

static const crowd *a_crowd(void)
{
    static crowd c;
    if (!c.opens) {
        stg_ctx *ctx = test_ctx(NULL);
        stg_graph_builder *b;
        stg__rng rng;
        stg__rng_init(&rng, 5, 7);
        OK(stg_graph_builder_create(&b, ctx, NULL));
        for (uint32_t w = 0; w < QUIET_WINDOWS + LOUD; w++)
            c.graph[w] = many_window(b, &rng, w, w < QUIET_WINDOWS ? 1 : 20);
        stg_graph_builder_destroy(b);
        learn_crowd(&c, ctx);
        watch_crowd(&c, ctx);
        stg_ctx_destroy(ctx);
    }
    return &c;
}

static int32_t score_many(stage *s)
{
    const stg_graph *g = a_crowd()->graph[s->done];
    HANDED(stg_detector_score(s->detector, g, NULL, &s->report), s->report);
}

/* Up to the window that opens the incident; every report has been out once. */
static void many_quiet(stage *s)
{
    const crowd *c = a_crowd();
    OK(stg_detector_create(&s->detector, s->ctx, c->bundle, NULL, NULL));
    for (s->done = QUIET_WINDOWS - 20; s->done < c->opens; s->done++) {
        OK(score_many(s));
        stg_unref(s->report);
        s->report = NULL;
    }
}

static void prove_many(stage *s, proof *p)
{
    const uint32_t last = s->done + 2;
    SURE(torture_opens(s->report));
    prove_report(p, s->report);
    while (++s->done <= last) {
        stg_unref(s->report);
        s->report = NULL;
        OK(score_many(s));
        prove_report(p, s->report);
    }
}

static int32_t detector_destroy(stage *s)
{
    stg_detector_destroy(s->detector);
    stg_detector_destroy(NULL);
    s->detector = NULL;
    return STG_OK;
}

static int32_t report_info(stage *s)
{
    stg_report_info i = {.size = sizeof i};
    const int32_t status = stg_report_get_info(s->report, &i);
    return status ? status : i.incidents ? STG_OK : STG_E_STATE;
}

static int32_t report_incident(stage *s)
{
    stg_incident_info i = {.size = sizeof i};
    return stg_report_incident(s->report, 0, &i);
}

static int32_t report_item(stage *s)
{
    stg_item i = {.size = sizeof i};
    return stg_report_item(s->report, 0, STG_ITEM_EVIDENCE, 0, &i);
}

/* --- planner ---------------------------------------------------------------------------------- */

static int32_t planner_create(stage *s)
{
    HANDED(stg_planner_create(&s->planner, s->ctx, NULL), s->planner);
}

static int32_t plan(stage *s)
{
    const scene *sc = torture_scene();
    HANDED(stg_planner_plan(s->planner, sc->graph[s->done], sc->report[s->done],
                                   sc->next[s->done], &s->plan),
                  s->plan);
}

static void planned(stage *s, uint32_t windows)
{
    OK(planner_create(s));
    for (; s->done < windows; s->done++) {
        OK(plan(s));
        stg_unref(s->plan);
        s->plan = NULL;
    }
}

static void planned_none(stage *s)
{
    planned(s, 0);
}

static void planned_to_change(stage *s)
{
    planned(s, CHANGE);
}

static void planned_to_answer(stage *s)
{
    planned(s, torture_scene()->acts);
}

static void planned_calm(stage *s)
{
    planned(s, CALM - 1);
}

static void a_plan(stage *s)
{
    planned_to_answer(s);
    OK(plan(s));
}

static void prove_plans(stage *s, proof *p)
{
    const uint32_t last = s->done + 4;
    if (s->plan)
        prove_plan(p, s->plan);
    while (++s->done < last) {
        stg_unref(s->plan);
        s->plan = NULL;
        OK(plan(s));
        prove_plan(p, s->plan);
    }
}

static int32_t planner_destroy(stage *s)
{
    stg_planner_destroy(s->planner);
    stg_planner_destroy(NULL);
    s->planner = NULL;
    return STG_OK;
}

static int32_t actions(stage *s)
{
    return stg_plan_actions(s->plan) ? STG_OK : STG_E_STATE;
}

static int32_t action(stage *s)
{
    stg_action a = {.size = sizeof a};
    return stg_plan_action(s->plan, 0, &a);
}

/* --- state ------------------------------------------------------------------------------------ */

static void detector_used(stage *s)
{
    judged_to_incident(s);
    OK(score(s));
    stg_unref(s->report);
    s->report = NULL;
    s->done++;
    torture_keep(s, s->detector);
}

static void detector_busy(stage *s)
{
    judged(s, 4);
    torture_keep(s, s->detector);
}

/* A window was judged and there was no memory for its report: it has to be scored again first. */
static int32_t refused(stage *s)
{
    const int32_t status = stg_state_save(s->detector, s->bundle, &s->err);
    return status == STG_E_STATE ? STG_OK : status == STG_OK ? STG_E_STATE : status;
}

static void unreported(stage *s)
{
    many_quiet(s);
    OK(stg_bundle_open(&s->bundle, s->ctx, NULL, NULL));
    for (size_t n = 1; refused(s) != STG_OK; n++) {
        SURE(n < 100);
        torture_memory_arm(&s->memory, n, n);
        SURE(score_many(s) == STG_E_NOMEM);
        torture_memory_calm(&s->memory);
    }
}

static void prove_reported(stage *s, proof *p)
{
    OK(score_many(s));
    prove_many(s, p);
}

static void detector_learning(stage *s)
{
    learnt_some(s);
    torture_keep(s, s->detector);
}

static void detector_died(stage *s)
{
    detector_used(s);
    stg_detector_destroy(s->detector);
    s->detector = NULL;
    OK(stg_detector_create(&s->detector, s->ctx, torture_scene()->bundle, NULL, NULL));
}

static void learner_died(stage *s)
{
    detector_learning(s);
    stg_detector_destroy(s->detector);
    s->detector = NULL;
    an_empty(s);
}

static int32_t detector_save(stage *s)
{
    return stg_state_save(s->detector, s->bundle, &s->err);
}

static int32_t detector_restore(stage *s)
{
    return stg_state_restore(s->detector, s->bundle, &s->err);
}

static void prove_detector_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->detector);
}

static void prove_revived(stage *s, proof *p)
{
    prove_detector_state(s, p);
    prove_reports(s, p);
}

static void planner_used(stage *s)
{
    a_plan(s);
    stg_unref(s->plan);
    s->plan = NULL;
    torture_keep(s, s->planner);
}

static void planner_died(stage *s)
{
    planner_used(s);
    stg_planner_destroy(s->planner);
    s->planner = NULL;
    OK(planner_create(s));
}

static int32_t planner_save(stage *s)
{
    return stg_state_save(s->planner, s->bundle, &s->err);
}

static int32_t planner_restore(stage *s)
{
    return stg_state_restore(s->planner, s->bundle, &s->err);
}

static void prove_planner_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->planner);
}

static void prove_plans_on(stage *s, proof *p)
{
    prove_planner_state(s, p);
    prove_plans(s, p);
}

static const torture_case list[] = {
    {"stg_state_save", "detector", detector_busy, detector_save, prove_the_bundle, prove_the_bundle,
     TELLS},
    {"stg_state_save", "detector that learns", detector_learning, detector_save, prove_the_bundle,
     prove_the_bundle, TELLS},
    {"stg_state_save", "detector without its report", unreported, refused, prove_reported,
     prove_the_bundle, 0},
    {"stg_state_save", "planner", planner_used, planner_save, prove_the_bundle, prove_the_bundle,
     TELLS},
    {"stg_state_restore", "detector", detector_died, detector_restore, prove_revived,
     prove_detector_state, TELLS},
    {"stg_state_restore", "detector that learns", learner_died, detector_restore,
     prove_detector_state, prove_detector_state, TELLS},
    {"stg_state_restore", "planner", planner_died, planner_restore, prove_plans_on,
     prove_planner_state, TELLS},
    {"stg_detector_create", "knows nothing", NULL, create_empty, prove_judging, NULL, TELLS},
    {"stg_detector_create", "calibrated", a_file, create, prove_judging, NULL, TELLS},
    {"stg_detector_learn", "first", an_empty, learn_window, prove_learning, NULL, 0},
    {"stg_detector_learn", "more", learnt_some, learn_window, prove_learning, NULL, 0},
    {"stg_detector_learn", "a change", learnt_to_change, learn_window, prove_learning, NULL, 0},
    {"stg_detector_fit", "all", learnt_all, fit, prove_fitted, NULL, TELLS},
    {"stg_detector_store", "over another", calibrated, store, prove_the_bundle, prove_the_bundle, 0},
    {"stg_detector_score", "first", judged_none, score, prove_reports, NULL, 0},
    {"stg_detector_score", "knows nothing", an_empty, score, prove_reports, NULL, 0},
    {"stg_detector_score", "a change", judged_to_change, score, prove_reports, NULL, 0},
    {"stg_detector_score", "an incident", judged_to_incident, score, prove_reports, NULL, QUIET},
    {"stg_detector_score", "a large incident", many_quiet, score_many, prove_many, NULL, 0},
    {"stg_detector_score", "nothing new", judged_calm, score, prove_reports, NULL, QUIET},
    {"stg_detector_destroy", "fitted", learnt_all, detector_destroy, NULL, NULL, QUIET},
    {"stg_report_get_info", "incident", a_report, report_info, prove_reports, NULL, QUIET},
    {"stg_report_incident", "first", a_report, report_incident, prove_reports, NULL, QUIET},
    {"stg_report_item", "evidence", a_report, report_item, prove_reports, NULL, QUIET},
    {"stg_planner_create", "defaults", NULL, planner_create, prove_plans, NULL, 0},
    {"stg_planner_plan", "first", planned_none, plan, prove_plans, NULL, 0},
    {"stg_planner_plan", "a change", planned_to_change, plan, prove_plans, NULL, 0},
    {"stg_planner_plan", "an answer", planned_to_answer, plan, prove_plans, NULL, 0},
    {"stg_planner_plan", "nothing new", planned_calm, plan, prove_plans, NULL, QUIET},
    {"stg_planner_destroy", "busy", planned_to_answer, planner_destroy, NULL, NULL, QUIET},
    {"stg_plan_actions", "some", a_plan, actions, prove_plans, NULL, QUIET},
    {"stg_plan_action", "first", a_plan, action, prove_plans, NULL, QUIET},
};
const torture_table torture_score = {list, sizeof list / sizeof *list};
