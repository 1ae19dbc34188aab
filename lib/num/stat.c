/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small statistics over samples: order statistics, the generalised Pareto tail by probability
 * weighted moments, autocorrelation, and the combination of many p-values.
 */
#include <math.h>
#include <stdlib.h>

#include "special.h"

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* qsort of glibc may ask for memory; a heap sort in place does not. */
static void sift(double *x, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && compare(&x[child], &x[child + 1]) < 0)
            child++;
        if (compare(&x[i], &x[child]) >= 0)
            return;
        const double t = x[i];
        x[i] = x[child];
        x[child] = t;
    }
}

void stg__sort(double *x, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift(x, i, n);
    for (size_t end = n; end > 1;) {
        end--;
        const double t = x[0];
        x[0] = x[end];
        x[end] = t;
        sift(x, 0, end);
    }
}

double stg__sorted_quantile(const double *x, size_t n, double q)
{
    const double at = q * (double)(n - 1);
    const size_t i = (size_t)at;
    if (i + 1 >= n)
        return x[n - 1];
    return x[i] + (at - (double)i) * (x[i + 1] - x[i]);
}

stg__gpd stg__gpd_fit(const double *sorted, size_t n)
{
    double a0 = 0;
    double a1 = 0;
    for (size_t i = 0; i < n; i++) {
        a0 += sorted[i];
        a1 += sorted[i] * (1 - ((double)i + 0.65) / (double)n);
    }
    a0 /= (double)n;
    a1 /= (double)n;
    stg__gpd tail = {0, a0};
    if (a0 - 2 * a1 > 0) {
        const double gamma = 2 - a0 / (a0 - 2 * a1);
        if (gamma > 0) {
            tail.gamma = gamma;
            tail.sigma = 2 * a0 * a1 / (a0 - 2 * a1);
        }
        if (gamma > 0.5) { /* the moment of order one is kept */
            tail.gamma = 0.5;
            tail.sigma = a0 * 0.5;
        }
    }
    if (!(tail.sigma > 1e-9))
        tail.sigma = 1e-9;
    return tail;
}

double stg__gpd_tail(const stg__gpd *tail, double y)
{
    if (y <= 0)
        return 1;
    if (tail->gamma < 1e-12)
        return exp(-y / tail->sigma);
    return pow(1 + tail->gamma * y / tail->sigma, -1 / tail->gamma);
}

double stg__ar1(const double *x, size_t n)
{
    double mean = 0;
    double above = 0;
    double below = 0;
    for (size_t i = 0; i < n; i++)
        mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        const double d = x[i] - mean;
        below += d * d;
        if (i)
            above += d * (x[i - 1] - mean);
    }
    return below > 0 ? above / below : 0;
}

double stg__cauchy(const double *p, size_t n)
{
    const double pi = 3.14159265358979323846;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += p[i] < 1e-15 ? 1 / (p[i] * pi) : tan((0.5 - p[i]) * pi);
    if (n == 0)
        return 1;
    const double t = sum / (double)n;
    return t > 1e15 ? 1 / (t * pi) : 0.5 - atan(t) / pi;
}

void stg__bh(const double *p, size_t n, double q, uint32_t *order, uint8_t *reject)
{
    /* Shell sort of the indices: n is small, and nothing is asked for. */
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t gap = n / 2; gap > 0; gap /= 2)
        for (size_t i = gap; i < n; i++) {
            const uint32_t key = order[i];
            size_t j = i;
            for (; j >= gap && p[order[j - gap]] > p[key]; j -= gap)
                order[j] = order[j - gap];
            order[j] = key;
        }
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        reject[i] = 0;
        if (p[order[i]] <= q * (double)(i + 1) / (double)n)
            last = i + 1;
    }
    for (size_t i = 0; i < last; i++)
        reject[order[i]] = 1;
}
