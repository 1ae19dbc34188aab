/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Saved state: one pair of functions for every handle that has any, and what the rooms need to put
 * their parts into a bundle. Each room keeps to its own prefix and checks all it reads.
 */
#include <stdio.h>
#include <string.h>

#include "base_priv.h"

void stg__handle_init(stg__handle *handle, const stg__state_type *type)
{
    handle->magic = STG_HANDLE_MAGIC;
    handle->type = type;
}

static const stg__handle *handle_of(const void *object)
{
    const stg__handle *h = (const stg__handle *)object;
    return h && h->magic == STG_HANDLE_MAGIC ? h : NULL;
}

/* Written beside and then put in place: on an error the bundle keeps what it had. */
int32_t stg_state_save(const void *object, stg_bundle *bundle, stg_error *err)
{
    const stg__handle *h = handle_of(object);
    if (!h || !bundle)
        return stg__fail(err, STG_E_INVALID, "no object with a state, or no bundle");
    const stg__state_type *type = h->type;
    stg_bundle *own;
    int32_t status = stg_bundle_open(&own, stg__bundle_ctx(bundle), NULL, err);
    STG_RETURN_IF_ERROR(status);
    status = type->save(object, own, err);
    if (status == STG_OK)
        status = stg__bundle_reserve(bundle, own);
    if (status == STG_OK) {
        for (uint32_t i = 0; i < STG__STATE_PARTS && type->part[i]; i++)
            stg__bundle_drop(bundle, type->part[i]);
        status = stg__bundle_replace(bundle, type->prefix, own);
    }
    stg_bundle_destroy(own);
    return status == STG_E_NOMEM ? stg__fail(err, status, "%s: out of memory", type->prefix) : status;
}

int32_t stg__state_load(const void *object, const stg_bundle *bundle, void **twin, stg_error *err)
{
    const stg__handle *h = handle_of(object);
    *twin = NULL;
    if (!h || !bundle)
        return stg__fail(err, STG_E_INVALID, "no object with a state, or no bundle");
    const stg__state_type *type = h->type;
    uint64_t version = 0;
    char key[STG__KEY_MAX];
    if (!stg__bundle_meta(bundle, stg__key(key, type->prefix, "version")))
        return stg__fail(err, STG_E_NOTFOUND, "the bundle has no %s", type->prefix);
    STG_RETURN_IF_ERROR(stg__get_number(bundle, type->prefix, "version", UINT64_MAX, &version, err));
    if (version != type->version)
        return stg__fail(err, STG_E_VERSION, "%s is of version %llu, not %u", type->prefix,
                         (unsigned long long)version, type->version);
    const int32_t status = type->load(object, bundle, twin, err);
    return status == STG_E_NOMEM ? stg__fail(err, status, "%s: out of memory", type->prefix) : status;
}

void stg__state_swap(void *object, void *twin)
{
    const stg__handle *h = (const stg__handle *)object; /* was looked at when the twin was loaded */
    h->type->swap(object, twin);
}

int32_t stg_state_restore(void *object, const stg_bundle *bundle, stg_error *err)
{
    void *twin;
    STG_RETURN_IF_ERROR(stg__state_load(object, bundle, &twin, err));
    stg__state_swap(object, twin);
    const stg__handle *h = (const stg__handle *)object;
    h->type->destroy(twin);
    return STG_OK;
}

const char *stg__key(char out[STG__KEY_MAX], const char *prefix, const char *name)
{
    const int n = snprintf(out, STG__KEY_MAX, "%s%s", prefix, name);
    return n > 0 && n < STG__KEY_MAX ? out : "?"; /* names are the rooms' own: they fit */
}

int32_t stg__put(stg_bundle *bundle, const char *prefix, const char *name, uint32_t dtype,
                 uint64_t rows, uint64_t cols, const void *data)
{
    char key[STG__KEY_MAX];
    const uint64_t shape[2] = {rows, cols};
    return stg__bundle_put(bundle, stg__key(key, prefix, name), dtype, cols ? 2 : 1, shape, data);
}

int32_t stg__get(const stg_bundle *bundle, const char *prefix, const char *name, uint32_t dtype,
                 uint64_t rows, uint64_t cols, const stg__tensor **out, stg_error *err)
{
    char key[STG__KEY_MAX];
    const uint64_t shape[2] = {rows, cols};
    return stg__bundle_get(bundle, stg__key(key, prefix, name), dtype, cols ? 2 : 1, shape, out,
                           err);
}

int32_t stg__put_number(stg_bundle *bundle, const char *prefix, const char *name, uint64_t value)
{
    char key[STG__KEY_MAX];
    return stg__bundle_set_meta_u64(bundle, stg__key(key, prefix, name), value);
}

int32_t stg__get_number(const stg_bundle *bundle, const char *prefix, const char *name,
                        uint64_t most, uint64_t *value, stg_error *err)
{
    char key[STG__KEY_MAX];
    if (stg__bundle_meta_u64(bundle, stg__key(key, prefix, name), value) != STG_OK || *value > most)
        return stg__fail(err, STG_E_FORMAT, "%s%s is not a number up to %llu", prefix, name,
                         (unsigned long long)most);
    return STG_OK;
}

int32_t stg__put_numbers(stg_bundle *bundle, const char *prefix, const stg__number *number,
                         uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        STG_RETURN_IF_ERROR(stg__put_number(bundle, prefix, number[i].name, number[i].value));
    return STG_OK;
}

static const char *name_at(const void *from, uint32_t i, size_t *len)
{
    return stg__names_get((const stg__names *)from, i, len);
}

int32_t stg__put_names(stg_bundle *bundle, const char *prefix, const char *name,
                       const stg__names *names)
{
    char key[STG__KEY_MAX];
    return stg__bundle_put_names(bundle, stg__key(key, prefix, name), stg__names_count(names),
                                 name_at, names);
}

int32_t stg__get_names(const stg_bundle *bundle, const char *prefix, const char *name,
                       stg__names *into, stg_error *err)
{
    char key[STG__KEY_MAX];
    return stg__bundle_get_names(bundle, stg__key(key, prefix, name), into, err);
}

uint64_t stg__mix_digest(uint64_t h, const void *data, size_t len)
{
    static const uint64_t key[2] = {0x7374677374617465u, 0x6469676573743031u};
    const uint64_t part[2] = {h, stg__siphash(key, data, len)};
    return stg__siphash(key, part, sizeof part);
}

uint64_t stg__digest(const stg_bundle *bundle, const char *prefix)
{
    const size_t len = strlen(prefix);
    uint64_t h = 0;
    for (size_t i = 0; i < stg__bundle_count(bundle); i++) {
        const stg__tensor *t = stg__bundle_at(bundle, i);
        if (strncmp(t->name, prefix, len) != 0)
            continue;
        h = stg__mix_digest(h, t->name, strlen(t->name));
        h = stg__mix_digest(h, t->shape, t->dims * sizeof *t->shape);
        h = stg__mix_digest(h, t->data, t->bytes);
    }
    return h;
}
