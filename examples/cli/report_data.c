/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ABSENT UINT32_MAX

/* A node, or an edge by the names of its ends and its route. */
typedef struct entity {
    char *key; /* names, each ended by NUL: one of a node, three of an edge */
    size_t key_len;
    float *seen;     /* [windows], NaN: not there, or not known */
    float *forecast; /* [windows] */
} entity;

typedef struct entities {
    entity *item;
    size_t count;
    size_t cap;
    uint32_t *table; /* hash of the key -> index + 1 */
    size_t slots;
    uint32_t *map; /* index in the graph at hand -> entity */
    size_t map_cap;
} entities;

struct report_data {
    entities kind[2]; /* STG_NODE, STG_EDGE */
    uint64_t *start_ns;
    float *evidence; /* log10 of the largest over the alarm level */
    size_t windows;
    size_t cap; /* of windows, of each entity's series too */
    uint64_t topology;
    bool mapped;
    char *events; /* lines, one behind the other */
    size_t events_len;
    size_t events_cap;
};

report_data *report_data_new(void)
{
    return (report_data *)calloc(1, sizeof(report_data));
}

void report_data_free(report_data *data)
{
    if (!data)
        return;
    for (int k = 0; k < 2; k++) {
        entities *e = &data->kind[k];
        for (size_t i = 0; i < e->count; i++) {
            free(e->item[i].key);
            free(e->item[i].seen);
            free(e->item[i].forecast);
        }
        free(e->item);
        free(e->table);
        free(e->map);
    }
    free(data->start_ns);
    free(data->evidence);
    free(data->events);
    free(data);
}

static bool grow(void **block, size_t count, size_t size)
{
    void *grown = realloc(*block, count * size);
    if (grown)
        *block = grown;
    return grown != NULL;
}

static uint64_t hash_of(const char *key, size_t len)
{
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 1099511628211u;
    return h;
}

/* Slot of a key: where it is, or the free one where it belongs. */
static uint32_t *slot_of(const entities *e, const char *key, size_t len)
{
    for (size_t i = hash_of(key, len) & (e->slots - 1);; i = (i + 1) & (e->slots - 1)) {
        const uint32_t at = e->table[i];
        if (!at || (e->item[at - 1].key_len == len && memcmp(e->item[at - 1].key, key, len) == 0))
            return &e->table[i];
    }
}

static bool room(entities *e)
{
    if (e->count == e->cap) {
        const size_t cap = e->cap ? 2 * e->cap : 64;
        if (!grow((void **)&e->item, cap, sizeof *e->item))
            return false;
        e->cap = cap;
    }
    if (2 * e->count < e->slots)
        return true;
    const size_t slots = e->slots ? 2 * e->slots : 256;
    uint32_t *table = (uint32_t *)calloc(slots, sizeof *table);
    if (!table)
        return false;
    free(e->table);
    e->table = table;
    e->slots = slots;
    for (size_t i = 0; i < e->count; i++)
        *slot_of(e, e->item[i].key, e->item[i].key_len) = (uint32_t)i + 1;
    return true;
}

/* Index of an entity, made if new; ABSENT: out of memory. */
static uint32_t entity_of(report_data *d, entities *e, const char *key, size_t len)
{
    if (!room(e))
        return ABSENT;
    uint32_t *slot = slot_of(e, key, len);
    if (*slot)
        return *slot - 1;
    entity made = {
        .key = (char *)malloc(len), .key_len = len,
        .seen = (float *)malloc(d->cap * sizeof(float)),
        .forecast = (float *)malloc(d->cap * sizeof(float)),
    };
    if (!made.key || !made.seen || !made.forecast) {
        free(made.key);
        free(made.seen);
        free(made.forecast);
        return ABSENT;
    }
    memcpy(made.key, key, len);
    for (size_t w = 0; w < d->windows; w++)
        made.seen[w] = made.forecast[w] = NAN;
    e->item[e->count++] = made;
    *slot = (uint32_t)e->count;
    return (uint32_t)e->count - 1;
}

static size_t put_name(char *at, const stg_graph *g, uint32_t kind, uint32_t index)
{
    size_t len = 0;
    const char *name = stg_graph_name(g, kind, index, &len);
    memcpy(at, name ? name : "", len);
    for (size_t i = 0; i < len; i++) /* parts of a key end with NUL */
        if (at[i] == '\0')
            at[i] = '?';
    at[len] = '\0';
    return len + 1;
}

static bool map_graph(report_data *d, const stg_graph *g, const stg_graph_info *info)
{
    const uint32_t count[2] = {info->nodes, info->edges};
    stg_edges ends = {.size = sizeof ends};
    char key[3 * (STG_NAME_MAX + 1)];
    stg_graph_get_edges(g, &ends);
    for (int k = 0; k < 2; k++) {
        entities *e = &d->kind[k];
        if (count[k] > e->map_cap) {
            if (!grow((void **)&e->map, count[k], sizeof *e->map))
                return false;
            e->map_cap = count[k];
        }
        for (uint32_t i = 0; i < count[k]; i++) {
            size_t len = put_name(key, g, STG_NODE, k == STG_NODE ? i : ends.src[i]);
            if (k == STG_EDGE) {
                len += put_name(key + len, g, STG_NODE, ends.dst[i]);
                len += put_name(key + len, g, STG_ROUTE, ends.route[i]);
            }
            e->map[i] = entity_of(d, e, key, len);
            if (e->map[i] == ABSENT)
                return false;
        }
    }
    d->topology = info->topology;
    d->mapped = true;
    return true;
}

static bool more_windows(report_data *d)
{
    if (d->windows < d->cap)
        return true;
    const size_t cap = d->cap ? 2 * d->cap : 512;
    if (!grow((void **)&d->start_ns, cap, sizeof *d->start_ns) ||
        !grow((void **)&d->evidence, cap, sizeof *d->evidence))
        return false;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < d->kind[k].count; i++)
            if (!grow((void **)&d->kind[k].item[i].seen, cap, sizeof(float)) ||
                !grow((void **)&d->kind[k].item[i].forecast, cap, sizeof(float)))
                return false;
    d->cap = cap;
    return true;
}

/* The window's values of one kind, in the order of the graph at hand; mean may be NULL. */
static void take_values(entities *e, size_t w, uint32_t count, const double *seen, const double *mean)
{
    for (size_t i = 0; i < e->count; i++)
        e->item[i].seen[w] = e->item[i].forecast[w] = NAN;
    for (uint32_t i = 0; i < count; i++) {
        entity *at = &e->item[e->map[i]];
        at->seen[w] = seen ? (float)seen[i] : NAN;
        at->forecast[w] = mean ? (float)mean[i] : NAN;
    }
}

bool report_data_window(report_data *d, const stg_graph *g, const stg_forecast *fc, double evidence,
                        double alarm_level)
{
    stg_graph_info info = {.size = sizeof info};
    if (!more_windows(d) || stg_graph_get_info(g, &info) != STG_OK)
        return false;
    if ((!d->mapped || info.topology != d->topology) && !map_graph(d, g, &info))
        return false;
    stg_forecast_info f = {.size = sizeof f};
    const bool known = fc && stg_forecast_get_info(fc, &f) == STG_OK && f.topology == info.topology &&
                       info.start_ns >= f.start_ns && f.ready;
    const uint32_t step = known ? (uint32_t)((info.start_ns - f.start_ns) / f.window_ns) : 0;
    const size_t w = d->windows++;
    d->start_ns[w] = info.start_ns;
    d->evidence[w] = (float)log10(fmax(evidence, 1) / fmax(alarm_level, 1));
    for (uint32_t k = 0; k < 2; k++)
        take_values(&d->kind[k], w, k == STG_NODE ? info.nodes : info.edges,
                    stg_graph_column(g, k, "calls", 5),
                    known ? stg_forecast_mean(fc, k, "calls", 5, step) : NULL);
    return true;
}

bool report_data_event(report_data *d, const char *line, size_t len)
{
    if (d->events_len + len > d->events_cap) {
        const size_t cap = 2 * (d->events_len + len);
        if (!grow((void **)&d->events, cap, 1))
            return false;
        d->events_cap = cap;
    }
    memcpy(d->events + d->events_len, line, len);
    d->events_len += len;
    return true;
}

size_t report_data_windows(const report_data *d)
{
    return d->windows;
}

/* Text of any bytes: what is not UTF-8 becomes U+FFFD when the page is read; nothing ends the element. */
static void write_text(const char *text, size_t len, FILE *out)
{
    fputc('"', out);
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void write_numbers(const float *v, size_t count, FILE *out)
{
    fputc('[', out);
    for (size_t i = 0; i < count; i++) {
        if (i)
            fputc(',', out);
        if (isnan(v[i]))
            fputs("null", out);
        else /* a tenth of a call is enough to look at */
            fprintf(out, "%.10g", (double)roundf(v[i] * 10) / 10);
    }
    fputc(']', out);
}

static void write_entity(const entity *e, size_t windows, FILE *out)
{
    fputs("{\"name\":[", out);
    for (size_t at = 0; at < e->key_len;) {
        const size_t len = strlen(e->key + at);
        if (at)
            fputc(',', out);
        write_text(e->key + at, len, out);
        at += len + 1;
    }
    fputs("],\"seen\":", out);
    write_numbers(e->seen, windows, out);
    fputs(",\"forecast\":", out);
    write_numbers(e->forecast, windows, out);
    fputc('}', out);
}

/* The library's lines are JSON; '<' can only stand within their texts. */
static void write_events(const report_data *d, FILE *out)
{
    fputs("\"events\":[", out);
    for (size_t i = 0; i < d->events_len; i++) {
        const char c = d->events[i];
        if (c == '<')
            fputs("\\u003c", out);
        else if (c != '\n')
            fputc(c, out);
        else if (i + 1 < d->events_len)
            fputs(",\n", out);
    }
    fputc(']', out);
}

bool report_data_write(const report_data *d, uint64_t window_ns, FILE *out)
{
    static const char *const names[2] = {"nodes", "edges"};
    fprintf(out, "{\"window_ns\":%" PRIu64 ",\"start_ms\":[", window_ns);
    for (size_t w = 0; w < d->windows; w++)
        fprintf(out, "%s%" PRIu64, w ? "," : "", d->start_ns[w] / 1000000);
    fputs("],\n\"evidence\":", out);
    write_numbers(d->evidence, d->windows, out);
    for (int k = 0; k < 2; k++) {
        fprintf(out, ",\n\"%s\":[", names[k]);
        for (size_t i = 0; i < d->kind[k].count; i++) {
            if (i)
                fputs(",\n", out);
            write_entity(&d->kind[k].item[i], d->windows, out);
        }
        fputc(']', out);
    }
    fputs(",\n", out);
    write_events(d, out);
    fputc('}', out);
    return ferror(out) == 0;
}
