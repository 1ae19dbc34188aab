// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

// idConn numbers a connection, so that records of the client side can name it.
type idConn struct {
	net.Conn
	id uint32
}

// caller makes the RPCs of a service and records each attempt as its client sees it.
type caller struct {
	self  string
	out   *record.Writer
	topo  *topo.Topology
	net   int
	http  map[string]*http.Client
	conns uint32
}

func newCaller(self string, pool int, t *topo.Topology, netID int, out *record.Writer) *caller {
	c := &caller{self: self, out: out, topo: t, net: netID, http: map[string]*http.Client{}}
	for _, s := range t.Services {
		c.http[s.Name] = &http.Client{Transport: &http.Transport{
			MaxConnsPerHost: pool, MaxIdleConnsPerHost: pool, IdleConnTimeout: 30 * time.Second,
			DisableCompression: true, DialContext: c.dial}}
	}
	return c
}

func (c *caller) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &idConn{conn, atomic.AddUint32(&c.conns, 1)}, nil
}

// call runs one RPC with its retries; false means that no attempt gave an answer below 500.
func (c *caller) call(ctx context.Context, rpc topo.Call) bool {
	for attempt := 0; attempt <= rpc.Retries; attempt++ {
		if attempt > 0 {
			pause := time.Duration(10<<uint(attempt)) * time.Millisecond
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return false
			}
		}
		if status := c.attempt(ctx, rpc, attempt); status > 0 && status < 500 {
			return true
		}
	}
	return false
}

// attempt makes one request and writes its record.
func (c *caller) attempt(ctx context.Context, rpc topo.Call, attempt int) int {
	rec := record.Call{Src: c.self, Dst: rpc.To, Route: rpc.Route, Side: "client", Attempt: attempt}
	if attempt > 0 {
		rec.Flags = append(rec.Flags, "retry")
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, time.Duration(rpc.TimeoutMS)*time.Millisecond)
	defer cancel()
	var conn uint32 // atomics: after a timeout net/http may still call the trace from its goroutine
	var first int64
	trace := &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if ic, ok := i.Conn.(*idConn); ok {
				atomic.StoreUint32(&conn, ic.id)
			}
		},
		GotFirstResponseByte: func() { atomic.StoreInt64(&first, time.Since(start).Microseconds()) },
	}
	var err error
	rec.Status, rec.BytesIn, rec.BytesOut, err = c.roundTrip(httptrace.WithClientTrace(ctx, trace), rpc, attempt)
	if err != nil {
		rec.Status = 0
		if errors.Is(err, context.DeadlineExceeded) || os.IsTimeout(err) {
			rec.Flags = append(rec.Flags, "timeout")
		}
	}
	end := time.Now()
	rec.EndNS, rec.DurationUS = record.EndOf(end), end.Sub(start).Microseconds()
	rec.Conn, rec.FirstByteUS = atomic.LoadUint32(&conn), atomic.LoadInt64(&first)
	c.out.Put(rec)
	return rec.Status
}

func (c *caller) roundTrip(ctx context.Context, rpc topo.Call, attempt int) (status int, in, out int64, err error) {
	word := strings.SplitN(rpc.Route, " ", 2)
	var body io.Reader
	if word[0] == http.MethodPost {
		n := quantise(float64(c.topo.Service(rpc.To).Route(rpc.Route).InBytes))
		body, in = bytes.NewReader(filler[:n]), int64(n)
	}
	req, err := http.NewRequestWithContext(ctx, word[0], "http://"+c.topo.Addr(rpc.To, c.net)+word[1], body)
	if err != nil {
		return 0, in, 0, err
	}
	req.Header.Set("X-Src", c.self)
	if attempt > 0 {
		req.Header.Set("X-Attempt", strconv.Itoa(attempt))
	}
	resp, err := c.http[rpc.To].Do(req)
	if err != nil {
		return 0, in, 0, err
	}
	defer resp.Body.Close()
	out, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, in, out, err
}

const (
	quantum  = 64 // body sizes are multiples of it
	maxBytes = 1 << 18
)

var filler = bytes.Repeat([]byte("stgraph testbed "), maxBytes/16)

func quantise(n float64) int {
	k := (int(n) + quantum/2) / quantum * quantum
	if k > maxBytes {
		k = maxBytes
	}
	return k
}
