/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Learns what is normal through the library and writes a model file: the forecaster from two hours
 * of windows, then the detector's calibration from the forecasts made before each of them. The profile
 * has seen them all; the program "stgraph learn", which does this for recorded calls, keeps them apart.
 *
 *     learn MODEL
 */
#include <stdio.h>
#include <stdlib.h>

#include "traffic.h"

#define WINDOWS 1440

static stg_error err;

static int32_t collect(stg_ctx *ctx, const stg_graph **graphs, stg_bundle *bundle)
{
    stg_ingest *in = NULL;
    stg_lane *lane = NULL;
    traffic t;
    const stg_ingest_opts opts = {.size = sizeof opts, .window_ns = TRAFFIC_WINDOW_NS};
    int32_t status = stg_ingest_create(&in, ctx, &opts);
    if (status == STG_OK)
        status = stg_lane_open(&lane, in, NULL);
    if (status == STG_OK)
        status = traffic_open(&t, lane, 1);
    for (uint64_t k = 0; status == STG_OK && k < WINDOWS; k++) {
        const uint64_t start = TRAFFIC_START_NS + k * TRAFFIC_WINDOW_NS;
        traffic_window(&t, start, 0);
        status = stg_ingest_close(in, start + TRAFFIC_WINDOW_NS, &graphs[k]);
    }
    if (status == STG_OK)
        status = stg_ingest_store(in, bundle); /* the networks that clients come from */
    stg_lane_close(lane);
    stg_ingest_destroy(in);
    return status;
}

static int32_t train(stg_ctx *ctx, const stg_graph **graphs, const stg_model **model)
{
    stg_trainer *trainer;
    const stg_trainer_opts opts = {
        .size = sizeof opts, .kind = "seasonal", .day_ns = 3600000000000ull};
    int32_t status = stg_trainer_create(&trainer, ctx, &opts, &err);
    for (uint32_t k = 0; status == STG_OK && k < WINDOWS; k++)
        status = stg_trainer_add(trainer, graphs[k]);
    if (status == STG_OK)
        status = stg_trainer_run(trainer, model, &err);
    stg_trainer_destroy(trainer);
    return status;
}

static int32_t calibrate(stg_ctx *ctx, const stg_graph **graphs, const stg_model *model,
                         stg_bundle *bundle)
{
    stg_session *session = NULL;
    stg_detector *detector = NULL;
    const stg_forecast *forecast = NULL;
    int32_t status = stg_session_create(&session, ctx, model, NULL);
    if (status == STG_OK)
        status = stg_detector_create(&detector, ctx, NULL, NULL, &err);
    for (uint32_t k = 0; status == STG_OK && k < WINDOWS; k++) {
        if (forecast)
            status = stg_detector_learn(detector, graphs[k], forecast);
        stg_unref(forecast);
        forecast = NULL;
        if (status == STG_OK)
            status = stg_session_step(session, graphs[k], NULL);
        if (status == STG_OK)
            status = stg_session_forecast(session, 1, &forecast);
    }
    stg_unref(forecast);
    if (status == STG_OK)
        status = stg_detector_fit(detector, &err);
    if (status == STG_OK)
        status = stg_detector_store(detector, bundle);
    stg_detector_destroy(detector);
    stg_session_destroy(session);
    return status;
}

int main(int argc, char **argv)
{
    stg_ctx *ctx = NULL;
    stg_bundle *bundle = NULL;
    const stg_model *model = NULL;
    const stg_graph **graphs = (const stg_graph **)calloc(WINDOWS, sizeof *graphs);
    if (argc != 2 || argv[1][0] == '-' || !graphs || stg_ctx_create(&ctx, NULL) != STG_OK)
        return fprintf(stderr, "usage: learn MODEL\n"), 2;
    int32_t status = stg_bundle_open(&bundle, ctx, NULL, &err);
    if (status == STG_OK)
        status = collect(ctx, graphs, bundle);
    if (status == STG_OK)
        status = train(ctx, graphs, &model);
    if (status == STG_OK)
        status = calibrate(ctx, graphs, model, bundle);
    if (status == STG_OK)
        status = stg_model_store(model, bundle);
    if (status == STG_OK)
        status = stg_bundle_save(bundle, argv[1], &err);
    if (status != STG_OK)
        fprintf(stderr, "learn: %s %s\n", stg_status_name(status), err.text);
    for (uint32_t k = 0; k < WINDOWS; k++)
        stg_unref(graphs[k]);
    free((void *)graphs);
    stg_unref(model);
    stg_bundle_destroy(bundle);
    stg_ctx_destroy(ctx);
    return status == STG_OK ? 0 : 1;
}
