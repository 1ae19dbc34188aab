/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of Protocol Buffers: fields are a key (number and wire type) and a value, nested messages
 * are preceded by their length. Numbers of fields are those of onnx.proto3.
 */
#include "onnx.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { VARINT = 0, BYTES = 2, FIXED32 = 5 };
enum { TYPE_FLOAT = 1, TYPE_INT64 = 7 };           /* TensorProto.DataType */
enum { ATTRIBUTE_FLOAT = 1, ATTRIBUTE_INT = 2 };   /* AttributeProto.AttributeType */
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_INITIALIZER = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };

/* --- into the element at hand ------------------------------------------------------------------ */

static void put(onnx *o, const void *bytes, size_t len)
{
    if (len > sizeof o->element - o->len) {
        o->failed = true;
        return;
    }
    memcpy(o->element + o->len, bytes, len);
    o->len += len;
}

static void put_varint(onnx *o, uint64_t value)
{
    unsigned char byte[10];
    size_t len = 0;
    for (; value >= 0x80; value >>= 7)
        byte[len++] = (unsigned char)(value | 0x80);
    byte[len++] = (unsigned char)value;
    put(o, byte, len);
}

static void put_int(onnx *o, uint32_t field, uint64_t value)
{
    put_varint(o, field << 3 | VARINT);
    put_varint(o, value);
}

static void put_text(onnx *o, uint32_t field, const char *text)
{
    put_varint(o, field << 3 | BYTES);
    put_varint(o, strlen(text));
    put(o, text, strlen(text));
}

/* Where a nested message begins; put_end() sets its length before it. */
static size_t put_begin(onnx *o, uint32_t field)
{
    put_varint(o, field << 3 | BYTES);
    return o->len;
}

static void put_end(onnx *o, size_t at)
{
    const size_t len = o->len - at;
    put_varint(o, len); /* behind it, then turned round */
    const size_t head = o->len - at - len;
    unsigned char length[10];
    memcpy(length, o->element + at + len, head);
    memmove(o->element + at + head, o->element + at, len);
    memcpy(o->element + at, length, head);
}

/* --- out ---------------------------------------------------------------------------------------- */

static void out(onnx *o, const void *bytes, size_t len)
{
    o->bytes += len;
    if (o->file && fwrite(bytes, 1, len, o->file) != len)
        o->failed = true;
}

/* The element as a field of the graph, which goes on with `more` bytes. */
static void flush(onnx *o, uint32_t field, size_t more)
{
    const size_t len = o->len;
    put_varint(o, field << 3 | BYTES);
    put_varint(o, (uint64_t)len + more);
    if (!o->failed) {
        out(o, o->element + len, o->len - len);
        out(o, o->element, len);
    }
    o->len = 0;
}

void onnx_node(onnx *o, const char *op, const char *const *in, const char *const *to,
               const onnx_attribute *attributes)
{
    for (; *in; in++)
        put_text(o, 1, *in);
    for (; *to; to++)
        put_text(o, 2, *to);
    put_text(o, 4, op);
    for (const onnx_attribute *a = attributes; a && a->name; a++) {
        const float value = (float)a->value;
        const size_t at = put_begin(o, 5);
        put_text(o, 1, a->name);
        if (a->whole) {
            put_int(o, 3, (uint64_t)(int64_t)a->value);
        } else {
            put_varint(o, 2 << 3 | FIXED32);
            put(o, &value, sizeof value);
        }
        put_int(o, 20, a->whole ? ATTRIBUTE_INT : ATTRIBUTE_FLOAT);
        put_end(o, at);
    }
    flush(o, GRAPH_NODE, 0);
}

/* A tensor but for its numbers, which follow. */
static void begin_tensor(onnx *o, const char *name, int type, size_t bytes)
{
    put_int(o, 2, (uint64_t)type);
    put_text(o, 8, name);
    put_varint(o, 9 << 3 | BYTES); /* raw_data */
    put_varint(o, bytes);
    flush(o, GRAPH_INITIALIZER, bytes);
}

void onnx_floats(onnx *o, const char *name, size_t rows, size_t cols, const float *data)
{
    const size_t bytes = (rows ? rows : 1) * cols * sizeof *data;
    if (rows)
        put_int(o, 1, rows);
    put_int(o, 1, cols);
    begin_tensor(o, name, TYPE_FLOAT, bytes);
    out(o, data, bytes);
}

void onnx_ints(onnx *o, const char *name, bool scalar, size_t count, const int64_t *data)
{
    if (!scalar)
        put_int(o, 1, count);
    begin_tensor(o, name, TYPE_INT64, count * sizeof *data);
    out(o, data, count * sizeof *data);
}

void onnx_port(onnx *o, bool output, const char *name, const size_t dims[3])
{
    put_text(o, 1, name);
    const size_t type = put_begin(o, 2);
    const size_t tensor = put_begin(o, 1);
    put_int(o, 1, TYPE_FLOAT);
    const size_t shape = put_begin(o, 2);
    for (int i = 0; i < 3 && dims[i]; i++) {
        const size_t dim = put_begin(o, 1);
        put_int(o, 1, dims[i]);
        put_end(o, dim);
    }
    put_end(o, shape);
    put_end(o, tensor);
    put_end(o, type);
    flush(o, output ? GRAPH_OUTPUT : GRAPH_INPUT, 0);
}

/* --- the model ----------------------------------------------------------------------------------- */

static void say_graph(onnx *o, const char *name, onnx_graph_fn graph, void *user)
{
    put_text(o, GRAPH_NAME, name);
    if (!o->failed)
        out(o, o->element, o->len);
    o->len = 0;
    graph(o, user);
}

static void say_model(onnx *o, const char *const (*meta)[2], uint64_t graph_bytes)
{
    put_int(o, 1, ONNX_IR);
    put_text(o, 2, "stgraph");
    size_t at = put_begin(o, 8);
    put_text(o, 1, "");
    put_int(o, 2, ONNX_OPSET);
    put_end(o, at);
    for (; (*meta)[0]; meta++) {
        at = put_begin(o, 14);
        put_text(o, 1, (*meta)[0]);
        put_text(o, 2, (*meta)[1]);
        put_end(o, at);
    }
    put_varint(o, 7 << 3 | BYTES);
    put_varint(o, graph_bytes);
    if (!o->failed)
        out(o, o->element, o->len);
    o->len = 0;
}

static const char *write_all(onnx *o, const char *path, const char *name,
                             const char *const (*meta)[2], onnx_graph_fn graph, void *user)
{
    say_graph(o, name, graph, user);
    const uint64_t bytes = o->bytes;
    if (o->failed)
        return "the graph has a part that is too long";
    if (bytes > ONNX_MAX_BYTES - sizeof o->element)
        return "more than the 2 GiB that an ONNX file may have: the supports are dense";
    o->file = fopen(path, "wxe");
    if (!o->file)
        return strerror(errno);
    say_model(o, meta, bytes);
    o->bytes = 0;
    say_graph(o, name, graph, user);
    if (fclose(o->file) != 0 || o->failed || o->bytes != bytes)
        return "writing failed";
    return NULL;
}

const char *onnx_write(const char *path, const char *name, const char *const (*meta)[2],
                       onnx_graph_fn graph, void *user)
{
    const size_t room = strlen(path) + 32;
    onnx *o = (onnx *)calloc(1, sizeof *o);
    char *beside = (char *)malloc(room);
    const char *wrong = "out of memory";
    if (o && beside) {
        snprintf(beside, room, "%s.new", path);
        remove(beside);
        wrong = write_all(o, beside, name, meta, graph, user);
        if (!wrong && rename(beside, path) != 0)
            wrong = strerror(errno);
        if (wrong)
            remove(beside);
    }
    free(beside);
    free(o);
    return wrong;
}
