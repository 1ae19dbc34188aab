/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of cells of 'stgraph top': whatever text is put on it, only printable characters and its
 * own sequences come out, and everything stays in its place. */
#include <check.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "top_screen.h"

/* Length of the sequence ESC [ ... letter at p that a screen may send, 0: another one. */
static size_t own_sequence(const char *p, const char *end)
{
    const char *q = p + 2;
    if (end - p < 3 || p[1] != '[')
        return 0;
    while (q < end && strchr("0123456789;", *q))
        q++;
    return q < end && strchr("HJKm", *q) ? (size_t)(q + 1 - p) : 0;
}

/* Every byte of a frame is part of a sequence of ours, of printable ASCII or of whole UTF-8 without C1. */
static void check_bytes(const char *p, size_t len, bool utf8)
{
    const char *end = p + len;
    while (p < end) {
        const unsigned char c = (unsigned char)*p;
        size_t n = 1;
        if (c == 0x1b) {
            n = own_sequence(p, end);
            ck_assert_msg(n > 0, "an escape that is not ours");
        } else if (c >= 0x80) {
            ck_assert(utf8);
            n = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
            ck_assert(c >= 0xc2 && c < 0xf5 && p + n <= end);
            ck_assert_msg(c != 0xc2 || (unsigned char)p[1] >= 0xa0, "a control character of C1");
            for (size_t i = 1; i < n; i++)
                ck_assert_uint_eq((unsigned char)p[i] & 0xc0, 0x80);
        } else {
            ck_assert_msg(c >= 0x20 && c != 0x7f, "control byte %u", c);
        }
        p += n;
    }
}

static const char *text_of(screen *s)
{
    static char text[4096];
    size_t len;
    const char *bytes = screen_text(s, &len);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_uint_lt(len, sizeof text);
    memcpy(text, bytes, len);
    text[len] = '\0';
    return text;
}

START_TEST(escapes)
{
    static const struct {
        const char *text, *utf8, *ascii;
    } known[] = {
        {"plain", "plain", "plain"},
        {"a\x1b[31mb", "a\\x1b[31mb", "a\\x1b[31mb"},
        {"tab\tnl\n", "tab\\x09nl\\x0a", "tab\\x09nl\\x0a"},
        {"back\\slash", "back\\\\slash", "back\\\\slash"},
        {"\xc3\xa9", "\xc3\xa9", "\\xc3\\xa9"},
        {"\xc2\x9b" "2J", "\\u009b2J", "\\xc2\\x9b2J"},
        {"\xff\xfe", "\\xff\\xfe", "\\xff\\xfe"},
        {"\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf"},
        {"\xe2\x80\xaegnp", "\\u202egnp", "\\xe2\\x80\\xaegnp"},
        {"cut\xe6\xbc", "cut\\xe6\\xbc", "cut\\xe6\\xbc"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},
        {"\xf3\xa0\x81\x81", "\\U0e0041", "\\xf3\\xa0\\x81\\x81"},
        {"e\xcc\x81", "e\xcc\x81", "e\\xcc\\x81"},
        {"\xcc\x81", "\\u0301", "\\xcc\\x81"},
    };
    for (int utf8 = 0; utf8 < 2; utf8++) {
        screen *s = screen_new(utf8);
        for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
            ck_assert(screen_begin(s, 60, 1));
            screen_put(s, 0, 0, 60, ST_PLAIN, known[i].text);
            const char *text = text_of(s);
            const char *wanted = utf8 ? known[i].utf8 : known[i].ascii;
            ck_assert_uint_eq(strlen(text), strlen(wanted) + 1);
            ck_assert_int_eq(strncmp(text, wanted, strlen(wanted)), 0);
        }
        screen_free(s);
    }
}
END_TEST

START_TEST(cut)
{
    screen *s = screen_new(true);
    char name[10001];
    memset(name, 'x', 10000);
    name[10000] = '\0';
    ck_assert(screen_begin(s, 20, 2));
    ck_assert_int_eq(screen_put(s, 0, 0, 6, ST_PLAIN, name), 6);
    ck_assert_int_eq(screen_put(s, 15, 1, 100, ST_PLAIN, "123456"), 5);
    ck_assert_str_eq(text_of(s), "xxxxx\xe2\x80\xa6\n               1234\xe2\x80\xa6\n");
    ck_assert_int_eq(screen_measure(s, name, 50), 51);
    /* A wide character is not halved, neither at the edge nor by what is put over it. */
    ck_assert(screen_begin(s, 7, 1));
    ck_assert_int_eq(screen_put(s, 0, 0, 4, ST_PLAIN, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2"), 3);
    ck_assert_str_eq(text_of(s), "\xe6\xbc\xa2\xe2\x80\xa6\n");
    screen_put(s, 1, 0, 1, ST_PLAIN, "y");
    ck_assert_str_eq(text_of(s), " y\xe2\x80\xa6\n");
    /* Beyond the screen is nowhere. */
    ck_assert_int_eq(screen_put(s, 7, 0, 4, ST_PLAIN, "no"), 0);
    ck_assert_int_eq(screen_put(s, 0, 1, 4, ST_PLAIN, "no"), 0);
    ck_assert_int_eq(screen_put(s, -1, 0, 4, ST_PLAIN, "no"), 0);
    screen_mark(s, 5, 3, 100, ST_LINE);
    screen_free(s);
}
END_TEST

START_TEST(lines)
{
    screen *s = screen_new(true);
    ck_assert(screen_begin(s, 20, 1));
    ck_assert_uint_eq(screen_break(s, "one two three", 8), 8);
    ck_assert_uint_eq(screen_break(s, "one two three", 7), 8); /* the blank itself may hang over */
    ck_assert_uint_eq(screen_break(s, "onetwothree", 4), 4);
    ck_assert_uint_eq(screen_break(s, "short", 40), 5);
    ck_assert_uint_eq(screen_break(s, "\xe6\xbc\xa2x", 1), 3); /* at least one character */
    screen_free(s);
}
END_TEST

START_TEST(frames)
{
    screen *s = screen_new(true);
    size_t len;
    for (int i = 0; i < 3; i++) {
        ck_assert(screen_begin(s, 30, 4));
        screen_put(s, 0, 1, 30, ST_ORANGE | ST_BOLD, i < 2 ? "same" : "other");
        screen_put(s, 0, 2, 30, ST_PLAIN, "always");
        const char *bytes = screen_frame(s, false, COLORS_NONE, &len);
        ck_assert_ptr_nonnull(bytes);
        if (i == 1) /* nothing has changed: nothing to send */
            ck_assert_uint_eq(len, 0);
        if (i == 2) /* one row has */
            ck_assert(memmem(bytes, len, "other", 5) && !memmem(bytes, len, "always", 6));
        ck_assert_ptr_null(memmem(bytes, len, "38;5", 4));
    }
    screen_free(s);
}
END_TEST

START_TEST(any_bytes)
{
    uint32_t seed = 20261124;
    for (int utf8 = 0; utf8 < 2; utf8++) {
        screen *s = screen_new(utf8);
        for (int round = 0; round < 20000; round++) {
            char text[64];
            size_t len;
            const int width = 1 + round % 37;
            for (size_t i = 0; i < sizeof text - 1; i++) {
                seed = seed * 1664525u + 1013904223u;
                /* bytes that begin and continue sequences are more frequent than by chance */
                text[i] = (char)(seed >> 30 == 0 ? 0x80 | (seed >> 16 & 0x3f) : seed >> 16);
            }
            text[sizeof text - 1] = '\0';
            ck_assert(screen_begin(s, width, 3));
            const int room = 1 + (int)(seed >> 8) % width;
            const int used = screen_put(s, 0, 0, room, seed & 0x3f, text);
            ck_assert_int_ge(used, 0);
            ck_assert_int_le(used, room);
            screen_put_right(s, 1, 1, width, ST_BLUE, text);
            screen_put(s, width / 2, 1, 3, ST_BLUE, text + 30);
            const char *bytes = screen_frame(s, round % 2, COLORS_256, &len);
            ck_assert_ptr_nonnull(bytes);
            check_bytes(bytes, len, utf8);
        }
        screen_free(s);
    }
}
END_TEST

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    Suite *suite = suite_create("screen");
    TCase *tests = tcase_create("screen");
    tcase_add_test(tests, escapes);
    tcase_add_test(tests, cut);
    tcase_add_test(tests, lines);
    tcase_add_test(tests, frames);
    tcase_add_test(tests, any_bytes);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_set_tap(runner, "-");
    srunner_run_all(runner, CK_SILENT);
    const int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad != 0;
}
