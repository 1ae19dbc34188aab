/* SPDX-License-Identifier: Apache-2.0 */
/* Text of any bytes as characters that a terminal may be sent. */
#ifndef STGRAPH_CLI_TOP_GLYPH_H
#define STGRAPH_CLI_TOP_GLYPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GLYPH_MARKS 2 /* combining marks that one character may carry */

/* A character with its marks, or an escape in place of what must not reach a terminal. */
typedef struct glyph {
    uint32_t cp[GLYPH_MARKS + 1];
    char escape[12]; /* "": none; else as many characters as cells */
    int cells;       /* 1 or 2, or the length of the escape */
} glyph;

/* Takes the next character of a text; false at its end. Without utf8 all bytes but ASCII are escaped. */
bool glyph_next(const char **text, bool utf8, glyph *g);

/* The UTF-8 of a code point; returns its length. */
size_t glyph_encode(uint32_t cp, char bytes[4]);

#endif
