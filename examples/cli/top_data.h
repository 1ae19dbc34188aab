/* SPDX-License-Identifier: Apache-2.0 */
/* What 'stgraph top' shows: the last window as rows, and the book of incidents. Knows no screen. */
#ifndef STGRAPH_CLI_TOP_DATA_H
#define STGRAPH_CLI_TOP_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stgraph/stgraph.h>

#define TOP_HISTORY 256 /* windows of the course of the whole */

/* What a row says about itself, the worst last. */
enum { ROW_IDLE, ROW_OK, ROW_NEW, ROW_ODD, ROW_BENIGN, ROW_ATTACK };

/* An incident, open or closed. Texts are its own; text and parts are those of the last notification,
 * as 'watch' prints them, numbers and actions those of the last window. */
typedef struct top_incident {
    uint64_t id;
    uint64_t opened_ns;
    uint64_t onset_ns;
    uint64_t closed_ns; /* 0: open */
    double confidence;
    double severity;
    bool benign;
    const char *class_name;
    const char *technique;
    const char *text;
    stg_item *item; /* grouped by STG_ITEM_*: part p is item[first[p]] .. item[first[p + 1] - 1] */
    uint32_t first[5];
    stg_action *action;
    uint32_t actions;
    bool withdrawn; /* the actions are not asked for any more */
} top_incident;

/* A service or an edge in the last window. Names are borrowed from its graph. */
typedef struct top_row {
    const char *name[3]; /* a service; or caller, callee, route */
    double rate;         /* calls a second */
    double forecast;     /* likewise; NaN: none */
    double departure;    /* of the rate, in units of what chance and a forecast 10 % off make */
    double errors;       /* share of the calls, 0 to 1; NaN: no calls */
    double p50_us;
    double open; /* connections */
    int state;   /* ROW_* */
    const top_incident *incident; /* the worst open one that it is part of, NULL: none */
    uint32_t index;               /* in the graph */
} top_row;

typedef struct top_total {
    double rate, outside, forecast, errors;
    uint64_t windows, judged;
    uint64_t attacks, benign, closed; /* incidents: open, open and benign, closed since the start */
} top_total;

typedef struct top_data {
    uint64_t window_ns;
    /* The window at hand, by reference. */
    const stg_graph *graph;
    const stg_forecast *forecast;
    const stg_plan *plan;
    stg_graph_info info;
    stg_report_info judgement;
    uint32_t step; /* of the forecast */
    stg_ingest_stats ledger;
    top_total total;
    float history[TOP_HISTORY]; /* calls a second of the last windows, the oldest first */
    int history_len;
    top_row *row[2]; /* STG_NODE, STG_EDGE */
    uint32_t count[2];
    uint32_t cap[2];
    top_incident **incident;
    uint32_t incidents;
    uint32_t incident_cap;
} top_data;

void top_data_free(top_data *data);

/* Takes over what a tick has made. The rows stay as they were when frozen; incidents go on. False:
 * out of memory. */
bool top_data_window(top_data *data, stg_monitor *monitor, bool frozen);

/* A column of the graph at hand for one row, NaN where it is not known. */
double top_data_value(const top_data *data, uint32_t kind, uint32_t index, const char *column);
/* The forecast of a column for one node or edge, NaN where there is none. */
double top_data_forecast(const top_data *data, uint32_t kind, uint32_t index, const char *column);

/* --- the book (top_book.c) -------------------------------------------------------------------- */

bool top_book_take(top_data *data, const stg_report *report, const stg_plan *plan);
void top_book_free(top_data *data);
/* Whether a node or an edge, by its names, is part of an incident. */
bool top_incident_has(const top_incident *inc, uint32_t kind, const char *const *name);

#endif
