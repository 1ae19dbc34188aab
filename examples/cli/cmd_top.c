/* SPDX-License-Identifier: Apache-2.0 */
/* stgraph top: services, edges and incidents live on a terminal, or frame after frame as text. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <langinfo.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "top_term.h"
#include "top_view.h"

static const char help[] =
    "Usage: stgraph top --model MODEL --calls FILE [--gauges FILE] [OPTION]...\n"
    "Shows services, the calls between them and incidents, window by window, on a terminal.\n"
    "\n"
    CLI_INPUT_HELP
    CLI_FALSE_HELP
    CLI_GRACE_HELP
    "      --speed X                 how fast files are replayed: 1 as they were recorded (default),\n"
    "                                0 as fast as possible\n"
    "      --once                    one frame as plain text: the last window of the files, or the\n"
    "                                first of a live input\n"
    "      --batch N                 the frames of the first N windows as plain text\n"
    "      --no-color                no colours; so does NO_COLOR in the environment\n"
    "      --help                    this text\n"
    "\n"
    "Keys: q quit, space pause, n next window, arrows select, enter detail, tab next pane, s sort,\n"
    "/ filter, + and - speed, ? help.\n";

#define FRAME_MS 40       /* frames do not follow faster, unless a key was pressed */
#define KEPT_MESSAGES 20  /* printed when the terminal is given back */
#define MAX_SPEED 1024.0
#define MIN_SPEED (1 / 64.0)

typedef struct top {
    cli_input in;
    bool once, no_color, speed_given;
    double batch; /* frames still to print */
    stg_monitor *monitor;
    term *term; /* NULL: plain text */
    screen *screen;
    top_data data;
    top_ui ui;
    int colors;
    int step;   /* windows still to show although paused */
    bool quit;
    bool failed; /* and that is why it quits */
    bool dirty; /* something to draw */
    bool all;   /* draw the whole screen */
    bool at_once;
    double drawn;  /* when, in seconds of a steady clock */
    double window; /* when the last window was shown */
    char *message[KEPT_MESSAGES];
    int messages;
} top;

enum { OPT_SPEED = 256, OPT_ONCE, OPT_BATCH, OPT_NO_COLOR, OPT_HELP };

static const struct option options[] = {
    CLI_INPUT_OPTIONS,
    CLI_GRACE_OPTION,
    {"speed", required_argument, NULL, OPT_SPEED},
    {"once", no_argument, NULL, OPT_ONCE},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"no-color", no_argument, NULL, OPT_NO_COLOR},
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
};

static int option(top *t, int opt)
{
    bool ok = true;
    switch (opt) {
    case OPT_SPEED:
        ok = cli_number(optarg, "--speed", 0, 1e6, &t->ui.speed);
        t->speed_given = true;
        break;
    case OPT_ONCE:
        t->once = true;
        break;
    case OPT_BATCH:
        ok = cli_number(optarg, "--batch", 1, 1e15, &t->batch);
        break;
    case OPT_NO_COLOR:
        t->no_color = true;
        break;
    case OPT_HELP:
        fputs(help, stdout);
        return -1;
    default:
        return cli_usage_error("top", "bad option");
    }
    return ok ? CLI_OK : CLI_USAGE;
}

static int parse(top *t, int argc, char **argv)
{
    int opt;
    while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const int taken = cli_input_option(&t->in, opt, argc, argv);
        const int code = taken < 0 ? CLI_USAGE : taken ? CLI_OK : option(t, opt);
        if (code)
            return code;
    }
    if (optind < argc)
        return cli_usage_error("top", "'%s' does not belong there", argv[optind]);
    if (!t->in.model || t->in.calls.count == 0)
        return cli_usage_error("top", "--model and --calls are needed");
    if (t->once && t->batch > 0)
        return cli_usage_error("top", "--once and --batch exclude each other");
    return CLI_OK;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* --- keys ------------------------------------------------------------------------------------- */

static void type_key(top_ui *ui, int key)
{
    size_t len = strlen(ui->filter);
    switch (key) {
    case KEY_ESC:
        ui->filter[0] = '\0';
        ui->typing = false;
        break;
    case KEY_ENTER:
        ui->typing = false;
        break;
    case KEY_BACK: /* a character of several bytes goes as a whole */
        while (len > 0 && ((unsigned char)ui->filter[--len] & 0xc0) == 0x80)
            continue;
        ui->filter[len] = '\0';
        break;
    default:
        if (key >= ' ' && key < 256 && len + 1 < sizeof ui->filter) {
            ui->filter[len] = (char)key;
            ui->filter[len + 1] = '\0';
        }
    }
}

static void change_speed(top_ui *ui, bool faster)
{
    if (faster)
        ui->speed = ui->speed >= MAX_SPEED ? 0 : 2 * ui->speed;
    else if (ui->speed > MIN_SPEED)
        ui->speed /= 2;
    else if (ui->speed == 0) /* from no limit */
        ui->speed = MAX_SPEED;
}

static void show_pane(top_ui *ui, int pane)
{
    ui->pane = pane % PANES;
    ui->detail = ui->help = false;
    ui->scroll = 0;
}

static void move(top *t, int64_t by)
{
    top_ui *ui = &t->ui;
    if (!ui->detail && !ui->help) {
        top_list_move(ui, &t->data, by);
        return;
    }
    const int64_t to = ui->scroll + by;
    ui->scroll = to < 0 ? 0 : to > ui->scroll_limit ? ui->scroll_limit : (int)to;
}

/* Keys that move; false: another key. */
static bool moving_key(top *t, int key)
{
    switch (key) {
    case KEY_UP:
    case 'k':
        move(t, -1);
        return true;
    case KEY_DOWN:
    case 'j':
        move(t, 1);
        return true;
    case KEY_PAGE_UP:
        move(t, -t->ui.page);
        return true;
    case KEY_PAGE_DOWN:
        move(t, t->ui.page);
        return true;
    case KEY_HOME:
    case 'g':
        move(t, INT32_MIN);
        return true;
    case KEY_END:
    case 'G':
        move(t, INT32_MAX);
        return true;
    default:
        return false;
    }
}

/* Keys that change what is shown; false: another key. */
static bool view_key(top *t, int key)
{
    top_ui *ui = &t->ui;
    switch (key) {
    case '\t':
        show_pane(ui, ui->pane + 1);
        return true;
    case KEY_BACKTAB:
        show_pane(ui, ui->pane + PANES - 1);
        return true;
    case '1':
    case '2':
    case '3':
        show_pane(ui, key - '1');
        return true;
    case KEY_ENTER:
        top_list_move(ui, &t->data, 0); /* pins what is selected */
        ui->detail = !ui->help;
        ui->help = false;
        ui->scroll = 0;
        return true;
    case KEY_ESC:
    case KEY_BACK:
    case KEY_LEFT:
        if (!ui->detail && !ui->help && key == KEY_ESC)
            ui->filter[0] = '\0';
        ui->detail = ui->help = false;
        return true;
    case '?':
    case 'h':
        ui->help = !ui->help;
        ui->scroll = 0;
        return true;
    default:
        return false;
    }
}

static void press(top *t, int key)
{
    top_ui *ui = &t->ui;
    ui->message[0] = '\0';
    if (ui->typing) {
        type_key(ui, key);
        return;
    }
    if (moving_key(t, key) || view_key(t, key))
        return;
    switch (key) {
    case 'q':
        t->quit = true;
        break;
    case ' ':
    case 'p':
        ui->paused = !ui->paused && !ui->ended;
        t->step = 0;
        break;
    case 'n':
    case KEY_RIGHT:
        t->step += ui->paused ? 1 : 0;
        break;
    case 's':
        top_list_sort(ui);
        break;
    case 'S':
        ui->list[ui->pane].reverse = !ui->list[ui->pane].reverse;
        break;
    case '/':
        ui->typing = true;
        ui->detail = ui->help = false;
        break;
    case '+':
    case '-':
        change_speed(ui, key == '+');
        break;
    case 'L' - '@': /* ^L */
        t->all = true;
        break;
    default:
        break;
    }
}

/* --- frames ----------------------------------------------------------------------------------- */

static void draw(top *t)
{
    int width, height;
    size_t len;
    term_size(t->term, &width, &height);
    const bool drawn = top_draw(t->screen, &t->ui, &t->data, width, height);
    const char *bytes = drawn ? screen_frame(t->screen, t->all, t->colors, &len) : NULL;
    if (!bytes)
        cli_say("out of memory");
    if (!bytes || !term_write(t->term, bytes, len)) {
        t->quit = t->failed = true;
        return;
    }
    t->dirty = t->all = t->at_once = false;
    t->drawn = seconds_now();
}

/* Milliseconds from now until a moment of the steady clock, rounded up, at least 0. */
static int ms_until(double moment)
{
    const double ms = ceil(1000 * (moment - seconds_now()));
    return ms <= 0 ? 0 : ms > INT_MAX / 2 ? INT_MAX / 2 : (int)ms;
}

/* Draws what there is to draw, waits, and takes keys and signals. */
static unsigned serve(top *t, int fd, int timeout_ms)
{
    if (t->dirty) {
        const int wait = t->at_once ? 0 : ms_until(t->drawn + FRAME_MS / 1e3);
        if (wait == 0)
            draw(t);
        else if (timeout_ms < 0 || timeout_ms > wait)
            timeout_ms = wait;
    }
    const unsigned seen = term_wait(t->term, fd, t->quit ? 0 : timeout_ms);
    if (seen & TERM_REDRAW)
        t->all = true;
    int key;
    while ((seen & TERM_KEYS) && (key = term_key(t->term)) != KEY_NONE)
        press(t, key);
    if (seen & (TERM_REDRAW | TERM_KEYS))
        t->dirty = t->at_once = true;
    if (seen & TERM_END)
        t->quit = true;
    return seen;
}

static bool held(const top *t)
{
    return t->ui.paused && !t->step && !t->ui.live;
}

/* Waits for input in place of poll(); see cli_wait_fn. */
static int wait_input(int fd, int timeout_ms, void *user)
{
    top *t = (top *)user;
    const double until = seconds_now() + timeout_ms / 1e3;
    for (;;) {
        const bool hold = held(t);
        const int left = hold || timeout_ms < 0 ? -1 : ms_until(until);
        const unsigned seen = serve(t, hold ? -1 : fd, left);
        if (t->quit)
            return -1;
        if (!hold && (seen & TERM_INPUT))
            return 1;
        if (!hold && timeout_ms >= 0 && ms_until(until) == 0)
            return 0;
    }
}

/* Holds a window on the screen for as long as the speed says. */
static void pace(top *t)
{
    const double length = (double)t->data.window_ns / 1e9;
    for (;;) {
        int left = 0;
        if (held(t))
            left = -1;
        else if (!t->ui.live && t->ui.speed > 0 && !t->step)
            left = ms_until(t->window + length / t->ui.speed);
        serve(t, -1, left);
        if (left == 0 || t->quit || t->step)
            break;
    }
    t->window = seconds_now();
}

static int print_frame(top *t)
{
    const char *columns = getenv("COLUMNS");
    const long wanted = columns ? strtol(columns, NULL, 10) : 0;
    size_t len;
    const char *text = NULL;
    if (top_draw_batch(t->screen, &t->ui, &t->data, wanted > 0 && wanted < 1000 ? (int)wanted : 120))
        text = screen_text(t->screen, &len);
    if (!text)
        return cli_fail("out of memory");
    if (fwrite(text, 1, len, stdout) != len || putchar('\n') == EOF || fflush(stdout) != 0)
        return cli_fail("writing failed");
    return CLI_OK;
}

static int window(uint64_t window_end, void *user)
{
    top *t = (top *)user;
    stg_error err = {0};
    const int32_t status = stg_monitor_tick(t->monitor, window_end, &err);
    if (status < 0)
        return cli_fail("window: %s", err.text[0] ? err.text : stg_status_name(status));
    if (!top_data_window(&t->data, t->monitor, t->ui.live && t->ui.paused && !t->step))
        return cli_fail("out of memory");
    if (t->term) {
        t->step -= t->step > 0;
        t->dirty = true;
        pace(t);
        return t->quit ? CLI_FAILED : CLI_OK; /* ends the replay; quit tells that nothing failed */
    }
    if (t->once && !t->ui.live)
        return CLI_OK; /* printed at the end */
    const int code = print_frame(t);
    t->batch -= 1;
    t->failed = code != CLI_OK;
    t->quit = t->failed || t->once || t->batch <= 0;
    return t->quit ? CLI_FAILED : CLI_OK;
}

/* --- the whole -------------------------------------------------------------------------------- */

/* Messages wait until the terminal is given back; the last one is shown at the foot meanwhile. */
static void keep_message(const char *text, void *user)
{
    top *t = (top *)user;
    snprintf(t->ui.message, sizeof t->ui.message, "%s", text);
    t->dirty = true;
    if (t->messages < KEPT_MESSAGES && (t->message[t->messages] = strdup(text)) != NULL)
        t->messages++;
}

static int colors_of(const top *t)
{
    const char *none = getenv("NO_COLOR");
    const char *many = getenv("COLORTERM");
    const char *name = getenv("TERM");
    if (t->no_color || (none && none[0]))
        return COLORS_NONE;
    return (many && many[0]) || (name && strstr(name, "256color")) ? COLORS_256 : COLORS_8;
}

static bool reads_stdin(const top *t)
{
    for (int i = 0; i < t->in.calls.count; i++)
        if (strcmp(t->in.calls.name[i], "-") == 0)
            return true;
    for (int i = 0; i < t->in.gauges.count; i++)
        if (strcmp(t->in.gauges.name[i], "-") == 0)
            return true;
    return false;
}

/* The terminal, unless text is wanted. Returns an exit code. */
static int take_terminal(top *t)
{
    const char *name = getenv("TERM");
    t->ui.batch = t->once || t->batch > 0;
    if (t->ui.batch)
        return CLI_OK;
    if (!isatty(STDOUT_FILENO))
        return cli_fail("standard output is not a terminal; --once or --batch N print plain text");
    if (!name || !name[0] || strcmp(name, "dumb") == 0)
        return cli_fail("TERM names no terminal that can show this; --once or --batch N print plain text");
    if (reads_stdin(t) && isatty(STDIN_FILENO))
        return cli_fail("standard input is the terminal; calls have to come through a pipe or a file");
    cli_say_to(keep_message, t);
    t->term = term_open(reads_stdin(t));
    t->dirty = t->all = t->at_once = true;
    return t->term ? CLI_OK : CLI_FAILED;
}

/* Gives the terminal back, then says what was to be said. Returns the signal that ended it, or 0. */
static int give_back(top *t)
{
    const int number = t->term ? term_signal(t->term) : 0;
    term_close(t->term);
    cli_say_to(NULL, NULL);
    for (int i = 0; i < t->messages; i++) {
        for (char *c = t->message[i]; *c; c++) /* they may quote the input */
            *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
        cli_say("%s", t->message[i]);
        free(t->message[i]);
    }
    return number;
}

static int replay(top *t, stg_ctx *ctx)
{
    struct stat st;
    const bool piped = strcmp(t->in.calls.name[0], "-") == 0 && fstat(STDIN_FILENO, &st) == 0 &&
                       !S_ISREG(st.st_mode);
    t->ui.live = piped && !t->speed_given;
    t->window = seconds_now();
    cli_replay r = {
        .ctx = ctx, .ingest = stg_monitor_ingest(t->monitor), .calls = &t->in.calls,
        .gauges = &t->in.gauges, .window_ns = t->data.window_ns, .window = window,
        .wait = t->term ? wait_input : NULL, .user = t, .grace_ns = cli_input_grace(&t->in),
        .max_bad = 1000000,
    };
    int code = cli_replay_run(&r);
    if (r.bad_lines)
        cli_say("%" PRIu64 " lines were not understood", r.bad_lines);
    if (t->quit)
        return t->failed ? CLI_FAILED : CLI_OK;
    if (code)
        return code;
    if (!t->term)
        return t->once && !t->ui.live ? print_frame(t) : CLI_OK;
    t->ui.ended = t->dirty = true;
    t->ui.paused = false;
    while (!t->quit)
        serve(t, -1, -1);
    return t->failed ? CLI_FAILED : CLI_OK;
}

static int run(top *t, stg_ctx *ctx, const stg_bundle *bundle)
{
    int code = cli_input_monitor(&t->in, ctx, bundle, &t->monitor, &t->data.window_ns);
    if (code)
        return code;
    t->screen = screen_new(strcmp(nl_langinfo(CODESET), "UTF-8") == 0);
    if (!t->screen)
        return cli_fail("out of memory");
    t->ui.source = t->in.calls.name[0];
    t->colors = colors_of(t);
    code = take_terminal(t);
    return code ? code : replay(t, ctx);
}

int cli_top(int argc, char **argv)
{
    top t = {.in = {.grace_s = -1}, .ui = {.speed = 1}};
    int code = parse(&t, argc, argv);
    if (code)
        return code < 0 ? CLI_OK : code;
    stg_ctx *ctx = cli_context();
    stg_bundle *bundle = ctx ? cli_open_bundle(ctx, t.in.model) : NULL;
    code = bundle ? run(&t, ctx, bundle) : CLI_FAILED;
    const int number = give_back(&t);
    top_data_free(&t.data);
    top_lists_free(&t.ui);
    screen_free(t.screen);
    stg_monitor_destroy(t.monitor);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    if (number)
        raise(number); /* who waits for us shall see what ended us */
    return code;
}
