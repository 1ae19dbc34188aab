/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random walks from weighted edges. Two index structures, by caller and by callee, serve four matrices:
 * the walk along the calls reads a node's callers, its transpose the callees, and the walk against
 * the calls the other way round. A node without edges has empty rows: nothing flows.
 */
#include <string.h>

#include "supports.h"

typedef struct layout {
    uint32_t *out_ptr;
    uint32_t *out_col;
    uint32_t *in_ptr;
    uint32_t *in_col;
    uint32_t *cursor;
    uint32_t *place;  /* [arcs] of each arc in the structure by callee */
    uint32_t *arc_at; /* the other way round */
    real *out_value[2]; /* divided by the degree of the caller; of the callee */
    real *in_value[2];
    double *degree[2]; /* of the caller, of the callee */
} layout;

/* The place that lies as far from the end of a row as `at` from its beginning. */
static uint32_t mirror(const uint32_t *ptr, uint32_t row, uint32_t at)
{
    return ptr[row] + (ptr[row + 1] - 1 - at);
}

static void fill(const layout *l, uint32_t nodes, bool reversed, const stg__arc *arc, uint32_t arcs)
{
    for (uint32_t e = 0; e < arcs; e++) {
        l->degree[0][arc[e].src] += arc[e].weight;
        l->degree[1][arc[e].dst] += arc[e].weight;
        l->out_ptr[arc[e].src + 1]++;
        l->in_ptr[arc[e].dst + 1]++;
    }
    for (uint32_t i = 0; i < nodes; i++) {
        l->out_ptr[i + 1] += l->out_ptr[i];
        l->in_ptr[i + 1] += l->in_ptr[i];
    }
    memcpy(l->cursor, l->in_ptr, nodes * sizeof *l->cursor);
    for (uint32_t e = 0; e < arcs; e++) { /* sorted by caller already: e is the place in out */
        const uint32_t in = l->cursor[arc[e].dst]++;
        l->out_col[e] = arc[e].dst;
        l->in_col[in] = arc[e].src;
        l->place[e] = in;
        l->arc_at[in] = e;
    }
    for (uint32_t e = 0; e < arcs; e++) {
        const uint32_t in = l->place[e];
        const uint32_t out_from = reversed ? mirror(l->out_ptr, arc[e].src, e) : e;
        const uint32_t in_from = l->arc_at[reversed ? mirror(l->in_ptr, arc[e].dst, in) : in];
        const double w[2] = {arc[out_from].weight / l->degree[0][arc[e].src],
                             arc[in_from].weight / l->degree[1][arc[e].dst]};
        for (int k = 0; k < 2; k++) {
            l->out_value[k][e] = (real)w[k];
            l->in_value[k][in] = (real)w[k];
        }
    }
}

static int32_t walks_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, stg__filter filter,
                           const stg__arc *arc, uint32_t arcs)
{
    const size_t n = nodes;
    const size_t m = arcs;
    uint32_t *index = (uint32_t *)stg__alloc_aligned(ctx, 2 * n + 2 + 2 * m, sizeof *index);
    uint32_t *scratch = (uint32_t *)stg__calloc(ctx, n + 2 * m, sizeof *scratch);
    real *value = (real *)stg__alloc_aligned(ctx, 4 * m + 1, sizeof *value);
    double *degree = (double *)stg__calloc(ctx, 2 * n, sizeof *degree);
    if (!index || !scratch || !value || !degree) {
        stg__free_aligned(ctx, index);
        stg__free(ctx, scratch);
        stg__free_aligned(ctx, value);
        stg__free(ctx, degree);
        return STG_E_NOMEM;
    }
    const layout l = {
        .out_ptr = index,
        .in_ptr = index + n + 1,
        .out_col = index + 2 * n + 2,
        .in_col = index + 2 * n + 2 + m,
        .cursor = scratch,
        .place = scratch + n,
        .arc_at = scratch + n + m,
        .out_value = {value, value + m},
        .in_value = {value + 2 * m, value + 3 * m},
        .degree = {degree, degree + n},
    };
    fill(&l, nodes, filter.order == STG__PORT_REVERSED, arc, arcs);
    stg__free(ctx, scratch);
    stg__free(ctx, degree);
    *s = (stg__supports){
        .ctx = stg__ctx_ref(ctx),
        .nodes = nodes,
        .walks = stg__filter_walks(filter.kind),
        .walk = {{nodes, l.in_ptr, l.in_col, l.in_value[0]},
                 {nodes, l.out_ptr, l.out_col, l.out_value[1]}},
        .transposed = {{nodes, l.out_ptr, l.out_col, l.out_value[0]},
                       {nodes, l.in_ptr, l.in_col, l.in_value[1]}},
        .index = index,
        .value = value,
    };
    return STG_OK;
}

int32_t stg__supports_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, stg__filter filter,
                            const stg__arc *arc, uint32_t arcs)
{
    memset(s, 0, sizeof *s);
    if (filter.kind == STG__LAPLACIAN || filter.kind == STG__LAPLACIAN_2)
        return stg__laplacian_build(s, ctx, nodes, filter.kind == STG__LAPLACIAN, arc, arcs);
    return walks_build(s, ctx, nodes, filter, arc, arcs);
}

void stg__supports_clear(stg__supports *s)
{
    if (!s->ctx)
        return;
    stg__free_aligned(s->ctx, s->index);
    stg__free_aligned(s->ctx, s->value);
    stg__ctx_unref(s->ctx);
    memset(s, 0, sizeof *s);
}
