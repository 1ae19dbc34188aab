/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Laws of counts and their tails. A count is placed in its law as three numbers, the mass below, at
 * and above it; the smaller side is computed and the other is what is left, so that residuals keep
 * their meaning far out in both tails. Work is bounded: continued fractions have a limit of terms
 * and wide beta-binomials are replaced by a beta law of the same mean and variance.
 */
#include <math.h>
#include <stdbool.h>

#include "special.h"

#define MAX_TERMS 600
#define TINY 1e-300

double stg__normal_cdf(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double poly(const double *c, int n, double x)
{
    double y = c[n - 1];
    for (int i = n - 2; i >= 0; i--)
        y = y * x + c[i];
    return y;
}

/* Rational approximations of Wichura 1988 (AS 241, PPND16), good to 1e-16. */
double stg__normal_quantile(double p)
{
    static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e2,
                               1.9715909503065514427e3,  1.3731693765509461125e4,
                               4.5921953931549871457e4,  6.7265770927008700853e4,
                               3.3430575583588128105e4,  2.5090809287301226727e3};
    static const double b[] = {1.0,                      4.2313330701600911252e1,
                               6.8718700749205790830e2,  5.3941960214247511077e3,
                               2.1213794301586595867e4,  3.9307895800092710610e4,
                               2.8729085735721942674e4,  5.2264952788528545610e3};
    static const double c[] = {1.42343711074968357734e0, 4.63033784615654529590e0,
                               5.76949722146069140550e0, 3.64784832476320460504e0,
                               1.27045825245236838258e0, 2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1.0,                      2.05319162663775882187e0,
                               1.67638483018380384940e0, 6.89767334985100004550e-1,
                               1.48103976427480074590e-1, 1.51986665636164571966e-2,
                               5.47593808499534494600e-4, 1.05075007164441684324e-9};
    static const double e[] = {6.65790464350110377720e0, 5.46378491116411436990e0,
                               1.78482653991729133580e0, 2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[] = {1.0,                      5.99832206555887937690e-1,
                               1.36929880922735805310e-1, 1.48753612908506148525e-2,
                               7.86869131145613259100e-4, 1.84631831751005468180e-5,
                               1.42151175831644588870e-7, 2.04426310338993978564e-15};
    if (!(p > 0))
        return -38;
    if (!(p < 1))
        return 38;
    const double q = p - 0.5;
    if (fabs(q) <= 0.425) {
        const double r = 0.180625 - q * q;
        return q * poly(a, 8, r) / poly(b, 8, r);
    }
    double r = sqrt(-log(q < 0 ? p : 1 - p));
    const double z = r <= 5 ? poly(c, 8, r - 1.6) / poly(d, 8, r - 1.6)
                            : poly(e, 8, r - 5) / poly(f, 8, r - 5);
    return q < 0 ? -z : z;
}

double stg__lgamma(double x)
{
    int sign;
    return lgamma_r(x, &sign);
}

/* Lentz's continued fraction of the incomplete beta; false: it did not settle. */
static bool beta_fraction(double a, double b, double x, double *value)
{
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < TINY ? TINY : d);
    double h = d;
    for (int m = 1; m <= MAX_TERMS; m++) {
        const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        c = 1 + even / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        c = 1 + odd / c;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15) {
            *value = h;
            return true;
        }
    }
    return false;
}

/* Normal approximation of Peizer & Pratt 1968 for parameters too large for the fraction. */
static double beta_normal(double a, double b, double x)
{
    const double mean = a / (a + b);
    const double var = mean * (1 - mean) / (a + b + 1);
    const double w1 = cbrt(b * x);
    const double w2 = cbrt(a * (1 - x));
    if (a < 10 || b < 10)
        return stg__normal_cdf((x - mean) / sqrt(var));
    return stg__normal_cdf(3 * (w1 * (1 - 1 / (9 * b)) - w2 * (1 - 1 / (9 * a))) /
                           sqrt(w1 * w1 / b + w2 * w2 / a));
}

double stg__beta_inc(double a, double b, double x)
{
    if (!(x > 0))
        return 0;
    if (!(x < 1))
        return 1;
    const double front = exp(stg__lgamma(a + b) - stg__lgamma(a) - stg__lgamma(b) + a * log(x) +
                             b * log1p(-x));
    double h;
    if (x < (a + 1) / (a + b + 2))
        return beta_fraction(a, b, x, &h) ? front * h / a : beta_normal(a, b, x);
    return beta_fraction(b, a, 1 - x, &h) ? 1 - front * h / b : beta_normal(a, b, x);
}

static double gamma_front(double a, double x)
{
    return exp(a * log(x) - x - stg__lgamma(a));
}

static double gamma_series(double a, double x)
{
    double term = 1 / a;
    double sum = term;
    for (int n = 1; n < 40 * MAX_TERMS && term > sum * 1e-16; n++) {
        term *= x / (a + n);
        sum += term;
    }
    return sum * gamma_front(a, x);
}

/* Upper tail by Lentz's continued fraction. */
static double gamma_fraction(double a, double x)
{
    double b = x + 1 - a;
    double c = 1 / TINY;
    double d = 1 / b;
    double h = d;
    for (int i = 1; i < 40 * MAX_TERMS; i++) {
        const double an = -i * (i - a);
        b += 2;
        d = an * d + b;
        d = 1 / (fabs(d) < TINY ? TINY : d);
        c = b + an / c;
        c = fabs(c) < TINY ? TINY : c;
        h *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h * gamma_front(a, x);
}

/* Above this the law is so narrow that Wilson & Hilferty 1931 is exact enough. */
#define GAMMA_WIDE 1e6

static double gamma_wilson(double a, double x)
{
    return (cbrt(x / a) - (1 - 1 / (9 * a))) * 3 * sqrt(a);
}

static double gamma_upper(double a, double x)
{
    if (!(x > 0))
        return 1;
    if (a > GAMMA_WIDE)
        return stg__normal_cdf(-gamma_wilson(a, x));
    return x < a + 1 ? 1 - gamma_series(a, x) : gamma_fraction(a, x);
}

double stg__gamma_inc(double a, double x)
{
    if (!(x > 0))
        return 0;
    if (a > GAMMA_WIDE)
        return stg__normal_cdf(gamma_wilson(a, x));
    return x < a + 1 ? gamma_series(a, x) : 1 - gamma_fraction(a, x);
}

static double clip01(double p)
{
    return p < 0 ? 0 : p > 1 ? 1 : p;
}

/* Completes a place from its mass and one side. */
static stg__place from_above(double above, double at)
{
    return (stg__place){clip01(1 - above - at), at, above};
}

static stg__place from_below(double below, double at)
{
    return (stg__place){below, at, clip01(1 - below - at)};
}

stg__place stg__nb_place(double x, double mu, double phi)
{
    if (!(mu > 1e-12))
        return x > 0 ? (stg__place){1, 0, 0} : (stg__place){0, 1, 0};
    if (phi < 1e-7) {
        const double at = exp(x * log(mu) - mu - stg__lgamma(x + 1));
        if (x >= mu)
            return from_above(stg__gamma_inc(x + 1, mu), at);
        return from_below(x > 0 ? gamma_upper(x, mu) : 0, at);
    }
    const double r = 1 / phi;
    const double q = phi * mu / (1 + phi * mu); /* of one more count */
    const double at = exp(stg__lgamma(x + r) - stg__lgamma(r) - stg__lgamma(x + 1) -
                          r * log1p(phi * mu) + x * log(q));
    if (x >= mu)
        return from_above(stg__beta_inc(x + 1, r, q), at);
    return from_below(x > 0 ? stg__beta_inc(r, x, 1 / (1 + phi * mu)) : 0, at);
}

static double bb_mass(double x, double n, double a, double b)
{
    return exp(stg__lgamma(n + 1) - stg__lgamma(x + 1) - stg__lgamma(n - x + 1) +
               stg__lgamma(x + a) + stg__lgamma(n - x + b) - stg__lgamma(n + a + b) +
               stg__lgamma(a + b) - stg__lgamma(a) - stg__lgamma(b));
}

/* Sum of the masses beyond x, away from the mean, until they do not count. */
static double bb_side(double x, double n, double a, double b, double at, bool up)
{
    double sum = 0;
    double mass = at;
    if (up) {
        for (double k = x; k < n; k++) {
            mass *= (n - k) * (k + a) / ((k + 1) * (n - k - 1 + b));
            sum += mass;
            if (mass < 1e-17 * sum)
                break;
        }
    } else {
        for (double k = x; k > 0; k--) {
            mass *= k * (n - k + b) / ((n - k + 1) * (k - 1 + a));
            sum += mass;
            if (mass < 1e-17 * sum)
                break;
        }
    }
    return sum;
}

static stg__place binomial_place(double x, double n, double p)
{
    const double at = exp(stg__lgamma(n + 1) - stg__lgamma(x + 1) - stg__lgamma(n - x + 1) +
                          x * log(p) + (n - x) * log1p(-p));
    if (x >= n * p)
        return from_above(x < n ? stg__beta_inc(x + 1, n - x, p) : 0, at);
    return from_below(x > 0 ? stg__beta_inc(n - x + 1, x, 1 - p) : 0, at);
}

#define BB_WIDE 250000.0 /* variance of a count beyond which masses are not summed */

stg__place stg__bb_place(double x, double n, double p, double rho)
{
    x = x < 0 ? 0 : x > n ? n : x;
    if (!(p > 0) || !(n > 0))
        return x > 0 ? (stg__place){1, 0, 0} : (stg__place){0, 1, 0};
    if (!(p < 1))
        return x < n ? (stg__place){0, 0, 1} : (stg__place){0, 1, 0};
    if (rho < 1e-7)
        return binomial_place(x, n, p);
    rho = rho > 0.999 ? 0.999 : rho;
    const double s = 1 / rho - 1;
    const double var = n * p * (1 - p) * (1 + (n - 1) * rho);
    if (var > BB_WIDE) { /* as a beta law of the same mean and variance, on the middle of a count */
        const double w = p * (1 - p) * n * n / var - 1;
        const double lo = x > 0 ? stg__beta_inc(w * p, w * (1 - p), (x - 0.5) / n) : 0;
        const double hi = x < n ? stg__beta_inc(w * (1 - p), w * p, 1 - (x + 0.5) / n) : 0;
        return (stg__place){lo, clip01(1 - lo - hi), hi};
    }
    const double a = p * s;
    const double b = (1 - p) * s;
    const double at = bb_mass(x, n, a, b);
    if (x >= n * p)
        return from_above(clip01(bb_side(x, n, a, b, at, true)), at);
    return from_below(clip01(bb_side(x, n, a, b, at, false)), at);
}

double stg__place_z(stg__place place, double v)
{
    const double below = place.below + v * place.at;
    const double above = place.above + (1 - v) * place.at;
    if (below < above)
        return stg__normal_quantile(below < 1e-15 ? 1e-15 : below);
    return -stg__normal_quantile(above < 1e-15 ? 1e-15 : above);
}
