/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random walks from weighted edges. Two index structures, by caller and by callee, serve four matrices:
 * the walk along the calls reads a node's callers, its transpose the callees, and the walk against
 * the calls the other way round. A node without edges has empty rows: nothing flows.
 */
#include <string.h>

#include "supports.h"

/*
 * A node's weights over their sum become its numbers: walk 0 has those of what leaves it, walk 1 of what
 * arrives at it, and both stand in the walk's matrix and in the transposed one. Reversed, the k-th takes the
 * place of the k-th from the end; an arc of weight 0 has no part in that.
 */
static void share_out(stg__supports *s, uint32_t walk, uint32_t node)
{
    const uint32_t *ptr = s->transposed[walk].ptr;
    real *own = s->value + (size_t)(walk ? 3 : 0) * s->arcs;
    real *across = s->value + (size_t)(walk ? 1 : 2) * s->arcs;
    const uint32_t *place = walk ? s->arc_at : s->place;
    uint32_t mirror = ptr[node + 1];
    double degree = 0;
    for (uint32_t k = ptr[node]; k < ptr[node + 1]; k++)
        degree += s->weight[walk ? s->arc_at[k] : k];
    for (uint32_t k = ptr[node]; k < ptr[node + 1]; k++) {
        double w = s->weight[walk ? s->arc_at[k] : k];
        if (w > 0 && s->order == STG__PORT_REVERSED)
            do {
                mirror--;
                w = s->weight[walk ? s->arc_at[mirror] : mirror];
            } while (!(w > 0));
        own[k] = across[place[k]] = (real)(w > 0 ? w / degree : 0);
    }
}

/* Both structures; they are pointed to by s already. */
static void fill(stg__supports *s, uint32_t *out_ptr, uint32_t *in_ptr, uint32_t *out_col,
                 uint32_t *in_col, const stg__arc *arc)
{
    uint32_t *cursor = s->touched; /* free as long as nothing is */
    for (uint32_t e = 0; e < s->arcs; e++) {
        out_ptr[arc[e].src + 1]++;
        in_ptr[arc[e].dst + 1]++;
    }
    for (uint32_t i = 0; i < s->nodes; i++) {
        out_ptr[i + 1] += out_ptr[i];
        in_ptr[i + 1] += in_ptr[i];
    }
    memcpy(cursor, in_ptr, s->nodes * sizeof *cursor);
    for (uint32_t e = 0; e < s->arcs; e++) { /* sorted by caller already: e is the place in out */
        const uint32_t in = cursor[arc[e].dst]++;
        out_col[e] = arc[e].dst;
        in_col[in] = arc[e].src;
        s->place[e] = in;
        s->arc_at[in] = e;
        s->weight[e] = arc[e].weight;
    }
    for (uint32_t walk = 0; walk < 2; walk++)
        for (uint32_t i = 0; i < s->nodes; i++)
            share_out(s, walk, i);
}

static int32_t walks_build(stg__supports *s, stg_ctx *ctx, uint32_t nodes, stg__filter filter,
                           const stg__arc *arc, uint32_t arcs)
{
    const size_t n = nodes;
    const size_t m = arcs;
    uint32_t *index = (uint32_t *)stg__alloc_aligned(ctx, 4 * n + 2 + 4 * m, sizeof *index);
    real *value = (real *)stg__alloc_aligned(ctx, 4 * m + 1, sizeof *value);
    uint8_t *is_touched = (uint8_t *)stg__calloc(ctx, 2 * n, 1);
    double *weight = (double *)stg__calloc(ctx, m, sizeof *weight);
    if (!index || !value || !is_touched || !weight) {
        stg__free_aligned(ctx, index);
        stg__free_aligned(ctx, value);
        stg__free(ctx, is_touched);
        stg__free(ctx, weight);
        return STG_E_NOMEM;
    }
    uint32_t *out_ptr = index;
    uint32_t *in_ptr = out_ptr + n + 1;
    uint32_t *out_col = in_ptr + n + 1;
    uint32_t *in_col = out_col + m;
    *s = (stg__supports){
        .ctx = stg__ctx_ref(ctx),
        .nodes = nodes,
        .walks = stg__filter_walks(filter.kind),
        .walk = {{nodes, in_ptr, in_col, value + 2 * m}, {nodes, out_ptr, out_col, value + m}},
        .transposed = {{nodes, out_ptr, out_col, value}, {nodes, in_ptr, in_col, value + 3 * m}},
        .index = index,
        .value = value,
        .order = filter.order,
        .arcs = arcs,
        .place = in_col + m,
        .arc_at = in_col + 2 * m,
        .touched = in_col + 3 * m,
        .is_touched = is_touched,
        .weight = weight,
    };
    fill(s, out_ptr, in_ptr, out_col, in_col, arc);
    return STG_OK;
}

void stg__supports_set(stg__supports *s, uint32_t arc, double weight)
{
    if (s->weight[arc] == weight)
        return;
    s->weight[arc] = weight;
    const uint32_t end[2] = {s->walk[0].col[s->place[arc]], s->walk[1].col[arc]};
    for (uint32_t walk = 0; walk < 2; walk++) {
        uint8_t *noted = s->is_touched + (size_t)walk * s->nodes + end[walk];
        if (!*noted)
            s->touched[(size_t)walk * s->nodes + s->touches[walk]++] = end[walk];
        *noted = 1;
    }
}

void stg__supports_commit(stg__supports *s)
{
    for (uint32_t walk = 0; walk < 2; walk++) {
        const uint32_t *touched = s->touched + (size_t)walk * s->nodes;
        for (uint32_t i = 0; i < s->touches[walk]; i++) {
            share_out(s, walk, touched[i]);
            s->is_touched[(size_t)walk * s->nodes + touched[i]] = 0;
        }
        s->touches[walk] = 0;
    }
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
    stg__free(s->ctx, s->is_touched);
    stg__free(s->ctx, s->weight);
    stg__ctx_unref(s->ctx);
    memset(s, 0, sizeof *s);
}
