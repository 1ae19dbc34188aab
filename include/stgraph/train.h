/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file train.h
 * Learns a model from graphs: add them in the order of time, run, take the model.
 *
 * The windows should be of normal traffic and cover two of the model's days or more: with less the
 * net has no profile of the day and forecasts from the last windows and the time of day alone.
 *
 * @code
 * stg_trainer *trainer;
 * const stg_model *model;
 * stg_trainer_opts opts = {sizeof opts};
 * opts.kind = "dcrnn";
 * opts.seed = 7;
 * stg_trainer_create(&trainer, ctx, &opts, &err);
 * stg_trainer_add(trainer, graph);
 * if (stg_trainer_run(trainer, &model, &err) == STG_OK)
 *     stg_unref(model);
 * stg_trainer_destroy(trainer);
 * @endcode
 */
#ifndef STGRAPH_TRAIN_H
#define STGRAPH_TRAIN_H

#include <stgraph/model.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Learns a model; one user at a time. */
typedef struct stg_trainer stg_trainer;

/** How far training is; handed to the callback. */
typedef struct stg_train_progress {
    size_t size;          /**< sizeof(stg_train_progress) */
    uint32_t epoch;       /**< epochs done, from 0 */
    uint32_t epochs;      /**< epochs at most */
    uint32_t batch;       /**< batches of this epoch done */
    uint32_t batches;     /**< batches of an epoch */
    double train_loss;    /**< mean loss of this epoch so far (on the net's own scale) */
    double valid_loss;    /**< loss on the validation part after the last epoch; NaN before */
    double best_loss;     /**< lowest validation loss so far; NaN before */
    double learning_rate; /**< at present */
} stg_train_progress;

/** Called after every batch on the thread that called stg_trainer_run(); a value other than 0
 *  stops training, which then returns STG_E_CANCELLED. Must not use the trainer. */
typedef int32_t (*stg_train_fn)(const stg_train_progress *progress, void *user);

/** Options of stg_trainer_create(); zero is the default everywhere. */
typedef struct stg_trainer_opts {
    size_t size;            /**< sizeof(stg_trainer_opts) */
    const char *kind;       /**< "persistence", "seasonal", "dcrnn", "dcrnn_series" (plain values on
                                 one scale, edge column "weight", else "calls"); NULL: "dcrnn" */
    const char *inputs;     /**< node columns read, separated by commas; NULL:
                                 "calls,errors,mean_us" */
    const char *targets;    /**< node columns forecast; NULL: "calls,errors,mean_us" */
    stg_train_fn progress;  /**< NULL: none */
    void *progress_user;    /**< handed to progress */
    uint64_t day_ns;        /**< length of the day; 0: 24 h */
    uint64_t seed;          /**< of weights, order and sampling; same seed and build: same bits */
    double learning_rate;   /**< Adam's, at first; 0: 0.003 */
    double clip_norm;       /**< largest norm of a gradient; 0: 5 */
    double valid_share;     /**< share of the windows, the last ones, that stop training; 0: 0.2 */
    uint32_t history;       /**< windows looked back; 0: 12; "persistence": mean of so many, 0: 3;
                                 "seasonal": its level follows over twice as many, 0: 12 */
    uint32_t horizon;       /**< windows looked ahead; 0: 12 */
    uint32_t layers;        /**< 0: 2 */
    uint32_t units;         /**< 0: 16 */
    uint32_t hops;          /**< diffusion steps K; 0: 2; STG_NO_HOPS: no graph */
    uint32_t epochs;        /**< at most; 0: 40 */
    uint32_t patience;      /**< epochs without a better validation loss; 0: 10 */
    uint32_t batch;         /**< windows in a step of the optimiser, at most 1048576; as many as there
                                 are or more: one step an epoch; 0: 16 */
    uint32_t threads;       /**< threads while running, the caller's included, at most 8 of use;
                                 the bits of the model do not depend on it; 0: 1 */
    uint32_t curriculum;    /**< k of the inverse sigmoid of scheduled sampling, in batches; 0: 200;
                                 UINT32_MAX: labels are never fed to the decoder */
    const char *loss;       /**< over the known labels, on the net's own scale: "mae" (NULL), "mse",
                                 "huber" (Huber 1964) */
    const char *optimizer;  /**< "adamw" (NULL; weights decay apart from the gradient: Loshchilov & Hutter
                                 2019, arXiv:1711.05101), "adam" (Kingma & Ba 2015, arXiv:1412.6980;
                                 decay is added to the clipped gradient) */
    const char *schedule;   /**< of the learning rate: "plateau" (NULL; times rate_factor after every third
                                 epoch without a better validation loss), "constant", "steps" (times
                                 rate_factor from each milestone on), "cosine" (to rate_floor over all
                                 epochs: Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5) */
    const char *milestones; /**< of "steps": at most 16 epochs in their order, "20,30,40" */
    double huber_delta;     /**< error from which on Huber's loss is a straight line; 0: 1 */
    double epsilon;         /**< Adam's, added to the root of the corrected second moment; 0: 1e-8 */
    double beta1;           /**< Adam's; 0: 0.9 */
    double beta2;           /**< Adam's; 0: 0.999 */
    double weight_decay;    /**< 0: 0.1 for "adamw", none for "adam"; below 0: none */
    double rate_factor;     /**< 0: 0.5 for "plateau", 0.1 for "steps" */
    double rate_floor;      /**< the learning rate stays above; 0: no floor */
    const char *filter;     /**< supports: "dual_random_walk" (NULL), "random_walk", "laplacian" (scaled by
                                 its largest eigenvalue), "laplacian_2" (by 2, which bounds it) */
    const char *recursion;  /**< of the K hops T1 = S X: "restart" (NULL; Tk = 2 S Tk-1 - Tk-2, T0 = X:
                                 Chebyshev), "carry" (the second walk begins where the first was, as DCRNN's
                                 published codes have it), "pygt" (Tk = 2 S Tk-1 - X), "power" (Tk = S Tk-1:
                                 Li et al. 2017, equation 2) */
    const char *decoder;    /**< "seq2seq" (NULL), or without one, one linear map of the encoder's last state
                                 to the whole horizon: "direct", "direct_relu" (of what of it is above 0) */
    uint32_t lags;          /**< windows that a step of the encoder reads side by side, at most history, so
                                 that it makes history - lags + 1 steps; 0: 1 */
    uint32_t time;          /**< STG_TIME_...: what the net knows of the time */
    const char *mask;       /**< node column such as "incident"; where it is not 0 nothing is learnt
                                 of the node and its edges in that window: inputs and labels are
                                 unknown. NULL: none */
    const char *cell;       /**< "dcgru" (NULL; Li et al. 2017), "dclstm" (the same convolutions in an LSTM,
                                 after Seo et al. 2018, arXiv:1612.07659) */
    uint32_t warmup;        /**< N: before a sample the net runs over 0 to N windows in front of it, at
                                 random, without a gradient, and the sample starts from that state; makes
                                 the model stateful_ok (STG_MODE_STATEFUL); several times history; 0: none */
    uint32_t reserved;      /**< zero */
} stg_trainer_opts;

/** Value of stg_trainer_opts.hops for a model without a graph. */
#define STG_NO_HOPS UINT32_MAX

/** Makes a trainer. opts may be NULL. Errors: E_INVALID (with text), E_NOMEM, E_VERSION.
 *  Ownership: caller owns. @since 0.1 */
STG_API int32_t stg_trainer_create(stg_trainer **out, stg_ctx *ctx, const stg_trainer_opts *opts,
                                   stg_error *err);

/** Frees a trainer; NULL is allowed. @since 0.1 */
STG_API void stg_trainer_destroy(stg_trainer *trainer);

/** Adds the next window; its columns are copied. Gaps in time start a new run of windows.
 *  Errors: E_TIME, E_MISMATCH (length of the window), E_NOMEM. @since 0.1 */
STG_API int32_t stg_trainer_add(stg_trainer *trainer, const stg_graph *graph);

/** Learns from all windows added and hands out the model with the lowest validation loss; one
 *  reference for the caller. May be called again, after more windows too. One that the callback
 *  stopped goes on where it was when it is called again, to the bits that it would have come to; so
 *  does a trainer that has restored its state, made with stg_state_save() (only epochs, patience and
 *  threads may differ then; with more windows or other options it begins anew). Memory is the windows
 *  and one sample's tape a thread, whatever the batch. Helper threads take no signals and are gone
 *  when it returns. Errors: E_STATE (too few windows in a row), E_CANCELLED,
 *  E_NOMEM, E_FORK. @since 0.1 */
STG_API int32_t stg_trainer_run(stg_trainer *trainer, const stg_model **out, stg_error *err);

#ifdef __cplusplus
}
#endif
#endif
