/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs the opcodes of a checkpoint's pickle (protocols 2 to 5) over the values of torch_value.c. A
 * name of Python stays a name. A call makes something only when it is OrderedDict() or one of the few
 * that stand for a tensor; all others make a value that nothing can be read from.
 */
#include <string.h>

#include "torch_priv.h"

typedef int32_t (*op_fn)(stg__pickle *p, uint8_t code);

static int32_t take(stg__pickle *p, uint64_t n, const unsigned char **at)
{
    if (n > p->len - p->at) {
        stg__pickle_fail(p, STG_E_FORMAT, "cut short");
        return STG_E_FORMAT;
    }
    *at = p->data + p->at;
    p->at += (size_t)n;
    return STG_OK;
}

/* A little-endian number of 1, 2, 4 or 8 bytes. */
static int32_t take_number(stg__pickle *p, uint32_t bytes, uint64_t *number)
{
    const unsigned char *at = NULL;
    STG_RETURN_IF_ERROR(take(p, bytes, &at));
    *number = 0;
    for (uint32_t i = 0; i < bytes; i++)
        *number |= (uint64_t)at[i] << 8 * i;
    return STG_OK;
}

/* Bytes behind their length, which itself has so many bytes. */
static int32_t take_bytes(stg__pickle *p, uint32_t width, uint64_t *len, const unsigned char **at)
{
    STG_RETURN_IF_ERROR(take_number(p, width, len));
    return take(p, *len, at);
}

static int32_t op_proto(stg__pickle *p, uint8_t code)
{
    uint64_t version = 0;
    STG_RETURN_IF_ERROR(take_number(p, 1, &version));
    if (version < 2 || version > 5)
        return stg__pickle_fail(p, STG_E_FORMAT, "a protocol of pickle that is not from 2 to 5");
    return STG_OK;
}

static int32_t op_frame(stg__pickle *p, uint8_t code)
{
    uint64_t len = 0;
    STG_RETURN_IF_ERROR(take_number(p, 8, &len));
    return len <= p->len - p->at ? STG_OK : stg__pickle_fail(p, STG_E_FORMAT, "cut short");
}

static int32_t op_none(stg__pickle *p, uint8_t code)
{
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_NONE});
}

static int32_t op_bool(stg__pickle *p, uint8_t code)
{
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_BOOL, .what = code == 0x88});
}

static int32_t op_int(stg__pickle *p, uint8_t code)
{
    uint64_t number = 0;
    STG_RETURN_IF_ERROR(take_number(p, code == 'K' ? 1 : code == 'M' ? 2 : 4, &number));
    /* Only the one of four bytes has a sign. */
    const int64_t whole = code == 'J' ? (int64_t)(int32_t)(uint32_t)number : (int64_t)number;
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_INT, .is.whole = whole});
}

static int32_t op_long(stg__pickle *p, uint8_t code)
{
    uint64_t len = 0;
    const unsigned char *at = NULL;
    STG_RETURN_IF_ERROR(take_bytes(p, code == 0x8a ? 1 : 4, &len, &at));
    if (len > 8)
        return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_OPAQUE});
    uint64_t bits = len && at[len - 1] & 0x80 ? UINT64_MAX : 0;
    for (uint64_t i = len; i-- > 0;)
        bits = bits << 8 | at[i];
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_INT, .is.whole = (int64_t)bits});
}

static int32_t op_float(stg__pickle *p, uint8_t code)
{
    const unsigned char *at = NULL;
    union {
        uint64_t bits;
        double number;
    } as = {0};
    STG_RETURN_IF_ERROR(take(p, 8, &at));
    for (int i = 0; i < 8; i++)
        as.bits = as.bits << 8 | at[i];
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_FLOAT, .is.number = as.number});
}

static int32_t op_text(stg__pickle *p, uint8_t code)
{
    uint64_t len = 0;
    const unsigned char *at = NULL;
    STG_RETURN_IF_ERROR(take_bytes(p, code == 0x8c ? 1 : code == 'X' ? 4 : 8, &len, &at));
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_TEXT, .count = (uint32_t)len,
                                            .is.text = (const char *)at});
}

static int32_t op_bytes(stg__pickle *p, uint8_t code)
{
    uint64_t len = 0;
    const unsigned char *at = NULL;
    const uint32_t width = code == 'C' || code == 'U' ? 1 : code == 'B' || code == 'T' ? 4 : 8;
    STG_RETURN_IF_ERROR(take_bytes(p, width, &len, &at));
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_OPAQUE});
}

static uint8_t container_kind(uint8_t code)
{
    switch (code) {
    case ')':
    case 't':
        return STG__P_TUPLE;
    case ']':
    case 'l':
        return STG__P_LIST;
    case '}':
    case 'd':
        return STG__P_DICT;
    default: /* sets */
        return STG__P_OPAQUE;
    }
}

static int32_t op_empty(stg__pickle *p, uint8_t code)
{
    return stg__pickle_gather(p, container_kind(code), p->stack.count);
}

static int32_t op_gather(stg__pickle *p, uint8_t code)
{
    uint32_t from = 0;
    STG_RETURN_IF_ERROR(stg__pickle_unmark(p, &from));
    if (code == 'd' && (p->stack.count - from) % 2)
        return stg__pickle_fail(p, STG_E_FORMAT, "a key without a value");
    return stg__pickle_gather(p, container_kind(code), from);
}

static int32_t op_tuple_of(stg__pickle *p, uint8_t code)
{
    const uint32_t n = code - 0x85u + 1;
    if (p->stack.count - stg__pickle_floor(p) < n)
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing on the stack");
    return stg__pickle_gather(p, STG__P_TUPLE, p->stack.count - n);
}

/* Puts what lies from `from` on into the container below it: its kind, or one that is opaque. */
static int32_t extend(stg__pickle *p, uint8_t kind, uint32_t from)
{
    if (from <= stg__pickle_floor(p))
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing on the stack");
    const uint32_t *stack = (const uint32_t *)p->stack.items;
    const uint32_t container = stack[from - 1];
    if (!stg__pickle_is(p, container, kind) && !stg__pickle_is(p, container, STG__P_OPAQUE))
        return stg__pickle_fail(p, STG_E_FORMAT, "a value of another kind was to be added to");
    if (kind == STG__P_DICT && (p->stack.count - from) % 2)
        return stg__pickle_fail(p, STG_E_FORMAT, "a key without a value");
    for (uint32_t i = from; i < p->stack.count && stg__pickle_is(p, container, kind) &&
                            kind != STG__P_OPAQUE; i++)
        STG_RETURN_IF_ERROR(stg__pickle_append(p, container, stack[i]));
    p->stack.count = from;
    return STG_OK;
}

static int32_t op_extend(stg__pickle *p, uint8_t code)
{
    uint32_t from = 0;
    STG_RETURN_IF_ERROR(stg__pickle_unmark(p, &from));
    return extend(p, code == 'e' ? STG__P_LIST : code == 'u' ? STG__P_DICT : STG__P_OPAQUE, from);
}

static int32_t op_extend_one(stg__pickle *p, uint8_t code)
{
    const uint32_t n = code == 'a' ? 1 : 2;
    if (p->stack.count - stg__pickle_floor(p) < n + 1)
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing on the stack");
    return extend(p, code == 'a' ? STG__P_LIST : STG__P_DICT, p->stack.count - n);
}

static int32_t op_mark(stg__pickle *p, uint8_t code)
{
    return stg__pickle_mark(p);
}

static int32_t op_pop(stg__pickle *p, uint8_t code)
{
    uint32_t index = 0;
    if (code == '0' && (!p->marks.count || p->stack.count > stg__pickle_floor(p)))
        return stg__pickle_pop(p, &index);
    STG_RETURN_IF_ERROR(stg__pickle_unmark(p, &index)); /* POP of a mark takes it away too */
    p->stack.count = index;
    return STG_OK;
}

static int32_t op_dup(stg__pickle *p, uint8_t code)
{
    uint32_t index = 0;
    STG_RETURN_IF_ERROR(stg__pickle_pop(p, &index));
    STG_RETURN_IF_ERROR(stg__pickle_push(p, index));
    return stg__pickle_push(p, index);
}

static int32_t op_put(stg__pickle *p, uint8_t code)
{
    uint64_t number = p->memo.count;
    if (code != 0x94)
        STG_RETURN_IF_ERROR(take_number(p, code == 'q' ? 1 : 4, &number));
    return stg__pickle_memo_put(p, (uint32_t)number);
}

static int32_t op_get(stg__pickle *p, uint8_t code)
{
    uint64_t number = 0;
    STG_RETURN_IF_ERROR(take_number(p, code == 'h' ? 1 : 4, &number));
    return stg__pickle_memo_get(p, (uint32_t)number);
}

/* What the few names mean that a checkpoint cannot do without. */
static uint8_t call_of(const stg__pickle *p, uint32_t module, uint32_t name)
{
    static const struct {
        const char *module;
        const char *name;
        uint8_t what;
    } known[] = {
        {"collections", "OrderedDict", STG__CALL_DICT},
        {"torch._utils", "_rebuild_tensor_v2", STG__CALL_TENSOR},
        {"torch._utils", "_rebuild_tensor_v3", STG__CALL_TENSOR_V3},
        {"torch._utils", "_rebuild_parameter", STG__CALL_PARAMETER},
        {"torch._utils", "_rebuild_parameter_with_state", STG__CALL_PARAMETER},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (stg__pickle_says(p, module, known[i].module) && stg__pickle_says(p, name, known[i].name))
            return known[i].what;
    return STG__CALL_OTHER;
}

/* A text that ends with a new line. */
static int32_t take_line(stg__pickle *p, uint32_t *index)
{
    const unsigned char *at = p->data + p->at;
    const unsigned char *end = (const unsigned char *)memchr(at, '\n', p->len - p->at);
    if (!end)
        return stg__pickle_fail(p, STG_E_FORMAT, "cut short");
    p->at += (size_t)(end - at) + 1;
    return stg__pickle_value(p, (stg__pvalue){.kind = STG__P_TEXT, .count = (uint32_t)(end - at),
                                              .is.text = (const char *)at}, index);
}

static int32_t op_global(stg__pickle *p, uint8_t code)
{
    uint32_t module = 0;
    uint32_t name = 0;
    if (code == 'c') {
        STG_RETURN_IF_ERROR(take_line(p, &module));
        STG_RETURN_IF_ERROR(take_line(p, &name));
    } else {
        STG_RETURN_IF_ERROR(stg__pickle_pop(p, &name));
        STG_RETURN_IF_ERROR(stg__pickle_pop(p, &module));
        if (!stg__pickle_is(p, name, STG__P_TEXT) || !stg__pickle_is(p, module, STG__P_TEXT))
            return stg__pickle_fail(p, STG_E_FORMAT, "a name that is not a text");
    }
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_GLOBAL, .what = call_of(p, module, name),
                                            .is.global = {module, name}});
}

/* What a call would have returned, as far as it is known without calling. */
static int32_t op_call(stg__pickle *p, uint8_t code)
{
    uint32_t callee = 0;
    uint32_t args = 0;
    if (code == 0x92) /* by-name arguments are of no use here */
        STG_RETURN_IF_ERROR(stg__pickle_pop(p, &args));
    STG_RETURN_IF_ERROR(stg__pickle_pop(p, &args));
    STG_RETURN_IF_ERROR(stg__pickle_pop(p, &callee));
    if (!stg__pickle_is(p, args, STG__P_TUPLE))
        return stg__pickle_fail(p, STG_E_FORMAT, "a call without a tuple of arguments");
    const uint32_t count = stg__pickle_at(p, args)->count;
    const bool named = stg__pickle_is(p, callee, STG__P_GLOBAL) && code != 0x92;
    const uint8_t what = named ? stg__pickle_at(p, callee)->what : STG__CALL_OTHER;
    if (what == STG__CALL_DICT && count == 0)
        return stg__pickle_gather(p, STG__P_DICT, p->stack.count);
    if (what == STG__CALL_TENSOR || what == STG__CALL_TENSOR_V3)
        return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_TENSOR, .what = what, .is.args = args});
    if (what == STG__CALL_PARAMETER && count > 0)
        return stg__pickle_push(p, stg__pickle_item(p, args, 0));
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_OPAQUE});
}

/* Attributes of an object: nobody asks for them. */
static int32_t op_build(stg__pickle *p, uint8_t code)
{
    uint32_t index = 0;
    STG_RETURN_IF_ERROR(stg__pickle_pop(p, &index));
    if (p->stack.count <= stg__pickle_floor(p))
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing on the stack");
    return STG_OK;
}

static int32_t op_persistent(stg__pickle *p, uint8_t code)
{
    uint32_t id = 0;
    STG_RETURN_IF_ERROR(stg__pickle_pop(p, &id));
    const bool storage = stg__pickle_is(p, id, STG__P_TUPLE) && stg__pickle_at(p, id)->count == 5 &&
                         stg__pickle_says(p, stg__pickle_item(p, id, 0), "storage");
    if (!storage)
        return stg__pickle_fail(p, STG_E_FORMAT, "a persistent id that is not a storage's");
    return stg__pickle_new(p, (stg__pvalue){.kind = STG__P_STORAGE, .is.args = id});
}

/* Those without a function are known, but never written by torch.save. STOP is left to the caller. */
static const struct {
    const char *name;
    op_fn run;
} opcodes[256] = {
    [0x80] = {"PROTO", op_proto},
    [0x95] = {"FRAME", op_frame},
    ['N'] = {"NONE", op_none},
    [0x88] = {"NEWTRUE", op_bool},
    [0x89] = {"NEWFALSE", op_bool},
    ['J'] = {"BININT", op_int},
    ['K'] = {"BININT1", op_int},
    ['M'] = {"BININT2", op_int},
    [0x8a] = {"LONG1", op_long},
    [0x8b] = {"LONG4", op_long},
    ['G'] = {"BINFLOAT", op_float},
    ['X'] = {"BINUNICODE", op_text},
    [0x8c] = {"SHORT_BINUNICODE", op_text},
    [0x8d] = {"BINUNICODE8", op_text},
    ['B'] = {"BINBYTES", op_bytes},
    ['C'] = {"SHORT_BINBYTES", op_bytes},
    [0x8e] = {"BINBYTES8", op_bytes},
    [0x96] = {"BYTEARRAY8", op_bytes},
    ['T'] = {"BINSTRING", op_bytes},
    ['U'] = {"SHORT_BINSTRING", op_bytes},
    [')'] = {"EMPTY_TUPLE", op_empty},
    [']'] = {"EMPTY_LIST", op_empty},
    ['}'] = {"EMPTY_DICT", op_empty},
    [0x8f] = {"EMPTY_SET", op_empty},
    ['t'] = {"TUPLE", op_gather},
    ['l'] = {"LIST", op_gather},
    ['d'] = {"DICT", op_gather},
    [0x91] = {"FROZENSET", op_gather},
    [0x85] = {"TUPLE1", op_tuple_of},
    [0x86] = {"TUPLE2", op_tuple_of},
    [0x87] = {"TUPLE3", op_tuple_of},
    ['a'] = {"APPEND", op_extend_one},
    ['s'] = {"SETITEM", op_extend_one},
    ['e'] = {"APPENDS", op_extend},
    ['u'] = {"SETITEMS", op_extend},
    [0x90] = {"ADDITEMS", op_extend},
    ['('] = {"MARK", op_mark},
    ['0'] = {"POP", op_pop},
    ['1'] = {"POP_MARK", op_pop},
    ['2'] = {"DUP", op_dup},
    ['q'] = {"BINPUT", op_put},
    ['r'] = {"LONG_BINPUT", op_put},
    [0x94] = {"MEMOIZE", op_put},
    ['h'] = {"BINGET", op_get},
    ['j'] = {"LONG_BINGET", op_get},
    ['c'] = {"GLOBAL", op_global},
    [0x93] = {"STACK_GLOBAL", op_global},
    ['R'] = {"REDUCE", op_call},
    [0x81] = {"NEWOBJ", op_call},
    [0x92] = {"NEWOBJ_EX", op_call},
    ['b'] = {"BUILD", op_build},
    ['Q'] = {"BINPERSID", op_persistent},
    ['I'] = {"INT", NULL},
    ['L'] = {"LONG", NULL},
    ['F'] = {"FLOAT", NULL},
    ['S'] = {"STRING", NULL},
    ['V'] = {"UNICODE", NULL},
    ['p'] = {"PUT", NULL},
    ['g'] = {"GET", NULL},
    ['P'] = {"PERSID", NULL},
    ['i'] = {"INST", NULL},
    ['o'] = {"OBJ", NULL},
    [0x82] = {"EXT1", NULL},
    [0x83] = {"EXT2", NULL},
    [0x84] = {"EXT4", NULL},
    [0x97] = {"NEXT_BUFFER", NULL},
    [0x98] = {"READONLY_BUFFER", NULL},
};

static int32_t fail_opcode(const stg__pickle *p, uint8_t code)
{
    return stg__fail(p->err, STG_E_FORMAT, "data.pkl, byte %zu: opcode 0x%02x (%s), which torch.save "
                     "does not write", p->opcode, code, opcodes[code].name ? opcodes[code].name : "?");
}

int32_t stg__pickle_read(stg__pickle *p, stg_ctx *ctx, const unsigned char *data, size_t len,
                         stg_error *err)
{
    stg__pickle_init(p, ctx, data, len, err);
    if (len == 0 || data[0] != 0x80)
        return stg__pickle_fail(p, STG_E_FORMAT, "no pickle of protocol 2 or later");
    for (;;) {
        const unsigned char *code = NULL;
        p->opcode = p->at;
        STG_RETURN_IF_ERROR(take(p, 1, &code));
        if (*code == '.')
            break;
        if (!opcodes[*code].run)
            return fail_opcode(p, *code);
        STG_RETURN_IF_ERROR(opcodes[*code].run(p, *code));
    }
    if (p->at != p->len)
        return stg__pickle_fail(p, STG_E_FORMAT, "something behind the end");
    if (p->marks.count || p->stack.count != 1)
        return stg__pickle_fail(p, STG_E_FORMAT, "not one value at the end");
    return stg__pickle_pop(p, &p->root);
}
