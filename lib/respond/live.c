/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of live actions. An action is made when a window asks for it, refreshed while windows go
 * on asking, ends when its incident does, and otherwise when its time to live is over: whatever
 * becomes of this process, the host is never left with a limit nobody looks after. After its end a
 * target rests for the dwell, so that nothing flaps.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define CHANGE 0.1 /* a value moves only by more than this share of itself */

uint64_t stg__action_key(uint32_t kind, const char *node, const char *src, const char *route)
{
    static const uint64_t key[2] = {0x7374677265737031u, 0x6b65796f66616374u};
    char text[4 + 3 * (STG_NAME_MAX + 1)];
    const char *const part[3] = {node, src, route};
    size_t n = 0;
    for (uint32_t i = 0; i < 4; i++) /* bytes of the number by value: the same on every machine */
        text[n++] = (char)(kind >> (8 * i));
    for (uint32_t i = 0; i < 3; i++) {
        size_t len = strlen(part[i]);
        if (len > STG_NAME_MAX)
            len = STG_NAME_MAX;
        memcpy(text + n, part[i], len);
        n += len;
        text[n++] = '\0';
    }
    return stg__siphash(key, text, n);
}

static bool same_target(const stg__live *live, uint64_t key, const stg__proposal *want)
{
    return live->state != STG__SLOT_FREE && live->key == key && live->kind == want->kind &&
           strcmp(live->names, want->node) == 0 &&
           strcmp(live->names + live->src_at, want->src) == 0 &&
           strcmp(live->names + live->route_at, want->route) == 0;
}

static stg__live *find(stg_planner *planner, uint64_t key, const stg__proposal *want)
{
    for (uint32_t i = 0; i < STG__LIVE_MAX; i++)
        if (same_target(&planner->live[i], key, want))
            return &planner->live[i];
    return NULL;
}

/* A free slot, else the one that has rested longest, else NULL. */
static stg__live *vacant(stg_planner *planner)
{
    stg__live *best = NULL;
    for (uint32_t i = 0; i < STG__LIVE_MAX; i++) {
        stg__live *l = &planner->live[i];
        if (l->state == STG__SLOT_FREE)
            return l;
        if (l->state == STG__SLOT_RESTING && (!best || l->changed_ns < best->changed_ns))
            best = l;
    }
    return best;
}

static int32_t set_names(stg_planner *planner, stg__live *l, const stg__proposal *want)
{
    const size_t node = strlen(want->node) + 1;
    const size_t src = strlen(want->src) + 1;
    const size_t route = strlen(want->route) + 1;
    const size_t len = node + src + route;
    if (len > l->names_cap) {
        const size_t cap = (len + 63) / 64 * 64;
        char *names = (char *)stg__realloc(planner->ctx, l->names, cap, 1);
        if (!names)
            return STG_E_NOMEM;
        l->names = names;
        l->names_cap = (uint32_t)cap;
    }
    memcpy(l->names, want->node, node);
    memcpy(l->names + node, want->src, src);
    memcpy(l->names + node + src, want->route, route);
    l->src_at = (uint32_t)node;
    l->route_at = (uint32_t)(node + src);
    l->names_len = (uint32_t)len;
    return STG_OK;
}

/* Replicas rise by at most this in one step, whatever the forecast dreams of. */
static double step_up(double present, double wanted)
{
    return fmin(wanted, 2 * present + 2);
}

/* Whether the value may move to this one now. Replicas go up at once and down only when the action
 * has run out: a short dip of the demand takes none away. */
static bool moves(const stg_planner *planner, const stg__live *l, double value, uint64_t now)
{
    if (now < l->changed_ns + planner->dwell_ns)
        return false;
    if (l->kind == STG_ACTION_SCALE)
        return value > l->value || (value < l->value && now >= l->expires_ns);
    return fabs(value - l->value) > CHANGE * l->value;
}

static void refresh(stg_planner *planner, stg__live *l, const stg__proposal *want, uint64_t now)
{
    const bool scale = want->kind == STG_ACTION_SCALE;
    const double value = scale ? step_up(l->value, want->value) : want->value;
    if (moves(planner, l, value, now)) {
        l->value = value;
        l->changed_ns = now;
    }
    if (!scale || value >= l->value)
        l->expires_ns = now + planner->ttl_ns;
    l->wanted = 1;
    l->present = want->present;
    l->incident = want->incident;
    memcpy(l->reason, want->reason, sizeof l->reason);
}

int32_t stg__live_want(stg_planner *planner, const stg__proposal *want, uint64_t now)
{
    const uint64_t key = stg__action_key(want->kind, want->node, want->src, want->route);
    stg__live *l = find(planner, key, want);
    if (l && l->state == STG__SLOT_LIVE) {
        if (!l->wanted) /* the first incident that asks has it; one with the same aim changes nothing */
            refresh(planner, l, want, now);
        return STG_OK;
    }
    if (l && now < l->changed_ns + planner->dwell_ns)
        return STG_OK;
    if (!l) {
        l = vacant(planner);
        if (!l) {
            stg__log(planner->ctx, STG_LOG_WARN, "planner: more than %u live actions", STG__LIVE_MAX);
            return STG_OK;
        }
        l->state = STG__SLOT_FREE;
        STG_RETURN_IF_ERROR(set_names(planner, l, want));
    }
    l->key = key;
    l->kind = want->kind;
    l->incident = want->incident;
    l->value = want->kind == STG_ACTION_SCALE ? step_up(want->usual, want->value) : want->value;
    l->present = want->present;
    l->changed_ns = now;
    l->expires_ns = now + planner->ttl_ns;
    l->wanted = 1;
    l->state = STG__SLOT_LIVE;
    memcpy(l->reason, want->reason, sizeof l->reason);
    return STG_OK;
}

/* Whether the incident of an action is still what the action was made for. */
static bool still_asked(const stg__live *l, const stg_report *report)
{
    stg_incident_info inc = {.size = sizeof inc};
    for (uint32_t i = 0; stg_report_incident(report, i, &inc) == STG_OK; i++) {
        if (inc.id != l->incident)
            continue;
        if (inc.state == STG_INCIDENT_CLOSE)
            return false;
        return l->kind == STG_ACTION_SCALE ? inc.class_id == STG_CLASS_FLASH_CROWD
                                           : stg__class_is_attack(inc.class_id);
    }
    return false;
}

void stg__live_sweep(stg_planner *planner, const stg__window *win)
{
    for (uint32_t i = 0; i < STG__LIVE_MAX; i++) {
        stg__live *l = &planner->live[i];
        if (l->state == STG__SLOT_RESTING && win->end_ns >= l->changed_ns + planner->dwell_ns)
            l->state = STG__SLOT_FREE;
        if (l->state != STG__SLOT_LIVE)
            continue;
        /* A window that was not judged says nothing about incidents: only time ends an action. */
        const bool withdrawn =
            !l->wanted && l->incident != 0 && win->info.judged && !still_asked(l, win->report);
        if (withdrawn || win->end_ns >= l->expires_ns) {
            l->state = STG__SLOT_RESTING;
            l->changed_ns = win->end_ns;
        }
        l->wanted = 0;
    }
}
