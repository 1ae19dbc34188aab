# SPDX-License-Identifier: Apache-2.0
"""The C interface: structs, prototypes, and loading the library.

Everything here mirrors the public headers. At load the version and the size of every struct are
compared with what the library says about itself, so that a mismatch is an error at import and not
a crash later.
"""
from __future__ import annotations

import ctypes as c
import ctypes.util
import operator
import os
from pathlib import Path
from typing import Any

VERSION = (0, 1)  # of the headers this file was written from

p = c.c_void_p
u8, u16, u32, u64, i32 = c.c_uint8, c.c_uint16, c.c_uint32, c.c_uint64, c.c_int32
size_t, f64, text = c.c_size_t, c.c_double, c.c_char_p
NO_HOPS = 0xFFFFFFFF
TIME_NONE = 1


def _struct(name: str, fields: list[tuple[str, Any]]) -> Any:
    return type(name, (c.Structure,), {"_fields_": fields})


error = _struct("error", [("status", i32), ("line", u32), ("text", c.c_char * 248)])
allocator = _struct("allocator", [("alloc", p), ("realloc", p), ("free", p), ("user", p)])
ctx_opts = _struct("ctx_opts", [
    ("size", size_t), ("allocator", p), ("log", p), ("log_user", p), ("log_level", u32),
    ("reserved", u32), ("sketch_key", u64)])
graph_info = _struct("graph_info", [
    ("size", size_t), ("start_ns", u64), ("end_ns", u64), ("topology", u64), ("coverage", f64),
    ("nodes", u32), ("edges", u32), ("routes", u32), ("node_columns", u32), ("edge_columns", u32),
    ("reserved", u32)])
edges = _struct("edges", [
    ("size", size_t), ("src", p), ("dst", p), ("route", p), ("out_ptr", p), ("in_ptr", p),
    ("in_edge", p)])
graph_builder_opts = _struct("graph_builder_opts", [
    ("size", size_t), ("snapshots", u32), ("max_nodes", u32), ("max_edges", u32),
    ("max_routes", u32)])
call = _struct("call", [
    ("end_ns", u64), ("client", u64), ("duration_us", u32), ("first_byte_us", u32), ("src", u32),
    ("dst", u32), ("route", u32), ("conn", u32), ("user", u32), ("group", u32), ("bytes_in", u32),
    ("bytes_out", u32), ("status", u16), ("flags", u16), ("side", u8), ("attempt", u8),
    ("injection", u8), ("reserved", u8)])
gauge = _struct("gauge", [
    ("time_ns", u64), ("node", u32), ("producer", u32), ("open", u32), ("waiting_headers", u32),
    ("active", u32), ("idle", u32), ("in_flight", u32), ("oldest_conn_ms", u32),
    ("oldest_header_ms", u32), ("spare", u32 * 4), ("zero", u8 * 4)])
ingest_opts = _struct("ingest_opts", [
    ("size", size_t), ("window_ns", u64), ("gauge_ttl_ns", u64), ("ahead_ns", u64),
    ("snapshots", u32), ("max_nodes", u32), ("max_edges", u32), ("max_routes", u32),
    ("max_lanes", u32), ("reserved", u32)])
lane_opts = _struct("lane_opts", [("size", size_t), ("records", u32), ("names", u32)])
ingest_stats = _struct("ingest_stats", [
    ("size", size_t), ("pushed", u64), ("windowed", u64), ("late", u64), ("refused", u64),
    ("waiting", u64), ("other_nodes", u64), ("other_edges", u64), ("gauges", u64),
    ("malformed", u64), ("lanes", u32), ("nodes", u32), ("edges", u32), ("reserved", u32)])
model_info = _struct("model_info", [
    ("size", size_t), ("kind", text), ("window_ns", u64), ("day_ns", u64), ("parameters", u64),
    ("inputs", u32), ("targets", u32), ("history", u32), ("horizon", u32), ("layers", u32),
    ("units", u32), ("hops", u32), ("nodes", u32), ("lags", u32), ("time", u32), ("filter", text),
    ("recursion", text), ("decoder", text), ("cell", text), ("stateful_ok", u32), ("reserved", u32)])
import_opts = _struct("import_opts", [
    ("size", size_t), ("format", text), ("column", text), ("filter", text), ("supports", u32),
    ("history", u32), ("horizon", u32), ("reserved", u32), ("window_ns", u64), ("day_ns", u64),
    ("mean", f64), ("deviation", f64)])
session_opts = _struct("session_opts", [
    ("size", size_t), ("forecasts", u32), ("supports", u32), ("mean", p), ("deviation", p),
    ("mode", u32), ("threads", u32), ("graph", u32), ("reserved", u32), ("graph_rate", f64)])
forecast_info = _struct("forecast_info", [
    ("size", size_t), ("start_ns", u64), ("window_ns", u64), ("topology", u64), ("horizon", u32),
    ("nodes", u32), ("edges", u32), ("ready", u32)])
train_progress = _struct("train_progress", [
    ("size", size_t), ("epoch", u32), ("epochs", u32), ("batch", u32), ("batches", u32),
    ("train_loss", f64), ("valid_loss", f64), ("best_loss", f64), ("learning_rate", f64)])
train_fn = c.CFUNCTYPE(i32, c.POINTER(train_progress), p)
trainer_opts = _struct("trainer_opts", [
    ("size", size_t), ("kind", text), ("inputs", text), ("targets", text), ("progress", train_fn),
    ("progress_user", p), ("day_ns", u64), ("seed", u64), ("learning_rate", f64),
    ("clip_norm", f64), ("valid_share", f64), ("history", u32), ("horizon", u32), ("layers", u32),
    ("units", u32), ("hops", u32), ("epochs", u32), ("patience", u32), ("batch", u32),
    ("threads", u32), ("curriculum", u32), ("loss", text), ("optimizer", text), ("schedule", text),
    ("milestones", text), ("huber_delta", f64), ("epsilon", f64), ("beta1", f64), ("beta2", f64),
    ("weight_decay", f64), ("rate_factor", f64), ("rate_floor", f64), ("filter", text),
    ("recursion", text), ("decoder", text), ("lags", u32), ("time", u32),
    ("mask", text), ("cell", text), ("warmup", u32), ("reserved", u32)])
detector_opts = _struct("detector_opts", [
    ("size", size_t), ("false_alarms_per_day", f64), ("seed", u64), ("reports", u32),
    ("reserved", u32)])
report_info = _struct("report_info", [
    ("size", size_t), ("start_ns", u64), ("end_ns", u64), ("alarm_level", f64), ("evidence", f64),
    ("mask", p), ("nodes", u32), ("incidents", u32), ("streams", u32), ("judged", u32)])
incident_info = _struct("incident_info", [
    ("size", size_t), ("id", u64), ("opened_ns", u64), ("onset_ns", u64), ("class_name", text),
    ("technique", text), ("text", text), ("confidence", f64), ("severity", f64), ("state", u32),
    ("class_id", u32), ("nodes", u32), ("edges", u32), ("causes", u32), ("evidence", u32)])
item = _struct("item", [
    ("size", size_t), ("node", text), ("src", text), ("dst", text), ("route", text),
    ("column", text), ("observed", f64), ("expected", f64), ("value", f64)])
planner_opts = _struct("planner_opts", [
    ("size", size_t), ("ttl_ns", u64), ("dwell_ns", u64), ("min_confidence", f64), ("plans", u32),
    ("enforce", u32)])
action = _struct("action", [
    ("size", size_t), ("key", u64), ("incident", u64), ("expires_ns", u64), ("verb", text),
    ("node", text), ("src", text), ("route", text), ("reason", text), ("value", f64),
    ("present", f64), ("kind", u32), ("dry_run", u32)])
monitor_opts = _struct("monitor_opts", [
    ("size", size_t), ("ingest", c.POINTER(ingest_opts)), ("detector", c.POINTER(detector_opts)),
    ("planner", c.POINTER(planner_opts)), ("max_events", u32), ("reserved", u32)])


class _record_union(c.Union):
    _fields_ = [("call", call), ("gauge", gauge)]


record = _struct("record", [("kind", u32), ("line", u32), ("u", _record_union)])

STRUCTS = (
    error, allocator, ctx_opts, graph_info, edges, graph_builder_opts, call, gauge, ingest_opts,
    lane_opts, ingest_stats, model_info, import_opts, session_opts, forecast_info, train_progress,
    trainer_opts, detector_opts, report_info, incident_info, item, planner_opts, action, record, monitor_opts)

out, u32_out, size_out, err_out = c.POINTER(p), c.POINTER(u32), c.POINTER(size_t), c.POINTER(error)
buf = c.c_char_p

# name without "stg_": (result, arguments)
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "version": (u32, []),
    "version_string": (text, []),
    "status_name": (text, [i32]),
    "struct_size": (size_t, [text]),
    "ctx_create": (i32, [out, p]),
    "ctx_destroy": (None, [p]),
    "ref": (p, [p]),
    "unref": (None, [p]),
    "bundle_open": (i32, [out, p, text, err_out]),
    "bundle_parse": (i32, [out, p, p, size_t, err_out]),
    "bundle_save": (i32, [p, text, err_out]),
    "bundle_serialize": (i32, [p, p, size_t, size_out]),
    "bundle_describe": (i32, [p, p, size_t, size_out]),
    "bundle_destroy": (None, [p]),
    "state_save": (i32, [p, p, err_out]),
    "state_restore": (i32, [p, p, err_out]),
    "graph_get_info": (i32, [p, c.POINTER(graph_info)]),
    "graph_name": (p, [p, u32, u32, size_out]),
    "graph_get_edges": (i32, [p, c.POINTER(edges)]),
    "graph_column": (p, [p, u32, buf, size_t]),
    "graph_find": (u32, [p, buf, size_t]),
    "graph_export": (i32, [p, u32, p, size_t, size_out]),
    "graph_builder_create": (i32, [out, p, p]),
    "graph_builder_destroy": (None, [p]),
    "graph_builder_begin": (i32, [p, u64, u64]),
    "graph_builder_node": (i32, [p, buf, size_t, u32_out]),
    "graph_builder_edge": (i32, [p, u32, u32, buf, size_t, u32_out]),
    "graph_builder_column": (i32, [p, u32, buf, size_t, u32_out]),
    "graph_builder_set": (i32, [p, u32, u32, u32, f64]),
    "graph_builder_finish": (i32, [p, out]),
    "ingest_create": (i32, [out, p, p]),
    "ingest_destroy": (None, [p]),
    "ingest_poll": (i32, [p]),
    "ingest_close": (i32, [p, u64, out]),
    "ingest_get_stats": (i32, [p, c.POINTER(ingest_stats)]),
    "ingest_attach": (i32, [p, c.c_int, c.POINTER(u64)]),
    "ingest_detach": (i32, [p, u64]),
    "ingest_store": (i32, [p, p]),
    "ingest_restore": (i32, [p, p, err_out]),
    "lane_open": (i32, [out, p, p]),
    "lane_create_fd": (i32, [c.POINTER(c.c_int), p, p]),
    "lane_attach": (i32, [out, p, c.c_int]),
    "lane_close": (None, [p]),
    "lane_intern": (i32, [p, u32, buf, size_t, u32_out]),
    "lane_hash": (u64, [p, buf, size_t]),
    "lane_push": (size_t, [p, p, size_t]),
    "lane_gauge": (i32, [p, p]),
    "lane_beat": (None, [p, u64]),
    "reader_create": (i32, [out, p, p, text, err_out]),
    "reader_destroy": (None, [p]),
    "reader_feed": (i32, [p, buf, size_t]),
    "reader_next": (i32, [p, p, size_t, size_out, err_out]),
    "model_load": (i32, [out, p, err_out]),
    "model_import": (i32, [out, p, p, size_t, p, err_out]),
    "model_store": (i32, [p, p]),
    "model_get_info": (i32, [p, c.POINTER(model_info)]),
    "model_column": (text, [p, u32, u32]),
    "session_create": (i32, [out, p, p, p]),
    "session_destroy": (None, [p]),
    "session_step": (i32, [p, p, p]),
    "session_forecast": (i32, [p, u32, out]),
    "forecast_get_info": (i32, [p, c.POINTER(forecast_info)]),
    "forecast_mean": (p, [p, u32, buf, size_t, u32]),
    "trainer_create": (i32, [out, p, p, err_out]),
    "trainer_destroy": (None, [p]),
    "trainer_add": (i32, [p, p]),
    "trainer_run": (i32, [p, out, err_out]),
    "detector_create": (i32, [out, p, p, p, err_out]),
    "detector_destroy": (None, [p]),
    "detector_learn": (i32, [p, p, p]),
    "detector_fit": (i32, [p, err_out]),
    "detector_store": (i32, [p, p]),
    "detector_score": (i32, [p, p, p, out]),
    "report_get_info": (i32, [p, c.POINTER(report_info)]),
    "report_incident": (i32, [p, u32, c.POINTER(incident_info)]),
    "report_item": (i32, [p, u32, u32, u32, c.POINTER(item)]),
    "planner_create": (i32, [out, p, p]),
    "planner_destroy": (None, [p]),
    "planner_plan": (i32, [p, p, p, p, out]),
    "plan_actions": (u32, [p]),
    "plan_action": (i32, [p, u32, c.POINTER(action)]),
    "monitor_create": (i32, [out, p, p, p, err_out]),
    "monitor_destroy": (None, [p]),
    "monitor_ingest": (p, [p]),
    "monitor_tick": (i32, [p, u64, err_out]),
    "monitor_event": (i32, [p, p, size_t, size_out]),
    "monitor_dropped": (u64, [p]),
    "monitor_get": (p, [p, u32]),
}

_HELP = ("Binding and library come from different releases. Install both from one "
         "(pip install --force-reinstall libstgraph), or point STGRAPH_LIBRARY at a library of the "
         "binding's release.")


def _path() -> str:
    """The library: STGRAPH_LIBRARY, else the one inside the package, else the system's."""
    named = os.environ.get("STGRAPH_LIBRARY")
    if named:
        return named
    inside = Path(__file__).with_name("libstgraph.so.0")
    if inside.exists():
        return str(inside)
    return ctypes.util.find_library("stgraph") or "libstgraph.so.0"


def _inside(path: str) -> bool:
    return Path(path).parent == Path(__file__).parent


def _check(lib: c.CDLL, path: str) -> None:
    number = int(lib.stg_version())
    major, minor = number // 1000000, number // 1000 % 1000
    if major != VERSION[0] or minor < VERSION[1]:
        raise ImportError(f"{path} is version {lib.stg_version_string().decode()}, this binding needs "
                          f"{VERSION[0]}.{VERSION[1]} or a later {VERSION[0]}.x. {_HELP}")
    for struct in STRUCTS:
        theirs, ours = lib.stg_struct_size(struct.__name__.encode()), c.sizeof(struct)
        grows = struct._fields_[0][0] == "size"  # at its end, and the library takes the shorter one
        if theirs < ours or (theirs != ours and not grows):
            raise ImportError(f"{path} has {theirs} bytes for stg_{struct.__name__}, this binding "
                              f"{ours}. {_HELP}")


def load() -> c.CDLL:
    """Opens the library, declares its functions and checks that it is the one expected."""
    path = _path()
    try:
        for needed in sorted(Path(path).parent.glob("lib*.so.*")) if _inside(path) else ():
            if needed != Path(path):  # the loader takes what has the name it looks for
                c.CDLL(str(needed))
        lib = c.CDLL(path)
    except OSError as e:
        raise ImportError(f"libstgraph.so.0 was not found ({e}). Install the package that has it, or "
                          "set STGRAPH_LIBRARY to the file.") from e
    try:
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(lib, "stg_" + name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as e:
        raise ImportError(f"{path}: {e}. {_HELP}") from e
    _check(lib, path)
    return lib


lib = load()


def options(struct: Any, **values: Any) -> Any:
    """A struct with its size set; None stands for the default, zero."""
    made = struct()
    made.size = c.sizeof(struct)
    kinds = dict(struct._fields_)
    for name, value in values.items():
        if name not in kinds or name in ("size", "reserved"):
            raise TypeError(f"unknown option {name!r}")
        if value is None:
            continue
        if kinds[name] in (u32, u64):  # ctypes would cut what does not fit
            value = operator.index(value)
            if not 0 <= value < 1 << 8 * c.sizeof(kinds[name]):
                raise OverflowError(f"{name}: {value} does not fit")
        setattr(made, name, value)
    return made
