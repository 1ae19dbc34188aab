/* SPDX-License-Identifier: Apache-2.0 */
/* How near a node or edge stands to an incident: incidents leave marks on the nodes of their members. */
#include <string.h>

#include "score_priv.h"

stg__member *stg__member_of(stg__incident *inc, bool is_edge, uint32_t index)
{
    for (uint32_t i = 0; i < inc->members; i++)
        if (inc->member[i].is_edge == is_edge && inc->member[i].index == index)
            return &inc->member[i];
    return NULL;
}

static bool hub(const stg_detector *d, uint32_t node)
{
    return node == 0 || d->gateway[node];
}

static void ends(const stg_detector *d, bool is_edge, uint32_t index, uint32_t node[2])
{
    node[0] = is_edge ? d->edge[index].src : index;
    node[1] = is_edge ? d->edge[index].dst : index;
}

/* Marks an incident's nodes; the reach of the marks is worked out when it is asked for. */
void stg__mark(stg_detector *d, const stg__incident *inc, bool is_edge, uint32_t index)
{
    uint32_t node[2];
    const uint32_t bit = 1u << (inc - d->incident);
    ends(d, is_edge, index, node);
    d->node_mark[node[0]] |= bit;
    d->node_mark[node[1]] |= bit;
    d->reach_known = false;
}

void stg__mark_all(stg_detector *d)
{
    memset(d->node_mark, 0, d->nodes * sizeof *d->node_mark);
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++)
        for (uint32_t k = 0; stg__open_now(&d->incident[i]) && k < d->incident[i].members; k++)
            stg__mark(d, &d->incident[i], d->incident[i].member[k].is_edge, d->incident[i].member[k].index);
    d->reach_known = false;
}

/* Marks one call further, not by way of outside: everything would be near everything. */
static void find_reach(stg_detector *d)
{
    memset(d->node_reach, 0, d->nodes * sizeof *d->node_reach);
    for (uint32_t e = 0; e < d->edges; e++) {
        const stg__edge_id *id = &d->edge[e];
        if (id->src == 0)
            continue;
        d->node_reach[id->src] |= d->node_mark[id->dst];
        d->node_reach[id->dst] |= d->node_mark[id->src];
    }
    d->reach_known = true;
}

/* How near an entity stands to an incident: by a node of its own, by one that everything passes
 * through, or by a call between their nodes. */
int stg__near(stg_detector *d, const stg__incident *inc, bool is_edge, uint32_t index)
{
    uint32_t node[2];
    int near = NEAR_NO;
    const uint32_t bit = 1u << (inc - d->incident);
    ends(d, is_edge, index, node);
    if (!d->reach_known)
        find_reach(d);
    for (uint32_t i = 0; is_edge && i < inc->members; i++) {
        const stg__member *m = &inc->member[i]; /* what goes to a node where connections pile up */
        if (!m->is_edge && m->index == node[1] && m->says & (1u << SAYS_HOLD | 1u << SAYS_ABUSE))
            return NEAR;
    }
    for (int i = 0; i < 2; i++) {
        if (d->node_mark[node[i]] & bit) {
            const int how = hub(d, node[i]) ? NEAR_HUB : NEAR;
            near = how > near ? how : near;
        } else if (d->node_reach[node[i]] & bit && near < NEAR_CALL) {
            near = NEAR_CALL;
        }
    }
    return near;
}
