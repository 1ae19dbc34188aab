/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file respond.h
 * Proposes what to do about a report. The library never acts: the host carries a plan out, or not.
 *
 * Attack classes are answered by a limit at the edge the attack enters by (slow requests by a limit
 * on the time a request may take to arrive), demand that is legitimate (flash crowds included) by
 * replicas from the forecast (Erlang C). Benign and unknown classes are never limited. An action
 * lives as long as windows ask for it, is withdrawn when its incident closes or turns out benign, and
 * in any case ends by itself when its time to live is over.
 *
 * @code
 * stg_planner *planner;
 * const stg_plan *plan;
 * stg_planner_create(&planner, ctx, NULL);
 * stg_planner_plan(planner, graph, report, forecast, &plan);
 * stg_action act = {sizeof act};
 * for (uint32_t i = 0; stg_plan_action(plan, i, &act) == STG_OK; i++)
 *     printf("%s %s %g\n", act.verb, act.node, act.value);
 * stg_unref(plan);
 * stg_planner_destroy(planner);
 * @endcode
 */
#ifndef STGRAPH_RESPOND_H
#define STGRAPH_RESPOND_H

#include <stgraph/score.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Makes plans; one user at a time. */
typedef struct stg_planner stg_planner;
/** What to do about one window; immutable, shared. */
typedef struct stg_plan stg_plan;

/** Kinds of actions. */
enum {
    STG_ACTION_LIMIT = 1, /**< rate limit in calls a second on an edge; present: the rate seen */
    STG_ACTION_SCALE = 2, /**< replicas of a node, each of which serves one call at a time: a host
                               whose replicas have k workers divides by k; present: NaN, because a
                               graph does not tell how many there are */
    STG_ACTION_TIMEOUT = 3 /**< limit on the time a request may take to arrive at a node, in seconds;
                                present: the time seen */
};

/** Options of stg_planner_create(). */
typedef struct stg_planner_opts {
    size_t size;           /**< sizeof(stg_planner_opts) */
    uint64_t ttl_ns;       /**< life of an action; 0: 300 s */
    uint64_t dwell_ns;     /**< least time between two changes of one target, its return after it was
                                withdrawn included; 0: 30 s */
    double min_confidence; /**< of the class before a limit is proposed; 0: 0.8 */
    uint32_t plans;        /**< plans that may be out at once without new memory; 0: 4 */
    uint32_t enforce;      /**< 0: actions are marked as a dry run; 1: as meant to be carried out */
} stg_planner_opts;

/** Makes a planner; opts may be NULL. Errors: E_NOMEM, E_INVALID, E_VERSION.
 *  Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_planner_create(stg_planner **out, stg_ctx *ctx, const stg_planner_opts *opts);

/** Frees a planner; NULL is allowed. @since 0.1 */
STG_API void stg_planner_destroy(stg_planner *planner);

/**
 * Makes the plan for a window; graph and report must be of the same window. The forecast, of the same
 * topology as the graph, covers windows after it; it may be NULL. One reference for the caller. At
 * most 256 actions live at once. After E_NOMEM the same window can be planned again.
 * Errors: E_INVALID, E_MISMATCH, E_TIME (not later than the last window), E_NOMEM, E_FORK. @since 0.1
 */
STG_API int32_t stg_planner_plan(stg_planner *planner, const stg_graph *graph,
                                 const stg_report *report, const stg_forecast *forecast,
                                 const stg_plan **out);

/** An action. Texts are borrowed from the plan. */
typedef struct stg_action {
    size_t size;          /**< sizeof(stg_action) */
    uint64_t key;         /**< the same for the same action: a host that has done it need not again */
    uint64_t incident;    /**< id of the incident it answers */
    uint64_t expires_ns;  /**< when it ends by itself */
    const char *verb;     /**< "limit", "scale", "timeout" */
    const char *node;     /**< target node */
    const char *src;      /**< caller of the target edge; "" for nodes */
    const char *route;    /**< route of the target edge; "" for nodes */
    const char *reason;   /**< one sentence */
    double value;         /**< see STG_ACTION_* */
    double present;       /**< the rate or number of replicas at present; NaN if not known */
    uint32_t kind;        /**< STG_ACTION_* */
    uint32_t dry_run;     /**< 1: only say what would be done */
} stg_action;

/** Number of live actions in the plan. @since 0.1 */
STG_API uint32_t stg_plan_actions(const stg_plan *plan);

/** Action number index. Errors: E_NOTFOUND beyond the last, E_INVALID. @since 0.1 */
STG_API int32_t stg_plan_action(const stg_plan *plan, uint32_t index, stg_action *action);

#ifdef __cplusplus
}
#endif
#endif
