/* SPDX-License-Identifier: Apache-2.0 */
/* Sums the matches of all recordings and prints them as a table or as JSON lines. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

static bool within(const eval_event *e, uint64_t t, uint64_t tail)
{
    return t >= e->start_ns && t <= e->end_ns + tail;
}

static void count_classes(eval_tally *t, const eval_event *e, const eval_run *run)
{
    size_t c = 0;
    while (c < t->classes_count && strcmp(t->classes[c].name, e->class_name) != 0)
        c++;
    if (c == sizeof t->classes / sizeof *t->classes)
        return;
    if (c == t->classes_count) {
        memcpy(t->classes[c].name, e->class_name, sizeof t->classes[c].name);
        t->classes_count++;
    }
    const int strong = e->strength >= 1;
    t->classes[c].attacks[strong]++;
    if (e->found < 0)
        return;
    t->classes[c].found[strong]++;
    if (strcmp(run->incidents[e->found].class_name, e->class_name) == 0) {
        t->classes[c].named++;
        t->named++;
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The fixed list: the targets that attacks of this recording hit most, the best there can be. */
static void constant_list(const eval_run *run, eval_place list[EVAL_CAUSES])
{
    memset(list, 0, EVAL_CAUSES * sizeof *list);
    for (int k = 0; k < EVAL_CAUSES; k++) {
        size_t best = 0;
        for (size_t i = 0; i < run->events_count; i++) {
            size_t same = 0;
            if (!run->events[i].attack || eval_rank(&run->events[i], list, k) >= 0)
                continue;
            for (size_t j = 0; j < run->events_count; j++)
                same += run->events[j].attack &&
                        eval_same_place(&run->events[j].node, &run->events[i].node);
            if (same > best) {
                best = same;
                list[k] = run->events[i].node;
            }
        }
    }
}

static void count_causes(eval_tally *t, const eval_run *run)
{
    eval_place list[EVAL_CAUSES];
    constant_list(run, list);
    for (size_t e = 0; e < run->events_count; e++) {
        const eval_event *event = &run->events[e];
        for (size_t i = 0; event->attack && i < run->incidents_count; i++) {
            const eval_incident *inc = &run->incidents[i];
            if (!within(event, inc->opened_ns, EVAL_GRACE_NS))
                continue;
            const int ours = eval_rank(event, inc->cause, EVAL_CAUSES);
            const int naive = eval_rank(event, inc->loudest, EVAL_CAUSES);
            const int fixed = eval_rank(event, list, EVAL_CAUSES);
            t->ranked++;
            t->first += ours == 0;
            t->third += ours >= 0;
            t->naive_first += naive == 0;
            t->naive_third += naive >= 0;
            t->constant_first += fixed == 0;
            t->constant_third += fixed >= 0;
            break; /* the first incident within the attack */
        }
    }
}

static void count_incident(eval_tally *t, const eval_run *run, const eval_incident *inc)
{
    bool attack = false;
    bool confounder = false;
    bool flash = false;
    for (size_t e = 0; e < run->events_count; e++) {
        if (!within(&run->events[e], inc->opened_ns, EVAL_TAIL_NS))
            continue;
        attack |= run->events[e].attack;
        confounder |= !run->events[e].attack;
        flash |= strcmp(run->events[e].class_name, "flash_crowd") == 0;
    }
    t->incidents++;
    t->false_incidents += !attack && !confounder;
    t->confounder_incidents += !attack && confounder;
    t->flash_limits += !attack && flash && inc->limited;
}

/* Seconds outside events, and of these in alarm, second by second. */
static void count_time(eval_tally *t, const eval_run *run)
{
    for (uint64_t now = run->start_ns; now < run->end_ns; now += 1000000000u) {
        bool event = false;
        bool alarm = false;
        for (size_t e = 0; e < run->events_count && !event; e++)
            event = within(&run->events[e], now, EVAL_TAIL_NS);
        for (size_t i = 0; i < run->incidents_count && !alarm; i++)
            alarm = now >= run->incidents[i].opened_ns && now < run->incidents[i].closed_ns;
        t->outside_s += !event;
        t->alarm_s += !event && alarm;
    }
    t->hours += (double)(run->end_ns - run->start_ns) / 3.6e12;
}

void eval_add(eval_tally *t, const eval_run *run)
{
    double *grown =
        (double *)realloc(t->delays, (t->delays_count + run->events_count + 1) * sizeof *grown);
    if (grown)
        t->delays = grown;
    for (size_t e = 0; e < run->events_count; e++) {
        const eval_event *event = &run->events[e];
        if (!event->attack) {
            t->confounders++;
            continue;
        }
        const int strong = event->strength >= 1;
        count_classes(t, event, run);
        if (strcmp(event->class_name, "xss") != 0) { /* injection is reported apart */
            t->attacks[strong]++;
            t->found[strong] += event->found >= 0;
        }
        if (event->found >= 0 && grown)
            t->delays[t->delays_count++] =
                ((double)run->incidents[event->found].opened_ns - (double)event->first_ns) / 1e9;
    }
    for (size_t i = 0; i < run->incidents_count; i++)
        count_incident(t, run, &run->incidents[i]);
    count_causes(t, run);
    count_time(t, run);
    qsort(t->delays, t->delays_count, sizeof *t->delays, by_value);
}

void eval_tally_free(eval_tally *t)
{
    free(t->delays);
    t->delays = NULL;
}

/* P(X <= k) of a Poisson variable. */
static double poisson_cdf(uint32_t k, double mean)
{
    double term = exp(-mean);
    double sum = term;
    for (uint32_t i = 1; i <= k; i++) {
        term *= mean / i;
        sum += term;
    }
    return sum;
}

/* Exact 95 % interval of a Poisson mean after k events (Garwood 1936), by bisection. */
static void poisson_interval(uint32_t k, double *lo, double *hi)
{
    double a = 0;
    double b = k + 20.0 + 6 * sqrt(k + 1.0);
    const double top = b;
    for (int i = 0; i < 80; i++) {
        const double mid = (a + b) / 2;
        if (poisson_cdf(k, mid) > 0.025)
            a = mid;
        else
            b = mid;
    }
    *hi = a;
    a = 0;
    b = top;
    for (int i = 0; k > 0 && i < 80; i++) {
        const double mid = (a + b) / 2;
        if (1 - poisson_cdf(k - 1, mid) < 0.025)
            a = mid;
        else
            b = mid;
    }
    *lo = k ? a : 0;
}

static double share(uint32_t part, uint32_t whole)
{
    return whole ? (double)part / whole : NAN;
}

static double median(const eval_tally *t)
{
    const size_t n = t->delays_count;
    if (!n)
        return NAN;
    return n % 2 ? t->delays[n / 2] : (t->delays[n / 2 - 1] + t->delays[n / 2]) / 2;
}

static void json_line(const char *dataset, const char *part, const char *method, const char *metric,
                      double value, double lo, double hi)
{
    printf("{\"dataset\":\"%s\",\"part\":\"%s\",\"method\":\"%s\",\"metric\":\"%s\"", dataset, part,
           method, metric);
    const double v[3] = {value, lo, hi};
    static const char *const key[3] = {"value", "lo", "hi"};
    for (int i = 0; i < 3; i++) {
        if (isfinite(v[i]))
            printf(",\"%s\":%.6g", key[i], v[i]);
        else if (i == 0)
            printf(",\"%s\":null", key[i]);
    }
    puts("}");
}

static void print_json(const eval_tally *t, const char *d)
{
    double lo;
    double hi;
    poisson_interval(t->false_incidents, &lo, &hi);
    const double per2h = t->hours > 0 ? 2 / t->hours : NAN;
    json_line(d, "all", t->method, "recall_ge1", share(t->found[1], t->attacks[1]), NAN, NAN);
    json_line(d, "all", t->method, "recall_lt1", share(t->found[0], t->attacks[0]), NAN, NAN);
    json_line(d, "all", t->method, "false_per_2h", t->false_incidents * per2h, lo * per2h, hi * per2h);
    json_line(d, "all", t->method, "confounder_incidents", t->confounder_incidents, NAN, NAN);
    json_line(d, "all", t->method, "flash_limits", t->flash_limits, NAN, NAN);
    json_line(d, "all", t->method, "alarm_share", t->outside_s > 0 ? t->alarm_s / t->outside_s : NAN,
              NAN, NAN);
    json_line(d, "all", t->method, "delay_s", median(t), NAN, NAN);
    json_line(d, "all", t->method, "ac1", share(t->first, t->ranked), NAN, NAN);
    json_line(d, "all", t->method, "ac3", share(t->third, t->ranked), NAN, NAN);
    json_line(d, "all", t->method, "class_named", share(t->named, t->found[0] + t->found[1]), NAN, NAN);
    for (size_t c = 0; c < t->classes_count; c++) {
        json_line(d, t->classes[c].name, t->method, "recall_ge1",
                  share(t->classes[c].found[1], t->classes[c].attacks[1]), NAN, NAN);
        json_line(d, t->classes[c].name, t->method, "recall_lt1",
                  share(t->classes[c].found[0], t->classes[c].attacks[0]), NAN, NAN);
    }
}

static void print_text(const eval_tally *t)
{
    double lo;
    double hi;
    poisson_interval(t->false_incidents, &lo, &hi);
    const double per2h = t->hours > 0 ? 2 / t->hours : NAN;
    printf("\n%s\n", t->method);
    printf("  attacks found      >= 1x: %u of %u (%.2f)   < 1x: %u of %u (%.2f)   (all but xss)\n",
           t->found[1], t->attacks[1], share(t->found[1], t->attacks[1]), t->found[0], t->attacks[0],
           share(t->found[0], t->attacks[0]));
    printf("  false incidents    %u in %.2f h: %.2f in 2 h [%.2f, %.2f]\n", t->false_incidents,
           t->hours, t->false_incidents * per2h, lo * per2h, hi * per2h);
    printf("  in confounders     %u incidents in %u confounders, %u limits in flash crowds\n",
           t->confounder_incidents, t->confounders, t->flash_limits);
    printf("  alarm elsewhere    %.2f %% of the time outside events\n",
           t->outside_s > 0 ? 100 * t->alarm_s / t->outside_s : NAN);
    printf("  delay              median %.1f s\n", median(t));
    printf("  root cause         first %.2f, first three %.2f of %u", share(t->first, t->ranked),
           share(t->third, t->ranked), t->ranked);
    printf("   largest z %.2f, %.2f   fixed list %.2f, %.2f\n", share(t->naive_first, t->ranked),
           share(t->naive_third, t->ranked), share(t->constant_first, t->ranked),
           share(t->constant_third, t->ranked));
    printf("  %-20s %10s %10s %12s\n", "class", ">= 1x", "< 1x", "named right");
    for (size_t c = 0; c < t->classes_count; c++)
        printf("  %-20s %6u/%-3u %6u/%-3u %8u/%u\n", t->classes[c].name, t->classes[c].found[1],
               t->classes[c].attacks[1], t->classes[c].found[0], t->classes[c].attacks[0],
               t->classes[c].named, t->classes[c].found[0] + t->classes[c].found[1]);
}

void eval_print(const eval_tally *tallies, size_t count, bool json, const char *dataset)
{
    for (size_t i = 0; i < count; i++) {
        if (json)
            print_json(&tallies[i], dataset);
        else
            print_text(&tallies[i]);
    }
}
