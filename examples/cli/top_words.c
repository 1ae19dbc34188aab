/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, times and names as the tables and details of 'stgraph top' write them. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "top_view.h"

const char *top_symbol(const screen *s, int symbol)
{
    static const char *const known[SYM_COUNT][2] = {
        [SYM_ATTACK] = {"\u25b2", "!"}, [SYM_BENIGN] = {"\u25c6", "*"}, [SYM_ODD] = {"\u223c", "~"},
        [SYM_OK] = {" ", " "}, [SYM_IDLE] = {"\u00b7", "."}, [SYM_NEW] = {"+", "+"},
        [SYM_CLOSED] = {"\u25cb", "o"}, [SYM_ARROW] = {"\u2192", ">"}, [SYM_UP] = {"\u25b4", "^"},
        [SYM_DOWN] = {"\u25be", "v"}, [SYM_RUN] = {"\u25b6", ">"}, [SYM_PAUSE] = {"\u2016", "="},
        [SYM_END] = {"\u25a0", "#"}, [SYM_MIDDLE] = {"\u2502", "|"}, [SYM_FULL] = {"\u2588", "#"},
        [SYM_HALF_LEFT] = {"\u258c", ">"}, [SYM_HALF_RIGHT] = {"\u2590", "<"},
        [SYM_MU] = {"\u00b5", "u"}, [SYM_DASH] = {"\u2013", "-"},
    };
    return known[symbol][screen_utf8(s) ? 0 : 1];
}

int top_state_symbol(int state)
{
    static const int symbol[] = {SYM_IDLE, SYM_OK, SYM_NEW, SYM_ODD, SYM_BENIGN, SYM_ATTACK};
    return symbol[state];
}

unsigned top_state_style(int state)
{
    static const unsigned style[] = {ST_DIM, ST_PLAIN, ST_PLAIN, ST_BOLD, ST_BLUE | ST_BOLD,
                                     ST_ORANGE | ST_BOLD};
    return style[state];
}

void top_word_count(char *to, double v)
{
    if (v == round(v) && fabs(v) < 9999.5)
        snprintf(to, WORD, "%.0f", v);
    else
        top_word_rate(to, v);
}

void top_word_rate(char *to, double v)
{
    static const char *const unit[] = {"", "k", "M", "G", "T"};
    size_t u = 0;
    if (isnan(v)) {
        snprintf(to, WORD, "-");
        return;
    }
    if (fabs(v) < 0.005 && v != 0) {
        snprintf(to, WORD, "<0.01");
        return;
    }
    while (fabs(v) >= (u ? 999.5 : 9999.5) && u + 1 < sizeof unit / sizeof *unit) {
        v /= 1000;
        u++;
    }
    const double a = fabs(v);
    const int digits = a >= 99.95 || v == 0 ? 0 : a >= 0.995 ? 1 : 2;
    snprintf(to, WORD, "%.*f%s", digits, v, unit[u]);
}

void top_word_time(const screen *s, char *to, double us)
{
    if (isnan(us))
        snprintf(to, WORD, "-");
    else if (us < 999.5)
        snprintf(to, WORD, "%.0f%ss", us, top_symbol(s, SYM_MU));
    else if (us < 999.5e3)
        snprintf(to, WORD, "%.*fms", us < 99.95e3 ? 1 : 0, us / 1e3);
    else
        snprintf(to, WORD, "%.*fs", us < 99.95e6 ? 1 : 0, us / 1e6);
}

void top_word_percent(char *to, double share)
{
    const double p = 100 * share;
    if (isnan(p))
        snprintf(to, WORD, "-");
    else if (p > 0 && p < 0.1)
        snprintf(to, WORD, "<0.1%%");
    else
        snprintf(to, WORD, "%.*f%%", p == 0 || p >= 9.95 ? 0 : 1, p);
}

void top_word_departure(char *to, double v, double expected)
{
    if (isnan(v) || isnan(expected) || (v == 0 && expected == 0)) {
        snprintf(to, WORD, "-");
        return;
    }
    const double ratio = v / expected;
    if (ratio >= 99.5)
        snprintf(to, WORD, "x>99");
    else if (ratio >= 9.95)
        snprintf(to, WORD, "x%.0f", ratio);
    else if (ratio >= 2.995)
        snprintf(to, WORD, "x%.1f", ratio);
    else if (fabs(ratio - 1) < 0.005)
        snprintf(to, WORD, "0%%");
    else
        snprintf(to, WORD, "%+.0f%%", 100 * ratio - 100);
}

void top_word_clock(char *to, uint64_t ns, bool date)
{
    const time_t seconds = (time_t)(ns / 1000000000u);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(to, WORD, date ? "%Y-%m-%d %H:%M:%S" : "%H:%M:%S", &tm) == 0)
        snprintf(to, WORD, "-");
}

void top_word_span(char *to, uint64_t ns)
{
    const uint64_t s = ns / 1000000000u;
    if (s < 60)
        snprintf(to, WORD, "%" PRIu64 "s", s);
    else if (s < 3600)
        snprintf(to, WORD, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
    else if (s < 86400)
        snprintf(to, WORD, "%" PRIu64 "h%02" PRIu64 "m", s / 3600, s / 60 % 60);
    else
        snprintf(to, WORD, "%" PRIu64 "d%02" PRIu64 "h", s / 86400, s / 3600 % 24);
}

static bool ends_with(const char *text, const char *tail)
{
    const size_t n = strlen(text);
    const size_t t = strlen(tail);
    return n >= t && strcmp(text + n - t, tail) == 0;
}

void top_word_column(const screen *s, char *to, const char *column, double v)
{
    if (ends_with(column, "_us"))
        top_word_time(s, to, v);
    else if (ends_with(column, "_ms"))
        top_word_time(s, to, 1000 * v);
    else
        top_word_count(to, v);
}

void top_word_right(const screen *s, char *word, int width)
{
    const size_t len = strlen(word);
    const int short_by = width - screen_measure(s, word, WORD);
    if (short_by <= 0 || len + (size_t)short_by >= WORD)
        return;
    memmove(word + short_by, word, len + 1);
    memset(word, ' ', (size_t)short_by);
}

void top_label_row(const screen *s, char *to, const char *const *name)
{
    if (!name[1][0])
        snprintf(to, LABEL, "%s", name[0]);
    else
        snprintf(to, LABEL, "%s %s %s%s%s", name[0], top_symbol(s, SYM_ARROW), name[1],
                 name[2][0] ? "  " : "", name[2]);
}

void top_label_item(const screen *s, char *to, const stg_item *item)
{
    const char *const node[] = {item->node, "", ""};
    const char *const edge[] = {item->src, item->dst, item->route};
    top_label_row(s, to, item->node[0] ? node : edge);
}

void top_label_action(const screen *s, char *to, const stg_action *act)
{
    char where[LABEL];
    char value[WORD];
    const char *const node[] = {act->node, "", ""};
    const char *const edge[] = {act->src, act->node, act->route};
    top_label_row(s, where, act->src[0] ? edge : node);
    top_word_count(value, act->value);
    if (act->kind == STG_ACTION_SCALE)
        snprintf(to, LABEL, "%s %.900s to %s", act->verb, where, value);
    else
        snprintf(to, LABEL, "%s %s%s on %.900s", act->verb, value,
                 act->kind == STG_ACTION_LIMIT ? "/s" : "s", where);
}
