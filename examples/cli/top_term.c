/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals only write a byte into a pipe that term_wait() polls, so none is lost between a check and
 * a wait, and nothing but write() runs in a handler.
 */
#include "top_term.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "cli.h"

/* The alternate buffer, no cursor, no wrapping at the right edge; and back. */
static const char buffer_bytes[] = "\x1b[?1049h";
static const char enter_bytes[] = "\x1b[?25l\x1b[?7l\x1b[0m\x1b[2J";
static const char leave_bytes[] = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

static const int caught[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};
#define CAUGHT (sizeof caught / sizeof *caught)

struct term {
    int keys;        /* where keys come from */
    int pipe[2];     /* signals */
    bool own_keys;   /* keys is a descriptor of ours */
    bool raw;
    bool shown;      /* in the alternate buffer */
    bool eof;        /* the terminal was hung up */
    int end_signal;
    struct termios before;
    struct sigaction old[CAUGHT];
    unsigned char in[64]; /* bytes of keys not taken yet */
    size_t have;
};

static int signal_pipe = -1;

static void on_signal(int number)
{
    const int saved = errno;
    const unsigned char byte = (unsigned char)number;
    (void)!write(signal_pipe, &byte, 1); /* full: there is enough to look at already */
    errno = saved;
}

static void catch_signals(term *t)
{
    struct sigaction act = {.sa_handler = on_signal};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < CAUGHT; i++) {
        sigaction(caught[i], &act, &t->old[i]);
        if (t->old[i].sa_handler == SIG_IGN) /* as under nohup: stays ignored */
            sigaction(caught[i], &t->old[i], NULL);
    }
}

static bool enter(term *t)
{
    struct termios raw = t->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO | ECHONL | IEXTEN); /* ^C and ^Z stay signals */
    raw.c_iflag &= ~(tcflag_t)(IXON | ICRNL | INLCR | IGNCR | ISTRIP);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    int done;
    do {
        done = tcsetattr(t->keys, TCSADRAIN, &raw);
    } while (done != 0 && errno == EINTR);
    t->raw = done == 0;
    if (!t->raw || (!t->shown && !term_write(t, buffer_bytes, sizeof buffer_bytes - 1)))
        return false;
    t->shown = true;
    return term_write(t, enter_bytes, sizeof enter_bytes - 1);
}

static void leave(term *t)
{
    if (t->shown)
        term_write(t, leave_bytes, sizeof leave_bytes - 1);
    t->shown = false;
    while (t->raw && tcsetattr(t->keys, TCSADRAIN, &t->before) != 0 && errno == EINTR)
        continue;
    t->raw = false;
}

static int open_keys(term *t, bool input_is_data)
{
    if (!input_is_data && isatty(STDIN_FILENO))
        return STDIN_FILENO;
    t->own_keys = true;
    return open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
}

term *term_open(bool input_is_data)
{
    term *t = (term *)calloc(1, sizeof *t);
    if (!t || pipe2(t->pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        cli_say("%s", strerror(errno));
        free(t);
        return NULL;
    }
    t->keys = open_keys(t, input_is_data);
    if (t->keys < 0 || tcgetattr(t->keys, &t->before) != 0) {
        cli_say("no terminal to read keys from: %s", strerror(errno));
        if (t->keys >= 0 && t->own_keys)
            close(t->keys);
        close(t->pipe[0]);
        close(t->pipe[1]);
        free(t);
        return NULL;
    }
    signal_pipe = t->pipe[1];
    catch_signals(t);
    if (!enter(t)) {
        cli_say("the terminal cannot be used: %s", strerror(errno));
        term_close(t);
        return NULL;
    }
    return t;
}

void term_close(term *t)
{
    if (!t)
        return;
    leave(t);
    for (size_t i = 0; i < CAUGHT; i++)
        sigaction(caught[i], &t->old[i], NULL);
    signal_pipe = -1;
    close(t->pipe[0]);
    close(t->pipe[1]);
    if (t->own_keys)
        close(t->keys);
    free(t);
}

static int number_of(const char *name)
{
    const char *text = getenv(name);
    const long v = text ? strtol(text, NULL, 10) : 0;
    return v > 0 && v < 10000 ? (int)v : 0;
}

void term_size(const term *t, int *width, int *height)
{
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        size = (struct winsize){0};
    *width = size.ws_col ? size.ws_col : number_of("COLUMNS");
    *height = size.ws_row ? size.ws_row : number_of("LINES");
    *width = *width ? *width : 80;
    *height = *height ? *height : 24;
}

bool term_write(term *t, const char *bytes, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(STDOUT_FILENO, bytes, len);
        if (n >= 0) {
            bytes += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN) { /* somebody made the terminal non-blocking */
            struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
            poll(&p, 1, 1000);
        } else if (errno != EINTR) {
            t->eof = true;
            return false;
        }
    }
    return true;
}

/* ^Z: the terminal goes back to the shell, and is taken again when the process goes on. */
static void stop(term *t)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    struct sigaction mine;
    sigemptyset(&act.sa_mask);
    leave(t);
    sigaction(SIGTSTP, &act, &mine);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &mine, NULL);
    enter(t);
}

static unsigned take_signals(term *t)
{
    unsigned char number[64];
    const ssize_t n = read(t->pipe[0], number, sizeof number);
    unsigned seen = 0;
    for (ssize_t i = 0; i < n; i++) {
        switch (number[i]) {
        case SIGWINCH:
            seen |= TERM_REDRAW;
            break;
        case SIGTSTP:
            stop(t);
            seen |= TERM_REDRAW;
            break;
        case SIGCONT: /* also after a stop that nobody could catch */
            enter(t);
            seen |= TERM_REDRAW;
            break;
        default:
            t->end_signal = number[i];
        }
    }
    return seen;
}

static void take_bytes(term *t)
{
    const ssize_t n = read(t->keys, t->in + t->have, sizeof t->in - t->have);
    if (n > 0)
        t->have += (size_t)n;
    else if (n == 0 || (errno != EINTR && errno != EAGAIN))
        t->eof = true;
}

unsigned term_wait(term *t, int fd, int timeout_ms)
{
    struct pollfd p[3] = {{.fd = t->pipe[0], .events = POLLIN},
                          {.fd = t->have < sizeof t->in ? t->keys : -1, .events = POLLIN},
                          {.fd = fd, .events = POLLIN}};
    if (t->eof || t->end_signal)
        return TERM_END;
    unsigned seen = t->have ? TERM_KEYS : 0;
    if (poll(p, 3, seen ? 0 : timeout_ms) < 0)
        memset(p, 0, sizeof p); /* EINTR: the pipe tells the next time */
    if (p[0].revents)
        seen |= take_signals(t);
    if (p[1].revents)
        take_bytes(t);
    if (p[2].revents)
        seen |= TERM_INPUT;
    if (t->have)
        seen |= TERM_KEYS;
    if (t->eof || t->end_signal)
        seen |= TERM_END;
    return seen;
}

int term_signal(const term *t)
{
    return t->end_signal;
}

/* --- keys ------------------------------------------------------------------------------------- */

static int drop(term *t, size_t n, int key)
{
    t->have -= n;
    memmove(t->in, t->in + n, t->have);
    return key;
}

/* ESC [ ... or ESC O x: the final byte tells, for '~' the number before it. */
static int sequence(term *t)
{
    static const struct {
        char final;
        int number;
        int key;
    } known[] = {{'A', 0, KEY_UP}, {'B', 0, KEY_DOWN}, {'C', 0, KEY_RIGHT}, {'D', 0, KEY_LEFT},
                 {'H', 0, KEY_HOME}, {'F', 0, KEY_END}, {'Z', 0, KEY_BACKTAB}, {'~', 1, KEY_HOME},
                 {'~', 7, KEY_HOME}, {'~', 4, KEY_END}, {'~', 8, KEY_END}, {'~', 5, KEY_PAGE_UP},
                 {'~', 6, KEY_PAGE_DOWN}, {'M', 0, KEY_ENTER}};
    size_t end = 2;
    int number = 0;
    while (end < t->have && t->in[1] == '[' && t->in[end] < 0x40) {
        if (t->in[end] >= '0' && t->in[end] <= '9' && number < 1000)
            number = 10 * number + t->in[end] - '0';
        end++;
    }
    if (end >= t->have)
        return drop(t, t->have, KEY_OTHER);
    const char final = (char)t->in[end];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i].final == final && (final != '~' || known[i].number == number) &&
            (final != 'M' || t->in[1] == 'O'))
            return drop(t, end + 1, known[i].key);
    return drop(t, end + 1, KEY_OTHER);
}

int term_key(term *t)
{
    if (!t->have)
        return KEY_NONE;
    if (t->in[0] == '\n')
        return drop(t, 1, KEY_ENTER);
    if (t->in[0] == 8)
        return drop(t, 1, KEY_BACK);
    if (t->in[0] != KEY_ESC)
        return drop(t, 1, t->in[0]);
    if (t->have == 1) { /* the key itself, or the rest of a sequence is on its way */
        struct pollfd p = {.fd = t->keys, .events = POLLIN};
        if (poll(&p, 1, 30) > 0)
            take_bytes(t);
        if (t->have == 1)
            return drop(t, 1, KEY_ESC);
    }
    if (t->in[1] == '[' || t->in[1] == 'O')
        return sequence(t);
    return drop(t, 1, KEY_ESC);
}
