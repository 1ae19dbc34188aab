/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An incident with news as one line of JSON: what, where, since when, why, what to do. Every line
 * stands for itself. Lists are bounded, and cut further when names are so long that a line would
 * not fit; the member "truncated" tells.
 */
#include <string.h>

#include "monitor_priv.h"

#define MEMBERS 64u
#define CAUSES 5u
#define EVIDENCE 8u
#define ACTIONS 32u

typedef struct source {
    const stg_report *report;
    const stg_plan *plan;
    uint64_t end_ns;
    uint32_t index;
    uint32_t most; /* entries of any list */
    stg_incident_info inc;
} source;

static void string(stg__text *t, const char *s)
{
    stg__text_json(t, s, strlen(s));
}

static void member(stg__text *t, const char *key)
{
    stg__text_str(t, ",\"");
    stg__text_str(t, key);
    stg__text_str(t, "\":");
}

static void number(stg__text *t, const char *key, double value, int digits)
{
    member(t, key);
    stg__text_num(t, value, digits);
}

static void put_two_digits(char *to, uint32_t value)
{
    to[0] = (char)('0' + value / 10 % 10);
    to[1] = (char)('0' + value % 10);
}

void stg__text_time(stg__text *text, uint64_t ns)
{
    /* Days since 0000-03-01, so that the leap day is the last of its year (proleptic Gregorian). */
    const uint64_t ms = ns / 1000000;
    const uint32_t second = (uint32_t)(ms / 1000 % 86400);
    const uint32_t days = (uint32_t)(ms / 86400000) + 719468;
    const uint32_t era = days / 146097;
    const uint32_t in_era = days % 146097;
    const uint32_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    const uint32_t in_year = in_era - (365 * year + year / 4 - year / 100);
    const uint32_t march = (5 * in_year + 2) / 153; /* months since March */
    const uint32_t month = march < 10 ? march + 3 : march - 9;
    const uint32_t calendar = era * 400 + year + (month <= 2);
    char out[] = "\"0000-00-00T00:00:00.000Z\"";
    put_two_digits(out + 1, calendar / 100);
    put_two_digits(out + 3, calendar % 100);
    put_two_digits(out + 6, month);
    put_two_digits(out + 9, in_year - (153 * march + 2) / 5 + 1);
    put_two_digits(out + 12, second / 3600);
    put_two_digits(out + 15, second / 60 % 60);
    put_two_digits(out + 18, second % 60);
    put_two_digits(out + 21, (uint32_t)(ms % 1000 / 10));
    out[23] = (char)('0' + ms % 10);
    stg__text_bytes(text, out, sizeof out - 1);
}

static void moment(stg__text *t, const char *key, const char *key_ns, uint64_t ns)
{
    if (key) {
        member(t, key);
        stg__text_time(t, ns);
    }
    member(t, key_ns);
    stg__text_u64(t, ns);
}

static void edge_object(stg__text *t, const char *src, const char *dst, const char *route)
{
    stg__text_str(t, "{\"src\":");
    string(t, src);
    stg__text_str(t, ",\"dst\":");
    string(t, dst);
    stg__text_str(t, ",\"route\":");
    string(t, route);
    stg__text_str(t, "}");
}

/* A node by its name, an edge as "src -> dst route", in one string. */
static void place(stg__text *t, const char *node, const char *src, const char *dst,
                  const char *route)
{
    if (src[0] == '\0') {
        string(t, node[0] ? node : dst);
        return;
    }
    char both[3 * (STG_NAME_MAX + 1) + 8];
    stg__text whole;
    size_t len;
    stg__text_init(&whole, both, sizeof both);
    stg__text_str(&whole, src);
    stg__text_str(&whole, " -> ");
    stg__text_str(&whole, dst);
    if (route[0]) {
        stg__text_str(&whole, " ");
        stg__text_str(&whole, route);
    }
    if (stg__text_end(&whole, &len) != STG_OK)
        len = sizeof both - 1;
    stg__text_json(t, both, len);
}

static void put_member(stg__text *t, const stg_item *item, uint32_t part)
{
    if (part == STG_ITEM_NODE)
        string(t, item->node);
    else
        edge_object(t, item->src, item->dst, item->route);
}

static void put_cause(stg__text *t, const stg_item *item)
{
    if (item->node[0]) {
        stg__text_str(t, "{\"node\":");
        string(t, item->node);
    } else {
        stg__text_str(t, "{\"edge\":");
        edge_object(t, item->src, item->dst, item->route);
    }
    number(t, "score", item->value, 4);
    stg__text_str(t, "}");
}

static void put_evidence(stg__text *t, const stg_item *item)
{
    stg__text_str(t, "{\"column\":");
    string(t, item->column);
    member(t, "where");
    place(t, item->node, item->src, item->dst, item->route);
    number(t, "observed", item->observed, 6);
    number(t, "expected", item->expected, 6);
    number(t, "contribution", item->value, 4);
    stg__text_str(t, "}");
}

/* The parts of one kind as an array; true when there are more of them than were put. */
static bool parts(stg__text *t, const source *s, const char *key, uint32_t part, uint32_t most)
{
    const uint32_t bound = most < s->most ? most : s->most;
    stg_item item = {.size = sizeof item};
    uint32_t i = 0;
    member(t, key);
    stg__text_str(t, "[");
    for (; i < bound && stg_report_item(s->report, s->index, part, i, &item) == STG_OK; i++) {
        if (i)
            stg__text_str(t, ",");
        if (part == STG_ITEM_CAUSE)
            put_cause(t, &item);
        else if (part == STG_ITEM_EVIDENCE)
            put_evidence(t, &item);
        else
            put_member(t, &item, part);
    }
    stg__text_str(t, "]");
    return i == bound && stg_report_item(s->report, s->index, part, i, &item) == STG_OK;
}

static void put_action(stg__text *t, const stg_action *a)
{
    stg__text_str(t, "{\"verb\":");
    string(t, a->verb);
    member(t, "target");
    place(t, a->node, a->src, a->node, a->route);
    number(t, "value", a->value, 6);
    number(t, "present", a->present, 6);
    member(t, "expires_ns");
    stg__text_u64(t, a->expires_ns);
    member(t, "dry_run");
    stg__text_str(t, a->dry_run ? "true" : "false");
    member(t, "reason");
    string(t, a->reason);
    stg__text_str(t, "}");
}

static bool actions(stg__text *t, const source *s)
{
    const uint32_t bound = ACTIONS < s->most ? ACTIONS : s->most;
    stg_action a = {.size = sizeof a};
    uint32_t put = 0;
    bool more = false;
    member(t, "plan");
    stg__text_str(t, "[");
    for (uint32_t i = 0; s->plan && stg_plan_action(s->plan, i, &a) == STG_OK; i++) {
        if (a.incident != s->inc.id)
            continue;
        more = put == bound;
        if (more)
            break;
        if (put++)
            stg__text_str(t, ",");
        put_action(t, &a);
    }
    stg__text_str(t, "]");
    return more;
}

static const char *state_name(uint32_t state)
{
    return state == STG_INCIDENT_OPEN ? "open" : state == STG_INCIDENT_CLOSE ? "close" : "update";
}

static void put_id(stg__text *t, uint64_t id)
{
    static const char hex[] = "0123456789abcdef";
    char out[16];
    for (uint32_t i = 0; i < 16; i++)
        out[i] = hex[id >> (60 - 4 * i) & 15];
    stg__text_str(t, "{\"id\":\"");
    stg__text_bytes(t, out, sizeof out);
    stg__text_str(t, "\"");
}

static void write_line(stg__text *t, const source *s)
{
    put_id(t, s->inc.id);
    member(t, "state");
    string(t, state_name(s->inc.state));
    moment(t, "time", "time_ns", s->end_ns);
    moment(t, "opened", "opened_ns", s->inc.opened_ns);
    moment(t, NULL, "onset_ns", s->inc.onset_ns);
    member(t, "class");
    string(t, s->inc.class_name);
    number(t, "confidence", s->inc.confidence, 4);
    number(t, "severity", s->inc.severity, 4);
    member(t, "technique");
    string(t, s->inc.technique);
    member(t, "text");
    string(t, s->inc.text);
    bool cut = parts(t, s, "nodes", STG_ITEM_NODE, MEMBERS);
    cut |= parts(t, s, "edges", STG_ITEM_EDGE, MEMBERS);
    (void)parts(t, s, "root_cause", STG_ITEM_CAUSE, CAUSES); /* the first few are meant */
    (void)parts(t, s, "evidence", STG_ITEM_EVIDENCE, EVIDENCE);
    cut |= actions(t, s);
    if (cut || s->most < MEMBERS)
        stg__text_str(t, ",\"truncated\":true");
    stg__text_str(t, "}\n");
}

static void put_line(stg__events *q, source *s)
{
    if (!q->line)
        q->line = (char *)stg__alloc(q->ctx, STG__LINE_MAX);
    for (s->most = MEMBERS; q->line; s->most /= 2) {
        stg__text t;
        size_t len;
        stg__text_init(&t, q->line, STG__LINE_MAX);
        write_line(&t, s);
        if (stg__text_end(&t, &len) == STG_OK) {
            stg__events_push(q, q->line, len);
            return;
        }
        if (s->most == 0)
            break;
    }
    q->dropped++; /* no memory, or texts beyond all measure */
}

void stg__events_write(stg__events *q, const stg_report *report, const stg_plan *plan)
{
    stg_report_info info = {.size = sizeof info};
    source s = {.report = report, .plan = plan, .inc = {.size = sizeof s.inc}};
    if (stg_report_get_info(report, &info) != STG_OK)
        return;
    s.end_ns = info.end_ns;
    for (s.index = 0; stg_report_incident(report, s.index, &s.inc) == STG_OK; s.index++)
        if (s.inc.state == STG_INCIDENT_OPEN || s.inc.state == STG_INCIDENT_UPDATE ||
            s.inc.state == STG_INCIDENT_CLOSE)
            put_line(q, &s);
}
