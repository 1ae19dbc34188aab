/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two published checkpoints on a real week of METR-LA, as the code they come from computes it: outputs,
 * hidden states, errors, and one training step's loss and gradient. Built for float and for double.
 * Skips where the files are not there.
 */
#define OUTPUT_TOLERANCE 1e-5   /* of z-scores */
/* Windows that stand in the file as float only: computed in double some are off by 2.0e-5 too, which is
 * the file's own rounding. */
#define SAMPLE_TOLERANCE 5e-5
#define GRADIENT_TOLERANCE 1e-4 /* of the largest number of a block */
#define MOST_OF_BLOCK 81920

#include "golden.h"

#include <unistd.h>

#define FOLDER SHARED_DATA "/golden/dcrnn/"

enum { N = 207, T = 12, H = 12 };

typedef struct week {
    stg_ctx *ctx;
    stg_bundle *io;
    stg_bundle *graph;
    stg_bundle *weights;
    stg__supports supports;
    stg__net net;
    stg__run run;
    stg__back back;
    real *params;
    real *packed;
    real *packed_back;
    real *gradient;
} week;

static stg_bundle *opened(stg_ctx *ctx, const char *path)
{
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, path, NULL), STG_OK);
    return b;
}

static void week_open(week *w, const char *weights, const char *prefix, uint32_t layers, uint32_t units,
                      uint32_t order)
{
    const stg__shape shape = {.inputs = 2, .targets = 1, .layers = layers, .units = units, .hops = 2,
                              .walks = 2, .recursion = STG__CARRY, .history = T, .horizon = H};
    const stg__filter filter = {STG__DUAL_RANDOM_WALK, order};
    *w = (week){.ctx = test_ctx(NULL)};
    w->io = opened(w->ctx, FOLDER "metr_la_io.safetensors");
    w->graph = opened(w->ctx, FOLDER "supports_metr_la.safetensors");
    w->weights = opened(w->ctx, weights);
    load_supports(&w->supports, w->ctx, tensor(w->graph, "adj"), N, filter);
    ck_assert(stg__net_init(&w->net, &shape));
    ck_assert_int_eq(stg__run_create(&w->run, w->ctx, &w->net, N, true), STG_OK);
    ck_assert_int_eq(stg__back_create(&w->back, w->ctx, &w->run), STG_OK);
    w->run.supports = &w->supports;
    w->params = reals(w->net.params);
    w->packed = reals(w->net.pack_size);
    w->packed_back = reals(w->net.back_size);
    w->gradient = reals(w->net.params);
    visit_net(&(visit){w->weights, &w->net, w->params, true, NULL}, prefix);
    stg__net_pack(&w->net, w->params, w->packed);
    stg__net_pack_back(&w->net, w->params, w->packed_back);
}

static void week_close(week *w)
{
    free(w->params);
    free(w->packed);
    free(w->packed_back);
    free(w->gradient);
    stg__back_clear(&w->back);
    stg__run_clear(&w->run);
    stg__supports_clear(&w->supports);
    stg_bundle_destroy(w->weights);
    stg_bundle_destroy(w->graph);
    stg_bundle_destroy(w->io);
    stg_ctx_destroy(w->ctx);
}

/* Inputs of one of the 64 windows: speed as z-score, time of day. */
static void window_of(const week *w, size_t window, real *x)
{
    const stg__tensor *speed = tensor(w->io, "b64/x_speed_norm");
    const stg__tensor *day = tensor(w->io, "b64/x_tod");
    for (size_t t = 0; t < T; t++)
        for (size_t i = 0; i < N; i++) {
            x[(t * N + i) * 2] = (real)number(speed, (t * 64 + window) * N + i);
            x[(t * N + i) * 2 + 1] = (real)number(day, t * 64 + window);
        }
}

/* One sample's part of a tensor [steps][samples][nodes]. */
static void same_sample(const stg__tensor *t, size_t samples, size_t sample, const real *ours)
{
    double worst = 0;
    for (size_t i = 0; i < (size_t)H * N; i++)
        worst = fmax(worst, fabs(number(t, (i / N * samples + sample) * N + i % N) - (double)ours[i]));
    ck_assert_msg(worst <= SAMPLE_TOLERANCE, "%s: sample %zu is off by %g", t->name, sample, worst);
}

START_TEST(outputs_and_errors)
{
    static real x[T * N * 2];
    for (int exact = 0; exact < 2; exact++) {
        week w;
        double error[H] = {0};
        double count[H] = {0};
        week_open(&w, FOLDER "metr_la_weights.safetensors", "", 2, 64,
                  exact ? STG__EXACT : STG__PORT_REVERSED);
        const stg__tensor *scaler = tensor(w.io, "scaler");
        const stg__tensor *raw = tensor(w.io, "b64/y_raw");
        for (size_t s = 0; s < 64; s++) {
            const stg__feed feed = {.x = x};
            window_of(&w, s, x);
            stg__run_forward(&w.run, w.packed, &feed, H);
            if (!exact)
                same_sample(tensor(w.io, "b64/port/out"), 64, s, w.run.out);
            for (size_t i = 0; i < (size_t)H * N; i++) {
                const double y = number(raw, (i / N * 64 + s) * N + i % N);
                const double seen = (double)w.run.out[i] * number(scaler, 1) + number(scaler, 0);
                error[i / N] += y != 0 ? fabs(seen - y) : 0;
                count[i / N] += y != 0;
            }
        }
        const stg__tensor *mae =
            tensor(w.io, "b64/%s/mae_by_horizon", exact ? "true" : "port");
        for (size_t h = 0; h < H; h++)
            ck_assert_double_eq_tol(error[h] / count[h], number(mae, h), 1e-4);
        week_close(&w);
    }
}
END_TEST

START_TEST(one_window)
{
    static real x[T * N * 2];
    for (int exact = 0; exact < 2; exact++) {
        week w;
        const stg__feed feed = {.x = x};
        week_open(&w, FOLDER "metr_la_weights.safetensors", "", 2, 64,
                  exact ? STG__EXACT : STG__PORT_REVERSED);
        window_of(&w, 20, x); /* the one that ends with row 643 */
        stg__run_forward(&w.run, w.packed, &feed, H);
        same_output(tensor(w.io, exact ? "b1/true/out" : "b1/port/out_f64"), w.run.out);
        const stg__tensor *hidden = tensor(w.io, "b1/port/enc_hidden");
        double worst = 0;
        for (uint32_t l = 0; !exact && l < 2; l++)
            for (size_t i = 0; i < N * 64; i++) {
                const real h = stg__run_state(&w.run, l, T)[i / 64 * w.net.copies * 64 + i % 64];
                worst = fmax(worst, fabs((double)h - number(hidden, l * N * 64 + i)));
            }
        ck_assert_double_le(worst, OUTPUT_TOLERANCE);
        week_close(&w);
    }
}
END_TEST

/*
 * Eight windows, some labels fed, every 17th sensor without labels: mean absolute error in miles an hour.
 * Its derivative is the sign of the error, and of some that are nearly zero the last bits of a float
 * decide; so the signs are those of the file's outputs, by the float arithmetic it was made with, in
 * which one error is zero.
 */
START_TEST(training_step)
{
    static real x[T * N * 2];
    static real labels[H * N];
    week w;
    week_open(&w, FOLDER "metr_la_weights.safetensors", "", 2, 64, STG__PORT_REVERSED);
    const stg__tensor *raw = tensor(w.io, "b8/y_raw");
    const stg__tensor *norm = tensor(w.io, "b8/y_norm");
    const double mean = number(tensor(w.io, "scaler"), 0);
    const double deviation = number(tensor(w.io, "scaler"), 1);
    const stg__tensor *out = tensor(w.io, "b8/port/out");
    double known = 0;
    double loss = 0;
    double square = 0;
    for (size_t i = 0; i < (size_t)H * 8 * N; i++)
        known += number(raw, i) != 0;
    for (size_t s = 0; s < 8; s++) {
        const stg__feed feed = {.x = x, .labels = labels,
                                .feed = (const uint8_t *)tensor(w.io, "b8/use_label")->data};
        window_of(&w, 8 * s, x);
        for (size_t i = 0; i < (size_t)H * N; i++)
            labels[i] = (real)number(norm, (i / N * 8 + s) * N + i % N);
        stg__run_forward(&w.run, w.packed, &feed, H);
        same_sample(out, 8, s, w.run.out);
        for (size_t i = 0; i < (size_t)H * N; i++) {
            const size_t at = (i / N * 8 + s) * N + i % N;
            const double y = number(raw, at);
            const double e = (double)w.run.out[i] * deviation + mean - y;
            const float scaled = (float)number(out, at) * (float)deviation;
            const float there = scaled + (float)mean;
            const int sign = y == 0 ? 0 : (there > (float)y) - (there < (float)y);
            loss += y != 0 ? fabs(e) / known : 0;
            w.back.dout[i] = (real)(sign * deviation / known);
        }
        stg__back_run(&w.back, w.packed_back, H, w.gradient);
    }
    for (size_t i = 0; i < w.net.params; i++)
        square += (double)w.gradient[i] * (double)w.gradient[i];
    ck_assert_double_eq_tol(loss, number(tensor(w.io, "b8/port/loss"), 0), 1e-5);
    ck_assert_double_eq_tol(sqrt(square), number(tensor(w.io, "b8/port/grad_norm"), 0), 1e-4);
    visit_net(&(visit){w.io, &w.net, w.gradient, false, same_gradient}, "b8/port/grad/");
    week_close(&w);
}
END_TEST

START_TEST(small_net)
{
    static real x[T * N * 2];
    week w;
    week_open(&w, FOLDER "metr_la_small_16u.safetensors", "param/", 1, 16, STG__PORT_REVERSED);
    const stg__tensor *in = tensor(w.weights, "x");
    for (size_t s = 0; s < 4; s++) {
        const stg__feed feed = {.x = x};
        for (size_t i = 0; i < (size_t)T * N * 2; i++)
            x[i] = (real)number(in, (i / (N * 2) * 4 + s) * N * 2 + i % (N * 2));
        stg__run_forward(&w.run, w.packed, &feed, H);
        same_sample(tensor(w.weights, "port/out"), 4, s, w.run.out);
    }
    week_close(&w);
}
END_TEST

int main(void)
{
    if (access(FOLDER "metr_la_io.safetensors", R_OK) != 0) {
        printf("1..0 # SKIP no golden files in %s\n", FOLDER);
        return TEST_SKIPPED;
    }
    Suite *suite = suite_create("metr-la");
    TCase *tcase = tcase_create("metr-la");
    tcase_add_test(tcase, outputs_and_errors);
    tcase_add_test(tcase, one_window);
    tcase_add_test(tcase, training_step);
    tcase_add_test(tcase, small_net);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
