/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile world, one evil after the other with its outcome stated: lanes that are scribbled over
 * word by word and all the time, names with any bytes through the whole line, floods of names, clocks
 * that jump, numbers that are none.
 */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "fuzz_base.h"
#include "fuzz_line.h"
#include "fuzz_mutate.h"
#include "hostile.h"

/* --- scribbling ------------------------------------------------------------------------------- */

static void scribble_word(pair *p, size_t word, uint64_t value)
{
    enemy e;
    stg_call more = {.end_ns = p->call.end_ns, .dst = 1, .status = 500};
    enemy_open(&e, p, p->call.end_ns);
    honest_push(p, 2);
    e.words[word] = value;
    ck_assert_int_eq(stg_ingest_poll(p->in), STG_OK);
    stg_lane_push(e.lane, &more, 1); /* its writer goes on, and overwrites its tail */
    honest_push(p, 1);
    e.words[word] = ~value;
    honest_close(p, 3);
    stats_of(p->in);
    enemy_close(&e, p);
}

START_TEST(every_word_of_a_lane)
{
    pair p;
    stg__rng rng;
    const size_t page = STG__LANE_PAGE / 8;
    const size_t used = 24; /* words of the page that mean something */
    stg__rng_init(&rng, 11, 0);
    pair_open(&p);
    for (size_t word = 0; word < page + 40 * 8; word += word == used ? page - used : 1) {
        scribble_word(&p, word, 0);
        scribble_word(&p, word, UINT64_MAX);
        scribble_word(&p, word, (uint64_t)stg__rng_u32(&rng) << 32 | stg__rng_u32(&rng));
    }
    for (size_t word = page + 40 * 8; word < (STG__LANE_PAGE + 256 * 64) / 8; word += 5)
        scribble_word(&p, word, stg__rng_u32(&rng)); /* slots that nobody has written yet */
    const stg_ingest_stats s = stats_of(p.in);
    ck_assert_uint_eq(s.lanes, 1); /* all of them were let go */
    ck_assert_uint_ge(s.windowed, p.pushed);
    ck_assert_uint_gt(s.malformed, 100);
    ck_assert_uint_le(s.nodes, 33);
    pair_close(&p);
}
END_TEST

/* Never returns. Mostly the counters and the kinds of slots, so that it matters. */
static void scribble_for_ever(enemy *e)
{
    stg__rng rng;
    stg__rng_init(&rng, 5, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    volatile uint8_t *bytes = (volatile uint8_t *)e->words;
    for (;;) {
        const uint32_t x = stg__rng_u32(&rng);
        const uint32_t slot = x >> 8 & 255;
        switch (x & 7) {
        case 0: /* many slots published, of those that are there and of those that are not */
            atomic_store(&e->page->tail, atomic_load(&e->page->head) + (x >> 8) % 300);
            break;
        case 1: /* any counter, but not that the lane is closed: it would be let go */
            if ((x >> 8) % 128 / 4 != (offsetof(stg__lane_page, closed) - 64) / 4)
                bytes[64 + (x >> 8) % 128] = (uint8_t)(x >> 24);
            break;
        case 2:
        case 3:
            bytes[STG__LANE_PAGE + slot * 64 + 63] = (uint8_t)(x >> 16) % 4;
            break;
        case 4: /* times of the windows that are open */
            e->slots[slot].call.end_ns = T0 + (x >> 16) * W;
            break;
        default:
            bytes[STG__LANE_PAGE + (x >> 8) % (256 * 64)] = (uint8_t)(x >> 24);
        }
    }
}

START_TEST(scribbling_while_it_is_read)
{
    pair p;
    enemy e;
    int status;
    pair_open(&p);
    enemy_open(&e, &p, T0);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        scribble_for_ever(&e);
    const int windows = test_valgrind() ? 50 : 3000;
    for (int i = 0; i < windows; i++) {
        honest_push(&p, 2);
        ck_assert_int_eq(stg_ingest_poll(p.in), STG_OK);
        honest_push(&p, 3);
        honest_close(&p, 5);
        stats_of(p.in);
    }
    kill(pid, SIGKILL);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* it lived until now */
    ck_assert_uint_gt(stats_of(p.in).malformed, (uint64_t)windows / 100);
    enemy_close(&e, &p);
    pair_close(&p);
}
END_TEST

/* --- floods of names -------------------------------------------------------------------------- */

#define FLOOD 1000000u

/* A writer of its own making publishes a name and a call to it. */
static void raw_name(enemy *e, uint32_t number, uint64_t end_ns)
{
    const uint64_t tail = atomic_load(&e->page->tail);
    stg__slot *name = &e->slots[tail & 255];
    stg__slot *call = &e->slots[(tail + 1) & 255];
    memset(name, 0, sizeof *name);
    memset(call, 0, sizeof *call);
    name->name.kind = number & 1 ? STG_NODE : STG_ROUTE;
    name->name.id = 2 + number % 14; /* the same ids over and over */
    name->name.len = 8;
    snprintf(name->name.text, sizeof name->name.text, "n%07u", number);
    name->name.is = STG__SLOT_NAME;
    call->call = (stg_call){.end_ns = end_ns, .status = 200, .duration_us = 5};
    if (number & 1)
        call->call.dst = name->name.id;
    else
        call->call.route = name->name.id;
    atomic_store_explicit(&e->page->tail, tail + 2, memory_order_release);
}

START_TEST(a_million_names_in_one_lane)
{
    pair p;
    enemy e;
    size_t bytes = 0;
    const uint32_t flood = test_valgrind() ? FLOOD / 100 : FLOOD;
    pair_open(&p);
    enemy_open(&e, &p, T0);
    honest_push(&p, 1);
    honest_close(&p, 1);
    const stg_ingest_stats before = stats_of(p.in);
    for (uint32_t i = 0; i < flood; i++) {
        raw_name(&e, i, p.call.end_ns);
        if (i % 100 == 99)
            ck_assert_int_eq(stg_ingest_poll(p.in), STG_OK);
        if (i % (flood / 20) == flood / 20 - 1) {
            honest_push(&p, 7);
            honest_close(&p, 7);
        }
        if (i == flood / 2)
            bytes = p.memory.bytes;
    }
    const stg_ingest_stats s = stats_of(p.in);
    ck_assert_uint_eq(p.memory.bytes, bytes); /* nothing more than after half of it */
    ck_assert_uint_le(s.nodes, 33);
    ck_assert_uint_le(s.edges, 64 + 2 * 32 + 2);
    ck_assert_uint_eq(s.windowed - before.windowed, flood + 20 * 7);
    ck_assert_uint_eq(s.refused, before.refused);
    ck_assert_uint_eq(s.late + s.waiting, 0);
    /* The nodes of the tables are taken: 32 in all, with "external", two honest ones and "evil". */
    ck_assert_uint_eq(s.other_nodes, flood / 2 - 28);
    /* Routes: 16, with that of `evil`; then those of edges that have no place. */
    ck_assert_uint_ge(s.other_edges, flood / 2 - 15);
    enemy_close(&e, &p);
    pair_close(&p);
}
END_TEST

/* Names that a lane itself gives out are limited; many lanes are too. */
START_TEST(a_million_names_in_many_lanes)
{
    pair p;
    char name[16];
    size_t bytes = 0;
    const uint32_t lanes = test_valgrind() ? 12 : 100;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 512, .names = 10000};
    uint64_t calls = 0;
    pair_open(&p);
    for (uint32_t l = 0; l < lanes; l++) {
        stg_lane *lane;
        uint32_t id;
        stg_call c = {.end_ns = p.call.end_ns, .status = 200};
        ck_assert_int_eq(stg_lane_open(&lane, p.in, &opts), STG_OK);
        for (uint32_t i = 0; i < 10000; i++) {
            const int len = snprintf(name, sizeof name, "n%u-%u", l, i);
            int32_t status = stg_lane_intern(lane, i & 1, name, (size_t)len, &id);
            ck_assert_int_eq(status, i & 1 ? STG_E_INVALID : STG_OK); /* an edge has no name */
            if (i & 1)
                status = stg_lane_intern(lane, STG_ROUTE, name, (size_t)len, &id);
            ck_assert_int_eq(status, STG_OK);
            c.dst = i & 1 ? 1 : id;
            c.route = i & 1 ? id : 0;
            ck_assert_uint_eq(stg_lane_push(lane, &c, 1), 1);
            calls++;
            if (i % 200 == 199)
                ck_assert_int_eq(stg_ingest_poll(p.in), STG_OK);
        }
        ck_assert_int_eq(stg_lane_intern(lane, STG_NODE, "one more", 8, &id), STG_E_LIMIT);
        stg_lane_close(lane);
        honest_push(&p, 4);
        honest_close(&p, 4);
        if (l == 9) /* what is kept for later lanes is there by then */
            bytes = p.memory.bytes;
    }
    const stg_ingest_stats s = stats_of(p.in);
    ck_assert_uint_eq(p.memory.bytes, bytes);
    ck_assert_uint_eq(s.windowed, calls + 4 * lanes);
    ck_assert_uint_eq(s.refused + s.late + s.waiting + s.malformed, 0);
    ck_assert_uint_eq(s.lanes, 1);
    ck_assert_uint_ge(s.other_nodes, calls / 2 - 29);
    pair_close(&p);
}
END_TEST

/* --- names ------------------------------------------------------------------------------------ */

static const struct {
    const char *text;
    size_t len;
} odd_names[] = {
    {"</script><b>", 12}, {"a\0b", 3}, {"\xff\xfe\x80", 3}, {"\"\\\n\r\t", 5}, {"\xed\xa0\x80", 3},
    {"\xf4\x90\x80\x80", 4}, {"\0", 1}, {"\xc3", 1}, {"\xe2\x80\xa8", 3}, {"%s%n", 4},
    {"\x7f\x1b[31m", 6}, {"\xf0\x9f\x98\x80", 4},
    {"a", 1}, /* what the second one would be if it ended at its NUL */
};
#define ODD (sizeof odd_names / sizeof *odd_names)

static char *exported(const stg_graph *g, uint32_t format, size_t *len)
{
    size_t need = 0;
    ck_assert_int_eq(stg_graph_export(g, format, NULL, 0, &need), STG_MORE);
    char *text = (char *)malloc(need);
    ck_assert_ptr_nonnull(text);
    ck_assert_int_eq(stg_graph_export(g, format, text, need, len), STG_OK);
    return text;
}

START_TEST(names_of_any_bytes)
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    stg_ingest *in;
    stg_lane *lane;
    const stg_graph *g;
    char longest[STG_NAME_MAX];
    size_t len;
    const stg_lane_opts opts = {.size = sizeof opts, .records = 4096};
    stg_call c = {.end_ns = T0 + 1, .status = 200};
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, in, &opts), STG_OK);
    for (uint32_t byte = 0; byte < 256; byte++) { /* each alone, and as a name of full length */
        const char one = (char)byte;
        memset(longest, (int)byte, sizeof longest);
        c.src = intern(lane, STG_NODE, &one, 1);
        c.dst = intern(lane, STG_NODE, longest, sizeof longest);
        c.route = intern(lane, STG_ROUTE, longest, byte + (byte == 0));
        ck_assert_uint_eq(stg_lane_push(lane, &c, 1), 1);
        ck_assert_int_eq(stg_ingest_poll(in), STG_OK);
    }
    ck_assert_int_eq(stg_ingest_close(in, T0 + W, &g), STG_OK);
    stg_graph_info info = {.size = sizeof info};
    ck_assert_int_eq(stg_graph_get_info(g, &info), STG_OK);
    ck_assert_uint_eq(info.nodes, 1 + 512);
    ck_assert_uint_eq(info.edges, 256);
    for (uint32_t byte = 0; byte < 256; byte++) {
        const char one = (char)byte;
        memset(longest, (int)byte, sizeof longest);
        ck_assert_uint_lt(stg_graph_find(g, &one, 1), info.nodes);
        const uint32_t at = stg_graph_find(g, longest, sizeof longest);
        ck_assert_uint_lt(at, info.nodes);
        const char *name = stg_graph_name(g, STG_NODE, at, &len);
        ck_assert(len == sizeof longest && memcmp(name, longest, len) == 0);
    }
    char *text = exported(g, STG_FORMAT_JSON, &len);
    fuzz_json(text, len);
    ck_assert_ptr_null(strchr(text, '<')); /* safe within a page */
    free(text);
    text = exported(g, STG_FORMAT_DOT, &len);
    ck_assert_uint_eq(strlen(text), len);
    free(text);
    stg_unref(g);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* Services with odd names: clients call the first, each calls the next by a route with its name. */
typedef struct odd_world {
    stg_lane *lane;
    stg_ingest *in;
    stg__rng rng;
    uint32_t node[ODD];
    uint32_t route[ODD];
} odd_world;

static void odd_open(odd_world *w, stg_ingest *in)
{
    const stg_lane_opts opts = {.size = sizeof opts, .records = 8192};
    stg__rng_init(&w->rng, 3, 1);
    w->in = in;
    ck_assert_int_eq(stg_lane_open(&w->lane, in, &opts), STG_OK);
    for (size_t i = 0; i < ODD; i++) {
        w->node[i] = intern(w->lane, STG_NODE, odd_names[i].text, odd_names[i].len);
        w->route[i] = intern(w->lane, STG_ROUTE, odd_names[i].text, odd_names[i].len);
    }
}

static void odd_window(odd_world *w, uint64_t start, size_t flooded, double factor)
{
    for (size_t i = 0; i < ODD; i++) {
        const double mean = i == flooded ? 60 * factor : 60;
        const int n = (int)fmax(0, mean + sqrt(mean) * stg__rng_normal(&w->rng));
        for (int k = 0; k < n; k++) {
            const stg_call c = {.end_ns = start + (uint64_t)k * 1000 + 1, .status = 200,
                                .duration_us = 900 + (stg__rng_u32(&w->rng) & 255),
                                .src = i ? w->node[i - 1] : 0, .dst = w->node[i],
                                .route = w->route[i], .side = STG_SIDE_SERVER};
            ck_assert_uint_eq(stg_lane_push(w->lane, &c, 1), 1);
        }
        ck_assert_int_eq(stg_ingest_poll(w->in), STG_OK);
    }
}

/* The windows before T0, learnt; the bundle is written and read again, as a file is. */
static stg_bundle *odd_learn(stg_ctx *ctx)
{
    const stg_trainer_opts opts = {.size = sizeof opts, .kind = "persistence", .day_ns = 16 * W};
    stg_trainer *trainer;
    stg_detector *d;
    stg_ingest *in;
    stg_bundle *bundle;
    stg_error err;
    const stg_model *model;
    odd_world w;
    ck_assert_int_eq(stg_trainer_create(&trainer, ctx, &opts, &err), STG_OK);
    ck_assert_int_eq(stg_detector_create(&d, ctx, NULL, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_ingest_create(&in, ctx, NULL), STG_OK);
    odd_open(&w, in);
    for (uint64_t start = T0 - 80 * W; start < T0; start += W) {
        const stg_graph *g;
        odd_window(&w, start, 0, 1);
        ck_assert_int_eq(stg_ingest_close(in, start + W, &g), STG_OK);
        ck_assert_int_eq(stg_trainer_add(trainer, g), STG_OK);
        ck_assert_int_eq(stg_detector_learn(d, g, NULL), STG_OK);
        stg_unref(g);
    }
    stg_lane_close(w.lane);
    stg_ingest_destroy(in);
    ck_assert_int_eq(stg_trainer_run(trainer, &model, &err), STG_OK);
    ck_assert_int_eq(stg_detector_fit(d, &err), STG_OK);
    ck_assert_int_eq(stg_bundle_open(&bundle, ctx, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_model_store(model, bundle), STG_OK);
    ck_assert_int_eq(stg_detector_store(d, bundle), STG_OK);
    stg_unref(model);
    stg_detector_destroy(d);
    stg_trainer_destroy(trainer);
    size_t len = 0;
    ck_assert_int_eq(stg_bundle_serialize(bundle, NULL, 0, &len), STG_MORE);
    uint8_t *bytes = (uint8_t *)malloc(len);
    ck_assert_int_eq(stg_bundle_serialize(bundle, bytes, len, &len), STG_OK);
    stg_bundle_destroy(bundle);
    ck_assert_int_eq(stg_bundle_parse(&bundle, ctx, bytes, len, &err), STG_OK);
    free(bytes);
    return bundle;
}

/* The node "a" is no part of an incident, and no evidence: nothing has happened to it. */
static void not_another(stg_monitor *mon)
{
    const stg_report *r = (const stg_report *)stg_monitor_get(mon, STG_GET_REPORT);
    stg_incident_info inc = {.size = sizeof inc};
    stg_item item = {.size = sizeof item};
    for (uint32_t i = 0; stg_report_incident(r, i, &inc) == STG_OK; i++)
        for (uint32_t part = STG_ITEM_NODE; part <= STG_ITEM_EVIDENCE; part++)
            for (uint32_t k = 0; stg_report_item(r, i, part, k, &item) == STG_OK; k++) {
                if (part != STG_ITEM_CAUSE) /* a list of all that might be, with the unlikely ones */
                    ck_assert(strcmp(item.node, "a") != 0 && strcmp(item.dst, "a") != 0);
                ck_assert(item.node[0] || (item.src[0] && item.dst[0]));
            }
    stg_unref(r);
}

START_TEST(incidents_of_any_names) /* _i: the flooded one */
{
    static const char *const told[] = {"\\u003c/script>\\u003cb>", "\"a\\u001ab\""};
    static char text[STG__LINE_MAX];
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    stg_bundle *bundle = odd_learn(ctx);
    stg_monitor *mon;
    stg_error err;
    odd_world w;
    int lines = 0;
    int named = 0;
    ck_assert_msg(stg_monitor_create(&mon, ctx, bundle, NULL, &err) == STG_OK, "%s", err.text);
    odd_open(&w, stg_monitor_ingest(mon));
    for (uint64_t i = 0; i < 40; i++) {
        size_t len;
        odd_window(&w, T0 + i * W, (size_t)_i, i < 20 ? 1 : 12);
        ck_assert_int_eq(stg_monitor_tick(mon, T0 + (i + 1) * W, &err), STG_OK);
        while (stg_monitor_event(mon, text, sizeof text, &len) == STG_OK) {
            fuzz_json(text, len);
            ck_assert_ptr_null(strchr(text, '<'));
            lines++;
            named += strstr(text, told[_i]) != NULL;
        }
        not_another(mon);
    }
    ck_assert_int_gt(lines, 0);
    ck_assert_int_eq(named, lines); /* the flooded one has its name in all of them */
    stg_lane_close(w.lane);
    stg_monitor_destroy(mon);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* --- clocks ----------------------------------------------------------------------------------- */

static void push_at(stg_lane *lane, uint64_t end_ns)
{
    const stg_call c = {.end_ns = end_ns, .status = 200};
    ck_assert_uint_eq(stg_lane_push(lane, &c, 1), 1);
}

START_TEST(clocks_of_calls)
{
    pair p;
    const uint64_t hour = 3600 * S;
    pair_open(&p); /* T0 is closed, ahead is an hour */
    push_at(p.honest, 0);
    push_at(p.honest, T0 - hour);
    push_at(p.honest, T0 - 1);
    push_at(p.honest, T0);                       /* in the open window */
    push_at(p.honest, T0 + 2 * W - 1);           /* in the one after it */
    push_at(p.honest, T0 + W + hour + 1);        /* ahead of the closing window's end by too much */
    push_at(p.honest, UINT64_MAX);
    const stg_gauge future = {.time_ns = UINT64_MAX, .open = 3};
    const stg_gauge past = {.time_ns = 0, .open = 4};
    ck_assert_int_eq(stg_lane_gauge(p.honest, &future), STG_OK);
    ck_assert_int_eq(stg_lane_gauge(p.honest, &past), STG_OK);
    ck_assert_int_eq(stg_ingest_poll(p.in), STG_OK);
    stg_ingest_stats s = stats_of(p.in);
    ck_assert_uint_eq(s.late, 3);
    ck_assert_uint_eq(s.windowed, 2);
    ck_assert_uint_eq(s.refused, 2);
    ck_assert_uint_eq(s.malformed, 1); /* the gauge of the end of time */
    ck_assert_uint_eq(s.gauges, 1);
    push_at(p.honest, T0 + hour);      /* waits, and all behind it */
    push_at(p.honest, T0 + 1);
    ck_assert_int_eq(stg_ingest_poll(p.in), STG_OK);
    ck_assert_uint_eq(stats_of(p.in).waiting, 2);
    ck_assert_int_eq(stg_ingest_close(p.in, T0 + W, NULL), STG_OK);
    ck_assert_int_eq(stg_ingest_close(p.in, T0 + W, NULL), STG_E_TIME);
    ck_assert_int_eq(stg_ingest_close(p.in, 0, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_ingest_close(p.in, T0 + 2 * W + 1, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg_ingest_close(p.in, UINT64_MAX / W * W, NULL), STG_OK); /* the last there is */
    ck_assert_int_eq(stg_ingest_close(p.in, UINT64_MAX / W * W, NULL), STG_E_TIME);
    s = stats_of(p.in);
    ck_assert_uint_eq(s.waiting, 0);
    /* The window after the first closed one was skipped: its call is late, and so are those behind. */
    ck_assert_uint_eq(s.windowed, 1);
    ck_assert_uint_eq(s.late, 3 + 1 + 2);
    ck_assert_uint_eq(s.pushed, 9);
    pair_close(&p);
}
END_TEST

static stg_bundle *base_parse(stg_ctx *ctx, uint32_t kind)
{
    const base_file *f = base_bundle(kind);
    stg_bundle *bundle;
    stg_error err;
    ck_assert_int_eq(stg_bundle_parse(&bundle, ctx, f->bytes, f->len, &err), STG_OK);
    return bundle;
}

START_TEST(ticks_that_skip)
{
    static const uint64_t jumps[] = {1, 2, 11, 4, 1000001, 1, 2};
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    stg_bundle *bundle = base_parse(ctx, 2);
    stg_monitor *mon;
    stg_lane *lane;
    stg_error err;
    uint64_t end = T0;
    uint64_t calls = 0;
    ck_assert_int_eq(stg_monitor_create(&mon, ctx, bundle, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_lane_open(&lane, stg_monitor_ingest(mon), NULL), STG_OK);
    ck_assert_int_eq(stg_monitor_tick(mon, end, &err), STG_OK);
    for (size_t i = 0; i < sizeof jumps / sizeof *jumps; i++) {
        end += jumps[i] * W;
        push_at(lane, end - 1);
        calls++;
        ck_assert_int_eq(stg_monitor_tick(mon, end, &err), STG_OK);
        ck_assert_int_eq(stg_monitor_tick(mon, end, &err), STG_E_TIME);
        ck_assert_int_eq(stg_monitor_tick(mon, end - W, &err), STG_E_TIME);
        ck_assert_int_eq(stg_monitor_tick(mon, end + 1, &err), STG_E_INVALID);
        const stg_forecast *next = (const stg_forecast *)stg_monitor_get(mon, STG_GET_NEXT);
        const stg_forecast *judge = (const stg_forecast *)stg_monitor_get(mon, STG_GET_FORECAST);
        stg_forecast_info info = {.size = sizeof info};
        ck_assert_int_eq(stg_forecast_get_info(next, &info), STG_OK);
        ck_assert_uint_eq(info.start_ns, end);
        line_forecast(next);
        ck_assert_int_eq(judge != NULL, jumps[i] <= 3); /* the model looks three windows ahead */
        stg_unref(judge);
        stg_unref(next);
    }
    const stg_ingest_stats s = stats_of(stg_monitor_ingest(mon));
    ck_assert_uint_eq(s.windowed, calls);
    ck_assert_uint_eq(s.late + s.refused + s.waiting + s.malformed, 0);
    ck_assert_int_eq(stg_monitor_tick(mon, UINT64_MAX / W * W, &err), STG_OK);
    stg_lane_close(lane);
    stg_monitor_destroy(mon);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(memory.live, 0);
}
END_TEST

/* --- numbers ---------------------------------------------------------------------------------- */

typedef struct rooms {
    fuzz_memory memory;
    stg_ctx *ctx;
    const stg_model *model;
    stg_session *s;
    stg_detector *d;
    stg_planner *p;
    stg__events events;
    base_world w;
    const stg_forecast *fc;
    uint64_t at;
} rooms;

static void rooms_open(rooms *r, uint32_t kind)
{
    stg_error err;
    memset(r, 0, sizeof *r);
    r->ctx = fuzz_ctx(&r->memory, 0);
    stg_bundle *bundle = base_parse(r->ctx, kind);
    ck_assert_int_eq(stg_model_load(&r->model, bundle, &err), STG_OK);
    ck_assert_int_eq(stg_session_create(&r->s, r->ctx, r->model, NULL), STG_OK);
    ck_assert_int_eq(stg_detector_create(&r->d, r->ctx, bundle, NULL, &err), STG_OK);
    ck_assert_int_eq(stg_planner_create(&r->p, r->ctx, NULL), STG_OK);
    ck_assert_int_eq(base_open(&r->w, r->ctx, kind), STG_OK);
    stg__events_init(&r->events, r->ctx, 64);
    stg_bundle_destroy(bundle);
    r->at = BASE_FIRST;
}

static void rooms_close(rooms *r)
{
    stg_unref(r->fc);
    stg__events_fini(&r->events);
    stg_graph_builder_destroy(r->w.b);
    stg_planner_destroy(r->p);
    stg_detector_destroy(r->d);
    stg_session_destroy(r->s);
    stg_unref(r->model);
    stg_ctx_destroy(r->ctx);
    ck_assert_uint_eq(r->memory.live, 0);
}

/* The window that was filled goes through all rooms; every status is ok. */
static void rooms_take(rooms *r)
{
    const stg_graph *g;
    const stg_report *report;
    const stg_plan *plan;
    stg_report_info info = {.size = sizeof info};
    ck_assert_int_eq(stg_graph_builder_finish(r->w.b, &g), STG_OK);
    ck_assert_int_eq(stg_detector_score(r->d, g, r->fc, &report), STG_OK);
    ck_assert_int_eq(stg_report_get_info(report, &info), STG_OK);
    ck_assert_int_eq(stg_session_step(r->s, g, info.mask), STG_OK);
    stg_unref(r->fc);
    ck_assert_int_eq(stg_session_forecast(r->s, 3, &r->fc), STG_OK);
    ck_assert_int_eq(stg_planner_plan(r->p, g, report, r->fc, &plan), STG_OK);
    line_forecast(r->fc);
    line_report(report, g);
    line_plan(plan, g);
    line_events(&r->events, report, plan);
    stg_unref(plan);
    stg_unref(report);
    stg_unref(g);
    r->at++;
}

/* The nodes that training knew have calls forecast. */
static void rooms_know(const rooms *r)
{
    for (uint32_t step = 0; step < 3; step++) {
        const double *mean = stg_forecast_mean(r->fc, STG_NODE, "calls", 5, step);
        for (uint32_t i = 0; i < BASE_NODES; i++)
            ck_assert(isfinite(mean[i]));
    }
}

/* Never as many unknown ones in a row as the models look back. */
static const double evil[] = {NAN, -1, INFINITY, -1e300, -INFINITY, 1e308, 4.9e-324, 1e26};

static void spoil(rooms *r, uint32_t kind, size_t column, double value)
{
    for (uint32_t i = 0; i < BASE_NODES; i++) /* as many edges as nodes */
        ck_assert_int_eq(stg_graph_builder_set(r->w.b, kind, i, r->w.column[kind][column], value), STG_OK);
}

START_TEST(numbers_that_are_none) /* _i: kind of model */
{
    rooms r;
    rooms_open(&r, (uint32_t)_i);
    for (uint32_t kind = STG_NODE; kind <= STG_EDGE; kind++) {
        const size_t columns = kind == STG_NODE ? BASE_NODE_COLUMNS : BASE_EDGE_COLUMNS;
        for (size_t c = 0; c < columns; c++)
            for (size_t v = 0; v < sizeof evil / sizeof *evil; v++) {
                ck_assert_int_eq(base_fill(&r.w, r.at, 1), STG_OK);
                spoil(&r, kind, c, evil[v]);
                rooms_take(&r);
                if (r.at > BASE_FIRST + 1)
                    rooms_know(&r);
            }
    }
    for (size_t v = 0; v < sizeof evil / sizeof *evil; v++) { /* everything at once */
        ck_assert_int_eq(base_fill(&r.w, r.at, 1), STG_OK);
        for (uint32_t kind = STG_NODE; kind <= STG_EDGE; kind++)
            for (size_t c = 0; c < (kind == STG_NODE ? BASE_NODE_COLUMNS : BASE_EDGE_COLUMNS); c++)
                spoil(&r, kind, c, evil[v]);
        rooms_take(&r);
    }
    for (int i = 0; i < 4; i++) { /* and the world goes on */
        ck_assert_int_eq(base_fill(&r.w, r.at, 1), STG_OK);
        rooms_take(&r);
    }
    rooms_know(&r);
    rooms_close(&r);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("hostile");
    TCase *tcase = tcase_create("hostile");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, every_word_of_a_lane);
    tcase_add_test(tcase, scribbling_while_it_is_read);
    tcase_add_test(tcase, a_million_names_in_one_lane);
    tcase_add_test(tcase, a_million_names_in_many_lanes);
    tcase_add_test(tcase, names_of_any_bytes);
    tcase_add_loop_test(tcase, incidents_of_any_names, 0, 2);
    tcase_add_test(tcase, clocks_of_calls);
    tcase_add_test(tcase, ticks_that_skip);
    tcase_add_loop_test(tcase, numbers_that_are_none, 0, BASE_KINDS);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
