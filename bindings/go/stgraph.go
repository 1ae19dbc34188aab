// SPDX-License-Identifier: Apache-2.0

// Package stgraph binds libstgraph: service graphs of calls, forecast, judged, explained.
//
// The line in one handle:
//
//	bundle, err := stgraph.OpenBundle("model.stg")
//	monitor, err := stgraph.NewMonitor(bundle, stgraph.MonitorOptions{})
//	lane, err := monitor.Lane(stgraph.LaneOptions{})
//	lane.Push(calls)
//	err = monitor.Tick(windowEnd)
//	for line, ok, err := monitor.Event(); ok; line, ok, err = monitor.Event() {
//		os.Stdout.Write(line)
//	}
//
// Graph, Model, Forecast, Report and Plan are immutable and may be used from many goroutines at once;
// everything else by one at a time. Close frees at once; what is not closed is freed by a finalizer.
// Using a closed object panics. Times are Unix nanoseconds.
package stgraph

/*
#cgo pkg-config: stgraph
#include <stdlib.h>
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Error is an error of the library.
type Error struct {
	Code int32  // the status code of the library, below 0
	Line uint32 // line of the input, from 1; 0 where there is none
	Text string // one line
}

func (e *Error) Error() string {
	name := C.GoString(C.stg_status_name(C.int32_t(e.Code)))
	if e.Line > 0 {
		return fmt.Sprintf("stgraph: %s: %s (line %d)", name, e.Text, e.Line)
	}
	if e.Text == "" {
		return "stgraph: " + name
	}
	return fmt.Sprintf("stgraph: %s: %s", name, e.Text)
}

// Is makes errors.Is(err, ErrNotFound) and the like work.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Errors to compare with by errors.Is.
var (
	ErrNoMemory    = &Error{Code: C.STG_E_NOMEM}
	ErrInvalid     = &Error{Code: C.STG_E_INVALID}
	ErrState       = &Error{Code: C.STG_E_STATE}
	ErrVersion     = &Error{Code: C.STG_E_VERSION}
	ErrUnsupported = &Error{Code: C.STG_E_UNSUPPORTED}
	ErrIO          = &Error{Code: C.STG_E_IO}
	ErrFormat      = &Error{Code: C.STG_E_FORMAT}
	ErrLimit       = &Error{Code: C.STG_E_LIMIT}
	ErrTime        = &Error{Code: C.STG_E_TIME}
	ErrMismatch    = &Error{Code: C.STG_E_MISMATCH}
	ErrNotFound    = &Error{Code: C.STG_E_NOTFOUND}
	ErrFork        = &Error{Code: C.STG_E_FORK}
	ErrCancelled   = &Error{Code: C.STG_E_CANCELLED}
	// ErrAgain: the lane has no room for a new name now; poll its ingest and try again.
	ErrAgain = &Error{Code: C.STG_AGAIN, Text: "the lane is full: poll the ingest and try again"}
)

func check(status C.int32_t) error {
	if status >= 0 {
		return nil
	}
	return &Error{Code: int32(status)}
}

func checkText(status C.int32_t, err *C.stg_error) error {
	if status >= 0 {
		return nil
	}
	return &Error{Code: int32(status), Line: uint32(err.line), Text: C.GoString(&err.text[0])}
}

// matches compares the library that was loaded with the headers this package was compiled with.
func matches() error {
	const help = "the program was built with the headers of another release: build it again, or install " +
		"the libstgraph0 that it was built with"
	if v := uint32(C.stg_version()); v/1000000 != C.STG_VERSION_MAJOR || v < C.STG_VERSION_NUMBER/1000*1000 {
		return fmt.Errorf("stgraph: the library is version %s, the headers are %d.%d; %s",
			Version(), C.STG_VERSION_MAJOR, C.STG_VERSION_MINOR, help)
	}
	sizes := map[string]uintptr{
		"error": C.sizeof_stg_error, "ctx_opts": C.sizeof_stg_ctx_opts,
		"graph_info": C.sizeof_stg_graph_info, "edges": C.sizeof_stg_edges,
		"graph_builder_opts": C.sizeof_stg_graph_builder_opts, "call": unsafe.Sizeof(Call{}),
		"gauge": unsafe.Sizeof(Gauge{}), "ingest_opts": C.sizeof_stg_ingest_opts,
		"lane_opts": C.sizeof_stg_lane_opts, "ingest_stats": C.sizeof_stg_ingest_stats,
		"model_info": C.sizeof_stg_model_info, "import_opts": C.sizeof_stg_import_opts,
		"session_opts": C.sizeof_stg_session_opts, "forecast_info": C.sizeof_stg_forecast_info,
		"train_progress": C.sizeof_stg_train_progress,
		"trainer_opts":   C.sizeof_stg_trainer_opts, "detector_opts": C.sizeof_stg_detector_opts,
		"report_info": C.sizeof_stg_report_info, "incident_info": C.sizeof_stg_incident_info,
		"item": C.sizeof_stg_item, "planner_opts": C.sizeof_stg_planner_opts,
		"action": C.sizeof_stg_action, "record": C.sizeof_stg_record,
		"monitor_opts": C.sizeof_stg_monitor_opts,
	}
	for name, ours := range sizes {
		text := C.CString(name)
		theirs := uintptr(C.stg_struct_size(text))
		C.free(unsafe.Pointer(text))
		fixed := name == "error" || name == "call" || name == "gauge" || name == "record"
		if theirs < ours || fixed && theirs != ours { // the others grow at their end
			return fmt.Errorf("stgraph: the library has %d bytes for stg_%s, the headers %d; %s", theirs,
				name, ours, help)
		}
	}
	return nil
}

func init() {
	if err := matches(); err != nil {
		panic(err)
	}
}

// Version of the library that is running, "0.1.0".
func Version() string { return C.GoString(C.stg_version_string()) }

// handle frees what it points to once, by Close or by a finalizer.
type handle struct {
	ptr  unsafe.Pointer
	free func(unsafe.Pointer)
	once *sync.Once
	kind string
}

// open puts the finalizer on the owner, which holds the handle.
func open(h *handle, kind string, ptr unsafe.Pointer, free func(unsafe.Pointer)) {
	h.ptr, h.free, h.kind, h.once = ptr, free, kind, new(sync.Once)
	runtime.SetFinalizer(h, (*handle).Close)
}

var freed atomic.Pointer[func(kind string)] // the tests watch

// Close frees it now; a second call does nothing.
func (h *handle) Close() {
	if h == nil || h.once == nil {
		return
	}
	h.once.Do(func() {
		runtime.SetFinalizer(h, nil)
		h.free(h.ptr)
		h.ptr = nil
		if told := freed.Load(); told != nil {
			(*told)(h.kind)
		}
	})
}

func (h *handle) use() unsafe.Pointer {
	if h.ptr == nil {
		panic("stgraph: " + h.kind + " is closed")
	}
	return h.ptr
}

func unref(ptr unsafe.Pointer) { C.stg_unref(ptr) }

// shared is the part that all immutable objects have in common.
type shared struct{ *handle }

func take(kind string, ptr unsafe.Pointer) shared {
	h := new(handle)
	open(h, kind, ptr, unref)
	return shared{h}
}

// bytesOf hands a Go string to C: its bytes stay where they are while the call runs.
func bytesOf(s string) ([]byte, C.size_t) {
	b := append([]byte(s), 0)
	return b, C.size_t(len(s))
}

func charOf(b []byte) *C.char { return (*C.char)(unsafe.Pointer(&b[0])) }

// Context holds the hash keys of the objects made from it; objects keep it alive.
type Context struct{ *handle }

func newContext(sketchKey uint64) (*Context, error) {
	opts := C.stg_ctx_opts{size: C.sizeof_stg_ctx_opts, sketch_key: C.uint64_t(sketchKey)}
	var ptr *C.stg_ctx
	if err := check(C.stg_ctx_create(&ptr, &opts)); err != nil {
		return nil, err
	}
	c := &Context{new(handle)}
	open(c.handle, "Context", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_ctx_destroy((*C.stg_ctx)(p)) })
	return c, nil
}

func (c *Context) c() *C.stg_ctx { return (*C.stg_ctx)(c.use()) }

var defaults struct {
	mu      sync.Mutex
	context *Context
}

// DefaultContext is the context that all objects are made from.
func DefaultContext() (*Context, error) {
	defaults.mu.Lock()
	defer defaults.mu.Unlock()
	if defaults.context == nil {
		ctx, err := newContext(0)
		if err != nil {
			return nil, err
		}
		defaults.context = ctx
	}
	return defaults.context, nil
}

// SetSketchKey makes objects from now on hash clients with this key, the same on all machines whose graphs
// shall be merged, in place of a fixed public one.
func SetSketchKey(key uint64) error {
	ctx, err := newContext(key)
	if err != nil {
		return err
	}
	defaults.mu.Lock()
	defer defaults.mu.Unlock()
	defaults.context = ctx // what was made from the old one keeps it alive
	return nil
}

// Bundle is one file of named tensors: model, calibration and state.
type Bundle struct{ *handle }

func newBundle(ptr *C.stg_bundle) *Bundle {
	b := &Bundle{new(handle)}
	open(b.handle, "Bundle", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_bundle_destroy((*C.stg_bundle)(p)) })
	return b
}

func (b *Bundle) c() *C.stg_bundle { return (*C.stg_bundle)(b.use()) }

// OpenBundle reads a bundle from a file.
func OpenBundle(path string) (*Bundle, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	return openBundle(name)
}

// NewBundle makes an empty bundle.
func NewBundle() (*Bundle, error) { return openBundle(nil) }

func openBundle(path *C.char) (*Bundle, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	var ptr *C.stg_bundle
	var e C.stg_error
	if err := checkText(C.stg_bundle_open(&ptr, ctx.c(), path, &e), &e); err != nil {
		return nil, err
	}
	return newBundle(ptr), nil
}

// ParseBundle reads a bundle from memory.
func ParseBundle(data []byte) (*Bundle, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	var ptr *C.stg_bundle
	var e C.stg_error
	var first unsafe.Pointer
	if len(data) > 0 {
		first = unsafe.Pointer(&data[0])
	}
	if err := checkText(C.stg_bundle_parse(&ptr, ctx.c(), first, C.size_t(len(data)), &e), &e); err != nil {
		return nil, err
	}
	return newBundle(ptr), nil
}

// Save writes beside path and renames, so that readers see the old or the new file.
func (b *Bundle) Save(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	defer runtime.KeepAlive(b.handle)
	var e C.stg_error
	return checkText(C.stg_bundle_save(b.c(), name, &e), &e)
}

// sized calls a function of the form (buf, cap, len) until the buffer is large enough.
func sized(call func(buf unsafe.Pointer, size C.size_t, length *C.size_t) C.int32_t) ([]byte, error) {
	var length C.size_t
	status := call(nil, 0, &length)
	for status == C.STG_MORE {
		buf := make([]byte, int(length)+1)
		if status = call(unsafe.Pointer(&buf[0]), C.size_t(len(buf)), &length); status == C.STG_OK {
			return buf[:length], nil
		}
	}
	return nil, check(status)
}

// Bytes are the bytes of the file.
func (b *Bundle) Bytes() ([]byte, error) {
	defer runtime.KeepAlive(b.handle)
	return sized(func(buf unsafe.Pointer, size C.size_t, length *C.size_t) C.int32_t {
		return C.stg_bundle_serialize(b.c(), buf, size, length)
	})
}

// Describe says in JSON what is in it.
func (b *Bundle) Describe() (string, error) {
	defer runtime.KeepAlive(b.handle)
	text, err := sized(func(buf unsafe.Pointer, size C.size_t, length *C.size_t) C.int32_t {
		return C.stg_bundle_describe(b.c(), (*C.char)(buf), size, length)
	})
	return string(text), err
}
