# SPDX-License-Identifier: Apache-2.0
"""Calls and gauges in, graphs out."""
from __future__ import annotations

import ctypes as c
from typing import Any, Iterable

import numpy as np

from . import _abi
from ._abi import lib
from ._base import AGAIN, Bundle, Context, Handle, Stateful, check, default_context, nanoseconds, to_bytes
from .graph import NODE, ROUTE, Graph

CLIENT, SERVER, PROXY, CARD = range(4)
LOGIN, LOGIN_FAILED, REGISTER, ASSET, RETRY, TIMEOUT = (1 << i for i in range(6))


def _dtype(struct: Any) -> np.dtype:
    return np.dtype({
        "names": [name for name, _ in struct._fields_],
        "formats": [np.dtype(kind) for _, kind in struct._fields_],
        "offsets": [getattr(struct, name).offset for name, _ in struct._fields_],
        "itemsize": c.sizeof(struct)})


#: One call, 64 bytes: times in Unix nanoseconds, durations in microseconds, sizes in bytes; ids from
#: Lane.intern(), client, user and group from Lane.hash(); 0 means unknown.
CALL: np.dtype = _dtype(_abi.call)
#: State of one producer of a node, 64 bytes: connection counts, ages in milliseconds.
GAUGE: np.dtype = _dtype(_abi.gauge)


class Lane(Handle):
    """Writer's end; any one thread at a time. Its Ingest keeps it open until close()."""

    _destroy = "stg_lane_close"

    def __init__(self, address: int, ingest: Any):
        super().__init__(address)
        self._ingest = ingest  # it must live as long
        self._readers: set[Any] = set()  # they must go first

    def intern(self, kind: int, name: str | bytes) -> int:
        """Id of a node (NODE) or route (ROUTE) within this lane. Keep it: not for every call.
        BlockingIOError: the ring has no room for a new name, poll the ingest first."""
        raw, index = to_bytes(name), c.c_uint32()
        if check(lib.stg_lane_intern(self.ptr, kind, raw, len(raw), c.byref(index))) == AGAIN:
            raise BlockingIOError("the lane is full: poll the ingest and try again")
        return index.value

    def nodes(self, names: Iterable[str | bytes]) -> np.ndarray:
        """Ids of many nodes, uint32."""
        return np.array([self.intern(NODE, n) for n in names], np.uint32)

    def routes(self, names: Iterable[str | bytes]) -> np.ndarray:
        """Ids of many routes, uint32."""
        return np.array([self.intern(ROUTE, n) for n in names], np.uint32)

    def hash(self, data: str | bytes) -> int:
        """Keyed 64-bit hash of a client, user or network; user and group take its lower 32 bits."""
        raw = to_bytes(data)
        return int(lib.stg_lane_hash(self.ptr, raw, len(raw)))

    def push(self, calls: np.ndarray) -> int:
        """Pushes calls, a contiguous array of dtype CALL, without a copy; returns how many were taken.
        The others are counted as refused: pushing them again would count them twice."""
        if calls.dtype != CALL:
            raise TypeError("push() takes an array of dtype libstgraph.CALL")
        if not calls.flags.c_contiguous:
            raise ValueError("push() takes a contiguous array; numpy.ascontiguousarray() makes one")
        return int(lib.stg_lane_push(self.ptr, calls.ctypes.data, calls.size))

    def gauges(self, gauges: np.ndarray) -> int:
        """Pushes readings, a contiguous array of dtype GAUGE; returns how many were taken."""
        if gauges.dtype != GAUGE:
            raise TypeError("gauges() takes an array of dtype libstgraph.GAUGE")
        gauges = np.ascontiguousarray(gauges)
        for i in range(gauges.size):
            if check(lib.stg_lane_gauge(self.ptr, gauges.ctypes.data + i * GAUGE.itemsize)) == AGAIN:
                return i
        return int(gauges.size)

    @classmethod
    def attach(cls, fd: int, ctx: Context | None = None) -> Lane:
        """Claims the writer's end of a shared lane (lane_fd()), once in the lane's life; a worker does it
        after the fork."""
        address = _abi.p()
        ctx = ctx or default_context()
        check(lib.stg_lane_attach(c.byref(address), ctx.ptr, fd))
        return cls(address.value or 0, None)

    def beat(self, now_ns: int) -> None:
        """Says that the writer lives although it has nothing to push."""
        lib.stg_lane_beat(self.ptr, nanoseconds(now_ns))

    def close(self) -> None:
        for reader in list(getattr(self, "_readers", ())):
            reader.close()
        super().close()
        if self._ingest is not None:
            self._ingest._lanes.discard(self)


def lane_fd(ctx: Context | None = None, *, records: int = 0, names: int = 0) -> int:
    """Makes the memory of a shared lane, a sealed anonymous file, before the fork; returns its
    descriptor, the caller's to close. The writer claims it by Lane.attach(), the reader by
    Ingest.attach()."""
    fd = c.c_int(-1)
    opts = _abi.options(_abi.lane_opts, records=records, names=names)
    check(lib.stg_lane_create_fd(c.byref(fd), (ctx or default_context()).ptr, c.byref(opts)))
    return fd.value


class Ingest(Stateful):
    """Reads lanes and makes graphs; one user at a time. Time is the caller's: no clock is read.

    ``window_ns``: length of a window, 1 ms to 1 h, 0: 5 s. Windows end at its multiples.
    """

    _destroy = "stg_ingest_destroy"

    def __init__(self, ctx: Context | None = None, *, window_ns: int = 0, gauge_ttl_ns: int = 0,
                 ahead_ns: int = 0, snapshots: int = 0, max_nodes: int = 0, max_edges: int = 0,
                 max_routes: int = 0, max_lanes: int = 0):
        super().__init__(None)
        self._lanes: set[Lane] = set()  # open ones; they must be closed first
        address = _abi.p()
        opts = _abi.options(
            _abi.ingest_opts, window_ns=window_ns, gauge_ttl_ns=gauge_ttl_ns, ahead_ns=ahead_ns,
            snapshots=snapshots, max_nodes=max_nodes, max_edges=max_edges, max_routes=max_routes,
            max_lanes=max_lanes)
        ctx = ctx or default_context()
        check(lib.stg_ingest_create(c.byref(address), ctx.ptr, c.byref(opts)))
        self._address = address.value

    def lane(self, *, records: int = 0, names: int = 0) -> Lane:
        """Opens a lane: ``records`` slots, a power of two (0: 65536); ``names`` it can define (0: 4096)."""
        address = _abi.p()
        opts = _abi.options(_abi.lane_opts, records=records, names=names)
        check(lib.stg_lane_open(c.byref(address), self.ptr, c.byref(opts)))
        lane = Lane(address.value or 0, self)
        self._lanes.add(lane)
        return lane

    def attach(self, fd: int) -> int:
        """Attaches the reader to a shared lane; the descriptor may be closed afterwards. Returns its id."""
        number = c.c_uint64()
        check(lib.stg_ingest_attach(self.ptr, fd, c.byref(number)))
        return number.value

    def detach(self, number: int) -> None:
        """Reads a shared lane to its end and lets go of it: its writer is gone."""
        check(lib.stg_ingest_detach(self.ptr, number))

    def poll(self) -> None:
        """Reads the lanes without closing a window; for hosts that push more than a ring holds."""
        check(lib.stg_ingest_poll(self.ptr))

    def close_window(self, window_end_ns: int) -> Graph:
        """Closes the window that ends at window_end_ns, a multiple of its length."""
        address = _abi.p()
        check(lib.stg_ingest_close(self.ptr, nanoseconds(window_end_ns), c.byref(address)))
        return Graph.take(address.value)

    def stats(self) -> dict[str, int]:
        """The ledger: pushed = windowed + late + refused + waiting, and more, as stg_ingest_stats."""
        stats = _abi.options(_abi.ingest_stats)
        check(lib.stg_ingest_get_stats(self.ptr, c.byref(stats)))
        return {name: int(getattr(stats, name)) for name, _ in stats._fields_
                if name not in ("size", "reserved")}

    def store(self, bundle: Bundle) -> None:
        """Puts the set of known client networks into the bundle."""
        check(lib.stg_ingest_store(self.ptr, bundle.ptr))

    def restore(self, bundle: Bundle) -> None:
        """Takes it from a bundle. NotFoundError if it has none."""
        err = _abi.error()
        check(lib.stg_ingest_restore(self.ptr, bundle.ptr, c.byref(err)), err)

    def close(self) -> None:
        for lane in list(getattr(self, "_lanes", ())):
            lane.close()
        super().close()


class BorrowedIngest(Ingest):
    """The ingest of a Monitor: lanes and the ledger, windows are closed by Monitor.tick()."""

    def __init__(self, address: int, monitor: Any):
        Handle.__init__(self, address)
        self._lanes = set()
        self._monitor = monitor

    def close_window(self, window_end_ns: int) -> Graph:
        raise TypeError("windows of a monitor are closed by Monitor.tick()")

    def close(self) -> None:
        for lane in list(getattr(self, "_lanes", ())):
            lane.close()
        self._address = None
