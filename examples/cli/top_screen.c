/* SPDX-License-Identifier: Apache-2.0 */
#include "top_screen.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_glyph.h"

#define MAX_WIDTH 1000
#define MAX_HEIGHT 20000

typedef struct cell {
    uint32_t cp[GLYPH_MARKS + 1]; /* a character and its combining marks, 0: none */
    uint8_t style;
    uint8_t behind; /* right half of the wide character before it */
    uint16_t zero;  /* cells are compared as bytes */
} cell;

struct screen {
    bool utf8;
    int width, height;
    int last_width, last_height; /* of the frame before; 0: none */
    cell *now, *last;
    size_t cap, last_cap; /* cells */
    char *out;
    size_t out_len, out_cap;
    bool failed; /* out of memory while writing */
};

screen *screen_new(bool utf8)
{
    screen *s = (screen *)calloc(1, sizeof *s);
    if (s)
        s->utf8 = utf8;
    return s;
}

void screen_free(screen *s)
{
    if (!s)
        return;
    free(s->now);
    free(s->last);
    free(s->out);
    free(s);
}

bool screen_utf8(const screen *s)
{
    return s->utf8;
}

int screen_width(const screen *s)
{
    return s->width;
}

int screen_height(const screen *s)
{
    return s->height;
}

static int clamp(int v, int low, int high)
{
    return v < low ? low : v > high ? high : v;
}

bool screen_begin(screen *s, int width, int height)
{
    s->width = clamp(width, 1, MAX_WIDTH);
    s->height = clamp(height, 1, MAX_HEIGHT);
    const size_t count = (size_t)s->width * (size_t)s->height;
    if (count > s->cap) {
        cell *grown = (cell *)realloc(s->now, count * sizeof *grown);
        if (!grown)
            return false;
        s->now = grown;
        s->cap = count;
    }
    memset(s->now, 0, count * sizeof *s->now);
    return true;
}

static cell *at(const screen *s, int x, int y)
{
    return &s->now[(size_t)y * (size_t)s->width + (size_t)x];
}

int screen_measure(const screen *s, const char *text, int limit)
{
    glyph g;
    int cells = 0;
    while (cells <= limit && glyph_next(&text, s->utf8, &g))
        cells += g.cells;
    return cells <= limit ? cells : limit + 1;
}

size_t screen_break(const screen *s, const char *text, int width)
{
    const char *p = text;
    const char *blank = NULL; /* behind the last blank that fits */
    glyph g;
    int cells = 0;
    for (;;) {
        const char *before = p;
        if (!glyph_next(&p, s->utf8, &g))
            return (size_t)(p - text);
        cells += g.cells;
        if (cells > width && g.cp[0] != ' ') {
            if (blank)
                return (size_t)(blank - text);
            return (size_t)((before > text ? before : p) - text);
        }
        if (g.cp[0] == ' ')
            blank = p;
    }
}

/* Puts one glyph down; what an escape is written with are characters of their own. */
static void put_glyph(const screen *s, int x, int y, unsigned style, const glyph *g)
{
    if (g->escape[0]) {
        for (int i = 0; i < g->cells; i++) {
            cell *c = at(s, x + i, y);
            *c = (cell){.cp = {(unsigned char)g->escape[i]}, .style = (uint8_t)style};
        }
        return;
    }
    cell *c = at(s, x, y);
    memcpy(c->cp, g->cp, sizeof c->cp);
    c->style = (uint8_t)style;
    c->behind = 0;
    if (g->cells == 2)
        *at(s, x + 1, y) = (cell){.style = (uint8_t)style, .behind = 1};
}

int screen_put(screen *s, int x, int y, int room, unsigned style, const char *text)
{
    if (x < 0 || y < 0 || y >= s->height || x >= s->width)
        return 0;
    room = room < s->width - x ? room : s->width - x;
    if (room <= 0)
        return 0;
    const bool cut = screen_measure(s, text, room) > room;
    const int whole = cut ? room - 1 : room;
    int used = 0;
    glyph g;
    if (at(s, x, y)->behind) /* no half of a wide character stays */
        *at(s, x - 1, y) = (cell){.style = (uint8_t)style};
    while (glyph_next(&text, s->utf8, &g) && used + g.cells <= whole) {
        put_glyph(s, x + used, y, style, &g);
        used += g.cells;
    }
    if (cut) {
        *at(s, x + used, y) = (cell){.cp = {s->utf8 ? 0x2026 : '~'}, .style = (uint8_t)style};
        used++;
    }
    if (x + used < s->width && at(s, x + used, y)->behind)
        *at(s, x + used, y) = (cell){.style = (uint8_t)style};
    return used;
}

void screen_put_right(screen *s, int x, int y, int room, unsigned style, const char *text)
{
    const int cells = screen_measure(s, text, room);
    screen_put(s, cells < room ? x + room - cells : x, y, room, style, text);
}

void screen_mark(screen *s, int x, int y, int room, unsigned style)
{
    if (y < 0 || y >= s->height || x < 0)
        return;
    for (int i = x; i < x + room && i < s->width; i++)
        at(s, i, y)->style |= (uint8_t)style;
}

/* --- bytes ------------------------------------------------------------------------------------ */

static void add(screen *s, const char *bytes, size_t len)
{
    if (s->out_len + len >= s->out_cap) {
        const size_t cap = 2 * (s->out_len + len) + 4096;
        char *grown = (char *)realloc(s->out, cap);
        if (!grown) {
            s->failed = true;
            return;
        }
        s->out = grown;
        s->out_cap = cap;
    }
    memcpy(s->out + s->out_len, bytes, len);
    s->out_len += len;
}

static void add_text(screen *s, const char *text)
{
    add(s, text, strlen(text));
}

static void add_cell(screen *s, const cell *c)
{
    char bytes[4];
    if (c->behind)
        return;
    if (!c->cp[0])
        add(s, " ", 1);
    for (int i = 0; i <= GLYPH_MARKS && c->cp[i]; i++)
        add(s, bytes, glyph_encode(c->cp[i], bytes));
}

static void add_style(screen *s, unsigned style, int colors)
{
    static const char *const color[3][ST_COLOR + 1] = { /* both colours are none */
        {"", "", "", ""}, {"", ";33", ";36", ""}, {"", ";38;5;208", ";38;5;75", ""}};
    add_text(s, "\x1b[0");
    if (style & ST_BOLD)
        add_text(s, ";1");
    if (style & ST_DIM)
        add_text(s, ";2");
    if (style & ST_LINE)
        add_text(s, ";4");
    if (style & ST_REVERSE)
        add_text(s, ";7");
    add_text(s, color[colors][style & ST_COLOR]);
    add_text(s, "m");
}

/* Cells of a row up to the last one that shows something; attributes show on blanks too. */
static int row_end(const screen *s, int y, unsigned attributes)
{
    int end = s->width;
    while (end > 0) {
        const cell *c = at(s, end - 1, y);
        if (c->behind || (c->cp[0] && c->cp[0] != ' ') || (c->style & attributes))
            break;
        end--;
    }
    return end;
}

static void add_row(screen *s, int y, int colors)
{
    char place[32];
    const int end = row_end(s, y, ST_REVERSE | ST_LINE);
    unsigned style = ST_PLAIN;
    add(s, place, (size_t)snprintf(place, sizeof place, "\x1b[%d;1H\x1b[0m", y + 1));
    for (int x = 0; x < end; x++) {
        const cell *c = at(s, x, y);
        if (c->style != style && !c->behind) {
            style = c->style;
            add_style(s, style, colors);
        }
        add_cell(s, c);
    }
    if (style != ST_PLAIN)
        add_text(s, "\x1b[0m");
    if (end < s->width)
        add_text(s, "\x1b[K");
}

/* Keeps the frame for the next one to be compared with. */
static bool keep(screen *s)
{
    cell *cells = s->last;
    const size_t cap = s->last_cap;
    s->last = s->now;
    s->last_cap = s->cap;
    s->last_width = s->width;
    s->last_height = s->height;
    s->now = cells;
    s->cap = cap;
    return !s->failed;
}

const char *screen_frame(screen *s, bool all, int colors, size_t *len)
{
    s->out_len = 0;
    s->failed = false;
    all = all || s->width != s->last_width || s->height != s->last_height;
    if (all)
        add_text(s, "\x1b[0m\x1b[2J");
    for (int y = 0; y < s->height; y++) {
        const size_t row = (size_t)y * (size_t)s->width;
        if (all || memcmp(s->now + row, s->last + row, (size_t)s->width * sizeof *s->now) != 0)
            add_row(s, y, colors);
    }
    add(s, "", 0); /* an unchanged frame is no failure either */
    *len = s->out_len;
    return keep(s) ? s->out : NULL;
}

const char *screen_text(screen *s, size_t *len)
{
    s->out_len = 0;
    s->failed = false;
    for (int y = 0; y < s->height; y++) {
        const int end = row_end(s, y, 0);
        for (int x = 0; x < end; x++)
            add_cell(s, at(s, x, y));
        add(s, "\n", 1);
    }
    *len = s->out_len;
    return s->failed ? NULL : s->out;
}
