// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stdlib.h>
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// MonitorOptions are those of stg_monitor_opts; zero is the default.
type MonitorOptions struct {
	Ingest    IngestOptions
	Detector  DetectorOptions
	Planner   PlannerOptions
	MaxEvents uint32 // events kept for Event
}

// Monitor is ingest, session, detector and planner of one model file; one user at a time.
type Monitor struct {
	*handle
	ingest *Ingest
	line   []byte
}

// NewMonitor makes a monitor from a bundle with a model.
func NewMonitor(b *Bundle, o MonitorOptions) (*Monitor, error) {
	defer runtime.KeepAlive(b.handle)
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	// The options hold pointers to options: all of them in memory of C.
	type all struct {
		opts     C.stg_monitor_opts
		ingest   C.stg_ingest_opts
		detector C.stg_detector_opts
		planner  C.stg_planner_opts
	}
	a := (*all)(C.calloc(1, C.size_t(unsafe.Sizeof(all{}))))
	if a == nil {
		return nil, ErrNoMemory
	}
	defer C.free(unsafe.Pointer(a))
	a.ingest, a.detector, a.planner = o.Ingest.c(), o.Detector.c(), o.Planner.c()
	a.opts.size = C.sizeof_stg_monitor_opts
	a.opts.ingest, a.opts.detector, a.opts.planner = &a.ingest, &a.detector, &a.planner
	a.opts.max_events = C.uint32_t(o.MaxEvents)
	var ptr *C.stg_monitor
	var e C.stg_error
	if err := checkText(C.stg_monitor_create(&ptr, ctx.c(), b.c(), &a.opts, &e), &e); err != nil {
		return nil, err
	}
	lanes := new(children)
	m := &Monitor{handle: new(handle), line: make([]byte, 65536)}
	open(m.handle, "Monitor", unsafe.Pointer(ptr), func(p unsafe.Pointer) {
		lanes.close()
		C.stg_monitor_destroy((*C.stg_monitor)(p))
	})
	m.ingest = &Ingest{handle: &handle{ptr: unsafe.Pointer(C.stg_monitor_ingest(ptr)), kind: "Ingest"}, lanes: lanes, owner: m}
	return m, nil
}

func (m *Monitor) c() *C.stg_monitor { return (*C.stg_monitor)(m.use()) }

// Close closes the monitor's lanes and frees it.
func (m *Monitor) Close() {
	m.handle.Close()
	m.ingest.ptr = nil
}

// Ingest is the monitor's own, for lanes and the ledger. Do not close windows on it.
func (m *Monitor) Ingest() *Ingest { return m.ingest }

// Lane opens a lane of the monitor's ingest.
func (m *Monitor) Lane(o LaneOptions) (*Lane, error) { return m.ingest.Lane(o) }

// Tick closes the window that ends at windowEnd, judges it and makes the next forecast and plan.
func (m *Monitor) Tick(windowEnd uint64) error {
	defer runtime.KeepAlive(m)
	var e C.stg_error
	return checkText(C.stg_monitor_tick(m.c(), C.uint64_t(windowEnd), &e), &e)
}

// Event takes out the oldest event, one line of JSON with its newline; false: there is none. The bytes are
// the caller's.
func (m *Monitor) Event() ([]byte, bool, error) {
	defer runtime.KeepAlive(m)
	for {
		var n C.size_t
		status := C.stg_monitor_event(m.c(), (*C.char)(unsafe.Pointer(&m.line[0])), C.size_t(len(m.line)), &n)
		switch {
		case status == C.STG_AGAIN:
			return nil, false, nil
		case status == C.STG_MORE:
			m.line = make([]byte, int(n))
		case status < 0:
			return nil, false, check(status)
		default:
			return append([]byte(nil), m.line[:n]...), true, nil
		}
	}
}

// Dropped is the number of events that nobody took in time.
func (m *Monitor) Dropped() uint64 {
	defer runtime.KeepAlive(m)
	return uint64(C.stg_monitor_dropped(m.c()))
}

func (m *Monitor) get(kind string, what C.uint32_t) (shared, bool) {
	defer runtime.KeepAlive(m)
	ptr := C.stg_monitor_get(m.c(), what)
	if ptr == nil {
		return shared{}, false
	}
	return take(kind, ptr), true
}

// Graph of the last tick, nil before the first.
func (m *Monitor) Graph() *Graph {
	if s, ok := m.get("Graph", C.STG_GET_GRAPH); ok {
		return &Graph{s}
	}
	return nil
}

// Report of the last tick, nil before the first.
func (m *Monitor) Report() *Report {
	if s, ok := m.get("Report", C.STG_GET_REPORT); ok {
		return &Report{s}
	}
	return nil
}

// Plan of the last tick, nil before the first.
func (m *Monitor) Plan() *Plan {
	if s, ok := m.get("Plan", C.STG_GET_PLAN); ok {
		return &Plan{s}
	}
	return nil
}

// Forecast that the last window was judged by, nil for the first.
func (m *Monitor) Forecast() *Forecast {
	if s, ok := m.get("Forecast", C.STG_GET_FORECAST); ok {
		return &Forecast{s}
	}
	return nil
}

// Next is the forecast of the next windows.
func (m *Monitor) Next() *Forecast {
	if s, ok := m.get("Forecast", C.STG_GET_NEXT); ok {
		return &Forecast{s}
	}
	return nil
}
