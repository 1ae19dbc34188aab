/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file stgraph.h
 * All stable headers. As a newcomer reads the line: lane_push, ingest_close, detector_score,
 * session_step, session_forecast, planner_plan; or monitor_tick, which does the last five.
 */
#ifndef STGRAPH_STGRAPH_H
#define STGRAPH_STGRAPH_H

#include <stgraph/base.h>
#include <stgraph/graph.h>
#include <stgraph/ingest.h>
#include <stgraph/model.h>
#include <stgraph/monitor.h>
#include <stgraph/respond.h>
#include <stgraph/score.h>
#include <stgraph/telemetry.h>
#include <stgraph/train.h>

#endif
