# SPDX-License-Identifier: Apache-2.0
"""What to do about a report. The library only proposes."""
from __future__ import annotations

import ctypes as c
from dataclasses import dataclass
from typing import Iterator

from . import _abi
from ._abi import lib
from ._base import Context, Shared, Stateful, check, default_context, to_text
from .graph import Graph
from .model import Forecast
from .score import Report


@dataclass(frozen=True)
class Action:
    """``verb``: "limit" (``value`` calls a second on the edge src -> node), "scale" (replicas of node),
    "timeout" (seconds that a request may take to arrive). ``present`` is NaN where not known; ``key`` is
    the same for the same action."""

    key: int
    incident: int
    expires_ns: int
    verb: str
    node: str
    src: str
    route: str
    reason: str
    value: float
    present: float
    dry_run: bool


class Plan(Shared):
    """The live actions after one window; iterating gives them."""

    def __len__(self) -> int:
        return int(lib.stg_plan_actions(self.ptr))

    def __getitem__(self, index: int) -> Action:
        if not 0 <= index < len(self):
            raise IndexError(index)
        a = _abi.options(_abi.action)
        check(lib.stg_plan_action(self.ptr, index, c.byref(a)))
        return Action(a.key, a.incident, a.expires_ns, to_text(a.verb), to_text(a.node), to_text(a.src),
                      to_text(a.route), to_text(a.reason), a.value, a.present, bool(a.dry_run))

    def __iter__(self) -> Iterator[Action]:
        for index in range(len(self)):
            yield self[index]


class Planner(Stateful):
    """Makes plans; one user at a time. Times in nanoseconds, 0: the default of stg_planner_opts."""

    _destroy = "stg_planner_destroy"

    def __init__(self, ctx: Context | None = None, *, ttl_ns: int = 0, dwell_ns: int = 0,
                 min_confidence: float = 0, plans: int = 0, enforce: bool = False):
        super().__init__(None)
        address = _abi.p()
        opts = _abi.options(_abi.planner_opts, ttl_ns=ttl_ns, dwell_ns=dwell_ns,
                            min_confidence=min_confidence, plans=plans, enforce=int(enforce))
        ctx = ctx or default_context()
        check(lib.stg_planner_create(c.byref(address), ctx.ptr, c.byref(opts)))
        self._address = address.value

    def plan(self, graph: Graph, report: Report, forecast: Forecast | None = None) -> Plan:
        """For the window of graph and report; the forecast covers windows after it."""
        address = _abi.p()
        check(lib.stg_planner_plan(self.ptr, graph.ptr, report.ptr, forecast.ptr if forecast else None,
                                   c.byref(address)))
        return Plan.take(address.value)
