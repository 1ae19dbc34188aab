/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file graph.h
 * The traffic dispersion graph of one window: services, who calls whom, and named columns of
 * numbers for both. Ingest makes one at the end of every window; a builder makes one from arrays.
 *
 * A stg_graph is immutable and shared: stg_ref() and stg_unref(). Nodes and routes stand in
 * canonical order: the reserved node "external" (clients outside) first, the others by the bytes of
 * their names. Edges are sorted by source, destination, route. Consecutive graphs with the same
 * names and edges share one topology, so that indices stay valid from window to window
 * (stg_graph_info.topology tells).
 *
 * Columns are float64. NaN means "not known", never zero. Columns of an edge come in one set for
 * each observer ("client.calls", "server.calls", "proxy.calls", "card.calls"), and without a prefix
 * for the primary observer of that edge and window: the one that saw most calls, the first in the
 * order client, proxy, server, card among equals. Observers are never added up.
 *
 * @code
 * stg_graph_builder *b;
 * const stg_graph *g;
 * uint32_t a, c, e, col;
 * stg_graph_builder_create(&b, ctx, NULL);
 * stg_graph_builder_begin(b, 0, 5000000000);
 * stg_graph_builder_node(b, "web", 3, &a);
 * stg_graph_builder_node(b, "cart", 4, &c);
 * stg_graph_builder_edge(b, a, c, "GET /cart", 9, &e);
 * stg_graph_builder_column(b, STG_EDGE, "calls", 5, &col);
 * stg_graph_builder_set(b, STG_EDGE, e, col, 17.0);
 * stg_graph_builder_finish(b, &g);
 * stg_unref(g);
 * stg_graph_builder_destroy(b);
 * @endcode
 */
#ifndef STGRAPH_GRAPH_H
#define STGRAPH_GRAPH_H

#include <stgraph/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Longest name of a node, route or column in bytes; longer names are refused. */
#define STG_NAME_MAX 255

/** Kinds of things that have names or columns. */
enum {
    STG_NODE = 0,        /**< a service; also: its columns */
    STG_EDGE = 1,        /**< a caller, a callee and a route; also: its columns */
    STG_ROUTE = 2,       /**< a route class, such as "GET /cart" */
    STG_NODE_COLUMN = 3, /**< a column of the nodes */
    STG_EDGE_COLUMN = 4  /**< a column of the edges */
};

/** Forms that stg_graph_export() writes. */
enum {
    STG_FORMAT_JSON = 0, /**< one object: window, nodes, edges with their columns */
    STG_FORMAT_DOT = 1   /**< Graphviz: edges labelled with calls, errors and p99 */
};

/** The graph of one window; immutable, shared. */
typedef struct stg_graph stg_graph;

/** What a graph holds. */
typedef struct stg_graph_info {
    size_t size;           /**< sizeof(stg_graph_info) */
    uint64_t start_ns;     /**< first nanosecond of the window */
    uint64_t end_ns;       /**< first nanosecond after the window */
    uint64_t topology;     /**< equal for two graphs: same nodes, routes and edges, same indices */
    double coverage;       /**< share of the open lanes that showed life in the window, 0 to 1; NaN:
                                not known. Below 1 the counts are of what was seen only */
    uint32_t nodes;        /**< number of nodes, "external" included */
    uint32_t edges;        /**< number of edges */
    uint32_t routes;       /**< number of routes */
    uint32_t node_columns; /**< number of node columns */
    uint32_t edge_columns; /**< number of edge columns */
    uint32_t reserved;     /**< zero */
} stg_graph_info;

/** The edges, by both ends; all arrays are borrowed from the graph. */
typedef struct stg_edges {
    size_t size;             /**< sizeof(stg_edges) */
    const uint32_t *src;     /**< [edges] caller */
    const uint32_t *dst;     /**< [edges] callee */
    const uint32_t *route;   /**< [edges] route */
    const uint32_t *out_ptr; /**< [nodes + 1] edges of caller i: out_ptr[i] .. out_ptr[i + 1] - 1 */
    const uint32_t *in_ptr;  /**< [nodes + 1] positions in in_edge of callee i */
    const uint32_t *in_edge; /**< [edges] edges ordered by callee */
} stg_edges;

/** Fills info (its size field set by the caller). Errors: E_INVALID, E_VERSION. @since 0.1 */
STG_API int32_t stg_graph_get_info(const stg_graph *graph, stg_graph_info *info);

/** Name number index of a kind (STG_NODE, STG_ROUTE, STG_NODE_COLUMN, STG_EDGE_COLUMN), borrowed
 *  from the graph, NUL-terminated; *len may be NULL. NULL when there is none. @since 0.1 */
STG_API const char *stg_graph_name(const stg_graph *graph, uint32_t kind, uint32_t index,
                                   size_t *len);

/** Fills the view of the edges (its size field set by the caller). @since 0.1 */
STG_API int32_t stg_graph_get_edges(const stg_graph *graph, stg_edges *edges);

/** A column by name: kind is STG_NODE ([nodes] values) or STG_EDGE ([edges]); borrowed from the
 *  graph, contiguous, 64-byte aligned. NULL when there is no such column. @since 0.1 */
STG_API const double *stg_graph_column(const stg_graph *graph, uint32_t kind, const char *name,
                                       size_t len);

/** Index of the node with this name, or UINT32_MAX. @since 0.1 */
STG_API uint32_t stg_graph_find(const stg_graph *graph, const char *name, size_t len);

/**
 * Writes the graph as text. Returns STG_MORE with *len the size needed when cap is too small (buf
 * may then be NULL). Names are escaped; numbers do not depend on the locale.
 * Errors: E_INVALID (format). @since 0.1
 */
STG_API int32_t stg_graph_export(const stg_graph *graph, uint32_t format, char *buf, size_t cap,
                                 size_t *len);

/** Makes graphs from arrays; one user at a time. */
typedef struct stg_graph_builder stg_graph_builder;

/** Options of stg_graph_builder_create(). */
typedef struct stg_graph_builder_opts {
    size_t size;         /**< sizeof(stg_graph_builder_opts) */
    uint32_t snapshots;  /**< graphs that may be out at once without new memory; 0: 4 */
    uint32_t max_nodes;  /**< 0: 65536 */
    uint32_t max_edges;  /**< 0: 1048576 */
    uint32_t max_routes; /**< 0: 65536 */
} stg_graph_builder_opts;

/** Makes a builder; it knows the node "external" (index 0) and the route "" (index 0). opts may be
 *  NULL. Errors: E_NOMEM, E_VERSION. Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_graph_builder_create(stg_graph_builder **out, stg_ctx *ctx,
                                         const stg_graph_builder_opts *opts);

/** Frees a builder; graphs made by it live on. NULL is allowed. @since 0.1 */
STG_API void stg_graph_builder_destroy(stg_graph_builder *builder);

/** Starts the graph of the window [start_ns, end_ns): all columns become NaN. Nodes, edges, routes
 *  and columns stay from window to window. Errors: E_INVALID (empty window). @since 0.1 */
STG_API int32_t stg_graph_builder_begin(stg_graph_builder *builder, uint64_t start_ns,
                                        uint64_t end_ns);

/** Index of a node, made if new; an index of the builder, valid as long as the builder.
 *  Errors: E_INVALID (name empty or too long), E_LIMIT, E_NOMEM. @since 0.1 */
STG_API int32_t stg_graph_builder_node(stg_graph_builder *builder, const char *name, size_t len,
                                       uint32_t *index);

/** Index of an edge, made if new; route "" (len 0) where there are no routes.
 *  Errors: as for nodes, E_INVALID for an unknown end. @since 0.1 */
STG_API int32_t stg_graph_builder_edge(stg_graph_builder *builder, uint32_t src, uint32_t dst,
                                       const char *route, size_t len, uint32_t *index);

/** Index of a column of STG_NODE or STG_EDGE, made if new. Errors: as for nodes. @since 0.1 */
STG_API int32_t stg_graph_builder_column(stg_graph_builder *builder, uint32_t kind,
                                         const char *name, size_t len, uint32_t *index);

/** Sets one value. Errors: E_INVALID (kind, index, column), E_STATE (no begin). @since 0.1 */
STG_API int32_t stg_graph_builder_set(stg_graph_builder *builder, uint32_t kind, uint32_t index,
                                      uint32_t column, double value);

/** Ends the window and hands out its graph, with one reference for the caller; once opts.snapshots
 *  graphs were made, allocates nothing when no name is new and at most so many are out. Errors:
 *  E_STATE, E_NOMEM (the window can then be finished again). @since 0.1 */
STG_API int32_t stg_graph_builder_finish(stg_graph_builder *builder, const stg_graph **out);

#ifdef __cplusplus
}
#endif
#endif
