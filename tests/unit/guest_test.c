/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session as a guest in a host: what it takes of memory with a net of the published size on 207 nodes,
 * threads only when asked for and gone with it, the same bits with any number of them, one model
 * for sessions on several threads.
 */
#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "checkpoint.h"
#include "test.h"

#include <stgraph/model.h>

enum { NODES = 207, EDGES = 8, WINDOWS = 14, HORIZON = 12 };
#define WINDOW 300000000000u

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define OWN_MEMORY 1
#endif
#endif
#ifndef OWN_MEMORY
#define OWN_MEMORY 0
#endif

/* Two layers of 64 units, K = 2, both walks, value and time of day in, 12 windows in and out. */
static const stg_model *model_new(stg_ctx *ctx)
{
    size_t len;
    const stg_model *m;
    const checkpoint c = {.prefix = "", .settings = "", .layers = 2, .units = 64, .copies = 5,
                          .inputs = 2, .targets = 1, .weight = 0.002f};
    const stg_import_opts opts = {.size = sizeof opts, .mean = 50, .deviation = 10};
    unsigned char *bytes = checkpoint_make(&c, &len);
    ck_assert_int_eq(stg_model_import(&m, ctx, bytes, len, &opts, NULL), STG_OK);
    free(bytes);
    return m;
}

static const stg_graph *graph_at(stg_graph_builder *b, uint64_t at)
{
    const stg_graph *g;
    uint32_t value;
    uint32_t weight;
    uint32_t id;
    ck_assert_int_eq(stg_graph_builder_begin(b, at * WINDOW, (at + 1) * WINDOW), STG_OK);
    stg_graph_builder_column(b, STG_NODE, "value", 5, &value);
    stg_graph_builder_column(b, STG_EDGE, "weight", 6, &weight);
    for (uint32_t i = 0; i < NODES; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%03u", i);
        ck_assert_int_eq(stg_graph_builder_node(b, name, strlen(name), &id), STG_OK);
        stg_graph_builder_set(b, STG_NODE, id, value, 40 + (double)((i * 7 + at * 11) % 23));
    }
    for (uint32_t i = 0; i < NODES * EDGES; i++) {
        const uint32_t to = (i / EDGES * 31 + i % EDGES * 17 + 1) % NODES;
        ck_assert_int_eq(stg_graph_builder_edge(b, i / EDGES, to, "", 0, &id), STG_OK);
        stg_graph_builder_set(b, STG_EDGE, id, weight, 0.1 + i % 10 / 10.0);
    }
    ck_assert_int_eq(stg_graph_builder_finish(b, &g), STG_OK);
    return g;
}

/* All that a session forecasts after WINDOWS windows. */
static void forecasts(stg_ctx *ctx, const stg_model *m, uint32_t threads, double *to)
{
    stg_session *s;
    stg_graph_builder *b;
    const stg_forecast *f;
    const stg_session_opts opts = {.size = sizeof opts, .threads = threads};
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_OK);
    ck_assert_int_eq(stg_graph_builder_create(&b, ctx, NULL), STG_OK);
    for (uint64_t at = 0; at < WINDOWS; at++) {
        const stg_graph *g = graph_at(b, at);
        ck_assert_int_eq(stg_session_step(s, g, NULL), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_session_forecast(s, HORIZON, &f), STG_OK);
    for (uint32_t d = 0; d < HORIZON; d++)
        memcpy(to + (size_t)d * NODES, stg_forecast_mean(f, STG_NODE, "value", 5, d),
               NODES * sizeof *to);
    stg_unref(f);
    stg_session_destroy(s);
    stg_graph_builder_destroy(b);
}

static int tasks_now(void)
{
    int count = -2; /* "." and ".." */
    DIR *d = opendir("/proc/self/task");
    ck_assert_ptr_nonnull(d);
    while (readdir(d))
        count++;
    closedir(d);
    return count;
}

/* A thread that was joined is still there for a moment. */
static bool tasks_become(int wanted)
{
    for (int i = 0; i < 2000 && tasks_now() != wanted; i++)
        usleep(1000);
    return tasks_now() == wanted;
}

/* Tasks of this process, after those that a sanitizer starts together with the first thread. */
static int tasks_of_host(stg_ctx *ctx, const stg_model *m)
{
    const int none = tasks_now();
    const stg_session_opts opts = {.size = sizeof opts, .threads = 2};
    stg_session *s;
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_OK);
    stg_session_destroy(s);
    if (!OWN_MEMORY)
        ck_assert(tasks_become(none));
    usleep(OWN_MEMORY ? 100000 : 0);
    return tasks_now();
}

START_TEST(threads_change_no_bit)
{
    static double out[4][HORIZON * NODES];
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_new(ctx);
    const int before = tasks_of_host(ctx, m);
    for (uint32_t k = 0; k < 4; k++)
        forecasts(ctx, m, k, out[k]);
    for (uint32_t k = 1; k < 4; k++)
        ck_assert_mem_eq(out[0], out[k], sizeof *out);
    ck_assert(out[0][0] != out[0][1]);
    ck_assert(tasks_become(before));
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(threads_only_when_asked_for)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_new(ctx);
    const int before = tasks_of_host(ctx, m);
    stg_session_opts opts = {.size = sizeof opts};
    stg_session *s;
    for (uint32_t threads = 0; threads < 4; threads++) {
        opts.threads = threads;
        ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_OK);
        ck_assert(tasks_become(before + (threads > 1 ? (int)threads - 1 : 0)));
        usleep(threads > 1 ? 20000 : 0); /* they sleep by now */
        const pid_t child = fork();
        if (child == 0) { /* has none of them, and waits for none */
            alarm(60);
            stg_session_destroy(s);
            _exit(0);
        }
        int status = -1;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        stg_session_destroy(s);
        ck_assert(tasks_become(before));
    }
    opts.threads = 65;
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_E_INVALID);
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

typedef struct guest {
    const stg_model *model;
    double out[HORIZON * NODES];
} guest;

static void *visit(void *arg)
{
    guest *g = (guest *)arg;
    stg_ctx *ctx = test_ctx(NULL);
    forecasts(ctx, g->model, 0, g->out);
    stg_ctx_destroy(ctx);
    return NULL;
}

START_TEST(two_sessions_share_a_model)
{
    static guest g[2];
    static double alone[HORIZON * NODES];
    pthread_t thread[2];
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_new(ctx);
    forecasts(ctx, m, 0, alone);
    for (int i = 0; i < 2; i++) {
        g[i].model = m;
        ck_assert_int_eq(pthread_create(&thread[i], NULL, visit, &g[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        ck_assert_mem_eq(alone, g[i].out, sizeof alone);
    }
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

static double resident_mb(void)
{
    long size;
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static void write_model(const char *path)
{
    stg_bundle *b;
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_new(ctx);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_model_store(m, b), STG_OK);
    ck_assert_int_eq(stg_bundle_save(b, path, NULL), STG_OK);
    _exit(0);
}

/* Another process writes the file, so that this one has held nothing but what it is asked about: the
 * model, its bundle while it is read, a session, 14 graphs one after the other, a forecast. */
START_TEST(twelve_megabytes)
{
    static double out[HORIZON * NODES];
    char path[] = "/tmp/stgraph-guest-XXXXXX";
    stg_bundle *b;
    const stg_model *m;
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    const pid_t child = fork();
    if (child == 0)
        write_model(path);
    int status = -1;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    const double before = resident_mb();
    stg_ctx *ctx = test_ctx(NULL);
    ck_assert_int_eq(stg_bundle_open(&b, ctx, path, NULL), STG_OK);
    ck_assert_int_eq(stg_model_load(&m, b, NULL), STG_OK);
    stg_bundle_destroy(b);
    forecasts(ctx, m, 0, out);
    const double after = resident_mb();
    fprintf(stderr, "# resident: %.1f MB more, %.1f MB in all\n", after - before, after);
    if (!OWN_MEMORY && !test_valgrind())
        ck_assert_msg(after <= 12, "%.1f MB, %.1f of them new", after, after - before);
    stg_unref(m);
    stg_ctx_destroy(ctx);
    unlink(path);
}
END_TEST

TEST_SUITE("guest", twelve_megabytes, threads_change_no_bit, threads_only_when_asked_for,
           two_sessions_share_a_model)
