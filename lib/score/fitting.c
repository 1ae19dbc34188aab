/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fitting: the rows learnt are replayed, one kind of stream after the other. First a stream's level
 * and dispersion, then memory and scales of its residuals, then the pool of the kind, and last how
 * much less seriously a stream's evidence is taken because normal traffic itself drove it up.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define WARM 60
#define SETTLED (1u << 30) /* windows seen by a level that has its slow pace */
#define SLOW 577.0   /* windows behind a slow level at most, as it learns online */
#define SHRINK 60.0  /* windows that a scale of 1 counts for */
#define RESTLESS 30.0 /* how far evidence may rise in training beyond its bound's mean */

typedef struct fit_room {
    uint32_t windows;
    stg__reading *in; /* [windows] */
    double *z;        /* [windows] */
    double *work;     /* [windows] */
    float *w;         /* [streams][windows], NaN: none */
    double *pool;     /* [CALIB_MAX] */
    float *joint;     /* [edges][windows] sum of scores */
    float *square;    /* and of the squares of their weights */
} fit_room;

static bool meaningful_share(stg__stream *s, const fit_room *f)
{
    uint32_t over = 0;
    uint32_t n = 0;
    for (uint32_t t = 0; t < f->windows; t++)
        if (f->in[t].ok) {
            n++;
            over += f->in[t].x > f->in[t].n;
        }
    s->part = over * 200 <= n;
    return n > 0;
}

static void start_level(const stg__kind *k, stg__stream *s, fit_room *f)
{
    double x = 0;
    double n = 0;
    double count = 0;
    if (k->law == LAW_SHARE)
        meaningful_share(s, f);
    for (uint32_t t = 0; t < f->windows; t++) {
        if (!f->in[t].ok)
            continue;
        if (k->law == LAW_RATE && count >= 12)
            break;
        x += s->part ? fmin(f->in[t].x, f->in[t].n) : f->in[t].x;
        n += f->in[t].n;
        count++;
    }
    if (count == 0)
        return;
    if (k->law == LAW_RATE) {
        s->a = s->b = x / count;
    } else {
        const double scale = count > SLOW ? SLOW / count : 1;
        s->a = x * scale;
        s->b = n * scale;
    }
}

/* Least squares weight of the forecast against the stream's own level. */
static void fit_blend(stg__stream *s, const fit_room *f)
{
    double own = s->a;
    double top = 0;
    double bottom = 0;
    for (uint32_t t = 0; t < f->windows; t++) {
        const stg__reading *in = &f->in[t];
        if (!in->ok)
            continue;
        if (in->forecast >= 0) {
            const double d = in->forecast - own;
            const double weight = 1 / fmax(own, 1);
            top += weight * d * (in->x - own);
            bottom += weight * d * d;
        }
        own += 0.15 * (in->x - own);
    }
    s->blend = bottom > 0 ? (float)stg__clip(top / bottom, 0, 1) : 1;
}

/* Sums of the regression of squared errors, in units of the law's variance, on g. */
typedef struct moments {
    double n;
    double g;
    double gg;
    double y;
    double gy;
} moments;

static void add_moment(moments *m, double weight, double g, double y)
{
    m->n += weight;
    m->g += weight * g;
    m->gg += weight * g * g;
    m->y += weight * y;
    m->gy += weight * g * y;
}

/* y = lump + disp g, both not negative. */
static void solve_moments(const moments *m, double *lump, double *disp)
{
    const double det = m->n * m->gg - m->g * m->g;
    *lump = *disp = 0;
    if (!(m->n > 0))
        return;
    if (det > 1e-6 * m->n * m->gg) {
        *disp = (m->n * m->gy - m->g * m->y) / det;
        *lump = (m->y - *disp * m->g) / m->n;
    }
    if (*disp < 0 || !(det > 1e-6 * m->n * m->gg)) {
        *disp = 0;
        *lump = m->y / m->n;
    } else if (*lump < 0) {
        *lump = 0;
        *disp = m->gg > 0 ? m->gy / m->gg : 0;
    }
    *lump = stg__clip(*lump, 0, 20);
    *disp = stg__clip(*disp, 0, 2);
}

static void fit_dispersion(const stg__kind *k, stg__stream *s, const fit_room *f)
{
    for (int round = 0; round < 4; round++) {
        stg__stream copy = *s;
        copy.seen = SETTLED;
        moments ahead = {0}; /* of windows with a forecast, and of those without */
        moments alone = {0};
        double lump;
        double disp;
        for (uint32_t t = 0; t < f->windows; t++) {
            const stg__reading *in = &f->in[t];
            if (!in->ok)
                continue;
            const stg__residual r = stg__moments(k, &copy, in);
            moments *m = k->law == LAW_RATE && !(in->forecast >= 0) ? &alone : &ahead;
            const double base = stg__base(k, &copy, in, r.mean);
            const double e = fmin((in->x - r.mean) * (in->x - r.mean), 25 * r.var);
            /* rare events make wild quotients: they count by what was expected */
            if (base > 1e-6)
                add_moment(m, base / (1 + base), stg__square(k, &copy, in, r.mean), e / base - 1);
            stg__level_learn(k, &copy, in, &r);
            copy.disp = s->disp;
            copy.disp_own = s->disp_own;
            copy.seen = SETTLED;
        }
        const bool own = alone.n > ahead.n;
        solve_moments(own ? &alone : &ahead, &lump, &disp);
        s->lump = (float)lump;
        s->disp = (float)disp;
        s->disp_own = (float)(own ? disp : 2 * disp + 0.05);
    }
}

/* Slope by least squares, once more without what lies far off. */
static void fit_slope(const stg__kind *k, stg__stream *s, fit_room *f, double count)
{
    double spread = 1e9;
    s->b = 0;
    for (int round = 0; round < 2; round++) {
        double n = 0;
        double sx = 0;
        double sy = 0;
        double sxx = 0;
        double sxy = 0;
        double sse = 0;
        for (uint32_t t = 0; t < f->windows; t++) {
            const stg__reading *in = &f->in[t];
            const double e = in->x - s->a - s->b * (in->regress - s->centre);
            if (!in->ok || fabs(e) > spread)
                continue;
            n++;
            sx += in->regress;
            sy += in->x;
            sxx += in->regress * in->regress;
            sxy += in->regress * in->x;
        }
        if (n < 10)
            return;
        const double var = sxx / n - sx / n * sx / n;
        s->b = k->regress && var > 1e-3 ? (sxy / n - sx / n * sy / n) / var : 0;
        s->centre = sx / n;
        s->a = sy / n;
        for (uint32_t t = 0; t < f->windows; t++)
            if (f->in[t].ok) {
                const double e = f->in[t].x - s->a - s->b * (f->in[t].regress - s->centre);
                sse += fmin(e * e, spread * spread);
            }
        spread = 3 * sqrt(sse / count) + 1e-6;
    }
}

/* Variance of the level's residuals by quartiles, over windows whose n is at least `from` and below
 * `to`; *inverse gets the mean of 1 / n. */
static double variance_of(const stg__stream *s, fit_room *f, double from, double to, double *inverse)
{
    size_t n = 0;
    *inverse = 0;
    for (uint32_t t = 0; t < f->windows; t++) {
        const stg__reading *in = &f->in[t];
        if (!in->ok || in->n < from || in->n >= to)
            continue;
        f->work[n++] = in->x - s->a - s->b * (in->regress - s->centre);
        *inverse += 1 / fmax(in->n, 1);
    }
    if (n < 10)
        return NAN;
    *inverse /= (double)n;
    stg__sort(f->work, n);
    const double iqr = (stg__sorted_quantile(f->work, n, 0.75) -
                        stg__sorted_quantile(f->work, n, 0.25)) / 1.3489795;
    return iqr * iqr;
}

/* What the law adds by itself. */
static double known_variance(const stg__kind *k, const stg__stream *s)
{
    const double held = k->says == SAYS_HOLD ? (double)k->spread / (1 + fmax(0, expm1(s->a))) : 0;
    return (double)(k->floor * k->floor) + held;
}

static void fit_level(const stg__kind *k, stg__stream *s, fit_room *f)
{
    size_t n = 0;
    double low;
    double high;
    for (uint32_t t = 0; t < f->windows; t++)
        if (f->in[t].ok)
            f->work[n++] = f->in[t].n;
    if (n < 10)
        return;
    stg__sort(f->work, n);
    const double middle = stg__sorted_quantile(f->work, n, 0.5);
    fit_slope(k, s, f, (double)n);
    n = 0;
    for (uint32_t t = 0; t < f->windows; t++)
        if (f->in[t].ok)
            f->work[n++] = f->in[t].x - s->b * (f->in[t].regress - s->centre);
    stg__sort(f->work, n);
    s->a = stg__sorted_quantile(f->work, n, 0.5);
    const double all = variance_of(s, f, -1, 1e18, &low);
    s->disp = (float)fmax(0, all - known_variance(k, s));
    if (k->says == SAYS_HOLD)
        return;
    /* how much of it goes with the number of calls: windows with few against windows with many */
    const double few = variance_of(s, f, -1, middle, &low);
    const double many = variance_of(s, f, middle, 1e18, &high);
    if (few > many && low > high * 1.2) {
        s->spread = (float)fmin((few - many) / (low - high), few / low);
        s->disp = (float)fmax(0, many - (double)s->spread * high - known_variance(k, s));
    }
}

/* Residuals through the stream as it would run; levels learn on the way. */
static uint32_t replay(const stg_detector *d, const stg__kind *k, stg__stream *s, fit_room *f)
{
    uint32_t n = 0;
    uint32_t t = 0;
    s->seen = SETTLED;
    for (const stg__row *row = d->first; row; row = row->next, t++) {
        const stg__reading *in = &f->in[t];
        f->z[t] = NAN;
        if (!in->ok)
            continue;
        const double v = stg__uniform_at(d->opts.seed, s->hash, row->start_ns);
        const stg__residual r = stg__residual_of(k, s, in, v);
        const float disp = s->disp;
        const float own = s->disp_own;
        f->z[t] = r.z;
        stg__level_learn(k, s, in, &r);
        s->disp = disp;
        s->disp_own = own;
        n++;
    }
    s->seen = n;
    return n;
}

/* Autocorrelations 1 to 3 of what is there; false: too little. */
static bool correlations(const fit_room *f, double r[4])
{
    double mean = 0;
    double n = 0;
    for (uint32_t t = 0; t < f->windows; t++)
        if (!isnan(f->z[t])) {
            mean += stg__clip(f->z[t], -5, 5);
            n++;
        }
    mean = n > 0 ? mean / n : 0;
    for (uint32_t lag = 1; lag < 4; lag++) {
        double top = 0;
        double bottom = 0;
        double pairs = 0;
        for (uint32_t t = lag; t < f->windows; t++) {
            if (isnan(f->z[t]) || isnan(f->z[t - lag]))
                continue;
            const double a = stg__clip(f->z[t], -5, 5) - mean;
            const double b = stg__clip(f->z[t - lag], -5, 5) - mean;
            top += a * b;
            bottom += 0.5 * (a * a + b * b);
            pairs++;
        }
        if (pairs < WARM || !(bottom > 0))
            return false;
        r[lag] = stg__clip(top / bottom, -0.95, 0.95);
    }
    return true;
}

/* Levinson's recursion to order 3. Memory that is not positive is left alone. */
static void fit_memory(stg__stream *s, const fit_room *f)
{
    double r[4] = {1};
    double a[4] = {0};
    double error = 1;
    if (!correlations(f, r) || r[1] <= 0)
        return;
    for (int m = 1; m < 4; m++) {
        double k = r[m];
        double next[4];
        for (int i = 1; i < m; i++)
            k -= a[i] * r[m - i];
        k /= error;
        if (m > 1 && k < 0) /* higher orders only to lengthen the memory */
            break;
        for (int i = 1; i < m; i++)
            next[i] = a[i] - k * a[m - i];
        next[m] = k;
        for (int i = 1; i <= m; i++)
            a[i] = next[i];
        error *= 1 - k * k;
    }
    const double sum = a[1] + a[2] + a[3];
    const double scale = sum > 0.95 ? 0.95 / sum : 1;
    for (int i = 0; i < 3; i++)
        s->ar[i] = (float)(a[i + 1] * scale);
}

/* The stream's own quantiles, drawn to the normal ones where there are few windows. */
static void fit_knots(stg__stream *s, fit_room *f, float *w)
{
    size_t n = 0;
    for (uint32_t t = 0; t < f->windows; t++) {
        w[t] = NAN;
        if (!isnan(f->z[t])) {
            w[t] = (float)stg__whiten(s, f->z[t]);
            f->work[n++] = (double)w[t];
        } else {
            stg__forget_last(s);
        }
    }
    s->last[0] = s->last[1] = s->last[2] = NAN;
    if (n < 10)
        return;
    stg__sort(f->work, n);
    const double trust = (double)n / ((double)n + SHRINK);
    for (int i = 0; i < KNOTS; i++)
        s->knot[i] = (float)(trust * stg__sorted_quantile(f->work, n, stg__knot_level[i]) +
                             (1 - trust) * stg__knot_z[i]);
    stg__knots_order(s->knot);
    for (uint32_t t = 0; t < f->windows; t++)
        if (!isnan(w[t]))
            w[t] = (float)stg__standardise(s, (double)w[t]);
}

static void fit_stream(stg_detector *d, bool is_edge, uint32_t index, uint32_t kind, fit_room *f,
                       float *w)
{
    const stg__kind *k = stg__kind_of(is_edge, kind);
    stg__stream *s = is_edge ? stg__edge_stream(d, index, kind) : stg__node_stream(d, index, kind);
    uint32_t t = 0;
    stg__stream_init(s);
    for (const stg__row *row = d->first; row; row = row->next, t++)
        f->in[t] = stg__read(d, row, is_edge, index, kind, s);
    if (k->law == LAW_LEVEL) {
        fit_level(k, s, f);
    } else {
        start_level(k, s, f);
        if (s->part)
            for (t = 0; t < f->windows; t++)
                f->in[t].x = fmin(f->in[t].x, f->in[t].n);
        if (k->law == LAW_RATE)
            fit_blend(s, f);
        fit_dispersion(k, s, f);
    }
    const uint32_t n = replay(d, k, s, f);
    fit_memory(s, f);
    fit_knots(s, f, w);
    s->active = n >= WARM && stg__meaningful(is_edge, kind, s);
}

/* Evidence of normal traffic must stay near what chance gives, or it is scaled down. */
static float fit_kappa(const stg_detector *d, const stg__calib *c, const stg__stream *s, int side,
                       const float *w, uint32_t windows)
{
    static const float steps[] = {1, 1.15f, 1.3f, 1.5f, 1.75f, 2, 2.5f, 3};
    for (size_t i = 0; i + 1 < sizeof steps / sizeof *steps; i++) {
        float m[4] = {0, 0, 0, 0};
        double most = 0;
        uint32_t t = 0;
        for (const stg__row *row = d->first; row; row = row->next, t++) {
            float score[2];
            if (isnan(w[t]))
                continue;
            stg__calib_score(c, w[t], stg__uniform_at(d->opts.seed, s->hash ^ 0xA5A5u, row->start_ns),
                             score);
            stg__evidence_step(m, (double)(score[side] / steps[i]));
            most = fmax(most, stg__evidence_mean(m));
        }
        if (most <= RESTLESS * windows)
            return steps[i];
    }
    return 3;
}

static stg__stream *stream_at(const stg_detector *d, bool is_edge, uint32_t index, uint32_t kind)
{
    return is_edge ? stg__edge_stream(d, index, kind) : stg__node_stream(d, index, kind);
}

/* Residuals of all streams of a kind, thinned to what a pool holds. */
static size_t gather_pool(const stg_detector *d, bool is_edge, uint32_t kind, fit_room *f,
                          uint32_t count, uint32_t *streams)
{
    size_t have = 0;
    size_t n = 0;
    size_t at = 0;
    *streams = 0;
    for (uint32_t i = 0; i < count; i++)
        if (stream_at(d, is_edge, i, kind)->active) {
            have += f->windows;
            ++*streams;
        }
    const size_t every = have / (size_t)CALIB_MAX + 1;
    for (size_t i = 0; i < (size_t)count * f->windows; i++)
        if (!isnan(f->w[i]) && stream_at(d, is_edge, (uint32_t)(i / f->windows), kind)->active &&
            at++ % every == 0 && n < (size_t)CALIB_MAX)
            f->pool[n++] = (double)f->w[i];
    return n;
}

static void fit_pool(stg_detector *d, bool is_edge, uint32_t kind, fit_room *f, uint32_t count)
{
    stg__calib *c = &d->calib[is_edge ? N_KINDS + kind : kind];
    const stg__kind *k = stg__kind_of(is_edge, kind);
    const size_t n = gather_pool(d, is_edge, kind, f, count, &c->streams);
    stg__calib_fit(c, f->pool, n);
    for (uint32_t i = 0; i < count; i++) {
        stg__stream *s = stream_at(d, is_edge, i, kind);
        for (int side = UP; s->active && side <= DOWN; side++)
            if (k->directions & (1 << side))
                s->kappa[side] =
                    fit_kappa(d, c, s, side, f->w + (size_t)i * f->windows, f->windows);
    }
}

/* Adds a kind's scores to what the streams of each edge say together. */
static void add_joint(const stg_detector *d, uint32_t kind, fit_room *f)
{
    const stg__calib *c = &d->calib[N_KINDS + kind];
    for (uint32_t e = 0; e < d->edges; e++) {
        const stg__stream *s = stg__edge_stream(d, e, kind);
        const size_t at = (size_t)e * f->windows;
        uint32_t t = 0;
        for (const stg__row *row = d->first; s->active && row; row = row->next, t++) {
            float score[2];
            double weight;
            if (isnan(f->w[at + t])) {
                if (kind == E_SHARE) /* without a share there is nothing to go by */
                    f->joint[at + t] = NAN;
                continue;
            }
            stg__calib_score(c, (double)f->w[at + t],
                             stg__uniform_at(d->opts.seed, s->hash ^ 0xA5A5u, row->start_ns), score);
            f->joint[at + t] += (float)stg__joint_part(kind, score, &weight);
            f->square[at + t] += (float)(weight * weight);
        }
    }
}

static void fit_together(stg_detector *d, fit_room *f)
{
    for (uint32_t e = 0; e < d->edges; e++) {
        stg__stream *s = stg__edge_stream(d, e, E_TOGETHER);
        const size_t at = (size_t)e * f->windows;
        stg__stream_init(s);
        for (uint32_t t = 0; t < f->windows; t++) {
            const double z = (double)f->joint[at + t] / sqrt((double)f->square[at + t]);
            f->z[t] = f->square[at + t] > 0 ? z : NAN;
            s->seen += !isnan(f->z[t]);
        }
        fit_memory(s, f);
        fit_knots(s, f, f->w + at);
        s->active = s->seen >= WARM && stg__edge_stream(d, e, E_SHARE)->active;
    }
    fit_pool(d, true, E_TOGETHER, f, d->edges);
}

static void fit_kind(stg_detector *d, bool is_edge, uint32_t kind, fit_room *f)
{
    const uint32_t count = is_edge ? d->edges : d->nodes;
    if (is_edge && kind == E_TOGETHER) {
        fit_together(d, f);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        fit_stream(d, is_edge, i, kind, f, f->w + (size_t)i * f->windows);
    fit_pool(d, is_edge, kind, f, count);
    if (is_edge)
        add_joint(d, kind, f);
}

static bool take_room(stg_detector *d, fit_room *f)
{
    const size_t most = d->nodes > d->edges ? d->nodes : d->edges;
    f->windows = d->learnt;
    f->in = (stg__reading *)stg__calloc(d->ctx, f->windows, sizeof *f->in);
    f->z = (double *)stg__calloc(d->ctx, f->windows, sizeof *f->z);
    f->work = (double *)stg__calloc(d->ctx, f->windows, sizeof *f->work);
    f->w = (float *)stg__calloc(d->ctx, most * f->windows, sizeof *f->w);
    f->pool = (double *)stg__calloc(d->ctx, (size_t)CALIB_MAX, sizeof *f->pool);
    f->joint = (float *)stg__calloc(d->ctx, (size_t)d->edges * f->windows + 1, sizeof *f->joint);
    f->square = (float *)stg__calloc(d->ctx, (size_t)d->edges * f->windows + 1, sizeof *f->square);
    return f->in && f->z && f->work && f->w && f->pool && f->joint && f->square;
}

int32_t stg__fit(stg_detector *d)
{
    fit_room f = {0};
    const bool room = take_room(d, &f);
    if (room) {
        for (uint32_t k = 0; k < N_KINDS; k++)
            fit_kind(d, false, k, &f);
        for (uint32_t k = 0; k < E_KINDS; k++)
            fit_kind(d, true, k, &f);
    }
    stg__free(d->ctx, f.in);
    stg__free(d->ctx, f.z);
    stg__free(d->ctx, f.work);
    stg__free(d->ctx, f.w);
    stg__free(d->ctx, f.pool);
    stg__free(d->ctx, f.joint);
    stg__free(d->ctx, f.square);
    return room ? STG_OK : STG_E_NOMEM;
}
