/* SPDX-License-Identifier: Apache-2.0 */
/* Base: status names, growing structs, hashes and random numbers by known answers, names, text. */
#include <locale.h>
#include <math.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base_priv.h"
#include "test.h"

START_TEST(status_names)
{
    ck_assert_str_eq(stg_status_name(STG_OK), "OK");
    ck_assert_str_eq(stg_status_name(STG_E_NOMEM), "E_NOMEM");
    ck_assert_str_eq(stg_status_name(-12345), "?");
    ck_assert_uint_eq(stg_version(), STG_VERSION_NUMBER);
}
END_TEST

START_TEST(options_grow)
{
    struct {
        stg_ctx_opts known;
        uint64_t future;
    } o = {{.size = sizeof o, .log_level = STG_LOG_INFO}, 0};
    stg_ctx *ctx = NULL;
    ck_assert_int_eq(stg_ctx_create(&ctx, &o.known), STG_OK);
    stg_ctx_destroy(ctx);
    o.future = 1; /* asks for something this library does not know */
    ck_assert_int_eq(stg_ctx_create(&ctx, &o.known), STG_E_VERSION);
    ck_assert_ptr_null(ctx);
    stg_ctx_opts old = {.size = offsetof(stg_ctx_opts, log_level), .log_level = 77};
    ck_assert_int_eq(stg_ctx_create(&ctx, &old), STG_OK);
    ck_assert_uint_eq(ctx->log_level, STG_LOG_WARN); /* not read: beyond the caller's size */
    stg_ctx_destroy(ctx);
    old.size = SIZE_MAX; /* an uninitialised struct, not one from the future */
    ck_assert_int_eq(stg_ctx_create(&ctx, &old), STG_E_INVALID);
    old.size = 3;
    ck_assert_int_eq(stg_ctx_create(&ctx, &old), STG_E_INVALID);
}
END_TEST

START_TEST(fork_is_seen)
{
    stg_ctx *ctx = test_ctx(NULL);
    ck_assert(!stg__ctx_forked(ctx));
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(stg__ctx_forked(ctx) ? 0 : 1);
    int state = -1;
    ck_assert_int_eq(waitpid(child, &state, 0), child);
    ck_assert(WIFEXITED(state) && WEXITSTATUS(state) == 0);
    stg_ctx_destroy(ctx);
}
END_TEST

START_TEST(siphash_vectors)
{
    /* Test vectors of the reference paper: key 00..0f, message 00..(n-1). */
    const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    unsigned char message[15];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (unsigned char)i;
    ck_assert_uint_eq(stg__siphash(key, message, 15), 0xa129ca6149be45e5u);
    ck_assert_uint_eq(stg__siphash(key, message, 0), 0x726fdb47dd0e0e31u);
}
END_TEST

START_TEST(philox_vectors)
{
    uint32_t out[4];
    stg__philox((uint32_t[4]){0}, (uint32_t[2]){0}, out);
    const uint32_t zero[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    ck_assert_mem_eq(out, zero, sizeof out);
    stg__philox((uint32_t[4]){1, 2, 3, 4}, (uint32_t[2]){5, 6}, out);
    const uint32_t small[4] = {0xc0c839bc, 0x889c87c5, 0x61986739, 0x2d4623d0};
    ck_assert_mem_eq(out, small, sizeof out);
}
END_TEST

START_TEST(random_moments)
{
    stg__rng rng;
    double sum = 0;
    double square = 0;
    stg__rng_init(&rng, 7, 1);
    for (int i = 0; i < 100000; i++) {
        const double x = stg__rng_normal(&rng);
        sum += x;
        square += x * x;
    }
    ck_assert_double_lt(fabs(sum / 1e5), 0.02);
    ck_assert_double_lt(fabs(square / 1e5 - 1), 0.03);
    uint32_t counts[5] = {0};
    for (int i = 0; i < 50000; i++)
        counts[stg__rng_below(&rng, 5)]++;
    for (int i = 0; i < 5; i++)
        ck_assert_uint_ge(counts[i], 9500);
}
END_TEST

START_TEST(names_table)
{
    test_memory m;
    test_memory_init(&m);
    stg_ctx *ctx = test_ctx(&m);
    stg__names *names;
    uint32_t id;
    char name[16];
    ck_assert_int_eq(stg__names_create(&names, ctx, 1000), STG_OK);
    for (uint32_t i = 0; i < 1000; i++) {
        const int len = snprintf(name, sizeof name, "n%u", i);
        ck_assert_int_eq(stg__names_add(names, name, (size_t)len, &id), STG_OK);
        ck_assert_uint_eq(id, i);
    }
    ck_assert_int_eq(stg__names_add(names, "more", 4, &id), STG_E_LIMIT);
    ck_assert_uint_eq(stg__names_find(names, "n777", 4), 777);
    ck_assert_uint_eq(stg__names_find(names, "n77", 3), 77);
    ck_assert_uint_eq(stg__names_find(names, "n1000", 5), UINT32_MAX);
    ck_assert_str_eq(stg__names_get(names, 5, NULL), "n5");
    stg__names_destroy(names);
    stg_ctx_destroy(ctx);
    ck_assert_uint_eq(m.live, 0);
}
END_TEST

static const char *number(double value, int digits)
{
    static char buf[64];
    stg__text t;
    stg__text_init(&t, buf, sizeof buf);
    stg__text_num(&t, value, digits);
    stg__text_end(&t, NULL);
    return buf;
}

START_TEST(text_numbers)
{
    ck_assert_str_eq(number(0.25, 6), "0.25");
    ck_assert_str_eq(number(-1e300, 6), "-1e+300");
    ck_assert_str_eq(number(NAN, 6), "null");
    ck_assert_str_eq(number(INFINITY, 6), "null");
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "de_DE"))
        ck_assert_str_eq(number(1234.5, 6), "1234.5");
    setlocale(LC_NUMERIC, "C");
}
END_TEST

START_TEST(text_json)
{
    char buf[128];
    size_t len;
    stg__text t;
    stg__text_init(&t, buf, sizeof buf);
    const char nasty[] = "a\"\\\n\0</script>\xff\xc3\xa9";
    stg__text_json(&t, nasty, sizeof nasty - 1);
    ck_assert_int_eq(stg__text_end(&t, &len), STG_OK);
    ck_assert_str_eq(buf, "\"a\\\"\\\\\\u000a\\u0000\\u003c/script>\\u00ff\xc3\xa9\"");
    char small[8];
    stg__text_init(&t, small, sizeof small);
    stg__text_json(&t, nasty, sizeof nasty - 1);
    size_t need;
    ck_assert_int_eq(stg__text_end(&t, &need), STG_MORE);
    ck_assert_uint_eq(need, len + 1);
    ck_assert_uint_eq(strlen(small), sizeof small - 1);
}
END_TEST

START_TEST(struct_sizes)
{
    ck_assert_uint_eq(stg_struct_size("call"), 64);
    ck_assert_uint_eq(stg_struct_size("gauge"), 64);
    ck_assert_uint_eq(stg_struct_size("error"), 256);
    ck_assert_uint_eq(stg_struct_size("nothing"), 0);
    ck_assert_uint_eq(stg_struct_size(NULL), 0);
}
END_TEST

TEST_SUITE("base", status_names, options_grow, fork_is_seen, siphash_vectors, philox_vectors,
           random_moments, names_table, text_numbers, text_json, struct_sizes)
