/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON scanner over one line in memory: no recursion, no allocation, no locale. Every function
 * leaves `why` set and returns false when the text is not what it expects.
 */
#ifndef STG_SCAN_PRIV_H
#define STG_SCAN_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STG__SCAN_DEPTH 32u /* of values that are skipped */

typedef struct stg__scan {
    const char *at;
    const char *end;
    const char *why;
    char *scratch; /* room for the rest of the line: decoded strings go there */
} stg__scan;

typedef struct stg__piece { /* a decoded string, in the line or in the scratch */
    const char *at;
    size_t len;
} stg__piece;

void stg__scan_space(stg__scan *s);
bool stg__scan_char(stg__scan *s, char c); /* this character, after white space; sets no `why` */
bool stg__scan_string(stg__scan *s, stg__piece *out);
/* The whole part of a number; what is too large is UINT64_MAX. */
bool stg__scan_number(stg__scan *s, uint64_t *value, bool *negative);
bool stg__scan_null(stg__scan *s); /* null, after white space; sets no `why` */
bool stg__scan_skip(stg__scan *s); /* any value */

#endif
