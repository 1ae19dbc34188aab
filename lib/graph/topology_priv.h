/* SPDX-License-Identifier: Apache-2.0 */
/* How the builder makes a topology, and the schema: the names of a graph's columns. */
#ifndef STG_TOPOLOGY_PRIV_H
#define STG_TOPOLOGY_PRIV_H

#include "graph_priv.h"

/* Arrays of these sizes, all zero, and text bytes for the names. */
stg__topology *stg__topology_new(stg_ctx *ctx, uint32_t nodes, uint32_t edges, uint32_t routes,
                                 size_t text);
/* When names and sorted edges are in: the id, and out_ptr, in_ptr, in_edge. */
void stg__topology_finish(stg__topology *t);

/* Column names of one builder; append-only and shared, readers know how many were there. */
typedef struct stg__schema {
    atomic_uint refs;
    stg_ctx *ctx;
    uint64_t id;
    stg__names *names[2]; /* STG_NODE, STG_EDGE */
    uint32_t count[2];
} stg__schema;

stg__schema *stg__schema_new(stg_ctx *ctx, const stg__schema *copy); /* copy may be NULL */
stg__schema *stg__schema_ref(stg__schema *s);
void stg__schema_unref(stg__schema *s);
/* Whether the caller holds the only reference. It may then add columns: the schema has a new id, since
 * sessions know columns by it. */
bool stg__schema_own(stg__schema *s);

#endif
