# SPDX-License-Identifier: Apache-2.0
"""Service graphs of calls: forecast, judged, explained.

The line in two calls::

    import libstgraph as sg
    model = sg.learn("normal.jsonl.xz", "gauges.jsonl.xz", day=600)
    for line in sg.watch(model, "calls.jsonl.xz"):
        print(line, end="")

or piece by piece: Lane.push, Ingest.close_window, Detector.score, Session.step, Session.forecast,
Planner.plan; Monitor does them in one. Arrays are NumPy views of the library's memory, read-only and
without copies. Objects derived from Shared are immutable and may be used from any thread; all others by
one thread at a time. The GIL is released while the library works.
"""
from ._base import (Bundle, Context, Error, FormatError, InvalidError, NoMemoryError, NotFoundError,
                    version)
from .graph import EDGE, NODE, ROUTE, Graph, GraphBuilder
from .ingest import (ASSET, CALL, CARD, CLIENT, GAUGE, LOGIN, LOGIN_FAILED, PROXY, REGISTER, RETRY,
                     SERVER, TIMEOUT, Ingest, Lane, lane_fd)
from .line import learn, replay, watch
from .model import Forecast, Model, Session, Trainer, tqdm_progress
from .monitor import Monitor
from .respond import Action, Plan, Planner
from .score import Detector, Incident, Item, Report
from .telemetry import Reader

__version__ = "0.1.0"
__all__ = [
    "ASSET", "Action", "Bundle", "CALL", "CARD", "CLIENT", "Context", "Detector", "EDGE", "Error",
    "Forecast", "FormatError", "GAUGE", "Graph", "GraphBuilder", "Incident", "Ingest", "InvalidError",
    "Item", "LOGIN", "LOGIN_FAILED", "Lane", "Model", "Monitor", "NODE", "NoMemoryError",
    "NotFoundError", "PROXY", "Plan", "Planner", "REGISTER", "RETRY", "ROUTE", "Reader", "Report",
    "SERVER", "Session", "TIMEOUT", "Trainer", "lane_fd", "learn", "replay", "tqdm_progress", "version",
    "watch",
]
