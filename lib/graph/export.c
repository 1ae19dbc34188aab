/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as text: JSON for programs, DOT for Graphviz. Names come from outside and are escaped. */
#include <math.h>
#include <string.h>

#include "graph_priv.h"
#include "topology_priv.h"

static void json_name(stg__text *t, const char *key, const char *name, uint32_t len)
{
    stg__text_str(t, key);
    stg__text_json(t, name, len);
}

/* The columns of one item; what is not known is left out. */
static void json_columns(stg__text *t, const stg_graph *g, uint32_t kind, uint32_t index)
{
    for (uint32_t c = 0; c < g->schema->count[kind]; c++) {
        const double value = stg__graph_column_at(g, kind, c)[index];
        size_t len;
        if (!isfinite(value))
            continue;
        stg__text_str(t, ",");
        const char *name = stg__names_get(g->schema->names[kind], c, &len);
        stg__text_json(t, name, len);
        stg__text_str(t, ":");
        stg__text_num(t, value, 12);
    }
}

static void json_graph(stg__text *t, const stg_graph *g)
{
    const stg__topology *x = g->topo;
    stg__text_str(t, "{\"start_ns\":");
    stg__text_u64(t, g->start_ns);
    stg__text_str(t, ",\"end_ns\":");
    stg__text_u64(t, g->end_ns);
    stg__text_str(t, ",\"coverage\":");
    stg__text_num(t, g->coverage, 6);
    stg__text_str(t, ",\"nodes\":[");
    for (uint32_t i = 0; i < x->nodes; i++) {
        json_name(t, i ? ",\n{\"name\":" : "\n{\"name\":", x->node_name[i], x->node_len[i]);
        json_columns(t, g, STG_NODE, i);
        stg__text_str(t, "}");
    }
    stg__text_str(t, "],\"edges\":[");
    for (uint32_t e = 0; e < x->edges; e++) {
        json_name(t, e ? ",\n{\"src\":" : "\n{\"src\":", x->node_name[x->src[e]],
                  x->node_len[x->src[e]]);
        json_name(t, ",\"dst\":", x->node_name[x->dst[e]], x->node_len[x->dst[e]]);
        json_name(t, ",\"route\":", x->route_name[x->route[e]], x->route_len[x->route[e]]);
        json_columns(t, g, STG_EDGE, e);
        stg__text_str(t, "}");
    }
    stg__text_str(t, "]}\n");
}

/* DOT strings know one escape, the quote; control bytes become blanks, backslashes are doubled. */
static void dot_string(stg__text *t, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            stg__text_bytes(t, "\\", 1);
        stg__text_bytes(t, c < 0x20 || c == 0x7f ? " " : s + i, 1);
    }
}

static void dot_value(stg__text *t, const char *before, const double *column, uint32_t e,
                      const char *unit)
{
    if (!column || !isfinite(column[e]))
        return;
    stg__text_str(t, before);
    stg__text_num(t, column[e], 4);
    stg__text_str(t, unit);
}

static void dot_graph(stg__text *t, const stg_graph *g)
{
    const stg__topology *x = g->topo;
    const double *calls = stg_graph_column(g, STG_EDGE, "calls", 5);
    const double *errors = stg_graph_column(g, STG_EDGE, "errors", 6);
    const double *p99 = stg_graph_column(g, STG_EDGE, "p99_us", 6);
    stg__text_str(t, "digraph stgraph {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n"
                     "  edge [fontname=\"sans-serif\", fontsize=10];\n");
    for (uint32_t i = 0; i < x->nodes; i++) {
        stg__text_str(t, "  n");
        stg__text_u64(t, i);
        stg__text_str(t, i ? " [label=\"" : " [shape=ellipse, label=\"");
        dot_string(t, x->node_name[i], x->node_len[i]);
        stg__text_str(t, "\"];\n");
    }
    for (uint32_t e = 0; e < x->edges; e++) {
        stg__text_str(t, "  n");
        stg__text_u64(t, x->src[e]);
        stg__text_str(t, " -> n");
        stg__text_u64(t, x->dst[e]);
        stg__text_str(t, " [label=\"");
        dot_string(t, x->route_name[x->route[e]], x->route_len[x->route[e]]);
        dot_value(t, "\\n", calls, e, " calls");
        dot_value(t, ", ", errors, e, " errors");
        dot_value(t, ", p99 ", p99, e, " us");
        stg__text_str(t, "\"];\n");
    }
    stg__text_str(t, "}\n");
}

int32_t stg_graph_export(const stg_graph *g, uint32_t format, char *buf, size_t cap, size_t *len)
{
    if (!stg__is(g, STG__KIND_GRAPH) || !len || (!buf && cap) || format > STG_FORMAT_DOT)
        return STG_E_INVALID;
    stg__text t;
    stg__text_init(&t, buf, cap);
    if (format == STG_FORMAT_JSON)
        json_graph(&t, g);
    else
        dot_graph(&t, g);
    return stg__text_end(&t, len);
}
