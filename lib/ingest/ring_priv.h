/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of a lane, the same in a process and in a shared file: one page of header, then slots
 * of 64 bytes. Writer and reader each own one cache line of the header; what the writer has
 * published ends at the released tail. Neither side trusts what the other could have written:
 * sizes are copied at attach, indices are masked, differences of head and tail are checked.
 */
#ifndef STG_RING_PRIV_H
#define STG_RING_PRIV_H

#include <stgraph/ingest.h>

#include "base_priv.h"

#define STG__LANE_MAGIC 0x4c475453u /* "STGL" */
#define STG__LANE_VERSION 1u
#define STG__LANE_PAGE 4096u
#define STG__LANE_MIN_RECORDS 256u
#define STG__LANE_MAX_RECORDS (1u << 24)
#define STG__LANE_MIN_NAMES 16u
#define STG__LANE_MAX_NAMES 65536u

/* The last byte of a slot says what it is. A call has its `reserved`, a zero, there. */
enum { STG__SLOT_CALL = 0, STG__SLOT_GAUGE = 1, STG__SLOT_NAME = 2, STG__SLOT_MORE = 3 };

typedef union stg__slot {
    uint8_t bytes[64];
    stg_call call;
    stg_gauge gauge;
    struct { /* a name, which goes on in slots of STG__SLOT_MORE */
        uint32_t kind; /* STG_NODE, STG_ROUTE */
        uint32_t id;   /* of the lane, from 1 */
        uint32_t len;
        char text[51];
        uint8_t is;
    } name;
    struct {
        char text[63];
        uint8_t is;
    } more;
} stg__slot;

_Static_assert(sizeof(stg_call) == 64 && sizeof(stg_gauge) == 64, "records are 64 bytes");
_Static_assert(sizeof(stg__slot) == 64, "slots are 64 bytes");
_Static_assert(offsetof(stg_call, reserved) == 63, "the last byte of a call is its kind");

typedef struct stg__lane_page {
    /* Written once, when the lane is made. */
    uint32_t magic;
    uint32_t version;
    uint32_t records;
    uint32_t names;
    uint64_t sketch_key[2];
    uint8_t pad0[32];
    /* The writer's line. */
    _Atomic uint64_t tail;    /* slots published since the beginning */
    _Atomic uint64_t refused; /* calls that found no room */
    _Atomic uint64_t beat_ns; /* last sign of life without a record */
    _Atomic uint32_t closed;  /* no more will come */
    _Atomic uint32_t claim;   /* somebody is, or was, the writer */
    uint8_t pad1[32];
    /* The reader's line. */
    _Atomic uint64_t head;   /* slots that may be written again */
    _Atomic uint32_t reader; /* somebody is, or was, the reader: the names went to them */
    uint8_t pad2[52];
    uint8_t rest[STG__LANE_PAGE - 192];
} stg__lane_page;

_Static_assert(sizeof(stg__lane_page) == STG__LANE_PAGE, "the header is one page");
_Static_assert(offsetof(stg__lane_page, tail) == 64 && offsetof(stg__lane_page, head) == 128,
               "writer and reader have a cache line each");

/* Slots that a name of this length takes. */
static inline uint32_t stg__name_slots(size_t len)
{
    return len <= 51 ? 1 : 1 + (uint32_t)((len - 51 + 62) / 63);
}

static inline size_t stg__lane_bytes(uint32_t records)
{
    return STG__LANE_PAGE + (size_t)records * sizeof(stg__slot);
}

/* The sizes that opts ask for, checked. */
int32_t stg__lane_sizes(const stg_lane_opts *opts, uint32_t *records, uint32_t *names);
/* Fills the header of zeroed memory. */
void stg__lane_page_init(stg__lane_page *page, const stg_ctx *ctx, uint32_t records,
                         uint32_t names);
/* Maps a sealed lane whole and checks its header; *records and *names are safe copies. */
int32_t stg__lane_map(int fd, stg__lane_page **page, uint32_t *records, uint32_t *names);
/* The writer's end of a lane. mapped: the memory is a mapping of its own, to be unmapped. */
int32_t stg__lane_new(stg_lane **out, stg_ctx *ctx, stg__lane_page *page, uint32_t records,
                      uint32_t names, bool mapped);

#endif
