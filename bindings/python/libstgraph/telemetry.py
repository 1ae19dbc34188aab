# SPDX-License-Identifier: Apache-2.0
"""Recorded telemetry in: JSON lines to arrays of calls and gauges."""
from __future__ import annotations

import ctypes as c
import gzip
import lzma
import os
import warnings
from typing import IO, Any

import numpy as np

from . import _abi
from ._abi import lib
from ._base import AGAIN, Context, Error, FormatError, Handle, check, default_context, error_of
from .ingest import CALL, GAUGE, Lane

BATCH = 256
BLOCK = 65536
_KIND = np.dtype({"names": ["kind", "line"], "formats": [np.uint32, np.uint32], "offsets": [0, 4],
                  "itemsize": c.sizeof(_abi.record)})
_BODY = _abi.record.u.offset


class Reader(Handle):
    """Decodes JSON lines; names are interned on the lane. One user at a time."""

    _destroy = "stg_reader_destroy"

    def __init__(self, lane: Lane, ctx: Context | None = None, *, format: str = "jsonl"):
        super().__init__(None)
        address, err = _abi.p(), _abi.error()
        ctx = ctx or default_context()
        check(lib.stg_reader_create(c.byref(address), ctx.ptr, lane.ptr, format.encode(), c.byref(err)), err)
        self._address = address.value
        self._lane = lane
        lane._readers.add(self)
        self._records = np.zeros(BATCH, np.dtype((np.void, c.sizeof(_abi.record))))
        self._shape = [self._field(_KIND, 0, BATCH), self._field(CALL, _BODY, BATCH),
                       self._field(GAUGE, _BODY, BATCH)]

    def _field(self, dtype: np.dtype, offset: int, count: int) -> np.ndarray:
        return np.ndarray((count,), dtype, self._records.data, offset, (self._records.itemsize,))

    def feed(self, data: bytes) -> None:
        """The next bytes, cut anywhere; b"" says that the input has ended."""
        check(lib.stg_reader_feed(self.ptr, data, len(data)))

    def read(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Up to 256 records as copies (calls, gauges); both empty: feed more. None: the lane has no room
        for a new name, poll the ingest (or close windows, when it waits for later ones) and call again.
        FormatError: a bad line, the next call goes on
        behind it."""
        n, err = c.c_size_t(), _abi.error()
        status = lib.stg_reader_next(self.ptr, self._records.ctypes.data, BATCH, c.byref(n), c.byref(err))
        if status < 0:
            raise error_of(status, err)
        if status == AGAIN and n.value == 0:
            return None
        head, calls, gauges = (part[:n.value] for part in self._shape)
        is_call = head["kind"] == 1
        return calls[is_call].copy(), gauges[~is_call].copy()

    def close(self) -> None:
        super().close()
        lane = getattr(self, "_lane", None)
        if lane is not None:
            lane._readers.discard(self)


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    name = os.fspath(path)
    if name.endswith(".xz"):
        return lzma.open(name)
    return gzip.open(name) if name.endswith(".gz") else open(name, "rb")


class Source:
    """Records of one kind out of files, one behind the other, plain, .xz or .gz, in the order of time.

    ``kind``: "calls" or "gauges". A bad line is left out and warned of, the first ten of a source.
    """

    def __init__(self, paths: Any, kind: str, lane: Lane, ingest: Any, max_bad: int = 1000):
        self._paths = list(paths)
        self._batches: list[tuple[np.ndarray, np.ndarray]] = []  # read ahead, not joined yet
        self._which = {"calls": 0, "gauges": 1}[kind]
        self._time = "end_ns" if kind == "calls" else "time_ns"
        self._lane, self._ingest = lane, ingest
        self._file: IO[bytes] | None = None
        self._reader: Reader | None = None
        self._ahead = np.empty(0, CALL if kind == "calls" else GAUGE)
        self._keys = np.empty(0, np.uint64)
        self._latest = 0
        self.last = 0  # time of the last record read, which an earlier one may have overtaken
        self._waiting = -1
        self._max_bad = max_bad
        self.bad_lines = 0

    def _more(self) -> bool:
        """Reads one batch ahead; False: the end."""
        while True:
            if self._reader is None:
                if not self._paths:
                    return False
                self._path = self._paths.pop(0)
                self._file = _open(self._path)
                self._reader = Reader(self._lane)
                self._ended = False
            try:
                got = self._reader.read()
            except FormatError as e:
                self.bad_lines += 1
                if self.bad_lines > self._max_bad:
                    raise FormatError("E_FORMAT", f"too many bad lines in {self._path}") from e
                if self.bad_lines <= 10:
                    warnings.warn(f"{self._path}: {e}", stacklevel=2)
                continue
            if got is None:
                self._make_room()
            elif len(got[0]) or len(got[1]):
                if len(got[self._which]):
                    self._take(got[self._which])
                    return True
            elif self._ended:
                self._reader.close()
                self._file.close()
                self._reader = None
            else:
                block = self._file.read(BLOCK)
                self._ended = not block
                self._reader.feed(block)

    def _take(self, records: np.ndarray) -> None:
        # a record that comes behind a later one belongs to where it stands
        keys = np.maximum.accumulate(np.maximum(records[self._time], np.uint64(self._latest)))
        self._latest = int(keys[-1])
        self.last = int(records[self._time][-1])
        self._batches.append((records, keys))

    def _make_room(self) -> None:
        """The ring has no room for a new name. A poll helps unless its calls wait for a later window."""
        self._ingest.poll()
        waiting = self._ingest.stats()["waiting"]
        if waiting == self._waiting:
            raise Error("E_LIMIT", "the lane is full of calls of later windows")
        self._waiting = waiting

    def _join(self) -> None:
        if self._batches:
            self._ahead = np.concatenate([self._ahead, *(b[0] for b in self._batches)])
            self._keys = np.concatenate([self._keys, *(b[1] for b in self._batches)])
            self._batches.clear()

    def first(self) -> int | None:
        """Time of the next record, ns; None: the end."""
        if not len(self._keys) and not self._batches and not self._more():
            return None
        return int(self._keys[0] if len(self._keys) else self._batches[0][1][0])

    def until(self, end_ns: int) -> np.ndarray:
        """All records in front of the first one at end_ns or later."""
        while self._latest < end_ns and self._more():
            pass
        self._join()
        n = int(np.searchsorted(self._keys, np.uint64(end_ns)))
        taken, self._ahead, self._keys = self._ahead[:n], self._ahead[n:], self._keys[n:]
        return taken

    @property
    def latest(self) -> int:
        """Latest time read so far."""
        return self._latest

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._file is not None:
            self._file.close()
