/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the monitor: the queue of event lines, their writer, and the state of the window at
 * work, which survives an error so that the tick can be repeated.
 */
#ifndef STG_MONITOR_PRIV_H
#define STG_MONITOR_PRIV_H

#include <stgraph/monitor.h>

#include "base_priv.h"

#define STG__LINE_MAX 65536u       /* an event line with its newline and NUL */
#define STG__EVENT_BYTES 4096u     /* queue memory for each of max_events lines, on average */
#define STG__MAX_EVENTS 65536u

/* --- queue of event lines --------------------------------------------------------------------- */

/* Lines in one ring of bytes, each after its length. Grows when it has to, up to max_bytes; then, or
 * at max_lines, the oldest line goes and is counted. */
typedef struct stg__events {
    stg_ctx *ctx;
    char *bytes;
    char *line; /* [STG__LINE_MAX], where lines are written; made with the first one */
    size_t cap;
    size_t head;
    size_t used;
    size_t max_bytes;
    uint32_t lines;
    uint32_t max_lines;
    uint64_t dropped;
} stg__events;

void stg__events_init(stg__events *q, stg_ctx *ctx, uint32_t max_lines);
void stg__events_fini(stg__events *q);
/* So much can then be pushed without memory, as far as the bounds allow. */
int32_t stg__events_room(stg__events *q, size_t lines, size_t bytes);
void stg__events_push(stg__events *q, const char *line, size_t len);
/* Copies all lines, the oldest first, one after the other; to may be NULL. Returns their bytes. */
size_t stg__events_copy(const stg__events *q, char *to);
/* As stg_monitor_event(). */
int32_t stg__events_take(stg__events *q, char *buf, size_t cap, size_t *len);

/* --- lines ------------------------------------------------------------------------------------ */

/* Writes a line for every incident of the report that has news; plan may be NULL. */
void stg__events_write(stg__events *q, const stg_report *report, const stg_plan *plan);

/* "2023-11-14T22:13:20.000Z" (RFC 3339, UTC), quoted. */
void stg__text_time(stg__text *text, uint64_t ns);

/* --- monitor ---------------------------------------------------------------------------------- */

/* Objects of one window. */
typedef struct stg__tick {
    const stg_graph *graph;
    const stg_report *report;
    const stg_plan *plan;
    const stg_forecast *judge; /* the window was judged by */
    const stg_forecast *next;
} stg__tick;

void stg__tick_drop(stg__tick *tick);

enum { STG__CLOSE = 0, STG__SCORE, STG__STEP, STG__FORECAST, STG__PLAN, STG__DONE };

extern const stg__state_type stg__monitor_state;

struct stg_monitor {
    stg__handle handle;
    stg_ctx *ctx;
    stg_ingest *ingest;
    stg_session *session;
    stg_detector *detector;
    stg_planner *planner;
    uint64_t window_ns;
    uint32_t lead;    /* windows between a forecast and the window it judges */
    uint32_t horizon; /* of every forecast */
    uint32_t ring_at; /* the oldest */
    const stg_forecast **ring; /* [lead] the last forecasts */
    uint8_t *all;              /* a mask of ones for windows with too little coverage */
    uint32_t all_cap;
    uint32_t stage;     /* STG__*: of the window at work; STG__CLOSE: there is none */
    uint64_t work_end;  /* its end */
    stg__tick work;
    stg__tick last; /* of the last tick that went through */
    stg__events events;
};

#endif
