// SPDX-License-Identifier: Apache-2.0

// Package spread is a TCP relay that gives each connection of an attack tool a source address of
// its own, and can hold connections back to a given rate, for tools that know no rate.
package spread

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"stgraph/testbed/internal/httpc"
)

// Relay forwards from Addr to a target.
type Relay struct {
	listener *net.TCPListener
	target   string
	pool     []string
	next     uint32
	pace     float64 // connections a second, 0 = as they come
	mu       sync.Mutex
	last     time.Time
	turn     chan struct{}
	first    int64
	count    int64
	open     int
	most     int
}

// Listen opens the relay on a free loopback port.
func Listen(target string, pool []string, pace float64) (*Relay, error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	return &Relay{listener: l, target: target, pool: pool, pace: pace, turn: make(chan struct{}, 1)}, nil
}

// Addr is where the tool connects.
func (r *Relay) Addr() string { return r.listener.Addr().String() }

// First is the wall time of the first connection in nanoseconds, or 0.
func (r *Relay) First() int64 { return atomic.LoadInt64(&r.first) }

// Count is how many connections were forwarded.
func (r *Relay) Count() int64 { return atomic.LoadInt64(&r.count) }

// Most is the largest number of connections that were open together.
func (r *Relay) Most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

// opened counts one connection up or down.
func (r *Relay) opened(by int) {
	r.mu.Lock()
	r.open += by
	if r.open > r.most {
		r.most = r.open
	}
	r.mu.Unlock()
}

// SetPace changes the rate.
func (r *Relay) SetPace(perSecond float64) {
	r.mu.Lock()
	r.pace = perSecond
	r.mu.Unlock()
}

// Serve relays until the context ends; then every connection is closed.
func (r *Relay) Serve(ctx context.Context) {
	var wg sync.WaitGroup
	go func() {
		<-ctx.Done()
		r.listener.Close()
	}()
	for {
		c, err := r.listener.AcceptTCP()
		if err != nil {
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			r.relay(ctx, c)
		}()
	}
	wg.Wait()
}

// wait returns when the connection's turn has come. One connection at a time holds the turn and
// looks at the pace again and again, so that a change of pace counts at once.
func (r *Relay) wait(ctx context.Context) bool {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return false
	}
	for {
		r.mu.Lock()
		left := time.Duration(0)
		if r.pace > 0 {
			left = time.Until(r.last.Add(time.Duration(float64(time.Second) / r.pace)))
		}
		if left <= 0 {
			if r.last.IsZero() {
				left = 0 // the first one has nothing to catch up
			}
			r.last = time.Now().Add(maxDuration(left, -lag))
			r.mu.Unlock()
			return true
		}
		r.mu.Unlock()
		if left > lag {
			left = lag
		}
		select {
		case <-time.After(left):
		case <-ctx.Done():
			return false
		}
	}
}

// lag is how long a change of pace may take, and how much of a delay is caught up.
const lag = 100 * time.Millisecond

func maxDuration(a, b time.Duration) time.Duration {
	if a > b {
		return a
	}
	return b
}

func (r *Relay) relay(ctx context.Context, in *net.TCPConn) {
	defer in.Close()
	if !r.wait(ctx) {
		return
	}
	from := r.pool[int(atomic.AddUint32(&r.next, 1)-1)%len(r.pool)]
	c, err := httpc.Dial(ctx, from, r.target, 5*time.Second)
	if err != nil {
		return
	}
	defer c.Close()
	atomic.CompareAndSwapInt64(&r.first, 0, time.Now().UnixNano())
	atomic.AddInt64(&r.count, 1)
	r.opened(1)
	defer r.opened(-1)
	out := c.(*net.TCPConn)
	done := make(chan struct{}, 2)
	go pipe(out, in, done)
	go pipe(in, out, done)
	for n := 0; n < 2; n++ {
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// pipe copies one way and passes the end on, so that half-closed connections stay half-closed.
func pipe(to, from *net.TCPConn, done chan<- struct{}) {
	io.Copy(to, from)
	to.CloseWrite()
	done <- struct{}{}
}
