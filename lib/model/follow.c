/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supports of a session's topology, and how they follow the graph: each edge has a weight of its own,
 * edges of the same ends add up to an arc. A topology has an arc for every pair of ends even when nothing
 * flows, so that a window changes numbers only and allocates nothing.
 */
#include <math.h>

#include "model_priv.h"

/* Weight of the arc that begins with edge e, which then is the first of the next one. */
static double arc_weight(const stg_session *s, const stg__state *st, uint32_t *e)
{
    const stg__topology *t = st->topo;
    const uint32_t first = *e;
    double sum = 0;
    for (; *e < t->edges && t->src[*e] == t->src[first] && t->dst[*e] == t->dst[first]; (*e)++)
        sum += isfinite(st->arc_calls[*e]) && st->arc_calls[*e] > 0 ? st->arc_calls[*e] : 0;
    return s->model->kind->plain ? sum : log1p(sum);
}

int32_t stg__state_supports(const stg_session *s, stg__state *st)
{
    const stg__topology *t = st->topo;
    uint32_t arcs = 0;
    stg__arc *arc = (stg__arc *)stg__calloc(st->ctx, t->edges, sizeof *arc);
    if (!arc)
        return STG_E_NOMEM;
    for (uint32_t e = 0; e < t->edges;) {
        const uint32_t first = e;
        const double weight = arc_weight(s, st, &e);
        if (weight > 0 || s->graph != STG_GRAPH_STATIC)
            arc[arcs++] = (stg__arc){t->src[first], t->dst[first], weight};
    }
    const int32_t status =
        stg__supports_build(&st->supports, st->ctx, t->nodes, s->filter, arc, arcs);
    stg__free(st->ctx, arc);
    return status;
}

void stg__state_follow(const stg_session *s, stg__state *st, const stg_graph *g, const uint8_t *mask)
{
    const stg__topology *t = st->topo;
    const double *now =
        stg__graph_column_at(g, STG_EDGE, s->model->kind->plain ? s->weight_column : s->edge_column);
    if (s->graph == STG_GRAPH_STATIC || !now)
        return;
    for (uint32_t e = 0; e < t->edges; e++) {
        if ((mask && (mask[t->src[e]] || mask[t->dst[e]])) || !isfinite(now[e]))
            continue;
        const double x = fmax(fmin(now[e], STG__PLAIN_MOST), 0);
        const double before = st->arc_calls[e];
        st->arc_calls[e] = s->graph == STG_GRAPH_WINDOW || isnan(before)
                               ? x
                               : before + s->graph_rate * (x - before);
    }
    uint32_t arc = 0;
    for (uint32_t e = 0; e < t->edges;)
        stg__supports_set(&st->supports, arc++, arc_weight(s, st, &e));
    stg__supports_commit(&st->supports);
    stg__state_resume(st);
}
