/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Written by tests/abi/refresh.sh; not to be edited. The layout of every public struct on 64-bit
 * machines, every public number and every prototype; abidiff alone takes a double for as good as
 * a uint64_t. A difference breaks programs that were built before: refresh only what was never
 * released, and what was only added.
 */
#include <stdint.h>
#include <stdio.h>

#include <stgraph/stgraph.h>

#define AT(type, member, at, bytes, ...)                                                           \
    _Static_assert(offsetof(stg_##type, member) == (at), #type "." #member " has moved");          \
    _Static_assert(sizeof(((stg_##type *)0)->member) == (bytes), #type "." #member " is wider");   \
    _Static_assert(_Generic(((stg_##type *)0)->member, __VA_ARGS__: 1, default: 0),                \
                   #type "." #member " has another type");
#define IS(name, number) _Static_assert((name) == (number), #name " has another number");

AT(error, status, 0, 4, int32_t)
AT(error, line, 4, 4, uint32_t)
AT(error, text, 8, 248, char *)
AT(allocator, alloc, 0, 8, void *(*)(size_t bytes, void *user))
AT(allocator, realloc, 8, 8, void *(*)(void *block, size_t bytes, void *user))
AT(allocator, free, 16, 8, void (*)(void *block, void *user))
AT(allocator, user, 24, 8, void *)
AT(ctx_opts, size, 0, 8, size_t)
AT(ctx_opts, allocator, 8, 8, const stg_allocator *)
AT(ctx_opts, log, 16, 8, stg_log_fn)
AT(ctx_opts, log_user, 24, 8, void *)
AT(ctx_opts, log_level, 32, 4, uint32_t)
AT(ctx_opts, reserved, 36, 4, uint32_t)
AT(ctx_opts, sketch_key, 40, 8, uint64_t)
AT(graph_info, size, 0, 8, size_t)
AT(graph_info, start_ns, 8, 8, uint64_t)
AT(graph_info, end_ns, 16, 8, uint64_t)
AT(graph_info, topology, 24, 8, uint64_t)
AT(graph_info, coverage, 32, 8, double)
AT(graph_info, nodes, 40, 4, uint32_t)
AT(graph_info, edges, 44, 4, uint32_t)
AT(graph_info, routes, 48, 4, uint32_t)
AT(graph_info, node_columns, 52, 4, uint32_t)
AT(graph_info, edge_columns, 56, 4, uint32_t)
AT(graph_info, reserved, 60, 4, uint32_t)
AT(edges, size, 0, 8, size_t)
AT(edges, src, 8, 8, const uint32_t *)
AT(edges, dst, 16, 8, const uint32_t *)
AT(edges, route, 24, 8, const uint32_t *)
AT(edges, out_ptr, 32, 8, const uint32_t *)
AT(edges, in_ptr, 40, 8, const uint32_t *)
AT(edges, in_edge, 48, 8, const uint32_t *)
AT(graph_builder_opts, size, 0, 8, size_t)
AT(graph_builder_opts, snapshots, 8, 4, uint32_t)
AT(graph_builder_opts, max_nodes, 12, 4, uint32_t)
AT(graph_builder_opts, max_edges, 16, 4, uint32_t)
AT(graph_builder_opts, max_routes, 20, 4, uint32_t)
AT(call, end_ns, 0, 8, uint64_t)
AT(call, client, 8, 8, uint64_t)
AT(call, duration_us, 16, 4, uint32_t)
AT(call, first_byte_us, 20, 4, uint32_t)
AT(call, src, 24, 4, uint32_t)
AT(call, dst, 28, 4, uint32_t)
AT(call, route, 32, 4, uint32_t)
AT(call, conn, 36, 4, uint32_t)
AT(call, user, 40, 4, uint32_t)
AT(call, group, 44, 4, uint32_t)
AT(call, bytes_in, 48, 4, uint32_t)
AT(call, bytes_out, 52, 4, uint32_t)
AT(call, status, 56, 2, uint16_t)
AT(call, flags, 58, 2, uint16_t)
AT(call, side, 60, 1, uint8_t)
AT(call, attempt, 61, 1, uint8_t)
AT(call, injection, 62, 1, uint8_t)
AT(call, reserved, 63, 1, uint8_t)
AT(gauge, time_ns, 0, 8, uint64_t)
AT(gauge, node, 8, 4, uint32_t)
AT(gauge, producer, 12, 4, uint32_t)
AT(gauge, open, 16, 4, uint32_t)
AT(gauge, waiting_headers, 20, 4, uint32_t)
AT(gauge, active, 24, 4, uint32_t)
AT(gauge, idle, 28, 4, uint32_t)
AT(gauge, in_flight, 32, 4, uint32_t)
AT(gauge, oldest_conn_ms, 36, 4, uint32_t)
AT(gauge, oldest_header_ms, 40, 4, uint32_t)
AT(gauge, spare, 44, 16, uint32_t *)
AT(gauge, zero, 60, 4, uint8_t *)
AT(ingest_opts, size, 0, 8, size_t)
AT(ingest_opts, window_ns, 8, 8, uint64_t)
AT(ingest_opts, gauge_ttl_ns, 16, 8, uint64_t)
AT(ingest_opts, ahead_ns, 24, 8, uint64_t)
AT(ingest_opts, snapshots, 32, 4, uint32_t)
AT(ingest_opts, max_nodes, 36, 4, uint32_t)
AT(ingest_opts, max_edges, 40, 4, uint32_t)
AT(ingest_opts, max_routes, 44, 4, uint32_t)
AT(ingest_opts, max_lanes, 48, 4, uint32_t)
AT(ingest_opts, reserved, 52, 4, uint32_t)
AT(lane_opts, size, 0, 8, size_t)
AT(lane_opts, records, 8, 4, uint32_t)
AT(lane_opts, names, 12, 4, uint32_t)
AT(ingest_stats, size, 0, 8, size_t)
AT(ingest_stats, pushed, 8, 8, uint64_t)
AT(ingest_stats, windowed, 16, 8, uint64_t)
AT(ingest_stats, late, 24, 8, uint64_t)
AT(ingest_stats, refused, 32, 8, uint64_t)
AT(ingest_stats, waiting, 40, 8, uint64_t)
AT(ingest_stats, other_nodes, 48, 8, uint64_t)
AT(ingest_stats, other_edges, 56, 8, uint64_t)
AT(ingest_stats, gauges, 64, 8, uint64_t)
AT(ingest_stats, malformed, 72, 8, uint64_t)
AT(ingest_stats, lanes, 80, 4, uint32_t)
AT(ingest_stats, nodes, 84, 4, uint32_t)
AT(ingest_stats, edges, 88, 4, uint32_t)
AT(ingest_stats, reserved, 92, 4, uint32_t)
AT(model_info, size, 0, 8, size_t)
AT(model_info, kind, 8, 8, const char *)
AT(model_info, window_ns, 16, 8, uint64_t)
AT(model_info, day_ns, 24, 8, uint64_t)
AT(model_info, parameters, 32, 8, uint64_t)
AT(model_info, inputs, 40, 4, uint32_t)
AT(model_info, targets, 44, 4, uint32_t)
AT(model_info, history, 48, 4, uint32_t)
AT(model_info, horizon, 52, 4, uint32_t)
AT(model_info, layers, 56, 4, uint32_t)
AT(model_info, units, 60, 4, uint32_t)
AT(model_info, hops, 64, 4, uint32_t)
AT(model_info, nodes, 68, 4, uint32_t)
AT(model_info, lags, 72, 4, uint32_t)
AT(model_info, time, 76, 4, uint32_t)
AT(model_info, filter, 80, 8, const char *)
AT(model_info, recursion, 88, 8, const char *)
AT(model_info, decoder, 96, 8, const char *)
AT(model_info, cell, 104, 8, const char *)
AT(model_info, stateful_ok, 112, 4, uint32_t)
AT(model_info, reserved, 116, 4, uint32_t)
AT(import_opts, size, 0, 8, size_t)
AT(import_opts, format, 8, 8, const char *)
AT(import_opts, column, 16, 8, const char *)
AT(import_opts, filter, 24, 8, const char *)
AT(import_opts, supports, 32, 4, uint32_t)
AT(import_opts, history, 36, 4, uint32_t)
AT(import_opts, horizon, 40, 4, uint32_t)
AT(import_opts, reserved, 44, 4, uint32_t)
AT(import_opts, window_ns, 48, 8, uint64_t)
AT(import_opts, day_ns, 56, 8, uint64_t)
AT(import_opts, mean, 64, 8, double)
AT(import_opts, deviation, 72, 8, double)
AT(session_opts, size, 0, 8, size_t)
AT(session_opts, forecasts, 8, 4, uint32_t)
AT(session_opts, supports, 12, 4, uint32_t)
AT(session_opts, mean, 16, 8, const double *)
AT(session_opts, deviation, 24, 8, const double *)
AT(session_opts, mode, 32, 4, uint32_t)
AT(session_opts, threads, 36, 4, uint32_t)
AT(session_opts, graph, 40, 4, uint32_t)
AT(session_opts, reserved, 44, 4, uint32_t)
AT(session_opts, graph_rate, 48, 8, double)
AT(forecast_info, size, 0, 8, size_t)
AT(forecast_info, start_ns, 8, 8, uint64_t)
AT(forecast_info, window_ns, 16, 8, uint64_t)
AT(forecast_info, topology, 24, 8, uint64_t)
AT(forecast_info, horizon, 32, 4, uint32_t)
AT(forecast_info, nodes, 36, 4, uint32_t)
AT(forecast_info, edges, 40, 4, uint32_t)
AT(forecast_info, ready, 44, 4, uint32_t)
AT(monitor_opts, size, 0, 8, size_t)
AT(monitor_opts, ingest, 8, 8, const stg_ingest_opts *)
AT(monitor_opts, detector, 16, 8, const stg_detector_opts *)
AT(monitor_opts, planner, 24, 8, const stg_planner_opts *)
AT(monitor_opts, max_events, 32, 4, uint32_t)
AT(monitor_opts, reserved, 36, 4, uint32_t)
AT(planner_opts, size, 0, 8, size_t)
AT(planner_opts, ttl_ns, 8, 8, uint64_t)
AT(planner_opts, dwell_ns, 16, 8, uint64_t)
AT(planner_opts, min_confidence, 24, 8, double)
AT(planner_opts, plans, 32, 4, uint32_t)
AT(planner_opts, enforce, 36, 4, uint32_t)
AT(action, size, 0, 8, size_t)
AT(action, key, 8, 8, uint64_t)
AT(action, incident, 16, 8, uint64_t)
AT(action, expires_ns, 24, 8, uint64_t)
AT(action, verb, 32, 8, const char *)
AT(action, node, 40, 8, const char *)
AT(action, src, 48, 8, const char *)
AT(action, route, 56, 8, const char *)
AT(action, reason, 64, 8, const char *)
AT(action, value, 72, 8, double)
AT(action, present, 80, 8, double)
AT(action, kind, 88, 4, uint32_t)
AT(action, dry_run, 92, 4, uint32_t)
AT(detector_opts, size, 0, 8, size_t)
AT(detector_opts, false_alarms_per_day, 8, 8, double)
AT(detector_opts, seed, 16, 8, uint64_t)
AT(detector_opts, reports, 24, 4, uint32_t)
AT(detector_opts, reserved, 28, 4, uint32_t)
AT(report_info, size, 0, 8, size_t)
AT(report_info, start_ns, 8, 8, uint64_t)
AT(report_info, end_ns, 16, 8, uint64_t)
AT(report_info, alarm_level, 24, 8, double)
AT(report_info, evidence, 32, 8, double)
AT(report_info, mask, 40, 8, const uint8_t *)
AT(report_info, nodes, 48, 4, uint32_t)
AT(report_info, incidents, 52, 4, uint32_t)
AT(report_info, streams, 56, 4, uint32_t)
AT(report_info, judged, 60, 4, uint32_t)
AT(incident_info, size, 0, 8, size_t)
AT(incident_info, id, 8, 8, uint64_t)
AT(incident_info, opened_ns, 16, 8, uint64_t)
AT(incident_info, onset_ns, 24, 8, uint64_t)
AT(incident_info, class_name, 32, 8, const char *)
AT(incident_info, technique, 40, 8, const char *)
AT(incident_info, text, 48, 8, const char *)
AT(incident_info, confidence, 56, 8, double)
AT(incident_info, severity, 64, 8, double)
AT(incident_info, state, 72, 4, uint32_t)
AT(incident_info, class_id, 76, 4, uint32_t)
AT(incident_info, nodes, 80, 4, uint32_t)
AT(incident_info, edges, 84, 4, uint32_t)
AT(incident_info, causes, 88, 4, uint32_t)
AT(incident_info, evidence, 92, 4, uint32_t)
AT(item, size, 0, 8, size_t)
AT(item, node, 8, 8, const char *)
AT(item, src, 16, 8, const char *)
AT(item, dst, 24, 8, const char *)
AT(item, route, 32, 8, const char *)
AT(item, column, 40, 8, const char *)
AT(item, observed, 48, 8, double)
AT(item, expected, 56, 8, double)
AT(item, value, 64, 8, double)
AT(record, u.call, 8, 64, stg_call)
AT(record, u.gauge, 8, 64, stg_gauge)
AT(record, kind, 0, 4, uint32_t)
AT(record, line, 4, 4, uint32_t)
AT(train_progress, size, 0, 8, size_t)
AT(train_progress, epoch, 8, 4, uint32_t)
AT(train_progress, epochs, 12, 4, uint32_t)
AT(train_progress, batch, 16, 4, uint32_t)
AT(train_progress, batches, 20, 4, uint32_t)
AT(train_progress, train_loss, 24, 8, double)
AT(train_progress, valid_loss, 32, 8, double)
AT(train_progress, best_loss, 40, 8, double)
AT(train_progress, learning_rate, 48, 8, double)
AT(trainer_opts, size, 0, 8, size_t)
AT(trainer_opts, kind, 8, 8, const char *)
AT(trainer_opts, inputs, 16, 8, const char *)
AT(trainer_opts, targets, 24, 8, const char *)
AT(trainer_opts, progress, 32, 8, stg_train_fn)
AT(trainer_opts, progress_user, 40, 8, void *)
AT(trainer_opts, day_ns, 48, 8, uint64_t)
AT(trainer_opts, seed, 56, 8, uint64_t)
AT(trainer_opts, learning_rate, 64, 8, double)
AT(trainer_opts, clip_norm, 72, 8, double)
AT(trainer_opts, valid_share, 80, 8, double)
AT(trainer_opts, history, 88, 4, uint32_t)
AT(trainer_opts, horizon, 92, 4, uint32_t)
AT(trainer_opts, layers, 96, 4, uint32_t)
AT(trainer_opts, units, 100, 4, uint32_t)
AT(trainer_opts, hops, 104, 4, uint32_t)
AT(trainer_opts, epochs, 108, 4, uint32_t)
AT(trainer_opts, patience, 112, 4, uint32_t)
AT(trainer_opts, batch, 116, 4, uint32_t)
AT(trainer_opts, threads, 120, 4, uint32_t)
AT(trainer_opts, curriculum, 124, 4, uint32_t)
AT(trainer_opts, loss, 128, 8, const char *)
AT(trainer_opts, optimizer, 136, 8, const char *)
AT(trainer_opts, schedule, 144, 8, const char *)
AT(trainer_opts, milestones, 152, 8, const char *)
AT(trainer_opts, huber_delta, 160, 8, double)
AT(trainer_opts, epsilon, 168, 8, double)
AT(trainer_opts, beta1, 176, 8, double)
AT(trainer_opts, beta2, 184, 8, double)
AT(trainer_opts, weight_decay, 192, 8, double)
AT(trainer_opts, rate_factor, 200, 8, double)
AT(trainer_opts, rate_floor, 208, 8, double)
AT(trainer_opts, filter, 216, 8, const char *)
AT(trainer_opts, recursion, 224, 8, const char *)
AT(trainer_opts, decoder, 232, 8, const char *)
AT(trainer_opts, lags, 240, 4, uint32_t)
AT(trainer_opts, time, 244, 4, uint32_t)
AT(trainer_opts, mask, 248, 8, const char *)
AT(trainer_opts, cell, 256, 8, const char *)
AT(trainer_opts, warmup, 264, 4, uint32_t)
AT(trainer_opts, reserved, 268, 4, uint32_t)
IS(STG_OK, 0)
IS(STG_AGAIN, 1)
IS(STG_MORE, 2)
IS(STG_E_NOMEM, -1)
IS(STG_E_INVALID, -2)
IS(STG_E_STATE, -3)
IS(STG_E_VERSION, -4)
IS(STG_E_UNSUPPORTED, -5)
IS(STG_E_IO, -6)
IS(STG_E_FORMAT, -7)
IS(STG_E_LIMIT, -8)
IS(STG_E_TIME, -9)
IS(STG_E_MISMATCH, -10)
IS(STG_E_NOTFOUND, -11)
IS(STG_E_FORK, -12)
IS(STG_E_CANCELLED, -13)
IS(STG_LOG_ERROR, 1)
IS(STG_LOG_WARN, 2)
IS(STG_LOG_INFO, 3)
IS(STG_LOG_DEBUG, 4)
IS(STG_NODE, 0)
IS(STG_EDGE, 1)
IS(STG_ROUTE, 2)
IS(STG_NODE_COLUMN, 3)
IS(STG_EDGE_COLUMN, 4)
IS(STG_FORMAT_JSON, 0)
IS(STG_FORMAT_DOT, 1)
IS(STG_SIDE_CLIENT, 0)
IS(STG_SIDE_SERVER, 1)
IS(STG_SIDE_PROXY, 2)
IS(STG_SIDE_CARD, 3)
IS(STG_CALL_LOGIN, 1)
IS(STG_CALL_LOGIN_FAILED, 2)
IS(STG_CALL_REGISTER, 4)
IS(STG_CALL_ASSET, 8)
IS(STG_CALL_RETRY, 16)
IS(STG_CALL_TIMEOUT, 32)
IS(STG_CLASS_UNKNOWN, 0)
IS(STG_CLASS_DDOS_VOLUMETRIC, 1)
IS(STG_CLASS_HTTP_FLOOD, 2)
IS(STG_CLASS_SLOW_DOS, 3)
IS(STG_CLASS_BRUTE_FORCE, 4)
IS(STG_CLASS_CRED_STUFFING, 5)
IS(STG_CLASS_BOT_REGISTRATION, 6)
IS(STG_CLASS_INJECTION, 7)
IS(STG_CLASS_FLASH_CROWD, 64)
IS(STG_CLASS_DEPLOY, 65)
IS(STG_CLASS_CASCADE, 66)
IS(STG_CLASS_RETRY_STORM, 67)
IS(STG_INCIDENT_OPEN, 1)
IS(STG_INCIDENT_UPDATE, 2)
IS(STG_INCIDENT_QUIET, 3)
IS(STG_INCIDENT_CLOSE, 4)
IS(STG_ITEM_NODE, 0)
IS(STG_ITEM_EDGE, 1)
IS(STG_ITEM_CAUSE, 2)
IS(STG_ITEM_EVIDENCE, 3)
IS(STG_ACTION_LIMIT, 1)
IS(STG_ACTION_SCALE, 2)
IS(STG_ACTION_TIMEOUT, 3)
IS(STG_GET_GRAPH, 0)
IS(STG_GET_REPORT, 1)
IS(STG_GET_PLAN, 2)
IS(STG_GET_FORECAST, 3)
IS(STG_GET_NEXT, 4)
IS(STG_RECORD_CALL, 1)
IS(STG_RECORD_GAUGE, 2)
IS(STG_NAME_MAX, 255)
IS(STG_NO_HOPS, 4294967295)

typedef void (*stg_log_fn)(uint32_t level, const char *text, void *user);
const char *stg_status_name(int32_t status);
int32_t stg_ctx_create(stg_ctx **out, const stg_ctx_opts *opts);
void stg_ctx_destroy(stg_ctx *ctx);
const void *stg_ref(const void *object);
void stg_unref(const void *object);
size_t stg_struct_size(const char *name);
int32_t stg_bundle_open(stg_bundle **out, stg_ctx *ctx, const char *path, stg_error *err);
int32_t stg_bundle_parse(stg_bundle **out, stg_ctx *ctx, const void *data, size_t len, stg_error *err);
int32_t stg_bundle_save(const stg_bundle *bundle, const char *path, stg_error *err);
int32_t stg_bundle_serialize(const stg_bundle *bundle, void *buf, size_t cap, size_t *len);
int32_t stg_bundle_describe(const stg_bundle *bundle, char *buf, size_t cap, size_t *len);
void stg_bundle_destroy(stg_bundle *bundle);
int32_t stg_state_save(const void *object, stg_bundle *bundle, stg_error *err);
int32_t stg_state_restore(void *object, const stg_bundle *bundle, stg_error *err);
int32_t stg_graph_get_info(const stg_graph *graph, stg_graph_info *info);
const char *stg_graph_name(const stg_graph *graph, uint32_t kind, uint32_t index, size_t *len);
int32_t stg_graph_get_edges(const stg_graph *graph, stg_edges *edges);
const double *stg_graph_column(const stg_graph *graph, uint32_t kind, const char *name, size_t len);
uint32_t stg_graph_find(const stg_graph *graph, const char *name, size_t len);
int32_t stg_graph_export(const stg_graph *graph, uint32_t format, char *buf, size_t cap, size_t *len);
int32_t stg_graph_builder_create(stg_graph_builder **out, stg_ctx *ctx, const stg_graph_builder_opts *opts);
void stg_graph_builder_destroy(stg_graph_builder *builder);
int32_t stg_graph_builder_begin(stg_graph_builder *builder, uint64_t start_ns, uint64_t end_ns);
int32_t stg_graph_builder_node(stg_graph_builder *builder, const char *name, size_t len, uint32_t *index);
int32_t stg_graph_builder_edge(stg_graph_builder *builder, uint32_t src, uint32_t dst, const char *route, size_t len, uint32_t *index);
int32_t stg_graph_builder_column(stg_graph_builder *builder, uint32_t kind, const char *name, size_t len, uint32_t *index);
int32_t stg_graph_builder_set(stg_graph_builder *builder, uint32_t kind, uint32_t index, uint32_t column, double value);
int32_t stg_graph_builder_finish(stg_graph_builder *builder, const stg_graph **out);
int32_t stg_ingest_create(stg_ingest **out, stg_ctx *ctx, const stg_ingest_opts *opts);
void stg_ingest_destroy(stg_ingest *in);
int32_t stg_ingest_poll(stg_ingest *in);
int32_t stg_ingest_close(stg_ingest *in, uint64_t window_end, const stg_graph **out);
int32_t stg_ingest_get_stats(const stg_ingest *in, stg_ingest_stats *stats);
int32_t stg_ingest_attach(stg_ingest *in, int fd, uint64_t *id);
int32_t stg_ingest_detach(stg_ingest *in, uint64_t id);
int32_t stg_lane_open(stg_lane **out, stg_ingest *in, const stg_lane_opts *opts);
int32_t stg_lane_create_fd(int *fd, stg_ctx *ctx, const stg_lane_opts *opts);
int32_t stg_lane_attach(stg_lane **out, stg_ctx *ctx, int fd);
void stg_lane_close(stg_lane *lane);
int32_t stg_lane_intern(stg_lane *lane, uint32_t kind, const char *name, size_t len, uint32_t *id);
uint64_t stg_lane_hash(const stg_lane *lane, const void *data, size_t len);
size_t stg_lane_push(stg_lane *lane, const stg_call *calls, size_t n);
int32_t stg_lane_gauge(stg_lane *lane, const stg_gauge *gauge);
void stg_lane_beat(stg_lane *lane, uint64_t now_ns);
int32_t stg_ingest_store(const stg_ingest *in, stg_bundle *bundle);
int32_t stg_ingest_restore(stg_ingest *in, const stg_bundle *bundle, stg_error *err);
int32_t stg_model_load(const stg_model **out, const stg_bundle *bundle, stg_error *err);
int32_t stg_model_import(const stg_model **out, stg_ctx *ctx, const void *data, size_t len, const stg_import_opts *opts, stg_error *err);
int32_t stg_model_store(const stg_model *model, stg_bundle *bundle);
int32_t stg_model_get_info(const stg_model *model, stg_model_info *info);
const char *stg_model_column(const stg_model *model, uint32_t kind, uint32_t index);
int32_t stg_session_create(stg_session **out, stg_ctx *ctx, const stg_model *model, const stg_session_opts *opts);
void stg_session_destroy(stg_session *session);
int32_t stg_session_step(stg_session *session, const stg_graph *graph, const uint8_t *mask);
int32_t stg_session_forecast(stg_session *session, uint32_t horizon, const stg_forecast **out);
int32_t stg_forecast_get_info(const stg_forecast *forecast, stg_forecast_info *info);
const double *stg_forecast_mean(const stg_forecast *forecast, uint32_t kind, const char *column, size_t len, uint32_t step);
int32_t stg_monitor_create(stg_monitor **out, stg_ctx *ctx, const stg_bundle *bundle, const stg_monitor_opts *opts, stg_error *err);
void stg_monitor_destroy(stg_monitor *mon);
stg_ingest *stg_monitor_ingest(stg_monitor *mon);
int32_t stg_monitor_tick(stg_monitor *mon, uint64_t window_end, stg_error *err);
int32_t stg_monitor_event(stg_monitor *mon, char *buf, size_t cap, size_t *len);
uint64_t stg_monitor_dropped(const stg_monitor *mon);
const void *stg_monitor_get(stg_monitor *mon, uint32_t what);
int32_t stg_planner_create(stg_planner **out, stg_ctx *ctx, const stg_planner_opts *opts);
void stg_planner_destroy(stg_planner *planner);
int32_t stg_planner_plan(stg_planner *planner, const stg_graph *graph, const stg_report *report, const stg_forecast *forecast, const stg_plan **out);
uint32_t stg_plan_actions(const stg_plan *plan);
int32_t stg_plan_action(const stg_plan *plan, uint32_t index, stg_action *action);
int32_t stg_detector_create(stg_detector **out, stg_ctx *ctx, const stg_bundle *bundle, const stg_detector_opts *opts, stg_error *err);
void stg_detector_destroy(stg_detector *det);
int32_t stg_detector_learn(stg_detector *det, const stg_graph *graph, const stg_forecast *forecast);
int32_t stg_detector_fit(stg_detector *det, stg_error *err);
int32_t stg_detector_store(const stg_detector *det, stg_bundle *bundle);
int32_t stg_detector_score(stg_detector *det, const stg_graph *graph, const stg_forecast *forecast, const stg_report **out);
int32_t stg_report_get_info(const stg_report *report, stg_report_info *info);
int32_t stg_report_incident(const stg_report *report, uint32_t index, stg_incident_info *info);
int32_t stg_report_item(const stg_report *report, uint32_t incident, uint32_t part, uint32_t index, stg_item *item);
int32_t stg_reader_create(stg_reader **out, stg_ctx *ctx, stg_lane *lane, const char *format, stg_error *err);
void stg_reader_destroy(stg_reader *reader);
int32_t stg_reader_feed(stg_reader *reader, const void *data, size_t len);
int32_t stg_reader_next(stg_reader *reader, stg_record *records, size_t cap, size_t *n, stg_error *err);
typedef int32_t (*stg_train_fn)(const stg_train_progress *progress, void *user);
int32_t stg_trainer_create(stg_trainer **out, stg_ctx *ctx, const stg_trainer_opts *opts, stg_error *err);
void stg_trainer_destroy(stg_trainer *trainer);
int32_t stg_trainer_add(stg_trainer *trainer, const stg_graph *graph);
int32_t stg_trainer_run(stg_trainer *trainer, const stg_model **out, stg_error *err);
uint32_t stg_version(void);
const char *stg_version_string(void);

#define SIZE(type, bytes) {#type, sizeof(stg_##type), bytes},

static const struct {
    const char *name;
    size_t header;
    size_t released;
} sizes[] = {
    SIZE(error, 256)
    SIZE(allocator, 32)
    SIZE(ctx_opts, 48)
    SIZE(graph_info, 64)
    SIZE(edges, 56)
    SIZE(graph_builder_opts, 24)
    SIZE(call, 64)
    SIZE(gauge, 64)
    SIZE(ingest_opts, 56)
    SIZE(lane_opts, 16)
    SIZE(ingest_stats, 96)
    SIZE(model_info, 120)
    SIZE(import_opts, 80)
    SIZE(session_opts, 56)
    SIZE(forecast_info, 48)
    SIZE(monitor_opts, 40)
    SIZE(planner_opts, 40)
    SIZE(action, 96)
    SIZE(detector_opts, 32)
    SIZE(report_info, 64)
    SIZE(incident_info, 96)
    SIZE(item, 72)
    SIZE(record, 72)
    SIZE(train_progress, 56)
    SIZE(trainer_opts, 272)
};

/* The size of a struct must be the released one in the headers and in the library. */
int main(void)
{
    int bad = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].header == sizes[i].released &&
            stg_struct_size(sizes[i].name) == sizes[i].released)
            continue;
        fprintf(stderr, "stg_%s: %zu bytes in the header, %zu in the library, %zu released\n",
                sizes[i].name, sizes[i].header, stg_struct_size(sizes[i].name), sizes[i].released);
        bad = 1;
    }
    return bad;
}
