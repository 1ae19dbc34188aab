/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes an ONNX model, which is a message of Protocol Buffers, without holding it: lengths stand before
 * what they measure, so everything is said twice, first to be counted, then to be written. Only what
 * a graph of float matrices needs.
 */
#ifndef STGRAPH_ONNX_H
#define STGRAPH_ONNX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define ONNX_OPSET 21 /* and IR 10: ONNX 1.16, ONNX Runtime 1.18 */
#define ONNX_IR 10
#define ONNX_MAX_BYTES INT32_MAX /* of a message of Protocol Buffers */

typedef struct onnx {
    FILE *file; /* NULL: only counts */
    uint64_t bytes;
    bool failed; /* an element was too long, or writing failed */
    size_t len;
    unsigned char element[1 << 16];
} onnx;

/* An attribute of a node; text NULL ends a list. */
typedef struct onnx_attribute {
    const char *name;
    bool whole; /* value is an integer */
    double value;
} onnx_attribute;

/* Elements of a graph. Names in lists end with NULL. */
void onnx_node(onnx *o, const char *op, const char *const *in, const char *const *out,
               const onnx_attribute *attributes);
void onnx_floats(onnx *o, const char *name, size_t rows, size_t cols, const float *data);
void onnx_ints(onnx *o, const char *name, bool scalar, size_t count, const int64_t *data);
/* An input or output of the graph, of floats; dims 0 end. */
void onnx_port(onnx *o, bool output, const char *name, const size_t dims[3]);

/* Says all elements of the graph. */
typedef void (*onnx_graph_fn)(onnx *o, void *user);
/* Writes the file; meta: pairs of key and value, NULL behind the last. What went wrong, else NULL. */
const char *onnx_write(const char *path, const char *name, const char *const (*meta)[2],
                       onnx_graph_fn graph, void *user);

#endif
