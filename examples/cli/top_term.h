/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The terminal of 'stgraph top': raw keys, the alternate buffer, signals, and one place where all
 * waiting is done. Whatever ends the program in an orderly way gives the terminal back as it was.
 */
#ifndef STGRAPH_CLI_TOP_TERM_H
#define STGRAPH_CLI_TOP_TERM_H

#include <stdbool.h>
#include <stddef.h>

/* Keys that are not characters. */
enum {
    KEY_NONE = 0,
    KEY_ENTER = 13,
    KEY_ESC = 27,
    KEY_BACK = 127,
    KEY_UP = 256,
    KEY_DOWN,
    KEY_RIGHT,
    KEY_LEFT,
    KEY_PAGE_UP,
    KEY_PAGE_DOWN,
    KEY_HOME,
    KEY_END,
    KEY_BACKTAB,
    KEY_OTHER /* a sequence that means nothing here */
};

typedef struct term term;

/* Takes the terminal: output is standard output, keys come from standard input or, when that is
 * data, from the terminal that controls the process. NULL after a message. One at a time. */
term *term_open(bool input_is_data);
/* Gives the terminal back and frees; NULL is allowed. */
void term_close(term *t);

void term_size(const term *t, int *width, int *height);
/* Sends all bytes; false: the terminal is gone. */
bool term_write(term *t, const char *bytes, size_t len);

/* What term_wait() saw; several at once. */
enum {
    TERM_INPUT = 1,  /* the descriptor that was asked for can be read */
    TERM_KEYS = 2,   /* term_key() has something */
    TERM_REDRAW = 4, /* another size, or back from a stop: draw everything */
    TERM_END = 8     /* a signal or the end of the terminal asks to end */
};

/* Waits for keys, signals and, unless fd < 0, a descriptor; timeout_ms < 0: no limit. */
unsigned term_wait(term *t, int fd, int timeout_ms);
/* Next key, KEY_NONE: none left. */
int term_key(term *t);
/* The signal that asked to end, 0: none. */
int term_signal(const term *t);

#endif
