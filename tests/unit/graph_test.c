/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: canonical order, shared topology, columns, no allocation after warm-up, hostile names. */
#include <math.h>

#include <stgraph/graph.h>

#include "test.h"

static int32_t window(stg_graph_builder *b, uint64_t at, int reversed, const stg_graph **g)
{
    static const char *const names[] = {"cart", "web", "auth"};
    uint32_t node[3];
    uint32_t e;
    uint32_t col;
    int32_t status = stg_graph_builder_begin(b, at, at + 5);
    for (int i = 0; status == STG_OK && i < 3; i++) {
        const int k = reversed ? 2 - i : i;
        status = stg_graph_builder_node(b, names[k], strlen(names[k]), &node[k]);
    }
    if (status == STG_OK)
        status = stg_graph_builder_column(b, STG_EDGE, "calls", 5, &col);
    for (int i = 0; status == STG_OK && i < 3; i++) {
        const int k = reversed ? 2 - i : i;
        status = stg_graph_builder_edge(b, k == 1 ? 0 : node[1], node[k], "GET /", 5, &e);
        if (status == STG_OK)
            status = stg_graph_builder_set(b, STG_EDGE, e, col, 10.0 * k);
    }
    return status == STG_OK ? stg_graph_builder_finish(b, g) : status;
}

static void check_window(const stg_graph *g)
{
    stg_graph_info info = {.size = sizeof info};
    stg_edges e = {.size = sizeof e};
    ck_assert_int_eq(stg_graph_get_info(g, &info), STG_OK);
    ck_assert_uint_eq(info.nodes, 4);
    ck_assert_uint_eq(info.edges, 3);
    ck_assert_str_eq(stg_graph_name(g, STG_NODE, 0, NULL), "external");
    ck_assert_str_eq(stg_graph_name(g, STG_NODE, 1, NULL), "auth");
    ck_assert_str_eq(stg_graph_name(g, STG_NODE, 3, NULL), "web");
    ck_assert_uint_eq(stg_graph_find(g, "cart", 4), 2);
    ck_assert_uint_eq(stg_graph_find(g, "car", 3), UINT32_MAX);
    ck_assert_int_eq(stg_graph_get_edges(g, &e), STG_OK);
    const double *calls = stg_graph_column(g, STG_EDGE, "calls", 5);
    ck_assert_ptr_nonnull(calls);
    ck_assert_uint_eq((uintptr_t)calls % 64, 0);
    /* external -> web, web -> auth, web -> cart */
    ck_assert_uint_eq(e.dst[0], 3);
    ck_assert_double_eq(calls[0], 10);
    ck_assert_double_eq(calls[1], 20);
    ck_assert_double_eq(calls[2], 0);
    ck_assert_uint_eq(e.out_ptr[3], 1);
    ck_assert_uint_eq(e.out_ptr[4], 3);
    ck_assert_uint_eq(e.in_edge[e.in_ptr[2]], 2);
}

START_TEST(canonical_order)
{
    stg_ctx *ctx = test_ctx(NULL);
    for (int reversed = 0; reversed < 2; reversed++) {
        stg_graph_builder *b;
        const stg_graph *g;
        ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
        ck_assert_int_eq(window(b, 5, reversed, &g), STG_OK);
        stg_graph_builder_destroy(b); /* the graph lives on */
        check_window(g);
        stg_unref(g);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(topology_is_shared)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_graph_builder *b;
    const stg_graph *g[2];
    stg_graph_info info[2] = {{.size = sizeof info[0]}, {.size = sizeof info[0]}};
    stg_graph_builder_create(&b, ctx, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(window(b, 5, 0, &g[i]), STG_OK);
        stg_graph_get_info(g[i], &info[i]);
    }
    ck_assert_uint_eq(info[0].topology, info[1].topology);
    uint32_t id;
    const stg_graph *more;
    ck_assert_int_eq(stg_graph_builder_begin(b, 15, 20), STG_OK);
    ck_assert_int_eq(stg_graph_builder_node(b, "zz", 2, &id), STG_OK);
    ck_assert_int_eq(stg_graph_builder_finish(b, &more), STG_OK);
    stg_graph_get_info(more, &info[1]);
    ck_assert_uint_ne(info[0].topology, info[1].topology);
    const double *calls = stg_graph_column(more, STG_EDGE, "calls", 5);
    ck_assert(isnan(calls[0])); /* nothing set in this window: not known, not zero */
    check_window(g[0]);         /* untouched */
    stg_unref(more);
    stg_unref(g[0]);
    stg_unref(g[1]);
    stg_graph_builder_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(no_allocation_after_warm_up)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg_graph_builder *b;
    const stg_graph *g[4];
    stg_graph_builder_create(&b, ctx, NULL);
    size_t before = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 4; i++)
            ck_assert_int_eq(window(b, 5, 0, &g[i]), STG_OK);
        if (round == 0)
            before = m.requests;
        for (int i = 0; i < 4; i++)
            stg_unref(g[i]);
    }
    ck_assert_uint_eq(m.requests, before);
    stg_graph_builder_destroy(b);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

START_TEST(failing_memory)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    for (size_t n = 1;; n++) {
        stg_graph_builder *b = NULL;
        const stg_graph *g = NULL;
        m.requests = 0;
        m.fail_at = n;
        int32_t status = stg_graph_builder_create(&b, ctx, NULL);
        if (status == STG_OK)
            status = window(b, 5, 0, &g);
        m.fail_at = 0;
        if (status == STG_OK) {
            check_window(g);
        } else {
            ck_assert_int_eq(status, STG_E_NOMEM);
            if (b) { /* still usable */
                ck_assert_int_eq(window(b, 5, 0, &g), STG_OK);
                check_window(g);
            }
        }
        stg_unref(g);
        stg_graph_builder_destroy(b);
        ck_assert_uint_eq(m.live, 1);
        if (status == STG_OK)
            break;
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(export_is_escaped)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_graph_builder *b;
    const stg_graph *g;
    uint32_t id;
    char buf[2048];
    size_t len;
    stg_graph_builder_create(&b, ctx, NULL);
    stg_graph_builder_begin(b, 5, 10);
    stg_graph_builder_node(b, "a\"</script>\n", 12, &id);
    ck_assert_int_eq(stg_graph_builder_node(b, "", 0, &id), STG_E_INVALID);
    ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
    ck_assert_int_eq(stg_graph_export(g, STG_FORMAT_JSON, buf, sizeof buf, &len), STG_OK);
    ck_assert_ptr_nonnull(strstr(buf, "\"a\\\"\\u003c/script>\\u000a\""));
    ck_assert_int_eq(stg_graph_export(g, STG_FORMAT_DOT, buf, sizeof buf, &len), STG_OK);
    ck_assert_ptr_nonnull(strstr(buf, "a\\\"</script> "));
    ck_assert_int_eq(stg_graph_export(g, STG_FORMAT_DOT, NULL, 0, &len), STG_MORE);
    ck_assert_uint_eq(len, strlen(buf) + 1);
    ck_assert_int_eq(stg_graph_export(g, 7, buf, sizeof buf, &len), STG_E_INVALID);
    stg_unref(g);
    stg_graph_builder_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

/* Who made it does not matter: the same names and edges have the same id, others another. */
START_TEST(topology_is_its_content)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_graph_builder *b[2];
    const stg_graph *g[3];
    stg_graph_info info[3];
    uint32_t e;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(stg_graph_builder_create(&b[i], ctx, NULL), STG_OK);
        ck_assert_int_eq(window(b[i], 10, i, &g[i]), STG_OK);
    }
    ck_assert_int_eq(stg_graph_builder_edge(b[1], 0, 1, "GET /x", 6, &e), STG_OK);
    ck_assert_int_eq(window(b[1], 20, 0, &g[2]), STG_OK);
    for (int i = 0; i < 3; i++) {
        info[i] = (stg_graph_info){.size = sizeof info[i]};
        ck_assert_int_eq(stg_graph_get_info(g[i], &info[i]), STG_OK);
        stg_unref(g[i]);
    }
    ck_assert_uint_eq(info[0].topology, info[1].topology);
    ck_assert_uint_ne(info[0].topology, info[2].topology);
    for (int i = 0; i < 2; i++)
        stg_graph_builder_destroy(b[i]);
    stg_ctx_destroy(ctx);
}
END_TEST

/* An edge that finds no room leaves no route behind. */
START_TEST(no_route_without_edge)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_graph_builder *b;
    const stg_graph *g;
    stg_graph_info info = {.size = sizeof info};
    const stg_graph_builder_opts opts = {.size = sizeof opts, .max_edges = 3};
    uint32_t e;
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, &opts), STG_OK);
    ck_assert_int_eq(window(b, 10, 0, &g), STG_OK);
    stg_unref(g);
    ck_assert_int_eq(stg_graph_builder_edge(b, 0, 1, "GET /full", 9, &e), STG_E_LIMIT);
    ck_assert_int_eq(window(b, 20, 0, &g), STG_OK);
    ck_assert_int_eq(stg_graph_get_info(g, &info), STG_OK);
    ck_assert_uint_eq(info.routes, 2);
    ck_assert_uint_eq(info.edges, 3);
    stg_unref(g);
    stg_graph_builder_destroy(b);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("graph", canonical_order, topology_is_shared, no_allocation_after_warm_up,
           failing_memory, export_is_escaped, topology_is_its_content,
           no_route_without_edge)
