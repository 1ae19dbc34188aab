/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of an ingest: ports (the reader's ends of lanes), the table of edges with their
 * accumulators for two open windows, gauges, known client groups. One user at a time.
 *
 * Two windows are open, `cur` and the one after it; what belongs to a window stands at index
 * (window & 1), its parity. Ids of nodes are those of the graph builder.
 */
#ifndef STG_INGEST_PRIV_H
#define STG_INGEST_PRIV_H

#include <stgraph/ingest.h>

#include "graph_priv.h"
#include "ring_priv.h"
#include "sketch_dd_priv.h"
#include "sketch_hll_priv.h"
#include "sketch_top_priv.h"

#define STG__SIDES 4u
#define STG__NONE UINT32_MAX
#define STG__BATCH 32u

/* --- ports ------------------------------------------------------------------------------------ */

typedef struct stg__port {
    uint64_t id;
    stg__lane_page *page;
    stg__slot *slots;
    uint64_t capacity;
    uint64_t head;       /* this end's own; the page's copy is for the writer */
    uint64_t limit;      /* this round reads up to here */
    uint64_t last;       /* a port that is leaving ends here */
    uint64_t refused;    /* the writer's count when last looked at */
    uint32_t names;      /* ids of the lane are at most this */
    uint32_t bits;       /* of an index into the maps */
    uint32_t *map[2];    /* [1 << bits] id of the lane to node, to route; STG__NONE: never told */
    bool mapped;         /* shared memory */
    bool leaving;        /* closed or detached: goes when read to `last` */
    bool stuck;          /* in this round: its next call is for a window not open yet */
    bool alive;          /* has ever shown life */
    bool active[2];      /* pushed something in the window of this parity */
} stg__port;

/* --- accumulators ----------------------------------------------------------------------------- */

/* What exists only where calls carry clients, networks or accounts. */
typedef struct stg__outside {
    stg__hll clients;
    stg__hll groups;
    stg__hll users;
    stg__top top;
    bool dirty;
} stg__outside;

/* One edge as one observer saw it in one window: the first line is what every call touches. */
typedef struct stg__acc {
    uint32_t calls;
    uint32_t errors;
    uint32_t client_errors;
    uint32_t denied;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t duration_us;
    stg__dd latency;
    stg__outside *outside; /* NULL: none yet */
    uint32_t logins;
    uint32_t login_failures;
    uint32_t registers;
    uint32_t assets;
    uint32_t retries;
    uint32_t timeouts;
    uint32_t injections;
    uint32_t new_group_calls;
    uint8_t pad[32];
} stg__acc;

_Static_assert(sizeof(stg__acc) == 128, "two cache lines");

typedef struct stg__seen { /* an observer of an edge: both windows */
    stg__acc acc[2];
    uint32_t bins[2][STG__DD_BINS];
} stg__seen;

/* The bins of an accumulator, found without reading it. */
static inline uint32_t *stg__acc_bins(stg__acc *acc, uint32_t parity)
{
    return ((stg__seen *)(acc - parity))->bins[parity];
}

typedef struct stg__edge { /* one cache line */
    uint32_t src;
    uint32_t dst;
    uint32_t route;
    uint32_t index; /* in the builder */
    stg__seen *seen[STG__SIDES];
    uint32_t next_out; /* further edge of src; STG__NONE: end */
    uint32_t next_in;
    uint32_t primary; /* while a window closes: side, or STG__NONE without calls */
    uint32_t pad;
} stg__edge;

_Static_assert(sizeof(stg__edge) == 64, "an edge is one cache line");

typedef struct stg__node {
    uint32_t first_out;
    uint32_t first_in;
} stg__node;

typedef struct stg__edge_table {
    stg__edge *at;
    uint32_t count;
    uint32_t cap;
    uint32_t max;    /* of the caller */
    uint32_t slots;  /* of the table, a power of two */
    uint64_t *table; /* upper half of the hash, place + 1; 0: free */
} stg__edge_table;

/* --- gauges ----------------------------------------------------------------------------------- */

typedef struct stg__producer { /* readings of one producer of one node */
    stg_gauge now;             /* of the window that closes next, or older */
    stg_gauge next;            /* of the window after it; time 0: none */
} stg__producer;

typedef struct stg__gauges {
    stg__producer *at;
    uint32_t count;
    uint32_t cap;
    uint32_t max;
    uint32_t slots;
    uint32_t *table; /* place + 1; 0: free */
} stg__gauges;

/* --- known groups ----------------------------------------------------------------------------- */

#define STG__GENERATIONS 4u
#define STG__GROUP_BLOCKS 2048u /* of 512 bits: 10 bits a group for 100,000 groups a generation */
#define STG__GROUP_WORDS (STG__GROUP_BLOCKS * 8u)

typedef struct stg__groups {
    uint64_t *known[STG__GENERATIONS]; /* [0]: the youngest */
    uint64_t *pending[2];              /* seen in the window of this parity */
    bool dirty[2];
    bool started; /* generation is valid */
    bool resumed; /* restored: what was not seen in between makes nothing older */
    uint64_t generation;
    uint64_t *memory;
} stg__groups;

/* --- ingest ----------------------------------------------------------------------------------- */

enum { /* what becomes of a call */
    STG__TAKE0 = 0, /* counts in the window of parity 0 */
    STG__TAKE1 = 1,
    STG__LATE,
    STG__REFUSE,
    STG__MALFORMED,
    STG__WAIT /* stays in the ring, and all behind it */
};

typedef struct stg__item { /* a call on its way through a batch */
    stg_call call;         /* ids are those of the ingest */
    uint64_t hash;
    stg__acc *acc;
    uint32_t fate;
    uint32_t bin;   /* of the latency sketch */
    uint32_t place; /* of the edge, by the look of the table; STG__NONE: not there */
    bool new_group;
    bool outside; /* has a client, a network or an account */
} stg__item;

#define STG__EDGE_COLUMNS 22u
#define STG__NODE_COLUMNS 27u

struct stg_ingest {
    stg__handle handle;
    stg_ctx *ctx;
    uint64_t window_ns;
    uint64_t gauge_ttl_ns;
    uint64_t ahead_ns;
    uint32_t max_nodes;
    uint32_t max_routes;
    uint32_t max_lanes;
    uint32_t snapshots;

    bool have;          /* cur is known */
    bool closed_any;    /* the host has said what time it is */
    bool touched[2];    /* calls of this parity's window were taken */
    uint64_t cur;       /* window that closes next */
    uint64_t cur_start; /* its first nanosecond */

    stg__port **ports; /* [max_lanes] */
    uint32_t port_count;
    uint64_t next_id;
    uint32_t gone_active[2]; /* lanes that were active in the window and left */

    stg_graph_builder *builder;
    stg__names *node_names; /* ids as in the builder */
    stg__names *routes;
    stg__node *nodes; /* [max_nodes + 1] */
    uint32_t other_node;  /* STG__NONE until needed */
    uint32_t other_route;
    stg__edge_table edges;
    stg__gauges gauges;
    stg__groups groups;

    stg__item *batch; /* [STG__BATCH] */
    bool batch_outside; /* one of them at least is from outside */
    uint64_t hash_key[3]; /* odd, secret: of the edge table */
    stg__dd_map dd;

    uint32_t node_column[STG__NODE_COLUMNS];
    uint32_t edge_column[STG__SIDES + 1][STG__EDGE_COLUMNS]; /* the last set: primary */
    bool side_known[STG__SIDES]; /* its columns exist */
    bool side_seen[STG__SIDES];
    uint32_t *merge_bins; /* [STG__DD_BINS] scratch of a node */
    stg__hll merge_clients;

    /* The ledger. Counts of open windows are kept by parity: a window that is skipped is late. */
    uint64_t windowed;
    uint64_t late;
    uint64_t refused;
    uint64_t other_nodes;
    uint64_t other_edges;
    uint64_t open_calls[2];
    uint64_t open_other_nodes[2];
    uint64_t open_other_edges[2];
    uint64_t gauge_count;
    uint64_t malformed;
};

/* port.c: the reader's ends */
int32_t stg__port_new(stg_ingest *in, stg__lane_page *page, uint32_t records, uint32_t names,
                      bool mapped, uint64_t *id);
void stg__port_free(stg_ingest *in, uint32_t index);
uint32_t stg__port_find(const stg_ingest *in, uint64_t id);
void stg__port_look(stg_ingest *in, stg__port *port); /* fixes how far this round reads */
uint64_t stg__port_waiting(const stg__port *port);    /* calls in the ring */
double stg__ports_coverage(const stg_ingest *in, uint64_t start_ns, uint32_t parity);

/* drain.c: from rings to accumulators */
int32_t stg__drain(stg_ingest *in);
void stg__windows_move(stg_ingest *in, uint64_t cur); /* cur closes next; older ones are late */
void stg__window_clear(stg_ingest *in, uint32_t parity); /* ready for the window after the next */

/* edges.c: names and the table */
int32_t stg__edges_init(stg_ingest *in, uint32_t max_edges);
void stg__edges_free(stg_ingest *in);
int32_t stg__node_add(stg_ingest *in, const char *name, size_t len, uint32_t *id); /* no limit */
int32_t stg__node_id(stg_ingest *in, const char *name, size_t len, uint32_t *id);
int32_t stg__route_id(stg_ingest *in, const char *name, size_t len, uint32_t *id);
/* Multilinear and secret per process: nobody outside can choose names that collide. */
static inline uint64_t stg__edge_hash(const stg_ingest *in, uint32_t src, uint32_t dst,
                                      uint32_t route)
{
    const uint64_t h = (src + 1) * in->hash_key[0] + (dst + 1) * in->hash_key[1] +
                       (uint64_t)route * in->hash_key[2];
    return h ^ h >> 32;
}
/* Where the edge with this hash should be, without a look at the edge itself. */
static inline uint32_t stg__edge_guess(const stg_ingest *in, uint64_t hash)
{
    const stg__edge_table *t = &in->edges;
    uint32_t slot = (uint32_t)hash & (t->slots - 1);
    while (t->table[slot] && (t->table[slot] ^ hash) >> 32)
        slot = (slot + 1) & (t->slots - 1);
    return (uint32_t)t->table[slot] - 1; /* an empty slot gives STG__NONE */
}
/* Accumulator for the call, made if new; changes the ids of the call where tables are full. The
 * outside part exists where the call needs it. */
int32_t stg__edge_acc(stg_ingest *in, stg_call *call, uint64_t hash, uint32_t parity,
                      stg__acc **acc);
void stg__edges_clear(stg_ingest *in, uint32_t parity);

/* gauges.c */
int32_t stg__gauges_take(stg_ingest *in, const stg_gauge *gauge, bool next);
void stg__gauges_move(stg_ingest *in); /* the next window becomes the current one */
void stg__gauges_free(stg_ingest *in);

/* groups.c */
int32_t stg__groups_init(stg_ingest *in);
void stg__groups_free(stg_ingest *in);
/* True when the group is new in the window of this parity; remembers it until the window closes. */
bool stg__groups_see(stg_ingest *in, uint32_t group, uint32_t parity);
void stg__groups_age(stg_ingest *in, uint64_t time_ns); /* forgets who was last here too long ago */
void stg__groups_close(stg_ingest *in, uint32_t parity);
void stg__groups_forget(stg_ingest *in, uint32_t parity); /* the window never was */

int32_t stg__groups_put(const stg_ingest *in, stg_bundle *bundle, const char *prefix);
int32_t stg__groups_get(stg_ingest *in, const stg_bundle *bundle, const char *prefix,
                        stg_error *err);
void stg__groups_resume(stg_ingest *in, uint64_t time_ns); /* the time it was saved at */

/* ingest_state.c */
extern const stg__state_type stg__ingest_state;

/* columns.c */
int32_t stg__columns_init(stg_ingest *in);
int32_t stg__columns_fill(stg_ingest *in, uint32_t parity, uint64_t end_ns);

#endif
