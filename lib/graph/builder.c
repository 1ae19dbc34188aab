/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder: nodes, edges and columns in order of arrival on its side, canonical order in the
 * graphs it hands out. The sorting happens only when a name or edge is new; otherwise ending a
 * window is a copy of numbers into a graph from the pool.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "topology_priv.h"

typedef struct edge_key {
    uint32_t src;
    uint32_t dst;
    uint32_t route;
} edge_key;

typedef struct values { /* column c of item i stands at at[c * cap + i] */
    double *at;
    size_t cap;
    size_t columns;
} values;

struct stg_graph_builder {
    stg_ctx *ctx;
    stg__pool *pool;
    stg__names *nodes;
    stg__names *routes;
    stg__schema *schema;
    edge_key *edges;
    uint32_t edge_count;
    uint32_t edge_cap;
    uint32_t max_edges;
    uint32_t *table; /* edge + 1 by key; open addressing */
    uint32_t slots;
    values v[2];
    stg__topology *topo; /* of the last graph; NULL: something is new */
    uint32_t *node_rank; /* canonical place of each node */
    uint32_t *edge_rank;
    uint64_t start_ns;
    uint64_t end_ns;
    double coverage;
    bool open;
};

static void graph_recycle(stg__object *o)
{
    stg_graph *g = (stg_graph *)o;
    stg__topology_unref(g->topo);
    stg__schema_unref(g->schema);
    g->topo = NULL;
    g->schema = NULL;
}

static void graph_fini(stg_ctx *ctx, stg__object *o)
{
    stg_graph *g = (stg_graph *)o;
    stg__free_aligned(ctx, g->node_values);
    stg__free_aligned(ctx, g->edge_values);
}

static const stg__pool_type graph_type = {sizeof(stg_graph), STG__KIND_GRAPH, graph_recycle,
                                          graph_fini};

void stg_graph_builder_destroy(stg_graph_builder *b)
{
    if (!b)
        return;
    stg_ctx *ctx = b->ctx;
    stg__topology_unref(b->topo);
    stg__schema_unref(b->schema);
    stg__names_destroy(b->nodes);
    stg__names_destroy(b->routes);
    stg__pool_destroy(b->pool);
    stg__free(ctx, b->edges);
    stg__free(ctx, b->table);
    stg__free(ctx, b->node_rank);
    stg__free(ctx, b->edge_rank);
    for (uint32_t kind = 0; kind < 2; kind++)
        stg__free_aligned(ctx, b->v[kind].at);
    stg__free(ctx, b);
    stg__ctx_unref(ctx);
}

/* Room for items and columns of a kind; new places are NaN. */
static int32_t reserve(stg_graph_builder *b, uint32_t kind, size_t items, size_t columns)
{
    values *v = &b->v[kind];
    if (items <= v->cap && columns <= v->columns)
        return STG_OK;
    size_t cap = v->cap ? v->cap : 16;
    size_t cols = v->columns ? v->columns : 16;
    while (cap < items)
        cap *= 2;
    while (cols < columns)
        cols *= 2;
    double *at = (double *)stg__alloc_aligned(b->ctx, cap * cols, sizeof *at);
    if (!at)
        return STG_E_NOMEM;
    for (size_t i = 0; i < cap * cols; i++)
        at[i] = NAN;
    for (size_t c = 0; c < v->columns; c++)
        memcpy(at + c * cap, v->at + c * v->cap, v->cap * sizeof *at);
    stg__free_aligned(b->ctx, v->at);
    *v = (values){at, cap, cols};
    return STG_OK;
}

static int32_t builder_init(stg_graph_builder *b, stg_ctx *ctx, const stg_graph_builder_opts *o)
{
    const uint32_t max_nodes = o->max_nodes ? o->max_nodes : 65536;
    const uint32_t max_routes = o->max_routes ? o->max_routes : 65536;
    uint32_t id;
    b->ctx = stg__ctx_ref(ctx);
    b->max_edges = o->max_edges ? o->max_edges : 1048576;
    b->slots = 64;
    b->table = (uint32_t *)stg__calloc(ctx, b->slots, sizeof *b->table);
    b->schema = stg__schema_new(ctx, NULL);
    if (!b->table || !b->schema)
        return STG_E_NOMEM;
    STG_RETURN_IF_ERROR(stg__pool_create(&b->pool, ctx, &graph_type, o->snapshots ? o->snapshots : 4));
    STG_RETURN_IF_ERROR(stg__names_create(&b->nodes, ctx, max_nodes));
    STG_RETURN_IF_ERROR(stg__names_create(&b->routes, ctx, max_routes));
    STG_RETURN_IF_ERROR(reserve(b, STG_NODE, 1, 1));
    STG_RETURN_IF_ERROR(reserve(b, STG_EDGE, 1, 1));
    STG_RETURN_IF_ERROR(
        stg__names_add(b->nodes, STG__EXTERNAL, sizeof STG__EXTERNAL - 1, &id));
    return stg__names_add(b->routes, "", 0, &id);
}

int32_t stg_graph_builder_create(stg_graph_builder **out, stg_ctx *ctx,
                                 const stg_graph_builder_opts *opts)
{
    if (!out || !ctx)
        return STG_E_INVALID;
    *out = NULL;
    stg_graph_builder_opts o;
    STG_RETURN_IF_ERROR(stg__opts_read(&o, sizeof o, opts, "stg_graph_builder_opts", NULL));
    stg_graph_builder *b = (stg_graph_builder *)stg__calloc(ctx, 1, sizeof *b);
    if (!b)
        return STG_E_NOMEM;
    const int32_t status = builder_init(b, ctx, &o);
    if (status != STG_OK) {
        stg_graph_builder_destroy(b);
        return status;
    }
    *out = b;
    return STG_OK;
}

int32_t stg_graph_builder_begin(stg_graph_builder *b, uint64_t start_ns, uint64_t end_ns)
{
    if (!b || end_ns <= start_ns)
        return STG_E_INVALID;
    for (uint32_t kind = 0; kind < 2; kind++) {
        values *v = &b->v[kind];
        for (size_t i = 0; i < v->cap * v->columns; i++)
            v->at[i] = NAN;
    }
    b->start_ns = start_ns;
    b->end_ns = end_ns;
    b->coverage = NAN;
    b->open = true;
    return STG_OK;
}

static void topology_is_new(stg_graph_builder *b)
{
    stg__topology_unref(b->topo);
    b->topo = NULL;
}

int32_t stg_graph_builder_node(stg_graph_builder *b, const char *name, size_t len, uint32_t *index)
{
    if (!b || !name || !index || len == 0 || len > STG_NAME_MAX)
        return STG_E_INVALID;
    const uint32_t known = stg__names_count(b->nodes);
    STG_RETURN_IF_ERROR(reserve(b, STG_NODE, (size_t)known + 1, 1));
    STG_RETURN_IF_ERROR(stg__names_add(b->nodes, name, len, index));
    if (*index == known)
        topology_is_new(b);
    return STG_OK;
}

static uint32_t edge_slot(const stg_graph_builder *b, const uint32_t *table, uint32_t slots,
                          const edge_key *k)
{
    uint64_t h = ((uint64_t)k->src << 32 | k->dst) ^ b->ctx->table_key[0];
    h = (h ^ h >> 32) * (b->ctx->table_key[1] | 1);
    h = (h ^ h >> 29 ^ k->route) * 0x9e3779b97f4a7c15u;
    uint32_t slot = (uint32_t)(h >> 32) & (slots - 1);
    while (table[slot] && memcmp(&b->edges[table[slot] - 1], k, sizeof *k) != 0)
        slot = (slot + 1) & (slots - 1);
    return slot;
}

static int32_t edge_room(stg_graph_builder *b)
{
    if (b->edge_count == b->edge_cap) {
        const uint32_t cap = b->edge_cap ? b->edge_cap * 2 : 32;
        edge_key *grown = (edge_key *)stg__realloc(b->ctx, b->edges, cap, sizeof *grown);
        if (!grown)
            return STG_E_NOMEM;
        b->edges = grown;
        b->edge_cap = cap;
    }
    STG_RETURN_IF_ERROR(reserve(b, STG_EDGE, (size_t)b->edge_count + 1, 1));
    if (b->edge_count + 1 <= b->slots / 2)
        return STG_OK;
    uint32_t *table = (uint32_t *)stg__calloc(b->ctx, (size_t)b->slots * 2, sizeof *table);
    if (!table)
        return STG_E_NOMEM;
    for (uint32_t e = 0; e < b->edge_count; e++)
        table[edge_slot(b, table, b->slots * 2, &b->edges[e])] = e + 1;
    stg__free(b->ctx, b->table);
    b->table = table;
    b->slots *= 2;
    return STG_OK;
}

int32_t stg_graph_builder_edge(stg_graph_builder *b, uint32_t src, uint32_t dst, const char *route,
                               size_t len, uint32_t *index)
{
    if (!b || !index || (!route && len) || len > STG_NAME_MAX ||
        src >= stg__names_count(b->nodes) || dst >= stg__names_count(b->nodes))
        return STG_E_INVALID;
    const char *name = route ? route : "";
    edge_key key = {src, dst, stg__names_find(b->routes, name, len)};
    if (key.route != UINT32_MAX) {
        const uint32_t slot = edge_slot(b, b->table, b->slots, &key);
        if (b->table[slot]) {
            *index = b->table[slot] - 1;
            return STG_OK;
        }
    }
    if (b->edge_count >= b->max_edges)
        return STG_E_LIMIT;
    STG_RETURN_IF_ERROR(edge_room(b));
    if (key.route == UINT32_MAX) /* last: there is no route without an edge, but "" */
        STG_RETURN_IF_ERROR(stg__names_add(b->routes, name, len, &key.route));
    topology_is_new(b);
    b->edges[b->edge_count] = key;
    b->table[edge_slot(b, b->table, b->slots, &key)] = b->edge_count + 1;
    *index = b->edge_count++;
    return STG_OK;
}

int32_t stg_graph_builder_column(stg_graph_builder *b, uint32_t kind, const char *name, size_t len,
                                 uint32_t *index)
{
    if (!b || !name || !index || kind > STG_EDGE || len == 0 || len > STG_NAME_MAX)
        return STG_E_INVALID;
    *index = stg__names_find(b->schema->names[kind], name, len);
    if (*index != UINT32_MAX)
        return STG_OK;
    STG_RETURN_IF_ERROR(reserve(b, kind, 1, (size_t)b->schema->count[kind] + 1));
    /* Graphs that are out read the old schema: the new column then goes into a copy. */
    const bool own = stg__schema_own(b->schema);
    stg__schema *s = own ? b->schema : stg__schema_new(b->ctx, b->schema);
    if (!s)
        return STG_E_NOMEM;
    const int32_t status = stg__names_add(s->names[kind], name, len, index);
    if (status == STG_OK)
        s->count[kind]++;
    if (!own)
        stg__schema_unref(status == STG_OK ? b->schema : s);
    if (status == STG_OK)
        b->schema = s;
    return status;
}

static uint32_t item_count(const stg_graph_builder *b, uint32_t kind)
{
    return kind == STG_NODE ? stg__names_count(b->nodes) : b->edge_count;
}

int32_t stg_graph_builder_set(stg_graph_builder *b, uint32_t kind, uint32_t index, uint32_t column,
                              double value)
{
    if (!b || kind > STG_EDGE || index >= item_count(b, kind) || column >= b->schema->count[kind])
        return STG_E_INVALID;
    if (!b->open)
        return STG_E_STATE;
    b->v[kind].at[column * b->v[kind].cap + index] = value;
    return STG_OK;
}

void stg__builder_coverage(stg_graph_builder *b, double coverage)
{
    b->coverage = coverage;
}

double *stg__builder_row(stg_graph_builder *b, uint32_t kind, uint32_t index, size_t *stride)
{
    *stride = b->v[kind].cap;
    return b->v[kind].at + index;
}

uint32_t stg__builder_edges(const stg_graph_builder *b)
{
    return b->edge_count;
}

uint32_t stg__builder_nodes(const stg_graph_builder *b)
{
    return stg__names_count(b->nodes);
}

/* --- canonical order -------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b, void *names)
{
    size_t alen;
    size_t blen;
    const char *x = stg__names_get((const stg__names *)names, *(const uint32_t *)a, &alen);
    const char *y = stg__names_get((const stg__names *)names, *(const uint32_t *)b, &blen);
    return stg__name_compare(x, alen, y, blen);
}

/* Sorts the names from `first` on, copies their texts, and writes rank[id]. */
static char *order_names(const stg__names *names, uint32_t first, uint32_t *order, uint32_t *rank,
                         const char **text, uint32_t *lens, char *at)
{
    const uint32_t n = stg__names_count(names);
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    qsort_r(order + first, n - first, sizeof *order, by_name, (void *)(uintptr_t)names);
    for (uint32_t i = 0; i < n; i++) {
        size_t len;
        const char *name = stg__names_get(names, order[i], &len);
        rank[order[i]] = i;
        memcpy(at, name, len + 1);
        text[i] = at;
        lens[i] = (uint32_t)len;
        at += len + 1;
    }
    return at;
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

/* rows: [edges][4] scratch: src, dst, route in canonical numbers, own number. */
static void order_edges(const stg_graph_builder *b, stg__topology *t, const uint32_t *node_rank,
                        const uint32_t *route_rank, uint32_t (*rows)[4], uint32_t *edge_rank)
{
    for (uint32_t e = 0; e < b->edge_count; e++) {
        const edge_key *k = &b->edges[e];
        rows[e][0] = node_rank[k->src];
        rows[e][1] = node_rank[k->dst];
        rows[e][2] = route_rank[k->route];
        rows[e][3] = e;
    }
    qsort(rows, b->edge_count, sizeof *rows, by_ends);
    for (uint32_t i = 0; i < b->edge_count; i++) {
        t->src[i] = rows[i][0];
        t->dst[i] = rows[i][1];
        t->route[i] = rows[i][2];
        edge_rank[rows[i][3]] = i;
    }
    stg__topology_finish(t);
}

static size_t text_bytes(const stg__names *names)
{
    size_t total = 0;
    for (uint32_t i = 0; i < stg__names_count(names); i++) {
        size_t len;
        stg__names_get(names, i, &len);
        total += len + 1;
    }
    return total;
}

static int32_t make_topology(stg_graph_builder *b)
{
    const uint32_t nodes = stg__names_count(b->nodes);
    const uint32_t routes = stg__names_count(b->routes);
    const uint32_t most = nodes > routes ? nodes : routes;
    stg_ctx *ctx = b->ctx;
    stg__topology *t = stg__topology_new(ctx, nodes, b->edge_count, routes,
                                         text_bytes(b->nodes) + text_bytes(b->routes));
    uint32_t *order = (uint32_t *)stg__calloc(ctx, most, sizeof *order);
    uint32_t *node_rank = (uint32_t *)stg__calloc(ctx, nodes, sizeof *node_rank);
    uint32_t *route_rank = (uint32_t *)stg__calloc(ctx, routes, sizeof *route_rank);
    uint32_t *edge_rank = (uint32_t *)stg__calloc(ctx, b->edge_count, sizeof *edge_rank);
    uint32_t(*rows)[4] = (uint32_t(*)[4])stg__calloc(ctx, b->edge_count, sizeof *rows);
    const bool ok = t && order && node_rank && route_rank && edge_rank && rows;
    if (ok) {
        char *at = order_names(b->nodes, 1, order, node_rank, t->node_name, t->node_len, t->text);
        order_names(b->routes, 0, order, route_rank, t->route_name, t->route_len, at);
        order_edges(b, t, node_rank, route_rank, rows, edge_rank);
        stg__free(ctx, b->node_rank);
        stg__free(ctx, b->edge_rank);
        b->topo = t;
        b->node_rank = node_rank;
        b->edge_rank = edge_rank;
    } else {
        stg__topology_unref(t);
        stg__free(ctx, node_rank);
        stg__free(ctx, edge_rank);
    }
    stg__free(ctx, order);
    stg__free(ctx, route_rank);
    stg__free(ctx, rows);
    return ok ? STG_OK : STG_E_NOMEM;
}

/* --- finish ----------------------------------------------------------------------------------- */

static int32_t graph_room(stg_ctx *ctx, double **at, size_t *cap, size_t need)
{
    if (*cap >= need && *at)
        return STG_OK;
    double *grown = (double *)stg__alloc_aligned(ctx, need + need / 4 + 8, sizeof *grown);
    if (!grown)
        return STG_E_NOMEM;
    stg__free_aligned(ctx, *at);
    *at = grown;
    *cap = need + need / 4 + 8;
    return STG_OK;
}

static void copy_values(double *to, size_t stride, const values *from, uint32_t columns,
                        uint32_t items, const uint32_t *rank)
{
    for (uint32_t c = 0; c < columns; c++) {
        double *out = to + c * stride;
        const double *in = from->at + c * from->cap;
        for (uint32_t i = 0; i < items; i++)
            out[rank[i]] = in[i];
    }
}

static size_t stride_of(uint32_t items)
{
    return ((size_t)items + 7) / 8 * 8; /* columns start at multiples of 64 bytes */
}

int32_t stg_graph_builder_finish(stg_graph_builder *b, const stg_graph **out)
{
    if (!b || !out)
        return STG_E_INVALID;
    *out = NULL;
    if (!b->open)
        return STG_E_STATE;
    if (!b->topo)
        STG_RETURN_IF_ERROR(make_topology(b));
    const stg__topology *t = b->topo;
    stg_graph *g = (stg_graph *)stg__pool_take(b->pool);
    if (!g)
        return STG_E_NOMEM;
    g->topo = stg__topology_ref(b->topo);
    g->schema = stg__schema_ref(b->schema);
    g->node_stride = stride_of(t->nodes);
    g->edge_stride = stride_of(t->edges);
    const uint32_t *columns = b->schema->count;
    if (graph_room(b->ctx, &g->node_values, &g->node_cap, columns[0] * g->node_stride) != STG_OK ||
        graph_room(b->ctx, &g->edge_values, &g->edge_cap, columns[1] * g->edge_stride) != STG_OK) {
        stg_unref(g);
        return STG_E_NOMEM;
    }
    copy_values(g->node_values, g->node_stride, &b->v[STG_NODE], columns[0], t->nodes, b->node_rank);
    copy_values(g->edge_values, g->edge_stride, &b->v[STG_EDGE], columns[1], t->edges, b->edge_rank);
    g->start_ns = b->start_ns;
    g->end_ns = b->end_ns;
    g->coverage = b->coverage;
    b->open = false;
    *out = g;
    return STG_OK;
}
