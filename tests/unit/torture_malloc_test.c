/* SPDX-License-Identifier: Apache-2.0 */
/*
 * malloc itself fails, for what no allocator of a context reaches: cJSON, which reads the header of a
 * bundle, and the C library's files. Every request in turn, once alone and once with all behind it: a
 * good file is then out of memory, never malformed; nothing is left; made again the call is well.
 *
 * The program's own malloc stands before the C library's. Where that cannot be, under a sanitizer or
 * valgrind, the requests go through cJSON's hooks and the context's allocator instead.
 */
#include <cJSON.h>
#include <errno.h>
#include <unistd.h>

#include <stgraph/stgraph.h>

#include "base_priv.h"
#include "test.h"

#define ALL 2000u  /* every request up to here fails, */
#define STRIDE 97u /* beyond it every so manieth */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

static struct {
    size_t requests;
    size_t failed;
    size_t from; /* 0: none fails */
    size_t to;
    long live;
} memory;

static bool refuses(void)
{
    memory.requests++;
    if (!memory.from || memory.requests < memory.from || memory.requests > memory.to)
        return false;
    memory.failed++;
    errno = ENOMEM;
    return true;
}

#ifdef SANITIZED
#define REAL(name) name
#else
#define REAL(name) __libc_##name
extern void *__libc_malloc(size_t bytes);
extern void *__libc_calloc(size_t count, size_t bytes);
extern void *__libc_realloc(void *block, size_t bytes);
extern void __libc_free(void *block);
#endif

static void *take(size_t bytes)
{
    void *block = refuses() ? NULL : REAL(malloc)(bytes);
    memory.live += block != NULL;
    return block;
}

static void *retake(void *block, size_t bytes)
{
    void *moved = refuses() ? NULL : REAL(realloc)(block, bytes);
    memory.live += moved && !block;
    return moved;
}

static void give_back(void *block)
{
    memory.live -= block != NULL;
    REAL(free)(block);
}

#ifndef SANITIZED
void *malloc(size_t bytes)
{
    return take(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    void *block = refuses() ? NULL : REAL(calloc)(count, bytes);
    memory.live += block != NULL;
    return block;
}

void *realloc(void *block, size_t bytes)
{
    return retake(block, bytes);
}

void free(void *block)
{
    give_back(block);
}
#endif

/* --- the other way in ------------------------------------------------------------------------- */

static void *ctx_take(size_t bytes, void *user)
{
    return take(bytes);
}

static void *ctx_retake(void *block, size_t bytes, void *user)
{
    return retake(block, bytes);
}

static void ctx_give_back(void *block, void *user)
{
    give_back(block);
}

static const stg_allocator hooked = {ctx_take, ctx_retake, ctx_give_back, NULL};
static const stg_allocator *allocator; /* NULL: malloc is ours */

static void find_way(void)
{
    cJSON_Delete(cJSON_CreateNull());
    if (memory.requests > 0)
        return;
    cJSON_Hooks hooks = {take, give_back};
    cJSON_InitHooks(&hooks);
    allocator = &hooked;
    printf("# malloc is not ours here: cJSON's hooks and the context's allocator fail instead\n");
}

/* --- cases ------------------------------------------------------------------------------------ */

typedef struct stage {
    stg_ctx *ctx;
    stg_bundle *bundle;
    const stg_model *model;
    stg_detector *detector;
    stg_monitor *monitor;
    stg_error err;
} stage;

typedef struct file {
    char path[64];
    char *bytes;
    size_t len;
} file;

static file files[2]; /* a few tensors; the whole line */
static const file *now;
static char *out; /* as large as the larger file, twice */
static size_t out_cap;
static const char *target; /* of saving */

static int32_t open_file(stage *s)
{
    return stg_bundle_open(&s->bundle, s->ctx, now->path, &s->err);
}

static int32_t parse(stage *s)
{
    return stg_bundle_parse(&s->bundle, s->ctx, now->bytes, now->len, &s->err);
}

static int32_t save(stage *s)
{
    return stg_bundle_save(s->bundle, target, &s->err);
}

static int32_t serialize(stage *s)
{
    size_t len;
    return stg_bundle_serialize(s->bundle, out, out_cap, &len);
}

static int32_t describe(stage *s)
{
    size_t len;
    return stg_bundle_describe(s->bundle, out, out_cap, &len);
}

static int32_t load(stage *s)
{
    return stg_model_load(&s->model, s->bundle, &s->err);
}

static int32_t detector(stage *s)
{
    return stg_detector_create(&s->detector, s->ctx, s->bundle, NULL, &s->err);
}

static int32_t monitor(stage *s)
{
    return stg_monitor_create(&s->monitor, s->ctx, s->bundle, NULL, &s->err);
}

static const struct {
    const char *name;
    int32_t (*prepare)(stage *s);
    int32_t (*call)(stage *s);
    int most;      /* of the files */
    int least;
    bool quiet;    /* asks for nothing */
    bool manages;  /* the C library reads a file without a buffer when it must */
} cases[] = {
    {"stg_bundle_open", NULL, open_file, 0, 0, false, true},
    {"stg_bundle_parse", NULL, parse, 1, 0, false, false},
    {"stg_bundle_save", parse, save, 1, 0, false, false},
    {"stg_bundle_serialize", parse, serialize, 1, 0, true, false},
    {"stg_bundle_describe", parse, describe, 1, 0, true, false},
    {"stg_model_load", parse, load, 1, 1, false, false},
    {"stg_detector_create", parse, detector, 1, 1, false, false},
    {"stg_monitor_create", parse, monitor, 1, 1, false, false},
};
#define CASES ((int)(sizeof cases / sizeof *cases))

static int wrong(int i, size_t n, const char *what, int32_t status)
{
    printf("# %s, %s, request %zu: %s %s\n", cases[i].name, now->path, n, what,
           stg_status_name(status));
    return -1;
}

static bool same(const stage *s)
{
    size_t len = 0;
    return stg_bundle_serialize(s->bundle, out, out_cap, &len) == STG_OK && len == now->len &&
           memcmp(out, now->bytes, len) == 0;
}

/* How many requests failed; -1: something was wrong. */
static int play(int i, size_t from, size_t to)
{
    stage s = {0};
    const long live = memory.live;
    const stg_ctx_opts opts = {.size = sizeof opts, .allocator = allocator};
    if (stg_ctx_create(&s.ctx, &opts) != STG_OK || (cases[i].prepare && cases[i].prepare(&s) != STG_OK))
        return wrong(i, from, "cannot be prepared", STG_E_STATE);
    memory.requests = memory.failed = 0;
    memory.from = from;
    memory.to = to;
    int32_t status = cases[i].call(&s);
    memory.from = 0;
    const size_t failed = memory.failed;
    const bool well = status == STG_OK && (!failed || cases[i].manages);
    if (!well && (status != STG_E_NOMEM || !failed))
        return wrong(i, from, "gives", status);
    if (status == STG_E_NOMEM && !cases[i].quiet && (s.err.status != status || !s.err.text[0]))
        return wrong(i, from, "has the text of", s.err.status);
    if (status != STG_OK && (status = cases[i].call(&s)) != STG_OK)
        return wrong(i, from, "again gives", status);
    if (!same(&s))
        return wrong(i, from, "is another than", STG_OK);
    stg_monitor_destroy(s.monitor);
    stg_detector_destroy(s.detector);
    stg_unref(s.model);
    stg_bundle_destroy(s.bundle);
    stg_ctx_destroy(s.ctx);
    if (memory.live != live)
        return wrong(i, from, "leaves blocks after", STG_OK);
    return (int)failed;
}

static size_t next_request(size_t n)
{
    if (test_valgrind() && n >= 8)
        return n + 1 + n / 2;
    return n < ALL ? n + 1 : n + STRIDE;
}

/* Failing runs, all of them as they must be; -1: one was not. */
static long torture(int i)
{
    long runs = 0;
    if (play(i, 0, 0) != 0)
        return -1;
    if (cases[i].quiet)
        return play(i, 1, SIZE_MAX) == 0 ? 0 : -1;
    for (int gone = 0; gone < 2; gone++)
        for (size_t n = 1;; n = next_request(n)) {
            const int failed = play(i, n, gone ? SIZE_MAX : n);
            if (failed < 0)
                return -1;
            if (failed == 0)
                break;
            runs++;
        }
    return runs ? runs : -1;
}

/* --- files ------------------------------------------------------------------------------------ */

static bool read_file(file *to, const char *path)
{
    FILE *f = path ? fopen(path, "rb") : NULL;
    if (!f)
        return false;
    to->bytes = (char *)malloc(1 << 22);
    to->len = to->bytes ? fread(to->bytes, 1, 1 << 22, f) : 0;
    fclose(f);
    return to->len > 0;
}

static bool write_file(file *to)
{
    strcpy(to->path, "/tmp/stg-malloc-XXXXXX");
    const int fd = mkstemp(to->path);
    if (fd < 0)
        return false;
    const bool whole = write(fd, to->bytes, to->len) == (ssize_t)to->len;
    close(fd);
    return whole;
}

static bool make_small(file *to)
{
    stg_ctx *ctx;
    stg_bundle *b;
    bool good = stg_ctx_create(&ctx, NULL) == STG_OK && stg_bundle_open(&b, ctx, NULL, NULL) == STG_OK;
    for (uint64_t i = 0; good && i < 12; i++) {
        char name[32];
        const uint64_t shape[2] = {1 + i, 2};
        const double zero[32] = {0};
        snprintf(name, sizeof name, "test/\"%u\" \xc3\xa4", (unsigned)i);
        good = stg__bundle_put(b, name, STG__F64, 2, shape, zero) == STG_OK &&
               stg__bundle_set_meta(b, name, "a text\n\t\\ \xe2\x82\xac") == STG_OK;
    }
    to->bytes = (char *)malloc(65536);
    good = good && to->bytes && stg_bundle_serialize(b, to->bytes, 65536, &to->len) == STG_OK;
    stg_bundle_destroy(b);
    stg_ctx_destroy(ctx);
    return good;
}

int main(void)
{
    char saved[] = "/tmp/stg-malloc-saved-XXXXXX";
    int bad = 0;
    long all = 0;
    setvbuf(stdout, NULL, _IOLBF, 4096); /* its buffer is taken now, not in the midst of a case */
    find_way();
    const int fd = mkstemp(saved);
    if (fd < 0 || close(fd) != 0 || !make_small(&files[0]) || !write_file(&files[0]) ||
        !read_file(&files[1], getenv("MODEL_FILE")) || !write_file(&files[1])) {
        printf("Bail out! no files to try\n");
        return EXIT_FAILURE;
    }
    target = saved;
    out_cap = 2 * files[1].len;
    out = (char *)malloc(out_cap);
    printf("1..%d\n", CASES);
    for (int i = 0; i < CASES; i++) {
        long runs = 0;
        for (int k = cases[i].least; k <= cases[i].most && runs >= 0; k++) {
            now = &files[k];
            const long more = torture(i);
            runs = more < 0 ? -1 : runs + more;
        }
        printf("%s %d - %s, %ld failing runs\n", runs < 0 ? "not ok" : "ok", i + 1, cases[i].name, runs);
        bad += runs < 0;
        all += runs > 0 ? runs : 0;
    }
    printf("# %ld failing runs\n", all);
    for (int k = 0; k < 2; k++) {
        unlink(files[k].path);
        free(files[k].bytes);
    }
    unlink(saved);
    free(out);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
