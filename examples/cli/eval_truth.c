/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the truth of a recording and assigns reported incidents to it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cJSON.h>

#include "eval.h"

static void copy_text(char *to, size_t cap, const cJSON *item)
{
    const char *text = cJSON_IsString(item) ? item->valuestring : "";
    const size_t len = strnlen(text, cap - 1);
    memcpy(to, text, len);
    to[len] = '\0';
}

static bool take_time(const cJSON *object, const char *key, uint64_t *ns)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble > 1.8e19)
        return false;
    *ns = (uint64_t)item->valuedouble; /* 2^53 ns granularity is below a microsecond: enough here */
    return true;
}

static bool read_event(const cJSON *object, eval_event *e)
{
    char kind[32];
    memset(e, 0, sizeof *e);
    e->found = -1;
    copy_text(kind, sizeof kind, cJSON_GetObjectItemCaseSensitive(object, "kind"));
    e->attack = strcmp(kind, "attack") == 0;
    copy_text(e->class_name, sizeof e->class_name, cJSON_GetObjectItemCaseSensitive(object, "class"));
    copy_text(e->during, sizeof e->during, cJSON_GetObjectItemCaseSensitive(object, "during"));
    const cJSON *target = cJSON_GetObjectItemCaseSensitive(object, "target");
    copy_text(e->node.node, EVAL_NAME, cJSON_GetObjectItemCaseSensitive(target, "node"));
    const cJSON *edge = cJSON_GetObjectItemCaseSensitive(target, "edge");
    copy_text(e->edge.src, EVAL_NAME, cJSON_GetArrayItem(edge, 0));
    copy_text(e->edge.dst, EVAL_NAME, cJSON_GetArrayItem(edge, 1));
    copy_text(e->edge.route, EVAL_NAME, cJSON_GetArrayItem(edge, 2));
    const cJSON *strength = cJSON_GetObjectItemCaseSensitive(object, "strength");
    e->strength = cJSON_IsNumber(strength) ? strength->valuedouble : 0;
    if (!take_time(object, "start_ns", &e->start_ns) || !take_time(object, "end_ns", &e->end_ns))
        return false;
    if (!take_time(object, "first_request_ns", &e->first_ns) || e->first_ns == 0)
        e->first_ns = e->start_ns;
    return kind[0] && e->class_name[0] && e->end_ns >= e->start_ns;
}

static int by_start(const void *a, const void *b)
{
    const eval_event *x = (const eval_event *)a;
    const eval_event *y = (const eval_event *)b;
    return x->start_ns < y->start_ns ? -1 : x->start_ns > y->start_ns;
}

bool eval_read_truth(const char *path, eval_event **events, size_t *count)
{
    FILE *file = fopen(path, "re");
    char *line = NULL;
    size_t cap = 0;
    unsigned number = 0;
    bool ok = true;
    *events = NULL;
    *count = 0;
    if (!file) {
        cli_say("%s: %s", path, strerror(errno));
        return false;
    }
    ssize_t len;
    while (ok && (len = getline(&line, &cap, file)) > 0) {
        number++;
        if (line[strspn(line, " \t\r\n")] == '\0')
            continue;
        cJSON *object = cJSON_ParseWithLength(line, (size_t)len);
        eval_event *grown = (eval_event *)realloc(*events, (*count + 1) * sizeof *grown);
        ok = grown != NULL;
        if (grown)
            *events = grown;
        if (ok && !read_event(object, &grown[*count])) {
            cli_say("%s:%u: not an event", path, number);
            ok = false;
        } else if (ok) {
            ++*count;
        }
        cJSON_Delete(object);
    }
    free(line);
    fclose(file);
    if (*count)
        qsort(*events, *count, sizeof **events, by_start);
    return ok;
}

bool eval_same_place(const eval_place *a, const eval_place *b)
{
    return strcmp(a->node, b->node) == 0 && strcmp(a->src, b->src) == 0 &&
           strcmp(a->dst, b->dst) == 0 && strcmp(a->route, b->route) == 0;
}

int eval_rank(const eval_event *event, const eval_place *places, int count)
{
    for (int i = 0; i < count; i++)
        if ((event->node.node[0] && eval_same_place(&places[i], &event->node)) ||
            (event->edge.src[0] && eval_same_place(&places[i], &event->edge)))
            return i;
    return -1;
}

void eval_match(eval_run *run)
{
    for (size_t i = 0; i < run->incidents_count; i++)
        run->incidents[i].event = -1;
    for (size_t e = 0; e < run->events_count; e++) {
        eval_event *event = &run->events[e];
        event->found = -1;
        for (size_t i = 0; event->attack && event->found < 0 && i < run->incidents_count; i++) {
            eval_incident *inc = &run->incidents[i];
            if (inc->event >= 0 || inc->opened_ns < event->start_ns ||
                inc->opened_ns > event->end_ns + EVAL_GRACE_NS ||
                eval_rank(event, inc->cause, EVAL_CAUSES) < 0)
                continue;
            inc->event = (int)e;
            event->found = (int)i;
        }
    }
}

eval_incident *eval_add_incident(eval_run *run)
{
    if (run->incidents_count == run->incidents_cap) {
        const size_t cap = run->incidents_cap ? run->incidents_cap * 2 : 64;
        eval_incident *grown = (eval_incident *)realloc(run->incidents, cap * sizeof *grown);
        if (!grown)
            return NULL;
        run->incidents = grown;
        run->incidents_cap = cap;
    }
    eval_incident *inc = &run->incidents[run->incidents_count++];
    memset(inc, 0, sizeof *inc);
    inc->event = -1;
    return inc;
}

void eval_run_free(eval_run *run)
{
    free(run->events);
    free(run->incidents);
    memset(run, 0, sizeof *run);
}
