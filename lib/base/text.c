/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for JSON, DOT and messages, written into a caller's buffer. Once the buffer is full only the
 * length is counted, so that the caller learns what it needs. Nothing here depends on the locale.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base_priv.h"

void stg__text_init(stg__text *t, char *buf, size_t cap)
{
    t->buf = buf;
    t->cap = buf ? cap : 0;
    t->len = 0;
}

void stg__text_bytes(stg__text *t, const char *bytes, size_t len)
{
    if (t->len < t->cap) {
        const size_t room = t->cap - t->len;
        memcpy(t->buf + t->len, bytes, len < room ? len : room);
    }
    t->len += len;
}

void stg__text_str(stg__text *t, const char *str)
{
    stg__text_bytes(t, str, strlen(str));
}

void stg__text_u64(stg__text *t, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do {
        digits[sizeof digits - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    stg__text_bytes(t, digits + sizeof digits - n, n);
}

void stg__text_i64(stg__text *t, int64_t value)
{
    if (value < 0)
        stg__text_str(t, "-");
    stg__text_u64(t, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void stg__text_num(stg__text *t, double value, int digits)
{
    if (!isfinite(value)) {
        stg__text_str(t, "null");
        return;
    }
    char raw[48];
    char out[48];
    size_t n = 0;
    const int len = snprintf(raw, sizeof raw, "%.*g", digits, value);
    for (int i = 0; i < len && n < sizeof out; i++) {
        const char c = raw[i];
        const bool plain = (c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e';
        if (plain)
            out[n++] = c;
        else if (n == 0 || out[n - 1] != '.') /* the locale's decimal point, of one byte or more */
            out[n++] = '.';
    }
    stg__text_bytes(t, out, n);
}

/* The second byte of these four starts would make an overlong form, a surrogate or too large. */
static bool second_fits(unsigned char first, unsigned char second)
{
    switch (first) {
    case 0xe0:
        return second >= 0xa0;
    case 0xed:
        return second <= 0x9f;
    case 0xf0:
        return second >= 0x90;
    case 0xf4:
        return second <= 0x8f;
    default:
        return true;
    }
}

/* Length of the UTF-8 sequence at s, or 0 when it is not well formed (RFC 3629). */
static size_t utf8_length(const unsigned char *s, size_t left)
{
    if (s[0] < 0x80)
        return 1;
    const size_t n = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return second_fits(s[0], s[1]) ? n : 0;
}

bool stg__utf8(const char *str, size_t len)
{
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length((const unsigned char *)str + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static void json_escape(stg__text *t, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    const char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    stg__text_bytes(t, escape, sizeof escape);
}

void stg__text_json(stg__text *t, const char *str, size_t len)
{
    const unsigned char *s = (const unsigned char *)str;
    stg__text_str(t, "\"");
    for (size_t i = 0; i < len;) {
        const size_t n = utf8_length(s + i, len - i);
        if (n == 0) { /* not UTF-8: each such byte as the code point of the same number */
            json_escape(t, s[i++]);
        } else if (s[i] == '"' || s[i] == '\\') {
            stg__text_str(t, "\\");
            stg__text_bytes(t, str + i++, 1);
        } else if (s[i] < 0x20 || s[i] == 0x7f || s[i] == '<') { /* '<': safe inside a script */
            json_escape(t, s[i++]);
        } else {
            stg__text_bytes(t, str + i, n);
            i += n;
        }
    }
    stg__text_str(t, "\"");
}

int32_t stg__text_end(stg__text *t, size_t *len)
{
    const bool fits = t->len < t->cap; /* the NUL needs room too */
    if (len)
        *len = fits ? t->len : t->len + 1;
    if (!fits) {
        if (t->cap > 0)
            t->buf[t->cap - 1] = '\0';
        return STG_MORE;
    }
    t->buf[t->len] = '\0';
    return STG_OK;
}
