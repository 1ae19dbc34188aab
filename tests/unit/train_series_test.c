/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training of the published net on plain values: a series that moves along the edges of a graph, of
 * which persistence knows nothing and a net without a graph little.
 */
#include <math.h>

#include "model_priv.h"
#include "test.h"

#include <stgraph/train.h>

enum { NODES = 8, LENGTH = 420, TRAINED = 360 };
#define WINDOW UINT64_C(60000000000)

/* What a node has next is what its two callers had, by weight, and chance. */
typedef struct flow {
    stg_graph_builder *b;
    stg__rng rng;
    double x[NODES];
    uint32_t node[NODES];
    uint32_t column;
    uint64_t at;
} flow;

static void flow_open(flow *f, stg_ctx *ctx)
{
    *f = (flow){.at = 0};
    stg__rng_init(&f->rng, 11, 0);
    ck_assert_int_eq(stg_graph_builder_create(&f->b, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(f->b, STG_NODE, "calls", 5, &f->column), STG_OK);
    for (uint32_t i = 0; i < NODES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        ck_assert_int_eq(stg_graph_builder_node(f->b, name, 1, &f->node[i]), STG_OK);
        f->x[i] = stg__rng_normal(&f->rng);
    }
}

static uint32_t caller(uint32_t i, uint32_t k)
{
    return (i * 3 + 1 + 2 * k) % NODES;
}

static const stg_graph *flow_next(flow *f)
{
    double next[NODES];
    const stg_graph *g;
    uint32_t weight;
    uint32_t e;
    ck_assert_int_eq(stg_graph_builder_begin(f->b, f->at * WINDOW, (f->at + 1) * WINDOW), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(f->b, STG_EDGE, "weight", 6, &weight), STG_OK);
    for (uint32_t i = 0; i < NODES; i++) {
        next[i] = 0.25 * stg__rng_normal(&f->rng);
        for (uint32_t k = 0; k < 2; k++) {
            const uint32_t src = caller(i, k);
            next[i] += (k ? 0.3 : 0.6) * f->x[src];
            if (src == i)
                continue;
            ck_assert_int_eq(
                stg_graph_builder_edge(f->b, f->node[src], f->node[i], NULL, 0, &e), STG_OK);
            ck_assert_int_eq(stg_graph_builder_set(f->b, STG_EDGE, e, weight, k ? 1 : 2), STG_OK);
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        f->x[i] = next[i];
        /* A hole now and then. */
        const double seen = f->at % 97 == i ? NAN : 100 * next[i] - 30;
        ck_assert_int_eq(stg_graph_builder_set(f->b, STG_NODE, f->node[i], f->column, seen), STG_OK);
    }
    f->at++;
    ck_assert_int_eq(stg_graph_builder_finish(f->b, &g), STG_OK);
    return g;
}

static stg_trainer_opts small(uint32_t hops)
{
    return (stg_trainer_opts){.size = sizeof(stg_trainer_opts), .kind = "dcrnn_series",
                              .inputs = "calls", .targets = "calls", .seed = 3, .history = 4,
                              .horizon = 2, .layers = 1, .units = 8, .hops = hops, .epochs = 12,
                              .batch = 8, .learning_rate = 0.01};
}

static const stg_model *learnt(stg_ctx *ctx, const stg_trainer_opts *opts, flow *f)
{
    const stg_model *m;
    stg_trainer *t;
    stg_error err = {0};
    ck_assert_int_eq(stg_trainer_create(&t, ctx, opts, &err), STG_OK);
    flow_open(f, ctx);
    for (int at = 0; at < TRAINED; at++) {
        const stg_graph *g = flow_next(f);
        ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        stg_unref(g);
    }
    const int32_t status = stg_trainer_run(t, &m, &err);
    ck_assert_msg(status == STG_OK, "%s", err.text);
    stg_trainer_destroy(t);
    return m;
}

/* Mean absolute errors one window ahead over what training did not see: ours, persistence. */
static void judge(stg_ctx *ctx, const stg_model *m, flow *f, double error[2])
{
    stg_session *s;
    const stg_forecast *fc = NULL;
    double last[NODES];
    double count = 0;
    error[0] = error[1] = 0;
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    for (int at = 0; at < LENGTH - TRAINED; at++) {
        const stg_graph *g = flow_next(f);
        const double *seen = stg_graph_column(g, STG_NODE, "calls", 5) + 1; /* the first is external */
        for (int i = 0; at >= 4 && i < NODES; i++) {
            const double ours = stg_forecast_mean(fc, STG_NODE, "calls", 5, 0)[i + 1];
            if (isnan(seen[i]) || isnan(last[i]))
                continue;
            error[0] += fabs(ours - seen[i]);
            error[1] += fabs(last[i] - seen[i]);
            count++;
        }
        memcpy(last, seen, sizeof last);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        stg_unref(fc);
        ck_assert_int_eq(stg_session_forecast(s, 2, &fc), STG_OK);
        stg_unref(g);
    }
    error[0] /= count;
    error[1] /= count;
    stg_unref(fc);
    stg_session_destroy(s);
    stg_graph_builder_destroy(f->b);
}

START_TEST(learns_the_graph)
{
    stg_ctx *ctx = test_ctx(NULL);
    double error[2][2];
    for (int k = 0; k < 2; k++) {
        flow f;
        const stg_trainer_opts opts = small(k ? 1 : STG_NO_HOPS);
        const stg_model *m = learnt(ctx, &opts, &f);
        stg_model_info info = {.size = sizeof info};
        ck_assert_int_eq(stg_model_get_info(m, &info), STG_OK);
        ck_assert_str_eq(info.kind, "dcrnn_series");
        ck_assert_uint_eq(info.hops, (uint32_t)k);
        ck_assert_uint_eq(info.day_ns, UINT64_C(86400000000000)); /* nobody said it */
        judge(ctx, m, &f, error[k]);
        stg_unref(m);
    }
    printf("# without a graph %.1f, with it %.1f, persistence %.1f\n", error[0][0], error[1][0],
           error[1][1]);
    /* Chance alone makes 100 * 0.25 * 0.8 = 20. */
    ck_assert_double_lt(error[1][0], 0.8 * error[0][0]);
    ck_assert_double_lt(error[1][0], 0.6 * error[1][1]);
    stg_ctx_destroy(ctx);
}
END_TEST

static unsigned char *bytes_of(stg_ctx *ctx, const stg_model *m, size_t *len)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    stg_bundle_serialize(b, NULL, 0, len);
    unsigned char *bytes = (unsigned char *)malloc(*len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, *len, len), STG_OK);
    stg_bundle_destroy(b);
    return bytes;
}

/* Threads change no bit, the seed does; a stored model is the same when it is loaded. */
START_TEST(same_seed_same_bits)
{
    stg_ctx *ctx = test_ctx(NULL);
    unsigned char *bytes[3];
    size_t len[3];
    for (int k = 0; k < 3; k++) {
        flow f;
        stg_trainer_opts opts = small(2);
        opts.epochs = 2;
        opts.threads = k ? 1 : 3;
        opts.seed = k < 2 ? 3 : 4;
        const stg_model *m = learnt(ctx, &opts, &f);
        bytes[k] = bytes_of(ctx, m, &len[k]);
        stg_graph_builder_destroy(f.b);
        stg_unref(m);
    }
    ck_assert_uint_eq(len[0], len[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], len[0]);
    ck_assert(len[0] == len[2] && memcmp(bytes[0], bytes[2], len[0]) != 0);
    stg_bundle *b;
    const stg_model *again;
    size_t again_len;
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes[0], len[0], NULL), STG_OK);
    ck_assert_int_eq(stg_model_load(&again, b, NULL), STG_OK);
    unsigned char *copy = bytes_of(ctx, again, &again_len);
    ck_assert_uint_eq(again_len, len[0]);
    ck_assert_mem_eq(copy, bytes[0], len[0]);
    free(copy);
    stg_unref(again);
    stg_bundle_destroy(b);
    for (int k = 0; k < 3; k++)
        free(bytes[k]);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A stored model, loaded again: the same bytes. */
static void check_round_trip(stg_ctx *ctx, const stg_model *m)
{
    stg_bundle *b;
    const stg_model *again;
    size_t len[2];
    unsigned char *bytes[2];
    bytes[0] = bytes_of(ctx, m, &len[0]);
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes[0], len[0], NULL), STG_OK);
    ck_assert_int_eq(stg_model_load(&again, b, NULL), STG_OK);
    bytes[1] = bytes_of(ctx, again, &len[1]);
    ck_assert_uint_eq(len[0], len[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], len[0]);
    free(bytes[0]);
    free(bytes[1]);
    stg_unref(again);
    stg_bundle_destroy(b);
}

/* Every form of the net learns the graph, on both scales; what it is stands in the file. */
START_TEST(every_form)
{
    static const stg_trainer_opts form[] = {
        {.decoder = "direct"},
        {.decoder = "direct_relu", .lags = 4, .time = STG_TIME_NONE, .recursion = "pygt"},
        {.lags = 2, .filter = "random_walk", .recursion = "power"},
        {.lags = 3, .filter = "laplacian_2", .recursion = "carry", .time = STG_TIME_NONE},
    };
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        flow f;
        double error[2];
        stg_model_info info = {.size = sizeof info};
        stg_trainer_opts opts = small(2);
        opts.filter = form[i].filter;
        opts.recursion = form[i].recursion;
        opts.decoder = form[i].decoder;
        opts.lags = form[i].lags;
        opts.time = form[i].time;
        const stg_model *m = learnt(ctx, &opts, &f);
        ck_assert_int_eq(stg_model_get_info(m, &info), STG_OK);
        ck_assert_str_eq(info.filter, opts.filter ? opts.filter : "dual_random_walk");
        ck_assert_str_eq(info.recursion, opts.recursion ? opts.recursion : "restart");
        ck_assert_str_eq(info.decoder, opts.decoder ? opts.decoder : "seq2seq");
        ck_assert_uint_eq(info.lags, opts.lags ? opts.lags : 1);
        ck_assert_uint_eq(info.history, 4);
        ck_assert_uint_eq(info.time, opts.time);
        check_round_trip(ctx, m);
        judge(ctx, m, &f, error);
        printf("# form %zu: %.1f, persistence %.1f\n", i, error[0], error[1]);
        ck_assert_double_lt(error[0], 0.8 * error[1]);
        stg_unref(m);
        opts.kind = "dcrnn";
        opts.epochs = 2;
        m = learnt(ctx, &opts, &f);
        check_round_trip(ctx, m);
        judge(ctx, m, &f, error);
        ck_assert_double_lt(error[0], 3 * error[1]); /* logs are no scale for these numbers */
        stg_unref(m);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(no_such_form)
{
    static const struct {
        stg_trainer_opts o;
        const char *text;
    } row[] = {
        {{.filter = "chebyshev"}, "filter"}, {{.recursion = ""}, "recursion"},
        {{.decoder = "gru"}, "decoder"},     {{.lags = 5}, "lags"},
        {{.time = 2}, "time"},
    };
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        stg_trainer *t;
        stg_error err = {0};
        stg_trainer_opts opts = row[i].o;
        opts.size = sizeof opts;
        opts.history = 4;
        ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, &err), STG_E_INVALID);
        ck_assert_msg(strstr(err.text, row[i].text) != NULL, "%s", err.text);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Over a restart in the middle; a trainer of another scale does not take it. */
START_TEST(saved_in_the_middle)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_trainer *t[3];
    const stg_model *m[2];
    stg_bundle *state;
    flow f;
    size_t len[2];
    stg_error err = {0};
    stg_trainer_opts opts = small(2);
    opts.epochs = 1;
    ck_assert_int_eq(stg_trainer_create(&t[0], ctx, &opts, NULL), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&t[1], ctx, &opts, NULL), STG_OK);
    opts.kind = "seasonal";
    ck_assert_int_eq(stg_trainer_create(&t[2], ctx, &opts, NULL), STG_OK);
    flow_open(&f, ctx);
    for (int at = 0; at < 60; at++) {
        const stg_graph *g = flow_next(&f);
        ck_assert_int_eq(stg_trainer_add(t[0], g), STG_OK);
        if (at >= 30)
            ck_assert_int_eq(stg_trainer_add(t[1], g), STG_OK);
        stg_unref(g);
        if (at != 29)
            continue;
        ck_assert_int_eq(stg_bundle_open(&state, ctx, NULL, NULL), STG_OK);
        ck_assert_int_eq(stg_state_save(t[0], state, NULL), STG_OK);
        ck_assert_int_eq(stg_state_restore(t[2], state, &err), STG_E_MISMATCH);
        ck_assert_int_eq(stg_state_restore(t[1], state, &err), STG_OK);
        stg_bundle_destroy(state);
    }
    unsigned char *bytes[2];
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(stg_trainer_run(t[k], &m[k], &err), STG_OK);
        bytes[k] = bytes_of(ctx, m[k], &len[k]);
        stg_unref(m[k]);
    }
    ck_assert_uint_eq(len[0], len[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], len[0]);
    free(bytes[0]);
    free(bytes[1]);
    for (int k = 0; k < 3; k++)
        stg_trainer_destroy(t[k]);
    stg_graph_builder_destroy(f.b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* A series that never moves, values beyond all sense, nothing known at all: a model or an error. */
START_TEST(odd_values)
{
    static const double values[] = {5, 1e300, -1e300, 1e-300, INFINITY, NAN};
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
        stg_trainer *t;
        stg_graph_builder *b;
        stg_session *s;
        const stg_model *m;
        const stg_graph *g = NULL;
        const stg_forecast *f;
        uint32_t node;
        uint32_t column;
        stg_trainer_opts opts = small(1);
        opts.epochs = 2;
        ck_assert_int_eq(stg_trainer_create(&t, ctx, &opts, NULL), STG_OK);
        ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
        for (uint64_t at = 0; at < 30; at++) {
            stg_unref(g);
            ck_assert_int_eq(stg_graph_builder_begin(b, at * WINDOW, (at + 1) * WINDOW), STG_OK);
            stg_graph_builder_node(b, "a", 1, &node);
            stg_graph_builder_column(b, STG_NODE, "calls", 5, &column);
            stg_graph_builder_set(b, STG_NODE, node, column, values[v]);
            ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
            ck_assert_int_eq(stg_trainer_add(t, g), STG_OK);
        }
        ck_assert_int_eq(stg_trainer_run(t, &m, NULL), STG_OK);
        ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        ck_assert_int_eq(stg_session_forecast(s, 1, &f), STG_OK);
        const double x = stg_forecast_mean(f, STG_NODE, "calls", 5, 0)[1];
        ck_assert_msg(isfinite(values[v]) ? isfinite(x) : isnan(x), "%g gives %g", values[v], x);
        stg_unref(f);
        stg_unref(g);
        stg_unref(m);
        stg_session_destroy(s);
        stg_trainer_destroy(t);
        stg_graph_builder_destroy(b);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

/* Edges: calls of the caller times the share that was seen, on plain values too. */
START_TEST(edges_by_share)
{
    stg_ctx *ctx = test_ctx(NULL);
    flow f;
    const stg_trainer_opts opts = small(1);
    const stg_model *m = learnt(ctx, &opts, &f);
    stg_session *s;
    const stg_forecast *fc = NULL;
    uint32_t calls;
    uint32_t e;
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(f.b, STG_EDGE, "calls", 5, &calls), STG_OK);
    for (uint64_t at = TRAINED; at < TRAINED + 30; at++) {
        const stg_graph *g;
        ck_assert_int_eq(stg_graph_builder_begin(f.b, at * WINDOW, (at + 1) * WINDOW), STG_OK);
        for (uint32_t i = 0; i < NODES; i++)
            stg_graph_builder_set(f.b, STG_NODE, f.node[i], f.column, 80);
        ck_assert_int_eq(stg_graph_builder_edge(f.b, f.node[1], f.node[0], NULL, 0, &e), STG_OK);
        ck_assert_int_eq(stg_graph_builder_set(f.b, STG_EDGE, e, calls, 20), STG_OK);
        ck_assert_int_eq(stg_graph_builder_finish(f.b, &g), STG_OK);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        stg_unref(fc);
        ck_assert_int_eq(stg_session_forecast(s, 1, &fc), STG_OK);
        const double *edge = stg_forecast_mean(fc, STG_EDGE, "calls", 5, 0);
        const double *node = stg_forecast_mean(fc, STG_NODE, "calls", 5, 0);
        stg_edges ends = {.size = sizeof ends};
        ck_assert_int_eq(stg_graph_get_edges(g, &ends), STG_OK);
        for (uint32_t k = 0; at > TRAINED + 20 && k < ends.out_ptr[NODES + 1]; k++)
            if (ends.src[k] == 2 && ends.dst[k] == 1) /* b to a; the first is external */
                ck_assert_double_eq_tol(edge[k], fmax(node[2], 0) / 4, 1e-9 + fabs(node[2]) * 1e-9);
            else
                ck_assert(isnan(edge[k])); /* nobody said their calls */
        stg_unref(g);
    }
    stg_unref(fc);
    stg_session_destroy(s);
    stg_graph_builder_destroy(f.b);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("train-series", learns_the_graph, same_seed_same_bits, every_form, no_such_form,
           saved_in_the_middle, odd_values, edges_by_share)
