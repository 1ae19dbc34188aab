/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner in a bundle, under "state/respond/": what it knows of ordinary demand and the actions
 * that live or rest, with their times to live. Their keys do not depend on the process, so a host that
 * carries them out sees the same actions go on.
 */
#include <math.h>
#include <string.h>

#include "respond_priv.h"

#define PREFIX "state/respond/"

/* --- levels ----------------------------------------------------------------------------------- */

typedef struct piece {
    const char *name;
    void *at;
    uint32_t count;
    uint32_t dtype;
} piece;

enum { PIECES = 6 };

static void pieces_of(const stg__levels *lv, piece p[PIECES])
{
    const piece all[PIECES] = {
        {"rate", lv->rate, lv->nodes, STG__F64},
        {"service_us", lv->service_us, lv->nodes, STG__F64},
        {"seen", lv->seen, lv->nodes, STG__U32},
        {"timed", lv->timed, lv->nodes, STG__U32},
        {"edge_rate", lv->edge_rate, lv->edges, STG__F64},
        {"edge_seen", lv->edge_seen, lv->edges, STG__U32},
    };
    memcpy(p, all, sizeof all);
}

static int32_t put_levels(const stg__levels *lv, stg_bundle *bundle)
{
    piece p[PIECES];
    pieces_of(lv, p);
    for (uint32_t i = 0; i < PIECES; i++)
        STG_RETURN_IF_ERROR(stg__put(bundle, PREFIX, p[i].name, p[i].dtype, p[i].count, 0, p[i].at));
    return stg__topology_put(lv->topo, bundle, PREFIX "graph/");
}

static int32_t get_levels(stg__levels *lv, stg_ctx *ctx, const stg_bundle *bundle, stg_error *err)
{
    const stg_graph *g;
    const stg__tensor *t;
    piece p[PIECES];
    STG_RETURN_IF_ERROR(stg__topology_get(&g, ctx, bundle, PREFIX "graph/", err));
    const int32_t status = stg__levels_align(lv, ctx, stg__graph_topology(g));
    stg_unref(g);
    STG_RETURN_IF_ERROR(status);
    pieces_of(lv, p);
    for (uint32_t i = 0; i < PIECES; i++) {
        STG_RETURN_IF_ERROR(
            stg__get(bundle, PREFIX, p[i].name, p[i].dtype, p[i].count, 0, &t, err));
        for (uint32_t k = 0; p[i].dtype == STG__F64 && k < p[i].count; k++)
            if (!(((const double *)t->data)[k] >= 0 && ((const double *)t->data)[k] < 1e18))
                return stg__fail(err, STG_E_FORMAT, PREFIX "%s: not a level", p[i].name);
        if (t->bytes)
            memcpy(p[i].at, t->data, t->bytes);
    }
    return STG_OK;
}

/* --- live actions ----------------------------------------------------------------------------- */

enum { U_SLOT, U_KIND, U_STATE, U_INCIDENT, U_EXPIRES, U_CHANGED, U_COUNT };
enum { F_VALUE, F_PRESENT, F_COUNT };

typedef struct table { /* one row for each slot in use */
    uint64_t u[STG__LIVE_MAX][U_COUNT];
    double f[STG__LIVE_MAX][F_COUNT];
    char reason[STG__LIVE_MAX][STG__REASON_MAX];
    char names[STG__LIVE_MAX][3 * (STG_NAME_MAX + 1)]; /* node, src, route, each with its NUL */
} table;

static uint32_t fill(const stg_planner *planner, table *t)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < STG__LIVE_MAX; i++) {
        const stg__live *l = &planner->live[i];
        if (l->state == STG__SLOT_FREE)
            continue;
        const uint64_t u[U_COUNT] = {i,           l->kind,       l->state,
                                     l->incident, l->expires_ns, l->changed_ns};
        memcpy(t->u[n], u, sizeof u);
        t->f[n][F_VALUE] = l->value;
        t->f[n][F_PRESENT] = l->present;
        memcpy(t->reason[n], l->reason, sizeof l->reason);
        memcpy(t->names[n], l->names, l->names_len);
        n++;
    }
    return n;
}

static int32_t put_live(const stg_planner *planner, stg_bundle *bundle)
{
    table *t = (table *)stg__calloc(planner->ctx, 1, sizeof *t);
    if (!t)
        return STG_E_NOMEM;
    const uint32_t n = fill(planner, t);
    int32_t status = stg__put(bundle, PREFIX, "live", STG__U64, n, U_COUNT, t->u);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "live.values", STG__F64, n, F_COUNT, t->f);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "live.reason", STG__U8, n, sizeof t->reason[0], t->reason);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "live.names", STG__U8, n, sizeof t->names[0], t->names);
    stg__free(planner->ctx, t);
    return status;
}

/* Three texts with their NULs; their length, 0 if they are not there. */
static size_t names_length(const char *names, const char *part[3])
{
    const char *at = names;
    size_t left = sizeof((table *)0)->names[0];
    for (uint32_t i = 0; i < 3; i++) {
        const size_t len = strnlen(at, left);
        if (len == left || len > STG_NAME_MAX)
            return 0;
        part[i] = at;
        at += len + 1;
        left -= len + 1;
    }
    return (size_t)(at - names);
}

static bool sane(const uint64_t *u, const double *f, const char *reason)
{
    return u[U_SLOT] < STG__LIVE_MAX && u[U_KIND] >= STG_ACTION_LIMIT &&
           u[U_KIND] <= STG_ACTION_TIMEOUT &&
           (u[U_STATE] == STG__SLOT_LIVE || u[U_STATE] == STG__SLOT_RESTING) &&
           u[U_EXPIRES] <= INT64_MAX && u[U_CHANGED] <= INT64_MAX && f[F_VALUE] >= 0 &&
           f[F_VALUE] < 1e18 && (isnan(f[F_PRESENT]) || fabs(f[F_PRESENT]) < 1e18) &&
           strnlen(reason, STG__REASON_MAX) < STG__REASON_MAX;
}

static int32_t get_action(stg_planner *p, const uint64_t *u, const double *f, const char *reason,
                          const char *names)
{
    const char *part[3] = {NULL};
    const size_t len = names_length(names, part);
    if (len == 0 || !sane(u, f, reason) || p->live[u[U_SLOT]].state != STG__SLOT_FREE)
        return STG_E_FORMAT;
    stg__live *l = &p->live[u[U_SLOT]];
    const uint32_t kind = (uint32_t)u[U_KIND];
    l->names = (char *)stg__alloc(p->ctx, len);
    if (!l->names)
        return STG_E_NOMEM;
    memcpy(l->names, names, len);
    l->names_len = l->names_cap = (uint32_t)len;
    l->src_at = (uint32_t)(part[1] - names);
    l->route_at = (uint32_t)(part[2] - names);
    l->key = stg__action_key(kind, part[0], part[1], part[2]);
    l->kind = kind;
    l->state = (uint32_t)u[U_STATE];
    l->incident = u[U_INCIDENT];
    l->expires_ns = u[U_EXPIRES];
    l->changed_ns = u[U_CHANGED];
    l->value = f[F_VALUE];
    l->present = f[F_PRESENT];
    memcpy(l->reason, reason, sizeof l->reason);
    return STG_OK;
}

static int32_t get_live(stg_planner *p, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *u;
    const stg__tensor *f;
    const stg__tensor *reason;
    const stg__tensor *names;
    const size_t text = sizeof((table *)0)->names[0];
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "live", STG__U64, UINT64_MAX, U_COUNT, &u, err));
    const uint64_t n = u->shape[0];
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "live.values", STG__F64, n, F_COUNT, &f, err));
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "live.reason", STG__U8, n, STG__REASON_MAX, &reason, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "live.names", STG__U8, n, text, &names, err));
    for (uint64_t i = 0; i < n; i++) {
        const int32_t status = get_action(p, (const uint64_t *)u->data + i * U_COUNT,
                                          (const double *)f->data + i * F_COUNT,
                                          (const char *)reason->data + i * STG__REASON_MAX,
                                          (const char *)names->data + i * text);
        if (status == STG_E_FORMAT)
            return stg__fail(err, status, PREFIX "live: action %llu cannot be",
                             (unsigned long long)i);
        STG_RETURN_IF_ERROR(status);
    }
    return STG_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_planner *p = (const stg_planner *)object;
    if (stg__ctx_forked(p->ctx))
        return stg__fail(err, STG_E_FORK, "planner used in a child process");
    const stg__number number[] = {
        {"version", 1}, {"last_end", p->last_end_ns}, {"levels", p->levels.topo != NULL}};
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, PREFIX, number, sizeof number / sizeof *number));
    if (p->levels.topo)
        STG_RETURN_IF_ERROR(put_levels(&p->levels, bundle));
    return put_live(p, bundle);
}

static int32_t fill_planner(stg_planner *p, const stg_bundle *bundle, stg_error *err)
{
    uint64_t levels;
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, PREFIX, "last_end", UINT64_MAX, &p->last_end_ns, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "levels", 1, &levels, err));
    if (levels)
        STG_RETURN_IF_ERROR(get_levels(&p->levels, p->ctx, bundle, err));
    return get_live(p, bundle, err);
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_planner *p = (const stg_planner *)object;
    stg_planner *fresh;
    if (stg__ctx_forked(p->ctx))
        return stg__fail(err, STG_E_FORK, "planner used in a child process");
    STG_RETURN_IF_ERROR(stg_planner_create(&fresh, p->ctx, NULL));
    const int32_t status = fill_planner(fresh, bundle, err);
    if (status != STG_OK) {
        stg_planner_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

static void swap(void *object, void *twin)
{
    stg_planner *p = (stg_planner *)object;
    stg_planner *t = (stg_planner *)twin;
    stg__live *live = p->live; /* options and pool stay */
    const stg__levels levels = p->levels;
    p->live = t->live;
    p->levels = t->levels;
    p->last_end_ns = t->last_end_ns;
    t->live = live;
    t->levels = levels;
}

static void destroy(void *twin)
{
    stg_planner_destroy((stg_planner *)twin);
}

const stg__state_type stg__planner_state = {PREFIX, 1, save, load, swap, destroy, {NULL}};
