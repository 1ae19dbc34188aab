/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue between a tick and the host that reads event lines. Bounded in lines and in bytes: a
 * host that reads nothing loses the oldest lines, because a later line of an incident says all that
 * an earlier one did. Takes memory only when lines come, never in a tick without news.
 */
#include <string.h>

#include "monitor_priv.h"

void stg__events_init(stg__events *q, stg_ctx *ctx, uint32_t max_lines)
{
    *q = (stg__events){.ctx = ctx, .max_lines = max_lines};
    q->max_bytes = (size_t)max_lines * STG__EVENT_BYTES;
    if (q->max_bytes < 2 * STG__LINE_MAX) /* one line of the largest size must always fit */
        q->max_bytes = 2 * STG__LINE_MAX;
}

void stg__events_fini(stg__events *q)
{
    stg__free(q->ctx, q->bytes);
    stg__free(q->ctx, q->line);
}

static void copy_out(const stg__events *q, size_t at, void *to, size_t len)
{
    const size_t from = (q->head + at) % q->cap;
    const size_t first = len < q->cap - from ? len : q->cap - from;
    memcpy(to, q->bytes + from, first);
    memcpy((char *)to + first, q->bytes, len - first);
}

static void append(stg__events *q, const void *data, size_t len)
{
    const size_t to = (q->head + q->used) % q->cap;
    const size_t first = len < q->cap - to ? len : q->cap - to;
    memcpy(q->bytes + to, data, first);
    memcpy(q->bytes, (const char *)data + first, len - first);
    q->used += len;
}

static uint32_t oldest_len(const stg__events *q)
{
    uint32_t len;
    copy_out(q, 0, &len, sizeof len);
    return len;
}

static void drop_oldest(stg__events *q)
{
    const size_t size = sizeof(uint32_t) + oldest_len(q);
    q->head = (q->head + size) % q->cap;
    q->used -= size;
    q->lines--;
}

/* Room for so many bytes by more memory; false when the bound or the memory does not allow it. */
static bool grow(stg__events *q, size_t need)
{
    if (need > q->max_bytes)
        return false;
    size_t cap = q->cap ? q->cap : STG__EVENT_BYTES;
    while (cap < need)
        cap *= 2;
    if (cap > q->max_bytes)
        cap = q->max_bytes;
    char *bytes = (char *)stg__alloc(q->ctx, cap);
    if (!bytes)
        return false;
    if (q->used)
        copy_out(q, 0, bytes, q->used);
    stg__free(q->ctx, q->bytes);
    q->bytes = bytes;
    q->cap = cap;
    q->head = 0;
    return true;
}

int32_t stg__events_room(stg__events *q, size_t lines, size_t bytes)
{
    const size_t most = bytes + lines * sizeof(uint32_t);
    const size_t need = most < q->max_bytes ? most : q->max_bytes;
    return need <= q->cap || grow(q, need) ? STG_OK : STG_E_NOMEM;
}

void stg__events_push(stg__events *q, const char *line, size_t len)
{
    const uint32_t prefix = (uint32_t)len;
    const size_t need = sizeof prefix + len;
    while (q->lines > 0 && q->lines >= q->max_lines) {
        drop_oldest(q);
        q->dropped++;
    }
    while (q->used + need > q->cap && !grow(q, q->used + need)) {
        q->dropped++;
        if (q->lines == 0)
            return; /* the new one is lost */
        drop_oldest(q);
    }
    append(q, &prefix, sizeof prefix);
    append(q, line, len);
    q->lines++;
}

size_t stg__events_copy(const stg__events *q, char *to)
{
    size_t bytes = 0;
    uint32_t len;
    for (size_t at = 0; at < q->used; at += sizeof len + len) {
        copy_out(q, at, &len, sizeof len);
        if (to)
            copy_out(q, at + sizeof len, to + bytes, len);
        bytes += len;
    }
    return bytes;
}

int32_t stg__events_take(stg__events *q, char *buf, size_t cap, size_t *len)
{
    if (q->lines == 0)
        return STG_AGAIN;
    const size_t size = oldest_len(q);
    if (!buf || cap <= size) { /* its NUL needs room too */
        *len = size + 1;
        return STG_MORE;
    }
    copy_out(q, sizeof(uint32_t), buf, size);
    buf[size] = '\0';
    *len = size;
    drop_oldest(q);
    return STG_OK;
}
