/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of a table as graphs. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "table.h"

struct cli_table {
    const cli_series *series;
    const cli_links *links;
    uint64_t window_ns;
    stg_graph_builder *builder;
    uint32_t *node;
    uint32_t *edge;
    uint32_t column;
    uint32_t weight;
};

static size_t name_of(char *name, size_t cap, size_t column)
{
    return (size_t)snprintf(name, cap, "%05zu", column);
}

uint32_t cli_table_node(const stg_graph *graph, size_t column)
{
    char name[32];
    return stg_graph_find(graph, name, name_of(name, sizeof name, column));
}

static int32_t fill(cli_table *t, const char *column)
{
    int32_t status = STG_OK;
    for (size_t i = 0; status == STG_OK && i < t->series->nodes; i++) {
        char name[32];
        status = stg_graph_builder_node(t->builder, name, name_of(name, sizeof name, i), &t->node[i]);
    }
    for (size_t i = 0; status == STG_OK && i < t->links->count; i++) {
        const cli_link *l = &t->links->link[i];
        status = stg_graph_builder_edge(t->builder, t->node[l->src], t->node[l->dst], NULL, 0,
                                        &t->edge[i]);
    }
    if (status == STG_OK)
        status = stg_graph_builder_column(t->builder, STG_NODE, column, strlen(column), &t->column);
    if (status == STG_OK)
        status = stg_graph_builder_column(t->builder, STG_EDGE, "weight", 6, &t->weight);
    return status;
}

cli_table *cli_table_open(stg_ctx *ctx, const cli_series *series, const cli_links *links,
                          const char *column, uint64_t window_ns)
{
    cli_table *t = (cli_table *)calloc(1, sizeof *t);
    int32_t status = STG_E_NOMEM;
    if (t) {
        t->series = series;
        t->links = links;
        t->window_ns = window_ns;
        t->node = (uint32_t *)calloc(series->nodes, sizeof *t->node);
        t->edge = (uint32_t *)calloc(links->count + 1, sizeof *t->edge);
        if (t->node && t->edge)
            status = stg_graph_builder_create(&t->builder, ctx, NULL);
    }
    if (status == STG_OK)
        status = fill(t, column);
    if (status == STG_OK)
        return t;
    cli_say("series: %s", stg_status_name(status));
    cli_table_close(t);
    return NULL;
}

void cli_table_close(cli_table *t)
{
    if (!t)
        return;
    stg_graph_builder_destroy(t->builder);
    free(t->node);
    free(t->edge);
    free(t);
}

const stg_graph *cli_table_graph(cli_table *t, size_t row)
{
    const uint64_t start = row * t->window_ns;
    const stg_graph *graph = NULL;
    int32_t status = stg_graph_builder_begin(t->builder, start, start + t->window_ns);
    for (size_t i = 0; status == STG_OK && i < t->links->count; i++)
        status = stg_graph_builder_set(t->builder, STG_EDGE, t->edge[i], t->weight,
                                       t->links->link[i].weight);
    for (size_t i = 0; status == STG_OK && i < t->series->nodes; i++)
        status = stg_graph_builder_set(t->builder, STG_NODE, t->node[i], t->column,
                                       t->series->value[row * t->series->nodes + i]);
    if (status == STG_OK)
        status = stg_graph_builder_finish(t->builder, &graph);
    if (status != STG_OK)
        cli_say("series: %s", stg_status_name(status));
    return graph;
}
