/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file monitor.h
 * The whole line in one handle, for a host that wants ten lines: ingest, session, detector and
 * planner of one model file.
 *
 * @code
 * stg_monitor *mon;
 * stg_lane *lane;
 * char line[65536];
 * size_t len;
 * stg_monitor_create(&mon, ctx, bundle, NULL, &err);
 * stg_lane_open(&lane, stg_monitor_ingest(mon), NULL);
 * stg_lane_push(lane, calls, n);
 * stg_monitor_tick(mon, window_end, &err);
 * while (stg_monitor_event(mon, line, sizeof line, &len) == STG_OK)
 *     fwrite(line, 1, len, stdout);
 * stg_lane_close(lane);
 * stg_monitor_destroy(mon);
 * @endcode
 */
#ifndef STGRAPH_MONITOR_H
#define STGRAPH_MONITOR_H

#include <stgraph/ingest.h>
#include <stgraph/respond.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Ingest, session, detector and planner together; one user at a time. */
typedef struct stg_monitor stg_monitor;

/** Options of stg_monitor_create(). */
typedef struct stg_monitor_opts {
    size_t size;                        /**< sizeof(stg_monitor_opts) */
    const stg_ingest_opts *ingest;      /**< NULL: defaults; window_ns is the model's */
    const stg_detector_opts *detector;  /**< NULL: defaults */
    const stg_planner_opts *planner;    /**< NULL: defaults */
    uint32_t max_events;                /**< events kept for stg_monitor_event(); 0: 1024 */
    uint32_t reserved;                  /**< zero */
} stg_monitor_opts;

/** Makes a monitor from a bundle with a model; opts may be NULL. Errors: E_NOTFOUND (no model),
 *  E_FORMAT, E_VERSION, E_INVALID, E_NOMEM. Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_monitor_create(stg_monitor **out, stg_ctx *ctx, const stg_bundle *bundle,
                                   const stg_monitor_opts *opts, stg_error *err);

/** Frees a monitor; its lanes must be closed before. NULL is allowed. @since 0.1 */
STG_API void stg_monitor_destroy(stg_monitor *mon);

/** The monitor's ingest, for lanes and the ledger; borrowed, do not close windows on it.
 *  @since 0.1 */
STG_API stg_ingest *stg_monitor_ingest(stg_monitor *mon);

/** Closes the window that ends at window_end, judges it, plans, and makes the next forecast.
 *  Errors: as of the five calls it makes. @since 0.1 */
STG_API int32_t stg_monitor_tick(stg_monitor *mon, uint64_t window_end, stg_error *err);

/**
 * Takes out the oldest event as one line of JSON with its newline: {"id","state","opened",...,
 * "class","confidence","severity","text","nodes","edges","root_cause","evidence","plan"}. Returns STG_AGAIN when there is
 * none, STG_MORE with *len the size needed when cap is too small (the event stays). @since 0.1
 */
STG_API int32_t stg_monitor_event(stg_monitor *mon, char *buf, size_t cap, size_t *len);

/** Events that were dropped because nobody took them. @since 0.1 */
STG_API uint64_t stg_monitor_dropped(const stg_monitor *mon);

/** Objects of the last tick, for stg_monitor_get(). */
enum {
    STG_GET_GRAPH = 0,    /**< stg_graph */
    STG_GET_REPORT = 1,   /**< stg_report */
    STG_GET_PLAN = 2,     /**< stg_plan */
    STG_GET_FORECAST = 3, /**< stg_forecast that the window was judged by; NULL for the first */
    STG_GET_NEXT = 4      /**< stg_forecast of the next windows */
};

/** An object of the last tick, with a reference for the caller (stg_unref()); NULL if there is none.
 *  @since 0.1 */
STG_API const void *stg_monitor_get(stg_monitor *mon, uint32_t what);

#ifdef __cplusplus
}
#endif
#endif
