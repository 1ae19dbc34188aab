/* SPDX-License-Identifier: Apache-2.0 */
/* Details of 'stgraph top': an incident, a service or an edge in full, and help; lines that scroll. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_view.h"

typedef struct line {
    unsigned style;
    int indent;
    char *text;
} line;

/* Lines of a detail, wrapped to a width while they are added. */
typedef struct lines {
    const screen *s;
    line *line;
    int count;
    int cap;
    bool failed;
} lines;

static void add_line(lines *l, unsigned style, int indent, const char *text, size_t len)
{
    if (l->count == l->cap) {
        const int cap = l->cap ? 2 * l->cap : 64;
        line *grown = (line *)realloc(l->line, (size_t)cap * sizeof *grown);
        if (!grown) {
            l->failed = true;
            return;
        }
        l->line = grown;
        l->cap = cap;
    }
    while (len > 0 && text[len - 1] == ' ') /* where it was broken */
        len--;
    char *kept = strndup(text, len);
    l->failed = l->failed || !kept;
    if (kept)
        l->line[l->count++] = (line){.style = style, .indent = indent, .text = kept};
}

__attribute__((format(printf, 4, 5))) static void add(lines *l, unsigned style, int indent,
                                                      const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    const char *rest = text;
    int deep = indent;
    do { /* what is left of a long line stands deeper */
        const int room = screen_width(l->s) - deep;
        const size_t len = screen_break(l->s, rest, room > 8 ? room : 8);
        add_line(l, style, deep, rest, len);
        rest += len;
        deep = indent + 2;
    } while (*rest);
}

static void head(lines *l, const char *text)
{
    add(l, ST_PLAIN, 0, " ");
    add(l, ST_BOLD, 1, "%s", text);
}

static bool show(screen *s, lines *l, top_ui *ui, int y, int end)
{
    const int rows = end - y;
    ui->scroll_limit = l->count > rows ? l->count - rows : 0;
    ui->page = rows > 1 ? rows - 1 : 1;
    if (ui->scroll > ui->scroll_limit)
        ui->scroll = ui->scroll_limit;
    for (int i = ui->scroll; i < l->count && y < end; i++, y++)
        screen_put(s, l->line[i].indent, y, screen_width(s), l->line[i].style, l->line[i].text);
    if (ui->scroll < ui->scroll_limit && rows > 1)
        screen_put_right(s, screen_width(s) - 8, end - 1, 7, ST_REVERSE, " more ");
    for (int i = 0; i < l->count; i++)
        free(l->line[i].text);
    free(l->line);
    return !l->failed;
}

/* --- incidents -------------------------------------------------------------------------------- */

/* The detector looks at one thing from several sides; a person needs to be told once. */
static bool told_before(const top_incident *inc, uint32_t part, uint32_t index)
{
    const stg_item *a = &inc->item[index];
    for (uint32_t i = inc->first[part]; i < index; i++) {
        const stg_item *b = &inc->item[i];
        if (strcmp(a->column, b->column) == 0 && strcmp(a->node, b->node) == 0 &&
            strcmp(a->src, b->src) == 0 && strcmp(a->dst, b->dst) == 0 && strcmp(a->route, b->route) == 0)
            return true;
    }
    return false;
}

static void add_items(lines *l, const top_incident *inc, uint32_t part, const char *title)
{
    char label[LABEL], seen[WORD], expected[WORD];
    if (inc->first[part] == inc->first[part + 1])
        return;
    head(l, title);
    for (uint32_t i = inc->first[part]; i < inc->first[part + 1]; i++) {
        const stg_item *item = &inc->item[i];
        if (told_before(inc, part, i))
            continue;
        top_label_item(l->s, label, item);
        if (part == STG_ITEM_CAUSE) {
            add(l, ST_PLAIN, 3, "%" PRIu32 ". %s   score %.1f", i - inc->first[part] + 1, label, item->value);
        } else if (part != STG_ITEM_EVIDENCE) {
            add(l, ST_PLAIN, 3, "%s", label);
        } else if (isnan(item->observed)) {
            add(l, ST_PLAIN, 3, "%s of %s", item->column, label);
        } else {
            top_word_column(l->s, seen, item->column, item->observed);
            top_word_column(l->s, expected, item->column, item->expected);
            top_word_right(l->s, seen, 8);
            top_word_right(l->s, expected, 8);
            add(l, ST_PLAIN, 3, "%-16s %s  expected %s   %s", item->column, seen, expected, label);
        }
    }
}

static void add_actions(lines *l, const top_incident *inc)
{
    char label[LABEL];
    head(l, "Proposed");
    if (inc->actions == 0)
        add(l, ST_DIM, 3, "nothing");
    for (uint32_t i = 0; i < inc->actions; i++) {
        const stg_action *act = &inc->action[i];
        top_label_action(l->s, label, act);
        add(l, inc->withdrawn ? ST_DIM : ST_BOLD, 3, "%s%s%s", label, act->dry_run ? "  (dry run)" : "",
            inc->withdrawn ? "  withdrawn" : "");
        add(l, ST_PLAIN, 5, "%s", act->reason);
    }
}

static void add_incident(lines *l, const top_data *d, const top_incident *inc)
{
    char opened[WORD], onset[WORD], until[WORD], span[WORD];
    const int state = inc->benign ? ROW_BENIGN : ROW_ATTACK;
    const uint64_t end = inc->closed_ns ? inc->closed_ns : d->judgement.end_ns;
    top_word_clock(opened, inc->opened_ns, true);
    top_word_clock(onset, inc->onset_ns, false);
    top_word_clock(until, end, false);
    top_word_span(span, end > inc->opened_ns ? end - inc->opened_ns : 0);
    add(l, top_state_style(state), 1, "%s %s%s  confidence %.0f%%  severity %.1f  incident %016" PRIx64,
        top_symbol(l->s, top_state_symbol(state)), inc->class_name, inc->benign ? " (benign)" : "",
        100 * inc->confidence, inc->severity, inc->id);
    add(l, ST_PLAIN, 3, "%s", inc->text);
    add(l, ST_DIM, 3, "opened %s UTC, began %s, %s %s%s%s", opened, onset, inc->closed_ns ? "closed" : "open",
        inc->closed_ns ? until : "for ", inc->closed_ns ? " after " : "", span);
    if (inc->technique[0])
        add(l, ST_DIM, 3, "%s", inc->technique);
    add_actions(l, inc);
    add_items(l, inc, STG_ITEM_CAUSE, "Causes, the likeliest first");
    add_items(l, inc, STG_ITEM_EVIDENCE, "Evidence");
    add_items(l, inc, STG_ITEM_NODE, "Services in it");
    add_items(l, inc, STG_ITEM_EDGE, "Edges in it");
}

bool top_preview(screen *s, const top_incident *inc, int y, int end)
{
    lines l = {.s = s};
    top_ui none = {0};
    add(&l, ST_PLAIN, 2, "%s", inc->text);
    char label[LABEL];
    for (uint32_t i = 0; i < inc->actions; i++) {
        top_label_action(s, label, &inc->action[i]);
        add(&l, inc->withdrawn ? ST_DIM : ST_BOLD, 2, "%s %s%s", inc->withdrawn ? "withdrawn:" : "proposed:",
            label, inc->action[i].dry_run ? "  (dry run)" : "");
    }
    if (inc->actions == 0)
        add(&l, ST_DIM, 2, "nothing is proposed");
    return show(s, &l, &none, y, end);
}

/* --- services and edges ----------------------------------------------------------------------- */

/* Columns that a person may want to see, as a value of the window or as a rate. */
static const struct {
    const char *column;
    const char *name;
    bool rate;
} fact[] = {
    {"calls", "calls/s", true}, {"errors", "errors/s", true}, {"client_errors", "4xx answers/s", true},
    {"timeouts", "timeouts/s", true}, {"retries", "retries/s", true}, {"logins", "logins/s", true},
    {"login_failures", "failed logins/s", true}, {"registers", "registrations/s", true},
    {"injections", "payload rules hit/s", true}, {"p50_us", "p50", false}, {"p99_us", "p99", false},
    {"mean_us", "mean", false}, {"bytes_in", "bytes in/s", true}, {"bytes_out", "bytes out/s", true},
    {"clients", "distinct clients", false}, {"new_group_calls", "from new networks/s", true},
    {"open", "open connections", false}, {"waiting_headers", "unfinished requests", false},
    {"in_flight", "in flight", false}, {"oldest_conn_ms", "oldest connection", false},
};

static void add_facts(lines *l, const top_data *d, uint32_t kind, const top_row *row)
{
    char seen[WORD], expected[WORD], departure[WORD];
    const double seconds = (double)d->window_ns / 1e9;
    add(l, ST_BOLD, 1, "%-22s %10s %10s %8s", "Window", "seen", "forecast", "dev");
    for (size_t i = 0; i < sizeof fact / sizeof *fact; i++) {
        const double by = fact[i].rate ? seconds : 1;
        const double v = top_data_value(d, kind, row->index, fact[i].column) / by;
        const double f = top_data_forecast(d, kind, row->index, fact[i].column) / by;
        if (isnan(v) || (v == 0 && (isnan(f) || f == 0)))
            continue; /* what does not happen here */
        top_word_column(l->s, seen, fact[i].column, v);
        top_word_column(l->s, expected, fact[i].column, f);
        top_word_departure(departure, v, f);
        top_word_right(l->s, seen, 10);
        top_word_right(l->s, expected, 10);
        add(l, ST_PLAIN, 3, "%-20s %s %s %8s", fact[i].name, seen, isnan(f) ? "" : expected,
            isnan(f) ? "" : departure);
    }
}

/* Edges into (end 1) or out of (end 0) a service. */
static void add_neighbours(lines *l, const top_data *d, const char *name, int end, const char *title)
{
    char label[LABEL], rate[WORD], errors[WORD], p50[WORD], departure[WORD];
    bool any = false;
    for (uint32_t i = 0; i < d->count[STG_EDGE]; i++) {
        const top_row *e = &d->row[STG_EDGE][i];
        if (strcmp(e->name[end], name) != 0 || !(e->rate > 0))
            continue;
        if (!any)
            head(l, title);
        any = true;
        snprintf(label, sizeof label, "%s  %s", e->name[1 - end], e->name[2]);
        top_word_rate(rate, e->rate);
        top_word_departure(departure, e->rate, e->forecast);
        top_word_percent(errors, e->errors);
        top_word_time(l->s, p50, e->p50_us);
        top_word_right(l->s, p50, 7);
        add(l, top_state_style(e->state), 3, "%s %7s/s %6s  err %5s  p50 %s   %s",
            top_symbol(l->s, top_state_symbol(e->state)), rate, departure, errors, p50, label);
    }
}

static void add_row(lines *l, const top_data *d, uint32_t kind, const top_row *row)
{
    char label[LABEL];
    top_label_row(l->s, label, row->name);
    add(l, top_state_style(row->state) | ST_BOLD, 1, "%s %s", top_symbol(l->s, top_state_symbol(row->state)),
        label);
    add(l, ST_PLAIN, 0, " ");
    add_facts(l, d, kind, row);
    if (kind == STG_NODE) {
        add_neighbours(l, d, row->name[0], 1, "Called by");
        add_neighbours(l, d, row->name[0], 0, "Calls");
    }
    for (uint32_t i = 0; i < d->incidents; i++) {
        const top_incident *inc = d->incident[i];
        if (inc->closed_ns || !top_incident_has(inc, kind, row->name))
            continue;
        head(l, "Incident");
        add_incident(l, d, inc);
    }
}

/* --- help ------------------------------------------------------------------------------------- */

static void add_help(lines *l)
{
    static const char *const key[][2] = {
        {"q", "quit"},
        {"space p", "pause; on a live input the tables stand still and incidents go on"},
        {"n right", "one window on, while paused"},
        {"+ -", "twice as fast, half as fast"},
        {"up down j k", "select; page up, page down, home, end"},
        {"enter", "the selected service, edge or incident in full; esc goes back"},
        {"tab 1 2 3", "services, edges, incidents"},
        {"s S", "next order, the other way round"},
        {"/", "show only names that hold a text; esc shows all"},
        {"?", "this help"},
    };
    add(l, ST_BOLD, 1, "Keys");
    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        add(l, ST_PLAIN, 3, "%-12s %s", key[i][0], key[i][1]);
    head(l, "Signs");
    static const struct {
        int state;
        const char *text;
    } sign[] = {{ROW_ATTACK, "in an incident"}, {ROW_BENIGN, "in a benign incident: crowd, deploy, cascade"},
                {ROW_ODD, "far off its forecast, no incident"}, {ROW_NEW, "no forecast yet"},
                {ROW_IDLE, "no calls in this window"}};
    for (size_t i = 0; i < sizeof sign / sizeof *sign; i++)
        add(l, top_state_style(sign[i].state), 3, "%s            %s",
            top_symbol(l->s, top_state_symbol(sign[i].state)), sign[i].text);
    add(l, ST_PLAIN, 3, "%s            closed", top_symbol(l->s, SYM_CLOSED));
    head(l, "Numbers");
    add(l, ST_PLAIN, 3, "Rates are calls a second in the window shown. The bar is the departure of the "
                        "rate from its forecast, in units of what chance and a forecast one tenth off "
                        "make: to the left less, to the right more, full at five. Evidence is the "
                        "logarithm of the strongest stream's, as a part of that of the alarm level.");
}

bool top_detail(screen *s, top_ui *ui, const top_data *d, int y, int end)
{
    lines l = {.s = s};
    const top_incident *inc = top_selected_incident(ui, d);
    const top_row *row = top_selected_row(ui, d);
    if (ui->help)
        add_help(&l);
    else if (inc)
        add_incident(&l, d, inc);
    else if (row)
        add_row(&l, d, (uint32_t)ui->pane, row);
    else
        add(&l, ST_DIM, 1, "nothing is selected");
    return show(s, &l, ui, y, end);
}
