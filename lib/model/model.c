/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model as an object: made empty, filled by the reader of files or by the trainer, immutable
 * from then on. It holds names, scales, edge ratios and what its kind has learnt.
 */
#include <math.h>
#include <string.h>

#include "model_priv.h"

const stg__kind *stg__kind_named(const char *name)
{
    static const stg__kind *const kinds[] = {&stg__kind_persistence, &stg__kind_seasonal,
                                             &stg__kind_dcrnn, &stg__kind_series};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i]->name, name) == 0)
            return kinds[i];
    return NULL;
}

static void model_release(stg__object *o)
{
    stg_model *m = (stg_model *)o;
    stg_ctx *ctx = m->ctx;
    stg__names_destroy(m->columns);
    stg__names_destroy(m->nodes);
    stg__names_destroy(m->routes);
    stg__free(ctx, m->mean);
    stg__free(ctx, m->deviation);
    stg__free(ctx, m->global_mean);
    stg__free(ctx, m->global_deviation);
    stg__free(ctx, m->edge);
    stg__free(ctx, m->edge_calls);
    stg__free(ctx, m->caller_calls);
    stg__free(ctx, m->profile);
    stg__free(ctx, m->pull);
    stg__free(ctx, m->smear);
    stg__free_aligned(ctx, m->params);
    stg__free_aligned(ctx, m->packed);
    stg__free(ctx, m);
    stg__ctx_unref(ctx);
}

stg_model *stg__model_new(stg_ctx *ctx)
{
    stg_model *m = (stg_model *)stg__calloc(ctx, 1, sizeof *m);
    if (!m)
        return NULL;
    m->object.magic = STG_OBJECT_MAGIC;
    m->object.kind = STG__KIND_MODEL;
    m->object.release = model_release;
    atomic_init(&m->object.refs, 1);
    m->ctx = stg__ctx_ref(ctx);
    m->lags = 1;
    if (stg__names_create(&m->columns, ctx, STG__MAX_COLUMNS) == STG_OK &&
        stg__names_create(&m->nodes, ctx, 65536) == STG_OK &&
        stg__names_create(&m->routes, ctx, 65536) == STG_OK)
        return m;
    stg_unref(m);
    return NULL;
}

uint32_t stg__model_columns(const stg_model *m)
{
    return stg__names_count(m->columns);
}

uint32_t stg__model_nodes(const stg_model *m)
{
    return stg__names_count(m->nodes);
}

static double *numbers(stg_ctx *ctx, size_t rows, size_t columns)
{
    size_t count;
    if (__builtin_mul_overflow(rows, columns, &count))
        return NULL;
    return (double *)stg__calloc(ctx, count, sizeof(double));
}

int32_t stg__model_room(stg_model *m)
{
    stg_ctx *ctx = m->ctx;
    const size_t columns = stg__model_columns(m);
    const size_t nodes = stg__model_nodes(m);
    m->mean = numbers(ctx, columns, nodes);
    m->deviation = numbers(ctx, columns, nodes);
    m->global_mean = numbers(ctx, columns, 1);
    m->global_deviation = numbers(ctx, columns, 1);
    m->edge = (stg__known_edge *)stg__calloc(ctx, m->edges, sizeof *m->edge);
    m->edge_calls = numbers(ctx, m->edges, 1);
    m->caller_calls = numbers(ctx, m->edges, 1);
    if (m->slots)
        m->profile = numbers(ctx, columns * nodes, m->slots);
    const bool ok = m->mean && m->deviation && m->global_mean && m->global_deviation && m->edge &&
                    m->edge_calls && m->caller_calls && (m->profile || !m->slots);
    return ok ? STG_OK : STG_E_NOMEM;
}

int32_t stg__model_net_room(stg_model *m, const stg__shape *shape)
{
    if (!stg__net_init(&m->net, shape))
        return STG_E_LIMIT;
    m->params = (real *)stg__alloc_aligned(m->ctx, m->net.params, sizeof *m->params);
    m->packed = (real *)stg__alloc_aligned(m->ctx, m->net.pack_size, sizeof *m->packed);
    m->pull = numbers(m->ctx, m->horizon, m->targets);
    m->smear = numbers(m->ctx, (size_t)m->horizon * m->targets, stg__model_nodes(m));
    return m->params && m->packed && m->pull && m->smear ? STG_OK : STG_E_NOMEM;
}

static int edge_order(const stg__known_edge *e, uint32_t src, uint32_t dst, uint32_t route)
{
    if (e->src != src)
        return e->src < src ? -1 : 1;
    if (e->dst != dst)
        return e->dst < dst ? -1 : 1;
    return e->route < route ? -1 : e->route > route;
}

uint32_t stg__model_edge(const stg_model *m, uint32_t src, uint32_t dst, uint32_t route)
{
    uint32_t from = 0;
    uint32_t to = m->edges;
    while (from < to) {
        const uint32_t mid = from + (to - from) / 2;
        const int order = edge_order(&m->edge[mid], src, dst, route);
        if (order == 0)
            return mid;
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    return STG__NONE;
}

int32_t stg_model_get_info(const stg_model *m, stg_model_info *info)
{
    if (!stg__is(m, STG__KIND_MODEL))
        return STG_E_INVALID;
    const bool net = m->params != NULL;
    stg_model_info i = {
        .kind = m->kind->name,
        .window_ns = m->window_ns,
        .day_ns = m->day_ns,
        .parameters = net ? m->net.params
                          : (uint64_t)m->slots * stg__model_columns(m) * stg__model_nodes(m),
        .inputs = m->inputs,
        .targets = m->targets,
        .history = m->history,
        .horizon = m->horizon,
        .layers = net ? m->net.shape.layers : 0,
        .units = net ? m->net.shape.units : 0,
        .hops = net ? m->net.shape.hops : 0,
        .nodes = stg__model_nodes(m),
        .lags = net ? m->lags : 0,
        .time = net && m->time_inputs ? STG_TIME_OF_DAY : STG_TIME_NONE,
        .filter = net ? stg__word_text(stg__filters, m->filter.kind) : NULL,
        .recursion = net ? stg__word_text(stg__recursions, m->net.shape.recursion) : NULL,
        .decoder = net ? stg__word_text(stg__decoders, m->net.shape.decoder) : NULL,
        .cell = net ? stg__word_text(stg__cells, m->net.shape.cell) : NULL,
        .stateful_ok = m->stateful_ok,
    };
    return stg__info_write(info, &i, sizeof i);
}

const char *stg_model_column(const stg_model *m, uint32_t kind, uint32_t index)
{
    if (!stg__is(m, STG__KIND_MODEL))
        return NULL;
    if (kind == 0 && index < m->inputs)
        return stg__names_get(m->columns, index, NULL);
    if (kind == 1 && index < m->targets)
        return stg__names_get(m->columns, m->target[index], NULL);
    return NULL;
}

/* --- scales ----------------------------------------------------------------------------------- */

bool stg__is_latency(const char *column)
{
    const size_t len = strlen(column);
    return len > 3 && memcmp(column + len - 3, "_us", 3) == 0;
}

double stg__to_log(double x)
{
    return isfinite(x) ? log1p(x > 0 ? x : 0) : NAN;
}

double stg__from_log(double x)
{
    const double most = 60; /* far above any count, far below overflow */
    return isnan(x) ? NAN : expm1(x < 0 ? 0 : x > most ? most : x);
}

double stg__taken(const stg__kind *kind, double x)
{
    if (!kind->plain)
        return stg__to_log(x);
    return isfinite(x) ? fmax(fmin(x, STG__PLAIN_MOST), -STG__PLAIN_MOST) : NAN;
}

uint32_t stg__day_slot(const stg_model *m, uint64_t start)
{
    const double share = (double)(start % m->day_ns) / (double)m->day_ns;
    const uint32_t slot = (uint32_t)(share * m->slots);
    return slot < m->slots ? slot : m->slots - 1;
}

uint32_t stg__day_slots(uint64_t day_ns, uint64_t window_ns)
{
    const uint64_t slots = day_ns / window_ns;
    return slots > STG__MAX_SLOTS ? STG__MAX_SLOTS : slots ? (uint32_t)slots : 1;
}

const double *stg__profile_of(const stg_model *m, uint32_t column, uint32_t known)
{
    if (known == STG__NONE)
        return NULL;
    const double *p = m->profile + ((size_t)column * stg__model_nodes(m) + known) * m->slots;
    return isnan(*p) ? NULL : p;
}

double stg__clipped(double z)
{
    return isnan(z) ? 0 : z > STG__CLIP ? STG__CLIP : z < -STG__CLIP ? -STG__CLIP : z;
}

void stg__recent_add(stg__recent *r, double z)
{
    if (!isnan(z)) {
        r->sum += r->weight * stg__clipped(z);
        r->total += r->weight;
    }
    r->weight *= STG__RECENT;
}

double stg__recent_get(const stg__recent *r)
{
    return r->total > 0 ? r->sum / r->total : 0;
}

void stg__day_time(uint64_t day_ns, uint64_t start, double out[2])
{
    const double angle = 2 * M_PI * (double)(start % day_ns) / (double)day_ns;
    out[0] = sin(angle);
    out[1] = cos(angle);
}

static uint32_t sum_arcs(const uint32_t *src, const uint32_t *dst, const double *calls,
                         uint32_t edges, bool logs, stg__arc *arc)
{
    uint32_t arcs = 0;
    for (uint32_t e = 0; e < edges;) {
        const uint32_t first = e;
        double sum = 0;
        for (; e < edges && src[e] == src[first] && dst[e] == dst[first]; e++)
            sum += isfinite(calls[e]) && calls[e] > 0 ? calls[e] : 0;
        if (sum > 0)
            arc[arcs++] = (stg__arc){src[first], dst[first], logs ? log1p(sum) : sum};
    }
    return arcs;
}

uint32_t stg__make_arcs(const uint32_t *src, const uint32_t *dst, const double *calls, uint32_t edges,
                        stg__arc *arc)
{
    return sum_arcs(src, dst, calls, edges, true, arc);
}

uint32_t stg__make_plain_arcs(const uint32_t *src, const uint32_t *dst, const double *weight,
                              uint32_t edges, stg__arc *arc)
{
    return sum_arcs(src, dst, weight, edges, false, arc);
}
