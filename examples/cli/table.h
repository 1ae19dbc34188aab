/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of numbers from CSV files: series of nodes over time, and graphs as lists of edges or as
 * matrices. */
#ifndef STGRAPH_CLI_TABLE_H
#define STGRAPH_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <stgraph/graph.h>

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

/* The windows of a series as graphs, one after the other. Nodes are named so that the order of their
 * names is that of the columns, which supports in reversed order depend on. */
typedef struct cli_table cli_table;
/* column: of the nodes; series and links have to stay. */
cli_table *cli_table_open(stg_ctx *ctx, const cli_series *series, const cli_links *links,
                          const char *column, uint64_t window_ns); /* NULL after a message */
void cli_table_close(cli_table *table);
/* The graph of a row, which starts at row * window_ns; NULL after a message. */
const stg_graph *cli_table_graph(cli_table *table, size_t row);
/* Index in these graphs of a column of the series. */
uint32_t cli_table_node(const stg_graph *graph, size_t column);

/* Shares of training, validation and test, in the order of time. */
typedef struct cli_split {
    double share[3];
    bool given;
} cli_split;
bool cli_split_read(cli_split *split, const char *text); /* false after a message */
/* Windows of a part (0 training, 1 validation, 2 test) out of all: those of training and test are
 * rounded, validation is what is left. */
size_t cli_split_windows(const cli_split *split, size_t windows, int part);

void cli_series_free(cli_series *series);
void cli_links_free(cli_links *links);

#endif
