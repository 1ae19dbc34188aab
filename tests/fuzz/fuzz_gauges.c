/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gauges from hostile producers, on two roads: JSON lines through a reader (a JSON line is an order
 * here too), and records with any bytes in them straight into a lane; windows close in between,
 * clocks jump, producers die and come back, lanes close. The ledger adds up after every order, and
 * what a graph says of gauges is known and not below zero, or not known.
 */
#include <stgraph/telemetry.h>

#include "fuzz_input.h"

#define WINDOW UINT64_C(1000000)
#define LANES 2u

typedef struct target {
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane[LANES];
    stg_reader *reader[LANES];
    uint64_t end; /* of the window that closes next */
    uint64_t told; /* gauges that lanes took */
} target;

static void open_lane(target *t, uint32_t which)
{
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256, .names = 16};
    stg_error err;
    FUZZ_CHECK(stg_lane_open(&t->lane[which], t->in, &opts) == STG_OK);
    FUZZ_CHECK(stg_reader_create(&t->reader[which], t->ctx, t->lane[which], "jsonl", &err) == STG_OK);
}

static void close_lane(target *t, uint32_t which)
{
    stg_reader_destroy(t->reader[which]);
    stg_lane_close(t->lane[which]);
}

static void push(target *t, uint32_t which, const stg_gauge *gauge)
{
    const int32_t status = stg_lane_gauge(t->lane[which], gauge);
    FUZZ_CHECK(status == STG_OK || status == STG_AGAIN);
    t->told += status == STG_OK;
}

static uint64_t moment(const target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    switch (how & 7) {
    case 0: /* any time at all */
        return fuzz_u64(in);
    case 1:
        return how & 8 ? UINT64_MAX : 0;
    case 2: /* around the horizon of what is refused */
        return t->end + UINT64_C(3600000000000) + (how >> 3) * WINDOW;
    default: /* eight windows back to eight ahead */
        return t->end + (how >> 3) * (WINDOW / 2) - 8 * WINDOW;
    }
}

static void order_gauge(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    stg_gauge gauge;
    memset(&gauge, how & 8 ? how : 0, sizeof gauge);
    gauge.time_ns = moment(t, in);
    gauge.node = how % 8 == 7 ? UINT32_MAX : how % 8;
    gauge.producer = fuzz_u8(in) % 48; /* more than there is room for at first */
    uint32_t *const fields[] = {&gauge.open, &gauge.waiting_headers, &gauge.active, &gauge.idle,
                                &gauge.in_flight, &gauge.oldest_conn_ms, &gauge.oldest_header_ms};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (how & 16)
            *fields[i] = fuzz_u8(in) * 0x01010101u;
    for (uint32_t n = how & 32 ? 40 : 1; n; n--) { /* many producers at once */
        push(t, how >> 7, &gauge);
        gauge.producer++;
    }
}

static void order_intern(target *t, fuzz_input *in)
{
    char name[FUZZ_NAME_ROOM] = {0};
    uint32_t id;
    const uint8_t how = fuzz_u8(in);
    const size_t len = fuzz_name(in, name);
    const int32_t status = stg_lane_intern(t->lane[how & 1], how & 2 ? STG_ROUTE : STG_NODE, name,
                                           len, &id);
    FUZZ_CHECK(status == STG_OK || status == STG_AGAIN || status == STG_E_LIMIT ||
               status == STG_E_INVALID);
}

static void take_lines(target *t, uint32_t which)
{
    stg_record rec[5];
    stg_error err;
    size_t n = 0;
    int32_t status;
    uint32_t stuck = 0; /* rounds without room for a name, for what is ahead waits in the ring */
    do {
        status = stg_reader_next(t->reader[which], rec, 5, &n, &err);
        FUZZ_CHECK(status == STG_OK || status == STG_AGAIN ||
                   ((status == STG_E_FORMAT || status == STG_E_LIMIT) && err.text[0]));
        for (size_t i = 0; i < n; i++) {
            if (rec[i].kind == STG_RECORD_GAUGE)
                push(t, which, &rec[i].u.gauge);
            else
                stg_lane_push(t->lane[which], &rec[i].u.call, 1);
        }
        if (status == STG_AGAIN)
            FUZZ_CHECK(stg_ingest_poll(t->in) == STG_OK);
        stuck = status == STG_AGAIN ? stuck + 1 : 0;
    } while ((status != STG_OK || n > 0) && stuck < 2); /* later windows make room */
}

/* A line made of members the reader knows, with values of the input. */
static void order_line(target *t, fuzz_input *in)
{
    static const char *const keys[] = {"node",           "producer",       "open",
                                       "waiting_headers", "active",         "idle",
                                       "in_flight",      "oldest_conn_ms", "oldest_header_ms",
                                       "time_ns",        "what",           "src"};
    static const char *const values[] = {"0",    "1",      "4294967295",           "4294967296", "-1",
                                         "null", "\"web\"", "18446744073709551615", "1e400",
                                         "2.9",  "[1,{}]", "\"\\u0000\\ud800\"",   "true",       "\"\""};
    char line[1200];
    const uint8_t how = fuzz_u8(in);
    size_t at = (size_t)snprintf(line, sizeof line, "{\"time_ns\":%llu,\"node\":\"web\"",
                                 (unsigned long long)moment(t, in));
    for (uint32_t i = how % 8; i; i--) {
        const uint8_t key = fuzz_u8(in);
        const uint8_t value = fuzz_u8(in);
        at += (size_t)snprintf(line + at, sizeof line - at, ",\"%s\":%s", keys[key % 12],
                               values[value % 14]);
    }
    at += (size_t)snprintf(line + at, sizeof line - at, "}\n");
    if (how & 16)
        line[fuzz_u8(in) % at] = (char)fuzz_u8(in);
    FUZZ_CHECK(stg_reader_feed(t->reader[how >> 7], line, at) == STG_OK);
    take_lines(t, how >> 7);
}

/* Bytes of the input as they are; what remains of them is taken by later lines. */
static void order_bytes(target *t, fuzz_input *in)
{
    char bytes[64];
    const uint8_t how = fuzz_u8(in);
    const size_t len = 1 + how % 63;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)fuzz_u8(in);
    FUZZ_CHECK(stg_reader_feed(t->reader[how >> 7], bytes, len) == STG_OK);
    take_lines(t, how >> 7);
}

static void read_graph(const stg_graph *g)
{
    static const char *const gauges[] = {"open", "waiting_headers", "active", "idle", "in_flight",
                                         "oldest_conn_ms", "oldest_header_ms"};
    stg_graph_info info = {.size = sizeof info};
    FUZZ_CHECK(stg_graph_get_info(g, &info) == STG_OK);
    FUZZ_CHECK(isnan(info.coverage) || (info.coverage >= 0 && info.coverage <= 1));
    for (size_t c = 0; c < sizeof gauges / sizeof *gauges; c++) {
        const double *v = stg_graph_column(g, STG_NODE, gauges[c], strlen(gauges[c]));
        for (uint32_t i = 0; v && i < info.nodes; i++)
            FUZZ_CHECK(isnan(v[i]) || (v[i] >= 0 && v[i] <= 4294967295.0 * (c < 5 ? 4096 : 1)));
    }
}

static void order_close(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    const stg_graph *g = NULL;
    const uint64_t end = how % 16 == 15 ? fuzz_u64(in) / WINDOW * WINDOW /* anywhere */
                                        : t->end + (how % 4) * WINDOW;
    const int32_t status = stg_ingest_close(t->in, end, how & 128 ? NULL : &g);
    const bool aligned = end != 0 && end % WINDOW == 0;
    FUZZ_CHECK(status == (!aligned ? STG_E_INVALID : end < t->end ? STG_E_TIME : STG_OK));
    if (g)
        read_graph(g);
    stg_unref(g);
    if (status != STG_OK)
        return;
    t->end = end <= UINT64_MAX - WINDOW ? end + WINDOW : UINT64_MAX;
}

static void order_lane(target *t, fuzz_input *in)
{
    const uint8_t how = fuzz_u8(in);
    if (how & 4) {
        stg_lane_beat(t->lane[how & 1], moment(t, in));
        return;
    }
    close_lane(t, how & 1); /* what it pushed is still read */
    open_lane(t, how & 1);
}

static void order_poll(target *t, fuzz_input *in)
{
    (void)in;
    FUZZ_CHECK(stg_ingest_poll(t->in) == STG_OK);
}

static void run(stg_ctx *ctx, fuzz_input in)
{
    static void (*const orders[])(target *, fuzz_input *) = {
        order_gauge, order_gauge, order_line, order_bytes, order_intern, order_close, order_poll,
        order_lane,
    };
    target t = {.ctx = ctx, .end = UINT64_C(1700000000000) * WINDOW};
    const stg_ingest_opts opts = {.size = sizeof opts, .window_ns = WINDOW, .max_nodes = 6,
                                  .max_edges = 8, .max_routes = 2, .max_lanes = 64,
                                  .gauge_ttl_ns = fuzz_u8(&in) * (WINDOW / 2)};
    FUZZ_CHECK(stg_ingest_create(&t.in, ctx, &opts) == STG_OK);
    for (uint32_t i = 0; i < LANES; i++)
        open_lane(&t, i);
    FUZZ_CHECK(stg_ingest_close(t.in, t.end - WINDOW, NULL) == STG_OK);
    for (int n = 0; in.left && n < 400; n++) {
        orders[fuzz_u8(&in) % (sizeof orders / sizeof *orders)](&t, &in);
        stg_ingest_stats s = {.size = sizeof s};
        FUZZ_CHECK(stg_ingest_get_stats(t.in, &s) == STG_OK);
        FUZZ_CHECK(s.pushed == s.windowed + s.late + s.refused + s.waiting);
        FUZZ_CHECK(s.gauges <= t.told);
        if (s.lanes > 48) /* lanes that wait for a far window pile up */
            break;
    }
    for (uint32_t i = 0; i < LANES; i++)
        close_lane(&t, i);
    stg_ingest_destroy(t.in);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_memory memory;
    stg_ctx *ctx = fuzz_ctx(&memory, 0);
    run(ctx, (fuzz_input){data, size});
    stg_ctx_destroy(ctx);
    FUZZ_CHECK(memory.live == 0);
    return 0;
}
