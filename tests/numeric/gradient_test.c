/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse pass against central differences in double, for every block of parameters, hops 0
 * to 3 and all recursions; the float build against the double build, for every instruction set;
 * kernels against CBLAS.
 */
#include <cblas.h>
#include <math.h>

#include "adam.h"
#include "flush.h"
#include "probe.h"
#include "test.h"

/* All kernels that this processor can run, and the widest shape in narrower instructions; the last
 * one is followed by NULL. */
static const stg__kernels *kernels_at(uint32_t i)
{
    const stg__kernels *const all[] = {&stg__kernels_wide, stg__kernels_get(STG__ISA_BASE),
                                       stg__kernels_get(STG__ISA_V3),
                                       stg__kernels_get(STG__ISA_V4)};
    return i < sizeof all / sizeof *all ? all[i] : NULL;
}

enum { NODES = 6, MOST_PARAMS = 8192, MOST_OUT = 256 };

typedef struct sample {
    stg__arc arc[NODES * NODES];
    double params[MOST_PARAMS];
    double x[8 * NODES * 8];
    double extras[16];
    double labels[MOST_OUT];
    uint8_t feed[8];
    double out[MOST_OUT];
    double gradient[MOST_PARAMS];
} sample;

/* Random numbers everywhere, a few labels unknown, some fed to the decoder, node 4 without edges. */
static void fill(probe *p, sample *s, uint32_t hops, uint32_t walks, uint32_t recursion)
{
    stg__rng rng;
    stg__net net;
    stg__rng_init(&rng, 17, hops * 4 + walks);
    *p = (probe){
        .shape = {.inputs = 4, .targets = 2, .extras = 2, .layers = 2, .units = 5, .hops = hops,
                  .walks = walks, .recursion = recursion, .history = 4, .horizon = 4},
        .nodes = NODES,
        .arc = s->arc,
        .params = s->params,
        .x = s->x,
        .extras = s->extras,
        .labels = s->labels,
        .feed = s->feed,
        .out = s->out,
        .gradient = s->gradient,
    };
    ck_assert(stg__net_init(&net, &p->shape));
    ck_assert_uint_le(net.params, MOST_PARAMS);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++)
            if (i != 4 && j != 4 && stg__rng_unit(&rng) < 0.4)
                s->arc[p->arcs++] = (stg__arc){i, j, 0.1 + stg__rng_unit(&rng)};
    for (size_t i = 0; i < net.params; i++)
        s->params[i] = 0.4 * stg__rng_normal(&rng);
    for (size_t i = 0; i < 4 * NODES * 4; i++)
        s->x[i] = stg__rng_normal(&rng);
    for (size_t i = 0; i < 8; i++)
        s->extras[i] = stg__rng_normal(&rng);
    for (size_t i = 0; i < 4 * NODES * 2; i++)
        s->labels[i] = stg__rng_unit(&rng) < 0.1 ? NAN : stg__rng_normal(&rng);
    for (size_t i = 0; i < 4; i++)
        s->feed[i] = i % 2 == 0;
}

static void check_block(probe *p, sample *s, stg_ctx *ctx, const char *name, size_t at, size_t count)
{
    const double step = 1e-5;
    double worst = 0;
    double largest = 0;
    double *gradient = p->gradient;
    p->gradient = NULL;
    for (size_t i = at; i < at + count; i++) {
        const double kept = s->params[i];
        s->params[i] = kept + step;
        probe_run_d(p, ctx, NULL);
        const double above = p->loss;
        s->params[i] = kept - step;
        probe_run_d(p, ctx, NULL);
        s->params[i] = kept;
        worst = fmax(worst, fabs((above - p->loss) / (2 * step) - gradient[i]));
        largest = fmax(largest, fabs(gradient[i]));
    }
    p->gradient = gradient;
    ck_assert_msg(largest > 0, "%s: the gradient is nothing", name);
    ck_assert_msg(worst <= 1e-6 * largest, "K %u, %s: off by %g of %g", p->shape.hops, name, worst,
                  largest);
}

static void check_gradient(uint32_t hops, uint32_t walks, uint32_t recursion, uint32_t decoder,
                           uint32_t cell)
{
    static sample s;
    probe p;
    stg__net net;
    stg_ctx *ctx = test_ctx(NULL);
    fill(&p, &s, hops, walks, recursion);
    p.shape.decoder = decoder;
    p.shape.cell = cell;
    if (decoder != STG__SEQ2SEQ)
        p.shape.extras = 0;
    ck_assert(stg__net_init(&net, &p.shape));
    ck_assert_uint_le(net.params, MOST_PARAMS);
    probe_run_d(&p, ctx, NULL);
    const uint32_t u = p.shape.units;
    for (uint32_t i = 0; i < net.parts * p.shape.layers; i++) {
        char name[64];
        const stg__cell *c = stg__net_cell(&net, i);
        const size_t rows = (size_t)net.copies * (c->inputs + u);
        const size_t gates = net.gates * u;
        const struct {
            const char *what;
            size_t at;
            size_t count;
        } block[] = {{"gates", c->gate_w, rows * gates},
                     {"gates' bias", c->gate_b, gates},
                     {"candidate", c->cand_w, rows * u},
                     {"candidate's bias", c->cand_b, u}};
        for (int k = 0; k < 4; k++) {
            snprintf(name, sizeof name, "%s layer %u %s", i % net.parts ? "decoder" : "encoder",
                     i / net.parts,
                     block[k].what);
            check_block(&p, &s, ctx, name, block[k].at, block[k].count);
        }
    }
    check_block(&p, &s, ctx, "projection", net.proj_w, (size_t)u * net.outputs);
    check_block(&p, &s, ctx, "projection's bias", net.proj_b, net.outputs);
    stg_ctx_destroy(ctx);
}

START_TEST(central_differences)
{
    for (uint32_t hops = 0; hops <= 2; hops++)
        check_gradient(hops, 2, STG__RESTART, STG__SEQ2SEQ, STG__DCGRU);
    check_gradient(3, 2, STG__CARRY, STG__SEQ2SEQ, STG__DCGRU);
    check_gradient(2, 1, STG__RESTART, STG__SEQ2SEQ, STG__DCGRU);
    for (uint32_t hops = 0; hops <= 2; hops++)
        check_gradient(hops, 2, STG__CARRY, STG__SEQ2SEQ, STG__DCLSTM);
    check_gradient(2, 1, STG__POWER, STG__DIRECT_RELU, STG__DCLSTM);
    for (uint32_t walks = 1; walks <= 2; walks++) {
        check_gradient(3, walks, STG__PYGT, STG__DIRECT_RELU, STG__DCGRU);
        check_gradient(3, walks, STG__PYGT, STG__SEQ2SEQ, STG__DCGRU);
        check_gradient(3, walks, STG__POWER, STG__SEQ2SEQ, STG__DCGRU);
        check_gradient(2, walks, STG__CARRY, STG__DIRECT, STG__DCGRU);
    }
}
END_TEST

static void compare(const double *a, const double *b, size_t count, const char *what)
{
    double worst = 0;
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        worst = fmax(worst, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    ck_assert_msg(worst <= 1e-3 * largest, "%s: off by %g of %g", what, worst, largest);
    printf("# %s: %.1e of the largest\n", what, worst / largest);
}

START_TEST(float_against_double)
{
    static sample s;
    static double out[MOST_OUT];
    static double gradient[MOST_PARAMS];
    stg_ctx *ctx = test_ctx(NULL);
    for (uint32_t i = 0; kernels_at(i); i++) {
        const stg__kernels *kernels = kernels_at(i);
        for (uint32_t hops = 0; hops <= 2; hops++) {
            probe p;
            stg__net net;
            char what[64];
            fill(&p, &s, hops, 2, STG__RESTART);
            ck_assert(stg__net_init(&net, &p.shape));
            probe_run_d(&p, ctx, NULL);
            memcpy(out, s.out, sizeof out);
            memcpy(gradient, s.gradient, sizeof gradient);
            probe_run(&p, ctx, kernels);
            snprintf(what, sizeof what, "%s, K %u, outputs", kernels->name, hops);
            compare(out, s.out, (size_t)p.shape.horizon * NODES * p.shape.targets, what);
            snprintf(what, sizeof what, "%s, K %u, gradient", kernels->name, hops);
            compare(gradient, s.gradient, net.params, what);
        }
    }
    stg_ctx_destroy(ctx);
}
END_TEST

static float *noise(stg__rng *rng, size_t count)
{
    float *x = (float *)malloc((count + 16) * sizeof *x);
    ck_assert_ptr_nonnull(x);
    for (size_t i = 0; i < count; i++)
        x[i] = (float)stg__rng_normal(rng);
    return x;
}

/* Products of odd shapes, in two pieces, against CBLAS; nothing is written behind the result. */
static void check_product(const stg__kernels *k, stg__rng *rng, uint32_t rows, uint32_t depth,
                          uint32_t cols)
{
    const uint32_t first = depth / 3;
    const size_t ld = cols + 3;
    float *a = noise(rng, (size_t)rows * depth);
    float *b = noise(rng, (size_t)depth * cols);
    float *y = noise(rng, rows * ld);
    float *z = noise(rng, (size_t)rows * cols);
    float *packed = (float *)calloc(stg__packed_size(depth, cols), sizeof *packed);
    float *kept = (float *)malloc(rows * ld * sizeof *kept);
    memcpy(kept, y, rows * ld * sizeof *kept);
    stg__pack(packed, depth, 0, depth, cols, b, cols, 1);
    const stg__segment segment[2] = {{a, depth, first}, {a + first, depth, depth - first}};
    const stg__product p = {y, ld, rows, cols, segment, 2, STG__ACT_ADD, packed, NULL, NULL};
    k->product(&p);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)cols, (int)depth, 1, a,
                (int)depth, b, (int)cols, 0, z, (int)cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t o = 0; o < ld; o++) {
            const double expected = kept[i * ld + o] + (o < cols ? z[i * cols + o] : 0.0f);
            ck_assert_msg(fabs(y[i * ld + o] - expected) <= 1e-4, "%s %ux%ux%u at %zu %zu", k->name,
                          rows, depth, cols, i, o);
        }
    float *to = (float *)calloc((size_t)depth * cols, sizeof *to);
    k->outer(to, cols, depth, cols, a, depth, z, cols, rows);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)depth, (int)cols, (int)rows, 1, a,
                (int)depth, z, (int)cols, 0, b, (int)cols);
    for (size_t i = 0; i < (size_t)depth * cols; i++)
        ck_assert_msg(fabsf(to[i] - b[i]) <= 1e-3f * (1 + fabsf(b[i])), "%s outer %ux%ux%u at %zu",
                      k->name, rows, depth, cols, i);
    free(a);
    free(b);
    free(y);
    free(z);
    free(to);
    free(kept);
    free(packed);
}

START_TEST(kernels_against_cblas)
{
    static const uint32_t size[][3] = {{1, 1, 1},   {7, 5, 3},    {12, 17, 16}, {13, 33, 31},
                                       {20, 165, 96}, {25, 40, 47}, {50, 64, 128}, {3, 320, 10}};
    stg__rng rng;
    stg__rng_init(&rng, 1, 2);
    for (uint32_t k = 0; kernels_at(k); k++)
        for (size_t i = 0; i < sizeof size / sizeof *size; i++)
            check_product(kernels_at(k), &rng, size[i][0], size[i][1], size[i][2]);
}
END_TEST

/* The activations of the float kernels, over their whole range. */
START_TEST(activations)
{
    for (uint32_t at = 0; kernels_at(at); at++) {
        const stg__kernels *k = kernels_at(at);
        for (int i = -4000; i <= 4000; i++) {
            const float x = (float)i / 40;
            float one[STG__PANEL] = {1};
            float y;
            const stg__segment segment = {&x, 1, 1};
            stg__product p = {&y, 1, 1, 1, &segment, 1, STG__ACT_TANH, one, NULL, NULL};
            k->product(&p);
            ck_assert_msg(fabs(y - tanh((double)x)) < 2.5e-7, "tanh %g: %.9g", x, y);
            p.act = STG__ACT_SIGMOID;
            k->product(&p);
            ck_assert_msg(fabs(y - 1 / (1 + exp(-(double)x))) < 2e-7, "sigmoid %g: %.9g", x, y);
        }
    }
}
END_TEST

/* A cell's element-wise half where the product ends, whatever the rows are cut into, against the plain
 * formula; units that fill vectors and such that do not. */
static void check_after(const stg__kernels *k, stg__rng *rng, uint32_t rows, uint32_t units)
{
    enum { DEPTH = 21, MOST = 128 * 128 };
    static float y[2][MOST];
    static float to[2][MOST];
    const uint32_t cols = 2 * units;
    float *a = noise(rng, (size_t)rows * DEPTH);
    float *b = noise(rng, (size_t)DEPTH * cols);
    float *h = noise(rng, (size_t)rows * units);
    float *packed = (float *)calloc(stg__packed_size(DEPTH, cols), sizeof *packed);
    stg__pack(packed, DEPTH, 0, DEPTH, cols, b, cols, 1);
    for (uint32_t candidate = 0; candidate < 2; candidate++) {
        const uint32_t wide = candidate ? units : cols;
        for (uint32_t cut = 0; cut < rows; cut += rows / 3 + 1) {
            const uint32_t from[3] = {0, cut, rows};
            for (int part = 0; part < 2; part++) {
                const size_t row = from[part];
                const stg__segment s = {a + row * DEPTH, DEPTH, DEPTH};
                const stg__after after = {units, candidate ? y[0] + row * cols : NULL, h + row * units,
                                          units, to[candidate] + row * units, units};
                const stg__product p = {y[candidate] + row * wide, wide, from[part + 1] - from[part],
                                        wide, &s, 1, candidate ? STG__ACT_TANH : STG__ACT_SIGMOID,
                                        packed, NULL, &after};
                k->product(&p);
            }
            static float kept[MOST];
            if (cut == 0)
                memcpy(kept, to[candidate], rows * units * sizeof *kept);
            ck_assert_mem_eq(kept, to[candidate], rows * units * sizeof *kept);
        }
    }
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < units; j++) {
            const size_t at = i * units + j;
            const double u = y[0][i * cols + units + j];
            const double state = u * h[at] + (1 - u) * y[1][at];
            ck_assert_msg(fabs(to[0][at] - (double)y[0][i * cols + j] * h[at]) < 1e-6, "%s reset %u %u",
                          k->name, i, j);
            ck_assert_msg(fabs(to[1][at] - state) < 1e-6, "%s state %u %u", k->name, i, j);
        }
    free(a);
    free(b);
    free(h);
    free(packed);
}

START_TEST(cells_elements)
{
    stg__rng rng;
    stg__rng_init(&rng, 5, 2);
    for (uint32_t k = 0; kernels_at(k); k++) {
        check_after(kernels_at(k), &rng, 50, 64);
        check_after(kernels_at(k), &rng, 100, 16);
        check_after(kernels_at(k), &rng, 31, 23);
        check_after(kernels_at(k), &rng, 1, 5);
    }
}
END_TEST

#ifdef __SSE2__
static stg__kernels watched; /* the best kernels, and a look at the register with each product */
static uint32_t looks;

static void look(const stg__product *p)
{
    ck_assert_uint_eq(_mm_getcsr() & STG__FLUSH_BITS, STG__FLUSH_BITS);
    looks++;
    stg__kernels_get(STG__ISA_BEST)->product(p);
}

/* Small numbers are zero while the net computes, and only then; the host's flags stay as they were. */
START_TEST(small_numbers)
{
    static sample s;
    probe p;
    stg_ctx *ctx = test_ctx(NULL);
    fill(&p, &s, 2, 2, STG__RESTART);
    watched = *stg__kernels_get(STG__ISA_BEST);
    watched.product = look;
    const uint32_t host = _mm_getcsr();
    const uint32_t given[] = {0x1f80, 0x1f80 | 0x8000, 0x1f80 | 0x0040};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) {
        const uint32_t before = looks;
        float moment[2] = {0, 0};
        float weight = 1;
        const float gradient = 1e-39f;
        stg__adam adam = {.m = moment, .v = moment + 1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
        _mm_setcsr(given[i]);
        probe_run(&p, ctx, &watched);
        stg__adam_step(&adam, &weight, &gradient, 1, 1e-3);
        const uint32_t after = _mm_getcsr();
        _mm_setcsr(host);
        ck_assert_uint_eq(after & ~0x3fu, given[i]); /* flags: the probe adds up outside */
        ck_assert_uint_gt(looks, before);
        ck_assert(moment[0] == 0);
    }
    stg_ctx_destroy(ctx);
}
END_TEST
#else
START_TEST(small_numbers)
{
}
END_TEST
#endif

TEST_SUITE("gradient", central_differences, float_against_double, kernels_against_cblas, activations,
           cells_elements, small_numbers)
