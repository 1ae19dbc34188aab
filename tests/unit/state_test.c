/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved state on the whole line: a monitor that is saved, taken down and restored in another context,
 * as a new process would, tells the same story to the last byte as one that ran through. The same for
 * the parts alone, and what a state that is damaged or somebody else's does: nothing.
 */
#include <math.h>
#include <unistd.h>

#include <stgraph/stgraph.h>

#include "test.h"
#include "traffic.h"

#define FIRST (TRAFFIC_START_NS + 1440 * TRAFFIC_WINDOW_NS) /* the model learnt up to here */
#define WINDOWS 200u
#define RESTARTS 20

/* One life of the process: context, monitor, lane. The traffic outlives it. */
typedef struct life {
    stg_ctx *ctx;
    stg_bundle *model;
    stg_monitor *mon;
    stg_lane *lane;
} life;

typedef struct story { /* event lines, one after the other */
    char *text;
    size_t len;
} story;

static stg_error err;
static char line[65536];

static stg_bundle *open_model(stg_ctx *ctx)
{
    stg_bundle *model;
    ck_assert_msg(stg_bundle_open(&model, ctx, getenv("MODEL_FILE"), &err) == STG_OK, "%s", err.text);
    return model;
}

static void begin(life *l, const char *state, size_t len)
{
    stg_bundle *saved;
    l->ctx = test_ctx(NULL);
    l->model = open_model(l->ctx);
    ck_assert_msg(stg_monitor_create(&l->mon, l->ctx, l->model, NULL, &err) == STG_OK, "%s", err.text);
    if (state) {
        ck_assert_int_eq(stg_bundle_parse(&saved, l->ctx, state, len, &err), STG_OK);
        ck_assert_msg(stg_state_restore(l->mon, saved, &err) == STG_OK, "%s", err.text);
        stg_bundle_destroy(saved);
    }
    ck_assert_int_eq(stg_lane_open(&l->lane, stg_monitor_ingest(l->mon), NULL), STG_OK);
}

static void end(life *l)
{
    stg_lane_close(l->lane);
    stg_monitor_destroy(l->mon);
    stg_bundle_destroy(l->model);
    stg_ctx_destroy(l->ctx);
}

/* As bytes, which is how it gets from one process to the next. */
static char *save(const void *object, stg_ctx *ctx, size_t *len)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, &err), STG_OK);
    ck_assert_msg(stg_state_save(object, b, &err) == STG_OK, "%s", err.text);
    ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, len), STG_MORE);
    char *bytes = (char *)malloc(*len);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, *len, len), STG_OK);
    stg_bundle_destroy(b);
    return bytes;
}

/* The traffic goes on where it was, on the lane of the present life. */
static void carry_on(traffic *t, const life *l)
{
    const uint64_t state = t->state;
    ck_assert_int_eq(traffic_open(t, l->lane, 1), STG_OK);
    if (state)
        t->state = state;
}

/* From the 70th window on "web" calls a service that the model does not know. */
static void stranger(const life *l, uint64_t start)
{
    uint32_t web;
    uint32_t billing;
    uint32_t route;
    ck_assert_int_eq(stg_lane_intern(l->lane, STG_NODE, "web", 3, &web), STG_OK);
    ck_assert_int_eq(stg_lane_intern(l->lane, STG_NODE, "billing", 7, &billing), STG_OK);
    ck_assert_int_eq(stg_lane_intern(l->lane, STG_ROUTE, "POST /bill", 10, &route), STG_OK);
    for (uint32_t i = 0; i < 20 + start / TRAFFIC_WINDOW_NS % 7; i++) {
        const stg_call c = {.end_ns = start + 1000 * i + 1,
                            .duration_us = 900 + i,
                            .src = web,
                            .dst = billing,
                            .route = route,
                            .status = 200,
                            .side = STG_SIDE_CLIENT};
        ck_assert_uint_eq(stg_lane_push(l->lane, &c, 1), 1);
    }
    const stg_gauge g = {.time_ns = start + 5, .node = billing, .producer = 3, .open = 12};
    if (start / TRAFFIC_WINDOW_NS % 2) /* the reading must live through a restart */
        ck_assert_int_eq(stg_lane_gauge(l->lane, &g), STG_OK);
}

static void window(life *l, traffic *t, uint32_t at)
{
    const uint64_t start = FIRST + at * TRAFFIC_WINDOW_NS;
    const bool flood = (at >= 30 && at < 54) || (at >= 110 && at < 130);
    traffic_window(t, start, flood ? 150 : 0);
    if (at >= 70)
        stranger(l, start);
    ck_assert_msg(stg_monitor_tick(l->mon, start + TRAFFIC_WINDOW_NS, &err) == STG_OK, "%s", err.text);
}

static void take_all(story *s, life *l)
{
    size_t len;
    while (stg_monitor_event(l->mon, line, sizeof line, &len) == STG_OK) {
        s->text = (char *)realloc(s->text, s->len + len + 1);
        ck_assert_ptr_nonnull(s->text);
        memcpy(s->text + s->len, line, len + 1);
        s->len += len;
    }
}

/* Tells all windows; restart[at]: saved, killed and restored before window `at`. Events are taken every
 * third window, so that some wait in the queue over a restart. */
static story tell(const bool *restart)
{
    story s = {0};
    life l;
    traffic t = {0};
    begin(&l, NULL, 0);
    carry_on(&t, &l);
    for (uint32_t at = 0; at < WINDOWS; at++) {
        if (restart && restart[at]) {
            size_t len;
            char *state = save(l.mon, l.ctx, &len);
            end(&l);
            begin(&l, state, len);
            free(state);
            carry_on(&t, &l);
        }
        window(&l, &t, at);
        if (at % 3 == 0)
            take_all(&s, &l);
    }
    take_all(&s, &l);
    end(&l);
    return s;
}

static uint32_t random_below(uint64_t *state, uint32_t bound)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % bound;
}

START_TEST(restart_tells_the_same)
{
    const story whole = tell(NULL);
    const char *opened = strstr(whole.text, "\"state\":\"open\"");
    ck_assert_ptr_nonnull(opened);
    ck_assert_ptr_nonnull(strstr(opened + 1, "\"state\":\"open\"")); /* there is something to tell */
    ck_assert_ptr_nonnull(strstr(whole.text, "\"verb\":\"limit\""));
    uint64_t seed = 20261124;
    for (int i = 0; i < RESTARTS; i++) {
        bool restart[WINDOWS] = {false};
        /* half of them within incidents, one with several */
        const uint32_t at = i % 2 ? random_below(&seed, WINDOWS) : 30 + random_below(&seed, 30);
        restart[at] = true;
        for (int k = 0; i == 0 && k < 5; k++)
            restart[random_below(&seed, WINDOWS)] = true;
        const story again = tell(restart);
        ck_assert_msg(again.len == whole.len && memcmp(again.text, whole.text, whole.len) == 0,
                      "restart before window %u: another story\n%s\n--- not\n%s", at, again.text,
                      whole.text);
        free(again.text);
    }
    free(whole.text);
}
END_TEST

/* Restarted before each window there is, the graphs and forecasts are still those of one long run. */
START_TEST(restart_at_every_window)
{
    static bool every[WINDOWS];
    memset(every, 1, sizeof every);
    const story whole = tell(NULL);
    const story again = tell(every);
    ck_assert_uint_eq(again.len, whole.len);
    ck_assert_mem_eq(again.text, whole.text, whole.len);
    free(whole.text);
    free(again.text);
}
END_TEST

static char *graph_text(const life *l, uint32_t what)
{
    size_t len;
    const stg_graph *g = (const stg_graph *)stg_monitor_get(l->mon, what);
    ck_assert_int_eq(stg_graph_export(g, STG_FORMAT_JSON, NULL, 0, &len), STG_MORE);
    char *text = (char *)malloc(len);
    ck_assert_int_eq(stg_graph_export(g, STG_FORMAT_JSON, text, len, &len), STG_OK);
    stg_unref(g);
    return text;
}

/* The next window of both lives: graph, forecasts and all that they hold alike, bit for bit. */
static void compare_next(life *a, traffic *ta, life *b, uint32_t at)
{
    traffic tb = *ta;
    carry_on(&tb, b);
    window(a, ta, at);
    window(b, &tb, at);
    char *ga = graph_text(a, STG_GET_GRAPH);
    char *gb = graph_text(b, STG_GET_GRAPH);
    ck_assert_str_eq(ga, gb);
    free(ga);
    free(gb);
    const stg_forecast *fa = (const stg_forecast *)stg_monitor_get(a->mon, STG_GET_NEXT);
    const stg_forecast *fb = (const stg_forecast *)stg_monitor_get(b->mon, STG_GET_NEXT);
    const stg_forecast *ja = (const stg_forecast *)stg_monitor_get(a->mon, STG_GET_FORECAST);
    const stg_forecast *jb = (const stg_forecast *)stg_monitor_get(b->mon, STG_GET_FORECAST);
    const stg_forecast *const pair[2][2] = {{fa, fb}, {ja, jb}};
    for (int i = 0; i < 2; i++) {
        stg_forecast_info info = {.size = sizeof info};
        ck_assert_int_eq(stg_forecast_get_info(pair[i][1], &info), STG_OK);
        for (uint32_t step = 0; step < info.horizon; step++) {
            const double *x = stg_forecast_mean(pair[i][0], STG_NODE, "calls", 5, step);
            const double *y = stg_forecast_mean(pair[i][1], STG_NODE, "calls", 5, step);
            ck_assert_mem_eq(x, y, info.nodes * sizeof *x);
            x = stg_forecast_mean(pair[i][0], STG_EDGE, "calls", 5, step);
            y = stg_forecast_mean(pair[i][1], STG_EDGE, "calls", 5, step);
            ck_assert_mem_eq(x, y, info.edges * sizeof *x);
        }
    }
    stg_unref(fa);
    stg_unref(fb);
    stg_unref(ja);
    stg_unref(jb);
    size_t alen;
    size_t blen;
    char *sa = save(a->mon, a->ctx, &alen); /* everything that a later window could depend on */
    char *sb = save(b->mon, b->ctx, &blen);
    ck_assert_uint_eq(alen, blen);
    ck_assert_mem_eq(sa, sb, alen);
    free(sa);
    free(sb);
}

START_TEST(graphs_and_forecasts_to_the_bit)
{
    life a;
    life b;
    traffic t = {0};
    begin(&a, NULL, 0);
    carry_on(&t, &a);
    for (uint32_t at = 0; at < 90; at++) {
        if (at % 15 != 14 && at != 71) {
            window(&a, &t, at);
            continue;
        }
        size_t len;
        char *state = save(a.mon, a.ctx, &len);
        begin(&b, state, len);
        free(state);
        compare_next(&a, &t, &b, at);
        end(&b);
    }
    end(&a);
}
END_TEST

/* --- parts ------------------------------------------------------------------------------------ */

/* Windows of a small system of two services, without any ingest. */
static const stg_graph *made(stg_graph_builder *b, uint32_t at)
{
    const stg_graph *g;
    uint32_t web;
    uint32_t edge;
    uint32_t column[2];
    const uint64_t start = FIRST + at * TRAFFIC_WINDOW_NS;
    ck_assert_int_eq(stg_graph_builder_node(b, "web", 3, &web), STG_OK);
    ck_assert_int_eq(stg_graph_builder_edge(b, 0, web, "GET /", 5, &edge), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_NODE, "calls", 5, &column[0]), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_EDGE, "calls", 5, &column[1]), STG_OK);
    ck_assert_int_eq(stg_graph_builder_begin(b, start, start + TRAFFIC_WINDOW_NS), STG_OK);
    const double calls = 100 + 10 * sin(at * 0.3) + at * 2654435761u % 13;
    for (uint32_t node = 0; node < 2; node++)
        ck_assert_int_eq(stg_graph_builder_set(b, STG_NODE, node, column[0], calls), STG_OK);
    ck_assert_int_eq(stg_graph_builder_set(b, STG_EDGE, edge, column[1], calls), STG_OK);
    ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
    return g;
}

static stg_bundle *parsed(stg_ctx *ctx, char *bytes, size_t len)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes, len, &err), STG_OK);
    free(bytes);
    return b;
}

static void same_bundles(stg_bundle *a, stg_bundle *b)
{
    size_t alen;
    size_t blen;
    stg_bundle_serialize(a, NULL, 0, &alen);
    stg_bundle_serialize(b, NULL, 0, &blen);
    ck_assert_uint_eq(alen, blen);
    char *x = (char *)malloc(alen);
    char *y = (char *)malloc(blen);
    ck_assert_int_eq(stg_bundle_serialize(a, x, alen, &alen), STG_OK);
    ck_assert_int_eq(stg_bundle_serialize(b, y, blen, &blen), STG_OK);
    ck_assert_mem_eq(x, y, alen);
    free(x);
    free(y);
}

/* Half of the windows, a restart, the other half: the same model, the same calibration. */
START_TEST(learning_goes_on)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_graph_builder *b;
    stg_trainer *t[2];
    stg_detector *d[2];
    stg_bundle *out[2];
    const stg_model *model[2];
    const stg_trainer_opts opts = {.size = sizeof opts, .kind = "seasonal", .inputs = "calls",
                                   .targets = "calls", .day_ns = 48 * TRAFFIC_WINDOW_NS};
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(stg_trainer_create(&t[i], ctx, &opts, &err), STG_OK);
        ck_assert_int_eq(stg_detector_create(&d[i], ctx, NULL, NULL, &err), STG_OK);
        ck_assert_int_eq(stg_bundle_open(&out[i], ctx, NULL, &err), STG_OK);
    }
    for (uint32_t at = 0; at < 160; at++) {
        const stg_graph *g = made(b, at);
        if (at == 80) {
            size_t len;
            char *bytes = save(t[0], ctx, &len);
            stg_bundle *s = parsed(ctx, bytes, len);
            ck_assert_msg(stg_state_restore(t[1], s, &err) == STG_OK, "%s", err.text);
            ck_assert_int_eq(stg_state_restore(d[1], s, &err), STG_E_NOTFOUND);
            ck_assert_int_eq(stg_state_save(d[0], s, &err), STG_OK); /* both in one */
            ck_assert_msg(stg_state_restore(d[1], s, &err) == STG_OK, "%s", err.text);
            ck_assert_int_eq(stg_state_restore(t[1], s, &err), STG_OK); /* and again */
            stg_bundle_destroy(s);
        }
        for (int i = at < 80 ? 0 : 1; i >= 0; i--) {
            ck_assert_int_eq(stg_trainer_add(t[i], g), STG_OK);
            ck_assert_int_eq(stg_detector_learn(d[i], g, NULL), STG_OK);
        }
        stg_unref(g);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(stg_trainer_run(t[i], &model[i], &err) == STG_OK, "%s", err.text);
        ck_assert_msg(stg_detector_fit(d[i], &err) == STG_OK, "%s", err.text);
        ck_assert_int_eq(stg_model_store(model[i], out[i]), STG_OK);
        ck_assert_int_eq(stg_detector_store(d[i], out[i]), STG_OK);
    }
    same_bundles(out[0], out[1]);
    stg_detector *loaded; /* what was fitted here and what was read from its file are the same */
    stg_bundle *s;
    ck_assert_int_eq(stg_bundle_open(&s, ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_state_save(d[0], s, &err), STG_OK);
    ck_assert_int_eq(stg_detector_create(&loaded, ctx, out[1], NULL, &err), STG_OK);
    ck_assert_msg(stg_state_restore(loaded, s, &err) == STG_OK, "%s", err.text);
    stg_detector_destroy(loaded);
    stg_bundle_destroy(s);
    for (int i = 0; i < 2; i++) {
        stg_unref(model[i]);
        stg_trainer_destroy(t[i]);
        stg_detector_destroy(d[i]);
        stg_bundle_destroy(out[i]);
    }
    stg_graph_builder_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- errors ----------------------------------------------------------------------------------- */

START_TEST(wrong_objects_and_bundles)
{
    life l;
    traffic t = {0};
    stg_bundle *b;
    begin(&l, NULL, 0);
    carry_on(&t, &l);
    window(&l, &t, 0);
    ck_assert_int_eq(stg_bundle_open(&b, l.ctx, NULL, &err), STG_OK);
    const void *graph = stg_monitor_get(l.mon, STG_GET_GRAPH);
    ck_assert_int_eq(stg_state_save(graph, b, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_state_save(NULL, b, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_state_save(l.mon, NULL, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_state_restore(NULL, b, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_state_restore((void *)(uintptr_t)graph, b, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_state_restore(l.mon, NULL, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_state_restore(l.mon, b, &err), STG_E_NOTFOUND);
    ck_assert_int_eq(stg_state_restore(l.mon, l.model, &err), STG_E_NOTFOUND);
    ck_assert_int_eq(stg_state_save(l.mon, b, &err), STG_OK);
    ck_assert_int_eq(stg_state_restore(l.mon, b, &err), STG_E_STATE); /* it has a lane */
    stg_unref(graph);
    stg_bundle_destroy(b);
    end(&l);
}
END_TEST

/* A model that was learnt again, another window, another sketch key: said, and nothing is changed. */
START_TEST(somebody_elses)
{
    life l;
    life other = {0};
    traffic t = {0};
    begin(&l, NULL, 0);
    carry_on(&t, &l);
    for (uint32_t at = 0; at < 20; at++)
        window(&l, &t, at);
    size_t len;
    char *bytes = save(l.mon, l.ctx, &len);
    end(&l);
    const stg_ctx_opts key = {.size = sizeof key, .sketch_key = 77};
    ck_assert_int_eq(stg_ctx_create(&other.ctx, &key), STG_OK);
    stg_bundle *s = parsed(other.ctx, bytes, len);
    stg_ingest *in;
    ck_assert_int_eq(stg_ingest_create(&in, other.ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_state_restore(in, s, &err), STG_E_MISMATCH);
    ck_assert_ptr_nonnull(strstr(err.text, "key"));
    stg_ingest_destroy(in);
    const stg_ingest_opts longer = {.size = sizeof longer, .window_ns = 2 * TRAFFIC_WINDOW_NS};
    ck_assert_int_eq(stg_ingest_create(&in, other.ctx, &longer), STG_OK);
    ck_assert_int_eq(stg_state_restore(in, s, &err), STG_E_MISMATCH);
    stg_ingest_destroy(in);
    stg_bundle_destroy(s);
    stg_ctx_destroy(other.ctx);
}
END_TEST

static const stg_model *persistence(stg_ctx *ctx, uint32_t windows)
{
    const stg_trainer_opts opts = {.size = sizeof opts, .kind = "persistence", .inputs = "calls",
                                   .targets = "calls"};
    stg_graph_builder *b;
    stg_trainer *t;
    const stg_model *m;
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, &err), STG_OK);
    for (uint32_t at = 0; at < windows; at++) {
        const stg_graph *g = made(b, at);
        ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_trainer_run(t, &m, &err), STG_OK);
    stg_trainer_destroy(t);
    stg_graph_builder_destroy(b);
    return m;
}

START_TEST(another_model)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b;
    stg_session *s[2];
    const stg_model *m[2] = {persistence(ctx, 40), persistence(ctx, 41)};
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, &err), STG_OK);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(stg_session_create(&s[i], ctx, m[i], NULL), STG_OK);
    ck_assert_int_eq(stg_state_save(s[0], b, &err), STG_OK);
    ck_assert_int_eq(stg_state_restore(s[1], b, &err), STG_E_MISMATCH);
    ck_assert_int_eq(stg_state_restore(s[0], b, &err), STG_OK);
    for (int i = 0; i < 2; i++) {
        stg_session_destroy(s[i]);
        stg_unref(m[i]);
    }
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("state", restart_tells_the_same, restart_at_every_window, graphs_and_forecasts_to_the_bit,
           learning_goes_on, wrong_objects_and_bundles, somebody_elses, another_model)
