/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Draws 'stgraph top' on a screen of cells: from the data and the state of the user interface, and
 * from nothing else, so that a frame can be made without a terminal.
 */
#ifndef STGRAPH_CLI_TOP_VIEW_H
#define STGRAPH_CLI_TOP_VIEW_H

#include "top_data.h"
#include "top_screen.h"

enum { PANE_NODES = STG_NODE, PANE_EDGES = STG_EDGE, PANE_INCIDENTS = 2, PANES = 3 };

/* What a pane is sorted by; SORT_STATE is the worst first. */
enum { SORT_STATE, SORT_NAME, SORT_RATE, SORT_ERRORS, SORT_LATENCY, SORT_DEPARTURE, SORTS };

#define TOP_KEY 1024 /* the names of an edge with what parts them */

/* One pane's list: which rows in which order, and where the user is. */
typedef struct top_list {
    uint32_t *order; /* indices of rows or incidents */
    uint32_t count;
    uint32_t cap;
    uint32_t at;       /* selected, in order */
    uint32_t first;    /* first one shown */
    char key[TOP_KEY]; /* the selected one by name: it stays selected wherever it goes */
    int sort;
    bool reverse;
} top_list;

typedef struct top_ui {
    int pane;
    bool detail, help, typing, paused, live, ended, batch;
    double speed; /* 0: as fast as possible */
    const char *source;
    char filter[128];
    char message[256];
    top_list list[PANES];
    int scroll;       /* lines of the detail above the screen */
    int scroll_limit; /* out: so far can be scrolled */
    int page;         /* out: rows that are shown at once */
} top_ui;

/* --- lists (top_list.c) ----------------------------------------------------------------------- */

/* Filters and sorts all panes anew and finds the selected ones again. False: out of memory. */
bool top_lists_update(top_ui *ui, const top_data *data);
void top_lists_free(top_ui *ui);
/* Moves the selection of the pane at hand. */
void top_list_move(top_ui *ui, const top_data *data, int64_t by);
/* The next order that the pane at hand can have. */
void top_list_sort(top_ui *ui);
const char *top_sort_name(int pane, int sort);
/* Selected row or incident of the pane at hand, NULL: none. */
const top_row *top_selected_row(const top_ui *ui, const top_data *data);
const top_incident *top_selected_incident(const top_ui *ui, const top_data *data);

/* --- frames (top_view.c) ---------------------------------------------------------------------- */

/* Draws a frame of this size. False: out of memory. */
bool top_draw(screen *s, top_ui *ui, const top_data *data, int width, int height);
/* Draws everything one below the other, as high as it gets. */
bool top_draw_batch(screen *s, top_ui *ui, const top_data *data, int width);

/* --- tables (top_table.c) --------------------------------------------------------------------- */

/* Heads at y when there is room, then rows from the list's first on down to before end. */
void top_table(screen *s, const top_ui *ui, const top_data *data, int pane, int y, int end, bool select);

/* --- details (top_detail.c) ------------------------------------------------------------------- */

/* The detail of what is selected, or help, between y and end. False: out of memory. */
bool top_detail(screen *s, top_ui *ui, const top_data *data, int y, int end);
/* What an incident says and what is proposed, on a few lines. */
bool top_preview(screen *s, const top_incident *inc, int y, int end);

/* --- words (top_words.c) ---------------------------------------------------------------------- */

enum { WORD = 32, LABEL = 1024 };

/* Symbols, in UTF-8 or ASCII. */
enum {
    SYM_ATTACK, SYM_BENIGN, SYM_ODD, SYM_OK, SYM_IDLE, SYM_NEW, SYM_CLOSED, SYM_ARROW, SYM_UP, SYM_DOWN,
    SYM_RUN, SYM_PAUSE, SYM_END, SYM_MIDDLE, SYM_FULL, SYM_HALF_LEFT, SYM_HALF_RIGHT, SYM_MU, SYM_DASH,
    SYM_COUNT
};
const char *top_symbol(const screen *s, int symbol);
int top_state_symbol(int state);
unsigned top_state_style(int state);

/* Numbers for people; "-" where there is none. All write at most WORD bytes. */
void top_word_count(char *to, double v);                      /* 4, 12.3k */
void top_word_rate(char *to, double v);                       /* 4.0, 12.3k: decimals that line up */
void top_word_time(const screen *s, char *to, double us);     /* 3.2ms */
void top_word_percent(char *to, double share);                /* 1.2% */
void top_word_departure(char *to, double v, double expected); /* +12%, x7.5 */
void top_word_clock(char *to, uint64_t ns, bool date);        /* 12:00:05, UTC */
void top_word_span(char *to, uint64_t ns);                    /* 2m05s */
/* A value in the unit that its column's name tells. */
void top_word_column(const screen *s, char *to, const char *column, double v);

/* Blanks before a word until it has so many cells. */
void top_word_right(const screen *s, char *word, int width);

/* Texts of at most LABEL bytes. */
void top_label_row(const screen *s, char *to, const char *const *name);
void top_label_item(const screen *s, char *to, const stg_item *item);
void top_label_action(const screen *s, char *to, const stg_action *action);

#endif
