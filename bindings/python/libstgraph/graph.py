# SPDX-License-Identifier: Apache-2.0
"""The traffic dispersion graph of one window, and a builder that makes one from arrays."""
from __future__ import annotations

import ctypes as c
from typing import Any, Mapping, Sequence

import numpy as np

from . import _abi
from ._abi import lib
from ._base import (Context, Handle, Shared, check, default_context, nanoseconds, sized_text, to_bytes,
                    to_text, view)

NODE, EDGE, ROUTE, NODE_COLUMN, EDGE_COLUMN = range(5)
_JSON, _DOT = 0, 1


class Graph(Shared):
    """Who called whom in one window; immutable, usable from any thread.

    Node 0 is "external", the clients outside; the other nodes stand in the order of their names, edges
    by source, destination, route. Two graphs of equal ``topology`` have the same indices. Arrays are
    read-only views of the graph's memory and keep it alive.
    """

    @property
    def info(self) -> Any:
        info = _abi.options(_abi.graph_info)
        check(lib.stg_graph_get_info(self.ptr, c.byref(info)))
        return info

    @property
    def start_ns(self) -> int:
        """First nanosecond of the window (Unix time)."""
        return int(self.info.start_ns)

    @property
    def end_ns(self) -> int:
        """First nanosecond after the window."""
        return int(self.info.end_ns)

    @property
    def topology(self) -> int:
        return int(self.info.topology)

    @property
    def coverage(self) -> float:
        """Share of the open lanes that showed life, 0 to 1; NaN: not known."""
        return float(self.info.coverage)

    def _names(self, kind: int, count: int) -> list[str]:
        length = c.c_size_t()
        names = []
        for i in range(count):
            address = lib.stg_graph_name(self.ptr, kind, i, c.byref(length))
            names.append(to_text(c.string_at(address, length.value)))
        return names

    @property
    def nodes(self) -> list[str]:
        """Names of the nodes, [nodes]."""
        return self._names(NODE, self.info.nodes)

    @property
    def routes(self) -> list[str]:
        """Names of the routes, [routes]; the first is ""."""
        return self._names(ROUTE, self.info.routes)

    @property
    def node_columns(self) -> list[str]:
        return self._names(NODE_COLUMN, self.info.node_columns)

    @property
    def edge_columns(self) -> list[str]:
        return self._names(EDGE_COLUMN, self.info.edge_columns)

    @property
    def edges(self) -> dict[str, np.ndarray]:
        """uint32 arrays: src, dst, route [edges]; out_ptr, in_ptr [nodes + 1]; in_edge [edges]."""
        e = _abi.options(_abi.edges)
        check(lib.stg_graph_get_edges(self.ptr, c.byref(e)))
        info = self.info
        sizes = {"src": info.edges, "dst": info.edges, "route": info.edges,
                 "out_ptr": info.nodes + 1, "in_ptr": info.nodes + 1, "in_edge": info.edges}
        return {name: view(self, getattr(e, name), n, np.uint32) for name, n in sizes.items()}

    def _column(self, kind: int, count: int, name: str) -> np.ndarray:
        raw = to_bytes(name)
        address = lib.stg_graph_column(self.ptr, kind, raw, len(raw))
        if not address:
            raise KeyError(name)
        return view(self, address, count, np.float64)

    def node(self, column: str) -> np.ndarray:
        """float64 [nodes], NaN where not known. KeyError if there is no such column."""
        return self._column(NODE, self.info.nodes, column)

    def edge(self, column: str) -> np.ndarray:
        """float64 [edges]; "client.calls" for one observer, "calls" for the primary one."""
        return self._column(EDGE, self.info.edges, column)

    def find(self, name: str) -> int:
        """Index of a node. KeyError if there is none."""
        raw = to_bytes(name)
        index = lib.stg_graph_find(self.ptr, raw, len(raw))
        if index == 0xFFFFFFFF:
            raise KeyError(name)
        return int(index)

    def node_table(self) -> dict[str, Any]:
        """Columns by name, names of the nodes first; pandas.DataFrame() takes it as it is."""
        return {"node": self.nodes} | {k: self.node(k) for k in self.node_columns}

    def edge_table(self) -> dict[str, Any]:
        """Columns by name, with src, dst and route as names; pandas.DataFrame() takes it."""
        names = np.array(self.nodes, dtype=object)
        routes = np.array(self.routes, dtype=object)
        e = self.edges
        ends = {"src": names[e["src"]], "dst": names[e["dst"]], "route": routes[e["route"]]}
        return ends | {k: self.edge(k) for k in self.edge_columns}

    def to_csr(self, column: str = "calls") -> Any:
        """scipy.sparse.csr_array [nodes, nodes] of an edge column; routes are summed, NaN counts as 0."""
        from scipy.sparse import csr_array
        e = self.edges
        n = self.info.nodes
        weights = np.nan_to_num(self.edge(column))
        made = csr_array((weights, e["dst"].astype(np.int64), e["out_ptr"].astype(np.int64)), (n, n))
        made.sum_duplicates()
        return made

    def to_json(self) -> str:
        return sized_text(lib.stg_graph_export, self.ptr, _JSON).decode("utf-8", "surrogateescape")

    def to_dot(self) -> str:
        """Graphviz source."""
        return sized_text(lib.stg_graph_export, self.ptr, _DOT).decode("utf-8", "surrogateescape")

    def __repr__(self) -> str:
        if not self._address:
            return "<Graph, closed>"
        i = self.info
        return f"<Graph {i.start_ns}..{i.end_ns}, {i.nodes} nodes, {i.edges} edges>"


class GraphBuilder(Handle):
    """Makes graphs from arrays; nodes, edges and columns stay from window to window.

    ``snapshots``: graphs that may be out at once without new memory. One user at a time.
    """

    _destroy = "stg_graph_builder_destroy"

    def __init__(self, ctx: Context | None = None, *, snapshots: int = 0, max_nodes: int = 0,
                 max_edges: int = 0, max_routes: int = 0):
        super().__init__(None)
        address = _abi.p()
        opts = _abi.options(_abi.graph_builder_opts, snapshots=snapshots, max_nodes=max_nodes,
                            max_edges=max_edges, max_routes=max_routes)
        ctx = ctx or default_context()
        check(lib.stg_graph_builder_create(c.byref(address), ctx.ptr, c.byref(opts)))
        self._address = address.value

    def _index(self, function: Any, *args: Any) -> int:
        index = c.c_uint32()
        check(function(self.ptr, *args, c.byref(index)))
        return index.value

    def _fill(self, kind: int, index: Sequence[int], columns: Mapping[str, Any]) -> None:
        for name, values in columns.items():
            raw = to_bytes(name)
            column = self._index(lib.stg_graph_builder_column, kind, raw, len(raw))
            values = np.asarray(values, np.float64)
            if values.shape != (len(index),):
                raise ValueError(f"column {name!r} has shape {values.shape}, not ({len(index)},)")
            for i, value in zip(index, values.tolist()):
                check(lib.stg_graph_builder_set(self.ptr, kind, i, column, value))

    def build(self, start_ns: int, end_ns: int, nodes: Sequence[str], src: Any, dst: Any, *,
              routes: Sequence[str] | None = None, node_columns: Mapping[str, Any] | None = None,
              edge_columns: Mapping[str, Any] | None = None) -> Graph:
        """The graph of the window [start_ns, end_ns).

        ``nodes``: names, "external" for the clients outside; ``src`` and ``dst``: integers [edges],
        positions in ``nodes``; ``routes``: names [edges]; columns: float [len(nodes)] and [edges].
        """
        src, dst = np.asarray(src, np.int64), np.asarray(dst, np.int64)
        if src.ndim != 1 or src.shape != dst.shape:
            raise ValueError("src and dst must be one-dimensional and of one length")
        if len(src) and (min(src.min(), dst.min()) < 0 or max(src.max(), dst.max()) >= len(nodes)):
            raise ValueError("src and dst must be positions in nodes")
        if routes is not None and len(routes) != len(src):
            raise ValueError("routes must have one name for each edge")
        check(lib.stg_graph_builder_begin(self.ptr, nanoseconds(start_ns), nanoseconds(end_ns)))
        raw = [to_bytes(name) for name in nodes]
        at = [self._index(lib.stg_graph_builder_node, name, len(name)) for name in raw]
        edges = []
        for i, (a, b) in enumerate(zip(src.tolist(), dst.tolist())):
            route = to_bytes(routes[i]) if routes is not None else b""
            edges.append(self._index(lib.stg_graph_builder_edge, at[a], at[b], route, len(route)))
        self._fill(NODE, at, node_columns or {})
        self._fill(EDGE, edges, edge_columns or {})
        address = _abi.p()
        check(lib.stg_graph_builder_finish(self.ptr, c.byref(address)))
        return Graph.take(address.value)

    def from_csr(self, start_ns: int, end_ns: int, nodes: Sequence[str], matrix: Any, *,
                 column: str = "calls", node_columns: Mapping[str, Any] | None = None) -> Graph:
        """From a SciPy sparse matrix [nodes, nodes]: entry (i, j) becomes ``column`` of edge i -> j."""
        coo = matrix.tocoo()
        return self.build(start_ns, end_ns, nodes, coo.row, coo.col, node_columns=node_columns,
                          edge_columns={column: coo.data})
