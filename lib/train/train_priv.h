/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the trainer: the windows it was given, by its own numbers of nodes and edges in
 * order of arrival, and what the fits of the kinds share.
 */
#ifndef STG_TRAIN_PRIV_H
#define STG_TRAIN_PRIV_H

#include <math.h>

#include "loss.h"
#include "crew.h"
#include "model_priv.h"

#include <stgraph/train.h>

typedef struct stg__window {
    uint64_t start_ns;
    uint32_t nodes; /* known when it came; later ones are unknown in it */
    double *values; /* [columns][nodes] log(1 + x), or x; NaN: not known */
} stg__window;

#define STG__MAX_MILESTONES 16u

enum { STG__ADAMW, STG__ADAM };
enum { STG__PLATEAU, STG__CONSTANT, STG__STEPS, STG__COSINE };

/* How the optimiser goes: the trainer's words and numbers, checked. */
typedef struct stg__course {
    stg__loss loss;
    uint32_t optimizer;
    uint32_t schedule;
    uint32_t milestone[STG__MAX_MILESTONES];
    uint32_t milestones;
    double epsilon;
    double beta1;
    double beta2;
    double decay;
    double factor;
    double floor;
} stg__course;

/* What the net looks like: the trainer's words, checked. */
typedef struct stg__form {
    uint32_t filter;
    uint32_t recursion;
    uint32_t decoder;
    uint32_t cell;
} stg__form;

/* A training that was stopped in the middle. */
enum { STG__HALT_VECTORS = 4, STG__HALT_NUMBERS = 4, STG__HALT_COUNTS = 5 };
typedef struct stg__halt {
    uint64_t digest; /* of what it stood on: options and windows */
    size_t params;   /* 0: there is none */
    real *vector[STG__HALT_VECTORS];    /* [params] weights, the best so far, Adam's two moments */
    double number[STG__HALT_NUMBERS];   /* learning rate; losses of the epoch added up; last and best
                                           validation loss */
    uint64_t count[STG__HALT_COUNTS];   /* epoch, batches of it; idle epochs; Adam's steps; batches */
} stg__halt;

void stg__halt_clear(stg_ctx *ctx, stg__halt *h);
int32_t stg__halt_put(const stg__halt *h, stg_bundle *bundle, const char *prefix);
int32_t stg__halt_get(stg__halt *h, stg_ctx *ctx, const stg_bundle *bundle, const char *prefix,
                      stg_error *err);

struct stg_trainer {
    stg__handle handle;
    stg_ctx *ctx;
    stg_trainer_opts o; /* every default filled in; no text of it is kept */
    stg__course course;
    stg__form form;
    char mask[STG_NAME_MAX + 1]; /* column of the nodes that nothing is learnt from; "": none */
    const stg__kind *kind;
    uint64_t window_ns;
    stg__names *columns;
    uint32_t inputs;
    uint32_t targets;
    uint32_t target[STG__MAX_COLUMNS];
    stg__names *nodes;
    stg__names *routes;
    stg__names *edges; /* keys are three numbers: src, dst, route */
    double *edge_calls; /* sums over the windows counted */
    double *caller_calls;
    uint32_t *edge_windows;
    uint32_t edge_cap;
    stg__window *window;
    size_t windows;
    size_t window_cap;
    stg__halt halt;
    /* numbers of the last topology's nodes and edges */
    stg__topology *topo;
    uint32_t *node_id;
    uint32_t *edge_id;
};

int32_t stg__course_read(stg__course *c, const stg_trainer_opts *o, stg_error *err);
/* Learning rate of an epoch: first was the first one's, now the last one's; idle: epochs without a
 * better validation loss. */
double stg__course_rate(const stg__course *c, double first, double now, uint32_t epoch,
                        uint32_t epochs, uint32_t idle);

int32_t stg__form_read(stg__form *f, const stg_trainer_opts *o, stg_error *err);
/* The shape of the net, and what of it stands in the model. */
void stg__form_shape(const stg__form *f, const stg_trainer_opts *o, stg_model *m, stg__shape *shape);

/* Takes the graph's columns in (no error but STG_E_NOMEM, STG_E_LIMIT: nothing was taken). */
int32_t stg__series_add(stg_trainer *t, const stg_graph *g);
/* One more window: values [columns][nodes], copied; NULL: all unknown. */
int32_t stg__series_append(stg_trainer *t, size_t columns, uint64_t start_ns, uint32_t nodes,
                           const double *values);
int32_t stg__series_edge_room(stg_trainer *t, uint32_t edges);
extern const stg__state_type stg__trainer_state;

/* A model with names, scales and edges from the windows; order[i]: the trainer's number of the
 * model's node i. The first `train` windows make the scales. */
int32_t stg__fit_model(stg_model **out, const stg_trainer *t, size_t train, uint32_t **order);
/* What the kinds learn beyond that. */
int32_t stg__fit_profile(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train);
/* halt: where an earlier run stopped, and where this one does when it is cancelled. */
int32_t stg__fit_net(stg_model *m, const stg_trainer *t, const uint32_t *order, size_t train,
                     stg__halt *halt, stg_error *err);

/* Value of a column in a window, by the trainer's number of a node. */
static inline double stg__window_value(const stg__window *w, uint32_t column, uint32_t node)
{
    return node < w->nodes ? w->values[(size_t)column * w->nodes + node] : NAN;
}

#endif
