/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A host that loads the library and lets go of it a thousand times, and one that restarts its monitor
 * two hundred times and goes on each time where it was: memory stays, and so do descriptors. Under
 * valgrind, which keeps what is freed, only descriptors and leaks are looked at.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <stgraph/stgraph.h>

#include "test.h"

#define LOADS (test_valgrind() ? 60 : 1000)
#define RESTARTS (test_valgrind() ? 20 : 200)
#define WARM 50
#define WINDOWS 4u /* of one life */
#define WINDOW 5000000000u
#define START 1764000000000000000u

static long resident_pages(void)
{
    long size = 0;
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident;
}

static int descriptors(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static bool mapped(const char *name)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "re");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f))
        found |= strstr(line, name) != NULL;
    fclose(f);
    return found;
}

static void *symbol(void *library, const char *name)
{
    void *at = dlsym(library, name);
    ck_assert_msg(at != NULL, "%s", dlerror());
    return at;
}

static void stays(int times, const char *what, long before)
{
    const long grown = resident_pages() - before;
    if (test_valgrind())
        return;
    printf("# %d %s: %+ld pages\n", times - WARM, what, grown);
    ck_assert_int_le(grown, 64);
}

/* Loads, makes a context and an empty bundle, writes the bundle's bytes, lets go of everything. */
static void load_once(const char *path)
{
    int32_t (*create)(stg_ctx **, const stg_ctx_opts *);
    int32_t (*empty)(stg_bundle **, stg_ctx *, const char *, stg_error *);
    int32_t (*serialize)(const stg_bundle *, void *, size_t, size_t *);
    void (*destroy)(stg_ctx *);
    void (*drop)(stg_bundle *);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(library != NULL, "%s", dlerror());
    *(void **)&create = symbol(library, "stg_ctx_create");
    *(void **)&destroy = symbol(library, "stg_ctx_destroy");
    *(void **)&empty = symbol(library, "stg_bundle_open");
    *(void **)&serialize = symbol(library, "stg_bundle_serialize");
    *(void **)&drop = symbol(library, "stg_bundle_destroy");
    stg_ctx *ctx;
    stg_bundle *bundle;
    stg_error err;
    size_t len = 0;
    ck_assert_int_eq(create(&ctx, NULL), STG_OK);
    ck_assert_int_eq(empty(&bundle, ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(serialize(bundle, NULL, 0, &len), STG_MORE);
    ck_assert_uint_gt(len, 8);
    drop(bundle);
    destroy(ctx);
    ck_assert_int_eq(dlclose(library), 0);
}

START_TEST(loaded_a_thousand_times)
{
    const char *path = getenv("STG_SHARED_LIBRARY");
    ck_assert_ptr_nonnull(path);
    const char *name = strrchr(path, '/');
    long before = 0;
    const int open_before = descriptors();
    for (int i = 0; i < LOADS; i++) {
        load_once(path);
        if (i == 0)
            ck_assert_msg(!mapped(name), "it stays mapped: nothing is tested");
        if (i == WARM)
            before = resident_pages();
    }
    stays(LOADS, "loads", before);
    ck_assert_int_eq(descriptors(), open_before);
}
END_TEST

/* A model of the simplest kind, in a bundle. */
static stg_bundle *model_bundle(stg_ctx *ctx)
{
    stg_graph_builder *b;
    stg_trainer *trainer;
    stg_bundle *bundle;
    stg_error err;
    uint32_t web;
    uint32_t edge;
    uint32_t column[2];
    const stg_trainer_opts opts = {.size = sizeof opts, .kind = "persistence", .inputs = "calls",
                                   .targets = "calls"};
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_trainer_create(&trainer, ctx, &opts, &err), STG_OK);
    ck_assert_int_eq(stg_graph_builder_node(b, "web", 3, &web), STG_OK);
    ck_assert_int_eq(stg_graph_builder_edge(b, 0, web, "GET /", 5, &edge), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_NODE, "calls", 5, &column[0]), STG_OK);
    ck_assert_int_eq(stg_graph_builder_column(b, STG_EDGE, "calls", 5, &column[1]), STG_OK);
    for (uint64_t i = 0; i < 80; i++) {
        const stg_graph *g;
        ck_assert_int_eq(stg_graph_builder_begin(b, START + i * WINDOW, START + (i + 1) * WINDOW), STG_OK);
        ck_assert_int_eq(stg_graph_builder_set(b, STG_NODE, web, column[0], 40 + (double)(i % 5)), STG_OK);
        ck_assert_int_eq(stg_graph_builder_set(b, STG_EDGE, edge, column[1], 40 + (double)(i % 5)), STG_OK);
        ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(trainer, g), STG_OK);
        stg_unref(g);
    }
    const stg_model *model;
    ck_assert_int_eq(stg_trainer_run(trainer, &model, &err), STG_OK);
    ck_assert_int_eq(stg_bundle_open(&bundle, ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_model_store(model, bundle), STG_OK);
    stg_unref(model);
    stg_trainer_destroy(trainer);
    stg_graph_builder_destroy(b);
    return bundle;
}

/* From the bundle to a monitor with two lanes, one of them shared, through four windows, and away. The
 * state goes on from life to life. */
static void restart(stg_ctx *ctx, const stg_bundle *bundle, stg_bundle *state, uint64_t life)
{
    static char line[65536];
    stg_monitor *mon;
    stg_lane *lane[2];
    stg_error err;
    uint64_t id;
    size_t len;
    int fd;
    ck_assert_int_eq(stg_monitor_create(&mon, ctx, bundle, NULL, &err), STG_OK);
    if (life)
        ck_assert_int_eq(stg_state_restore(mon, state, &err), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane[0], stg_monitor_ingest(mon), NULL), STG_OK);
    ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&lane[1], ctx, fd), STG_OK);
    ck_assert_int_eq(stg_ingest_attach(stg_monitor_ingest(mon), fd, &id), STG_OK);
    close(fd);
    for (uint64_t w = life * WINDOWS + 1; w <= (life + 1) * WINDOWS; w++) {
        for (int k = 0; k < 2; k++) {
            stg_call call = {.end_ns = START + w * WINDOW - 1000, .status = 200};
            ck_assert_int_eq(stg_lane_intern(lane[k], STG_NODE, "web", 3, &call.dst), STG_OK);
            for (int i = 0; i < 200; i++)
                ck_assert_uint_eq(stg_lane_push(lane[k], &call, 1), 1);
        }
        ck_assert_int_eq(stg_monitor_tick(mon, START + w * WINDOW, &err), STG_OK);
        while (stg_monitor_event(mon, line, sizeof line, &len) == STG_OK)
            continue;
    }
    const stg_graph *last = (const stg_graph *)stg_monitor_get(mon, STG_GET_GRAPH);
    ck_assert_int_eq(stg_state_save(mon, state, &err), STG_OK);
    stg_lane_close(lane[0]);
    stg_lane_close(lane[1]);
    stg_monitor_destroy(mon);
    ck_assert_double_eq(stg_graph_column(last, STG_EDGE, "calls", 5)[0], 400);
    stg_unref(last);
}

START_TEST(monitor_restarted)
{
    stg_ctx *ctx;
    ck_assert_int_eq(stg_ctx_create(&ctx, NULL), STG_OK);
    stg_bundle *bundle = model_bundle(ctx);
    stg_bundle *state;
    stg_error err;
    long before = 0;
    const int open_before = descriptors();
    ck_assert_int_eq(stg_bundle_open(&state, ctx, NULL, &err), STG_OK);
    for (int i = 0; i < RESTARTS; i++) {
        restart(ctx, bundle, state, (uint64_t)i);
        if (i == WARM)
            before = resident_pages();
    }
    stays(RESTARTS, "restarts", before);
    ck_assert_int_eq(descriptors(), open_before);
    stg_bundle_destroy(state);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("cycles", loaded_a_thousand_times, monitor_restarted)
