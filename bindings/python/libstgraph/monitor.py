# SPDX-License-Identifier: Apache-2.0
"""The whole line in one handle."""
from __future__ import annotations

import ctypes as c
from typing import Any, Iterator

from . import _abi
from ._abi import lib
from ._base import AGAIN, MORE, Bundle, Context, Stateful, check, default_context, nanoseconds
from .graph import Graph
from .ingest import BorrowedIngest, Lane
from .model import Forecast
from .respond import Plan
from .score import Report

_GRAPH, _REPORT, _PLAN, _FORECAST, _NEXT = range(5)


class Monitor(Stateful):
    """Ingest, session, detector and planner of one model file; one user at a time.

    >>> monitor = Monitor(Bundle("model.stg"))
    >>> lane = monitor.lane()
    >>> lane.push(calls)                        # an array of dtype CALL
    >>> monitor.tick(window_end_ns)
    >>> for line in monitor.events():           # JSON
    ...     print(line, end="")
    """

    _destroy = "stg_monitor_destroy"

    def __init__(self, bundle: Bundle, ctx: Context | None = None, *, false_alarms_per_day: float = 0,
                 seed: int = 0, ttl_ns: int = 0, dwell_ns: int = 0, min_confidence: float = 0,
                 enforce: bool = False, max_events: int = 0, **ingest: int):
        super().__init__(None)
        detector = _abi.options(_abi.detector_opts, false_alarms_per_day=false_alarms_per_day, seed=seed)
        planner = _abi.options(_abi.planner_opts, ttl_ns=ttl_ns, dwell_ns=dwell_ns,
                               min_confidence=min_confidence, enforce=int(enforce))
        reading = _abi.options(_abi.ingest_opts, **ingest)
        opts = _abi.options(_abi.monitor_opts, max_events=max_events, ingest=c.pointer(reading),
                            detector=c.pointer(detector), planner=c.pointer(planner))
        address, err = _abi.p(), _abi.error()
        ctx = ctx or default_context()
        check(lib.stg_monitor_create(c.byref(address), ctx.ptr, bundle.ptr, c.byref(opts), c.byref(err)),
              err)
        self._address = address.value
        self._line = c.create_string_buffer(65536)
        self.ingest = BorrowedIngest(lib.stg_monitor_ingest(self.ptr), self)

    def lane(self, *, records: int = 0, names: int = 0) -> Lane:
        """Opens a lane of the monitor's ingest."""
        return self.ingest.lane(records=records, names=names)

    def tick(self, window_end_ns: int) -> None:
        """Closes the window that ends at window_end_ns, judges it and makes the next forecast and plan."""
        err = _abi.error()
        check(lib.stg_monitor_tick(self.ptr, nanoseconds(window_end_ns), c.byref(err)), err)

    def event(self) -> bytes | None:
        """The oldest event, one line of JSON with its newline, UTF-8; None: there is none."""
        length = c.c_size_t()
        while True:
            status = check(lib.stg_monitor_event(self.ptr, self._line, len(self._line), c.byref(length)))
            if status == MORE:
                self._line = c.create_string_buffer(length.value)
            else:
                return None if status == AGAIN else c.string_at(self._line, length.value)

    def events(self) -> Iterator[str]:
        """Takes out all events."""
        while (line := self.event()) is not None:
            yield line.decode("utf-8", "surrogateescape")

    @property
    def dropped(self) -> int:
        """Events that nobody took in time."""
        return int(lib.stg_monitor_dropped(self.ptr))

    def _get(self, what: int, kind: Any) -> Any:
        return kind.take(lib.stg_monitor_get(self.ptr, what))

    @property
    def graph(self) -> Graph | None:
        """Of the last tick."""
        return self._get(_GRAPH, Graph)

    @property
    def report(self) -> Report | None:
        return self._get(_REPORT, Report)

    @property
    def plan(self) -> Plan | None:
        return self._get(_PLAN, Plan)

    @property
    def forecast(self) -> Forecast | None:
        """That the last window was judged by."""
        return self._get(_FORECAST, Forecast)

    @property
    def next_forecast(self) -> Forecast | None:
        """Of the next windows."""
        return self._get(_NEXT, Forecast)

    def close(self) -> None:
        ingest = getattr(self, "ingest", None)
        if ingest is not None:
            ingest.close()
        super().close()
