/* SPDX-License-Identifier: Apache-2.0 */
/* What `stgraph export` takes out of a model, and the forms it writes. */
#ifndef STGRAPH_EXPORT_H
#define STGRAPH_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cJSON.h>

#include <stgraph/model.h>

#include "table.h"

#define EXPORT_MAX_LAYERS 8u
#define EXPORT_MAX_WALKS 2u

/* Weights as files have them: row f * M + m for feature f (inputs, then state) and copy m. */
typedef struct export_cell {
    uint32_t inputs;
    const float *gate_w; /* [M (inputs + units)][2 units]: reset, update */
    const float *gate_b;
    const float *cand_w; /* [M (inputs + units)][units] */
    const float *cand_b;
} export_cell;

typedef struct export_net {
    stg_model_info info;
    cJSON *header; /* of the model's own file; texts below point into it */
    float *memory; /* all numbers */
    const char *filter;
    const char *supports;
    const char *recursion;
    const char *columns[64]; /* of the targets; borrowed from the model */
    double mean[64];         /* NaN: the model does not say them */
    double deviation[64];
    uint32_t inputs; /* of a step of the encoder */
    uint32_t steps;  /* of the encoder */
    uint32_t walks;
    uint32_t copies; /* M */
    uint32_t outputs; /* columns of the projection: targets, without a decoder [horizon][targets] */
    bool time_of_day;
    bool decoder;
    bool relu;             /* without a decoder: what of the state is above zero */
    export_cell cell[2][EXPORT_MAX_LAYERS]; /* encoder, decoder */
    const float *proj_w; /* [units][outputs] */
    const float *proj_b;
} export_net;

/* Both: false after a message. path: for messages. */
bool export_net_open(export_net *net, stg_ctx *ctx, const stg_model *model, const char *path);
void export_net_close(export_net *net);

/* The supports as matrices [nodes][nodes], y = S x, in one piece of memory; NULL after a message. */
float *export_supports(const export_net *net, const cli_links *links, size_t nodes);

/* safetensors with the names of the PyTorch port. */
int export_port(const export_net *net, stg_ctx *ctx, const char *path);
/* ONNX: one window at a time with the state outside, or a whole sequence. supports: as above. */
int export_onnx(const export_net *net, const float *supports, size_t nodes, bool step,
                const char *path);

#endif
