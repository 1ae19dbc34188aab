/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a forecast takes: the net alone, twelve windows in and twelve out, against a plain C
 * version over CBLAS (inputs put side by side, one product for each gate, libm), and a whole step and
 * forecast of a session. Both do the same arithmetic; their outputs are compared before anything is
 * timed. CPU time of the process, rounds interleaved, medians.
 * Usage: step_bench [--quick]; run with OPENBLAS_NUM_THREADS=1 where BLAS is OpenBLAS.
 */
#include <cblas.h>
#include <math.h>
#include <string.h>

#include <stgraph/train.h>

#include "bench.h"
#include "model_priv.h"

#define HISTORY 12
#define HORIZON 12
#define WINDOW 5000000000u

/* --- the peer ------------------------------------------------------------------------------------ */

typedef struct plain { /* of one model and graph */
    const stg__net *net;
    const float *params;
    const stg__supports *supports;
    size_t n;
    float *x;    /* [n][copies][features]: all that a gate reads, side by side */
    float *copy; /* [copies][n][features] */
    float *ru;   /* [n][2 units] */
    float *c;    /* [n][units] */
    float *h;    /* [layers][n][units] */
    float *out;  /* [n][targets] */
} plain;

static void spread(const stg__csr *s, const float *x, const float *minus, float *y, size_t width)
{
    for (size_t i = 0; i < s->rows; i++)
        for (size_t j = 0; j < width; j++) {
            float sum = 0;
            for (uint32_t e = s->ptr[i]; e < s->ptr[i + 1]; e++)
                sum += s->val[e] * x[s->col[e] * width + j];
            y[i * width + j] = minus ? 2 * sum - minus[i * width + j] : sum;
        }
}

/* Diffuses [input | state] and puts the copies side by side, in the order of the weights' rows. */
static void side_by_side(plain *p, const float *in, size_t inputs, const float *state, const float *r)
{
    const stg__net *net = p->net;
    const size_t u = net->shape.units;
    const size_t width = inputs + u;
    const size_t all = net->copies * width;
    for (size_t i = 0; i < p->n; i++) {
        memcpy(p->copy + i * width, in + i * inputs, inputs * sizeof *in);
        for (size_t j = 0; j < u; j++)
            p->copy[i * width + inputs + j] = state[i * u + j] * (r ? r[i * 2 * u + j] : 1);
    }
    for (uint32_t m = 1; m < net->copies; m++) {
        const stg__step *s = &net->step[m];
        spread(&p->supports->walk[s->walk], p->copy + s->from * p->n * width,
               s->minus == UINT32_MAX ? NULL : p->copy + s->minus * p->n * width,
               p->copy + m * p->n * width, width);
    }
    for (size_t i = 0; i < p->n; i++)
        for (size_t m = 0; m < net->copies; m++) {
            const float *from = p->copy + (m * p->n + i) * width;
            memcpy(p->x + i * all + m * inputs, from, inputs * sizeof *from);
            memcpy(p->x + i * all + net->copies * inputs + m * u, from + inputs, u * sizeof *from);
        }
}

static void product(const plain *p, size_t depth, size_t cols, const float *w, const float *bias,
                    float *y)
{
    for (size_t i = 0; i < p->n; i++)
        memcpy(y + i * cols, bias, cols * sizeof *y);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->n, (int)cols, (int)depth, 1, p->x,
                (int)depth, w, (int)cols, 1, y, (int)cols);
}

static void plain_cell(plain *p, uint32_t part, uint32_t layer, const float *in)
{
    const stg__cell *cell = &p->net->cell[part][layer];
    const size_t u = p->net->shape.units;
    const size_t depth = p->net->copies * (cell->inputs + u);
    float *h = p->h + layer * p->n * u;
    side_by_side(p, in, cell->inputs, h, NULL);
    product(p, depth, 2 * u, p->params + cell->gate_w, p->params + cell->gate_b, p->ru);
    for (size_t i = 0; i < p->n * 2 * u; i++)
        p->ru[i] = 1 / (1 + expf(-p->ru[i]));
    side_by_side(p, in, cell->inputs, h, p->ru);
    product(p, depth, u, p->params + cell->cand_w, p->params + cell->cand_b, p->c);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < u; j++) {
            const float z = p->ru[i * 2 * u + u + j];
            h[i * u + j] = z * h[i * u + j] + (1 - z) * tanhf(p->c[i * u + j]);
        }
}

static void plain_forward(plain *p, const stg__feed *feed, float *out)
{
    const stg__shape *s = &p->net->shape;
    const size_t u = s->units;
    const size_t wide = s->targets + s->extras;
    float *in = (float *)calloc(p->n * wide, sizeof *in);
    memset(p->h, 0, s->layers * p->n * u * sizeof *p->h);
    for (uint32_t t = 0; t < s->history; t++)
        for (uint32_t l = 0; l < s->layers; l++)
            plain_cell(p, STG__ENCODER, l,
                       l ? p->h + (l - 1) * p->n * u : feed->x + t * p->n * s->inputs);
    for (uint32_t d = 0; d < s->horizon; d++) {
        float *to = out + d * p->n * s->targets;
        for (size_t i = 0; i < p->n; i++) {
            for (size_t j = 0; j < s->targets; j++)
                in[i * wide + j] = d ? to[i * s->targets + j - p->n * s->targets] : 0;
            memcpy(in + i * wide + s->targets, feed->extras + d * s->extras, s->extras * sizeof *in);
        }
        for (uint32_t l = 0; l < s->layers; l++)
            plain_cell(p, STG__DECODER, l, l ? p->h + (l - 1) * p->n * u : in);
        for (size_t i = 0; i < p->n; i++)
            memcpy(to + i * s->targets, p->params + p->net->proj_b, s->targets * sizeof *to);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)p->n, (int)s->targets, (int)u, 1,
                    p->h + (s->layers - 1) * p->n * u, (int)u, p->params + p->net->proj_w,
                    (int)s->targets, 1, to, (int)s->targets);
    }
    free(in);
}

/* --- the net alone --------------------------------------------------------------------------------- */

static float *floats(size_t count)
{
    float *x = (float *)calloc(count + 16, sizeof *x);
    must(x != NULL, "out of memory");
    return x;
}

static void noise(float *x, size_t count, stg__rng *rng)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)stg__rng_normal(rng);
}

/* About eight edges a node, as in real service graphs with their routes put together. */
static uint32_t make_arcs(stg__arc *arc, uint32_t nodes, stg__rng *rng)
{
    uint32_t arcs = 0;
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t j = 0; j < nodes; j++)
            if (stg__rng_unit(rng) < 6.0 / nodes)
                arc[arcs++] = (stg__arc){i, j, stg__rng_unit(rng)};
    return arcs;
}

static void compare(const stg__run *run, const float *peer, size_t count)
{
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)run->out[i] - (double)peer[i]));
    must(worst < 1e-4, "the peer's outputs are others");
}

static void time_net(stg_ctx *ctx, uint32_t nodes, uint32_t units, int rounds)
{
    const stg__shape shape = {.inputs = 5, .targets = 3, .extras = 2, .layers = 2, .units = units,
                              .hops = 2, .walks = 2, .history = HISTORY, .horizon = HORIZON};
    char name[64];
    stg__net net;
    stg__run run;
    stg__supports supports;
    const stg__filter both = {STG__DUAL_RANDOM_WALK, STG__EXACT};
    stg__rng rng;
    stg__rng_init(&rng, 3, nodes);
    must(stg__net_init(&net, &shape), "shape");
    stg__arc *arc = (stg__arc *)calloc((size_t)nodes * nodes, sizeof *arc);
    const uint32_t arcs = make_arcs(arc, nodes, &rng);
    must(stg__supports_build(&supports, ctx, nodes, both, arc, arcs) == STG_OK, "supports");
    must(stg__run_create(&run, ctx, &net, nodes, false) == STG_OK, "run");
    run.supports = &supports;
    float *params = floats(net.params);
    float *packed = floats(net.pack_size);
    float *x = floats((size_t)HISTORY * nodes * shape.inputs);
    float *extras = floats(HORIZON * shape.extras);
    float *out = floats((size_t)HORIZON * nodes * shape.targets);
    stg__net_start(&net, params, 5);
    stg__net_pack(&net, params, packed);
    noise(x, (size_t)HISTORY * nodes * shape.inputs, &rng);
    noise(extras, HORIZON * shape.extras, &rng);
    const stg__feed feed = {.x = x, .extras = extras};
    const size_t widest = (size_t)net.copies * nodes * 2 * units;
    plain p = {&net,           params,
               &supports,      nodes,
               floats(widest), floats(widest),
               floats((size_t)nodes * 2 * units), floats((size_t)nodes * units),
               floats((size_t)2 * nodes * units), NULL};
    double ours[BENCH_ROUNDS_MAX];
    double peer[BENCH_ROUNDS_MAX];
    for (int i = 0; i < rounds; i++) { /* in turns: both meet the same machine */
        const double start = now();
        stg__run_forward(&run, packed, &feed, HORIZON);
        const double between = now();
        plain_forward(&p, &feed, out);
        peer[i] = now() - between;
        ours[i] = between - start;
        if (i == 0)
            compare(&run, out, (size_t)HORIZON * nodes * shape.targets);
    }
    snprintf(name, sizeof name, "step.net_12_12.n%u.h%u", nodes, units);
    print(name, median(ours, rounds) * 1e6, "us", median(peer, rounds) * 1e6);
    free(arc);
    free(params);
    free(packed);
    free(x);
    free(extras);
    free(out);
    free(p.x);
    free(p.copy);
    free(p.ru);
    free(p.c);
    free(p.h);
    stg__run_clear(&run);
    stg__supports_clear(&supports);
}

/* --- a session -------------------------------------------------------------------------------------- */

static const stg_graph *graph_at(stg_graph_builder *b, uint32_t nodes, uint64_t at, stg__rng *rng)
{
    const stg_graph *g;
    uint32_t id;
    uint32_t column[4];
    char name[16];
    must(stg_graph_builder_begin(b, at * WINDOW, (at + 1) * WINDOW) == STG_OK, "begin");
    stg_graph_builder_column(b, STG_NODE, "calls", 5, &column[0]);
    stg_graph_builder_column(b, STG_NODE, "errors", 6, &column[1]);
    stg_graph_builder_column(b, STG_NODE, "mean_us", 7, &column[2]);
    stg_graph_builder_column(b, STG_EDGE, "calls", 5, &column[3]);
    for (uint32_t i = 1; i < nodes; i++) {
        snprintf(name, sizeof name, "svc-%03u", i);
        must(stg_graph_builder_node(b, name, strlen(name), &id) == STG_OK, "node");
    }
    for (uint32_t i = 0; i < nodes; i++) {
        const double calls = 100 * exp(0.3 * stg__rng_normal(rng));
        stg_graph_builder_set(b, STG_NODE, i, column[0], calls);
        stg_graph_builder_set(b, STG_NODE, i, column[1], floor(calls / 50));
        stg_graph_builder_set(b, STG_NODE, i, column[2], 3000 + 10 * calls);
        for (uint32_t k = 0; i && k < 4; k++) {
            must(stg_graph_builder_edge(b, (i * (k + 1) / 3) % i, i, "", 0, &id) == STG_OK, "edge");
            stg_graph_builder_set(b, STG_EDGE, id, column[3], calls / 4);
        }
    }
    must(stg_graph_builder_finish(b, &g) == STG_OK, "finish");
    return g;
}

static const stg_model *train(stg_ctx *ctx, stg_graph_builder *b, uint32_t nodes, uint32_t units,
                              stg__rng *rng)
{
    stg_trainer *t;
    const stg_model *m;
    const stg_trainer_opts opts = {.size = sizeof opts, .layers = 2, .units = units, .epochs = 1};
    must(stg_trainer_create(&t, ctx, &opts, NULL) == STG_OK, "trainer");
    for (uint64_t at = 0; at < 38; at++) {
        const stg_graph *g = graph_at(b, nodes, at, rng);
        must(stg_trainer_add(t, g) == STG_OK, "add");
        stg_unref(g);
    }
    must(stg_trainer_run(t, &m, NULL) == STG_OK, "train");
    stg_trainer_destroy(t);
    return m;
}

static void time_session(stg_ctx *ctx, uint32_t nodes, uint32_t units, int rounds)
{
    stg_graph_builder *b;
    stg_session *s;
    stg__rng rng;
    double took[BENCH_ROUNDS_MAX];
    char name[64];
    stg__rng_init(&rng, 4, nodes);
    must(stg_graph_builder_create(&b, ctx, NULL) == STG_OK, "builder");
    const stg_model *m = train(ctx, b, nodes, units, &rng);
    must(stg_session_create(&s, ctx, m, NULL) == STG_OK, "session");
    for (int i = 0; i < rounds; i++) {
        const stg_forecast *f;
        const stg_graph *g = graph_at(b, nodes, 100 + (uint64_t)i, &rng);
        const double start = now();
        must(stg_session_step(s, g, NULL) == STG_OK, "step");
        must(stg_session_forecast(s, HORIZON, &f) == STG_OK, "forecast");
        took[i] = now() - start;
        stg_unref(f);
        stg_unref(g);
    }
    snprintf(name, sizeof name, "step.session.n%u.h%u", nodes, units);
    print(name, median(took, rounds) * 1e6, "us", 0);
    stg_session_destroy(s);
    stg_unref(m);
    stg_graph_builder_destroy(b);
}

int main(int argc, char **argv)
{
    const bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    static const uint32_t size[][2] = {{20, 32}, {20, 64}, {50, 64}, {207, 64}};
    stg_ctx *ctx;
    must(stg_ctx_create(&ctx, NULL) == STG_OK, "context");
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        const int rounds = (quick ? 10 : 100) * (size[i][0] < 100 ? 3 : 1);
        time_net(ctx, size[i][0], size[i][1], rounds);
        time_session(ctx, size[i][0], size[i][1], rounds);
    }
    stg_ctx_destroy(ctx);
    return 0;
}
