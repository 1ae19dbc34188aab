// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math"
	"sort"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// block is what is placed as one: an event alone, or a flash crowd with an attack in it. Times in
// it count from the block's start.
type block struct {
	length float64
	attack bool
	events []Event
}

// makeBlocks joins attacks with flash crowds as the scenario asks and adds the other confounders.
func makeBlocks(t *topo.Topology, s *scenario.Scenario, seed uint64, attacks []Event) []block {
	r := rng.New(seed, "confounders")
	var out []block
	inFlash := hidden(r, s, attacks)
	for i := 0; i < s.Confounders["flash_crowd"]; i++ {
		f := drawFlash(t, s, r)
		b := block{events: []Event{f}}
		if i < len(inFlash) {
			a := attacks[inFlash[i]]
			length := a.End
			a.Start = f.RampS + r.Range(5, 20)
			a.End = a.Start + length
			a.During = "flash_crowd"
			if need := a.End + 10 + 2*f.RampS; b.events[0].End < need {
				b.events[0].End = need
			}
			b.events = append(b.events, a)
			b.attack = true
		}
		b.length = b.events[0].End
		out = append(out, b)
	}
	for i, a := range attacks {
		if a.During == "" && !contains(inFlash, i) {
			out = append(out, block{length: a.End, attack: true, events: []Event{a}})
		}
	}
	for _, class := range []string{"deploy", "slow_dependency", "retry_storm"} {
		for i := 0; i < s.Confounders[class]; i++ {
			e := drawConfounder(t, s, r, class)
			out = append(out, block{length: e.End, events: []Event{e}})
		}
	}
	return out
}

func contains(list []int, v int) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

// hidden picks the attacks that come under the cover of a flash crowd: short ones, since the
// crowd has to outlast them.
func hidden(r *rng.Stream, s *scenario.Scenario, attacks []Event) []int {
	var out []int
	for _, i := range r.Perm(len(attacks)) {
		if len(out) < s.Attacks.InFlash && attacks[i].End <= 120 {
			out = append(out, i)
		}
	}
	return out
}

func drawFlash(t *topo.Topology, s *scenario.Scenario, r *rng.Stream) Event {
	e := Event{Kind: "confounder", Class: "flash_crowd", Node: t.Edge,
		Edge: [3]string{"external", t.Edge, ""}}
	e.Strength = r.LogRange(s.FlashFactor[0], s.FlashFactor[1])
	e.RampS = r.LogRange(4, 30)
	e.End = r.Range(s.FlashS[0], s.FlashS[1]) + e.RampS
	e.NewShare = r.Range(0.5, 0.75)
	return e
}

// drawConfounder draws a deploy, a slow dependency or a retry storm.
func drawConfounder(t *topo.Topology, s *scenario.Scenario, r *rng.Stream, class string) Event {
	e := Event{Kind: "confounder", Class: class}
	switch class {
	case "deploy":
		e.Node = t.Services[r.IntN(len(t.Services))].Name
		e.Factor = r.Range(0.85, 1.25)
		e.End = 30
	case "slow_dependency":
		e.Node = pick(r, leaves(t))
		e.Factor = r.LogRange(s.SlowFactor[0], s.SlowFactor[1])
		e.End = r.Range(40, 90)
	case "retry_storm":
		e.Node = pick(r, retried(t))
		e.Factor = r.Range(0.4, 0.9)
		e.End = r.Range(30, 60)
	}
	e.Edge = [3]string{"", e.Node, ""}
	e.Strength = e.Factor
	return e
}

func pick(r *rng.Stream, names []string) string {
	return names[r.IntN(len(names))]
}

// leaves are the services that call nobody: databases and caches.
func leaves(t *topo.Topology) []string {
	var out []string
	for _, s := range t.Services {
		calls := 0
		for _, r := range s.Routes {
			calls += len(r.Stages)
		}
		if calls == 0 {
			out = append(out, s.Name)
		}
	}
	return out
}

// retried are the services whose callers try at least twice more.
func retried(t *topo.Topology) []string {
	seen := map[string]bool{}
	for _, s := range t.Services {
		for _, r := range s.Routes {
			for _, stage := range r.Stages {
				for _, c := range stage {
					if c.Retries >= 2 {
						seen[c.To] = true
					}
				}
			}
		}
	}
	var out []string
	for name := range seen {
		out = append(out, name)
	}
	sort.Strings(out)
	return out
}

// gap is the calm time between two blocks.
func gap(s *scenario.Scenario, a, b block) float64 {
	if a.attack || b.attack {
		return s.GapS
	}
	return s.CalmGapS
}

// tail is the calm at the end, so that a late incident still falls into the recording.
func tail(s *scenario.Scenario) float64 { return math.Min(30, s.WarmupS) }

// needed is the length for all blocks in the worst order.
func needed(s *scenario.Scenario, blocks []block) float64 {
	sum := s.WarmupS + tail(s)
	for _, b := range blocks {
		sum += b.length + s.GapS
	}
	return sum
}

// arrange puts the blocks into a random order with random gaps, or returns nil if they do not fit.
func arrange(r *rng.Stream, s *scenario.Scenario, blocks []block, length float64) []Event {
	order := r.Perm(len(blocks))
	slack := length - s.WarmupS - tail(s)
	for i, k := range order {
		slack -= blocks[k].length
		if i > 0 {
			slack -= gap(s, blocks[order[i-1]], blocks[k])
		}
	}
	if slack < 0 {
		return nil
	}
	cuts := make([]float64, len(order))
	for i := range cuts {
		cuts[i] = r.Range(0, slack)
	}
	sort.Float64s(cuts)
	out := []Event{} // not nil: a scenario without events is fine
	t := s.WarmupS
	for i, k := range order {
		b := blocks[k]
		if i > 0 {
			t += gap(s, blocks[order[i-1]], b)
		}
		for _, e := range b.events {
			e.Start += t + cuts[i]
			e.End += t + cuts[i]
			out = append(out, e)
		}
		t += b.length
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].Start < out[j].Start })
	return out
}
