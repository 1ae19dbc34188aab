// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math"
	"sort"

	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// setRates turns strengths into rates: times the target route's own planned rate while the attack
// runs. A slow attack's rate is a number of held connections, times the connections that the
// target's clients usually keep open.
func (p *Plan) setRates(t *topo.Topology, s *scenario.Scenario, tr *Traffic) {
	list := tr.Sessions(-longest, p.Length)
	reqs := tr.Requests(list)
	for i := range p.Events {
		e := &p.Events[i]
		if e.Kind != "attack" {
			continue
		}
		if e.Class == "slow_dos" {
			open := openConnections(tr, list, e.Start, e.End)
			if e.Mode == "body" {
				open *= share(reqs, e.Edge[2])
			}
			e.OwnRate = math.Max(open, 4)
			e.Rate = math.Max(3, math.Round(e.OwnRate*e.Strength))
			continue
		}
		own := rateOf(reqs, e.Edge[2], e.Start, e.End)
		e.OwnRate = math.Max(own, 0.3*rateOf(reqs, e.Edge[2], 0, p.Length))
		e.Rate = e.OwnRate * e.Strength
		stretch(p, s, i)
	}
}

// stretch makes a weak attack longer, up to the longest and as far as the calm around it allows,
// until it sends at least MinRequests: three requests in half a minute are no attack.
func stretch(p *Plan, s *scenario.Scenario, i int) {
	e := &p.Events[i]
	limit := e.Start + s.Attacks.Seconds[1]
	for j, o := range p.Events {
		if j == i || o.End <= e.Start {
			continue
		}
		if o.Start > e.Start {
			limit = math.Min(limit, o.Start-s.GapS)
		} else if o.Class == "flash_crowd" {
			limit = math.Min(limit, o.End-10)
		}
	}
	limit = math.Min(limit, p.Length-tail(s))
	want := e.Start + s.Attacks.MinRequests/e.Rate
	if want > e.End {
		e.End = math.Max(e.End, math.Min(want, limit))
	}
	if n := (e.End - e.Start) * e.Rate; n < s.Attacks.MinRequests {
		e.Rate *= s.Attacks.MinRequests / n
		e.Strength = e.Rate / e.OwnRate
	}
}

func rateOf(reqs []Request, route string, from, to float64) float64 {
	i := sort.Search(len(reqs), func(i int) bool { return reqs[i].At >= from })
	n := 0
	for ; i < len(reqs) && reqs[i].At < to; i++ {
		if reqs[i].Route == route {
			n++
		}
	}
	return float64(n) / (to - from)
}

func share(reqs []Request, route string) float64 {
	n := 0
	for _, r := range reqs {
		if r.Route == route {
			n++
		}
	}
	return float64(n) / float64(len(reqs))
}

// openConnections is the mean number of sessions under way, each of which holds one connection.
func openConnections(tr *Traffic, list []Session, from, to float64) float64 {
	sum := 0.0
	for _, s := range list {
		end := s.At
		for _, st := range s.Steps {
			end += st.Think + assetGap*float64(st.Assets)
		}
		sum += math.Max(0, math.Min(end, to)-math.Max(s.At, from))
	}
	return sum / (to - from)
}

// markPeaks adds the tops of the day as events in which nothing happens.
func (p *Plan) markPeaks(t *topo.Topology, s *scenario.Scenario, tr *Traffic) {
	if !s.MarkPeaks {
		return
	}
	for top := tr.day.Peak(); top+peakHalf < p.Length; top += s.DayS {
		p.Events = append(p.Events, Event{Kind: "confounder", Class: "peak", Start: top - peakHalf,
			End: top + peakHalf, Node: t.Edge, Edge: [3]string{"external", t.Edge, ""}})
	}
	sort.SliceStable(p.Events, func(i, j int) bool { return p.Events[i].Start < p.Events[j].Start })
}
