/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every public call with every request for memory failing in turn: once alone, and once with all that
 * come after it, until memory is there again. A failed call says so, hands out nothing, leaves what it
 * must leave as it was, and made again gives what it gives in a run that never failed. In the end no
 * block is left. Calls that never ask for memory must do so in fact, and work when there is none.
 *
 * The tables in torture_*.c name every function of the library; a new one that is missing there fails
 * this test.
 */
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include <stgraph/train.h>

#include "learn.h"
#include "torture.h"

#define ALL 2000u  /* every request up to here fails, */
#define STRIDE 97u /* beyond it every so manieth */

torture_file torture_small[4];
torture_file torture_line;

static const torture_table *const tables[] = {&torture_base,  &torture_graph, &torture_ingest,
                                              &torture_model, &torture_score, &torture_monitor};
#define TABLES (sizeof tables / sizeof *tables)

static const torture_case *cases[512];
static size_t case_count;

/* Of all processes, in shared memory. */
static struct totals {
    atomic_size_t runs;
    atomic_size_t requests;
    atomic_size_t cases;
} *totals;

/* --- one run ---------------------------------------------------------------------------------- */

static void raise_stage(stage *s, const torture_case *c)
{
    memset(s, 0, sizeof *s);
    s->fd = -1;
    torture_memory_init(&s->memory);
    const stg_ctx_opts opts = {.size = sizeof opts, .allocator = &s->memory.allocator};
    if (!(c->flags & NO_CTX))
        OK(stg_ctx_create(&s->ctx, &opts));
    if (c->prepare)
        c->prepare(s);
}

static void strike_stage(stage *s)
{
    stg_unref(s->plan);
    stg_unref(s->report);
    stg_unref(s->forecast);
    stg_unref(s->graph);
    stg_lane_close(s->lane);
    stg_lane_close(s->shared);
    stg_reader_destroy(s->reader);
    stg_monitor_destroy(s->monitor);
    stg_planner_destroy(s->planner);
    stg_detector_destroy(s->detector);
    stg_trainer_destroy(s->trainer);
    stg_session_destroy(s->session);
    stg_ingest_destroy(s->in);
    stg_graph_builder_destroy(s->builder);
    stg_unref(s->model);
    stg_bundle_destroy(s->bundle);
    stg_ctx_destroy(s->ctx);
    if (s->fd >= 0)
        close(s->fd);
    if (s->path[0])
        unlink(s->path);
    torture_memory_fini(&s->memory);
}

static void compare(const torture_case *c, const proof *a, const proof *b, bool lost, size_t n,
                    const char *what)
{
    const size_t len = lost && a->soft ? a->soft : a->len;
    size_t same = 0;
    while (same < len && same < b->len && a->bytes[same] == b->bytes[same])
        same++;
    if (same < len || (lost ? a->soft != b->soft : a->len != b->len))
        ck_abort_msg("%s, %s, request %zu: %s is another from byte %zu of %zu on", c->function, c->what,
                     n, what, same, len);
}

static void check_text(const stage *s, const torture_case *c, int32_t status, size_t n)
{
    if (c->flags & TELLS && (s->err.status != status || (status != STG_OK && !s->err.text[0])))
        ck_abort_msg("%s, %s, request %zu: %s with the text of %s", c->function, c->what, n,
                     stg_status_name(status), stg_status_name(s->err.status));
}

/* The call with requests `from` to `to` failing; how many did. When that leaves the call undone it is
 * made again with memory. */
static size_t play(const torture_case *c, size_t from, size_t to, const proof *reference)
{
    static stage s;
    proof before = {0};
    proof after = {0};
    proof result = {0};
    raise_stage(&s, c);
    if (c->state)
        c->state(&s, &before);
    torture_memory_arm(&s.memory, from, to);
    const int32_t status = c->call(&s);
    torture_memory_calm(&s.memory);
    const size_t failed = s.memory.failed;
    const bool well = status == STG_OK && (!failed || s.lost || (c->flags & MANAGES));
    if (!well && !(failed && status == STG_E_NOMEM))
        ck_abort_msg("%s, %s, request %zu: %s, %zu failed", c->function, c->what, from,
                     stg_status_name(status), failed);
    SURE(!s.lost || (c->flags & LOSES));
    check_text(&s, c, status, from);
    if (status != STG_OK) {
        if (c->state) {
            c->state(&s, &after);
            compare(c, &before, &after, false, from, "what a failed call leaves");
        }
        s.again = true;
        s.err = (stg_error){0};
        const int32_t again = c->call(&s);
        if (again != STG_OK)
            ck_abort_msg("%s, %s, after request %zu: again: %s %s", c->function, c->what, from,
                         stg_status_name(again), s.err.text);
    }
    if (c->prove)
        c->prove(&s, &result);
    compare(c, reference, &result, s.lost > 0, from, "the result");
    strike_stage(&s);
    free(before.bytes);
    free(after.bytes);
    free(result.bytes);
    return failed;
}

/* A run in which nothing fails; the number of requests of the call. */
static size_t play_well(const torture_case *c, proof *reference)
{
    static stage s;
    raise_stage(&s, c);
    torture_memory_arm(&s.memory, 0, 0);
    const int32_t status = c->call(&s);
    const size_t requests = s.memory.requests;
    ck_assert_msg(status == STG_OK, "%s, %s: %s %s", c->function, c->what, stg_status_name(status),
                  s.err.text);
    if (c->prove)
        c->prove(&s, reference);
    strike_stage(&s);
    return requests;
}

/* Valgrind takes twenty times as long, a sanitizer four times: there some of the requests do. */
static size_t next_request(size_t n, size_t requests)
{
    if (test_valgrind() && n >= 4)
        return n + 1 + requests / 16;
    if (torture_sanitized() && n >= 40)
        return n + 11;
    return n < ALL ? n + 1 : n + STRIDE;
}

static void torture_call(const torture_case *c)
{
    proof reference = {0};
    const size_t requests = play_well(c, &reference);
    size_t runs = 0;
    if (c->flags & QUIET) {
        ck_assert_msg(requests == 0, "%s, %s: asks for memory", c->function, c->what);
        ck_assert_uint_eq(play(c, 1, SIZE_MAX, &reference), 0);
    } else {
        ck_assert_msg(requests > 0, "%s, %s: never asks for memory", c->function, c->what);
    }
    for (int gone = 0; gone < 2 && requests; gone++)
        for (size_t n = 1;; n = next_request(n, requests)) {
            if (play(c, n, gone ? SIZE_MAX : n, &reference) == 0) {
                SURE(n > requests / 2); /* no case ends for another reason */
                break;
            }
            runs++;
        }
    free(reference.bytes);
    printf("# %s, %s: %zu requests, %zu failing runs\n", c->function, c->what, requests, runs);
    fflush(stdout);
    totals->runs += runs;
    totals->requests += requests;
    totals->cases++;
}

START_TEST(fails_in_turn)
{
    torture_call(cases[_i]);
}
END_TEST

/* --- every function has a case ---------------------------------------------------------------- */

static bool named(const char *name, size_t len)
{
    for (size_t i = 0; i < case_count; i++)
        if (strlen(cases[i]->function) == len && memcmp(cases[i]->function, name, len) == 0)
            return true;
    return false;
}

/* Functions in the text of a symbol map; the first one that no case names is written to `missing`. */
static size_t mapped(const char *text, char missing[64])
{
    size_t count = 0;
    missing[0] = '\0';
    for (const char *at = strstr(text, "global:"); at && (at = strstr(at, " stg_")); at++) {
        const char *name = at + 1;
        const size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz_0123456789");
        if (name[len] != ';')
            continue;
        count++;
        if (!named(name, len) && !missing[0])
            snprintf(missing, 64, "%.*s", (int)len, name);
    }
    return count;
}

static size_t functions(void)
{
    size_t count = 0;
    for (size_t i = 0; i < case_count; i++) {
        size_t first = 0;
        while (strcmp(cases[first]->function, cases[i]->function) != 0)
            first++;
        count += first == i;
    }
    return count;
}

START_TEST(every_function_has_a_case)
{
    static char text[65536];
    char missing[64];
    FILE *file = fopen(STG_MAP, "r");
    ck_assert_ptr_nonnull(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const size_t count = mapped(text, missing);
    ck_assert_msg(!missing[0], "%s has no case", missing);
    ck_assert_uint_ge(count, 80);
    ck_assert_uint_eq(functions(), count); /* and no case names a function that is gone */
    char *last = strrchr(text, ';');
    ck_assert_ptr_nonnull(last);
    strcpy(strstr(text, "stg_bundle_describe"), "stg_planted; stg_version; };");
    ck_assert_uint_eq(mapped(text, missing), 2);
    ck_assert_str_eq(missing, "stg_planted"); /* the check sees one that is missing */
}
END_TEST

/* --- before ----------------------------------------------------------------------------------- */

static const char *read_file(torture_file *to, const char *path)
{
    FILE *file = path ? fopen(path, "rb") : NULL;
    if (!file)
        return "MODEL_FILE names no file";
    to->bytes = (char *)malloc(1 << 24);
    to->len = to->bytes ? fread(to->bytes, 1, 1 << 24, file) : 0;
    fclose(file);
    return to->len ? NULL : "MODEL_FILE cannot be read";
}

static int32_t learn_file(torture_file *to, const stg_trainer_opts *opts)
{
    stg_ctx *ctx;
    stg_bundle *b = NULL;
    const stg_model *m = NULL;
    stg_error err;
    STG_RETURN_IF_ERROR(stg_ctx_create(&ctx, NULL));
    int32_t status = learn(ctx, opts, 4, 60, 11, &m, &err);
    if (status == STG_OK)
        status = stg_bundle_open(&b, ctx, NULL, &err);
    if (status == STG_OK)
        status = stg_model_store(m, b);
    for (uint64_t i = 0; status == STG_OK && i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "other/%u", (unsigned)i);
        status = stg__bundle_put(b, name, STG__U64, 1, (uint64_t[]){1}, &i);
        if (status == STG_OK)
            status = stg__bundle_set_meta(b, name, "a text \xc3\xa4 \"quoted\"");
    }
    if (status == STG_OK && stg_bundle_serialize(b, NULL, 0, &to->len) == STG_MORE) {
        to->bytes = (char *)malloc(to->len);
        status = to->bytes ? stg_bundle_serialize(b, to->bytes, to->len, &to->len) : STG_E_NOMEM;
    }
    stg_unref(m);
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
    return status;
}

static const char *learn_all(void)
{
    for (int k = 0; k <= LEARN_KINDS; k++) {
        const bool stateful = k == LEARN_KINDS;
        stg_trainer_opts opts = learn_small(stateful ? "dcrnn" : learn_kinds[k]);
        opts.cell = stateful ? "dclstm" : NULL;
        opts.warmup = stateful ? 3 : 0;
        if (learn_file(&torture_small[k], &opts) != STG_OK)
            return "no small model could be learnt";
    }
    return read_file(&torture_line, getenv("MODEL_FILE"));
}

static void list_cases(Suite *suite)
{
    TCase *all = tcase_create("table");
    tcase_add_test(all, every_function_has_a_case);
    suite_add_tcase(suite, all);
    for (size_t t = 0; t < TABLES; t++)
        for (size_t i = 0; i < tables[t]->count; i++) {
            const torture_case *c = &tables[t]->cases[i];
            cases[case_count++] = c;
            TCase *tcase = tcase_create(c->function);
            tcase_set_timeout(tcase, 120);
            tcase_add_loop_test(tcase, fails_in_turn, (int)case_count - 1, (int)case_count);
            suite_add_tcase(suite, tcase);
        }
}

int main(void)
{
    Suite *suite = suite_create("torture");
    mallopt(M_MMAP_THRESHOLD, 1 << 30); /* thousands of runs: pages shall stay */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    totals = (struct totals *)mmap(NULL, sizeof *totals, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    const char *wrong = totals == MAP_FAILED ? "no shared memory" : learn_all();
    if (wrong) {
        printf("Bail out! %s\n", wrong);
        return EXIT_FAILURE;
    }
    list_cases(suite);
    const int code = test_run(suite);
    printf("# %zu functions, %zu cases, %zu requests, %zu failing runs\n", functions(),
           (size_t)totals->cases, (size_t)totals->requests, (size_t)totals->runs);
    for (int k = 0; k <= LEARN_KINDS; k++)
        free(torture_small[k].bytes);
    free(torture_line.bytes);
    return code;
}
