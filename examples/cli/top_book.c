/* SPDX-License-Identifier: Apache-2.0 */
/* The book of incidents: what the reports of one window after the other say about each. */
#include <stdlib.h>
#include <string.h>

#include "top_data.h"

#define MAX_CLOSED 200 /* more are forgotten, the oldest first */
#define MAX_ACTIONS 32

static const uint32_t most[4] = {64, 64, 8, 16}; /* nodes, edges, causes, evidence */
#define MAX_ITEMS (64 + 64 + 8 + 16)

void top_book_free(top_data *d)
{
    for (uint32_t i = 0; i < d->incidents; i++) {
        free(d->incident[i]->item);
        free(d->incident[i]->action);
        free(d->incident[i]);
    }
    free(d->incident);
}

static size_t length(const char *const *text, size_t count)
{
    size_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += strlen(text[i]) + 1;
    return sum;
}

/* Copies a text behind *at and points to the copy. */
static void own(const char **text, char **at)
{
    const size_t len = strlen(*text) + 1;
    memcpy(*at, *text, len);
    *text = *at;
    *at += len;
}

/* Text and parts of an incident, in one block that begins with the parts. */
static bool take_parts(top_incident *inc, const stg_report *report, uint32_t index,
                       const stg_incident_info *info)
{
    stg_item item[MAX_ITEMS];
    uint32_t count = 0;
    size_t bytes = strlen(info->class_name) + strlen(info->technique) + strlen(info->text) + 3;
    for (uint32_t part = 0; part < 4; part++) {
        inc->first[part] = count;
        for (uint32_t i = 0; i < most[part]; i++) {
            stg_item *to = &item[count];
            *to = (stg_item){.size = sizeof *to};
            if (stg_report_item(report, index, part, i, to) != STG_OK)
                break;
            const char *const text[] = {to->node, to->src, to->dst, to->route, to->column};
            bytes += length(text, 5);
            count++;
        }
    }
    inc->first[4] = count;
    stg_item *block = (stg_item *)malloc(count * sizeof *block + bytes);
    if (!block)
        return false;
    memcpy(block, item, count * sizeof *block);
    char *at = (char *)(block + count);
    for (uint32_t i = 0; i < count; i++) {
        own(&block[i].node, &at);
        own(&block[i].src, &at);
        own(&block[i].dst, &at);
        own(&block[i].route, &at);
        own(&block[i].column, &at);
    }
    inc->class_name = info->class_name;
    inc->technique = info->technique;
    inc->text = info->text;
    own(&inc->class_name, &at);
    own(&inc->technique, &at);
    own(&inc->text, &at);
    free(inc->item);
    inc->item = block;
    return true;
}

/* Actions of the plan that answer the incident; those that were withdrawn stay to be read. */
static bool take_actions(top_incident *inc, const stg_plan *plan)
{
    stg_action action[MAX_ACTIONS];
    uint32_t count = 0;
    size_t bytes = 0;
    stg_action act = {.size = sizeof act};
    for (uint32_t i = 0; plan && count < MAX_ACTIONS && stg_plan_action(plan, i, &act) == STG_OK; i++) {
        if (act.incident != inc->id)
            continue;
        const char *const text[] = {act.verb, act.node, act.src, act.route, act.reason};
        bytes += length(text, 5);
        action[count++] = act;
    }
    inc->withdrawn = count == 0;
    if (count == 0)
        return true;
    stg_action *block = (stg_action *)malloc(count * sizeof *block + bytes);
    if (!block)
        return false;
    memcpy(block, action, count * sizeof *block);
    char *at = (char *)(block + count);
    for (uint32_t i = 0; i < count; i++) {
        own(&block[i].verb, &at);
        own(&block[i].node, &at);
        own(&block[i].src, &at);
        own(&block[i].route, &at);
        own(&block[i].reason, &at);
    }
    free(inc->action);
    inc->action = block;
    inc->actions = count;
    return true;
}

/* Forgets the closed incident that ended first when there are too many. */
static void forget(top_data *d)
{
    uint32_t closed = 0, oldest = 0;
    for (uint32_t i = 0; i < d->incidents; i++) {
        if (!d->incident[i]->closed_ns)
            continue;
        if (closed++ == 0 || d->incident[i]->closed_ns < d->incident[oldest]->closed_ns)
            oldest = i;
    }
    if (closed <= MAX_CLOSED)
        return;
    top_incident *gone = d->incident[oldest];
    memmove(&d->incident[oldest], &d->incident[oldest + 1],
            (d->incidents - oldest - 1) * sizeof(top_incident *));
    d->incidents--;
    free(gone->item);
    free(gone->action);
    free(gone);
}

static top_incident *incident_of(top_data *d, uint64_t id)
{
    for (uint32_t i = 0; i < d->incidents; i++)
        if (d->incident[i]->id == id)
            return d->incident[i];
    forget(d);
    if (d->incidents == d->incident_cap) {
        const uint32_t cap = d->incident_cap ? 2 * d->incident_cap : 16;
        top_incident **grown = (top_incident **)realloc(d->incident, cap * sizeof(top_incident *));
        if (!grown)
            return NULL;
        d->incident = grown;
        d->incident_cap = cap;
    }
    top_incident *made = (top_incident *)calloc(1, sizeof *made);
    if (!made)
        return NULL;
    made->id = id;
    d->incident[d->incidents++] = made;
    return made;
}

static bool take(top_data *d, const stg_report *report, uint32_t index, const stg_incident_info *info,
                 const stg_plan *plan)
{
    top_incident *inc = incident_of(d, info->id);
    if (!inc)
        return false;
    if (info->state == STG_INCIDENT_CLOSE && inc->item) { /* what it was, not what was left of it */
        inc->closed_ns = d->judgement.end_ns;
        inc->withdrawn = true;
        d->total.closed++;
        return true;
    }
    inc->closed_ns = 0;
    inc->opened_ns = info->opened_ns;
    inc->onset_ns = info->onset_ns;
    inc->severity = info->severity;
    if (!inc->item || info->state != STG_INCIDENT_QUIET) {
        inc->confidence = info->confidence;
        inc->benign = info->class_id >= STG_CLASS_FLASH_CROWD;
        if (!take_parts(inc, report, index, info))
            return false;
    }
    return take_actions(inc, plan);
}

bool top_book_take(top_data *d, const stg_report *report, const stg_plan *plan)
{
    stg_incident_info info = {.size = sizeof info};
    for (uint32_t i = 0; stg_report_incident(report, i, &info) == STG_OK; i++)
        if (!take(d, report, i, &info, plan))
            return false;
    return true;
}

/* A service is part of it when it is named, as a member or as a cause, or when the likeliest cause is
 * an edge that calls it: then it takes the blow. */
static bool has_node(const top_incident *inc, const char *name)
{
    static const uint32_t parts[] = {STG_ITEM_NODE, STG_ITEM_CAUSE};
    for (size_t p = 0; p < 2; p++)
        for (uint32_t i = inc->first[parts[p]]; i < inc->first[parts[p] + 1]; i++)
            if (strcmp(inc->item[i].node, name) == 0)
                return true;
    const uint32_t cause = inc->first[STG_ITEM_CAUSE];
    return cause < inc->first[STG_ITEM_CAUSE + 1] && strcmp(inc->item[cause].dst, name) == 0;
}

bool top_incident_has(const top_incident *inc, uint32_t kind, const char *const *name)
{
    if (kind == STG_NODE)
        return has_node(inc, name[0]);
    for (uint32_t i = inc->first[STG_ITEM_EDGE]; i < inc->first[STG_ITEM_EDGE + 1]; i++) {
        const stg_item *item = &inc->item[i];
        if (strcmp(item->src, name[0]) == 0 && strcmp(item->dst, name[1]) == 0 &&
            strcmp(item->route, name[2]) == 0)
            return true;
    }
    return false;
}
