/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Old programs with a new library, new programs with an old one: a struct that begins with its size
 * may be shorter than the library's (the rest is default, and nothing is written behind it) or
 * longer (accepted when what the library does not know is zero, refused with E_VERSION when not).
 * Uses public functions only, against the shared library.
 */
#include "test.h"

#include <stgraph/stgraph.h>

#define ROOM 1024 /* bytes that a struct gets here: more than any has */
#define CANARY 0xa5

typedef union block {
    size_t size;
    max_align_t align;
    unsigned char bytes[ROOM];
} block;

/* Objects that the calls below are made on. */
typedef struct world {
    stg_ctx *ctx;
    stg_graph_builder *builder;
    const stg_graph *graph;
} world;

static void world_make(world *w)
{
    uint32_t a, b, e;
    *w = (world){.ctx = test_ctx(NULL)};
    ck_assert_int_eq(stg_graph_builder_create(&w->builder, w->ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_graph_builder_begin(w->builder, 1000, 2000), STG_OK);
    ck_assert_int_eq(stg_graph_builder_node(w->builder, "a", 1, &a), STG_OK);
    ck_assert_int_eq(stg_graph_builder_node(w->builder, "b", 1, &b), STG_OK);
    ck_assert_int_eq(stg_graph_builder_edge(w->builder, a, b, "r", 1, &e), STG_OK);
    ck_assert_int_eq(stg_graph_builder_finish(w->builder, &w->graph), STG_OK);
}

static void world_end(world *w)
{
    stg_unref(w->graph);
    stg_graph_builder_destroy(w->builder);
    stg_ctx_destroy(w->ctx);
}

/* --- structs that go in ----------------------------------------------------------------------- */

static int32_t in_ctx(world *w, const void *opts)
{
    stg_ctx *ctx = NULL;
    const int32_t status = stg_ctx_create(&ctx, (const stg_ctx_opts *)opts);
    (void)w;
    ck_assert((status == STG_OK) == (ctx != NULL));
    stg_ctx_destroy(ctx);
    return status;
}

static int32_t in_builder(world *w, const void *opts)
{
    stg_graph_builder *builder = NULL;
    const int32_t status =
        stg_graph_builder_create(&builder, w->ctx, (const stg_graph_builder_opts *)opts);
    ck_assert((status == STG_OK) == (builder != NULL));
    stg_graph_builder_destroy(builder);
    return status;
}

static const struct {
    const char *name;
    int32_t (*call)(world *w, const void *opts);
} takers[] = {
    {"ctx_opts", in_ctx},
    {"graph_builder_opts", in_builder},
};

START_TEST(options_of_any_age)
{
    world w;
    world_make(&w);
    const size_t known = stg_struct_size(takers[_i].name);
    ck_assert_uint_gt(known, sizeof(size_t));
    for (size_t size = sizeof(size_t); size <= ROOM; size += size < known + 16 ? 4 : ROOM / 8) {
        block b;
        memset(&b, 0, sizeof b);
        b.size = size;
        /* What lies behind an old struct is not the library's business. */
        memset(b.bytes + size, CANARY, ROOM - size);
        ck_assert_int_eq(takers[_i].call(&w, &b), STG_OK);
        if (size <= known)
            continue;
        b.bytes[size - 1] = 1;
        ck_assert_int_eq(takers[_i].call(&w, &b), STG_E_VERSION);
    }
    block b = {.size = 0};
    ck_assert_int_eq(takers[_i].call(&w, &b), STG_E_INVALID);
    world_end(&w);
}
END_TEST

/* --- structs that come out -------------------------------------------------------------------- */

static int32_t out_graph_info(world *w, void *info)
{
    return stg_graph_get_info(w->graph, (stg_graph_info *)info);
}

static int32_t out_edges(world *w, void *info)
{
    return stg_graph_get_edges(w->graph, (stg_edges *)info);
}

static const struct {
    const char *name;
    int32_t (*call)(world *w, void *info);
} givers[] = {
    {"graph_info", out_graph_info},
    {"edges", out_edges},
};

START_TEST(results_of_any_age)
{
    world w;
    world_make(&w);
    const size_t known = stg_struct_size(givers[_i].name);
    block whole;
    memset(&whole, 0, sizeof whole);
    whole.size = known;
    ck_assert_int_eq(givers[_i].call(&w, &whole), STG_OK);
    for (size_t size = sizeof(size_t); size <= ROOM; size++) {
        block b;
        memset(&b, CANARY, sizeof b);
        b.size = size;
        ck_assert_int_eq(givers[_i].call(&w, &b), STG_OK);
        ck_assert_uint_eq(b.size, size);
        const size_t told = size < known ? size : known;
        ck_assert_mem_eq(b.bytes + sizeof(size_t), whole.bytes + sizeof(size_t),
                         told - sizeof(size_t));
        for (size_t i = told; i < ROOM; i++)
            ck_assert_uint_eq(b.bytes[i], i < size ? 0 : CANARY);
    }
    block b = {.size = 0};
    ck_assert_int_eq(givers[_i].call(&w, &b), STG_E_INVALID);
    world_end(&w);
}
END_TEST

START_TEST(version_and_references)
{
    char text[32];
    ck_assert_uint_eq(stg_version(), STG_VERSION_NUMBER);
    snprintf(text, sizeof text, "%d.%d.%d", STG_VERSION_MAJOR, STG_VERSION_MINOR,
             STG_VERSION_PATCH);
    ck_assert_str_eq(stg_version_string(), text);
    world w;
    world_make(&w);
    stg_graph_info info = {.size = sizeof info};
    const stg_graph *twice = (const stg_graph *)stg_ref(w.graph);
    ck_assert_ptr_eq(twice, w.graph);
    stg_unref(twice);
    ck_assert_int_eq(stg_graph_get_info(w.graph, &info), STG_OK);
    ck_assert_uint_eq(info.nodes, 3);
    ck_assert_ptr_null(stg_ref(NULL));
    world_end(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sizes");
    TCase *tcase = tcase_create("sizes");
    tcase_add_loop_test(tcase, options_of_any_age, 0, sizeof takers / sizeof *takers);
    tcase_add_loop_test(tcase, results_of_any_age, 0, sizeof givers / sizeof *givers);
    tcase_add_test(tcase, version_and_references);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
