/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a reader: bytes not read yet, the line being read, names it has met before. */
#ifndef STG_READER_PRIV_H
#define STG_READER_PRIV_H

#include <stgraph/telemetry.h>

#include "base_priv.h"
#include "scan_priv.h"

#define STG__LINE_MAX (1u << 20)
#define STG__CACHE 128u
#define STG__MEMBERS 27u

typedef struct stg__cached { /* a name and its id on the lane */
    uint32_t id;
    uint8_t len; /* 0: empty */
    uint8_t kind;
    char text[STG_NAME_MAX];
} stg__cached;

struct stg_reader {
    stg_ctx *ctx;
    stg_lane *lane;
    bool made_in_child; /* what the context said when the reader was made */
    bool ended;
    bool skipping; /* behind the first MiB of a line that is too long */
    uint32_t line; /* number of the line at `pos` */
    stg_error bad; /* of a line that was left behind; status 0: none */
    char *bytes;
    size_t cap;
    size_t pos;     /* first byte not read yet */
    size_t len;     /* bytes in the buffer, from its beginning */
    size_t looked;  /* no newline in front of this place */
    char *scratch;
    size_t scratch_cap;
    uint8_t expect[STG__MEMBERS]; /* member that stood at this place in the line before */
    stg__cached cache[STG__CACHE];
};

/* Id of a name: from the cache, or from the lane. */
int32_t stg__reader_intern(stg_reader *r, uint32_t kind, stg__piece name, uint32_t *id);

/* Decodes a line of format "jsonl". STG_AGAIN: no room for a new name, read the line again. */
int32_t stg__jsonl_line(stg_reader *r, const char *line, size_t len, stg_record *record,
                        stg_error *err);

#endif
