/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supports of one graph as whole matrices, for programs that know no other: random walks
 * (D^-1 A)^T, with their numbers in the reverse order where the PyTorch port has them so, and the
 * scaled Laplacian 2 / lambda L - I. The numbers are those that a session has, to the rounding of the
 * largest eigenvalue.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "export.h"

/* S[j][i] = A[i][j] / degree of i; a: [nodes][nodes], or read as its transpose. */
static void walk(const double *a, size_t n, bool turned, bool reversed, float *s)
{
    const size_t along = turned ? n : 1; /* from one neighbour to the next */
    const size_t across = turned ? 1 : n;
    for (size_t i = 0; i < n; i++) {
        const double *row = a + i * across;
        double degree = 0;
        for (size_t j = 0; j < n; j++)
            degree += row[j * along];
        size_t other = n; /* reversed: the neighbour whose number stands here */
        for (size_t j = 0; j < n; j++) {
            if (row[j * along] <= 0)
                continue;
            do
                other--;
            while (row[other * along] <= 0);
            s[j * n + i] = (float)(row[(reversed ? other : j) * along] / degree);
        }
    }
}

/* Whether x I - L has a factor of Cholesky: all eigenvalues of L lie below x. work: [nodes][nodes] */
static bool all_below(const double *laplacian, double *work, size_t n, double x)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = (i == j ? x : 0) - laplacian[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= work[i * n + k] * work[j * n + k];
            if (i == j && !(sum > 0))
                return false;
            work[i * n + j] = i == j ? sqrt(sum) : sum / work[j * n + j];
        }
    return true;
}

/* Eigenvalues of a normalised Laplacian are at most 2. */
static double largest(const double *laplacian, double *work, size_t n)
{
    double low = 0;
    double high = 2 + 1e-6;
    while (high - low > 1e-9) {
        const double middle = (low + high) / 2;
        if (all_below(laplacian, work, n, middle))
            high = middle;
        else
            low = middle;
    }
    return high;
}

/* a becomes L of the graph without directions; work: [nodes][nodes] */
static void scaled_laplacian(double *a, double *work, size_t n, bool want_lambda, float *s)
{
    double *root = work;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            a[i * n + j] = a[j * n + i] = fmax(a[i * n + j], a[j * n + i]);
    for (size_t i = 0; i < n; i++) {
        double degree = 0;
        for (size_t j = 0; j < n; j++)
            degree += a[i * n + j];
        root[i] = degree > 0 ? 1 / sqrt(degree) : 0;
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            a[i * n + j] = (i == j) - a[i * n + j] * root[i] * root[j];
    double lambda = want_lambda ? largest(a, work, n) : 2;
    if (lambda <= 1e-6) /* nothing but loops */
        lambda = 2;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++)
            s[i * n + j] = (float)(2 / lambda * a[i * n + j] - (i == j));
}

float *export_supports(const export_net *net, const cli_links *links, size_t nodes)
{
    const size_t all = nodes * nodes;
    const bool reversed = strcmp(net->supports, "port_reversed") == 0;
    double *a = (double *)calloc(all, sizeof *a);
    double *work = (double *)calloc(all, sizeof *work);
    float *s = (float *)calloc(all * net->walks, sizeof *s);
    if (!a || !work || !s) {
        cli_say("out of memory");
        free(s);
        s = NULL;
    } else {
        for (size_t e = 0; e < links->count; e++)
            a[links->link[e].src * nodes + links->link[e].dst] = links->link[e].weight;
        if (strncmp(net->filter, "laplacian", 9) == 0)
            scaled_laplacian(a, work, nodes, strcmp(net->filter, "laplacian") == 0, s);
        else
            walk(a, nodes, false, reversed, s);
        if (net->walks == 2)
            walk(a, nodes, true, reversed, s + all);
    }
    free(a);
    free(work);
    return s;
}
