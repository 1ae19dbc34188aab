/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The detector's public face: create, learn, fit, score. Scoring takes the report's storage first,
 * so that running out of memory leaves the window to be scored again, and remembers a window that
 * was judged when its report then needs more.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define FALSE_ALARMS 2.0 /* a day, when the caller does not say */
#define MIN_WINDOWS 60u
#define RECOUNT 16u /* windows between counts of the streams judged */

static int32_t read_opts(stg_detector *d, const stg_detector_opts *opts, stg_error *err)
{
    STG_RETURN_IF_ERROR(
        stg__opts_read(&d->opts, sizeof d->opts, opts, "stg_detector_opts", err));
    if (d->opts.false_alarms_per_day == 0)
        d->opts.false_alarms_per_day = FALSE_ALARMS;
    if (!(d->opts.false_alarms_per_day > 1e-9 && d->opts.false_alarms_per_day < 1e9))
        return stg__fail(err, STG_E_INVALID, "false_alarms_per_day is not a positive number");
    if (d->opts.reports == 0)
        d->opts.reports = 4;
    if (d->opts.reports > 65536)
        return stg__fail(err, STG_E_INVALID, "too many reports");
    return STG_OK;
}

static int32_t create(stg_detector *d, const stg_bundle *bundle, const stg_detector_opts *opts,
                      stg_error *err)
{
    uint32_t outside;
    STG_RETURN_IF_ERROR(read_opts(d, opts, err));
    d->calib = (stg__calib *)stg__calloc(d->ctx, KINDS, sizeof *d->calib);
    d->incident = (stg__incident *)stg__calloc(d->ctx, MAX_INCIDENTS, sizeof *d->incident);
    if (!d->calib || !d->incident)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    int32_t status = stg__names_create(&d->names, d->ctx, 1u << 20);
    if (status == STG_OK)
        status = stg__reports_create(d);
    if (status == STG_OK)
        status = stg__entity_node(d, STG__EXTERNAL, strlen(STG__EXTERNAL), &outside);
    if (status != STG_OK)
        return stg__fail(err, status, "out of memory");
    return bundle ? stg__calibration_load(d, bundle, err) : STG_OK;
}

int32_t stg_detector_create(stg_detector **out, stg_ctx *ctx, const stg_bundle *bundle,
                            const stg_detector_opts *opts, stg_error *err)
{
    if (!out || !ctx)
        return stg__fail(err, STG_E_INVALID, "detector or context is NULL");
    *out = NULL;
    stg_detector *d = (stg_detector *)stg__calloc(ctx, 1, sizeof *d);
    if (!d)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    stg__handle_init(&d->handle, &stg__detector_state);
    d->ctx = stg__ctx_ref(ctx);
    const int32_t status = create(d, bundle, opts, err);
    if (status != STG_OK) {
        if (status == STG_E_NOMEM)
            stg__fail(err, status, "out of memory");
        stg_detector_destroy(d);
        return status;
    }
    *out = d;
    return STG_OK;
}

void stg_detector_destroy(stg_detector *d)
{
    if (!d)
        return;
    stg_ctx *ctx = d->ctx;
    stg__rows_drop(d);
    stg__entity_free(d);
    stg__free(ctx, d->row.node);
    stg__free(ctx, d->row.edge);
    stg__free(ctx, d->calib);
    stg__free(ctx, d->incident);
    stg__pool_destroy(d->reports);
    stg__free(ctx, d);
    stg__ctx_unref(ctx);
}

static int32_t check(const stg_detector *d, const stg_graph *g, const stg_forecast *fc)
{
    if (!d || !stg__is(g, STG__KIND_GRAPH) || (fc && !stg__is(fc, STG__KIND_FORECAST)))
        return STG_E_INVALID;
    return stg__ctx_forked(d->ctx) ? STG_E_FORK : STG_OK;
}

/* Windows left out until what is known of the moment is stale. */
#define LONG_GAP 12u

static void taken(stg_detector *d, const stg_graph *g)
{
    if (g->start_ns - d->last_start > LONG_GAP * (g->end_ns - g->start_ns))
        d->unbroken = 0;
    d->window_ns = g->end_ns - g->start_ns;
    d->last_start = g->start_ns;
    d->unreported = false;
}

int32_t stg_detector_learn(stg_detector *d, const stg_graph *g, const stg_forecast *fc)
{
    STG_RETURN_IF_ERROR(check(d, g, fc));
    STG_RETURN_IF_ERROR(stg__row_gather(d, g, fc));
    if (g->coverage < 0.5)
        return STG_OK;
    STG_RETURN_IF_ERROR(stg__row_keep(d));
    taken(d, g);
    /* what calibrates must also judge: a monitor takes forecasts made as long before */
    stg_forecast_info info = {.size = sizeof info};
    if (fc && stg_forecast_get_info(fc, &info) == STG_OK)
        d->lead = (g->start_ns - info.start_ns) / info.window_ns + 1;
    return STG_OK;
}

int32_t stg_detector_fit(stg_detector *d, stg_error *err)
{
    if (!d)
        return stg__fail(err, STG_E_INVALID, "no detector");
    if (d->learnt < MIN_WINDOWS)
        return stg__fail(err, STG_E_STATE, "%u windows learnt, %u are needed", d->learnt,
                         MIN_WINDOWS);
    if (stg__fit(d) != STG_OK)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    d->fitted = 1;
    d->origin = stg__calibration_digest(d);
    stg__rows_drop(d);
    memset(d->incident, 0, MAX_INCIDENTS * sizeof *d->incident);
    d->windows = d->unbroken = 0;
    d->last_start = 0; /* what is watched may be older than what was learnt */
    d->unreported = false;
    return STG_OK;
}

/* Takes what was seen in and judges it. */
static void judge(stg_detector *d, const stg_graph *g, bool covered)
{
    taken(d, g);
    if (!covered)
        return;
    if (d->windows % RECOUNT == 0)
        stg__budget(d);
    stg__judge(d);
    stg__incidents_step(d);
    stg__learn_online(d);
}

int32_t stg_detector_score(stg_detector *d, const stg_graph *g, const stg_forecast *fc,
                           const stg_report **out)
{
    stg_report *r = NULL;
    if (!out)
        return STG_E_INVALID;
    *out = NULL;
    STG_RETURN_IF_ERROR(check(d, g, fc));
    /* A window that was judged is not judged twice; its incidents may need more room than a report
     * has from the start, which is known too late to go back. */
    const bool again = d->unreported && g->start_ns == d->last_start &&
                       g->end_ns - g->start_ns == d->window_ns;
    STG_RETURN_IF_ERROR(again ? stg__entity_map(d, g) : stg__row_gather(d, g, fc));
    STG_RETURN_IF_ERROR(stg__report_take(d, g, &r));
    const bool covered = !(g->coverage < 0.5);
    if (!again)
        judge(d, g, covered);
    const int32_t status = stg__report_fill(d, r, g, covered && d->streams > 0);
    d->unreported = status != STG_OK;
    if (status != STG_OK) {
        stg_unref(r);
        return status;
    }
    *out = r;
    return STG_OK;
}
