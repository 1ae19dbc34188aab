/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trainer's handle: options with their defaults, windows in, one model out. What is learnt is
 * the fits' business; here is decided which windows train and which only judge.
 */
#include <math.h>
#include <string.h>

#include "train_priv.h"

#define MOST_BATCH 1048576u

static const char default_columns[] = "calls,errors,mean_us";

/* Adds the names of a list "a,b,c" to names; the numbers they got go to index. */
static int32_t add_columns(stg__names *names, const char *list, uint32_t *index, uint32_t *count,
                           const char *what, stg_error *err)
{
    *count = 0;
    for (const char *at = list; *at;) {
        const size_t len = strcspn(at, ",");
        uint32_t id = 0;
        if (len == 0 || len > STG_NAME_MAX)
            return stg__fail(err, STG_E_INVALID, "%s: \"%.60s\" is not a list of columns", what, list);
        const int32_t status = stg__names_add(names, at, len, &id);
        if (status == STG_E_LIMIT || *count == STG__MAX_COLUMNS)
            return stg__fail(err, STG_E_INVALID, "%s: more than %u columns", what, STG__MAX_COLUMNS);
        STG_RETURN_IF_ERROR(status);
        for (uint32_t i = 0; i < *count; i++)
            if (index[i] == id)
                return stg__fail(err, STG_E_INVALID, "%s: a column stands there twice", what);
        index[(*count)++] = id;
        at += len;
        if (*at && !*++at)
            return stg__fail(err, STG_E_INVALID, "%s: ends with a comma", what);
    }
    return *count ? STG_OK : stg__fail(err, STG_E_INVALID, "%s: is empty", what);
}

static void or_else(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

/* Fills the defaults in. A level follows few windows, a profile more, a net reads twelve. */
static void fill_defaults(stg_trainer_opts *o, const stg__kind *kind)
{
    const uint64_t day = UINT64_C(24) * 3600 * 1000000000u;
    o->day_ns = o->day_ns ? o->day_ns : day;
    o->learning_rate = o->learning_rate > 0 ? o->learning_rate : 0.003;
    o->clip_norm = o->clip_norm > 0 ? o->clip_norm : 5;
    o->valid_share = o->valid_share > 0 ? o->valid_share : 0.2;
    or_else(&o->history, kind == &stg__kind_persistence ? 3 : 12);
    or_else(&o->horizon, 12);
    or_else(&o->layers, 2);
    or_else(&o->units, 16);
    or_else(&o->hops, 2);
    if (o->hops == STG_NO_HOPS)
        o->hops = 0;
    or_else(&o->epochs, 40);
    or_else(&o->patience, 10);
    or_else(&o->batch, 16);
    or_else(&o->threads, 1);
    or_else(&o->curriculum, 200);
    or_else(&o->lags, 1);
}

static int32_t check_options(const stg_trainer_opts *o, stg_error *err)
{
    if (o->history > STG__MAX_WINDOWS || o->horizon > STG__MAX_WINDOWS)
        return stg__fail(err, STG_E_INVALID, "history or horizon is above %u", STG__MAX_WINDOWS);
    if (o->layers > STG__MAX_LAYERS || o->units > STG__MAX_UNITS || o->hops > STG__MAX_HOPS)
        return stg__fail(err, STG_E_INVALID, "at most %u layers, 1024 units, %u hops",
                         STG__MAX_LAYERS, STG__MAX_HOPS);
    if (!(o->valid_share < 1) || !isfinite(o->learning_rate) || !isfinite(o->clip_norm))
        return stg__fail(err, STG_E_INVALID, "valid_share, learning_rate or clip_norm is no use");
    if (o->threads > 64 || o->batch > MOST_BATCH)
        return stg__fail(err, STG_E_INVALID, "at most 64 threads, %u windows in a batch", MOST_BATCH);
    return STG_OK;
}

static int32_t read_mask(stg_trainer *t, const char *column, stg_error *err)
{
    const size_t len = column ? strlen(column) : 0;
    if (column && (len == 0 || len > STG_NAME_MAX))
        return stg__fail(err, STG_E_INVALID, "mask: \"%.60s\" is not the name of a column", column);
    if (len)
        memcpy(t->mask, column, len + 1);
    return STG_OK;
}

static int32_t trainer_init(stg_trainer *t, const stg_trainer_opts *given, stg_error *err)
{
    const char *kind = given->kind ? given->kind : "dcrnn";
    uint32_t index[STG__MAX_COLUMNS] = {0};
    t->kind = stg__kind_named(kind);
    if (!t->kind)
        return stg__fail(err, STG_E_INVALID, "there is no kind of model \"%.40s\"", kind);
    t->o = *given;
    fill_defaults(&t->o, t->kind);
    STG_RETURN_IF_ERROR(check_options(&t->o, err));
    STG_RETURN_IF_ERROR(stg__course_read(&t->course, given, err));
    STG_RETURN_IF_ERROR(stg__form_read(&t->form, &t->o, err));
    STG_RETURN_IF_ERROR(read_mask(t, given->mask, err));
    STG_RETURN_IF_ERROR(stg__names_create(&t->columns, t->ctx, STG__MAX_COLUMNS));
    STG_RETURN_IF_ERROR(stg__names_create(&t->nodes, t->ctx, 65536));
    STG_RETURN_IF_ERROR(stg__names_create(&t->routes, t->ctx, 65536));
    STG_RETURN_IF_ERROR(stg__names_create(&t->edges, t->ctx, 1048576));
    const char *inputs = given->inputs ? given->inputs : default_columns;
    const char *targets = given->targets ? given->targets : default_columns;
    STG_RETURN_IF_ERROR(add_columns(t->columns, inputs, index, &t->inputs, "inputs", err));
    STG_RETURN_IF_ERROR(add_columns(t->columns, targets, t->target, &t->targets, "targets", err));
    t->o.kind = t->o.inputs = t->o.targets = NULL; /* the caller's texts may go */
    t->o.filter = t->o.recursion = t->o.decoder = t->o.cell = NULL;
    t->o.mask = t->o.loss = t->o.optimizer = t->o.schedule = t->o.milestones = NULL;
    return STG_OK;
}

int32_t stg_trainer_create(stg_trainer **out, stg_ctx *ctx, const stg_trainer_opts *opts,
                           stg_error *err)
{
    if (!out || !ctx)
        return stg__fail(err, STG_E_INVALID, "no context");
    *out = NULL;
    stg_trainer_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_trainer_opts", err));
    stg_trainer *t = (stg_trainer *)stg__calloc(ctx, 1, sizeof *t);
    if (!t)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    stg__handle_init(&t->handle, &stg__trainer_state);
    t->ctx = stg__ctx_ref(ctx);
    const int32_t status = trainer_init(t, &o, err);
    if (status != STG_OK) {
        if (status == STG_E_NOMEM)
            stg__fail(err, status, "out of memory");
        stg_trainer_destroy(t);
        return status;
    }
    *out = t;
    return STG_OK;
}

void stg_trainer_destroy(stg_trainer *t)
{
    if (!t)
        return;
    stg_ctx *ctx = t->ctx;
    for (size_t i = 0; i < t->windows; i++)
        stg__free(ctx, t->window[i].values);
    stg__halt_clear(ctx, &t->halt);
    stg__names_destroy(t->columns);
    stg__names_destroy(t->nodes);
    stg__names_destroy(t->routes);
    stg__names_destroy(t->edges);
    stg__topology_unref(t->topo);
    stg__free(ctx, t->window);
    stg__free(ctx, t->edge_calls);
    stg__free(ctx, t->caller_calls);
    stg__free(ctx, t->edge_windows);
    stg__free(ctx, t->node_id);
    stg__free(ctx, t->edge_id);
    stg__free(ctx, t);
    stg__ctx_unref(ctx);
}

int32_t stg_trainer_add(stg_trainer *t, const stg_graph *g)
{
    if (!t || !stg__is(g, STG__KIND_GRAPH))
        return STG_E_INVALID;
    if (stg__ctx_forked(t->ctx))
        return STG_E_FORK;
    if (t->windows) {
        if (g->end_ns - g->start_ns != t->window_ns)
            return STG_E_MISMATCH;
        if (g->start_ns < t->window[t->windows - 1].start_ns + t->window_ns)
            return STG_E_TIME;
    }
    STG_RETURN_IF_ERROR(stg__series_add(t, g));
    t->window_ns = g->end_ns - g->start_ns;
    return STG_OK;
}

/* The last windows are kept for judging, at least one horizon of them. */
static size_t train_windows(const stg_trainer *t)
{
    if (!t->kind->net)
        return t->windows;
    size_t valid = (size_t)((double)t->windows * t->o.valid_share);
    if (valid < t->o.horizon)
        valid = t->o.horizon;
    return valid < t->windows ? t->windows - valid : 0;
}

int32_t stg_trainer_run(stg_trainer *t, const stg_model **out, stg_error *err)
{
    if (!t || !out)
        return stg__fail(err, STG_E_INVALID, "no trainer");
    *out = NULL;
    if (stg__ctx_forked(t->ctx))
        return stg__fail(err, STG_E_FORK, "the trainer was made in another process");
    const size_t train = train_windows(t);
    if (train == 0)
        return stg__fail(err, STG_E_STATE, "%zu windows are too few", t->windows);
    stg_model *m = NULL;
    uint32_t *order = NULL;
    int32_t status = stg__fit_model(&m, t, train, &order);
    if (status == STG_OK && m->slots)
        status = stg__fit_profile(m, t, order, train);
    if (status == STG_OK && t->kind->net)
        status = stg__fit_net(m, t, order, train, &t->halt, err);
    stg__free(t->ctx, order);
    if (status != STG_OK) {
        if (status == STG_E_NOMEM)
            stg__fail(err, status, "out of memory");
        stg_unref(m);
        return status;
    }
    *out = m;
    return STG_OK;
}
