/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Incidents: alarming entities that stand near each other form one; each goes on as long as the
 * streams that raised it (its carriers) stay away from their levels, and ends by evidence of its own
 * kind, a likelihood ratio for "back to normal", not by the slow decay of the alarm's evidence.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define JOIN 3u         /* windows in which neighbours join */
#define YOUNG 12u       /* windows in which an incident takes neighbours without further question */
#define CALM 6u         /* quiet windows that an end takes at least */
#define OVER 5.0        /* log likelihood ratio of an end */
#define REOPEN 12u      /* windows in which it comes back under its number */
#define STALE 60u       /* windows without a reading until it is given up */
#define SETTLE_BENIGN 360u /* windows after which a harmless change is the new normal */
#define SETTLE_DEPLOY 36u
#define SETTLE_NS 21600000000000u /* and anything else: six hours */

static bool header_kind(bool is_edge, uint32_t kind)
{
    return !is_edge && (kind == N_WAITING || kind == N_HEADER_AGE || kind == N_CONN_AGE);
}

/* What a benign incident of this class brings along by itself, as bits of SAYS_*. */
static uint32_t explained(const stg_detector *d, const stg__incident *inc)
{
    uint32_t bits = 1u << SAYS_VOLUME | 1u << SAYS_FAILURE | 1u << SAYS_HOLD;
    if (inc->class_id == STG_CLASS_FLASH_CROWD) {
        bits |= 1u << SAYS_CLIENTS;
        if (d->windows - inc->opened_window <= 2 * JOIN) /* visits begin on other pages */
            bits |= 1u << SAYS_MIX;
    }
    return bits;
}

/*
 * An attack of its own, though next to an incident: calls through an entrance that the incident is
 * not about and that were not odd in this way before, or not lately.
 */
static bool foreign(const stg_detector *d, const stg__incident *inc, const stg__member *m,
                    uint32_t entrance, uint32_t says)
{
    const uint32_t odd = says & ODD;
    if (entrance == UINT32_MAX || !odd || inc->target_edge == entrance ||
        inc->target_node == d->edge[entrance].dst)
        return false;
    return !m || (odd & ~(uint32_t)m->says) != 0 || d->windows - m->alarmed_window > REOPEN;
}

static bool joins(stg_detector *d, const stg__incident *inc, bool is_edge, uint32_t index,
                  uint32_t says)
{
    if (inc->class_id == STG_CLASS_FLASH_CROWD) /* reaches every service there is */
        return (says & ~explained(d, inc)) == 0;
    const int near = stg__near(d, inc, is_edge, index);
    const uint32_t symptoms = 1u << SAYS_VOLUME | 1u << SAYS_FAILURE;
    if (near == NEAR_NO)
        return false;
    if (stg__benign(inc->class_id))
        return (says & ~explained(d, inc)) == 0;
    if (d->windows - inc->joined_window <= JOIN && d->windows - inc->opened_window <= YOUNG)
        return true;
    return near == NEAR || (near == NEAR_HUB && (says & ~symptoms) == 0);
}

static void add_carrier(stg__incident *inc, bool is_edge, uint32_t index, uint32_t kind, int side,
                        double level)
{
    for (uint32_t i = 0; i < inc->carriers; i++) {
        const stg__carrier *c = &inc->carrier[i];
        if (c->is_edge == is_edge && c->index == index && c->kind == kind && c->direction == side)
            return;
    }
    if (inc->carriers == MAX_CARRIERS)
        return;
    inc->carrier[inc->carriers++] = (stg__carrier){index, is_edge, (uint8_t)kind, (uint8_t)side,
                                                   (float)stg__clip(level, 1, 4)};
}

/* Streams that make up the evidence of an entity; returns what they say. */
static uint32_t carriers_of(const stg_detector *d, bool is_edge, uint32_t index, double evidence,
                            stg__incident *into)
{
    uint32_t kinds;
    uint32_t says = 0;
    const stg__stream *s = stg__streams_of(d, is_edge, index, &kinds);
    for (uint32_t k = 0; k < kinds; k++) {
        const stg__kind *kind = stg__kind_of(is_edge, k);
        for (int side = UP; s[k].active && side <= DOWN; side++) {
            const double m = stg__evidence_mean(s[k].m[side]) * (double)kind->weight;
            const bool burst = stg__burst(d, is_edge, k, &s[k], side);
            if (!(kind->directions & (1 << side)) || (m < 0.1 * evidence && !burst))
                continue;
            /* ages and unfinished headers are no by-product of volume */
            says |= 1u << (header_kind(is_edge, k) ? SAYS_ABUSE : kind->says);
            if (into)
                add_carrier(into, is_edge, index, k, side, (double)s[k].plain * (side ? -1 : 1));
        }
    }
    return says;
}

static uint32_t longest_rise(const stg_detector *d, bool is_edge, uint32_t index)
{
    uint32_t kinds;
    uint32_t rise = 0;
    const stg__stream *s = stg__streams_of(d, is_edge, index, &kinds);
    double best = 0;
    for (uint32_t k = 0; k < kinds; k++)
        for (int side = UP; s[k].active && side <= DOWN; side++)
            if (stg__evidence_mean(s[k].m[side]) > best) {
                best = stg__evidence_mean(s[k].m[side]);
                rise = s[k].rise[side];
            }
    return rise;
}

static void join(stg_detector *d, stg__incident *inc, bool is_edge, uint32_t index, double evidence)
{
    const uint32_t says = carriers_of(d, is_edge, index, evidence, inc);
    stg__member *m = stg__member_of(inc, is_edge, index);
    if (!m && inc->members < MAX_MEMBERS) {
        m = &inc->member[inc->members++];
        *m = (stg__member){.index = index, .is_edge = is_edge};
        stg__mark(d, inc, is_edge, index);
        inc->joined_window = d->windows;
    }
    if (m) {
        m->says |= (uint8_t)says;
        m->alarmed_window = d->windows;
        m->evidence = fmaxf(m->evidence, (float)log10(fmax(evidence, 1)));
    }
}

static stg__incident *free_incident(stg_detector *d)
{
    stg__incident *oldest = NULL;
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        stg__incident *inc = &d->incident[i];
        if (!inc->id)
            return inc;
        if (inc->closed_window && (!oldest || inc->closed_window < oldest->closed_window))
            oldest = inc;
    }
    return oldest; /* NULL: all are open */
}

static void begin(stg_detector *d, stg__incident *inc, bool is_edge, uint32_t index)
{
    const uint32_t rise = longest_rise(d, is_edge, index);
    inc->state = STG_INCIDENT_OPEN;
    inc->opened_ns = d->row.start_ns + d->window_ns;
    inc->opened_window = inc->joined_window = inc->noticed_window = d->windows;
    inc->closed_window = 0;
    inc->calm = inc->stale = 0;
    inc->clearest = 0;
    inc->class_id = STG_CLASS_UNKNOWN;
    inc->recovery = 0;
    inc->causes = 0;
    inc->target_edge = inc->target_node = UINT32_MAX;
    inc->onset_ns = d->row.start_ns - (rise > 1 ? (rise - 1) * d->window_ns : 0);
}

static stg__incident *reopened(stg_detector *d, bool is_edge, uint32_t index, uint32_t says)
{
    const uint32_t entrance = is_edge ? stg__entrance_of(d, index) : UINT32_MAX;
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        stg__incident *inc = &d->incident[i];
        if (!inc->id || !inc->closed_window || d->windows - inc->closed_window > REOPEN)
            continue;
        const stg__member *m = stg__member_of(inc, is_edge, index);
        if (m && !foreign(d, inc, NULL, entrance, says)) {
            inc->members = inc->carriers = 0;
            begin(d, inc, is_edge, index);
            return inc;
        }
    }
    return NULL;
}

/* Does an open incident take the alarm? */
static bool takes(stg_detector *d, stg__incident *inc, bool is_edge, uint32_t index, uint32_t says)
{
    const uint32_t entrance = is_edge ? stg__entrance_of(d, index) : UINT32_MAX;
    const stg__member *m = stg__member_of(inc, is_edge, index);
    const bool own = m && (!stg__benign(inc->class_id) || (says & ~explained(d, inc)) == 0 ||
                           (says & ~(uint32_t)m->says) == 0);
    if (!own && !joins(d, inc, is_edge, index, says))
        return false;
    return d->windows - inc->opened_window <= YOUNG || !foreign(d, inc, m, entrance, says);
}

static void alarm(stg_detector *d, bool is_edge, uint32_t index, double evidence)
{
    const uint32_t says = carriers_of(d, is_edge, index, evidence, NULL);
    stg__incident *host = NULL;
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        stg__incident *inc = &d->incident[i];
        if (!stg__open_now(inc) || !takes(d, inc, is_edge, index, says))
            continue;
        if (!host || (stg__benign(host->class_id) && !stg__benign(inc->class_id)))
            host = inc;
    }
    if (!host)
        host = reopened(d, is_edge, index, says);
    if (!host) {
        host = free_incident(d);
        if (!host)
            return;
        memset(host, 0, sizeof *host);
        host->id = ++d->next_id;
        begin(d, host, is_edge, index);
    }
    join(d, host, is_edge, index, evidence);
}

/* Forgets the evidence of all that stands at the incident's nodes. */
static void wash(stg_detector *d, const stg__incident *inc)
{
    memset(d->node_flag, 0, d->nodes);
    for (uint32_t i = 0; i < inc->members; i++) {
        const stg__member *m = &inc->member[i];
        d->node_flag[m->is_edge ? d->edge[m->index].src : m->index] = 1;
        d->node_flag[m->is_edge ? d->edge[m->index].dst : m->index] = 1;
    }
    for (uint32_t i = 0; i < d->nodes; i++)
        if (d->node_flag[i])
            stg__forget(d, false, i);
    for (uint32_t e = 0; e < d->edges; e++)
        if (d->node_flag[d->edge[e].src] || d->node_flag[d->edge[e].dst])
            stg__forget(d, true, e);
}

/* What was seen in the incident becomes the level: old sums weigh little from now on. */
static void rebase(stg_detector *d, const stg__incident *inc)
{
    for (uint32_t i = 0; i < inc->carriers; i++) {
        const stg__carrier *c = &inc->carrier[i];
        stg__stream *s = c->is_edge ? stg__edge_stream(d, c->index, c->kind)
                                    : stg__node_stream(d, c->index, c->kind);
        const uint32_t law = stg__kind_of(c->is_edge, c->kind)->law;
        s->seen = s->seen > 8 ? 8 : s->seen;
        if (law == LAW_SHARE || law == LAW_RATIO) {
            s->a *= 0.01;
            s->b *= 0.01;
        }
    }
}

static void close_incident(stg_detector *d, stg__incident *inc)
{
    inc->state = STG_INCIDENT_CLOSE;
    inc->closed_window = d->windows;
    wash(d, inc);
}

static const stg__stream *carrier_stream(const stg_detector *d, const stg__carrier *c)
{
    return c->is_edge ? stg__edge_stream(d, c->index, c->kind)
                      : stg__node_stream(d, c->index, c->kind);
}

/* Volume and failure often only go along with something that tells more. */
static bool leads(const stg__carrier *c)
{
    const uint32_t says = stg__kind_of(c->is_edge, c->kind)->says;
    return says != SAYS_VOLUME && says != SAYS_FAILURE;
}

bool stg__led(const stg__incident *inc)
{
    for (uint32_t i = 0; i < inc->carriers; i++)
        if (leads(&inc->carrier[i]))
            return true;
    return false;
}

/* Mean distance of the strongest carriers from their levels, and the size it had. */
static bool carriers_now(const stg_detector *d, const stg__incident *inc, double *now, double *size)
{
    const bool led = stg__led(inc);
    double top = 0;
    double n = 0;
    *now = *size = 0;
    for (uint32_t i = 0; i < inc->carriers; i++)
        if (!led || leads(&inc->carrier[i]))
            top = fmax(top, (double)inc->carrier[i].level);
    for (uint32_t i = 0; i < inc->carriers; i++) {
        const stg__carrier *c = &inc->carrier[i];
        const stg__stream *s = carrier_stream(d, c);
        if (isnan(s->plain) || (led && !leads(c)) || (double)c->level < 0.5 * top)
            continue;
        *now += stg__clip(c->direction == UP ? s->plain : -s->plain, -2, 4);
        *size += (double)c->level;
        n++;
    }
    if (n == 0)
        return false;
    *now /= n;
    *size /= n;
    return true;
}

static void follow(const stg_detector *d, stg__incident *inc)
{
    for (uint32_t i = 0; i < inc->carriers; i++) {
        stg__carrier *c = &inc->carrier[i];
        const stg__stream *s = carrier_stream(d, c);
        if (isnan(s->plain))
            continue;
        const double z = stg__clip(c->direction == UP ? s->plain : -s->plain, 0, 4);
        c->level = (float)fmax(1.0, (double)c->level + 0.2 * (z - (double)c->level));
    }
}

static bool settled(const stg_detector *d, const stg__incident *inc)
{
    const uint64_t age = d->windows - inc->opened_window;
    if (inc->class_id == STG_CLASS_DEPLOY)
        return age > SETTLE_DEPLOY;
    if (stg__benign(inc->class_id))
        return age > SETTLE_BENIGN;
    return d->row.start_ns - inc->opened_ns > SETTLE_NS && d->row.start_ns > inc->opened_ns;
}

/* Is it over? */
static void recover(stg_detector *d, stg__incident *inc)
{
    double now;
    double size;
    if (!carriers_now(d, inc, &now, &size)) {
        if (++inc->stale > STALE)
            close_incident(d, inc);
        return;
    }
    inc->stale = 0;
    inc->recovery = fmax(0, inc->recovery + size * size / 2 - size * now);
    if (now < size / 2) {
        inc->calm++;
    } else {
        inc->calm = 0;
        follow(d, inc);
    }
    if (settled(d, inc)) {
        rebase(d, inc);
        close_incident(d, inc);
    } else if (inc->calm >= CALM && inc->recovery >= OVER) {
        close_incident(d, inc);
    }
}

static void alarms(stg_detector *d)
{
    d->largest = 0;
    stg__mark_all(d);
    for (uint32_t kind = 0; kind < 2; kind++) {
        const uint32_t count = kind ? d->edges : d->nodes;
        for (uint32_t i = 0; i < count; i++) {
            const double evidence = stg__entity_evidence(d, kind != 0, i);
            d->largest = fmax(d->largest, evidence);
            if (evidence >= d->alarm)
                alarm(d, kind != 0, i, evidence);
        }
    }
}

/* Worth a line: another class, or ten times as severe. */
static void notify(stg_detector *d, stg__incident *inc)
{
    const bool due = d->windows - inc->noticed_window >= JOIN;
    if (inc->state == STG_INCIDENT_QUIET && due &&
        (inc->class_id != inc->noticed_class || inc->severity >= inc->noticed + 1))
        inc->state = STG_INCIDENT_UPDATE;
    if (inc->state != STG_INCIDENT_QUIET) {
        inc->noticed_window = d->windows;
        inc->noticed_class = inc->class_id;
        inc->noticed = inc->severity;
    }
}

static double severity_of(const stg_detector *d, const stg__incident *inc)
{
    double most = 0;
    double calls = 0;
    for (uint32_t i = 0; i < inc->members; i++) {
        const stg__member *m = &inc->member[i];
        const stg__stream *s = m->is_edge ? stg__edge_stream(d, m->index, E_RATE)
                                          : stg__node_stream(d, m->index, N_RATE);
        most = fmax(most, (double)m->evidence);
        if (s->observed > 0)
            calls = fmax(calls, (double)s->observed);
    }
    return most + log10(1 + calls / ((double)d->window_ns * 1e-9));
}

static bool rises(const stg__stream *s, double level)
{
    return stg__evidence_mean(s->m[UP]) > level || stg__evidence_mean(s->m[DOWN]) > level;
}

/* Levels near an incident do not learn, nor does a stream whose own evidence is on the rise. */
static void freeze(stg_detector *d)
{
    memset(d->node_flag, 0, d->nodes);
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        const stg__incident *inc = &d->incident[i];
        for (uint32_t k = 0; stg__open_now(inc) && k < inc->members; k++) {
            const stg__member *m = &inc->member[k];
            d->node_flag[m->is_edge ? d->edge[m->index].src : m->index] = 1;
            d->node_flag[m->is_edge ? d->edge[m->index].dst : m->index] = 1;
        }
    }
    const double rising = sqrt(d->alarm);
    for (uint32_t i = 0; i < d->nodes; i++)
        for (uint32_t k = 0; k < N_KINDS; k++) {
            stg__stream *s = stg__node_stream(d, i, k);
            s->frozen = d->node_flag[i] || (k != N_RATE && rises(s, rising));
        }
    for (uint32_t e = 0; e < d->edges; e++)
        for (uint32_t k = 0; k < E_KINDS; k++) {
            stg__stream *s = stg__edge_stream(d, e, k);
            s->frozen = d->node_flag[d->edge[e].src] || d->node_flag[d->edge[e].dst] ||
                        (k != E_RATE && rises(s, rising));
        }
}

/* Two young incidents with one source are one; what nobody has heard of yet goes without a word. */
static void merge(stg_detector *d, stg__incident *into, stg__incident *from)
{
    for (uint32_t i = 0; i < from->members; i++) {
        stg__member *m = stg__member_of(into, from->member[i].is_edge, from->member[i].index);
        if (!m && into->members < MAX_MEMBERS) {
            into->member[into->members++] = from->member[i];
        } else if (m) {
            m->says |= from->member[i].says;
            m->evidence = fmaxf(m->evidence, from->member[i].evidence);
        }
    }
    for (uint32_t i = 0; i < from->carriers; i++) {
        const stg__carrier *c = &from->carrier[i];
        add_carrier(into, c->is_edge, c->index, c->kind, c->direction, (double)c->level);
    }
    into->onset_ns = from->onset_ns < into->onset_ns ? from->onset_ns : into->onset_ns;
    if (from->state == STG_INCIDENT_OPEN) {
        from->id = 0;
        from->state = 0;
    } else {
        from->state = STG_INCIDENT_CLOSE;
        from->closed_window = d->windows;
        from->members = from->carriers = 0; /* nothing that could come back under its number */
    }
}

static bool same_source(const stg__incident *a, const stg__incident *b)
{
    if (a->mood != b->mood || stg__benign(a->class_id) != stg__benign(b->class_id))
        return false;
    if (a->mood == FAMILY_FLOW)
        return a->target_edge != UINT32_MAX && a->target_edge == b->target_edge;
    return a->target_node != UINT32_MAX && a->target_node == b->target_node;
}

static void merge_young(stg_detector *d)
{
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        stg__incident *a = &d->incident[i];
        for (uint32_t k = 0; stg__open_now(a) && k < MAX_INCIDENTS; k++) {
            stg__incident *b = &d->incident[k];
            if (k == i || !stg__open_now(b) || b->id < a->id || !same_source(a, b) ||
                b->opened_window - a->opened_window > YOUNG)
                continue;
            merge(d, a, b);
        }
    }
}

static void interpret(stg_detector *d, stg__incident *inc)
{
    inc->severity = severity_of(d, inc);
    if (inc->calm == 0 && inc->state != STG_INCIDENT_CLOSE) {
        stg__causes(d, inc);
        stg__features(d, inc);
        stg__classify(d, inc);
    }
}

void stg__incidents_step(stg_detector *d)
{
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++) {
        stg__incident *inc = &d->incident[i];
        if (inc->id && inc->closed_window && d->windows - inc->closed_window > REOPEN)
            inc->id = 0;
        inc->state = stg__open_now(inc) ? STG_INCIDENT_QUIET : 0;
        if (stg__open_now(inc))
            recover(d, inc);
    }
    alarms(d);
    for (int fresh = 1; fresh >= 0; fresh--) /* the latest take their sources first */
        for (uint32_t i = 0; i < MAX_INCIDENTS; i++)
            if (d->incident[i].state && (d->incident[i].state == STG_INCIDENT_OPEN) == fresh)
                interpret(d, &d->incident[i]);
    merge_young(d);
    for (uint32_t i = 0; i < MAX_INCIDENTS; i++)
        if (d->incident[i].state)
            notify(d, &d->incident[i]);
    freeze(d);
}
