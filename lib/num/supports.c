/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supports from weighted edges. Two index structures, by caller and by callee, serve four matrices:
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
    real *out_value[2]; /* divided by the degree of the caller; of the callee */
    real *in_value[2];
    double *degree[2]; /* of the caller, of the callee */
} layout;

static void fill(const layout *l, uint32_t nodes, const stg__arc *arc, uint32_t arcs)
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
        const double w[2] = {arc[e].weight / l->degree[0][arc[e].src],
                             arc[e].weight / l->degree[1][arc[e].dst]};
        const uint32_t in = l->cursor[arc[e].dst]++;
        l->out_col[e] = arc[e].dst;
        l->in_col[in] = arc[e].src;
        for (int k = 0; k < 2; k++) {
            l->out_value[k][e] = (real)w[k];
            l->in_value[k][in] = (real)w[k];
        }
    }
}

int32_t stg__supports_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, const stg__arc *arc,
                            uint32_t arcs)
{
    memset(s, 0, sizeof *s);
    const size_t n = nodes;
    uint32_t *index = (uint32_t *)stg__alloc_aligned(ctx, 3 * n + 2 + 2 * (size_t)arcs, sizeof *index);
    real *value = (real *)stg__alloc_aligned(ctx, 4 * (size_t)arcs + 1, sizeof *value);
    double *degree = (double *)stg__calloc(ctx, 2 * n, sizeof *degree);
    if (!index || !value || !degree) {
        stg__free_aligned(ctx, index);
        stg__free_aligned(ctx, value);
        stg__free(ctx, degree);
        return STG_E_NOMEM;
    }
    const layout l = {
        .out_ptr = index,
        .in_ptr = index + n + 1,
        .cursor = index + 2 * n + 2,
        .out_col = index + 3 * n + 2,
        .in_col = index + 3 * n + 2 + arcs,
        .out_value = {value, value + arcs},
        .in_value = {value + 2 * (size_t)arcs, value + 3 * (size_t)arcs},
        .degree = {degree, degree + n},
    };
    fill(&l, nodes, arc, arcs);
    stg__free(ctx, degree);
    *s = (stg__supports){
        .ctx = stg__ctx_ref(ctx),
        .nodes = nodes,
        .edges = arcs,
        .walk = {{nodes, l.in_ptr, l.in_col, l.in_value[0]},
                 {nodes, l.out_ptr, l.out_col, l.out_value[1]}},
        .transposed = {{nodes, l.out_ptr, l.out_col, l.out_value[0]},
                       {nodes, l.in_ptr, l.in_col, l.in_value[1]}},
        .index = index,
        .value = value,
    };
    return STG_OK;
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
