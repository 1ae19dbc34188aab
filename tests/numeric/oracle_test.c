/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net against numbers of oracle.py, which has the same arithmetic a second time from its
 * definition: every filter, recursion and number of hops; supports, diffused inputs, outputs, loss
 * and gradients; for every instruction set, with and without a tape. Built for float and for double.
 * Its argument is the file; skips without, where no NumPy writes it.
 */
#include <math.h>

#ifdef STG_DOUBLE
#define OUTPUT_TOLERANCE 1e-12 /* 2e-14 is reached */
#define GRADIENT_TOLERANCE 1e-12
#else
#define OUTPUT_TOLERANCE 1e-5
#define GRADIENT_TOLERANCE 1e-4
#endif

#include "adam.h"
#include "golden.h"
#include "loss.h"

static const char *vectors; /* the file */

typedef struct oracle {
    unsigned at;
    stg_bundle *b;
    uint32_t nodes;
    bool squared; /* loss, else absolute */
    stg__net net;
    stg__supports supports;
    real *params;
    real *packed;
    real *packed_back;
    real *x;
    real *extras;
    real *labels;
    real *base;
    const uint8_t *feed;
} oracle;

static const char *word(const oracle *o, const char *what)
{
    char key[64];
    snprintf(key, sizeof key, "%u/%s", o->at, what);
    const char *value = stg__bundle_meta(o->b, key);
    ck_assert_msg(value != NULL, "metadata %s is missing", key);
    return value;
}

static uint32_t whole(const oracle *o, const char *what)
{
    char key[64];
    uint64_t value = 0;
    snprintf(key, sizeof key, "%u/%s", o->at, what);
    ck_assert_msg(stg__bundle_meta_u64(o->b, key, &value) == STG_OK, "metadata %s", key);
    return (uint32_t)value;
}

static uint32_t place(const char *name, const char *const *names, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && strcmp(names[i], name) != 0)
        i++;
    ck_assert_msg(i < count, "%s is not known", name);
    return i;
}

static stg__filter read_filter(const oracle *o)
{
    static const char *const names[] = {"random_walk", "dual_random_walk", "laplacian",
                                        "laplacian_2", "random_walk:port", "dual_random_walk:port"};
    static const stg__filter filter[] = {
        {STG__RANDOM_WALK, STG__EXACT},         {STG__DUAL_RANDOM_WALK, STG__EXACT},
        {STG__LAPLACIAN, STG__EXACT},           {STG__LAPLACIAN_2, STG__EXACT},
        {STG__RANDOM_WALK, STG__PORT_REVERSED}, {STG__DUAL_RANDOM_WALK, STG__PORT_REVERSED},
    };
    return filter[place(word(o, "filter"), names, sizeof names / sizeof *names)];
}

static uint32_t read_recursion(const oracle *o)
{
    static const char *const names[] = {"restart", "carry", "pygt", "power"};
    static const uint32_t recursion[] = {STG__RESTART, STG__CARRY, STG__PYGT, STG__POWER};
    return recursion[place(word(o, "recursion"), names, sizeof names / sizeof *names)];
}

static uint32_t read_decoder(const oracle *o)
{
    static const char *const names[] = {"seq2seq", "direct", "direct_relu"};
    static const uint32_t decoder[] = {STG__SEQ2SEQ, STG__DIRECT, STG__DIRECT_RELU};
    return decoder[place(word(o, "decoder"), names, sizeof names / sizeof *names)];
}

/* NULL when the case does without, or has no such numbers. */
static real *optional(const oracle *o, const char *what, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%u/%s", o->at, what);
    const stg__tensor *t = stg__bundle_find(o->b, name);
    if (!t)
        return NULL;
    ck_assert_uint_eq(count_of(t), count);
    real *x = reals(count);
    for (size_t i = 0; i < count; i++)
        x[i] = (real)number(t, i);
    return x;
}

static void open_case(oracle *o, stg_ctx *ctx, unsigned at)
{
    char name[64];
    *o = (oracle){.at = at};
    ck_assert_int_eq(stg_bundle_open(&o->b, ctx, vectors, NULL), STG_OK);
    const stg__filter filter = read_filter(o);
    const stg__shape s = {
        .inputs = whole(o, "inputs"),
        .targets = whole(o, "targets"),
        .extras = whole(o, "extras"),
        .layers = whole(o, "layers"),
        .units = whole(o, "units"),
        .hops = whole(o, "hops"),
        .walks = stg__filter_walks(filter.kind),
        .recursion = read_recursion(o),
        .decoder = read_decoder(o),
        .cell = strcmp(word(o, "cell"), "dclstm") == 0 ? STG__DCLSTM : STG__DCGRU,
        .history = whole(o, "history"),
        .horizon = whole(o, "horizon"),
    };
    ck_assert(stg__net_init(&o->net, &s));
    o->nodes = whole(o, "nodes");
    o->squared = strcmp(word(o, "loss"), "squared") == 0;
    load_supports(&o->supports, ctx, tensor(o->b, "%u/adj", at), o->nodes, filter);
    const size_t outputs = (size_t)s.horizon * o->nodes * s.targets;
    o->x = optional(o, "x", (size_t)s.history * o->nodes * s.inputs);
    o->labels = optional(o, "labels", outputs);
    o->extras = optional(o, "extras", (size_t)s.horizon * s.extras);
    o->base = optional(o, "base", outputs);
    ck_assert(o->x && o->labels && !o->extras == !s.extras);
    if (strcmp(word(o, "feeding"), "True") == 0) {
        const stg__tensor *feed = tensor(o->b, "%u/feed", at);
        ck_assert(feed->dtype == STG__U8 && feed->bytes == s.horizon);
        o->feed = (const uint8_t *)feed->data;
    }
    ck_assert_int_eq(!o->base, strcmp(word(o, "based"), "True") != 0);
    o->params = reals(o->net.params);
    o->packed = reals(o->net.pack_size);
    o->packed_back = reals(o->net.back_size);
    snprintf(name, sizeof name, "%u/param/", at);
    visit_net(&(visit){o->b, &o->net, o->params, true, NULL}, name);
    stg__net_pack(&o->net, o->params, o->packed);
    stg__net_pack_back(&o->net, o->params, o->packed_back);
}

static void close_case(oracle *o)
{
    real *const blocks[] = {o->params, o->packed, o->packed_back, o->x, o->extras, o->labels, o->base};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        free(blocks[i]);
    stg__supports_clear(&o->supports);
    stg_bundle_destroy(o->b);
}

/* The diffused inputs stand in the tape, copy after copy; in the file feature after feature. */
static void check_diffused(const oracle *o, const stg__run *run)
{
    const stg__shape *s = &o->net.shape;
    const size_t copies = o->net.copies;
    const stg__tensor *t = tensor(o->b, "%u/diffused", o->at);
    real *ours = reals(count_of(t));
    ck_assert_uint_eq(count_of(t), s->history * o->nodes * copies * s->inputs);
    for (size_t i = 0; i < count_of(t); i++) {
        const size_t m = i % copies;
        const size_t f = i / copies % s->inputs;
        const size_t node = i / copies / s->inputs % o->nodes;
        const size_t step = i / copies / s->inputs / o->nodes;
        const real *from = stg__run_inputs(run, STG__ENCODER, (uint32_t)step);
        ours[i] = from[(node * copies + m) * s->inputs + f];
    }
    same_gradient(t, ours); /* as a share: many hops make large numbers */
    free(ours);
}

/* The derivative of the loss by the outputs; the loss. */
static double loss_of(const oracle *o, const real *out, size_t outputs, real *dout)
{
    double known = 0;
    double loss = 0;
    for (size_t i = 0; i < outputs; i++)
        known += !isnan(o->labels[i]);
    for (size_t i = 0; i < outputs; i++) {
        const double e = isnan(o->labels[i]) ? 0 : (double)out[i] - (double)o->labels[i];
        const double slope = o->squared ? e : (double)((e > 0) - (e < 0));
        loss += (o->squared ? e * e / 2 : fabs(e)) / known;
        dout[i] = (real)(slope / known);
    }
    return loss;
}

static void check_pass(const oracle *o, stg_ctx *ctx, const stg__kernels *kernels)
{
    char name[64];
    stg__run run;
    stg__run bare;
    stg__back back;
    const stg__shape *s = &o->net.shape;
    const size_t outputs = (size_t)s->horizon * o->nodes * s->targets;
    const stg__feed feed = {o->x, o->extras, o->labels, o->feed, o->base, 0};
    const stg__tensor *loss = tensor(o->b, "%u/loss", o->at);
    real *gradient = reals(o->net.params);
    ck_assert_int_eq(stg__run_create(&run, ctx, &o->net, o->nodes, true), STG_OK);
    ck_assert_int_eq(stg__run_create(&bare, ctx, &o->net, o->nodes, false), STG_OK);
    ck_assert_int_eq(stg__back_create(&back, ctx, &run), STG_OK);
    run.supports = bare.supports = &o->supports;
    run.kernels = bare.kernels = kernels;
    stg__run_forward(&run, o->packed, &feed, s->horizon);
    for (int twice = 0; twice < 2; twice++) /* what stands in the memory then is no matter */
        stg__run_forward(&bare, o->packed, &feed, s->horizon);
    check_diffused(o, &run);
    same_output(tensor(o->b, "%u/out", o->at), run.out);
    ck_assert_mem_eq(run.out, bare.out, outputs * sizeof *run.out);
    const double ours = loss_of(o, run.out, outputs, back.dout);
    ck_assert_msg(fabs(ours - number(loss, 0)) <= GRADIENT_TOLERANCE * number(loss, 0),
                  "%s: %.15g, not %.15g", loss->name, ours, number(loss, 0));
    stg__back_run(&back, o->packed_back, s->horizon, gradient);
    snprintf(name, sizeof name, "%u/grad/", o->at);
    visit_net(&(visit){o->b, &o->net, gradient, false, same_gradient}, name);
    free(gradient);
    stg__back_clear(&back);
    stg__run_clear(&bare);
    stg__run_clear(&run);
}

START_TEST(one_case)
{
    static const uint32_t isa[] = {STG__ISA_BEST, STG__ISA_BASE, STG__ISA_V3, STG__ISA_V4};
    oracle o;
    stg_ctx *ctx = test_ctx(NULL);
    open_case(&o, ctx, (unsigned)_i);
    printf("# %d: %s, %s, K %u, %u layers, %s\n", _i, word(&o, "filter"), word(&o, "recursion"),
           o.net.shape.hops, o.net.shape.layers, word(&o, "graph"));
    fflush(stdout);
    ck_assert_uint_eq(o.supports.walks, o.net.shape.walks);
    for (uint32_t w = 0; w < o.supports.walks; w++)
        same_matrix(tensor(o.b, "%u/support%u", o.at, w), &o.supports.walk[w],
                    &o.supports.transposed[w]);
    for (size_t i = 0; i < sizeof isa / sizeof *isa; i++)
        if (stg__kernels_get(isa[i]))
            check_pass(&o, ctx, stg__kernels_get(isa[i]));
    close_case(&o);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Both ways to take the decay, over steps whose gradients are of all sizes. */
START_TEST(optimisers)
{
    static const char *const name[] = {"adamw", "adam"};
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, vectors, NULL), STG_OK);
    for (int k = 0; k < 2; k++) {
        const stg__tensor *numbers = tensor(b, "%s/numbers", name[k]);
        const stg__tensor *gradients = tensor(b, "%s/gradients", name[k]);
        const size_t count = count_of(tensor(b, "%s/start", name[k]));
        real *w = copied(tensor(b, "%s/start", name[k]));
        real *g = copied(gradients);
        stg__adam adam = {reals(count), reals(count), 0, number(numbers, 2), number(numbers, 3),
                          number(numbers, 4), number(numbers, 1), k == 1};
        for (size_t t = 0; t < count_of(gradients) / count; t++)
            stg__adam_step(&adam, w, g + t * count, count, number(numbers, 0));
        same_output(tensor(b, "%s/end", name[k]), w);
        free(w);
        free(g);
        free(adam.m);
        free(adam.v);
    }
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(losses)
{
    static const char *const name[] = {"mae", "mse", "huber"};
    stg_ctx *ctx = test_ctx(NULL);
    stg_bundle *b;
    ck_assert_int_eq(stg_bundle_open(&b, ctx, vectors, NULL), STG_OK);
    real *out = copied(tensor(b, "loss/out"));
    real *labels = copied(tensor(b, "loss/labels"));
    const size_t count = count_of(tensor(b, "loss/out"));
    real *slope = reals(count);
    for (uint32_t k = STG__MAE; k <= STG__HUBER; k++) {
        const stg__loss loss = {k, number(tensor(b, "loss/delta"), 0)};
        const double all = number(tensor(b, "loss/%s", name[k]), 0);
        double known = 0;
        double expected = 0;
        for (size_t i = 0; i < count; i++)
            expected += !isnan(labels[i]);
        const double sum = stg__loss_sum(&loss, out, labels, count, 1, slope, &known);
        ck_assert_double_eq(known, expected);
        ck_assert_double_eq_tol(sum, all, OUTPUT_TOLERANCE * all);
        same_output(tensor(b, "loss/%s slope", name[k]), slope);
        ck_assert_double_eq(stg__loss_sum(&loss, out, labels, count, 1, NULL, &known), sum);
    }
    free(out);
    free(labels);
    free(slope);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

static unsigned count_cases(void)
{
    uint64_t cases = 0;
    stg_bundle *b = NULL;
    stg_ctx *ctx = NULL;
    const stg_ctx_opts opts = {.size = sizeof opts};
    if (stg_ctx_create(&ctx, &opts) == STG_OK && stg_bundle_open(&b, ctx, vectors, NULL) == STG_OK)
        stg__bundle_meta_u64(b, "cases", &cases);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
    return (unsigned)cases;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        printf("1..0 # SKIP no Python with NumPy was there to work out the numbers\n");
        return TEST_SKIPPED;
    }
    vectors = argv[1];
    const unsigned cases = count_cases();
    if (cases < 40) {
        fprintf(stderr, "%s has %u cases\n", vectors, cases);
        return EXIT_FAILURE;
    }
    Suite *suite = suite_create("oracle");
    TCase *tcase = tcase_create("oracle");
    tcase_add_test(tcase, optimisers);
    tcase_add_test(tcase, losses);
    tcase_add_loop_test(tcase, one_case, 0, (int)cases);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
