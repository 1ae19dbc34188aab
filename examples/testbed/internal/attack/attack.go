// SPDX-License-Identifier: Apache-2.0

// Package attack carries out the planned attacks: real tools behind a relay that gives their
// connections many addresses, and a small client of our own where no tool fits. Everything is
// bounded by the event's end.
package attack

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/proc"
	"stgraph/testbed/internal/topo"
)

// Runner knows the target.
type Runner struct {
	Topo     *topo.Topology
	Target   string // host:port of the edge
	Seed     uint64
	Dir      string // for the tools' own files
	Payloads []string
	Spawn    *proc.Spawner
}

// Result is what really happened.
type Result struct {
	StartNS, EndNS, FirstNS int64
	Held                    int // most connections at one time, of a slow attack
	Note                    string
}

// phase is a part of an attack with a constant share of the full rate.
type phase struct {
	seconds, share float64
}

// phases: a ramp climbs in three steps over two fifths of the time.
func phases(e *plan.Event) []phase {
	d := e.End - e.Start
	if !e.Ramp {
		return []phase{{d, 1}}
	}
	return []phase{{0.13 * d, 0.25}, {0.13 * d, 0.5}, {0.14 * d, 0.75}, {0.6 * d, 1}}
}

// FullSeconds is how long an attack at full rate would take for as many requests.
func FullSeconds(e *plan.Event) float64 {
	sum := 0.0
	for _, p := range phases(e) {
		sum += p.seconds * p.share
	}
	return sum
}

// Run carries out one attack.
func (r *Runner) Run(ctx context.Context, e *plan.Event) Result {
	d := time.Duration((e.End - e.Start) * float64(time.Second))
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	res := Result{StartNS: time.Now().UnixNano()}
	var err error
	switch e.Tool {
	case "wrk", "hey":
		err = r.stepped(ctx, e, &res)
	case "siege", "ab", "hydra":
		err = r.paced(ctx, e, &res)
	case "slowhttptest":
		err = r.slow(ctx, e, &res)
	case "testbed":
		err = r.own(ctx, e, &res)
	default:
		err = fmt.Errorf("no tool %q", e.Tool)
	}
	if err != nil {
		res.Note = err.Error()
	}
	<-ctx.Done()
	res.EndNS = time.Now().UnixNano()
	return res
}

// file names a file of the attack's own.
func (r *Runner) file(e *plan.Event, name string) string {
	return fmt.Sprintf("%s/attack-%d-%s", r.Dir, e.ID, name)
}

// setFirst keeps the earliest moment.
func setFirst(at *int64) {
	atomic.CompareAndSwapInt64(at, 0, time.Now().UnixNano())
}
