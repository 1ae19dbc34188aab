/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of all kinds of models: forecasts after a round trip through a bundle, masks, gaps, nodes
 * that come and go, edges, memory, fork.
 */
#include "checkpoint.h"
#include "learn.h"
#include "model_priv.h"
#include "no_calls.h"

static const stg_model *model_of(stg_ctx *ctx, const char *kind, uint32_t nodes)
{
    const stg_model *m;
    stg_error err = {0};
    const stg_trainer_opts opts = learn_small(kind);
    const int32_t status = learn(ctx, &opts, nodes, 120, 9, &m, &err);
    ck_assert_msg(status == STG_OK, "%s: %s", kind, err.text);
    return m;
}

static double forecast_of(const stg_forecast *f, const stg_graph *g, const char *node,
                          const char *column, uint32_t step)
{
    const double *mean = stg_forecast_mean(f, STG_NODE, column, strlen(column), step);
    const uint32_t at = stg_graph_find(g, node, strlen(node));
    ck_assert_ptr_nonnull(mean);
    ck_assert_uint_ne(at, UINT32_MAX);
    return mean[at];
}

/* Runs windows [from, to) and returns the last graph and the forecast after it. */
static void run(stg_session *s, world *w, uint64_t from, uint64_t to, const stg_graph **last,
                const stg_forecast **f)
{
    *last = NULL;
    for (uint64_t at = from; at < to; at++) {
        stg_unref(*last);
        ck_assert_int_eq(world_next(w, at, last), STG_OK);
        ck_assert_int_eq(stg_session_step(s, *last, NULL), STG_OK);
    }
    ck_assert_int_eq(stg_session_forecast(s, 3, f), STG_OK);
}

START_TEST(round_trip)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m[2];
        stg_bundle *b;
        stg_model_info info = {.size = sizeof info};
        const stg_graph *g;
        const stg_forecast *f[2];
        size_t len[2];
        m[0] = model_of(ctx, learn_kinds[k], 5);
        ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
        ck_assert_int_eq(stg_model_store(m[0], b), STG_OK);
        ck_assert_int_eq(stg_model_load(&m[1], b, NULL), STG_OK);
        ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, &len[0]), STG_MORE);
        ck_assert_int_eq(stg_model_store(m[1], b), STG_OK);
        ck_assert_int_eq(stg_bundle_serialize(b, NULL, 0, &len[1]), STG_MORE);
        ck_assert_uint_eq(len[0], len[1]);
        stg_bundle_destroy(b);
        ck_assert_int_eq(stg_model_get_info(m[1], &info), STG_OK);
        ck_assert_str_eq(info.kind, learn_kinds[k]);
        ck_assert_uint_eq(info.nodes, 5);
        ck_assert_uint_eq(info.horizon, 3);
        ck_assert_uint_eq(info.units, k == 2 ? 4 : 0);
        ck_assert_str_eq(stg_model_column(m[1], 1, 2), "mean_us");
        ck_assert_ptr_null(stg_model_column(m[1], 1, 3));
        for (int i = 0; i < 2; i++) {
            stg_session *s;
            world w;
            ck_assert_int_eq(world_open(&w, ctx, 5, 77), STG_OK);
            ck_assert_int_eq(stg_session_create(&s, ctx, m[i], NULL), STG_OK);
            run(s, &w, 500, 510, &g, &f[i]);
            stg_unref(g);
            stg_session_destroy(s);
            world_close(&w);
        }
        for (uint32_t step = 0; step < 3; step++) {
            const double *x = stg_forecast_mean(f[0], STG_NODE, "calls", 5, step);
            ck_assert_mem_eq(x, stg_forecast_mean(f[1], STG_NODE, "calls", 5, step), 5 * 8);
            for (int i = 0; i < 5; i++)
                ck_assert(isfinite(x[i]) && x[i] > 0);
        }
        ck_assert_ptr_null(stg_forecast_mean(f[0], STG_NODE, "calls", 5, 3));
        ck_assert_ptr_null(stg_forecast_mean(f[0], STG_NODE, "bytes", 5, 0));
        stg_unref(f[0]);
        stg_unref(f[1]);
        stg_unref(m[0]);
        stg_unref(m[1]);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Persistence is the mean of the last windows, to the digit. */
START_TEST(persistence_is_a_mean)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, "persistence", 5);
    stg_session *s;
    world w;
    stg_forecast_info info = {.size = sizeof info};
    double sum = 0;
    ck_assert_int_eq(world_open(&w, ctx, 5, 1), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    const stg_forecast *f;
    ck_assert_int_eq(stg_session_forecast(s, 1, &f), STG_E_STATE);
    for (uint64_t at = 0; at < 4; at++) { /* history is 4 */
        const stg_graph *g;
        ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
        sum += stg_graph_column(g, STG_NODE, "calls", 5)[1];
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        ck_assert_int_eq(stg_session_forecast(s, 2, &f), STG_OK);
        stg_forecast_get_info(f, &info);
        ck_assert_uint_eq(info.ready, at == 3);
        ck_assert_uint_eq(info.start_ns, (at + 1) * WORLD_WINDOW);
        ck_assert_double_eq_tol(stg_forecast_mean(f, STG_NODE, "calls", 5, 1)[1], sum / (at + 1),
                                1e-9 * sum);
        stg_unref(f);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_session_forecast(s, 0, &f), STG_E_INVALID);
    ck_assert_int_eq(stg_session_forecast(s, 4, &f), STG_E_INVALID);
    stg_session_destroy(s);
    stg_unref(m);
    world_close(&w);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A flood on "cart" that is masked leaves no trace in the coming forecasts. */
START_TEST(mask_keeps_incidents_out)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(ctx, learn_kinds[k], 5);
        double seen[2];
        double share[2];
        for (int masked = 0; masked < 2; masked++) {
            stg_session *s;
            world w;
            const stg_graph *g;
            const stg_forecast *f;
            ck_assert_int_eq(world_open(&w, ctx, 5, 2), STG_OK);
            ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
            run(s, &w, 0, 8, &g, &f);
            stg_unref(g);
            stg_unref(f);
            for (uint64_t at = 8; at < 14; at++) {
                uint8_t mask[5] = {0};
                world_begin(&w, at);
                world_fill(&w, at);
                stg_graph_builder_set(w.b, STG_NODE, w.node[3], w.column[0], 1e6);
                stg_graph_builder_set(w.b, STG_EDGE, w.edge[2], w.column[3], 1e6);
                ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
                mask[stg_graph_find(g, "cart", 4)] = 200; /* any byte but 0 */
                ck_assert_int_eq(stg_session_step(s, g, masked ? mask : NULL), STG_OK);
                stg_unref(g);
            }
            run(s, &w, 14, 15, &g, &f);
            seen[masked] = forecast_of(f, g, "cart", "calls", 0);
            const double *edges = stg_forecast_mean(f, STG_EDGE, "calls", 5, 0);
            stg_edges e = {.size = sizeof e};
            stg_graph_get_edges(g, &e);
            share[masked] = edges[e.in_edge[e.in_ptr[stg_graph_find(g, "cart", 4)]]];
            stg_unref(g);
            stg_unref(f);
            stg_session_destroy(s);
            world_close(&w);
        }
        ck_assert_msg(seen[1] < 2000, "%s: %g", learn_kinds[k], seen[1]);
        if (k < 2) /* a net of four units may do anything, but not the same */
            ck_assert_msg(seen[0] > 2 * seen[1], "%s: %g %g", learn_kinds[k], seen[0], seen[1]);
        ck_assert_double_ne(seen[0], seen[1]);
        ck_assert_msg(share[0] > 2 * share[1], "%s: %g %g", learn_kinds[k], share[0], share[1]);
        stg_unref(m);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(gaps_and_time)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(ctx, learn_kinds[k], 5);
        stg_session *s;
        world w;
        const stg_graph *g;
        const stg_forecast *f;
        stg_forecast_info info = {.size = sizeof info};
        ck_assert_int_eq(world_open(&w, ctx, 5, 3), STG_OK);
        ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
        run(s, &w, 10, 20, &g, &f);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_E_TIME);
        stg_unref(g);
        stg_unref(f);
        run(s, &w, 22, 23, &g, &f); /* two are missing: bridged */
        stg_forecast_get_info(f, &info);
        ck_assert_uint_eq(info.ready, 1);
        ck_assert_uint_eq(info.start_ns, (uint64_t)23 * WORLD_WINDOW);
        ck_assert(isfinite(forecast_of(f, g, "cart", "calls", 2)));
        stg_unref(g);
        stg_unref(f);
        run(s, &w, 26, 27, &g, &f); /* three: as many as the horizon */
        stg_forecast_get_info(f, &info);
        ck_assert_uint_eq(info.ready, 1);
        stg_unref(g);
        stg_unref(f);
        run(s, &w, 100, 101, &g, &f); /* too many: the history begins anew */
        stg_forecast_get_info(f, &info);
        ck_assert_uint_eq(info.ready, 0);
        ck_assert(isfinite(forecast_of(f, g, "cart", "calls", 2)));
        stg_unref(g);
        stg_unref(f);
        stg_graph_builder_begin(w.b, (uint64_t)200 * WORLD_WINDOW + 1, (uint64_t)201 * WORLD_WINDOW + 1);
        ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_E_MISMATCH);
        stg_unref(g);
        stg_graph_builder_begin(w.b, (uint64_t)200 * WORLD_WINDOW, (uint64_t)202 * WORLD_WINDOW);
        ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_E_MISMATCH);
        stg_unref(g);
        stg_session_destroy(s);
        stg_unref(m);
        world_close(&w);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* A stranger's node: no forecast at first, then one near what it does; the known nodes' indices move
 * and their forecasts stay. Then everything goes but two nodes. */
START_TEST(nodes_come_and_go)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(ctx, learn_kinds[k], 5);
        stg_session *s;
        world w;
        const stg_graph *g;
        const stg_forecast *f;
        uint32_t node;
        uint32_t edge;
        ck_assert_int_eq(world_open(&w, ctx, 5, 4), STG_OK);
        ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
        run(s, &w, 0, 10, &g, &f);
        const double before = forecast_of(f, g, "web", "calls", 1);
        stg_unref(g);
        stg_unref(f);
        ck_assert_int_eq(stg_graph_builder_node(w.b, "aaa-new", 7, &node), STG_OK);
        ck_assert_int_eq(stg_graph_builder_edge(w.b, w.node[1], node, "", 0, &edge), STG_OK);
        for (uint64_t at = 10; at < 20; at++) {
            world_begin(&w, at);
            world_fill(&w, at);
            if (at > 10) { /* it is known of at first, but nothing was seen yet */
                stg_graph_builder_set(w.b, STG_NODE, node, w.column[0], 5000);
                stg_graph_builder_set(w.b, STG_EDGE, edge, w.column[3], 5000);
            }
            ck_assert_int_eq(stg_graph_builder_finish(w.b, &g), STG_OK);
            ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
            ck_assert_int_eq(stg_session_forecast(s, 3, &f), STG_OK);
            const double stranger = forecast_of(f, g, "aaa-new", "calls", 0);
            const double web = forecast_of(f, g, "web", "calls", 0);
            const double *edges = stg_forecast_mean(f, STG_EDGE, "calls", 5, 0);
            if (at == 10) {
                ck_assert(isnan(stranger));
                ck_assert_double_lt(fabs(log(web / before)), 0.7);
            }
            if (at == 19) {
                ck_assert_msg(stranger > 500 && stranger < 50000, "%s: %g", learn_kinds[k], stranger);
                stg_edges e = {.size = sizeof e};
                stg_graph_get_edges(g, &e);
                const double x = edges[e.in_edge[e.in_ptr[stg_graph_find(g, "aaa-new", 7)]]];
                ck_assert_msg(x > 1500 && x < 15000, "%s: %g", learn_kinds[k], x);
            }
            stg_unref(g);
            stg_unref(f);
        }
        world_close(&w);
        ck_assert_int_eq(world_open(&w, ctx, 3, 4), STG_OK); /* another builder, fewer nodes */
        run(s, &w, 20, 21, &g, &f);
        ck_assert(isfinite(forecast_of(f, g, "web", "calls", 2)));
        ck_assert_ptr_nonnull(stg_forecast_mean(f, STG_EDGE, "calls", 5, 2));
        stg_unref(g);
        stg_unref(f);
        stg_session_destroy(s);
        stg_unref(m);
        world_close(&w);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Edges follow their caller; the shares of a caller's calls come back. */
START_TEST(edges_follow_callers)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, "persistence", 5);
    stg_session *s;
    world w;
    const stg_graph *g;
    const stg_forecast *f;
    ck_assert_int_eq(world_open(&w, ctx, 5, 5), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    run(s, &w, 0, 5, &g, &f);
    const double *nodes = stg_forecast_mean(f, STG_NODE, "calls", 5, 0);
    const double *edges = stg_forecast_mean(f, STG_EDGE, "calls", 5, 0);
    stg_edges e = {.size = sizeof e};
    stg_graph_info info = {.size = sizeof info};
    stg_graph_get_edges(g, &e);
    stg_graph_get_info(g, &info);
    ck_assert_uint_eq(info.edges, w.edges);
    for (uint32_t i = 0; i < info.edges; i++) {
        const double share = edges[i] / nodes[e.src[i]];
        ck_assert_double_ge(share, 0.25); /* shares of this world: 0.3 to 1 */
        ck_assert_double_le(share, 1.05);
    }
    ck_assert_ptr_null(stg_forecast_mean(f, STG_EDGE, "errors", 6, 0));
    stg_unref(g);
    stg_unref(f);
    stg_session_destroy(s);
    stg_unref(m);
    world_close(&w);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(no_allocation_after_warm_up)
{
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *ctx = test_ctx(&memory);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(ctx, learn_kinds[k], 6);
        stg_session *s;
        world w;
        const stg_forecast *out[4] = {NULL};
        uint8_t mask[6] = {0, 0, 1};
        size_t before = 0;
        ck_assert_int_eq(world_open(&w, ctx, 6, 6), STG_OK);
        ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
        for (uint64_t at = 0; at < 60; at++) {
            const stg_graph *g;
            if (at == 8)
                before = memory.requests;
            if (at % 17 == 16)
                continue; /* gaps are bridged without memory too */
            ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
            ck_assert_int_eq(stg_session_step(s, g, at % 5 ? NULL : mask), STG_OK);
            stg_unref(g);
            stg_unref(out[at % 4]);
            ck_assert_int_eq(stg_session_forecast(s, 1 + at % 3, &out[at % 4]), STG_OK);
        }
        ck_assert_uint_eq(memory.requests, before);
        for (int i = 0; i < 4; i++)
            stg_unref(out[i]);
        stg_session_destroy(s);
        stg_unref(m);
        world_close(&w);
    }
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* A checkpoint's net, of the column and the windows of these worlds. */
static const stg_model *series_of(stg_ctx *ctx)
{
    size_t len;
    const stg_model *m;
    const checkpoint c = {.prefix = "", .settings = "", .layers = 2, .units = 4, .copies = 5,
                          .inputs = 2, .targets = 1, .weight = 0.05f};
    const stg_import_opts opts = {.size = sizeof opts, .column = "calls", .window_ns = WORLD_WINDOW,
                                  .history = 6, .horizon = 3, .mean = 100, .deviation = 50};
    unsigned char *bytes = checkpoint_make(&c, &len);
    ck_assert_int_eq(stg_model_import(&m, ctx, bytes, len, &opts, NULL), STG_OK);
    free(bytes);
    return m;
}

static void step_without_calls(stg_session *s, const stg_graph *const *g, int count, bool planted)
{
    const stg_forecast *f;
    const uint8_t mask[6] = {0, 0, 1};
    int32_t status = STG_OK;
    for (int i = 0; i < count; i++) {
        if (i == 4)
            no_calls_begin();
        status |= stg_session_step(s, g[i], i % 3 ? NULL : mask);
        status |= stg_session_forecast(s, 1 + (uint32_t)i % 3, &f);
        stg_unref(f);
    }
    if (status != STG_OK)
        syscall(SYS_exit_group, 3);
    no_calls_end(planted);
}

START_TEST(step_makes_no_system_call)
{
    enum { WINDOWS = 16 };
    const char *const name = "step_makes_no_system_call";
    for (int k = 0; k <= LEARN_KINDS; k++)
        for (int planted = no_calls_untested(name); planted < 2; planted++) {
            const pid_t pid = fork(); /* handles belong to the process that made them */
            ck_assert_int_ge(pid, 0);
            if (pid == 0) {
                const stg_graph *g[WINDOWS];
                stg_session *s;
                world w;
                stg_ctx *ctx = test_ctx(NULL);
                const stg_model *m = k < LEARN_KINDS ? model_of(ctx, learn_kinds[k], 6) : series_of(ctx);
                int32_t status = world_open(&w, ctx, 6, 6);
                for (uint64_t at = 0; at < WINDOWS; at++)
                    status |= world_next(&w, at, &g[at]);
                const stg_session_opts one = {.size = sizeof one, .threads = 1};
                status |= stg_session_create(&s, ctx, m, k % 2 ? &one : NULL);
                if (status != STG_OK)
                    _exit(2);
                step_without_calls(s, g, WINDOWS, planted == 1);
            }
            no_calls_ended(pid, planted == 1);
        }
}
END_TEST

/* Every request fails once: the session stays usable and nothing leaks. */
START_TEST(failing_memory)
{
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *ctx = test_ctx(&memory);
    stg_ctx *plain = test_ctx(NULL);
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(plain, learn_kinds[k], 4);
        const stg_graph *g[3];
        world w[2];
        ck_assert_int_eq(world_open(&w[0], plain, 4, 6), STG_OK);
        ck_assert_int_eq(world_open(&w[1], plain, 6, 6), STG_OK);
        ck_assert_int_eq(world_next(&w[0], 0, &g[0]), STG_OK);
        ck_assert_int_eq(world_next(&w[0], 1, &g[1]), STG_OK);
        ck_assert_int_eq(world_next(&w[1], 2, &g[2]), STG_OK); /* another topology */
        int32_t status = STG_E_NOMEM;
        for (size_t n = 1; status != STG_OK; n++) {
            stg_session *s = NULL;
            const stg_forecast *f = NULL;
            memory.requests = 0;
            memory.fail_at = n;
            status = stg_session_create(&s, ctx, m, NULL);
            int at = 0;
            for (; status == STG_OK && at < 3; at++)
                status = stg_session_step(s, g[at], NULL);
            if (status == STG_OK)
                status = stg_session_forecast(s, 3, &f);
            ck_assert(status == STG_OK || status == STG_E_NOMEM);
            memory.fail_at = 0;
            if (status != STG_OK && s) {
                for (at = at > 0 ? at - 1 : 0; at < 3; at++) {
                    const int32_t again = stg_session_step(s, g[at], NULL);
                    ck_assert(again == STG_OK || again == STG_E_TIME);
                }
                ck_assert_int_eq(stg_session_forecast(s, 3, &f), STG_OK);
            }
            stg_unref(f);
            stg_session_destroy(s);
            ck_assert_uint_eq(memory.live, 1);
        }
        for (int i = 0; i < 3; i++)
            stg_unref(g[i]);
        world_close(&w[0]);
        world_close(&w[1]);
        stg_unref(m);
    }
    stg_ctx_destroy(plain);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* A model crosses fork, a session does not; two sessions share a model. */
START_TEST(fork_and_share)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, "dcrnn", 5);
    stg_session *s;
    world w;
    const stg_graph *g;
    const stg_forecast *f[2];
    ck_assert_int_eq(world_open(&w, ctx, 5, 8), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    run(s, &w, 0, 6, &g, &f[0]);
    const pid_t child = fork();
    if (child == 0) {
        stg_ctx *own;
        stg_session *mine;
        int bad = stg_session_step(s, g, NULL) != STG_E_FORK;
        bad |= stg_session_forecast(s, 1, &f[1]) != STG_E_FORK;
        bad |= stg_session_create(&mine, ctx, m, NULL) != STG_E_FORK;
        bad |= stg_ctx_create(&own, NULL) != STG_OK;
        bad |= stg_session_create(&mine, own, m, NULL) != STG_OK;
        bad |= stg_session_step(mine, g, NULL) != STG_OK;
        bad |= stg_session_forecast(mine, 3, &f[1]) != STG_OK;
        stg_unref(f[1]);
        stg_session_destroy(mine);
        stg_ctx_destroy(own);
        _exit(bad);
    }
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    stg_unref(g);
    stg_unref(f[0]);
    stg_session_destroy(s);
    stg_unref(m);
    world_close(&w);
    stg_ctx_destroy(ctx);
}
END_TEST

static stg_session *revived(stg_ctx *ctx, const stg_model *m, const stg_session *from)
{
    stg_bundle *b;
    stg_session *s;
    stg_error err = {0};
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_state_save(from, b, &err), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    ck_assert_msg(stg_state_restore(s, b, &err) == STG_OK, "%s", err.text);
    stg_bundle_destroy(b);
    return s;
}

/*
 * The session of a system with nodes and edges that the model does not know, saved and restored every
 * few windows, forecasts what the one that ran through does: in a masked window, with a node that is
 * new in the very next window, and over a gap.
 */
START_TEST(restored_to_the_bit)
{
    stg_ctx *ctx = test_ctx(NULL);
    const uint8_t mask[16] = {0, 1, 0, 0, 1, 0, 1};
    for (int k = 0; k < LEARN_KINDS; k++) {
        const stg_model *m = model_of(ctx, learn_kinds[k], 5);
        stg_session *s[2];
        world w;
        ck_assert_int_eq(world_open(&w, ctx, 8, 3), STG_OK);
        for (int i = 0; i < 2; i++)
            ck_assert_int_eq(stg_session_create(&s[i], ctx, m, NULL), STG_OK);
        for (uint64_t at = 0; at < 60; at++) {
            const stg_graph *g;
            const stg_forecast *f[2];
            uint32_t late;
            if (at == 31)
                ck_assert_int_eq(stg_graph_builder_node(w.b, "late", 4, &late), STG_OK);
            if (at == 41)
                ck_assert_int_eq(stg_graph_builder_edge(w.b, 1, 5, "GET /x", 6, &late), STG_OK);
            ck_assert_int_eq(world_next(&w, at + (at > 50) + 900 * (at > 55), &g), STG_OK);
            if (at % 7 == 0 || at == 31 || at == 41 || at == 51 || at == 56) {
                stg_session *again = revived(ctx, m, s[1]);
                stg_session_destroy(s[1]);
                s[1] = again;
            }
            for (int i = 0; i < 2; i++) {
                ck_assert_int_eq(stg_session_step(s[i], g, at % 5 == 4 ? mask : NULL), STG_OK);
                ck_assert_int_eq(stg_session_forecast(s[i], 1 + at % 3, &f[i]), STG_OK);
            }
            ck_assert_mem_eq(f[0]->node, f[1]->node,
                             3 * f[0]->horizon * f[0]->node_stride * sizeof(double));
            ck_assert_mem_eq(f[0]->edge, f[1]->edge,
                             f[0]->horizon * f[0]->edge_stride * sizeof(double));
            ck_assert_uint_eq(f[0]->ready, f[1]->ready);
            stg_unref(f[0]);
            stg_unref(f[1]);
            stg_unref(g);
        }
        for (int i = 0; i < 2; i++)
            stg_session_destroy(s[i]);
        world_close(&w);
        stg_unref(m);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("session", round_trip, persistence_is_a_mean, mask_keeps_incidents_out, gaps_and_time,
           nodes_come_and_go, edges_follow_callers, no_allocation_after_warm_up,
           step_makes_no_system_call, failing_memory, fork_and_share, restored_to_the_bit)
