/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calibration: the law of standardised residuals as it was, pooled over the streams of one kind.
 * The body is a histogram, the tails beyond the 98 % quantile are generalised Pareto laws. A
 * residual goes in, the normal scores of its conformal p-values in both directions come out.
 */
#include <math.h>
#include <string.h>

#include "score_priv.h"

#define BIN_WIDTH (2 * CALIB_RANGE / CALIB_BINS)
#define ATOM 0.02      /* a bin with more mass than this holds ties: they are spread */
#define READY 200      /* residuals that make a body */
#define TAIL_READY 10  /* excesses that make a tail */
#define REFIT 50

void stg__calib_reset(stg__calib *c)
{
    memset(c, 0, sizeof *c);
}

static uint32_t bin_of(double w)
{
    const double at = (w + CALIB_RANGE) / BIN_WIDTH;
    return at < 0 ? 0 : at >= CALIB_BINS ? CALIB_BINS - 1 : (uint32_t)at;
}

static void fit_tail(stg__calib *c, int side)
{
    double y[CALIB_TAIL];
    for (uint32_t i = 0; i < c->excesses[side]; i++)
        y[i] = c->excess[side][i];
    stg__sort(y, c->excesses[side]);
    c->tail[side] = stg__gpd_fit(y, c->excesses[side]);
    c->unfitted[side] = 0;
}

static void take_excess(stg__calib *c, int side, double y)
{
    c->excess[side][c->next[side]] = (float)y;
    c->next[side] = (c->next[side] + 1) % CALIB_TAIL;
    if (c->excesses[side] < CALIB_TAIL)
        c->excesses[side]++;
    c->unfitted[side]++;
}

void stg__calib_refresh(stg__calib *c)
{
    if (c->weight < READY)
        return;
    double below = 0.5;
    for (uint32_t i = 0; i <= CALIB_BINS; i++) {
        c->cdf[i] = (float)(below / (c->weight + 1));
        c->z[i] = (float)stg__normal_quantile(c->cdf[i]);
        if (i < CALIB_BINS)
            below += c->bins[i];
    }
    for (int side = UP; side <= DOWN; side++)
        if (c->unfitted[side] >= REFIT)
            fit_tail(c, side);
    c->ready = 1;
}

void stg__calib_fit(stg__calib *c, double *w, size_t n)
{
    const uint32_t streams = c->streams;
    stg__calib_reset(c);
    c->streams = streams;
    if (n < READY)
        return;
    stg__sort(w, n);
    for (size_t i = 0; i < n; i++)
        c->bins[bin_of(w[i])] += 1;
    c->weight = (double)n;
    c->cut[UP] = stg__sorted_quantile(w, n, CALIB_LEVEL);
    c->cut[DOWN] = -stg__sorted_quantile(w, n, 1 - CALIB_LEVEL);
    for (int side = UP; side <= DOWN; side++) {
        size_t beyond = 0;
        /* from the far end inwards and back, so that a full ring holds the farthest ones */
        for (size_t i = 0; i < n; i++) {
            const double y = (side == UP ? w[n - 1 - i] : -w[i]) - c->cut[side];
            if (y <= 0)
                break;
            beyond++;
            if (beyond <= CALIB_TAIL)
                take_excess(c, side, y);
        }
        c->share[side] = (double)beyond / (double)n;
        if (c->excesses[side] >= TAIL_READY)
            fit_tail(c, side);
        else
            c->share[side] = 0; /* ties at the cut: the body says all there is */
    }
    stg__calib_refresh(c);
}

void stg__calib_add(stg__calib *c, double w)
{
    if (c->weight >= CALIB_MAX) {
        for (uint32_t i = 0; i < CALIB_BINS; i++)
            c->bins[i] *= 0.5f;
        c->weight *= 0.5;
    }
    c->bins[bin_of(w)] += 1;
    c->weight += 1;
    for (int side = UP; side <= DOWN; side++) {
        const double y = (side == UP ? w : -w) - c->cut[side];
        if (!(c->share[side] > 0))
            continue;
        c->share[side] += 0.0005 * ((y > 0 ? 1.0 : 0.0) - c->share[side]);
        if (y > 0)
            take_excess(c, side, y);
    }
}

/* Normal score of the place of w in the body; ties are spread by v. */
static double body(const stg__calib *c, double w, double v)
{
    if (!c->ready)
        return w / 1.3;
    const uint32_t i = bin_of(w);
    const double mass = c->cdf[i + 1] - c->cdf[i];
    if (mass > ATOM)
        return stg__normal_quantile(c->cdf[i] + v * mass);
    const double in = stg__clip((w + CALIB_RANGE) / BIN_WIDTH - i, 0, 1);
    return c->z[i] + in * (c->z[i + 1] - c->z[i]);
}

void stg__calib_score(const stg__calib *c, double w, double v, float score[2])
{
    const double z = body(c, w, v);
    for (int side = UP; side <= DOWN; side++) {
        const double y = (side == UP ? w : -w) - c->cut[side];
        double out = side == UP ? z : -z;
        if (c->ready && c->share[side] > 0 && y > 0) {
            const double p = c->share[side] * stg__gpd_tail(&c->tail[side], y);
            out = -stg__normal_quantile(p < 1e-15 ? 1e-15 : p);
        }
        /* a pool of streams that hardly move must not make more of w than it is */
        score[side] = (float)fmin(out, side == UP ? w : -w);
    }
}
