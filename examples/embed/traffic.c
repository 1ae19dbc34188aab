/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Some 200 requests a second from 2000 clients, a gentle wave over the hour; every request makes one
 * call from outside, logins and searches a second one within.
 */
#include <math.h>
#include <string.h>

#include "traffic.h"

#define RATE 200.0
#define CLIENTS 2000

static double unit(traffic *t) /* xorshift64*, Vigna 2016; (0, 1) */
{
    t->state ^= t->state >> 12;
    t->state ^= t->state << 25;
    t->state ^= t->state >> 27;
    return ((double)(t->state * 0x2545f4914f6cdd1dull >> 11) + 0.5) / 9007199254740992.0;
}

static uint32_t around(traffic *t, double mean) /* a count, variance 1.2 times that of Poisson */
{
    const double normal = sqrt(-2 * log(unit(t))) * cos(6.283185307179586 * unit(t));
    const double count = mean + sqrt(1.2 * mean) * normal + unit(t);
    return count > 0 ? (uint32_t)count : 0;
}

static int32_t name(traffic *t, uint32_t kind, const char *text, uint32_t *id)
{
    return stg_lane_intern(t->lane, kind, text, strlen(text), id);
}

int32_t traffic_open(traffic *t, stg_lane *lane, uint64_t seed)
{
    *t = (traffic){.lane = lane, .state = seed * 0x9e3779b97f4a7c15ull + 1};
    const struct {
        uint32_t kind;
        const char *text;
        uint32_t *id;
    } names[] = {
        {STG_NODE, "web", &t->web},          {STG_NODE, "auth", &t->auth},
        {STG_NODE, "search", &t->search},    {STG_ROUTE, "GET /", &t->home},
        {STG_ROUTE, "POST /login", &t->login}, {STG_ROUTE, "GET /search", &t->find},
        {STG_ROUTE, "POST /check", &t->check}, {STG_ROUTE, "GET /query", &t->query},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const int32_t status = name(t, names[i].kind, names[i].text, names[i].id);
        if (status != STG_OK)
            return status;
    }
    return STG_OK;
}

static void push(traffic *t, const stg_call *call)
{
    t->refused += stg_lane_push(t->lane, call, 1) == 0;
}

/* One request: a call from outside and, for logins and searches, one within. */
static void request(traffic *t, uint64_t at, uint32_t client, uint32_t route, double slower)
{
    const uint32_t network = client / 8;
    const double own = 2000 * (0.5 + unit(t));
    const double inner = route == t->home ? 0 : slower * 8000 * (0.5 + unit(t));
    const int failed = route == t->login && unit(t) < 0.1;
    stg_call call = {
        .end_ns = at,
        .client = stg_lane_hash(t->lane, &client, sizeof client),
        .group = (uint32_t)stg_lane_hash(t->lane, &network, sizeof network),
        .duration_us = (uint32_t)(own + inner),
        .dst = t->web,
        .route = route,
        .bytes_in = (uint32_t)(400 * (0.5 + unit(t))),
        .bytes_out = (uint32_t)(4000 * (0.5 + unit(t))),
        .status = failed ? 401 : 200,
        .side = STG_SIDE_PROXY,
    };
    if (route == t->login) {
        call.user = call.group;
        call.flags = (uint16_t)(STG_CALL_LOGIN | (failed ? STG_CALL_LOGIN_FAILED : 0));
    }
    push(t, &call);
    if (route == t->home)
        return;
    call.src = t->web;
    call.dst = route == t->login ? t->auth : t->search;
    call.route = route == t->login ? t->check : t->query;
    call.duration_us = (uint32_t)inner;
    call.bytes_in /= 2;
    call.side = STG_SIDE_CLIENT;
    push(t, &call);
}

void traffic_window(traffic *t, uint64_t start_ns, double flood)
{
    const double seconds = TRAFFIC_WINDOW_NS / 1e9;
    const double hour = fmod((double)((start_ns - TRAFFIC_START_NS) / 1000000000ull) / 3600, 1);
    const double rate = RATE * (1 + 0.2 * sin(6.283185307179586 * hour));
    for (uint32_t n = around(t, rate * seconds); n > 0; n--) {
        const double kind = unit(t);
        const uint32_t client = (uint32_t)(CLIENTS * unit(t) * unit(t)); /* some come often */
        const uint32_t route = kind < 0.6 ? t->home : kind < 0.7 ? t->login : t->find;
        request(t, start_ns + (uint64_t)(unit(t) * TRAFFIC_WINDOW_NS), client, route,
                flood > 0 ? 2 : 1);
    }
    for (uint32_t n = flood > 0 ? around(t, flood * seconds) : 0; n > 0; n--)
        request(t, start_ns + (uint64_t)(unit(t) * TRAFFIC_WINDOW_NS),
                100000 + (uint32_t)(6 * unit(t)), t->find, 2);
}
