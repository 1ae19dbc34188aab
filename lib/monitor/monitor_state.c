/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A monitor in a bundle: its parts, each under its own prefix, and under "state/monitor/" the forecasts
 * that are still to judge a window and the events that nobody has taken yet. The objects of the last
 * tick are not in it: until the next one there are none.
 */
#include <string.h>

#include "model_priv.h"
#include "monitor_priv.h"

#define PREFIX "state/monitor/"

static const void *const *parts_of(const stg_monitor *mon, const void *part[4])
{
    part[0] = mon->ingest;
    part[1] = mon->session;
    part[2] = mon->detector;
    part[3] = mon->planner;
    return part;
}

static const char *forecast_prefix(char out[STG__KEY_MAX], uint32_t i)
{
    stg__text t;
    stg__text_init(&t, out, STG__KEY_MAX);
    stg__text_str(&t, PREFIX "forecast.");
    stg__text_u64(&t, i);
    stg__text_str(&t, "/");
    stg__text_end(&t, NULL);
    return out;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* From the oldest to the youngest, whatever place they have in the ring. */
static int32_t put_forecasts(const stg_monitor *mon, stg_bundle *bundle)
{
    char prefix[STG__KEY_MAX];
    uint32_t n = 0;
    for (uint32_t i = 0; i < mon->lead; i++) {
        const stg_forecast *f = mon->ring[(mon->ring_at + i) % mon->lead];
        if (f)
            STG_RETURN_IF_ERROR(stg__forecast_put(f, bundle, forecast_prefix(prefix, n++)));
    }
    return stg__put_number(bundle, PREFIX, "forecasts", n);
}

static int32_t put_events(const stg_monitor *mon, stg_bundle *bundle)
{
    const size_t bytes = stg__events_copy(&mon->events, NULL);
    char *lines = (char *)stg__alloc(mon->ctx, bytes);
    if (!lines)
        return STG_E_NOMEM;
    stg__events_copy(&mon->events, lines);
    const int32_t status = stg__put(bundle, PREFIX, "events", STG__U8, bytes, 0, lines);
    stg__free(mon->ctx, lines);
    return status;
}

static int32_t put_parts(const stg_monitor *mon, stg_bundle *bundle, stg_error *err)
{
    const void *part[4];
    parts_of(mon, part);
    for (uint32_t i = 0; i < 4; i++)
        STG_RETURN_IF_ERROR(stg_state_save(part[i], bundle, err));
    return STG_OK;
}

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_monitor *mon = (const stg_monitor *)object;
    if (stg__ctx_forked(mon->ctx))
        return stg__fail(err, STG_E_FORK, "monitor used in a child process");
    if (mon->stage != STG__CLOSE)
        return stg__fail(err, STG_E_STATE, "a window is at work: its tick failed, repeat it first");
    STG_RETURN_IF_ERROR(put_parts(mon, bundle, err));
    STG_RETURN_IF_ERROR(stg__put_number(bundle, PREFIX, "version", 1));
    STG_RETURN_IF_ERROR(stg__put_number(bundle, PREFIX, "lead", mon->lead));
    STG_RETURN_IF_ERROR(put_forecasts(mon, bundle));
    return put_events(mon, bundle);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int32_t get_forecasts(const stg_monitor *mon, stg_monitor *twin, const stg_bundle *bundle,
                             stg_error *err)
{
    char prefix[STG__KEY_MAX];
    uint64_t n;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "forecasts", mon->lead, &n, err));
    for (uint32_t i = 0; i < n; i++) /* from the pool of the one that goes on */
        STG_RETURN_IF_ERROR(stg__forecast_get(&twin->ring[i], mon->session, bundle,
                                              forecast_prefix(prefix, i), err));
    twin->ring_at = (uint32_t)n % mon->lead;
    return STG_OK;
}

/* Length of the line that text begins with, its newline included; 0: there is none. */
static size_t line_length(const char *text, size_t left)
{
    const char *end = (const char *)memchr(text, '\n', left);
    const size_t len = end ? (size_t)(end - text) + 1 : 0;
    return len < STG__LINE_MAX && !memchr(text, '\0', len) ? len : 0;
}

static int32_t get_events(stg_monitor *mon, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *t;
    size_t lines = 0;
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "events", STG__U8, UINT64_MAX, 0, &t, err));
    const char *text = (const char *)t->data;
    for (size_t at = 0, len; at < t->bytes; at += len, lines++) {
        len = line_length(text + at, t->bytes - at);
        if (len == 0)
            return stg__fail(err, STG_E_FORMAT, PREFIX "events: not lines of text");
    }
    STG_RETURN_IF_ERROR(stg__events_room(&mon->events, lines, t->bytes));
    for (size_t at = 0, len; at < t->bytes; at += len) {
        len = line_length(text + at, t->bytes - at);
        stg__events_push(&mon->events, text + at, len);
    }
    return STG_OK;
}

/* Twins of all parts. */
static int32_t get_parts(const stg_monitor *mon, stg_monitor *twin, const stg_bundle *bundle,
                         stg_error *err)
{
    const void *part[4];
    void *got[4] = {NULL};
    int32_t status = STG_OK;
    parts_of(mon, part);
    for (uint32_t i = 0; status == STG_OK && i < 4; i++)
        status = stg__state_load(part[i], bundle, &got[i], err);
    twin->ingest = (stg_ingest *)got[0];
    twin->session = (stg_session *)got[1];
    twin->detector = (stg_detector *)got[2];
    twin->planner = (stg_planner *)got[3];
    return status;
}

static int32_t fill(const stg_monitor *mon, stg_monitor *twin, const stg_bundle *bundle,
                    stg_error *err)
{
    uint64_t lead;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "lead", UINT32_MAX, &lead, err));
    if (lead != mon->lead)
        return stg__fail(err, STG_E_MISMATCH, "the monitor was saved with another lead");
    twin->lead = mon->lead;
    twin->ring = (const stg_forecast **)stg__calloc(mon->ctx, lead, sizeof *twin->ring);
    if (!twin->ring)
        return STG_E_NOMEM;
    STG_RETURN_IF_ERROR(get_parts(mon, twin, bundle, err));
    STG_RETURN_IF_ERROR(get_forecasts(mon, twin, bundle, err));
    return get_events(twin, bundle, err);
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_monitor *mon = (const stg_monitor *)object;
    if (stg__ctx_forked(mon->ctx))
        return stg__fail(err, STG_E_FORK, "monitor used in a child process");
    if (mon->stage != STG__CLOSE)
        return stg__fail(err, STG_E_STATE, "a window is at work: its tick failed, repeat it first");
    stg_monitor *fresh = (stg_monitor *)stg__calloc(mon->ctx, 1, sizeof *fresh);
    if (!fresh)
        return STG_E_NOMEM;
    fresh->ctx = stg__ctx_ref(mon->ctx);
    stg__events_init(&fresh->events, mon->ctx, mon->events.max_lines);
    const int32_t status = fill(mon, fresh, bundle, err);
    if (status != STG_OK) {
        stg_monitor_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

/* The parts themselves stay where they are: the host may hold the ingest. */
static void swap(void *object, void *twin)
{
    stg_monitor *mon = (stg_monitor *)object;
    stg_monitor *t = (stg_monitor *)twin;
    stg__state_swap(mon->ingest, t->ingest);
    stg__state_swap(mon->session, t->session);
    stg__state_swap(mon->detector, t->detector);
    stg__state_swap(mon->planner, t->planner);
    const stg_forecast **ring = mon->ring;
    const stg__events events = mon->events;
    mon->ring = t->ring;
    mon->ring_at = t->ring_at;
    mon->events = t->events;
    t->ring = ring;
    t->events = events;
}

static void destroy(void *twin)
{
    stg_monitor_destroy((stg_monitor *)twin);
}

const stg__state_type stg__monitor_state = {
    PREFIX, 1, save, load, swap, destroy,
    {"state/ingest/", "state/session/", "state/score/", "state/respond/"}};
