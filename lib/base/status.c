/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Status names, error texts, and the rules of structs that grow: every options struct that comes in
 * and every info struct that goes out passes here.
 */
#include <stdio.h>
#include <string.h>

#include "base_priv.h"

#define MAX_GROWTH 4096 /* a size beyond this is not a newer struct but an uninitialised one */

uint32_t stg_version(void)
{
    return STG_VERSION_NUMBER;
}

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

const char *stg_version_string(void)
{
    return TEXT(STG_VERSION_MAJOR) "." TEXT(STG_VERSION_MINOR) "." TEXT(STG_VERSION_PATCH);
}

const char *stg_status_name(int32_t status)
{
    switch (status) {
#define CASE(name, number, text)                                                                   \
    case number:                                                                                   \
        return #name;
        STG_STATUS_MAP(CASE)
#undef CASE
    default:
        return "?";
    }
}

__attribute__((format(printf, 4, 0)))
static void fill(stg_error *err, int32_t status, uint32_t line, const char *format, va_list args)
{
    if (!err)
        return;
    err->status = status;
    err->line = line;
    vsnprintf(err->text, sizeof err->text, format, args);
    for (char *c = err->text; *c; c++) /* input may be quoted in it: keep it one line */
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

int32_t stg__fail(stg_error *err, int32_t status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, 0, format, args);
    va_end(args);
    return status;
}

int32_t stg__fail_line(stg_error *err, int32_t status, uint32_t line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, status, line, format, args);
    va_end(args);
    return status;
}

int32_t stg__opts_read(void *to, size_t known, const void *from, const char *name, stg_error *err)
{
    memset(to, 0, known);
    size_t size = known;
    if (from) {
        memcpy(&size, from, sizeof size);
        if (size < sizeof size || size > known + MAX_GROWTH)
            return stg__fail(err, STG_E_INVALID, "%s: size is %zu", name, size);
        const unsigned char *tail = (const unsigned char *)from;
        for (size_t i = known; i < size; i++)
            if (tail[i])
                return stg__fail(err, STG_E_VERSION,
                                 "%s: a member that library %s does not know is set (size %zu, known %zu)",
                                 name, stg_version_string(), size, known);
        memcpy(to, from, size < known ? size : known);
    }
    memcpy(to, &known, sizeof known);
    return STG_OK;
}

int32_t stg__info_write(void *to, void *from, size_t known)
{
    size_t size;
    if (!to)
        return STG_E_INVALID;
    memcpy(&size, to, sizeof size);
    if (size < sizeof size || size > known + MAX_GROWTH)
        return STG_E_INVALID;
    memcpy(from, &size, sizeof size);
    memcpy(to, from, size < known ? size : known);
    if (size > known)
        memset((char *)to + known, 0, size - known);
    return STG_OK;
}
