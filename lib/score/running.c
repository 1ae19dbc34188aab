/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a detector is in the middle of, in a bundle under "state/score/": the calibration as it has
 * become, evidence of every stream, tables of the pools as of their last refresh, open and lately
 * closed incidents, windows learnt and not fitted. A detector that reads it goes on to the last bit.
 *  */
#include <math.h>
#include <string.h>

#include "running_priv.h"

#define PREFIX STG__RUNNING_PREFIX
#define TABLE (CALIB_BINS + 1)

/* --- streams ---------------------------------------------------------------------------------- */

/* Numbers of a stream beyond its calibration. */
#define RUN_FIELDS 21u
enum { R_FRESH, R_FROZEN, R_LAST, R_WHITE = R_LAST + 3, R_W, R_PLAIN, R_SMOOTH, R_SCORE,
       R_OBSERVED = R_SCORE + 2, R_EXPECTED, R_M };

static void pack(const stg__stream *s, float *f)
{
    f[R_FRESH] = s->fresh;
    f[R_FROZEN] = s->frozen;
    memcpy(f + R_LAST, s->last, sizeof s->last);
    f[R_WHITE] = s->white;
    f[R_W] = s->w;
    f[R_PLAIN] = s->plain;
    f[R_SMOOTH] = s->smooth;
    memcpy(f + R_SCORE, s->score, sizeof s->score);
    f[R_OBSERVED] = s->observed;
    f[R_EXPECTED] = s->expected;
    memcpy(f + R_M, s->m, sizeof s->m);
}

static bool unpack(stg__stream *s, const float *f)
{
    for (uint32_t i = 0; i < RUN_FIELDS; i++) {
        const bool unknown = i == R_PLAIN || i == R_OBSERVED || i == R_EXPECTED ||
                             (i >= R_LAST && i < R_LAST + 3);
        const float least = i < R_LAST || i >= R_M ? 0 : -1e30f;
        if (isnan(f[i]) ? !unknown : !(f[i] >= least && f[i] < 1e30f))
            return false;
    }
    s->fresh = f[R_FRESH] > 0;
    s->frozen = f[R_FROZEN] > 0;
    memcpy(s->last, f + R_LAST, sizeof s->last);
    s->white = f[R_WHITE];
    s->w = f[R_W];
    s->plain = f[R_PLAIN];
    s->smooth = f[R_SMOOTH];
    memcpy(s->score, f + R_SCORE, sizeof s->score);
    s->observed = f[R_OBSERVED];
    s->expected = f[R_EXPECTED];
    memcpy(s->m, f + R_M, sizeof s->m);
    return true;
}

static stg__stream *stream_at(const stg_detector *d, uint32_t kind, uint32_t i)
{
    return kind < N_KINDS ? stg__node_stream(d, i, kind) : stg__edge_stream(d, i, kind - N_KINDS);
}

static int32_t put_streams(const stg_detector *d, stg_bundle *bundle, uint32_t kind, float *run,
                           uint32_t *rise)
{
    char key[STG__KEY_MAX];
    const uint64_t count = kind < N_KINDS ? d->nodes : d->edges;
    for (uint32_t i = 0; i < count; i++) {
        const stg__stream *s = stream_at(d, kind, i);
        pack(s, run + (size_t)i * RUN_FIELDS);
        rise[2 * i] = s->rise[UP];
        rise[2 * i + 1] = s->rise[DOWN];
    }
    stg__kind_key(key, "", "run", kind, "");
    STG_RETURN_IF_ERROR(stg__put(bundle, PREFIX, key, STG__F32, count, RUN_FIELDS, run));
    stg__kind_key(key, "", "rise", kind, "");
    return stg__put(bundle, PREFIX, key, STG__U32, count, 2, rise);
}

static int32_t get_streams(stg_detector *d, const stg_bundle *bundle, uint32_t kind, stg_error *err)
{
    char key[STG__KEY_MAX];
    const stg__tensor *run;
    const stg__tensor *rise;
    const uint64_t count = kind < N_KINDS ? d->nodes : d->edges;
    stg__kind_key(key, "", "rise", kind, "");
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, key, STG__U32, count, 2, &rise, err));
    stg__kind_key(key, "", "run", kind, "");
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, key, STG__F32, count, RUN_FIELDS, &run, err));
    for (uint32_t i = 0; i < count; i++) {
        stg__stream *s = stream_at(d, kind, i);
        if (!unpack(s, (const float *)run->data + (size_t)i * RUN_FIELDS))
            return stg__fail(err, STG_E_FORMAT, PREFIX "%s: value out of range", key);
        s->rise[UP] = ((const uint32_t *)rise->data)[2 * i];
        s->rise[DOWN] = ((const uint32_t *)rise->data)[2 * i + 1];
    }
    return STG_OK;
}

/* --- pools ------------------------------------------------------------------------------------ */

/* Pools are brought up to date in turns: what they score by is older than what they hold. */
static int32_t put_pool(const stg_detector *d, stg_bundle *bundle, uint32_t kind)
{
    char key[STG__KEY_MAX];
    const stg__calib *c = &d->calib[kind];
    const uint32_t ready = c->ready;
    stg__kind_key(key, "", "pool", kind, ".ready");
    STG_RETURN_IF_ERROR(stg__put(bundle, PREFIX, key, STG__U32, 1, 0, &ready));
    stg__kind_key(key, "", "pool", kind, ".cdf");
    STG_RETURN_IF_ERROR(stg__put(bundle, PREFIX, key, STG__F32, TABLE, 0, c->cdf));
    stg__kind_key(key, "", "pool", kind, ".z");
    return stg__put(bundle, PREFIX, key, STG__F32, TABLE, 0, c->z);
}

static bool rising(const float *x, float lo, float hi)
{
    for (uint32_t i = 0; i < TABLE; i++)
        if (!(x[i] >= lo && x[i] <= hi) || (i && x[i] < x[i - 1]))
            return false;
    return true;
}

static int32_t get_pool(stg_detector *d, const stg_bundle *bundle, uint32_t kind, stg_error *err)
{
    char key[STG__KEY_MAX];
    const stg__tensor *t;
    stg__calib *c = &d->calib[kind];
    stg__kind_key(key, "", "pool", kind, ".ready");
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, key, STG__U32, 1, 0, &t, err));
    c->ready = *(const uint32_t *)t->data != 0;
    stg__kind_key(key, "", "pool", kind, ".cdf");
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, key, STG__F32, TABLE, 0, &t, err));
    memcpy(c->cdf, t->data, sizeof c->cdf);
    stg__kind_key(key, "", "pool", kind, ".z");
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, key, STG__F32, TABLE, 0, &t, err));
    memcpy(c->z, t->data, sizeof c->z);
    return rising(c->cdf, 0, 1) && rising(c->z, -40, 40)
               ? STG_OK
               : stg__fail(err, STG_E_FORMAT, PREFIX "%s: not a rising table", key);
}

/* --- windows learnt --------------------------------------------------------------------------- */

static size_t row_values(const stg__row *r)
{
    return (size_t)r->nodes * NC_COUNT + (size_t)r->edges * EC_COUNT;
}

static int32_t put_rows(const stg_detector *d, stg_bundle *bundle)
{
    size_t total = 0;
    for (const stg__row *r = d->first; r; r = r->next)
        total += row_values(r);
    uint64_t(*head)[3] = (uint64_t(*)[3])stg__calloc(d->ctx, d->learnt + 1u, sizeof *head);
    float *values = (float *)stg__calloc(d->ctx, total + 1, sizeof *values);
    int32_t status = STG_E_NOMEM;
    if (head && values) {
        float *at = values;
        size_t i = 0;
        for (const stg__row *r = d->first; r; r = r->next, i++) {
            head[i][0] = r->start_ns;
            head[i][1] = r->nodes;
            head[i][2] = r->edges;
            memcpy(at, r->node, row_values(r) * sizeof *at); /* edges follow nodes in one block */
            at += row_values(r);
        }
        status = stg__put(bundle, PREFIX, "rows", STG__U64, d->learnt, 3, head);
        if (status == STG_OK)
            status = stg__put(bundle, PREFIX, "rows.values", STG__F32, total, 0, values);
    }
    stg__free(d->ctx, head);
    stg__free(d->ctx, values);
    return status;
}

static int32_t get_rows(stg_detector *d, const stg_bundle *bundle, stg_error *err)
{
    const stg__tensor *heads;
    const stg__tensor *values;
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "rows", STG__U64, UINT64_MAX, 3, &heads, err));
    STG_RETURN_IF_ERROR(
        stg__get(bundle, PREFIX, "rows.values", STG__F32, UINT64_MAX, 0, &values, err));
    const uint64_t *head = (const uint64_t *)heads->data;
    const float *at = (const float *)values->data;
    uint64_t left = values->shape[0];
    for (uint64_t i = 0; i < heads->shape[0]; i++, head += 3) {
        const bool later = i == 0 || head[0] > head[-3];
        if (!later || head[1] > d->nodes || head[2] > d->edges)
            return stg__fail(err, STG_E_FORMAT, PREFIX "rows: row %llu is none",
                             (unsigned long long)i);
        const stg__row r = {.start_ns = head[0],
                            .nodes = (uint32_t)head[1],
                            .edges = (uint32_t)head[2]};
        const uint64_t need = row_values(&r);
        if (need > left)
            return stg__fail(err, STG_E_FORMAT, PREFIX "rows.values is cut short");
        STG_RETURN_IF_ERROR(stg__row_append(d, &r, at));
        at += need;
        left -= need;
    }
    return STG_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int32_t put_all_streams(const stg_detector *d, stg_bundle *bundle)
{
    const size_t most = (d->nodes > d->edges ? d->nodes : d->edges) + 1;
    float *run = (float *)stg__calloc(d->ctx, most * RUN_FIELDS, sizeof *run);
    uint32_t *rise = (uint32_t *)stg__calloc(d->ctx, most * 2, sizeof *rise);
    int32_t status = run && rise ? STG_OK : STG_E_NOMEM;
    for (uint32_t k = 0; k < KINDS && status == STG_OK; k++) {
        status = put_streams(d, bundle, k, run, rise);
        if (status == STG_OK)
            status = put_pool(d, bundle, k);
    }
    stg__free(d->ctx, run);
    stg__free(d->ctx, rise);
    return status;
}

static int32_t save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg_detector *d = (const stg_detector *)object;
    if (stg__ctx_forked(d->ctx))
        return stg__fail(err, STG_E_FORK, "detector used in a child process");
    if (d->unreported)
        return stg__fail(err, STG_E_STATE, "a window that was judged waits for its report");
    const double numbers[2] = {d->alarm, d->budget};
    const stg__number number[] = {
        {"origin", d->origin},     {"last_start", d->last_start}, {"windows", d->windows},
        {"unbroken", d->unbroken}, {"next_id", d->next_id},       {"streams", d->streams},
    };
    STG_RETURN_IF_ERROR(stg__calibration_put(d, bundle, PREFIX));
    STG_RETURN_IF_ERROR(stg__put_numbers(bundle, PREFIX, number, sizeof number / sizeof *number));
    STG_RETURN_IF_ERROR(stg__put(bundle, PREFIX, "alarm", STG__F64, 2, 0, numbers));
    STG_RETURN_IF_ERROR(put_all_streams(d, bundle));
    STG_RETURN_IF_ERROR(put_rows(d, bundle));
    return stg__incidents_put(d, bundle);
}

static int32_t get_numbers(stg_detector *d, const stg_bundle *bundle, stg_error *err)
{
    uint64_t streams;
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, PREFIX, "last_start", UINT64_MAX, &d->last_start, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "windows", INT64_MAX, &d->windows, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "unbroken", INT64_MAX, &d->unbroken, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "next_id", INT64_MAX, &d->next_id, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "streams", UINT32_MAX, &streams, err));
    STG_RETURN_IF_ERROR(stg__get(bundle, PREFIX, "alarm", STG__F64, 2, 0, &t, err));
    const double *number = (const double *)t->data;
    d->streams = (uint32_t)streams;
    d->alarm = number[0];
    d->budget = number[1];
    return number[0] >= 0 && number[0] < 1e300 && number[1] >= 0 && number[1] < 1e300
               ? STG_OK
               : stg__fail(err, STG_E_FORMAT, PREFIX "alarm: value out of range");
}

static int32_t fill(stg_detector *d, const stg_bundle *bundle, stg_error *err)
{
    STG_RETURN_IF_ERROR(stg__calibration_get(d, bundle, PREFIX, err));
    STG_RETURN_IF_ERROR(get_numbers(d, bundle, err));
    for (uint32_t k = 0; k < KINDS; k++) {
        STG_RETURN_IF_ERROR(get_streams(d, bundle, k, err));
        STG_RETURN_IF_ERROR(get_pool(d, bundle, k, err));
    }
    STG_RETURN_IF_ERROR(get_rows(d, bundle, err));
    return stg__incidents_get(d, bundle, err);
}

static int32_t check(const stg_detector *d, const stg_bundle *bundle, uint64_t *origin,
                     stg_error *err)
{
    uint64_t window;
    if (stg__ctx_forked(d->ctx))
        return stg__fail(err, STG_E_FORK, "detector used in a child process");
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "origin", UINT64_MAX, origin, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, PREFIX, "window_ns", UINT64_MAX, &window, err));
    if (d->origin && *origin != d->origin)
        return stg__fail(err, STG_E_MISMATCH, "the detector was saved with another calibration");
    return d->window_ns == 0 || window == d->window_ns
               ? STG_OK
               : stg__fail(err, STG_E_MISMATCH, "the detector was saved with another window");
}

static int32_t load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg_detector *d = (const stg_detector *)object;
    stg_detector *fresh;
    uint64_t origin = 0;
    STG_RETURN_IF_ERROR(check(d, bundle, &origin, err));
    stg_detector_opts opts = d->opts;
    opts.size = sizeof opts;
    STG_RETURN_IF_ERROR(stg_detector_create(&fresh, d->ctx, NULL, &opts, err));
    fresh->origin = origin;
    const int32_t status = fill(fresh, bundle, err);
    if (status != STG_OK) {
        stg_detector_destroy(fresh);
        return status;
    }
    *twin = fresh;
    return STG_OK;
}

static void swap(void *object, void *twin)
{
    stg_detector *d = (stg_detector *)object;
    stg_detector *t = (stg_detector *)twin;
    const stg_detector old = *d;
    *d = *t;
    *t = old;
}

static void destroy(void *twin)
{
    stg_detector_destroy((stg_detector *)twin);
}

const stg__state_type stg__detector_state = {PREFIX, 1, save, load, swap, destroy, {NULL}};
