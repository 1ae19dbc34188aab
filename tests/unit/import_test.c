/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of other codes as models, and sessions of the kind they become: which code a file comes
 * from, what is refused and why, values and the time of day on their way into the net and back.
 */
#include <math.h>

#include "checkpoint.h"
#include "model_priv.h"
#include "test.h"

#define WINDOW_NS 300000000000u

static const checkpoint port = {.prefix = "model_state_dict/",
                                .settings = "\"model/filter_type\":\"dual_random_walk\","
                                            "\"model/horizon\":\"3\",\"model/seq_len\":\"4\","
                                            "\"model/rnn_units\":\"2\"",
                                .layers = 2, .units = 2, .copies = 5, .inputs = 2, .targets = 1,
                                .weight = 0.125f};

static int32_t import(stg_ctx *ctx, const checkpoint *c, const stg_import_opts *opts,
                      const stg_model **m, stg_error *err)
{
    size_t len;
    unsigned char *bytes = checkpoint_make(c, &len);
    const int32_t status = stg_model_import(m, ctx, bytes, len, opts, err);
    ck_assert((status == STG_OK) == (*m != NULL));
    free(bytes);
    return status;
}

static const stg_model *imported(stg_ctx *ctx, const checkpoint *c, const stg_import_opts *opts)
{
    const stg_model *m;
    stg_error err = {0};
    const int32_t status = import(ctx, c, opts, &m, &err);
    ck_assert_msg(status == STG_OK, "%s", err.text);
    return m;
}

/* --- which code ------------------------------------------------------------------------------- */

START_TEST(formats)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_import_opts exact = {.size = sizeof exact, .supports = STG_SUPPORTS_EXACT};
    const stg_import_opts basicts = {.size = sizeof basicts, .format = "basicts"};
    checkpoint plain = port;
    checkpoint libcity = port;
    plain.settings = "";
    plain.prefix = "";
    libcity.settings = "";
    libcity.prefix = "0/";
    libcity.libcity = true;
    const struct {
        const checkpoint *c;
        const stg_import_opts *opts;
        uint32_t order;
        uint32_t history;
    } row[] = {
        {&port, NULL, STG__PORT_REVERSED, 4}, {&plain, NULL, STG__EXACT, 12},
        {&libcity, NULL, STG__PORT_REVERSED, 12}, {&port, &exact, STG__EXACT, 4},
        {&port, &basicts, STG__EXACT, 4},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const stg_model *m = imported(ctx, row[i].c, row[i].opts);
        stg_model_info info = {.size = sizeof info};
        ck_assert_int_eq(stg_model_get_info(m, &info), STG_OK);
        ck_assert_str_eq(info.kind, "dcrnn_series");
        ck_assert_str_eq(stg_model_column(m, 0, 0), "value");
        ck_assert_uint_eq(info.layers, 2);
        ck_assert_uint_eq(info.units, 2);
        ck_assert_uint_eq(info.hops, 2);
        ck_assert_uint_eq(info.inputs, 1);
        ck_assert_uint_eq(info.targets, 1);
        ck_assert_uint_eq(info.history, row[i].history);
        ck_assert_uint_eq(info.window_ns, WINDOW_NS);
        ck_assert_uint_eq(m->filter.order, row[i].order);
        ck_assert_uint_eq(m->filter.kind, STG__DUAL_RANDOM_WALK);
        ck_assert(m->time_inputs);
        stg_unref(m);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(options)
{
    stg_ctx *ctx = test_ctx(NULL);
    checkpoint c = port;
    c.settings = "";
    c.copies = 4; /* three hops of one matrix */
    c.inputs = 3;
    c.targets = 2;
    const stg_import_opts opts = {.size = sizeof opts, .column = "load", .filter = "laplacian",
                                  .history = 5, .horizon = 2, .window_ns = 1000000000u,
                                  .day_ns = 60000000000u, .mean = -3, .deviation = 0.5};
    const stg_model *m = imported(ctx, &c, &opts);
    ck_assert_str_eq(stg_model_column(m, 1, 0), "load_0");
    ck_assert_str_eq(stg_model_column(m, 1, 1), "load_1");
    ck_assert_uint_eq(m->filter.kind, STG__LAPLACIAN);
    ck_assert_uint_eq(m->net.shape.hops, 3);
    ck_assert_uint_eq(m->net.shape.walks, 1);
    ck_assert_uint_eq(m->net.shape.recursion, STG__CARRY);
    ck_assert_uint_eq(m->history, 5);
    ck_assert_uint_eq(m->horizon, 2);
    ck_assert_uint_eq(m->window_ns, 1000000000u);
    ck_assert_uint_eq(m->day_ns, 60000000000u);
    ck_assert_double_eq(m->global_mean[1], -3);
    ck_assert_double_eq(m->global_deviation[1], 0.5);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- refused ------------------------------------------------------------------------------------ */

/* A file in which one tensor was changed; returns its bytes. */
typedef struct change {
    const char *tensor; /* NULL: none */
    uint32_t rows;      /* 0: one dimension; both 0: the tensor goes */
    uint32_t cols;
    float value;
    uint32_t dtype;
    const char *meta; /* a setting and its value */
    const char *value_of;
    const char *says; /* in the error's text */
} change;

static unsigned char *changed(stg_ctx *ctx, const checkpoint *c, const change *x, size_t *len)
{
    static float numbers[4096];
    stg_bundle *b;
    unsigned char *bytes = checkpoint_make(c, len);
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes, *len, NULL), STG_OK);
    free(bytes);
    for (size_t i = 0; i < 4096; i++)
        numbers[i] = 0.25f;
    numbers[1] = x->value;
    if (x->tensor && !x->rows && !x->cols)
        stg__bundle_drop(b, x->tensor);
    else if (x->tensor)
        ck_assert_int_eq(stg__bundle_put(b, x->tensor, x->dtype, x->rows ? 2 : 1,
                                         (uint64_t[]){x->rows ? x->rows : x->cols, x->cols}, numbers),
                         STG_OK);
    if (x->meta)
        ck_assert_int_eq(stg__bundle_set_meta(b, x->meta, x->value_of), STG_OK);
    stg_bundle_serialize(b, NULL, 0, len);
    bytes = (unsigned char *)malloc(*len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, *len, len), STG_OK);
    stg_bundle_destroy(b);
    return bytes;
}

#define CELL "model_state_dict/encoder_model.dcgru_layers.0."
#define UPPER "model_state_dict/decoder_model.dcgru_layers.1."
#define PROJ "model_state_dict/decoder_model.projection_layer."

START_TEST(refused_by_name_and_reason)
{
    static const change row[] = {
        {CELL "gconv_weight_(20, 4)", 20, 4, NAN, STG__F32, NULL, NULL, "not usable"},
        {CELL "gconv_weight_(20, 4)", 20, 4, 1e9f, STG__F32, NULL, NULL, "not usable"},
        {CELL "gconv_weight_(20, 4)", 20, 4, 0, STG__I32, NULL, NULL, "not float32"},
        {CELL "gconv_weight_(20, 4)", 0, 0, 0, STG__F32, NULL, NULL, "missing"},
        {CELL "gconv_weight_(20, 4)", 19, 4, 0, STG__F32, NULL, NULL, "go together"},
        {CELL "gconv_weight_(20, 4)", 20, 5, 0, STG__F32, NULL, NULL, "go together"},
        {CELL "gconv_biases_4", 0, 3, 0, STG__F32, NULL, NULL, "go together"},
        {CELL "gconv_biases_2", 0, 0, 0, STG__F32, NULL, NULL, "missing"},
        {CELL "more", 20, 2, 0, STG__F32, NULL, NULL, "one more"},
        {UPPER "gconv_weight_(20, 4)", 0, 0, 0, STG__F32, NULL, NULL, "missing"},
        {UPPER, 0, 0, 0, STG__F32, NULL, NULL, "no layer 1"},
        {PROJ "weight", 0, 0, 0, STG__F32, NULL, NULL, PROJ "weight"},
        {PROJ "weight", 1, 3, 0, STG__F32, NULL, NULL, "hops"},
        {PROJ "bias", 0, 2, 0, STG__F32, NULL, NULL, PROJ "bias"},
        {NULL, 0, 0, 0, 0, "model/rnn_units", "3", "rnn_units"},
        {NULL, 0, 0, 0, 0, "model/max_diffusion_step", "1", "max_diffusion_step"},
        {NULL, 0, 0, 0, 0, "model/num_rnn_layers", "two", "num_rnn_layers"},
        {NULL, 0, 0, 0, 0, "model/seq_len", "0", "seq_len"},
        {NULL, 0, 0, 0, 0, "model/horizon", "-1", "horizon"},
        {NULL, 0, 0, 0, 0, "model/filter_type", "chebyshev", "chebyshev"},
        {NULL, 0, 0, 0, 0, "stgraph/supports", "mixed", "stgraph/supports is \"mixed\""},
        {NULL, 0, 0, 0, 0, "stgraph/recursion", "", "stgraph/recursion"},
        {NULL, 0, 0, 0, 0, "stgraph/window_ns", "0", "stgraph/window_ns"},
        {NULL, 0, 0, 0, 0, "stgraph/window_ns", "18446744073709551615", "stgraph/window_ns"},
        {NULL, 0, 0, 0, 0, "stgraph/day_ns", "long", "stgraph/day_ns"},
        {NULL, 0, 0, 0, 0, "stgraph/mean/0", "4014000000000000", "stgraph/mean/0"}, /* no deviation */
        {NULL, 0, 0, 0, 0, "stgraph/deviation/0", "5", "stgraph/deviation/0"},
        {NULL, 0, 0, 0, 0, "stgraph/column/0", "", "column"},
        {NULL, 0, 0, 0, 0, "model/filter_type", "random_walk", "max_diffusion_step"},
    };
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        size_t len;
        const stg_model *m;
        stg_error err = {0};
        checkpoint c = port;
        if (row[i].meta && strcmp(row[i].value_of, "random_walk") == 0)
            c.settings = "\"model/max_diffusion_step\":\"2\"";
        unsigned char *bytes = changed(ctx, &c, &row[i], &len);
        const int32_t status = stg_model_import(&m, ctx, bytes, len, NULL, &err);
        ck_assert_msg(status < 0 && !m, "row %zu was taken", i);
        ck_assert_msg(strstr(err.text, row[i].says) != NULL, "row %zu: %s", i, err.text);
        free(bytes);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(refused_options)
{
    stg_ctx *ctx = test_ctx(NULL);
    static char long_name[STG_NAME_MAX + 1];
    memset(long_name, 'x', STG_NAME_MAX);
    const stg_import_opts row[] = {
        {.size = sizeof *row, .format = "keras"},
        {.size = sizeof *row, .filter = "none"},
        {.size = sizeof *row, .supports = 3},
        {.size = sizeof *row, .column = ""},
        {.size = sizeof *row, .column = long_name},
        {.size = sizeof *row, .deviation = NAN},
        {.size = sizeof *row, .deviation = -1},
        {.size = sizeof *row, .deviation = 1, .mean = INFINITY},
        {.size = sizeof *row, .history = STG__MAX_WINDOWS + 1},
        {.size = sizeof *row, .horizon = STG__MAX_WINDOWS + 1},
        {.size = sizeof *row, .window_ns = UINT64_MAX},
        {.size = sizeof *row, .day_ns = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const stg_model *m;
        stg_error err = {0};
        const int32_t status = import(ctx, &port, &row[i], &m, &err);
        ck_assert_msg(status == STG_E_INVALID || status == STG_E_LIMIT, "row %zu: %d", i, status);
        ck_assert_msg(err.text[0] != '\0', "row %zu says nothing", i);
    }
    const stg_model *m;
    ck_assert_int_eq(stg_model_import(&m, ctx, NULL, 0, NULL, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_model_import(&m, ctx, "", 0, NULL, NULL), STG_E_FORMAT);
    ck_assert_int_eq(stg_model_import(NULL, ctx, "x", 1, NULL, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_model_import(&m, NULL, "x", 1, NULL, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_model_import(&m, ctx, "\2\0\0\0\0\0\0\0{}", 10, NULL, NULL), STG_E_NOTFOUND);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Cut at any byte, and with any byte changed: an error or a model, never a crash. */
START_TEST(any_bytes)
{
    stg_ctx *ctx = test_ctx(NULL);
    size_t len;
    checkpoint c = port;
    c.layers = 1;
    c.copies = 1;
    unsigned char *bytes = checkpoint_make(&c, &len);
    for (size_t cut = 0; cut < len; cut++) {
        const stg_model *m;
        ck_assert_int_lt(stg_model_import(&m, ctx, bytes, cut, NULL, NULL), 0);
    }
    for (size_t at = 0; at < len; at++) {
        const stg_model *m;
        bytes[at] ^= 0x21;
        stg_model_import(&m, ctx, bytes, len, NULL, NULL);
        stg_unref(m);
        bytes[at] ^= 0x21;
    }
    free(bytes);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- sessions ----------------------------------------------------------------------------------- */

enum { NODES = 4 };

/* One window of a ring of nodes with one edge across it; value + index is what each node has. */
static const stg_graph *window(stg_graph_builder *b, const char *column, uint64_t at, double value)
{
    const stg_graph *g;
    uint32_t node[NODES];
    uint32_t c;
    uint32_t e;
    uint32_t w;
    ck_assert_int_eq(stg_graph_builder_begin(b, at * WINDOW_NS, (at + 1) * WINDOW_NS), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_NODE, column, strlen(column), &c), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_EDGE, "weight", 6, &w), STG_OK);
    for (uint32_t i = 0; i < NODES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        ck_assert_int_eq(stg_graph_builder_node(b, name, 1, &node[i]), STG_OK);
        ck_assert_int_eq(stg_graph_builder_set(b, STG_NODE, node[i], c, value + i), STG_OK);
    }
    for (uint32_t i = 0; i <= NODES; i++) {
        const uint32_t to = i < NODES ? (i + 1) % NODES : 2;
        ck_assert_int_eq(stg_graph_builder_edge(b, node[i % NODES], node[to], NULL, 0, &e), STG_OK);
        ck_assert_int_eq(stg_graph_builder_set(b, STG_EDGE, e, w, 1 + i), STG_OK);
    }
    ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
    return g;
}

/* A model whose one unit holds what a window says: the encoder's update gate is shut, the decoder's
 * open, the candidate looks at one input alone. */
static const stg_model *transparent(stg_ctx *ctx, uint32_t input)
{
    size_t len;
    const stg_model *m;
    stg_bundle *b;
    const checkpoint c = {.prefix = "", .settings = "", .layers = 1, .units = 1, .copies = 1,
                          .inputs = 2, .targets = 1};
    const stg_import_opts opts = {.size = sizeof opts, .history = 3, .horizon = 2, .mean = -50,
                                  .deviation = 4};
    unsigned char *bytes = checkpoint_make(&c, &len);
    ck_assert_int_eq(stg_bundle_parse(&b, ctx, bytes, len, NULL), STG_OK);
    free(bytes);
    const float shut[2] = {0, -100};
    const float open[2] = {0, 100};
    const float look[3] = {input == 0, input == 1, 0};
    const float two[1] = {2};
    const uint64_t pair[1] = {2};
    const uint64_t column[2] = {3, 1};
    const uint64_t one[2] = {1, 1};
    ck_assert_int_eq(stg__bundle_put(b, "encoder_model.dcgru_layers.0.gconv_biases_2", STG__F32, 1, pair,
                                     shut), STG_OK);
    ck_assert_int_eq(stg__bundle_put(b, "decoder_model.dcgru_layers.0.gconv_biases_2", STG__F32, 1, pair,
                                     open), STG_OK);
    ck_assert_int_eq(stg__bundle_put(b, "encoder_model.dcgru_layers.0.gconv_weight_(3, 1)", STG__F32, 2,
                                     column, look), STG_OK);
    ck_assert_int_eq(stg__bundle_put(b, "decoder_model.projection_layer.weight", STG__F32, 2, one, two),
                     STG_OK);
    stg_bundle_serialize(b, NULL, 0, &len);
    bytes = (unsigned char *)malloc(len);
    ck_assert_int_eq(stg_bundle_serialize(b, bytes, len, &len), STG_OK);
    ck_assert_int_eq(stg_model_import(&m, ctx, bytes, len, &opts, NULL), STG_OK);
    free(bytes);
    stg_bundle_destroy(b);
    return m;
}

static void expect(stg_session *s, const stg_graph *g, uint32_t step, const double *z, double mean,
                   double deviation)
{
    const stg_forecast *f;
    ck_assert_int_eq(stg_session_forecast(s, 2, &f), STG_OK);
    const double *x = stg_forecast_mean(f, STG_NODE, "value", 5, step);
    for (uint32_t i = 0; i < NODES; i++) {
        const char name[2] = {(char)('a' + i), '\0'};
        const double want = 2 * tanh(z[i]) * deviation + mean;
        ck_assert_double_eq_tol(x[stg_graph_find(g, name, 1)], want, 1e-5 * deviation);
    }
    stg_unref(f);
}

/* Values may be below zero and are not put on a log scale; the last window decides here. */
START_TEST(values_and_back)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = transparent(ctx, 0);
    stg_graph_builder *b;
    stg_session *s;
    const double mean = 10;
    const double deviation = 100;
    const stg_session_opts told = {.size = sizeof told, .mean = &mean, .deviation = &deviation};
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    for (int own = 0; own < 2; own++) {
        ck_assert_int_eq(stg_session_create(&s, ctx, m, own ? NULL : &told), STG_OK);
        for (uint32_t at = 7; at < 12; at++) {
            double z[NODES];
            const double value = -53 + (double)at / 4;
            const stg_graph *g = window(b, "value", at, value);
            ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
            for (uint32_t i = 0; i < NODES; i++)
                z[i] = own ? (value + i + 50) / 4 : (value + i - 10) / 100;
            expect(s, g, 0, z, own ? -50 : 10, own ? 4 : 100);
            expect(s, g, 1, z, own ? -50 : 10, own ? 4 : 100);
            stg_unref(g);
        }
        stg_session_destroy(s);
    }
    stg_graph_builder_destroy(b);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

/* The share of the day that is over at the start of the last window, the same for all nodes. */
START_TEST(time_of_day)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = transparent(ctx, 1);
    stg_graph_builder *b;
    stg_session *s;
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_OK);
    for (uint64_t at = 280; at < 300; at++) {
        const stg_graph *g = window(b, "value", at, 1);
        const double day = (double)(at % 288) / 288;
        const double z[NODES] = {day, day, day, day};
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        expect(s, g, 0, z, -50, 4);
        stg_unref(g);
    }
    stg_session_destroy(s);
    stg_graph_builder_destroy(b);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(scale_has_to_be_known)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = imported(ctx, &port, NULL);
    const double mean = 1;
    const double deviation = 2;
    const double none = 0;
    stg_session *s;
    const stg_session_opts good = {.size = sizeof good, .mean = &mean, .deviation = &deviation};
    const stg_session_opts bad[] = {
        {.size = sizeof *bad, .mean = &mean},
        {.size = sizeof *bad, .deviation = &deviation},
        {.size = sizeof *bad, .mean = &mean, .deviation = &none},
        {.size = sizeof *bad, .mean = &mean, .deviation = &deviation, .supports = 3},
    };
    ck_assert_int_eq(stg_session_create(&s, ctx, m, NULL), STG_E_NOTFOUND);
    ck_assert_ptr_null(s);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_int_eq(stg_session_create(&s, ctx, m, &bad[i]), STG_E_INVALID);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &good), STG_OK);
    stg_session_destroy(s);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Forecasts of all horizons after some windows, two of them missing, one with a node in an incident. */
static void forecasts(stg_ctx *ctx, const stg_model *m, const stg_session_opts *opts, double *out)
{
    stg_graph_builder *b;
    stg_session *s;
    stg_session *twin;
    stg_bundle *state;
    const stg_forecast *f;
    const uint8_t mask[NODES + 1] = {0, 0, 1, 0, 0};
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_session_create(&s, ctx, m, opts), STG_OK);
    ck_assert_int_eq(stg_session_create(&twin, ctx, m, opts), STG_OK);
    for (uint32_t at = 0; at < 20; at++) {
        if (at == 14 || at == 15)
            continue;
        const stg_graph *g = window(b, "value", at, at % 5 - 2.0);
        ck_assert_int_eq(stg_session_step(s, g, at == 17 ? mask : NULL), STG_OK);
        stg_unref(g);
        if (at != 16)
            continue;
        ck_assert_int_eq(stg_bundle_open(&state, ctx, NULL, NULL), STG_OK);
        ck_assert_int_eq(stg_state_save(s, state, NULL), STG_OK);
        ck_assert_int_eq(stg_state_restore(twin, state, NULL), STG_OK);
        stg_session_destroy(s);
        s = twin;
        stg_bundle_destroy(state);
    }
    ck_assert_int_eq(stg_session_forecast(s, 3, &f), STG_OK);
    for (uint32_t step = 0; step < 3; step++)
        memcpy(out + step * NODES, stg_forecast_mean(f, STG_NODE, "value", 5, step) + 1,
               NODES * sizeof *out);
    stg_unref(f);
    stg_session_destroy(s);
    stg_graph_builder_destroy(b);
}

/* Stored and loaded it says the same; the order of the supports' numbers matters; both are finite. */
START_TEST(round_trip)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_import_opts scaled = {.size = sizeof scaled, .mean = 1, .deviation = 3};
    const stg_session_opts exact = {.size = sizeof exact, .supports = STG_SUPPORTS_EXACT};
    const stg_session_opts same = {.size = sizeof same, .supports = STG_SUPPORTS_PORT_REVERSED};
    checkpoint c = port;
    c.settings = "\"model/filter_type\":\"dual_random_walk\",\"model/horizon\":\"3\"";
    double out[4][3 * NODES];
    const stg_model *m = imported(ctx, &c, &scaled);
    const stg_model *again;
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    ck_assert_int_eq(stg_model_load(&again, b, NULL), STG_OK);
    forecasts(ctx, m, NULL, out[0]);
    forecasts(ctx, again, NULL, out[1]);
    forecasts(ctx, again, &same, out[2]);
    forecasts(ctx, again, &exact, out[3]);
    for (int i = 0; i < 3 * NODES; i++)
        ck_assert(isfinite(out[0][i]));
    ck_assert_mem_eq(out[0], out[1], sizeof out[0]);
    ck_assert_mem_eq(out[0], out[2], sizeof out[0]);
    ck_assert_double_gt(fabs(out[0][0] - out[3][0]), 1e-9); /* two edges leave this node */
    stg_bundle_destroy(b);
    stg_unref(again);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

static const stg_model *try_import(stg_ctx *ctx, const unsigned char *bytes, size_t len, int32_t *status)
{
    const stg_model *m;
    *status = stg_model_import(&m, ctx, bytes, len, NULL, NULL);
    return m;
}

START_TEST(failing_memory)
{
    size_t len;
    unsigned char *bytes = checkpoint_make(&port, &len);
    int32_t status = STG_E_NOMEM;
    for (size_t at = 1; status == STG_E_NOMEM; at++) {
        test_memory memory;
        test_memory_init(&memory);
        stg_ctx *ctx = test_ctx(&memory);
        memory.fail_at = memory.requests + at;
        const stg_model *m = try_import(ctx, bytes, len, &status);
        ck_assert(status == STG_OK || (status == STG_E_NOMEM && !m));
        memory.fail_at = 0;
        stg_unref(m);
        stg_ctx_destroy(ctx);
        ck_assert_uint_eq(memory.live, 0);
        ck_assert_uint_lt(at, 2000);
    }
    ck_assert_int_eq(status, STG_OK);
    free(bytes);
}
END_TEST

TEST_SUITE("import", formats, options, refused_by_name_and_reason, refused_options, any_bytes,
           values_and_back, time_of_day, scale_has_to_be_known, round_trip, failing_memory)
