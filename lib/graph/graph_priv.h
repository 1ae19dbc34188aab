/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a graph for the rooms above. Names and edges of a window are its topology, an
 * immutable object of its own: as long as no name or edge is new, all graphs, forecasts and reports
 * share one, and lining two of them up is the comparison of two pointers.
 */
#ifndef STG_GRAPH_PRIV_H
#define STG_GRAPH_PRIV_H

#include <stgraph/graph.h>

#include "base_priv.h"

#define STG__EXTERNAL "external" /* node 0 of every graph */

typedef struct stg__topology stg__topology;
struct stg__topology {
    atomic_uint refs;
    stg_ctx *ctx;
    uint64_t id; /* of the content, for one context; never 0 */
    uint32_t nodes;
    uint32_t edges;
    uint32_t routes;
    const char **node_name; /* [nodes], canonical order, NUL-terminated */
    uint32_t *node_len;
    const char **route_name; /* [routes], sorted by bytes */
    uint32_t *route_len;
    uint32_t *src; /* [edges], sorted by (src, dst, route) */
    uint32_t *dst;
    uint32_t *route;
    uint32_t *out_ptr; /* [nodes + 1] */
    uint32_t *in_ptr;  /* [nodes + 1] */
    uint32_t *in_edge; /* [edges] */
    char *text;        /* all names */
};

stg__topology *stg__topology_ref(stg__topology *t);
void stg__topology_unref(stg__topology *t);
uint32_t stg__topology_find(const stg__topology *t, const char *name, size_t len); /* node */
uint32_t stg__topology_find_route(const stg__topology *t, const char *name, size_t len);
/* Edge with these ends, by indices of t; UINT32_MAX if there is none. */
uint32_t stg__topology_edge(const stg__topology *t, uint32_t src, uint32_t dst, uint32_t route);

/*
 * Where the nodes and edges of `from` stand in `to`: map[i] is an index of `to` or UINT32_MAX.
 * Either map may be NULL.
 */
void stg__topology_map(const stg__topology *from, const stg__topology *to, uint32_t *node_map,
                       uint32_t *edge_map);

/* Names and edges in a bundle. Read back they come as a graph without columns, which has the
 * topology: equal in all indices, or E_FORMAT. */
int32_t stg__topology_put(const stg__topology *t, stg_bundle *bundle, const char *prefix);
int32_t stg__topology_get(const stg_graph **out, stg_ctx *ctx, const stg_bundle *bundle,
                          const char *prefix, stg_error *err);

struct stg_graph {
    stg__object object;
    stg__topology *topo;
    uint64_t start_ns;
    uint64_t end_ns;
    double coverage;
    struct stg__schema *schema;
    double *node_values; /* [node_columns][node_stride] */
    double *edge_values; /* [edge_columns][edge_stride] */
    size_t node_stride;
    size_t edge_stride;
    size_t node_cap; /* doubles allocated */
    size_t edge_cap;
};

static inline stg__topology *stg__graph_topology(const stg_graph *g)
{
    return g->topo;
}

/* Column by index within its kind, or NULL: for rooms that have looked the name up once. */
uint32_t stg__graph_column_index(const stg_graph *g, uint32_t kind, const char *name, size_t len);
const double *stg__graph_column_at(const stg_graph *g, uint32_t kind, uint32_t index);
/* Changes only when columns were added: a room may keep indices as long as it stays the same. */
uint64_t stg__graph_schema_id(const stg_graph *g);

/* Coverage of the window being built; NaN unless set. */
void stg__builder_coverage(stg_graph_builder *b, double coverage);
/* Row of all columns of a kind for one node or edge, for filling without a call for each value:
 * column c of the item stands at row[c * *stride]. Valid until a name, edge or column is added. */
double *stg__builder_row(stg_graph_builder *b, uint32_t kind, uint32_t index, size_t *stride);
uint32_t stg__builder_edges(const stg_graph_builder *b);
uint32_t stg__builder_nodes(const stg_graph_builder *b);

#endif
