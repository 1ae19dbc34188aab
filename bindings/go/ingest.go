// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// Kinds of names, for Lane.Intern and Graph.Name.
const (
	Node       = C.STG_NODE
	Edge       = C.STG_EDGE
	Route      = C.STG_ROUTE
	NodeColumn = C.STG_NODE_COLUMN
	EdgeColumn = C.STG_EDGE_COLUMN
)

// Who saw a call, for Call.Side.
const (
	SideClient = C.STG_SIDE_CLIENT
	SideServer = C.STG_SIDE_SERVER
	SideProxy  = C.STG_SIDE_PROXY
	SideCard   = C.STG_SIDE_CARD
)

// Flags of a call.
const (
	CallLogin       = C.STG_CALL_LOGIN
	CallLoginFailed = C.STG_CALL_LOGIN_FAILED
	CallRegister    = C.STG_CALL_REGISTER
	CallAsset       = C.STG_CALL_ASSET
	CallRetry       = C.STG_CALL_RETRY
	CallTimeout     = C.STG_CALL_TIMEOUT
)

// Call is one call, with the layout of stg_call: slices of it are pushed without a copy. Ids come from
// Lane.Intern, hashes from Lane.Hash of the same lane; 0 means unknown.
type Call struct {
	EndNs       uint64 // end of the call
	Client      uint64 // hash of the client outside
	DurationUs  uint32 // whole call
	FirstByteUs uint32 // until the first byte of the answer
	Src         uint32 // caller; 0: outside
	Dst         uint32 // callee
	Route       uint32
	Conn        uint32 // connection at the observer
	User        uint32 // hash of the account
	Group       uint32 // hash of the client's network, such as its /24
	BytesIn     uint32
	BytesOut    uint32
	Status      uint16 // HTTP status; 0: no answer
	Flags       uint16 // Call*
	Side        uint8  // Side*
	Attempt     uint8  // 0: first attempt
	Injection   uint8  // payload rules that hit
	_           uint8
}

// Gauge is the state of one producer of a node at one moment, with the layout of stg_gauge.
type Gauge struct {
	TimeNs         uint64
	Node           uint32
	Producer       uint32
	Open           uint32
	WaitingHeaders uint32
	Active         uint32
	Idle           uint32
	InFlight       uint32
	OldestConnMs   uint32
	OldestHeaderMs uint32
	_              [4]uint32
	_              [4]uint8
}

// IngestOptions are those of stg_ingest_opts; zero is the default.
type IngestOptions struct {
	WindowNs, GaugeTTLNs, AheadNs                      uint64
	Snapshots, MaxNodes, MaxEdges, MaxRoutes, MaxLanes uint32
}

func (o IngestOptions) c() C.stg_ingest_opts {
	return C.stg_ingest_opts{
		size: C.sizeof_stg_ingest_opts, window_ns: C.uint64_t(o.WindowNs),
		gauge_ttl_ns: C.uint64_t(o.GaugeTTLNs), ahead_ns: C.uint64_t(o.AheadNs),
		snapshots: C.uint32_t(o.Snapshots), max_nodes: C.uint32_t(o.MaxNodes),
		max_edges: C.uint32_t(o.MaxEdges), max_routes: C.uint32_t(o.MaxRoutes),
		max_lanes: C.uint32_t(o.MaxLanes),
	}
}

// LaneOptions are those of stg_lane_opts; zero is the default.
type LaneOptions struct {
	Records uint32 // slots of 64 bytes, a power of two
	Names   uint32 // names that the lane can define
}

// Ledger: Pushed = Windowed + Late + Refused + Waiting, over all lanes since creation.
type Ledger struct {
	Pushed, Windowed, Late, Refused, Waiting, OtherNodes, OtherEdges, Gauges, Malformed uint64
	Lanes, Nodes, Edges                                                                 uint32
}

// Ingest reads lanes and makes graphs; one user at a time. No function reads a clock.
type Ingest struct {
	*handle
	lanes *children // they must be closed first
	owner any       // a monitor that must live as long
}

// NewIngest makes an ingest.
func NewIngest(o IngestOptions) (*Ingest, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	opts := o.c()
	var ptr *C.stg_ingest
	if err := check(C.stg_ingest_create(&ptr, ctx.c(), &opts)); err != nil {
		return nil, err
	}
	in := &Ingest{handle: new(handle), lanes: new(children)}
	lanes := in.lanes
	open(in.handle, "Ingest", unsafe.Pointer(ptr), func(p unsafe.Pointer) {
		lanes.close()
		C.stg_ingest_destroy((*C.stg_ingest)(p))
	})
	return in, nil
}

// children are what must be closed before its owner. The owner's finalizer closes them, so they must not lead
// back to the owner: a cycle would never be collected. Lanes close on goroutines of their own.
type children struct {
	mu  sync.Mutex
	set map[*handle]struct{}
}

func (c *children) add(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		c.set = map[*handle]struct{}{}
	}
	c.set[h] = struct{}{}
}

func (c *children) remove(h *handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.set, h)
}

func (c *children) close() {
	c.mu.Lock()
	set := c.set
	c.set = nil
	c.mu.Unlock()
	for h := range set {
		h.Close()
	}
}

func (in *Ingest) c() *C.stg_ingest { return (*C.stg_ingest)(in.use()) }

// Lane opens a lane; it stays open until its Close or that of the ingest.
func (in *Ingest) Lane(o LaneOptions) (*Lane, error) {
	defer runtime.KeepAlive(in)
	opts := C.stg_lane_opts{size: C.sizeof_stg_lane_opts, records: C.uint32_t(o.Records), names: C.uint32_t(o.Names)}
	var ptr *C.stg_lane
	if err := check(C.stg_lane_open(&ptr, in.c(), &opts)); err != nil {
		return nil, err
	}
	lane := newLane(ptr, in)
	in.lanes.add(lane.handle)
	return lane, nil
}

// Attach attaches the reader to a shared lane (LaneFd); the descriptor may be closed afterwards.
func (in *Ingest) Attach(fd int) (id uint64, err error) {
	defer runtime.KeepAlive(in)
	var n C.uint64_t
	err = check(C.stg_ingest_attach(in.c(), C.int(fd), &n))
	return uint64(n), err
}

// Detach reads a shared lane to its end and lets go of it: its writer is gone.
func (in *Ingest) Detach(id uint64) error {
	defer runtime.KeepAlive(in)
	return check(C.stg_ingest_detach(in.c(), C.uint64_t(id)))
}

// Poll reads the lanes without closing a window; for hosts that push more than a ring holds.
func (in *Ingest) Poll() error {
	defer runtime.KeepAlive(in)
	return check(C.stg_ingest_poll(in.c()))
}

// CloseWindow closes the window that ends at windowEnd and hands out its graph.
func (in *Ingest) CloseWindow(windowEnd uint64) (*Graph, error) {
	defer runtime.KeepAlive(in)
	var ptr *C.stg_graph
	if err := check(C.stg_ingest_close(in.c(), C.uint64_t(windowEnd), &ptr)); err != nil {
		return nil, err
	}
	return &Graph{take("Graph", unsafe.Pointer(ptr))}, nil
}

// skip closes a window that is not whole; nobody needs its graph.
func (in *Ingest) skip(windowEnd uint64) error {
	defer runtime.KeepAlive(in)
	return check(C.stg_ingest_close(in.c(), C.uint64_t(windowEnd), nil))
}

// Ledger says what became of all calls.
func (in *Ingest) Ledger() (Ledger, error) {
	defer runtime.KeepAlive(in)
	s := C.stg_ingest_stats{size: C.sizeof_stg_ingest_stats}
	if err := check(C.stg_ingest_get_stats(in.c(), &s)); err != nil {
		return Ledger{}, err
	}
	return Ledger{
		Pushed: uint64(s.pushed), Windowed: uint64(s.windowed), Late: uint64(s.late),
		Refused: uint64(s.refused), Waiting: uint64(s.waiting), OtherNodes: uint64(s.other_nodes),
		OtherEdges: uint64(s.other_edges), Gauges: uint64(s.gauges), Malformed: uint64(s.malformed),
		Lanes: uint32(s.lanes), Nodes: uint32(s.nodes), Edges: uint32(s.edges),
	}, nil
}

// Store puts the set of known client networks into the bundle.
func (in *Ingest) Store(b *Bundle) error {
	defer runtime.KeepAlive(in)
	defer runtime.KeepAlive(b.handle)
	return check(C.stg_ingest_store(in.c(), b.c()))
}

// Restore takes it from a bundle; ErrNotFound if it has none.
func (in *Ingest) Restore(b *Bundle) error {
	defer runtime.KeepAlive(in)
	defer runtime.KeepAlive(b.handle)
	var e C.stg_error
	return checkText(C.stg_ingest_restore(in.c(), b.c(), &e), &e)
}

// Lane is the writer's end; one goroutine at a time.
type Lane struct {
	*handle
	ingest  *Ingest   // it must live as long; nil for a lane that was claimed
	readers *children // they must be closed first
}

func newLane(ptr *C.stg_lane, in *Ingest) *Lane {
	lane := &Lane{handle: new(handle), ingest: in, readers: new(children)}
	readers := lane.readers
	open(lane.handle, "Lane", unsafe.Pointer(ptr), func(p unsafe.Pointer) {
		readers.close()
		C.stg_lane_close((*C.stg_lane)(p))
	})
	return lane
}

// LaneFd makes the memory of a shared lane, a sealed anonymous file for another process; the caller closes it.
// The writer claims it by AttachLane, the reader by Ingest.Attach.
func LaneFd(o LaneOptions) (int, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return -1, err
	}
	opts := C.stg_lane_opts{size: C.sizeof_stg_lane_opts, records: C.uint32_t(o.Records), names: C.uint32_t(o.Names)}
	fd := C.int(-1)
	err = check(C.stg_lane_create_fd(&fd, ctx.c(), &opts))
	return int(fd), err
}

// AttachLane claims the writer's end of a shared lane, once in the lane's life.
func AttachLane(fd int) (*Lane, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	var ptr *C.stg_lane
	if err := check(C.stg_lane_attach(&ptr, ctx.c(), C.int(fd))); err != nil {
		return nil, err
	}
	return newLane(ptr, nil), nil
}

func (l *Lane) c() *C.stg_lane { return (*C.stg_lane)(l.use()) }

// Close closes the writer's end; what was pushed is still read.
func (l *Lane) Close() {
	if l.ingest != nil {
		l.ingest.lanes.remove(l.handle)
	}
	l.handle.Close()
}

// Intern gives the id of a node or route within this lane; keep it. ErrAgain: poll the ingest first.
func (l *Lane) Intern(kind uint32, name string) (uint32, error) {
	defer runtime.KeepAlive(l)
	raw, n := bytesOf(name)
	var id C.uint32_t
	status := C.stg_lane_intern(l.c(), C.uint32_t(kind), charOf(raw), n, &id)
	if status == C.STG_AGAIN {
		return 0, ErrAgain
	}
	return uint32(id), check(status)
}

// Hash is the keyed hash of a client, user or network; user and group take its lower 32 bits.
func (l *Lane) Hash(data string) uint64 {
	defer runtime.KeepAlive(l)
	raw, n := bytesOf(data)
	return uint64(C.stg_lane_hash(l.c(), unsafe.Pointer(&raw[0]), n))
}

// Push pushes calls and says how many were taken; the others are counted as refused.
func (l *Lane) Push(calls []Call) int {
	if len(calls) == 0 {
		return 0
	}
	taken := int(C.stg_lane_push(l.c(), (*C.stg_call)(unsafe.Pointer(&calls[0])), C.size_t(len(calls))))
	runtime.KeepAlive(l)
	return taken
}

// Gauge pushes a reading; ErrAgain when the ring is full.
func (l *Lane) Gauge(g *Gauge) error {
	defer runtime.KeepAlive(l)
	status := C.stg_lane_gauge(l.c(), (*C.stg_gauge)(unsafe.Pointer(g)))
	if status == C.STG_AGAIN {
		return ErrAgain
	}
	return check(status)
}

// Beat says that the writer lives although it has nothing to push.
func (l *Lane) Beat(nowNs uint64) {
	C.stg_lane_beat(l.c(), C.uint64_t(nowNs))
	runtime.KeepAlive(l)
}
