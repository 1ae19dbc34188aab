/* SPDX-License-Identifier: Apache-2.0 */
#include "top_data.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ODD 3.0 /* departures from here on are pointed out */

void top_data_free(top_data *d)
{
    stg_unref(d->graph);
    stg_unref(d->forecast);
    stg_unref(d->plan);
    for (int k = 0; k < 2; k++)
        free(d->row[k]);
    top_book_free(d);
}

static double value_at(const double *column, uint32_t index)
{
    return column ? column[index] : NAN;
}

double top_data_value(const top_data *d, uint32_t kind, uint32_t index, const char *column)
{
    return value_at(stg_graph_column(d->graph, kind, column, strlen(column)), index);
}

double top_data_forecast(const top_data *d, uint32_t kind, uint32_t index, const char *column)
{
    if (!d->forecast)
        return NAN;
    return value_at(stg_forecast_mean(d->forecast, kind, column, strlen(column), d->step), index);
}

/* Poisson noise, and a forecast that is a tenth off: at high rates chance alone is too strict. */
static double departure_of(double calls, double expected)
{
    return (calls - expected) / sqrt(expected + 0.01 * expected * expected + 0.5);
}

static void set_row(const top_data *d, uint32_t kind, top_row *row)
{
    const uint32_t i = row->index;
    const double seconds = (double)d->window_ns / 1e9;
    const double calls = top_data_value(d, kind, i, "calls");
    const double expected = top_data_forecast(d, kind, i, "calls");
    const double errors = top_data_value(d, kind, i, "errors");
    row->rate = calls / seconds;
    row->forecast = expected / seconds;
    row->departure = isnan(expected) || isnan(calls) ? 0 : departure_of(calls, expected);
    row->errors = calls > 0 ? errors / calls : NAN;
    row->p50_us = top_data_value(d, kind, i, "p50_us");
    row->open = kind == STG_NODE ? top_data_value(d, kind, i, "open") : NAN;
    row->incident = NULL;
    if (fabs(row->departure) >= ODD)
        row->state = ROW_ODD;
    else if (!(calls > 0))
        row->state = ROW_IDLE;
    else
        row->state = d->forecast && isnan(expected) ? ROW_NEW : ROW_OK;
}

static bool set_rows(top_data *d, uint32_t kind)
{
    const uint32_t count = kind == STG_NODE ? d->info.nodes : d->info.edges;
    stg_edges ends = {.size = sizeof ends};
    stg_graph_get_edges(d->graph, &ends);
    d->count[kind] = 0;
    if (count > d->cap[kind]) {
        top_row *grown = (top_row *)realloc(d->row[kind], count * sizeof *grown);
        if (!grown)
            return false;
        d->row[kind] = grown;
        d->cap[kind] = count;
    }
    for (uint32_t i = 0; i < count; i++) {
        top_row *row = &d->row[kind][i];
        row->index = i;
        row->name[0] = stg_graph_name(d->graph, STG_NODE, kind == STG_NODE ? i : ends.src[i], NULL);
        row->name[1] = kind == STG_NODE ? "" : stg_graph_name(d->graph, STG_NODE, ends.dst[i], NULL);
        row->name[2] = kind == STG_NODE ? "" : stg_graph_name(d->graph, STG_ROUTE, ends.route[i], NULL);
        set_row(d, kind, row);
    }
    d->count[kind] = count;
    return true;
}

static void set_incidents(top_data *d, uint32_t kind)
{
    for (uint32_t n = 0; n < d->incidents; n++) {
        const top_incident *inc = d->incident[n];
        if (inc->closed_ns)
            continue;
        for (uint32_t i = 0; i < d->count[kind]; i++) {
            top_row *row = &d->row[kind][i];
            if (row->incident && row->incident->severity >= inc->severity)
                continue;
            if (top_incident_has(inc, kind, row->name)) {
                row->incident = inc;
                row->state = inc->benign ? ROW_BENIGN : ROW_ATTACK;
            }
        }
    }
}

static void set_total(top_data *d)
{
    top_total *t = &d->total;
    double calls = 0, errors = 0;
    t->rate = t->outside = t->forecast = 0;
    for (uint32_t i = 0; i < d->count[STG_EDGE]; i++) {
        const top_row *row = &d->row[STG_EDGE][i];
        if (!(row->rate > 0) && isnan(row->forecast))
            continue;
        t->rate += row->rate;
        t->forecast += isnan(row->forecast) ? 0 : row->forecast;
        t->outside += strcmp(row->name[0], "external") == 0 ? row->rate : 0;
        calls += row->rate;
        errors += isnan(row->errors) ? 0 : row->errors * row->rate;
    }
    if (!d->forecast)
        t->forecast = NAN;
    t->errors = calls > 0 ? errors / calls : NAN;
}

static void remember(top_data *d)
{
    if (d->history_len == TOP_HISTORY)
        memmove(d->history, d->history + 1, (TOP_HISTORY - 1) * sizeof *d->history);
    else
        d->history_len++;
    d->history[d->history_len - 1] = (float)d->total.rate;
}

static void count_incidents(top_data *d)
{
    d->total.attacks = d->total.benign = 0;
    for (uint32_t i = 0; i < d->incidents; i++) {
        if (d->incident[i]->closed_ns)
            continue;
        if (d->incident[i]->benign)
            d->total.benign++;
        else
            d->total.attacks++;
    }
}

/* The forecast of exactly this window for exactly these indices, else none. */
static void take_forecast(top_data *d, stg_monitor *monitor)
{
    stg_forecast_info f = {.size = sizeof f};
    stg_unref(d->forecast);
    d->forecast = (const stg_forecast *)stg_monitor_get(monitor, STG_GET_FORECAST);
    if (d->forecast && stg_forecast_get_info(d->forecast, &f) == STG_OK && f.ready &&
        f.topology == d->info.topology && d->info.start_ns >= f.start_ns) {
        d->step = (uint32_t)((d->info.start_ns - f.start_ns) / f.window_ns);
        return;
    }
    stg_unref(d->forecast);
    d->forecast = NULL;
}

static void take_graph(top_data *d, stg_monitor *monitor)
{
    const stg_graph *graph = (const stg_graph *)stg_monitor_get(monitor, STG_GET_GRAPH);
    if (!graph)
        return; /* nothing to show yet */
    stg_unref(d->graph);
    d->graph = graph;
    d->info = (stg_graph_info){.size = sizeof d->info};
    stg_graph_get_info(graph, &d->info);
    take_forecast(d, monitor);
}

bool top_data_window(top_data *d, stg_monitor *monitor, bool frozen)
{
    const stg_report *report = (const stg_report *)stg_monitor_get(monitor, STG_GET_REPORT);
    stg_unref(d->plan);
    d->plan = (const stg_plan *)stg_monitor_get(monitor, STG_GET_PLAN);
    stg_report_info judgement = {.size = sizeof judgement};
    bool ok = true;
    if (!frozen)
        take_graph(d, monitor);
    if (report && stg_report_get_info(report, &judgement) == STG_OK) {
        judgement.mask = NULL; /* goes with the report */
        d->judgement = judgement;
        d->total.judged += judgement.judged;
        ok = ok && top_book_take(d, report, d->plan);
    }
    stg_unref(report);
    d->total.windows++;
    d->ledger = (stg_ingest_stats){.size = sizeof d->ledger};
    stg_ingest_get_stats(stg_monitor_ingest(monitor), &d->ledger);
    count_incidents(d);
    for (uint32_t k = 0; d->graph && k < 2; k++) { /* frozen rows too: their incidents go on */
        ok = set_rows(d, k) && ok;
        set_incidents(d, k);
    }
    if (!frozen) {
        set_total(d);
        remember(d);
    }
    return ok;
}
