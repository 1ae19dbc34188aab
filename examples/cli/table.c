/* SPDX-License-Identifier: Apache-2.0 */
/* CSV without quotes: commas, one line a row, numbers as in C. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "table.h"

#define MAX_FIELDS 65536u
#define MAX_NUMBERS ((size_t)1 << 28)

/* --- shares ----------------------------------------------------------------------------------- */

bool cli_split_read(cli_split *split, const char *text)
{
    double sum = 0;
    char *end = NULL;
    split->given = true;
    for (int i = 0; i < 3; i++, text = end + 1) {
        split->share[i] = strtod(text, &end);
        sum += split->share[i];
        if (end == text || *end != (i < 2 ? ',' : '\0') || !(split->share[i] >= 0)) {
            cli_say("--split: three shares are needed, such as 0.7,0.1,0.2");
            return false;
        }
    }
    if (fabs(sum - 1) < 1e-6)
        return true;
    cli_say("--split: the shares add up to %g", sum);
    return false;
}

size_t cli_split_windows(const cli_split *split, size_t windows, int part)
{
    const size_t train = (size_t)(split->share[0] * (double)windows + 0.5);
    const size_t test = (size_t)(split->share[2] * (double)windows + 0.5);
    return part == 0 ? train : part == 2 ? test : train + test < windows ? windows - train - test : 0;
}

/* --- lines ------------------------------------------------------------------------------------ */

typedef struct lines {
    const char *path;
    FILE *file;
    char *text;
    size_t cap;
    size_t number;
} lines;

static bool lines_open(lines *in, const char *path)
{
    *in = (lines){.path = path, .file = fopen(path, "re")};
    if (!in->file)
        cli_say("%s: %s", path, strerror(errno));
    return in->file != NULL;
}

/* The next line that is not empty, without its end; NULL at the end of the file. */
static char *lines_next(lines *in)
{
    ssize_t len;
    while ((len = getline(&in->text, &in->cap, in->file)) >= 0) {
        in->number++;
        while (len > 0 && (in->text[len - 1] == '\n' || in->text[len - 1] == '\r'))
            in->text[--len] = '\0';
        if (len > 0)
            return in->text;
    }
    return NULL;
}

/* Closes; false when the file broke off. */
static bool lines_close(lines *in)
{
    const bool failed = ferror(in->file) != 0;
    if (failed)
        cli_say("%s: reading failed", in->path);
    fclose(in->file);
    free(in->text);
    return !failed;
}

static bool bad_line(const lines *in, const char *what)
{
    cli_say("%s: line %zu: %s", in->path, in->number, what);
    return false;
}

/* Cuts the next field off; NULL behind the last. */
static char *field_next(char **rest)
{
    char *field = *rest;
    if (!field)
        return NULL;
    char *comma = strchr(field, ',');
    *rest = comma ? comma + 1 : NULL;
    if (comma)
        *comma = '\0';
    field += strspn(field, " \t");
    size_t len = strlen(field);
    while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\t'))
        field[--len] = '\0';
    return field;
}

static size_t count_fields(const char *line)
{
    size_t count = 1;
    for (; *line; line++)
        count += *line == ',';
    return count;
}

static bool read_number(const char *field, double *value)
{
    char *end;
    *value = strtod(field, &end);
    return end != field && *end == '\0';
}

/* --- series ----------------------------------------------------------------------------------- */

static bool read_header(cli_series *s, lines *in)
{
    const char *line = lines_next(in);
    s->nodes = line ? count_fields(line) : 0;
    if (!line || s->nodes > MAX_FIELDS)
        return bad_line(in, line ? "more than 65536 columns" : "there is no line of names");
    s->text = strdup(line);
    s->name = (char **)calloc(s->nodes, sizeof *s->name);
    if (!s->text || !s->name)
        return bad_line(in, "out of memory");
    char *rest = s->text;
    for (size_t i = 0; i < s->nodes; i++) {
        s->name[i] = field_next(&rest);
        if (!*s->name[i])
            return bad_line(in, "a column has no name");
    }
    return true;
}

static bool read_row(cli_series *s, lines *in, char *line)
{
    double *to = s->value + s->rows * s->nodes;
    if (count_fields(line) != s->nodes)
        return bad_line(in, "not as many fields as the line of names");
    for (size_t i = 0; i < s->nodes; i++) {
        const char *field = field_next(&line);
        to[i] = NAN;
        if (*field && !read_number(field, &to[i]))
            return bad_line(in, "a field is not a number");
        if (!isfinite(to[i]))
            to[i] = NAN;
    }
    s->rows++;
    return true;
}

static bool read_rows(cli_series *s, lines *in)
{
    size_t room = 0;
    for (char *line; (line = lines_next(in));) {
        if (s->rows == room) {
            room = room ? 2 * room : 1024;
            double *grown = room * s->nodes > MAX_NUMBERS
                                ? NULL
                                : (double *)realloc(s->value, room * s->nodes * sizeof *grown);
            if (!grown)
                return bad_line(in, "the series is too long");
            s->value = grown;
        }
        if (!read_row(s, in, line))
            return false;
    }
    return s->rows ? true : bad_line(in, "no window follows the names");
}

bool cli_read_series(cli_series *s, const char *path)
{
    lines in;
    *s = (cli_series){0};
    if (!lines_open(&in, path))
        return false;
    const bool ok = read_header(s, &in) && read_rows(s, &in);
    return lines_close(&in) && ok;
}

void cli_series_free(cli_series *s)
{
    free(s->text);
    free(s->name);
    free(s->value);
}

/* --- graphs ----------------------------------------------------------------------------------- */

static bool add_link(cli_links *links, size_t *room, cli_link link)
{
    if (links->count == *room) {
        *room = *room ? 2 * *room : 1024;
        cli_link *grown = *room > MAX_NUMBERS
                              ? NULL
                              : (cli_link *)realloc(links->link, *room * sizeof *grown);
        if (!grown)
            return false;
        links->link = grown;
    }
    links->link[links->count++] = link;
    return true;
}

typedef struct node_name {
    const char *text;
    uint32_t index;
} node_name;

static int by_text(const void *a, const void *b)
{
    return strcmp(((const node_name *)a)->text, ((const node_name *)b)->text);
}

static uint32_t find_node(const node_name *sorted, size_t nodes, bool names, const char *field)
{
    if (names) {
        const node_name key = {field, 0};
        const node_name *found =
            (const node_name *)bsearch(&key, sorted, nodes, sizeof *sorted, by_text);
        return found ? found->index : UINT32_MAX;
    }
    char *end;
    const unsigned long index = strtoul(field, &end, 10);
    return end != field && *end == '\0' && *field != '-' && index < nodes ? (uint32_t)index
                                                                          : UINT32_MAX;
}

/* The edges below the line of names, their ends read as names or as numbers. */
static bool read_edges(cli_links *links, lines *in, const node_name *sorted, size_t nodes, bool names)
{
    size_t room = 0;
    for (char *line; (line = lines_next(in));) {
        const char *src = field_next(&line);
        const char *dst = field_next(&line);
        const char *weight = field_next(&line);
        cli_link link = {find_node(sorted, nodes, names, src),
                         dst ? find_node(sorted, nodes, names, dst) : UINT32_MAX, 1};
        if (!dst)
            return bad_line(in, "not src,dst[,weight]");
        if (link.src == UINT32_MAX || link.dst == UINT32_MAX)
            return bad_line(in, "an end is not a column of the series");
        if (weight && !read_number(weight, &link.weight))
            return bad_line(in, "the weight is not a number");
        if (!isfinite(link.weight) || link.weight < 0)
            return bad_line(in, "the weight is below zero or no number");
        if (!add_link(links, &room, link))
            return bad_line(in, "out of memory");
    }
    return true;
}

/* Whether all ends are names of the series; leaves the file behind its line of names. */
static bool all_names(lines *in, const node_name *sorted, size_t nodes)
{
    const size_t number = in->number;
    const long start = ftell(in->file);
    bool ok = true;
    for (char *line; ok && (line = lines_next(in));)
        for (int end = 0; ok && end < 2; end++) {
            const char *field = field_next(&line);
            ok = field && find_node(sorted, nodes, true, field) != UINT32_MAX;
        }
    in->number = number;
    return fseek(in->file, start, SEEK_SET) == 0 && ok;
}

static bool read_matrix(cli_links *links, lines *in, size_t nodes, char *line)
{
    size_t room = 0;
    uint32_t src = 0;
    for (; line; line = lines_next(in), src++) {
        if (src == nodes || count_fields(line) != nodes)
            return bad_line(in, "the matrix is not as large as the series is wide");
        for (uint32_t dst = 0; dst < nodes; dst++) {
            cli_link link = {src, dst, 0};
            if (!read_number(field_next(&line), &link.weight) || !isfinite(link.weight) ||
                link.weight < 0)
                return bad_line(in, "a weight is below zero or no number");
            if (link.weight > 0 && !add_link(links, &room, link))
                return bad_line(in, "out of memory");
        }
    }
    return src == nodes ? true : bad_line(in, "the matrix has too few rows");
}

static bool read_graph(cli_links *links, lines *in, const cli_series *series, node_name *sorted)
{
    double number;
    for (uint32_t i = 0; i < series->nodes; i++)
        sorted[i] = (node_name){series->name[i], i};
    qsort(sorted, series->nodes, sizeof *sorted, by_text);
    for (size_t i = 1; i < series->nodes; i++)
        if (strcmp(sorted[i - 1].text, sorted[i].text) == 0)
            return bad_line(in, "two columns of the series have the same name");
    char *line = lines_next(in);
    if (!line)
        return bad_line(in, "the file is empty");
    char *copy = strdup(line);
    char *rest = copy;
    const bool matrix = copy && read_number(field_next(&rest), &number);
    free(copy);
    if (matrix)
        return read_matrix(links, in, series->nodes, line);
    return read_edges(links, in, sorted, series->nodes, all_names(in, sorted, series->nodes));
}

bool cli_read_links(cli_links *links, const char *path, const cli_series *series)
{
    lines in;
    *links = (cli_links){0};
    if (!lines_open(&in, path))
        return false;
    node_name *sorted = (node_name *)calloc(series->nodes, sizeof *sorted);
    const bool ok = sorted ? read_graph(links, &in, series, sorted) : bad_line(&in, "out of memory");
    free(sorted);
    return lines_close(&in) && ok;
}

void cli_links_free(cli_links *links)
{
    free(links->link);
}
