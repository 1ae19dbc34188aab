/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file monitor.h
 * The whole line in one handle, for a host that wants ten lines: ingest, session, detector and
 * planner of one model file.
 *
 * News of incidents come out as lines of JSON, one when an incident opens, when it changes, and when
 * it closes; each line stands for itself (UTF-8, independent of the locale, at most 65535 bytes):
 *
 *     {"id":"0000000000000012","state":"open" | "update" | "close",
 *      "time":"2026-03-01T12:00:05.000Z","time_ns":N,       the end of the window
 *      "opened":"...Z","opened_ns":N,"onset_ns":N,"class":"http_flood","confidence":0.93,
 *      "severity":4.1,"technique":"T1499.002","text":"one sentence","nodes":["web"],
 *      "edges":[{"src":"external","dst":"web","route":"GET /search"}],
 *      "root_cause":[{"node":"web","score":1.2} | {"edge":{"src","dst","route"},"score":0.7}],
 *      "evidence":[{"column":"calls","where":"external -> web GET /search","observed":950,
 *                   "expected":110,"contribution":2.1}],
 *      "plan":[{"verb":"limit","target":"external -> web GET /search","value":33,"present":190,
 *               "expires_ns":N,"dry_run":true,"reason":"one sentence"}]}
 *
 * Ids count up from 1 within a monitor and those that go on from its state. An incident that comes back
 * within twelve windows of its close opens again under its id, with a new "opened_ns": both together name
 * one stretch. Causes stand with the likeliest first, then the first of other kinds of sources; evidence
 * with contribution 0 raised the alarm and says nothing of the class. "technique" may hold several.
 *
 * A number that is not known is null. At most 64 nodes, 64 edges, 5 causes, 8 pieces of evidence and
 * 32 actions; "truncated":true when there were more nodes, edges or actions, or when the names are so
 * long that lists had to be cut.
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
    uint32_t max_events;                /**< events kept for stg_monitor_event(), at most 65536, and
                                             not more than 4 KiB each on average; 0: 1024 */
    uint32_t reserved;                  /**< zero */
} stg_monitor_opts;

/** Makes a monitor from a bundle with a model; opts may be NULL. The bundle may go afterwards. On top
 *  of the objects that the options let be out at once, the monitor has room for those it holds itself.
 *  Errors: E_NOTFOUND (no model), E_FORMAT, E_VERSION, E_INVALID, E_NOMEM. Ownership: caller owns.
 *  @since 0.1 */
STG_API int32_t stg_monitor_create(stg_monitor **out, stg_ctx *ctx, const stg_bundle *bundle,
                                   const stg_monitor_opts *opts, stg_error *err);

/** Frees a monitor; its lanes must be closed before. NULL is allowed. @since 0.1 */
STG_API void stg_monitor_destroy(stg_monitor *mon);

/** The monitor's ingest, for lanes and the ledger; borrowed, do not close windows on it. NULL in a
 *  child process. @since 0.1 */
STG_API stg_ingest *stg_monitor_ingest(stg_monitor *mon);

/**
 * Closes the window that ends at window_end, judges it by a forecast that has not seen it, takes it
 * in, makes the next forecast and a plan. The forecast that judges was made as many windows before as
 * the model file says ("score/lead", 1 if it says nothing). Windows may be skipped. After an error
 * the same window can be ticked again and goes on where it stopped; a host that goes on to another
 * window instead loses no news.
 * Errors: E_TIME, E_INVALID (not the end of a window), E_NOMEM, E_FORK. @since 0.1
 */
STG_API int32_t stg_monitor_tick(stg_monitor *mon, uint64_t window_end, stg_error *err);

/**
 * Takes out the oldest event, one line of JSON with its newline, ended by a NUL that *len does not
 * count. Returns STG_AGAIN when there is none, STG_MORE with *len the size needed when cap is too
 * small (the event stays; 65536 is always enough). Errors: E_INVALID, E_FORK. @since 0.1
 */
STG_API int32_t stg_monitor_event(stg_monitor *mon, char *buf, size_t cap, size_t *len);

/** Events that were dropped: the oldest, because nobody took them, or new ones for want of memory.
 *  @since 0.1 */
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
