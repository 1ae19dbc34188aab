// SPDX-License-Identifier: Apache-2.0

// Package service is one microservice of the testbed: it answers the routes that the topology
// gives it, at the cost and with the calls that stand there, and records every call that it
// receives (server side) and makes (client side), and its listener's gauges once a second.
package service

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/topo"
)

// Options of a service process.
type Options struct {
	Topo    *topo.Topology
	Name    string
	Net     int
	Dir     string
	Version int
	Factor  float64 // latency of this version relative to the first one
	WarmS   float64 // a fresh version is slow for so long
	Seed    uint64
}

// Service is the running process.
type Service struct {
	opts    Options
	spec    *topo.Service
	tracker *tracker
	caller  *caller
	calls   *record.Writer
	gauges  *record.Writer
	slots   chan struct{}
	born    time.Time

	mu   sync.Mutex
	dice *rng.Stream
	slow float64
	fail float64
}

// New opens the record files.
func New(o Options) (*Service, error) {
	spec := o.Topo.Service(o.Name)
	if spec == nil {
		return nil, fmt.Errorf("no service %q in topology %s", o.Name, o.Topo.Name)
	}
	calls, err := record.Open(filepath.Join(o.Dir, "calls-"+o.Name+".jsonl"))
	if err != nil {
		return nil, err
	}
	gauges, err := record.Open(filepath.Join(o.Dir, "gauges-"+o.Name+".jsonl"))
	if err != nil {
		return nil, err
	}
	return &Service{opts: o, spec: spec, tracker: newTracker(), calls: calls, gauges: gauges,
		caller: newCaller(o.Name, spec.Pool, o.Topo, o.Net, calls),
		slots:  make(chan struct{}, spec.Workers), born: time.Now(), slow: 1,
		dice: rng.New(o.Seed, "service", o.Name, o.Version)}, nil
}

// Run serves until the context ends, then finishes requests under way and closes the files.
func (s *Service) Run(ctx context.Context) error {
	srv := &http.Server{
		Addr: s.opts.Topo.Addr(s.opts.Name, s.opts.Net), Handler: s,
		ConnState: s.tracker.onState, ConnContext: s.tracker.onConn,
		ReadHeaderTimeout: 60 * time.Second, ReadTimeout: 150 * time.Second, IdleTimeout: 90 * time.Second,
	}
	failed := make(chan error, 1)
	go func() { failed <- srv.ListenAndServe() }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case now := <-tick.C:
			s.gauges.Put(s.tracker.gauge(now, s.opts.Name+"-1", s.opts.Name))
			s.gauges.Flush()
			s.calls.Flush()
		case <-ctx.Done():
			stop, cancel := context.WithTimeout(context.Background(), 2*time.Second)
			defer cancel()
			if srv.Shutdown(stop) != nil {
				srv.Close()
			}
			if err := s.calls.Close(); err != nil {
				return err
			}
			return s.gauges.Close()
		}
	}
}

// request is what a handler knows about the call it serves.
type request struct {
	spec    *topo.Route
	rec     record.Call
	start   time.Time
	form    url.Values
	missing bool
}

// ServeHTTP answers one call.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, conn := s.tracker.enter(r.Context())
	q := s.identify(r)
	q.rec.Conn = conn
	status := s.readForm(q, w, r)
	if status == 0 {
		status = s.work(r.Context(), q)
	}
	if status > 0 {
		s.answer(w, q, status)
	}
	end := time.Now()
	q.rec.Status = status
	q.rec.EndNS, q.rec.DurationUS = record.EndOf(end), end.Sub(q.start).Microseconds()
	s.calls.Put(q.rec)
}

// answer writes the response; the edge takes user and injection from headers into its own record.
func (s *Service) answer(w http.ResponseWriter, q *request, status int) {
	n := 64
	if status < 300 {
		s.mu.Lock()
		n = quantise(s.dice.LogNormal(float64(q.spec.OutBytes), 0.4))
		s.mu.Unlock()
	}
	body := filler[:n]
	if status == http.StatusUnauthorized {
		body = []byte("invalid credentials")
	}
	if q.rec.User != "" {
		w.Header().Set("X-User", q.rec.User)
	}
	if q.rec.Injection > 0 {
		w.Header().Set("X-Injection", "1")
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	m, _ := w.Write(body)
	q.rec.BytesOut = int64(m)
}
