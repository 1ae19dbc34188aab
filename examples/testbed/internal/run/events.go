// SPDX-License-Identifier: Apache-2.0

package run

import (
	"context"
	"fmt"
	"os"
	"time"

	"stgraph/testbed/internal/attack"
	"stgraph/testbed/internal/plan"
)

// event waits for the event's time and carries it out. Flash crowds are part of the load and a
// peak is the day itself: there is nothing to do for them.
func (r *recorder) event(ctx context.Context, e *plan.Event) {
	select {
	case <-time.After(time.Until(r.at(e.Start))):
	case <-ctx.Done():
		return
	}
	fmt.Fprintf(os.Stderr, "event %d: %s on %s%s for %.0f s\n", e.ID, e.Class, e.Node, during(e), e.End-e.Start)
	res := attack.Result{StartNS: time.Now().UnixNano()}
	switch e.Class {
	case "flash_crowd", "peak":
		res.StartNS, res.EndNS = r.at(e.Start).UnixNano(), r.at(e.End).UnixNano()
	case "deploy":
		res.Note = r.deploy(e)
		r.until(ctx, e.End)
	case "slow_dependency":
		r.disturb(ctx, e, "slow", 1)
	case "retry_storm":
		r.disturb(ctx, e, "fail", 0)
	default:
		a := &attack.Runner{Topo: r.Topo, Target: r.Topo.Addr(r.Topo.Edge, r.Net), Seed: r.Plan.Seed,
			Dir: r.raw, Payloads: r.Payloads, Spawn: r.spawn}
		res = a.Run(ctx, e)
	}
	if res.EndNS == 0 {
		res.EndNS = time.Now().UnixNano()
	}
	if res.Note != "" {
		fmt.Fprintf(os.Stderr, "event %d: %s\n", e.ID, res.Note)
	}
	r.mu.Lock()
	r.results[e.ID] = res
	r.mu.Unlock()
}

func during(e *plan.Event) string {
	if e.During == "" {
		return ""
	}
	return " (in " + e.During + ")"
}

func (r *recorder) until(ctx context.Context, t float64) {
	select {
	case <-time.After(time.Until(r.at(t))):
	case <-ctx.Done():
	}
}

const warmS = 8.0 // a new version is slow for so long

// deploy replaces a service's process by its next version. Calls in between are refused, and come
// back by the callers' retries or not at all, as in life.
func (r *recorder) deploy(e *plan.Event) string {
	version, _ := r.version(e.Node, e.Start)
	r.child(e.Node).Stop(3 * time.Second)
	if err := r.startService(e.Node, version+1, e.Factor, warmS); err != nil {
		return err.Error()
	}
	if err := listening(r.Topo.Addr(e.Node, r.Net), r.child(e.Node)); err != nil {
		return err.Error()
	}
	return ""
}

// disturb sets a service's dial for the event's time and turns it back.
func (r *recorder) disturb(ctx context.Context, e *plan.Event, dial string, back float64) {
	c := r.child(e.Node)
	if err := c.Say("%s %g", dial, e.Factor); err != nil {
		fmt.Fprintf(os.Stderr, "event %d: %v\n", e.ID, err)
	}
	r.until(ctx, e.End)
	if err := c.Say("%s %g", dial, back); err != nil {
		fmt.Fprintf(os.Stderr, "event %d: %v\n", e.ID, err)
	}
}
