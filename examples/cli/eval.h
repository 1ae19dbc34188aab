/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of `stgraph eval` share: the truth of a recording and the incidents reported on it. */
#ifndef STGRAPH_EVAL_H
#define STGRAPH_EVAL_H

#include "cli.h"

#define EVAL_NAME 256
#define EVAL_CAUSES 3
#define EVAL_GRACE_NS 60000000000u  /* an incident may open so long after the end of its attack */
#define EVAL_TAIL_NS 120000000000u  /* alarm so long after the end of an event counts as its own */

/* A node, or an edge when src is not empty. */
typedef struct eval_place {
    char node[EVAL_NAME];
    char src[EVAL_NAME];
    char dst[EVAL_NAME];
    char route[EVAL_NAME];
} eval_place;

/* An attack or a confounder, as the testbed wrote it down. */
typedef struct eval_event {
    bool attack;
    char class_name[64];
    char during[32];
    eval_place node;
    eval_place edge;
    uint64_t start_ns;
    uint64_t end_ns;
    uint64_t first_ns; /* first malicious request */
    double strength;
    int found; /* index of the incident that counts for it, or -1 */
} eval_event;

typedef struct eval_incident {
    uint64_t id;
    uint64_t opened_ns;
    uint64_t closed_ns;
    char class_name[64];
    eval_place cause[EVAL_CAUSES];
    eval_place loudest[EVAL_CAUSES]; /* members with the largest evidence: the naive ranking */
    int event;                       /* index of the attack it counts for, or -1 */
    bool limited;                    /* a limit was planned for it */
} eval_incident;

typedef struct eval_run {
    eval_event *events;
    size_t events_count;
    eval_incident *incidents;
    size_t incidents_count;
    size_t incidents_cap;
    uint64_t start_ns;
    uint64_t end_ns;
} eval_run;

/* truth.jsonl of a recording; false after a message. */
bool eval_read_truth(const char *path, eval_event **events, size_t *count);

/* Assigns incidents to attacks; each counts for one. */
void eval_match(eval_run *run);
bool eval_same_place(const eval_place *a, const eval_place *b);
/* Rank (from 0) of the event's target among places, or -1. */
int eval_rank(const eval_event *event, const eval_place *places, int count);
eval_incident *eval_add_incident(eval_run *run);
void eval_run_free(eval_run *run);

/* Sums over recordings. */
typedef struct eval_tally {
    const char *method;
    double hours;
    uint32_t attacks[2], found[2]; /* [0] below the target's own rate, [1] at it or above */
    uint32_t confounders;
    uint32_t incidents;
    uint32_t false_incidents;      /* open outside every event and its tail */
    uint32_t confounder_incidents; /* open within a confounder, no attack there */
    uint32_t flash_limits;         /* of these: in a flash crowd, with a limit planned */
    double alarm_s, outside_s;
    double *delays;
    size_t delays_count;
    uint32_t ranked, first, third;               /* root cause of incidents within attacks */
    uint32_t naive_first, naive_third;           /* the same with the loudest members */
    uint32_t constant_first, constant_third;     /* the same with a fixed list */
    uint32_t named;                              /* found attacks whose class was right */
    struct {
        char name[64];
        uint32_t attacks[2], found[2], named;
    } classes[16];
    size_t classes_count;
} eval_tally;

void eval_add(eval_tally *tally, const eval_run *run);
void eval_print(const eval_tally *tallies, size_t count, bool json, const char *dataset);
void eval_tally_free(eval_tally *tally);

/* The fixed rule that operators have: z = (calls - mean) / sd of each edge, alarm above a limit. */
typedef struct eval_rule eval_rule;
eval_rule *eval_rule_new(void);
void eval_rule_free(eval_rule *rule);
bool eval_rule_window(eval_rule *rule, const stg_graph *graph);
/* Incidents of the rule with this limit, into a run whose events are set. */
bool eval_rule_incidents(const eval_rule *rule, double limit, eval_run *run);

#endif
