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

const batch = 256

// Reader decodes JSON lines to calls and gauges; names are interned on its lane.
type Reader struct {
	*handle
	lane    *Lane
	records []C.stg_record
}

// NewReader makes a reader; the only format is "jsonl".
func NewReader(l *Lane, format string) (*Reader, error) {
	defer runtime.KeepAlive(l)
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	name := C.CString(format)
	defer C.free(unsafe.Pointer(name))
	var ptr *C.stg_reader
	var e C.stg_error
	if err := checkText(C.stg_reader_create(&ptr, ctx.c(), l.c(), name, &e), &e); err != nil {
		return nil, err
	}
	r := &Reader{handle: new(handle), lane: l, records: make([]C.stg_record, batch)}
	open(r.handle, "Reader", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_reader_destroy((*C.stg_reader)(p)) })
	l.readers.add(r.handle)
	return r, nil
}

// Close frees the reader.
func (r *Reader) Close() {
	r.lane.readers.remove(r.handle)
	r.handle.Close()
}

// Feed gives the next bytes, cut anywhere; none say that the input has ended.
func (r *Reader) Feed(data []byte) error {
	defer runtime.KeepAlive(r)
	var first unsafe.Pointer
	if len(data) > 0 {
		first = unsafe.Pointer(&data[0])
	}
	return check(C.stg_reader_feed((*C.stg_reader)(r.use()), first, C.size_t(len(data))))
}

// Next appends up to 256 records. None: feed more. ErrAgain: poll the ingest and call again. ErrFormat: a
// bad line; the next call goes on behind it.
func (r *Reader) Next(calls []Call, gauges []Gauge) ([]Call, []Gauge, error) {
	defer runtime.KeepAlive(r)
	var n C.size_t
	var e C.stg_error
	status := C.stg_reader_next((*C.stg_reader)(r.use()), &r.records[0], batch, &n, &e)
	if status < 0 {
		return calls, gauges, checkText(status, &e)
	}
	for i := range r.records[:n] {
		record := &r.records[i]
		if record.kind == C.STG_RECORD_CALL {
			calls = append(calls, *(*Call)(unsafe.Pointer(&record.u)))
		} else {
			gauges = append(gauges, *(*Gauge)(unsafe.Pointer(&record.u)))
		}
	}
	if status == C.STG_AGAIN && n == 0 {
		return calls, gauges, ErrAgain
	}
	return calls, gauges, nil
}
