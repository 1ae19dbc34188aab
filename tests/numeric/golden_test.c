/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net against numbers of the published code (the PyTorch port of DCRNN, with its carried
 * recursion; supports exact and in the port's own order): the supports, single cells with their
 * gradients, whole encoder-decoders with loss, gradients, clipping and four steps of Adam. Built for
 * float and for double. Skips where the golden files are not there.
 */
#include <math.h>
#include <unistd.h>

#define OUTPUT_TOLERANCE 1e-5
#define GRADIENT_TOLERANCE 1e-4

#include "adam.h"
#include "golden.h"

#define FOLDER SHARED_DATA "/golden/dcrnn/"

/* What the golden files call a filter and an order. */
static stg__filter filter_named(const char *name, const char *mode)
{
    const uint32_t order = strcmp(mode, "port") == 0 ? STG__PORT_REVERSED : STG__EXACT;
    if (strcmp(name, "laplacian") == 0)
        return (stg__filter){STG__LAPLACIAN, order};
    return (stg__filter){strcmp(name, "random_walk") ? STG__DUAL_RANDOM_WALK : STG__RANDOM_WALK,
                         order};
}

/* --- cells --------------------------------------------------------------------------------------- */

static void check_cell(stg_ctx *ctx, const stg_bundle *b, const char *filter, uint32_t hops,
                       const char *mode)
{
    enum { N = 7, B = 3, U = 8, I = 2 };
    char prefix[128];
    stg__net net;
    stg__run run;
    stg__back back;
    stg__supports supports;
    const char *width = sizeof(real) == 8 ? "f64" : "f32";
    const stg__shape shape = {.inputs = I, .targets = 1, .layers = 1, .units = U, .hops = hops,
                              .walks = stg__filter_walks(filter_named(filter, mode).kind),
                              .recursion = STG__CARRY, .history = 1};
    load_supports(&supports, ctx, tensor(b, "adj"), N, filter_named(filter, mode));
    ck_assert(stg__net_init(&net, &shape));
    ck_assert_int_eq(stg__run_create(&run, ctx, &net, N, true), STG_OK);
    ck_assert_int_eq(stg__back_create(&back, ctx, &run), STG_OK);
    run.supports = &supports;
    real *params = reals(net.params);
    real *gradient = reals(net.params);
    real *packed = reals(net.pack_size);
    real *packed_back = reals(net.back_size);
    snprintf(prefix, sizeof prefix, "%s/K%u/param/", filter, hops);
    visit_cell(&(visit){b, &net, params, true, NULL}, prefix, &net.cell[0][0]);
    stg__net_pack(&net, params, packed);
    stg__net_pack_back(&net, params, packed_back);
    real out[B * N * U];
    real dx[B * N * I];
    real dh[B * N * U];
    const size_t wide = (size_t)net.copies * U;
    for (size_t s = 0; s < B; s++) {
        real *h = stg__run_state(&run, 0, 0);
        real *x = stg__run_inputs(&run, STG__ENCODER, 0);
        for (size_t i = 0; i < N; i++) {
            for (size_t j = 0; j < U; j++)
                h[i * wide + j] = (real)number(tensor(b, "h"), (s * N + i) * U + j);
            for (size_t j = 0; j < I; j++)
                x[i * net.copies * I + j] = (real)number(tensor(b, "x"), (s * N + i) * I + j);
        }
        stg__run_diffuse(&run, h, U);
        stg__run_diffuse(&run, x, I);
        stg__run_cell(&run, packed, STG__ENCODER, 0, 0);
        stg__back_reset(&back);
        for (size_t i = 0; i < N * U; i++) {
            out[s * N * U + i] = stg__run_state(&run, 0, 1)[i / U * wide + i % U];
            back.dh[0][i] = (real)number(tensor(b, "dout"), s * N * U + i);
        }
        stg__back_cell(&back, packed_back, STG__ENCODER, 0, 0, true);
        stg__back_weights(&back, STG__ENCODER, 0, 1, gradient);
        stg__back_fold(&back, back.dg[0], U);
        stg__back_fold(&back, back.dx, I);
        for (size_t i = 0; i < N * U; i++)
            dh[s * N * U + i] = back.dh[0][i] + back.dg[0][i / U * wide + i % U];
        for (size_t i = 0; i < N * I; i++)
            dx[s * N * I + i] = back.dx[i / I * net.copies * I + i % I];
    }
    same_output(tensor(b, "%s/K%u/%s/%s/out", filter, hops, mode, width), out);
    same_gradient(tensor(b, "%s/K%u/%s/%s/dx", filter, hops, mode, width), dx);
    same_gradient(tensor(b, "%s/K%u/%s/%s/dh", filter, hops, mode, width), dh);
    snprintf(prefix, sizeof prefix, "%s/K%u/%s/%s/grad/", filter, hops, mode, width);
    visit_cell(&(visit){b, &net, gradient, false, same_gradient}, prefix, &net.cell[0][0]);
    free(params);
    free(gradient);
    free(packed);
    free(packed_back);
    stg__back_clear(&back);
    stg__run_clear(&run);
    stg__supports_clear(&supports);
}

START_TEST(cells)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, FOLDER "cell_tiny.safetensors", NULL), STG_OK);
    for (uint32_t hops = 0; hops <= 3; hops++) {
        check_cell(ctx, b, "random_walk", hops, "true");
        check_cell(ctx, b, "random_walk", hops, "port");
        check_cell(ctx, b, "dual_random_walk", hops, "true");
        check_cell(ctx, b, "dual_random_walk", hops, "port");
        check_cell(ctx, b, "laplacian", hops, "true");
    }
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- encoder and decoder --------------------------------------------------------------------------- */

enum { N = 7, B = 3, T = 6, H = 5 };

typedef struct sequence {
    const char *mode; /* "true" or "port" */
    stg_bundle *b;
    stg__net net;
    stg__run run;
    stg__back back;
    stg__supports supports;
    real *params;
    real *packed;
    real *packed_back;
    real *gradient;
    real out[H * B * N]; /* as the golden file has it: step, sample, node */
} sequence;

static void open_sequence(sequence *q, stg_ctx *ctx, const char *path, uint32_t layers, uint32_t hops,
                          stg__filter filter)
{
    const stg__shape shape = {.inputs = 2, .targets = 1, .layers = layers, .units = 8, .hops = hops,
                              .walks = stg__filter_walks(filter.kind), .recursion = STG__CARRY,
                              .history = T, .horizon = H};
    ck_assert_int_eq(stg_bundle_open(&q->b, ctx, path, NULL), STG_OK);
    load_supports(&q->supports, ctx, tensor(q->b, "adj"), N, filter);
    ck_assert(stg__net_init(&q->net, &shape));
    ck_assert_int_eq(stg__run_create(&q->run, ctx, &q->net, N, true), STG_OK);
    ck_assert_int_eq(stg__back_create(&q->back, ctx, &q->run), STG_OK);
    q->run.supports = &q->supports;
    q->params = reals(q->net.params);
    q->gradient = reals(q->net.params);
    q->packed = reals(q->net.pack_size);
    q->packed_back = reals(q->net.back_size);
    visit_net(&(visit){q->b, &q->net, q->params, true, NULL}, "param/");
}

static void close_sequence(sequence *q)
{
    free(q->params);
    free(q->gradient);
    free(q->packed);
    free(q->packed_back);
    stg__back_clear(&q->back);
    stg__run_clear(&q->run);
    stg__supports_clear(&q->supports);
    stg_bundle_destroy(q->b);
}

static void check_hidden(const sequence *q, size_t sample)
{
    const stg__tensor *t = tensor(q->b, "%s/f32/enc_hidden", q->mode);
    const size_t u = q->net.shape.units;
    const size_t layers = q->net.shape.layers;
    double worst = 0;
    for (uint32_t s = 0; s < T; s++)
        for (uint32_t l = 0; l < layers; l++)
            for (size_t i = 0; i < N * u; i++) {
                const real ours =
                    stg__run_state(&q->run, l, s + 1)[i / u * q->net.copies * u + i % u];
                worst = fmax(worst, fabs((double)ours -
                                         number(t, ((s * layers + l) * B + sample) * N * u + i)));
            }
    ck_assert_msg(worst <= OUTPUT_TOLERANCE, "hidden states are off by %g", worst);
}

/* Forward over all samples; with feed also loss (raw units, labels of zero left out) and gradient. */
static double pass(sequence *q, const uint8_t *feed)
{
    const stg__tensor *x = tensor(q->b, "x");
    const stg__tensor *raw = tensor(q->b, "y_raw");
    const stg__tensor *norm = tensor(q->b, "y_norm");
    const double mean = number(tensor(q->b, "scaler"), 0);
    const double deviation = number(tensor(q->b, "scaler"), 1);
    double known = 0;
    double loss = 0;
    for (size_t i = 0; i < H * B * N; i++)
        known += number(raw, i) != 0;
    stg__net_pack(&q->net, q->params, q->packed);
    stg__net_pack_back(&q->net, q->params, q->packed_back);
    memset(q->gradient, 0, q->net.params * sizeof(real));
    for (size_t s = 0; s < B; s++) {
        real in[T * N * 2];
        real labels[H * N];
        for (size_t i = 0; i < T * N * 2; i++)
            in[i] = (real)number(x, (i / (N * 2) * B + s) * N * 2 + i % (N * 2));
        for (size_t i = 0; i < H * N; i++)
            labels[i] = (real)number(norm, (i / N * B + s) * N + i % N);
        const stg__feed from = {.x = in, .labels = labels, .feed = feed};
        stg__run_forward(&q->run, q->packed, &from, H);
        if (!feed)
            check_hidden(q, s);
        for (size_t i = 0; i < H * N; i++) {
            const size_t at = (i / N * B + s) * N + i % N;
            const double e = (double)q->run.out[i] * deviation + mean - number(raw, at);
            const bool masked = number(raw, at) == 0;
            q->out[at] = q->run.out[i];
            loss += masked ? 0 : fabs(e) / known;
            q->back.dout[i] = (real)(masked ? 0 : (e > 0 ? deviation : -deviation) / known);
        }
        if (feed)
            stg__back_run(&q->back, q->packed_back, H, q->gradient);
    }
    return loss;
}

static void near(double ours, const stg__tensor *t)
{
    ck_assert_msg(fabs(ours - number(t, 0)) <= 1e-4 * fabs(number(t, 0)), "%s: %.8g, not %.8g",
                  t->name, ours, number(t, 0));
}

static void visit_named(const visit *v, const char *mode, const char *what)
{
    char prefix[64];
    snprintf(prefix, sizeof prefix, "%s/f32/%s/", mode, what);
    visit_net(v, prefix);
}

static void check_sequence(const char *path, uint32_t layers, uint32_t hops, const char *filter,
                           const char *mode)
{
    sequence q = {.mode = mode};
    stg_ctx *ctx = test_ctx(NULL);
    open_sequence(&q, ctx, path, layers, hops, filter_named(filter, mode));
    const uint8_t *labels = (const uint8_t *)tensor(q.b, "cl_use_label")->data;
    const visit params = {q.b, &q.net, q.params, false, same_output};
    const visit gradient = {q.b, &q.net, q.gradient, false, same_gradient};
    stg__adam adam = {reals(q.net.params), reals(q.net.params), 0, 0.9, 0.999, 1e-3, 0, false};
    pass(&q, NULL);
    same_output(tensor(q.b, "%s/f32/eval_out", mode), q.out);
    for (int s = 0; s < 4; s++) {
        const double loss = pass(&q, labels + s * H);
        near(loss, tensor(q.b, "%s/f32/step%d/loss", mode, s));
        if (s == 0) {
            same_output(tensor(q.b, "%s/f32/train_out", mode), q.out);
            visit_named(&gradient, mode, "grad");
        }
        const double norm = stg__clip(q.gradient, q.net.params, 5);
        near(norm, tensor(q.b, "%s/f32/step%d/grad_norm", mode, s));
        if (s == 0)
            visit_named(&gradient, mode, "grad_clipped");
        stg__adam_step(&adam, q.params, q.gradient, q.net.params, 0.01);
        if (s == 0)
            visit_named(&params, mode, "step0/param");
        if (s == 3)
            visit_named(&params, mode, "step3/param");
    }
    free(adam.m);
    free(adam.v);
    close_sequence(&q);
    stg_ctx_destroy(ctx);
}

START_TEST(sequences)
{
    static const char *const dual = FOLDER "seq2seq_tiny_dual2L.safetensors";
    static const char *const walk = FOLDER "seq2seq_tiny_rw3_1L.safetensors";
    check_sequence(dual, 2, 2, "dual_random_walk", "true");
    check_sequence(dual, 2, 2, "dual_random_walk", "port");
    check_sequence(walk, 1, 3, "random_walk", "true");
    check_sequence(walk, 1, 3, "random_walk", "port");
    check_sequence(FOLDER "seq2seq_tiny_lap2_2L.safetensors", 2, 2, "laplacian", "true");
}
END_TEST

/* --- supports ----------------------------------------------------------------------------------- */

static void check_supports(stg_ctx *ctx, const char *path, uint32_t nodes)
{
    static const struct {
        stg__filter filter;
        const char *name[2];
    } form[] = {
        {{STG__RANDOM_WALK, STG__EXACT}, {"rw_fwd"}},
        {{STG__DUAL_RANDOM_WALK, STG__EXACT}, {"rw_fwd", "rw_bwd"}},
        {{STG__DUAL_RANDOM_WALK, STG__PORT_REVERSED}, {"rw_fwd_port", "rw_bwd_port"}},
        {{STG__LAPLACIAN, STG__EXACT}, {"lap_lmax"}},
        {{STG__LAPLACIAN_2, STG__EXACT}, {"lap_2"}},
    };
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, path, NULL), STG_OK);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        stg__supports s;
        load_supports(&s, ctx, tensor(b, "adj"), nodes, form[i].filter);
        ck_assert_uint_eq(s.walks, stg__filter_walks(form[i].filter.kind));
        for (uint32_t w = 0; w < s.walks; w++)
            same_matrix(tensor(b, "%s", form[i].name[w]), &s.walk[w], &s.transposed[w]);
        stg__supports_clear(&s);
    }
    stg_bundle_destroy(b);
}

START_TEST(supports)
{
    stg_ctx *ctx = test_ctx(NULL);
    check_supports(ctx, FOLDER "supports_tiny.safetensors", 7);
    check_supports(ctx, FOLDER "supports_metr_la.safetensors", 207);
    stg_ctx_destroy(ctx);
}
END_TEST

int main(void)
{
    if (access(FOLDER "cell_tiny.safetensors", R_OK) != 0) {
        printf("1..0 # SKIP no golden files in %s\n", FOLDER);
        return TEST_SKIPPED;
    }
    Suite *suite = suite_create("golden");
    TCase *tcase = tcase_create("golden");
    tcase_add_test(tcase, cells);
    tcase_add_test(tcase, sequences);
    tcase_add_test(tcase, supports);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
