/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration in a bundle, under "score/" (in a saved state under "state/score/"): names of nodes
 * and routes, edges as indices into them, and for each kind of stream, by its name, a matrix of
 * parameters and a pool. What is read is checked: a number that no fit can give is a format error.
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "score_priv.h"

#define VERSION 1
#define FIELDS (16u + KNOTS)
#define POOL_FIELDS 14u
#define FILE_PREFIX "score/" /* of a model file */

static void pack(const stg__stream *s, double *f)
{
    const double all[FIELDS - KNOTS] = {
        s->a, s->b, s->centre, (double)s->disp, (double)s->disp_own, (double)s->blend,
        (double)s->ar[0], (double)s->ar[1], (double)s->ar[2], (double)s->spread,
        (double)s->kappa[UP], (double)s->kappa[DOWN], s->seen, s->active, s->part, (double)s->lump};
    memcpy(f, all, sizeof all);
    for (int i = 0; i < KNOTS; i++)
        f[FIELDS - KNOTS + i] = (double)s->knot[i];
}

/* Ranges of the fields before the knots; everything else is only bound to be a number. */
static const struct {
    double lo;
    double hi;
} ranges[FIELDS - KNOTS] = {{-1e18, 1e18}, {-1e18, 1e18}, {-1e18, 1e18}, {0, 1e9}, {0, 1e9},
                            {0, 1},        {-2, 2},       {-2, 2},       {-2, 2},  {0, 1e9},
                            {1, 100},      {1, 100},      {0, 4e9},      {0, 1},   {0, 1},
                            {0, 1e6}};

static bool in_range(const double *f)
{
    for (uint32_t i = 0; i < FIELDS - KNOTS; i++)
        if (!(f[i] >= ranges[i].lo && f[i] <= ranges[i].hi))
            return false;
    for (uint32_t i = FIELDS - KNOTS; i < FIELDS; i++)
        if (!(fabs(f[i]) < 1e6) || (i > FIELDS - KNOTS && !((float)f[i] > (float)f[i - 1])))
            return false;
    return true;
}

static bool unpack(stg__stream *s, const double *f)
{
    if (!in_range(f))
        return false;
    stg__stream_init(s);
    s->a = f[0];
    s->b = f[1];
    s->centre = f[2];
    s->disp = (float)f[3];
    s->disp_own = (float)f[4];
    s->blend = (float)f[5];
    for (int i = 0; i < 3; i++)
        s->ar[i] = (float)f[6 + i];
    s->spread = (float)f[9];
    s->kappa[UP] = (float)f[10];
    s->kappa[DOWN] = (float)f[11];
    s->seen = (uint32_t)f[12];
    s->active = f[13] != 0;
    s->part = f[14] != 0;
    s->lump = (float)f[15];
    for (int i = 0; i < KNOTS; i++)
        s->knot[i] = (float)f[FIELDS - KNOTS + i];
    return true;
}

void stg__kind_key(char out[STG__KEY_MAX], const char *prefix, const char *what, uint32_t kind,
                   const char *end)
{
    snprintf(out, STG__KEY_MAX, "%s%s.%s.%s%s", prefix, what, kind < N_KINDS ? "node" : "edge",
             stg__kinds[kind].name, end);
}

static int32_t store_entities(const stg_detector *d, stg_bundle *bundle, const char *prefix)
{
    STG_RETURN_IF_ERROR(stg__put_names(bundle, prefix, "names", d->names));
    STG_RETURN_IF_ERROR(stg__put(bundle, prefix, "nodes", STG__U32, d->nodes, 0, d->node_name));
    return stg__put(bundle, prefix, "edges", STG__U32, d->edges, 3, d->edge);
}

static int32_t store_streams(const stg_detector *d, stg_bundle *bundle, const char *prefix,
                             uint32_t kind, double *work)
{
    char name[STG__KEY_MAX];
    const uint32_t count = kind < N_KINDS ? d->nodes : d->edges;
    const uint64_t shape[2] = {count, FIELDS};
    for (uint32_t i = 0; i < count; i++)
        pack(kind < N_KINDS ? stg__node_stream(d, i, kind)
                            : stg__edge_stream(d, i, kind - N_KINDS),
             work + (size_t)i * FIELDS);
    stg__kind_key(name, prefix, "stream", kind, "");
    return stg__bundle_put(bundle, name, STG__F64, 2, shape, work);
}

static void pack_pool(const stg__calib *c, double f[POOL_FIELDS])
{
    const double all[POOL_FIELDS] = {c->weight, c->cut[UP], c->cut[DOWN], c->share[UP],
                                     c->share[DOWN], c->tail[UP].gamma, c->tail[UP].sigma,
                                     c->tail[DOWN].gamma, c->tail[DOWN].sigma, c->next[UP],
                                     c->next[DOWN], c->unfitted[UP], c->unfitted[DOWN], c->streams};
    memcpy(f, all, sizeof all);
}

static int32_t store_pool(const stg_detector *d, stg_bundle *bundle, const char *prefix,
                          uint32_t kind)
{
    char name[STG__KEY_MAX];
    const stg__calib *c = &d->calib[kind];
    double all[POOL_FIELDS];
    pack_pool(c, all);
    const uint64_t fields[1] = {POOL_FIELDS};
    const uint64_t bins[1] = {CALIB_BINS};
    stg__kind_key(name, prefix, "pool", kind, "");
    STG_RETURN_IF_ERROR(stg__bundle_put(bundle, name, STG__F64, 1, fields, all));
    stg__kind_key(name, prefix, "pool", kind, ".bins");
    STG_RETURN_IF_ERROR(stg__bundle_put(bundle, name, STG__F32, 1, bins, c->bins));
    for (int side = UP; side <= DOWN; side++) {
        const uint64_t n[1] = {c->excesses[side]};
        stg__kind_key(name, prefix, "pool", kind, side == UP ? ".above" : ".below");
        STG_RETURN_IF_ERROR(stg__bundle_put(bundle, name, STG__F32, 1, n, c->excess[side]));
    }
    return STG_OK;
}

int32_t stg__calibration_put(const stg_detector *d, stg_bundle *bundle, const char *prefix)
{
    const size_t most = (d->nodes > d->edges ? d->nodes : d->edges) + 1;
    double *work = (double *)stg__calloc(d->ctx, most * FIELDS, sizeof *work);
    if (!work)
        return STG_E_NOMEM;
    int32_t status = store_entities(d, bundle, prefix);
    for (uint32_t k = 0; k < KINDS && status == STG_OK; k++) {
        status = store_streams(d, bundle, prefix, k, work);
        if (status == STG_OK)
            status = store_pool(d, bundle, prefix, k);
    }
    stg__free(d->ctx, work);
    STG_RETURN_IF_ERROR(status);
    STG_RETURN_IF_ERROR(stg__put_number(bundle, prefix, "version", VERSION));
    STG_RETURN_IF_ERROR(stg__put_number(bundle, prefix, "fitted", d->fitted));
    if (d->lead)
        STG_RETURN_IF_ERROR(stg__put_number(bundle, prefix, "lead", d->lead));
    return stg__put_number(bundle, prefix, "window_ns", d->window_ns);
}

/* Written beside and then put in place: without memory the bundle keeps the calibration it has. */
int32_t stg_detector_store(const stg_detector *d, stg_bundle *bundle)
{
    if (!d || !bundle)
        return STG_E_INVALID;
    stg_bundle *own;
    STG_RETURN_IF_ERROR(stg_bundle_open(&own, stg__bundle_ctx(bundle), NULL, NULL));
    int32_t status = stg__calibration_put(d, own, FILE_PREFIX);
    if (status == STG_OK)
        status = stg__bundle_replace(bundle, FILE_PREFIX, own);
    stg_bundle_destroy(own);
    return status;
}

static int32_t load_nodes(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                          const stg__names *names, stg_error *err)
{
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "nodes", STG__U32, UINT64_MAX, 0, &t, err));
    const uint32_t *ids = (const uint32_t *)t->data;
    for (uint64_t i = 0; i < t->shape[0]; i++) {
        uint32_t index;
        size_t len;
        const char *name = stg__names_get(names, ids[i], &len);
        if (!name || len == 0 || (i == 0 && strcmp(name, STG__EXTERNAL) != 0))
            return stg__fail(err, STG_E_FORMAT, "%snodes: bad name of a node", prefix);
        STG_RETURN_IF_ERROR(stg__entity_node(d, name, len, &index));
        if (index != i)
            return stg__fail(err, STG_E_FORMAT, "%snodes: a node twice", prefix);
    }
    return STG_OK;
}

static int32_t load_edges(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                          const stg__names *names, stg_error *err)
{
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__get(bundle, prefix, "edges", STG__U32, UINT64_MAX, 3, &t, err));
    const uint32_t *e = (const uint32_t *)t->data;
    for (uint64_t i = 0; i < t->shape[0]; i++, e += 3) {
        uint32_t index;
        size_t len;
        const char *route = stg__names_get(names, e[2], &len);
        stg__edge_id id = {e[0], e[1], 0};
        if (e[0] >= d->nodes || e[1] >= d->nodes || !route)
            return stg__fail(err, STG_E_FORMAT, "%sedges: no such node or route", prefix);
        STG_RETURN_IF_ERROR(stg__entity_name(d, route, len, &id.route));
        STG_RETURN_IF_ERROR(stg__entity_edge(d, id, &index));
        if (index != i)
            return stg__fail(err, STG_E_FORMAT, "%sedges: an edge twice", prefix);
    }
    return STG_OK;
}

/* Names and entities in their stored order, so that matrices fit and numbers stay the same. */
static int32_t load_entities(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                             stg_error *err)
{
    stg__names *names;
    STG_RETURN_IF_ERROR(stg__names_create(&names, d->ctx, 1u << 20));
    int32_t status = stg__get_names(bundle, prefix, "names", names, err);
    for (uint32_t i = 0; status == STG_OK && i < stg__names_count(names); i++) {
        size_t len;
        uint32_t id;
        const char *name = stg__names_get(names, i, &len);
        status = stg__entity_name(d, name, len, &id);
    }
    if (status == STG_OK)
        status = load_nodes(d, bundle, prefix, names, err);
    if (status == STG_OK)
        status = load_edges(d, bundle, prefix, names, err);
    stg__names_destroy(names);
    return status;
}

static int32_t load_streams(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                            uint32_t kind, stg_error *err)
{
    char name[STG__KEY_MAX];
    const stg__tensor *t;
    const uint32_t count = kind < N_KINDS ? d->nodes : d->edges;
    const uint64_t shape[2] = {count, FIELDS};
    stg__kind_key(name, prefix, "stream", kind, "");
    if (!stg__bundle_find(bundle, name)) /* written before this kind was known */
        return STG_OK;
    STG_RETURN_IF_ERROR(stg__bundle_get(bundle, name, STG__F64, 2, shape, &t, err));
    for (uint32_t i = 0; i < count; i++) {
        stg__stream *s = kind < N_KINDS ? stg__node_stream(d, i, kind)
                                        : stg__edge_stream(d, i, kind - N_KINDS);
        if (!unpack(s, (const double *)t->data + (size_t)i * FIELDS))
            return stg__fail(err, STG_E_FORMAT, "%s: value out of range", name);
    }
    return STG_OK;
}

static bool within(double x, double lo, double hi)
{
    return x >= lo && x <= hi;
}

static bool tail_sane(const stg__calib *c, int side)
{
    const stg__gpd *t = &c->tail[side];
    for (uint32_t i = 0; i < c->excesses[side]; i++)
        if (!within((double)c->excess[side][i], 0, 1e6))
            return false;
    return within(c->cut[side], -100, 100) && within(c->share[side], 0, 0.5) &&
           within(t->gamma, 0, 0.5) && within(t->sigma, c->share[side] > 0 ? 1e-12 : 0, 1e6);
}

static bool pool_sane(const stg__calib *c)
{
    double sum = 0;
    for (uint32_t i = 0; i < CALIB_BINS; i++) {
        if (!within((double)c->bins[i], 0, 1e9))
            return false;
        sum += (double)c->bins[i];
    }
    return fabs(sum - c->weight) <= 1 + 1e-3 * sum && tail_sane(c, UP) && tail_sane(c, DOWN);
}

static bool index_of(double value, uint32_t limit, uint32_t *out)
{
    if (!(value >= 0 && value <= (double)limit))
        return false;
    *out = (uint32_t)value;
    return true;
}

static bool pool_fields(stg__calib *c, const double *f)
{
    c->weight = f[0];
    c->cut[UP] = f[1];
    c->cut[DOWN] = f[2];
    c->share[UP] = f[3];
    c->share[DOWN] = f[4];
    c->tail[UP] = (stg__gpd){f[5], f[6]};
    c->tail[DOWN] = (stg__gpd){f[7], f[8]};
    return index_of(f[9], CALIB_TAIL - 1, &c->next[UP]) &&
           index_of(f[10], CALIB_TAIL - 1, &c->next[DOWN]) &&
           index_of(f[11], 1000000, &c->unfitted[UP]) &&
           index_of(f[12], 1000000, &c->unfitted[DOWN]) && index_of(f[13], 100000000, &c->streams);
}

static int32_t load_pool(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                         uint32_t kind, stg_error *err)
{
    char name[STG__KEY_MAX];
    const stg__tensor *t;
    const uint64_t fields[1] = {POOL_FIELDS};
    const uint64_t bins[1] = {CALIB_BINS};
    const uint64_t any[1] = {UINT64_MAX};
    stg__calib *c = &d->calib[kind];
    stg__kind_key(name, prefix, "pool", kind, "");
    if (!stg__bundle_find(bundle, name))
        return STG_OK;
    STG_RETURN_IF_ERROR(stg__bundle_get(bundle, name, STG__F64, 1, fields, &t, err));
    bool good = pool_fields(c, (const double *)t->data);
    stg__kind_key(name, prefix, "pool", kind, ".bins");
    STG_RETURN_IF_ERROR(stg__bundle_get(bundle, name, STG__F32, 1, bins, &t, err));
    memcpy(c->bins, t->data, sizeof c->bins);
    for (int side = UP; side <= DOWN; side++) {
        stg__kind_key(name, prefix, "pool", kind, side == UP ? ".above" : ".below");
        STG_RETURN_IF_ERROR(stg__bundle_get(bundle, name, STG__F32, 1, any, &t, err));
        if (t->shape[0] > CALIB_TAIL)
            return stg__fail(err, STG_E_FORMAT, "%s: too long", name);
        c->excesses[side] = (uint32_t)t->shape[0];
        memcpy(c->excess[side], t->data, c->excesses[side] * sizeof(float));
    }
    good = good && pool_sane(c);
    if (!good)
        return stg__fail(err, STG_E_FORMAT, "%s: value out of range", name);
    return STG_OK;
}

int32_t stg__calibration_get(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                             stg_error *err)
{
    uint64_t version;
    uint64_t fitted;
    char key[STG__KEY_MAX];
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "version", UINT64_MAX, &version, err));
    if (version != VERSION)
        return stg__fail(err, STG_E_VERSION, "calibration of version %llu, not %u",
                         (unsigned long long)version, VERSION);
    STG_RETURN_IF_ERROR(
        stg__get_number(bundle, prefix, "window_ns", UINT64_MAX, &d->window_ns, err));
    STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "fitted", UINT64_MAX, &fitted, err));
    d->fitted = fitted != 0;
    if (stg__bundle_meta(bundle, stg__key(key, prefix, "lead"))) {
        STG_RETURN_IF_ERROR(stg__get_number(bundle, prefix, "lead", UINT64_MAX, &d->lead, err));
        if (d->lead == 0)
            return stg__fail(err, STG_E_FORMAT, "%slead is not a number above 0", prefix);
    }
    STG_RETURN_IF_ERROR(load_entities(d, bundle, prefix, err));
    for (uint32_t k = 0; k < KINDS; k++) {
        STG_RETURN_IF_ERROR(load_streams(d, bundle, prefix, k, err));
        STG_RETURN_IF_ERROR(load_pool(d, bundle, prefix, k, err));
    }
    return STG_OK;
}

/* Of what a file holds of a calibration, by value: the same after it was written and read back. */
uint64_t stg__calibration_digest(const stg_detector *d)
{
    uint64_t h = 0;
    double f[FIELDS];
    for (uint32_t i = 0; i < d->nodes; i++)
        h = stg__mix_digest(h, stg__node_text(d, i), strlen(stg__node_text(d, i)));
    for (uint32_t e = 0; e < d->edges; e++) {
        h = stg__mix_digest(h, &d->edge[e], offsetof(stg__edge_id, route));
        h = stg__mix_digest(h, stg__route_text(d, e), strlen(stg__route_text(d, e)));
    }
    for (uint32_t k = 0; k < KINDS; k++) {
        const stg__calib *c = &d->calib[k];
        for (uint32_t i = 0; i < (k < N_KINDS ? d->nodes : d->edges); i++) {
            pack(k < N_KINDS ? stg__node_stream(d, i, k) : stg__edge_stream(d, i, k - N_KINDS), f);
            h = stg__mix_digest(h, f, sizeof f);
        }
        pack_pool(c, f);
        h = stg__mix_digest(h, f, POOL_FIELDS * sizeof *f);
        h = stg__mix_digest(h, c->bins, sizeof c->bins);
        for (int side = UP; side <= DOWN; side++)
            h = stg__mix_digest(h, c->excess[side], c->excesses[side] * sizeof(float));
    }
    return h ? h : 1;
}

int32_t stg__calibration_load(stg_detector *d, const stg_bundle *bundle, stg_error *err)
{
    if (!stg__bundle_meta(bundle, FILE_PREFIX "version"))
        return STG_OK; /* no calibration in it */
    STG_RETURN_IF_ERROR(stg__calibration_get(d, bundle, FILE_PREFIX, err));
    d->origin = stg__calibration_digest(d); /* before tails are fitted anew */
    for (uint32_t k = 0; k < KINDS; k++)
        stg__calib_refresh(&d->calib[k]);
    return STG_OK;
}
