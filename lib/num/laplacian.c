/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scaled Laplacian as support: both directions of the graph laid over each other, the larger weight
 * of the two, so that the matrix is its own transpose. Its largest eigenvalue comes from Lanczos'
 * recurrence (without reorthogonalisation: copies of an eigenvalue do not move the largest one) and
 * bisection of the tridiagonal matrix that this leaves.
 */
#include <math.h>
#include <string.h>

#include "supports.h"

#define MAX_STEPS 300u /* of Lanczos */

typedef struct builder {
    const stg__arc *arc; /* by caller */
    uint32_t *out_ptr;
    uint32_t *in_ptr;
    uint32_t *in_arc; /* arcs by callee */
    uint32_t *ptr;
    uint32_t *col;
    double *value;
    double *root; /* [nodes] 1 / sqrt(degree), 0 without edges */
} builder;

static void index_arcs(const builder *b, uint32_t nodes, uint32_t arcs, uint32_t *cursor)
{
    for (uint32_t e = 0; e < arcs; e++) {
        b->out_ptr[b->arc[e].src + 1]++;
        b->in_ptr[b->arc[e].dst + 1]++;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        b->out_ptr[i + 1] += b->out_ptr[i];
        b->in_ptr[i + 1] += b->in_ptr[i];
    }
    memcpy(cursor, b->in_ptr, nodes * sizeof *cursor);
    for (uint32_t e = 0; e < arcs; e++)
        b->in_arc[cursor[b->arc[e].dst]++] = e;
}

/* One row: callees, callers and the node itself, merged in the order of their index. */
static uint32_t merge_row(const builder *b, uint32_t i, uint32_t at)
{
    uint32_t out = b->out_ptr[i];
    uint32_t in = b->in_ptr[i];
    bool own = true;
    for (;;) {
        const uint32_t dst = out < b->out_ptr[i + 1] ? b->arc[out].dst : UINT32_MAX;
        const uint32_t src = in < b->in_ptr[i + 1] ? b->arc[b->in_arc[in]].src : UINT32_MAX;
        uint32_t next = dst < src ? dst : src;
        if (own && i < next)
            next = i;
        if (next == UINT32_MAX)
            return at;
        own = own && next != i;
        double w = 0;
        if (next == dst)
            w = b->arc[out++].weight;
        if (next == src)
            w = fmax(w, b->arc[b->in_arc[in++]].weight);
        b->col[at] = next;
        b->value[at++] = w;
    }
}

static void make_laplacian(const builder *b, uint32_t nodes)
{
    for (uint32_t i = 0; i < nodes; i++) {
        double degree = 0;
        b->ptr[i + 1] = merge_row(b, i, b->ptr[i]);
        for (uint32_t k = b->ptr[i]; k < b->ptr[i + 1]; k++)
            degree += b->value[k];
        b->root[i] = degree > 0 ? 1 / sqrt(degree) : 0;
    }
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t k = b->ptr[i]; k < b->ptr[i + 1]; k++)
            b->value[k] = (b->col[k] == i) - b->value[k] * b->root[i] * b->root[b->col[k]];
}

/* Whether a tridiagonal matrix has all eigenvalues below x: no pivot of T - x is positive or zero. */
static bool all_below(const double *diagonal, const double *beside, uint32_t size, double x)
{
    double pivot = -1;
    for (uint32_t i = 0; i < size; i++) {
        pivot = diagonal[i] - x - (i ? beside[i] * beside[i] / pivot : 0);
        if (!(pivot < 0))
            return false;
    }
    return true;
}

static double largest(const double *diagonal, const double *beside, uint32_t size)
{
    double low = 0;
    double high = 3; /* eigenvalues of a normalised Laplacian are at most 2 */
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        if (all_below(diagonal, beside, size, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

static double norm(const double *x, uint32_t n)
{
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* space: [3][nodes] */
static double lambda_max(const builder *b, uint32_t nodes, double *space)
{
    double diagonal[MAX_STEPS];
    double beside[MAX_STEPS] = {0};
    double *before = space;
    double *v = space + nodes;
    double *w = space + 2 * (size_t)nodes;
    const uint32_t most = nodes < MAX_STEPS ? nodes : MAX_STEPS;
    uint32_t steps = 0;
    stg__rng rng;
    stg__rng_init(&rng, 1, 0); /* a start that no eigenvector is orthogonal to */
    for (uint32_t i = 0; i < nodes; i++)
        v[i] = stg__rng_normal(&rng);
    double length = norm(v, nodes);
    while (steps < most && length > 1e-12) {
        for (uint32_t i = 0; i < nodes; i++)
            v[i] /= length;
        double along = 0;
        for (uint32_t i = 0; i < nodes; i++) {
            w[i] = steps ? -beside[steps] * before[i] : 0;
            for (uint32_t k = b->ptr[i]; k < b->ptr[i + 1]; k++)
                w[i] += b->value[k] * v[b->col[k]];
            along += w[i] * v[i];
        }
        for (uint32_t i = 0; i < nodes; i++)
            w[i] -= along * v[i];
        diagonal[steps++] = along;
        length = norm(w, nodes);
        if (steps < most)
            beside[steps] = length;
        double *free = before;
        before = v;
        v = w;
        w = free;
    }
    return largest(diagonal, beside, steps);
}

static void scale(const builder *b, uint32_t nodes, double lambda, real *to)
{
    for (uint32_t i = 0; i < nodes; i++)
        for (uint32_t k = b->ptr[i]; k < b->ptr[i + 1]; k++)
            to[k] = (real)(2 / lambda * b->value[k] - (b->col[k] == i));
}

int32_t stg__laplacian_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, bool want_lambda,
                             const stg__arc *arc, uint32_t arcs)
{
    const size_t n = nodes;
    const size_t most = 2 * (size_t)arcs + n;
    uint32_t *index = (uint32_t *)stg__alloc_aligned(ctx, n + 1 + most, sizeof *index);
    uint32_t *scratch = (uint32_t *)stg__calloc(ctx, 3 * n + 2 + arcs, sizeof *scratch);
    double *space = (double *)stg__calloc(ctx, most + 4 * n, sizeof *space);
    real *value = (real *)stg__alloc_aligned(ctx, most + 1, sizeof *value);
    const bool ok = index && scratch && space && value;
    if (ok) {
        const builder b = {arc, scratch, scratch + n + 1, scratch + 3 * n + 2, index, index + n + 1,
                           space, space + most};
        index_arcs(&b, nodes, arcs, scratch + 2 * n + 2);
        make_laplacian(&b, nodes);
        const double lambda = want_lambda && nodes ? lambda_max(&b, nodes, space + most + n) : 2;
        scale(&b, nodes, lambda > 1e-6 ? lambda : 2, value); /* nothing but loops: no scale */
        const stg__csr matrix = {nodes, b.ptr, b.col, value};
        *s = (stg__supports){.ctx = stg__ctx_ref(ctx), .nodes = nodes, .walks = 1, .walk = {matrix},
                             .transposed = {matrix}, .index = index, .value = value};
    } else {
        stg__free_aligned(ctx, index);
        stg__free_aligned(ctx, value);
    }
    stg__free(ctx, scratch);
    stg__free(ctx, space);
    return ok ? STG_OK : STG_E_NOMEM;
}
