/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of "jsonl": every member, cuts anywhere, escapes, what numbers may look like, bad lines
 * with line and reason, long lines, a full lane, no allocation once it is warm.
 */
#include <stgraph/ingest.h>
#include <stgraph/telemetry.h>

#include "scan_priv.h"
#include "test.h"

#define MIB ((size_t)1 << 20)

typedef struct fixture {
    stg_ctx *ctx;
    stg_ingest *in;
    stg_lane *lane;
    stg_reader *r;
} fixture;

static fixture setup(const stg_lane_opts *opts)
{
    fixture f = {.ctx = test_ctx(NULL)};
    stg_error err;
    ck_assert_int_eq(stg_ingest_create(&f.in, f.ctx, NULL), STG_OK);
    ck_assert_int_eq(stg_lane_open(&f.lane, f.in, opts), STG_OK);
    ck_assert_int_eq(stg_reader_create(&f.r, f.ctx, f.lane, "jsonl", &err), STG_OK);
    return f;
}

static void teardown(fixture *f)
{
    stg_reader_destroy(f->r);
    stg_lane_close(f->lane);
    stg_ingest_destroy(f->in);
    stg_ctx_destroy(f->ctx);
}

static void feed(fixture *f, const char *text)
{
    ck_assert_int_eq(stg_reader_feed(f->r, text, strlen(text)), STG_OK);
}

/* The next record, or the next error; kind 0: nothing. */
static int32_t next(fixture *f, stg_record *record, stg_error *err)
{
    size_t n;
    memset(record, 0, sizeof *record);
    memset(err, 0, sizeof *err);
    return stg_reader_next(f->r, record, 1, &n, err);
}

static uint32_t id_of(stg_lane *lane, uint32_t kind, const char *name, size_t len)
{
    uint32_t id;
    ck_assert_int_eq(stg_lane_intern(lane, kind, name, len, &id), STG_OK);
    return id;
}

static const char call_line[] =
    "{\"end_ns\":1764000000123456789,\"src\":\"edge\",\"dst\":\"search\",\"route\":\"GET /search\","
    "\"side\":\"client\",\"status\":200,\"duration_us\":1234,\"first_byte_us\":900,"
    "\"client\":\"127.20.3.4\",\"group\":\"127.20.3.0/24\",\"conn\":17,\"user\":\"u123\","
    "\"bytes_in\":312,\"bytes_out\":2048,\"attempt\":1,\"flags\":[\"login\",\"login_failed\"],"
    "\"injection\":1}\n";
static const char gauge_line[] =
    "{\"time_ns\":1764000000000000000,\"producer\":\"search-1\",\"node\":\"search\",\"open\":12,"
    "\"waiting_headers\":1,\"active\":3,\"idle\":9,\"in_flight\":4,\"oldest_conn_ms\":812,"
    "\"oldest_header_ms\":7}\n";

static void check_call(const fixture *f, const stg_record *rec)
{
    const stg_call *c = &rec->u.call;
    ck_assert_uint_eq(rec->kind, STG_RECORD_CALL);
    ck_assert_uint_eq(c->end_ns, 1764000000123456789u);
    ck_assert_uint_eq(c->src, id_of(f->lane, STG_NODE, "edge", 4));
    ck_assert_uint_eq(c->dst, id_of(f->lane, STG_NODE, "search", 6));
    ck_assert_uint_eq(c->route, id_of(f->lane, STG_ROUTE, "GET /search", 11));
    ck_assert_uint_eq(c->side, STG_SIDE_CLIENT);
    ck_assert_uint_eq(c->status, 200);
    ck_assert_uint_eq(c->duration_us, 1234);
    ck_assert_uint_eq(c->first_byte_us, 900);
    ck_assert_uint_eq(c->client, stg_lane_hash(f->lane, "127.20.3.4", 10));
    ck_assert_uint_eq(c->group, (uint32_t)stg_lane_hash(f->lane, "127.20.3.0/24", 13));
    ck_assert_uint_eq(c->user, (uint32_t)stg_lane_hash(f->lane, "u123", 4));
    ck_assert_uint_eq(c->conn, 17);
    ck_assert_uint_eq(c->bytes_in, 312);
    ck_assert_uint_eq(c->bytes_out, 2048);
    ck_assert_uint_eq(c->attempt, 1);
    ck_assert_uint_eq(c->flags, STG_CALL_LOGIN | STG_CALL_LOGIN_FAILED);
    ck_assert_uint_eq(c->injection, 1);
    ck_assert_uint_eq(c->reserved, 0);
}

static void check_gauge(const fixture *f, const stg_record *rec)
{
    const stg_gauge *g = &rec->u.gauge;
    ck_assert_uint_eq(rec->kind, STG_RECORD_GAUGE);
    ck_assert_uint_eq(g->time_ns, 1764000000000000000u);
    ck_assert_uint_eq(g->node, id_of(f->lane, STG_NODE, "search", 6));
    ck_assert_uint_eq(g->producer, (uint32_t)stg_lane_hash(f->lane, "search-1", 8));
    ck_assert_uint_eq(g->open, 12);
    ck_assert_uint_eq(g->waiting_headers, 1);
    ck_assert_uint_eq(g->active, 3);
    ck_assert_uint_eq(g->idle, 9);
    ck_assert_uint_eq(g->in_flight, 4);
    ck_assert_uint_eq(g->oldest_conn_ms, 812);
    ck_assert_uint_eq(g->oldest_header_ms, 7);
}

START_TEST(all_members_cut_anywhere)
{
    static const size_t steps[] = {1, 2, 3, 7, 64, 4096};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        fixture f = setup(NULL);
        char text[4096];
        const int len = snprintf(text, sizeof text, "\xef\xbb\xbf%s\r\n \t\n%s%s%.*s", call_line,
                                 gauge_line, call_line, (int)strlen(gauge_line) - 1, gauge_line);
        stg_record rec[8];
        size_t have = 0;
        for (size_t at = 0; at <= (size_t)len; at += steps[k]) {
            const size_t part = (size_t)len - at < steps[k] ? (size_t)len - at : steps[k];
            size_t n;
            ck_assert_int_eq(stg_reader_feed(f.r, text + at, part), STG_OK);
            ck_assert_int_eq(stg_reader_next(f.r, rec + have, 8 - have, &n, NULL), STG_OK);
            have += n;
        }
        if (have < 4) { /* the last line has no newline: it ends with the input */
            size_t n;
            ck_assert_int_eq(stg_reader_feed(f.r, NULL, 0), STG_OK);
            ck_assert_int_eq(stg_reader_next(f.r, rec + have, 8 - have, &n, NULL), STG_OK);
            have += n;
        }
        ck_assert_uint_eq(have, 4);
        check_call(&f, &rec[0]);
        check_gauge(&f, &rec[1]);
        check_call(&f, &rec[2]);
        check_gauge(&f, &rec[3]);
        ck_assert_uint_eq(rec[0].line, 1);
        ck_assert_uint_eq(rec[1].line, 4);
        ck_assert_uint_eq(rec[3].line, 6);
        teardown(&f);
    }
}
END_TEST

START_TEST(little_is_needed)
{
    fixture f = setup(NULL);
    stg_record rec;
    stg_error err;
    feed(&f, "{\"end_ns\":5,\"dst\":\"web\"}\n"
             "{\"dst\":\"web\",\"src\":null,\"route\":\"\",\"client\":null,\"end_ns\":1,\"end_ns\":6,"
             "\"extra\":{\"a\":[1,-2.5e3,{\"b\":\"}\\\"\"},[],{}],\"c\":true},\"flags\":[],"
             "\"side\":\"card\"}\n"
             "{\"time_ns\":7,\"node\":\"external\",\"producer\":12}\n");
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    ck_assert_uint_eq(rec.u.call.end_ns, 5);
    ck_assert_uint_eq(rec.u.call.src, 0);
    ck_assert_uint_eq(rec.u.call.route, 0);
    ck_assert_uint_eq(rec.u.call.client, 0);
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    ck_assert_uint_eq(rec.u.call.end_ns, 6);
    ck_assert_uint_eq(rec.u.call.side, STG_SIDE_CARD);
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    ck_assert_uint_eq(rec.kind, STG_RECORD_GAUGE);
    ck_assert_uint_eq(rec.u.gauge.node, 0);
    ck_assert_uint_ne(rec.u.gauge.producer, 0);
    teardown(&f);
}
END_TEST

START_TEST(escapes)
{
    fixture f = setup(NULL);
    stg_record rec;
    stg_error err;
    feed(&f, "{\"end_ns\":1,\"d\\u0073t\":\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00"
             "\\u0000z\",\"src\":\"\\u0041\",\"route\":\"plain\"}\n");
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    static const char name[] = "a\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\0z";
    ck_assert_uint_eq(rec.u.call.dst, id_of(f.lane, STG_NODE, name, sizeof name - 1));
    ck_assert_uint_eq(rec.u.call.src, id_of(f.lane, STG_NODE, "A", 1));
    ck_assert_uint_eq(rec.u.call.route, id_of(f.lane, STG_ROUTE, "plain", 5));
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    stg_ingest_stats s = {.size = sizeof s};
    stg_ingest_get_stats(f.in, &s);
    ck_assert_uint_eq(s.nodes, 3);
    teardown(&f);
}
END_TEST

START_TEST(numbers)
{
    static const struct {
        const char *text;
        uint64_t value;
        bool negative;
        bool good;
    } known[] = {
        {"0", 0, false, true},           {"-0", 0, true, true},
        {"7", 7, false, true},           {"12.999", 12, false, true},
        {"1.25e2", 125, false, true},    {"1.25E+1", 12, false, true},
        {"1250e-1", 125, false, true},   {"1e-400000000000", 0, false, true},
        {"0e999999999999", 0, false, true}, {"0.000e10", 0, false, true},
        {"0.0012e5", 120, false, true},  {"-3.7", 3, true, true},
        {"18446744073709551615", UINT64_MAX, false, true},
        {"18446744073709551614", UINT64_MAX - 1, false, true},
        {"18446744073709551616", UINT64_MAX, false, true},
        {"1e20", UINT64_MAX, false, true}, {"1e999999999999999", UINT64_MAX, false, true},
        {"184467440737095516149e-1", UINT64_MAX - 1, false, true},
        {"", 0, false, false},           {"-", 0, false, false},
        {"01", 0, false, false},         {".5", 0, false, false},
        {"1.", 0, false, false},         {"1e", 0, false, false},
        {"1e+", 0, false, false},        {"+1", 0, false, false},
        {"x", 0, false, false},          {"\"1\"", 0, false, false},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        stg__scan s = {.at = known[i].text, .end = known[i].text + strlen(known[i].text)};
        uint64_t value = 99;
        bool negative;
        ck_assert_msg(stg__scan_number(&s, &value, &negative) == known[i].good, "%s",
                      known[i].text);
        if (!known[i].good) {
            ck_assert_ptr_nonnull(s.why);
            continue;
        }
        ck_assert_msg(value == known[i].value, "%s is %lu", known[i].text, (unsigned long)value);
        ck_assert_msg(negative == known[i].negative, "%s", known[i].text);
        ck_assert_ptr_eq(s.at, s.end);
    }
}
END_TEST

START_TEST(ranges)
{
    fixture f = setup(NULL);
    stg_record rec;
    stg_error err;
    feed(&f, "{\"end_ns\":18446744073709551614,\"dst\":\"w\",\"duration_us\":4294967296,"
             "\"bytes_in\":99999999999999999999999,\"bytes_out\":4294967295,\"status\":65535,"
             "\"attempt\":255.9,\"injection\":0,\"conn\":4294967295,\"first_byte_us\":1e30}\n");
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    ck_assert_uint_eq(rec.u.call.end_ns, UINT64_MAX - 1);
    ck_assert_uint_eq(rec.u.call.duration_us, UINT32_MAX);
    ck_assert_uint_eq(rec.u.call.first_byte_us, UINT32_MAX);
    ck_assert_uint_eq(rec.u.call.bytes_in, UINT32_MAX);
    ck_assert_uint_eq(rec.u.call.bytes_out, UINT32_MAX);
    ck_assert_uint_eq(rec.u.call.attempt, 255);
    teardown(&f);
}
END_TEST

/* Lines that are bad, and a word of the reason. */
static const char *const bad_lines[][2] = {
    {"x", "object"},
    {"[]", "object"},
    {"{", "string"},
    {"{}", "neither"},
    {"{\"dst\":\"a\"}", "neither"},
    {"{\"end_ns\":1,\"time_ns\":1,\"dst\":\"a\",\"node\":\"a\"}", "both"},
    {"{\"end_ns\":1}", "dst is missing"},
    {"{\"end_ns\":1,\"dst\":null}", "dst is missing"},
    {"{\"time_ns\":1}", "node is missing"},
    {"{\"end_ns\":1,\"dst\":\"\"}", "dst: a name of 0 bytes"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"src\":\"\"}", "src: a name"},
    {"{\"end_ns\":-1,\"dst\":\"a\"}", "end_ns: a negative"},
    {"{\"end_ns\":18446744073709551615,\"dst\":\"a\"}", "end_ns: a number too large"},
    {"{\"end_ns\":\"1\",\"dst\":\"a\"}", "end_ns: a number was"},
    {"{\"end_ns\":true,\"dst\":\"a\"}", "end_ns: a number was"},
    {"{\"end_ns\":1,\"dst\":1}", "dst: a string was"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"status\":65536}", "status: a number too"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"attempt\":256}", "attempt: a number too"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"injection\":256}", "injection"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"conn\":4294967296}", "conn"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"side\":\"other\"}", "side: not"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"flags\":\"login\"}", "flags: a list"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"flags\":[\"x\"]}", "flags: an unknown"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"flags\":[\"login\"", "flags: a comma"},
    {"{\"end_ns\":1,\"dst\":\"a\",\"flags\":[\"login\",]}", "flags: a string"},
    {"{\"end_ns\":1,\"dst\":\"a\"", "comma"},
    {"{\"end_ns\":1,\"dst\":\"a\"},", "behind"},
    {"{\"end_ns\":1,\"dst\":\"a\",}", "string"},
    {"{\"end_ns\" 1}", "colon"},
    {"{\"end_ns\":1,\"dst\":\"a\\x\"}", "dst: an unknown escape"},
    {"{\"end_ns\":1,\"dst\":\"\\ud800\"}", "surrogate"},
    {"{\"end_ns\":1,\"dst\":\"\\ud800\\u0041\"}", "surrogate"},
    {"{\"end_ns\":1,\"dst\":\"\\udc00\"}", "surrogate"},
    {"{\"end_ns\":1,\"dst\":\"\\u12g4\"}", "hexadecimal"},
    {"{\"end_ns\":1,\"dst\":\"\\u12", "end"},
    {"{\"end_ns\":1,\"dst\":\"a\\", "end"},
    {"{\"end_ns\":1,\"dst\":\"a", "end"},
    {"{\"end_ns\":1,\"dst\":\"a\tb\"}", "control"},
    {"{\"x\":[1,2}", "comma or bracket"},
    {"{\"x\":{\"a\"}}", "colon"},
    {"{\"x\":{1:2}}", "string"},
    {"{\"x\":[tru]}", "number"},
    {"{\"x\":", "missing"},
    {"{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}", "deeper"},
};

START_TEST(bad_lines_are_named_and_left_behind)
{
    fixture f = setup(NULL);
    stg_record rec[4];
    stg_error err;
    size_t n;
    const size_t count = sizeof bad_lines / sizeof *bad_lines;
    for (size_t i = 0; i < count; i++) {
        feed(&f, call_line);
        feed(&f, bad_lines[i][0]);
        feed(&f, "\n");
    }
    for (uint32_t i = 0; i < count; i++) {
        /* The record before it comes first. */
        ck_assert_int_eq(stg_reader_next(f.r, rec, 4, &n, &err), STG_OK);
        ck_assert_uint_eq(n, 1);
        check_call(&f, &rec[0]);
        ck_assert_int_eq(stg_reader_next(f.r, rec, 4, &n, &err), STG_E_FORMAT);
        ck_assert_uint_eq(n, 0);
        ck_assert_uint_eq(err.line, 2 * i + 2);
        ck_assert_int_eq(err.status, STG_E_FORMAT);
        ck_assert_msg(strstr(err.text, bad_lines[i][1]) != NULL, "%s: %s", bad_lines[i][0],
                      err.text);
    }
    ck_assert_int_eq(stg_reader_next(f.r, rec, 4, &n, &err), STG_OK);
    ck_assert_uint_eq(n, 0);
    teardown(&f);
}
END_TEST

START_TEST(depth_of_32_is_fine)
{
    fixture f = setup(NULL);
    stg_record rec;
    stg_error err;
    char line[256] = "{\"end_ns\":1,\"dst\":\"a\",\"x\":";
    for (int i = 0; i < 16; i++)
        strcat(line, "[{\"a\":");
    strcat(line, "1");
    for (int i = 0; i < 16; i++)
        strcat(line, "}]");
    strcat(line, "}\n");
    feed(&f, line);
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    ck_assert_uint_eq(rec.kind, STG_RECORD_CALL);
    teardown(&f);
}
END_TEST

START_TEST(long_lines)
{
    char *line = (char *)malloc(3 * MIB);
    static const char head[] = "{\"end_ns\":1,\"dst\":\"a\",\"x\":\"";
    static const size_t lengths[] = {MIB, MIB + 1, 5 * MIB / 2};
    for (size_t k = 0; k < 3; k++)
        for (size_t step = 1000; step <= 4 * MIB; step *= 4096) {
            fixture f = setup(NULL);
            stg_record rec;
            stg_error err;
            size_t good = 0;
            size_t bad = 0;
            memset(line, 'x', 3 * MIB);
            memcpy(line, head, sizeof head - 1);
            memcpy(line + lengths[k] - 2, "\"}\n", 3);
            const size_t len = lengths[k] + 1;
            memcpy(line + len, call_line, strlen(call_line));
            const size_t total = len + strlen(call_line);
            for (size_t at = 0; at < total; at += step) {
                ck_assert_int_eq(
                    stg_reader_feed(f.r, line + at, total - at < step ? total - at : step), STG_OK);
                for (int32_t status = STG_OK;;) {
                    status = next(&f, &rec, &err);
                    if (status == STG_E_FORMAT) {
                        bad++;
                        ck_assert_uint_eq(err.line, 1);
                        ck_assert_ptr_nonnull(strstr(err.text, "1 MiB"));
                    } else if (rec.kind) {
                        ck_assert_uint_eq(rec.line, good + bad + 1);
                        good++;
                    } else {
                        break;
                    }
                }
            }
            check_call(&f, (next(&f, &rec, &err), feed(&f, call_line), next(&f, &rec, &err), &rec));
            ck_assert_uint_eq(good, k == 0 ? 2 : 1);
            ck_assert_uint_eq(bad, k != 0);
            teardown(&f);
        }
    free(line);
}
END_TEST

START_TEST(full_lane_and_full_names)
{
    const stg_lane_opts opts = {.size = sizeof opts, .records = 256, .names = 16};
    fixture f = setup(&opts);
    stg_record rec;
    stg_error err;
    stg_call filler = {.end_ns = 1};
    while (stg_lane_push(f.lane, &filler, 1) == 1)
        ;
    feed(&f, call_line);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(next(&f, &rec, &err), STG_AGAIN);
    ck_assert_int_eq(stg_ingest_poll(f.in), STG_OK);
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK); /* the line was not lost */
    check_call(&f, &rec);
    for (int i = 0; i < 14; i++) {
        char line[64];
        snprintf(line, sizeof line, "{\"end_ns\":1,\"dst\":\"n%d\"}\n", i);
        feed(&f, line);
        ck_assert_int_eq(next(&f, &rec, &err), i < 13 ? STG_OK : STG_E_LIMIT);
    }
    ck_assert_uint_eq(err.line, 15);
    ck_assert_ptr_nonnull(strstr(err.text, "used up"));
    feed(&f, call_line);
    ck_assert_int_eq(next(&f, &rec, &err), STG_OK);
    check_call(&f, &rec);
    teardown(&f);
}
END_TEST

START_TEST(misuse)
{
    fixture f = setup(NULL);
    stg_reader *r;
    stg_error err;
    stg_record rec;
    size_t n;
    ck_assert_int_eq(stg_reader_create(&r, f.ctx, f.lane, "otlp", &err), STG_E_UNSUPPORTED);
    ck_assert_ptr_null(r);
    ck_assert_int_eq(stg_reader_create(&r, f.ctx, NULL, "jsonl", &err), STG_E_INVALID);
    ck_assert_int_eq(stg_reader_next(f.r, NULL, 1, &n, &err), STG_E_INVALID);
    ck_assert_int_eq(stg_reader_next(f.r, NULL, 0, &n, &err), STG_OK);
    ck_assert_int_eq(stg_reader_feed(f.r, NULL, 1), STG_E_INVALID);
    ck_assert_int_eq(stg_reader_feed(f.r, NULL, 0), STG_OK);
    ck_assert_int_eq(stg_reader_feed(f.r, "x", 1), STG_E_STATE);
    ck_assert_int_eq(stg_reader_next(f.r, &rec, 1, &n, &err), STG_OK);
    ck_assert_uint_eq(n, 0);
    stg_reader_destroy(NULL);
    teardown(&f);
}
END_TEST

/* --- memory ----------------------------------------------------------------------------------- */

static const char escaped[] = "{\"end_ns\":1,\"dst\":\"\\u0041\",\"x\":\"\\n\"}\n";

static int32_t read_some(stg_ctx *ctx, test_memory *m, bool steady)
{
    stg_ingest *in = NULL;
    stg_lane *lane = NULL;
    stg_reader *r = NULL;
    stg_record rec[16];
    stg_error err;
    size_t before = 0;
    size_t records = 0;
    int32_t status = stg_ingest_create(&in, ctx, NULL);
    if (status == STG_OK)
        status = stg_lane_open(&lane, in, NULL);
    if (status == STG_OK)
        status = stg_reader_create(&r, ctx, lane, "jsonl", &err);
    for (int round = 0; status == STG_OK && round < (steady ? 3000 : 3); round++) {
        size_t n = 1;
        status = stg_reader_feed(r, call_line, strlen(call_line));
        if (status == STG_OK)
            status = stg_reader_feed(r, escaped, sizeof escaped - 1);
        while (status == STG_OK && n) {
            status = stg_reader_next(r, rec, 16, &n, &err);
            records += n;
        }
        if (round == 1)
            before = m->requests;
    }
    if (steady) {
        ck_assert_uint_eq(m->requests, before);
        ck_assert_uint_eq(records, 6000);
    }
    if (status == STG_E_NOMEM && r) { /* with memory again nothing is lost */
        size_t n;
        m->fail_at = 0;
        ck_assert_int_eq(stg_reader_next(r, rec, 16, &n, &err), STG_OK);
    }
    stg_reader_destroy(r);
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    return status;
}

START_TEST(no_allocation_once_warm)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    ck_assert_int_eq(read_some(ctx, &m, true), STG_OK);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

START_TEST(every_allocation_may_fail)
{
    for (size_t n = 1;; n++) {
        test_memory m;
        test_memory_init(&m);
        stg_ctx *ctx = test_ctx(&m);
        m.requests = 0;
        m.fail_at = n;
        const int32_t status = read_some(ctx, &m, false);
        stg_ctx_destroy(ctx);
        ck_assert_uint_eq(m.live, 0);
        if (status == STG_OK) {
            ck_assert_uint_gt(n, 30);
            break;
        }
        ck_assert_int_eq(status, STG_E_NOMEM);
    }
}
END_TEST

TEST_SUITE("reader", all_members_cut_anywhere, little_is_needed, escapes, numbers, ranges,
           bad_lines_are_named_and_left_behind, depth_of_32_is_fine, long_lines,
           full_lane_and_full_names, misuse, no_allocation_once_warm, every_allocation_may_fail)
