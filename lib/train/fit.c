/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every kind of model is given: names in canonical order, whatever the order they came in,
 * scales of each node's columns, mean calls of edges. And the profile of the day.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train_priv.h"

#define LEAST_DEVIATION 0.1 /* on the log scale: ten percent */

static int by_name(const void *a, const void *b, void *names)
{
    size_t alen = 0;
    size_t blen = 0;
    const char *x = stg__names_get((const stg__names *)names, *(const uint32_t *)a, &alen);
    const char *y = stg__names_get((const stg__names *)names, *(const uint32_t *)b, &blen);
    return stg__name_compare(x, alen, y, blen);
}

/* Numbers of names in canonical order, and the rank of each; pinned stands first. */
static uint32_t *sorted(stg_ctx *ctx, const stg__names *names, const char *pinned, uint32_t *rank)
{
    const uint32_t count = stg__names_count(names);
    uint32_t *order = (uint32_t *)stg__calloc(ctx, count, sizeof *order);
    if (!order)
        return NULL;
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    const uint32_t first = pinned ? stg__names_find(names, pinned, strlen(pinned)) : UINT32_MAX;
    uint32_t from = 0;
    if (first < count) {
        order[first] = 0;
        order[0] = first;
        from = 1;
    }
    qsort_r(order + from, count - from, sizeof *order, by_name, (void *)(uintptr_t)names);
    for (uint32_t i = 0; i < count; i++)
        rank[order[i]] = i;
    return order;
}

static int32_t copy_names(stg__names *to, const stg__names *from, const uint32_t *order)
{
    for (uint32_t i = 0; i < stg__names_count(from); i++) {
        size_t len = 0;
        uint32_t id;
        const char *name = stg__names_get(from, order ? order[i] : i, &len);
        STG_RETURN_IF_ERROR(stg__names_add(to, name, len, &id));
    }
    return STG_OK;
}

static int by_ends(const void *a, const void *b)
{
    const uint32_t *x = (const uint32_t *)a;
    const uint32_t *y = (const uint32_t *)b;
    for (int i = 0; i < 3; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

static int32_t fill_edges(stg_model *m, const stg_trainer *t, const uint32_t *node_rank,
                          const uint32_t *route_rank)
{
    uint32_t(*row)[4] = (uint32_t(*)[4])stg__calloc(t->ctx, m->edges, sizeof *row);
    if (!row)
        return STG_E_NOMEM;
    for (uint32_t e = 0; e < m->edges; e++) {
        uint32_t key[3];
        memcpy(key, stg__names_get(t->edges, e, NULL), sizeof key);
        row[e][0] = node_rank[key[0]];
        row[e][1] = node_rank[key[1]];
        row[e][2] = route_rank[key[2]];
        row[e][3] = e;
    }
    qsort(row, m->edges, sizeof *row, by_ends);
    for (uint32_t i = 0; i < m->edges; i++) {
        const uint32_t e = row[i][3];
        const double windows = t->edge_windows[e];
        m->edge[i] = (stg__known_edge){row[i][0], row[i][1], row[i][2]};
        m->edge_calls[i] = windows > 0 ? t->edge_calls[e] / windows : NAN;
        m->caller_calls[i] = windows > 0 ? t->caller_calls[e] / windows : NAN;
    }
    stg__free(t->ctx, row);
    return STG_OK;
}

typedef struct moments {
    double count;
    double sum;
    double square;
} moments;

static void add_moment(moments *m, double x)
{
    m->count++;
    m->sum += x;
    m->square += x * x;
}

static void scale_from(const moments *m, double *mean, double *deviation)
{
    *mean = m->count > 0 ? m->sum / m->count : NAN;
    const double square = m->count > 0 ? m->square / m->count - *mean * *mean : 0;
    const double d = square > 0 ? sqrt(square) : 0;
    *deviation = d > LEAST_DEVIATION ? d : LEAST_DEVIATION;
}

static void fill_scales(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train)
{
    const uint32_t nodes = stg__model_nodes(m);
    for (uint32_t c = 0; c < stg__model_columns(m); c++) {
        moments all = {0, 0, 0};
        for (uint32_t i = 0; i < nodes; i++) {
            moments own = {0, 0, 0};
            for (size_t w = 0; w < train; w++) {
                const double x = stg__window_value(&t->window[w], c, order[i]);
                if (isnan(x))
                    continue;
                add_moment(&own, x);
                add_moment(&all, x);
            }
            const size_t at = (size_t)c * nodes + i;
            scale_from(&own, &m->mean[at], &m->deviation[at]);
        }
        scale_from(&all, &m->global_mean[c], &m->global_deviation[c]);
        if (isnan(m->global_mean[c]))
            m->global_mean[c] = 0;
    }
}

/* Of plain values: mean and deviation over all nodes and windows, and the same for each node alone. */
static void fill_plain_scales(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train)
{
    const uint32_t nodes = stg__model_nodes(m);
    for (uint32_t c = 0; c < stg__model_columns(m); c++) {
        double count = 0;
        double mean = 0;
        double square = 0;
        for (size_t w = 0; w < train; w++)
            for (uint32_t i = 0; i < nodes; i++) {
                const double x = stg__window_value(&t->window[w], c, order[i]);
                if (isnan(x))
                    continue;
                const double off = x - mean;
                mean += off / ++count;
                square += off * (x - mean);
            }
        const double deviation = count > 0 ? sqrt(square / count) : 0;
        m->global_mean[c] = mean;
        m->global_deviation[c] = deviation > 1e-9 ? deviation : 1; /* a value that never moves */
        for (uint32_t i = 0; i < nodes; i++) {
            m->mean[(size_t)c * nodes + i] = mean;
            m->deviation[(size_t)c * nodes + i] = m->global_deviation[c];
        }
    }
}

static void copy_header(stg_model *m, const stg_trainer *t)
{
    m->kind = t->kind;
    m->window_ns = t->window_ns;
    m->day_ns = t->o.day_ns;
    m->history = t->o.history;
    m->horizon = t->o.horizon;
    m->inputs = t->inputs;
    m->targets = t->targets;
    memcpy(m->target, t->target, sizeof m->target);
    m->edges = stg__names_count(t->edges);
    if (t->kind->profile)
        m->slots = stg__day_slots(m->day_ns, m->window_ns);
}

static int32_t fill_model(stg_model *m, const stg_trainer *t, size_t train, const uint32_t *node_order,
                          const uint32_t *node_rank, const uint32_t *route_order,
                          const uint32_t *route_rank)
{
    copy_header(m, t);
    STG_RETURN_IF_ERROR(copy_names(m->columns, t->columns, NULL));
    STG_RETURN_IF_ERROR(copy_names(m->nodes, t->nodes, node_order));
    STG_RETURN_IF_ERROR(copy_names(m->routes, t->routes, route_order));
    STG_RETURN_IF_ERROR(stg__model_room(m));
    if (t->kind->plain)
        fill_plain_scales(m, t, node_order, train);
    else
        fill_scales(m, t, node_order, train);
    return fill_edges(m, t, node_rank, route_rank);
}

int32_t stg__fit_model(stg_model **out, const stg_trainer *t, size_t train, uint32_t **order)
{
    stg_ctx *ctx = t->ctx;
    uint32_t *node_rank = (uint32_t *)stg__calloc(ctx, stg__names_count(t->nodes), sizeof *node_rank);
    uint32_t *route_rank =
        (uint32_t *)stg__calloc(ctx, stg__names_count(t->routes), sizeof *route_rank);
    uint32_t *node_order = node_rank ? sorted(ctx, t->nodes, STG__EXTERNAL, node_rank) : NULL;
    uint32_t *route_order = route_rank ? sorted(ctx, t->routes, NULL, route_rank) : NULL;
    stg_model *m = node_order && route_order ? stg__model_new(ctx) : NULL;
    int32_t status = STG_E_NOMEM;
    if (m)
        status = fill_model(m, t, train, node_order, node_rank, route_order, route_rank);
    stg__free(ctx, node_rank);
    stg__free(ctx, route_rank);
    stg__free(ctx, route_order);
    if (status != STG_OK) {
        stg__free(ctx, node_order);
        stg_unref(m);
        return status;
    }
    *out = m;
    *order = node_order;
    return STG_OK;
}

/* --- the day ----------------------------------------------------------------------------------- */

/* Weighted mean over neighbouring slots, around midnight too; slots without data give nothing. keep:
 * how much of the distance from the mean over all is kept. */
static void smooth(double *profile, const double *sum, const double *count, uint32_t slots,
                   double keep)
{
    const int width = (int)(slots / 48); /* half an hour of a day to both sides */
    double all = 0;
    double every = 0;
    for (uint32_t i = 0; i < slots; i++) {
        all += sum[i];
        every += count[i];
    }
    const double mean = every > 0 ? all / every : NAN;
    for (uint32_t i = 0; i < slots; i++) {
        double total = 0;
        double weight = 0;
        for (int d = -width; d <= width; d++) {
            const uint32_t at = (uint32_t)((int)(i + slots) + d) % slots;
            const double w = width + 1 - (d < 0 ? -d : d);
            total += w * sum[at];
            weight += w * count[at];
        }
        profile[i] = weight > 0 ? mean + keep * (total / weight - mean) : mean;
    }
}

/* Spread around the profile in place of that around the mean. */
static void set_deviation(stg_model *m, const stg_trainer *t, uint32_t column, uint32_t node,
                          uint32_t id, size_t train)
{
    const double *profile = stg__profile_of(m, column, node);
    moments left = {0, 0, 0};
    double mean;
    for (size_t w = 0; profile && w < train; w++) {
        const double x = stg__window_value(&t->window[w], column, id);
        if (!isnan(x))
            add_moment(&left, x - profile[stg__day_slot(m, t->window[w].start_ns)]);
    }
    scale_from(&left, &mean, &m->deviation[(size_t)column * stg__model_nodes(m) + node]);
}

/*
 * The profile is the mean over the days. One that a net shall stand on is drawn towards the plain mean,
 * the more the fewer days there are: a day's own ups and downs are in its profile too, and the net
 * would take the next day's for far smaller than they are. Below two days there is none.
 */
int32_t stg__fit_profile(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train)
{
    const uint32_t slots = m->slots;
    const double days = (double)train * (double)m->window_ns / (double)m->day_ns;
    const bool net = m->kind == &stg__kind_dcrnn;
    const double keep = !net ? 1 : days < 2 ? 0 : 1 - 1 / days;
    const uint32_t nodes = stg__model_nodes(m);
    double *sum = (double *)stg__calloc(t->ctx, 2 * (size_t)slots, sizeof *sum);
    if (!sum)
        return STG_E_NOMEM;
    double *count = sum + slots;
    for (uint32_t c = 0; c < stg__model_columns(m); c++)
        for (uint32_t i = 0; i < nodes; i++) {
            memset(sum, 0, 2 * (size_t)slots * sizeof *sum);
            for (size_t w = 0; w < train; w++) {
                const double x = stg__window_value(&t->window[w], c, order[i]);
                const uint32_t slot = stg__day_slot(m, t->window[w].start_ns);
                if (isnan(x))
                    continue;
                sum[slot] += x;
                count[slot]++;
            }
            smooth(m->profile + ((size_t)c * nodes + i) * slots, sum, count, slots, keep);
            if (net)
                set_deviation(m, t, c, i, order[i], train);
        }
    stg__free(t->ctx, sum);
    return STG_OK;
}
