/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What holds of forecasts, reports, plans and event lines whatever the graphs and the model were:
 * counts and states as documented, numbers that are numbers, lines that are JSON.
 */
#ifndef STG_FUZZ_LINE_H
#define STG_FUZZ_LINE_H

#include "fuzz_input.h"
#include "monitor_priv.h"

static inline void line_forecast(const stg_forecast *fc)
{
    static const char *const columns[] = {"calls", "errors", "mean_us"};
    stg_forecast_info info = {.size = sizeof info};
    FUZZ_CHECK(stg_forecast_get_info(fc, &info) == STG_OK && info.horizon > 0);
    for (uint32_t step = 0; step <= info.horizon; step++)
        for (uint32_t c = 0; c < 4; c++) {
            const uint32_t kind = c == 3 ? STG_EDGE : STG_NODE;
            const char *name = columns[c % 3];
            const double *mean = stg_forecast_mean(fc, kind, name, strlen(name), step);
            FUZZ_CHECK(!mean || step < info.horizon);
            for (uint32_t i = 0; mean && i < (kind == STG_NODE ? info.nodes : info.edges); i++)
                FUZZ_CHECK(isnan(mean[i]) || (isfinite(mean[i]) && mean[i] >= 0));
        }
}

static inline void line_items(const stg_report *r, uint32_t i, uint32_t part, uint32_t count)
{
    stg_item item = {.size = sizeof item};
    for (uint32_t k = 0; k < count; k++) {
        FUZZ_CHECK(stg_report_item(r, i, part, k, &item) == STG_OK);
        FUZZ_CHECK(item.node && item.src && item.dst && item.route && item.column);
        FUZZ_CHECK(isfinite(item.value));
        FUZZ_CHECK(!isinf(item.observed) && !isinf(item.expected));
    }
    FUZZ_CHECK(stg_report_item(r, i, part, count, &item) == STG_E_NOTFOUND);
}

static inline void line_incident(const stg_report *r, uint32_t i, const stg_report_info *info)
{
    stg_incident_info inc = {.size = sizeof inc};
    FUZZ_CHECK(stg_report_incident(r, i, &inc) == STG_OK);
    FUZZ_CHECK(inc.state >= STG_INCIDENT_OPEN && inc.state <= STG_INCIDENT_CLOSE);
    FUZZ_CHECK(inc.class_id <= STG_CLASS_INJECTION ||
               (inc.class_id >= STG_CLASS_FLASH_CROWD && inc.class_id <= STG_CLASS_RETRY_STORM));
    FUZZ_CHECK(inc.confidence >= 0 && inc.confidence <= 1 && isfinite(inc.severity));
    FUZZ_CHECK(inc.class_name[0] && inc.text[0] && inc.technique && inc.id);
    FUZZ_CHECK(inc.opened_ns <= info->end_ns && inc.onset_ns < inc.opened_ns);
    line_items(r, i, STG_ITEM_NODE, inc.nodes);
    line_items(r, i, STG_ITEM_EDGE, inc.edges);
    line_items(r, i, STG_ITEM_CAUSE, inc.causes);
    line_items(r, i, STG_ITEM_EVIDENCE, inc.evidence);
}

static inline void line_report(const stg_report *r, const stg_graph *g)
{
    stg_report_info info = {.size = sizeof info};
    stg_graph_info of = {.size = sizeof of};
    stg_incident_info none = {.size = sizeof none};
    FUZZ_CHECK(stg_report_get_info(r, &info) == STG_OK);
    FUZZ_CHECK(stg_graph_get_info(g, &of) == STG_OK);
    FUZZ_CHECK(info.start_ns == of.start_ns && info.end_ns == of.end_ns && info.nodes == of.nodes);
    FUZZ_CHECK(info.alarm_level > 0 && isfinite(info.alarm_level) && isfinite(info.evidence));
    for (uint32_t i = 0; i < info.nodes; i++)
        FUZZ_CHECK(info.mask[i] <= 1);
    for (uint32_t i = 0; i < info.incidents; i++)
        line_incident(r, i, &info);
    FUZZ_CHECK(stg_report_incident(r, info.incidents, &none) == STG_E_NOTFOUND);
}

static inline void line_plan(const stg_plan *plan, const stg_graph *g)
{
    stg_graph_info of = {.size = sizeof of};
    stg_action a = {.size = sizeof a};
    FUZZ_CHECK(stg_graph_get_info(g, &of) == STG_OK);
    const uint32_t n = stg_plan_actions(plan);
    FUZZ_CHECK(n <= 256 && stg_plan_action(plan, n, &a) == STG_E_NOTFOUND);
    for (uint32_t i = 0; i < n; i++) {
        FUZZ_CHECK(stg_plan_action(plan, i, &a) == STG_OK);
        FUZZ_CHECK(a.kind >= STG_ACTION_LIMIT && a.kind <= STG_ACTION_TIMEOUT);
        FUZZ_CHECK(isfinite(a.value) && a.value >= 0 && !isinf(a.present));
        FUZZ_CHECK(a.expires_ns > of.end_ns || a.expires_ns == UINT64_MAX);
        FUZZ_CHECK(a.verb[0] && a.node && a.src && a.route && a.reason[0]);
    }
}

/* The lines that the report makes, as the monitor writes them. */
static inline void line_events(stg__events *q, const stg_report *r, const stg_plan *plan)
{
    static char text[STG__LINE_MAX];
    size_t len = 0;
    stg__events_write(q, r, plan);
    int32_t status;
    while ((status = stg__events_take(q, text, sizeof text, &len)) == STG_OK)
        fuzz_json(text, len);
    FUZZ_CHECK(status == STG_AGAIN);
}

#endif
