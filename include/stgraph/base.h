/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file base.h
 * What every other header needs: status codes, the error text, the context with allocator and
 * log, shared objects, and the bundle, the one file that a trained model lives in.
 *
 * Conventions of the whole library:
 * - A function that can fail returns an int32_t status: 0 ok, > 0 not an error, < 0 an error.
 * - Results come out through the first argument; on an error it is NULL or untouched.
 * - Structs that start with `size_t size` are filled with zeros, then `size = sizeof(struct)`; zero
 *   always means the default. They only grow at their end. A larger struct than the library knows
 *   is accepted when the unknown part is zero and refused with STG_E_VERSION otherwise.
 * - `const stg_x *` may be used from many threads at once, `stg_x *` by one thread at a time.
 * - Strings go in as pointer and length; they may hold any bytes, NUL too.
 * - The library never aborts, prints, exits, starts a thread unasked, or touches signals, locale
 *   or the settings of a BLAS library.
 *
 * @code
 * stg_ctx *ctx;
 * if (stg_ctx_create(&ctx, NULL) != STG_OK)
 *     return 1;
 * stg_bundle *bundle;
 * stg_error err;
 * if (stg_bundle_open(&bundle, ctx, "model.stg", &err) != STG_OK)
 *     fprintf(stderr, "%s\n", err.text);
 * else
 *     stg_bundle_destroy(bundle);
 * stg_ctx_destroy(ctx);
 * @endcode
 */
#ifndef STGRAPH_BASE_H
#define STGRAPH_BASE_H

#include <stgraph/version.h>

#ifdef __cplusplus
extern "C" {
#endif

/** All status codes: X(name, number, text). Numbers are pinned and never used again. */
#define STG_STATUS_MAP(X)                                                                          \
    X(OK, 0, "ok")                                                                                 \
    X(AGAIN, 1, "nothing to do yet")                                                               \
    X(MORE, 2, "there is more: the buffer was too small")                                          \
    X(E_NOMEM, -1, "out of memory")                                                                \
    X(E_INVALID, -2, "invalid argument")                                                           \
    X(E_STATE, -3, "not possible in this state")                                                   \
    X(E_VERSION, -4, "made for another version")                                                   \
    X(E_UNSUPPORTED, -5, "not supported")                                                          \
    X(E_IO, -6, "input or output failed")                                                          \
    X(E_FORMAT, -7, "malformed input")                                                             \
    X(E_LIMIT, -8, "a limit was reached")                                                          \
    X(E_TIME, -9, "time stepped back")                                                             \
    X(E_MISMATCH, -10, "objects do not belong together")                                           \
    X(E_NOTFOUND, -11, "not found")                                                                \
    X(E_FORK, -12, "handle used in a child process")                                               \
    X(E_CANCELLED, -13, "stopped by the callback")

/** Status codes; functions return them as int32_t. */
enum {
#define STG_STATUS_ENUM_(name, number, text) STG_##name = number,
    STG_STATUS_MAP(STG_STATUS_ENUM_)
#undef STG_STATUS_ENUM_
};

/** Name of a status code without its prefix, for example "E_NOMEM"; "?" for unknown numbers.
 *  Static storage. Threads: any. @since 0.1 */
STG_API const char *stg_status_name(int32_t status);

/** Details of an error, in storage of the caller; nothing to free. Filled only on an error. */
typedef struct stg_error {
    int32_t status; /**< the status that the function returned */
    uint32_t line;  /**< line of the input, counted from 1; 0 where there is none */
    char text[248]; /**< one line of text, NUL-terminated */
} stg_error;

/** Allocator of a context. All three functions or none; they may be called from every thread
 *  that uses objects of the context. Blocks need the alignment of malloc. */
typedef struct stg_allocator {
    void *(*alloc)(size_t bytes, void *user);              /**< NULL on failure */
    void *(*realloc)(void *block, size_t bytes, void *user); /**< as realloc of C; block may be NULL */
    void (*free)(void *block, void *user);                 /**< block may be NULL */
    void *user;                                            /**< handed to each of the three */
} stg_allocator;

/** Severity of a log message. */
enum {
    STG_LOG_ERROR = 1, /**< something was lost */
    STG_LOG_WARN = 2,  /**< something deserves attention */
    STG_LOG_INFO = 3,  /**< rare and useful */
    STG_LOG_DEBUG = 4  /**< for developers of the library */
};

/** Log function: called on the thread that called the library; must not call the library. */
typedef void (*stg_log_fn)(uint32_t level, const char *text, void *user);

/** Context: allocator, log, hash keys. It must outlive nothing: objects keep it alive. */
typedef struct stg_ctx stg_ctx;

/** Options of stg_ctx_create(). */
typedef struct stg_ctx_opts {
    size_t size;                    /**< sizeof(stg_ctx_opts) */
    const stg_allocator *allocator; /**< copied; NULL: malloc, realloc, free */
    stg_log_fn log;                 /**< NULL: no log */
    void *log_user;                 /**< handed to log */
    uint32_t log_level;             /**< messages up to this level; 0: STG_LOG_WARN */
    uint32_t reserved;              /**< zero */
    uint64_t sketch_key;            /**< key of client hashes and sketches, the same on all machines
                                         whose graphs shall be merged; 0: a fixed public key */
} stg_ctx_opts;

/**
 * Makes a context. opts may be NULL.
 * Errors: E_NOMEM, E_INVALID (allocator incomplete), E_VERSION.
 * Threads: the context may be used from all threads. Ownership: the caller's reference is given up
 * with stg_ctx_destroy(); the memory goes with the last object made from it. @since 0.1
 */
STG_API int32_t stg_ctx_create(stg_ctx **out, const stg_ctx_opts *opts);

/** Gives up the caller's reference; NULL is allowed. Threads: any. @since 0.1 */
STG_API void stg_ctx_destroy(stg_ctx *ctx);

/**
 * Takes one more reference of a shared immutable object: stg_graph, stg_model, stg_forecast,
 * stg_report or stg_plan. Returns the object, so that the call can be part of an assignment; NULL
 * for NULL. Threads: any. @since 0.1
 */
STG_API const void *stg_ref(const void *object);

/** Gives back one reference of a shared immutable object; with the last one its storage returns to
 *  the pool it came from. NULL is allowed. Threads: any. @since 0.1 */
STG_API void stg_unref(const void *object);

/**
 * Size that the library has for a public struct, by its name without "stg_" ("call", "gauge",
 * "graph_info" ...), 0 if there is none: bindings compare it with their own at load time.
 * Threads: any. @since 0.1
 */
STG_API size_t stg_struct_size(const char *name);

/**
 * A file of named tensors in safetensors form: model, calibration and state in one file, each room
 * under its own prefix ("model/", "score/", ...). Prefixes that a program does not know are kept.
 */
typedef struct stg_bundle stg_bundle;

/**
 * Reads a bundle from a file, or makes an empty one when path is NULL. The file is read, not mapped,
 * and checked whole: sizes, offsets, overlaps, types, names. At most 1 GiB.
 * Errors: E_IO, E_FORMAT, E_LIMIT, E_NOMEM. Ownership: caller owns. @since 0.1
 */
STG_API int32_t stg_bundle_open(stg_bundle **out, stg_ctx *ctx, const char *path, stg_error *err);

/** The same from memory; the bytes are copied. Errors as stg_bundle_open(). @since 0.1 */
STG_API int32_t stg_bundle_parse(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len,
                                 stg_error *err);

/** Writes to a temporary file beside path and renames it, so that readers see the old or the new
 *  file. Errors: E_IO, E_NOMEM. @since 0.1 */
STG_API int32_t stg_bundle_save(const stg_bundle *bundle, const char *path, stg_error *err);

/**
 * Writes the bytes of the file into buf and their number into *len. Returns STG_MORE, with *len the
 * size needed, when cap is too small (buf may then be NULL). Errors: E_NOMEM, E_INVALID. @since 0.1
 */
STG_API int32_t stg_bundle_serialize(const stg_bundle *bundle, void *buf, size_t cap, size_t *len);

/** Describes the content as one JSON object {"metadata":{..},"tensors":[{name,dtype,shape}..]};
 *  buffer rules as stg_bundle_serialize(). @since 0.1 */
STG_API int32_t stg_bundle_describe(const stg_bundle *bundle, char *buf, size_t cap, size_t *len);

/** Frees a bundle; NULL is allowed. @since 0.1 */
STG_API void stg_bundle_destroy(stg_bundle *bundle);

/**
 * Puts all that a stg_monitor, stg_ingest, stg_session, stg_detector, stg_planner or stg_trainer is in
 * the middle of into the bundle, in place of what an object of this type saved there before: known
 * names, the last windows, levels and evidence, open incidents, live actions, forecasts not judged
 * yet, events not taken yet, windows learnt and not fitted. Names are the identity, so ids may differ
 * in the process that restores. It goes under "state/" and leaves model and calibration in the same
 * bundle alone. Not in it: lanes, calls of windows that are not closed, counts of the ledger.
 * Errors: E_INVALID (another object), E_STATE (a monitor's tick or a detector's score that failed waits
 * to be repeated), E_NOMEM, E_FORK; the bundle is then as it was before. Ownership: nothing is kept.
 * Threads: as a const call of the object. @since 0.1
 */
STG_API int32_t stg_state_save(const void *object, stg_bundle *bundle, stg_error *err);

/**
 * Takes the state that an object of the same type saved, in place of the own one; what comes next is
 * then, to the last bit, what would have come without the restart, as long as graphs come from the
 * context of the object, as those of a monitor do. Options and model stay those the object was made
 * with; the model must be the one that the state was saved with. An ingest (and a monitor with it) must
 * have no lanes and no windows yet.
 * Errors: E_INVALID (another object), E_NOTFOUND (the bundle has no state of this type), E_VERSION,
 * E_FORMAT, E_MISMATCH (other model, window, columns or sketch key), E_STATE (an ingest in use),
 * E_LIMIT (more than the options allow), E_NOMEM, E_FORK; the object is then as it was before.
 * @since 0.1
 */
STG_API int32_t stg_state_restore(void *object, const stg_bundle *bundle, stg_error *err);

#ifdef __cplusplus
}
#endif
#endif
