/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader of PyTorch's checkpoints on small ones made here: every form that torch.save writes,
 * every view, what a stranger may have put in, and what a hostile file may say. Real ones are read in
 * tests/numeric/.
 */
#include <math.h>
#include <unistd.h>

#include "test.h"
#include "torch_file.h"
#include "torch_priv.h"

#define PUT(b, codes) torch_put(&(b)->pickle, codes, sizeof codes - 1)

/* One file on its way: its pickle is written first, then storages are added, then it is read. */
typedef struct bench {
    stg_ctx *ctx;
    torch_bytes pickle;
    torch_file file;
    stg_bundle *bundle;
    stg_error err;
} bench;

static void bench_open(bench *b)
{
    memset(b, 0, sizeof *b);
    b->ctx = test_ctx(NULL);
    torch_begin(&b->pickle, 2);
}

static void bench_close(bench *b)
{
    stg_bundle_destroy(b->bundle);
    stg_ctx_destroy(b->ctx);
    free(b->pickle.data);
    free(b->file.out.data);
}

static void bench_storage(bench *b, const char *key, const void *data, size_t len)
{
    char name[32];
    snprintf(name, sizeof name, "a/data/%s", key);
    torch_add(&b->file, name, data, len);
}

static void bench_end(bench *b)
{
    torch_code(&b->pickle, ".");
    torch_add(&b->file, "a/data.pkl", b->pickle.data, b->pickle.len);
    torch_add(&b->file, "a/version", "3\n", 2);
    torch_end(&b->file, 0);
}

static int32_t bench_read(bench *b)
{
    return stg__torch_read(&b->bundle, b->ctx, b->file.out.data, b->file.out.len, &b->err);
}

static void bench_good(bench *b)
{
    bench_end(b);
    ck_assert_msg(bench_read(b) == STG_OK, "%s", b->err.text);
}

static void bench_bad(bench *b, int32_t status, const char *says)
{
    bench_end(b);
    ck_assert_int_eq(bench_read(b), status);
    ck_assert_ptr_null(b->bundle);
    ck_assert_int_eq(b->err.status, status);
    ck_assert_msg(strstr(b->err.text, says) != NULL, "\"%s\" does not say \"%s\"", b->err.text, says);
}

/* A whole file with this pickle and nothing else, refused. */
static void refused(const char *codes, size_t len, int32_t status, const char *says)
{
    bench b;
    bench_open(&b);
    torch_put(&b.pickle, codes, len);
    bench_bad(&b, status, says);
    bench_close(&b);
}
#define REFUSED(codes, status, says) refused(codes, sizeof codes - 1, status, says)

static void meta_is(const bench *b, const char *key, const char *value)
{
    const char *is = stg__bundle_meta(b->bundle, key);
    ck_assert_msg(is ? value && strcmp(is, value) == 0 : !value, "%s is %s", key, is ? is : "missing");
}

static const stg__tensor *tensor_is(const bench *b, const char *name, uint32_t dtype, uint32_t dims,
                                    const uint64_t *shape)
{
    const stg__tensor *t = NULL;
    stg_error err = {0};
    ck_assert_msg(stg__bundle_get(b->bundle, name, dtype, dims, shape, &t, &err) == STG_OK, "%s",
                  err.text);
    return t;
}

static void floats_are(const bench *b, const char *name, uint32_t dims, const uint64_t *shape,
                       const float *numbers)
{
    const stg__tensor *t = tensor_is(b, name, STG__F32, dims, shape);
    ck_assert_mem_eq(t->data, numbers, t->bytes);
}

/* --- values ----------------------------------------------------------------------------------- */

/* The same nest in the forms of protocol 2 and of protocol 4. */
START_TEST(forms)
{
    static const char two[] = "}q\0(X\1\0\0\0aq\1K\7X\1\0\0\0b(K\1\211ccollections\nOrderedDict\n"
                              ")Rq\2X\1\0\0\0cG?\340\0\0\0\0\0\0stX\1\0\0\0l](X\2\0\0\0hiM\0\1h\2e"
                              "X\4\0\0\0sameh\2X\1\0\0\0nNX\1\0\0\0tK\1\205X\4\0\0\0long"
                              "J\376\377\377\377u";
    static const char four[] = "\225\1\0\0\0\0\0\0\0}\224(\214\1a\224K\7\214\1b(K\1\211\214\13"
                               "collections\214\13OrderedDict\223)R\224\214\1cG?\340\0\0\0\0\0\0st"
                               "\214\1l](\215\2\0\0\0\0\0\0\0hi\213\2\0\0\0\0\1h\2e\214\4sameh\2"
                               "\214\1nN\214\1tK\1\205\214\4long\212\1\376u";
    static const struct {
        const char *codes;
        size_t len;
        int protocol;
    } form[] = {{two, sizeof two - 1, 2}, {four, sizeof four - 1, 4}};
    for (int i = 0; i < 2; i++) {
        bench b;
        double half = 0;
        bench_open(&b);
        b.pickle.len = 0;
        torch_begin(&b.pickle, form[i].protocol);
        torch_put(&b.pickle, form[i].codes, form[i].len);
        bench_good(&b);
        meta_is(&b, "a", "7");
        meta_is(&b, "b/0", "1");
        meta_is(&b, "b/1", "false");
        ck_assert_int_eq(stg__bundle_meta_num(b.bundle, "b/2/c", &half), STG_OK);
        ck_assert(half == 0.5);
        ck_assert_int_eq(stg__bundle_meta_num(b.bundle, "same/c", &half), STG_OK);
        ck_assert_int_eq(stg__bundle_meta_num(b.bundle, "l/2/c", &half), STG_OK);
        meta_is(&b, "l/0", "hi");
        meta_is(&b, "l/1", "256");
        meta_is(&b, "n", NULL);
        meta_is(&b, "t/0", "1");
        meta_is(&b, "long", "-2");
        bench_close(&b);
    }
}
END_TEST

START_TEST(roots)
{
    bench b;
    bench_open(&b); /* LibCity's: a tuple of two dictionaries */
    PUT(&b, "}X\1\0\0\0wK\1s}K\5K\2s\206");
    bench_good(&b);
    meta_is(&b, "0/w", "1");
    meta_is(&b, "1/5", "2");
    bench_close(&b);
    REFUSED("K\1", STG_E_FORMAT, "no dictionary");
    REFUSED("cmodule\nModel\n)\201}b", STG_E_FORMAT, "state_dict");
    REFUSED("cos\nsystem\nX\4\0\0\0true\205R", STG_E_FORMAT, "no code is run");
}
END_TEST

START_TEST(keys)
{
    bench b;
    char key[520];
    bench_open(&b);
    torch_code(&b.pickle, "}(");
    static const char *const left_out[] = {"", "x/y", "x\ny", "\xff", "\xc2\x85", "__metadata__"};
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        torch_text(&b.pickle, left_out[i]);
        torch_int(&b.pickle, 1);
    }
    PUT(&b, "X\3\0\0\0a\0bK\1");
    torch_code(&b.pickle, "NK\1)K\1\x88K\1"); /* None, a tuple, True */
    for (size_t len = 510; len <= 512; len++) { /* the longest name is of 511 bytes */
        memset(key, 'k', len);
        key[len] = '\0';
        torch_text(&b.pickle, key);
        torch_int(&b.pickle, (int64_t)len);
    }
    torch_text(&b.pickle, "gr\xc3\xbcn");
    torch_text(&b.pickle, "\xe2\x82\xac");
    torch_int(&b.pickle, -9);
    torch_text(&b.pickle, "");
    torch_text(&b.pickle, "bad");
    torch_text(&b.pickle, "a\tb");
    torch_text(&b.pickle, "worse");
    torch_text(&b.pickle, "\xed\xa0\x80");
    torch_code(&b.pickle, "u");
    bench_good(&b);
    meta_is(&b, "gr\xc3\xbcn", "\xe2\x82\xac");
    meta_is(&b, "-9", "");
    meta_is(&b, "bad", NULL);
    meta_is(&b, "worse", NULL);
    meta_is(&b, "a", NULL);
    meta_is(&b, "__metadata__", NULL);
    key[511] = '\0';
    meta_is(&b, key, "511");
    size_t need = 0;
    char text[4096];
    ck_assert_int_eq(stg_bundle_describe(b.bundle, text, sizeof text, &need), STG_OK);
    size_t pairs = 0;
    for (const char *at = text; (at = strstr(at, "\":\"")); at++)
        pairs++;
    ck_assert_uint_eq(pairs, 4);
    bench_close(&b);
    REFUSED("}(X\1\0\0\0005K\1K\5K\2u", STG_E_FORMAT, "5 stands there twice");
    REFUSED("}(X\1\0\0\0a}X\1\0\0\0bK\1sX\1\0\0\0a}X\1\0\0\0bNsX\1\0\0\0a}X\1\0\0\0bK\2su", STG_E_FORMAT,
            "a/b stands there twice");
}
END_TEST

START_TEST(texts)
{
    bench b;
    char text[4098];
    memset(text, 'x', sizeof text);
    bench_open(&b);
    torch_code(&b.pickle, "}(");
    for (size_t len = 4096; len <= 4097; len++) {
        text[len] = '\0';
        torch_int(&b.pickle, (int64_t)len);
        torch_text(&b.pickle, text);
        text[len] = 'x';
    }
    torch_text(&b.pickle, "most");
    torch_int(&b.pickle, INT64_MAX);
    torch_text(&b.pickle, "least");
    torch_int(&b.pickle, INT64_MIN);
    torch_text(&b.pickle, "beyond");
    PUT(&b, "\212\11\377\377\377\377\377\377\377\377\0");
    torch_text(&b.pickle, "none");
    PUT(&b, "\212\0");
    torch_text(&b.pickle, "nan");
    PUT(&b, "G\177\370\0\0\0\0\0\0u");
    bench_good(&b);
    text[4096] = '\0';
    meta_is(&b, "4096", text);
    meta_is(&b, "4097", NULL);
    meta_is(&b, "most", "9223372036854775807");
    meta_is(&b, "least", "-9223372036854775808");
    meta_is(&b, "beyond", NULL);
    meta_is(&b, "none", "0");
    double nan = 0;
    ck_assert_int_eq(stg__bundle_meta_num(b.bundle, "nan", &nan), STG_OK);
    ck_assert(isnan(nan));
    bench_close(&b);
}
END_TEST

/* Calls of strangers, byte strings, sets: carried, added to, left out; nothing of it runs. */
START_TEST(opaque)
{
    bench b;
    char path[] = "/tmp/stgraph-torch-XXXXXX";
    char order[64];
    const int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
    snprintf(order, sizeof order, "rm %s", path);
    bench_open(&b);
    torch_code(&b.pickle, "}(");
    torch_text(&b.pickle, "evil");
    torch_global(&b.pickle, "os", "system");
    torch_text(&b.pickle, order);
    torch_code(&b.pickle, "\x85R");
    torch_text(&b.pickle, "scalar");
    torch_global(&b.pickle, "numpy.core.multiarray", "scalar");
    torch_global(&b.pickle, "numpy", "dtype");
    torch_text(&b.pickle, "f8");
    torch_code(&b.pickle, "\x89\x88\x87R(K\3X\1");
    PUT(&b, "\0\0\0<NNNJ\377\377\377\377J\377\377\377\377K\0tb");
    PUT(&b, "C\2ab\206R");
    torch_text(&b.pickle, "args");
    torch_global(&b.pickle, "argparse", "Namespace");
    torch_code(&b.pickle, ")\x81}");
    torch_text(&b.pickle, "lr");
    torch_code(&b.pickle, "K\1sb");
    torch_text(&b.pickle, "counter");
    torch_global(&b.pickle, "collections", "Counter");
    torch_code(&b.pickle, ")R(K\1K\2uK\1K\2s");
    torch_text(&b.pickle, "deque");
    torch_global(&b.pickle, "collections", "deque");
    torch_code(&b.pickle, ")R(K\1eK\2a");
    torch_text(&b.pickle, "pairs"); /* Python 3 writes them behind the call */
    torch_global(&b.pickle, "collections", "OrderedDict");
    torch_code(&b.pickle, "]\x85RK\1K\2s");
    torch_text(&b.pickle, "set");
    torch_code(&b.pickle, "\x8f(K\1\x90(K\1\x91\x86");
    torch_text(&b.pickle, "new");
    torch_code(&b.pickle, "cx\ny\n)}\x92");
    torch_text(&b.pickle, "name");
    torch_code(&b.pickle, "ctorch\nfloat32\n");
    torch_text(&b.pickle, "old");
    torch_code(&b.pickle, "U\2ab");
    torch_text(&b.pickle, "kept");
    torch_code(&b.pickle, "K\1u");
    bench_good(&b);
    size_t need = 0;
    char text[256];
    ck_assert_int_eq(stg_bundle_describe(b.bundle, text, sizeof text, &need), STG_OK);
    ck_assert_str_eq(text, "{\"metadata\":{\"kept\":\"1\"},\"tensors\":[]}");
    ck_assert_int_eq(unlink(path), 0); /* it is still there */
    bench_close(&b);
}
END_TEST

/* --- tensors ---------------------------------------------------------------------------------- */

#define SHAPE(...) (const uint64_t[]){__VA_ARGS__}
#define NUMBERS(...) (const int64_t[]){__VA_ARGS__}

START_TEST(views)
{
    static const float six[] = {0, 1, 2, 3, 4, 5};
    bench b;
    bench_open(&b);
    torch_code(&b.pickle, "}(");
    torch_text(&b.pickle, "whole");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 0, 2, NUMBERS(2, 3), NUMBERS(3, 1));
    torch_text(&b.pickle, "transposed");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 0, 2, NUMBERS(3, 2), NUMBERS(1, 3));
    torch_text(&b.pickle, "column");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 1, 1, NUMBERS(2), NUMBERS(3));
    torch_text(&b.pickle, "spread");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 2, 3, NUMBERS(2, 2, 1), NUMBERS(0, 3, 77));
    torch_text(&b.pickle, "four");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 0, 4, NUMBERS(1, 2, 1, 2), NUMBERS(9, 2, 9, 1));
    torch_text(&b.pickle, "one");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 5, 0, NULL, NULL);
    torch_text(&b.pickle, "none");
    torch_tensor(&b.pickle, "FloatStorage", "absent", 0, 7, 2, NUMBERS(3, 0), NUMBERS(1, 1));
    torch_text(&b.pickle, "parameter");
    torch_global(&b.pickle, "torch._utils", "_rebuild_parameter");
    torch_tensor(&b.pickle, "FloatStorage", "0", 6, 4, 1, NUMBERS(2), NUMBERS(1));
    torch_code(&b.pickle, "\x88)\x87Ru");
    bench_storage(&b, "0", six, sizeof six);
    bench_good(&b);
    floats_are(&b, "whole", 2, SHAPE(2, 3), six);
    floats_are(&b, "transposed", 2, SHAPE(3, 2), (const float[]){0, 3, 1, 4, 2, 5});
    floats_are(&b, "column", 1, SHAPE(2), (const float[]){1, 4});
    floats_are(&b, "spread", 3, SHAPE(2, 2, 1), (const float[]){2, 5, 2, 5});
    floats_are(&b, "four", 4, SHAPE(1, 2, 1, 2), (const float[]){0, 1, 2, 3});
    floats_are(&b, "one", 1, SHAPE(1), six + 5);
    floats_are(&b, "none", 2, SHAPE(3, 0), six);
    floats_are(&b, "parameter", 1, SHAPE(2), six + 4);
    ck_assert_uint_eq(stg__bundle_count(b.bundle), 8);
    bench_close(&b);
}
END_TEST

START_TEST(types)
{
    static const int64_t longs[] = {-1, INT64_MAX};
    static const int32_t ints[] = {-7, 9};
    static const double doubles[] = {0.1, -1e300};
    static const uint16_t small[] = {0x3fc0, 0xc000};
    bench b;
    bench_open(&b);
    torch_code(&b.pickle, "](");
    torch_tensor(&b.pickle, "LongStorage", "0", 2, 0, 1, NUMBERS(2), NUMBERS(1));
    torch_tensor(&b.pickle, "IntStorage", "1", 2, 0, 1, NUMBERS(2), NUMBERS(1));
    torch_tensor(&b.pickle, "DoubleStorage", "2", 2, 0, 1, NUMBERS(2), NUMBERS(1));
    torch_tensor(&b.pickle, "ByteStorage", "2", 16, 0, 1, NUMBERS(16), NUMBERS(1));
    torch_tensor(&b.pickle, "BoolStorage", "1", 4, 3, 1, NUMBERS(2), NUMBERS(0));
    torch_tensor(&b.pickle, "BFloat16Storage", "3", 2, 0, 1, NUMBERS(2), NUMBERS(1));
    torch_tensor(&b.pickle, "HalfStorage", "3", 2, 1, 1, NUMBERS(1), NUMBERS(1));
    torch_code(&b.pickle, "e");
    bench_storage(&b, "0", longs, sizeof longs);
    bench_storage(&b, "1", ints, sizeof ints);
    bench_storage(&b, "2", doubles, sizeof doubles);
    bench_storage(&b, "3", small, sizeof small);
    bench_good(&b);
    ck_assert_mem_eq(tensor_is(&b, "0", STG__I64, 1, SHAPE(2))->data, longs, sizeof longs);
    ck_assert_mem_eq(tensor_is(&b, "1", STG__I32, 1, SHAPE(2))->data, ints, sizeof ints);
    ck_assert_mem_eq(tensor_is(&b, "2", STG__F64, 1, SHAPE(2))->data, doubles, sizeof doubles);
    ck_assert_mem_eq(tensor_is(&b, "3", STG__U8, 1, SHAPE(16))->data, doubles, sizeof doubles);
    ck_assert_mem_eq(tensor_is(&b, "4", STG__U8, 1, SHAPE(2))->data, "\377\377", 2);
    floats_are(&b, "5", 1, SHAPE(2), (const float[]){1.5f, -2});
    floats_are(&b, "6", 1, SHAPE(1), (const float[]){-2});
    bench_close(&b);
}
END_TEST

static double half_value(uint32_t half)
{
    const int exponent = (int)(half >> 10 & 31);
    const double mantissa = half & 0x3ff;
    const double sign = half & 0x8000 ? -1 : 1;
    if (exponent == 31)
        return mantissa > 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

START_TEST(halves) /* all there are */
{
    for (uint32_t half = 0; half < 65536; half++) {
        const uint32_t bits = stg__torch_half(half);
        float value;
        memcpy(&value, &bits, sizeof value);
        const double expected = half_value(half);
        ck_assert_msg(isnan(expected) ? isnan(value)
                                      : (double)value == expected && !signbit(value) == !(half & 0x8000),
                      "half %04x", half);
    }
}
END_TEST

static void bad_tensor(const char *type, int64_t count, int64_t offset, uint32_t dims,
                       const int64_t *size, const int64_t *stride, int32_t status, const char *says)
{
    static const char bytes[24] = {0};
    bench b;
    bench_open(&b);
    torch_code(&b.pickle, "}(");
    torch_text(&b.pickle, "w");
    torch_tensor(&b.pickle, type, "0", count, offset, dims, size, stride);
    torch_code(&b.pickle, "u");
    bench_storage(&b, "0", bytes, sizeof bytes);
    bench_bad(&b, status, says);
    bench_close(&b);
}

START_TEST(tensors_refused)
{
    const char *beyond = "tensor w: it reaches beyond its storage";
    const char *wrong = "malformed or negative";
    const int64_t top = (int64_t)1 << 62;
    bad_tensor("FloatStorage", 6, 1, 1, NUMBERS(6), NUMBERS(1), STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", 6, 6, 0, NULL, NULL, STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", 0, 0, 0, NULL, NULL, STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", 6, 0, 2, NUMBERS(2, 2), NUMBERS(5, 1), STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", 6, top, 2, NUMBERS(5, 2), NUMBERS(top, top), STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", 6, INT64_MAX, 2, NUMBERS(3, 3), NUMBERS(top, top), STG_E_FORMAT, beyond);
    bad_tensor("FloatStorage", top, top - 1, 1, NUMBERS(1), NUMBERS(1), STG_E_FORMAT, "shorter");
    bad_tensor("FloatStorage", 7, 0, 1, NUMBERS(2), NUMBERS(1), STG_E_FORMAT, "shorter");
    bad_tensor("FloatStorage", -1, 0, 1, NUMBERS(2), NUMBERS(1), STG_E_FORMAT, "storage is malformed");
    bad_tensor("FloatStorage", 6, -1, 1, NUMBERS(2), NUMBERS(1), STG_E_FORMAT, wrong);
    bad_tensor("FloatStorage", 6, 1, 1, NUMBERS(-2), NUMBERS(1), STG_E_FORMAT, wrong);
    bad_tensor("FloatStorage", 6, 5, 1, NUMBERS(2), NUMBERS(-1), STG_E_FORMAT, wrong);
    bad_tensor("FloatStorage", 6, 0, 5, NUMBERS(1, 1, 1, 1, 1), NUMBERS(1, 1, 1, 1, 1), STG_E_FORMAT,
               "tensor w: it has more than 4 dimensions");
    bad_tensor("CharStorage", 6, 0, 1, NUMBERS(2), NUMBERS(1), STG_E_FORMAT, "type CharStorage");
    bad_tensor("Float\xff", 6, 0, 1, NUMBERS(2), NUMBERS(1), STG_E_FORMAT, "type Float?");
    bad_tensor("FloatStorage", 6, 0, 2, NUMBERS(top, 0), NUMBERS(1, 1), STG_E_LIMIT, "too large");
}
END_TEST

/* Nothing of this size is ever asked for. */
START_TEST(expansion)
{
    const int64_t top = (int64_t)1 << 62;
    bad_tensor("FloatStorage", 6, 0, 1, NUMBERS(1 + (1 << 28)), NUMBERS(0), STG_E_LIMIT, "1 GiB");
    bad_tensor("ByteStorage", 6, 0, 3, NUMBERS(top, top, 4), NUMBERS(0, 0, 0), STG_E_LIMIT, "1 GiB");
    bad_tensor("ByteStorage", 6, 0, 2, NUMBERS(1 << 20, 1025), NUMBERS(0, 0), STG_E_LIMIT, "1 GiB");
    bad_tensor("HalfStorage", 6, 0, 2, NUMBERS(1 << 20, 257), NUMBERS(0, 0), STG_E_LIMIT, "1 GiB");
}
END_TEST

/* Views of one storage count each. */
START_TEST(expansion_in_all)
{
    bench b;
    bench_open(&b);
    torch_tensor(&b.pickle, "FloatStorage", "0", 1, 0, 1, NUMBERS(2), NUMBERS(0));
    bench_storage(&b, "0", "abcd", 4);
    bench_end(&b);
    stg__torch t = {.ctx = b.ctx, .archive = "a", .archive_len = 1, .err = &b.err};
    ck_assert_int_eq(stg_bundle_open(&b.bundle, b.ctx, NULL, &b.err), STG_OK);
    t.bundle = b.bundle;
    ck_assert_int_eq(stg__zip_open(&t.zip, b.ctx, b.file.out.data, b.file.out.len, &b.err), STG_OK);
    ck_assert_int_eq(stg__pickle_read(&t.pickle, b.ctx, b.pickle.data, b.pickle.len, &b.err), STG_OK);
    t.bytes = STG__TORCH_MAX_BYTES - 15;
    ck_assert_int_eq(stg__torch_tensor(&t, "x", t.pickle.root), STG_OK);
    ck_assert_int_eq(stg__torch_tensor(&t, "y", t.pickle.root), STG_E_LIMIT);
    ck_assert_uint_eq(stg__bundle_count(b.bundle), 1);
    stg__pickle_close(&t.pickle);
    stg__zip_close(&t.zip);
    bench_close(&b);
}
END_TEST

START_TEST(tensors_malformed)
{
#define REBUILD "ctorch._utils\n_rebuild_tensor_v2\n"
#define ID "((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0" "0X\0\0\0\0K\6tQ"
    REFUSED("]" REBUILD "K\1R", STG_E_FORMAT, "without a tuple");
    REFUSED("]" REBUILD ")Ra", STG_E_FORMAT, "tensor 0: it is malformed");
    REFUSED("]" REBUILD "(K\1K\0))tRa", STG_E_FORMAT, "tensor 0: it is malformed");
    REFUSED("]" REBUILD ID "K\0]]tRa", STG_E_FORMAT, "its sizes are malformed");
    REFUSED("]" REBUILD ID "K\0K\1\205)tRa", STG_E_FORMAT, "malformed or negative");
    REFUSED("]" REBUILD ID "K\0N\205K\1\205tRa", STG_E_FORMAT, "malformed or negative");
    REFUSED("]" REBUILD ID "K\0K\1\205K\1\205tRa", STG_E_FORMAT, "its storage is missing");
    REFUSED("]ctorch._utils\n_rebuild_tensor_v3\n)Ra", STG_E_FORMAT, "newer type");
    REFUSED("X\7\0\0\0storage\205Q", STG_E_FORMAT, "persistent id");
    REFUSED("K\1Q", STG_E_FORMAT, "persistent id");
}
END_TEST

/* --- hostile pickles -------------------------------------------------------------------------- */

START_TEST(loops)
{
    REFUSED("}q\0X\1\0\0\0ah\0s", STG_E_LIMIT, "nested");
    REFUSED("]q\0h\0a", STG_E_LIMIT, "nested");
    bench b; /* 2^25 ways to nothing */
    bench_open(&b);
    torch_code(&b.pickle, "]");
    for (int i = 0; i < 25; i++)
        torch_code(&b.pickle, "2\206");
    bench_bad(&b, STG_E_LIMIT, "more than 262144 values");
    bench_close(&b);
    bench_open(&b); /* and to one setting each */
    torch_code(&b.pickle, "K\1");
    for (int i = 0; i < 17; i++)
        torch_code(&b.pickle, "2\206");
    bench_bad(&b, STG_E_LIMIT, "65536 settings");
    bench_close(&b);
}
END_TEST

START_TEST(limits)
{
    static const struct {
        const char *codes; /* again and again */
        uint32_t times;
    } list[] = {{"N", STG__PICKLE_MAX_VALUES}, {"(", STG__PICKLE_MAX_MARKS + 1},
                {"2", STG__PICKLE_MAX_VALUES}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        bench b;
        bench_open(&b);
        torch_code(&b.pickle, "N");
        for (uint32_t n = 0; n < list[i].times; n++)
            torch_code(&b.pickle, list[i].codes);
        bench_bad(&b, STG_E_LIMIT, "more values");
        bench_close(&b);
    }
    REFUSED("]r\377\377\377\377", STG_E_LIMIT, "more values");
    REFUSED("]r\0\0\20\0", STG_E_LIMIT, "more values");
}
END_TEST

START_TEST(opcodes)
{
    REFUSED("", STG_E_FORMAT, "not one value");
    REFUSED("]]", STG_E_FORMAT, "not one value");
    REFUSED("](", STG_E_FORMAT, "not one value");
    REFUSED("].]", STG_E_FORMAT, "behind the end");
    REFUSED("I1\n", STG_E_FORMAT, "byte 2: opcode 0x49 (INT)");
    REFUSED("]i", STG_E_FORMAT, "byte 3: opcode 0x69 (INST)");
    REFUSED("\377", STG_E_FORMAT, "byte 2: opcode 0xff (?)");
    REFUSED("\200\6", STG_E_FORMAT, "protocol");
    REFUSED("\225\377\377\377\377\377\377\377\377", STG_E_FORMAT, "cut short");
    REFUSED("\215\377\377\377\377\377\377\377\377", STG_E_FORMAT, "cut short");
    REFUSED("X\377\377\377\377", STG_E_FORMAT, "cut short");
    REFUSED("\213\377\377\377\377", STG_E_FORMAT, "cut short");
    REFUSED("cos", STG_E_FORMAT, "cut short");
    REFUSED("h\0", STG_E_FORMAT, "never remembered");
    REFUSED("]q\1h\0", STG_E_FORMAT, "never remembered");
    REFUSED("q\0", STG_E_FORMAT, "nothing to remember");
    REFUSED("](q\0", STG_E_FORMAT, "nothing to remember");
    REFUSED("](\205", STG_E_FORMAT, "nothing on the stack");
    REFUSED("](2", STG_E_FORMAT, "nothing on the stack");
    REFUSED("0", STG_E_FORMAT, "nothing on the stack");
    REFUSED("1", STG_E_FORMAT, "no mark");
    REFUSED("e", STG_E_FORMAT, "no mark");
    REFUSED("(e", STG_E_FORMAT, "nothing on the stack");
    REFUSED("](a", STG_E_FORMAT, "nothing on the stack");
    REFUSED("]((N\206", STG_E_FORMAT, "nothing on the stack");
    REFUSED("b", STG_E_FORMAT, "nothing on the stack");
    REFUSED("]b", STG_E_FORMAT, "nothing on the stack");
    REFUSED("R", STG_E_FORMAT, "nothing on the stack");
    REFUSED(")Na", STG_E_FORMAT, "another kind");
    REFUSED("]NNs", STG_E_FORMAT, "another kind");
    REFUSED("}(Nu", STG_E_FORMAT, "a key without a value");
    REFUSED("(Nd", STG_E_FORMAT, "a key without a value");
    REFUSED("NN\223", STG_E_FORMAT, "not a text");
    REFUSED("]N0N(0(N10(1N\205a00", STG_E_FORMAT, "byte 18: nothing on the stack");
}
END_TEST

/* --- files ------------------------------------------------------------------------------------ */

static void small(bench *b, int wide)
{
    static const float numbers[] = {1, 2, 3, 4};
    bench_open(b);
    torch_code(&b->pickle, "}(");
    torch_text(&b->pickle, "lr");
    PUT(b, "G?\340\0\0\0\0\0\0");
    torch_text(&b->pickle, "w");
    torch_tensor(&b->pickle, "FloatStorage", "0", 4, 0, 2, NUMBERS(2, 2), NUMBERS(1, 2));
    torch_text(&b->pickle, "h");
    torch_tensor(&b->pickle, "FloatStorage", "0", 4, 2, 1, NUMBERS(2), NUMBERS(1));
    torch_code(&b->pickle, "u.");
    torch_add(&b->file, "a/data.pkl", b->pickle.data, b->pickle.len);
    torch_add(&b->file, "a/byteorder", "little", 6);
    bench_storage(b, "0", numbers, sizeof numbers);
    torch_add(&b->file, "a/version", "3\n", 2);
    torch_end(&b->file, wide);
}

static int32_t try(bench *b, const unsigned char *data, size_t len)
{
    stg_bundle *bundle = NULL;
    b->err = (stg_error){0};
    const int32_t status = stg__torch_read(&bundle, b->ctx, data, len, &b->err);
    ck_assert((status == STG_OK) == (bundle != NULL));
    ck_assert(status == STG_OK || (b->err.status == status && b->err.text[0]));
    stg_bundle_destroy(bundle);
    return status;
}

/* Every prefix is refused; every other value of every byte does no harm. In blocks of exactly their
 * length, so that a sanitizer sees a read behind them. */
START_TEST(cuts_and_changes)
{
    for (int wide = 0; wide < 2; wide++) {
        bench b;
        small(&b, wide);
        const size_t len = b.file.out.len;
        ck_assert_msg(bench_read(&b) == STG_OK, "%s", b.err.text);
        floats_are(&b, "w", 2, SHAPE(2, 2), (const float[]){1, 3, 2, 4});
        for (size_t cut = 0; cut < len; cut++) {
            unsigned char *copy = (unsigned char *)malloc(cut ? cut : 1);
            ck_assert_ptr_nonnull(copy);
            memcpy(copy, b.file.out.data, cut);
            ck_assert_int_eq(try(&b, copy, cut), STG_E_FORMAT);
            free(copy);
        }
        const int step = test_valgrind() ? 51 : 1;
        for (size_t at = 0; at < len; at++)
            for (int change = 1; change < 256; change += step) {
                b.file.out.data[at] ^= (unsigned char)change;
                try(&b, b.file.out.data, len);
                b.file.out.data[at] ^= (unsigned char)change;
            }
        bench_close(&b);
    }
}
END_TEST

/* The same of the pickle alone, with a right sum. */
START_TEST(pickle_cuts_and_changes)
{
    bench b;
    small(&b, 0);
    stg__pickle p;
    unsigned char *copy = (unsigned char *)malloc(b.pickle.len);
    ck_assert_ptr_nonnull(copy);
    for (size_t cut = 0; cut < b.pickle.len; cut++) {
        memcpy(copy, b.pickle.data, cut);
        ck_assert_int_eq(stg__pickle_read(&p, b.ctx, copy, cut, &b.err), STG_E_FORMAT);
        stg__pickle_close(&p);
    }
    const int step = test_valgrind() ? 51 : 1;
    for (size_t at = 0; at < b.pickle.len; at++)
        for (int change = 1; change < 256; change += step) {
            torch_file f = {0};
            memcpy(copy, b.pickle.data, b.pickle.len);
            copy[at] ^= (unsigned char)change;
            torch_add(&f, "a/data.pkl", copy, b.pickle.len);
            torch_add(&f, "a/data/0", "0123456789abcdef", 16);
            torch_add(&f, "a/version", "3\n", 2);
            torch_end(&f, 0);
            try(&b, f.out.data, f.out.len);
            free(f.out.data);
        }
    free(copy);
    bench_close(&b);
}
END_TEST

START_TEST(memory_fails)
{
    for (size_t n = 1;; n++) {
        test_memory memory;
        bench b;
        small(&b, 1);
        stg_ctx_destroy(b.ctx);
        test_memory_init(&memory);
        b.ctx = test_ctx(&memory);
        const size_t before = memory.live;
        memory.fail_at = memory.requests + n;
        const int32_t status = bench_read(&b);
        ck_assert(status == STG_OK || (status == STG_E_NOMEM && b.err.status == STG_E_NOMEM));
        ck_assert(status == STG_OK || memory.live == before);
        memory.fail_at = 0;
        bench_close(&b);
        ck_assert_uint_eq(memory.live, 0);
        if (status == STG_OK) {
            ck_assert_uint_gt(n, 15);
            return;
        }
    }
}
END_TEST

/* Changes bytes of the first directory entry (of its own header with `local`) and reads. */
static void bad_entry(uint32_t local, size_t at, uint64_t value, int bytes, const char *says)
{
    bench b;
    small(&b, 0);
    size_t begin = 0;
    while (!local && memcmp(b.file.out.data + begin, "PK\1\2", 4) != 0)
        begin++;
    for (int i = 0; i < bytes; i++)
        b.file.out.data[begin + at + (size_t)i] = (unsigned char)(value >> 8 * i);
    ck_assert_int_eq(bench_read(&b), STG_E_FORMAT);
    ck_assert_msg(strstr(b.err.text, says) != NULL, "\"%s\" does not say \"%s\"", b.err.text, says);
    bench_close(&b);
}

START_TEST(zip_entries)
{
    bad_entry(0, 10, 8, 2, "a/data.pkl is compressed");
    bad_entry(0, 8, 1, 2, "a/data.pkl is encrypted");
    bad_entry(0, 34, 1, 2, "another part");
    bad_entry(0, 16, 1, 4, "a/data.pkl is damaged");
    bad_entry(0, 20, 9, 4, "two sizes");
    bad_entry(0, 20, 0x7fffffff7fffffffu, 8, "outside of the file");
    bad_entry(0, 20, 0xffffffffffffffffu, 8, "lacks its long sizes");
    bad_entry(0, 28, 0xffff, 2, "cut short");
    bad_entry(0, 42, 0xfffffff0u, 4, "outside of the file");
    bad_entry(0, 42, 5, 4, "no header of its own");
    bad_entry(0, 46, 'b', 1, "another one by its own header");
    bad_entry(1, 8, 8, 2, "another one by its own header");
    bad_entry(1, 22, 8, 4, "another size by its own header");
    bad_entry(1, 28, 0xffff, 2, "no header of its own");
    bad_entry(0, 0, 0, 1, "directory is malformed");
}
END_TEST

/* Two directory entries for the same bytes, and entries inside of another. */
START_TEST(zip_overlaps)
{
    bench b;
    bench_open(&b);
    torch_code(&b.pickle, "}");
    bench_end(&b);
    bench_close(&b);
    for (int inside = 0; inside < 2; inside++) {
        torch_file f = {0};
        torch_file outer = {0};
        bench_open(&b);
        torch_add(&f, "a/data.pkl", "\200\2}.", 4);
        torch_add(&outer, "a/whole", f.out.data, f.out.len);
        torch_add(&outer, "a/version", "3\n", 2);
        if (inside) { /* its header stands in the bytes of the first */
            torch_add(&f, "a/version", "3\n", 2);
            outer.entry[outer.entries] = f.entry[0];
            outer.entry[outer.entries++].at = 30 + 7;
        } else {
            outer.entry[outer.entries] = outer.entry[0];
            outer.entries++;
        }
        torch_end(&outer, inside);
        ck_assert_int_eq(try(&b, outer.out.data, outer.out.len), STG_E_FORMAT);
        ck_assert_msg(strstr(b.err.text, "overlaps another one"), "%s", b.err.text);
        free(f.out.data);
        free(outer.out.data);
        bench_close(&b);
    }
}
END_TEST

START_TEST(zip_counts)
{
    bench b;
    small(&b, 1);
    unsigned char *end = b.file.out.data + b.file.out.len - 22 - 20 - 56;
    end[32 + 2] = 2;
    ck_assert_int_eq(bench_read(&b), STG_E_LIMIT);
    end[32 + 2] = 0;
    end[32] = 200;
    ck_assert_int_eq(bench_read(&b), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "shorter than its entries"));
    end[32] = 4;
    memset(end + 40, 255, 8);
    ck_assert_int_eq(bench_read(&b), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "directory lies outside of the file"));
    memset(end + 40, 0, 8);
    memset(end + 48, 255, 8);
    ck_assert_int_eq(bench_read(&b), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "directory lies outside of the file"));
    bench_close(&b);
}
END_TEST

static void archive(const char *const *name, const char *const *data, uint32_t count, const char *says)
{
    bench b;
    torch_file f = {0};
    bench_open(&b);
    for (uint32_t i = 0; i < count; i++)
        torch_add(&f, name[i], data[i], strlen(data[i]));
    torch_end(&f, 0);
    const int32_t status = try(&b, f.out.data, f.out.len);
    ck_assert_int_eq(status, says ? STG_E_FORMAT : STG_OK);
    ck_assert_msg(!says || strstr(b.err.text, says), "%s", b.err.text);
    free(f.out.data);
    bench_close(&b);
}
#define ARCHIVE(says, count, ...)                                                                  \
    archive((const char *const[]){"m/data.pkl", "m/version", __VA_ARGS__},                         \
            (const char *const[]){"\200\2}.", "3\n", "little", "little"}, count, says)

START_TEST(archives)
{
    ARCHIVE(NULL, 2, NULL);
    ARCHIVE(NULL, 3, "m/byteorder");
    ARCHIVE(NULL, 3, "m/deep/data.pkl");
    ARCHIVE("two entries data.pkl", 3, "n/data.pkl");
    ARCHIVE("stands there twice", 3, "m/version");
    ARCHIVE("TorchScript", 3, "m/constants.pkl");
    ARCHIVE("no version", 1, NULL);
    archive((const char *const[]){"x", "y"}, (const char *const[]){"x", "y"}, 2, "no data.pkl");
    archive((const char *const[]){"m/data.pkl", "m/version", "m/byteorder"},
            (const char *const[]){"\200\2}.", "3\n", "big"}, 3, "little-endian");
    archive((const char *const[]){"m/data.pkl", "m/version"}, (const char *const[]){"\200\2}.", "x"}, 2,
            "version is not a number");
}
END_TEST

START_TEST(other_files)
{
    bench b;
    unsigned char tar[512] = {0};
    stg_bundle *none;
    bench_open(&b);
    memcpy(tar + 257, "ustar", 5);
    ck_assert_int_eq(try(&b, tar, sizeof tar), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "a tar file"));
    ck_assert_int_eq(try(&b, (const unsigned char *)"\200\2\212\12l\374\234F\371 j\250P\31.", 15),
                     STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "before PyTorch 1.6"));
    ck_assert_int_eq(try(&b, (const unsigned char *)"\200\4}.", 4), STG_E_FORMAT);
    ck_assert_ptr_nonnull(strstr(b.err.text, "a plain pickle"));
    ck_assert_int_eq(try(&b, NULL, 0), STG_E_FORMAT);
    ck_assert_int_eq(try(&b, (const unsigned char *)"PK\3\4", 4), STG_E_FORMAT);
    ck_assert_int_eq(stg__torch_read(NULL, b.ctx, "", 0, NULL), STG_E_INVALID);
    ck_assert_int_eq(stg__torch_read(&none, b.ctx, NULL, 1, NULL), STG_E_INVALID);
    bench_close(&b);
}
END_TEST

TEST_SUITE("torch", forms, roots, keys, texts, opaque, views, types, halves,
           tensors_refused, expansion, expansion_in_all, tensors_malformed, loops, limits, opcodes,
           cuts_and_changes, pickle_cuts_and_changes, memory_fails, zip_entries, zip_overlaps,
           zip_counts, archives, other_files)
