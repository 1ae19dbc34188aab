/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Format "jsonl": one object a line is a call or a gauge. Members are read into a plain row first,
 * in whatever order they come; names are interned and texts hashed only when the whole line was
 * right. Members mostly come in the order of the line before, which is tried first.
 */
#include <string.h>

#include "reader_priv.h"

enum { /* members; the order is that of the table */
    M_END_NS, M_SRC, M_DST, M_ROUTE, M_SIDE, M_STATUS, M_DURATION, M_FIRST_BYTE, M_CLIENT, M_GROUP,
    M_CONN, M_USER, M_BYTES_IN, M_BYTES_OUT, M_ATTEMPT, M_FLAGS, M_INJECTION,
    M_TIME_NS, M_PRODUCER, M_NODE, M_OPEN, M_WAITING, M_ACTIVE, M_IDLE, M_IN_FLIGHT,
    M_OLDEST_CONN, M_OLDEST_HEADER
};

enum { NUMBER, SATURATING, TEXT, EITHER, SIDE, FLAGS };

typedef struct member {
    const char *name;
    uint8_t len;
    uint8_t type;
    uint64_t max; /* of numbers */
} member;

#define MEMBER(name, type, max) {name, sizeof name - 1, type, max}
static const member members[STG__MEMBERS] = {
    MEMBER("end_ns", NUMBER, UINT64_MAX - 1),
    MEMBER("src", TEXT, 0),
    MEMBER("dst", TEXT, 0),
    MEMBER("route", TEXT, 0),
    MEMBER("side", SIDE, 0),
    MEMBER("status", NUMBER, UINT16_MAX),
    MEMBER("duration_us", SATURATING, UINT32_MAX),
    MEMBER("first_byte_us", SATURATING, UINT32_MAX),
    MEMBER("client", TEXT, 0),
    MEMBER("group", TEXT, 0),
    MEMBER("conn", NUMBER, UINT32_MAX),
    MEMBER("user", TEXT, 0),
    MEMBER("bytes_in", SATURATING, UINT32_MAX),
    MEMBER("bytes_out", SATURATING, UINT32_MAX),
    MEMBER("attempt", NUMBER, UINT8_MAX),
    MEMBER("flags", FLAGS, 0),
    MEMBER("injection", NUMBER, UINT8_MAX),
    MEMBER("time_ns", NUMBER, UINT64_MAX - 1),
    MEMBER("producer", EITHER, UINT64_MAX - 1),
    MEMBER("node", TEXT, 0),
    MEMBER("open", NUMBER, UINT32_MAX),
    MEMBER("waiting_headers", NUMBER, UINT32_MAX),
    MEMBER("active", NUMBER, UINT32_MAX),
    MEMBER("idle", NUMBER, UINT32_MAX),
    MEMBER("in_flight", NUMBER, UINT32_MAX),
    MEMBER("oldest_conn_ms", SATURATING, UINT32_MAX),
    MEMBER("oldest_header_ms", SATURATING, UINT32_MAX),
};

typedef struct fields { /* what a line says; a member not there is 0, or an empty text */
    uint32_t have;   /* bit of each member */
    uint64_t number[STG__MEMBERS];
    stg__piece text[STG__MEMBERS];
} fields;

static bool has(const fields *row, uint32_t m)
{
    return row->have >> m & 1;
}

static uint32_t member_of(stg_reader *r, uint32_t place, const stg__piece *key)
{
    if (place < STG__MEMBERS) {
        const member *m = &members[r->expect[place]];
        if (m->len == key->len && memcmp(m->name, key->at, key->len) == 0)
            return r->expect[place];
    }
    for (uint32_t i = 0; i < STG__MEMBERS; i++) {
        const member *m = &members[i];
        if (m->len != key->len || memcmp(m->name, key->at, key->len) != 0)
            continue;
        if (place < STG__MEMBERS)
            r->expect[place] = (uint8_t)i;
        return i;
    }
    return STG__MEMBERS;
}

static bool read_number(stg__scan *s, const member *m, uint64_t *value)
{
    bool negative;
    if (!stg__scan_number(s, value, &negative))
        return false;
    if (negative && *value)
        s->why = "a negative number";
    else if (*value > m->max && m->type != SATURATING)
        s->why = "a number too large";
    else if (*value > m->max)
        *value = m->max;
    return !s->why;
}

/* Place of the text in a list of names, or count. */
static uint32_t choice(const stg__piece *text, const char *const *names, uint32_t count)
{
    uint32_t i = 0;
    while (i < count && (strlen(names[i]) != text->len ||
                         memcmp(names[i], text->at, text->len) != 0))
        i++;
    return i;
}

static bool read_side(stg__scan *s, uint64_t *side)
{
    static const char *const names[] = {"client", "server", "proxy", "card"};
    stg__piece text;
    if (!stg__scan_string(s, &text))
        return false;
    *side = choice(&text, names, 4);
    if (*side == 4)
        s->why = "not client, server, proxy or card";
    return !s->why;
}

static bool read_flags(stg__scan *s, uint64_t *flags)
{
    static const char *const names[] = {"login", "login_failed", "register",
                                        "asset", "retry",        "timeout"};
    *flags = 0;
    if (!stg__scan_char(s, '['))
        s->why = "a list was expected";
    else if (stg__scan_char(s, ']'))
        return true;
    while (!s->why) {
        stg__piece text;
        if (!stg__scan_string(s, &text))
            return false;
        const uint32_t flag = choice(&text, names, 6);
        *flags |= UINT64_C(1) << flag;
        if (flag == 6)
            s->why = "an unknown flag";
        else if (stg__scan_char(s, ']'))
            return true;
        else if (!stg__scan_char(s, ','))
            s->why = "a comma or bracket is missing";
    }
    return false;
}

static bool read_value(stg__scan *s, fields *row, uint32_t m)
{
    row->have &= ~(1u << m); /* said twice: the last time counts */
    if (stg__scan_null(s))
        return true;
    row->have |= 1u << m;
    row->text[m].at = NULL;
    switch (members[m].type) {
    case NUMBER:
    case SATURATING:
        return read_number(s, &members[m], &row->number[m]);
    case SIDE:
        return read_side(s, &row->number[m]);
    case FLAGS:
        return read_flags(s, &row->number[m]);
    case EITHER:
        if (s->at < s->end && *s->at != '"')
            return read_number(s, &members[m], &row->number[m]);
        break;
    default:
        break;
    }
    return stg__scan_string(s, &row->text[m]);
}

/* Reads the whole object. *at: the member that was wrong, STG__MEMBERS for the object itself. */
static bool read_row(stg_reader *r, stg__scan *s, fields *row, uint32_t *at)
{
    *at = STG__MEMBERS;
    s->why = "an object was expected";
    if (!stg__scan_char(s, '{'))
        return false;
    s->why = NULL;
    bool more = !stg__scan_char(s, '}');
    for (uint32_t place = 0; more; place++) {
        stg__piece key;
        if (!stg__scan_string(s, &key))
            return false;
        *at = member_of(r, place, &key);
        if (!stg__scan_char(s, ':'))
            s->why = "a colon is missing";
        if (s->why || !(*at < STG__MEMBERS ? read_value(s, row, *at) : stg__scan_skip(s)))
            return false;
        *at = STG__MEMBERS;
        more = !stg__scan_char(s, '}');
        if (more && !stg__scan_char(s, ',')) {
            s->why = "a comma or bracket is missing";
            return false;
        }
    }
    stg__scan_space(s);
    if (s->at != s->end)
        s->why = "text behind the object";
    return !s->why;
}

/* --- records ---------------------------------------------------------------------------------- */

static uint64_t value_of(const fields *row, uint32_t m)
{
    return has(row, m) ? row->number[m] : 0;
}

static uint64_t hash_of(const stg_reader *r, const fields *row, uint32_t m)
{
    return has(row, m) && row->text[m].len
               ? stg_lane_hash(r->lane, row->text[m].at, row->text[m].len)
               : 0;
}

static int32_t intern(stg_reader *r, const fields *row, uint32_t m, uint32_t kind, uint32_t *id,
                      stg_error *err)
{
    const stg__piece *text = &row->text[m];
    if (text->len == 0 || text->len > STG_NAME_MAX)
        return stg__fail_line(err, STG_E_FORMAT, r->line, "%s: a name of %zu bytes, not 1 to %d",
                              members[m].name, text->len, STG_NAME_MAX);
    const int32_t status = stg__reader_intern(r, kind, *text, id);
    if (status < 0)
        return stg__fail_line(err, status, r->line, "%s: %s", members[m].name,
                              status == STG_E_LIMIT  ? "the lane's names are used up"
                              : status == STG_E_FORK ? "lane used in a child process"
                                                     : "out of memory");
    return status;
}

static int32_t make_call(stg_reader *r, const fields *row, stg_call *c, stg_error *err)
{
    *c = (stg_call){
        .end_ns = row->number[M_END_NS],
        .client = hash_of(r, row, M_CLIENT),
        .duration_us = (uint32_t)value_of(row, M_DURATION),
        .first_byte_us = (uint32_t)value_of(row, M_FIRST_BYTE),
        .conn = (uint32_t)value_of(row, M_CONN),
        .user = (uint32_t)hash_of(r, row, M_USER),
        .group = (uint32_t)hash_of(r, row, M_GROUP),
        .bytes_in = (uint32_t)value_of(row, M_BYTES_IN),
        .bytes_out = (uint32_t)value_of(row, M_BYTES_OUT),
        .status = (uint16_t)value_of(row, M_STATUS),
        .flags = (uint16_t)value_of(row, M_FLAGS),
        .side = (uint8_t)value_of(row, M_SIDE),
        .attempt = (uint8_t)value_of(row, M_ATTEMPT),
        .injection = (uint8_t)value_of(row, M_INJECTION),
    };
    if (!has(row, M_DST))
        return stg__fail_line(err, STG_E_FORMAT, r->line, "dst is missing");
    int32_t status = intern(r, row, M_DST, STG_NODE, &c->dst, err);
    if (status == STG_OK && has(row, M_SRC))
        status = intern(r, row, M_SRC, STG_NODE, &c->src, err);
    if (status == STG_OK && has(row, M_ROUTE) && row->text[M_ROUTE].len)
        status = intern(r, row, M_ROUTE, STG_ROUTE, &c->route, err);
    return status;
}

static uint32_t producer_of(const stg_reader *r, const fields *row)
{
    if (!has(row, M_PRODUCER))
        return 0;
    if (row->text[M_PRODUCER].at)
        return (uint32_t)stg_lane_hash(r->lane, row->text[M_PRODUCER].at,
                                       row->text[M_PRODUCER].len);
    const uint64_t number = row->number[M_PRODUCER];
    return (uint32_t)stg_lane_hash(r->lane, &number, sizeof number);
}

static int32_t make_gauge(stg_reader *r, const fields *row, stg_gauge *g, stg_error *err)
{
    *g = (stg_gauge){
        .time_ns = row->number[M_TIME_NS],
        .producer = producer_of(r, row),
        .open = (uint32_t)value_of(row, M_OPEN),
        .waiting_headers = (uint32_t)value_of(row, M_WAITING),
        .active = (uint32_t)value_of(row, M_ACTIVE),
        .idle = (uint32_t)value_of(row, M_IDLE),
        .in_flight = (uint32_t)value_of(row, M_IN_FLIGHT),
        .oldest_conn_ms = (uint32_t)value_of(row, M_OLDEST_CONN),
        .oldest_header_ms = (uint32_t)value_of(row, M_OLDEST_HEADER),
    };
    if (!has(row, M_NODE))
        return stg__fail_line(err, STG_E_FORMAT, r->line, "node is missing");
    return intern(r, row, M_NODE, STG_NODE, &g->node, err);
}

static int32_t scratch_for(stg_reader *r, const char *line, size_t len)
{
    if (len <= r->scratch_cap || !memchr(line, '\\', len))
        return STG_OK;
    size_t cap = r->scratch_cap ? r->scratch_cap : 4096;
    while (cap < len)
        cap *= 2;
    char *grown = (char *)stg__realloc(r->ctx, r->scratch, cap, 1);
    if (!grown)
        return STG_E_NOMEM;
    r->scratch = grown;
    r->scratch_cap = cap;
    return STG_OK;
}

int32_t stg__jsonl_line(stg_reader *r, const char *line, size_t len, stg_record *record,
                        stg_error *err)
{
    if (scratch_for(r, line, len) != STG_OK)
        return stg__fail_line(err, STG_E_NOMEM, r->line, "no memory for a line");
    stg__scan s = {.at = line, .end = line + len, .scratch = r->scratch};
    fields row;
    row.have = 0;
    uint32_t at;
    if (!read_row(r, &s, &row, &at)) {
        if (at < STG__MEMBERS)
            return stg__fail_line(err, STG_E_FORMAT, r->line, "%s: %s", members[at].name, s.why);
        return stg__fail_line(err, STG_E_FORMAT, r->line, "%s", s.why);
    }
    memset(record, 0, sizeof *record);
    record->line = r->line;
    if (has(&row, M_END_NS) == has(&row, M_TIME_NS))
        return stg__fail_line(err, STG_E_FORMAT, r->line, "%s end_ns (a call) %s time_ns (a gauge)",
                              has(&row, M_END_NS) ? "both" : "neither",
                              has(&row, M_END_NS) ? "and" : "nor");
    if (has(&row, M_END_NS)) {
        record->kind = STG_RECORD_CALL;
        return make_call(r, &row, &record->u.call, err);
    }
    record->kind = STG_RECORD_GAUGE;
    return make_gauge(r, &row, &record->u.gauge, err);
}
