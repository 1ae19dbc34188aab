/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as orders to the builder: nodes, edges, columns, values with any names, indices and
 * numbers, windows in any order. What comes out is read through every function of the graph, and its
 * export is JSON in UTF-8 whatever the names were. Then once more with memory failing.
 */
#include <stgraph/graph.h>

#include "fuzz_input.h"

#define OUT 3u /* graphs kept */

typedef struct target {
    stg_graph_builder *b;
    uint32_t nodes; /* that the builder owned up to */
    uint32_t edges;
    uint32_t columns[2];
    bool open;
    const stg_graph *out[OUT];
    uint32_t finished;
} target;

static bool among(int32_t status, int32_t a, int32_t b)
{
    return status == STG_OK || status == STG_E_NOMEM || status == a || status == b;
}

static void order_node(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t index = 77;
    const size_t len = fuzz_name(in, name);
    const int32_t status = stg_graph_builder_node(t->b, name, len, &index);
    FUZZ_CHECK(among(status, STG_E_INVALID, STG_E_LIMIT));
    FUZZ_CHECK((status == STG_E_INVALID) == (len == 0 || len > STG_NAME_MAX));
    if (status != STG_OK)
        return;
    FUZZ_CHECK(index <= t->nodes);
    t->nodes += index == t->nodes;
}

static void order_edge(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t index = 77;
    const uint32_t src = fuzz_u8(in) % 32;
    const uint32_t dst = fuzz_u8(in) % 32;
    const size_t len = fuzz_name(in, name);
    const int32_t status = stg_graph_builder_edge(t->b, src, dst, name, len, &index);
    FUZZ_CHECK(among(status, STG_E_INVALID, STG_E_LIMIT));
    FUZZ_CHECK((status == STG_E_INVALID) ==
               (src >= t->nodes || dst >= t->nodes || len > STG_NAME_MAX));
    if (status != STG_OK)
        return;
    FUZZ_CHECK(index <= t->edges);
    t->edges += index == t->edges;
}

static void order_column(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t index = 77;
    const uint32_t kind = fuzz_u8(in) % 3;
    const size_t len = fuzz_name(in, name);
    const int32_t status = stg_graph_builder_column(t->b, kind, name, len, &index);
    FUZZ_CHECK(among(status, STG_E_INVALID, STG_E_LIMIT));
    if (status != STG_OK)
        return;
    FUZZ_CHECK(kind < 2 && index <= t->columns[kind]);
    t->columns[kind] += index == t->columns[kind];
}

static void order_set(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    const uint32_t kind = how % 3;
    const uint32_t index = how > 250 ? UINT32_MAX - how : fuzz_u8(in) % 32;
    const uint32_t column = how > 245 ? UINT32_MAX : fuzz_u8(in) % 16;
    const int32_t status =
        stg_graph_builder_set(t->b, kind, index, column, fuzz_value(in));
    const bool there = kind < 2 && index < (kind == STG_NODE ? t->nodes : t->edges) &&
                       column < t->columns[kind];
    FUZZ_CHECK(status == (!there ? STG_E_INVALID : t->open ? STG_OK : STG_E_STATE));
}

static void read_edges(const stg_graph *g, const stg_graph_info *info)
{
    stg_edges e = {.size = sizeof e};
    FUZZ_CHECK(stg_graph_get_edges(g, &e) == STG_OK);
    FUZZ_CHECK(e.out_ptr[0] == 0 && e.out_ptr[info->nodes] == info->edges);
    FUZZ_CHECK(e.in_ptr[0] == 0 && e.in_ptr[info->nodes] == info->edges);
    for (uint32_t i = 0; i < info->nodes; i++) {
        for (uint32_t k = e.out_ptr[i]; k < e.out_ptr[i + 1]; k++)
            FUZZ_CHECK(e.src[k] == i && e.dst[k] < info->nodes && e.route[k] < info->routes);
        for (uint32_t k = e.in_ptr[i]; k < e.in_ptr[i + 1]; k++)
            FUZZ_CHECK(e.in_edge[k] < info->edges && e.dst[e.in_edge[k]] == i);
    }
}

static void read_names(const stg_graph *g, const stg_graph_info *info)
{
    const uint32_t count[] = {info->nodes, 0, info->routes, info->node_columns, info->edge_columns};
    for (uint32_t kind = 0; kind <= STG_EDGE_COLUMN + 1; kind++)
        for (uint32_t i = 0; i < 5 || (kind < 5 && i <= count[kind]); i++) {
            size_t len = 0;
            const char *name = stg_graph_name(g, kind, i, &len);
            FUZZ_CHECK((name != NULL) == (kind < 5 && i < count[kind]));
            if (!name)
                continue;
            FUZZ_CHECK(len <= STG_NAME_MAX && name[len] == '\0');
            if (kind == STG_NODE)
                FUZZ_CHECK(stg_graph_find(g, name, len) == i);
            if (kind >= STG_NODE_COLUMN)
                FUZZ_CHECK(stg_graph_column(g, kind - STG_NODE_COLUMN, name, len));
        }
    static const char longer[STG_NAME_MAX + 1] = "longer than any name may be";
    FUZZ_CHECK(stg_graph_find(g, longer, sizeof longer) == UINT32_MAX);
}

static void export(const stg_graph *g, uint32_t format)
{
    size_t need = 0;
    size_t len = 0;
    const int32_t status = stg_graph_export(g, format, NULL, 0, &need);
    if (format > STG_FORMAT_DOT) {
        FUZZ_CHECK(status == STG_E_INVALID);
        return;
    }
    FUZZ_CHECK(status == STG_MORE);
    char *text = (char *)malloc(need);
    FUZZ_CHECK(text && stg_graph_export(g, format, text, need - 1, &len) == STG_MORE && len == need);
    FUZZ_CHECK(stg_graph_export(g, format, text, need, &len) == STG_OK && len + 1 == need);
    if (format == STG_FORMAT_JSON)
        fuzz_json(text, len);
    free(text);
}

static void order_finish(target *t, fuzz_input *in)
{
    const stg_graph *g = NULL;
    stg_graph_info info = {.size = sizeof info};
    const int32_t status = stg_graph_builder_finish(t->b, &g);
    FUZZ_CHECK(among(status, STG_E_STATE, STG_E_STATE) && (g != NULL) == (status == STG_OK));
    FUZZ_CHECK((status == STG_E_STATE) == !t->open);
    if (status != STG_OK)
        return;
    t->open = false;
    FUZZ_CHECK(stg_graph_get_info(g, &info) == STG_OK && info.end_ns > info.start_ns);
    FUZZ_CHECK(info.nodes == t->nodes && info.edges == t->edges);
    read_edges(g, &info);
    read_names(g, &info);
    export(g, fuzz_u8(in) % 4);
    stg_unref(stg_ref(g));
    const stg_graph **kept = &t->out[t->finished++ % OUT];
    stg_unref(*kept);
    *kept = g;
}

static void order_begin(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    const uint64_t start = how & 1 ? fuzz_u64(in) : how * UINT64_C(1000000000);
    const uint64_t end = how & 2 ? fuzz_u64(in) : start + 1 + how;
    const int32_t status = stg_graph_builder_begin(t->b, start, end);
    FUZZ_CHECK(status == (end > start ? STG_OK : STG_E_INVALID));
    t->open |= status == STG_OK;
}

static void run(stg_ctx *ctx, fuzz_input in)
{
    static void (*const orders[])(target *, fuzz_input *) = {
        order_begin, order_node, order_edge, order_column, order_set, order_set, order_finish,
    };
    target t = {.nodes = 1};
    const uint8_t sizes = fuzz_u8(&in);
    const stg_graph_builder_opts opts = {.size = sizeof opts, .snapshots = sizes % 3,
                                         .max_nodes = sizes & 8 ? 6 : 0,
                                         .max_edges = sizes & 16 ? 7 : 0,
                                         .max_routes = sizes & 32 ? 3 : 0};
    if (stg_graph_builder_create(&t.b, ctx, &opts) != STG_OK)
        return;
    for (int n = 0; in.left && n < 600; n++)
        orders[fuzz_u8(&in) % (sizeof orders / sizeof *orders)](&t, &in);
    stg_graph_builder_destroy(t.b);
    for (uint32_t i = 0; i < OUT; i++) {
        if (t.out[i])
            export(t.out[i], STG_FORMAT_JSON); /* graphs outlive their builder */
        stg_unref(t.out[i]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_memory memory;
    for (int failing = 0; failing < 2; failing++) {
        stg_ctx *ctx = fuzz_ctx(&memory, failing ? 1 + fuzz_draw(data, size, 96) : 0);
        if (ctx)
            run(ctx, (fuzz_input){data, size});
        stg_ctx_destroy(ctx);
        FUZZ_CHECK(memory.live == 0);
    }
    return 0;
}
