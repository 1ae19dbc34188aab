/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small social network in a few hundred lines, for tests of what stands above the graph: visits
 * walk over pages behind a gateway, pages call services, and every window becomes a graph with the
 * columns that ingest makes. Load has a day pattern and a slow fluctuation; attacks and harmless
 * disturbances are events with a strength relative to the target's own rate.
 */
#ifndef STG_SIM_H
#define STG_SIM_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <stgraph/graph.h>
#include <stgraph/score.h>

#include "base_priv.h"

enum { SIM_EXTERNAL, SIM_EDGE, SIM_FRONTEND, SIM_AUTH, SIM_USER, SIM_COMPOSE, SIM_TEXT, SIM_MEDIA,
       SIM_HOME, SIM_PROFILE, SIM_SOCIAL, SIM_POSTS, SIM_SEARCH, SIM_MAIL, SIM_USERDB, SIM_POSTDB,
       SIM_GRAPHDB, SIM_CACHE, SIM_NODES };

static const char *const sim_node_names[SIM_NODES] = {
    "external", "edge", "frontend", "auth", "user", "compose", "text", "media", "home-timeline",
    "user-timeline", "social-graph", "post-storage", "search", "mail", "user-db", "post-db",
    "graph-db", "cache"};

enum { P_HOME, P_LOGIN, P_REGISTER, P_SEARCH, P_COMPOSE, P_TIMELINE, P_PROFILE, P_FOLLOW, P_MEDIA,
       SIM_PAGES };

typedef struct sim_page {
    const char *route;
    int service;
    double start;
    double next[SIM_PAGES]; /* the rest ends the visit */
    double assets;
    double ms;
} sim_page;

static const sim_page sim_pages[SIM_PAGES] = {
    {"GET /", SIM_FRONTEND, .55,
     {[P_LOGIN] = .3, [P_REGISTER] = .1, [P_TIMELINE] = .2, [P_SEARCH] = .2}, .9, 12},
    {"POST /api/login", SIM_AUTH, .25, {[P_HOME] = .3, [P_TIMELINE] = .55, [P_COMPOSE] = .1}, 0, 15},
    {"POST /api/register", SIM_USER, .08, {[P_HOME] = .2, [P_TIMELINE] = .2, [P_FOLLOW] = .5}, 0, 40},
    {"GET /api/search", SIM_SEARCH, .12, {[P_SEARCH] = .3, [P_PROFILE] = .3, [P_HOME] = .1}, .2, 28},
    {"POST /api/compose", SIM_COMPOSE, 0, {[P_TIMELINE] = .6, [P_PROFILE] = .1}, 0, 30},
    {"GET /api/timeline", SIM_HOME, 0,
     {[P_TIMELINE] = .25, [P_COMPOSE] = .2, [P_PROFILE] = .25, [P_SEARCH] = .1}, .5, 14},
    {"GET /api/profile", SIM_PROFILE, 0, {[P_FOLLOW] = .2, [P_PROFILE] = .2, [P_TIMELINE] = .3}, .5, 13},
    {"POST /api/follow", SIM_SOCIAL, 0, {[P_PROFILE] = .5, [P_TIMELINE] = .3}, 0, 9},
    {"GET /media", SIM_MEDIA, 0, {0}, 0, 4},
};

typedef struct sim_call {
    int from;       /* service */
    int page;       /* of this page only, or -1 */
    const char *in; /* route by which the service was called; NULL: by its page */
    int to;
    const char *route;
    double p; /* mean number of calls */
    double ms;
} sim_call;

static const sim_call sim_calls[] = {
    {SIM_FRONTEND, P_HOME, NULL, SIM_AUTH, "GET /session", .5, 3},
    {SIM_FRONTEND, P_HOME, NULL, SIM_HOME, "GET /read", .85, 9},
    {SIM_FRONTEND, P_HOME, NULL, SIM_MEDIA, "GET /banner", .3, 2},
    {SIM_AUTH, P_LOGIN, NULL, SIM_USERDB, "GET /credentials", 1, 4},
    {SIM_AUTH, P_LOGIN, NULL, SIM_CACHE, "POST /put", .9, 1},
    {SIM_AUTH, -1, "GET /session", SIM_CACHE, "GET /get", 1, 1},
    {SIM_USER, P_REGISTER, NULL, SIM_USERDB, "POST /insert", 2, 7},
    {SIM_USER, P_REGISTER, NULL, SIM_SOCIAL, "POST /node", 1, 8},
    {SIM_USER, P_REGISTER, NULL, SIM_MAIL, "POST /welcome", 1, 18},
    {SIM_USER, -1, "GET /profile", SIM_CACHE, "GET /get", 1, 1},
    {SIM_USER, -1, "GET /profile", SIM_USERDB, "GET /row", .3, 3},
    {SIM_COMPOSE, P_COMPOSE, NULL, SIM_TEXT, "POST /process", 1, 5},
    {SIM_COMPOSE, P_COMPOSE, NULL, SIM_AUTH, "GET /session", 1, 3},
    {SIM_COMPOSE, P_COMPOSE, NULL, SIM_POSTS, "POST /store", 1, 12},
    {SIM_COMPOSE, P_COMPOSE, NULL, SIM_HOME, "POST /fanout", 1, 6},
    {SIM_TEXT, -1, "POST /process", SIM_USER, "GET /profile", .4, 4},
    {SIM_MEDIA, P_MEDIA, NULL, SIM_CACHE, "GET /get", .25, 1},
    {SIM_HOME, P_TIMELINE, NULL, SIM_POSTS, "GET /posts", 1, 6},
    {SIM_HOME, P_TIMELINE, NULL, SIM_SOCIAL, "GET /followees", .5, 4},
    {SIM_HOME, -1, "GET /read", SIM_POSTS, "GET /posts", .6, 6},
    {SIM_HOME, -1, "POST /fanout", SIM_CACHE, "POST /put", 2, 1},
    {SIM_PROFILE, P_PROFILE, NULL, SIM_USER, "GET /profile", 1, 4},
    {SIM_PROFILE, P_PROFILE, NULL, SIM_POSTS, "GET /posts", 1, 6},
    {SIM_PROFILE, P_PROFILE, NULL, SIM_SOCIAL, "GET /followers", .5, 4},
    {SIM_SOCIAL, P_FOLLOW, NULL, SIM_GRAPHDB, "POST /edge", 1, 5},
    {SIM_SOCIAL, -1, "GET /followers", SIM_GRAPHDB, "GET /neighbours", .7, 3},
    {SIM_SOCIAL, -1, "GET /followees", SIM_GRAPHDB, "GET /neighbours", .7, 3},
    {SIM_SOCIAL, -1, "POST /node", SIM_GRAPHDB, "POST /edge", 1, 5},
    {SIM_POSTS, -1, "GET /posts", SIM_CACHE, "GET /get", 1, 1},
    {SIM_POSTS, -1, "GET /posts", SIM_POSTDB, "GET /find", .4, 5},
    {SIM_POSTS, -1, "POST /store", SIM_POSTDB, "POST /insert", 1, 7},
    {SIM_POSTS, -1, "POST /store", SIM_SEARCH, "POST /index", 1, 5},
    {SIM_SEARCH, P_SEARCH, NULL, SIM_POSTDB, "GET /find", 2, 5},
    {SIM_SEARCH, P_SEARCH, NULL, SIM_POSTS, "GET /posts", .7, 6},
};
#define SIM_CALLS ((int)(sizeof sim_calls / sizeof *sim_calls))
#define SIM_EDGES (2 * SIM_PAGES + SIM_CALLS)

enum { SIM_NONE, SIM_FLASH = 100, SIM_DEPLOY, SIM_SLOW_DEPENDENCY, SIM_RETRY_STORM, SIM_SLOW_BODY };

typedef struct sim_event {
    int what; /* STG_CLASS_* of an attack, or SIM_* */
    int page;
    int node;
    double strength;
    uint32_t from; /* windows */
    uint32_t to;
    int ramp;
    int clients;
} sim_event;

typedef struct sim_visit {
    double at; /* next request, seconds from the start */
    int page;
    uint32_t client;
    uint8_t new_group;
} sim_visit;

#define SIM_VISITS 4096
#define SIM_EVENTS 64
#define SIM_WINDOW 5000000000u

enum { SC_CALLS, SC_ERRORS, SC_CLIENT_ERRORS, SC_LOGINS, SC_FAILURES, SC_REGISTERS, SC_ASSETS,
       SC_RETRIES, SC_INJECTIONS, SC_NEW, SC_TOP, SC_IN, SC_OUT, SC_CLIENTS, SC_USERS, SC_P50,
       SC_COUNT };
static const char *const sim_edge_columns[SC_COUNT] = {
    "calls", "errors", "client_errors", "logins", "login_failures", "registers", "assets", "retries",
    "injections", "new_group_calls", "top_client_calls", "bytes_in", "bytes_out", "clients", "users",
    "p50_us"};
enum { SN_CALLS, SN_ERRORS, SN_EXCLUSIVE, SN_OPEN, SN_WAITING, SN_ACTIVE, SN_IN_FLIGHT, SN_CONN_AGE,
       SN_HEADER_AGE, SN_COUNT };
static const char *const sim_node_columns[SN_COUNT] = {
    "calls", "errors", "exclusive_us", "open", "waiting_headers", "active", "in_flight",
    "oldest_conn_ms", "oldest_header_ms"};

typedef struct sim {
    stg_graph_builder *builder;
    stg__rng rng;
    uint64_t start_ns;
    uint32_t window;
    double per_second; /* new visits */
    double day_s;
    double swing;
    double memory_sd;
    double memory_tau;
    double memory;
    int visits;
    int events;
    double slow_noise[SIM_NODES]; /* latency has a memory too */
    sim_visit visit[SIM_VISITS];
    sim_event event[SIM_EVENTS];
    uint64_t met[SIM_EVENTS][8]; /* attackers that came before */
    double edge[SIM_EDGES][SC_COUNT];
    double node[SIM_NODES][SN_COUNT];
    uint32_t seen[2 * SIM_PAGES][256]; /* clients of a page in this window */
    uint32_t times[2 * SIM_PAGES][256];
    double page_rate[SIM_PAGES]; /* own rate of a page, slow average */
} sim;

static inline double sim_unit(sim *s)
{
    return stg__rng_unit(&s->rng);
}

static inline int sim_poisson(sim *s, double mean)
{
    if (mean > 60) {
        const double x = floor(mean + sqrt(mean) * stg__rng_normal(&s->rng) + 0.5);
        return x < 0 ? 0 : (int)x;
    }
    double p = exp(-mean);
    double u = sim_unit(s);
    int k = 0;
    while (u > p && k < 400) {
        u -= p;
        k++;
        p *= mean / k;
    }
    return k;
}

static inline void sim_init(sim *s, stg_ctx *ctx, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    stg__rng_init(&s->rng, seed, 7);
    s->start_ns = 1700000000000000000u;
    s->per_second = 1.15;
    s->day_s = 600;
    s->swing = 7;
    s->memory_sd = 0.38;
    s->memory_tau = 60;
    s->memory = 0.38 * stg__rng_normal(&s->rng);
    if (stg_graph_builder_create(&s->builder, ctx, NULL) != STG_OK)
        s->builder = NULL;
}

static inline void sim_free(sim *s)
{
    stg_graph_builder_destroy(s->builder);
}

static inline sim_event *sim_add(sim *s, int what, int target, double strength, uint32_t from,
                                 uint32_t length)
{
    sim_event *e = &s->event[s->events++ % SIM_EVENTS];
    memset(s->met[e - s->event], 0, sizeof s->met[0]);
    *e = (sim_event){.what = what, .page = target, .node = target, .strength = strength,
                     .from = s->window + from, .to = s->window + from + length, .clients = 20};
    return e;
}

static inline double sim_now(const sim *s, const sim_event *e)
{
    if (s->window < e->from || s->window >= e->to)
        return 0;
    const double x = (s->window - e->from + 1.0) / (0.3 * (e->to - e->from) + 1e-9);
    return e->ramp && x < 1 ? x : 1;
}

static inline void sim_see(sim *s, int edge, uint32_t client)
{
    for (int i = 0; i < 256; i++) {
        if (s->seen[edge][i] == 0) {
            s->seen[edge][i] = client;
            s->edge[edge][SC_CLIENTS]++;
        }
        if (s->seen[edge][i] == client) {
            s->times[edge][i]++;
            s->edge[edge][SC_TOP] = fmax(s->edge[edge][SC_TOP], s->times[edge][i]);
            return;
        }
    }
}

/* One call of a service by page or route, and what it causes. */
static inline void sim_inner(sim *s, int service, int page, const char *route)
{
    /* few calls wait at a time: a list instead of recursion */
    struct { int service, page; const char *route; } next_call[64];
    int n = 1;
    next_call[0].service = service;
    next_call[0].page = page;
    next_call[0].route = route;
    while (n > 0) {
        n--;
        const int at = next_call[n].service;
        const int pg = next_call[n].page;
        const char *by = next_call[n].route;
        for (int c = 0; c < SIM_CALLS; c++) {
            const sim_call *k = &sim_calls[c];
            if (k->from != at || (k->in ? !by || strcmp(k->in, by) != 0 : pg != k->page))
                continue;
            int times = k->p >= 1 ? (int)k->p : sim_unit(s) < k->p;
            while (times-- > 0 && n < 60) {
                double *e = s->edge[2 * SIM_PAGES + c];
                e[SC_CALLS]++;
                e[SC_ERRORS] += sim_unit(s) < 0.001;
                e[SC_IN] += 300;
                e[SC_OUT] += 1500 * exp(0.3 * stg__rng_normal(&s->rng));
                next_call[n].service = k->to;
                next_call[n].page = -1;
                next_call[n].route = k->route;
                n++;
            }
        }
    }
}

typedef struct sim_request {
    int page;
    uint32_t client;
    int new_group;
    int attack; /* class or 0 */
    int user;   /* 0: another one each time */
} sim_request;

static inline void sim_ask(sim *s, sim_request q)
{
    const int failed = q.attack == STG_CLASS_BRUTE_FORCE || q.attack == STG_CLASS_CRED_STUFFING
                           ? sim_unit(s) < 0.985
                           : sim_unit(s) < 0.065;
    const int missing = sim_unit(s) < 0.015;
    const int error = sim_unit(s) < 0.002;
    const int hit = q.attack == STG_CLASS_INJECTION && sim_unit(s) < 0.8;
    const double in = q.attack == STG_CLASS_INJECTION ? 480 : q.attack ? 250 : 300 + 30 * sim_unit(s);
    const double out = 5000 * exp(0.3 * stg__rng_normal(&s->rng));
    for (int hop = 0; hop < 2; hop++) {
        const int at = 2 * q.page + hop;
        double *e = s->edge[at];
        e[SC_CALLS]++;
        e[SC_ERRORS] += error;
        e[SC_NEW] += q.new_group;
        e[SC_INJECTIONS] += hit;
        e[SC_IN] += in;
        e[SC_OUT] += out;
        if (q.page == P_LOGIN) {
            e[SC_LOGINS]++;
            e[SC_FAILURES] += failed;
            e[SC_USERS] += q.user == 0 || sim_unit(s) < 0.1;
            e[SC_CLIENT_ERRORS] += failed;
        } else if (q.page == P_REGISTER) {
            e[SC_REGISTERS]++;
            e[SC_CLIENT_ERRORS] += failed;
        } else {
            e[SC_ASSETS] += q.page == P_MEDIA;
            e[SC_CLIENT_ERRORS] += missing;
        }
        sim_see(s, at, q.client);
    }
    if (!error)
        sim_inner(s, sim_pages[q.page].service, q.page, NULL);
}

static inline int sim_pick(sim *s, const double *p)
{
    double u = sim_unit(s);
    for (int i = 0; i < SIM_PAGES; i++)
        if ((u -= p[i]) < 0)
            return i;
    return -1;
}

static inline void sim_arrive(sim *s, double mean, int flash)
{
    double start[SIM_PAGES];
    for (int i = 0; i < SIM_PAGES; i++)
        start[i] = sim_pages[i].start;
    for (int n = sim_poisson(s, mean); n > 0 && s->visits < SIM_VISITS; n--) {
        const int fresh = flash && sim_unit(s) < 0.7;
        sim_visit *v = &s->visit[s->visits++];
        v->at = (s->window + sim_unit(s)) * 5;
        v->page = sim_pick(s, start);
        v->client = fresh ? 100000 + stg__rng_below(&s->rng, 15000) : 1 + stg__rng_below(&s->rng, 1200);
        v->new_group = fresh && sim_unit(s) < 0.3;
        if (v->page < 0)
            s->visits--;
    }
}

static inline void sim_walk(sim *s)
{
    const double end = (s->window + 1) * 5.0;
    for (int i = 0; i < s->visits; i++) {
        sim_visit *v = &s->visit[i];
        while (v->at < end) {
            const int failed = v->page == P_LOGIN && sim_unit(s) < 0.05;
            sim_ask(s, (sim_request){v->page, v->client, v->new_group, 0, 0});
            for (int a = sim_poisson(s, sim_pages[v->page].assets); a > 0; a--)
                sim_ask(s, (sim_request){P_MEDIA, v->client, v->new_group, 0, 0});
            const int next = failed ? v->page : sim_pick(s, sim_pages[v->page].next);
            if (next < 0) {
                *v = s->visit[--s->visits];
                i--;
                break;
            }
            v->page = next;
            v->at += 3.5 * exp(0.9 * stg__rng_normal(&s->rng));
        }
    }
}

static inline double sim_day(const sim *s)
{
    const double x = s->window * 5 / s->day_s;
    const double w = sin(6.283185307 * (x - 0.3)) + 0.3 * sin(12.566370614 * (x - 0.1));
    return exp(log(s->swing) / 2.4 * w) * 0.8;
}

static inline void sim_attacks(sim *s)
{
    for (int i = 0; i < SIM_EVENTS && i < s->events; i++) {
        const sim_event *e = &s->event[i];
        const double now = sim_now(s, e);
        if (now <= 0 || e->what >= 64 || e->what == STG_CLASS_SLOW_DOS)
            continue;
        const double own = fmax(s->page_rate[e->page], 0.5);
        for (int n = sim_poisson(s, own * e->strength * now); n > 0; n--) {
            const uint32_t k = stg__rng_below(&s->rng, (uint32_t)e->clients);
            /* every second address comes from a network that is new, but only once */
            const int fresh = k % 2 == 1 && k < 512 && !(s->met[i][k / 64] >> k % 64 & 1);
            s->met[i][k / 64 % 8] |= (uint64_t)1 << k % 64;
            sim_ask(s, (sim_request){e->page, 200000 + 1000 * (uint32_t)i + k, fresh, e->what,
                                     e->what == STG_CLASS_BRUTE_FORCE});
        }
    }
}

/* Latency, errors and retries of what an event disturbs; factor 1 when nothing does. */
static inline double sim_disturb(sim *s, int node, double *errors)
{
    double factor = 1;
    *errors = 0;
    for (int i = 0; i < SIM_EVENTS && i < s->events; i++) {
        const sim_event *e = &s->event[i];
        if (e->node != node || sim_now(s, e) <= 0)
            continue;
        if (e->what == SIM_DEPLOY) {
            *errors = s->window == e->from ? 0.3 : 0.01;
            factor = e->strength;
        } else if (e->what == SIM_SLOW_DEPENDENCY) {
            factor = e->strength;
        } else if (e->what == SIM_RETRY_STORM) {
            *errors = 0.5;
        }
    }
    return factor;
}

static inline void sim_latency(sim *s, int e, int dst, double ms)
{
    double errors;
    double *v = s->edge[e];
    const double f = sim_disturb(s, dst, &errors);
    const double n = v[SC_CALLS];
    for (int k = (int)n; k > 0 && errors > 0; k--)
        if (sim_unit(s) < errors) {
            v[SC_ERRORS]++;
            v[SC_CALLS]++;
            v[SC_RETRIES]++;
        }
    v[SC_P50] = n < 1 ? NAN
                      : 1000 * ms * f * exp(s->slow_noise[dst] +
                                            0.5 * stg__rng_normal(&s->rng) / sqrt(n));
}

static inline void sim_gauges(sim *s)
{
    double held[SIM_NODES] = {0};
    int headers = 0;
    for (int i = 0; i < SIM_EVENTS && i < s->events; i++) {
        const sim_event *e = &s->event[i];
        const double now = sim_now(s, e);
        if (now <= 0 || (e->what != STG_CLASS_SLOW_DOS && e->what != SIM_SLOW_BODY))
            continue;
        const double c = fmax(3, e->strength * s->visits * (e->what == SIM_SLOW_BODY ? .1 : 1) * now);
        held[SIM_EDGE] += c;
        if (e->what == SIM_SLOW_BODY)
            held[sim_pages[e->page].service] += c;
        else
            headers = 1;
    }
    for (int i = 1; i < SIM_NODES; i++) {
        double *v = s->node[i];
        const double busy = sim_poisson(s, v[SN_CALLS] / 5 * 0.02);
        const double body = headers && i == SIM_EDGE ? 0 : held[i];
        v[SN_OPEN] = i == SIM_EDGE ? s->visits + held[i] : 8 + held[i] + sim_poisson(s, 1);
        v[SN_WAITING] = (headers && i == SIM_EDGE ? held[i] : 0) + sim_poisson(s, 0.05);
        v[SN_ACTIVE] = v[SN_IN_FLIGHT] = busy + body;
        v[SN_CONN_AGE] = held[i] > 0 ? 20000 : busy > 0 ? 30 * exp(stg__rng_normal(&s->rng)) : 0;
        v[SN_HEADER_AGE] = v[SN_WAITING] > 1 && held[i] > 0 ? 15000 : v[SN_WAITING] * 20;
        double errors;
        v[SN_EXCLUSIVE] = v[SN_CALLS] > 0 ? 3000 * sim_disturb(s, i, &errors) *
                                                exp(s->slow_noise[i] + 0.5 * stg__rng_normal(&s->rng) /
                                                                           sqrt(v[SN_CALLS]))
                                          : NAN;
    }
}

static inline void sim_totals(sim *s)
{
    for (int e = 0; e < SIM_EDGES; e++) {
        const int page = e / 2;
        const int outer = e < 2 * SIM_PAGES;
        const int dst = outer ? (e % 2 ? sim_pages[page].service : SIM_EDGE)
                              : sim_calls[e - 2 * SIM_PAGES].to;
        sim_latency(s, e, dst, outer ? sim_pages[page].ms : sim_calls[e - 2 * SIM_PAGES].ms);
        s->node[dst][SN_CALLS] += s->edge[e][SC_CALLS];
        s->node[dst][SN_ERRORS] += s->edge[e][SC_ERRORS];
        if (outer && e % 2 == 0)
            s->node[0][SN_CALLS] += s->edge[e][SC_CALLS];
        if (!outer)
            s->edge[e][SC_CLIENTS] = s->edge[e][SC_USERS] = NAN;
    }
}

static inline int32_t sim_emit(sim *s, const stg_graph **g)
{
    stg_graph_builder *b = s->builder;
    uint32_t node[SIM_NODES];
    uint32_t column;
    int32_t status = stg_graph_builder_begin(b, s->start_ns + (uint64_t)s->window * SIM_WINDOW,
                                             s->start_ns + (uint64_t)(s->window + 1) * SIM_WINDOW);
    for (int i = 0; status == STG_OK && i < SIM_NODES; i++) {
        status = stg_graph_builder_node(b, sim_node_names[i], strlen(sim_node_names[i]), &node[i]);
        for (int c = 0; status == STG_OK && c < SN_COUNT; c++) {
            status = stg_graph_builder_column(b, STG_NODE, sim_node_columns[c],
                                              strlen(sim_node_columns[c]), &column);
            if (status == STG_OK)
                status = stg_graph_builder_set(b, STG_NODE, node[i], column,
                                               i == 0 && c > SN_ERRORS ? NAN : s->node[i][c]);
        }
    }
    for (int e = 0; status == STG_OK && e < SIM_EDGES; e++) {
        const int outer = e < 2 * SIM_PAGES;
        const sim_call *k = &sim_calls[outer ? 0 : e - 2 * SIM_PAGES];
        const int src = outer ? (e % 2 ? SIM_EDGE : SIM_EXTERNAL) : k->from;
        const int dst = outer ? (e % 2 ? sim_pages[e / 2].service : SIM_EDGE) : k->to;
        const char *route = outer ? sim_pages[e / 2].route : k->route;
        uint32_t id;
        status = stg_graph_builder_edge(b, node[src], node[dst], route, strlen(route), &id);
        for (int c = 0; status == STG_OK && c < SC_COUNT; c++) {
            status = stg_graph_builder_column(b, STG_EDGE, sim_edge_columns[c],
                                              strlen(sim_edge_columns[c]), &column);
            if (status == STG_OK)
                status = stg_graph_builder_set(b, STG_EDGE, id, column, s->edge[e][c]);
        }
    }
    return status == STG_OK ? stg_graph_builder_finish(b, g) : status;
}

/* Next window; one reference for the caller. */
static inline int32_t sim_step(sim *s, const stg_graph **g)
{
    memset(s->edge, 0, sizeof s->edge);
    memset(s->node, 0, sizeof s->node);
    memset(s->seen, 0, sizeof s->seen);
    memset(s->times, 0, sizeof s->times);
    const double keep = exp(-5 / s->memory_tau);
    s->memory = keep * s->memory + s->memory_sd * sqrt(1 - keep * keep) * stg__rng_normal(&s->rng);
    for (int i = 0; i < SIM_NODES; i++)
        s->slow_noise[i] = 0.8 * s->slow_noise[i] + 0.05 * stg__rng_normal(&s->rng);
    const double rate = 5 * s->per_second * sim_day(s) *
                        exp(s->memory - s->memory_sd * s->memory_sd / 2);
    sim_arrive(s, rate, 0);
    for (int i = 0; i < SIM_EVENTS && i < s->events; i++)
        if (s->event[i].what == SIM_FLASH && sim_now(s, &s->event[i]) > 0)
            sim_arrive(s, fmin(rate * (s->event[i].strength - 1), 70) * sim_now(s, &s->event[i]), 1);
    sim_walk(s);
    for (int p = 0; p < SIM_PAGES; p++)
        s->page_rate[p] += 0.05 * (s->edge[2 * p][SC_CALLS] - s->page_rate[p]);
    sim_attacks(s);
    sim_totals(s);
    sim_gauges(s);
    const int32_t status = sim_emit(s, g);
    s->window++;
    return status;
}

#endif
