/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incidents in a bundle: a row of numbers for each that is open or closed lately, and the lists of all
 * of them one after the other. Indices are those of the detector's entities, saved beside them.
 */
#include <math.h>
#include <string.h>

#include "running_priv.h"

#define PREFIX STG__RUNNING_PREFIX

enum { /* whole numbers of an incident */
    U_SLOT, U_ID, U_OPENED_NS, U_ONSET_NS, U_OPENED, U_JOINED, U_CLOSED, U_STATE, U_CALM,
    U_NOTICED_CLASS, U_NOTICED, U_CLASS, U_MOOD, U_STALE, U_EDGE, U_NODE, U_MEMBERS, U_CARRIERS,
    U_CAUSES, U_EVIDENCES, U_COUNT
};
enum { F_RECOVERY, F_SEVERITY, F_NOTICED, F_CONFIDENCE, F_CLEAREST, F_FEATURES,
       F_COUNT = F_FEATURES + FEATURES };

/* An entry of a list: who, up to four small numbers, and what was measured. */
typedef struct entry {
    uint64_t u[5];
    double f[3];
} entry;

enum { ENTRY_U = 5, ENTRY_F = 3, LISTS = 4 };

static uint32_t list_count(const stg__incident *inc, uint32_t list)
{
    const uint32_t counts[LISTS] = {inc->members, inc->carriers, inc->causes, inc->evidences};
    return counts[list];
}

static entry entry_of(const stg__incident *inc, uint32_t list, uint32_t i)
{
    const stg__member *m = &inc->member[i % MAX_MEMBERS];
    const stg__carrier *c = &inc->carrier[i % MAX_CARRIERS];
    const stg__cause *cause = &inc->cause[i % MAX_CAUSES];
    const stg__evidence *e = &inc->evidence[i % MAX_EVIDENCE];
    if (list == 0)
        return (entry){{m->index, m->is_edge, m->says, 0, m->alarmed_window},
                       {(double)m->evidence}};
    if (list == 1)
        return (entry){{c->index, c->is_edge, c->kind, c->direction}, {(double)c->level}};
    if (list == 2)
        return (entry){{cause->index, cause->is_edge}, {(double)cause->score}};
    return (entry){{e->index, e->is_edge, e->kind},
                   {(double)e->observed, (double)e->expected, (double)e->value}};
}

static void entry_set(stg__incident *inc, uint32_t list, uint32_t i, const entry *x)
{
    const uint32_t index = (uint32_t)x->u[0];
    const uint8_t is_edge = (uint8_t)x->u[1];
    if (list == 0)
        inc->member[i] = (stg__member){index, is_edge, (uint8_t)x->u[2], (float)x->f[0], x->u[4]};
    else if (list == 1)
        inc->carrier[i] = (stg__carrier){index, is_edge, (uint8_t)x->u[2], (uint8_t)x->u[3],
                                         (float)x->f[0]};
    else if (list == 2)
        inc->cause[i] = (stg__cause){index, is_edge, (float)x->f[0]};
    else
        inc->evidence[i] = (stg__evidence){index,           is_edge,         (uint8_t)x->u[2],
                                           (float)x->f[0], (float)x->f[1], (float)x->f[2]};
}

/* --- writing ---------------------------------------------------------------------------------- */

static void pack(const stg__incident *inc, uint32_t slot, uint64_t *u, double *f)
{
    const uint64_t all[U_COUNT] = {
        slot,          inc->id,         inc->opened_ns,      inc->onset_ns,  inc->opened_window,
        inc->joined_window, inc->closed_window, inc->state,  inc->calm,      inc->noticed_class,
        inc->noticed_window, inc->class_id, inc->mood,       inc->stale,     inc->target_edge,
        inc->target_node, inc->members, inc->carriers,       inc->causes,    inc->evidences};
    memcpy(u, all, sizeof all);
    f[F_RECOVERY] = inc->recovery;
    f[F_SEVERITY] = inc->severity;
    f[F_NOTICED] = inc->noticed;
    f[F_CONFIDENCE] = inc->confidence;
    f[F_CLEAREST] = inc->clearest;
    for (uint32_t i = 0; i < FEATURES; i++)
        f[F_FEATURES + i] = (double)inc->feature[i];
}

typedef struct tables { /* scratch for writing */
    uint64_t (*u)[U_COUNT];
    double (*f)[F_COUNT];
    uint64_t (*entry_u)[ENTRY_U];
    double (*entry_f)[ENTRY_F];
} tables;

static void fill(const stg_detector *d, tables *t, uint64_t *incidents, uint64_t *entries)
{
    for (uint32_t slot = 0; slot < MAX_INCIDENTS; slot++) {
        const stg__incident *inc = &d->incident[slot];
        if (!inc->id)
            continue;
        pack(inc, slot, t->u[*incidents], t->f[*incidents]);
        ++*incidents;
        for (uint32_t list = 0; list < LISTS; list++)
            for (uint32_t i = 0; i < list_count(inc, list); i++) {
                const entry x = entry_of(inc, list, i);
                memcpy(t->entry_u[*entries], x.u, sizeof x.u);
                memcpy(t->entry_f[*entries], x.f, sizeof x.f);
                ++*entries;
            }
    }
}

int32_t stg__incidents_put(const stg_detector *d, stg_bundle *bundle)
{
    const size_t most = MAX_INCIDENTS * (size_t)(MAX_MEMBERS + MAX_CARRIERS + MAX_CAUSES + MAX_EVIDENCE);
    tables t = {
        (uint64_t(*)[U_COUNT])stg__calloc(d->ctx, MAX_INCIDENTS, sizeof *t.u),
        (double(*)[F_COUNT])stg__calloc(d->ctx, MAX_INCIDENTS, sizeof *t.f),
        (uint64_t(*)[ENTRY_U])stg__calloc(d->ctx, most, sizeof *t.entry_u),
        (double(*)[ENTRY_F])stg__calloc(d->ctx, most, sizeof *t.entry_f),
    };
    uint64_t incidents = 0;
    uint64_t entries = 0;
    int32_t status = STG_E_NOMEM;
    if (t.u && t.f && t.entry_u && t.entry_f) {
        fill(d, &t, &incidents, &entries);
        status = stg__put(bundle, PREFIX, "incidents", STG__U64, incidents, U_COUNT, t.u);
    }
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "incidents.values", STG__F64, incidents, F_COUNT, t.f);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "incidents.lists", STG__U64, entries, ENTRY_U, t.entry_u);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "incidents.lists.values", STG__F64, entries, ENTRY_F,
                          t.entry_f);
    stg__free(d->ctx, t.u);
    stg__free(d->ctx, t.f);
    stg__free(d->ctx, t.entry_u);
    stg__free(d->ctx, t.entry_f);
    return status;
}

/* --- reading ---------------------------------------------------------------------------------- */

/* The largest value of each whole number of an incident. */
static bool sane_numbers(const stg_detector *d, const uint64_t *u)
{
    const uint64_t now = d->windows;
    const uint64_t most[U_COUNT] = {
        MAX_INCIDENTS - 1,  d->next_id, UINT64_MAX,  UINT64_MAX,     now,
        now,                now,        STG_INCIDENT_CLOSE, UINT32_MAX, UINT32_MAX,
        now,                UINT32_MAX, FAMILY_FAILURE, UINT32_MAX, UINT32_MAX,
        UINT32_MAX,         MAX_MEMBERS, MAX_CARRIERS,   MAX_CAUSES, MAX_EVIDENCE};
    for (uint32_t i = 0; i < U_COUNT; i++)
        if (u[i] > most[i])
            return false;
    const bool edge = u[U_EDGE] < d->edges || u[U_EDGE] == UINT32_MAX;
    const bool node = u[U_NODE] < d->nodes || u[U_NODE] == UINT32_MAX;
    const uint64_t end = d->last_start + d->window_ns;
    if (u[U_OPENED_NS] > end || u[U_ONSET_NS] >= u[U_OPENED_NS])
        return false;
    return edge && node && u[U_ID] != 0 && stg__class_known((uint32_t)u[U_CLASS]) &&
           stg__class_known((uint32_t)u[U_NOTICED_CLASS]);
}

static bool sane_values(const double *f)
{
    for (uint32_t i = 0; i < F_COUNT; i++)
        if (!(fabs(f[i]) < 1e30))
            return false;
    return f[F_CONFIDENCE] >= 0 && f[F_CONFIDENCE] <= 1;
}

static void unpack(stg__incident *inc, const uint64_t *u, const double *f)
{
    *inc = (stg__incident){
        .id = u[U_ID],
        .opened_ns = u[U_OPENED_NS],
        .onset_ns = u[U_ONSET_NS],
        .opened_window = u[U_OPENED],
        .joined_window = u[U_JOINED],
        .closed_window = u[U_CLOSED],
        .state = (uint32_t)u[U_STATE],
        .calm = (uint32_t)u[U_CALM],
        .noticed_class = (uint32_t)u[U_NOTICED_CLASS],
        .noticed_window = u[U_NOTICED],
        .class_id = (uint32_t)u[U_CLASS],
        .mood = (uint32_t)u[U_MOOD],
        .stale = (uint32_t)u[U_STALE],
        .target_edge = (uint32_t)u[U_EDGE],
        .target_node = (uint32_t)u[U_NODE],
        .members = (uint32_t)u[U_MEMBERS],
        .carriers = (uint32_t)u[U_CARRIERS],
        .causes = (uint32_t)u[U_CAUSES],
        .evidences = (uint32_t)u[U_EVIDENCES],
        .recovery = f[F_RECOVERY],
        .severity = f[F_SEVERITY],
        .noticed = f[F_NOTICED],
        .confidence = f[F_CONFIDENCE],
        .clearest = f[F_CLEAREST],
    };
    for (uint32_t i = 0; i < FEATURES; i++)
        inc->feature[i] = (float)f[F_FEATURES + i];
}

static bool sane_entry(const stg_detector *d, uint32_t list, const entry *x)
{
    const bool kinds = list == 1 || list == 3;
    const bool may_miss = list == 3; /* observed and expected */
    if (x->u[1] > 1 || x->u[0] >= (x->u[1] ? d->edges : d->nodes) || x->u[2] > UINT8_MAX ||
        x->u[3] > DOWN || x->u[4] > d->windows)
        return false;
    for (uint32_t i = 0; i < ENTRY_F; i++)
        if (isnan(x->f[i]) ? !may_miss : !(fabs(x->f[i]) < 1e30))
            return false;
    return !kinds || x->u[2] < (x->u[1] ? (uint64_t)E_KINDS : (uint64_t)N_KINDS);
}

typedef struct cursor { /* in the lists of all incidents */
    const uint64_t *u;
    const double *f;
    uint64_t left;
} cursor;

static bool get_lists(const stg_detector *d, stg__incident *inc, cursor *at)
{
    for (uint32_t list = 0; list < LISTS; list++)
        for (uint32_t i = 0; i < list_count(inc, list); i++) {
            entry x;
            if (at->left == 0)
                return false;
            memcpy(x.u, at->u, sizeof x.u);
            memcpy(x.f, at->f, sizeof x.f);
            if (!sane_entry(d, list, &x))
                return false;
            entry_set(inc, list, i, &x);
            at->u += ENTRY_U;
            at->f += ENTRY_F;
            at->left--;
        }
    return true;
}

int32_t stg__incidents_get(stg_detector *d, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *t[4];
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "incidents", STG__U64, UINT64_MAX, U_COUNT, &t[0], err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "incidents.values", STG__F64, t[0]->shape[0],
                                 F_COUNT, &t[1], err));
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "incidents.lists", STG__U64, UINT64_MAX, ENTRY_U, &t[2], err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "incidents.lists.values", STG__F64,
                                 t[2]->shape[0], ENTRY_F, &t[3], err));
    const uint64_t *u = (const uint64_t *)t[0]->data;
    const double *f = (const double *)t[1]->data;
    cursor at = {(const uint64_t *)t[2]->data, (const double *)t[3]->data, t[2]->shape[0]};
    for (uint64_t i = 0; i < t[0]->shape[0]; i++, u += U_COUNT, f += F_COUNT) {
        stg__incident *inc = &d->incident[u[U_SLOT] % MAX_INCIDENTS];
        if (!sane_numbers(d, u) || !sane_values(f) || inc->id)
            return stg__fail(err, STG_E_FORMAT, PREFIX "incidents: number %llu cannot be",
                             (unsigned long long)i);
        unpack(inc, u, f);
        if (!get_lists(d, inc, &at))
            return stg__fail(err, STG_E_FORMAT, PREFIX "incidents.lists: an entry that cannot be");
    }
    return STG_OK;
}
