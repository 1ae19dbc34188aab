/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the checkpoint reader: the zip, the pickle's values, tensors out of storages. */
#ifndef STG_TORCH_PRIV_H
#define STG_TORCH_PRIV_H

#include "torch.h"

#define STG__TORCH_MAX_BYTES ((uint64_t)1 << 30) /* of all tensors that come out */
#define STG__TORCH_MAX_TENSORS 16384u
#define STG__TORCH_MAX_SETTINGS 65536u
#define STG__TORCH_MAX_PATH 511u /* a bundle takes no longer name */
#define STG__TORCH_MAX_TEXT 4096u
#define STG__TORCH_NONE UINT32_MAX

static inline uint32_t stg__le16(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8;
}

static inline uint32_t stg__le32(const unsigned char *at)
{
    return stg__le16(at) | stg__le16(at + 2) << 16;
}

static inline uint64_t stg__le64(const unsigned char *at)
{
    return stg__le32(at) | (uint64_t)stg__le32(at + 4) << 32;
}

/* A name of the file for an error's text: cut, and with '?' for what is not printable ASCII. */
#define STG__TORCH_SHOWN 120u
const char *stg__torch_shown(char out[STG__TORCH_SHOWN], const char *text, size_t len);

/* --- zip -------------------------------------------------------------------------------------- */

#define STG__ZIP_MAX_ENTRIES 65536u

typedef struct stg__zip_entry {
    const char *name; /* in the file, without NUL */
    uint32_t name_len;
    uint32_t crc;
    uint32_t flags;
    bool checked;    /* its sum was found right */
    uint64_t header; /* where its own header begins */
    uint64_t at;     /* where its bytes begin */
    uint64_t size;
} stg__zip_entry;

typedef struct stg__zip {
    stg_ctx *ctx;
    const unsigned char *data; /* borrowed */
    size_t len;
    stg__zip_entry *entry; /* sorted by name */
    uint32_t count;
    uint32_t table[256]; /* of the checksum */
} stg__zip;

/* Believes a directory only as a whole: every entry stored, inside the file, apart from the others.
 * Close it after an error too. */
int32_t stg__zip_open(stg__zip *zip, stg_ctx *ctx, const void *data, size_t len, stg_error *err);
void stg__zip_close(stg__zip *zip);
stg__zip_entry *stg__zip_find(stg__zip *zip, const char *name, size_t len); /* NULL: not there */
/* The bytes of an entry, its checksum looked at the first time. */
int32_t stg__zip_bytes(stg__zip *zip, stg__zip_entry *entry, const unsigned char **bytes,
                       stg_error *err);

/* --- pickle ----------------------------------------------------------------------------------- */

#define STG__PICKLE_MAX_BYTES ((uint64_t)64 << 20)
#define STG__PICKLE_MAX_VALUES (1u << 20)
#define STG__PICKLE_MAX_CELLS (1u << 21)
#define STG__PICKLE_MAX_MARKS (1u << 16)

enum {
    STG__P_NONE,
    STG__P_BOOL,
    STG__P_INT,
    STG__P_FLOAT,
    STG__P_TEXT,
    STG__P_LIST,
    STG__P_TUPLE,
    STG__P_DICT,
    STG__P_GLOBAL,  /* the name of something; it is not looked up */
    STG__P_STORAGE, /* args: the tuple of its persistent id */
    STG__P_TENSOR,  /* args: the tuple of what it is built of */
    STG__P_OPAQUE,  /* what only a call could make */
};

enum { STG__CALL_OTHER, STG__CALL_DICT, STG__CALL_TENSOR, STG__CALL_TENSOR_V3, STG__CALL_PARAMETER };

typedef struct stg__pvalue {
    uint8_t kind;
    uint8_t what;   /* BOOL: 0 or 1; GLOBAL and TENSOR: STG__CALL_* */
    uint32_t count; /* TEXT: bytes; LIST, TUPLE: items; DICT: keys and values together */
    union {
        int64_t whole;
        double number;
        const char *text; /* in the file */
        struct {
            uint32_t first;
            uint32_t last;
        } cells;
        struct {
            uint32_t module;
            uint32_t name;
        } global;
        uint32_t args;
    } is;
} stg__pvalue;

typedef struct stg__pcell { /* of a container's chain */
    uint32_t value;
    uint32_t next;
} stg__pcell;

typedef struct stg__prows { /* an array that grows up to a limit */
    void *items;
    uint32_t count;
    uint32_t cap;
    uint32_t most;
    uint32_t bytes; /* of an item */
} stg__prows;

typedef struct stg__pickle {
    stg_ctx *ctx;
    const unsigned char *data; /* borrowed */
    size_t len;
    size_t at;
    size_t opcode; /* where the present one stands */
    stg__prows values; /* stg__pvalue */
    stg__prows cells;  /* stg__pcell */
    stg__prows stack;  /* uint32_t: values */
    stg__prows marks;  /* uint32_t: heights of the stack */
    stg__prows memo;   /* uint32_t: values, or STG__TORCH_NONE */
    uint32_t root;
    stg_error *err;
} stg__pickle;

/* Builds the values; `data` has to stay. Close it after an error too. */
int32_t stg__pickle_read(stg__pickle *p, stg_ctx *ctx, const unsigned char *data, size_t len,
                         stg_error *err);
void stg__pickle_close(stg__pickle *p);

/* Values and stack, for the opcodes. Those that fail have filled the error. */
void stg__pickle_init(stg__pickle *p, stg_ctx *ctx, const unsigned char *data, size_t len,
                      stg_error *err);
int32_t stg__pickle_fail(const stg__pickle *p, int32_t status, const char *what);
int32_t stg__pickle_value(stg__pickle *p, stg__pvalue value, uint32_t *index);
int32_t stg__pickle_push(stg__pickle *p, uint32_t index);
int32_t stg__pickle_new(stg__pickle *p, stg__pvalue value); /* a new value on the stack */
int32_t stg__pickle_pop(stg__pickle *p, uint32_t *index);
uint32_t stg__pickle_floor(const stg__pickle *p); /* height of the stack at the last mark */
int32_t stg__pickle_mark(stg__pickle *p);
int32_t stg__pickle_unmark(stg__pickle *p, uint32_t *from); /* what was above it stays on the stack */
int32_t stg__pickle_append(stg__pickle *p, uint32_t container, uint32_t item);
int32_t stg__pickle_memo_put(stg__pickle *p, uint32_t number);
int32_t stg__pickle_memo_get(stg__pickle *p, uint32_t number);
/* Takes what lies from `from` on off the stack into a new container that is left there. */
int32_t stg__pickle_gather(stg__pickle *p, uint8_t kind, uint32_t from);

static inline stg__pvalue *stg__pickle_at(const stg__pickle *p, uint32_t index)
{
    return (stg__pvalue *)p->values.items + index;
}

static inline const stg__pcell *stg__pickle_cell(const stg__pickle *p, uint32_t index)
{
    return (const stg__pcell *)p->cells.items + index;
}

static inline bool stg__pickle_is(const stg__pickle *p, uint32_t index, uint8_t kind)
{
    return stg__pickle_at(p, index)->kind == kind;
}

bool stg__pickle_says(const stg__pickle *p, uint32_t index, const char *text); /* a TEXT that is it */
/* The n-th item of a list or tuple that has more than n. */
uint32_t stg__pickle_item(const stg__pickle *p, uint32_t container, uint32_t n);

/* --- tensors ---------------------------------------------------------------------------------- */

typedef struct stg__torch {
    stg_ctx *ctx;
    stg__zip zip;
    stg__pickle pickle;
    const char *archive; /* first part of all entries' names */
    uint32_t archive_len;
    stg_bundle *bundle;
    uint64_t bytes; /* of the tensors so far */
    stg_error *err;
} stg__torch;

/* An entry of the archive; NULL when it is not there. */
stg__zip_entry *stg__torch_entry(stg__torch *t, const char *folder, const char *name, size_t len);
/* Puts a TENSOR into the bundle under its path. */
int32_t stg__torch_tensor(stg__torch *t, const char *path, uint32_t index);
/* Bits of a half as those of a float. */
uint32_t stg__torch_half(uint32_t half);

#endif
