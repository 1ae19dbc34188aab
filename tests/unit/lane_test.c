/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes: names, refusals, claims and seals, no system call in a push, use in a child, a writer with
 * its own thread, and shared memory that somebody scribbles over.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stgraph/ingest.h>

#include "no_calls.h"
#include "ring_priv.h"
#include "test.h"

#define S UINT64_C(1000000000)
#define T0 (UINT64_C(1700000000) * S)

static stg_ingest_stats stats_of(const stg_ingest *in)
{
    stg_ingest_stats s = {.size = sizeof s};
    ck_assert_int_eq(stg_ingest_get_stats(in, &s), STG_OK);
    ck_assert_uint_eq(s.pushed, s.windowed + s.late + s.refused + s.waiting);
    return s;
}

static stg_call call_of(stg_lane *lane, const char *src, const char *dst, uint64_t end_ns)
{
    stg_call c = {.end_ns = end_ns, .duration_us = 1000, .status = 200};
    if (src)
        ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, src, strlen(src), &c.src), STG_OK);
    ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, dst, strlen(dst), &c.dst), STG_OK);
    return c;
}

START_TEST(names)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256, .names = 16};
    uint32_t id;
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, in, &opts), STG_OK);
    ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, "external", 8, &id), STG_OK);
    ck_assert_uint_eq(id, 0);
    char longest[STG_NAME_MAX + 1];
    memset(longest, 'x', sizeof longest);
    for (size_t len = 1; len <= STG_NAME_MAX; len += 18) { /* every number of slots */
        ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, longest, len, &id), STG_OK);
        ck_assert_uint_eq(id, 1 + len / 18);
        ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, longest, len, &id), STG_OK);
        ck_assert_uint_eq(id, 1 + len / 18);
    }
    ck_assert_int_eq(stg_lane_intern(lane, STG_ROUTE, "/a", 2, &id), STG_OK);
    ck_assert_uint_eq(id, 1);
    ck_assert_int_eq(stg_lane_intern(lane, STG_ROUTE, "/b", 2, &id), STG_E_LIMIT);
    ck_assert_int_eq(stg_lane_intern(lane, STG_ROUTE, "/a", 2, &id), STG_OK);
    ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, longest, STG_NAME_MAX + 1, &id),
                     STG_E_INVALID);
    ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, "", 0, &id), STG_E_INVALID);
    ck_assert_int_eq(stg_lane_intern(lane, STG_EDGE, "a", 1, &id), STG_E_INVALID);
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    ck_assert_uint_eq(stats_of(in).nodes, 16);
    ck_assert_uint_eq(stats_of(in).malformed, 0);

    const stg_graph *g;
    ck_assert_int_eq(stg_ingest_close(in, T0, &g), STG_OK);
    ck_assert_uint_eq(stg_graph_find(g, longest, 253), 15);
    stg_unref(g);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(sizes_are_checked)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    int fd;
    static const stg_lane_opts bad[] = {
        {.size = sizeof bad[0], .records = 255}, {.size = sizeof bad[0], .records = 128},
        {.size = sizeof bad[0], .records = 1u << 25}, {.size = sizeof bad[0], .names = 15},
        {.size = sizeof bad[0], .names = 65537},
    };
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_int_eq(stg_lane_open(&lane, in, &bad[i]), STG_E_INVALID);
        ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, &bad[i]), STG_E_INVALID);
        ck_assert_int_eq(fd, -1);
    }
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(full_ring_refuses)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256};
    stg_call calls[300];
    uint32_t id;
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, in, &opts), STG_OK);
    const stg_call c = call_of(lane, "a", "b", T0 + 1);
    for (size_t i = 0; i < 300; i++) {
        calls[i] = c;
        calls[i].reserved = (uint8_t)i; /* does not pass for another kind of record */
    }
    ck_assert_uint_eq(stg_lane_push(lane, calls, 300), 254); /* two slots are names */
    ck_assert_uint_eq(stg_lane_push(lane, calls, 1), 0);
    ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, "c", 1, &id), STG_AGAIN);
    const stg_gauge gauge = {.time_ns = T0};
    ck_assert_int_eq(stg_lane_gauge(lane, &gauge), STG_AGAIN);
    stg_ingest_stats s = stats_of(in);
    ck_assert_uint_eq(s.pushed, 301);
    ck_assert_uint_eq(s.waiting, 254);
    ck_assert_uint_eq(s.refused, 47);
    for (int round = 1; round < 10; round++) { /* around the ring's end */
        ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
        ck_assert_uint_eq(stg_lane_push(lane, calls, 100), 100);
    }
    stg_lane_close(lane); /* what was pushed is still read */
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    s = stats_of(in);
    ck_assert_uint_eq(s.windowed, 254 + 900);
    ck_assert_uint_eq(s.refused, 47);
    ck_assert_uint_eq(s.malformed, 0);
    ck_assert_uint_eq(s.lanes, 0);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(one_writer_one_reader)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    stg_lane *second;
    int fd;
    uint64_t id;
    uint64_t id2;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256};
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&lane, ctx, fd), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&second, ctx, fd), STG_E_STATE);
    ck_assert_ptr_null(second);
    ck_assert_int_eq(stg_ingest_attach(in, fd, &id), STG_OK);
    ck_assert_int_eq(stg_ingest_attach(in, fd, &id2), STG_E_STATE);
    close(fd);
    const stg_call c = call_of(lane, NULL, "web", T0);
    ck_assert_uint_eq(stg_lane_push(lane, &c, 1), 1);
    ck_assert_int_eq(stg_ingest_detach(in, id + 1), STG_E_NOTFOUND);
    ck_assert_int_eq(stg_ingest_detach(in, id), STG_OK);
    ck_assert_int_eq(stg_ingest_detach(in, id), STG_E_NOTFOUND);
    ck_assert_uint_eq(stats_of(in).windowed, 1);
    stg_lane_push(lane, &c, 1); /* nobody reads it any more, nobody minds */
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

static int foreign_file(size_t bytes, unsigned seals, const stg__lane_page *page)
{
    const int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
    if (page && bytes >= sizeof *page)
        ck_assert_int_eq(pwrite(fd, page, sizeof *page, 0), (ssize_t)sizeof *page);
    ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

START_TEST(foreign_files_are_refused)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    uint64_t id;
    const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
    static stg__lane_page good;
    static stg__lane_page page;
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    stg__lane_page_init(&good, ctx, 256, 16);
    for (int i = 0; i < 8; i++) {
        page = good;
        page.magic += i == 1;
        page.version += i == 2;
        page.records = i == 3 ? 300 : i == 4 ? 512 : 256;
        page.names = i == 5 ? 70000 : 16;
        const size_t bytes = i == 6 ? 100 : stg__lane_bytes(256);
        const int fd = foreign_file(bytes, i == 7 ? F_SEAL_GROW | F_SEAL_SEAL : seals, &page);
        ck_assert_int_eq(stg_lane_attach(&lane, ctx, fd), i ? STG_E_FORMAT : STG_OK);
        ck_assert_int_eq(stg_ingest_attach(in, fd, &id), i ? STG_E_FORMAT : STG_OK);
        if (i == 0)
            stg_lane_close(lane);
        close(fd);
    }
    const int null = open("/dev/null", O_RDWR);
    ck_assert_int_eq(stg_ingest_attach(in, null, &id), STG_E_FORMAT);
    close(null);
    ck_assert_int_eq(stg_ingest_attach(in, -1, &id), STG_E_IO);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(hashes)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ctx *other;
    const stg_ctx_opts opts = {.size = sizeof opts, .sketch_key = 99};
    stg_ingest *in;
    stg_ingest *in2;
    stg_lane *lane[3];
    ck_assert_int_eq(stg_ctx_create(&other, &opts), STG_OK);
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_ingest_create(&in2, other, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane[0], in, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane[1], in, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane[2], in2, NULL), STG_OK);
    const uint64_t h = stg_lane_hash(lane[0], "10.0.0.1", 8);
    ck_assert_uint_eq(h, stg_lane_hash(lane[1], "10.0.0.1", 8));
    ck_assert_uint_ne(h, stg_lane_hash(lane[2], "10.0.0.1", 8));
    ck_assert_uint_ne(h, stg_lane_hash(lane[0], "10.0.0.2", 8));
    ck_assert_uint_ne((uint32_t)stg_lane_hash(lane[0], NULL, 0), 0);
    for (int i = 0; i < 3; i++)
        stg_lane_close(lane[i]);
    stg_ingest_destroy(in);
    stg_ingest_destroy(in2);
    stg_ctx_destroy(ctx);
    stg_ctx_destroy(other);
}
END_TEST

/* --- no system call --------------------------------------------------------------------------- */

static void push_without_calls(int fd, bool also_one)
{
    stg_ctx *ctx;
    stg_lane *lane;
    if (stg_ctx_create(&ctx, NULL) != STG_OK || stg_lane_attach(&lane, ctx, fd) != STG_OK)
        _exit(1);
    stg_call c = {.end_ns = T0, .status = 200};
    stg_gauge gauge = {.time_ns = T0};
    if (stg_lane_intern(lane, STG_NODE, "a", 1, &c.dst) != STG_OK)
        _exit(2);
    no_calls_begin();
    for (int i = 0; i < 1000; i++) { /* full after some 127 rounds: refusals make none either */
        stg_lane_push(lane, &c, 1);
        stg_lane_gauge(lane, &gauge);
        stg_lane_beat(lane, T0 + 1);
        c.client = stg_lane_hash(lane, &i, sizeof i);
        stg_lane_intern(lane, STG_NODE, "a", 1, &c.dst);
    }
    no_calls_end(also_one);
}

START_TEST(push_makes_no_system_call)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256};
    /* The second child shows that it is noticed. */
    for (int planted = no_calls_untested("push_makes_no_system_call"); planted < 2; planted++) {
        int fd;
        ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, &opts), STG_OK);
        const pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0)
            push_without_calls(fd, planted == 1);
        no_calls_ended(pid, planted == 1);
        close(fd);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(handles_in_a_child)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    stg_lane *shared;
    int fd;
    int status;
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, in, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&shared, ctx, fd), STG_OK);
    const stg_call c = call_of(shared, NULL, "web", T0);
    const pid_t pid = fork();
    if (pid == 0) {
        stg_ingest_stats s = {.size = sizeof s};
        stg_lane *own;
        stg_ingest *made;
        uint32_t id;
        int fd2;
        int bad = stg_ingest_poll(in) != STG_E_FORK;
        bad |= (stg_ingest_close(in, 5 * S, NULL) != STG_E_FORK) << 1;
        bad |= (stg_ingest_get_stats(in, &s) != STG_E_FORK) << 2;
        bad |= (stg_lane_open(&own, in, NULL) != STG_E_FORK) << 3;
        bad |= (stg_lane_push(lane, &c, 1) != 0 || stg_lane_push(shared, &c, 1) != 0) << 4;
        bad |= (stg_lane_intern(shared, STG_NODE, "x", 1, &id) != STG_E_FORK) << 5;
        bad |= (stg_ingest_create(&made, ctx, NULL) != STG_E_FORK) << 6;
        stg_lane_close(shared); /* frees; says nothing to the reader */
        /* A lane attached in the child works, with the inherited context too. */
        bad |= (stg_lane_create_fd(&fd2, ctx, NULL) != STG_OK ||
                stg_lane_attach(&own, ctx, fd2) != STG_OK || stg_lane_push(own, &c, 1) != 1)
               << 7;
        _exit(bad);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
    uint64_t id;
    ck_assert_int_eq(stg_ingest_attach(in, fd, &id), STG_OK);
    ck_assert_uint_eq(stg_lane_push(shared, &c, 1), 1); /* still open here */
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    ck_assert_uint_eq(stats_of(in).windowed, 1);
    ck_assert_uint_eq(stats_of(in).lanes, 2);
    close(fd);
    stg_lane_close(lane);
    stg_lane_close(shared);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- a thread that writes --------------------------------------------------------------------- */

typedef struct writer {
    stg_lane *lane;
    uint64_t taken;
    uint64_t offered;
} writer;

static void *write_calls(void *user)
{
    writer *w = (writer *)user;
    stg_call calls[7];
    uint32_t route = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        char name[16];
        const int len = snprintf(name, sizeof name, "/r%u", i / 500);
        if (i % 500 == 0)
            while (stg_lane_intern(w->lane, STG_ROUTE, name, (size_t)len, &route) == STG_AGAIN)
                ;
        for (uint32_t k = 0; k < 7; k++)
            calls[k] = (stg_call){.end_ns = T0 + i, .dst = 0, .route = route, .status = 200};
        w->offered += 1 + i % 7;
        w->taken += stg_lane_push(w->lane, calls, 1 + i % 7);
    }
    stg_lane_close(w->lane);
    return NULL;
}

START_TEST(writers_in_threads)
{
    enum { WRITERS = 3 };
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    writer w[WRITERS] = {{0}};
    pthread_t thread[WRITERS];
    const stg_lane_opts opts = {.size = sizeof opts, .records = 1024};
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    for (int i = 0; i < WRITERS; i++) {
        ck_assert_int_eq(stg_lane_open(&w[i].lane, in, &opts), STG_OK);
        ck_assert_int_eq(pthread_create(&thread[i], NULL, write_calls, &w[i]), 0);
    }
    while (stats_of(in).lanes)
        ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    uint64_t offered = 0;
    uint64_t taken = 0;
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(thread[i], NULL);
        offered += w[i].offered;
        taken += w[i].taken;
    }
    const stg_ingest_stats s = stats_of(in);
    ck_assert_uint_eq(s.pushed, offered);
    ck_assert_uint_eq(s.windowed, taken);
    ck_assert_uint_eq(s.refused, offered - taken);
    ck_assert_uint_eq(s.malformed, 0);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- scribbling ------------------------------------------------------------------------------- */

static uint32_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

START_TEST(scribbled_memory)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256, .names = 64};
    uint64_t random = 42;
    for (int run = 0; run < 200; run++) {
        stg_ingest *in;
        stg_lane *lane;
        int fd;
        uint64_t id;
        ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
        ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, &opts), STG_OK);
        ck_assert_int_eq(stg_ingest_attach(in, fd, &id), STG_OK);
        ck_assert_int_eq(stg_lane_attach(&lane, ctx, fd), STG_OK);
        const size_t bytes = stg__lane_bytes(256);
        uint8_t *at = (uint8_t *)mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        ck_assert_ptr_ne(at, MAP_FAILED);
        close(fd);
        const stg_call c = call_of(lane, "a", "b", T0);
        for (int step = 0; step < 60; step++) {
            stg_lane_push(lane, &c, next_random(&random) % 2);
            const uint32_t what = next_random(&random) % 4;
            size_t place = what == 0 ? 64 + next_random(&random) % 128 /* counters of the page */
                                     : STG__LANE_PAGE + next_random(&random) % (bytes - 4096);
            if (what == 1) /* the kind of a slot that is waiting, a likely one */
                place = STG__LANE_PAGE + (next_random(&random) % 64) * 64 + 63;
            at[place] = (uint8_t)(what == 1 ? next_random(&random) % 5 : next_random(&random));
            ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
            stats_of(in);
        }
        ck_assert_int_eq(stg_ingest_close(in, T0 + 5 * S, NULL), STG_OK);
        const int32_t status = stg_ingest_detach(in, id);
        ck_assert(status == STG_OK || status == STG_E_NOTFOUND); /* `closed` was scribbled */
        stats_of(in);
        stg_lane_close(lane);
        munmap(at, bytes);
        stg_ingest_destroy(in);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(reader_recovers_from_a_wrong_tail)
{
    stg_ctx *ctx = test_ctx(NULL);
    stg_ingest *in;
    stg_lane *lane;
    int fd;
    uint64_t id;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256};
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_create_fd(&fd, ctx, &opts), STG_OK);
    ck_assert_int_eq(stg_ingest_attach(in, fd, &id), STG_OK);
    ck_assert_int_eq(stg_lane_attach(&lane, ctx, fd), STG_OK);
    stg__lane_page *page =
        (stg__lane_page *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(page, MAP_FAILED);
    const stg_call c = call_of(lane, "a", "b", T0);
    stg_lane_push(lane, &c, 1);
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    atomic_store(&page->tail, UINT64_C(1) << 60);
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    ck_assert_uint_eq(stats_of(in).malformed, 1);
    ck_assert_uint_eq(stats_of(in).waiting, 0);
    stg_lane_push(lane, &c, 1); /* the writer's own tail comes back */
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    stg_lane_push(lane, &c, 1);
    ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    ck_assert_uint_ge(stats_of(in).windowed, 2);
    munmap(page, 4096);
    close(fd);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
}
END_TEST

TEST_SUITE("lane", names, sizes_are_checked, full_ring_refuses, one_writer_one_reader,
           foreign_files_are_refused, hashes, push_makes_no_system_call, handles_in_a_child,
           writers_in_threads, scribbled_memory, reader_recovers_from_a_wrong_tail)
