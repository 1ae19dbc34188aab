/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels themselves, in GCC's vector types. Built several times with different -march; what
 * differs is the length of a vector and the shape of the block of results that stays in registers.
 * A product walks its row blocks against one or two packed panels; bias and activation are applied
 * while the block is still in registers.
 */
#include <math.h>
#include <string.h>

#include "kernel.h"

#ifdef __AVX__
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__) /* GCC 12 takes a vector of ints for a short int */
#pragma GCC diagnostic ignored "-Wanalyzer-shift-count-overflow"
#endif

#if (defined(__AVX512F__) || defined(STG_KERNELS_WIDE)) && !defined(STG_DOUBLE)
#define VECTOR_BYTES 64
#define BLOCK_ROWS 12
#define BLOCK_PANELS 2
#ifdef STG_KERNELS_WIDE /* the tests: the widest shape on processors that do not have it */
#define TABLE stg__kernels_wide
#define TABLE_NAME "wide"
#else
#define TABLE stg__kernels_v4
#define TABLE_NAME "x86-64-v4"
#endif
#elif defined(__AVX2__) && !defined(STG_DOUBLE)
#define VECTOR_BYTES 32
#define BLOCK_ROWS 6
#define BLOCK_PANELS 1
#define TABLE stg__kernels_v3
#define TABLE_NAME "x86-64-v3"
#else
#define VECTOR_BYTES 16
#define BLOCK_ROWS 3
#define BLOCK_PANELS 1
#define TABLE stg__kernels_base
#define TABLE_NAME "base"
#endif

#define LANES ((int)(VECTOR_BYTES / sizeof(real)))
#define PANEL_VECTORS ((int)STG__PANEL / LANES)
#define BLOCK_VECTORS (BLOCK_PANELS * PANEL_VECTORS)
#ifndef PIECE_ROWS
#define PIECE_ROWS 96u
#endif
#define FAR ((size_t)256 << 10) /* numbers: more than near caches hold */

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))
#if defined(__has_attribute) && __has_attribute(uninitialized)
#define SCRATCH __attribute__((uninitialized)) /* written whole before it is read */
#else
#define SCRATCH
#endif

typedef real vec __attribute__((vector_size(VECTOR_BYTES)));
typedef real loose_vec __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));

INLINE vec load(const real *at)
{
    return *(const loose_vec *)at;
}

INLINE void store(real *at, vec v)
{
    *(loose_vec *)at = v;
}

INLINE vec splat(real x)
{
#if VECTOR_BYTES == 64
    return (vec){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif VECTOR_BYTES == 32
    return (vec){x, x, x, x, x, x, x, x};
#elif defined(STG_DOUBLE)
    return (vec){x, x};
#else
    return (vec){x, x, x, x};
#endif
}

#ifdef STG_DOUBLE

INLINE vec activate(vec x, uint32_t act)
{
    for (int i = 0; i < LANES; i++) {
        if (act == STG__ACT_SIGMOID)
            x[i] = 1 / (1 + exp(-x[i]));
        else if (act == STG__ACT_TANH)
            x[i] = tanh(x[i]);
    }
    return x;
}

#else

typedef int32_t ivec __attribute__((vector_size(VECTOR_BYTES)));

/* Between the limits; no number stays none. */
INLINE vec clamp(vec x, float low, float high)
{
    const vec lo = splat(low);
    const vec hi = splat(high);
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)hi, _mm512_max_ps((__m512)lo, (__m512)x));
#elif VECTOR_BYTES == 32 && defined(__AVX__)
    return (vec)_mm256_min_ps((__m256)hi, _mm256_max_ps((__m256)lo, (__m256)x));
#else
    const ivec under = x < lo;
    x = (vec)((under & (ivec)lo) | (~under & (ivec)x));
    const ivec over = x > hi;
    return (vec)((over & (ivec)hi) | (~over & (ivec)x));
#endif
}

/*
 * exp(x) for |x| <= 87: x = n ln 2 + r with |r| <= ln 2 / 2, the polynomial of degree 6 that is nearest
 * to exp(r) (within 2e-8 of it), 2^n by adding n to the exponent. Adding 1.5 * 2^23 rounds to a whole
 * number and leaves it in the low bits.
 */
INLINE vec exponential(vec x)
{
    const vec shift = splat(12582912.0f);
    const vec n = x * splat(1.44269504f) + shift;
    const vec whole = n - shift;
    const vec r = (x - whole * splat(0.693145752f)) - whole * splat(1.42860677e-6f);
    vec p = splat(0.0013836846f);
    p = p * r + splat(0.0083748158f);
    p = p * r + splat(0.0416682256f);
    p = p * r + splat(0.166664202f);
    p = p * r + splat(0.499999921f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    return (vec)((ivec)p + ((ivec)n << 23));
}

/* 1 / x, within two units of the last place. */
INLINE vec inverse(vec x)
{
#if VECTOR_BYTES == 64 && defined(__AVX512F__)
    const vec y = (vec)_mm512_rcp14_ps((__m512)x); /* a division takes 16 cycles, this and a step 4 */
    return y + y * (splat(1.0f) - x * y);
#else
    return splat(1.0f) / x;
#endif
}

INLINE vec activate(vec x, uint32_t act)
{
    const float slope = act == STG__ACT_TANH ? -2.0f : -1.0f;
    const vec e = exponential(clamp(x * splat(slope), -87.0f, 87.0f));
    const vec s = inverse(splat(1.0f) + e);
    return act == STG__ACT_TANH ? s + s - splat(1.0f) : s; /* tanh x = 2 sigmoid(2 x) - 1 */
}

#endif

/* What is made of a vector of results, which stand in columns [col, col + LANES). */
INLINE void follow(const stg__after *a, size_t row, uint32_t col, vec y)
{
    const vec h = load(a->h + row * a->h_ld + col);
    if (a->ru) {
        const vec u = load(a->ru + (2 * row + 1) * a->units + col);
        y = u * h + (splat(1) - u) * y;
    } else {
        y = y * h;
    }
    store(a->to + row * a->to_ld + col, y);
}

/* The same and the results themselves for a vector that is not whole. */
static void finish_part(const stg__product *p, size_t row, uint32_t col, vec whole)
{
    const stg__after *a = p->after;
    real part[LANES];
    store(part, whole);
    for (uint32_t j = 0; j < (uint32_t)LANES && col < p->cols; j++, col++) {
        real *to = p->to + row * p->ld + col;
        const real y = part[j];
        *to = p->act == STG__ACT_ADD ? *to + y : y;
        if (!a || col >= a->units)
            continue;
        const real h = a->h[row * a->h_ld + col];
        const real u = a->ru ? a->ru[(2 * row + 1) * a->units + col] : 0;
        a->to[row * a->to_ld + col] = a->ru ? u * h + (1 - u) * y : y * h;
    }
}

/* Activation and writing of a finished block. Once for all block shapes, and from memory: unrolled
 * into each shape it is most of the object code and slower to compile than all the rest. */
static __attribute__((noinline)) void finish(const stg__product *p, vec (*sum)[BLOCK_VECTORS],
                                             uint32_t row, uint32_t panel, int rows, int panels)
{
    const stg__after after = p->after ? *p->after : (stg__after){0};
    const uint32_t act = p->act;
    const uint32_t units = after.units;
    for (int v = 0; v < panels * PANEL_VECTORS; v++) {
        const uint32_t col = panel * STG__PANEL + (uint32_t)(v * LANES);
        const bool whole = col + (uint32_t)LANES <= (col < units ? units : p->cols);
        real *to = p->to + row * p->ld + col;
        for (int i = 0; i < rows; i++, to += p->ld) {
            vec y = sum[i][v];
            if (act == STG__ACT_SIGMOID || act == STG__ACT_TANH)
                y = activate(y, act);
            if (!whole) {
                finish_part(p, row + (size_t)i, col, y);
                continue;
            }
            store(to, act == STG__ACT_ADD ? load(to) + y : y);
            if (col < units)
                follow(&after, row + (size_t)i, col, y);
        }
    }
}

/* Rows of the left factor are reached from one pointer for three of them: one for each would not fit
 * into the registers. */
#define GROUPS ((BLOCK_ROWS + 2) / 3)

/* One step of the sums: a column of the left factor times a row of the panels. */
INLINE void add_step(vec (*sum)[BLOCK_VECTORS], const real *const *group, size_t ld, const real *b,
                     size_t depth, int rows, int vectors)
{
    vec factor[BLOCK_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        factor[v] = load(b + (size_t)(v / PANEL_VECTORS) * depth * STG__PANEL +
                         v % PANEL_VECTORS * LANES);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vec x = splat(group[i / 3][(size_t)(i % 3) * ld]);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] += x * factor[v];
    }
}

#define LINE ((uint32_t)(64 / sizeof(real)))

/* The same columns of the block below, which is next, on their way into the second-level cache. They
 * may lie behind the matrix: nothing is read. */
INLINE void fetch_rows(const real *a, size_t ld, int rows)
{
    UNROLL
    for (int i = rows; i < 2 * rows; i++)
        __builtin_prefetch(a + (size_t)i * ld, 0, 2);
}

/* All columns of a segment. */
INLINE const real *add_segment(vec (*sum)[BLOCK_VECTORS], const stg__segment *segment, uint32_t row,
                               const real *b, size_t depth, int rows, int vectors, bool fetch)
{
    const size_t ld = segment->ld;
    const real *group[GROUPS];
    UNROLL
    for (int g = 0; g < (rows + 2) / 3; g++)
        group[g] = segment->at + (row + 3 * (size_t)g) * ld;
    for (uint32_t k = 0; k < segment->len;) {
        const uint32_t end = fetch && segment->len - k > LINE ? k + LINE : segment->len;
        if (fetch)
            fetch_rows(group[0], ld, rows);
        for (; k < end; k++, b += STG__PANEL) {
            add_step(sum, group, ld, b, depth, rows, vectors);
            UNROLL
            for (int g = 0; g < (rows + 2) / 3; g++)
                group[g]++;
        }
    }
    return b;
}

/* A block of results: `rows` times `panels` panels, both constant where this is inlined. */
INLINE void block(const stg__product *p, size_t depth, uint32_t row, uint32_t panel, int rows,
                  int panels, bool fetch)
{
    const int vectors = panels * PANEL_VECTORS;
    vec sum[BLOCK_ROWS][BLOCK_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++) {
        const vec start = p->bias ? load(p->bias + panel * STG__PANEL + v * LANES) : splat(0);
        UNROLL
        for (int i = 0; i < rows; i++)
            sum[i][v] = start;
    }
    const real *b = p->packed + panel * depth * STG__PANEL;
    for (uint32_t s = 0; s < p->segments; s++)
        b = add_segment(sum, &p->segment[s], row, b, depth, rows, vectors, fetch);
    SCRATCH vec done[BLOCK_ROWS][BLOCK_VECTORS]; /* a copy: the sums themselves must not have an address */
    UNROLL
    for (int i = 0; i < rows; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            done[i][v] = sum[i][v];
    }
    finish(p, done, row, panel, rows, panels);
}

#define BLOCK_CASE(n)                                                                              \
    case n:                                                                                        \
        if (panels == BLOCK_PANELS)                                                                \
            block(p, depth, row, panel, n, BLOCK_PANELS, fetch);                                        \
        else                                                                                       \
            block(p, depth, row, panel, n, 1, fetch);                                              \
        break;

/* Picks the block of the right height. */
static void block_of(const stg__product *p, size_t depth, uint32_t row, uint32_t panel,
                     uint32_t rows, uint32_t panels, bool fetch)
{
    switch (rows) {
        BLOCK_CASE(1)
        BLOCK_CASE(2)
        BLOCK_CASE(3)
#if BLOCK_ROWS >= 6
        BLOCK_CASE(4)
        BLOCK_CASE(5)
        BLOCK_CASE(6)
#endif
#if BLOCK_ROWS >= 12
        BLOCK_CASE(7)
        BLOCK_CASE(8)
        BLOCK_CASE(9)
        BLOCK_CASE(10)
        BLOCK_CASE(11)
        BLOCK_CASE(12)
#endif
    default:
        break;
    }
}

/*
 * Rows go in pieces that stay in the second-level cache while all panels pass over them, a piece in
 * blocks of nearly equal height in place of full ones and a thin rest.
 */
static void product(const stg__product *p)
{
    size_t depth = 0;
    for (uint32_t s = 0; s < p->segments; s++)
        depth += p->segment[s].len;
    const uint32_t panels = (p->cols + STG__PANEL - 1) / STG__PANEL;
    const bool far = (size_t)p->rows * depth > FAR;
    for (uint32_t first = 0; first < p->rows; first += PIECE_ROWS) {
        const uint32_t left = p->rows - first;
        const uint32_t rows = left < PIECE_ROWS ? left : PIECE_ROWS;
        const uint32_t blocks = (rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
        for (uint32_t panel = 0; panel < panels; panel += BLOCK_PANELS) {
            const uint32_t wide = panels - panel >= BLOCK_PANELS ? BLOCK_PANELS : 1;
            const bool fetch = far && panel == 0;
            for (uint32_t b = 0; b < blocks; b++) {
                const uint32_t row = rows * b / blocks;
                const uint32_t end = rows * (b + 1) / blocks;
                block_of(p, depth, first + row, panel, end - row, wide, fetch);
            }
        }
    }
}

/* --- to += a^T b ------------------------------------------------------------------------------- */

#define OUTER_AHEAD 16 /* rows */

INLINE void outer_block(real *to, size_t ld, const real *a, size_t lda, const real *b, size_t ldb,
                        size_t rows, int depth, int vectors)
{
    vec sum[BLOCK_ROWS][BLOCK_VECTORS];
    UNROLL
    for (int i = 0; i < depth; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] = load(to + (size_t)i * ld + v * LANES);
    }
    for (size_t r = 0; r < rows; r++, a += lda, b += ldb) {
        vec factor[BLOCK_VECTORS];
        __builtin_prefetch(a + OUTER_AHEAD * lda); /* far apart: the processor does not see it coming */
        __builtin_prefetch(a + OUTER_AHEAD * lda + depth - 1);
        UNROLL
        for (int v = 0; v < vectors; v++)
            factor[v] = load(b + v * LANES);
        UNROLL
        for (int i = 0; i < depth; i++) {
            const vec x = splat(a[i]);
            UNROLL
            for (int v = 0; v < vectors; v++)
                sum[i][v] += x * factor[v];
        }
    }
    UNROLL
    for (int i = 0; i < depth; i++) {
        UNROLL
        for (int v = 0; v < vectors; v++)
            store(to + (size_t)i * ld + v * LANES, sum[i][v]);
    }
}

#define OUTER_CASE(n)                                                                              \
    case n:                                                                                        \
        if (vectors == BLOCK_VECTORS)                                                              \
            outer_block(to, ld, a, lda, b, ldb, rows, n, BLOCK_VECTORS);                           \
        else                                                                                       \
            outer_block(to, ld, a, lda, b, ldb, rows, n, 1);                                       \
        break;

static void outer_of(real *to, size_t ld, const real *a, size_t lda, const real *b, size_t ldb,
                     size_t rows, size_t depth, int vectors)
{
    switch (depth) {
        OUTER_CASE(1)
        OUTER_CASE(2)
        OUTER_CASE(3)
#if BLOCK_ROWS >= 6
        OUTER_CASE(4)
        OUTER_CASE(5)
        OUTER_CASE(6)
#endif
#if BLOCK_ROWS >= 12
        OUTER_CASE(7)
        OUTER_CASE(8)
        OUTER_CASE(9)
        OUTER_CASE(10)
        OUTER_CASE(11)
        OUTER_CASE(12)
#endif
    default:
        break;
    }
}

/* Columns that fill no vector. */
static void outer_rest(real *to, size_t ld, uint32_t depth, uint32_t cols, const real *a, size_t lda,
                       const real *b, size_t ldb, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        for (uint32_t i = 0; i < depth; i++)
            for (uint32_t o = 0; o < cols; o++)
                to[i * ld + o] += a[r * lda + i] * b[r * ldb + o];
}

/*
 * Rows go in pieces whose columns of b, a block's width at a time, stay in the first-level cache while
 * all of a's columns pass over them. A result is taken up again with each piece: its sum runs in order.
 */
static void outer(real *to, size_t ld, uint32_t depth, uint32_t cols, const real *a, size_t lda,
                  const real *b, size_t ldb, size_t rows)
{
    const uint32_t blocks = (depth + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (size_t first = 0; first < rows; first += PIECE_ROWS) {
        const size_t piece = rows - first < PIECE_ROWS ? rows - first : PIECE_ROWS;
        uint32_t o = 0;
        while (o + LANES <= cols) {
            const int vectors = cols - o >= BLOCK_VECTORS * LANES ? BLOCK_VECTORS : 1;
            for (uint32_t i = 0; i < blocks; i++) {
                const uint32_t k = depth * i / blocks;
                const uint32_t end = depth * (i + 1) / blocks;
                outer_of(to + k * ld + o, ld, a + first * lda + k, lda, b + first * ldb + o, ldb, piece,
                         end - k, vectors);
            }
            o += (uint32_t)(vectors * LANES);
        }
        outer_rest(to + o, ld, depth, cols - o, a + first * lda, lda, b + first * ldb + o, ldb, piece);
    }
}

/* --- diffusion --------------------------------------------------------------------------------- */

#define HOP_VECTORS 4
#define HOP_AHEAD 8u /* edges */

INLINE void fetch_vectors(const real *x, int vectors)
{
    for (int v = 0; v < vectors; v += 64 / VECTOR_BYTES)
        __builtin_prefetch(x + v * LANES);
}

/* Fewer columns than a vector has, and no more of them read: what stands beside them another thread may
 * be writing. */
INLINE void hop_few(const stg__hop *h, uint32_t row, uint32_t at, uint32_t count)
{
    const stg__csr *m = h->matrix;
    real sum[4] = {0};
    for (uint32_t e = m->ptr[row]; e < m->ptr[row + 1]; e++) {
        const real *x = h->x + m->col[e] * h->ld + at;
        UNROLL
        for (uint32_t c = 0; c < count; c++)
            sum[c] += m->val[e] * x[c];
    }
    UNROLL
    for (uint32_t c = 0; c < count; c++) {
        const size_t place = row * h->ld + at + c;
        h->y[place] = h->beta != 0 ? h->alpha * sum[c] + h->beta * h->z[place] : h->alpha * sum[c];
    }
}

static void hop_narrow(const stg__hop *h, uint32_t row, uint32_t at, uint32_t count)
{
    if (count == 1)
        hop_few(h, row, at, 1);
    else if (count == 2)
        hop_few(h, row, at, 2);
    else
        hop_few(h, row, at, count);
}

INLINE void hop_block(const stg__hop *h, uint32_t row, uint32_t at, int vectors)
{
    const stg__csr *m = h->matrix;
    const uint32_t last = m->ptr[m->rows];
    const bool far = (size_t)m->rows * h->ld > FAR;
    vec sum[HOP_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = splat(0);
    for (uint32_t e = m->ptr[row]; e < m->ptr[row + 1]; e++) {
        const real *x = h->x + m->col[e] * h->ld + at;
        const vec w = splat(m->val[e]);
        if (far && e + HOP_AHEAD < last)
            fetch_vectors(h->x + m->col[e + HOP_AHEAD] * h->ld + at, vectors);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += w * load(x + v * LANES);
    }
    const size_t place = row * h->ld + at;
    UNROLL
    for (int v = 0; v < vectors; v++) {
        vec y = splat(h->alpha) * sum[v];
        if (h->beta != 0)
            y += splat(h->beta) * load(h->z + place + v * LANES);
        store(h->y + place + v * LANES, y);
    }
}

static void hop(const stg__hop *h)
{
    const stg__csr *m = h->matrix;
    for (uint32_t i = 0; i < m->rows; i++) {
        uint32_t c = 0;
        for (; c + HOP_VECTORS * LANES <= h->width; c += HOP_VECTORS * LANES)
            hop_block(h, i, c, HOP_VECTORS);
        for (; c + LANES <= h->width; c += LANES)
            hop_block(h, i, c, 1);
        for (; c < h->width; c += 4)
            hop_narrow(h, i, c, h->width - c < 4 ? h->width - c : 4);
    }
}

/* --- gates ------------------------------------------------------------------------------------- */

static void update_back(const stg__gate *g)
{
    for (uint32_t i = 0; i < g->rows; i++) {
        const size_t at = (size_t)i * g->units;
        const real *restrict u = g->ru + 2 * at + g->units;
        const real *restrict c = g->c + at;
        const real *restrict h = g->h + i * g->h_ld;
        real *restrict du = g->dru + 2 * at + g->units;
        real *restrict dc = g->dc + at;
        real *restrict dh = g->dh + at;
        for (uint32_t j = 0; j < g->units; j++) {
            const real dj = dh[j];
            du[j] = dj * (h[j] - c[j]) * u[j] * (1 - u[j]);
            dc[j] = dj * (1 - u[j]) * (1 - c[j] * c[j]);
            dh[j] = dj * u[j];
        }
    }
}

static void reset_back(const stg__gate *g)
{
    for (uint32_t i = 0; i < g->rows; i++) {
        const size_t at = (size_t)i * g->units;
        const real *restrict r = g->ru + 2 * at;
        const real *restrict h = g->h + i * g->h_ld;
        const real *restrict d = g->d + i * g->d_ld;
        real *restrict dr = g->dru + 2 * at;
        real *restrict dh = g->dh + at;
        for (uint32_t j = 0; j < g->units; j++) {
            dr[j] = d[j] * h[j] * r[j] * (1 - r[j]);
            dh[j] += d[j] * r[j];
        }
    }
}

const stg__kernels TABLE = {
    .name = TABLE_NAME,
    .product = product,
    .outer = outer,
    .hop = hop,
    .update_back = update_back,
    .reset_back = reset_back,
};
