/* SPDX-License-Identifier: Apache-2.0 */
/* A small DCRNN under the names that other codes give its tensors, as the bytes of a safetensors file. */
#ifndef STG_CHECKPOINT_H
#define STG_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECKPOINT_NEEDS(condition) ((condition) ? (void)0 : abort())

typedef struct checkpoint {
    const char *prefix;   /* before the names: "", "model_state_dict/" */
    const char *settings; /* members of the metadata, as JSON; "" for none */
    bool libcity;         /* its names; else those of the port and of BasicTS */
    uint32_t layers;
    uint32_t units;
    uint32_t copies; /* M */
    uint32_t inputs; /* of the encoder */
    uint32_t targets;
    float weight; /* every weight; every bias of a candidate or projection is 2 weight, of gates 1 */
} checkpoint;

typedef struct checkpoint_file {
    char head[65536];
    size_t head_len;
    float data[400000]; /* the published size fits */
    size_t numbers;
} checkpoint_file;

static inline void checkpoint_put(checkpoint_file *f, const char *name, uint32_t rows, uint32_t cols,
                                  float value)
{
    const size_t count = (size_t)(rows ? rows : 1) * cols;
    char shape[32];
    CHECKPOINT_NEEDS(f->numbers + count <= sizeof f->data / sizeof *f->data);
    snprintf(shape, sizeof shape, rows ? "%u,%u" : "%.0u%u", rows, cols);
    f->head_len += (size_t)snprintf(
        f->head + f->head_len, sizeof f->head - f->head_len,
        "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
        f->head_len > 1 ? "," : "", name, shape, 4 * f->numbers, 4 * (f->numbers + count));
    CHECKPOINT_NEEDS(f->head_len < sizeof f->head);
    for (size_t i = 0; i < count; i++)
        f->data[f->numbers++] = value;
}

static inline void checkpoint_cell(checkpoint_file *f, const checkpoint *c, const char *part, uint32_t l)
{
    char name[256];
    const uint32_t lowest = part[0] == 'e' ? c->inputs : c->targets;
    const uint32_t rows = ((l ? c->units : lowest) + c->units) * c->copies;
    for (uint32_t gates = 0; gates < 2; gates++) {
        const uint32_t cols = gates ? 2 * c->units : c->units;
        const int at = snprintf(name, sizeof name, "%s%s_model.dcgru_layers.%u.", c->prefix, part, l);
        if (c->libcity)
            snprintf(name + at, sizeof name - (size_t)at, "%s.weight", gates ? "_fn" : "_gconv");
        else
            snprintf(name + at, sizeof name - (size_t)at, "gconv_weight_(%u, %u)", rows, cols);
        checkpoint_put(f, name, rows, cols, c->weight);
        if (c->libcity)
            snprintf(name + at, sizeof name - (size_t)at, "%s.biases", gates ? "_fn" : "_gconv");
        else
            snprintf(name + at, sizeof name - (size_t)at, "gconv_biases_%u", cols);
        checkpoint_put(f, name, 0, cols, gates ? 1 : 2 * c->weight);
    }
}

/* The bytes of the file; the caller frees them. */
static inline unsigned char *checkpoint_make(const checkpoint *c, size_t *len)
{
    char name[256];
    checkpoint_file *f = (checkpoint_file *)calloc(1, sizeof *f);
    CHECKPOINT_NEEDS(f);
    f->head_len = (size_t)snprintf(f->head, sizeof f->head, "{");
    for (uint32_t l = 0; l < c->layers; l++) {
        checkpoint_cell(f, c, "encoder", l);
        checkpoint_cell(f, c, "decoder", l);
    }
    snprintf(name, sizeof name, "%sdecoder_model.projection_layer.weight", c->prefix);
    checkpoint_put(f, name, c->targets, c->units, c->weight);
    snprintf(name, sizeof name, "%sdecoder_model.projection_layer.bias", c->prefix);
    checkpoint_put(f, name, 0, c->targets, 2 * c->weight);
    f->head_len += (size_t)snprintf(f->head + f->head_len, sizeof f->head - f->head_len,
                                    ",\"__metadata__\":{%s}}", c->settings);
    while (f->head_len % 8)
        f->head[f->head_len++] = ' ';
    *len = 8 + f->head_len + 4 * f->numbers;
    unsigned char *bytes = (unsigned char *)malloc(*len);
    CHECKPOINT_NEEDS(bytes);
    const uint64_t head = f->head_len;
    memcpy(bytes, &head, 8); /* little endian, as all machines that this runs on */
    memcpy(bytes + 8, f->head, f->head_len);
    memcpy(bytes + 8 + f->head_len, f->data, 4 * f->numbers);
    free(f);
    return bytes;
}

#endif
