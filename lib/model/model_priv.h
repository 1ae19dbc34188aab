/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a model and of a session, shared by the room's files and by the trainer, which makes
 * models. Everything is looked up by name once, when a session meets a new topology; from then on it
 * is indices.
 */
#ifndef STG_MODEL_PRIV_H
#define STG_MODEL_PRIV_H

#include <stgraph/model.h>

#include "graph_priv.h"
#include "net.h"

#define STG__MODEL_VERSION 1u
#define STG__MAX_COLUMNS 64u
#define STG__MAX_SLOTS 288u    /* of a profile of the day */
#define STG__CLIP 6.0          /* largest input, in standard deviations */
#define STG__TIME_INPUTS 2u    /* sine and cosine of the time of day */
#define STG__PLAIN_MOST 1e15   /* largest value of a "dcrnn_series" and of its scale */
#define STG__NONE UINT32_MAX

typedef struct stg__kind stg__kind;

/* An edge known from training, by indices into the model's names; sorted. */
typedef struct stg__known_edge {
    uint32_t src;
    uint32_t dst;
    uint32_t route;
} stg__known_edge;

struct stg_model {
    stg__object object;
    stg_ctx *ctx;
    const stg__kind *kind;
    uint64_t window_ns;
    uint64_t day_ns;
    uint32_t history;
    uint32_t horizon;
    /* columns: the inputs, then those targets that are not inputs */
    stg__names *columns;
    uint32_t inputs;
    uint32_t targets;
    uint32_t target[STG__MAX_COLUMNS]; /* column of each target */
    /* nodes; scales are those of log(1 + x), for "dcrnn_series" those of x */
    stg__names *nodes;
    double *mean;        /* [columns][nodes], NaN: never seen */
    double *deviation;   /* [columns][nodes] */
    double *global_mean; /* [columns], over all nodes; "dcrnn_series": NaN when nobody said it */
    double *global_deviation;
    /* edges */
    stg__names *routes;
    stg__known_edge *edge;
    double *edge_calls;   /* [edges] mean of its calls in a window */
    double *caller_calls; /* [edges] mean of its caller's calls in the same windows */
    uint32_t edges;
    /* "seasonal", "dcrnn": the day, in steps */
    uint32_t slots;
    double *profile; /* [columns][nodes][slots] of log(1 + x); NaN: never seen */
    /* "dcrnn"; the net works on deviations from the profile, in units of `deviation` */
    stg__net net;
    stg__filter filter; /* the supports that the weights were learnt with */
    uint32_t lags;      /* nets: windows that one step of the encoder reads side by side */
    bool time_inputs;   /* encoder and decoder (in a "dcrnn_series" the encoder) know the time of day */
    bool stateful_ok;   /* trained so that its state may be carried on from window to window */
    real *params;
    real *packed;
    double *pull;  /* [horizon][targets] share of the present deviation that is left by then */
    double *smear; /* [horizon][targets][nodes] mean of (1 + x) / (1 + forecast), for counts */
};

/* What a session knows of the nodes and edges of one topology. */
typedef struct stg__state {
    stg_ctx *ctx;
    stg__topology *topo;
    uint32_t nodes;
    uint32_t edges;
    uint32_t *known;      /* [nodes] the model's node */
    uint32_t *known_edge; /* [edges] the model's edge */
    double *ring;         /* [history][columns][nodes] log(1 + x), or x; NaN: not known */
    uint32_t *seen;       /* [nodes] windows in which something of the node was seen */
    double *own_count;    /* [columns][nodes] windows in the two below, at most a day's */
    double *own_mean;     /* [columns][nodes] of what the session saw */
    double *own_square;   /* [columns][nodes] mean squared distance from it */
    double *pred;         /* [horizon][targets][nodes] */
    double *share;        /* [edges] EWMA of an edge's calls */
    double *caller;       /* [edges] EWMA of its caller's calls */
    uint32_t *edge_seen;  /* [edges] windows in these */
    double *arc_calls;    /* [edges] nets: calls, or weights, that the supports were made from */
    double *level;        /* [2][targets][nodes] "seasonal": EWMA of seen and of the profile */
    stg__supports supports;
    stg__run run; /* nets */
    real *x;      /* [steps of the encoder; stateful: 1][nodes][inputs] */
    real *hidden; /* stateful: [layers][states][nodes][units], as stg__run_read() gives it */
    real *extras; /* [horizon][extras] */
    real *base;   /* [horizon][nodes][targets] */
} stg__state;

struct stg_session {
    stg__handle handle;
    stg_ctx *ctx;
    const stg_model *model;
    stg__pool *pool;
    stg__crew *crew;   /* NULL: the caller alone */
    stg__state *state; /* NULL before the first step */
    uint64_t last_start;
    uint64_t steps;      /* windows in the ring, counted on */
    uint32_t head;       /* ring place of the next window */
    uint32_t pred_steps; /* valid in state->pred */
    /* column indices of the graphs, as long as their schema stays the same */
    uint64_t schema;
    uint32_t column[STG__MAX_COLUMNS];
    uint32_t edge_column;
    uint32_t weight_column; /* of edges, "weight", or "calls" where there is none */
    uint32_t calls_column; /* "calls" among the model's columns, which edge forecasts stand on */
    uint32_t calls_target; /* "calls" among the targets */
    /* "dcrnn_series": what the options say, else the model */
    double mean[STG__MAX_COLUMNS];
    double deviation[STG__MAX_COLUMNS];
    stg__filter filter;
    uint32_t graph; /* STG_GRAPH_...: how the supports follow it */
    double graph_rate;
    bool stateful; /* the net's state is carried on; else the history is read anew for each forecast */
};

/* A kind of model. */
struct stg__kind {
    const char *name;
    bool profile; /* has a profile of the day */
    bool plain;   /* values as they are, not on a log scale; no statistics of nodes */
    bool net;
    int32_t (*load)(stg_model *m, const stg_bundle *b, stg_error *err);
    int32_t (*store)(const stg_model *m, stg_bundle *b);
    /* NULL: nothing. Without a graph st->arc_calls are filled already. */
    int32_t (*prepare)(const stg_session *s, stg__state *st, const stg_graph *g);
    void (*observe)(const stg_session *s, stg__state *st, uint64_t start, const double *now);
    /* Stateful sessions: the state takes the last window of the ring in, one that was bridged too. */
    void (*advance)(const stg_session *s, stg__state *st);
    void (*predict)(const stg_session *s, stg__state *st, uint32_t steps); /* fills st->pred */
};

extern const stg__kind stg__kind_persistence;
extern const stg__kind stg__kind_seasonal;
extern const stg__kind stg__kind_dcrnn;
extern const stg__kind stg__kind_series;
const stg__kind *stg__kind_named(const char *name); /* NULL: none */

/* --- models ----------------------------------------------------------------------------------- */

/* An empty model with one reference; the trainer and the reader fill it. */
stg_model *stg__model_new(stg_ctx *ctx);
/* Arrays of these sizes, and the net of a "dcrnn"; called when names, edges and numbers are known. */
int32_t stg__model_room(stg_model *m);
int32_t stg__model_net_room(stg_model *m, const stg__shape *shape);
/* What the encoder and the decoder read, by columns, lags, time inputs, kind and decoder. */
void stg__net_inputs(const stg_model *m, stg__shape *s);
/* The net's part of a file; load fills the model's net once its shape is known from read_shape, which
 * leaves inputs and extras to the kind. */
int32_t stg__net_read_shape(stg_model *m, const stg_bundle *b, stg__shape *s, stg_error *err);
int32_t stg__net_load(stg_model *m, const stg_bundle *bundle, const stg__shape *shape, stg_error *err);
int32_t stg__net_store(const stg_model *m, stg_bundle *bundle);
/* A number that files and options write as a word. */
typedef struct stg__word {
    const char *text; /* NULL behind the last */
    uint32_t value;
} stg__word;
extern const stg__word stg__recursions[];
extern const stg__word stg__decoders[];
extern const stg__word stg__cells[];
extern const stg__word stg__filters[];
extern const stg__word stg__orders[];
bool stg__word_find(const stg__word *words, const char *text, uint32_t *value); /* false: not there */
const char *stg__word_text(const stg__word *words, uint32_t value);
/* A file's; leaves *value alone when the key is not there. */
int32_t stg__word_read(const stg_bundle *b, const char *key, const stg__word *words, uint32_t *value,
                       stg_error *err);
uint32_t stg__model_columns(const stg_model *m);
uint32_t stg__model_nodes(const stg_model *m);
/* Copies of walk weights of the model's own graph: edges added up over routes. */
uint32_t stg__model_edge(const stg_model *m, uint32_t src, uint32_t dst, uint32_t route);

/*
 * Mean of the last deviations, the later the more: weight STG__RECENT to the power of the age. Called
 * with the youngest first until the weights no longer matter.
 */
#define STG__RECENT 0.6
typedef struct stg__recent {
    double sum;
    double total;
    double weight;
} stg__recent;
void stg__recent_add(stg__recent *r, double z); /* NaN: only ages */
double stg__recent_get(const stg__recent *r);   /* 0 when nothing is known */

/* Cuts off what is beyond STG__CLIP; unknown is 0. */
double stg__clipped(double z);

/* Counts are >= 0 and may be skewed; latencies ("..._us") are judged on the log scale. */
bool stg__is_latency(const char *column);

/* log(1 + x) as kinds that are not plain see a value: NaN stays, below zero counts as zero. */
double stg__to_log(double x);
double stg__from_log(double x);
/* A value on the scale of the kind. */
double stg__taken(const stg__kind *kind, double x);
/* What the net of a plain kind reads of a value: its z-score, bounded; 0 where nothing is known. */
double stg__plain_input(double x, double mean, double deviation);

/* Mean of the known values among the last `history` windows, on the scale of the columns. */
double stg__recent_mean(const stg_session *s, const stg__state *st, uint32_t column, uint32_t node);
uint32_t stg__day_slot(const stg_model *m, uint64_t start);
/* Profile of a column of one of the model's nodes; NULL when training never saw it. */
const double *stg__profile_of(const stg_model *m, uint32_t column, uint32_t known);
/* Numbers of steps the day of a model is cut into. */
uint32_t stg__day_slots(uint64_t day_ns, uint64_t window_ns);
/* Sine and cosine of the time of day at the start of a window. */
void stg__day_time(uint64_t day_ns, uint64_t start, double out[2]);

/* Arcs of a graph whose edges have mean calls: log(1 + calls) added up over routes; arc has room for
 * every edge. Edges are sorted by (src, dst); those without calls are left out. */
uint32_t stg__make_arcs(const uint32_t *src, const uint32_t *dst, const double *calls, uint32_t edges,
                        stg__arc *arc);
/* The same with weights as they are. */
uint32_t stg__make_plain_arcs(const uint32_t *src, const uint32_t *dst, const double *weight,
                              uint32_t edges, stg__arc *arc);

/* --- sessions ---------------------------------------------------------------------------------- */

int32_t stg__state_create(stg__state **out, const stg_session *s, const stg_graph *g);
/* For a saved one: supports are made from the calls that they were made from then; the other arrays
 * are still to be filled. */
int32_t stg__state_revive(stg__state **out, const stg_session *s, stg__topology *t,
                          const double *arc_calls);
void stg__state_destroy(stg__state *st);
/* Nets: working memory of a topology, once the supports are made. */
int32_t stg__state_net_room(const stg_session *s, stg__state *st);
/* Nets: one step of the encoder on st->x; and what st->hidden says goes back into the run. */
void stg__state_advance(const stg_session *s, stg__state *st);
void stg__state_resume(stg__state *st);
/* Nets: supports from st->arc_calls; and with the weights of another window. */
int32_t stg__state_supports(const stg_session *s, stg__state *st);
void stg__state_follow(const stg_session *s, stg__state *st, const stg_graph *g, const uint8_t *mask);
extern const stg__state_type stg__session_state;
/* Row of the ring: column c of all nodes `back` windows ago (0: the last). */
static inline double *stg__ring_row(const stg_session *s, const stg__state *st, uint32_t back,
                                    uint32_t column)
{
    const uint32_t history = s->model->history;
    const size_t place = (s->head + 2 * history - 1 - back) % history;
    return st->ring + (place * stg__model_columns(s->model) + column) * st->nodes;
}

/* --- forecasts --------------------------------------------------------------------------------- */

struct stg_forecast {
    stg__object object;
    const stg_model *model;
    stg__topology *topo;
    uint64_t start_ns;
    uint32_t horizon;
    uint32_t ready;
    uint32_t calls_target;
    double *node; /* [targets][horizon][node_stride] */
    double *edge; /* [horizon][edge_stride] */
    size_t node_stride;
    size_t edge_stride;
    size_t node_cap;
    size_t edge_cap;
};

extern const stg__pool_type stg__forecast_type;
/* An empty one for this topology. */
int32_t stg__forecast_room(const stg_session *s, stg__topology *topo, uint32_t horizon,
                           stg_forecast **out);
int32_t stg__forecast_make(const stg_session *s, uint32_t horizon, const stg_forecast **out);
/* In a bundle, for who keeps forecasts over a restart; s: a session of the same model. */
int32_t stg__forecast_put(const stg_forecast *f, stg_bundle *bundle, const char *prefix);
int32_t stg__forecast_get(const stg_forecast **out, const stg_session *s, const stg_bundle *bundle,
                          const char *prefix, stg_error *err);

#endif
