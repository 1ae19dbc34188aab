/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Classes: an additive evidence model. Features are distances from the target's own levels, like a
 * z; a class's score is a weighted sum, its probability the softmax. What a feature contributes is
 * weight times value, exactly, and becomes the evidence in the report.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define TEMPERATURE 1.5
#define FORGET 0.9f

enum {
    F_RATE, F_SHARE, F_FACTOR, F_SPREAD, F_NEW, F_HEAVY, F_LOGIN_FAILS, F_LOGINS, F_PER_USER,
    F_REGISTERS, F_INJECTIONS, F_CLIENT_ERRORS, F_ERRORS, F_LATENCY, F_HOLD, F_RETRIES, F_TOTAL,
    F_COSTLY, F_CHAIN, F_QUIET, F_SIZE
};
_Static_assert(F_SIZE + 1 == FEATURES, "features");

/* The stream that shows a feature to people: kind of an edge, or of a node + 64. */
static const uint8_t shown[FEATURES] = {
    E_RATE, E_SHARE, E_SHARE, E_RATE, E_NEW_GROUP, E_TOP_CLIENT, E_LOGIN_FAILURES, E_LOGINS,
    E_PER_USER, E_REGISTERS, E_INJECTIONS, E_CLIENT_ERRORS, E_ERRORS, E_LATENCY, 64 + N_WAITING,
    E_RETRIES, 64 + N_RATE, E_LATENCY, E_LATENCY, E_SHARE,
    E_BYTES_IN,
};

typedef struct class_row {
    uint32_t id;
    const char *name;
    const char *technique;
    float bias;
    float w[FEATURES];
} class_row;

/* clang-format off */
static const class_row rows[] = {
    {STG_CLASS_DDOS_VOLUMETRIC, "ddos_volumetric", "T1498.001 CAPEC-125", 0,
     {[F_SIZE] = .3f, [F_RATE] = .5f, [F_SHARE] = .6f, [F_FACTOR] = .6f, [F_TOTAL] = .4f,
      [F_NEW] = .3f, [F_COSTLY] = -.5f, [F_HEAVY] = -.1f, [F_LOGINS] = -1, [F_REGISTERS] = -1,
      [F_INJECTIONS] = -.8f, [F_SPREAD] = -.8f}},
    {STG_CLASS_HTTP_FLOOD, "http_flood", "T1499.002 T1499.003 OAT-015 CAPEC-488", .5f,
     {[F_SIZE] = .3f, [F_RATE] = .4f, [F_SHARE] = .8f, [F_FACTOR] = .2f, [F_NEW] = .2f,
      [F_HEAVY] = .3f, [F_COSTLY] = .4f, [F_LOGINS] = -1, [F_REGISTERS] = -1,
      [F_INJECTIONS] = -.8f, [F_SPREAD] = -.8f}},
    {STG_CLASS_SLOW_DOS, "slow_dos", "T1499.002 CAPEC-469", 0,
     {[F_SIZE] = -.2f, [F_HOLD] = 1.4f, [F_SHARE] = -.1f, [F_RATE] = -.1f, [F_LATENCY] = -.2f,
      [F_ERRORS] = -.1f, [F_SPREAD] = -.6f, [F_RETRIES] = -.2f}},
    {STG_CLASS_BRUTE_FORCE, "brute_force", "T1110.001 OAT-007", 0,
     {[F_SIZE] = .2f, [F_LOGIN_FAILS] = .8f, [F_LOGINS] = .6f, [F_PER_USER] = 1.2f,
      [F_HEAVY] = .1f, [F_SPREAD] = -.8f}},
    {STG_CLASS_CRED_STUFFING, "cred_stuffing", "T1110.004 OAT-008 CAPEC-600", 2,
     {[F_SIZE] = .2f, [F_LOGIN_FAILS] = .8f, [F_LOGINS] = .6f, [F_PER_USER] = -.8f,
      [F_NEW] = .2f, [F_SPREAD] = -.8f}},
    {STG_CLASS_BOT_REGISTRATION, "bot_registration", "OAT-019", 0,
     {[F_SIZE] = .3f, [F_REGISTERS] = 1.5f, [F_NEW] = .2f, [F_SPREAD] = -.8f}},
    {STG_CLASS_INJECTION, "injection", "T1190 CAPEC-63 CAPEC-66", 0,
     {[F_INJECTIONS] = 1.6f, [F_CLIENT_ERRORS] = .2f, [F_SPREAD] = -.3f}},
    {STG_CLASS_FLASH_CROWD, "flash_crowd", "", 0,
     {[F_SIZE] = -.5f, [F_SPREAD] = 1.2f, [F_TOTAL] = .8f, [F_QUIET] = .6f, [F_NEW] = .1f,
      [F_FACTOR] = -.4f, [F_INJECTIONS] = -1, [F_LOGIN_FAILS] = -.4f, [F_HOLD] = -.1f}},
    {STG_CLASS_DEPLOY, "deploy", "", 0,
     {[F_SIZE] = -.4f, [F_LATENCY] = .5f, [F_ERRORS] = .5f, [F_RETRIES] = .1f,
      [F_CHAIN] = -.6f, [F_SHARE] = -.4f, [F_NEW] = -.4f, [F_HOLD] = -.2f, [F_SPREAD] = -.4f}},
    {STG_CLASS_CASCADE, "cascade", "", 0,
     {[F_SIZE] = -.4f, [F_LATENCY] = .8f, [F_ERRORS] = .2f, [F_CHAIN] = .6f, [F_SHARE] = -.5f,
      [F_RATE] = -.3f, [F_NEW] = -.4f, [F_HOLD] = -.1f, [F_SPREAD] = -.3f}},
    {STG_CLASS_RETRY_STORM, "retry_storm", "", -.5f,
     {[F_SIZE] = -.3f, [F_RETRIES] = 1.2f, [F_ERRORS] = .4f, [F_SHARE] = -.3f, [F_NEW] = -.4f,
      [F_SPREAD] = -.3f}},
};
/* clang-format on */
#define ROWS (sizeof rows / sizeof *rows)
_Static_assert(ROWS < CLASSES, "classes");

static const class_row *row_of(uint32_t class_id)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].id == class_id)
            return &rows[i];
    return NULL;
}

const char *stg__class_name(uint32_t class_id)
{
    const class_row *r = row_of(class_id);
    return r ? r->name : "unknown";
}

bool stg__class_known(uint32_t class_id)
{
    return class_id == STG_CLASS_UNKNOWN || row_of(class_id);
}

const char *stg__class_technique(uint32_t class_id)
{
    const class_row *r = row_of(class_id);
    return r ? r->technique : "";
}

static double z_of(const stg__stream *s)
{
    return s->active ? stg__clip((double)s->smooth, -4, 8) : 0;
}

/* Distance now, or what has come together over time: n windows off by z make evidence of about
 * exp(n z^2 / 2), which is the square of a distance again. */
static double long_z(const stg_detector *d, uint32_t e, uint32_t kind)
{
    if (e == UINT32_MAX || !stg__edge_stream(d, e, kind)->active)
        return 0;
    const stg__stream *s = stg__edge_stream(d, e, kind);
    const double m = stg__evidence_mean(s->m[UP]);
    return stg__clip(fmax((double)s->smooth, m > 1 ? 0.8 * sqrt(2 * log(m)) : 0), -4, 8);
}

static double edge_z(const stg_detector *d, uint32_t e, uint32_t kind)
{
    return e == UINT32_MAX ? 0 : z_of(stg__edge_stream(d, e, kind));
}

static double node_z(const stg_detector *d, uint32_t i, uint32_t kind)
{
    return i == UINT32_MAX ? 0 : z_of(stg__node_stream(d, i, kind));
}

/* Is most of the edge's traffic of this kind (logins, registrations)? */
static bool mostly(const stg_detector *d, uint32_t e, uint32_t kind)
{
    if (e == UINT32_MAX)
        return false;
    const stg__stream *s = stg__edge_stream(d, e, kind);
    return s->b > 0 && s->a > 0.5 * s->b;
}

static double latency_level(const stg_detector *d, uint32_t e)
{
    return stg__edge_stream(d, e, E_LATENCY)->a;
}

/* How much longer than usual entrances the target's route takes in normal times. */
static double costliness(const stg_detector *d, uint32_t target)
{
    double sum = 0;
    double n = 0;
    for (uint32_t e = 0; e < d->edges; e++)
        if (stg__ingress(d, e) && stg__edge_stream(d, e, E_LATENCY)->active) {
            sum += latency_level(d, e);
            n++;
        }
    if (n < 2 || target == UINT32_MAX || !stg__edge_stream(d, target, E_LATENCY)->active)
        return 0;
    return stg__clip(3 * (latency_level(d, target) - sum / n), -4, 4);
}

static void entrances(const stg_detector *d, float f[FEATURES])
{
    double risen = 0;
    double n = 0;
    double mix = 0;
    for (uint32_t e = 0; e < d->edges; e++) {
        if (!stg__ingress(d, e) || !stg__edge_stream(d, e, E_RATE)->active)
            continue;
        n++;
        risen += edge_z(d, e, E_RATE) > 1.2;
        mix = fmax(mix, edge_z(d, e, E_SHARE));
    }
    if (n > 2)
        f[F_SPREAD] = (float)stg__clip(12 * (risen / n - 0.3), -2, 8);
    if (f[F_SPREAD] > 0)
        f[F_QUIET] = (float)stg__clip(4 - mix, -4, 4);
}

static void most(float *f, double z)
{
    *f = fmaxf(*f, (float)z);
}

/* Failures and held connections at the incident's own nodes: elsewhere there is always something. */
static void surroundings(stg_detector *d, const stg__incident *inc, float f[FEATURES])
{
    double chain = 0;
    memset(d->node_flag, 0, d->nodes);
    for (uint32_t i = 0; i < inc->members; i++) {
        const stg__member *m = &inc->member[i];
        if (m->is_edge)
            d->node_flag[d->edge[m->index].dst] = 1;
        else
            d->node_flag[m->index] = 1;
    }
    if (inc->target_node != UINT32_MAX)
        d->node_flag[inc->target_node] = 1;
    for (uint32_t e = 0; e < d->edges; e++) {
        if (!d->node_flag[d->edge[e].dst])
            continue;
        most(&f[F_RETRIES], edge_z(d, e, E_RETRIES));
        most(&f[F_ERRORS], edge_z(d, e, E_ERRORS));
        most(&f[F_LATENCY], edge_z(d, e, E_LATENCY));
        chain += edge_z(d, e, E_LATENCY) > 2;
    }
    f[F_CHAIN] = (float)stg__clip(chain - 2, -2, 4);
    for (uint32_t i = 1; i < d->nodes; i++) {
        if (!d->node_flag[i])
            continue;
        most(&f[F_LATENCY], node_z(d, i, N_EXCLUSIVE));
        if (i != inc->target_node && inc->mood != FAMILY_HOLD)
            continue;
        most(&f[F_HOLD], fmax(node_z(d, i, N_WAITING), node_z(d, i, N_HEADER_AGE)));
        most(&f[F_HOLD], fmax(node_z(d, i, N_CONN_AGE), 0.7 * node_z(d, i, N_BUSY)));
    }
}

/* Size of requests, up or down. */
static double size_of(const stg_detector *d, uint32_t e)
{
    if (e == UINT32_MAX || !stg__edge_stream(d, e, E_BYTES_IN)->active)
        return 0;
    return stg__clip((double)stg__edge_stream(d, e, E_BYTES_IN)->smooth, -8, 8);
}

/* Does it point at one entrance? A crowd moves the mix too, but of several pages at once. */
static bool pointed(const stg_detector *d, const stg__incident *inc)
{
    uint32_t route = UINT32_MAX;
    bool one = false;
    for (uint32_t i = 0; i < inc->carriers; i++) {
        const stg__carrier *c = &inc->carrier[i];
        const uint32_t says = stg__kind_of(c->is_edge, c->kind)->says;
        if (!c->is_edge || !stg__ingress(d, c->index) || says == SAYS_VOLUME || says == SAYS_FAILURE)
            continue;
        if (says == SAYS_ABUSE)
            return true;
        if (route != UINT32_MAX && route != d->edge[c->index].route)
            return false;
        route = d->edge[c->index].route;
        one = true;
    }
    return one;
}

void stg__features(stg_detector *d, stg__incident *inc)
{
    float f[FEATURES] = {0};
    const uint32_t e = inc->target_edge;
    f[F_RATE] = (float)long_z(d, e, E_RATE);
    f[F_SHARE] = (float)long_z(d, e, E_SHARE);
    f[F_NEW] = (float)long_z(d, e, E_NEW_GROUP);
    f[F_HEAVY] = (float)fmax(long_z(d, e, E_TOP_CLIENT), long_z(d, e, E_PER_CLIENT));
    f[F_LOGIN_FAILS] = (float)long_z(d, e, E_LOGIN_FAILURES);
    f[F_PER_USER] = (float)long_z(d, e, E_PER_USER);
    f[F_INJECTIONS] = (float)long_z(d, e, E_INJECTIONS);
    f[F_CLIENT_ERRORS] = (float)long_z(d, e, E_CLIENT_ERRORS);
    f[F_TOTAL] = (float)node_z(d, 0, N_RATE);
    f[F_COSTLY] = (float)costliness(d, e);
    f[F_SIZE] = (float)fabs((double)size_of(d, e));
    double moved = fmax(fmax((double)f[F_SHARE], (double)f[F_RATE]), (double)f[F_NEW]);
    moved = fmax(moved, fmax(long_z(d, e, E_TOGETHER), (double)f[F_SIZE]));
    f[F_LOGINS] = mostly(d, e, E_LOGINS) ? (float)moved : fmaxf(0, (float)long_z(d, e, E_LOGINS));
    f[F_REGISTERS] =
        mostly(d, e, E_REGISTERS) ? (float)moved : fmaxf(0, (float)long_z(d, e, E_REGISTERS));
    if (e != UINT32_MAX) {
        const stg__stream *s = stg__edge_stream(d, e, E_SHARE);
        if (s->expected > 0 && s->observed > 0)
            f[F_FACTOR] = (float)stg__clip(2 * log2((double)s->observed / (double)s->expected), -4, 8);
    }
    entrances(d, f);
    surroundings(d, inc, f);
    if (pointed(d, inc)) { /* inside a crowd: what the crowd does is not its own doing */
        f[F_SPREAD] = fminf(f[F_SPREAD], 0);
        f[F_TOTAL] = fminf(f[F_TOTAL], 1);
        f[F_QUIET] = fminf(f[F_QUIET], 0);
    }
    for (int i = 0; i < FEATURES; i++)
        inc->feature[i] = fmaxf(f[i], inc->state == STG_INCIDENT_OPEN && inc->opened_window == d->windows
                                          ? f[i] : FORGET * inc->feature[i] + (1 - FORGET) * f[i]);
}

/* What an incident is about rules out most classes: a pile of connections is no flood. */
static double fits(uint32_t class_id, uint32_t mood)
{
    switch (class_id) {
    case STG_CLASS_SLOW_DOS:
        return mood == FAMILY_HOLD ? 1 : mood == FAMILY_FLOW ? -1.5 : -3;
    case STG_CLASS_DEPLOY:
    case STG_CLASS_CASCADE:
        return mood == FAMILY_FAILURE ? 1 : -2;
    case STG_CLASS_RETRY_STORM:
        return mood == FAMILY_FAILURE ? 1 : 0;
    default:
        return mood == FAMILY_FLOW ? 1 : -4;
    }
}

static void softmax(const float f[FEATURES], uint32_t mood, double p[ROWS])
{
    double top = -1e9;
    double sum = 0;
    for (size_t i = 0; i < ROWS; i++) {
        p[i] = (double)rows[i].bias + fits(rows[i].id, mood);
        for (int k = 0; k < FEATURES; k++)
            p[i] += (double)(rows[i].w[k] * f[k]);
        top = fmax(top, p[i]);
    }
    for (size_t i = 0; i < ROWS; i++) {
        p[i] = exp((p[i] - top) / TEMPERATURE);
        sum += p[i];
    }
    for (size_t i = 0; i < ROWS; i++)
        p[i] /= sum;
}

static const stg__stream *shown_stream(const stg_detector *d, const stg__incident *inc, int feature,
                                       stg__evidence *ev)
{
    const bool of_node = shown[feature] >= 64;
    ev->is_edge = !of_node;
    ev->kind = of_node ? shown[feature] - 64 : shown[feature];
    if (!of_node) {
        ev->index = inc->target_edge;
        return ev->index == UINT32_MAX ? NULL : stg__edge_stream(d, ev->index, ev->kind);
    }
    ev->index = feature == F_TOTAL ? 0 : inc->target_node;
    if (ev->index == UINT32_MAX)
        return NULL;
    if (feature == F_HOLD) { /* whichever of the gauges stands out most */
        static const uint8_t holds[] = {N_WAITING, N_HEADER_AGE, N_CONN_AGE, N_BUSY, N_OPEN};
        for (size_t i = 0; i < sizeof holds; i++)
            if (node_z(d, ev->index, holds[i]) > node_z(d, ev->index, ev->kind))
                ev->kind = holds[i];
    }
    return stg__node_stream(d, ev->index, ev->kind);
}

/* Evidence for the class, the strongest first; without a class the streams that alarmed. */
static void explain(const stg_detector *d, stg__incident *inc, const class_row *r)
{
    inc->evidences = 0;
    for (int k = 0; r && k < FEATURES; k++) {
        stg__evidence ev;
        const stg__stream *s = shown_stream(d, inc, k, &ev);
        ev.value = r->w[k] * inc->feature[k];
        if (!s || !(fabsf(ev.value) > 0.3f))
            continue;
        ev.observed = s->observed;
        ev.expected = s->expected;
        uint32_t at = inc->evidences < MAX_EVIDENCE ? inc->evidences++ : MAX_EVIDENCE - 1;
        for (; at > 0 && inc->evidence[at - 1].value < ev.value; at--)
            inc->evidence[at] = inc->evidence[at - 1];
        inc->evidence[at] = ev;
    }
    for (uint32_t i = 0; i < inc->carriers && inc->evidences < MAX_EVIDENCE / 2; i++) {
        const stg__carrier *c = &inc->carrier[i];
        const stg__stream *s = c->is_edge ? stg__edge_stream(d, c->index, c->kind)
                                          : stg__node_stream(d, c->index, c->kind);
        inc->evidence[inc->evidences++] = (stg__evidence){c->index, c->is_edge, c->kind, s->observed,
                                                          s->expected, 0};
    }
}

void stg__classify(stg_detector *d, stg__incident *inc)
{
    double p[ROWS];
    size_t best = 0;
    softmax(inc->feature, inc->mood, p);
    for (size_t i = 1; i < ROWS; i++)
        if (p[i] > p[best])
            best = i;
    /* a class once found is given up for another one, not for doubt */
    if (p[best] >= 0.5 || inc->class_id == STG_CLASS_UNKNOWN) {
        inc->class_id = p[best] < 0.5 ? STG_CLASS_UNKNOWN : rows[best].id;
        inc->confidence = p[best];
    } else {
        for (size_t i = 0; i < ROWS; i++)
            if (rows[i].id == inc->class_id)
                inc->confidence = p[i];
    }
    explain(d, inc, row_of(inc->class_id));
}
