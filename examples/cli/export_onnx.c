/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The net as a graph of ONNX, for one graph of services: batch 1, supports as dense matrices, features
 * of a node side by side, all steps unrolled. Each value is diffused once, whoever reads it: a state by
 * its own layer's next step, by the layer above and by the decoder; inputs by gates and candidate. Rows
 * of the weights are put copy after copy for that.
 */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"
#include "onnx.h"

#define NAME 48
#define MAX_COPIES 32u

typedef struct value { /* of the graph: [nodes][width] */
    char name[NAME];   /* "": all zero */
    char spread[NAME]; /* the same with its diffused copies beside it; "": not made yet */
    uint32_t width;
} value;

typedef struct maker {
    const export_net *net;
    const float *supports;
    size_t nodes;
    bool step;
    float *space; /* for one weight */
    onnx *to;
} maker;

#define LIST(...) (const char *const[]){__VA_ARGS__, NULL}
#define WITH(...) (const onnx_attribute[]){__VA_ARGS__, {NULL, false, 0}}

__attribute__((format(printf, 2, 3))) static void name(char to[NAME], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(to, NAME, format, args);
    va_end(args);
}

/* --- weights ------------------------------------------------------------------------------------- */

/* Rows of features first .. first + count, copy after copy. */
static void say_weight(maker *m, const char *label, const float *from, uint32_t first, uint32_t count,
                       uint32_t cols)
{
    const uint32_t copies = m->net->copies;
    for (uint32_t c = 0; c < copies; c++)
        for (uint32_t f = 0; f < count; f++)
            memcpy(m->space + ((size_t)c * count + f) * cols,
                   from + ((size_t)(first + f) * copies + c) * cols, cols * sizeof *from);
    onnx_floats(m->to, label, (size_t)copies * count, cols, m->space);
}

/* Weights that only read what is zero are left out. */
static void say_cell(maker *m, uint32_t part, uint32_t layer)
{
    const bool zero = part == 1 && layer == 0 && (m->step || m->net->info.horizon == 1);
    const export_cell *c = &m->net->cell[part][layer];
    const uint32_t units = m->net->info.units;
    char label[NAME];
    if (!zero) {
        name(label, "w.%u.%u.gates.x", part, layer);
        say_weight(m, label, c->gate_w, 0, c->inputs, 2 * units);
        name(label, "w.%u.%u.candidate.x", part, layer);
        say_weight(m, label, c->cand_w, 0, c->inputs, units);
    }
    name(label, "w.%u.%u.gates.h", part, layer);
    say_weight(m, label, c->gate_w, c->inputs, units, 2 * units);
    name(label, "w.%u.%u.gates.b", part, layer);
    onnx_floats(m->to, label, 0, (size_t)2 * units, c->gate_b);
    name(label, "w.%u.%u.candidate.h", part, layer);
    say_weight(m, label, c->cand_w, c->inputs, units, units);
    name(label, "w.%u.%u.candidate.b", part, layer);
    onnx_floats(m->to, label, 0, units, c->cand_b);
}

static void say_weights(maker *m)
{
    const export_net *n = m->net;
    const size_t all = m->nodes * m->nodes;
    for (uint32_t w = 0; n->info.hops && w < n->walks; w++) {
        char label[NAME];
        name(label, "support.%u", w);
        onnx_floats(m->to, label, m->nodes, m->nodes, m->supports + w * all);
    }
    for (uint32_t part = 0; part < (n->decoder ? 2u : 1u); part++)
        for (uint32_t l = 0; l < n->info.layers; l++)
            say_cell(m, part, l);
    onnx_floats(m->to, "w.projection", n->info.units, n->outputs, n->proj_w);
    onnx_floats(m->to, "w.projection.b", 0, n->outputs, n->proj_b);
    onnx_ints(m->to, "halves", false, 2, (int64_t[]){n->info.units, n->info.units});
}

/* --- cells --------------------------------------------------------------------------------------- */

/* One hop: S last, or 2 S last - before. */
static void hop(maker *m, uint32_t w, const char *last, const char *before, const char *to)
{
    char support[NAME];
    name(support, "support.%u", w);
    if (before)
        onnx_node(m->to, "Gemm", LIST(support, last, before), LIST(to),
                  WITH({"alpha", false, 2}, {"beta", false, -1}));
    else
        onnx_node(m->to, "MatMul", LIST(support, last), LIST(to), NULL);
}

/* Which copies a hop reads: lib/model/net.h has the recursions. */
static void spread(maker *m, value *v)
{
    const export_net *n = m->net;
    const char *list[MAX_COPIES + 1] = {v->name};
    char label[MAX_COPIES][NAME];
    uint32_t before = 0;
    uint32_t copy = 1;
    if (v->spread[0])
        return;
    if (n->info.hops == 0) {
        name(v->spread, "%s", v->name);
        return;
    }
    for (uint32_t w = 0; w < n->walks; w++) {
        if (strcmp(n->recursion, "carry") != 0)
            before = 0;
        uint32_t last = before;
        for (uint32_t k = 0; k < n->info.hops; k++, copy++) {
            const bool alone = k == 0 || strcmp(n->recursion, "power") == 0;
            name(label[copy], "%s.%u", v->name, copy);
            list[copy] = label[copy];
            hop(m, w, list[last], alone ? NULL : list[before], label[copy]);
            if (k > 0 && strcmp(n->recursion, "pygt") != 0)
                before = last;
            last = copy;
        }
    }
    list[copy] = NULL;
    name(v->spread, "%s.all", v->name);
    onnx_node(m->to, "Concat", list, LIST(v->spread), WITH({"axis", true, 1}));
}

/* Input and state through one linear map; either may be zero, but not both. */
static void linear(maker *m, uint32_t part, uint32_t layer, const char *what, value *x, value *h,
                   const char *to)
{
    char wx[NAME];
    char wh[NAME];
    char bias[NAME];
    char half[NAME];
    name(wx, "w.%u.%u.%s.x", part, layer, what);
    name(wh, "w.%u.%u.%s.h", part, layer, what);
    name(bias, "w.%u.%u.%s.b", part, layer, what);
    name(half, "%s.x", to);
    if (x->name[0]) {
        spread(m, x);
        onnx_node(m->to, "Gemm", LIST(x->spread, wx, bias), LIST(h->name[0] ? half : to), NULL);
    }
    if (h->name[0]) {
        spread(m, h);
        onnx_node(m->to, "Gemm", LIST(h->spread, wh, x->name[0] ? half : bias), LIST(to), NULL);
    }
}

/* h becomes the next state, which is called `to`. */
static void cell(maker *m, uint32_t part, uint32_t layer, value *x, value *h, const char *to)
{
    char gates[NAME], open[NAME], r[NAME], u[NAME], pre[NAME], c[NAME], away[NAME], kept[NAME];
    value rh = {.width = h->width};
    name(gates, "%s.gates", to);
    name(open, "%s.ru", to);
    name(r, "%s.r", to);
    name(u, "%s.u", to);
    name(pre, "%s.candidate", to);
    name(c, "%s.c", to);
    name(away, "%s.away", to);
    name(kept, "%s.kept", to);
    linear(m, part, layer, "gates", x, h, gates);
    onnx_node(m->to, "Sigmoid", LIST(gates), LIST(open), NULL);
    onnx_node(m->to, "Split", LIST(open, "halves"), LIST(r, u), WITH({"axis", true, 1}));
    if (h->name[0]) {
        name(rh.name, "%s.rh", to);
        onnx_node(m->to, "Mul", LIST(r, h->name), LIST(rh.name), NULL);
    }
    linear(m, part, layer, "candidate", x, &rh, pre);
    onnx_node(m->to, "Tanh", LIST(pre), LIST(c), NULL);
    if (h->name[0]) { /* u h + (1 - u) c = c + u (h - c) */
        onnx_node(m->to, "Sub", LIST(h->name, c), LIST(away), NULL);
        onnx_node(m->to, "Mul", LIST(u, away), LIST(kept), NULL);
        onnx_node(m->to, "Add", LIST(c, kept), LIST(to), NULL);
    } else {
        onnx_node(m->to, "Mul", LIST(u, c), LIST(kept), NULL);
        onnx_node(m->to, "Sub", LIST(c, kept), LIST(to), NULL);
    }
    *h = (value){.width = h->width};
    name(h->name, "%s", to);
}

/* All layers of a part; label: of the states, "%s.LAYER". */
static void layers(maker *m, uint32_t part, value *x, value *state, const char *label)
{
    char to[NAME];
    for (uint32_t l = 0; l < m->net->info.layers; l++) {
        name(to, "%s.%u", label, l);
        cell(m, part, l, l ? &state[l - 1] : x, &state[l], to);
    }
}

/* --- outputs -------------------------------------------------------------------------------------- */

/* Without a decoder: from the last state to [horizon][nodes][targets]. */
static void direct(maker *m, const value *top)
{
    const export_net *n = m->net;
    const char *read = top->name;
    if (n->relu) {
        onnx_node(m->to, "Relu", LIST(read), LIST("above"), NULL);
        read = "above";
    }
    onnx_ints(m->to, "form", false, 3,
              (int64_t[]){n->info.horizon, (int64_t)m->nodes, n->info.targets});
    onnx_node(m->to, "Gemm", LIST(read, "w.projection", "w.projection.b"), LIST("flat"), NULL);
    /* [nodes][horizon][targets] with the horizon brought to the front, column by column */
    char part[NAME];
    const char *list[1025];
    char (*label)[NAME] = (char (*)[NAME])calloc(n->info.horizon, sizeof *label);
    if (!label || n->info.horizon > 1024) {
        m->to->failed = true;
        free(label);
        return;
    }
    int64_t *cut = (int64_t *)calloc(n->info.horizon, sizeof *cut);
    for (uint32_t d = 0; cut && d < n->info.horizon; d++) {
        cut[d] = n->info.targets;
        name(label[d], "flat.%u", d);
        list[d] = label[d];
    }
    list[n->info.horizon] = NULL;
    if (cut)
        onnx_ints(m->to, "cut", false, n->info.horizon, cut);
    else
        m->to->failed = true;
    name(part, "rows");
    onnx_node(m->to, "Split", LIST("flat", "cut"), list, WITH({"axis", true, 1}));
    onnx_node(m->to, "Concat", list, LIST(part), WITH({"axis", true, 0}));
    onnx_node(m->to, "Reshape", LIST(part, "form"), LIST("forecast"), NULL);
    free(label);
    free(cut);
}

/* One step of the decoder; its output becomes what it reads next. */
static void decode(maker *m, value *read, value *state, uint32_t d, const char *to)
{
    char label[NAME];
    name(label, "d%u", d);
    layers(m, 1, read, state, label);
    const value *top = &state[m->net->info.layers - 1];
    onnx_node(m->to, "Gemm", LIST(top->name, "w.projection", "w.projection.b"), LIST(to), NULL);
    *read = (value){.width = m->net->info.targets};
    name(read->name, "%s", to);
}

static void decode_all(maker *m, value *state)
{
    const export_net *n = m->net;
    const uint32_t horizon = n->info.horizon;
    value read = {.width = n->info.targets};
    const char **list = (const char **)calloc(horizon + 1, sizeof *list);
    char (*label)[NAME] = (char (*)[NAME])calloc(horizon, sizeof *label);
    if (!list || !label) {
        m->to->failed = true;
    } else {
        for (uint32_t d = 0; d < horizon; d++) {
            name(label[d], "y%u", d);
            list[d] = label[d];
            decode(m, &read, state, d, label[d]);
        }
        onnx_ints(m->to, "form", false, 3, (int64_t[]){horizon, (int64_t)m->nodes, n->info.targets});
        onnx_node(m->to, "Concat", list, LIST("rows"), WITH({"axis", true, 0}));
        onnx_node(m->to, "Reshape", LIST("rows", "form"), LIST("forecast"), NULL);
    }
    free(list);
    free(label);
}

/* --- graphs --------------------------------------------------------------------------------------- */

static void say_ports(maker *m)
{
    const export_net *n = m->net;
    const size_t forecast[4] = {n->info.horizon, m->nodes, n->info.targets, 0};
    for (uint32_t l = 0; m->step && l < n->info.layers; l++) {
        char label[NAME];
        const size_t state[3] = {m->nodes, n->info.units, 0};
        name(label, "state.%u", l);
        onnx_port(m->to, false, label, state);
        name(label, "next_state.%u", l);
        onnx_port(m->to, true, label, state);
    }
    if (m->step)
        onnx_port(m->to, false, "x", (size_t[3]){m->nodes, n->inputs, 0});
    else
        onnx_port(m->to, false, "x", (size_t[3]){n->steps, m->nodes, n->inputs});
    onnx_port(m->to, true, "forecast", m->step && n->decoder ? forecast + 1 : forecast);
}

static void say_step(maker *m)
{
    const export_net *n = m->net;
    value state[EXPORT_MAX_LAYERS];
    value x = {.name = "x", .width = n->inputs};
    value read = {.width = n->info.targets};
    for (uint32_t l = 0; l < n->info.layers; l++) {
        state[l] = (value){.width = n->info.units};
        name(state[l].name, "state.%u", l);
    }
    layers(m, 0, &x, state, "next_state");
    if (n->decoder)
        decode(m, &read, state, 0, "forecast");
    else
        direct(m, &state[n->info.layers - 1]);
}

static void say_sequence(maker *m)
{
    const export_net *n = m->net;
    value state[EXPORT_MAX_LAYERS];
    for (uint32_t l = 0; l < n->info.layers; l++)
        state[l] = (value){.width = n->info.units};
    for (uint32_t t = 0; t < n->steps; t++) {
        value x = {.width = n->inputs};
        char at[NAME];
        char label[NAME];
        name(at, "at.%u", t);
        name(x.name, "x.%u", t);
        name(label, "e%u", t);
        onnx_ints(m->to, at, true, 1, &(int64_t){t});
        onnx_node(m->to, "Gather", LIST("x", at), LIST(x.name), WITH({"axis", true, 0}));
        layers(m, 0, &x, state, label);
    }
    if (n->decoder)
        decode_all(m, state);
    else
        direct(m, &state[n->info.layers - 1]);
}

static void say(onnx *o, void *user)
{
    maker *m = (maker *)user;
    m->to = o;
    say_weights(m);
    say_ports(m);
    if (m->step)
        say_step(m);
    else
        say_sequence(m);
}

/* "%.17g" of each target, separated by commas. */
static void list_of(char *to, size_t cap, const double *x, uint32_t count)
{
    size_t len = 0;
    for (uint32_t k = 0; k < count && len < cap; k++)
        len += (size_t)snprintf(to + len, cap - len, "%s%.17g", k ? "," : "", x[k]);
}

static size_t largest_weight(const export_net *n)
{
    const uint32_t widest = n->inputs > n->info.units ? n->inputs : n->info.units;
    return (size_t)n->copies * (widest + n->info.units) * 2 * n->info.units;
}

int export_onnx(const export_net *net, const float *supports, size_t nodes, bool step,
                const char *path)
{
    char mean[64 * 32];
    char deviation[64 * 32];
    maker m = {.net = net, .supports = supports, .nodes = nodes, .step = step};
    if (net->copies > MAX_COPIES - 1)
        return cli_fail("the net has too many hops");
    list_of(mean, sizeof mean, net->mean, net->info.targets);
    list_of(deviation, sizeof deviation, net->deviation, net->info.targets);
    const char *const meta[][2] = {{"mean", mean},
                                   {"deviation", deviation},
                                   {"time_of_day", net->time_of_day ? "1" : "0"},
                                   {"filter", net->filter},
                                   {"supports", net->supports},
                                   {"recursion", net->recursion},
                                   {NULL, NULL}};
    m.space = (float *)malloc(largest_weight(net) * sizeof *m.space);
    const char *wrong = m.space ? onnx_write(path, step ? "step" : "sequence", meta, say, &m)
                                : "out of memory";
    free(m.space);
    return wrong ? cli_fail("%s: %s", path, wrong) : CLI_OK;
}
