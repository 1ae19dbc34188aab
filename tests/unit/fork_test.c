/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes, as a proxy has them: a parent loads a bundle with a model and forks workers with a lane
 * in shared memory each; workers are reloaded (a reload loads the model anew), killed and stopped in
 * the middle of a push while one process ticks. The ledger has to agree with what the workers
 * themselves counted, and with the graphs; each worker forecasts with the parent's model.
 */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <stgraph/ingest.h>

#include "learn.h"
#include "test.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#define S UINT64_C(1000000000)
#define WINDOW (5 * S)
#define T0 (UINT64_C(1700000000) * S)
#define WORKERS 4
#define BATCH 2000u
#define NODES 5
#define SEEN 6 /* windows before a forecast */

/* What a worker and the parent share beside the lane. */
typedef struct control {
    _Atomic uint64_t before; /* calls offered, counted before the push */
    _Atomic uint64_t after;  /* and after it */
    _Atomic uint64_t taken;
    _Atomic uint32_t leave;
    _Atomic uint32_t ready;
} control;

typedef struct worker {
    pid_t pid;
    int fd;
    uint64_t id;
    control *c;
} worker;

typedef struct host {
    stg_ctx *ctx;
    stg_bundle *bundle;
    const stg_model *model;
    double forecast[NODES]; /* of the model in this process */
    stg_ingest *in;
    _Atomic uint64_t *now; /* shared clock, moved by the ticks */
    uint64_t end;          /* of the window that closes next */
    double in_graphs;      /* calls of all graphs handed out */
} host;

static void *shared_memory(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(at, MAP_FAILED);
    return at;
}

static void nap(long us)
{
    const struct timespec t = {0, us * 1000};
    nanosleep(&t, NULL);
}

/* The calls that the model expects after some windows of the test world. */
static bool forecast(stg_ctx *ctx, const stg_model *model, double calls[NODES])
{
    world w;
    stg_session *s;
    const stg_forecast *f;
    if (world_open(&w, ctx, NODES, 77) != STG_OK ||
        stg_session_create(&s, ctx, model, NULL) != STG_OK)
        return false;
    bool good = true;
    for (uint64_t at = 0; good && at < SEEN; at++) {
        const stg_graph *g = NULL;
        good = world_next(&w, at, &g) == STG_OK && stg_session_step(s, g, NULL) == STG_OK;
        stg_unref(g);
    }
    good = good && stg_session_forecast(s, 1, &f) == STG_OK;
    if (good) {
        memcpy(calls, stg_forecast_mean(f, STG_NODE, "calls", 5, 0), NODES * sizeof *calls);
        stg_unref(f);
    }
    stg_session_destroy(s);
    world_close(&w);
    return good;
}

/* Forecasts with the parent's model, then pushes until told to leave and closes its lane. `most`:
 * rounds, 0: no limit. */
static void work(int fd, control *c, const host *h, uint32_t most)
{
    const _Atomic uint64_t *now = h->now;
    double calls_ahead[NODES];
    static stg_call calls[BATCH];
    stg_ctx *ctx;
    stg_lane *lane;
    uint32_t web;
    uint32_t route;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (stg_ctx_create(&ctx, NULL) != STG_OK || stg_lane_attach(&lane, ctx, fd) != STG_OK ||
        stg_lane_intern(lane, STG_NODE, "web", 3, &web) != STG_OK ||
        stg_lane_intern(lane, STG_ROUTE, "GET /", 5, &route) != STG_OK)
        _exit(1);
    if (!forecast(ctx, h->model, calls_ahead) ||
        memcmp(calls_ahead, h->forecast, sizeof calls_ahead) != 0)
        _exit(2);
    uint32_t random = (uint32_t)getpid();
    for (uint32_t round = 0; !atomic_load(&c->leave) && (!most || round < most); round++) {
        random = random * 1664525u + 1013904223u;
        const uint32_t n = 1 + (random >> 16) % BATCH;
        const uint64_t time = atomic_load(now);
        for (uint32_t i = 0; i < n; i++)
            calls[i] = (stg_call){.end_ns = time, .dst = web, .route = route, .status = 200,
                                  .duration_us = i, .client = i + 1, .group = i % 64 + 1};
        atomic_fetch_add(&c->before, n);
        const size_t taken = stg_lane_push(lane, calls, n);
        atomic_fetch_add(&c->taken, taken);
        atomic_fetch_add(&c->after, n);
        stg_lane_beat(lane, time);
        atomic_store(&c->ready, 1);
        if (taken < n)
            nap(1000);
    }
    stg_lane_close(lane);
    stg_ctx_destroy(ctx);
    _exit(0);
}

static worker start(host *h, uint32_t most)
{
    worker w = {.c = (control *)shared_memory(sizeof(control))};
    const stg_lane_opts opts = {.size = sizeof opts, .records = 16384, .names = 64};
    ck_assert_int_eq(stg_lane_create_fd(&w.fd, h->ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_ingest_attach(h->in, w.fd, &w.id), STG_OK);
    w.pid = fork();
    ck_assert_int_ge(w.pid, 0);
    if (w.pid == 0)
        work(w.fd, w.c, h, most);
    close(w.fd);
    return w;
}

static void finish(worker *w, int expected_signal)
{
    int status;
    ck_assert_int_eq(waitpid(w->pid, &status, 0), w->pid);
    if (expected_signal)
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == expected_signal);
    else
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

static stg_ingest_stats ledger(const host *h)
{
    stg_ingest_stats s = {.size = sizeof s};
    ck_assert_int_eq(stg_ingest_get_stats(h->in, &s), STG_OK);
    ck_assert_uint_eq(s.pushed, s.windowed + s.late + s.refused + s.waiting);
    return s;
}

static void tick(host *h)
{
    const stg_graph *g;
    for (int i = 0; i < 4; i++) {
        nap(500);
        ck_assert_int_eq(stg_ingest_poll(h->in), STG_OK);
        ledger(h);
    }
    atomic_store(h->now, h->end);
    ck_assert_int_eq(stg_ingest_close(h->in, h->end, &g), STG_OK);
    const double *calls = stg_graph_column(g, STG_EDGE, "calls", 5);
    stg_graph_info info = {.size = sizeof info};
    stg_graph_get_info(g, &info);
    for (uint32_t e = 0; e < info.edges; e++)
        h->in_graphs += calls[e];
    stg_unref(g);
    h->end += WINDOW;
}

/* What a reload does in the parent: workers that run keep the model that they were forked with. */
static void load_model(host *h)
{
    stg_error err;
    stg_unref(h->model);
    ck_assert_int_eq(stg_model_load(&h->model, h->bundle, &err), STG_OK);
}

/* The parent: context, a bundle that was on disk, the model and an ingest that start from it. */
static host host_new(void)
{
    host h = {.now = (_Atomic uint64_t *)shared_memory(sizeof(uint64_t)), .end = T0 + WINDOW};
    char path[] = "/tmp/stgraph-fork-XXXXXX";
    const int fd = mkstemp(path);
    const stg_trainer_opts net = learn_small("dcrnn");
    stg_error err;
    ck_assert_int_ge(fd, 0);
    close(fd);
    atomic_store(h.now, T0);
    h.ctx = test_ctx(NULL);
    const stg_ingest_opts opts = {.size = sizeof opts, .window_ns = WINDOW};
    ck_assert_int_eq(stg_ingest_create(&h.in, h.ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_bundle_open(&h.bundle, h.ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_ingest_store(h.in, h.bundle), STG_OK);
    ck_assert_int_eq(learn(h.ctx, &net, NODES, 60, 9, &h.model, &err), STG_OK);
    ck_assert_int_eq(stg_model_store(h.model, h.bundle), STG_OK);
    ck_assert_int_eq(stg_bundle_save(h.bundle, path, &err), STG_OK);
    stg_bundle_destroy(h.bundle);
    ck_assert_int_eq(stg_bundle_open(&h.bundle, h.ctx, path, &err), STG_OK);
    ck_assert_int_eq(stg_ingest_restore(h.in, h.bundle, &err), STG_OK);
    unlink(path);
    ck_assert(forecast(h.ctx, h.model, h.forecast));
    load_model(&h);
    return h;
}

static void host_free(host *h)
{
    stg_unref(h->model);
    stg_bundle_destroy(h->bundle);
    stg_ingest_destroy(h->in);
    stg_ctx_destroy(h->ctx);
}

START_TEST(ledger_over_reload_kill_and_stop)
{
    host h = host_new();
    worker old[WORKERS];
    worker w[WORKERS];
    for (int i = 0; i < WORKERS; i++)
        old[i] = start(&h, 0);
    for (int i = 0; i < 5; i++)
        tick(&h);

    /* Reload: the new generation pushes on new lanes while the old one still pushes on its own. */
    load_model(&h);
    for (int i = 0; i < WORKERS; i++)
        w[i] = start(&h, 0);
    for (int i = 0; i < 3; i++)
        tick(&h);
    ck_assert_uint_eq(ledger(&h).lanes, 2 * WORKERS);
    for (int i = 0; i < WORKERS; i++) {
        atomic_store(&old[i].c->leave, 1);
        tick(&h);
    }
    for (int i = 0; i < WORKERS; i++)
        finish(&old[i], 0);
    tick(&h);
    tick(&h); /* what they pushed last may be of the window after the one that closed */
    ck_assert_uint_eq(ledger(&h).lanes, WORKERS);

    /* Stopped at random moments, mostly inside a push; time goes on without it. */
    for (int i = 0; i < 10; i++) {
        nap(300 + 371 * i);
        kill(w[1].pid, SIGSTOP);
        const uint64_t before = ledger(&h).pushed;
        for (int k = 0; k < 1 + i % 3; k++)
            tick(&h);
        ck_assert_uint_gt(ledger(&h).pushed, before); /* the others were not held up */
        kill(w[1].pid, SIGCONT);
        tick(&h);
    }

    nap(777);
    kill(w[0].pid, SIGKILL);
    finish(&w[0], SIGKILL);
    ck_assert_int_eq(stg_ingest_detach(h.in, w[0].id), STG_OK);
    for (int i = 0; i < 3; i++)
        tick(&h);
    ck_assert_uint_eq(ledger(&h).lanes, WORKERS - 1);
    for (int i = 1; i < WORKERS; i++) {
        atomic_store(&w[i].c->leave, 1);
        finish(&w[i], 0);
    }
    for (int i = 0; i < 3; i++)
        tick(&h);

    const stg_ingest_stats s = ledger(&h);
    uint64_t offered = 0;
    uint64_t taken = 0;
    for (int i = 0; i < WORKERS; i++) {
        offered += atomic_load(&old[i].c->after) + (i ? atomic_load(&w[i].c->after) : 0);
        taken += atomic_load(&old[i].c->taken) + (i ? atomic_load(&w[i].c->taken) : 0);
    }
    fprintf(stderr, "# pushed %lu = windowed %lu + late %lu + refused %lu\n",
            (unsigned long)s.pushed, (unsigned long)s.windowed, (unsigned long)s.late,
            (unsigned long)s.refused);
    /* Of the one that was killed the last push may have come through or not, nothing else. */
    const uint64_t killed = s.pushed - offered;
    ck_assert_uint_ge(killed, atomic_load(&w[0].c->after));
    ck_assert_uint_le(killed, atomic_load(&w[0].c->before));
    ck_assert_uint_ge(s.windowed + s.late, taken + atomic_load(&w[0].c->taken));
    ck_assert_uint_eq(s.waiting, 0);
    ck_assert_uint_eq(s.malformed, 0);
    ck_assert_uint_eq(s.lanes, 0);
    ck_assert_double_eq(h.in_graphs, (double)s.windowed);
    ck_assert_uint_gt(s.windowed, 100000);
    host_free(&h);
}
END_TEST

static long resident_pages(void)
{
    long size;
    long resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld %ld", &size, &resident), 2);
    fclose(f);
    return resident;
}

START_TEST(memory_is_flat_over_reloads)
{
    host h = host_new();
    worker w[2][WORKERS];
    uint64_t offered = 0;
    long warm = 0;
    const int reloads = SANITIZED || test_valgrind() ? 40 : 200; /* an even number */
    for (int reload = 0; reload <= reloads; reload++) {
        worker *new = w[reload % 2];
        worker *old = w[(reload + 1) % 2];
        load_model(&h);
        for (int i = 0; i < WORKERS; i++)
            new[i] = start(&h, 3);
        for (int i = 0; reload && i < WORKERS; i++) {
            finish(&old[i], 0);
            offered += atomic_load(&old[i].c->after);
            munmap(old[i].c, sizeof(control));
        }
        tick(&h);
        if (reload == 20)
            warm = resident_pages();
    }
    const long grown = resident_pages() - warm;
    for (int i = 0; i < WORKERS; i++) {
        finish(&w[0][i], 0);
        offered += atomic_load(&w[0][i].c->after);
    }
    tick(&h);
    tick(&h);
    const stg_ingest_stats s = ledger(&h);
    ck_assert_uint_eq(s.pushed, offered);
    ck_assert_uint_eq(s.lanes, 0);
    ck_assert_double_eq(h.in_graphs, (double)s.windowed);
    fprintf(stderr, "# %d reloads of %d workers: %+ld pages, %lu calls\n", reloads - 20, WORKERS,
            grown, (unsigned long)s.pushed);
    if (!SANITIZED && !test_valgrind()) /* they keep freed memory */
        ck_assert_int_le(grown, 128);
    host_free(&h);
}
END_TEST

TEST_SUITE("fork", ledger_over_reload_kill_and_stop, memory_is_flat_over_reloads)
