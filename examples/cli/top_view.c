/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of 'stgraph top': head, tabs, the pane at hand, a strip of incidents, foot. */
#include "top_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const char keys[] = "q quit  space pause  n next  enter detail  tab pane  s sort  / filter  ? help";

/* A label and its value, when both fit; x moves on. */
static void segment(screen *s, int *x, int y, const char *label, const char *value, unsigned style)
{
    const int need = screen_measure(s, label, 200) + screen_measure(s, value, 200) + (label[0] != '\0');
    if (*x + need > screen_width(s))
        return;
    if (label[0])
        *x += screen_put(s, *x, y, need, ST_DIM, label) + 1;
    *x += screen_put(s, *x, y, need, style, value) + 3;
}

/* How the replay goes: a sign and a word. */
static void run_word(const screen *s, const top_ui *ui, char *to)
{
    const char *run = top_symbol(s, SYM_RUN);
    if (ui->batch)
        to[0] = '\0';
    else if (ui->ended)
        snprintf(to, WORD, "  %s end", top_symbol(s, SYM_END));
    else if (ui->paused)
        snprintf(to, WORD, "  %s paused", top_symbol(s, SYM_PAUSE));
    else if (ui->live)
        snprintf(to, WORD, "  %s live", run);
    else if (ui->speed > 0)
        snprintf(to, WORD, "  %s %gx", run, ui->speed);
    else
        snprintf(to, WORD, "  %s max", run);
}

static void draw_title(screen *s, const top_ui *ui, const top_data *d)
{
    char begin[WORD], until[WORD], span[WORD], run[WORD], right[8 * WORD];
    const int width = screen_width(s);
    run_word(s, ui, run);
    top_word_span(span, d->window_ns);
    if (d->graph) {
        top_word_clock(begin, d->info.start_ns, true);
        top_word_clock(until, d->info.end_ns, false);
        snprintf(right, sizeof right, "%s%s%s UTC  window %s%s", begin, top_symbol(s, SYM_DASH), until, span,
                 run);
    } else {
        snprintf(right, sizeof right, "waiting for a window of %s", span);
    }
    const int need = screen_measure(s, right, width);
    const int name = screen_put(s, 0, 0, width, ST_BOLD | ST_REVERSE, " stgraph top ");
    if (need + name + 1 > width) { /* the time of day is what matters */
        screen_put(s, name + 1, 0, width - name - 1, ST_BOLD, d->graph ? until : right);
        return;
    }
    const int room = width - need - name - 3;
    const char *tail = strrchr(ui->source, '/');
    const bool whole = !tail || screen_measure(s, ui->source, room) <= room;
    screen_put_right(s, width - need, 0, need, ST_BOLD, right);
    screen_put(s, name + 1, 0, room, ST_PLAIN, whole ? ui->source : tail + 1);
}

static void draw_course(screen *s, const top_data *d, int x, int y)
{
    static const char *const block[] = {"\u2581", "\u2582", "\u2583", "\u2584",
                                        "\u2585", "\u2586", "\u2587", "\u2588"};
    static const char label[] = "trend";
    const int room = screen_width(s) - x - (int)sizeof label;
    const int count = d->history_len < room ? d->history_len : room;
    float most = 1e-9f;
    if (!screen_utf8(s) || room < 8)
        return;
    x += screen_put(s, x, y, room, ST_DIM, label) + 1;
    const float *from = d->history + d->history_len - count;
    for (int i = 0; i < count; i++)
        most = fmaxf(most, from[i]);
    for (int i = 0; i < count; i++)
        screen_put(s, x + i, y, 1, ST_BLUE, block[(int)lroundf(fminf(from[i] / most, 1) * 7)]);
}

static void draw_traffic(screen *s, const top_data *d, int y)
{
    const top_total *t = &d->total;
    char word[WORD], departure[WORD], text[3 * WORD];
    int x = 1;
    top_word_rate(word, t->rate);
    segment(s, &x, y, "calls/s", word, ST_BOLD);
    top_word_rate(word, t->forecast);
    top_word_departure(departure, t->rate, t->forecast);
    snprintf(text, sizeof text, isnan(t->forecast) ? "none yet" : "%s (%s)", word, departure);
    segment(s, &x, y, "forecast", text, ST_PLAIN);
    top_word_rate(word, t->outside);
    segment(s, &x, y, "from outside", word, ST_PLAIN);
    top_word_percent(word, t->errors);
    segment(s, &x, y, "errors", word, t->errors >= 0.05 ? ST_ORANGE | ST_BOLD : ST_PLAIN);
    draw_course(s, d, x, y);
}

static void draw_judgement(screen *s, const top_data *d, int y)
{
    const top_total *t = &d->total;
    char text[4 * WORD];
    int x = 1;
    snprintf(text, sizeof text, "%s %" PRIu64 " open", top_symbol(s, SYM_ATTACK), t->attacks);
    segment(s, &x, y, "incidents", t->attacks ? text : "0 open", t->attacks ? ST_ORANGE | ST_BOLD : ST_BOLD);
    if (t->benign) {
        snprintf(text, sizeof text, "%s %" PRIu64 " benign", top_symbol(s, SYM_BENIGN), t->benign);
        segment(s, &x, y, "", text, ST_BLUE | ST_BOLD);
    }
    snprintf(text, sizeof text, "%" PRIu64 " closed", t->closed);
    segment(s, &x, y, "", text, ST_PLAIN);
    if (d->judgement.judged && d->judgement.alarm_level > 1) {
        const double share = log(fmax(d->judgement.evidence, 1)) / log(d->judgement.alarm_level);
        snprintf(text, sizeof text, "%.0f%% of alarm", 100 * share);
        segment(s, &x, y, "evidence", text, share >= 1 ? ST_ORANGE | ST_BOLD : ST_PLAIN);
    } else {
        segment(s, &x, y, "evidence", "not judged", ST_BLUE);
    }
    if (!isnan(d->info.coverage) && d->graph) {
        snprintf(text, sizeof text, "%.0f%%", 100 * d->info.coverage);
        segment(s, &x, y, "coverage", text, d->info.coverage < 1 ? ST_ORANGE | ST_BOLD : ST_PLAIN);
    }
    snprintf(text, sizeof text, "%" PRIu64 "/%" PRIu64, t->judged, t->windows);
    segment(s, &x, y, "judged", text, ST_PLAIN);
    snprintf(text, sizeof text, "%" PRIu64, d->ledger.late);
    segment(s, &x, y, "late", text, d->ledger.late ? ST_BOLD : ST_PLAIN);
    snprintf(text, sizeof text, "%" PRIu64, d->ledger.refused);
    segment(s, &x, y, "refused", text, d->ledger.refused ? ST_ORANGE | ST_BOLD : ST_PLAIN);
}

static const char *const pane_name[PANES] = {"Services", "Edges", "Incidents"};

static void draw_tabs(screen *s, const top_ui *ui, int y)
{
    char text[256];
    int x = 0;
    for (int p = 0; p < PANES; p++) {
        snprintf(text, sizeof text, " %d %s %" PRIu32 " ", p + 1, pane_name[p], ui->list[p].count);
        const unsigned style = p == ui->pane ? ST_BOLD | ST_REVERSE : ST_PLAIN;
        x += screen_put(s, x, y, screen_width(s) - x, style, text) + 1;
    }
    const top_list *l = &ui->list[ui->pane];
    snprintf(text, sizeof text, "%s%.150s%ssorted by %s %s", ui->filter[0] ? "filter " : "", ui->filter,
             ui->filter[0] ? "   " : "", top_sort_name(ui->pane, l->sort),
             top_symbol(s, l->reverse ? SYM_UP : SYM_DOWN));
    if (x < screen_width(s))
        screen_put_right(s, x, y, screen_width(s) - x - 1, ST_DIM, text);
}

static void draw_foot(screen *s, const top_ui *ui, int y)
{
    char text[sizeof ui->filter + 8];
    const int width = screen_width(s);
    if (ui->typing) {
        snprintf(text, sizeof text, "/%s", ui->filter);
        const int used = screen_put(s, 0, y, width - 1, ST_BOLD, text);
        screen_put(s, used, y, 1, ST_REVERSE, " ");
        screen_put(s, used + 3, y, width - used - 3, ST_DIM, "enter keeps the filter, esc drops it");
    } else if (ui->message[0]) {
        screen_put(s, 1, y, width - 1, ST_ORANGE, ui->message);
    } else if (ui->detail || ui->help) {
        screen_put(s, 1, y, width - 1, ST_DIM, "esc back  arrows scroll  space pause  n next  q quit");
    } else {
        screen_put(s, 1, y, width - 1, ST_DIM, keys);
    }
}

/* Rows of the strip below the services and edges: a title and what is open. */
static int strip_height(const top_ui *ui, const top_data *d, int height)
{
    const uint64_t open = d->total.attacks + d->total.benign;
    if (ui->pane == PANE_INCIDENTS)
        return height >= 14 ? 6 : 0;
    if (height < 12)
        return 0;
    const int most = height >= 24 ? 6 : 3;
    return open == 0 ? 1 : 1 + (open < (uint64_t)most ? (int)open : most);
}

static bool draw_strip(screen *s, const top_ui *ui, const top_data *d, int y, int end)
{
    if (ui->pane == PANE_INCIDENTS) {
        const top_incident *inc = top_selected_incident(ui, d);
        screen_mark(s, 0, y, screen_width(s), ST_LINE);
        return !inc || top_preview(s, inc, y + 1, end);
    }
    if (d->total.attacks + d->total.benign == 0) {
        screen_put(s, 2, y, screen_width(s) - 2, ST_DIM, "no incident is open");
        return true;
    }
    top_ui open = *ui; /* the strip has no filter of its own and begins at the top */
    open.list[PANE_INCIDENTS].first = 0;
    top_table(s, &open, d, PANE_INCIDENTS, y, end, false);
    return true;
}

/* Keeps the selected row on the screen. */
static void scroll_to(top_list *l, int rows)
{
    const uint32_t n = rows > 0 ? (uint32_t)rows : 1;
    if (l->at < l->first)
        l->first = l->at;
    if (l->at >= l->first + n)
        l->first = l->at - n + 1;
    if (l->first + n > l->count)
        l->first = l->count > n ? l->count - n : 0;
}

bool top_draw(screen *s, top_ui *ui, const top_data *d, int width, int height)
{
    if (!screen_begin(s, width, height) || !top_lists_update(ui, d))
        return false;
    height = screen_height(s);
    int y = 1;
    int end = height;
    draw_title(s, ui, d);
    if (height >= 10) {
        draw_traffic(s, d, 1);
        draw_judgement(s, d, 2);
        y = 3;
    }
    if (height >= 6)
        draw_tabs(s, ui, y++);
    if (height >= 4)
        draw_foot(s, ui, --end);
    if (ui->detail || ui->help)
        return top_detail(s, ui, d, y, end);
    const int strip = strip_height(ui, d, end - y);
    const int rows = end - strip - y;
    ui->page = rows > 2 ? rows - 1 : 1;
    scroll_to(&ui->list[ui->pane], rows >= 2 ? rows - 1 : rows);
    top_table(s, ui, d, ui->pane, y, end - strip, true);
    return strip == 0 || draw_strip(s, ui, d, end - strip, end);
}

bool top_draw_batch(screen *s, top_ui *ui, const top_data *d, int width)
{
    if (!top_lists_update(ui, d))
        return false;
    int height = 3;
    for (int p = 0; p < PANES; p++)
        height += 2 + (ui->list[p].count ? (int)ui->list[p].count : 1);
    if (!screen_begin(s, width, height))
        return false;
    draw_title(s, ui, d);
    draw_traffic(s, d, 1);
    draw_judgement(s, d, 2);
    int y = 3;
    for (int p = 0; p < PANES; p++) {
        const int rows = ui->list[p].count ? (int)ui->list[p].count : 1;
        top_table(s, ui, d, p, y + 1, y + 2 + rows, false);
        y += 2 + rows;
    }
    return true;
}
