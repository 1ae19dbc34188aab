/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file score.h
 * Compares what was seen with what was forecast and reports incidents: what, where, why.
 *
 * The operator states one number, the false alarms tolerated in a day; there is no threshold.
 * Counts are judged by randomised quantile residuals of a negative binomial (Dunn & Smyth 1996),
 * ratios by a beta-binomial, latencies and levels on the log scale; residuals are pre-whitened,
 * turned into conformal p-values with a generalised Pareto tail, and gathered over time by a mixture
 * of Shiryaev-Roberts e-detectors (Shin, Ramdas, Rinaldo 2022), one for each stream and direction.
 *
 * @code
 * stg_detector *det;
 * const stg_report *report;
 * stg_detector_create(&det, ctx, bundle, NULL, &err);
 * stg_detector_score(det, graph, forecast, &report);
 * stg_incident_info inc = {sizeof inc};
 * for (uint32_t i = 0; stg_report_incident(report, i, &inc) == STG_OK; i++)
 *     printf("%s %.2f\n", inc.class_name, inc.confidence);
 * stg_unref(report);
 * stg_detector_destroy(det);
 * @endcode
 */
#ifndef STGRAPH_SCORE_H
#define STGRAPH_SCORE_H

#include <stgraph/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Judges windows; one user at a time. */
typedef struct stg_detector stg_detector;
/** Judgement of one window: incidents with their causes and evidence; immutable, shared. */
typedef struct stg_report stg_report;

/** What an incident is; numbers are pinned. Classes from STG_CLASS_FLASH_CROWD on are benign. */
enum {
    STG_CLASS_UNKNOWN = 0,
    STG_CLASS_DDOS_VOLUMETRIC = 1,  /**< ATT&CK T1498.001, CAPEC-125 */
    STG_CLASS_HTTP_FLOOD = 2,       /**< low volume on costly routes: T1499.002, T1499.003, OAT-015,
                                         CAPEC-488 */
    STG_CLASS_SLOW_DOS = 3,         /**< slowloris, slow bodies: T1499.002, CAPEC-469 */
    STG_CLASS_BRUTE_FORCE = 4,      /**< T1110.001, OAT-007 */
    STG_CLASS_CRED_STUFFING = 5,    /**< T1110.004, OAT-008, CAPEC-600 */
    STG_CLASS_BOT_REGISTRATION = 6, /**< OAT-019 */
    STG_CLASS_INJECTION = 7,        /**< XSS and the like: T1190, CAPEC-63, CAPEC-66 */
    STG_CLASS_FLASH_CROWD = 64,     /**< benign: many real users */
    STG_CLASS_DEPLOY = 65,          /**< benign: a service changed */
    STG_CLASS_CASCADE = 66,         /**< benign: a slow or failing dependency */
    STG_CLASS_RETRY_STORM = 67      /**< benign in intent: retries multiply a failure */
};

/** States of an incident. */
enum {
    STG_INCIDENT_OPEN = 1,   /**< opened in this window */
    STG_INCIDENT_UPDATE = 2, /**< goes on; changed since the last notification */
    STG_INCIDENT_QUIET = 3,  /**< goes on, nothing new worth a line */
    STG_INCIDENT_CLOSE = 4   /**< ended with this window */
};

/** Options of stg_detector_create(). */
typedef struct stg_detector_opts {
    size_t size;                 /**< sizeof(stg_detector_opts) */
    double false_alarms_per_day; /**< tolerated in 24 h over all streams; 0: 2 */
    uint64_t seed;               /**< of the randomised residuals */
    uint32_t reports;            /**< reports that may be out at once without new memory; 0: 4 */
    uint32_t reserved;           /**< zero */
} stg_detector_opts;

/**
 * Makes a detector, with the calibration in the bundle (prefix "score/") when bundle is not NULL and
 * has one, else one that knows nothing. opts may be NULL.
 * Errors: E_FORMAT, E_VERSION, E_INVALID, E_NOMEM. Ownership: caller owns. @since 0.1
 */
STG_API int32_t stg_detector_create(stg_detector **out, stg_ctx *ctx, const stg_bundle *bundle,
                                    const stg_detector_opts *opts, stg_error *err);

/** Frees a detector; NULL is allowed. @since 0.1 */
STG_API void stg_detector_destroy(stg_detector *det);

/** Takes a window of normal traffic for calibration, with the forecast that was made before it.
 *  Errors: E_MISMATCH (forecast of another window), E_TIME, E_NOMEM. @since 0.1 */
STG_API int32_t stg_detector_learn(stg_detector *det, const stg_graph *graph,
                                   const stg_forecast *forecast);

/** Fits the calibration to the windows learnt and drops them. Errors: E_STATE (fewer than 60
 *  windows), E_NOMEM. @since 0.1 */
STG_API int32_t stg_detector_fit(stg_detector *det, stg_error *err);

/** Puts the calibration into a bundle. Errors: E_NOMEM. @since 0.1 */
STG_API int32_t stg_detector_store(const stg_detector *det, stg_bundle *bundle);

/**
 * Judges a window by a forecast that has not seen it; forecast may be NULL (nothing forecast: the
 * detector uses its own levels). One reference of the report for the caller. A window with coverage
 * below one half is not judged: the report says so.
 * Errors: E_MISMATCH (the forecast covers other windows), E_TIME, E_NOMEM, E_FORK. @since 0.1
 */
STG_API int32_t stg_detector_score(stg_detector *det, const stg_graph *graph,
                                   const stg_forecast *forecast, const stg_report **out);

/** What a report says as a whole. */
typedef struct stg_report_info {
    size_t size;          /**< sizeof(stg_report_info) */
    uint64_t start_ns;    /**< window */
    uint64_t end_ns;      /**< window */
    double alarm_level;   /**< evidence at which an incident opens (the A of the e-detectors) */
    double evidence;      /**< largest evidence of a stream in this window */
    const uint8_t *mask;  /**< [nodes] 1: in an incident; for stg_session_step(); borrowed */
    uint32_t nodes;       /**< nodes of the graph */
    uint32_t incidents;   /**< incidents in the report */
    uint32_t streams;     /**< streams judged */
    uint32_t judged;      /**< 0: not judged (coverage, still learning) */
} stg_report_info;

/** Fills info (its size field set by the caller). @since 0.1 */
STG_API int32_t stg_report_get_info(const stg_report *report, stg_report_info *info);

/** An incident. Texts are borrowed from the report. */
typedef struct stg_incident_info {
    size_t size;            /**< sizeof(stg_incident_info) */
    uint64_t id;            /**< stable over its life */
    uint64_t opened_ns;     /**< end of the window in which it opened */
    uint64_t onset_ns;      /**< start of the window in which its evidence began to rise */
    const char *class_name; /**< "http_flood", ..., "unknown" */
    const char *technique;  /**< ids of ATT&CK, OAT, CAPEC, separated by blanks; "" if none */
    const char *text;       /**< one sentence for a person */
    double confidence;      /**< probability of the class, 0 to 1 */
    double severity;        /**< log10 of evidence plus log10 of the affected calls a second */
    uint32_t state;         /**< STG_INCIDENT_* */
    uint32_t class_id;      /**< STG_CLASS_* */
    uint32_t nodes;         /**< number of member nodes */
    uint32_t edges;         /**< number of member edges */
    uint32_t causes;        /**< number of ranked causes */
    uint32_t evidence;      /**< number of pieces of evidence */
} stg_incident_info;

/** Incident number index. Errors: E_NOTFOUND beyond the last, E_INVALID. @since 0.1 */
STG_API int32_t stg_report_incident(const stg_report *report, uint32_t index,
                                    stg_incident_info *info);

/** Parts of an incident, for stg_report_item(). */
enum {
    STG_ITEM_NODE = 0,    /**< member node: name, value = log10 of its evidence */
    STG_ITEM_EDGE = 1,    /**< member edge: src, dst, route, value = log10 of its evidence */
    STG_ITEM_CAUSE = 2,   /**< ranked cause, node or edge, the likeliest first; value = score */
    STG_ITEM_EVIDENCE = 3 /**< stream: column, observed, expected, value = contribution to class */
};

/** A part of an incident; texts are borrowed from the report, "" where they do not apply. A NUL
 *  within a name stands as U+001A. */
typedef struct stg_item {
    size_t size;        /**< sizeof(stg_item) */
    const char *node;   /**< name of a node; of an edge: "" */
    const char *src;    /**< caller of an edge */
    const char *dst;    /**< callee of an edge */
    const char *route;  /**< route of an edge */
    const char *column; /**< what was measured */
    double observed;    /**< in the column's unit; NaN if there is none */
    double expected;    /**< likewise */
    double value;       /**< see STG_ITEM_* */
} stg_item;

/** Part number index of an incident. Errors: E_NOTFOUND beyond the last, E_INVALID. @since 0.1 */
STG_API int32_t stg_report_item(const stg_report *report, uint32_t incident, uint32_t part,
                                uint32_t index, stg_item *item);

#ifdef __cplusplus
}
#endif
#endif
