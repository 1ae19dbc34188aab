/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Training of the net. Samples are places in one long series of inputs, so nothing is copied. The
 * samples of a batch are cut into a fixed number of groups; each group sums its gradients in the
 * order of its samples, and the groups are summed in their order. Threads take groups, so their
 * number changes no bit, and the memory is that of one sample for each thread.
 */
#ifndef STG_FIT_NET_H
#define STG_FIT_NET_H

#include <math.h>

#include "adam.h"
#include "train_priv.h"

#define STG__GROUPS 8u

/* The series as the net reads it, and the samples in it. */
typedef struct stg__data {
    real *x;      /* [windows][nodes][inputs], unknown: 0 */
    real *y;      /* [windows][nodes][targets], unknown: NaN */
    real *time;   /* [windows][extras] */
    real *recent; /* [windows][nodes][targets] the present deviation when the window ends */
    uint32_t *before; /* [windows] those in a row in front of it */
    size_t *train; /* first windows of samples */
    size_t *valid;
    size_t trains;
    size_t valids;
} stg__data;

int32_t stg__data_create(stg__data *d, const stg_model *m, const stg_trainer *t,
                         const uint32_t *order, size_t train);
void stg__data_clear(stg_ctx *ctx, stg__data *d);
void stg__data_pull(const stg__data *d, stg_model *m); /* fills m->pull */
void stg__data_base(const stg__data *d, const stg_model *m, size_t first, real *base);

/* What a thread needs for itself. */
typedef struct stg__desk {
    stg__run run;
    stg__back back;
    real *base; /* [horizon][nodes][targets] */
} stg__desk;

typedef struct stg__fit {
    stg_ctx *ctx;
    stg_model *m;
    const stg_trainer *t;
    stg__data data;
    stg__supports supports;
    stg__crew *crew;
    stg__desk *desk; /* [threads] */
    uint32_t threads;
    real *back_packed;
    real *gradient; /* [groups][params] */
    real *best;     /* [params] */
    stg__adam adam;
    double *loss;  /* [most samples of a job] loss of each, summed over its labels */
    double *count; /* [most samples of a job] labels of each */
    uint8_t *feed; /* [horizon] */
    /* the job at hand */
    const size_t *sample;
    size_t samples;
    real scale; /* of the derivative; 0: judge only */
    uint64_t batches; /* done */
    /* how far it is */
    stg_train_progress progress;
    double sum;    /* of the losses of this epoch's batches */
    uint32_t idle; /* epochs without a better validation loss */
} stg__fit;

/* Hands what a stopped training needs over to h, and takes it from there; false, and h is empty, when that
 * was another training. */
void stg__halt_keep(stg__fit *f, stg__halt *h);
bool stg__halt_resume(stg__fit *f, stg__halt *h);

/* What the net reads of the sample that begins at `first`, after `warmup` windows or as many as there are. */
stg__feed stg__fit_feed(const stg__fit *f, const stg__desk *desk, size_t first, uint32_t warmup);

/* Smearing factors of the finished weights. */
int32_t stg__fit_smear(stg__fit *f);

#endif
