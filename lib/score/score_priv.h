/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of the detector. A window becomes a row of plain numbers (row.c); every stream, one
 * quantity of one node or edge, turns its part of the row into a residual (residual.c), a score of
 * known law (calib.c) and evidence over time (evidence.c); alarming entities gather into incidents
 * (incident.c), which are named (classify.c), traced to their source (cause.c) and written into an
 * immutable report (report.c). Learning replays stored rows through the same functions (fitting.c).
 */
#ifndef STG_SCORE_PRIV_H
#define STG_SCORE_PRIV_H

#include <stgraph/score.h>

#include "base_priv.h"
#include "graph_priv.h"
#include "special.h"

/* --- rows ------------------------------------------------------------------------------------- */

enum { /* columns of nodes */
    NC_CALLS, NC_ERRORS, NC_EXCLUSIVE, NC_OPEN, NC_WAITING, NC_ACTIVE, NC_IN_FLIGHT, NC_CONN_AGE,
    NC_HEADER_AGE, NC_FORECAST, NC_OUT_CALLS, NC_OUT_NEW, NC_COUNT
};
enum { /* columns of edges */
    EC_CALLS, EC_ERRORS, EC_CLIENT_ERRORS, EC_LOGINS, EC_LOGIN_FAILURES, EC_REGISTERS, EC_ASSETS,
    EC_RETRIES, EC_INJECTIONS, EC_NEW_GROUP, EC_TOP_CLIENT, EC_BYTES_IN, EC_BYTES_OUT, EC_CLIENTS,
    EC_USERS, EC_P50, EC_FORECAST, EC_COUNT
};

/* One window as numbers: value of column c of entity i at [c * count + i]; NaN: not known. */
typedef struct stg__row stg__row;
struct stg__row {
    uint64_t start_ns;
    uint32_t nodes;
    uint32_t edges;
    float *node;
    float *edge;
    stg__row *next; /* of the windows learnt */
};

/* --- streams ---------------------------------------------------------------------------------- */

enum { /* kinds of streams of a node */
    N_RATE, N_ERRORS, N_EXCLUSIVE, N_OPEN, N_WAITING, N_BUSY, N_CONN_AGE, N_HEADER_AGE, N_KINDS
};
enum { /* kinds of streams of an edge */
    E_RATE, E_SHARE, E_ERRORS, E_CLIENT_ERRORS, E_LOGIN_FAILURES, E_LOGINS, E_REGISTERS, E_ASSETS,
    E_RETRIES, E_INJECTIONS, E_NEW_GROUP, E_TOP_CLIENT, E_PER_CLIENT, E_PER_USER, E_BYTES_IN,
    E_BYTES_OUT, E_LATENCY, E_TOGETHER, E_KINDS
};
#define KINDS (N_KINDS + E_KINDS)

enum { FAMILY_FLOW, FAMILY_HOLD, FAMILY_FAILURE }; /* of causes */

enum { /* laws */
    LAW_RATE,  /* negative binomial about the forecast */
    LAW_SHARE, /* of the caller's calls in the same window */
    LAW_RATIO, /* beta-binomial, one count of another */
    LAW_LEVEL, /* normal on the log scale about a slow level */
    LAW_JOINT  /* sum of the scores of other streams of the edge */
};
enum { UP = 0, DOWN = 1 };
enum { DIR_UP = 1, DIR_DOWN = 2, DIR_BOTH = 3 };

/* What a kind tells, for incidents, classes and causes. */
enum {
    SAYS_VOLUME,  /* more or fewer calls than forecast */
    SAYS_MIX,     /* a target gets more than its part */
    SAYS_CLIENTS, /* who calls and how */
    SAYS_ABUSE,   /* what the calls try */
    SAYS_HOLD,    /* connections pile up */
    SAYS_FAILURE  /* slow or failing */
};

#define ODD (1u << SAYS_MIX | 1u << SAYS_CLIENTS | 1u << SAYS_ABUSE) /* calls that do not belong */

typedef struct stg__kind {
    const char *name;   /* column named in evidence and in the bundle */
    uint8_t law;
    uint8_t directions;
    uint8_t says;
    uint8_t x;          /* columns: numerator or value */
    uint8_t n;          /* denominator, or what the level's precision grows with */
    uint8_t regress;    /* level: regressed on log of n */
    float weight;       /* part of the false-alarm budget, relative */
    float min_n;        /* windows with less are not read */
    float floor;        /* level: smallest scale */
    float spread;       /* level: variance added as spread / n, or / level for counts that are held */
    float unit;         /* level: log(1 + v / unit) when > 0, else log v */
} stg__kind;

extern const stg__kind stg__kinds[KINDS]; /* nodes' kinds first */

#define KNOTS 9
extern const double stg__knot_level[KNOTS]; /* .02 ... .98, and their normal quantiles */
extern const double stg__knot_z[KNOTS];

typedef struct stg__stream {
    double a;       /* ratio: sum of x; rate: own level; level: location */
    double b;       /* ratio: sum of n; level: slope */
    double centre;  /* level: mean of the regressor */
    float disp;     /* phi about the forecast, rho, or variance */
    float disp_own; /* rate: phi about the own level, for windows without forecast */
    float lump;     /* calls come in lumps: variance grows by 1 + lump even where counts are small */
    float blend;    /* rate: weight of the forecast against the own level */
    float ar[3];   /* memory of the residual */
    float spread;  /* level: variance that goes with 1 / n */
    float knot[KNOTS]; /* quantiles of the whitened residual: the stream's own body */
    float kappa[2]; /* >= 1: evidence is taken less seriously where training itself was restless */
    uint32_t seen;  /* windows with a reading */
    uint8_t active; /* calibrated and not without meaning */
    uint8_t part;   /* share: beta-binomial instead of a ratio of counts */
    /* of the running window */
    uint8_t fresh;  /* has a reading */
    uint8_t frozen; /* levels do not learn */
    float last[3];  /* residuals before whitening, the latest first; NaN: none */
    float white;    /* whitened */
    float w;        /* whitened and standardised */
    float plain;    /* standardised only; NaN: no reading */
    float smooth;   /* residual before whitening, standardised, over the last windows */
    float score[2]; /* normal score of the p-value, up and down */
    float observed;
    float expected;
    float m[2][4];   /* evidence by size of shift */
    uint32_t rise[2]; /* windows since the evidence began to rise */
    uint64_t hash;   /* names the random numbers of the stream */
} stg__stream;

/* --- calibration ------------------------------------------------------------------------------ */

#define CALIB_BINS 640
#define CALIB_RANGE 8.0
#define CALIB_MAX 10000.0
#define CALIB_TAIL 200
#define CALIB_LEVEL 0.98

/* Law of the standardised residuals of one kind over all its streams. */
typedef struct stg__calib {
    double weight;               /* residuals behind it */
    float bins[CALIB_BINS];      /* how many fell where */
    float cdf[CALIB_BINS + 1];   /* at the edges of the bins */
    float z[CALIB_BINS + 1];     /* normal quantile of cdf */
    double cut[2];               /* where the tails begin, as positive numbers */
    double share[2];             /* part beyond */
    stg__gpd tail[2];
    uint32_t excesses[2];        /* behind the tail's fit */
    float excess[2][CALIB_TAIL]; /* the latest of them */
    uint32_t next[2];
    uint32_t unfitted[2]; /* excesses since the last fit */
    uint32_t streams;     /* that feed it */
    uint32_t ready;
} stg__calib;

void stg__calib_reset(stg__calib *c);
/* Takes n residuals at once; w is sorted on return. */
void stg__calib_fit(stg__calib *c, double *w, size_t n);
void stg__calib_add(stg__calib *c, double w);
void stg__calib_refresh(stg__calib *c); /* after adding */
/* Normal scores of p in both directions; v breaks ties. */
void stg__calib_score(const stg__calib *c, double w, double v, float score[2]);

/* --- incidents -------------------------------------------------------------------------------- */

#define MAX_INCIDENTS 32
#define MAX_MEMBERS 192
#define MAX_CARRIERS 24
#define MAX_CAUSES 8
#define MAX_EVIDENCE 12
#define FEATURES 21
#define CLASSES 12

typedef struct stg__member {
    uint32_t index;  /* node or edge of the detector */
    uint8_t is_edge;
    uint8_t says;    /* bits of SAYS_* that alarmed here */
    float evidence;  /* log10, the largest so far */
    uint64_t alarmed_window; /* the last one */
} stg__member;

typedef struct stg__carrier { /* a stream that alarmed: the incident lives as long as they do */
    uint32_t index;
    uint8_t is_edge;
    uint8_t kind;
    uint8_t direction;
    float level; /* mean score while it went on */
} stg__carrier;

typedef struct stg__cause {
    uint32_t index;
    uint8_t is_edge;
    float score;
} stg__cause;

typedef struct stg__evidence {
    uint32_t index;
    uint8_t is_edge;
    uint8_t kind;
    float observed;
    float expected;
    float value;
} stg__evidence;

typedef struct stg__incident {
    uint64_t id; /* 0: free */
    uint64_t opened_ns;
    uint64_t onset_ns;
    uint64_t opened_window; /* numbers of judged windows */
    uint64_t joined_window;
    uint64_t closed_window; /* 0: open */
    uint32_t state;
    uint32_t members;
    uint32_t carriers;
    uint32_t calm;   /* windows in a row without fresh evidence */
    double recovery; /* evidence that it is over */
    double severity;
    double noticed; /* severity at the last notification */
    uint32_t noticed_class;
    uint64_t noticed_window;
    uint32_t class_id;
    double confidence;
    float feature[FEATURES]; /* highest over the incident, slowly forgotten */
    uint32_t causes;
    uint32_t evidences;
    double clearest; /* score of the first cause at its clearest, slowly forgotten */
    uint32_t mood;   /* what it is mostly about: FAMILY_* */
    uint32_t stale;  /* windows in a row in which no carrier had a reading */
    uint32_t target_edge; /* UINT32_MAX: none */
    uint32_t target_node;
    stg__cause cause[MAX_CAUSES];
    stg__evidence evidence[MAX_EVIDENCE];
    stg__carrier carrier[MAX_CARRIERS];
    stg__member member[MAX_MEMBERS];
} stg__incident;

/* --- detector --------------------------------------------------------------------------------- */

typedef struct stg__edge_id {
    uint32_t src;   /* node of the detector */
    uint32_t dst;
    uint32_t route; /* name */
} stg__edge_id;

struct stg_detector {
    stg__handle handle;
    stg_ctx *ctx;
    uint64_t origin; /* digest of the calibration it began with; 0: none */
    stg_detector_opts opts;
    stg__names *names;
    uint32_t nodes; /* entities, in order of arrival; they never go */
    uint32_t edges;
    uint32_t node_cap;
    uint32_t edge_cap;
    uint32_t *node_name;   /* [node_cap] name of a node */
    stg__edge_id *edge;    /* [edge_cap] */
    uint32_t *edge_table;  /* hash of edges, index + 1 */
    uint32_t edge_slots;
    uint32_t *node_of;     /* [name_cap] node + 1 with this name, 0: none */
    uint32_t name_cap;
    stg__stream *node_stream; /* [node_cap][N_KINDS] */
    stg__stream *edge_stream; /* [edge_cap][E_KINDS] */
    stg__calib *calib;        /* [KINDS] */
    uint8_t *node_flag;       /* [node_cap] scratch of a window */
    uint8_t *gateway;         /* [node_cap] 1: stands between outside and the services */
    uint32_t *node_mark;      /* [node_cap] incidents that have the node, as bits */
    uint32_t *node_reach;     /* [node_cap] those one call away */
    bool reach_known;
    float *edge_excess;       /* [edge_cap] scratch of causes */
    float *node_excess;       /* [node_cap] */
    /* the graph at hand */
    uint64_t topology;
    uint32_t *node_map; /* node of the graph -> entity */
    uint32_t *edge_map;
    uint32_t node_map_cap;
    uint32_t edge_map_cap;
    uint64_t window_ns;
    uint64_t last_start; /* of the last window taken */
    bool unreported;     /* it was judged, but there was no memory for its report */
    uint64_t windows;    /* judged since creation */
    uint64_t unbroken;   /* judged since the start or the last long gap */
    stg__row row;
    uint32_t row_node_cap;
    uint32_t row_edge_cap;
    /* windows learnt */
    stg__row *first;
    stg__row *last;
    uint32_t learnt;
    size_t learnt_bytes;
    uint32_t fitted;
    uint64_t lead; /* windows between the forecasts learnt with and their windows; 0: none seen */
    /* evidence */
    double alarm;      /* A */
    double budget;     /* sum of the weights of the streams judged */
    uint32_t streams;  /* judged */
    double largest;
    uint64_t next_id;
    stg__incident *incident; /* [MAX_INCIDENTS] */
    stg__pool *reports;
};

static inline stg__stream *stg__node_stream(const stg_detector *d, uint32_t node, uint32_t kind)
{
    return &d->node_stream[(size_t)node * N_KINDS + kind];
}

static inline stg__stream *stg__edge_stream(const stg_detector *d, uint32_t edge, uint32_t kind)
{
    return &d->edge_stream[(size_t)edge * E_KINDS + kind];
}

/* Streams of an entity and how many there are. */
static inline stg__stream *stg__streams_of(const stg_detector *d, bool is_edge, uint32_t index,
                                           uint32_t *count)
{
    *count = is_edge ? E_KINDS : N_KINDS;
    return is_edge ? stg__edge_stream(d, index, 0) : stg__node_stream(d, index, 0);
}

static inline const stg__kind *stg__kind_of(bool is_edge, uint32_t kind)
{
    return &stg__kinds[is_edge ? N_KINDS + kind : kind];
}

static inline double stg__clip(double x, double lo, double hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* entity.c: names to entities, and their storage */
int32_t stg__entity_node(stg_detector *d, const char *name, size_t len, uint32_t *index);
int32_t stg__entity_edge(stg_detector *d, stg__edge_id id, uint32_t *index);
int32_t stg__entity_name(stg_detector *d, const char *name, size_t len, uint32_t *id);
int32_t stg__entity_map(stg_detector *d, const stg_graph *g);
void stg__entity_free(stg_detector *d);
const char *stg__node_text(const stg_detector *d, uint32_t node);
const char *stg__route_text(const stg_detector *d, uint32_t edge);
void stg__stream_init(stg__stream *s);

/* row.c: a graph and a forecast to a row */
int32_t stg__row_gather(stg_detector *d, const stg_graph *g, const stg_forecast *fc);
int32_t stg__row_keep(stg_detector *d);
/* A row as it was kept: nodes' values, then edges'. */
int32_t stg__row_append(stg_detector *d, const stg__row *head, const float *values);
void stg__rows_drop(stg_detector *d);

/* residual.c */
typedef struct stg__reading {
    double x;        /* count, or log value */
    double n;        /* of, or behind it */
    double forecast; /* rate: NaN when there is none; new groups: their part elsewhere just now */
    double regress;
    double shown;    /* observed value as a person knows it */
    bool ok;
} stg__reading;
typedef struct stg__residual {
    double z;
    double expected; /* in the unit of shown */
    double mean;     /* on the scale of x */
    double var;
    double disp;
} stg__residual;
stg__reading stg__read(const stg_detector *d, const stg__row *r, bool is_edge, uint32_t index,
                       uint32_t kind, const stg__stream *s);
stg__residual stg__residual_of(const stg__kind *k, const stg__stream *s, const stg__reading *in,
                               double v);
stg__residual stg__moments(const stg__kind *k, const stg__stream *s, const stg__reading *in);
double stg__base(const stg__kind *k, const stg__stream *s, const stg__reading *in, double mean);
bool stg__meaningful(bool is_edge, uint32_t kind, const stg__stream *s);
double stg__square(const stg__kind *k, const stg__stream *s, const stg__reading *in, double mean);
void stg__level_learn(const stg__kind *k, stg__stream *s, const stg__reading *in,
                      const stg__residual *r);
/* Part of a kind's scores in what an edge's streams say together; 0: none. */
double stg__joint_part(uint32_t kind, const float score[2], double *weight);
double stg__whiten(stg__stream *s, double z); /* and remembers z */
double stg__memory(const stg__stream *s);      /* part of the residual's variance that it explains */
void stg__forget_last(stg__stream *s);
double stg__standardise(const stg__stream *s, double w);
void stg__knots_learn(stg__stream *s);
void stg__knots_order(float knot[KNOTS]);

/* evidence.c */
void stg__evidence_step(float m[4], double score);
double stg__evidence_mean(const float m[4]);
void stg__judge(stg_detector *d); /* every stream through the row at hand */
void stg__learn_online(stg_detector *d);
void stg__budget(stg_detector *d);
bool stg__burst(const stg_detector *d, bool is_edge, uint32_t kind, const stg__stream *s, int side);
double stg__entity_evidence(const stg_detector *d, bool is_edge, uint32_t index);
void stg__forget(stg_detector *d, bool is_edge, uint32_t index);

/* near.c */
enum { NEAR_NO, NEAR_CALL, NEAR_HUB, NEAR };
stg__member *stg__member_of(stg__incident *inc, bool is_edge, uint32_t index);
void stg__mark(stg_detector *d, const stg__incident *inc, bool is_edge, uint32_t index);
void stg__mark_all(stg_detector *d);
int stg__near(stg_detector *d, const stg__incident *inc, bool is_edge, uint32_t index);

/* incident.c */
void stg__incidents_step(stg_detector *d);
static inline bool stg__open_now(const stg__incident *inc)
{
    return inc->id && !inc->closed_window;
}
bool stg__led(const stg__incident *inc); /* by more than volume or failure */

/* classify.c */
void stg__features(stg_detector *d, stg__incident *inc);
void stg__classify(stg_detector *d, stg__incident *inc);
const char *stg__class_name(uint32_t class_id);
bool stg__class_known(uint32_t class_id);
const char *stg__class_technique(uint32_t class_id);
static inline bool stg__benign(uint32_t class_id)
{
    return class_id >= STG_CLASS_FLASH_CROWD;
}

/* cause.c */
void stg__causes(stg_detector *d, stg__incident *inc);
uint32_t stg__entrance_of(const stg_detector *d, uint32_t edge); /* UINT32_MAX: none */
bool stg__ingress(const stg_detector *d, uint32_t edge); /* from outside or from a gateway */

/* report.c */
int32_t stg__report_take(stg_detector *d, const stg_graph *g, stg_report **out);
int32_t stg__report_fill(stg_detector *d, stg_report *r, const stg_graph *g, bool judged);
int32_t stg__reports_create(stg_detector *d);

/* fitting.c */
int32_t stg__fit(stg_detector *d);

/* saved.c, running.c */
void stg__kind_key(char out[STG__KEY_MAX], const char *prefix, const char *what, uint32_t kind,
                   const char *end);
int32_t stg__calibration_put(const stg_detector *d, stg_bundle *bundle, const char *prefix);
/* Tables of the pools are still to be made. */
int32_t stg__calibration_get(stg_detector *d, const stg_bundle *bundle, const char *prefix,
                             stg_error *err);
/* That of a model file; nothing when there is none. */
int32_t stg__calibration_load(stg_detector *d, const stg_bundle *bundle, stg_error *err);
uint64_t stg__calibration_digest(const stg_detector *d); /* never 0 */
extern const stg__state_type stg__detector_state;

#endif
