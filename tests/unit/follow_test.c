/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Supports that follow the graph: after any changes what a fresh build makes, to the bit and in any order of
 * the changes; and sessions whose graph is that of the window or a mean over windows.
 */
#include <math.h>

#include "model_priv.h"
#include "learn.h"
#include "test.h"

enum { NODES = 9, ARCS = NODES * NODES, ROUNDS = 60 };

/* Dense, so that arcs that are 0 and arcs that are not there are the same. */
static void dense_of(const stg__csr *m, real *dense)
{
    memset(dense, 0, ARCS * sizeof *dense);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t k = m->ptr[i]; k < m->ptr[i + 1]; k++)
            dense[i * NODES + m->col[k]] = m->val[k];
}

static void check_fresh(stg_ctx *ctx, const stg__supports *s, stg__filter filter, const stg__arc *arc,
                        uint32_t arcs)
{
    stg__arc some[ARCS];
    stg__supports fresh;
    real a[ARCS];
    real b[ARCS];
    uint32_t count = 0;
    for (uint32_t i = 0; i < arcs; i++)
        if (arc[i].weight > 0)
            some[count++] = arc[i];
    ck_assert_int_eq(stg__supports_build(&fresh, ctx, NODES, filter, some, count), STG_OK);
    for (uint32_t w = 0; w < 2 * s->walks; w++) {
        dense_of(w % 2 ? &s->transposed[w / 2] : &s->walk[w / 2], a);
        dense_of(w % 2 ? &fresh.transposed[w / 2] : &fresh.walk[w / 2], b);
        ck_assert_mem_eq(a, b, sizeof a);
    }
    stg__supports_clear(&fresh);
}

/* Random changes, many of them to nothing and back; the second takes them from the end. */
START_TEST(as_a_fresh_build)
{
    const stg__filter filter = {_i % 2 ? STG__DUAL_RANDOM_WALK : STG__RANDOM_WALK,
                                _i / 2 ? STG__PORT_REVERSED : STG__EXACT};
    stg_ctx *ctx = test_ctx(NULL);
    stg__arc arc[ARCS];
    stg__supports s[2];
    uint32_t arcs = 0;
    stg__rng rng;
    stg__rng_init(&rng, 3, (uint64_t)_i);
    for (uint32_t i = 0; i < NODES; i++)
        for (uint32_t j = 0; j < NODES; j++)
            if (stg__rng_unit(&rng) < 0.5)
                arc[arcs++] = (stg__arc){i, j, stg__rng_below(&rng, 3)};
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(stg__supports_build(&s[k], ctx, NODES, filter, arc, arcs), STG_OK);
    check_fresh(ctx, &s[0], filter, arc, arcs);
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t at[2 * ARCS];
        const uint32_t changes = stg__rng_below(&rng, 2 * arcs);
        for (uint32_t c = 0; c < changes; c++) {
            at[c] = stg__rng_below(&rng, arcs);
            arc[at[c]].weight = stg__rng_unit(&rng) < 0.3 ? 0 : stg__rng_unit(&rng) * 1e6;
        }
        for (uint32_t c = 0; c < changes; c++) {
            stg__supports_set(&s[0], at[c], arc[at[c]].weight);
            stg__supports_set(&s[1], at[changes - 1 - c], 7); /* and not for good */
        }
        for (uint32_t c = changes; c-- > 0;)
            stg__supports_set(&s[1], at[c], arc[at[c]].weight);
        for (int k = 0; k < 2; k++) {
            stg__supports_commit(&s[k]);
            check_fresh(ctx, &s[k], filter, arc, arcs);
        }
    }
    for (int k = 0; k < 2; k++)
        stg__supports_clear(&s[k]);
    stg_ctx_destroy(ctx);
}
END_TEST

/* --- sessions --------------------------------------------------------------------------------- */

static const stg_model *model_of(stg_ctx *ctx, const char *kind, const char *filter)
{
    const stg_model *m;
    stg_trainer_opts opts = learn_small(kind);
    opts.epochs = 1;
    opts.filter = filter;
    opts.warmup = 3;
    ck_assert_int_eq(learn(ctx, &opts, 5, 60, 3, &m, NULL), STG_OK);
    return m;
}

static stg_session *session_of(stg_ctx *ctx, const stg_model *m, uint32_t graph, double rate)
{
    stg_session *s;
    const stg_session_opts opts = {.size = sizeof opts, .graph = graph, .graph_rate = rate};
    ck_assert_int_eq(stg_session_create(&s, ctx, m, &opts), STG_OK);
    return s;
}

/* The present numbers of the supports are what the present weights say. */
static void check_supports(stg_ctx *ctx, const stg_session *s)
{
    const stg__state *st = s->state;
    const stg__topology *t = st->topo;
    stg__arc arc[256];
    stg__supports fresh;
    ck_assert_uint_le(t->edges, 256);
    const uint32_t arcs = (s->model->kind->plain ? stg__make_plain_arcs : stg__make_arcs)(
        t->src, t->dst, st->arc_calls, t->edges, arc);
    ck_assert_int_eq(stg__supports_build(&fresh, ctx, t->nodes, s->filter, arc, arcs), STG_OK);
    for (uint32_t i = 0; i < t->nodes; i++)
        for (uint32_t j = 0; j < t->nodes; j++) {
            real x[2] = {0, 0};
            for (int k = 0; k < 2; k++) {
                const stg__csr *m = k ? &fresh.walk[0] : &st->supports.walk[0];
                for (uint32_t e = m->ptr[i]; e < m->ptr[i + 1]; e++)
                    x[k] += m->col[e] == j ? m->val[e] : 0;
            }
            ck_assert(x[0] == x[1]);
        }
    stg__supports_clear(&fresh);
}

START_TEST(sessions_follow)
{
    static const char *const kinds[] = {"dcrnn", "dcrnn_series"};
    const double rate = 0.25;
    test_memory memory;
    test_memory_init(&memory);
    stg_ctx *plain = test_ctx(NULL);
    stg_ctx *ctx = test_ctx(&memory);
    const stg_model *m = model_of(plain, kinds[_i], NULL);
    stg_session *s[2] = {session_of(ctx, m, STG_GRAPH_WINDOW, 0), session_of(ctx, m, STG_GRAPH_EWMA, rate)};
    double mean[256] = {0};
    uint8_t mask[16] = {0};
    world w;
    size_t before = 0;
    ck_assert_int_eq(world_open(&w, plain, 5, 9), STG_OK);
    for (uint64_t at = 0; at < 20; at++) {
        const stg_graph *g;
        ck_assert_int_eq(world_next(&w, at, &g), STG_OK);
        const double *now = stg_graph_column(g, STG_EDGE, "calls", 5);
        if (at == 5)
            before = memory.requests;
        mask[2] = at == 10;
        for (int k = 0; k < 2; k++)
            ck_assert_int_eq(stg_session_step(s[k], g, mask), STG_OK);
        const stg__topology *t = s[0]->state->topo;
        for (uint32_t e = 0; e < t->edges; e++) {
            const bool held = mask[t->src[e]] || mask[t->dst[e]];
            if (!held && at > 0)
                mean[e] += rate * (now[e] - mean[e]);
            if (at == 0)
                mean[e] = s[1]->state->arc_calls[e];
            ck_assert_double_eq_tol(s[1]->state->arc_calls[e], mean[e], 1e-9 * (1 + mean[e]));
            ck_assert(held ? s[0]->state->arc_calls[e] != now[e] || now[e] == 0
                           : s[0]->state->arc_calls[e] == now[e]);
        }
        for (int k = 0; k < 2; k++)
            check_supports(plain, s[k]);
        stg_unref(g);
    }
    ck_assert_uint_eq(memory.requests, before);
    world_close(&w);
    for (int k = 0; k < 2; k++)
        stg_session_destroy(s[k]);
    stg_unref(m);
    stg_ctx_destroy(ctx);
    stg_ctx_destroy(plain);
}
END_TEST

/* Weights go with the names over a change of the topology, and over a restart to the bit. */
START_TEST(weights_are_carried)
{
    stg_ctx *ctx = test_ctx(NULL);
    const stg_model *m = model_of(ctx, "dcrnn", NULL);
    stg_session *s[2] = {session_of(ctx, m, STG_GRAPH_EWMA, 0.1), session_of(ctx, m, STG_GRAPH_EWMA, 0.1)};
    stg_bundle *b;
    world w[2];
    const stg_graph *g;
    stg__state *next;
    double known = 0;
    for (int k = 0; k < 2; k++)
        ck_assert_int_eq(world_open(&w[k], ctx, k ? 7 : 5, 9), STG_OK);
    for (uint64_t at = 0; at < 10; at++) {
        ck_assert_int_eq(world_next(&w[0], at, &g), STG_OK);
        ck_assert_int_eq(stg_session_step(s[0], g, NULL), STG_OK);
        stg_unref(g);
    }
    ck_assert_int_eq(stg_bundle_open(&b, ctx, NULL, NULL), STG_OK);
    ck_assert_int_eq(stg_state_save(s[0], b, NULL), STG_OK);
    ck_assert_int_eq(stg_state_restore(s[1], b, NULL), STG_OK);
    const stg__supports *sup[2] = {&s[0]->state->supports, &s[1]->state->supports};
    ck_assert_uint_eq(sup[0]->arcs, sup[1]->arcs);
    ck_assert_mem_eq(sup[0]->value, sup[1]->value, 4 * sup[0]->arcs * sizeof(real));
    ck_assert_int_eq(world_next(&w[1], 10, &g), STG_OK);
    ck_assert_int_eq(stg__state_create(&next, s[0], g), STG_OK);
    const stg__state *old = s[0]->state;
    uint32_t node[64];
    uint32_t edge[256];
    stg__topology_map(old->topo, next->topo, node, edge);
    for (uint32_t e = 0; e < old->edges; e++)
        if (edge[e] != UINT32_MAX) {
            ck_assert(next->arc_calls[edge[e]] == old->arc_calls[e]);
            known++;
        }
    ck_assert(known > 3);
    stg__state_destroy(next);
    stg_unref(g);
    stg_bundle_destroy(b);
    for (int k = 0; k < 2; k++) {
        world_close(&w[k]);
        stg_session_destroy(s[k]);
    }
    stg_unref(m);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(no_such_graph)
{
    static const struct {
        const char *kind;
        const char *filter;
        uint32_t graph;
        double rate;
    } row[] = {{"dcrnn", NULL, 3, 0},           {"dcrnn", NULL, STG_GRAPH_EWMA, 1.5},
               {"dcrnn", NULL, STG_GRAPH_EWMA, NAN}, {"dcrnn", NULL, STG_GRAPH_EWMA, -0.1},
               {"dcrnn", NULL, STG_GRAPH_WINDOW, 0.1}, {"seasonal", NULL, STG_GRAPH_WINDOW, 0},
               {"dcrnn", "laplacian", STG_GRAPH_EWMA, 0}};
    stg_ctx *ctx = test_ctx(NULL);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const stg_model *m = model_of(ctx, row[i].kind, row[i].filter);
        stg_session *s;
        const stg_session_opts opts = {.size = sizeof opts, .graph = row[i].graph,
                                       .graph_rate = row[i].rate};
        ck_assert_msg(stg_session_create(&s, ctx, m, &opts) == STG_E_INVALID, "row %zu", i);
        stg_unref(m);
    }
    stg_ctx_destroy(ctx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("follow");
    TCase *tcase = tcase_create("follow");
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, as_a_fresh_build, 0, 4);
    tcase_add_loop_test(tcase, sessions_follow, 0, 2);
    tcase_add_test(tcase, weights_are_carried);
    tcase_add_test(tcase, no_such_graph);
    suite_add_tcase(suite, tcase);
    return test_run(suite);
}
