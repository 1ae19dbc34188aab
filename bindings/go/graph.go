// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Graph is who called whom in one window. Node 0 is "external", the clients outside.
type Graph struct{ shared }

// GraphInfo says what a graph holds. Two graphs of equal Topology have the same indices.
type GraphInfo struct {
	StartNs, EndNs, Topology                       uint64
	Coverage                                       float64 // share of the lanes that showed life; NaN: not known
	Nodes, Edges, Routes, NodeColumns, EdgeColumns int
}

func (g *Graph) c() *C.stg_graph { return (*C.stg_graph)(g.use()) }

// Info says what the graph holds.
func (g *Graph) Info() GraphInfo {
	defer runtime.KeepAlive(g.handle)
	i := C.stg_graph_info{size: C.sizeof_stg_graph_info}
	C.stg_graph_get_info(g.c(), &i)
	return GraphInfo{
		uint64(i.start_ns), uint64(i.end_ns), uint64(i.topology), float64(i.coverage), int(i.nodes),
		int(i.edges), int(i.routes), int(i.node_columns), int(i.edge_columns),
	}
}

// Name of a Node, Route, NodeColumn or EdgeColumn; "" beyond the last.
func (g *Graph) Name(kind uint32, index int) string {
	defer runtime.KeepAlive(g.handle)
	if index < 0 {
		return ""
	}
	var n C.size_t
	text := C.stg_graph_name(g.c(), C.uint32_t(kind), C.uint32_t(index), &n)
	if text == nil {
		return ""
	}
	return C.GoStringN(text, C.int(n))
}

// Find is the index of a node.
func (g *Graph) Find(name string) (int, bool) {
	defer runtime.KeepAlive(g.handle)
	raw, n := bytesOf(name)
	i := uint32(C.stg_graph_find(g.c(), charOf(raw), n))
	return int(i), i != ^uint32(0)
}

// Edges are the ends of all edges, [edges] each: caller, callee, route. Copies.
func (g *Graph) Edges() (src, dst, route []uint32) {
	defer runtime.KeepAlive(g.handle)
	n := g.Info().Edges
	e := C.stg_edges{size: C.sizeof_stg_edges}
	C.stg_graph_get_edges(g.c(), &e)
	copyOf := func(p *C.uint32_t) []uint32 {
		return append([]uint32(nil), unsafe.Slice((*uint32)(unsafe.Pointer(p)), n)...)
	}
	if n == 0 {
		return nil, nil, nil
	}
	return copyOf(e.src), copyOf(e.dst), copyOf(e.route)
}

// Column is a copy of a column of kind Node ([nodes]) or Edge ([edges]); NaN where not known.
func (g *Graph) Column(kind uint32, name string) ([]float64, bool) {
	defer runtime.KeepAlive(g.handle)
	raw, length := bytesOf(name)
	p := C.stg_graph_column(g.c(), C.uint32_t(kind), charOf(raw), length)
	if p == nil {
		return nil, false
	}
	info := g.Info()
	n := info.Nodes
	if kind == Edge {
		n = info.Edges
	}
	return append([]float64(nil), unsafe.Slice((*float64)(unsafe.Pointer(p)), n)...), true
}

func (g *Graph) export(format C.uint32_t) (string, error) {
	defer runtime.KeepAlive(g.handle)
	text, err := sized(func(buf unsafe.Pointer, size C.size_t, length *C.size_t) C.int32_t {
		return C.stg_graph_export(g.c(), format, (*C.char)(buf), size, length)
	})
	return string(text), err
}

// JSON is the graph as one object.
func (g *Graph) JSON() (string, error) { return g.export(C.STG_FORMAT_JSON) }

// DOT is the graph as Graphviz source.
func (g *Graph) DOT() (string, error) { return g.export(C.STG_FORMAT_DOT) }

// GraphBuilder makes graphs from arrays; nodes, edges and columns stay from window to window.
type GraphBuilder struct{ *handle }

// NewGraphBuilder makes a builder with the library's defaults.
func NewGraphBuilder() (*GraphBuilder, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	var ptr *C.stg_graph_builder
	if err := check(C.stg_graph_builder_create(&ptr, ctx.c(), nil)); err != nil {
		return nil, err
	}
	b := &GraphBuilder{new(handle)}
	open(b.handle, "GraphBuilder", unsafe.Pointer(ptr),
		func(p unsafe.Pointer) { C.stg_graph_builder_destroy((*C.stg_graph_builder)(p)) })
	return b, nil
}

func (b *GraphBuilder) c() *C.stg_graph_builder { return (*C.stg_graph_builder)(b.use()) }

// Begin starts the window [startNs, endNs): all columns become NaN.
func (b *GraphBuilder) Begin(startNs, endNs uint64) error {
	defer runtime.KeepAlive(b.handle)
	return check(C.stg_graph_builder_begin(b.c(), C.uint64_t(startNs), C.uint64_t(endNs)))
}

// Node is the index of a node, made if new.
func (b *GraphBuilder) Node(name string) (uint32, error) {
	defer runtime.KeepAlive(b.handle)
	raw, n := bytesOf(name)
	var i C.uint32_t
	err := check(C.stg_graph_builder_node(b.c(), charOf(raw), n, &i))
	return uint32(i), err
}

// Edge is the index of an edge, made if new; route "" where there are none.
func (b *GraphBuilder) Edge(src, dst uint32, route string) (uint32, error) {
	defer runtime.KeepAlive(b.handle)
	raw, n := bytesOf(route)
	var i C.uint32_t
	err := check(C.stg_graph_builder_edge(b.c(), C.uint32_t(src), C.uint32_t(dst), charOf(raw), n, &i))
	return uint32(i), err
}

// Column is the index of a column of kind Node or Edge, made if new.
func (b *GraphBuilder) Column(kind uint32, name string) (uint32, error) {
	defer runtime.KeepAlive(b.handle)
	raw, n := bytesOf(name)
	var i C.uint32_t
	err := check(C.stg_graph_builder_column(b.c(), C.uint32_t(kind), charOf(raw), n, &i))
	return uint32(i), err
}

// Set sets one value.
func (b *GraphBuilder) Set(kind, index, column uint32, value float64) error {
	defer runtime.KeepAlive(b.handle)
	return check(C.stg_graph_builder_set(b.c(), C.uint32_t(kind), C.uint32_t(index), C.uint32_t(column), C.double(value)))
}

// Finish ends the window and hands out its graph.
func (b *GraphBuilder) Finish() (*Graph, error) {
	defer runtime.KeepAlive(b.handle)
	var ptr *C.stg_graph
	if err := check(C.stg_graph_builder_finish(b.c(), &ptr)); err != nil {
		return nil, err
	}
	return &Graph{take("Graph", unsafe.Pointer(ptr))}, nil
}
