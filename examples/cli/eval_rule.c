/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rule most operators have today, as a baseline: each edge's calls against its own mean and
 * standard deviation of the last ten minutes or so, an alarm when one is too far off.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

#define FORGET 0.01   /* weight of a new window in mean and variance */
#define WARM 24       /* windows before an edge is judged */
#define QUIET 12      /* windows without an alarm that end an incident */

typedef struct edge_state {
    eval_place place;
    double mean;
    double var;
    uint32_t seen;
} edge_state;

typedef struct top {
    double z[EVAL_CAUSES];
    uint32_t edge[EVAL_CAUSES];
    uint64_t end_ns;
} top;

struct eval_rule {
    edge_state *edges;
    size_t count;
    size_t cap;
    top *windows;
    size_t windows_count;
    size_t windows_cap;
};

eval_rule *eval_rule_new(void)
{
    return (eval_rule *)calloc(1, sizeof(eval_rule));
}

void eval_rule_free(eval_rule *rule)
{
    if (!rule)
        return;
    free(rule->edges);
    free(rule->windows);
    free(rule);
}

static void set_text(char *to, const char *from)
{
    const size_t len = strnlen(from, EVAL_NAME - 1);
    memcpy(to, from, len);
    to[len] = '\0';
}

static edge_state *edge_of(eval_rule *rule, const stg_graph *g, const stg_edges *edges, uint32_t e)
{
    eval_place place;
    memset(&place, 0, sizeof place);
    set_text(place.src, stg_graph_name(g, STG_NODE, edges->src[e], NULL));
    set_text(place.dst, stg_graph_name(g, STG_NODE, edges->dst[e], NULL));
    set_text(place.route, stg_graph_name(g, STG_ROUTE, edges->route[e], NULL));
    for (size_t i = 0; i < rule->count; i++)
        if (eval_same_place(&rule->edges[i].place, &place))
            return &rule->edges[i];
    if (rule->count == rule->cap) {
        const size_t cap = rule->cap ? rule->cap * 2 : 64;
        edge_state *grown = (edge_state *)realloc(rule->edges, cap * sizeof *grown);
        if (!grown)
            return NULL;
        rule->edges = grown;
        rule->cap = cap;
    }
    edge_state *s = &rule->edges[rule->count++];
    memset(s, 0, sizeof *s);
    s->place = place;
    return s;
}

static void insert(top *t, double z, uint32_t edge)
{
    for (int i = 0; i < EVAL_CAUSES; i++)
        if (z > t->z[i]) {
            for (int k = EVAL_CAUSES - 1; k > i; k--) {
                t->z[k] = t->z[k - 1];
                t->edge[k] = t->edge[k - 1];
            }
            t->z[i] = z;
            t->edge[i] = edge;
            return;
        }
}

bool eval_rule_window(eval_rule *rule, const stg_graph *g)
{
    stg_graph_info info = {.size = sizeof info};
    stg_edges edges = {.size = sizeof edges};
    const double *calls = stg_graph_column(g, STG_EDGE, "calls", 5);
    if (!calls || stg_graph_get_info(g, &info) != STG_OK || stg_graph_get_edges(g, &edges) != STG_OK)
        return false;
    if (rule->windows_count == rule->windows_cap) {
        const size_t cap = rule->windows_cap ? rule->windows_cap * 2 : 1024;
        top *grown = (top *)realloc(rule->windows, cap * sizeof *grown);
        if (!grown)
            return false;
        rule->windows = grown;
        rule->windows_cap = cap;
    }
    top *t = &rule->windows[rule->windows_count++];
    *t = (top){.z = {-1, -1, -1}, .end_ns = info.end_ns};
    for (uint32_t e = 0; e < info.edges; e++) {
        edge_state *s = edge_of(rule, g, &edges, e);
        if (!s)
            return false;
        const double x = isfinite(calls[e]) ? calls[e] : 0;
        const double sd = sqrt(s->var > 1 ? s->var : 1);
        if (s->seen >= WARM)
            insert(t, (x - s->mean) / sd, (uint32_t)(s - rule->edges));
        const double a = s->seen < WARM ? 1.0 / (s->seen + 1) : FORGET;
        const double off = x - s->mean;
        s->mean += a * off;
        s->var = (1 - a) * (s->var + a * off * off);
        s->seen++;
    }
    return true;
}

bool eval_rule_incidents(const eval_rule *rule, double limit, eval_run *run)
{
    eval_incident *open = NULL;
    unsigned quiet = 0;
    run->incidents_count = 0;
    for (size_t w = 0; w < rule->windows_count; w++) {
        const top *t = &rule->windows[w];
        const bool alarm = t->z[0] > limit;
        if (alarm && !open) {
            open = eval_add_incident(run);
            if (!open)
                return false;
            open->id = w;
            open->opened_ns = t->end_ns;
            for (int i = 0; i < EVAL_CAUSES; i++)
                if (t->z[i] > limit)
                    open->cause[i] = open->loudest[i] = rule->edges[t->edge[i]].place;
        }
        quiet = alarm ? 0 : quiet + 1;
        if (open)
            open->closed_ns = t->end_ns;
        if (open && quiet >= QUIET)
            open = NULL;
    }
    return true;
}
