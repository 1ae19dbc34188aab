// SPDX-License-Identifier: Apache-2.0

// Package record writes calls and gauges as JSON lines, in the field order that readers expect.
package record

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"time"
)

// Call is one observed call; fields that are zero are left out of the line.
type Call struct {
	EndNS       int64    `json:"end_ns"`
	Src         string   `json:"src"`
	Dst         string   `json:"dst"`
	Route       string   `json:"route,omitempty"`
	Side        string   `json:"side"`
	Status      int      `json:"status,omitempty"`
	DurationUS  int64    `json:"duration_us,omitempty"`
	FirstByteUS int64    `json:"first_byte_us,omitempty"`
	Client      string   `json:"client,omitempty"`
	Group       string   `json:"group,omitempty"`
	Conn        uint32   `json:"conn,omitempty"`
	User        string   `json:"user,omitempty"`
	BytesIn     int64    `json:"bytes_in,omitempty"`
	BytesOut    int64    `json:"bytes_out,omitempty"`
	Attempt     int      `json:"attempt,omitempty"`
	Flags       []string `json:"flags,omitempty"`
	Injection   int      `json:"injection,omitempty"`
}

// Gauge is the state of a node's listener at one moment.
type Gauge struct {
	TimeNS         int64  `json:"time_ns"`
	Producer       string `json:"producer"`
	Node           string `json:"node"`
	Open           int    `json:"open"`
	WaitingHeaders int    `json:"waiting_headers"`
	Active         int    `json:"active"`
	Idle           int    `json:"idle"`
	InFlight       int    `json:"in_flight"`
	OldestConnMS   int64  `json:"oldest_conn_ms"`
	OldestHeaderMS int64  `json:"oldest_header_ms"`
}

// EndOf rounds a moment to whole microseconds: finer digits are noise that only costs space.
func EndOf(t time.Time) int64 {
	return t.UnixNano() / 1000 * 1000
}

// GroupOf is the /24 network of an IPv4 address.
func GroupOf(ip string) string {
	i := strings.LastIndexByte(ip, '.')
	if i < 0 {
		return ""
	}
	return ip[:i] + ".0/24"
}

// Writer appends lines to a file; many goroutines may use it.
type Writer struct {
	mu   sync.Mutex
	file *os.File
	buf  *bufio.Writer
	n    int64
}

// Open appends to path, creating it.
func Open(path string) (*Writer, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	return &Writer{file: f, buf: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Put writes one line.
func (w *Writer) Put(v interface{}) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // cannot happen: only the structs above come here
	}
	w.mu.Lock()
	w.buf.Write(data)
	w.buf.WriteByte('\n')
	w.n++
	w.mu.Unlock()
}

// Count is the number of lines so far.
func (w *Writer) Count() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.n
}

// Flush hands buffered lines to the file.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Flush()
}

// Close flushes and closes.
func (w *Writer) Close() error {
	if err := w.Flush(); err != nil {
		return err
	}
	return w.file.Close()
}
