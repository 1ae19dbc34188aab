/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the planner: the queueing formula, the table of live actions, the levels of demand
 * it keeps for itself, and what one call of stg_planner_plan() looks at.
 */
#ifndef STG_RESPOND_PRIV_H
#define STG_RESPOND_PRIV_H

#include <stgraph/respond.h>

#include "graph_priv.h"

#define STG__REPLICAS_MAX 65536u
#define STG__LIVE_MAX 256u   /* live actions of one planner */
#define STG__WARM 30u        /* windows before a level means something */
#define STG__REASON_MAX 192u /* reasons hold numbers and class names, no names from outside */

/* Probability that a call waits with so many servers and so many busy ones on average (load). */
double stg__erlang_c(uint32_t servers, double load);

/* Least number of servers at which no more than `share` of the calls waits longer than `wait`
 * seconds; rate and service_rate in calls a second; at most STG__REPLICAS_MAX, 0 for nonsense. */
uint32_t stg__erlang_replicas(double rate, double service_rate, double wait, double share);

/* --- what a plan is made from ----------------------------------------------------------------- */

typedef struct stg__window {
    const stg_graph *graph;
    const stg_report *report;
    const stg_forecast *forecast; /* NULL: none, or one that is not ready */
    stg_report_info info;
    uint64_t end_ns;
    uint32_t first_step; /* of the forecast: the first window after this one */
    uint32_t horizon;
    double seconds; /* length of the window */
    double coverage;
    const double *node_calls; /* columns of the graph; NULL where missing */
    const double *node_exclusive;
    const double *node_mean;
    const double *edge_calls;
} stg__window;

/* --- live actions ----------------------------------------------------------------------------- */

enum {
    STG__SLOT_FREE = 0,
    STG__SLOT_LIVE,
    STG__SLOT_RESTING /* ended a moment ago: its target is left alone until the dwell is over */
};

typedef struct stg__live {
    uint64_t key;
    uint64_t incident; /* 0: from the forecast alone */
    uint64_t expires_ns;
    uint64_t changed_ns; /* when it began, ended, or its value changed */
    double value;
    double present;
    uint32_t kind;
    uint32_t state;  /* STG__SLOT_* */
    uint32_t wanted; /* asked for by this window */
    uint32_t src_at; /* offsets in names */
    uint32_t route_at;
    uint32_t names_len; /* with the three NULs */
    uint32_t names_cap;
    char *names; /* node, src, route */
    char reason[STG__REASON_MAX];
} stg__live;

typedef struct stg__proposal {
    uint32_t kind;
    const char *node;
    const char *src;
    const char *route;
    uint64_t incident;
    double value;
    double usual; /* replicas that do in the long run; for STG_ACTION_SCALE */
    double present;
    char reason[STG__REASON_MAX];
} stg__proposal;

/* --- levels of demand ------------------------------------------------------------------------- */

typedef struct stg__levels {
    stg__topology *topo; /* that the arrays belong to */
    uint32_t nodes;
    uint32_t edges;
    double *rate;       /* [nodes] calls a second in the long run, incidents left out */
    double *service_us; /* [nodes] own time of a call in the long run */
    uint32_t *seen;     /* [nodes] windows in rate */
    uint32_t *timed;    /* [nodes] windows in service_us */
    uint64_t *crowd;    /* [nodes] flash crowd that the node is in now; 0: none */
    double *edge_rate;  /* [edges] */
    uint32_t *edge_seen;
} stg__levels;

extern const stg__state_type stg__planner_state;

struct stg_planner {
    stg__handle handle;
    stg_ctx *ctx;
    stg__pool *pool;
    uint64_t ttl_ns;
    uint64_t dwell_ns;
    uint64_t last_end_ns;
    double min_confidence;
    uint32_t dry_run;
    stg__live *live; /* [STG__LIVE_MAX] */
    stg__levels levels;
};

/* Brings the arrays into the order of this topology; names are identity. */
int32_t stg__levels_align(stg__levels *levels, stg_ctx *ctx, stg__topology *topo);
void stg__levels_learn(stg__levels *levels, const stg__window *win);
void stg__levels_fini(stg__levels *levels, stg_ctx *ctx);

/* Same verb and target, same key: in every process and after every restart. */
uint64_t stg__action_key(uint32_t kind, const char *node, const char *src, const char *route);
/* Makes the action, or refreshes the one that lives. Errors: E_NOMEM. */
int32_t stg__live_want(stg_planner *planner, const stg__proposal *want, uint64_t now);
/* Ends what has expired and what its incident no longer asks for. */
void stg__live_sweep(stg_planner *planner, const stg__window *win);

/* Limits and timeouts for attacks; marks the members of flash crowds for stg__propose_scale(). */
int32_t stg__propose_answers(stg_planner *planner, const stg__window *win);
int32_t stg__propose_scale(stg_planner *planner, const stg__window *win);

/* An attack by its class; benign and unknown ones are never limited. */
static inline bool stg__class_is_attack(uint32_t class_id)
{
    return class_id > STG_CLASS_UNKNOWN && class_id < STG_CLASS_FLASH_CROWD;
}

/* --- plan ------------------------------------------------------------------------------------- */

extern const stg__pool_type stg__plan_type;
/* Copies the live actions into a plan of the pool, ordered by key. */
int32_t stg__plan_make(stg_planner *planner, const stg_plan **out);

#endif
