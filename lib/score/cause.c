/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Causes: nodes and edges of an incident's surroundings, the likeliest source first. Three families
 * of sources are weighed: a flow that enters by one edge and does not belong to the mix (what it
 * causes further down is explained away, and what rises on all entrances alike does not count),
 * connections that pile up at a node, and a failure whose callee side comes first.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define KEEP 0.75
#define FORGET 0.98
#define TOGETHER 3u /* windows */

static double up(const stg__stream *s)
{
    return s->active && s->smooth > 0 ? (double)s->smooth : 0;
}

static double edge_up(const stg_detector *d, uint32_t e, uint32_t kind)
{
    return up(stg__edge_stream(d, e, kind));
}

static double node_up(const stg_detector *d, uint32_t i, uint32_t kind)
{
    return up(stg__node_stream(d, i, kind));
}

bool stg__ingress(const stg_detector *d, uint32_t edge)
{
    return d->edge[edge].src == 0 || d->gateway[d->edge[edge].src];
}

/* The last hop into the services: a gateway's own in-edges only repeat what goes on to them. */
static bool entrance(const stg_detector *d, uint32_t edge)
{
    return stg__ingress(d, edge) && !d->gateway[d->edge[edge].dst];
}

/* Do the calls of this edge go through the entrance, there or one call later? */
static bool leads_to(const stg_detector *d, uint32_t edge, uint32_t entrance_edge)
{
    return edge == entrance_edge || (d->edge[edge].src == 0 &&
                                     d->edge[edge].dst == d->edge[entrance_edge].src &&
                                     d->edge[edge].route == d->edge[entrance_edge].route);
}

/* The one entrance that the calls of an edge go through; UINT32_MAX: none, or one of several. */
uint32_t stg__entrance_of(const stg_detector *d, uint32_t edge)
{
    uint32_t found = UINT32_MAX;
    if (entrance(d, edge))
        return edge;
    if (!stg__ingress(d, edge))
        return UINT32_MAX;
    for (uint32_t e = 0; e < d->edges; e++) {
        if (!leads_to(d, edge, e) || !entrance(d, e))
            continue;
        if (found != UINT32_MAX)
            return UINT32_MAX;
        found = e;
    }
    return found;
}

static double clients_of(const stg_detector *d, uint32_t e)
{
    const double who = fmax(edge_up(d, e, E_TOP_CLIENT), edge_up(d, e, E_PER_CLIENT));
    const stg__stream *size = stg__edge_stream(d, e, E_BYTES_IN);
    const double odd = size->active ? fabs((double)size->smooth) : 0;
    return fmax(fmax(0.8 * edge_up(d, e, E_NEW_GROUP), 0.7 * who), 0.8 * odd);
}

/* Mean over the entrances of what a crowd moves on all of them. */
static void common(const stg_detector *d, double *clients, double *rate)
{
    double n = 0;
    *clients = *rate = 0;
    for (uint32_t e = 0; e < d->edges; e++)
        if (entrance(d, e) && stg__edge_stream(d, e, E_RATE)->fresh) {
            *clients += fmin(clients_of(d, e), 4);
            *rate += fmin(edge_up(d, e, E_RATE), 4);
            n++;
        }
    if (n > 2) {
        *clients /= n;
        *rate /= n;
    } else {
        *clients = *rate = 0;
    }
}

/* What the edge's streams have gathered over time about calls that do not belong: log10. */
static double gathered(const stg_detector *d, uint32_t e)
{
    const stg__stream *s = stg__edge_stream(d, e, 0);
    double sum = 1;
    for (uint32_t k = 0; k < E_KINDS; k++) {
        const stg__kind *kind = stg__kind_of(true, k);
        if (!s[k].active || kind->says == SAYS_VOLUME || kind->says == SAYS_FAILURE)
            continue;
        for (int side = UP; side <= DOWN; side++)
            if (kind->directions & (1 << side))
                sum += stg__evidence_mean(s[k].m[side]) * (double)kind->weight;
    }
    return log10(sum);
}

static double suspicion(const stg_detector *d, uint32_t e, double clients, double rate)
{
    const double flow = fmax(edge_up(d, e, E_SHARE), 0.7 * fmax(0, edge_up(d, e, E_RATE) - rate));
    const double who = fmax(0, clients_of(d, e) - clients);
    const double fails = fmax(edge_up(d, e, E_LOGIN_FAILURES), 0.8 * edge_up(d, e, E_CLIENT_ERRORS));
    const double tries = fmax(fmax(1.2 * edge_up(d, e, E_INJECTIONS), fails),
                              0.6 * edge_up(d, e, E_PER_USER));
    return sqrt(flow * flow + who * who + tries * tries) + 0.6 * fmax(0, gathered(d, e) - 2);
}

static double hold_of(const stg_detector *d, uint32_t i)
{
    const double ages = fmax(node_up(d, i, N_CONN_AGE), node_up(d, i, N_HEADER_AGE));
    const double counts = fmax(node_up(d, i, N_WAITING), 0.7 * node_up(d, i, N_BUSY));
    return fmax(fmax(ages, counts), 0.5 * node_up(d, i, N_OPEN));
}

static double in_failure(const stg_detector *d, uint32_t e)
{
    return fmax(edge_up(d, e, E_LATENCY), edge_up(d, e, E_ERRORS));
}

/* Failure of a node that its callees do not explain. */
static void failures(const stg_detector *d)
{
    for (uint32_t i = 0; i < d->nodes; i++)
        d->node_excess[i] = (float)fmax(node_up(d, i, N_EXCLUSIVE), 0.6 * node_up(d, i, N_ERRORS));
    memset(d->edge_excess, 0, d->edges * sizeof *d->edge_excess);
    for (uint32_t e = 0; e < d->edges; e++)
        d->edge_excess[e] = (float)in_failure(d, e);
    for (uint32_t e = 0; e < d->edges; e++) { /* seen at the node's entrance */
        float *at = &d->node_excess[d->edge[e].dst];
        *at = fmaxf(*at, 0.8f * d->edge_excess[e]);
    }
    for (uint32_t e = 0; e < d->edges; e++) { /* what a callee shows as well */
        const double callee = 0.7 * (double)d->edge_excess[e];
        float *at = &d->node_excess[d->edge[e].src];
        const double own = fmax(node_up(d, d->edge[e].src, N_EXCLUSIVE), (double)*at - callee);
        *at = fminf(*at, (float)own);
    }
}

static void put(stg__incident *inc, bool is_edge, uint32_t index, double score)
{
    for (uint32_t i = 0; i < inc->causes; i++)
        if (inc->cause[i].is_edge == is_edge && inc->cause[i].index == index)
            return;
    if (inc->causes < MAX_CAUSES && score > 0)
        inc->cause[inc->causes++] = (stg__cause){index, is_edge, (float)score};
}

/* What an incident's members at this entrance say. */
static uint32_t says_at(const stg_detector *d, const stg__incident *inc, uint32_t entrance)
{
    uint32_t says = 0;
    for (uint32_t i = 0; i < inc->members; i++) {
        const stg__member *m = &inc->member[i];
        if (m->is_edge ? leads_to(d, m->index, entrance) : m->index == d->edge[entrance].dst)
            says |= m->says;
    }
    return says;
}

/* Another incident is about this entrance already; those that begin together may be one. */
static bool claimed(const stg_detector *d, const stg__incident *inc, uint32_t entrance)
{
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        const stg__incident *other = &d->incident[i];
        if (other == inc || !stg__open_now(other) || other->target_edge != entrance ||
            other->mood != FAMILY_FLOW || !(says_at(d, other, entrance) & ODD))
            continue;
        const bool together = other->opened_window <= inc->opened_window + TOGETHER &&
                              inc->opened_window <= other->opened_window + TOGETHER;
        if (!together || stg__benign(inc->class_id))
            return true;
    }
    return false;
}

/* Do calls at any entrance look odd to the incident? */
static bool points_at_entrance(const stg_detector *d, const stg__incident *inc)
{
    for (uint32_t i = 0; i < inc->members; i++) {
        const stg__member *m = &inc->member[i];
        if (m->is_edge && m->says & ODD && stg__entrance_of(d, m->index) != UINT32_MAX)
            return true;
    }
    return false;
}

/* Best entrance by suspicion; `not_this` is left out. */
static uint32_t best_entrance(const stg_detector *d, const stg__incident *inc, uint32_t not_this,
                              double *score)
{
    uint32_t best = UINT32_MAX;
    double clients;
    double rate;
    /* what begins elsewhere later is another story */
    const bool any = d->windows - inc->opened_window <= TOGETHER && !points_at_entrance(d, inc);
    common(d, &clients, &rate);
    *score = 0;
    for (uint32_t e = 0; e < d->edges; e++) {
        if (e == not_this || !entrance(d, e))
            continue;
        const double s = suspicion(d, e, clients, rate);
        if (s > *score && (any || says_at(d, inc, e)) && !claimed(d, inc, e)) {
            *score = s;
            best = e;
        }
    }
    return best;
}

/* The gateway's in-edge by the same route. */
static uint32_t outer_edge(const stg_detector *d, uint32_t edge)
{
    for (uint32_t e = 0; e < d->edges; e++)
        if (d->edge[e].src == 0 && d->edge[e].dst == d->edge[edge].src &&
            d->edge[e].route == d->edge[edge].route)
            return e;
    return UINT32_MAX;
}

typedef struct best_node {
    uint32_t index;
    double score;
} best_node;

/* Node with the most of piled-up connections; a service before a gateway, which sees them too. */
static best_node best_hold(const stg_detector *d, bool gateways)
{
    best_node best = {UINT32_MAX, 0};
    for (uint32_t i = 1; i < d->nodes; i++) {
        const double h = hold_of(d, i);
        if ((d->gateway[i] != 0) == gateways && h > best.score)
            best = (best_node){i, h};
    }
    return best;
}

static best_node best_failure(const stg_detector *d)
{
    best_node best = {UINT32_MAX, 0};
    failures(d);
    for (uint32_t i = 1; i < d->nodes; i++)
        if ((double)d->node_excess[i] > best.score)
            best = (best_node){i, d->node_excess[i]};
    return best;
}

static uint32_t worst_in_edge(const stg_detector *d, uint32_t node, bool held)
{
    uint32_t best = UINT32_MAX;
    double most = -1;
    for (uint32_t e = 0; e < d->edges; e++) {
        if (d->edge[e].dst != node)
            continue;
        double s = held ? (stg__ingress(d, e) ? 1 : 0) : in_failure(d, e);
        s += 0.3 * edge_up(d, e, E_RATE) + (held ? edge_up(d, e, E_LATENCY) : 0);
        if (s > most) {
            most = s;
            best = e;
        }
    }
    return best;
}

/* What the families of sources point at in this window. */
typedef struct suspects {
    double strength[3]; /* by family */
    uint32_t edge;      /* entrances; UINT32_MAX: none */
    uint32_t next;
    double score;
    double second;
    best_node hold; /* where connections pile up: the likelier of service and gateway first */
    best_node other;
    best_node bad; /* that fails by itself */
} suspects;

/* Nodes and edges of one family say the same; whoever reads three of them wants the next family too. */
static void put_head(const stg_detector *d, stg__incident *inc, const suspects *s, uint32_t family)
{
    if (family == FAMILY_FLOW && s->edge != UINT32_MAX) {
        put(inc, true, s->edge, s->score);
        if (inc->causes == 1)
            put(inc, false, d->edge[s->edge].dst, 0.95 * s->score);
    } else if (family == FAMILY_HOLD && s->strength[FAMILY_HOLD] > 0 && s->hold.index != UINT32_MAX) {
        put(inc, false, s->hold.index, s->hold.score);
        if (s->other.index != UINT32_MAX && s->other.score > 1)
            put(inc, false, s->other.index, 0.5 * s->other.score);
    } else if (family == FAMILY_FAILURE && s->strength[FAMILY_FAILURE] > 0 &&
               s->bad.index != UINT32_MAX) {
        put(inc, false, s->bad.index, s->bad.score);
    }
}

static void put_rest(const stg_detector *d, stg__incident *inc, const suspects *s, uint32_t family)
{
    if (family == FAMILY_FLOW && s->edge != UINT32_MAX) {
        const uint32_t outer = outer_edge(d, s->edge);
        put(inc, false, d->edge[s->edge].dst, 0.95 * s->score);
        if (outer != UINT32_MAX)
            put(inc, true, outer, 0.9 * s->score);
        if (s->next != UINT32_MAX && s->second > 0.6 * s->score)
            put(inc, true, s->next, 0.8 * s->second);
        return;
    }
    const bool held = family == FAMILY_HOLD;
    const best_node *first = held ? &s->hold : &s->bad;
    if (s->strength[family] <= 0 || first->index == UINT32_MAX)
        return;
    const uint32_t edge = worst_in_edge(d, first->index, held);
    if (edge != UINT32_MAX)
        put(inc, true, edge, (held ? 0.9 : 0.8) * first->score);
}

/* Families by strength, the first one given. */
static void put_all(const stg_detector *d, stg__incident *inc, const suspects *s)
{
    uint32_t order[3] = {inc->mood, (inc->mood + 1) % 3, (inc->mood + 2) % 3};
    if (s->strength[order[2]] > s->strength[order[1]]) {
        const uint32_t keep = order[1];
        order[1] = order[2];
        order[2] = keep;
    }
    inc->causes = 0;
    for (int i = 0; i < 3; i++)
        put_head(d, inc, s, order[i]);
    for (int i = 0; i < 3; i++)
        put_rest(d, inc, s, order[i]);
}

/* Requests that never came to a route of any service: broken off, or none at all. */
static bool stray(const stg_detector *d, const stg__carrier *c)
{
    return c->is_edge && stg__ingress(d, c->index) && stg__entrance_of(d, c->index) == UINT32_MAX;
}

/* What the carriers speak of decides between families that are about equally strong. */
static void moods(const stg_detector *d, const stg__incident *inc, double held, double mood[3])
{
    mood[FAMILY_FLOW] = mood[FAMILY_HOLD] = mood[FAMILY_FAILURE] = 0;
    for (uint32_t i = 0; i < inc->carriers; i++) {
        const stg__carrier *c = &inc->carrier[i];
        const uint32_t says = stg__kind_of(c->is_edge, c->kind)->says;
        const double level = (double)c->level;
        if (stray(d, c)) /* whoever holds connections breaks off requests */
            mood[FAMILY_HOLD] = fmax(mood[FAMILY_HOLD], fmin(held, level));
        else if (says == SAYS_HOLD)
            mood[FAMILY_HOLD] = fmax(mood[FAMILY_HOLD], level);
        else if (says == SAYS_FAILURE)
            mood[FAMILY_FAILURE] = fmax(mood[FAMILY_FAILURE], 0.8 * level);
        else if (c->direction == UP)
            mood[FAMILY_FLOW] = fmax(mood[FAMILY_FLOW], (says == SAYS_VOLUME ? 0.8 : 1) * level);
    }
}

/* Whom a plan acts on: the first family's edge and node. */
static void find_target(const stg_detector *d, stg__incident *inc, const suspects *s)
{
    const best_node *first = inc->mood == FAMILY_HOLD ? &s->hold : &s->bad;
    inc->target_edge = inc->target_node = UINT32_MAX;
    if (inc->mood == FAMILY_FLOW) {
        inc->target_edge = s->edge;
        inc->target_node = s->edge == UINT32_MAX ? UINT32_MAX : d->edge[s->edge].dst;
    } else if (first->index != UINT32_MAX) {
        inc->target_node = first->index;
        inc->target_edge = worst_in_edge(d, first->index, inc->mood == FAMILY_HOLD);
    }
}

static suspects look(stg_detector *d, const stg__incident *inc)
{
    suspects s;
    double mood[3];
    s.edge = best_entrance(d, inc, UINT32_MAX, &s.score);
    s.next = best_entrance(d, inc, s.edge, &s.second);
    const best_node service = best_hold(d, false);
    const best_node gate = best_hold(d, true);
    const bool inner = service.score >= 2.5 || gate.score <= service.score;
    s.hold = inner ? service : gate;
    s.other = inner ? gate : service;
    s.bad = best_failure(d);
    moods(d, inc, s.hold.score, mood);
    s.strength[FAMILY_FLOW] =
        mood[FAMILY_FLOW] > 0 ? fmin(s.score, 8) + mood[FAMILY_FLOW] : 0.3 * s.score;
    s.strength[FAMILY_HOLD] = mood[FAMILY_HOLD] * 2;
    s.strength[FAMILY_FAILURE] = mood[FAMILY_FAILURE] * 2;
    return s;
}

void stg__causes(stg_detector *d, stg__incident *inc)
{
    const suspects s = look(d, inc);
    const double flow = s.strength[FAMILY_FLOW];
    const double hold = s.strength[FAMILY_HOLD];
    const double fail = s.strength[FAMILY_FAILURE];
    /* what was once found stays unless the picture is about as clear */
    const double clear = fmax(fmax(flow, hold), fail);
    const bool lost = inc->mood == FAMILY_FLOW && inc->target_edge != UINT32_MAX &&
                      claimed(d, inc, inc->target_edge);
    if (inc->causes && !lost && clear < KEEP * inc->clearest) {
        inc->clearest *= FORGET;
        return;
    }
    inc->clearest = fmax(clear, FORGET * inc->clearest);
    inc->mood = flow >= hold && flow >= fail ? FAMILY_FLOW
                                             : hold >= fail ? FAMILY_HOLD : FAMILY_FAILURE;
    put_all(d, inc, &s);
    find_target(d, inc, &s);
}
