/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of numbers from CSV files: series of nodes over time, and graphs as lists of edges or as
 * matrices. */
#ifndef STGRAPH_CLI_TABLE_H
#define STGRAPH_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A series: the first line names the nodes, each further line is one window. */
typedef struct cli_series {
    char *text; /* memory of the names */
    char **name;
    double *value; /* [rows][nodes]; NaN: the field is empty or "nan" */
    size_t rows;
    size_t nodes;
} cli_series;

typedef struct cli_link {
    uint32_t src;
    uint32_t dst;
    double weight;
} cli_link;

/* A graph over the nodes of a series. */
typedef struct cli_links {
    cli_link *link;
    size_t count;
} cli_links;

/* Both: false after a message that says the line. */
bool cli_read_series(cli_series *series, const char *path);
/*
 * Lines "src,dst[,weight]" below a line of names; src and dst are names of the series or, when not all
 * of them are, numbers of its columns from 0. Or a matrix of weights, row by row, without names.
 */
bool cli_read_links(cli_links *links, const char *path, const cli_series *series);

void cli_series_free(cli_series *series);
void cli_links_free(cli_links *links);

#endif
