/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From incidents to proposals. A recognised attack is answered at the edge it enters by: a limit a
 * little above what the edge carries as a rule. Slow requests are answered by a time limit, because
 * they are few. Flash crowds, deploys, failing dependencies and unknown incidents get no limit.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define ROOM 1.5            /* limit over the expected rate */
#define FLOOR 1.0           /* calls a second: no limit below it */
#define CAUSES 3u           /* causes looked at */
#define TIMEOUT_S 10.0      /* when nothing is known of ordinary requests; and never more */
#define TIMEOUT_LEAST_S 1.0
#define TIMEOUT_ROOM 4.0    /* time limit over the ordinary time */
#define CROWD_CONFIDENCE 0.5

static bool is_edge(const stg_item *item)
{
    return item->node[0] == '\0' && item->dst[0] != '\0';
}

static bool same_edge(const stg_item *a, const stg_item *b)
{
    return strcmp(a->src, b->src) == 0 && strcmp(a->dst, b->dst) == 0 &&
           strcmp(a->route, b->route) == 0;
}

static bool from_outside(const stg_item *item)
{
    return strcmp(item->src, STG__EXTERNAL) == 0;
}

/* Index in the graph of the edge that an item names, or UINT32_MAX. */
static uint32_t edge_of(const stg__window *win, const stg_item *item)
{
    const stg__topology *t = stg__graph_topology(win->graph);
    const uint32_t src = stg__topology_find(t, item->src, strlen(item->src));
    const uint32_t dst = stg__topology_find(t, item->dst, strlen(item->dst));
    const uint32_t route = stg__topology_find_route(t, item->route, strlen(item->route));
    if (src == UINT32_MAX || dst == UINT32_MAX || route == UINT32_MAX)
        return UINT32_MAX;
    return stg__topology_edge(t, src, dst, route);
}

typedef struct edge_rate {
    double seen; /* calls a second; NaN: not known */
    double expected;
} edge_rate;

/* What the evidence knows of an edge. The least expectation counts: some expect what the edge's part
 * of the present traffic would be, and the attack is in that. */
static edge_rate rate_by_evidence(const stg__window *win, uint32_t incident, const stg_item *edge)
{
    edge_rate r = {NAN, NAN};
    stg_item ev = {.size = sizeof ev};
    for (uint32_t i = 0; stg_report_item(win->report, incident, STG_ITEM_EVIDENCE, i, &ev) == STG_OK;
         i++) {
        if (strcmp(ev.column, "calls") != 0 || !is_edge(&ev) || !same_edge(&ev, edge))
            continue;
        r.seen = ev.observed / win->seconds;
        r.expected = fmin(r.expected, ev.expected / win->seconds);
    }
    return r;
}

/* Rates beyond all sense are as good as none. */
static double sane(double rate)
{
    return rate >= 0 && rate < 1e15 ? rate : NAN;
}

/*
 * What an edge carries and should carry. Of forecast and long-run level the larger is taken, so that
 * doubt is for the benefit of the legitimate callers; an edge that both know too little of is judged
 * as the detector judged it, for its short life may be all attack.
 */
static edge_rate rate_of(const stg_planner *planner, const stg__window *win, uint32_t incident,
                         const stg_item *edge)
{
    edge_rate r = {NAN, NAN};
    double young = NAN;
    const uint32_t e = edge_of(win, edge);
    if (e != UINT32_MAX) {
        if (win->edge_calls)
            r.seen = win->edge_calls[e] / win->seconds;
        if (win->forecast) {
            const double *mean =
                stg_forecast_mean(win->forecast, STG_EDGE, "calls", 5, win->first_step);
            r.expected = mean ? mean[e] / win->seconds : NAN;
        }
        const double level = planner->levels.edge_rate[e];
        if (planner->levels.edge_seen[e] >= STG__WARM)
            r.expected = fmax(r.expected, level);
        else if (planner->levels.edge_seen[e] > 0)
            young = level;
    }
    const edge_rate judged = rate_by_evidence(win, incident, edge);
    if (isnan(r.seen))
        r.seen = judged.seen;
    if (isnan(r.expected))
        r.expected = isnan(judged.expected) ? young : judged.expected;
    return (edge_rate){sane(r.seen), sane(r.expected)};
}

static void reason_attack(stg__proposal *p, const stg_incident_info *inc)
{
    stg__text t;
    stg__text_init(&t, p->reason, sizeof p->reason);
    stg__text_str(&t, inc->class_name);
    stg__text_str(&t, " with confidence ");
    stg__text_num(&t, inc->confidence, 2);
    stg__text_str(&t, ": ");
    const bool rate = p->kind == STG_ACTION_LIMIT;
    if (isfinite(p->present)) {
        stg__text_num(&t, p->present, 3);
        stg__text_str(&t, rate ? " calls/s seen, " : " s seen for a request to arrive, ");
    }
    stg__text_str(&t, rate ? "limit " : "at most ");
    stg__text_num(&t, p->value, 3);
    stg__text_str(&t, rate ? " calls/s on this edge" : " s allowed");
    (void)stg__text_end(&t, NULL); /* cut when too long: the class is the only text of unknown size */
}

static int32_t limit(stg_planner *planner, const stg__window *win, const stg_incident_info *inc,
                     const stg_item *edge, edge_rate rate)
{
    stg__proposal p = {
        .kind = STG_ACTION_LIMIT,
        .node = edge->dst,
        .src = edge->src,
        .route = edge->route,
        .incident = inc->id,
        .value = fmax(isfinite(rate.expected) ? ROOM * rate.expected : 0, FLOOR),
        .present = rate.seen,
    };
    reason_attack(&p, inc);
    return stg__live_want(planner, &p, win->end_ns);
}

/* The edge among some part of an incident that carries most above what it should; false: none. */
static bool busiest(const stg_planner *planner, const stg__window *win, uint32_t incident,
                    uint32_t part, bool outside, stg_item *best, edge_rate *rate)
{
    bool found = false;
    double most = -INFINITY;
    stg_item item = {.size = sizeof item};
    for (uint32_t i = 0; stg_report_item(win->report, incident, part, i, &item) == STG_OK; i++) {
        if (!is_edge(&item) || (outside && !from_outside(&item)))
            continue;
        const edge_rate r = rate_of(planner, win, incident, &item);
        const double above = isfinite(r.seen) ? r.seen - (isfinite(r.expected) ? r.expected : 0) : 0;
        if (above <= most)
            continue;
        most = above;
        *best = item;
        *rate = r;
        found = true;
    }
    return found;
}

/*
 * Where to limit: at the edges from outside among the first causes (beyond the likeliest only where
 * the limit would bite); without such a cause at the member edge from outside that rose most;
 * within the system only when nothing of the incident touches the outside.
 */
static int32_t limit_entries(stg_planner *planner, const stg__window *win, uint32_t incident,
                             const stg_incident_info *inc)
{
    uint32_t limited = 0;
    stg_item item = {.size = sizeof item};
    for (uint32_t i = 0; i < CAUSES; i++) {
        if (stg_report_item(win->report, incident, STG_ITEM_CAUSE, i, &item) != STG_OK)
            break;
        if (!is_edge(&item) || !from_outside(&item))
            continue;
        const edge_rate r = rate_of(planner, win, incident, &item);
        const double expected = isfinite(r.expected) ? r.expected : 0;
        if (limited > 0 && !(r.seen > fmax(ROOM * expected, FLOOR)))
            continue;
        STG_RETURN_IF_ERROR(limit(planner, win, inc, &item, r));
        limited++;
    }
    edge_rate r;
    if (limited == 0 &&
        (busiest(planner, win, incident, STG_ITEM_EDGE, true, &item, &r) ||
         busiest(planner, win, incident, STG_ITEM_CAUSE, false, &item, &r) ||
         busiest(planner, win, incident, STG_ITEM_EDGE, false, &item, &r)))
        return limit(planner, win, inc, &item, r);
    return STG_OK;
}

/* Seconds that a piece of evidence speaks of: the arrival of a request, else NaN. */
static double arrival_seconds(const char *column, double value)
{
    return strcmp(column, "oldest_header_ms") == 0 ? value / 1e3 : NAN;
}

static const char *node_of(const stg__window *win, uint32_t incident)
{
    stg_item item = {.size = sizeof item};
    if (stg_report_item(win->report, incident, STG_ITEM_CAUSE, 0, &item) == STG_OK)
        return is_edge(&item) ? item.dst : item.node;
    if (stg_report_item(win->report, incident, STG_ITEM_NODE, 0, &item) == STG_OK)
        return item.node;
    if (stg_report_item(win->report, incident, STG_ITEM_EDGE, 0, &item) == STG_OK)
        return item.dst;
    return "";
}

static int32_t bound_time(stg_planner *planner, const stg__window *win, uint32_t incident,
                          const stg_incident_info *inc)
{
    stg__proposal p = {
        .kind = STG_ACTION_TIMEOUT,
        .node = node_of(win, incident),
        .src = "",
        .route = "",
        .incident = inc->id,
        .value = TIMEOUT_S,
        .present = NAN,
    };
    if (p.node[0] == '\0')
        return STG_OK;
    stg_item ev = {.size = sizeof ev};
    for (uint32_t i = 0; stg_report_item(win->report, incident, STG_ITEM_EVIDENCE, i, &ev) == STG_OK;
         i++) {
        const double expected = arrival_seconds(ev.column, ev.expected);
        if (strcmp(ev.node, p.node) != 0 || isnan(arrival_seconds(ev.column, ev.observed)))
            continue;
        p.present = arrival_seconds(ev.column, ev.observed);
        if (isfinite(expected))
            p.value = fmin(fmax(TIMEOUT_ROOM * expected, TIMEOUT_LEAST_S), TIMEOUT_S);
        break;
    }
    reason_attack(&p, inc);
    return stg__live_want(planner, &p, win->end_ns);
}

static void mark_crowd(stg__levels *lv, const stg__window *win, uint32_t incident, uint64_t id)
{
    stg_item item = {.size = sizeof item};
    for (uint32_t i = 0; stg_report_item(win->report, incident, STG_ITEM_NODE, i, &item) == STG_OK;
         i++) {
        const uint32_t node = stg__topology_find(lv->topo, item.node, strlen(item.node));
        if (node != UINT32_MAX)
            lv->crowd[node] = id;
    }
}

int32_t stg__propose_answers(stg_planner *planner, const stg__window *win)
{
    stg_incident_info inc = {.size = sizeof inc};
    memset(planner->levels.crowd, 0, planner->levels.nodes * sizeof *planner->levels.crowd);
    for (uint32_t i = 0; stg_report_incident(win->report, i, &inc) == STG_OK; i++) {
        if (inc.state == STG_INCIDENT_CLOSE)
            continue;
        if (inc.class_id == STG_CLASS_FLASH_CROWD && inc.confidence >= CROWD_CONFIDENCE)
            mark_crowd(&planner->levels, win, i, inc.id);
        if (!stg__class_is_attack(inc.class_id) || !(inc.confidence >= planner->min_confidence))
            continue;
        STG_RETURN_IF_ERROR(inc.class_id == STG_CLASS_SLOW_DOS
                                ? bound_time(planner, win, i, &inc)
                                : limit_entries(planner, win, i, &inc));
    }
    return STG_OK;
}
