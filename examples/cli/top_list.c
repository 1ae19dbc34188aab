/* SPDX-License-Identifier: Apache-2.0 */
/* The lists of 'stgraph top': which rows pass the filter, in which order, and which is selected. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_view.h"

typedef struct sorting {
    const top_data *data;
    int pane;
    int sort;
} sorting;

const char *top_sort_name(int pane, int sort)
{
    static const char *const rows[SORTS] = {"state", "name", "rate", "errors", "latency", "deviation"};
    static const char *const incidents[SORTS] = {"severity", "class", "since"};
    return (pane == PANE_INCIDENTS ? incidents : rows)[sort];
}

void top_list_sort(top_ui *ui)
{
    top_list *l = &ui->list[ui->pane];
    l->sort = (l->sort + 1) % (ui->pane == PANE_INCIDENTS ? SORT_RATE + 1 : SORTS);
    l->reverse = false;
    l->first = 0;
}

void top_lists_free(top_ui *ui)
{
    for (int p = 0; p < PANES; p++)
        free(ui->list[p].order);
}

static uint32_t entries(const top_data *d, int pane)
{
    return pane == PANE_INCIDENTS ? d->incidents : d->count[pane];
}

static void key_of(const top_data *d, int pane, uint32_t i, char *key)
{
    if (pane == PANE_INCIDENTS) {
        snprintf(key, TOP_KEY, "%016" PRIx64, d->incident[i]->id);
        return;
    }
    const top_row *row = &d->row[pane][i];
    snprintf(key, TOP_KEY, "%s\x1f%s\x1f%s", row->name[0], row->name[1], row->name[2]);
}

static bool passes(const top_data *d, int pane, uint32_t i, const char *filter)
{
    if (!filter[0])
        return true;
    if (pane != PANE_INCIDENTS) {
        const top_row *row = &d->row[pane][i];
        return strcasestr(row->name[0], filter) || strcasestr(row->name[1], filter) ||
               strcasestr(row->name[2], filter);
    }
    const top_incident *inc = d->incident[i];
    if (strcasestr(inc->class_name, filter) || strcasestr(inc->text, filter))
        return true;
    for (uint32_t k = inc->first[STG_ITEM_NODE]; k < inc->first[STG_ITEM_NODE + 1]; k++)
        if (strcasestr(inc->item[k].node, filter))
            return true;
    return false;
}

/* -1 when the first of two numbers comes first, the larger; those that are not known come last. */
static int larger(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a < b) - (a > b);
}

static int by_name(const top_row *a, const top_row *b)
{
    for (int i = 0; i < 3; i++) {
        const int order = strcmp(a->name[i], b->name[i]);
        if (order)
            return order;
    }
    return 0;
}

static int compare_rows(const sorting *s, const top_row *a, const top_row *b)
{
    int order = 0;
    switch (s->sort) {
    case SORT_STATE: { /* what is no incident keeps its place from window to window */
        const int sa = a->state >= ROW_BENIGN ? a->state : 0;
        const int sb = b->state >= ROW_BENIGN ? b->state : 0;
        order = sa != sb ? sb - sa : larger(a->forecast, b->forecast);
        break;
    }
    case SORT_RATE:
        order = larger(a->rate, b->rate);
        break;
    case SORT_ERRORS:
        order = larger(a->errors, b->errors);
        break;
    case SORT_LATENCY:
        order = larger(a->p50_us, b->p50_us);
        break;
    case SORT_DEPARTURE:
        order = larger(fabs(a->departure), fabs(b->departure));
        break;
    default:
        break;
    }
    return order ? order : by_name(a, b);
}

static int compare_incidents(const sorting *s, const top_incident *a, const top_incident *b)
{
    int order = 0;
    if (!a->closed_ns != !b->closed_ns)
        return a->closed_ns ? 1 : -1; /* open ones first, always */
    if (s->sort == SORT_NAME)
        order = strcmp(a->class_name, b->class_name);
    else if (s->sort == SORT_STATE && !a->closed_ns)
        order = larger(a->severity, b->severity);
    if (!order)
        order = (a->opened_ns < b->opened_ns) - (a->opened_ns > b->opened_ns);
    return order ? order : (a->id < b->id) - (a->id > b->id);
}

static int compare(const void *pa, const void *pb, void *user)
{
    const sorting *s = (const sorting *)user;
    const uint32_t a = *(const uint32_t *)pa;
    const uint32_t b = *(const uint32_t *)pb;
    if (s->pane == PANE_INCIDENTS)
        return compare_incidents(s, s->data->incident[a], s->data->incident[b]);
    return compare_rows(s, &s->data->row[s->pane][a], &s->data->row[s->pane][b]);
}

static void turn_round(uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        const uint32_t kept = order[i];
        order[i] = order[count - 1 - i];
        order[count - 1 - i] = kept;
    }
}

/* Finds the selected one by its key; when it has gone, its place in the list stays selected. */
static void find_selected(top_list *l, const top_data *d, int pane)
{
    char key[TOP_KEY];
    for (uint32_t i = 0; l->key[0] && i < l->count; i++) {
        key_of(d, pane, l->order[i], key);
        if (strcmp(key, l->key) == 0) {
            l->at = i;
            return;
        }
    }
    if (l->at >= l->count)
        l->at = l->count ? l->count - 1 : 0;
}

static bool update(top_list *l, const top_data *d, int pane, const char *filter)
{
    const uint32_t all = entries(d, pane);
    if (all > l->cap) {
        uint32_t *grown = (uint32_t *)realloc(l->order, all * sizeof *grown);
        if (!grown)
            return false;
        l->order = grown;
        l->cap = all;
    }
    l->count = 0;
    for (uint32_t i = 0; i < all; i++)
        if (passes(d, pane, i, filter))
            l->order[l->count++] = i;
    sorting s = {.data = d, .pane = pane, .sort = l->sort};
    if (l->count)
        qsort_r(l->order, l->count, sizeof *l->order, compare, &s);
    if (l->reverse)
        turn_round(l->order, l->count);
    find_selected(l, d, pane);
    return true;
}

bool top_lists_update(top_ui *ui, const top_data *d)
{
    bool ok = true;
    for (int p = 0; p < PANES; p++)
        ok = update(&ui->list[p], d, p, ui->filter) && ok;
    return ok;
}

void top_list_move(top_ui *ui, const top_data *d, int64_t by)
{
    top_list *l = &ui->list[ui->pane];
    if (l->count == 0)
        return;
    const int64_t to = (int64_t)l->at + by;
    l->at = to < 0 ? 0 : to >= l->count ? l->count - 1 : (uint32_t)to;
    key_of(d, ui->pane, l->order[l->at], l->key);
}

const top_row *top_selected_row(const top_ui *ui, const top_data *d)
{
    const top_list *l = &ui->list[ui->pane];
    return ui->pane == PANE_INCIDENTS || !l->count ? NULL : &d->row[ui->pane][l->order[l->at]];
}

const top_incident *top_selected_incident(const top_ui *ui, const top_data *d)
{
    const top_list *l = &ui->list[ui->pane];
    return ui->pane != PANE_INCIDENTS || !l->count ? NULL : d->incident[l->order[l->at]];
}
