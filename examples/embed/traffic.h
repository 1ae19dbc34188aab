/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Made-up traffic for the two programs of this folder: clients outside call "web", which calls
 * "auth" or "search". A host has real calls instead.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stgraph/stgraph.h>

#define TRAFFIC_WINDOW_NS 5000000000ull
#define TRAFFIC_START_NS 1700000000000000000ull

typedef struct traffic {
    stg_lane *lane;
    uint64_t state; /* of the random numbers */
    uint64_t refused; /* calls that found no room in the lane */
    uint32_t web, auth, search;             /* nodes */
    uint32_t home, login, find, check, query; /* routes */
} traffic;

/* Names the nodes and routes in the lane, as a worker does once when it starts. */
int32_t traffic_open(traffic *t, stg_lane *lane, uint64_t seed);

/* Pushes the calls of the window that starts at start_ns; flood: calls of GET /search a second that
 * a few clients add to it. */
void traffic_window(traffic *t, uint64_t start_ns, double flood);

#endif
