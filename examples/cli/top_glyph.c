/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names come from the network. Control characters, bytes that are not UTF-8, characters that turn the
 * direction of text or cannot be seen, and towers of combining marks are written as escapes (\x1b,
 * \u202e), so that two names that differ look different and none of them moves the cursor.
 */
#include "top_glyph.h"

#include <stdio.h>
#include <string.h>
#include <wchar.h>

/* Bytes of the sequence that starts here, 0: not UTF-8 (overlong, surrogate, too large, cut). */
static int decode(const unsigned char *p, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const int n = p[0] < 0x80 ? 1 : p[0] < 0xc2 ? 0 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3
                                                                    : p[0] < 0xf5   ? 4
                                                                                    : 0;
    if (n <= 1) {
        *cp = p[0];
        return n;
    }
    uint32_t v = p[0] & (0x7fu >> n);
    for (int i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) /* a NUL ends it too */
            return 0;
        v = v << 6 | (p[i] & 0x3f);
    }
    *cp = v;
    return v >= least[n] && v <= 0x10ffff && (v < 0xd800 || v > 0xdfff) ? n : 0;
}

/* Characters that nobody sees, or that reorder what stands beside them. */
static bool unseen(uint32_t cp)
{
    static const uint32_t range[][2] = {
        {0xad, 0xad}, {0x61c, 0x61c}, {0x115f, 0x1160}, {0x17b4, 0x17b5}, {0x180b, 0x180f},
        {0x200b, 0x200f}, {0x2028, 0x202f}, {0x205f, 0x206f}, {0x3164, 0x3164}, {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff}, {0xffa0, 0xffa0}, {0xfff9, 0xfffd}, {0x1d173, 0x1d17a},
        {0xe0000, 0xe0fff},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (cp >= range[i][0] && cp <= range[i][1])
            return true;
    return false;
}

/* Cells of a code point: 0 a combining mark, -1 must be escaped. */
static int cells_of(uint32_t cp)
{
    if (cp < 0x7f)
        return cp < 0x20 || cp == '\\' ? -1 : 1;
    if (cp < 0xa0 || unseen(cp))
        return -1;
    return wcwidth((wchar_t)cp);
}

static void escape(glyph *g, uint32_t cp, bool byte)
{
    if (cp == '\\' && byte)
        snprintf(g->escape, sizeof g->escape, "\\\\");
    else if (byte)
        snprintf(g->escape, sizeof g->escape, "\\x%02x", cp & 0xff);
    else
        snprintf(g->escape, sizeof g->escape, cp < 0x10000 ? "\\u%04x" : "\\U%06x", cp);
    g->cells = (int)strlen(g->escape);
}

bool glyph_next(const char **text, bool utf8, glyph *g)
{
    const unsigned char *p = (const unsigned char *)*text;
    uint32_t cp = 0;
    if (*p == '\0')
        return false;
    memset(g, 0, sizeof *g);
    const int n = utf8 ? decode(p, &cp) : 1;
    if (!utf8)
        cp = *p;
    if (n == 0 || (!utf8 && cp >= 0x7f)) {
        escape(g, *p, true);
        *text += 1;
        return true;
    }
    p += n;
    const int cells = cells_of(cp);
    if (cells <= 0) { /* a mark has no business without a character */
        escape(g, cp, n == 1);
    } else {
        g->cp[0] = cp;
        g->cells = cells;
        for (int i = 1; utf8 && i <= GLYPH_MARKS; i++) {
            const int more = *p < 0x80 ? 0 : decode(p, &cp);
            if (more == 0 || cells_of(cp) != 0)
                break;
            g->cp[i] = cp;
            p += more;
        }
    }
    *text = (const char *)p;
    return true;
}

size_t glyph_encode(uint32_t cp, char bytes[4])
{
    if (cp < 0x80) {
        bytes[0] = (char)cp;
        return 1;
    }
    const int n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, cp >>= 6)
        bytes[i] = (char)(0x80 | (cp & 0x3f));
    bytes[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | cp);
    return (size_t)n;
}
