# SPDX-License-Identifier: Apache-2.0
"""Files in, a model or incidents out: what ``stgraph learn`` and ``stgraph watch`` do."""
from __future__ import annotations

import os
import warnings
from collections import deque
from typing import Any, Iterable, Iterator, Union

import numpy as np

from ._abi import lib
from ._base import Bundle, Error, NotFoundError, check
from .graph import Graph
from .ingest import Ingest, Lane
from .model import Forecast, Model, Progress, Session, Trainer, tqdm_progress
from .monitor import Monitor
from .score import Detector
from .telemetry import Source

Path = Union[str, "os.PathLike[str]"]
_PUSH = 8192  # calls between two polls


def _paths(paths: Path | Iterable[Path] | None) -> list[Path]:
    if paths is None:
        return []
    return [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)


def _push(lane: Lane, ingest: Ingest, calls: np.ndarray, gauges: np.ndarray) -> None:
    if len(calls) or len(gauges):
        ingest.poll()  # the names of what comes stand in the ring already
    for at in range(0, len(calls), _PUSH):
        lane.push(calls[at:at + _PUSH])
        ingest.poll()
    for at in range(0, len(gauges), _PUSH):
        lane.gauges(gauges[at:at + _PUSH])
        ingest.poll()


def replay(ingest: Ingest, window_ns: int, calls: Path | Iterable[Path],
           gauges: Path | Iterable[Path] = (), *, max_bad: int = 1000) -> Iterator[tuple[int, bool]]:
    """Pushes recorded calls and gauges window by window. Yields (end of the window in ns, whole): the
    caller then closes that window. The first window is not whole when the records begin within it; a
    silence of more than 1000 windows is a gap, not thousands of empty ones. More than ``max_bad`` bad lines
    in a file raise FormatError."""
    lane = ingest.lane(names=65536)
    sources = [Source(_paths(paths), kind, lane, ingest, max_bad)
               for kind, paths in (("calls", calls), ("gauges", gauges))]
    try:
        yield from _windows(ingest, lane, sources, window_ns)
    finally:
        for source in sources:
            source.close()
        lane.close()


def _windows(ingest: Ingest, lane: Lane, sources: list[Source],
             window_ns: int) -> Iterator[tuple[int, bool]]:
    heads = [t for s in sources if (t := s.first()) is not None]
    if not heads:
        raise NotFoundError("E_NOTFOUND", "no calls in the input")
    start = min(heads)
    end = start // window_ns * window_ns + window_ns
    whole = start % window_ns <= window_ns // 10
    while True:
        _push(lane, ingest, sources[0].until(end), sources[1].until(end))
        heads = [t for s in sources if (t := s.first()) is not None]
        if not heads:
            break
        yield end, whole
        whole = True
        end += window_ns
        if min(heads) > end - window_ns + 1000 * window_ns:
            end = min(heads) // window_ns * window_ns + window_ns
    last = max((s.latest, i, s.last) for i, s in enumerate(sources))[2]
    if last >= end - window_ns // 20:
        yield end, True
    if not sources[0].latest:
        raise NotFoundError("E_NOTFOUND", "no calls in the input")


def _skip(ingest: Ingest, end_ns: int) -> None:
    """Closes a window that is not whole; nobody needs its graph."""
    check(lib.stg_ingest_close(ingest.ptr, end_ns, None))


def _calibrate(detector: Detector, model: Model, graphs: list[Graph], first: int, lead: int) -> None:
    """Shows the detector the windows from ``first`` on, each with the forecast made ``lead`` windows
    before."""
    with Session(model) as session:
        made: deque[Forecast] = deque(maxlen=lead)
        for i, graph in enumerate(graphs):
            forecast = made[0] if len(made) == lead else None
            if i >= first and forecast is not None and forecast.ready and forecast.covers(graph):
                detector.learn(graph, forecast)
            session.step(graph)
            made.append(session.forecast(lead))


def learn(calls: Path | Iterable[Path], gauges: Path | Iterable[Path] = (), *, window: float = 5.0,
          day: float = 86400.0, kind: str = "dcrnn", hops: int | None = None, seed: int = 1,
          lead: int = 1, progress: Progress | bool | None = None, **options: Any) -> Bundle:
    """Learns a model from recorded calls of normal traffic, as ``stgraph learn`` does, to the same bits.

    ``window`` and ``day`` in seconds; ``lead``: windows between a forecast and the window it judges;
    ``progress``: a function, True for a bar (tqdm), or None; ``options``: more of Trainer. The first 60 %
    of the windows train the forecaster, the rest, which it has not seen, calibrates the detector.
    """
    window_ns = round(window * 1e9)
    show = tqdm_progress() if progress is True else progress or None
    with Ingest(window_ns=window_ns) as ingest:
        graphs = []
        for end, whole in replay(ingest, window_ns, calls, gauges):
            if whole:
                graphs.append(ingest.close_window(end))
            else:
                _skip(ingest, end)
        trained = len(graphs) * 6 // 10
        with Trainer(kind=kind, hops=hops, seed=seed, day_ns=round(day * 1e9), progress=show,
                     **options) as trainer:
            for graph in graphs[:trained]:
                trainer.add(graph)
            try:
                model = trainer.run()
            finally:
                getattr(show, "close", lambda: None)()
        with Detector() as detector:
            _calibrate(detector, model, graphs, trained, lead)
            detector.fit()
            bundle = Bundle()
            model.store(bundle)
            detector.store(bundle)
        ingest.store(bundle)
    return bundle


def _resume(monitor: Monitor, path: Path) -> bool:
    """Restores the monitor from a file of an earlier run. One of another model or version is no reason to
    watch nothing: the run then begins anew, with a warning. What is no state is not written over."""
    if not os.path.exists(path):
        return False
    bundle = Bundle(path)
    try:
        monitor.restore_state(bundle)
    except Error as e:
        if e.status not in ("E_FORMAT", "E_MISMATCH", "E_VERSION"):
            raise
        warnings.warn(f"{os.fspath(path)}: {e.message}; begins anew", stacklevel=3)
        return False
    return True


def _save(monitor: Monitor, path: Path) -> None:
    with Bundle() as bundle:
        monitor.save_state(bundle)
        bundle.save(path)


def watch(model: Bundle | Path, calls: Path | Iterable[Path], gauges: Path | Iterable[Path] = (), *,
          false_alarms_per_day: float = 0, state: Path | None = None,
          save_every: float = 60.0) -> Iterator[str]:
    """Reports incidents in recorded calls: yields one line of JSON when one opens, changes or closes, the
    bytes of ``stgraph watch``.

    ``state``: a file to go on from, if it is there, and to write at the end and every ``save_every`` seconds
    of the records' time, after the lines of that window were taken. Windows that the earlier run has judged
    are passed over; lines of those after its last save come again."""
    bundle = model if isinstance(model, Bundle) else Bundle(model)
    window_ns = Model.load(bundle).info["window_ns"]
    with Monitor(bundle, false_alarms_per_day=false_alarms_per_day) as monitor:
        resumed = state is not None and _resume(monitor, state)
        saved = 0
        for end, whole in replay(monitor.ingest, window_ns, calls, gauges, max_bad=1000000):
            try:
                if whole:
                    monitor.tick(end)
                else:
                    _skip(monitor.ingest, end)
            except Error as e:
                if not resumed or e.status != "E_TIME":
                    raise
                continue
            resumed = False
            yield from monitor.events()
            if state is not None and end - saved >= save_every * 1e9:
                _save(monitor, state)
                saved = end
        if state is not None:
            _save(monitor, state)
