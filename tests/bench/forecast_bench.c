/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net alone: 12 windows in and 12 out of the published METR-LA model (2 layers, 64
 * units, K = 2, both walks, 2 inputs, 1 output) on one thread, with two, and a training step of one
 * sample. One JSON line a figure.
 *
 * Time: of the process, best and median of the rounds. FLOP: as executed, counted from the shapes of
 * what runs: 2 rows depth cols for each product, 2 nnz width for each hop and 2 nodes width more where
 * it subtracts a copy; activations, gates and packing count nothing. Share: of a loop of multiply-adds
 * on registers of the same instruction set, timed before and after each round; the median over the
 * rounds of the round's rate by the mean of the two, and the best rate by the best of all of them.
 * Bytes: all that model, graph and run hold. Allocations: in the timed part.
 *
 * Usage: forecast_bench [--quick] [--rounds R] [--n N]
 *            all figures, or those of N nodes
 *        forecast_bench --serve --n N [--mode seq|train] [--isa best|base|v3|v4]
 *            for rounds in turns with other programs: says "ready\n", then answers each line "run\n"
 *            on its input by the seconds of one run, "peak\n" by the GFLOP/s of the loop above, and
 *            ends with its input
 *        forecast_bench --export FILE --n N
 *            weights, graph, input and output as safetensors, for who wants to compute the same:
 *            edge/src, edge/dst, edge/weight; x [12][N][2]; out [12][N][1]; projection/w, /b, and
 *            {encoder,decoder}/LAYER/{gate,candidate}/{w,b}, rows of w as lib/model/net.h has them
 * The graph of 207 nodes is METR-LA's where $STG_METR_LA names its edges (CSV: src,dst,weight).
 */
#include <math.h>
#include <string.h>

#include <stgraph/train.h>

#include "adam.h"
#include "model_priv.h"
#include "peak.h"

#define HISTORY 12
#define HORIZON 12

/* --- memory --------------------------------------------------------------------------------------- */

typedef struct counter {
    size_t calls;
    size_t bytes;
} counter;

#define HEAD 64 /* before each block: its size */

static void *counted_alloc(size_t bytes, void *user)
{
    counter *c = (counter *)user;
    char *block = (char *)malloc(bytes + HEAD);
    if (!block)
        return NULL;
    memcpy(block, &bytes, sizeof bytes);
    c->calls++;
    c->bytes += bytes;
    return block + HEAD;
}

static void counted_free(void *at, void *user)
{
    counter *c = (counter *)user;
    size_t bytes;
    if (!at)
        return;
    memcpy(&bytes, (char *)at - HEAD, sizeof bytes);
    c->bytes -= bytes;
    free((char *)at - HEAD);
}

static void *counted_realloc(void *at, size_t bytes, void *user)
{
    size_t before;
    if (!at)
        return counted_alloc(bytes, user);
    void *to = counted_alloc(bytes, user);
    if (!to)
        return NULL;
    memcpy(&before, (char *)at - HEAD, sizeof before);
    memcpy(to, at, before < bytes ? before : bytes);
    counted_free(at, user);
    return to;
}

/* --- the work ------------------------------------------------------------------------------------- */

typedef struct work {
    counter memory;
    stg_ctx *ctx;
    uint32_t nodes;
    stg__net net;
    stg__supports supports;
    stg__arc *arc;
    uint32_t arcs;
    stg__run run;
    stg__back back;
    stg__adam adam;
    float *params;
    float *packed;
    float *back_packed;
    float *gradient;
    float *x;
    float *labels;
} work;

static float *floats(work *w, size_t count)
{
    float *x = (float *)stg__alloc_aligned(w->ctx, count, sizeof *x);
    must(x != NULL, "out of memory");
    memset(x, 0, count * sizeof *x);
    return x;
}

static void read_arcs(work *w, const char *path)
{
    FILE *file = fopen(path, "r");
    must(file != NULL, path);
    char line[128];
    must(fgets(line, sizeof line, file) != NULL, path);
    while (w->arcs < 4096 && fgets(line, sizeof line, file)) {
        stg__arc *a = &w->arc[w->arcs++];
        char *end = line;
        a->src = (uint32_t)strtoul(end, &end, 10);
        a->dst = (uint32_t)strtoul(end + 1, &end, 10);
        a->weight = strtod(end + 1, &end);
        must(a->src < w->nodes && a->dst < w->nodes && a->weight > 0, path);
    }
    fclose(file);
}

/* A ring of neighbours at random distances, `density` edges a node on average. */
static void make_arcs(work *w, stg__rng *rng)
{
    const double density = w->nodes <= 20    ? 3.6
                           : w->nodes <= 50  ? 3.9
                           : w->nodes <= 207 ? 8.3
                           : w->nodes < 5000 ? 6
                                             : 7;
    uint8_t *seen = (uint8_t *)calloc(w->nodes, 1);
    must(seen != NULL, "out of memory");
    for (uint32_t i = 0; i < w->nodes; i++) {
        memset(seen, 0, w->nodes);
        const uint32_t degree = (uint32_t)(density * (i + 1)) - (uint32_t)(density * i);
        for (uint32_t k = 0; k < degree && k < w->nodes; k++) {
            uint32_t to = stg__rng_below(rng, w->nodes);
            while (seen[to])
                to = (to + 1) % w->nodes;
            seen[to] = 1;
        }
        for (uint32_t j = 0; j < w->nodes; j++)
            if (seen[j])
                w->arc[w->arcs++] = (stg__arc){i, j, 0.1 + stg__rng_unit(rng)};
    }
    free(seen);
}

static void noise(float *x, size_t count, stg__rng *rng)
{
    for (size_t i = 0; i < count; i++)
        x[i] = (float)stg__rng_normal(rng);
}

static void set_up(work *w, uint32_t nodes, uint32_t isa, bool train)
{
    const stg__shape shape = {.inputs = 2, .targets = 1, .layers = 2, .units = 64, .hops = 2,
                              .walks = 2, .history = HISTORY, .horizon = HORIZON};
    const stg__filter both = {STG__DUAL_RANDOM_WALK, STG__EXACT};
    const stg_allocator allocator = {counted_alloc, counted_realloc, counted_free, &w->memory};
    const stg_ctx_opts opts = {.size = sizeof opts, .allocator = &allocator};
    const char *metr_la = getenv("STG_METR_LA");
    stg__rng rng;
    memset(w, 0, sizeof *w);
    must(stg_ctx_create(&w->ctx, &opts) == STG_OK, "context");
    stg__rng_init(&rng, 3, nodes);
    must(stg__net_init(&w->net, &shape), "shape");
    w->nodes = nodes;
    w->arc = (stg__arc *)stg__calloc(w->ctx, (size_t)nodes * 10 + 4096, sizeof *w->arc);
    must(w->arc != NULL, "out of memory");
    if (nodes == 207 && metr_la && *metr_la)
        read_arcs(w, metr_la);
    else
        make_arcs(w, &rng);
    must(stg__supports_build(&w->supports, w->ctx, nodes, both, w->arc, w->arcs) == STG_OK, "supports");
    must(stg__run_create(&w->run, w->ctx, &w->net, nodes, train) == STG_OK, "run");
    w->run.supports = &w->supports;
    w->run.kernels = stg__kernels_get(isa);
    must(w->run.kernels != NULL, "this processor has not got that instruction set");
    w->params = floats(w, w->net.params);
    w->packed = floats(w, w->net.pack_size);
    w->x = floats(w, (size_t)HISTORY * nodes * shape.inputs);
    stg__net_start(&w->net, w->params, 5);
    stg__net_pack(&w->net, w->params, w->packed);
    noise(w->x, (size_t)HISTORY * nodes * shape.inputs, &rng);
    if (!train)
        return;
    must(stg__back_create(&w->back, w->ctx, &w->run) == STG_OK, "reverse pass");
    w->back_packed = floats(w, w->net.back_size);
    w->gradient = floats(w, w->net.params);
    w->labels = floats(w, (size_t)HORIZON * nodes);
    w->adam = (stg__adam){.m = floats(w, w->net.params), .v = floats(w, w->net.params),
                          .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    stg__net_pack_back(&w->net, w->params, w->back_packed);
    noise(w->labels, (size_t)HORIZON * nodes, &rng);
}

static void tear_down(work *w)
{
    stg__back_clear(&w->back);
    stg__run_clear(&w->run);
    stg__supports_clear(&w->supports);
    float *all[] = {w->params, w->packed, w->back_packed, w->gradient,
                    w->x,      w->labels, w->adam.m,      w->adam.v};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        stg__free_aligned(w->ctx, all[i]);
    stg__free(w->ctx, w->arc);
    stg_ctx_destroy(w->ctx);
}

static void sequence(work *w)
{
    const stg__feed feed = {.x = w->x};
    stg__run_forward(&w->run, w->packed, &feed, HORIZON);
}

/* Forward and reverse pass of a sample, mean absolute error. */
static void train_sample(work *w)
{
    const size_t outputs = (size_t)HORIZON * w->nodes;
    sequence(w);
    for (size_t i = 0; i < outputs; i++)
        w->back.dout[i] = w->run.out[i] > w->labels[i] ? 1e-3f : -1e-3f;
    stg__back_run(&w->back, w->back_packed, HORIZON, w->gradient);
}

/* What follows a batch. */
static void train_update(work *w)
{
    stg__clip(w->gradient, w->net.params, 5);
    stg__adam_step(&w->adam, w->params, w->gradient, w->net.params, 1e-6);
    stg__net_pack(&w->net, w->params, w->packed);
    stg__net_pack_back(&w->net, w->params, w->back_packed);
    memset(w->gradient, 0, w->net.params * sizeof *w->gradient);
}

/* --- what is executed ----------------------------------------------------------------------------- */

typedef struct flops {
    double products;
    double hops;
} flops;

static double hops_of(const work *w, uint32_t width)
{
    double sum = 0;
    for (uint32_t m = 1; m < w->net.copies; m++) {
        const stg__csr *s = &w->supports.walk[w->net.step[m].walk];
        const bool alone = w->net.step[m].minus == UINT32_MAX;
        sum += 2.0 * width * ((double)s->ptr[w->nodes] + (alone ? 0 : w->nodes));
    }
    return sum;
}

static flops count(const work *w)
{
    const stg__shape *s = &w->net.shape;
    const double n = w->nodes;
    flops f = {0, 0};
    for (uint32_t part = 0; part < 2; part++) {
        const double steps = part == STG__ENCODER ? s->history : s->horizon;
        for (uint32_t l = 0; l < s->layers; l++) {
            const uint32_t inputs = w->net.cell[part][l].inputs;
            const double depth = (double)w->net.copies * (inputs + s->units);
            f.products += steps * 2 * n * depth * 3 * s->units;
            f.hops += steps * (2 * hops_of(w, s->units) + (l ? 0 : hops_of(w, inputs)));
        }
    }
    f.products += 2.0 * s->horizon * n * s->units * s->targets;
    return f;
}

/* --- figures -------------------------------------------------------------------------------------- */

typedef struct figure {
    double best;
    double median;
    double peak; /* best of all */
    double share_best;
    double share_median;
    size_t allocations;
} figure;

static figure measure(work *w, void (*run)(work *), int rounds, double all)
{
    double took[BENCH_ROUNDS_MAX];
    double share[BENCH_ROUNDS_MAX];
    const char *table = w->run.kernels->name;
    figure f = {.best = 1e9};
    run(w); /* warm */
    double before = peak_gflops(table);
    for (int i = 0; i < rounds; i++) {
        const size_t calls = w->memory.calls;
        const double start = now();
        run(w);
        took[i] = now() - start;
        f.allocations += w->memory.calls - calls;
        const double after = peak_gflops(table);
        share[i] = before + after > 0 ? all / took[i] * 1e-9 / ((before + after) / 2) : 0;
        f.peak = fmax(f.peak, fmax(before, after));
        f.best = fmin(f.best, took[i]);
        before = after;
    }
    f.median = median(took, rounds);
    f.share_median = median(share, rounds);
    f.share_best = f.peak > 0 ? all / f.best * 1e-9 / f.peak : 0;
    return f;
}

static void say(const work *w, const char *what, int rounds, const figure *f, double products,
                double hops)
{
    const double all = (products + hops) * 1e-9;
    printf("{\"name\":\"forecast.%s\",\"n\":%u,\"edges\":%u,\"isa\":\"%s\",\"threads\":1,\"rounds\":%d,"
           "\"best_ms\":%.4f,\"median_ms\":%.4f,\"gflop\":%.4f,\"gflop_products\":%.4f,"
           "\"gflop_hops\":%.4f,\"gflops\":%.1f,\"peak_gflops\":%.1f,\"share_best\":%.3f,"
           "\"share_median\":%.3f,\"bytes\":%zu,\"allocations\":%zu}\n",
           what, w->nodes, w->arcs, w->run.kernels->name, rounds, f->best * 1e3, f->median * 1e3, all,
           products * 1e-9, hops * 1e-9, all / f->best, f->peak, f->share_best, f->share_median,
           w->memory.bytes, f->allocations);
    fflush(stdout);
}

static void bench_sequence(uint32_t nodes, uint32_t isa, int rounds)
{
    static work w;
    set_up(&w, nodes, isa, false);
    const flops f = count(&w);
    const figure r = measure(&w, sequence, rounds, f.products + f.hops);
    say(&w, "seq", rounds, &r, f.products, f.hops);
    tear_down(&w);
}

/* The reverse pass has two products for each of the forward pass, and each hop once more. */
static void bench_training(uint32_t nodes, int rounds)
{
    static work w;
    set_up(&w, nodes, STG__ISA_BEST, true);
    const flops f = count(&w);
    const figure sample = measure(&w, train_sample, rounds, 3 * f.products + 2 * f.hops);
    say(&w, "train_sample", rounds, &sample, 3 * f.products, 2 * f.hops);
    const figure update = measure(&w, train_update, rounds, 0);
    say(&w, "train_update", rounds, &update, 0, 0);
    tear_down(&w);
}

static double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* The sequence with one thread and with two in turns, in time of the clock on the wall. */
static void bench_threads(uint32_t nodes, int rounds)
{
    static work w;
    stg__crew *crew;
    double took[2][BENCH_ROUNDS_MAX];
    double best[2] = {1e9, 1e9};
    set_up(&w, nodes, STG__ISA_BEST, false);
    must(stg__crew_create(&crew, w.ctx, 2) == STG_OK, "threads");
    for (int i = -1; i < rounds; i++)
        for (int k = 0; k < 2; k++) {
            w.run.crew = k ? crew : NULL;
            const double start = wall();
            sequence(&w);
            const double time = wall() - start;
            if (i < 0)
                continue; /* warm */
            took[k][i] = time;
            best[k] = fmin(best[k], time);
        }
    const double one = median(took[0], rounds);
    const double two = median(took[1], rounds);
    printf("{\"name\":\"forecast.threads\",\"n\":%u,\"rounds\":%d,\"one_best_ms\":%.4f,"
           "\"one_median_ms\":%.4f,\"two_best_ms\":%.4f,\"two_median_ms\":%.4f,"
           "\"speedup_best\":%.2f,\"speedup_median\":%.2f}\n",
           nodes, rounds, best[0] * 1e3, one * 1e3, best[1] * 1e3, two * 1e3, best[0] / best[1],
           one / two);
    stg__crew_destroy(crew);
    tear_down(&w);
}

static void serve(uint32_t nodes, uint32_t isa, bool train)
{
    static work w;
    char line[16];
    set_up(&w, nodes, isa, train);
    void (*run)(work *) = train ? train_sample : sequence;
    run(&w);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        const bool peak = strcmp(line, "peak\n") == 0;
        must(peak || strcmp(line, "run\n") == 0, "on the input: not run, not peak");
        const double start = now();
        if (!peak)
            run(&w);
        const double took = now() - start;
        printf("%.9f\n", peak ? peak_gflops(w.run.kernels->name) : took);
        fflush(stdout);
    }
    tear_down(&w);
}

/* --- the same work for others --------------------------------------------------------------------- */

static void put(stg_bundle *b, const char *name, uint32_t dtype, uint64_t rows, uint64_t cols,
                const void *data)
{
    const uint64_t shape[2] = {rows, cols};
    must(stg__bundle_put(b, name, dtype, cols ? 2 : 1, shape, data) == STG_OK, name);
}

static void put_cells(const work *w, stg_bundle *b)
{
    static const char *const part[] = {"encoder", "decoder"};
    const uint32_t u = w->net.shape.units;
    for (uint32_t i = 0; i < 2 * w->net.shape.layers; i++) {
        const stg__cell *c = &w->net.cell[i % 2][i / 2];
        const uint64_t rows = (uint64_t)w->net.copies * (c->inputs + u);
        char name[64];
        snprintf(name, sizeof name, "%s/%u/gate/w", part[i % 2], i / 2);
        put(b, name, STG__F32, rows, (uint64_t)2 * u, w->params + c->gate_w);
        snprintf(name, sizeof name, "%s/%u/gate/b", part[i % 2], i / 2);
        put(b, name, STG__F32, (uint64_t)2 * u, 0, w->params + c->gate_b);
        snprintf(name, sizeof name, "%s/%u/candidate/w", part[i % 2], i / 2);
        put(b, name, STG__F32, rows, u, w->params + c->cand_w);
        snprintf(name, sizeof name, "%s/%u/candidate/b", part[i % 2], i / 2);
        put(b, name, STG__F32, u, 0, w->params + c->cand_b);
    }
}

static void export(uint32_t nodes, const char *path)
{
    static work w;
    stg_bundle *b;
    set_up(&w, nodes, STG__ISA_BEST, false);
    sequence(&w);
    must(stg_bundle_open(&b, w.ctx, NULL, NULL) == STG_OK, "bundle");
    int32_t *ends = (int32_t *)calloc(2 * (size_t)w.arcs, sizeof *ends);
    double *weight = (double *)calloc(w.arcs, sizeof *weight);
    must(ends && weight, "out of memory");
    for (uint32_t e = 0; e < w.arcs; e++) {
        ends[e] = (int32_t)w.arc[e].src;
        ends[w.arcs + e] = (int32_t)w.arc[e].dst;
        weight[e] = w.arc[e].weight;
    }
    put(b, "edge/src", STG__I32, w.arcs, 0, ends);
    put(b, "edge/dst", STG__I32, w.arcs, 0, ends + w.arcs);
    put(b, "edge/weight", STG__F64, w.arcs, 0, weight);
    put(b, "x", STG__F32, HISTORY, (uint64_t)nodes * w.net.shape.inputs, w.x);
    put(b, "out", STG__F32, HORIZON, nodes, w.run.out);
    put(b, "projection/w", STG__F32, w.net.shape.units, 1, w.params + w.net.proj_w);
    put(b, "projection/b", STG__F32, 1, 0, w.params + w.net.proj_b);
    put_cells(&w, b);
    stg_error err = {0};
    must(stg_bundle_save(b, path, &err) == STG_OK, path);
    stg_bundle_destroy(b);
    free(ends);
    free(weight);
    tear_down(&w);
}

/* --- command line --------------------------------------------------------------------------------- */

typedef struct args {
    bool quick;
    bool serve;
    bool train;
    uint32_t nodes;
    uint32_t isa;
    int rounds;
    const char *to;
} args;

static uint32_t isa_named(const char *name)
{
    static const char *const names[] = {"best", "base", "v3", "v4"};
    uint32_t i = 0;
    while (i < 4 && strcmp(names[i], name) != 0)
        i++;
    must(i < 4, "--isa: best, base, v3 or v4");
    return i;
}

static args read_args(int argc, char **argv)
{
    args a = {0};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--quick") == 0) {
            a.quick = true;
            continue;
        }
        if (strcmp(argv[i], "--serve") == 0) {
            a.serve = true;
            continue;
        }
        must(value != NULL, "an option without its value");
        i++;
        if (strcmp(argv[i - 1], "--n") == 0)
            a.nodes = (uint32_t)strtoul(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--rounds") == 0)
            a.rounds = (int)strtol(value, NULL, 10);
        else if (strcmp(argv[i - 1], "--mode") == 0)
            a.train = strcmp(value, "train") == 0;
        else if (strcmp(argv[i - 1], "--isa") == 0)
            a.isa = isa_named(value);
        else if (strcmp(argv[i - 1], "--export") == 0)
            a.to = value;
        else
            must(false, "an option that is not known");
    }
    must(a.rounds >= 0 && a.rounds <= BENCH_ROUNDS_MAX, "--rounds: up to 512");
    must(a.nodes ? a.nodes <= 100000 : !a.serve && !a.to, "--n: 1 .. 100000");
    return a;
}

static bool wanted(const args *a, uint32_t nodes)
{
    return !a->nodes || a->nodes == nodes;
}

static int rounds_of(const args *a, int quick, int full)
{
    return a->rounds ? a->rounds : a->quick ? quick : full;
}

static void bench_all(const args *a)
{
    static const uint32_t size[] = {20, 50, 207, 1000, 5000};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        if (wanted(a, size[i]))
            bench_sequence(size[i], STG__ISA_BEST,
                           size[i] > 1000 ? rounds_of(a, 3, 30) : rounds_of(a, 10, 100));
    for (uint32_t isa = STG__ISA_BASE; isa <= STG__ISA_V3; isa++)
        if (wanted(a, 207) && stg__kernels_get(isa))
            bench_sequence(207, isa, rounds_of(a, 5, 30));
    if (wanted(a, 207))
        bench_threads(207, rounds_of(a, 10, 100));
    for (size_t i = 1; i < 3; i++)
        if (wanted(a, size[i]))
            bench_training(size[i], rounds_of(a, 5, 30));
}

int main(int argc, char **argv)
{
    const args a = read_args(argc, argv);
    if (a.to)
        export(a.nodes, a.to);
    else if (a.serve)
        serve(a.nodes, a.isa, a.train);
    else
        bench_all(&a);
    return 0;
}
