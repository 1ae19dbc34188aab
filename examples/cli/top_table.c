/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of services, edges and incidents: which columns a width has room for, and their cells. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "top_view.h"

enum { C_RATE, C_FORECAST, C_BAR, C_SHARE, C_ERRORS, C_P50, C_OPEN, C_STATE, COLUMNS };

#define MARK 2           /* the symbol before a name, and a blank */
#define FULL_BAR 5.0     /* departure that fills a bar */
#define ODD_SHARE 2.0    /* departure from which on a deviation is more than noise */

static const struct {
    const char *head;
    int width;
    int drop; /* the larger, the sooner it goes when room is short */
} column[COLUMNS] = {
    [C_RATE] = {"CALLS/S", 7, 1}, [C_FORECAST] = {"FORECAST", 8, 4}, [C_BAR] = {"- 0 +", 7, 5},
    [C_SHARE] = {"DEV", 5, 2}, [C_ERRORS] = {"ERR", 5, 3}, [C_P50] = {"P50", 6, 6},
    [C_OPEN] = {"OPEN", 5, 7}, [C_STATE] = {"STATE", 12, 8},
};

typedef struct layout {
    int name;
    int width[COLUMNS]; /* 0: dropped */
} layout;

static int longest_name(const screen *s, const top_ui *ui, const top_data *d, int pane)
{
    const top_list *l = &ui->list[pane];
    char label[LABEL];
    int longest = 8;
    for (uint32_t i = 0; i < l->count; i++) {
        top_label_row(s, label, d->row[pane][l->order[i]].name);
        const int cells = screen_measure(s, label, 70);
        longest = cells > longest ? cells : longest;
    }
    return longest;
}

static int room_for_name(const layout *l, int width)
{
    int room = width - MARK;
    for (int c = 0; c < COLUMNS; c++)
        room -= l->width[c] ? l->width[c] + 1 : 0;
    return room;
}

/* Takes columns away until a name has so many cells. */
static void drop_columns(layout *l, int width, int least)
{
    for (int drop = COLUMNS; drop > 0 && room_for_name(l, width) < least; drop--)
        for (int c = 0; c < COLUMNS; c++)
            l->width[c] = column[c].drop == drop ? 0 : l->width[c];
}

static layout lay_out(const screen *s, const top_ui *ui, const top_data *d, int pane)
{
    layout l = {0};
    const int width = screen_width(s);
    const int want = longest_name(s, ui, d, pane);
    const int least = pane == PANE_EDGES ? 32 : 14;
    for (int c = 0; c < COLUMNS; c++)
        l.width[c] = c == C_OPEN && pane == PANE_EDGES ? 0 : column[c].width;
    drop_columns(&l, width, want < least ? want : least);
    int room = room_for_name(&l, width);
    l.name = room < want ? room : want;
    room -= l.name;
    if (l.width[C_BAR] && room >= 12) { /* room to see more */
        l.width[C_BAR] += room >= 24 ? 8 : 4;
        room -= room >= 24 ? 8 : 4;
    }
    if (l.width[C_STATE])
        l.width[C_STATE] += room;
    return l;
}

/* The deviation from the middle on, in half cells: to the left less than forecast, to the right more. */
static void draw_bar(screen *s, int x, int y, int width, const top_row *row)
{
    const int side = width / 2;
    const double share = fmin(fabs(row->departure) / FULL_BAR, 1);
    const int halves = (int)lround(share * 2 * side);
    const bool more = row->departure > 0;
    const bool odd = fabs(row->departure) >= ODD_SHARE;
    const unsigned style = !odd ? ST_DIM : more ? ST_ORANGE : ST_BLUE;
    screen_put(s, x + side, y, 1, ST_DIM, top_symbol(s, SYM_MIDDLE));
    for (int i = 0; i < (halves + 1) / 2; i++) {
        const bool half = 2 * i + 1 == halves;
        const int symbol = !half ? SYM_FULL : more ? SYM_HALF_LEFT : SYM_HALF_RIGHT;
        screen_put(s, more ? x + side + 1 + i : x + side - 1 - i, y, 1, style, top_symbol(s, symbol));
    }
}

static void draw_state(screen *s, int x, int y, int width, const top_row *row)
{
    static const char *const word[] = {"idle", "ok", "no forecast", "off forecast"};
    char text[LABEL];
    const unsigned style = top_state_style(row->state);
    if (!row->incident) {
        screen_put(s, x, y, width, row->state == ROW_OK ? ST_DIM : style, word[row->state]);
        return;
    }
    const int used = screen_put(s, x, y, width, style, row->incident->class_name);
    if (width - used < 12)
        return;
    snprintf(text, sizeof text, "%.0f%%  %.900s", 100 * row->incident->confidence, row->incident->text);
    screen_put(s, x + used + 1, y, width - used - 1, ST_PLAIN, text);
}

static void draw_cell(screen *s, int x, int y, int width, int c, const top_row *row)
{
    char text[WORD];
    unsigned style = row->state == ROW_IDLE ? ST_DIM : ST_PLAIN;
    switch (c) {
    case C_RATE:
        top_word_rate(text, row->rate);
        break;
    case C_FORECAST:
        top_word_rate(text, row->forecast);
        style = ST_DIM;
        break;
    case C_BAR:
        draw_bar(s, x, y, width, row);
        return;
    case C_SHARE:
        top_word_departure(text, row->rate, row->forecast);
        if (fabs(row->departure) < ODD_SHARE)
            style = ST_DIM;
        break;
    case C_ERRORS:
        top_word_percent(text, row->errors);
        style = row->errors >= 0.05 ? ST_ORANGE | ST_BOLD : row->errors > 0 ? ST_PLAIN : ST_DIM;
        break;
    case C_P50:
        top_word_time(s, text, row->p50_us);
        break;
    case C_OPEN:
        top_word_count(text, row->open);
        break;
    default:
        draw_state(s, x, y, width, row);
        return;
    }
    screen_put_right(s, x, y, width, style, text);
}

static void draw_row(screen *s, const layout *l, int y, const top_row *row)
{
    char label[LABEL];
    const unsigned style = top_state_style(row->state);
    top_label_row(s, label, row->name);
    screen_put(s, 0, y, 1, style, top_symbol(s, top_state_symbol(row->state)));
    screen_put(s, MARK, y, l->name, style, label);
    int x = MARK + l->name;
    for (int c = 0; c < COLUMNS; c++) {
        if (!l->width[c])
            continue;
        draw_cell(s, x + 1, y, l->width[c], c, row);
        x += l->width[c] + 1;
    }
}

static void draw_heads(screen *s, const layout *l, int pane, int y)
{
    screen_put(s, MARK, y, l->name, ST_BOLD, pane == PANE_EDGES ? "CALLER AND CALLEE" : "SERVICE");
    int x = MARK + l->name;
    for (int c = 0; c < COLUMNS; c++) {
        if (!l->width[c])
            continue;
        if (c == C_STATE)
            screen_put(s, x + 1, y, l->width[c], ST_BOLD, column[c].head);
        else if (c == C_BAR)
            screen_put(s, x + 1 + l->width[c] / 2 - 2, y, 5, ST_BOLD, column[c].head);
        else
            screen_put_right(s, x + 1, y, l->width[c], ST_BOLD, column[c].head);
        x += l->width[c] + 1;
    }
}

/* --- incidents -------------------------------------------------------------------------------- */

enum { I_SEVERITY, I_CLASS, I_SURE, I_SINCE, I_SPAN, I_FIXED };

static const struct {
    const char *head;
    int width;
    int least; /* width of a screen that it needs */
} fixed[I_FIXED] = {{"SEV", 4, 0}, {"CLASS", 16, 0}, {"CONF", 4, 44}, {"SINCE", 8, 56}, {"FOR", 6, 72}};

/* What is proposed gets its own column on wide screens. */
static int action_width(int room)
{
    return room >= 70 ? (2 * room) / 5 : 0;
}

/* Puts the fixed columns of a line of incidents; returns where the text begins. */
static int put_fixed(screen *s, int y, char word[][WORD], const unsigned *style)
{
    int x = MARK;
    for (int c = 0; c < I_FIXED; c++) {
        if (screen_width(s) < fixed[c].least)
            continue;
        if (c == I_CLASS)
            screen_put(s, x, y, fixed[c].width, style[c], word[c]);
        else
            screen_put_right(s, x, y, fixed[c].width, style[c], word[c]);
        x += fixed[c].width + 1;
    }
    return x + 1;
}

static void draw_incident_heads(screen *s, int y)
{
    static const unsigned style[I_FIXED] = {ST_BOLD, ST_BOLD, ST_BOLD, ST_BOLD, ST_BOLD};
    char word[I_FIXED][WORD];
    for (int c = 0; c < I_FIXED; c++)
        snprintf(word[c], WORD, "%s", fixed[c].head);
    const int x = put_fixed(s, y, word, style);
    const int room = screen_width(s) - x;
    const int action = action_width(room);
    screen_put(s, x, y, room - action, ST_BOLD, "WHAT");
    if (action)
        screen_put(s, x + room - action, y, action, ST_BOLD, "PROPOSED");
}

static void draw_incident(screen *s, int y, const top_data *d, const top_incident *inc)
{
    char word[I_FIXED][WORD];
    char action[LABEL];
    const int state = inc->benign ? ROW_BENIGN : ROW_ATTACK;
    const bool closed = inc->closed_ns != 0;
    const unsigned plain = closed ? ST_DIM : ST_PLAIN;
    const unsigned name = closed ? ST_DIM : top_state_style(state);
    const unsigned style[I_FIXED] = {plain, name, plain, plain, plain};
    const uint64_t until = closed ? inc->closed_ns : d->judgement.end_ns;
    snprintf(word[I_SEVERITY], WORD, "%.1f", inc->severity);
    snprintf(word[I_CLASS], WORD, "%s", inc->class_name);
    snprintf(word[I_SURE], WORD, "%.0f%%", 100 * inc->confidence);
    top_word_clock(word[I_SINCE], inc->opened_ns, false);
    top_word_span(word[I_SPAN], until > inc->opened_ns ? until - inc->opened_ns : 0);
    screen_put(s, 0, y, 1, name, top_symbol(s, closed ? SYM_CLOSED : top_state_symbol(state)));
    const int x = put_fixed(s, y, word, style);
    const int room = screen_width(s) - x;
    const int wide = action_width(room);
    screen_put(s, x, y, room - wide - (wide != 0), plain, inc->text);
    if (!wide)
        return;
    if (inc->actions)
        top_label_action(s, action, &inc->action[0]);
    else
        snprintf(action, sizeof action, "%s", top_symbol(s, SYM_DASH));
    screen_put(s, x + room - wide, y, wide, inc->withdrawn ? ST_DIM : ST_PLAIN, action);
}

void top_table(screen *s, const top_ui *ui, const top_data *d, int pane, int y, int end, bool select)
{
    const top_list *l = &ui->list[pane];
    layout lay = {0};
    if (pane != PANE_INCIDENTS)
        lay = lay_out(s, ui, d, pane);
    if (end - y >= 2) {
        if (pane == PANE_INCIDENTS)
            draw_incident_heads(s, y);
        else
            draw_heads(s, &lay, pane, y);
        screen_mark(s, 0, y, screen_width(s), ST_LINE);
        y++;
    }
    if (l->count == 0)
        screen_put(s, MARK, y, screen_width(s) - MARK, ST_DIM,
                   ui->filter[0] ? "nothing passes the filter" : "none");
    for (uint32_t i = l->first; i < l->count && y < end; i++, y++) {
        if (pane == PANE_INCIDENTS)
            draw_incident(s, y, d, d->incident[l->order[i]]);
        else
            draw_row(s, &lay, y, &d->row[pane][l->order[i]]);
        if (select && i == l->at)
            screen_mark(s, 0, y, screen_width(s), ST_REVERSE);
    }
}
