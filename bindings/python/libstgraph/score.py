# SPDX-License-Identifier: Apache-2.0
"""What departs from the forecast: detector, reports, incidents."""
from __future__ import annotations

import ctypes as c
from dataclasses import asdict, dataclass
from typing import Any, Iterator

import numpy as np

from . import _abi
from ._abi import lib
from ._base import Bundle, Context, Shared, Stateful, check, default_context, to_text, view
from .graph import Graph
from .model import Forecast

_PARTS = {"nodes": 0, "edges": 1, "causes": 2, "evidence": 3}
_STATES = {1: "open", 2: "update", 3: "quiet", 4: "close"}


@dataclass(frozen=True)
class Item:
    """A node (``node``) or an edge (``src``, ``dst``, ``route``), and what is said of it. ``value`` is
    log10 of the evidence of members, the score of causes, the contribution of evidence."""

    node: str
    src: str
    dst: str
    route: str
    column: str
    observed: float
    expected: float
    value: float


@dataclass(frozen=True)
class Incident:
    """An incident as one report sees it. Times in Unix nanoseconds; ``severity`` is log10 of the evidence
    plus log10 of the affected calls a second; ``state``: open, update, quiet, close."""

    id: int
    state: str
    class_name: str
    class_id: int
    confidence: float
    severity: float
    opened_ns: int
    onset_ns: int
    technique: str
    text: str
    nodes: tuple[Item, ...]
    edges: tuple[Item, ...]
    causes: tuple[Item, ...]
    evidence: tuple[Item, ...]

    @property
    def benign(self) -> bool:
        """A crowd, a deploy, a failure: not an attack."""
        return self.class_id >= 64

    def row(self) -> dict[str, Any]:
        """One row for a table: everything but the lists, and the first cause as text."""
        made = {k: v for k, v in asdict(self).items() if not isinstance(v, tuple)}
        first = self.causes[0] if self.causes else None
        made["cause"] = "" if first is None else (
            first.node or f"{first.src} -> {first.dst} {first.route}".rstrip())
        return made


class Report(Shared):
    """Judgement of one window; iterating gives its incidents. Immutable, usable from any thread."""

    @property
    def info(self) -> Any:
        info = _abi.options(_abi.report_info)
        check(lib.stg_report_get_info(self.ptr, c.byref(info)))
        return info

    @property
    def mask(self) -> np.ndarray:
        """uint8 [nodes], 1: in an incident; for Session.step()."""
        info = self.info
        return view(self, info.mask, info.nodes, np.uint8)

    @property
    def judged(self) -> bool:
        """False: too little was seen, or the detector still learns."""
        return bool(self.info.judged)

    def __len__(self) -> int:
        return int(self.info.incidents)

    def _items(self, incident: int, part: int, count: int) -> tuple[Item, ...]:
        item = _abi.options(_abi.item)
        made = []
        for i in range(count):
            check(lib.stg_report_item(self.ptr, incident, part, i, c.byref(item)))
            made.append(Item(to_text(item.node), to_text(item.src), to_text(item.dst), to_text(item.route),
                             to_text(item.column), item.observed, item.expected, item.value))
        return tuple(made)

    def __getitem__(self, index: int) -> Incident:
        if not 0 <= index < len(self):
            raise IndexError(index)
        i = _abi.options(_abi.incident_info)
        check(lib.stg_report_incident(self.ptr, index, c.byref(i)))
        parts = {name: self._items(index, part, getattr(i, name)) for name, part in _PARTS.items()}
        return Incident(
            id=i.id, state=_STATES.get(i.state, "?"), class_name=to_text(i.class_name),
            class_id=i.class_id, confidence=i.confidence, severity=i.severity, opened_ns=i.opened_ns,
            onset_ns=i.onset_ns, technique=to_text(i.technique), text=to_text(i.text), **parts)

    def __iter__(self) -> Iterator[Incident]:
        for index in range(len(self)):
            yield self[index]


class Detector(Stateful):
    """Judges windows; one user at a time.

    ``bundle``: where the calibration comes from; without, it knows nothing and learn() and fit() teach it.
    ``false_alarms_per_day``: the one number it is steered by, 0: 2.
    """

    _destroy = "stg_detector_destroy"

    def __init__(self, bundle: Bundle | None = None, ctx: Context | None = None, *,
                 false_alarms_per_day: float = 0, seed: int = 0, reports: int = 0):
        super().__init__(None)
        address, err = _abi.p(), _abi.error()
        opts = _abi.options(_abi.detector_opts, false_alarms_per_day=false_alarms_per_day, seed=seed,
                            reports=reports)
        ctx = ctx or default_context()
        check(lib.stg_detector_create(c.byref(address), ctx.ptr, bundle.ptr if bundle else None,
                                      c.byref(opts), c.byref(err)), err)
        self._address = address.value

    def learn(self, graph: Graph, forecast: Forecast) -> None:
        """A window of normal traffic, with the forecast that was made before it."""
        check(lib.stg_detector_learn(self.ptr, graph.ptr, forecast.ptr))

    def fit(self) -> None:
        """Fits the calibration to the windows learnt, 60 at least."""
        err = _abi.error()
        check(lib.stg_detector_fit(self.ptr, c.byref(err)), err)

    def store(self, bundle: Bundle) -> None:
        check(lib.stg_detector_store(self.ptr, bundle.ptr))

    def score(self, graph: Graph, forecast: Forecast | None = None) -> Report:
        """Judges a window by a forecast that has not seen it."""
        address = _abi.p()
        check(lib.stg_detector_score(self.ptr, graph.ptr, forecast.ptr if forecast else None,
                                     c.byref(address)))
        return Report.take(address.value)
