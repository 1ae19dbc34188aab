// SPDX-License-Identifier: Apache-2.0

// Package run records one piece of a plan in real time: it starts services, edge and collector,
// plays load and events, stops everything, and leaves sorted files on the plan's clock.
package run

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"time"

	"stgraph/testbed/internal/attack"
	"stgraph/testbed/internal/edge"
	"stgraph/testbed/internal/load"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/proc"
	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// Options of a piece.
type Options struct {
	Self     string // path of this program, for the services
	TopoFile string
	Topo     *topo.Topology
	Scen     *scenario.Scenario
	Plan     *plan.Plan
	Piece    int
	Dir      string // the piece's folder; raw files go to Dir/raw
	Net      int
	Payloads []string
}

// recorder is a piece under way.
type recorder struct {
	Options
	raw      string
	spawn    *proc.Spawner
	services map[string]*proc.Child
	mu       sync.Mutex
	haproxy  *proc.Child
	wall     time.Time // wall time of the plan's time `from - lead`
	began    float64   // that plan time
	results  map[int]attack.Result
	player   *load.Player
}

const (
	settle   = 1500 * time.Millisecond // for requests under way at the end
	patience = 10 * time.Second        // for a process to come up
)

// Piece records and writes everything; the folder must not exist or will be replaced.
func Piece(ctx context.Context, o Options) error {
	if err := os.RemoveAll(o.Dir); err != nil {
		return err
	}
	r := &recorder{Options: o, raw: filepath.Join(o.Dir, "raw"), spawn: proc.NewSpawner(),
		services: map[string]*proc.Child{}, results: map[int]attack.Result{}}
	if err := os.MkdirAll(r.raw, 0o755); err != nil {
		return err
	}
	led, err := r.record(ctx)
	if err != nil {
		return err
	}
	return r.finish(led)
}

func (r *recorder) part() plan.Piece { return r.Plan.Pieces[r.Options.Piece] }

// at maps plan time to wall time.
func (r *recorder) at(t float64) time.Time {
	return r.wall.Add(time.Duration((t - r.began) * float64(time.Second)))
}

// record runs the piece; on return every child has ended.
func (r *recorder) record(ctx context.Context) (ledger, error) {
	logAddr := fmt.Sprintf("127.0.%d.251:15140", r.Net)
	calls, err := record.Open(filepath.Join(r.raw, "calls-edge.jsonl"))
	if err != nil {
		return ledger{}, err
	}
	defer calls.Close()
	col, err := edge.NewCollector(logAddr, r.Topo, calls)
	if err != nil {
		return ledger{}, err
	}
	defer col.Close()
	go col.Run()
	defer r.stopAll()
	if err := r.startAll(logAddr); err != nil {
		return ledger{}, err
	}
	if err := r.play(ctx); err != nil {
		return ledger{}, err
	}
	time.Sleep(settle)
	led := ledger{}
	if led.HAProxy, err = edge.Requests(r.socket(), r.Topo.Edge); err != nil {
		return led, err
	}
	led.Lines, led.Broken = col.Counts()
	led.Load, led.LoadFailures = r.player.Requests, r.player.Failures
	return led, calls.Flush()
}

func (r *recorder) socket() string { return fmt.Sprintf("/tmp/testbed-%d-%d.sock", os.Getpid(), r.Net) }

// startAll brings up services and edge and waits until they listen.
func (r *recorder) startAll(logAddr string) error {
	for _, s := range r.Topo.Services {
		version, factor := r.version(s.Name, r.part().From)
		if err := r.startService(s.Name, version, factor, 0); err != nil {
			return err
		}
	}
	cfg := filepath.Join(r.raw, "haproxy.cfg")
	if err := edge.WriteConfig(cfg, r.Topo, r.Net, r.socket(), logAddr); err != nil {
		return err
	}
	var err error
	if r.haproxy, err = r.spawn.Start(filepath.Join(r.raw, "haproxy.log"), "haproxy", "-db", "-f", cfg); err != nil {
		return err
	}
	for _, n := range r.Topo.Nodes() {
		if err := listening(r.Topo.Addr(n, r.Net), r.child(n)); err != nil {
			return fmt.Errorf("%s: %w (see %s)", n, err, r.raw)
		}
	}
	return nil
}

func (r *recorder) child(node string) *proc.Child {
	r.mu.Lock()
	defer r.mu.Unlock()
	if node == r.Topo.Edge {
		return r.haproxy
	}
	return r.services[node]
}

func listening(addr string, c *proc.Child) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		select {
		case <-c.Done():
			return fmt.Errorf("the process has ended")
		default:
		}
		if conn, err := net.DialTimeout("tcp4", addr, time.Second); err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("does not listen on %s", addr)
}

// version is what runs at plan time t: every deploy before it counts.
func (r *recorder) version(service string, t float64) (int, float64) {
	v, f := 1, 1.0
	for _, e := range r.Plan.Events {
		if e.Class == "deploy" && e.Node == service && e.Start < t {
			v, f = v+1, e.Factor
		}
	}
	return v, f
}

func (r *recorder) startService(name string, version int, factor, warm float64) error {
	ff := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	c, err := r.spawn.Start(filepath.Join(r.raw, "service-"+name+".log"), r.Self, "service",
		"--topology", r.TopoFile, "--name", name, "--net", strconv.Itoa(r.Net), "--dir", r.raw,
		"--version", strconv.Itoa(version), "--factor", ff(factor), "--warm", ff(warm),
		"--seed", strconv.FormatUint(r.Plan.Seed+uint64(r.Options.Piece), 10))
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.services[name] = c
	r.mu.Unlock()
	return nil
}

// stopAll ends the edge first, so that no request is cut in the middle of the services.
func (r *recorder) stopAll() {
	if r.haproxy != nil {
		r.haproxy.Stop(time.Second)
	}
	var wg sync.WaitGroup
	for _, c := range r.services {
		c := c
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.Stop(4 * time.Second)
		}()
	}
	wg.Wait()
	os.Remove(r.socket())
}

// play runs load, gauges and events from `lead` before the piece to its end.
func (r *recorder) play(ctx context.Context) error {
	part := r.part()
	r.began = part.From - r.Plan.LeadS
	tr := plan.NewTraffic(r.Plan.Seed, r.Topo, r.Scen, r.Plan.Length, r.Plan.Events)
	sessions := append(tr.Ongoing(r.began), tr.Sessions(r.began, part.To)...)
	sort.SliceStable(sessions, func(i, j int) bool { return sessions[i].At < sessions[j].At })
	r.wall = time.Now().Add(500 * time.Millisecond)
	r.player = &load.Player{Topo: r.Topo, Target: r.Topo.Addr(r.Topo.Edge, r.Net), At: r.at}
	outer := ctx
	ctx, cancel := context.WithDeadline(outer, r.at(part.To))
	defer cancel()
	var wg sync.WaitGroup
	start := func(f func()) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f()
		}()
	}
	start(func() { r.player.Play(ctx, sessions) })
	start(func() { r.pollEdge(ctx) })
	for i := range r.Plan.Events {
		e := &r.Plan.Events[i]
		if e.Start >= part.From && e.Start < part.To {
			start(func() { r.event(ctx, e) })
		}
	}
	start(func() { r.progress(ctx) })
	wg.Wait()
	return outer.Err() // not nil when somebody stopped the recording
}

func (r *recorder) pollEdge(ctx context.Context) {
	out, err := record.Open(filepath.Join(r.raw, "gauges-edge.jsonl"))
	if err != nil {
		return
	}
	defer out.Close()
	g := edge.NewGauger(r.socket(), r.Topo.Edge)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if v, err := g.Poll(); err == nil {
				out.Put(v)
			}
		}
	}
}

func (r *recorder) progress(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t := time.Since(r.wall).Seconds() + r.began
			fmt.Fprintf(os.Stderr, "piece %d: plan second %.0f of [%.0f, %.0f)\n", r.Options.Piece, t, r.part().From, r.part().To)
		}
	}
}
