/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Special functions and small statistics: against the golden numbers of the shared methods, and
 * against plain sums of masses where the goldens have none.
 */
#include <math.h>
#include <stdbool.h>

#include <cJSON.h>

#include "score_priv.h"
#include "special.h"
#include "test.h"

/* SplitMix64 as the golden numbers' generator uses it. */
typedef struct mix {
    uint64_t x;
} mix;

static uint64_t mix_u64(mix *m)
{
    m->x += 0x9E3779B97F4A7C15u;
    uint64_t z = m->x;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static double mix_u(mix *m)
{
    return ((double)(mix_u64(m) >> 11) + 0.5) * 0x1p-53;
}

static double mix_normal(mix *m)
{
    const double a = mix_u(m);
    const double b = mix_u(m);
    return sqrt(-2 * log(a)) * cos(2 * 3.14159265358979323846 * b);
}

static cJSON *golden;

static const cJSON *at(const char *block, const char *key)
{
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(golden, block);
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(b, key);
    ck_assert_msg(v != NULL, "golden %s.%s is missing", block, key);
    return v;
}

static double num(const char *block, const char *key)
{
    return at(block, key)->valuedouble;
}

static void near(double got, double want)
{
    ck_assert_msg(fabs(got - want) <= 1e-9 * fmax(1, fabs(want)), "got %.17g, want %.17g", got, want);
}

START_TEST(normaliser)
{
    mix m = {101};
    double x[500];
    for (int i = 0; i < 500; i++)
        x[i] = mix_normal(&m);
    stg__sort(x, 500);
    near(stg__sorted_quantile(x, 500, 0.5), num("normaliser", "median"));
    near(stg__sorted_quantile(x, 500, 0.25), num("normaliser", "q1"));
    near(stg__sorted_quantile(x, 500, 0.75), num("normaliser", "q3"));
}
END_TEST

static void tail_block(const char *block, double gamma)
{
    mix m = {102};
    double x[2000];
    for (int i = 0; i < 2000; i++) {
        const double u = mix_u(&m);
        x[i] = gamma > 0 ? (pow(u, -gamma) - 1) / gamma : -log(u);
    }
    stg__sort(x, 2000);
    const double t = stg__sorted_quantile(x, 2000, 0.98);
    near(t, num(block, "t"));
    size_t n = 0;
    double y[2000];
    for (int i = 0; i < 2000; i++)
        if (x[i] > t)
            y[n++] = x[i] - t;
    ck_assert_uint_eq(n, (size_t)num(block, "Nt"));
    const stg__gpd g = stg__gpd_fit(y, n);
    near(g.gamma, num(block, "gamma_used"));
    near(g.sigma, num(block, "sigma_used"));
    const cJSON *p;
    cJSON_ArrayForEach(p, at(block, "p_at")) {
        const double v = strtod(p->string, NULL);
        size_t above = 0;
        for (int i = 0; i < 2000; i++)
            above += x[i] >= v;
        near(v <= t ? (double)(above + 1) / 2001 : (double)n / 2000 * stg__gpd_tail(&g, v - t),
             p->valuedouble);
    }
}

START_TEST(tails)
{
    tail_block("tail_exp", 0);
    tail_block("tail_gpd0.25", 0.25);
    const double bounded[] = {1, 1, 1, 1.01, 1.01};
    ck_assert_double_eq(stg__gpd_fit(bounded, 5).gamma, 0); /* an end point is not believed */
}
END_TEST

START_TEST(memory)
{
    mix m = {103};
    double x[600];
    double last = 0;
    for (int i = 0; i < 600; i++) {
        const double e = mix_normal(&m);
        x[i] = i ? 0.6 * last + 0.8 * e : e;
        last = x[i];
    }
    const double phi = stg__ar1(x, 300);
    near(phi, num("ar1", "phi_hat_first300"));
    const cJSON *w = at("ar1", "w_first3");
    for (int i = 0; i < 3; i++)
        near(x[i + 1] - phi * x[i], cJSON_GetArrayItem(w, i)->valuedouble);
}
END_TEST

START_TEST(evidence)
{
    mix m = {104};
    float s[4] = {0, 0, 0, 0};
    int alarm = -1;
    for (int t = 0; t < 400; t++) {
        const double z = mix_normal(&m) + (t >= 200 ? 1 : 0);
        stg__evidence_step(s, z);
        const double mean = stg__evidence_mean(s);
        char key[16];
        snprintf(key, sizeof key, "%d", t);
        const cJSON *want = cJSON_GetObjectItemCaseSensitive(at("esr", "M_at"), key);
        /* evidence is kept in single precision */
        if (want)
            ck_assert_double_le(fabs(mean - want->valuedouble), 2e-5 * want->valuedouble);
        if (alarm < 0 && mean >= num("esr", "A"))
            alarm = t;
    }
    ck_assert_int_eq(alarm, (int)num("esr", "alarm_at"));
}
END_TEST

START_TEST(combination)
{
    double p[32];
    uint32_t order[32];
    uint8_t reject[32];
    int n = 0;
    const cJSON *v;
    cJSON_ArrayForEach(v, at("cauchy", "p"))
        p[n++] = v->valuedouble;
    near(stg__cauchy(p, (size_t)n), num("cauchy", "out"));
    n = 0;
    cJSON_ArrayForEach(v, at("fdr", "p"))
        p[n++] = v->valuedouble;
    stg__bh(p, (size_t)n, num("fdr", "q"), order, reject);
    const cJSON *want = at("fdr", "bh_reject");
    for (int i = 0; i < n; i++)
        ck_assert_int_eq(reject[i], cJSON_GetArrayItem(want, i)->valueint);
}
END_TEST

START_TEST(normal)
{
    for (double x = -8; x <= 6; x += 0.037)
        ck_assert_double_le(fabs(stg__normal_quantile(stg__normal_cdf(x)) - x),
                            x < 3 ? 1e-9 : 1e-6); /* above, the cdf itself has few digits left */
    near(stg__normal_quantile(0.975), 1.959963984540054);
    near(stg__normal_quantile(1e-10), -6.361340902404056);
    near(stg__beta_inc(2, 3, 0.4), 0.5248);
    near(stg__gamma_inc(3, 2.5), 0.456186883871668);
}
END_TEST

static void check_place(stg__place got, double below, double mass, double above)
{
    ck_assert_double_le(fabs(got.below - below), 1e-9 * fmax(below, 1e-6) + 1e-13);
    ck_assert_double_le(fabs(got.at - mass), 1e-9 * mass + 1e-300);
    ck_assert_double_le(fabs(got.above - above), 1e-9 * fmax(above, 1e-6) + 1e-13);
}

/* Masses by their ratios, summed from both ends. */
START_TEST(negative_binomial)
{
    static const double mus[] = {0.1, 2, 20, 200};
    static const double phis[] = {0, 0.02, 0.5, 2};
    for (int a = 0; a < 4; a++)
        for (int b = 0; b < 4; b++) {
            const double mu = mus[a];
            const double phi = phis[b];
            const double r = phi > 0 ? 1 / phi : 0;
            enum { TERMS = 40000 };
            static double mass[TERMS];
            static double above[TERMS + 1];
            const int n = TERMS;
            above[n - 1] = 0;
            mass[0] = phi > 0 ? exp(-r * log1p(phi * mu)) : exp(-mu);
            for (int x = 1; x < n; x++)
                mass[x] = mass[x - 1] * (phi > 0 ? (x - 1 + r) / x * (phi * mu / (1 + phi * mu))
                                                 : mu / x);
            for (int x = n - 1; x > 0; x--)
                above[x - 1] = above[x] + mass[x];
            double below = 0;
            for (int x = 0; x < 8 * mu + 20; x++) {
                check_place(stg__nb_place(x, mu, phi), below, mass[x], above[x]);
                below += mass[x];
            }
        }
}
END_TEST

START_TEST(beta_binomial)
{
    static const double rhos[] = {0, 0.001, 0.05, 0.5};
    for (int b = 0; b < 4; b++)
        for (int n = 1; n <= 300; n = n * 3 + 1)
            for (double p = 0.002; p < 1; p += 0.17) {
                const double s = rhos[b] > 0 ? 1 / rhos[b] - 1 : 0;
                double mass[400];
                double sum = 0;
                double below = 0;
                for (int x = 0; x <= n; x++) {
                    double l = lgamma(n + 1.) - lgamma(x + 1.) - lgamma(n - x + 1.);
                    l += s > 0 ? lgamma(x + p * s) + lgamma(n - x + (1 - p) * s) - lgamma(n + s) +
                                     lgamma(s) - lgamma(p * s) - lgamma((1 - p) * s)
                               : x * log(p) + (n - x) * log1p(-p);
                    mass[x] = exp(l);
                    sum += mass[x];
                }
                ck_assert_double_le(fabs(sum - 1), 1e-8);
                for (int x = 0; x <= n; x++) {
                    double above = 0;
                    for (int k = x + 1; k <= n; k++)
                        above += mass[k];
                    const stg__place got = stg__bb_place(x, n, p, rhos[b]);
                    ck_assert_double_le(fabs(got.below - below), 2e-8);
                    ck_assert_double_le(fabs(got.above - above), 2e-8);
                    ck_assert_double_le(fabs(got.at - mass[x]), 2e-8);
                    below += mass[x];
                }
            }
}
END_TEST

/* Wide laws are approximated: residuals must stay near those of the exact tail. */
START_TEST(wide)
{
    for (double z = -4; z <= 4; z += 0.5) {
        const double n = 1e7;
        const double sd = sqrt(n * 0.3 * 0.7 * (1 + (n - 1) * 1e-4));
        const double got = stg__place_z(stg__bb_place(floor(n * 0.3 + z * sd), n, 0.3, 1e-4), 0.5);
        ck_assert_double_le(fabs(got - z), 0.1 + 0.02 * z * z);
        const double mu = 1e6;
        const double pois = stg__place_z(stg__nb_place(floor(mu + z * 1e3), mu, 0), 0.5);
        ck_assert_double_le(fabs(pois - z), 0.02);
        const double nb = stg__place_z(stg__nb_place(floor(mu + z * 2e4), mu, 4e-4), 0.5);
        ck_assert_double_le(fabs(nb - z), 0.1 + 0.02 * z * z);
    }
    const stg__place none = stg__nb_place(0, 0, 0.1);
    ck_assert(none.at == 1);
    ck_assert(isfinite(stg__place_z(stg__nb_place(5, 0, 0.1), 0.5)));
}
END_TEST

/* Randomised residuals are exact even where a count is nearly always zero. */
START_TEST(residuals_are_uniform)
{
    stg__rng rng;
    stg__rng_init(&rng, 5, 1);
    enum { N = 100000 };
    static double u[N];
    for (int i = 0; i < N; i++) {
        int x = 0; /* Poisson of mean .1 by its own inversion */
        for (double p = exp(-0.1), v = stg__rng_unit(&rng); v > p; x++) {
            v -= p;
            p *= 0.1 / (x + 1);
        }
        u[i] = stg__normal_cdf(stg__place_z(stg__nb_place(x, 0.1, 0), stg__rng_unit(&rng)));
    }
    stg__sort(u, N);
    double ks = 0;
    for (int i = 0; i < N; i++)
        ks = fmax(ks, fabs(u[i] - (i + 0.5) / N));
    ck_assert_double_le(ks, 1.95 / sqrt(N)); /* 0.1 % level */
}
END_TEST

int main(void)
{
    FILE *f = fopen(SHARED_DATA "/golden/methods/golden.json", "rb");
    static char text[65536];
    if (!f) {
        printf("1..0 # SKIP golden numbers are absent\n");
        return TEST_SKIPPED;
    }
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    golden = cJSON_Parse(text);
    if (!golden)
        return EXIT_FAILURE;
    const TTest *const tests[] = {normaliser, tails, memory, evidence, combination, normal,
                                  negative_binomial, beta_binomial, wide, residuals_are_uniform};
    Suite *suite = suite_create("methods");
    TCase *tcase = tcase_create("methods");
    tcase_set_timeout(tcase, 120);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    const int status = test_run(suite);
    cJSON_Delete(golden);
    return status;
}
