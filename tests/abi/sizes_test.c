/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Old programs with a new library, new programs with an old one: a struct that begins with its size
 * may be shorter than the library's (the rest is default, and nothing is written behind it) or
 * longer (accepted when what the library does not know is zero, refused with E_VERSION when not).
 * Every struct of the library that has a size is tried, on objects that the line made.
 */
#include "checkpoint.h"
#include "sizes_world.h"

#define ROOM 1024 /* bytes that a struct gets here: more than any has */
#define CANARY 0xa5

typedef union block {
    size_t size;
    max_align_t align;
    unsigned char bytes[ROOM];
} block;

/* --- structs that go in ----------------------------------------------------------------------- */

static int32_t in_ctx(world *w, const void *opts)
{
    (void)w;
    stg_ctx *made = NULL;
    const int32_t status = stg_ctx_create(&made, (const stg_ctx_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_ctx_destroy(made);
    return status;
}

static int32_t in_builder(world *w, const void *opts)
{
    stg_graph_builder *made = NULL;
    const int32_t status =
        stg_graph_builder_create(&made, w->ctx, (const stg_graph_builder_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_graph_builder_destroy(made);
    return status;
}

static int32_t in_ingest(world *w, const void *opts)
{
    stg_ingest *made = NULL;
    const int32_t status = stg_ingest_create(&made, w->ctx, (const stg_ingest_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_ingest_destroy(made);
    return status;
}

static int32_t in_lane(world *w, const void *opts)
{
    stg_lane *made = NULL;
    const int32_t status = stg_lane_open(&made, w->ingest, (const stg_lane_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_lane_close(made);
    return status;
}

static int32_t in_session(world *w, const void *opts)
{
    stg_session *made = NULL;
    const int32_t status = stg_session_create(&made, w->ctx, w->model, (const stg_session_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_session_destroy(made);
    return status;
}

static int32_t in_trainer(world *w, const void *opts)
{
    stg_trainer *made = NULL;
    const int32_t status = stg_trainer_create(&made, w->ctx, (const stg_trainer_opts *)opts, NULL);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_trainer_destroy(made);
    return status;
}

static int32_t in_detector(world *w, const void *opts)
{
    stg_detector *made = NULL;
    const int32_t status = stg_detector_create(&made, w->ctx, NULL,
                                               (const stg_detector_opts *)opts, NULL);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_detector_destroy(made);
    return status;
}

static int32_t in_planner(world *w, const void *opts)
{
    stg_planner *made = NULL;
    const int32_t status = stg_planner_create(&made, w->ctx, (const stg_planner_opts *)opts);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_planner_destroy(made);
    return status;
}

static int32_t in_import(world *w, const void *opts)
{
    size_t len;
    const checkpoint c = {.prefix = "", .settings = "", .layers = 1, .units = 1, .copies = 1,
                          .inputs = 1, .targets = 1};
    unsigned char *bytes = checkpoint_make(&c, &len);
    const stg_model *made = NULL;
    const int32_t status =
        stg_model_import(&made, w->ctx, bytes, len, (const stg_import_opts *)opts, NULL);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_unref(made);
    free(bytes);
    return status;
}

static int32_t in_monitor(world *w, const void *opts)
{
    stg_monitor *made = NULL;
    const int32_t status = stg_monitor_create(&made, w->ctx, w->bundle,
                                              (const stg_monitor_opts *)opts, NULL);
    ck_assert((status == STG_OK) == (made != NULL));
    stg_monitor_destroy(made);
    return status;
}

static const struct {
    const char *name;
    int32_t (*call)(world *w, const void *opts);
} takers[] = {
    {"ctx_opts", in_ctx},
    {"graph_builder_opts", in_builder},
    {"ingest_opts", in_ingest},
    {"lane_opts", in_lane},
    {"session_opts", in_session},
    {"trainer_opts", in_trainer},
    {"detector_opts", in_detector},
    {"planner_opts", in_planner},
    {"monitor_opts", in_monitor},
    {"import_opts", in_import},
};

static void try_taker(world *w, size_t i)
{
    const size_t known = stg_struct_size(takers[i].name);
    ck_assert_uint_gt(known, sizeof(size_t));
    for (size_t size = sizeof(size_t); size <= ROOM; size += size < known + 8 ? 8 : ROOM / 4) {
        block b;
        memset(&b, 0, sizeof b);
        b.size = size;
        /* What lies behind an old struct is not the library's business. */
        memset(b.bytes + size, CANARY, ROOM - size);
        ck_assert_msg(takers[i].call(w, &b) == STG_OK, "%s of %zu bytes", takers[i].name, size);
        if (size <= known)
            continue;
        b.bytes[size - 1] = 1;
        ck_assert_msg(takers[i].call(w, &b) == STG_E_VERSION, "%s of %zu bytes with an unknown member",
                      takers[i].name, size);
    }
    block b = {.size = 0};
    ck_assert_msg(takers[i].call(w, &b) == STG_E_INVALID, "%s without a size", takers[i].name);
}

START_TEST(options_of_any_age)
{
    world w;
    world_make(&w);
    for (size_t i = 0; i < sizeof takers / sizeof *takers; i++)
        try_taker(&w, i);
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

static int32_t out_ingest_stats(world *w, void *info)
{
    return stg_ingest_get_stats(w->ingest, (stg_ingest_stats *)info);
}

static int32_t out_model_info(world *w, void *info)
{
    return stg_model_get_info(w->model, (stg_model_info *)info);
}

static int32_t out_forecast_info(world *w, void *info)
{
    return stg_forecast_get_info(w->forecast, (stg_forecast_info *)info);
}

static int32_t out_report_info(world *w, void *info)
{
    return stg_report_get_info(w->report, (stg_report_info *)info);
}

static int32_t out_incident_info(world *w, void *info)
{
    return stg_report_incident(w->report, w->incident, (stg_incident_info *)info);
}

static int32_t out_item(world *w, void *info)
{
    return stg_report_item(w->report, w->incident, STG_ITEM_CAUSE, 0, (stg_item *)info);
}

static int32_t out_action(world *w, void *info)
{
    return stg_plan_action(w->plan, 0, (stg_action *)info);
}

static const struct {
    const char *name;
    int32_t (*call)(world *w, void *info);
} givers[] = {
    {"graph_info", out_graph_info},
    {"edges", out_edges},
    {"ingest_stats", out_ingest_stats},
    {"model_info", out_model_info},
    {"forecast_info", out_forecast_info},
    {"report_info", out_report_info},
    {"incident_info", out_incident_info},
    {"item", out_item},
    {"action", out_action},
};

static void try_giver(world *w, size_t which)
{
    const char *name = givers[which].name;
    const size_t known = stg_struct_size(name);
    block whole;
    memset(&whole, 0, sizeof whole);
    whole.size = known;
    ck_assert_msg(givers[which].call(w, &whole) == STG_OK, "%s", name);
    for (size_t size = sizeof(size_t); size <= ROOM; size++) {
        block b;
        memset(&b, CANARY, sizeof b);
        b.size = size;
        ck_assert_msg(givers[which].call(w, &b) == STG_OK && b.size == size, "%s of %zu bytes", name,
                      size);
        const size_t told = size < known ? size : known;
        ck_assert_msg(memcmp(b.bytes + sizeof size, whole.bytes + sizeof size, told - sizeof size) == 0,
                      "%s of %zu bytes says something else", name, size);
        for (size_t i = told; i < ROOM; i++)
            if (b.bytes[i] != (i < size ? 0 : CANARY))
                ck_abort_msg("%s of %zu bytes: byte %zu is %d", name, size, i, b.bytes[i]);
    }
    block b = {.size = 0};
    ck_assert_msg(givers[which].call(w, &b) == STG_E_INVALID, "%s without a size", name);
}

START_TEST(results_of_any_age)
{
    world w;
    world_make(&w);
    for (size_t i = 0; i < sizeof givers / sizeof *givers; i++)
        try_giver(&w, i);
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
    ck_assert_uint_eq(info.nodes, SIM_NODES);
    ck_assert_ptr_null(stg_ref(NULL));
    world_end(&w);
}
END_TEST

TEST_SUITE("sizes", options_of_any_age, results_of_any_age, version_and_references)
