/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A screen of cells that text is put on: whatever the text holds, it stays within its place, and no
 * control byte, escape sequence or broken UTF-8 of it goes through. Knows nothing of a terminal's
 * descriptor; what to send to one, or as plain text, comes out as bytes.
 */
#ifndef STGRAPH_CLI_TOP_SCREEN_H
#define STGRAPH_CLI_TOP_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

/* A style is a colour and attributes. The colours differ for every kind of colour vision. */
enum {
    ST_PLAIN = 0,
    ST_ORANGE = 1, /* wrong */
    ST_BLUE = 2,   /* odd, but benign or less than usual */
    ST_COLOR = 3,
    ST_BOLD = 4,
    ST_DIM = 8,
    ST_REVERSE = 16,
    ST_LINE = 32 /* underlined */
};

/* How many colours a terminal has. */
enum { COLORS_NONE = 0, COLORS_8 = 1, COLORS_256 = 2 };

typedef struct screen screen;

/* utf8: the terminal shows UTF-8; else bytes above 0x7e are escaped. NULL: out of memory. */
screen *screen_new(bool utf8);
void screen_free(screen *s);
bool screen_utf8(const screen *s);

/* An empty screen of a size; it is cut to what makes sense. False: out of memory. */
bool screen_begin(screen *s, int width, int height);
int screen_width(const screen *s);
int screen_height(const screen *s);

/* Puts text at a place, at most room cells wide: what is longer ends in an ellipsis. Returns the
 * cells taken. Places beyond the screen are ignored. */
int screen_put(screen *s, int x, int y, int room, unsigned style, const char *text);
/* The same, ending at the right of the room. */
void screen_put_right(screen *s, int x, int y, int room, unsigned style, const char *text);
/* Adds attributes to cells whatever they hold. */
void screen_mark(screen *s, int x, int y, int room, unsigned style);

/* Cells that a text takes on this screen, at most limit + 1. */
int screen_measure(const screen *s, const char *text, int limit);
/* Bytes of the text that go on a line of so many cells, broken behind a blank if there is one; at
 * least one character. */
size_t screen_break(const screen *s, const char *text, int width);

/* What brings a terminal from the last frame to this one; all: whatever it shows at present. The bytes
 * are the screen's. NULL: out of memory. */
const char *screen_frame(screen *s, bool all, int colors, size_t *len);
/* The frame as lines of plain text. NULL: out of memory. */
const char *screen_text(screen *s, size_t *len);

#endif
