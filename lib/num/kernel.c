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

INLINE vec clamp(vec x, float low, float high)
{
    const vec lo = splat(low);
    const vec hi = splat(high);
    const ivec under = x < lo;
    x = (vec)((under & (ivec)lo) | (~under & (ivec)x));
    const ivec over = x > hi;
    return (vec)((over & (ivec)hi) | (~over & (ivec)x));
}

/*
 * exp(x) for |x| <= 87: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's series of degree 7 for exp(r)
 * (its rest is below 6e-9), 2^n by adding n to the exponent. Adding 1.5 * 2^23 rounds to a whole
 * number and leaves it in the low bits.
 */
INLINE vec exponential(vec x)
{
    const vec shift = splat(12582912.0f);
    const vec n = x * splat(1.44269504f) + shift;
    const vec whole = n - shift;
    const vec r = (x - whole * splat(0.693145752f)) - whole * splat(1.42860677e-6f);
    vec p = splat(1.0f / 5040);
    p = p * r + splat(1.0f / 720);
    p = p * r + splat(1.0f / 120);
    p = p * r + splat(1.0f / 24);
    p = p * r + splat(1.0f / 6);
    p = p * r + splat(0.5f);
    p = p * r + splat(1.0f);
    p = p * r + splat(1.0f);
    return (vec)((ivec)p + ((ivec)n << 23));
}

INLINE vec activate(vec x, uint32_t act)
{
    const float slope = act == STG__ACT_TANH ? -2.0f : -1.0f;
    const vec e = exponential(clamp(x * splat(slope), -87.0f, 87.0f));
    const vec s = splat(1.0f) / (splat(1.0f) + e);
    return act == STG__ACT_TANH ? s + s - splat(1.0f) : s; /* tanh x = 2 sigmoid(2 x) - 1 */
}

#endif

/* Writes the first `cols` numbers of a row of results. */
INLINE void write_row(real *to, const vec *row, int vectors, uint32_t cols, uint32_t act)
{
    real part[BLOCK_VECTORS * LANES];
    for (int v = 0; v < vectors; v++)
        store(part + v * LANES, row[v]);
    if (act == STG__ACT_ADD) {
        for (uint32_t o = 0; o < cols; o++)
            to[o] += part[o];
    } else {
        memcpy(to, part, cols * sizeof *to);
    }
}

/* Activation and writing of a finished block. Once for all block shapes, and from memory: unrolled
 * into each shape it is most of the object code and slower to compile than all the rest. */
static __attribute__((noinline)) void finish(const stg__product *p, vec (*sum)[BLOCK_VECTORS],
                                             uint32_t row, uint32_t panel, int rows, int panels)
{
    const int vectors = panels * PANEL_VECTORS;
    const uint32_t most = (uint32_t)panels * STG__PANEL;
    const uint32_t left = p->cols - panel * STG__PANEL;
    const bool active = p->act == STG__ACT_SIGMOID || p->act == STG__ACT_TANH;
    const bool whole = left >= most && p->act != STG__ACT_ADD;
    for (int i = 0; i < rows; i++) {
        real *to = p->to + (row + (size_t)i) * p->ld + panel * STG__PANEL;
        for (int v = 0; v < vectors; v++) {
            if (active)
                sum[i][v] = activate(sum[i][v], p->act);
            if (whole)
                store(to + v * LANES, sum[i][v]);
        }
        if (!whole)
            write_row(to, sum[i], vectors, left < most ? left : most, p->act);
    }
}

/* One step of the sums: a column of the left factor times a row of the panels. */
INLINE void add_step(vec (*sum)[BLOCK_VECTORS], const real *a, size_t ld, const real *b, size_t depth,
                     int rows, int vectors)
{
    vec factor[BLOCK_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        factor[v] = load(b + (size_t)(v / PANEL_VECTORS) * depth * STG__PANEL +
                         v % PANEL_VECTORS * LANES);
    UNROLL
    for (int i = 0; i < rows; i++) {
        const vec x = splat(a[(size_t)i * ld]);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[i][v] += x * factor[v];
    }
}

/* A block of results: `rows` times `panels` panels, both constant where this is inlined. */
INLINE void block(const stg__product *p, size_t depth, uint32_t row, uint32_t panel, int rows,
                  int panels)
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
    for (uint32_t s = 0; s < p->segments; s++) {
        const stg__segment *segment = &p->segment[s];
        const real *a = segment->at + row * segment->ld;
        for (uint32_t k = 0; k < segment->len; k++, a++, b += STG__PANEL)
            add_step(sum, a, segment->ld, b, depth, rows, vectors);
    }
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
            block(p, depth, row, panel, n, BLOCK_PANELS);                                          \
        else                                                                                       \
            block(p, depth, row, panel, n, 1);                                                     \
        break;

/* Picks the block of the right height. */
static void block_of(const stg__product *p, size_t depth, uint32_t row, uint32_t panel,
                     uint32_t rows, uint32_t panels)
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

/* Blocks of nearly equal height in place of full ones and a thin rest. */
static void product(const stg__product *p)
{
    size_t depth = 0;
    for (uint32_t s = 0; s < p->segments; s++)
        depth += p->segment[s].len;
    const uint32_t panels = (p->cols + STG__PANEL - 1) / STG__PANEL;
    const uint32_t blocks = (p->rows + BLOCK_ROWS - 1) / BLOCK_ROWS;
    for (uint32_t panel = 0; panel < panels; panel += BLOCK_PANELS) {
        const uint32_t wide = panels - panel >= BLOCK_PANELS ? BLOCK_PANELS : 1;
        for (uint32_t b = 0; b < blocks; b++) {
            const uint32_t row = (uint32_t)((uint64_t)p->rows * b / blocks);
            const uint32_t end = (uint32_t)((uint64_t)p->rows * (b + 1) / blocks);
            block_of(p, depth, row, panel, end - row, wide);
        }
    }
}

/* --- to += a^T b ------------------------------------------------------------------------------- */

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

/* All columns of `depth` rows of the result; depth is constant where this is inlined. */
INLINE void outer_rows(real *to, size_t ld, uint32_t cols, const real *a, size_t lda, const real *b,
                       size_t ldb, size_t rows, int depth)
{
    uint32_t o = 0;
    for (; o + BLOCK_VECTORS * LANES <= cols; o += BLOCK_VECTORS * LANES)
        outer_block(to + o, ld, a, lda, b + o, ldb, rows, depth, BLOCK_VECTORS);
    for (; o + LANES <= cols; o += LANES)
        outer_block(to + o, ld, a, lda, b + o, ldb, rows, depth, 1);
    for (; o < cols; o++)
        for (int i = 0; i < depth; i++) {
            real sum = to[(size_t)i * ld + o];
            for (size_t r = 0; r < rows; r++)
                sum += a[r * lda + (size_t)i] * b[r * ldb + o];
            to[(size_t)i * ld + o] = sum;
        }
}

static void outer(real *to, size_t ld, uint32_t depth, uint32_t cols, const real *a, size_t lda,
                  const real *b, size_t ldb, size_t rows)
{
    uint32_t k = 0;
    for (; k + BLOCK_ROWS <= depth; k += BLOCK_ROWS)
        outer_rows(to + k * ld, ld, cols, a + k, lda, b, ldb, rows, BLOCK_ROWS);
    for (; k + 3 <= depth; k += 3)
        outer_rows(to + k * ld, ld, cols, a + k, lda, b, ldb, rows, 3);
    for (; k < depth; k++)
        outer_rows(to + k * ld, ld, cols, a + k, lda, b, ldb, rows, 1);
}

/* --- diffusion --------------------------------------------------------------------------------- */

#define HOP_VECTORS 4

INLINE void hop_block(const stg__hop *h, uint32_t row, uint32_t at, int vectors)
{
    const stg__csr *m = h->matrix;
    vec sum[HOP_VECTORS];
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = splat(0);
    for (uint32_t e = m->ptr[row]; e < m->ptr[row + 1]; e++) {
        const real *x = h->x + m->col[e] * h->ld + at;
        const vec w = splat(m->val[e]);
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
        for (; c < h->width; c++) {
            real sum = 0;
            for (uint32_t e = m->ptr[i]; e < m->ptr[i + 1]; e++)
                sum += m->val[e] * h->x[m->col[e] * h->ld + c];
            const size_t place = i * h->ld + c;
            h->y[place] = h->beta != 0 ? h->alpha * sum + h->beta * h->z[place] : h->alpha * sum;
        }
    }
}

/* --- gates ------------------------------------------------------------------------------------- */

static void reset(const stg__gate *g)
{
    for (uint32_t i = 0; i < g->rows; i++) {
        const real *restrict r = g->ru + (size_t)i * 2 * g->units;
        const real *restrict h = g->h + i * g->h_ld;
        real *restrict to = g->to + i * g->to_ld;
        for (uint32_t j = 0; j < g->units; j++)
            to[j] = r[j] * h[j];
    }
}

static void update(const stg__gate *g)
{
    for (uint32_t i = 0; i < g->rows; i++) {
        const real *restrict u = g->ru + (size_t)i * 2 * g->units + g->units;
        const real *restrict c = g->c + (size_t)i * g->units;
        const real *restrict h = g->h + i * g->h_ld;
        real *restrict to = g->to + i * g->to_ld;
        for (uint32_t j = 0; j < g->units; j++)
            to[j] = u[j] * h[j] + (1 - u[j]) * c[j];
    }
}

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
    .reset = reset,
    .update = update,
    .update_back = update_back,
    .reset_back = reset_back,
};
