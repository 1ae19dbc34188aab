/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trainer in a bundle, under "state/train/": the windows it was given and the sums over edges, by its
 * own numbers of nodes, routes and edges, and a training that was stopped in the middle. Options are
 * those of the trainer that reads it; what it reads of every window, the columns, must be the same.
 */
#include <string.h>

#include "train_priv.h"

#define PREFIX "state/train/"
#define EDGE_KEY 3u /* src, dst, route */

static int32_t put_edges(const stg_trainer *t, stg_bundle *bundle)
{
    const uint32_t count = stg__names_count(t->edges);
    uint32_t(*key)[EDGE_KEY] = (uint32_t(*)[EDGE_KEY])stg__calloc(t->ctx, count, sizeof *key);
    if (!key)
        return STG_E_NOMEM;
    for (uint32_t e = 0; e < count; e++)
        memcpy(key[e], stg__names_get(t->edges, e, NULL), sizeof *key);
    int32_t status = stg__put(bundle, PREFIX, "edges", STG__U32, count, EDGE_KEY, key);
    stg__free(t->ctx, key);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "edges.calls", STG__F64, count, 0, t->edge_calls);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "edges.caller", STG__F64, count, 0, t->caller_calls);
    return status == STG_OK
               ? stg__put(bundle, PREFIX, "edges.windows", STG__U32, count, 0, t->edge_windows)
               : status;
}

static int32_t put_windows(const stg_trainer *t, stg_bundle *bundle)
{
    const size_t columns = stg__names_count(t->columns);
    size_t total = 0;
    for (size_t i = 0; i < t->windows; i++)
        total += columns * t->window[i].nodes;
    uint64_t(*head)[2] = (uint64_t(*)[2])stg__calloc(t->ctx, t->windows, sizeof *head);
    double *values = (double *)stg__calloc(t->ctx, total, sizeof *values);
    int32_t status = head && values ? STG_OK : STG_E_NOMEM;
    double *at = values;
    for (size_t i = 0; status == STG_OK && i < t->windows; i++) {
        const stg__window *w = &t->window[i];
        head[i][0] = w->start_ns;
        head[i][1] = w->nodes;
        memcpy(at, w->values, columns * w->nodes * sizeof *at);
        at += columns * w->nodes;
    }
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "windows", STG__U64, t->windows, 2, head);
    if (status == STG_OK)
        status = stg__put(bundle, PREFIX, "values", STG__F64, total, 0, values);
    stg__free(t->ctx, head);
    stg__free(t->ctx, values);
    return status;
}

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_trainer *t = (const stg_trainer *)object;
    if (stg__ctx_forked(t->ctx))
        return stg__fail(err, STG_E_FORK, "trainer used in a child process");
    const stg__number number[] = {
        {"version", 2}, {"window_ns", t->window_ns}, {"plain", t->kind->plain}};
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, PREFIX, number, sizeof number / sizeof *number));
    STG_RETURN_IF_ERROR(stg__put_names(bundle, PREFIX, "columns", t->columns));
    STG_RETURN_IF_ERROR(stg__put_names(bundle, PREFIX, "nodes", t->nodes));
    STG_RETURN_IF_ERROR(stg__put_names(bundle, PREFIX, "routes", t->routes));
    STG_RETURN_IF_ERROR(put_edges(t, bundle));
    STG_RETURN_IF_ERROR(put_windows(t, bundle));
    return stg__halt_put(&t->halt, bundle, PREFIX);
}

/* --- reading ---------------------------------------------------------------------------------- */

static int32_t check_columns(const stg_trainer *t, const stg_bundle *bundle, stg_error *err)
{
    stg__names *saved;
    STG_RETURN_IF_ERROR(stg__names_create(&saved, t->ctx, STG__MAX_COLUMNS));
    int32_t status = stg__get_names(bundle, PREFIX, "columns", saved, err);
    bool same = stg__names_count(saved) == stg__names_count(t->columns);
    for (uint32_t i = 0; same && i < stg__names_count(saved); i++) {
        size_t len = 0;
        const char *name = stg__names_get(saved, i, &len);
        same = stg__names_find(t->columns, name, len) == i;
    }
    stg__names_destroy(saved);
    if (status == STG_OK && !same)
        status = stg__fail(err, STG_E_MISMATCH, "the trainer was saved with other columns");
    return status;
}

static int32_t get_edges(stg_trainer *t, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *keys;
    const stg__tensor *calls;
    const stg__tensor *caller;
    const stg__tensor *windows;
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "edges", STG__U32, UINT64_MAX, EDGE_KEY, &keys, err));
    const uint64_t n = keys->shape[0];
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "edges.calls", STG__F64, n, 0, &calls, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "edges.caller", STG__F64, n, 0, &caller, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "edges.windows", STG__U32, n, 0, &windows, err));
    const uint32_t *key = (const uint32_t *)keys->data;
    for (uint64_t e = 0; e < n; e++, key += EDGE_KEY) {
        uint32_t id;
        const double a = ((const double *)calls->data)[e];
        const double b = ((const double *)caller->data)[e];
        const uint32_t nodes = stg__names_count(t->nodes);
        if (key[0] >= nodes || key[1] >= nodes || key[2] >= stg__names_count(t->routes) ||
            !(a >= 0 && a < 1e300) || !(b >= 0 && b < 1e300))
            return stg__fail(err, STG_E_FORMAT, PREFIX "edges: edge %llu cannot be",
                             (unsigned long long)e);
        STG_RETURN_IF_ERROR(
            stg__names_add(t->edges, (const char *)key, EDGE_KEY * sizeof *key, &id));
        if (id != e)
            return stg__fail(err, STG_E_FORMAT, PREFIX "edges: an edge twice");
        STG_RETURN_IF_ERROR(stg__series_edge_room(t, id + 1));
        t->edge_calls[id] = a;
        t->caller_calls[id] = b;
        t->edge_windows[id] = ((const uint32_t *)windows->data)[e];
    }
    return STG_OK;
}

/* On a log scale nothing is below zero or far above; plain values have bounds of their own. */
static bool sensible(const stg__kind *kind, const double *x, size_t count)
{
    const double least = kind->plain ? -STG__PLAIN_MOST : 0;
    const double most = kind->plain ? STG__PLAIN_MOST : 1000;
    for (size_t i = 0; i < count; i++)
        if (!isnan(x[i]) && !(x[i] >= least && x[i] <= most))
            return false;
    return true;
}

static int32_t get_windows(stg_trainer *t, const stg_trainer *like, const stg_bundle *bundle,
                           stg_error *err)
{
    const stg__tensor *heads;
    const stg__tensor *values;
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "windows", STG__U64, UINT64_MAX, 2, &heads, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "values", STG__F64, UINT64_MAX, 0, &values, err));
    const size_t columns = stg__names_count(like->columns);
    const uint64_t *head = (const uint64_t *)heads->data;
    const double *at = (const double *)values->data;
    uint64_t left = values->shape[0];
    for (uint64_t i = 0; i < heads->shape[0]; i++, head += 2) {
        const bool later = i == 0 || (head[0] > head[-2] && head[0] - head[-2] >= t->window_ns);
        const uint64_t need = head[1] <= stg__names_count(t->nodes) ? columns * head[1] : UINT64_MAX;
        if (!later || need > left || !sensible(like->kind, at, need))
            return stg__fail(err, STG_E_FORMAT, PREFIX "windows: window %llu cannot be",
                             (unsigned long long)i);
        STG_RETURN_IF_ERROR(stg__series_append(t, columns, head[0], (uint32_t)head[1], at));
        at += need;
        left -= need;
    }
    return STG_OK;
}

static int32_t fill(stg_trainer *t, const stg_trainer *like, const stg_bundle *bundle,
                    stg_error *err)
{
    uint64_t plain;
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "plain", 1, &plain, err));
    if (plain != like->kind->plain)
        return stg__fail(err, STG_E_MISMATCH, "the trainer was saved with a kind of another scale");
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, PREFIX, "window_ns", UINT64_MAX, &t->window_ns, err));
    STG_RETURN_IF_ERROR(stg__get_names(bundle, PREFIX, "nodes", t->nodes, err));
    STG_RETURN_IF_ERROR(stg__get_names(bundle, PREFIX, "routes", t->routes, err));
    STG_RETURN_IF_ERROR(get_edges(t, bundle, err));
    STG_RETURN_IF_ERROR(get_windows(t, like, bundle, err));
    STG_RETURN_IF_ERROR(stg__halt_get(&t->halt, t->ctx, bundle, PREFIX, err));
    return t->windows == 0 || t->window_ns
               ? STG_OK
               : stg__fail(err, STG_E_FORMAT, PREFIX "window_ns is 0");
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_trainer *t = (const stg_trainer *)object;
    stg_trainer *fresh;
    if (stg__ctx_forked(t->ctx))
        return stg__fail(err, STG_E_FORK, "trainer used in a child process");
    STG_RETURN_IF_ERROR(check_columns(t, bundle, err));
    STG_RETURN_IF_ERROR(stg_trainer_create(&fresh, t->ctx, NULL, err));
    stg__names_destroy(fresh->columns); /* those of t are still its own: none of the twin's count */
    fresh->columns = NULL;
    const int32_t status = fill(fresh, t, bundle, err);
    if (status != STG_OK) {
        stg_trainer_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

/* Everything that came from windows changes places; options and columns stay. */
static void swap(void *object, void *twin)
{
    stg_trainer *t = (stg_trainer *)object;
    stg_trainer *from = (stg_trainer *)twin;
    stg_trainer old = *t;
    *t = *from;
    t->o = old.o;
    t->course = old.course;
    t->form = old.form;
    memcpy(t->mask, old.mask, sizeof t->mask);
    t->kind = old.kind;
    t->columns = old.columns;
    t->inputs = old.inputs;
    t->targets = old.targets;
    memcpy(t->target, old.target, sizeof t->target);
    old.columns = NULL;
    *from = old;
}

static void destroy(void *twin)
{
    stg_trainer_destroy((stg_trainer *)twin);
}

const stg__state_type stg__trainer_state = {PREFIX, 2, save, load, swap, destroy, {NULL}};
