/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pickle builds: values in one array, containers as chains of cells in another, and a stack,
 * marks and a memo that hold numbers of values. Every array has a limit and is given back as a whole;
 * a value is never changed but by what is appended to it.
 */
#include <string.h>

#include "torch_priv.h"

int32_t stg__pickle_fail(const stg__pickle *p, int32_t status, const char *what)
{
    return stg__fail(p->err, status, "data.pkl, byte %zu: %s", p->opcode, what);
}

/* Room for n more items. */
static int32_t make_room(const stg__pickle *p, stg__prows *rows, uint32_t n)
{
    if (n > rows->most - rows->count)
        return stg__pickle_fail(p, STG_E_LIMIT, "more values than this reader takes");
    const uint32_t need = rows->count + n;
    if (need <= rows->cap)
        return STG_OK;
    uint32_t cap = rows->cap ? rows->cap * 2 : 64;
    if (cap < need)
        cap = need;
    void *grown = stg__realloc(p->ctx, rows->items, cap, rows->bytes);
    if (!grown)
        return stg__fail(p->err, STG_E_NOMEM, "out of memory");
    rows->items = grown;
    rows->cap = cap;
    return STG_OK;
}

static int32_t add_number(const stg__pickle *p, stg__prows *rows, uint32_t number)
{
    STG_RETURN_IF_ERROR(make_room(p, rows, 1));
    ((uint32_t *)rows->items)[rows->count++] = number;
    return STG_OK;
}

void stg__pickle_init(stg__pickle *p, stg_ctx *ctx, const unsigned char *data, size_t len,
                      stg_error *err)
{
    *p = (stg__pickle){
        .ctx = ctx,
        .data = data,
        .len = len,
        .values = {.bytes = sizeof(stg__pvalue), .most = STG__PICKLE_MAX_VALUES},
        .cells = {.bytes = sizeof(stg__pcell), .most = STG__PICKLE_MAX_CELLS},
        .stack = {.bytes = sizeof(uint32_t), .most = STG__PICKLE_MAX_VALUES},
        .marks = {.bytes = sizeof(uint32_t), .most = STG__PICKLE_MAX_MARKS},
        .memo = {.bytes = sizeof(uint32_t), .most = STG__PICKLE_MAX_VALUES},
        .err = err,
    };
}

void stg__pickle_close(stg__pickle *p)
{
    stg__prows *const rows[] = {&p->values, &p->cells, &p->stack, &p->marks, &p->memo};
    for (size_t i = 0; p->ctx && i < sizeof rows / sizeof *rows; i++) {
        stg__free(p->ctx, rows[i]->items);
        rows[i]->items = NULL;
    }
}

int32_t stg__pickle_value(stg__pickle *p, stg__pvalue value, uint32_t *index)
{
    STG_RETURN_IF_ERROR(make_room(p, &p->values, 1));
    *index = p->values.count++;
    *stg__pickle_at(p, *index) = value;
    return STG_OK;
}

int32_t stg__pickle_push(stg__pickle *p, uint32_t index)
{
    return add_number(p, &p->stack, index);
}

int32_t stg__pickle_new(stg__pickle *p, stg__pvalue value)
{
    uint32_t index = 0;
    STG_RETURN_IF_ERROR(stg__pickle_value(p, value, &index));
    return stg__pickle_push(p, index);
}

uint32_t stg__pickle_floor(const stg__pickle *p)
{
    return p->marks.count ? ((const uint32_t *)p->marks.items)[p->marks.count - 1] : 0;
}

int32_t stg__pickle_pop(stg__pickle *p, uint32_t *index)
{
    if (p->stack.count <= stg__pickle_floor(p))
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing on the stack");
    *index = ((const uint32_t *)p->stack.items)[--p->stack.count];
    return STG_OK;
}

int32_t stg__pickle_mark(stg__pickle *p)
{
    return add_number(p, &p->marks, p->stack.count);
}

int32_t stg__pickle_unmark(stg__pickle *p, uint32_t *from)
{
    if (!p->marks.count)
        return stg__pickle_fail(p, STG_E_FORMAT, "no mark on the stack");
    *from = stg__pickle_floor(p);
    p->marks.count--;
    return STG_OK;
}

int32_t stg__pickle_append(stg__pickle *p, uint32_t container, uint32_t item)
{
    STG_RETURN_IF_ERROR(make_room(p, &p->cells, 1));
    const uint32_t cell = p->cells.count++;
    stg__pcell *cells = (stg__pcell *)p->cells.items;
    stg__pvalue *v = stg__pickle_at(p, container);
    cells[cell] = (stg__pcell){item, STG__TORCH_NONE};
    if (v->count)
        cells[v->is.cells.last].next = cell;
    else
        v->is.cells.first = cell;
    v->is.cells.last = cell;
    v->count++;
    return STG_OK;
}

int32_t stg__pickle_gather(stg__pickle *p, uint8_t kind, uint32_t from)
{
    uint32_t container = 0;
    STG_RETURN_IF_ERROR(stg__pickle_value(
        p, (stg__pvalue){.kind = kind, .is.cells = {STG__TORCH_NONE, STG__TORCH_NONE}}, &container));
    for (uint32_t i = from; i < p->stack.count && kind != STG__P_OPAQUE; i++)
        STG_RETURN_IF_ERROR(
            stg__pickle_append(p, container, ((const uint32_t *)p->stack.items)[i]));
    p->stack.count = from;
    return stg__pickle_push(p, container);
}

int32_t stg__pickle_memo_put(stg__pickle *p, uint32_t number)
{
    if (p->stack.count <= stg__pickle_floor(p))
        return stg__pickle_fail(p, STG_E_FORMAT, "nothing to remember");
    if (number >= p->memo.most)
        return stg__pickle_fail(p, STG_E_LIMIT, "more values than this reader takes");
    while (p->memo.count <= number)
        STG_RETURN_IF_ERROR(add_number(p, &p->memo, STG__TORCH_NONE));
    ((uint32_t *)p->memo.items)[number] = ((const uint32_t *)p->stack.items)[p->stack.count - 1];
    return STG_OK;
}

int32_t stg__pickle_memo_get(stg__pickle *p, uint32_t number)
{
    if (number >= p->memo.count || ((const uint32_t *)p->memo.items)[number] == STG__TORCH_NONE)
        return stg__pickle_fail(p, STG_E_FORMAT, "a value that was never remembered");
    return stg__pickle_push(p, ((const uint32_t *)p->memo.items)[number]);
}

bool stg__pickle_says(const stg__pickle *p, uint32_t index, const char *text)
{
    const stg__pvalue *v = stg__pickle_at(p, index);
    return v->kind == STG__P_TEXT && v->count == strlen(text) &&
           memcmp(v->is.text, text, v->count) == 0;
}

uint32_t stg__pickle_item(const stg__pickle *p, uint32_t container, uint32_t n)
{
    uint32_t cell = stg__pickle_at(p, container)->is.cells.first;
    while (n--)
        cell = stg__pickle_cell(p, cell)->next;
    return stg__pickle_cell(p, cell)->value;
}
