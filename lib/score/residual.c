/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: what each kind reads from a row, the law it is judged by, and how its slow level learns.
 * A reading becomes a residual z, standard normal if the law holds: counts by randomised quantiles,
 * levels on the log scale. Whitening and standardising follow; both are fitted.
 */
#include <math.h>

#include "score_priv.h"

#define HALF_LIFE 400.0 /* windows: shares and levels move slowly, an attack of minutes hardly moves them */
#define HORIZON (HALF_LIFE / 0.69314718056) /* windows behind a level in the long run */
#define OWN_RATE 0.15                       /* of a stream's own level of calls */
#define SMALL 0.02

/* clang-format off */
const stg__kind stg__kinds[KINDS] = {
    /* name, law, directions, says, x, n, regress, weight, min_n, floor, spread, unit */
    {"calls", LAW_RATE, DIR_BOTH, SAYS_VOLUME, NC_CALLS, NC_FORECAST, 0, .5f, 0, 0, 0, 0},
    {"errors", LAW_RATIO, DIR_UP, SAYS_FAILURE, NC_ERRORS, NC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"exclusive_us", LAW_LEVEL, DIR_UP, SAYS_FAILURE, NC_EXCLUSIVE, NC_CALLS, 0, .3f, 2, .15f, .5f, 0},
    {"open", LAW_LEVEL, DIR_UP, SAYS_HOLD, NC_OPEN, NC_CALLS, 1, 1, 0, .1f, .12f, 1},
    {"waiting_headers", LAW_LEVEL, DIR_UP, SAYS_HOLD, NC_WAITING, NC_CALLS, 1, 1, 0, .1f, .12f, 1},
    {"in_flight", LAW_LEVEL, DIR_UP, SAYS_HOLD, NC_IN_FLIGHT, NC_CALLS, 1, 1, 0, .1f, .12f, 1},
    {"oldest_conn_ms", LAW_LEVEL, DIR_UP, SAYS_HOLD, NC_CONN_AGE, NC_CALLS, 1, 1, 0, .2f, 0, 200},
    {"oldest_header_ms", LAW_LEVEL, DIR_UP, SAYS_HOLD, NC_HEADER_AGE, NC_CALLS, 1, 1, 0, .2f, 0, 200},
    {"calls", LAW_RATE, DIR_UP, SAYS_VOLUME, EC_CALLS, EC_FORECAST, 0, .5f, 0, 0, 0, 0},
    {"share", LAW_SHARE, DIR_UP, SAYS_MIX, EC_CALLS, NC_CALLS, 0, 2, 1, 0, 0, 0},
    {"errors", LAW_RATIO, DIR_UP, SAYS_FAILURE, EC_ERRORS, EC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"client_errors", LAW_RATIO, DIR_UP, SAYS_ABUSE, EC_CLIENT_ERRORS, EC_CALLS, 0, 1, 1, 0, 0, 0},
    {"login_failures", LAW_RATIO, DIR_UP, SAYS_ABUSE, EC_LOGIN_FAILURES, EC_LOGINS, 0, 1.5f, 1, 0, 0, 0},
    {"logins", LAW_RATIO, DIR_UP, SAYS_MIX, EC_LOGINS, EC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"registers", LAW_RATIO, DIR_UP, SAYS_MIX, EC_REGISTERS, EC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"assets", LAW_RATIO, DIR_DOWN, SAYS_CLIENTS, EC_ASSETS, EC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"retries", LAW_RATIO, DIR_UP, SAYS_FAILURE, EC_RETRIES, EC_CALLS, 0, .3f, 1, 0, 0, 0},
    {"injections", LAW_RATIO, DIR_UP, SAYS_ABUSE, EC_INJECTIONS, EC_CALLS, 0, 2, 1, 0, 0, 0},
    {"new_group_calls", LAW_RATIO, DIR_UP, SAYS_CLIENTS, EC_NEW_GROUP, EC_CALLS, 0, 1.5f, 1, 0, 0, 0},
    {"top_client_calls", LAW_LEVEL, DIR_UP, SAYS_CLIENTS, EC_TOP_CLIENT, EC_CALLS, 1, 1, 3, .15f, 0, 0},
    {"calls_per_client", LAW_LEVEL, DIR_UP, SAYS_CLIENTS, EC_CALLS, EC_CLIENTS, 1, 1, 3, .1f, 0, 0},
    {"logins_per_user", LAW_LEVEL, DIR_UP, SAYS_ABUSE, EC_LOGINS, EC_USERS, 1, .5f, 3, .1f, 0, 0},
    {"bytes_in", LAW_LEVEL, DIR_BOTH, SAYS_CLIENTS, EC_BYTES_IN, EC_CALLS, 0, 1, 1, .03f, .1f, 1},
    {"bytes_out", LAW_LEVEL, DIR_BOTH, SAYS_CLIENTS, EC_BYTES_OUT, EC_CALLS, 0, .3f, 1, .05f, .2f, 1},
    {"p50_us", LAW_LEVEL, DIR_UP, SAYS_FAILURE, EC_P50, EC_CALLS, 0, .3f, 1, .15f, .5f, 0},
    {"together", LAW_JOINT, DIR_UP, SAYS_CLIENTS, EC_CALLS, EC_CALLS, 0, 2, 1, 0, 0, 0},
};
/* clang-format on */

static double node_at(const stg__row *r, uint32_t column, uint32_t i)
{
    return i < r->nodes ? (double)r->node[(size_t)column * r->nodes + i] : NAN;
}

static double edge_at(const stg__row *r, uint32_t column, uint32_t i)
{
    return i < r->edges ? (double)r->edge[(size_t)column * r->edges + i] : NAN;
}

/* Quotients: calls for each client, logins for each user. Here n is the number of different ones. */
static void read_quotient(const stg__kind *k, stg__reading *in, double calls, double n, double v)
{
    in->shown = calls / fmax(n, 1);
    in->x = log(fmax(in->shown, 1)) + k->floor * (v - 0.5);
    in->regress = log1p(calls);
    in->n = calls;
    in->ok = in->ok && calls >= k->min_n && n > 0;
}

/* Level of a value on the log scale; v spreads ties. */
static void read_level(const stg__kind *k, stg__reading *in, double value, double n, double v)
{
    const ptrdiff_t kind = k - stg__kinds - N_KINDS; /* of an edge */
    if (kind == E_PER_CLIENT || kind == E_PER_USER) {
        read_quotient(k, in, value, n, v);
        return;
    }
    in->n = n;
    in->regress = log1p(n);
    in->ok = in->ok && n >= k->min_n;
    if (kind == E_TOP_CLIENT) {
        in->x = log(value + v);
        in->ok = in->ok && value >= 1; /* none: the observer does not know its clients */
    } else if (kind == E_BYTES_IN || kind == E_BYTES_OUT) {
        in->shown = value / n;
        in->x = log1p(in->shown) + k->floor * (v - 0.5);
    } else if (k->unit > 0) {
        in->x = log1p((value + v * (k->unit > 1 ? 0.1 * k->unit : 1)) / k->unit);
    } else {
        in->x = log(fmax(value, 1)) + k->floor * (v - 0.5);
    }
}

/* One or two old connections are idle spares; ages count by how many more there are. */
static double held(const stg__row *r, uint32_t index, uint32_t kind)
{
    const double waiting = node_at(r, NC_WAITING, index);
    const double busy = fmax(node_at(r, NC_ACTIVE, index), node_at(r, NC_IN_FLIGHT, index));
    const double n = (isnan(waiting) ? 0 : waiting) + (kind == N_CONN_AGE && busy > 0 ? busy : 0);
    return fmax(n - 2, 0);
}

/*
 * Part of calls from new networks on the caller's other edges in the same window. New networks come
 * to all doors alike: with a crowd, after a restart, wherever what is known is young. The prior
 * keeps one newcomer from being an event.
 */
static double new_elsewhere(const stg_detector *d, const stg__row *r, uint32_t edge,
                            const stg__reading *in)
{
    const double prior_calls = 25;
    const double prior_part = 0.02;
    const uint32_t src = d->edge[edge].src;
    const double calls = fmax(node_at(r, NC_OUT_CALLS, src) - in->n, 0);
    const double fresh = fmax(node_at(r, NC_OUT_NEW, src) - in->x, 0);
    return fmin((fresh + prior_part * prior_calls) / (calls + prior_calls), 0.95);
}

static void read_edge(const stg_detector *d, const stg__row *r, uint32_t index, const stg__kind *k,
                      stg__reading *in)
{
    in->x = in->shown = edge_at(r, k->x, index);
    in->n = k->law == LAW_SHARE ? node_at(r, NC_CALLS, d->edge[index].src) : edge_at(r, k->n, index);
    if (k == &stg__kinds[N_KINDS + E_NEW_GROUP])
        in->forecast = new_elsewhere(d, r, index, in);
}

static void read_node(const stg__row *r, uint32_t index, uint32_t kind, const stg__kind *k,
                      stg__reading *in)
{
    in->x = node_at(r, k->x, index);
    in->n = node_at(r, k->n, index);
    if (kind == N_BUSY) /* producers say one or the other */
        in->x = fmax(in->x, node_at(r, NC_ACTIVE, index));
    in->shown = in->x;
    if (kind == N_CONN_AGE || kind == N_HEADER_AGE)
        in->x *= held(r, index, kind);
}

stg__reading stg__read(const stg_detector *d, const stg__row *r, bool is_edge, uint32_t index,
                       uint32_t kind, const stg__stream *s)
{
    const stg__kind *k = stg__kind_of(is_edge, kind);
    stg__reading in = {.forecast = NAN};
    if (is_edge)
        read_edge(d, r, index, k, &in);
    else
        read_node(r, index, kind, k, &in);
    switch (k->law) {
    case LAW_RATE:
        in.forecast = in.n;
        in.ok = in.x >= 0;
        break;
    case LAW_SHARE:
    case LAW_RATIO:
        in.ok = in.x >= 0 && in.n >= k->min_n;
        if (in.ok && (k->law == LAW_RATIO || s->part) && in.x > in.n)
            in.x = in.n;
        break;
    case LAW_JOINT:
        break; /* made of other streams' scores */
    default:
        in.ok = in.x >= 0 && in.n >= 0;
        if (in.ok)
            read_level(k, &in, in.x, in.n,
                       stg__uniform_at(d->opts.seed, s->hash ^ 0x5bd1e995u, r->start_ns));
    }
    return in;
}

static double ratio_of(const stg__stream *s)
{
    return (s->a + 0.2) / (s->b + 0.4);
}

static double chance(const stg__stream *s, const stg__reading *in)
{
    const double p = ratio_of(s);
    return in->forecast > p ? in->forecast : p;
}

/*
 * Variance of a count: base x (1 + lump + disp x g), g = mean for a negative binomial and n - 1 for a
 * beta-binomial; both laws then get the dispersion that has this variance.
 */
static double dispersion(double lump, double disp, double g)
{
    return g > 1e-9 ? disp + lump / g : disp;
}

static stg__residual rate_moments(const stg__stream *s, const stg__reading *in)
{
    const bool known = in->forecast >= 0;
    double mu = known ? s->blend * in->forecast + (1 - (double)s->blend) * s->a : s->a;
    mu = fmax(mu, fmax(SMALL, (known ? 0.1 : 0.25) * s->b));
    const double phi = dispersion(s->lump, (double)(known ? s->disp : s->disp_own), mu);
    return (stg__residual){0, mu, mu, mu + phi * mu * mu, phi};
}

static stg__residual ratio_moments(const stg__kind *k, const stg__stream *s, const stg__reading *in)
{
    const double p = chance(s, in);
    const double mean = in->n * p;
    if (k->law == LAW_SHARE && !s->part) {
        const double phi = dispersion(s->lump, s->disp, mean);
        return (stg__residual){0, mean, mean, mean + phi * mean * mean, phi};
    }
    /* a newcomer brings several calls at once */
    const double lump = k == &stg__kinds[N_KINDS + E_NEW_GROUP] ? fmax(s->lump, 3) : (double)s->lump;
    const double rho = fmin(0.9, dispersion(lump, s->disp, in->n - 1));
    return (stg__residual){0, mean, mean, mean * (1 - p) * (1 + (in->n - 1) * rho), rho};
}

static stg__residual level_moments(const stg__kind *k, const stg__stream *s, const stg__reading *in)
{
    const double mean = s->a + (k->regress ? s->b * (in->regress - s->centre) : 0);
    double var = s->disp + k->floor * k->floor;
    if (k->says == SAYS_HOLD) /* a count of connections has a count's noise */
        var += k->spread / (1 + fmax(0, expm1(mean)));
    else
        var += (double)s->spread / fmax(in->n, 1);
    const double shown = k->unit > 0 ? k->unit * expm1(mean) : exp(mean);
    return (stg__residual){0, shown, mean, var, s->disp};
}

stg__residual stg__moments(const stg__kind *k, const stg__stream *s, const stg__reading *in)
{
    if (k->law == LAW_RATE)
        return rate_moments(s, in);
    return k->law == LAW_LEVEL ? level_moments(k, s, in) : ratio_moments(k, s, in);
}

stg__residual stg__residual_of(const stg__kind *k, const stg__stream *s, const stg__reading *in,
                               double v)
{
    stg__residual r = stg__moments(k, s, in);
    const double x = floor(in->x + 0.5);
    if (k->law == LAW_LEVEL)
        r.z = stg__clip((in->x - r.mean) / sqrt(r.var), -12, 12);
    else if (k->law == LAW_RATE || (k->law == LAW_SHARE && !s->part))
        r.z = stg__place_z(stg__nb_place(x, r.mean, r.disp), v);
    else
        r.z = stg__place_z(stg__bb_place(x, floor(in->n + 0.5), chance(s, in), r.disp), v);
    return r;
}

/*
 * A weak attack moves several streams of its edge a little. Their scores are added with these weights
 * and the sum is calibrated like any other residual, so that it does not matter how they depend on
 * each other. Sizes count both ways: tools write requests of their own length.
 */
double stg__joint_part(uint32_t kind, const float score[2], double *weight)
{
    static const float weights[E_KINDS] = {
        [E_SHARE] = 1,       [E_NEW_GROUP] = .6f, [E_TOP_CLIENT] = .7f,      [E_PER_CLIENT] = .5f,
        [E_BYTES_IN] = .8f,  [E_PER_USER] = .5f,  [E_LOGIN_FAILURES] = .7f,  [E_CLIENT_ERRORS] = .4f,
    };
    double z = (double)score[UP];
    *weight = (double)weights[kind];
    if (kind == E_BYTES_IN) { /* normal score of the two-sided p */
        const double p = 2 * stg__normal_cdf(-fabs(z));
        z = -stg__normal_quantile(fmin(p, 1 - 1e-9));
    }
    return *weight * stg__clip(z, -2.5, 4);
}

/* A ratio that is always none or all tells nothing where it is a property of the route. */
bool stg__meaningful(bool is_edge, uint32_t kind, const stg__stream *s)
{
    const stg__kind *k = stg__kind_of(is_edge, kind);
    if (k->law != LAW_RATIO && k->law != LAW_SHARE)
        return true; /* also what is joint: the share at least is in it */
    if (s->b < 20)
        return false;
    const double p = ratio_of(s);
    if (is_edge && (kind == E_LOGINS || kind == E_REGISTERS || kind == E_ASSETS))
        return p > 0.02 && p < 0.98;
    return k->law == LAW_RATIO || !s->part || p < 0.98;
}

/* The law's own variance, without any dispersion, and what the dispersion is multiplied with. */
double stg__base(const stg__kind *k, const stg__stream *s, const stg__reading *in, double mean)
{
    if (k->law == LAW_RATE || (k->law == LAW_SHARE && !s->part))
        return mean;
    return mean * (1 - mean / fmax(in->n, 1e-9));
}

double stg__square(const stg__kind *k, const stg__stream *s, const stg__reading *in, double mean)
{
    if (k->law == LAW_RATE || (k->law == LAW_SHARE && !s->part))
        return mean;
    return fmax(in->n - 1, 0);
}

/* Moment estimate of the dispersion, one window's part; heavy windows are cut. */
static void disp_learn(const stg__kind *k, stg__stream *s, float *disp, const stg__reading *in,
                       const stg__residual *r, double rate)
{
    const double base = stg__base(k, s, in, r->mean);
    const double g = stg__square(k, s, in, r->mean);
    if (!(base * g > 0.01))
        return;
    const double e = fmin((in->x - r->mean) * (in->x - r->mean), 25 * r->var);
    const double part = stg__clip((e / base - 1 - (double)s->lump) / g, -1, 2);
    *disp = (float)stg__clip(*disp + rate * g / (1 + g) * (part - (double)*disp), 0, 2);
}

void stg__level_learn(const stg__kind *k, stg__stream *s, const stg__reading *in,
                      const stg__residual *r)
{
    const double keep = exp2(-1 / HALF_LIFE);
    const double fast = fmax(0.003, 1.0 / (s->seen + 1.0)); /* at first every window counts alike */
    const double cut = 4 * sqrt(r->var);
    if (k->law == LAW_RATE) {
        if (s->seen == 0)
            s->a = s->b = in->x;
        float *disp = in->forecast >= 0 ? &s->disp : &s->disp_own;
        disp_learn(k, s, disp, in, r, fast);
        s->a += OWN_RATE * (in->x - s->a);
        s->b += fmax(1 / HORIZON, 1.0 / (s->seen + 1.0)) * (in->x - s->b);
    } else if (k->law == LAW_LEVEL) {
        if (s->seen == 0) {
            s->a = in->x;
            s->centre = in->regress;
        }
        const double e = stg__clip(in->x - r->mean, -cut, cut);
        s->a += fmax(1 / HORIZON, 1.0 / (s->seen + 1.0)) * e;
        s->disp = (float)fmax(0, s->disp + fast * (e * e - r->var));
    } else {
        const double x = s->seen < 20 ? in->x : stg__clip(in->x, r->mean - cut, r->mean + cut);
        if (s->seen >= 20)
            disp_learn(k, s, &s->disp, in, r, fast);
        s->a = s->a * keep + x;
        s->b = s->b * keep + in->n;
    }
}

double stg__whiten(stg__stream *s, double z)
{
    double w = z;
    for (int i = 0; i < 3; i++)
        if (!isnan(s->last[i]))
            w -= (double)s->ar[i] * stg__clip((double)s->last[i], -8, 8);
    s->last[2] = s->last[1];
    s->last[1] = s->last[0];
    s->last[0] = (float)z;
    return w;
}

double stg__memory(const stg__stream *s)
{
    return stg__clip((double)s->ar[0] + (double)s->ar[1] + (double)s->ar[2], 0, 0.95);
}

void stg__forget_last(stg__stream *s)
{
    s->last[2] = s->last[1];
    s->last[1] = s->last[0];
    s->last[0] = NAN;
}

const double stg__knot_level[KNOTS] = {.02, .10, .25, .40, .50, .60, .75, .90, .98};
const double stg__knot_z[KNOTS] = {-2.0537489106, -1.2815515655, -.6744897502, -.2533471031, 0,
                                   .2533471031,   .6744897502,   1.2815515655, 2.0537489106};

/* Least scales beyond the outer knots and between them, in units of the law's own: a stream that
 * hardly ever moved is not judged finer than its law and its floor say. */
#define OUTER_SLOPE 0.8
#define INNER_SLOPE 0.8

/* Keeps the knots apart, from the middle outwards. */
void stg__knots_order(float knot[KNOTS])
{
    for (int i = KNOTS / 2 + 1; i < KNOTS; i++) {
        const float gap = (float)(INNER_SLOPE * (stg__knot_z[i] - stg__knot_z[i - 1]));
        knot[i] = fmaxf(knot[i], knot[i - 1] + gap);
        const int k = KNOTS - 1 - i;
        knot[k] = fminf(knot[k], knot[k + 1] - gap);
    }
}

static double outer(const stg__stream *s, int from, int to)
{
    const double slope = ((double)s->knot[to] - (double)s->knot[from]) /
                         (stg__knot_z[to] - stg__knot_z[from]);
    return fmax(slope, OUTER_SLOPE);
}

/* Through the stream's own quantiles to a normal scale; beyond them the slope goes on. */
double stg__standardise(const stg__stream *s, double w)
{
    int i = 0;
    if (w < (double)s->knot[0])
        return fmax(-CALIB_RANGE, stg__knot_z[0] + (w - (double)s->knot[0]) / outer(s, 0, 1));
    if (w >= (double)s->knot[KNOTS - 1])
        return fmin(15, stg__knot_z[KNOTS - 1] +
                            (w - (double)s->knot[KNOTS - 1]) / outer(s, KNOTS - 2, KNOTS - 1));
    while (i < KNOTS - 2 && w >= (double)s->knot[i + 1])
        i++;
    const double gap = (double)s->knot[i + 1] - (double)s->knot[i];
    return stg__knot_z[i] +
           (w - (double)s->knot[i]) / gap * (stg__knot_z[i + 1] - stg__knot_z[i]);
}

/* Tracks the quantiles: a knot moves by what its level and the residual say. */
void stg__knots_learn(stg__stream *s)
{
    const double rate = fmax(0.004, 1.0 / (s->seen + 20.0));
    for (int i = 0; i < KNOTS; i++) {
        const double below = s->white <= s->knot[i] ? 1 : 0;
        const double density = exp(-0.5 * stg__knot_z[i] * stg__knot_z[i]) * 0.3989;
        s->knot[i] += (float)stg__clip(rate * (stg__knot_level[i] - below) / density, -0.1, 0.1);
    }
    stg__knots_order(s->knot);
}
