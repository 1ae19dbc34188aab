/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the torture tests share: an allocator that fails chosen requests and watches its blocks, the
 * stage that a case plays on, and the proof, bytes by which two runs are compared.
 */
#ifndef STG_TORTURE_H
#define STG_TORTURE_H

#include <pthread.h>
#include <stdatomic.h>

#include <stgraph/stgraph.h>

#include "test.h"
#include "traffic.h"

/* --- memory ----------------------------------------------------------------------------------- */

#define TORTURE_KEPT 64 /* freed blocks that are looked at again before they go */

/*
 * Numbers its requests from 1; those from `from` to `to` fail. New memory is filled with one pattern
 * and freed memory with another, so that nothing is right by luck; blocks are fenced on both sides.
 */
typedef struct torture_memory {
    stg_allocator allocator;
    pthread_mutex_t lock; /* of all below: a trainer has helpers */
    size_t requests;
    size_t failed;
    size_t from; /* 0: none fails */
    size_t to;
    size_t live;
    void *kept[TORTURE_KEPT];
    size_t kept_at;
    const char *damage; /* first fault of the library in handling blocks; NULL: none */
} torture_memory;

bool torture_sanitized(void); /* built with the address or thread sanitizer */
void torture_memory_init(torture_memory *m);
void torture_memory_arm(torture_memory *m, size_t from, size_t to); /* counts anew */
void torture_memory_calm(torture_memory *m);                        /* nothing fails from here on */
void torture_memory_fini(torture_memory *m); /* asserts that nothing is left and nothing was damaged */

/* --- proof ------------------------------------------------------------------------------------ */

typedef struct proof {
    char *bytes;
    size_t len;
    size_t cap;
    size_t soft; /* from here on only compared when no event was dropped; 0: all counts */
} proof;

void prove_bytes(proof *p, const void *bytes, size_t len);
void prove_number(proof *p, double x);
void prove_text(proof *p, const char *text);
void prove_graph(proof *p, const stg_graph *g);
void prove_forecast(proof *p, const stg_forecast *f);
void prove_report(proof *p, const stg_report *r);
void prove_plan(proof *p, const stg_plan *plan);
void prove_bundle(proof *p, const stg_bundle *b);
void prove_stats(proof *p, const stg_ingest *in);
void prove_model(proof *p, const stg_model *model);
void prove_detector(proof *p, const stg_detector *det);
void prove_state(proof *p, stg_ctx *ctx, const void *object); /* all that it would save */

/* --- stage ------------------------------------------------------------------------------------ */

/* What a case can hold; everything goes when the run ends. */
typedef struct stage {
    torture_memory memory;
    stg_ctx *ctx; /* over that memory */
    stg_error err;
    bool again;    /* the call is made a second time, after it failed */
    uint64_t lost; /* events that the call dropped */
    stg_bundle *bundle;
    stg_graph_builder *builder;
    const stg_graph *graph;
    stg_ingest *in;
    stg_lane *lane;
    stg_lane *shared;
    int fd; /* -1: none */
    uint64_t lane_id;
    stg_reader *reader;
    const stg_model *model;
    stg_session *session;
    const stg_forecast *forecast;
    stg_trainer *trainer;
    stg_detector *detector;
    const stg_report *report;
    stg_planner *planner;
    const stg_plan *plan;
    stg_monitor *monitor;
    traffic traffic;
    uint64_t now; /* end of the last window */
    uint32_t done; /* of a call that is a list of calls */
    uint32_t id[256];
    stg_record record[128];
    size_t records;
    char path[64]; /* removed at the end; "": none */
} stage;

enum {
    QUIET = 1,   /* never asks for memory, and works when there is none */
    TELLS = 2,   /* fills stg_error on an error */
    LOSES = 4,   /* an event that has no memory is dropped and counted, the call is well */
    NO_CTX = 8,  /* makes the context itself */
    MANAGES = 16 /* does with less when it can: the call may be well although a request failed */
};

/*
 * prepare, which may be NULL, sets the stage without failures; call is what is under test and also
 * asserts what it handed out; prove writes down what came of it and how the objects go on; state,
 * which may be NULL, writes down what a failed call must leave as it was.
 */
typedef struct torture_case {
    const char *function;
    const char *what;
    void (*prepare)(stage *s);
    int32_t (*call)(stage *s);
    void (*prove)(stage *s, proof *p);
    void (*state)(stage *s, proof *p);
    uint32_t flags;
} torture_case;

typedef struct torture_table {
    const torture_case *cases;
    size_t count;
} torture_table;

extern const torture_table torture_base, torture_graph, torture_ingest, torture_model, torture_score,
    torture_monitor;

/* libcheck notes every assertion in a file: in a run that is played thousands of times only what is
 * wrong may come to it. */
#define SURE(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("%s:%d: %s", __FILE__, __LINE__, #condition);                             \
    } while (0)
#define OK(expression)                                                                             \
    do {                                                                                           \
        const int32_t ok_ = (expression);                                                          \
        if (ok_ != STG_OK)                                                                         \
            ck_abort_msg("%s:%d: %s: %s", __FILE__, __LINE__, #expression, stg_status_name(ok_));  \
    } while (0)

/* Ends a case's call: a result stands there exactly when the library's call was well. */
#define HANDED(call, out)                                                                          \
    do {                                                                                           \
        const int32_t status_ = (call);                                                            \
        SURE(((out) != NULL) == (status_ == STG_OK));                                              \
        return status_;                                                                            \
    } while (0)

/* --- what is learnt before the cases run ------------------------------------------------------ */

typedef struct torture_file {
    char *bytes;
    size_t len;
} torture_file;

extern torture_file torture_small[4]; /* a small model of each kind, the last one's state may be carried on;
                                        with foreign tensors */
extern torture_file torture_line;     /* the file of the whole line: model, calibration, groups */

stg_bundle *torture_parse(stg_ctx *ctx, const torture_file *file);
/* Saves the object's state into s->bundle, made if there is none. */
void torture_keep(stage *s, const void *object);

/*
 * The line's story, played once on plain memory: calm windows, a new service in one of them, then a
 * flood that opens an incident.
 */
enum { CALM = 30, CHANGE = 12, SCENE = 64 };

typedef struct scene {
    stg_ctx *ctx;
    stg_bundle *bundle;
    const stg_model *model;
    const stg_graph *graph[SCENE];
    const stg_forecast *judge[SCENE]; /* made before the window; NULL for the first */
    const stg_forecast *next[SCENE];  /* made after it */
    const stg_report *report[SCENE];
    uint32_t opens; /* window in which the incident opens */
    uint32_t acts;  /* window in which a plan first answers it */
} scene;

const scene *torture_scene(void);
void torture_traffic(stage *s, uint32_t window); /* pushes the scene's calls into s->lane */
uint64_t torture_window_end(uint32_t window);
bool torture_opens(const stg_report *r); /* an incident opens in it */

#endif
