/* SPDX-License-Identifier: Apache-2.0 */
/* Writes a bundle as safetensors, to memory or to a file, and describes it as JSON. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bundle_priv.h"

static void write_meta(stg__text *t, const stg_bundle *b)
{
    stg__text_str(t, "{");
    for (size_t i = 0; i < b->metas; i++) {
        stg__text_str(t, i ? "," : "");
        stg__text_json(t, b->meta[i].key, strlen(b->meta[i].key));
        stg__text_str(t, ":");
        stg__text_json(t, b->meta[i].value, strlen(b->meta[i].value));
    }
    stg__text_str(t, "}");
}

static void write_shape(stg__text *t, const stg__tensor *tensor)
{
    stg__text_str(t, "\"shape\":[");
    for (uint32_t i = 0; i < tensor->dims; i++) {
        stg__text_str(t, i ? "," : "");
        stg__text_u64(t, tensor->shape[i]);
    }
    stg__text_str(t, "]");
}

static void write_header(stg__text *t, const stg_bundle *b)
{
    uint64_t at = 0;
    stg__text_str(t, "{\"__metadata__\":");
    write_meta(t, b);
    for (size_t i = 0; i < b->count; i++) {
        const stg__tensor *x = &b->tensors[i];
        stg__text_str(t, ",");
        stg__text_json(t, x->name, strlen(x->name));
        stg__text_str(t, ":{\"dtype\":\"");
        stg__text_str(t, stg__dtype_of(x->dtype)->name);
        stg__text_str(t, "\",");
        write_shape(t, x);
        stg__text_str(t, ",\"data_offsets\":[");
        stg__text_u64(t, at);
        at += x->bytes;
        stg__text_str(t, ",");
        stg__text_u64(t, at);
        stg__text_str(t, "]}");
    }
    stg__text_str(t, "}");
}

int32_t stg_bundle_serialize(const stg_bundle *b, void *buf, size_t cap, size_t *len)
{
    if (!b || !len || (!buf && cap))
        return STG_E_INVALID;
    stg__text header;
    stg__text_init(&header, NULL, 0);
    write_header(&header, b);
    const size_t padded = (header.len + 7) / 8 * 8;
    size_t total = 8 + padded;
    for (size_t i = 0; i < b->count; i++)
        total += b->tensors[i].bytes;
    *len = total;
    if (cap < total || !buf)
        return STG_MORE;

    char *out = (char *)buf;
    const uint64_t header_bytes = padded;
    memcpy(out, &header_bytes, sizeof header_bytes);
    stg__text_init(&header, out + 8, padded);
    write_header(&header, b);
    memset(out + 8 + header.len, ' ', padded - header.len);
    char *at = out + 8 + padded;
    for (size_t i = 0; i < b->count; i++) {
        memcpy(at, b->tensors[i].data, b->tensors[i].bytes);
        at += b->tensors[i].bytes;
    }
    return STG_OK;
}

static int32_t write_all(int fd, const char *data, size_t len)
{
    while (len) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return STG_E_IO;
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) == 0 ? STG_OK : STG_E_IO;
}

int32_t stg_bundle_save(const stg_bundle *b, const char *path, stg_error *err)
{
    if (!b || !path)
        return stg__fail(err, STG_E_INVALID, "a pointer is NULL");
    size_t len;
    stg_bundle_serialize(b, NULL, 0, &len);
    const size_t path_len = strlen(path);
    char *data = (char *)stg__alloc(b->ctx, len);
    char *temporary = (char *)stg__alloc(b->ctx, path_len + 8);
    int32_t status = STG_E_NOMEM;
    if (!data || !temporary) {
        stg__fail(err, status, "out of memory");
        goto out;
    }
    stg_bundle_serialize(b, data, len, &len);
    memcpy(temporary, path, path_len);
    memcpy(temporary + path_len, ".XXXXXX", 8);
    const int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        status = stg__fail(err, STG_E_IO, "%.150s: %s", path, strerrordesc_np(errno));
        goto out;
    }
    status = write_all(fd, data, len);
    /* mkostemp makes files for the owner alone; a model is no secret to its group. */
    if (status == STG_OK && fchmod(fd, 0644) != 0)
        status = STG_E_IO;
    if (close(fd) != 0)
        status = STG_E_IO;
    if (status == STG_OK && rename(temporary, path) != 0)
        status = STG_E_IO;
    if (status != STG_OK) {
        stg__fail(err, status, "%.150s: %s", path, strerrordesc_np(errno));
        unlink(temporary);
    }
out:
    stg__free(b->ctx, data);
    stg__free(b->ctx, temporary);
    return status;
}

int32_t stg_bundle_describe(const stg_bundle *b, char *buf, size_t cap, size_t *len)
{
    if (!b || !len || (!buf && cap))
        return STG_E_INVALID;
    stg__text t;
    stg__text_init(&t, buf, cap);
    stg__text_str(&t, "{\"metadata\":");
    write_meta(&t, b);
    stg__text_str(&t, ",\"tensors\":[");
    for (size_t i = 0; i < b->count; i++) {
        stg__text_str(&t, i ? ",{\"name\":" : "{\"name\":");
        stg__text_json(&t, b->tensors[i].name, strlen(b->tensors[i].name));
        stg__text_str(&t, ",\"dtype\":\"");
        stg__text_str(&t, stg__dtype_of(b->tensors[i].dtype)->name);
        stg__text_str(&t, "\",");
        write_shape(&t, &b->tensors[i]);
        stg__text_str(&t, "}");
    }
    stg__text_str(&t, "]}");
    return stg__text_end(&t, len);
}
