/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The detector on simulated traffic: it keeps its promise about false alarms, finds, locates and
 * names planted attacks, takes a crowd for a crowd, closes in time, gives the same report for the
 * same input, asks for no memory once warm, survives failing memory and hostile files.
 */
#include <stdbool.h>

#include <stgraph/train.h>

#include "bundle_priv.h"
#include "score_priv.h"
#include "sim.h"
#include "test.h"

#define TRAIN 540

static stg_detector *trained(sim *s, stg_ctx *ctx, uint64_t seed, double alarms)
{
    stg_detector *det;
    stg_error err;
    const stg_detector_opts opts = {.size = sizeof opts, .false_alarms_per_day = alarms, .seed = 3};
    sim_init(s, ctx, seed);
    ck_assert_int_eq(stg_detector_create(&det, ctx, NULL, &opts, &err), STG_OK);
    for (int w = 0; w < TRAIN; w++) {
        const stg_graph *g;
        ck_assert_int_eq(sim_step(s, &g), STG_OK);
        ck_assert_int_eq(stg_detector_learn(det, g, NULL), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_detector_fit(det, &err), STG_OK);
    return det;
}

static const stg_report *step(sim *s, stg_detector *det)
{
    const stg_graph *g;
    const stg_report *r;
    ck_assert_int_eq(sim_step(s, &g), STG_OK);
    ck_assert_int_eq(stg_detector_score(det, g, NULL, &r), STG_OK);
    stg_unref(g);
    return r;
}

/* What became of an event: windows until an incident opened that names the target, its class at
 * the end of the event, windows until it closed. -1: not at all. */
typedef struct outcome {
    int found;
    int closed;
    uint32_t class_id;
    char text[400];
} outcome;

static bool names_target(const stg_report *r, uint32_t i, const char *node)
{
    stg_item it = {.size = sizeof it};
    for (uint32_t k = 0; k < 3 && stg_report_item(r, i, STG_ITEM_CAUSE, k, &it) == STG_OK; k++)
        if (strcmp(it.node, node) == 0 || strcmp(it.dst, node) == 0)
            return true;
    return false;
}

static outcome watch(sim *s, stg_detector *det, const sim_event *e, const char *node)
{
    outcome o = {-1, -1, 0, ""};
    uint64_t id = 0;
    const uint32_t until = e->to + 24;
    while (s->window < until) {
        const uint32_t w = s->window;
        const stg_report *r = step(s, det);
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++) {
            if (o.found < 0 && w >= e->from && inc.state == STG_INCIDENT_OPEN &&
                names_target(r, i, node)) {
                o.found = (int)(w - e->from);
                id = inc.id;
            }
            if (inc.id != id)
                continue;
            if (w < e->to || o.class_id == 0) {
                o.class_id = inc.class_id;
                snprintf(o.text, sizeof o.text, "%s", inc.text);
            }
            o.closed = inc.state == STG_INCIDENT_CLOSE ? (int)(w - e->to) + 1 : -1;
        }
        stg_unref(r);
    }
    return o;
}

static void calm(sim *s, stg_detector *det, uint32_t windows)
{
    for (uint32_t w = 0; w < windows; w++)
        stg_unref(step(s, det));
}

/* Counts scores above `at` of all streams that have a reading. */
static void count_scores(const stg_detector *d, double at, double *above, double *all)
{
    for (uint32_t kind = 0; kind < 2; kind++)
        for (uint32_t i = 0; i < (kind ? d->edges : d->nodes); i++) {
            uint32_t kinds;
            const stg__stream *s = stg__streams_of(d, kind != 0, i, &kinds);
            for (uint32_t k = 0; k < kinds; k++)
                for (int side = UP; side <= DOWN && s[k].active && s[k].fresh; side++)
                    if (stg__kind_of(kind != 0, k)->directions & (1 << side)) {
                        *all += 1;
                        *above += (double)s[k].score[side] > at;
                    }
        }
}

/* Nothing happens for half a day of strongly varying load. */
START_TEST(promise_is_kept)
{
    enum { WINDOWS = 10000 };
    static sim s;
    if (test_statistics_left_out("promise_is_kept"))
        return;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 10, 12);
    double above = 0;
    double all = 0;
    int opened = 0;
    for (int w = 0; w < WINDOWS; w++) {
        const stg_report *r = step(&s, det);
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++)
            opened += inc.state == STG_INCIDENT_OPEN;
        count_scores(det, 3.090232, &above, &all); /* p < 1e-3 */
        stg_unref(r);
    }
    const double budget = 12.0 * WINDOWS * 5 / 86400;
    ck_assert_msg(opened <= 2 * budget, "%d false incidents, %.1f are tolerated", opened, budget);
    ck_assert_msg(above / all >= 0.5e-3 && above / all <= 2e-3, "p < 1e-3 in %g of all",
                  above / all);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

typedef struct planted {
    int what;
    int target;
    double strength;
    uint32_t class_id;
    const char *node;
} planted;

START_TEST(attacks_are_found_located_and_named)
{
    static const planted list[] = {
        {STG_CLASS_HTTP_FLOOD, P_SEARCH, 4, STG_CLASS_HTTP_FLOOD, "search"},
        {STG_CLASS_SLOW_DOS, 0, 3, STG_CLASS_SLOW_DOS, "edge"},
        {SIM_SLOW_BODY, P_COMPOSE, 6, STG_CLASS_SLOW_DOS, "compose"},
        {STG_CLASS_BRUTE_FORCE, P_LOGIN, 4, STG_CLASS_BRUTE_FORCE, "auth"},
        {STG_CLASS_CRED_STUFFING, P_LOGIN, 5, STG_CLASS_CRED_STUFFING, "auth"},
        {STG_CLASS_BOT_REGISTRATION, P_REGISTER, 6, STG_CLASS_BOT_REGISTRATION, "user"},
        {STG_CLASS_INJECTION, P_SEARCH, 2, STG_CLASS_INJECTION, "search"},
        {STG_CLASS_DDOS_VOLUMETRIC, P_HOME, 9, STG_CLASS_DDOS_VOLUMETRIC, "frontend"},
    };
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 11, 12);
    calm(&s, det, 60);
    int named = 0;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        const planted *p = &list[i];
        sim_event *e = sim_add(&s, p->what, p->target, p->strength, 10, 24);
        e->clients = p->class_id == STG_CLASS_DDOS_VOLUMETRIC ? 150 : 12;
        const outcome o = watch(&s, det, e, p->node);
        ck_assert_msg(o.found >= 0 && o.found < 12, "attack %d on %s: found after %d windows",
                      p->what, p->node, o.found);
        ck_assert_msg(o.closed >= 0 && o.closed <= 14, "attack %d on %s: closed after %d windows",
                      p->what, p->node, o.closed);
        ck_assert_str_ne(o.text, "");
        named += o.class_id == p->class_id;
        calm(&s, det, 30);
    }
    ck_assert_int_ge(named, 6);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(a_crowd_is_benign_and_hides_no_attack)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 12, 12);
    calm(&s, det, 70);
    const sim_event *crowd = sim_add(&s, SIM_FLASH, 0, 5, 5, 40);
    const sim_event *flood = sim_add(&s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 6, 20, 20);
    bool benign = false;
    bool flooded = false;
    while (s.window < crowd->to) {
        const uint32_t w = s.window;
        const stg_report *r = step(&s, det);
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++) {
            if (w < flood->from && w >= crowd->from)
                benign |= inc.class_id == STG_CLASS_FLASH_CROWD;
            if (w >= flood->from && inc.state == STG_INCIDENT_OPEN && names_target(r, i, "search"))
                flooded = true;
        }
        stg_unref(r);
    }
    ck_assert(benign);
    ck_assert(flooded);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* An incident is open where everything passes; another attack through one of the doors has a line of its
 * own, and the first one goes on to speak of what it is about. */
START_TEST(second_attack_has_its_own_incident)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 14, 12);
    calm(&s, det, 60);
    sim_event *first = sim_add(&s, STG_CLASS_SLOW_DOS, 0, 3, 5, 60); /* at the gateway: near everything */
    sim_event *second = sim_add(&s, STG_CLASS_CRED_STUFFING, P_LOGIN, 5, 35, 24);
    second->clients = 12;
    uint64_t held = 0;
    uint64_t own = 0;
    while (s.window < first->to) {
        const uint32_t w = s.window;
        const stg_report *r = step(&s, det);
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++) {
            if (inc.state == STG_INCIDENT_OPEN && w < second->from && names_target(r, i, "edge"))
                held = inc.id;
            if (inc.state == STG_INCIDENT_OPEN && w >= second->from && names_target(r, i, "auth"))
                own = inc.id;
            ck_assert_msg(inc.id != held || names_target(r, i, "edge"), "it speaks of something else now");
        }
        stg_unref(r);
    }
    ck_assert_msg(held != 0, "the first attack was not found");
    ck_assert_msg(own > held, "the second attack went into the first one's incident");
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* The same attack after a short pause comes back under its number. */
START_TEST(the_same_attack_comes_back)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 15, 12);
    calm(&s, det, 60);
    sim_add(&s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 6, 5, 20)->clients = 12;
    sim_event *again = sim_add(&s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 6, 40, 20);
    again->clients = 12;
    uint64_t id = 0;
    int opened = 0;
    bool closed = false;
    while (s.window < again->to) {
        const stg_report *r = step(&s, det);
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++) {
            if (!names_target(r, i, "search"))
                continue;
            closed |= inc.id == id && inc.state == STG_INCIDENT_CLOSE;
            if (inc.state != STG_INCIDENT_OPEN)
                continue;
            ck_assert_msg(id == 0 || inc.id == id, "another number");
            id = inc.id;
            opened++;
        }
        stg_unref(r);
    }
    ck_assert(closed);
    ck_assert_int_eq(opened, 2);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Two detectors from one calibration, one of them through a file, see the same for long. */
START_TEST(stored_and_same)
{
    static sim s;
    static sim t;
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg_detector *det = trained(&s, ctx, 13, 12);
    stg_detector *two;
    stg_bundle *bundle;
    stg_bundle *back;
    stg_error err;
    const stg_detector_opts opts = {.size = sizeof opts, .false_alarms_per_day = 12, .seed = 3};
    ck_assert_int_eq(stg_bundle_open(&bundle, ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_detector_store(det, bundle), STG_OK);
    size_t len = 0;
    ck_assert_int_eq(stg_bundle_serialize(bundle, NULL, 0, &len), STG_MORE);
    char *bytes = malloc(len);
    ck_assert_int_eq(stg_bundle_serialize(bundle, bytes, len, &len), STG_OK);
    ck_assert_int_eq(stg_bundle_parse(&back, ctx, bytes, len, &err), STG_OK);
    ck_assert_msg(stg_detector_create(&two, ctx, back, &opts, &err) == STG_OK, "%s", err.text);
    sim_add(&s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 5, 40, 20);
    sim_add(&s, SIM_SLOW_DEPENDENCY, SIM_POSTDB, 4, 90, 12);
    int incidents = 0;
    (void)t;
    for (int w = 0; w < 150; w++) {
        const stg_graph *g;
        const stg_report *r[2];
        stg_report_info info[2] = {{.size = sizeof info[0]}, {.size = sizeof info[0]}};
        ck_assert_int_eq(sim_step(&s, &g), STG_OK);
        ck_assert_int_eq(stg_detector_score(det, g, NULL, &r[0]), STG_OK);
        ck_assert_int_eq(stg_detector_score(two, g, NULL, &r[1]), STG_OK);
        for (int i = 0; i < 2; i++)
            stg_report_get_info(r[i], &info[i]);
        ck_assert(info[0].evidence == info[1].evidence);
        ck_assert_uint_eq(info[0].incidents, info[1].incidents);
        ck_assert_mem_eq(info[0].mask, info[1].mask, info[0].nodes);
        for (uint32_t i = 0; i < info[0].incidents; i++) {
            stg_incident_info a = {.size = sizeof a};
            stg_incident_info b = {.size = sizeof b};
            stg_report_incident(r[0], i, &a);
            stg_report_incident(r[1], i, &b);
            ck_assert_str_eq(a.text, b.text);
            ck_assert(a.confidence == b.confidence && a.severity == b.severity);
            incidents++;
        }
        stg_unref(r[0]);
        stg_unref(r[1]);
        stg_unref(g);
    }
    ck_assert_int_gt(incidents, 10);
    free(bytes);
    stg_bundle_destroy(bundle);
    stg_bundle_destroy(back);
    stg_detector_destroy(det);
    stg_detector_destroy(two);
    sim_free(&s);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

START_TEST(no_allocation_after_warm_up)
{
    static sim s;
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg_detector *det = trained(&s, ctx, 14, 12);
    const stg_report *out[4] = {NULL, NULL, NULL, NULL};
    sim_add(&s, STG_CLASS_HTTP_FLOOD, P_SEARCH, 5, 40, 20);
    size_t before = 0;
    for (int w = 0; w < 120; w++) {
        if (w == 8)
            before = m.requests;
        stg_unref(out[w % 4]);
        out[w % 4] = step(&s, det);
    }
    ck_assert_uint_eq(m.requests, before);
    for (int i = 0; i < 4; i++)
        stg_unref(out[i]);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

/* The whole life of a small detector; every request for memory fails once. */
static int32_t life(stg_ctx *ctx, const stg_graph **g, int n)
{
    stg_detector *det = NULL;
    stg_detector *two = NULL;
    stg_bundle *bundle = NULL;
    const stg_report *r = NULL;
    int32_t status = stg_detector_create(&det, ctx, NULL, NULL, NULL);
    for (int i = 0; status == STG_OK && i < n - 2; i++)
        status = stg_detector_learn(det, g[i], NULL);
    if (status == STG_OK)
        status = stg_detector_fit(det, NULL);
    if (status == STG_OK)
        status = stg_bundle_open(&bundle, ctx, NULL, NULL);
    if (status == STG_OK)
        status = stg_detector_store(det, bundle);
    if (status == STG_OK)
        status = stg_detector_create(&two, ctx, bundle, NULL, NULL);
    for (int i = n - 2; status == STG_OK && i < n; i++) {
        status = stg_detector_score(two, g[i], NULL, &r);
        stg_unref(r);
        r = NULL;
    }
    stg_bundle_destroy(bundle);
    stg_detector_destroy(det);
    stg_detector_destroy(two);
    return status;
}

START_TEST(failing_memory)
{
    enum { N = 64 };
    static sim s;
    test_memory m;
    const stg_graph *g[N];
    test_memory_init(&m);
    stg_ctx *graphs = test_ctx(NULL);
    stg_ctx *ctx = test_ctx(&m);
    sim_init(&s, graphs, 15);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(sim_step(&s, &g[i]), STG_OK);
    const size_t live = m.live;
    int32_t status = STG_E_NOMEM;
    for (size_t n = 1; status != STG_OK; n += test_valgrind() ? 37 : 1) {
        m.requests = 0;
        m.fail_at = n;
        status = life(ctx, g, N);
        m.fail_at = 0;
        ck_assert(status == STG_OK || status == STG_E_NOMEM);
        ck_assert_uint_eq(m.live, live);
        ck_assert_uint_lt(n, 5000);
    }
    for (int i = 0; i < N; i++)
        stg_unref(g[i]);
    sim_free(&s);
    stg_ctx_destroy(ctx);
    stg_ctx_destroy(graphs);
}
END_TEST

/* After a failed score the same window can be scored again. */
START_TEST(scored_again)
{
    static sim s;
    test_memory m;
    test_memory_init(&m);
    stg_ctx *graphs = test_ctx(NULL);
    stg_ctx *ctx = test_ctx(&m);
    stg_detector *det;
    const stg_graph *g;
    const stg_report *r;
    sim_init(&s, graphs, 16);
    ck_assert_int_eq(sim_step(&s, &g), STG_OK);
    ck_assert_int_eq(stg_detector_create(&det, ctx, NULL, NULL, NULL), STG_OK);
    int32_t status = STG_E_NOMEM;
    for (size_t n = 1; status == STG_E_NOMEM; n++) {
        m.requests = 0;
        m.fail_at = n;
        status = stg_detector_score(det, g, NULL, &r);
        m.fail_at = 0;
    }
    ck_assert_int_eq(status, STG_OK);
    stg_unref(r);
    ck_assert_int_eq(stg_detector_score(det, g, NULL, &r), STG_E_TIME);
    stg_unref(g);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
    stg_ctx_destroy(graphs);
}
END_TEST

/* Every tensor of a calibration spoilt in turn: an error or a working detector, never a crash. */
START_TEST(hostile_bundle)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 17, 2);
    const stg_graph *g;
    ck_assert_int_eq(sim_step(&s, &g), STG_OK);
    stg_bundle *good;
    ck_assert_int_eq(stg_bundle_open(&good, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_detector_store(det, good), STG_OK);
    stg_detector_destroy(det);
    const size_t count = stg__bundle_count(good);
    int refused = 0;
    for (size_t i = 0; i < count; i++)
        for (int how = 0; how < 4; how++) {
            const stg__tensor *t = stg__bundle_at(good, i);
            stg__tensor keep = *t;
            char *spoilt = malloc(keep.bytes + 64);
            char name[512];
            snprintf(name, sizeof name, "%s", keep.name);
            char *saved = malloc(keep.bytes + 64);
            memcpy(saved, keep.data, keep.bytes);
            memcpy(spoilt, keep.data, keep.bytes);
            uint64_t shape[4];
            memcpy(shape, keep.shape, sizeof shape);
            uint32_t dims = keep.dims;
            if (how == 0)
                memset(spoilt, 0xff, keep.bytes); /* NaN, or far out */
            else if (how == 1)
                for (size_t k = 0; k < keep.bytes; k++)
                    spoilt[k] = (char)(k * 37 + 11);
            else if (how == 2 && shape[0] > 0)
                shape[0]--;
            else
                memset(spoilt, 0, keep.bytes);
            ck_assert_int_eq(stg__bundle_put(good, name, keep.dtype, dims, shape, spoilt), STG_OK);
            stg_error err = {0};
            stg_detector *bad = NULL;
            const int32_t status = stg_detector_create(&bad, ctx, good, NULL, &err);
            if (status == STG_OK) {
                const stg_report *r;
                ck_assert_int_eq(stg_detector_score(bad, g, NULL, &r), STG_OK);
                stg_unref(r);
                stg_detector_destroy(bad);
            } else {
                ck_assert(status == STG_E_FORMAT || status == STG_E_INVALID || status == STG_E_LIMIT);
                ck_assert_str_ne(err.text, "");
                refused++;
            }
            memcpy(shape, keep.shape, sizeof shape);
            ck_assert_int_eq(stg__bundle_put(good, name, keep.dtype, dims, shape, saved), STG_OK);
            free(spoilt);
            free(saved);
        }
    ck_assert_int_gt(refused, (int)count);
    stg_unref(g);
    stg_bundle_destroy(good);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(rules)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det;
    stg_error err;
    const stg_graph *g;
    const stg_report *r;
    stg_report_info info = {.size = sizeof info};
    sim_init(&s, ctx, 18);
    stg_detector_opts opts = {.size = sizeof opts, .false_alarms_per_day = -1};
    ck_assert_int_eq(stg_detector_create(&det, ctx, NULL, &opts, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_detector_create(&det, ctx, NULL, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_detector_fit(det, &err), STG_E_STATE);
    ck_assert_str_ne(err.text, "");
    ck_assert_int_eq(stg_detector_score(det, NULL, NULL, &r), STG_E_INVALID);
    ck_assert_int_eq(sim_step(&s, &g), STG_OK);
    ck_assert_int_eq(stg_detector_score(det, g, NULL, &r), STG_OK);
    ck_assert_int_eq(stg_report_get_info(r, &info), STG_OK);
    ck_assert_uint_eq(info.judged, 0); /* it knows nothing yet */
    ck_assert_uint_eq(info.nodes, SIM_NODES);
    stg_incident_info inc = {.size = sizeof inc};
    ck_assert_int_eq(stg_report_incident(r, 0, &inc), STG_E_NOTFOUND);
    ck_assert_int_eq(stg_report_incident(NULL, 0, &inc), STG_E_INVALID);
    stg_unref(r);
    ck_assert_int_eq(stg_detector_score(det, g, NULL, &r), STG_E_TIME);
    stg_unref(g);
    stg_detector_destroy(det);
    stg_detector_destroy(NULL);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A forecast judges the windows it covers and no other. */
START_TEST(forecast_of_another_window)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_trainer *trainer;
    const stg_model *model;
    stg_session *session;
    stg_detector *det;
    const stg_forecast *fc = NULL;
    const stg_graph *g;
    const stg_report *r;
    const stg_trainer_opts opts = {
        .size = sizeof opts, .kind = "persistence", .day_ns = 600000000000u};
    sim_init(&s, ctx, 19);
    ck_assert_int_eq(stg_trainer_create(&trainer, ctx, &opts, NULL), STG_OK);
    ck_assert_int_eq(stg_detector_create(&det, ctx, NULL, NULL, NULL), STG_OK);
    for (int w = 0; w < 80; w++) {
        ck_assert_int_eq(sim_step(&s, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(trainer, g), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_trainer_run(trainer, &model, NULL), STG_OK);
    ck_assert_int_eq(stg_session_create(&session, ctx, model, NULL), STG_OK);
    for (int w = 0; w < 80; w++) {
        ck_assert_int_eq(sim_step(&s, &g), STG_OK);
        ck_assert_int_eq(stg_detector_learn(det, g, fc), STG_OK);
        ck_assert_int_eq(stg_session_step(session, g, NULL), STG_OK);
        stg_unref(fc);
        ck_assert_int_eq(stg_session_forecast(session, 2, &fc), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_detector_fit(det, NULL), STG_OK);
    for (int w = 0; w < 4; w++) { /* it covers two windows from here */
        ck_assert_int_eq(sim_step(&s, &g), STG_OK);
        const int32_t status = stg_detector_score(det, g, fc, &r);
        ck_assert_int_eq(status, w < 2 ? STG_OK : STG_E_MISMATCH);
        if (status == STG_OK)
            stg_unref(r);
        stg_unref(g);
    }
    stg_unref(fc);
    stg_session_destroy(session);
    stg_unref(model);
    stg_trainer_destroy(trainer);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Windows without any value, and windows that were not covered: no alarm, and no harm after them. */
START_TEST(missing_is_not_zero)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    stg_detector *det = trained(&s, ctx, 20, 12);
    const stg_graph *g;
    const stg_report *r;
    stg_report_info info = {.size = sizeof info};
    int opened = 0;
    for (int w = 0; w < 90; w++) {
        ck_assert_int_eq(sim_step(&s, &g), STG_OK);
        if (w >= 30 && w < 50) { /* names are known, nothing else is */
            const uint64_t at = s.start_ns + (uint64_t)(s.window - 1) * SIM_WINDOW;
            stg_unref(g);
            ck_assert_int_eq(stg_graph_builder_begin(s.builder, at, at + SIM_WINDOW), STG_OK);
            if (w < 40)
                stg__builder_coverage(s.builder, 0.2);
            ck_assert_int_eq(stg_graph_builder_finish(s.builder, &g), STG_OK);
        }
        ck_assert_int_eq(stg_detector_score(det, g, NULL, &r), STG_OK);
        stg_report_get_info(r, &info);
        ck_assert_uint_eq(info.judged, !(w >= 30 && w < 40));
        stg_incident_info inc = {.size = sizeof inc};
        for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++)
            opened += inc.state == STG_INCIDENT_OPEN && w >= 30;
        stg_unref(r);
        stg_unref(g);
    }
    ck_assert_int_le(opened, 1);
    stg_detector_destroy(det);
    sim_free(&s);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Learnt at one time of the day, watched from another: the old level of calls is no measure. */
START_TEST(starts_at_another_time)
{
    static sim s;
    stg_ctx *ctx = test_ctx(NULL);
    int opened = 0;
    for (uint32_t later = 30; later <= 90; later += 30) {
        stg_detector *det = trained(&s, ctx, 21, 12);
        for (uint32_t w = 0; w < later; w++) {
            const stg_graph *g;
            ck_assert_int_eq(sim_step(&s, &g), STG_OK);
            stg_unref(g);
        }
        for (int w = 0; w < 30; w++) {
            const stg_report *r = step(&s, det);
            stg_incident_info inc = {.size = sizeof inc};
            for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++)
                opened += inc.state == STG_INCIDENT_OPEN;
            stg_unref(r);
        }
        stg_detector_destroy(det);
        sim_free(&s);
    }
    ck_assert_int_eq(opened, 0);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("score", promise_is_kept, attacks_are_found_located_and_named,
           a_crowd_is_benign_and_hides_no_attack, second_attack_has_its_own_incident,
           the_same_attack_comes_back, stored_and_same, no_allocation_after_warm_up,
           failing_memory, scored_again, hostile_bundle, rules,
           forecast_of_another_window, missing_is_not_zero,
           starts_at_another_time)
