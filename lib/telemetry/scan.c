/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner under the decoders of JSON telemetry. Strings without escapes are used where they
 * stand, others are decoded into a scratch buffer that is as long as the line; numbers become
 * integers digit by digit; values that nobody wants are checked and skipped with a stack of bits.
 */
#include <string.h>

#include "scan_priv.h"

static bool fail(stg__scan *s, const char *why)
{
    s->why = why;
    return false;
}

void stg__scan_space(stg__scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\r' || *s->at == '\n'))
        s->at++;
}

bool stg__scan_char(stg__scan *s, char c)
{
    stg__scan_space(s);
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool word(stg__scan *s, const char *text, size_t len)
{
    if ((size_t)(s->end - s->at) < len || memcmp(s->at, text, len) != 0)
        return false;
    s->at += len;
    return true;
}

bool stg__scan_null(stg__scan *s)
{
    stg__scan_space(s);
    return word(s, "null", 4);
}

/* --- strings ---------------------------------------------------------------------------------- */

static bool hex4(stg__scan *s, uint32_t *code)
{
    *code = 0;
    if (s->end - s->at < 4)
        return fail(s, "a string that does not end");
    for (int i = 0; i < 4; i++) {
        const char c = *s->at++;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            digit = (uint32_t)((c | 32) - 'a') + 10;
        else
            return fail(s, "\\u without four hexadecimal digits");
        *code = *code << 4 | digit;
    }
    return true;
}

/* UTF-8 of what stands behind "\u"; a pair of surrogates is one character. */
static bool unicode(stg__scan *s, char **to)
{
    uint32_t c;
    uint32_t low;
    if (!hex4(s, &c))
        return false;
    if (c >= 0xdc00 && c <= 0xdfff)
        return fail(s, "half a surrogate pair");
    if (c >= 0xd800 && c <= 0xdbff) {
        if (!word(s, "\\u", 2) || !hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return fail(s, "half a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    char *p = *to;
    if (c < 0x80) {
        *p++ = (char)c;
    } else if (c < 0x800) {
        *p++ = (char)(0xc0 | c >> 6);
        *p++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *p++ = (char)(0xe0 | c >> 12);
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    } else {
        *p++ = (char)(0xf0 | c >> 18);
        *p++ = (char)(0x80 | (c >> 12 & 63));
        *p++ = (char)(0x80 | (c >> 6 & 63));
        *p++ = (char)(0x80 | (c & 63));
    }
    *to = p;
    return true;
}

static bool escape(stg__scan *s, char **to)
{
    static const char from[] = "\"\\/bfnrt";
    static const char into[] = "\"\\/\b\f\n\r\t";
    if (s->at == s->end)
        return fail(s, "a string that does not end");
    const char c = *s->at++;
    if (c == 'u')
        return unicode(s, to);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return fail(s, "an unknown escape in a string");
    *(*to)++ = into[known - from];
    return true;
}

/* Up to the next quote, backslash or control character. */
static const char *plain_end(const stg__scan *s)
{
    const char *p = s->at;
    while (p < s->end && (unsigned char)*p >= 0x20 && *p != '"' && *p != '\\')
        p++;
    return p;
}

bool stg__scan_string(stg__scan *s, stg__piece *out)
{
    if (!stg__scan_char(s, '"'))
        return fail(s, "a string was expected");
    const char *start = s->at;
    char *to = s->scratch;
    for (;;) {
        const char *stop = plain_end(s);
        if (stop == s->end)
            return fail(s, "a string that does not end");
        if ((unsigned char)*stop < 0x20)
            return fail(s, "a control character in a string");
        const size_t len = (size_t)(stop - s->at);
        if (*stop == '"' && to == s->scratch && s->at == start) { /* no escape: where it stands */
            *out = (stg__piece){start, len};
            s->at = stop + 1;
            return true;
        }
        memcpy(to, s->at, len);
        to += len;
        s->at = stop + 1;
        if (*stop == '"')
            break;
        if (!escape(s, &to))
            return false;
    }
    *out = (stg__piece){s->scratch, (size_t)(to - s->scratch)};
    s->scratch = to;
    return true;
}

/* --- numbers ---------------------------------------------------------------------------------- */

static const char *digits_end(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Digits before the point after it was moved by the exponent. */
static uint64_t whole_part(const char *whole, int64_t wholes, const char *part, int64_t parts,
                           int64_t exponent)
{
    uint64_t value = 0;
    for (int64_t i = 0; i < wholes + exponent; i++) {
        if (i >= wholes + parts && value == 0)
            return 0;
        const char c = i < wholes ? whole[i] : i - wholes < parts ? part[i - wholes] : '0';
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return UINT64_MAX;
    }
    return value;
}

static bool exponent_of(stg__scan *s, int64_t *exponent)
{
    *exponent = 0;
    if (s->at == s->end || (*s->at | 32) != 'e')
        return true;
    s->at++;
    const bool minus = s->at < s->end && *s->at == '-';
    s->at += s->at < s->end && (*s->at == '-' || *s->at == '+');
    const char *digits = s->at;
    s->at = digits_end(s->at, s->end);
    if (s->at == digits)
        return fail(s, "a number without its exponent");
    for (; digits < s->at; digits++) /* far beyond any line's length it makes no difference */
        if (*exponent < 100000000)
            *exponent = *exponent * 10 + (*digits - '0');
    if (minus)
        *exponent = -*exponent;
    return true;
}

bool stg__scan_number(stg__scan *s, uint64_t *value, bool *negative)
{
    stg__scan_space(s);
    *negative = s->at < s->end && *s->at == '-';
    s->at += *negative;
    const char *whole = s->at;
    s->at = digits_end(s->at, s->end);
    const int64_t wholes = s->at - whole;
    if (wholes == 0 || (wholes > 1 && *whole == '0'))
        return fail(s, "a number was expected");
    const char *part = s->at;
    int64_t parts = 0;
    if (s->at < s->end && *s->at == '.') {
        part = s->at + 1;
        s->at = digits_end(part, s->end);
        parts = s->at - part;
        if (parts == 0)
            return fail(s, "a number without digits behind its point");
    }
    int64_t exponent;
    if (!exponent_of(s, &exponent))
        return false;
    *value = whole_part(whole, wholes, part, parts, exponent);
    return true;
}

/* --- values nobody wants ---------------------------------------------------------------------- */

static bool skip_scalar(stg__scan *s)
{
    char *const scratch = s->scratch;
    stg__piece text;
    uint64_t value;
    bool negative;
    if (s->at == s->end)
        return fail(s, "a value is missing");
    if (*s->at == '"') {
        const bool ok = stg__scan_string(s, &text);
        s->scratch = scratch;
        return ok;
    }
    if (word(s, "true", 4) || word(s, "false", 5) || word(s, "null", 4))
        return true;
    return stg__scan_number(s, &value, &negative);
}

static bool skip_key(stg__scan *s)
{
    char *const scratch = s->scratch;
    stg__piece key;
    if (!stg__scan_string(s, &key))
        return false;
    s->scratch = scratch;
    return stg__scan_char(s, ':') || fail(s, "a colon is missing");
}

/* Opens an object or array; *empty when it is closed at once. */
static bool skip_open(stg__scan *s, uint32_t *depth, uint32_t *objects, bool *empty)
{
    const bool object = *s->at++ == '{';
    *empty = stg__scan_char(s, object ? '}' : ']');
    if (*empty)
        return true;
    if (*depth == STG__SCAN_DEPTH)
        return fail(s, "values nested deeper than 32");
    *objects = *objects << 1 | object; /* the lowest bit is the innermost */
    ++*depth;
    return !object || skip_key(s);
}

bool stg__scan_skip(stg__scan *s)
{
    uint32_t depth = 0;
    uint32_t objects = 0;
    for (;;) {
        bool done = true; /* with a value, at this depth */
        stg__scan_space(s);
        if (s->at < s->end && (*s->at == '{' || *s->at == '[')) {
            if (!skip_open(s, &depth, &objects, &done))
                return false;
        } else if (!skip_scalar(s)) {
            return false;
        }
        while (done && depth) {
            const bool object = objects & 1;
            if (stg__scan_char(s, object ? '}' : ']')) {
                objects >>= 1;
                depth--;
            } else if (!stg__scan_char(s, ',')) {
                return fail(s, "a comma or bracket is missing");
            } else if (object && !skip_key(s)) {
                return false;
            } else {
                done = false;
            }
        }
        if (done)
            return true;
    }
}
