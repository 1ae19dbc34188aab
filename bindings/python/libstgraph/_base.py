# SPDX-License-Identifier: Apache-2.0
"""Errors, handles, the context and the bundle."""
from __future__ import annotations

import ctypes as c
import operator
import os
from typing import Any, Callable

import numpy as np

from . import _abi
from ._abi import lib

AGAIN, MORE = 1, 2


class Error(Exception):
    """An error of the library. ``status`` is its name ("E_FORMAT"), ``line`` the line of the input
    that it speaks of, from 1, or 0."""

    def __init__(self, status: str, message: str, line: int = 0):
        super().__init__(f"{status}: {message}" + (f" (line {line})" if line else ""))
        self.status = status
        self.message = message
        self.line = line

    def __reduce__(self) -> Any:
        return type(self), (self.status, self.message, self.line)


class InvalidError(Error, ValueError):
    """An argument makes no sense."""


class FormatError(Error, ValueError):
    """Malformed input, or a file of another version."""


class NoMemoryError(Error, MemoryError):
    """Out of memory; the object is as it was."""


class NotFoundError(Error, LookupError):
    """It is not there."""


_KINDS = {"E_INVALID": InvalidError, "E_FORMAT": FormatError, "E_VERSION": FormatError,
          "E_NOMEM": NoMemoryError, "E_NOTFOUND": NotFoundError}
_TEXTS = {
    "E_NOMEM": "out of memory", "E_INVALID": "invalid argument", "E_STATE": "not possible in this state",
    "E_VERSION": "made for another version", "E_UNSUPPORTED": "not supported",
    "E_IO": "input or output failed", "E_FORMAT": "malformed input", "E_LIMIT": "a limit was reached",
    "E_TIME": "time stepped back", "E_MISMATCH": "objects do not belong together",
    "E_NOTFOUND": "not found", "E_FORK": "handle used in a child process",
    "E_CANCELLED": "stopped by the callback",
}


def error_of(status: int, err: Any = None) -> Error:
    """The exception for a status; err is a filled stg_error or None."""
    name = lib.stg_status_name(status).decode()
    message = err.text.decode("utf-8", "replace") if err is not None else ""
    kind = _KINDS.get(name, Error)
    return kind(name, message or _TEXTS.get(name, "?"), err.line if err is not None else 0)


def check(status: int, err: Any = None) -> int:
    """Raises for an error, hands other statuses through."""
    if status < 0:
        raise error_of(status, err)
    return status


def nanoseconds(value: Any) -> int:
    """A time for C: any whole number, NumPy's too."""
    number = operator.index(value)
    if not 0 <= number < 1 << 64:
        raise OverflowError(f"{number} is no time in Unix nanoseconds")
    return number


def to_bytes(name: str | bytes) -> bytes:
    """Names may hold any bytes; text is UTF-8, and what was not UTF-8 comes back as it was."""
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def to_text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", "surrogateescape")


class _Buffer:
    """Memory that belongs to ``owner``, as NumPy sees it; keeps the owner alive."""

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, owner: Any, address: int, count: int, typestr: str):
        self.owner = owner
        self.__array_interface__ = {
            "data": (address, True), "shape": (count,), "typestr": typestr, "version": 3}


def view(owner: Any, address: int | None, count: int, dtype: Any) -> np.ndarray:
    """Read-only array [count] over memory of the shared object ``owner``, without a copy. It has a
    reference of its own: closing the object leaves the array as it is."""
    if not address or count == 0:
        return np.empty(0, dtype)
    held = Shared.take(lib.stg_ref(owner.ptr))
    return np.asarray(_Buffer(held, address, count, np.dtype(dtype).str))


def sized_text(function: Callable[..., int], *args: Any) -> bytes:
    """Calls a function of the form (..., buf, cap, len) until the buffer is large enough."""
    length = c.c_size_t()
    check(function(*args, None, 0, c.byref(length)))
    while True:
        buffer = c.create_string_buffer(length.value + 1)
        if check(function(*args, buffer, len(buffer), c.byref(length))) != MORE:
            return buffer.raw[:length.value]


class Handle:
    """An object of the library with one user at a time; ``with`` or close() frees it."""

    _destroy: str = ""

    def __init__(self, address: int | None):
        self._address = address

    @property
    def ptr(self) -> int:
        if not self._address:
            raise ValueError(f"{type(self).__name__} is closed")
        return self._address

    def close(self) -> None:
        """Frees it now; a second call does nothing."""
        address, self._address = getattr(self, "_address", None), None
        if address:
            getattr(lib, self._destroy)(address)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Shared(Handle):
    """An immutable object that may be used from any thread; freed with its last user."""

    _destroy = "stg_unref"

    @classmethod
    def take(cls, address: int | None) -> Any:
        """Around a pointer whose reference is ours; None for NULL."""
        if not address:
            return None
        self = cls.__new__(cls)
        Handle.__init__(self, address)
        return self


class Context(Handle):
    """Allocator and hash keys of all objects made from it.

    ``sketch_key`` is the key of client hashes, the same on all machines whose graphs shall be merged;
    0 is a fixed public key. Any thread may use it.
    """

    _destroy = "stg_ctx_destroy"

    def __init__(self, sketch_key: int = 0):
        address = _abi.p()
        opts = _abi.options(_abi.ctx_opts, sketch_key=sketch_key)
        check(lib.stg_ctx_create(c.byref(address), c.byref(opts)))
        super().__init__(address.value)


_default: Context | None = None


def default_context() -> Context:
    """The context of objects that are made without one."""
    global _default
    if _default is None:
        _default = Context()
    return _default


def _forget() -> None:
    global _default
    _default = None


os.register_at_fork(after_in_child=_forget)  # a child uses nothing that the parent made


class Bundle(Handle):
    """One file of named tensors (safetensors): model, calibration and state.

    Bundle() is empty, Bundle(path) reads a file, Bundle(data=bytes) parses one. Raises FormatError.
    """

    _destroy = "stg_bundle_destroy"

    def __init__(self, path: str | os.PathLike[str] | None = None, *, data: bytes | None = None,
                 ctx: Context | None = None):
        super().__init__(None)
        ctx = ctx or default_context()
        address, err = _abi.p(), _abi.error()
        if data is not None:
            status = lib.stg_bundle_parse(c.byref(address), ctx.ptr, data, len(data), c.byref(err))
        else:
            name = os.fsencode(path) if path is not None else None
            status = lib.stg_bundle_open(c.byref(address), ctx.ptr, name, c.byref(err))
        check(status, err)
        self._address = address.value
        self.ctx = ctx

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes beside path and renames: readers see the old or the new file."""
        err = _abi.error()
        check(lib.stg_bundle_save(self.ptr, os.fsencode(path), c.byref(err)), err)

    def to_bytes(self) -> bytes:
        """The bytes of the file."""
        return sized_text(lib.stg_bundle_serialize, self.ptr)

    def describe(self) -> str:
        """JSON: {"metadata": {...}, "tensors": [{name, dtype, shape}]}."""
        return sized_text(lib.stg_bundle_describe, self.ptr).decode("utf-8", "replace")


class Stateful(Handle):
    """A handle whose state outlives the process."""

    def save_state(self, bundle: Bundle) -> None:
        """Puts all that it is in the middle of into the bundle, under "state/", by name."""
        err = _abi.error()
        check(lib.stg_state_save(self.ptr, bundle.ptr, c.byref(err)), err)

    def restore_state(self, bundle: Bundle) -> None:
        """Goes on, to the last bit, where the object was that saved its state there. Options and model are
        those it was made with. Raises NotFoundError, FormatError (also for another version), and Error with
        status "E_MISMATCH" (saved with another model, window or sketch key) or "E_STATE" (an ingest that
        has lanes already); it is then as before."""
        err = _abi.error()
        check(lib.stg_state_restore(self.ptr, bundle.ptr, c.byref(err)), err)


def version() -> str:
    """Version of the library that is loaded, "0.1.0"."""
    return lib.stg_version_string().decode()
