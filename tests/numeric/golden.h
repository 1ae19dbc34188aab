/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Common to the tests that hold the net against numbers in a file: finding and comparing tensors,
 * and the parameters by the names and in the layout of the published code. What includes this says
 * before how much outputs may differ, and gradients as a share of the largest number of a block.
 */
#ifndef STG_GOLDEN_H
#define STG_GOLDEN_H

#include <math.h>

#include "net.h"
#include "test.h"

__attribute__((format(printf, 2, 3)))
static inline const stg__tensor *tensor(const stg_bundle *b, const char *format, ...)
{
    char name[256];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    const stg__tensor *t = stg__bundle_find(b, name);
    ck_assert_msg(t != NULL, "%s is missing", name);
    return t;
}

static inline double number(const stg__tensor *t, size_t i)
{
    return t->dtype == STG__F64 ? ((const double *)t->data)[i] : ((const float *)t->data)[i];
}

static inline size_t count_of(const stg__tensor *t)
{
    return t->bytes / (t->dtype == STG__F64 ? 8 : 4);
}

/* Largest difference, and largest number, of a golden tensor and ours. */
static inline double difference(const stg__tensor *t, const real *ours, double *largest)
{
    double worst = 0;
    *largest = 0;
    for (size_t i = 0; i < count_of(t); i++) {
        worst = fmax(worst, fabs(number(t, i) - (double)ours[i]));
        *largest = fmax(*largest, fabs(number(t, i)));
        ck_assert(isfinite((double)ours[i]));
    }
    return worst;
}

static inline void same_output(const stg__tensor *t, const real *ours)
{
    double largest;
    const double worst = difference(t, ours, &largest);
    ck_assert_msg(worst <= OUTPUT_TOLERANCE, "%s: off by %g", t->name, worst);
}

static inline void same_gradient(const stg__tensor *t, const real *ours)
{
    double largest;
    const double worst = difference(t, ours, &largest);
    ck_assert_msg(worst <= GRADIENT_TOLERANCE * largest, "%s: off by %g of %g", t->name, worst,
                  largest);
}

/* From a dense matrix of weights, caller by caller. */
static inline void load_supports(stg__supports *s, stg_ctx *ctx, const stg__tensor *adj,
                                 uint32_t nodes, stg__filter filter)
{
    static stg__arc arc[2048];
    uint32_t arcs = 0;
    ck_assert_uint_eq(count_of(adj), (size_t)nodes * nodes);
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t j = 0; j < nodes; j++)
            if (number(adj, i * nodes + j) > 0) {
                ck_assert_uint_lt(arcs, 2048);
                arc[arcs++] = (stg__arc){i, j, number(adj, i * nodes + j)};
            }
    ck_assert_int_eq(stg__supports_build(s, ctx, nodes, filter, arc, arcs), STG_OK);
}

/* A weight of the published layout, row f M + m, to ours or back. */
static inline void weight_rows(const stg__net *net, uint32_t inputs, uint32_t cols,
                               const stg__tensor *from, real *ours, real *theirs)
{
    const uint32_t u = net->shape.units;
    const uint32_t copies = net->copies;
    for (uint32_t f = 0; f < inputs + u; f++)
        for (uint32_t m = 0; m < copies; m++) {
            const uint32_t row =
                f < inputs ? m * inputs + f : copies * inputs + m * u + (f - inputs);
            const size_t here = (size_t)row * cols;
            const size_t there = ((size_t)f * copies + m) * cols;
            for (uint32_t c = 0; c < cols; c++) {
                if (from)
                    ours[here + c] = (real)number(from, there + c);
                else
                    theirs[there + c] = ours[here + c];
            }
        }
}

/* All blocks by the published names, each loaded into params or compared with what stands there. */
typedef struct visit {
    const stg_bundle *b;
    const stg__net *net;
    real *params;
    bool load; /* else compare */
    void (*same)(const stg__tensor *, const real *);
} visit;

#ifndef MOST_OF_BLOCK
#define MOST_OF_BLOCK 4096
#endif

static inline void visit_weight(const visit *v, const char *prefix, size_t at, uint32_t inputs,
                                uint32_t cols)
{
    static real scratch[MOST_OF_BLOCK];
    const uint32_t rows = v->net->copies * (inputs + v->net->shape.units);
    const stg__tensor *t = tensor(v->b, "%sgconv_weight_(%u, %u)", prefix, rows, cols);
    ck_assert_uint_eq(count_of(t), (size_t)rows * cols);
    ck_assert_uint_le(count_of(t), MOST_OF_BLOCK);
    weight_rows(v->net, inputs, cols, v->load ? t : NULL, v->params + at, scratch);
    if (!v->load)
        v->same(t, scratch);
}

static inline void visit_bias(const visit *v, const stg__tensor *t, size_t at, uint32_t cols)
{
    ck_assert_uint_eq(count_of(t), cols);
    for (uint32_t c = 0; v->load && c < cols; c++)
        v->params[at + c] = (real)number(t, c);
    if (!v->load)
        v->same(t, v->params + at);
}

static inline void visit_cell(const visit *v, const char *prefix, const stg__cell *c)
{
    const uint32_t u = v->net->shape.units;
    const uint32_t gates = v->net->gates * u;
    visit_weight(v, prefix, c->gate_w, c->inputs, gates);
    visit_weight(v, prefix, c->cand_w, c->inputs, u);
    visit_bias(v, tensor(v->b, "%sgconv_biases_%u", prefix, gates), c->gate_b, gates);
    visit_bias(v, tensor(v->b, "%sgconv_biases_%u", prefix, u), c->cand_b, u);
}

/* The projection is published as [outputs][units], the transpose of ours. */
static inline void visit_projection(const visit *v, const char *prefix)
{
    static real scratch[MOST_OF_BLOCK];
    const uint32_t u = v->net->shape.units;
    const uint32_t outputs = v->net->outputs;
    const stg__tensor *t = tensor(v->b, "%sweight", prefix);
    ck_assert_uint_eq(count_of(t), (size_t)u * outputs);
    ck_assert_uint_le(count_of(t), MOST_OF_BLOCK);
    for (uint32_t i = 0; i < u * outputs; i++) {
        real *ours = v->params + v->net->proj_w + (size_t)(i % u) * outputs + i / u;
        if (v->load)
            *ours = (real)number(t, i);
        scratch[i] = *ours;
    }
    if (!v->load)
        v->same(t, scratch);
    visit_bias(v, tensor(v->b, "%sbias", prefix), v->net->proj_b, outputs);
}

static inline void visit_net(const visit *v, const char *prefix)
{
    static const char *const part[] = {"encoder", "decoder"};
    char name[128];
    const uint32_t parts = v->net->parts;
    for (uint32_t i = 0; i < parts * v->net->shape.layers; i++) {
        snprintf(name, sizeof name, "%s%s_model.dcgru_layers.%u.", prefix, part[i % parts], i / parts);
        visit_cell(v, name, stg__net_cell(v->net, i));
    }
    snprintf(name, sizeof name, "%sdecoder_model.projection_layer.", prefix);
    visit_projection(v, name);
}

static inline real *reals(size_t count)
{
    real *x = (real *)calloc(count + 64, sizeof *x);
    ck_assert_ptr_nonnull(x);
    return x;
}

static inline real *copied(const stg__tensor *t)
{
    real *x = reals(count_of(t));
    for (size_t i = 0; i < count_of(t); i++)
        x[i] = (real)number(t, i);
    return x;
}

/* Matrix by matrix, the places without a number too. */
static inline void same_matrix(const stg__tensor *t, const stg__csr *matrix,
                               const stg__csr *transposed)
{
    const size_t n = matrix->rows;
    ck_assert_uint_eq(count_of(t), n * n);
    real *dense = reals(n * n);
    real *back = reals(n * n);
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = matrix->ptr[i]; k < matrix->ptr[i + 1]; k++)
            dense[i * n + matrix->col[k]] = matrix->val[k];
        for (uint32_t k = transposed->ptr[i]; k < transposed->ptr[i + 1]; k++)
            back[transposed->col[k] * n + i] = transposed->val[k];
    }
    same_output(t, dense);
    same_output(t, back);
    free(dense);
    free(back);
}

#endif
