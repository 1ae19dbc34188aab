/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of ingest: windows, lanes, known groups, and of the reader beside it. */
#include <unistd.h>

#include "base_priv.h"
#include "torture.h"

#define WINDOW 5000000000u
#define START (340000000 * (uint64_t)WINDOW)

static const stg_lane_opts lane_opts = {.size = sizeof lane_opts, .records = 1024, .names = 200};

/* --- making ----------------------------------------------------------------------------------- */

static int32_t create(stage *s)
{
    const stg_ingest_opts opts = {.size = sizeof opts, .max_nodes = 100, .max_edges = 200};
    s->now = START;
    HANDED(stg_ingest_create(&s->in, s->ctx, &opts), s->in);
}

static int32_t lane_open(stage *s)
{
    HANDED(stg_lane_open(&s->lane, s->in, &lane_opts), s->lane);
}

static int32_t lane_create(stage *s)
{
    const int32_t status = stg_lane_create_fd(&s->fd, s->ctx, &lane_opts);
    SURE((s->fd >= 0) == (status == STG_OK));
    return status;
}

static int32_t lane_attach(stage *s)
{
    HANDED(stg_lane_attach(&s->shared, s->ctx, s->fd), s->shared);
}

static int32_t attach(stage *s)
{
    s->lane_id = 0;
    const int32_t status = stg_ingest_attach(s->in, s->fd, &s->lane_id);
    SURE((s->lane_id != 0) == (status == STG_OK));
    return status;
}

static void an_ingest(stage *s)
{
    OK(create(s));
}

static void a_lane(stage *s)
{
    an_ingest(s);
    OK(lane_open(s));
}

static void a_file(stage *s)
{
    an_ingest(s);
    OK(lane_create(s));
}

static void a_writer(stage *s)
{
    a_file(s);
    OK(lane_attach(s));
}

static void two_lanes(stage *s)
{
    a_writer(s);
    OK(attach(s));
    OK(lane_open(s));
}

/* --- traffic ---------------------------------------------------------------------------------- */

static uint32_t intern(stg_lane *lane, uint32_t kind, const char *prefix, uint32_t number)
{
    char name[64];
    uint32_t id = 0;
    const size_t len = (size_t)snprintf(name, sizeof name, "%s%u", prefix, number);
    OK(stg_lane_intern(lane, kind, name, len, &id));
    return id;
}

/* Calls of the window that ends next, in both windows that are open: names from `first` on. */
static void feed(stage *s, stg_lane *lane, uint32_t first)
{
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t k = first + i % 12;
        const stg_call call = {
            .end_ns = s->now + i * (uint64_t)WINDOW / 160,
            .client = i % 3 ? 0 : 1 + i,
            .group = i % 3 ? 0 : 1 + i % 55,
            .user = 1 + i % 9,
            .duration_us = (i + 1) * (i + 1) * 7,
            .src = i % 3 ? intern(lane, STG_NODE, "node-", k / 2) : 0,
            .dst = intern(lane, STG_NODE, "node-", k),
            .route = i % 4 ? intern(lane, STG_ROUTE, "GET /", k) : 0,
            .status = i % 17 ? 200 : 503,
            .flags = i % 3 ? 0 : STG_CALL_LOGIN,
            .side = (uint8_t)(i % 4),
        };
        SURE(stg_lane_push(lane, &call, 1) == 1);
    }
    for (uint32_t i = 0; i < 40; i++) {
        const stg_gauge gauge = {.time_ns = s->now + i,
                                 .node = intern(lane, STG_NODE, "node-", first + i % 12),
                                 .producer = first + i,
                                 .open = 3 + i};
        OK(stg_lane_gauge(lane, &gauge));
    }
}

static int32_t poll(stage *s)
{
    return stg_ingest_poll(s->in);
}

static int32_t close_window(stage *s)
{
    HANDED(stg_ingest_close(s->in, s->now + WINDOW, &s->graph), s->graph);
}

static int32_t close_unseen(stage *s)
{
    return stg_ingest_close(s->in, s->now + WINDOW, NULL);
}

static void next_window(stage *s)
{
    stg_unref(s->graph);
    s->graph = NULL;
    s->now += WINDOW;
}

static void fed(stage *s)
{
    a_lane(s);
    feed(s, s->lane, 0);
}

static void fed_twice(stage *s)
{
    two_lanes(s);
    feed(s, s->lane, 0);
    feed(s, s->shared, 6);
}

static void fed_again(stage *s)
{
    fed_twice(s);
    OK(close_window(s));
    next_window(s);
    feed(s, s->lane, 20); /* names that are new */
    feed(s, s->shared, 6);
}

/* After some windows alike nothing is new; the gauges of the same producers come again. */
static void fed_alike(stage *s)
{
    fed(s);
    for (int i = 0; i < 6; i++) {
        OK(close_window(s));
        next_window(s);
        feed(s, s->lane, 0);
    }
}

static void fed_and_left(stage *s)
{
    fed_again(s);
    stg_lane_close(s->shared);
    s->shared = NULL;
}

/* The windows that follow, with what lanes there are. */
static void prove_windows(stage *s, proof *p, bool closed)
{
    if (!closed)
        OK(close_window(s));
    for (uint32_t i = 0; i < 2; i++) {
        if (s->graph)
            prove_graph(p, s->graph);
        prove_stats(p, s->in);
        next_window(s);
        if (s->lane)
            feed(s, s->lane, 2 * i);
        if (s->shared)
            feed(s, s->shared, 30 + i);
        OK(close_window(s));
    }
}

static void prove_open(stage *s, proof *p)
{
    prove_windows(s, p, false);
}

static void prove_closed(stage *s, proof *p)
{
    prove_windows(s, p, true);
}

/* An ingest alone: with a lane it works. */
static void prove_ingest(stage *s, proof *p)
{
    OK(lane_open(s));
    feed(s, s->lane, 0);
    prove_open(s, p);
}

static void prove_lane(stage *s, proof *p)
{
    feed(s, s->lane, 0);
    prove_open(s, p);
}

static void prove_file(stage *s, proof *p)
{
    OK(lane_attach(s));
    feed(s, s->shared, 0);
    OK(attach(s));
    prove_open(s, p);
}

static void prove_writer(stage *s, proof *p)
{
    feed(s, s->shared, 0);
    OK(attach(s));
    prove_open(s, p);
}

static void prove_attached(stage *s, proof *p)
{
    prove_number(p, (double)s->lane_id);
    feed(s, s->shared, 0);
    prove_open(s, p);
}

static void prove_ledger(stage *s, proof *p)
{
    prove_stats(p, s->in);
}

/* A lane that could not be read to its end goes as soon as it can. */
static int32_t detach(stage *s)
{
    const int32_t status = stg_ingest_detach(s->in, s->lane_id);
    return s->again && status == STG_E_NOTFOUND ? stg_ingest_poll(s->in) : status;
}

static void prove_detached(stage *s, proof *p)
{
    SURE(stg_ingest_detach(s->in, s->lane_id) == STG_E_NOTFOUND);
    prove_open(s, p);
}

static int32_t get_stats(stage *s)
{
    stg_ingest_stats st = {.size = sizeof st};
    return stg_ingest_get_stats(s->in, &st);
}

static int32_t ingest_destroy(stage *s)
{
    stg_lane_close(s->lane);
    stg_lane_close(s->shared);
    s->lane = s->shared = NULL;
    stg_ingest_destroy(s->in);
    stg_ingest_destroy(NULL);
    s->in = NULL;
    return STG_OK;
}

/* --- known groups ----------------------------------------------------------------------------- */

static void a_bundle(stage *s)
{
    fed_again(s);
    OK(close_window(s));
    s->bundle = torture_parse(s->ctx, &torture_line); /* holds groups too */
}

static int32_t store(stage *s)
{
    return stg_ingest_store(s->in, s->bundle);
}

static int32_t restore(stage *s)
{
    return stg_ingest_restore(s->in, s->bundle, &s->err);
}

static void prove_the_bundle(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

/* --- a lane's writer -------------------------------------------------------------------------- */

static int32_t intern_many(stage *s)
{
    for (; s->done < 100; s->done++) {
        char name[200];
        memset(name, 'n', sizeof name);
        name[snprintf(name, sizeof name, "%u", s->done)] = '-';
        const uint32_t kind = s->done % 2 ? STG_ROUTE : STG_NODE;
        STG_RETURN_IF_ERROR(
            stg_lane_intern(s->lane, kind, name, sizeof name, &s->id[s->done]));
    }
    return STG_OK;
}

static void prove_names(stage *s, proof *p)
{
    prove_bytes(p, s->id, sizeof s->id);
    for (uint32_t i = 0; i < 50; i++) {
        const stg_call call = {.end_ns = s->now + 1, .dst = s->id[2 * i], .route = s->id[2 * i + 1]};
        SURE(stg_lane_push(s->lane, &call, 1) == 1);
    }
    OK(close_window(s));
    prove_graph(p, s->graph);
}

static int32_t push(stage *s)
{
    const stg_call call = {.end_ns = s->now + 7, .dst = intern(s->lane, STG_NODE, "node-", 1)};
    return stg_lane_push(s->lane, &call, 1) == 1 ? STG_OK : STG_E_STATE;
}

static int32_t gauge(stage *s)
{
    const stg_gauge g = {.time_ns = s->now, .node = intern(s->lane, STG_NODE, "node-", 1), .open = 2};
    return stg_lane_gauge(s->lane, &g);
}

static int32_t beat(stage *s)
{
    stg_lane_beat(s->lane, s->now);
    return STG_OK;
}

static int32_t hash(stage *s)
{
    return stg_lane_hash(s->lane, "10.0.0.1", 8) ? STG_OK : STG_E_STATE;
}

static int32_t lane_close(stage *s)
{
    stg_lane_close(s->lane);
    stg_lane_close(s->shared);
    stg_lane_close(NULL);
    s->lane = s->shared = NULL;
    return STG_OK;
}

/* --- reader ----------------------------------------------------------------------------------- */

static int32_t reader_create(stage *s)
{
    HANDED(stg_reader_create(&s->reader, s->ctx, s->lane, "jsonl", &s->err), s->reader);
}

static void a_reader(stage *s)
{
    a_lane(s);
    OK(reader_create(s));
}

static int32_t reader_feed(stage *s)
{
    for (; s->done < 100; s->done++) {
        char line[2048];
        memset(line, ' ', sizeof line); /* so that the buffer grows more than once */
        const int at = snprintf(line, sizeof line,
                                "{\"end_ns\":%llu,\"src\":\"node-%u\",\"dst\":\"\\u0041-%u\","
                                "\"route\":\"GET /%u\",\"client\":\"10.0.0.%u\",\"status\":200}",
                                (unsigned long long)(s->now + s->done), s->done / 3, s->done / 2,
                                s->done % 40, s->done);
        line[at] = ' ';
        line[sizeof line - 1] = '\n';
        STG_RETURN_IF_ERROR(stg_reader_feed(s->reader, line, sizeof line));
    }
    return STG_OK;
}

static void a_full_reader(stage *s)
{
    a_reader(s);
    OK(reader_feed(s));
}

/* What went wrong behind a record comes with the next call. */
static int32_t reader_next(stage *s)
{
    for (size_t n = 1; n > 0; s->records += n)
        STG_RETURN_IF_ERROR(
            stg_reader_next(s->reader, s->record + s->records, 128 - s->records, &n, &s->err));
    return STG_OK;
}

static void prove_records(stage *s, proof *p)
{
    OK(reader_feed(s));
    OK(reader_next(s));
    SURE(s->records == 100);
    prove_bytes(p, s->record, s->records * sizeof *s->record);
    for (size_t i = 0; i < s->records; i++)
        SURE(stg_lane_push(s->lane, &s->record[i].u.call, 1) == 1);
    OK(close_window(s));
    prove_graph(p, s->graph);
    prove_stats(p, s->in);
}

static int32_t reader_destroy(stage *s)
{
    stg_reader_destroy(s->reader);
    stg_reader_destroy(NULL);
    s->reader = NULL;
    return STG_OK;
}

/* --- state ------------------------------------------------------------------------------------ */

static void used(stage *s)
{
    fed_again(s);
    OK(close_window(s));
    torture_keep(s, s->in);
}

static void died(stage *s)
{
    const uint64_t now = s->now;
    used(s);
    stg_lane_close(s->lane);
    stg_lane_close(s->shared);
    s->lane = s->shared = NULL;
    stg_ingest_destroy(s->in);
    s->in = NULL;
    an_ingest(s);
    s->now = now + START + WINDOW;
}

static int32_t save(stage *s)
{
    return stg_state_save(s->in, s->bundle, &s->err);
}

static int32_t restore_state(stage *s)
{
    return stg_state_restore(s->in, s->bundle, &s->err);
}

static void prove_own_state(stage *s, proof *p)
{
    prove_state(p, s->ctx, s->in);
}

static void prove_saved(stage *s, proof *p)
{
    prove_bundle(p, s->bundle);
}

static void prove_restored(stage *s, proof *p)
{
    prove_own_state(s, p);
    next_window(s);
    OK(lane_open(s));
    feed(s, s->lane, 3);
    prove_open(s, p);
}

static const torture_case list[] = {
    {"stg_state_save", "ingest", used, save, prove_saved, prove_saved, TELLS},
    {"stg_state_restore", "ingest", died, restore_state, prove_restored, prove_own_state, TELLS},
    {"stg_ingest_create", "small", NULL, create, prove_ingest, NULL, 0},
    {"stg_ingest_poll", "names and calls", fed, poll, prove_open, NULL, 0},
    {"stg_ingest_poll", "two lanes", fed_twice, poll, prove_open, NULL, 0},
    {"stg_ingest_poll", "nothing new", fed_alike, poll, prove_open, NULL, QUIET},
    {"stg_ingest_close", "first", fed, close_window, prove_closed, NULL, 0},
    {"stg_ingest_close", "new names", fed_again, close_window, prove_closed, NULL, 0},
    {"stg_ingest_close", "no graph", fed_again, close_unseen, prove_closed, NULL, 0},
    {"stg_ingest_close", "nothing new", fed_alike, close_window, prove_closed, NULL, QUIET},
    {"stg_ingest_close", "a writer has gone", fed_and_left, close_window, prove_closed, NULL, 0},
    {"stg_ingest_get_stats", "full", fed, get_stats, prove_open, NULL, QUIET},
    {"stg_ingest_attach", "a shared lane", a_writer, attach, prove_attached, prove_ledger, 0},
    {"stg_ingest_detach", "with names", fed_twice, detach, prove_detached, NULL, 0},
    {"stg_ingest_destroy", "full", fed_twice, ingest_destroy, NULL, NULL, QUIET},
    {"stg_ingest_store", "over others", a_bundle, store, prove_the_bundle, prove_the_bundle, 0},
    {"stg_ingest_restore", "all", a_bundle, restore, prove_closed, NULL, QUIET | TELLS},
    {"stg_lane_open", "own", an_ingest, lane_open, prove_lane, prove_ledger, 0},
    {"stg_lane_create_fd", "sealed", an_ingest, lane_create, prove_file, prove_ledger, QUIET},
    {"stg_lane_attach", "shared", a_file, lane_attach, prove_writer, NULL, 0},
    {"stg_lane_intern", "many", a_lane, intern_many, prove_names, NULL, 0},
    {"stg_lane_push", "one", fed, push, prove_open, NULL, QUIET},
    {"stg_lane_gauge", "one", fed, gauge, prove_open, NULL, QUIET},
    {"stg_lane_beat", "one", fed, beat, prove_open, NULL, QUIET},
    {"stg_lane_hash", "one", fed, hash, prove_open, NULL, QUIET},
    {"stg_lane_close", "both kinds", fed_twice, lane_close, prove_open, NULL, QUIET},
    {"stg_reader_create", "jsonl", a_lane, reader_create, prove_records, NULL, TELLS},
    {"stg_reader_feed", "much", a_reader, reader_feed, prove_records, NULL, 0},
    {"stg_reader_next", "all", a_full_reader, reader_next, prove_records, NULL, TELLS | MANAGES},
    {"stg_reader_destroy", "full", a_full_reader, reader_destroy, NULL, NULL, QUIET},
};
const torture_table torture_ingest = {list, sizeof list / sizeof *list};
