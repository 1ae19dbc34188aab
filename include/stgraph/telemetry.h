/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file telemetry.h
 * Turns recorded telemetry into calls and gauges: bytes in, records out, names interned on a lane.
 *
 * Format "jsonl": one JSON object a line. A call has end_ns, src, dst and, where known, route, side
 * ("client", "server", "proxy", "card"), status, duration_us, first_byte_us, client, group, user
 * (texts, hashed), conn, bytes_in, bytes_out, attempt, flags (list of "login", "login_failed",
 * "register", "asset", "retry", "timeout") and injection. A gauge has time_ns and node and, where
 * known, producer, open, waiting_headers, active, idle, in_flight, oldest_conn_ms, oldest_header_ms.
 * Unknown members are skipped, null is as good as absent, of a member given twice the last counts.
 * Without src a call comes from outside, without side the client saw it. producer is a text or a
 * number. Numbers are whole, fractions are cut off; those that the record says saturate do, others
 * out of range make the line bad, as do unknown sides and flags.
 *
 * @code
 * stg_reader *reader;
 * stg_record rec[64];
 * size_t n;
 * stg_reader_create(&reader, ctx, lane, "jsonl", &err);
 * stg_reader_feed(reader, bytes, len);
 * while (stg_reader_next(reader, rec, 64, &n, &err) == STG_OK && n > 0)
 *     for (size_t i = 0; i < n; i++)
 *         if (rec[i].kind == STG_RECORD_CALL)
 *             stg_lane_push(lane, &rec[i].u.call, 1);
 * stg_reader_destroy(reader);
 * @endcode
 */
#ifndef STGRAPH_TELEMETRY_H
#define STGRAPH_TELEMETRY_H

#include <stgraph/ingest.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Decodes telemetry; one user at a time. */
typedef struct stg_reader stg_reader;

/** Kinds of records. */
enum {
    STG_RECORD_CALL = 1, /**< u.call */
    STG_RECORD_GAUGE = 2 /**< u.gauge */
};

/** One decoded record. */
typedef struct stg_record {
    uint32_t kind; /**< STG_RECORD_* */
    uint32_t line; /**< line of the input, from 1 */
    union {
        stg_call call;   /**< a call, ready to push on the reader's lane */
        stg_gauge gauge; /**< a gauge, likewise */
    } u;                 /**< the record */
} stg_record;

/** Makes a reader whose names go to lane, which must outlive it. Errors: E_UNSUPPORTED (format),
 *  E_NOMEM. Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_reader_create(stg_reader **out, stg_ctx *ctx, stg_lane *lane,
                                  const char *format, stg_error *err);

/** Frees a reader; NULL is allowed. @since 0.1 */
STG_API void stg_reader_destroy(stg_reader *reader);

/** Gives the next bytes, cut anywhere; len 0 says that the input has ended. The bytes are copied.
 *  Errors: E_NOMEM, E_LIMIT (256 MiB wait to be taken), E_STATE (the input has ended), E_FORK.
 *  @since 0.1 */
STG_API int32_t stg_reader_feed(stg_reader *reader, const void *data, size_t len);

/**
 * Takes up to cap records out; *n is 0 when the bytes fed so far hold no further one.
 * A bad line, also one over 1 MiB, gives E_FORMAT with line and reason in err, after the records
 * before it; the next call goes on behind that line. So does E_LIMIT: the lane's names are used up.
 * STG_AGAIN: the lane has no room for a new name; poll the ingest and call again. If there is still
 * none, the ring is full of calls of windows that are not open yet: close windows first. E_NOMEM:
 * call again. E_FORK. @since 0.1
 */
STG_API int32_t stg_reader_next(stg_reader *reader, stg_record *records, size_t cap, size_t *n,
                                stg_error *err);

#ifdef __cplusplus
}
#endif
#endif
