/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A model in a bundle, under "model/". Metadata say kind and sizes, tensors hold the numbers, all of
 * them by name and in the order of the stored names. A file is believed only after every size, index
 * and number has been looked at; the error says which and why.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

#define MAX_EDGES 1048576u

/* A whole number of the metadata within bounds. */
static int32_t read_number(const stg_bundle *b, const char *key, uint64_t least, uint64_t most,
                           uint64_t *value, stg_error *err)
{
    const int32_t status = stg__bundle_meta_u64(b, key, value);
    if (status == STG_E_NOTFOUND)
        return stg__fail(err, STG_E_FORMAT, "metadata %s is missing", key);
    if (status < 0 || *value < least || *value > most)
        return stg__fail(err, STG_E_FORMAT, "metadata %s is not a number from %llu to %llu", key,
                         (unsigned long long)least, (unsigned long long)most);
    return STG_OK;
}

static int32_t read_u32(const stg_bundle *b, const char *key, uint32_t least, uint32_t most,
                        uint32_t *value, stg_error *err)
{
    uint64_t wide = 0;
    STG_RETURN_IF_ERROR(read_number(b, key, least, most, &wide, err));
    *value = (uint32_t)wide;
    return STG_OK;
}

static int32_t read_header(stg_model *m, const stg_bundle *b, stg_error *err)
{
    uint64_t version = 0;
    const char *kind = stg__bundle_meta(b, "model/kind");
    STG_RETURN_IF_ERROR(read_number(b, "model/version", 1, UINT64_MAX, &version, err));
    if (version > STG__MODEL_VERSION)
        return stg__fail(err, STG_E_VERSION, "model has version %llu, this library reads %u",
                         (unsigned long long)version, STG__MODEL_VERSION);
    m->kind = stg__kind_named(kind);
    if (!m->kind)
        return stg__fail(err, STG_E_FORMAT, "model of unknown kind \"%.40s\"", kind);
    const uint64_t century = 3600000000000u * 24 * 36525;
    STG_RETURN_IF_ERROR(read_number(b, "model/window_ns", 1, century, &m->window_ns, err));
    STG_RETURN_IF_ERROR(read_number(b, "model/day_ns", 1, century, &m->day_ns, err));
    STG_RETURN_IF_ERROR(
        read_u32(b, "model/history", 1, STG__MAX_WINDOWS, &m->history, err));
    STG_RETURN_IF_ERROR(
        read_u32(b, "model/horizon", 1, STG__MAX_WINDOWS, &m->horizon, err));
    if (m->kind->profile)
        STG_RETURN_IF_ERROR(read_u32(b, "model/slots", 1, STG__MAX_SLOTS, &m->slots, err));
    return STG_OK;
}

/* Names are limited in number and length as those of graphs are. Like those they may hold any bytes,
 * but columns are told as plain texts. */
static int32_t read_names(const stg_bundle *b, const char *name, stg__names *into, bool routes,
                          bool columns, stg_error *err)
{
    STG_RETURN_IF_ERROR(stg__bundle_get_names(b, name, into, err));
    for (uint32_t i = 0; i < stg__names_count(into); i++) {
        size_t len = 0;
        const char *text = stg__names_get(into, i, &len);
        if (len > STG_NAME_MAX || (len == 0 && !routes) || (columns && memchr(text, 0, len)))
            return stg__fail(err, STG_E_FORMAT, "names %s: number %u is not usable", name, i);
    }
    return STG_OK;
}

static int32_t read_columns(stg_model *m, const stg_bundle *b, stg_error *err)
{
    STG_RETURN_IF_ERROR(read_names(b, "model/columns", m->columns, false, true, err));
    const uint32_t columns = stg__model_columns(m);
    if (columns == 0)
        return stg__fail(err, STG_E_FORMAT, "names model/columns are empty");
    STG_RETURN_IF_ERROR(read_u32(b, "model/inputs", 1, columns, &m->inputs, err));
    const uint64_t any = UINT64_MAX;
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, "model/targets", STG__U32, 1, &any, &t, err));
    if (t->shape[0] == 0 || t->shape[0] > columns)
        return stg__fail(err, STG_E_FORMAT, "tensor model/targets has a wrong length");
    m->targets = (uint32_t)t->shape[0];
    memcpy(m->target, t->data, t->bytes);
    for (uint32_t k = 0; k < m->targets; k++)
        if (m->target[k] >= columns)
            return stg__fail(err, STG_E_FORMAT, "tensor model/targets: %u is not a column",
                             m->target[k]);
    return STG_OK;
}

static int32_t read_doubles(const stg_bundle *b, const char *name, uint64_t rows, uint64_t columns,
                            double least, bool unknown, double *to, stg_error *err)
{
    const uint64_t shape[2] = {rows, columns};
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, name, STG__F64, 2, shape, &t, err));
    const double *from = (const double *)t->data;
    for (size_t i = 0; i < rows * columns; i++)
        if (!(isfinite(from[i]) && from[i] >= least) && !(unknown && isnan(from[i])))
            return stg__fail(err, STG_E_FORMAT, "tensor %s: number %zu is not usable", name, i);
    memcpy(to, from, rows * columns * sizeof *to);
    return STG_OK;
}

static int32_t read_edges(stg_model *m, const stg_bundle *b, stg_error *err)
{
    const uint64_t shape[2] = {m->edges, 3};
    const stg__tensor *t;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, "model/edges/ends", STG__U32, 2, shape, &t, err));
    const uint32_t nodes = stg__model_nodes(m);
    const uint32_t routes = stg__names_count(m->routes);
    memcpy(m->edge, t->data, t->bytes);
    for (uint32_t e = 0; e < m->edges; e++) {
        const stg__known_edge *k = &m->edge[e];
        if (k->src >= nodes || k->dst >= nodes || k->route >= routes)
            return stg__fail(err, STG_E_FORMAT, "tensor model/edges/ends: edge %u has no ends", e);
        const stg__known_edge *p = k - (e > 0);
        if (e && !(p->src < k->src ||
                   (p->src == k->src &&
                    (p->dst < k->dst || (p->dst == k->dst && p->route < k->route)))))
            return stg__fail(err, STG_E_FORMAT, "tensor model/edges/ends: edge %u is out of order",
                             e);
    }
    STG_RETURN_IF_ERROR(
        read_doubles(b, "model/edges/calls", m->edges, 1, 0, true, m->edge_calls, err));
    return read_doubles(b, "model/edges/caller", m->edges, 1, 0, true, m->caller_calls, err);
}

static int32_t read_scales(stg_model *m, const stg_bundle *b, stg_error *err)
{
    const double least = 1e-9; /* a deviation divides */
    const bool plain = m->kind->plain;
    const double lowest = plain ? -STG__PLAIN_MOST : 0;
    const uint32_t columns = stg__model_columns(m);
    const uint32_t nodes = stg__model_nodes(m);
    STG_RETURN_IF_ERROR(
        read_doubles(b, "model/scale/mean", columns, nodes, lowest, true, m->mean, err));
    STG_RETURN_IF_ERROR(
        read_doubles(b, "model/scale/deviation", columns, nodes, least, true, m->deviation, err));
    STG_RETURN_IF_ERROR(
        read_doubles(b, "model/scale/global_mean", columns, 1, lowest, plain, m->global_mean, err));
    return read_doubles(b, "model/scale/global_deviation", columns, 1, least, plain,
                        m->global_deviation, err);
}

/* A node's column has a whole profile or none. */
static int32_t read_profile(stg_model *m, const stg_bundle *b, stg_error *err)
{
    const uint64_t shape[3] = {stg__model_columns(m), stg__model_nodes(m), m->slots};
    const stg__tensor *t;
    if (!m->slots)
        return STG_OK;
    STG_RETURN_IF_ERROR(stg__bundle_get(b, "model/profile", STG__F64, 3, shape, &t, err));
    memcpy(m->profile, t->data, t->bytes);
    for (size_t i = 0; i < t->bytes / sizeof(double); i++) {
        const double x = m->profile[i];
        const bool none = isnan(m->profile[i - i % m->slots]);
        if (none ? !isnan(x) : !isfinite(x) || x < 0)
            return stg__fail(err, STG_E_FORMAT, "tensor model/profile: number %zu is not usable", i);
    }
    return STG_OK;
}

static int32_t read_model(stg_model *m, const stg_bundle *b, stg_error *err)
{
    const stg__tensor *ends;
    const uint64_t shape[2] = {UINT64_MAX, 3};
    STG_RETURN_IF_ERROR(read_header(m, b, err));
    STG_RETURN_IF_ERROR(read_columns(m, b, err));
    STG_RETURN_IF_ERROR(read_names(b, "model/nodes", m->nodes, false, false, err));
    STG_RETURN_IF_ERROR(read_names(b, "model/routes", m->routes, true, false, err));
    STG_RETURN_IF_ERROR(stg__bundle_get(b, "model/edges/ends", STG__U32, 2, shape, &ends, err));
    if (ends->shape[0] > MAX_EDGES)
        return stg__fail(err, STG_E_LIMIT, "tensor model/edges/ends: more than %u edges", MAX_EDGES);
    m->edges = (uint32_t)ends->shape[0];
    /* Before memory is asked for: the numbers it is for have to be in the file. */
    if (m->slots)
        STG_RETURN_IF_ERROR(stg__bundle_get(
            b, "model/profile", STG__F64, 3,
            (uint64_t[]){stg__model_columns(m), stg__model_nodes(m), m->slots}, &ends, err));
    STG_RETURN_IF_ERROR(stg__model_room(m));
    STG_RETURN_IF_ERROR(read_scales(m, b, err));
    STG_RETURN_IF_ERROR(read_edges(m, b, err));
    STG_RETURN_IF_ERROR(read_profile(m, b, err));
    return m->kind->load(m, b, err);
}

int32_t stg_model_load(const stg_model **out, const stg_bundle *bundle, stg_error *err)
{
    if (!out || !bundle)
        return stg__fail(err, STG_E_INVALID, "no bundle");
    *out = NULL;
    if (!stg__bundle_meta(bundle, "model/kind"))
        return stg__fail(err, STG_E_NOTFOUND, "there is no model in the file");
    stg_model *m = stg__model_new(stg__bundle_ctx(bundle));
    if (!m)
        return stg__fail(err, STG_E_NOMEM, "out of memory");
    const int32_t status = read_model(m, bundle, err);
    if (status != STG_OK) {
        if (status == STG_E_NOMEM)
            stg__fail(err, status, "out of memory");
        stg_unref(m);
        return status;
    }
    *out = m;
    return STG_OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

static const char *get_name(const void *from, uint32_t i, size_t *len)
{
    return stg__names_get((const stg__names *)from, i, len);
}

static int32_t write_names(stg_bundle *b, const char *name, const stg__names *names)
{
    return stg__bundle_put_names(b, name, stg__names_count(names), get_name, names);
}

static int32_t write_doubles(stg_bundle *b, const char *name, uint64_t rows, uint64_t columns,
                             const double *from)
{
    return stg__bundle_put(b, name, STG__F64, 2, (uint64_t[]){rows, columns}, from);
}

static int32_t write_header(const stg_model *m, stg_bundle *b)
{
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/version", STG__MODEL_VERSION));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/window_ns", m->window_ns));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/day_ns", m->day_ns));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/history", m->history));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/horizon", m->horizon));
    STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/inputs", m->inputs));
    if (m->slots)
        STG_RETURN_IF_ERROR(stg__bundle_set_meta_u64(b, "model/slots", m->slots));
    return stg__bundle_set_meta(b, "model/kind", m->kind->name);
}

static int32_t write_model(const stg_model *m, stg_bundle *b)
{
    const uint32_t columns = stg__model_columns(m);
    const uint32_t nodes = stg__model_nodes(m);
    const uint64_t targets = m->targets;
    const uint64_t ends[2] = {m->edges, 3};
    STG_RETURN_IF_ERROR(write_header(m, b));
    STG_RETURN_IF_ERROR(write_names(b, "model/columns", m->columns));
    STG_RETURN_IF_ERROR(write_names(b, "model/nodes", m->nodes));
    STG_RETURN_IF_ERROR(write_names(b, "model/routes", m->routes));
    STG_RETURN_IF_ERROR(stg__bundle_put(b, "model/targets", STG__U32, 1, &targets, m->target));
    STG_RETURN_IF_ERROR(write_doubles(b, "model/scale/mean", columns, nodes, m->mean));
    STG_RETURN_IF_ERROR(write_doubles(b, "model/scale/deviation", columns, nodes, m->deviation));
    STG_RETURN_IF_ERROR(write_doubles(b, "model/scale/global_mean", columns, 1, m->global_mean));
    STG_RETURN_IF_ERROR(
        write_doubles(b, "model/scale/global_deviation", columns, 1, m->global_deviation));
    STG_RETURN_IF_ERROR(stg__bundle_put(b, "model/edges/ends", STG__U32, 2, ends, m->edge));
    STG_RETURN_IF_ERROR(write_doubles(b, "model/edges/calls", m->edges, 1, m->edge_calls));
    STG_RETURN_IF_ERROR(write_doubles(b, "model/edges/caller", m->edges, 1, m->caller_calls));
    if (m->slots)
        STG_RETURN_IF_ERROR(stg__bundle_put(
            b, "model/profile", STG__F64, 3, (uint64_t[]){columns, nodes, m->slots}, m->profile));
    return m->kind->store(m, b);
}

/* Written beside and then put in place: without memory the bundle keeps the model it has. */
int32_t stg_model_store(const stg_model *m, stg_bundle *b)
{
    if (!stg__is(m, STG__KIND_MODEL) || !b)
        return STG_E_INVALID;
    stg_bundle *own;
    STG_RETURN_IF_ERROR(stg_bundle_open(&own, stg__bundle_ctx(b), NULL, NULL));
    int32_t status = write_model(m, own);
    if (status == STG_OK)
        status = stg__bundle_replace(b, "model/", own);
    stg_bundle_destroy(own);
    return status;
}
