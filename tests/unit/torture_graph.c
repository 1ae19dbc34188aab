/* SPDX-License-Identifier: Apache-2.0 */
/* Torture cases of the graph: builder, graph, export. */
#include "base_priv.h"
#include "torture.h"

enum { NODES = 40, EDGES = 60, COLUMNS = 12 };

static char text[1 << 16];

static int32_t create(stage *s)
{
    HANDED(stg_graph_builder_create(&s->builder, s->ctx, NULL), s->builder);
}

static void a_builder(stage *s)
{
    OK(create(s));
    s->now = 5000000000;
    OK(stg_graph_builder_begin(s->builder, 0, s->now));
}

static int32_t begin(stage *s)
{
    return stg_graph_builder_begin(s->builder, s->now, s->now + 5000000000);
}

/* The lists go on where they stopped. */
static int32_t nodes(stage *s)
{
    for (; s->done < NODES; s->done++) {
        char name[STG_NAME_MAX];
        memset(name, 'n', sizeof name); /* long ones need more than one chunk */
        const int at = snprintf(name, sizeof name, "node-%u", s->done);
        name[at] = '-';
        STG_RETURN_IF_ERROR(
            stg_graph_builder_node(s->builder, name, sizeof name, &s->id[s->done]));
    }
    return STG_OK;
}

static int32_t edges(stage *s)
{
    for (; s->done < EDGES; s->done++) {
        char route[32];
        const uint32_t src = s->done % 7;
        const size_t len = (size_t)snprintf(route, sizeof route, "GET /%u", s->done % 40);
        STG_RETURN_IF_ERROR(stg_graph_builder_edge(s->builder, s->id[src], s->id[s->done % NODES],
                                                   route, len, &s->id[NODES + s->done]));
    }
    return STG_OK;
}

static int32_t columns(stage *s)
{
    for (; s->done < 2 * COLUMNS; s->done++) {
        char name[32];
        const size_t len = (size_t)snprintf(name, sizeof name, "column-%u", s->done / 2);
        STG_RETURN_IF_ERROR(stg_graph_builder_column(s->builder, s->done % 2 ? STG_EDGE : STG_NODE,
                                                     name, len, &s->id[NODES + EDGES + s->done]));
    }
    return STG_OK;
}

static int32_t values(stage *s)
{
    for (; s->done < COLUMNS; s->done++) {
        for (uint32_t i = 0; i < NODES; i++)
            STG_RETURN_IF_ERROR(stg_graph_builder_set(s->builder, STG_NODE, s->id[i],
                                                      s->id[NODES + EDGES + 2 * s->done], i + s->done));
        for (uint32_t i = 0; i < EDGES; i++)
            STG_RETURN_IF_ERROR(stg_graph_builder_set(s->builder, STG_EDGE, s->id[NODES + i],
                                                      s->id[NODES + EDGES + 2 * s->done + 1],
                                                      i - 0.5 * s->done));
    }
    return STG_OK;
}

static void play(stage *s, int32_t (*part)(stage *s))
{
    s->done = 0;
    OK(part(s));
    s->done = 0;
}

static void with_nodes(stage *s)
{
    a_builder(s);
    play(s, nodes);
}

static void with_edges(stage *s)
{
    with_nodes(s);
    play(s, edges);
}

static void with_columns(stage *s)
{
    with_edges(s);
    play(s, columns);
}

static void full(stage *s)
{
    with_columns(s);
    play(s, values);
}

static int32_t finish(stage *s)
{
    HANDED(stg_graph_builder_finish(s->builder, &s->graph), s->graph);
}

static void a_graph(stage *s)
{
    full(s);
    OK(finish(s));
}

/* A second window with a node, an edge and a column more; the first graph is still out. */
static void grown(stage *s)
{
    uint32_t node;
    uint32_t edge;
    uint32_t column;
    a_graph(s);
    stg_unref(s->graph);
    s->graph = NULL;
    OK(begin(s));
    OK(stg_graph_builder_node(s->builder, "late", 4, &node));
    OK(stg_graph_builder_edge(s->builder, node, s->id[0], "GET /late", 9, &edge));
    OK(stg_graph_builder_column(s->builder, STG_EDGE, "late", 4, &column));
    OK(stg_graph_builder_set(s->builder, STG_EDGE, edge, column, 7));
}

/* As many graphs as may be out were made before. */
static void same_again(stage *s)
{
    full(s);
    for (uint32_t i = 0; i < 4; i++) {
        OK(finish(s));
        stg_unref(s->graph);
        s->graph = NULL;
        OK(begin(s));
        play(s, values);
    }
}

/* What is still missing to a whole graph comes now. */
static void prove_rest(stage *s, proof *p, uint32_t missing)
{
    int32_t (*const part[])(stage *s) = {nodes, edges, columns, values, finish};
    for (uint32_t i = missing; i < 5; i++)
        play(s, part[i]);
    prove_bytes(p, s->id, sizeof s->id);
    prove_graph(p, s->graph);
}

static void prove_from_create(stage *s, proof *p)
{
    OK(stg_graph_builder_begin(s->builder, 0, 5000000000));
    prove_rest(s, p, 0);
}

static void prove_from_nodes(stage *s, proof *p)
{
    prove_rest(s, p, 1);
}

static void prove_from_edges(stage *s, proof *p)
{
    prove_rest(s, p, 2);
}

static void prove_from_columns(stage *s, proof *p)
{
    prove_rest(s, p, 3);
}

static void prove_from_values(stage *s, proof *p)
{
    prove_rest(s, p, 4);
}

/* The graph, and that the builder goes on. */
static void prove_finished(stage *s, proof *p)
{
    prove_graph(p, s->graph);
    const stg_graph *last = s->graph;
    s->now += 10000000000;
    OK(begin(s));
    play(s, values);
    s->graph = NULL;
    OK(finish(s));
    prove_graph(p, s->graph);
    stg_unref(last);
}

static int32_t builder_destroy(stage *s)
{
    stg_graph_builder_destroy(s->builder);
    stg_graph_builder_destroy(NULL);
    s->builder = NULL;
    return STG_OK;
}

/* --- the graph -------------------------------------------------------------------------------- */

static void prove_the_graph(stage *s, proof *p)
{
    prove_graph(p, s->graph);
}

static int32_t export_both(stage *s)
{
    size_t len;
    const int32_t status = stg_graph_export(s->graph, STG_FORMAT_JSON, text, sizeof text, &len);
    return status ? status : stg_graph_export(s->graph, STG_FORMAT_DOT, text, sizeof text, &len);
}

static int32_t get_info(stage *s)
{
    stg_graph_info i = {.size = sizeof i};
    const int32_t status = stg_graph_get_info(s->graph, &i);
    return status ? status : i.nodes == NODES + 1 ? STG_OK : STG_E_STATE;
}

static int32_t get_edges(stage *s)
{
    stg_edges e = {.size = sizeof e};
    const int32_t status = stg_graph_get_edges(s->graph, &e);
    return status ? status : e.out_ptr[NODES + 1] == EDGES ? STG_OK : STG_E_STATE;
}

static int32_t name(stage *s)
{
    size_t len;
    const char *first = stg_graph_name(s->graph, STG_NODE, 0, &len);
    return first && strcmp(first, "external") == 0 && len == 8 ? STG_OK : STG_E_STATE;
}

static int32_t column(stage *s)
{
    return stg_graph_column(s->graph, STG_NODE, "column-3", 8) ? STG_OK : STG_E_STATE;
}

static int32_t find(stage *s)
{
    return stg_graph_find(s->graph, "external", 8) == 0 ? STG_OK : STG_E_STATE;
}

static const torture_case list[] = {
    {"stg_graph_builder_create", "defaults", NULL, create, prove_from_create, NULL, 0},
    {"stg_graph_builder_begin", "first", full, begin, NULL, NULL, QUIET},
    {"stg_graph_builder_node", "many", a_builder, nodes, prove_from_nodes, NULL, 0},
    {"stg_graph_builder_node", "known", with_nodes, nodes, prove_from_nodes, NULL, QUIET},
    {"stg_graph_builder_edge", "many", with_nodes, edges, prove_from_edges, NULL, 0},
    {"stg_graph_builder_edge", "known", with_edges, edges, prove_from_edges, NULL, QUIET},
    {"stg_graph_builder_column", "many", with_edges, columns, prove_from_columns, NULL, 0},
    {"stg_graph_builder_set", "all", with_columns, values, prove_from_values, NULL, QUIET},
    {"stg_graph_builder_finish", "first", full, finish, prove_finished, NULL, 0},
    {"stg_graph_builder_finish", "grown", grown, finish, prove_finished, NULL, 0},
    {"stg_graph_builder_finish", "nothing new", same_again, finish, prove_finished, NULL, QUIET},
    {"stg_graph_builder_destroy", "full", full, builder_destroy, NULL, NULL, QUIET},
    {"stg_graph_export", "both forms", a_graph, export_both, prove_the_graph, NULL, QUIET},
    {"stg_graph_get_info", "all", a_graph, get_info, prove_the_graph, NULL, QUIET},
    {"stg_graph_get_edges", "all", a_graph, get_edges, prove_the_graph, NULL, QUIET},
    {"stg_graph_name", "a node", a_graph, name, prove_the_graph, NULL, QUIET},
    {"stg_graph_column", "a column", a_graph, column, prove_the_graph, NULL, QUIET},
    {"stg_graph_find", "a node", a_graph, find, prove_the_graph, NULL, QUIET},
};
const torture_table torture_graph = {list, sizeof list / sizeof *list};
