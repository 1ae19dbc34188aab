/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The running window through all streams: residual, score, and evidence over time by a mixture of
 * Shiryaev-Roberts e-detectors (Shin, Ramdas, Rinaldo 2022), one for each direction. Evidence of an
 * entity is the weighted sum over its streams, compared with A = budget x windows per tolerated
 * false alarm; a weighted sum of e-detectors is one, so the bound on false alarms holds for it.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define SCORE_CAP 4.0
#define EVIDENCE_CAP 1e12f
#define WARM 60           /* windows before a stream is judged */
#define SMOOTH 0.4        /* of features */
#define FROZEN_RATE 0.03
#define LARGEST 1e29      /* shown */
#define FIND 8u           /* windows in which an own level of calls is found */
#define POOL_LIFE 2000u   /* windows that a pool looks back, about */

void stg__evidence_step(float m[4], double score)
{
    /* shifts .5 1 2 3: the exponents are multiples of half the score, one exp serves all */
    const double z = stg__clip(score, -8, SCORE_CAP);
    const double half = exp(0.5 * z);
    const double one = half * half;
    const double two = one * one;
    const double factor[4] = {half * 0.88249690258459546, one * 0.60653065971263342,
                              two * 0.13533528323661270, two * one * 0.011108996538242306};
    for (int i = 0; i < 4; i++)
        m[i] = fminf((float)((m[i] + 1) * factor[i]), EVIDENCE_CAP);
}

double stg__evidence_mean(const float m[4])
{
    return 0.25 * ((double)m[0] + (double)m[1] + (double)m[2] + (double)m[3]);
}

static void step_direction(stg__stream *s, int side)
{
    stg__evidence_step(s->m[side], s->score[side] / s->kappa[side]);
    s->rise[side] = stg__evidence_mean(s->m[side]) > 2 ? s->rise[side] + 1 : 0;
}

static void no_reading(stg__stream *s)
{
    stg__forget_last(s); /* missing is not zero: evidence stays as it is */
    s->fresh = 0;
    s->score[UP] = s->score[DOWN] = 0;
    s->observed = s->expected = s->plain = NAN;
    s->smooth *= (float)(1 - SMOOTH);
}

/* From a residual to scores and evidence. */
static void weigh(stg_detector *d, const stg__kind *k, stg__stream *s, double z)
{
    s->fresh = 1;
    s->white = (float)stg__whiten(s, z);
    s->w = (float)stg__standardise(s, (double)s->white);
    s->plain = (float)stg__standardise(s, z * sqrt(1 - stg__memory(s) * stg__memory(s)));
    s->smooth += (float)SMOOTH * (s->plain - s->smooth);
    if (!s->active)
        return;
    stg__calib_score(&d->calib[k - stg__kinds], s->w,
                     stg__uniform_at(d->opts.seed, s->hash ^ 0xA5A5u, d->row.start_ns), s->score);
    for (int side = UP; side <= DOWN; side++)
        if (k->directions & (1 << side))
            step_direction(s, side);
}

/* After a start or a long gap the own level of calls is of another time: it is found anew, and until
 * then there is nothing to judge by without a forecast. */
static bool finds_level(const stg_detector *d, const stg__kind *k, stg__stream *s,
                        const stg__reading *in)
{
    if (k->law != LAW_RATE || in->forecast >= 0 || d->unbroken >= FIND)
        return false;
    s->a += (in->x - s->a) / (double)(d->unbroken + 1);
    return true;
}

static void judge_stream(stg_detector *d, bool is_edge, uint32_t index, uint32_t kind)
{
    const stg__kind *k = stg__kind_of(is_edge, kind);
    stg__stream *s = is_edge ? stg__edge_stream(d, index, kind) : stg__node_stream(d, index, kind);
    const stg__reading in = stg__read(d, &d->row, is_edge, index, kind, s);
    if (!in.ok || finds_level(d, k, s, &in)) {
        no_reading(s);
        return;
    }
    const double v = stg__uniform_at(d->opts.seed, s->hash, d->row.start_ns);
    const stg__residual r = stg__residual_of(k, s, &in, v);
    s->observed = (float)in.shown;
    s->expected = (float)stg__clip(r.expected, -LARGEST, LARGEST); /* a level may be any number */
    weigh(d, k, s, r.z);
}

/* What the streams of an edge say together. */
static void judge_joint(stg_detector *d, uint32_t edge)
{
    stg__stream *s = stg__edge_stream(d, edge, 0);
    double sum = 0;
    double square = 0;
    for (uint32_t k = 0; k < E_TOGETHER; k++) {
        double weight;
        if (!s[k].active || !s[k].fresh)
            continue;
        sum += stg__joint_part(k, s[k].score, &weight);
        square += weight * weight;
    }
    if (s[E_SHARE].fresh && s[E_SHARE].active)
        weigh(d, &stg__kinds[N_KINDS + E_TOGETHER], &s[E_TOGETHER], sum / sqrt(square));
    else
        no_reading(&s[E_TOGETHER]);
}

static void entity_judge(stg_detector *d, bool is_edge, uint32_t index)
{
    const uint32_t kinds = is_edge ? E_KINDS : N_KINDS;
    for (uint32_t k = 0; k < kinds; k++)
        if (stg__kind_of(is_edge, k)->law != LAW_JOINT)
            judge_stream(d, is_edge, index, k);
    if (is_edge)
        judge_joint(d, index);
}

void stg__judge(stg_detector *d)
{
    for (uint32_t i = 0; i < d->nodes; i++)
        entity_judge(d, false, i);
    for (uint32_t e = 0; e < d->edges; e++)
        entity_judge(d, true, e);
    d->windows++;
    d->unbroken++;
}

static void count_streams(stg_detector *d, bool is_edge, uint32_t index)
{
    uint32_t kinds;
    const stg__stream *s = stg__streams_of(d, is_edge, index, &kinds);
    for (uint32_t k = 0; k < kinds; k++) {
        const stg__kind *kind = stg__kind_of(is_edge, k);
        const int n = (kind->directions & DIR_UP ? 1 : 0) + (kind->directions & DIR_DOWN ? 1 : 0);
        if (!s[k].active)
            continue;
        d->streams += (uint32_t)n;
        d->budget += n * (double)kind->weight;
    }
}

void stg__budget(stg_detector *d)
{
    const double day = 86400e9;
    d->streams = 0;
    d->budget = 0;
    for (uint32_t i = 0; i < d->nodes; i++)
        count_streams(d, false, i);
    for (uint32_t e = 0; e < d->edges; e++)
        count_streams(d, true, e);
    const double windows = day / (double)d->window_ns / d->opts.false_alarms_per_day;
    d->alarm = fmax(d->budget * windows, 100);
}

/* One window alone: only for counts, and where the tail rests on enough excesses. */
bool stg__burst(const stg_detector *d, bool is_edge, uint32_t kind, const stg__stream *s, int side)
{
    const stg__calib *c = &d->calib[is_edge ? N_KINDS + kind : kind];
    return s->fresh && s->score[side] > SCORE_CAP && c->excesses[side] >= CALIB_TAIL &&
           stg__kind_of(is_edge, kind)->law != LAW_LEVEL && s->kappa[side] <= 1.01f &&
           stg__normal_cdf(-(double)s->score[side]) * d->alarm < 1;
}

double stg__entity_evidence(const stg_detector *d, bool is_edge, uint32_t index)
{
    uint32_t kinds;
    double sum = 0;
    const stg__stream *s = stg__streams_of(d, is_edge, index, &kinds);
    for (uint32_t k = 0; k < kinds; k++) {
        const stg__kind *kind = stg__kind_of(is_edge, k);
        for (int side = UP; s[k].active && side <= DOWN; side++) {
            if (!(kind->directions & (1 << side)))
                continue;
            sum += stg__evidence_mean(s[k].m[side]) * (double)kind->weight;
            if (stg__burst(d, is_edge, k, &s[k], side))
                sum = fmax(sum, d->alarm);
        }
    }
    return sum;
}

void stg__forget(stg_detector *d, bool is_edge, uint32_t index)
{
    uint32_t kinds;
    stg__stream *s = stg__streams_of(d, is_edge, index, &kinds);
    for (uint32_t k = 0; k < kinds; k++) {
        memset(s[k].m, 0, sizeof s[k].m);
        s[k].rise[UP] = s[k].rise[DOWN] = 0;
    }
}

/* A pool takes from each of its streams so seldom that it holds about POOL_LIFE windows. */
static bool feeds(const stg_detector *d, const stg__calib *c, const stg__stream *s)
{
    const uint64_t every = 1 + (uint64_t)c->streams * POOL_LIFE / (uint64_t)CALIB_MAX;
    return (d->windows + s->hash) % every == 0;
}

static void learn_level(const stg__kind *k, stg__stream *s, const stg__reading *in)
{
    if (s->frozen) {
        if (k->law == LAW_RATE) /* the day goes on: the own level follows, slower */
            s->a += FROZEN_RATE * (in->x - s->a);
        return;
    }
    const stg__residual r = stg__moments(k, s, in);
    stg__level_learn(k, s, in, &r);
}

static void learn_stream(stg_detector *d, bool is_edge, uint32_t index, uint32_t kind)
{
    const stg__kind *k = stg__kind_of(is_edge, kind);
    stg__calib *c = &d->calib[k - stg__kinds];
    stg__stream *s = is_edge ? stg__edge_stream(d, index, kind) : stg__node_stream(d, index, kind);
    if (!s->fresh)
        return;
    if (k->law != LAW_JOINT) {
        const stg__reading in = stg__read(d, &d->row, is_edge, index, kind, s);
        learn_level(k, s, &in);
    }
    if (s->frozen)
        return;
    s->seen++;
    if (s->active || s->seen >= WARM)
        stg__knots_learn(s);
    if (s->active ? feeds(d, c, s) : s->seen > WARM / 2)
        stg__calib_add(c, (double)s->w);
    if (!s->active && s->seen >= WARM && c->ready && stg__meaningful(is_edge, kind, s)) {
        s->active = 1;
        c->streams++;
    }
}

void stg__learn_online(stg_detector *d)
{
    for (uint32_t i = 0; i < d->nodes; i++)
        for (uint32_t k = 0; k < N_KINDS; k++)
            learn_stream(d, false, i, k);
    for (uint32_t e = 0; e < d->edges; e++)
        for (uint32_t k = 0; k < E_KINDS; k++)
            learn_stream(d, true, e, k);
    /* tables over the pools: one is brought up to date in each window */
    stg__calib_refresh(&d->calib[d->windows % KINDS]);
}
