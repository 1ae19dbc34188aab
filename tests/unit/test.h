/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Common to all unit tests: libcheck over TAP, exit code 77 for "skipped", and an allocator that
 * counts and can fail the n-th request.
 */
#ifndef STG_TEST_H
#define STG_TEST_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stgraph/base.h>

#define TEST_SKIPPED 77

/* Valgrind keeps freed memory and makes system calls of its own; its setup sets this variable. */
static inline bool test_valgrind(void)
{
    return getenv("STG_TEST_VALGRIND") != NULL;
}

/* What is about statistics, not memory, would take it half an hour. */
static inline bool test_statistics_left_out(const char *name)
{
    if (test_valgrind())
        printf("# %s: statistics, not run under valgrind\n", name);
    return test_valgrind();
}

/* Counts requests; the request with number fail_at (from 1) and all after it fail; 0: none. */
typedef struct test_memory {
    stg_allocator allocator;
    size_t requests;
    size_t live;
    size_t fail_at;
} test_memory;

static inline void *test_alloc(size_t bytes, void *user)
{
    test_memory *m = (test_memory *)user;
    if (++m->requests >= m->fail_at && m->fail_at)
        return NULL;
    m->live++;
    return malloc(bytes);
}

static inline void *test_realloc(void *block, size_t bytes, void *user)
{
    test_memory *m = (test_memory *)user;
    if (++m->requests >= m->fail_at && m->fail_at)
        return NULL;
    if (!block)
        m->live++;
    return realloc(block, bytes);
}

static inline void test_free(void *block, void *user)
{
    test_memory *m = (test_memory *)user;
    if (block)
        m->live--;
    free(block);
}

static inline void test_memory_init(test_memory *m)
{
    *m = (test_memory){{test_alloc, test_realloc, test_free, m}, 0, 0, 0};
}

static inline stg_ctx *test_ctx(test_memory *m)
{
    stg_ctx *ctx = NULL;
    stg_ctx_opts opts = {.size = sizeof opts, .allocator = m ? &m->allocator : NULL};
    ck_assert_int_eq(stg_ctx_create(&ctx, &opts), STG_OK);
    return ctx;
}

/* Runs one suite as TAP on standard output; the value is the program's exit code. */
static inline int test_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#define TEST_SUITE(name, ...)                                                                      \
    int main(void)                                                                                 \
    {                                                                                              \
        const TTest *const tests[] = {__VA_ARGS__};                                                \
        Suite *suite = suite_create(name);                                                         \
        TCase *tcase = tcase_create(name);                                                         \
        tcase_set_timeout(tcase, 120);                                                             \
        for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)                                  \
            tcase_add_test(tcase, tests[i]);                                                       \
        suite_add_tcase(suite, tcase);                                                             \
        return test_run(suite);                                                                    \
    }

#endif
