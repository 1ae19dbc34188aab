# SPDX-License-Identifier: Apache-2.0
"""Forecasting the graph: models, sessions, forecasts, and learning a model."""
from __future__ import annotations

import ctypes as c
import os
import signal
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import numpy as np

from . import _abi
from ._abi import lib
from ._base import Bundle, Context, Shared, Stateful, check, default_context, to_bytes, view
from .graph import EDGE, NODE, Graph


#: How the numbers of a support stand in it; None: as the model says.
SUPPORTS = {None: 0, "exact": 1, "port_reversed": 2}


class Model(Shared):
    """What was learnt; immutable, usable from any thread and in any number of sessions."""

    @classmethod
    def load(cls, bundle: Bundle) -> Model:
        """Out of a bundle. NotFoundError if it has no model."""
        address, err = _abi.p(), _abi.error()
        check(lib.stg_model_load(c.byref(address), bundle.ptr, c.byref(err)), err)
        return cls.take(address.value)

    @classmethod
    def from_checkpoint(cls, data: bytes | str | os.PathLike[str], ctx: Context | None = None, *,
                        format: str | None = None, column: str | None = None,
                        filter: str | None = None, supports: str | None = None, history: int = 0,
                        horizon: int = 0, window_ns: int = 0, day_ns: int = 0, mean: float = 0.0,
                        deviation: float = 0.0) -> Model:
        """A DCRNN that another code has trained ("dcrnn_pytorch", "basicts", "libcity"; None: seen from
        the content), from the bytes or the path of what torch.save or safetensors wrote. Nothing in it
        is executed. ``supports``: "exact", "port_reversed" or None, as that code has them; ``deviation``
        0: the scale of the values is not known, sessions have to be told."""
        address, err = _abi.p(), _abi.error()
        raw = bytes(data) if isinstance(data, (bytes, bytearray, memoryview)) else Path(data).read_bytes()
        texts = {name: None if value is None else to_bytes(value)
                 for name, value in (("format", format), ("column", column), ("filter", filter))}
        opts = _abi.options(_abi.import_opts, supports=SUPPORTS[supports], history=history,
                            horizon=horizon, window_ns=window_ns, day_ns=day_ns, mean=mean,
                            deviation=deviation, **texts)
        ctx = ctx or default_context()
        check(lib.stg_model_import(c.byref(address), ctx.ptr, raw, len(raw), c.byref(opts),
                                   c.byref(err)), err)
        return cls.take(address.value)

    def store(self, bundle: Bundle) -> None:
        """Into a bundle, in place of one that is there."""
        check(lib.stg_model_store(self.ptr, bundle.ptr))

    @property
    def info(self) -> dict[str, Any]:
        """kind, window_ns, day_ns, parameters, history, horizon, layers, units, hops, nodes, lags; for nets
        filter, recursion, decoder, cell, whether they know the time (time) and may be used statefully
        (stateful_ok); and the names of the columns it
        reads (inputs) and forecasts (targets)."""
        info = _abi.options(_abi.model_info)
        check(lib.stg_model_get_info(self.ptr, c.byref(info)))
        made = {name: getattr(info, name) for name, _ in info._fields_ if name != "size"}
        del made["reserved"]
        made["stateful_ok"] = bool(info.stateful_ok)
        for name in ("kind", "filter", "recursion", "decoder", "cell"):
            made[name] = made[name].decode() if made[name] is not None else None
        made["time"] = info.time != _abi.TIME_NONE
        for which, name in enumerate(("inputs", "targets")):
            made[name] = [lib.stg_model_column(self.ptr, which, i).decode()
                          for i in range(getattr(info, name))]
        return made


class Forecast(Shared):
    """What a session expects of the coming windows; indices are those of the last graph stepped."""

    @property
    def info(self) -> Any:
        info = _abi.options(_abi.forecast_info)
        check(lib.stg_forecast_get_info(self.ptr, c.byref(info)))
        return info

    @property
    def ready(self) -> bool:
        """False while the session has seen less than the model's history."""
        return bool(self.info.ready)

    def covers(self, graph: Graph) -> bool:
        """Is the graph's window one of those forecast?"""
        f, g = self.info, graph.info
        return bool(g.start_ns >= f.start_ns and g.end_ns <= f.start_ns + f.horizon * f.window_ns)

    def _mean(self, kind: int, count: int, column: str, step: int) -> np.ndarray:
        raw = to_bytes(column)
        address = lib.stg_forecast_mean(self.ptr, kind, raw, len(raw), step)
        if not address:
            raise KeyError(column)
        return view(self, address, count, np.float64)

    def node(self, column: str, step: int = 0) -> np.ndarray:
        """Expected values, float64 [nodes], of the window ``step`` (from 0); NaN where not known."""
        return self._mean(NODE, self.info.nodes, column, step)

    def edge(self, column: str, step: int = 0) -> np.ndarray:
        """Expected values, float64 [edges]."""
        return self._mean(EDGE, self.info.edges, column, step)


class Session(Stateful):
    """A running use of a model on one graph; one user at a time."""

    _destroy = "stg_session_destroy"

    def __init__(self, model: Model, ctx: Context | None = None, *, forecasts: int = 0,
                 supports: str | None = None, mean: Any = None, deviation: Any = None,
                 stateful: bool = False, graph: str = "static", graph_rate: float = 0):
        """``stateful``: the state of a net is carried on from window to window, for models that were trained
        so (``stateful_ok``). ``graph`` ("static", "window", "ewma" with ``graph_rate``): how the supports of
        a net follow the graph's weights. ``supports`` ("exact", "port_reversed"), ``mean`` and ``deviation``
        (numbers, or one for each input column) take the place of what a model of kind "dcrnn_series" says."""
        super().__init__(None)
        address = _abi.p()
        opts = _abi.options(_abi.session_opts, forecasts=forecasts, supports=SUPPORTS[supports],
                            mode=int(stateful), graph=("static", "window", "ewma").index(graph),
                            graph_rate=graph_rate)
        scale = [None if x is None else np.ascontiguousarray(
                     np.broadcast_to(np.asarray(x, np.float64), (len(model.info["inputs"]),)))
                 for x in (mean, deviation)]
        for name, array in zip(("mean", "deviation"), scale):
            if array is not None:
                setattr(opts, name, array.ctypes.data)
        ctx = ctx or default_context()
        check(lib.stg_session_create(c.byref(address), ctx.ptr, model.ptr, c.byref(opts)))
        self._address = address.value

    def step(self, graph: Graph, mask: np.ndarray | None = None) -> None:
        """Takes a window in. ``mask`` uint8 [nodes]: nodes other than 0 enter with their forecast, because
        they are in an incident (Report.mask)."""
        address = None
        if mask is not None:
            mask = np.ascontiguousarray(mask, np.uint8)
            if mask.shape != (graph.info.nodes,):
                raise ValueError(f"mask has shape {mask.shape}, not ({graph.info.nodes},)")
            address = mask.ctypes.data
        check(lib.stg_session_step(self.ptr, graph.ptr, address))

    def forecast(self, horizon: int = 1) -> Forecast:
        """Of the next ``horizon`` windows after the last step."""
        address = _abi.p()
        check(lib.stg_session_forecast(self.ptr, horizon, c.byref(address)))
        return Forecast.take(address.value)


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """Ctrl-C while C runs: Python would raise it inside the callback, from where it cannot come back."""
    mine = (threading.current_thread() is threading.main_thread() and
            signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    def note(*_: Any) -> None:
        trainer._raised = KeyboardInterrupt()
    if mine:
        signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        if mine:
            signal.signal(signal.SIGINT, signal.default_int_handler)


#: Called after every batch with epoch, epochs, batch, batches, train_loss, valid_loss, best_loss and
#: learning_rate; True stops training.
Progress = Callable[[dict[str, Any]], Any]


class Trainer(Stateful):
    """Learns a model from graphs added in the order of time; one user at a time.

    Options are those of stg_trainer_opts; what is not given has the library's default. ``hops=0`` is the
    network without a graph. Same seed and library: same bits, for any number of threads.
    """

    _destroy = "stg_trainer_destroy"

    def __init__(self, ctx: Context | None = None, *, kind: str = "dcrnn", inputs: str | None = None,
                 targets: str | None = None, progress: Progress | None = None,
                 hops: int | None = None, **others: Any):
        super().__init__(None)
        self._raised: BaseException | None = None
        self._callback = _abi.train_fn(self._progress(progress))
        opts = _abi.options(
            _abi.trainer_opts, kind=kind.encode(), inputs=inputs.encode() if inputs else None,
            targets=targets.encode() if targets else None, progress=self._callback,
            hops=_abi.NO_HOPS if hops == 0 else hops,
            **{n: v.encode() if isinstance(v, str) else v for n, v in others.items()})
        ctx = ctx or default_context()
        address, err = _abi.p(), _abi.error()
        check(lib.stg_trainer_create(c.byref(address), ctx.ptr, c.byref(opts), c.byref(err)), err)
        self._address = address.value

    def _progress(self, progress: Progress | None) -> Callable[[Any, Any], int]:
        def call(state: Any, _: Any) -> int:
            if self._raised is not None:
                return 1
            if progress is None:
                return 0
            s = state.contents
            try:
                return 1 if progress({n: getattr(s, n) for n, _ in s._fields_ if n != "size"}) else 0
            except BaseException as e:  # it must not go through C
                self._raised = e
                return 1
        return call

    def add(self, graph: Graph) -> None:
        """The next window; its columns are copied."""
        check(lib.stg_trainer_add(self.ptr, graph.ptr))

    def run(self) -> Model:
        """Learns from all windows added; the model with the lowest validation loss."""
        address, err = _abi.p(), _abi.error()
        self._raised = None
        with _interruptible(self):
            status = lib.stg_trainer_run(self.ptr, c.byref(address), c.byref(err))
        if self._raised is not None:
            raise self._raised
        check(status, err)
        return Model.take(address.value)


def tqdm_progress(**kwargs: Any) -> Progress | None:
    """A progress bar over epochs where tqdm is installed, else None."""
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    bar = tqdm(unit="epoch", **kwargs)

    def show(state: dict[str, Any]) -> None:
        bar.total = state["epochs"]
        done = state["epoch"] + (state["batch"] == state["batches"])
        bar.set_postfix(loss=f"{state['train_loss']:.4f}", best=f"{state['best_loss']:.4f}", refresh=False)
        bar.update(done - bar.n)
    show.close = bar.close  # type: ignore[attr-defined]
    return show
