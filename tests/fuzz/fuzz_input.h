/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What fuzz targets make of their bytes: numbers, hostile names, hostile values. An input that has
 * ended goes on as zeros, so that every cut of it is an input too. And the check that a text is JSON.
 */
#ifndef STG_FUZZ_INPUT_H
#define STG_FUZZ_INPUT_H

#include <cJSON.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "base_priv.h"
#include "fuzz_memory.h"

typedef struct fuzz_input {
    const uint8_t *at;
    size_t left;
} fuzz_input;

static inline uint8_t fuzz_u8(fuzz_input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->at++;
}

static inline uint16_t fuzz_u16(fuzz_input *in)
{
    const uint16_t low = fuzz_u8(in);
    return (uint16_t)(low | fuzz_u8(in) << 8);
}

static inline uint64_t fuzz_u64(fuzz_input *in)
{
    uint64_t x = 0;
    for (int i = 0; i < 8; i++)
        x |= (uint64_t)fuzz_u8(in) << 8 * i;
    return x;
}

/* Special numbers, small ones, and any bits at all. */
static inline double fuzz_value(fuzz_input *in)
{
    static const double special[] = {
        NAN,  INFINITY, -INFINITY, 0.0,  -0.0, -1,     1,       0.5,    1e308, -1e308, 4.9e-324,
        1e15, 1e16,     9.1e15,    1e18, -1e9, 4.3e9, 3.4e38, 1.9e19, 1e-9,  1e100,  2e9,
    };
    const uint8_t how = fuzz_u8(in);
    if (how < sizeof special / sizeof *special)
        return special[how];
    if (how < 250)
        return (double)(how - 22) * (how % 7 ? 1 : 1000);
    const uint64_t bits = fuzz_u64(in);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define FUZZ_NAME_ROOM 300

/* A name of the few that everybody uses, one of the hostile ones, or any bytes. */
static inline size_t fuzz_name(fuzz_input *in, char out[FUZZ_NAME_ROOM])
{
    static const struct {
        const char *text;
        size_t len;
    } known[] = {
        {"external", 8}, {"web", 3},    {"cart", 4},        {"db", 2},          {"other", 5},
        {"calls", 5},    {"errors", 6}, {"mean_us", 7},     {"GET /", 5},       {"", 0},
        {"a\0b", 3},     {"\0", 1},     {"</script>", 9},   {"\xff\xfe\x80", 3}, {"\xed\xa0\x80", 3},
        {"\"\\\n\r", 4}, {"\xc3", 1},   {"\xf4\x90\x80\x80", 4},
    };
    const uint8_t how = fuzz_u8(in);
    const size_t count = sizeof known / sizeof *known;
    if (how < count) {
        memcpy(out, known[how].text, known[how].len);
        return known[how].len;
    }
    if (how < 40) { /* around the longest that is allowed */
        memset(out, 'a' + how % 5, FUZZ_NAME_ROOM);
        return 250 + how % 10;
    }
    size_t len = how % 24;
    for (size_t i = 0; i < len; i++)
        out[i] = (char)fuzz_u8(in);
    return len;
}

static inline void fuzz_json(const char *text, size_t len)
{
    const char *end = NULL;
    FUZZ_CHECK(strlen(text) == len && stg__utf8(text, len));
    cJSON *json = cJSON_ParseWithLengthOpts(text, len + 1, &end, 1);
    FUZZ_CHECK(json);
    cJSON_Delete(json);
}

#endif
