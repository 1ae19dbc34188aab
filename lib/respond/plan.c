/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plan: the live actions of a planner after one window, copied with their texts, so that it can
 * outlive the planner and be read from any thread. Ordered by key: the same actions give the same
 * plan, whatever order they began in.
 */
#include <string.h>

#include "respond_priv.h"

struct stg_plan {
    stg__object object;
    uint32_t count;
    char *text; /* names and reasons of all actions; stays with the object in the pool */
    size_t text_cap;
    stg_action action[STG__LIVE_MAX];
};

static void fini(stg_ctx *ctx, stg__object *object)
{
    stg_plan *plan = (stg_plan *)object;
    stg__free(ctx, plan->text);
}

const stg__pool_type stg__plan_type = {sizeof(stg_plan), STG__KIND_PLAN, NULL, fini};

/*
 * Live slots in the order of their keys. Sorted here by insertion, because qsort() of the C library
 * takes memory for itself.
 */
static uint32_t live_by_key(const stg__live *live, uint16_t order[STG__LIVE_MAX])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < STG__LIVE_MAX; i++) {
        if (live[i].state != STG__SLOT_LIVE)
            continue;
        uint32_t at = count++;
        for (; at > 0 && live[order[at - 1]].key > live[i].key; at--)
            order[at] = order[at - 1];
        order[at] = (uint16_t)i;
    }
    return count;
}

static const char *verb(uint32_t kind)
{
    return kind == STG_ACTION_LIMIT ? "limit" : kind == STG_ACTION_SCALE ? "scale" : "timeout";
}

static size_t text_size(const stg__live *live)
{
    return live->names_len + strlen(live->reason) + 1;
}

static char *put_action(stg_action *to, const stg__live *live, uint32_t dry_run, char *text)
{
    const size_t reason = strlen(live->reason) + 1;
    memcpy(text, live->names, live->names_len);
    memcpy(text + live->names_len, live->reason, reason);
    *to = (stg_action){
        .size = sizeof *to,
        .key = live->key,
        .incident = live->incident,
        .expires_ns = live->expires_ns,
        .verb = verb(live->kind),
        .node = text,
        .src = text + live->src_at,
        .route = text + live->route_at,
        .reason = text + live->names_len,
        .value = live->value,
        .present = live->present,
        .kind = live->kind,
        .dry_run = dry_run,
    };
    return text + live->names_len + reason;
}

int32_t stg__plan_make(stg_planner *planner, const stg_plan **out)
{
    uint16_t order[STG__LIVE_MAX];
    const uint32_t count = live_by_key(planner->live, order);
    size_t need = 0;
    for (uint32_t i = 0; i < count; i++)
        need += text_size(&planner->live[order[i]]);
    stg_plan *plan = (stg_plan *)stg__pool_take(planner->pool);
    if (!plan)
        return STG_E_NOMEM;
    plan->count = 0;
    if (need > plan->text_cap) {
        size_t cap = plan->text_cap ? plan->text_cap : 1024;
        while (cap < need)
            cap *= 2;
        char *text = (char *)stg__realloc(planner->ctx, plan->text, cap, 1);
        if (!text) {
            stg_unref(plan);
            return STG_E_NOMEM;
        }
        plan->text = text;
        plan->text_cap = cap;
    }
    char *text = plan->text;
    for (uint32_t i = 0; i < count; i++)
        text = put_action(&plan->action[i], &planner->live[order[i]], planner->dry_run, text);
    plan->count = count;
    *out = plan;
    return STG_OK;
}

uint32_t stg_plan_actions(const stg_plan *plan)
{
    return stg__is(plan, STG__KIND_PLAN) ? plan->count : 0;
}

int32_t stg_plan_action(const stg_plan *plan, uint32_t index, stg_action *action)
{
    if (!stg__is(plan, STG__KIND_PLAN))
        return STG_E_INVALID;
    if (index >= plan->count)
        return STG_E_NOTFOUND;
    stg_action copy = plan->action[index];
    return stg__info_write(action, &copy, sizeof copy);
}
