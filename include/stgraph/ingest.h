/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file ingest.h
 * Calls and gauges go in through lanes, graphs come out at the end of every window.
 *
 * A lane has one writer (a worker, a thread, a process) and is a ring of 64-byte records; pushing
 * takes no lock, makes no system call, allocates nothing and never waits: what does not fit is
 * refused and counted. The owner of the stg_ingest reads all lanes when it polls or closes a window.
 * A lane in shared memory may be written by another process: its writer may be killed or stopped at
 * any moment, the reader trusts nothing it finds there.
 *
 * Time is the caller's: no function reads a clock. A call belongs to the window of its END. What
 * arrives after its window was closed is late and counted. At any moment, for each lane and in sum:
 * pushed = in windows + late + refused (+ what still waits in the ring).
 *
 * @code
 * stg_ingest *in;
 * stg_lane *lane;
 * const stg_graph *g;
 * stg_call call = {0};
 * stg_ingest_create(&in, ctx, NULL);
 * stg_lane_open(&lane, in, NULL);
 * stg_lane_intern(lane, STG_NODE, "cart", 4, &call.dst);
 * call.end_ns = 1700000000000000000;
 * call.status = 200;
 * stg_lane_push(lane, &call, 1);
 * stg_ingest_close(in, 1700000005000000000, &g);
 * stg_unref(g);
 * @endcode
 */
#ifndef STGRAPH_INGEST_H
#define STGRAPH_INGEST_H

#include <stgraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Who saw a call. */
enum {
    STG_SIDE_CLIENT = 0, /**< the caller */
    STG_SIDE_SERVER = 1, /**< the callee */
    STG_SIDE_PROXY = 2,  /**< something between them */
    STG_SIDE_CARD = 3    /**< a network card */
};

/** Flags of a call. */
enum {
    STG_CALL_LOGIN = 1,        /**< an attempt to log in */
    STG_CALL_LOGIN_FAILED = 2, /**< that was refused */
    STG_CALL_REGISTER = 4,     /**< makes an account */
    STG_CALL_ASSET = 8,        /**< static content */
    STG_CALL_RETRY = 16,       /**< repeats an earlier call */
    STG_CALL_TIMEOUT = 32      /**< ended by the observer's time limit */
};

/** One call, 64 bytes without padding. Ids come from stg_lane_intern(), hashes from
 *  stg_lane_hash() of the same lane; 0 means unknown. */
typedef struct stg_call {
    uint64_t end_ns;        /**< end of the call, Unix nanoseconds */
    uint64_t client;        /**< hash of the client outside (address, key); 0: unknown */
    uint32_t duration_us;   /**< whole call, saturating */
    uint32_t first_byte_us; /**< until the first byte of the answer, saturating; 0: unknown */
    uint32_t src;           /**< caller; 0: outside ("external") */
    uint32_t dst;           /**< callee */
    uint32_t route;         /**< route class; 0: none */
    uint32_t conn;          /**< connection at the observer; 0: unknown */
    uint32_t user;          /**< hash of the account; 0: unknown */
    uint32_t group;         /**< hash of the client's network, such as its /24; 0: unknown */
    uint32_t bytes_in;      /**< request, saturating */
    uint32_t bytes_out;     /**< answer, saturating */
    uint16_t status;        /**< HTTP status; 0: no answer */
    uint16_t flags;         /**< STG_CALL_* */
    uint8_t side;           /**< STG_SIDE_* */
    uint8_t attempt;        /**< 0: first attempt */
    uint8_t injection;      /**< payload rules that hit, 0 to 255 */
    uint8_t reserved;       /**< zero */
} stg_call;

/** State of one producer (process) of a node at one moment; 64 bytes without padding. */
typedef struct stg_gauge {
    uint64_t time_ns;         /**< moment of the reading */
    uint32_t node;            /**< from stg_lane_intern() */
    uint32_t producer;        /**< any number that tells the producers of a node apart */
    uint32_t open;            /**< open connections */
    uint32_t waiting_headers; /**< connections whose request is not complete */
    uint32_t active;          /**< connections with a request at work */
    uint32_t idle;            /**< kept-alive connections without request */
    uint32_t in_flight;       /**< requests at work */
    uint32_t oldest_conn_ms;  /**< age of the oldest connection, saturating */
    uint32_t oldest_header_ms; /**< age of the oldest incomplete request, saturating */
    uint32_t spare[4];        /**< zero */
    uint8_t zero[4];          /**< zero */
} stg_gauge;

/** Reads lanes and makes graphs; one user at a time. */
typedef struct stg_ingest stg_ingest;

/** Writer's end of a lane; one user at a time, each lane on its own. */
typedef struct stg_lane stg_lane;

/** Options of stg_ingest_create(). */
typedef struct stg_ingest_opts {
    size_t size;           /**< sizeof(stg_ingest_opts) */
    uint64_t window_ns;    /**< length of a window, 1 ms to 1 h; 0: 5 s. Windows start at multiples */
    uint64_t gauge_ttl_ns; /**< a producer silent for this long is dead; 0: three windows */
    uint64_t ahead_ns;     /**< a call that ends later than the closing window's end plus this is
                                refused as from a wrong clock; 0: 1 h */
    uint32_t snapshots;    /**< graphs that may be out at once without new memory; 0: 4 */
    uint32_t max_nodes;    /**< more go to the node "other"; 0: 1024 */
    uint32_t max_edges;    /**< more go to the route "other" of both ends, then to the edge from
                                the node "other" to the callee; 0: 8192 */
    uint32_t max_routes;   /**< route classes in all; 0: 4096 */
    uint32_t max_lanes;    /**< lanes attached at once; 0: 256 */
    uint32_t reserved;     /**< zero */
} stg_ingest_opts;

/** Options of a lane. */
typedef struct stg_lane_opts {
    size_t size;      /**< sizeof(stg_lane_opts) */
    uint32_t records; /**< slots of 64 bytes, a power of two from 256 to 2^24; 0: 65536 */
    uint32_t names;   /**< names that the lane can define, 16 to 65536; 0: 4096 */
} stg_lane_opts;

/** The ledger. Sums over all lanes since creation; lanes that were closed are included. */
typedef struct stg_ingest_stats {
    size_t size;          /**< sizeof(stg_ingest_stats) */
    uint64_t pushed;      /**< calls that writers offered: taken and refused */
    uint64_t windowed;    /**< calls counted in windows, closed or open */
    uint64_t late;        /**< calls whose window was closed already */
    uint64_t refused;     /**< calls refused: ring full, wrong clock, malformed record */
    uint64_t waiting;     /**< calls still in rings */
    uint64_t other_nodes; /**< of windowed: calls that went to the node "other" */
    uint64_t other_edges; /**< of windowed: calls that went to a route "other" */
    uint64_t gauges;      /**< gauge readings taken */
    uint64_t malformed;   /**< records of any kind that made no sense (calls among them are refused) */
    uint32_t lanes;       /**< lanes attached now */
    uint32_t nodes;       /**< nodes known now */
    uint32_t edges;       /**< edges known now */
    uint32_t reserved;    /**< zero */
} stg_ingest_stats;

/** Makes an ingest; opts may be NULL. Errors: E_NOMEM, E_INVALID, E_VERSION.
 *  Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_ingest_create(stg_ingest **out, stg_ctx *ctx, const stg_ingest_opts *opts);

/** Frees it; lanes opened from it must be closed before, graphs live on. NULL is allowed.
 *  @since 0.1 */
STG_API void stg_ingest_destroy(stg_ingest *in);

/** Reads what waits in the lanes into the two open windows, the one that closes next and the one
 *  after it, without closing one; calls further ahead stay in the ring. A host that pushes more
 *  than a ring holds in one window polls in between. Before the first close the calls themselves
 *  say which windows are open. Errors: E_NOMEM (names that are new),
 *  E_FORK. @since 0.1 */
STG_API int32_t stg_ingest_poll(stg_ingest *in);

/**
 * Reads the lanes, closes the window that ends at window_end and hands out its graph (one
 * reference for the caller). window_end must be a multiple of the window's length and the end of a
 * window that was not closed; windows between the last one and this one that the host skipped are
 * closed without a graph and their calls count as late. out may be NULL.
 * Errors: E_TIME (closed already), E_INVALID, E_NOMEM, E_FORK. @since 0.1
 */
STG_API int32_t stg_ingest_close(stg_ingest *in, uint64_t window_end, const stg_graph **out);

/** Fills the ledger (its size field set by the caller). @since 0.1 */
STG_API int32_t stg_ingest_get_stats(const stg_ingest *in, stg_ingest_stats *stats);

/**
 * Attaches the reader to a lane in shared memory (see stg_lane_create_fd()); the descriptor may be
 * closed afterwards. *id names the lane for stg_ingest_detach() and is never used again.
 * There can be one reader in a lane's life, since names are told once.
 * Errors: E_FORMAT (not a sealed lane), E_STATE (attached before), E_LIMIT, E_IO, E_NOMEM, E_FORK.
 * @since 0.1
 */
STG_API int32_t stg_ingest_attach(stg_ingest *in, int fd, uint64_t *id);

/** Reads a lane to its end and lets go of it: its writer has closed it, or is dead. Lanes that
 *  their writer closed are let go without this call. Calls in it for windows that are not open yet
 *  are still read when their time comes; the lane counts as attached until then.
 *  Errors: E_NOTFOUND, E_NOMEM (it goes with a later poll), E_FORK. @since 0.1 */
STG_API int32_t stg_ingest_detach(stg_ingest *in, uint64_t id);

/** Opens a lane within this process. opts may be NULL. Threads: as the owner of the ingest; the
 *  lane itself may then be used on any one thread. Errors: E_NOMEM, E_LIMIT. @since 0.1 */
STG_API int32_t stg_lane_open(stg_lane **out, stg_ingest *in, const stg_lane_opts *opts);

/** Makes the memory of a shared lane: an anonymous, size-sealed file whose descriptor goes to the
 *  writer (by fork or over a socket) and to the reader. Caller closes it. ctx gives the key for
 *  stg_lane_hash(). Errors: E_IO, E_INVALID. @since 0.1 */
STG_API int32_t stg_lane_create_fd(int *fd, stg_ctx *ctx, const stg_lane_opts *opts);

/** Claims the writer's end of a shared lane; there can be one claim in a lane's life.
 *  Errors: E_FORMAT, E_STATE (claimed before), E_IO, E_NOMEM. @since 0.1 */
STG_API int32_t stg_lane_attach(stg_lane **out, stg_ctx *ctx, int fd);

/** Closes the writer's end; what was pushed is still read. NULL is allowed. @since 0.1 */
STG_API void stg_lane_close(stg_lane *lane);

/** Id of a node (STG_NODE) or route (STG_ROUTE) within this lane; made, and announced to the
 *  reader, if new. Not for every call: hosts keep the ids. "external" is node 0.
 *  Errors: E_INVALID (kind, empty, over STG_NAME_MAX), E_LIMIT (names used up), STG_AGAIN (no room
 *  in the ring now). @since 0.1 */
STG_API int32_t stg_lane_intern(stg_lane *lane, uint32_t kind, const char *name, size_t len,
                                uint32_t *id);

/** Keyed 64-bit hash of a client, user or network for the fields of stg_call (user and group take
 *  the lower 32 bits); never 0. Threads: any. @since 0.1 */
STG_API uint64_t stg_lane_hash(const stg_lane *lane, const void *data, size_t len);

/** Pushes n calls; returns how many were taken, from the first on. The others are counted as
 *  refused: pushing them again would count them twice. 0, uncounted, in a child of the process that
 *  attached the lane. @since 0.1 */
STG_API size_t stg_lane_push(stg_lane *lane, const stg_call *calls, size_t n);

/** Pushes a gauge reading. Returns STG_AGAIN when the ring is full. @since 0.1 */
STG_API int32_t stg_lane_gauge(stg_lane *lane, const stg_gauge *gauge);

/** Says that the writer lives at this time although it has nothing to push. @since 0.1 */
STG_API void stg_lane_beat(stg_lane *lane, uint64_t now_ns);

/**
 * Puts the set of known client groups into the bundle, under "ingest/" (it replaces what is there):
 * the networks seen in the last seven days of call time, as a filter that names nobody. This is what a
 * model file carries from learning; a running ingest is saved by stg_state_save().
 * Errors: E_NOMEM, E_FORK. @since 0.1
 */
STG_API int32_t stg_ingest_store(const stg_ingest *in, stg_bundle *bundle);

/**
 * Takes the set of known client groups from a bundle, in place of the own one. Time that passed
 * between store and restore was seen by nobody, and makes nothing older.
 * Errors: E_NOTFOUND (the bundle has none), E_VERSION, E_MISMATCH (hashed with another sketch
 * key), E_FORMAT, E_FORK; the own set is then untouched. @since 0.1
 */
STG_API int32_t stg_ingest_restore(stg_ingest *in, const stg_bundle *bundle, stg_error *err);

#ifdef __cplusplus
}
#endif
#endif
