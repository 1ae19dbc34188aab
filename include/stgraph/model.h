/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file model.h
 * A forecaster of the graph. A stg_model holds what was learnt and is immutable and shared, across
 * fork too; a stg_session is one running use of it on one graph; a stg_forecast is what the session
 * expects of the coming windows.
 *
 * Kinds, chosen by the model file: "persistence" (the next window is like the mean of the last
 * ones), "seasonal" (a profile of the day times the present level), "dcrnn" (diffusion-
 * convolutional recurrent encoder-decoder, Li et al. 2017, arXiv:1707.01926, equations 2 and 3; gates
 * as in a GRU; it works on deviations from the profile of the day, and its outputs are added to what
 * is usually left of the present deviation) and "dcrnn_series" (the same net as it was published: on
 * z-scores of plain values, with the graph's own weights; trained here, or by another code and
 * imported).
 * Counts are forecast by their mean, latencies (columns that end in "_us") by their median; a
 * "dcrnn_series" forecasts what its training made it to, the median as a rule (absolute error).
 *
 * Forecast columns of nodes are the model's targets ("calls", "errors", "mean_us", ...) on the scale
 * of the graph's columns. Edges are forecast as the forecast of their caller times the learned
 * share of each edge of that caller (column "calls").
 *
 * @code
 * const stg_model *model;
 * stg_session *session;
 * const stg_forecast *fc;
 * stg_model_load(&model, bundle, &err);
 * stg_session_create(&session, ctx, model, NULL);
 * stg_session_step(session, graph, NULL);
 * stg_session_forecast(session, 1, &fc);
 * stg_unref(fc);
 * stg_session_destroy(session);
 * stg_unref(model);
 * @endcode
 */
#ifndef STGRAPH_MODEL_H
#define STGRAPH_MODEL_H

#include <stgraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What was learnt; immutable, shared. */
typedef struct stg_model stg_model;
/** A running use of a model on one graph; one user at a time. */
typedef struct stg_session stg_session;
/** What is expected of the coming windows; immutable, shared. */
typedef struct stg_forecast stg_forecast;

/** What a net knows of the time. */
enum {
    STG_TIME_OF_DAY, /**< the time of day of each window */
    STG_TIME_NONE    /**< nothing */
};

/** What a model is. */
typedef struct stg_model_info {
    size_t size;         /**< sizeof(stg_model_info) */
    const char *kind;    /**< "persistence", "seasonal", "dcrnn", "dcrnn_series"; borrowed from the
                              model */
    uint64_t window_ns;  /**< length of the windows it was learnt on */
    uint64_t day_ns;     /**< length of its day, 24 h as a rule */
    uint64_t parameters; /**< trainable numbers */
    uint32_t inputs;     /**< node columns it reads */
    uint32_t targets;    /**< node columns it forecasts */
    uint32_t history;    /**< windows it looks back */
    uint32_t horizon;    /**< windows it can look ahead */
    uint32_t layers;     /**< recurrent layers; 0 for the simple kinds */
    uint32_t units;      /**< units of a layer */
    uint32_t hops;       /**< diffusion steps K; 0: no graph */
    uint32_t nodes;      /**< names it knows from training */
    uint32_t lags;       /**< windows that a step of the encoder reads side by side, the oldest first; it
                              makes history - lags + 1 steps; 0 for the simple kinds */
    uint32_t time;       /**< STG_TIME_... */
    const char *filter;    /**< supports: "dual_random_walk", "random_walk", "laplacian", "laplacian_2";
                                this and the next borrowed from the library, NULL for simple kinds */
    const char *recursion; /**< of the hops: "restart", "carry", "pygt", "power" */
    const char *decoder;   /**< "seq2seq", "direct", "direct_relu" */
    const char *cell;      /**< "dcgru", "dclstm" */
    uint32_t stateful_ok;  /**< 1: its state may be carried on (STG_MODE_STATEFUL) */
    uint32_t reserved;     /**< zero */
} stg_model_info;

/** Takes the model out of a bundle (prefix "model/"), which may go afterwards; one reference for
 *  the caller. Errors: E_NOTFOUND (no model in it), E_FORMAT, E_VERSION, E_NOMEM. @since 0.1 */
STG_API int32_t stg_model_load(const stg_model **out, const stg_bundle *bundle, stg_error *err);

/** How the numbers of a random walk's support stand in it. */
enum {
    STG_SUPPORTS_MODEL,        /**< as the model says; at import: as the format has it */
    STG_SUPPORTS_EXACT,        /**< where they belong */
    STG_SUPPORTS_PORT_REVERSED /**< in the reverse order among the edges of a node, as the PyTorch port
                                    of DCRNN and codes after it have them in training and in use */
};

/** Options of stg_model_import(); zero means what the file says, or the default. */
typedef struct stg_import_opts {
    size_t size;        /**< sizeof(stg_import_opts) */
    const char *format; /**< "dcrnn_pytorch", "basicts", "libcity"; NULL: seen from the content */
    const char *column; /**< node column that it reads and forecasts; NULL: "value"; with several
                             outputs "value_0", "value_1" ... */
    const char *filter; /**< supports: "dual_random_walk" (default), "random_walk", "laplacian",
                             "laplacian_2" (lambda_max taken as 2) */
    uint32_t supports;  /**< STG_SUPPORTS_...: reversed for "dcrnn_pytorch" and "libcity", exact for
                             "basicts" */
    uint32_t history;   /**< windows it reads; default 12 */
    uint32_t horizon;   /**< windows it forecasts; default 12 */
    uint32_t reserved;  /**< zero */
    uint64_t window_ns; /**< length of a window; default 5 min */
    uint64_t day_ns;    /**< length of a day; default 24 h */
    double mean;        /**< of the values that it was trained on */
    double deviation;   /**< their standard deviation; 0: neither is known, sessions have to be told */
} stg_import_opts;

/**
 * Makes a "dcrnn_series" model from a checkpoint of another code: what torch.save wrote (since PyTorch
 * 1.6; nothing in it is executed, and what is not a tensor or a plain setting is left out), or the same
 * tensors as safetensors. Known are the PyTorch port of DCRNN, BasicTS and LibCity; the encoder has one
 * input for each output and may have the time of day behind them. opts may be NULL.
 * Errors: E_FORMAT (with the tensor's name and what is wrong with it), E_LIMIT, E_NOTFOUND (no such
 * net in it), E_INVALID, E_VERSION, E_NOMEM. Ownership: one reference for the caller. @since 0.1
 */
STG_API int32_t stg_model_import(const stg_model **out, stg_ctx *ctx, const void *data, size_t len,
                                 const stg_import_opts *opts, stg_error *err);

/** Puts the model into a bundle, in place of one that is there. Errors: E_NOMEM. @since 0.1 */
STG_API int32_t stg_model_store(const stg_model *model, stg_bundle *bundle);

/** Fills info (its size field set by the caller). @since 0.1 */
STG_API int32_t stg_model_get_info(const stg_model *model, stg_model_info *info);

/** Name of input (kind 0) or target (kind 1) column number index, borrowed; NULL if none.
 *  @since 0.1 */
STG_API const char *stg_model_column(const stg_model *model, uint32_t kind, uint32_t index);

/** What a net's forecast starts from. */
enum {
    STG_MODE_EXACT,   /**< the history, read anew for each forecast: history steps of the encoder */
    STG_MODE_STATEFUL /**< a state that is carried on: one step of the encoder a window */
};

/** Weights of a net's supports while a session runs. */
enum {
    STG_GRAPH_STATIC, /**< as the model and the first graph of a topology have them */
    STG_GRAPH_WINDOW, /**< those of the last window: "calls" of the edges, or "weight" of a "dcrnn_series" */
    STG_GRAPH_EWMA    /**< their exponentially weighted mean */
};

/** Options of stg_session_create(). */
typedef struct stg_session_opts {
    size_t size;             /**< sizeof(stg_session_opts) */
    uint32_t forecasts;      /**< forecasts that may be out at once without new memory; 0: 4 */
    uint32_t supports;       /**< STG_SUPPORTS_..., "dcrnn_series" only */
    const double *mean;      /**< [inputs] of each column, for z-scores; "dcrnn_series" only; NULL: the
                                  model's; copied */
    const double *deviation; /**< [inputs] standard deviation of each column, > 0; copied; NULL exactly
                                  when mean is */
    uint32_t mode;           /**< STG_MODE_..., nets only */
    uint32_t threads;        /**< that step and forecast of a net may use, the caller's included, at most
                                  64; 0, 1: the caller's alone. More are started here, take no signals,
                                  end with the session and change no bit of a result */
    uint32_t graph;          /**< STG_GRAPH_..., nets on random walks only */
    uint32_t reserved;       /**< zero */
    double graph_rate;       /**< of STG_GRAPH_EWMA: share of a window in the mean, up to 1; 0: 0.02 */
} stg_session_opts;

/**
 * Makes a session; it keeps a reference of the model. opts may be NULL.
 * A "dcrnn_series" takes the supports from the edge column "weight" (from "calls" where there is none,
 * else all edges weigh 1) of the first graph, and anew whenever nodes or edges change.
 * With another graph than the static one the supports follow it: an edge's weight is that of the window, or
 * moves towards it; it is kept where the window says nothing, while an end of it is masked and over a gap,
 * and goes with the names when the topology changes. The whole history is read with the present graph.
 * In STG_MODE_STATEFUL the state follows the nodes by their names when the topology changes (new ones begin
 * at zero) and is lost in a gap longer than the horizon. A model that was trained on windows of its history
 * alone drifts off when its state is carried further than that: its info has to say stateful_ok, which only
 * training with stg_trainer_opts.warmup sets.
 * With threads, a forecast wakes the others by a call of the system when they sleep; a child of fork
 * has none of them and cannot use the session anyway.
 * Errors: E_NOMEM (threads that do not start too), E_VERSION, E_INVALID (options that the
 * model's kind does not have, numbers that are not usable), E_NOTFOUND (neither model nor options say mean
 * and deviation), E_UNSUPPORTED (stateful, but the model is not stateful_ok). Ownership: caller owns.
 * @since 0.1
 */
STG_API int32_t stg_session_create(stg_session **out, stg_ctx *ctx, const stg_model *model,
                                   const stg_session_opts *opts);

/** Frees a session; NULL is allowed. @since 0.1 */
STG_API void stg_session_destroy(stg_session *session);

/**
 * Takes a window in. Windows must come in order; a gap is bridged with the session's own forecasts,
 * one longer than the model's horizon empties the history.
 * mask, when given, has one byte for each node of the graph: a node with a byte other than 0 (it is
 * in an incident) enters with its forecast in place of what was seen. Nodes may come and go; one
 * that training did not know is forecast once it has a history.
 * On an error the session stays as it was. Allocates nothing while the topology stays the same.
 * Errors: E_TIME (not later than the last), E_MISMATCH (window of another length, or not a whole
 * number of windows later), E_NOMEM, E_FORK.
 * @since 0.1
 */
STG_API int32_t stg_session_step(stg_session *session, const stg_graph *graph, const uint8_t *mask);

/** Forecast of the next horizon windows after the last step; one reference for the caller.
 *  Errors: E_STATE (no step yet), E_INVALID (horizon 0 or beyond the model's), E_NOMEM. @since 0.1 */
STG_API int32_t stg_session_forecast(stg_session *session, uint32_t horizon,
                                     const stg_forecast **out);

/** What a forecast covers. */
typedef struct stg_forecast_info {
    size_t size;          /**< sizeof(stg_forecast_info) */
    uint64_t start_ns;    /**< start of the first window it covers */
    uint64_t window_ns;   /**< length of a window */
    uint64_t topology;    /**< as in stg_graph_info: indices are those of the last graph stepped */
    uint32_t horizon;     /**< number of windows */
    uint32_t nodes;       /**< nodes */
    uint32_t edges;       /**< edges */
    uint32_t ready;       /**< 0 while the session has seen less than the model's history */
} stg_forecast_info;

/** Fills info (its size field set by the caller). @since 0.1 */
STG_API int32_t stg_forecast_get_info(const stg_forecast *forecast, stg_forecast_info *info);

/**
 * Expected values of one column for one window: step counts from 0; kind is STG_NODE ([nodes]) or
 * STG_EDGE ([edges]). Borrowed from the forecast; NULL when the model does not forecast the column.
 * NaN where nothing is known of a node yet. @since 0.1
 */
STG_API const double *stg_forecast_mean(const stg_forecast *forecast, uint32_t kind,
                                        const char *column, size_t len, uint32_t step);

#ifdef __cplusplus
}
#endif
#endif
