// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"stgraph/testbed/internal/record"
)

// connInfo is what the listener knows about one connection. A connection waits for headers from
// being accepted (or, once it was idle, from the first byte of the next request) until the
// handler starts; net/http calls both states by other names, see onState.
type connInfo struct {
	id      uint32
	busy    bool // a handler runs
	waiting bool // a header is expected or half read
	since   time.Time
}

// tracker counts connections by state for the gauges.
type tracker struct {
	mu    sync.Mutex
	next  uint32
	conns map[net.Conn]*connInfo
}

type connKey struct{}

func newTracker() *tracker {
	return &tracker{conns: map[net.Conn]*connInfo{}}
}

// onConn puts the connection's entry where its handlers find it.
func (t *tracker) onConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, t.info(c))
}

func (t *tracker) info(c net.Conn) *connInfo {
	t.mu.Lock()
	defer t.mu.Unlock()
	ci := t.conns[c]
	if ci == nil {
		t.next++
		ci = &connInfo{id: t.next, waiting: true, since: time.Now()}
		t.conns[c] = ci
	}
	return ci
}

// onState follows http.Server: New = accepted, Active = first byte of a request came in.
func (t *tracker) onState(c net.Conn, s http.ConnState) {
	ci := t.info(c)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s {
	case http.StateActive:
		if !ci.waiting && !ci.busy {
			ci.waiting, ci.since = true, time.Now()
		}
	case http.StateIdle:
		ci.waiting, ci.busy = false, false
	case http.StateClosed, http.StateHijacked:
		delete(t.conns, c)
	}
}

// enter marks the start of a handler and returns the connection's number.
func (t *tracker) enter(ctx context.Context) (*connInfo, uint32) {
	ci, _ := ctx.Value(connKey{}).(*connInfo)
	if ci == nil {
		return nil, 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ci.waiting, ci.busy, ci.since = false, true, time.Now()
	return ci, ci.id
}

// gauge is the state now. Ages count from the start of the present request or header wait: the age
// of an idle kept-alive connection says nothing.
func (t *tracker) gauge(now time.Time, producer, node string) record.Gauge {
	g := record.Gauge{TimeNS: record.EndOf(now), Producer: producer, Node: node}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, ci := range t.conns {
		g.Open++
		age := now.Sub(ci.since).Milliseconds()
		switch {
		case ci.busy:
			g.Active++
			g.InFlight++
		case ci.waiting:
			g.WaitingHeaders++
			if age > g.OldestHeaderMS {
				g.OldestHeaderMS = age
			}
		default:
			g.Idle++
			continue
		}
		if age > g.OldestConnMS {
			g.OldestConnMS = age
		}
	}
	return g
}
