/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The facade: makes ingest, session, detector and planner from one bundle, so that they agree about
 * the window and have room for the objects the monitor itself holds on to, and takes them down.
 */
#include <string.h>

#include "monitor_priv.h"

#define HELD 2u /* objects of a kind that the monitor holds: of the last tick and of this one */
#define DEFAULT_OUT 4u
#define DEFAULT_EVENTS 1024u

static uint32_t with_held(uint32_t out)
{
    if (out == 0)
        out = DEFAULT_OUT;
    return out > UINT32_MAX - HELD ? out : out + HELD; /* too many is for the room to refuse */
}

/* Whether a room has put something into the bundle. */
static bool has_part(const stg_bundle *bundle, const char *prefix)
{
    for (size_t i = 0; i < stg__bundle_count(bundle); i++)
        if (strncmp(stg__bundle_at(bundle, i)->name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static int32_t make_ingest(stg_monitor *mon, const stg_bundle *bundle, const stg_ingest_opts *from,
                           stg_error *err)
{
    stg_ingest_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, from, "stg_ingest_opts", err));
    o.window_ns = mon->window_ns;
    o.snapshots = with_held(o.snapshots);
    const int32_t status = stg_ingest_create(&mon->ingest, mon->ctx, &o);
    if (status < 0)
        return stg__fail(err, status, "ingest: %s", stg_status_name(status));
    return has_part(bundle, "ingest/") ? stg_ingest_restore(mon->ingest, bundle, err) : STG_OK;
}

static int32_t make_session(stg_monitor *mon, const stg_model *model, stg_error *err)
{
    const stg_session_opts o = {.size = sizeof o, .forecasts = mon->lead + HELD + DEFAULT_OUT};
    const int32_t status = stg_session_create(&mon->session, mon->ctx, model, &o);
    return status < 0 ? stg__fail(err, status, "session: %s", stg_status_name(status)) : status;
}

static int32_t make_detector(stg_monitor *mon, const stg_bundle *bundle,
                             const stg_detector_opts *from, stg_error *err)
{
    stg_detector_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, from, "stg_detector_opts", err));
    o.reports = with_held(o.reports);
    return stg_detector_create(&mon->detector, mon->ctx, bundle, &o, err);
}

static int32_t make_planner(stg_monitor *mon, const stg_planner_opts *from, stg_error *err)
{
    stg_planner_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, from, "stg_planner_opts", err));
    o.plans = with_held(o.plans);
    const int32_t status = stg_planner_create(&mon->planner, mon->ctx, &o);
    return status < 0 ? stg__fail(err, status, "planner: %s", stg_status_name(status)) : status;
}

/* Window, horizon, and how far ahead the detector was calibrated. */
static int32_t read_model(stg_monitor *mon, const stg_bundle *bundle, const stg_model *model,
                          stg_error *err)
{
    stg_model_info info = {.size = sizeof info};
    STG_RETURN_IF_ERROR(stg_model_get_info(model, &info));
    uint64_t lead = 1;
    if (stg__bundle_meta(bundle, "score/lead") &&
        stg__bundle_meta_u64(bundle, "score/lead", &lead) != STG_OK)
        return stg__fail(err, STG_E_FORMAT, "score/lead is not a number");
    if (lead < 1 || lead > info.horizon)
        return stg__fail(err, STG_E_FORMAT, "score/lead is %llu, the model looks %u windows ahead",
                         (unsigned long long)lead, info.horizon);
    mon->window_ns = info.window_ns;
    mon->horizon = info.horizon;
    mon->lead = (uint32_t)lead;
    mon->ring = (const stg_forecast **)stg__calloc(mon->ctx, lead, sizeof *mon->ring);
    return mon->ring ? STG_OK : stg__fail(err, STG_E_NOMEM, "out of memory");
}

static int32_t make_parts(stg_monitor *mon, const stg_bundle *bundle, const stg_monitor_opts *o,
                          stg_error *err)
{
    const stg_model *model;
    STG_RETURN_IF_ERROR(stg_model_load(&model, bundle, err));
    int32_t status = read_model(mon, bundle, model, err);
    if (status == STG_OK)
        status = make_ingest(mon, bundle, o->ingest, err);
    if (status == STG_OK)
        status = make_session(mon, model, err);
    if (status == STG_OK)
        status = make_detector(mon, bundle, o->detector, err);
    if (status == STG_OK)
        status = make_planner(mon, o->planner, err);
    stg_unref(model);
    return status;
}

int32_t stg_monitor_create(stg_monitor **out, stg_ctx *ctx, const stg_bundle *bundle,
                           const stg_monitor_opts *opts, stg_error *err)
{
    if (!out)
        return stg__fail(err, STG_E_INVALID, "nowhere to put the monitor");
    *out = NULL;
    stg_monitor_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_monitor_opts", err));
    if (!ctx || !bundle)
        return stg__fail(err, STG_E_INVALID, "no context or no bundle");
    if (o.max_events > STG__MAX_EVENTS)
        return stg__fail(err, STG_E_INVALID, "max_events is beyond %u", STG__MAX_EVENTS);
    stg_monitor *mon = (stg_monitor *)stg__calloc(ctx, 1, sizeof *mon);
    if (!mon)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    stg__handle_init(&mon->handle, &stg__monitor_state);
    mon->ctx = stg__ctx_ref(ctx);
    stg__events_init(&mon->events, ctx, o.max_events ? o.max_events : DEFAULT_EVENTS);
    const int32_t status = make_parts(mon, bundle, &o, err);
    if (status < 0) {
        stg_monitor_destroy(mon);
        return status;
    }
    *out = mon;
    return STG_OK;
}

void stg_monitor_destroy(stg_monitor *mon)
{
    if (!mon)
        return;
    stg_ctx *ctx = mon->ctx;
    stg__tick_drop(&mon->work);
    stg__tick_drop(&mon->last);
    for (uint32_t i = 0; mon->ring && i < mon->lead; i++)
        stg_unref(mon->ring[i]);
    stg_planner_destroy(mon->planner);
    stg_detector_destroy(mon->detector);
    stg_session_destroy(mon->session);
    stg_ingest_destroy(mon->ingest);
    stg__events_fini(&mon->events);
    stg__free(ctx, (void *)mon->ring);
    stg__free(ctx, mon->all);
    stg__free(ctx, mon);
    stg__ctx_unref(ctx);
}

stg_ingest *stg_monitor_ingest(stg_monitor *mon)
{
    return mon && !stg__ctx_forked(mon->ctx) ? mon->ingest : NULL;
}

int32_t stg_monitor_event(stg_monitor *mon, char *buf, size_t cap, size_t *len)
{
    if (!mon || !len)
        return STG_E_INVALID;
    if (stg__ctx_forked(mon->ctx))
        return STG_E_FORK;
    return stg__events_take(&mon->events, buf, cap, len);
}

uint64_t stg_monitor_dropped(const stg_monitor *mon)
{
    return mon ? mon->events.dropped : 0;
}

const void *stg_monitor_get(stg_monitor *mon, uint32_t what)
{
    if (!mon || stg__ctx_forked(mon->ctx))
        return NULL;
    const void *const object[] = {
        [STG_GET_GRAPH] = mon->last.graph,       [STG_GET_REPORT] = mon->last.report,
        [STG_GET_PLAN] = mon->last.plan,         [STG_GET_FORECAST] = mon->last.judge,
        [STG_GET_NEXT] = mon->last.next,
    };
    return what < sizeof object / sizeof *object ? stg_ref(object[what]) : NULL;
}
