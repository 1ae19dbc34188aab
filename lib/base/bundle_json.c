/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a header is JSON (RFC 8259). cJSON gives nothing both for a text that is malformed and for
 * want of memory; this tells which it was, and takes no memory itself.
 */
#include <string.h>

#include "bundle_priv.h"

#define MAX_NUMBER 62u /* longer ones are too much for cJSON */
#define MAX_DEPTH 8    /* the caller has refused what is deeper */

typedef struct cursor {
    const char *at;
    const char *end;
    int depth;
} cursor;

static void skip(cursor *c)
{
    while (c->at < c->end && (unsigned char)*c->at <= ' ')
        c->at++;
}

static bool take(cursor *c, char what)
{
    skip(c);
    if (c->at == c->end || *c->at != what)
        return false;
    c->at++;
    return true;
}

static bool word(cursor *c, const char *text)
{
    const size_t len = strlen(text);
    if ((size_t)(c->end - c->at) < len || memcmp(c->at, text, len) != 0)
        return false;
    c->at += len;
    return true;
}

static size_t digits(cursor *c)
{
    const char *from = c->at;
    while (c->at < c->end && *c->at >= '0' && *c->at <= '9')
        c->at++;
    return (size_t)(c->at - from);
}

static bool number(cursor *c)
{
    const char *from = c->at;
    (void)word(c, "-");
    if (!word(c, "0") && digits(c) == 0)
        return false;
    if (word(c, ".") && digits(c) == 0)
        return false;
    if (word(c, "e") || word(c, "E")) {
        if (!word(c, "-"))
            (void)word(c, "+");
        if (digits(c) == 0)
            return false;
    }
    return (size_t)(c->at - from) <= MAX_NUMBER;
}

/* The four digits of \uXXXX; UINT32_MAX when they are none. */
static uint32_t hex4(cursor *c)
{
    uint32_t value = 0;
    if (c->end - c->at < 4)
        return UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        const char d = *c->at++;
        const char low = (char)(d | 0x20);
        if (d >= '0' && d <= '9')
            value = value << 4 | (uint32_t)(d - '0');
        else if (low >= 'a' && low <= 'f')
            value = value << 4 | (uint32_t)(low - 'a' + 10);
        else
            return UINT32_MAX;
    }
    return value;
}

static bool escape(cursor *c)
{
    if (c->at == c->end)
        return false;
    if (*c->at++ != 'u')
        return strchr("\"\\/bfnrt", c->at[-1]) && c->at[-1];
    const uint32_t unit = hex4(c);
    if (unit < 0xd800 || (unit > 0xdfff && unit <= 0xffff))
        return true;
    if (unit > 0xdbff || !word(c, "\\u")) /* half a pair */
        return false;
    const uint32_t second = hex4(c);
    return second >= 0xdc00 && second <= 0xdfff;
}

static bool string(cursor *c)
{
    if (!take(c, '"'))
        return false;
    while (c->at < c->end) {
        const unsigned char byte = (unsigned char)*c->at++;
        if (byte == '"')
            return true;
        if (byte < 0x20 || (byte == '\\' && !escape(c)))
            return false;
    }
    return false;
}

static bool value(cursor *c);

/* The members of an object or the items of an array, behind its first bracket. */
static bool members(cursor *c, bool named, char last)
{
    if (++c->depth > MAX_DEPTH)
        return false;
    bool good = true;
    if (!take(c, last)) {
        do {
            good = (!named || (string(c) && take(c, ':'))) && value(c);
        } while (good && take(c, ','));
        good = good && take(c, last);
    }
    c->depth--;
    return good;
}

static bool value(cursor *c)
{
    if (take(c, '{'))
        return members(c, true, '}');
    if (take(c, '['))
        return members(c, false, ']');
    if (c->at == c->end)
        return false;
    if (*c->at == '"')
        return string(c);
    return word(c, "true") || word(c, "false") || word(c, "null") || number(c);
}

bool stg__is_json(const char *text, size_t len)
{
    cursor c = {.at = text, .end = text + len};
    return value(&c);
}
