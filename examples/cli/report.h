/* SPDX-License-Identifier: Apache-2.0 */
/* What 'stgraph report' keeps of a recording: for each node and edge, calls seen and forecast in
 * every window, and the news of incidents as the library wrote them. */
#ifndef STGRAPH_CLI_REPORT_H
#define STGRAPH_CLI_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <stgraph/stgraph.h>

typedef struct report_data report_data;

report_data *report_data_new(void);
void report_data_free(report_data *data);

/* Adds a window: forecast may be NULL. False: out of memory. */
bool report_data_window(report_data *data, const stg_graph *graph, const stg_forecast *forecast,
                        double evidence, double alarm_level);
/* Adds a line of news, JSON with its newline. */
bool report_data_event(report_data *data, const char *line, size_t len);
size_t report_data_windows(const report_data *data);

/* Writes everything as one JSON object that is safe within a script element of HTML. */
bool report_data_write(const report_data *data, uint64_t window_ns, FILE *out);

#endif
