/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Special functions and small statistics for the rooms above: the normal, negative binomial and
 * beta-binomial laws with both tails accurate, the generalised Pareto tail, and the combination of
 * p-values. All are pure functions with bounded work.
 */
#ifndef STG_SPECIAL_H
#define STG_SPECIAL_H

#include <stddef.h>
#include <stdint.h>

double stg__normal_cdf(double x);
double stg__normal_quantile(double p); /* p in (0, 1); the ends give -+38 */

double stg__lgamma(double x);                       /* x > 0; no global sign as in lgamma() */
double stg__beta_inc(double a, double b, double x); /* regularised incomplete beta I_x(a, b) */
double stg__gamma_inc(double a, double x);          /* regularised lower incomplete gamma P(a, x) */

/* Where a count stands in its law: P(X < x), P(X = x), P(X > x). */
typedef struct stg__place {
    double below;
    double at;
    double above;
} stg__place;

/* Negative binomial with mean mu > 0 and variance mu + phi mu^2; phi 0: Poisson. */
stg__place stg__nb_place(double x, double mu, double phi);
/* Beta-binomial: x of n with probability p and intra-class correlation rho; rho 0: binomial. */
stg__place stg__bb_place(double x, double n, double p, double rho);
/* Randomised quantile residual (Dunn & Smyth 1996); v uniform in (0, 1). */
double stg__place_z(stg__place place, double v);

/* Quantile by linear interpolation between order statistics; x sorted, n > 0. */
double stg__sorted_quantile(const double *x, size_t n, double q);
void stg__sort(double *x, size_t n);

/* Tail beyond a threshold: P(excess > y | excess) = (1 + gamma y / sigma)^(-1/gamma). */
typedef struct stg__gpd {
    double gamma;
    double sigma;
} stg__gpd;
/* Fit by probability weighted moments (Hosking & Wallis 1987) to n sorted excesses; gamma is held
 * in [0, .5]: a finite end point would give p = 0, and heavier tails are not believed. */
stg__gpd stg__gpd_fit(const double *sorted, size_t n);
double stg__gpd_tail(const stg__gpd *tail, double y);

double stg__ar1(const double *x, size_t n); /* lag-1 autocorrelation about the mean */
double stg__cauchy(const double *p, size_t n); /* Cauchy combination (Liu & Xie 2020) */
/* Benjamini & Hochberg 1995: writes 1 where p is rejected at level q; order is room for n. */
void stg__bh(const double *p, size_t n, double q, uint32_t *order, uint8_t *reject);

#endif
