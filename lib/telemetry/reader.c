/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in, records out: cuts the input into lines, hands each to the decoder of the format, and
 * goes on behind a line that was bad. Buffers grow to the longest need and then stay.
 */
#include <string.h>

#include "reader_priv.h"

#define MAX_WAITING ((size_t)256 << 20) /* bytes fed and not taken */

int32_t stg_reader_create(stg_reader **out, stg_ctx *ctx, stg_lane *lane, const char *format,
                          stg_error *err)
{
    if (!out || !ctx || !lane || !format)
        return stg__fail(err, STG_E_INVALID, "a reader needs a context, a lane and a format");
    *out = NULL;
    if (strcmp(format, "jsonl") != 0)
        return stg__fail(err, STG_E_UNSUPPORTED, "unknown telemetry format %.32s", format);
    stg_reader *r = (stg_reader *)stg__calloc(ctx, 1, sizeof *r);
    if (!r)
        return stg__fail(err, STG_E_NOMEM, "no memory for a reader");
    r->ctx = stg__ctx_ref(ctx);
    r->lane = lane;
    r->made_in_child = stg__ctx_forked(ctx);
    r->line = 1;
    *out = r;
    return STG_OK;
}

void stg_reader_destroy(stg_reader *r)
{
    if (!r)
        return;
    stg_ctx *ctx = r->ctx;
    stg__free(ctx, r->bytes);
    stg__free(ctx, r->scratch);
    stg__free(ctx, r);
    stg__ctx_unref(ctx);
}

static int32_t reader_room(stg_reader *r, size_t more)
{
    if (r->pos) {
        memmove(r->bytes, r->bytes + r->pos, r->len - r->pos);
        r->len -= r->pos;
        r->looked -= r->pos;
        r->pos = 0;
    }
    if (more > MAX_WAITING - r->len)
        return STG_E_LIMIT;
    size_t cap = r->cap ? r->cap : 65536;
    while (cap < r->len + more)
        cap *= 2;
    if (cap == r->cap)
        return STG_OK;
    char *grown = (char *)stg__realloc(r->ctx, r->bytes, cap, 1);
    if (!grown)
        return STG_E_NOMEM;
    r->bytes = grown;
    r->cap = cap;
    return STG_OK;
}

int32_t stg_reader_feed(stg_reader *r, const void *data, size_t len)
{
    if (!r || (!data && len))
        return STG_E_INVALID;
    if (stg__ctx_forked(r->ctx) != r->made_in_child)
        return STG_E_FORK;
    if (len == 0) {
        r->ended = true;
        return STG_OK;
    }
    if (r->ended)
        return STG_E_STATE;
    if (r->len + len > r->cap || r->pos > r->cap / 2)
        STG_RETURN_IF_ERROR(reader_room(r, len));
    memcpy(r->bytes + r->len, data, len);
    r->len += len;
    return STG_OK;
}

/* --- lines ------------------------------------------------------------------------------------ */

static void go_on(stg_reader *r, size_t next)
{
    r->pos = next;
    r->looked = next;
    r->line++;
}

/* Drops the rest of a line that is too long; true when its end was there. */
static bool drop_rest(stg_reader *r)
{
    const char *newline =
        r->pos < r->len ? (const char *)memchr(r->bytes + r->pos, '\n', r->len - r->pos) : NULL;
    if (!newline) {
        r->pos = r->len;
        r->looked = r->len;
        return false;
    }
    r->skipping = false;
    go_on(r, (size_t)(newline - r->bytes) + 1);
    return true;
}

static bool blank(const char *at, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (at[i] != ' ' && at[i] != '\t' && at[i] != '\r')
            return false;
    return true;
}

/* The next line that is not blank; false when more bytes are needed, or, with `bad` filled, when it
 * is too long. */
static bool next_line(stg_reader *r, const char **line, size_t *len, size_t *next)
{
    while (!r->skipping || drop_rest(r)) {
        const char *newline =
            r->looked < r->len
                ? (const char *)memchr(r->bytes + r->looked, '\n', r->len - r->looked)
                : NULL;
        const size_t end = newline ? (size_t)(newline - r->bytes) : r->len;
        r->looked = end;
        *next = newline ? end + 1 : end;
        *len = end - r->pos;
        if (*len > STG__LINE_MAX) {
            r->skipping = true;
            stg__fail_line(&r->bad, STG_E_FORMAT, r->line, "a line of more than 1 MiB");
            return false;
        }
        if (!newline && !(r->ended && *len))
            return false;
        *line = r->bytes + r->pos;
        if (r->line == 1 && *len >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
            *line += 3; /* byte order mark */
            *len -= 3;
        }
        if (!blank(*line, *len))
            return true;
        go_on(r, *next);
    }
    return false;
}

/* One record. STG_MORE: there is none yet. A bad line is left behind, its error stays in `bad`;
 * any other trouble leaves the line where it is, to be read again. */
static int32_t next_record(stg_reader *r, stg_record *record)
{
    const char *line;
    size_t len;
    size_t next;
    if (r->bad.status)
        return r->bad.status;
    if (!next_line(r, &line, &len, &next))
        return r->bad.status ? r->bad.status : STG_MORE;
    const int32_t status = stg__jsonl_line(r, line, len, record, &r->bad);
    if (status == STG_OK || status == STG_E_FORMAT || status == STG_E_LIMIT)
        go_on(r, next);
    return status;
}

int32_t stg_reader_next(stg_reader *r, stg_record *records, size_t cap, size_t *n, stg_error *err)
{
    if (n)
        *n = 0;
    if (!r || !n || (!records && cap))
        return stg__fail(err, STG_E_INVALID, "no reader, no records or no counter");
    if (stg__ctx_forked(r->ctx) != r->made_in_child)
        return stg__fail(err, STG_E_FORK, "reader used in a child process");
    while (*n < cap) {
        const int32_t status = next_record(r, &records[*n]);
        if (status != STG_OK) {
            if (*n || status == STG_MORE) { /* what went wrong comes with the next call, alone */
                if (status != STG_E_FORMAT && status != STG_E_LIMIT)
                    r->bad.status = STG_OK;
                return STG_OK;
            }
            if (err && status < 0)
                *err = r->bad;
            r->bad.status = STG_OK;
            return status;
        }
        ++*n;
    }
    return STG_OK;
}

/* --- names ------------------------------------------------------------------------------------ */

static stg__cached *cache_place(stg_reader *r, uint32_t kind, stg__piece name)
{
    uint64_t first = 0;
    uint64_t last = 0;
    const size_t part = name.len < 8 ? name.len : 8;
    memcpy(&first, name.at, part);
    memcpy(&last, name.at + name.len - part, part);
    uint64_t h = (first ^ r->ctx->table_key[0]) * (r->ctx->table_key[1] | 1);
    h = ((h ^ h >> 32) + last + name.len * 2 + kind) * 0x9e3779b97f4a7c15u;
    return &r->cache[h >> 57];
}

_Static_assert(STG__CACHE == 128, "the hash gives 7 bits");

int32_t stg__reader_intern(stg_reader *r, uint32_t kind, stg__piece name, uint32_t *id)
{
    stg__cached *c = cache_place(r, kind, name);
    if (c->len == name.len && c->kind == kind && memcmp(c->text, name.at, name.len) == 0) {
        *id = c->id;
        return STG_OK;
    }
    const int32_t status = stg_lane_intern(r->lane, kind, name.at, name.len, id);
    if (status != STG_OK)
        return status;
    c->id = *id;
    c->kind = (uint8_t)kind;
    c->len = (uint8_t)name.len;
    memcpy(c->text, name.at, name.len);
    return STG_OK;
}
