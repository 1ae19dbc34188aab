// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"math"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// classList says which attacks recording `index` of `of` has: each class `each` times, and one
// more for every of-th class, so that three recordings with each = 1 hold four of every class.
func classList(s *scenario.Scenario, index, of int) []string {
	var out []string
	for k, c := range scenario.Classes {
		asked := false
		for _, v := range s.Attacks.Classes {
			asked = asked || v == c
		}
		if !asked {
			continue
		}
		n := s.Attacks.Each
		if s.Attacks.Rotate && of > 0 && k%of == (index-1)%of {
			n++
		}
		for i := 0; i < n; i++ {
			out = append(out, c)
		}
	}
	return out
}

// drawAttacks draws class, target, strength, duration, ramp, tool and addresses of each attack.
// Strength and duration are log-uniform, drawn from strata so that each recording has both ends.
func drawAttacks(t *topo.Topology, s *scenario.Scenario, seed uint64, index, of int) ([]Event, error) {
	list := classList(s, index, of)
	r := rng.New(seed, "attacks")
	strength, seconds, ramp := r.Strata(len(list)), r.Strata(len(list)), r.Perm(len(list))
	people := NewPopulation(seed, t)
	targets := &targetPicker{t: t, r: rng.New(seed, "targets"), used: map[string]int{}}
	var out []Event
	for i, class := range list {
		e := Event{Kind: "attack", Class: class}
		e.Strength = between(s.Attacks.Strength, strength[i])
		length := between(s.Attacks.Seconds, seconds[i])
		e.Start, e.End = 0, length
		e.Ramp = float64(ramp[i]) < s.Attacks.RampShare*float64(len(list))
		if err := targets.pick(&e); err != nil {
			return nil, err
		}
		setTool(&e, s, r, i)
		e.Clients = people.Attackers(r, poolSize(class, r))
		e.Users = 1 + r.IntN(4)
		e.KeepConn = r.Bool(0.5)
		out = append(out, e)
	}
	return out, nil
}

// between maps a uniform number to a log-uniform one.
func between(r scenario.Range, u float64) float64 {
	return r[0] * math.Exp(u*math.Log(r[1]/r[0]))
}

func poolSize(class string, r *rng.Stream) int {
	switch class {
	case "ddos_volumetric", "slow_dos", "cred_stuffing":
		return 20 + r.IntN(180)
	case "brute_force", "xss":
		return 2 + r.IntN(14)
	}
	return 4 + r.IntN(36)
}

// setTool chooses the program. With alternate_tools every second flood comes from a tool that no
// development recording has seen.
func setTool(e *Event, s *scenario.Scenario, r *rng.Stream, i int) {
	other := s.Attacks.Alternate && (i%2 == 0)
	switch e.Class {
	case "ddos_volumetric":
		e.Tool = "wrk"
		if other {
			e.Tool = "siege"
		}
	case "http_flood":
		e.Tool = "hey"
		if s.Attacks.Alternate && r.Bool(0.5) {
			e.Tool = "ab"
		}
	case "slow_dos":
		e.Tool = "slowhttptest"
	case "brute_force":
		e.Tool = "hydra"
	default:
		e.Tool = "testbed"
	}
}

// targetPicker spreads attacks over services: among the routes that fit a class it takes one of
// the service that was hit least, drawing between equals.
type targetPicker struct {
	t    *topo.Topology
	r    *rng.Stream
	used map[string]int
	slow int
}

func (p *targetPicker) pick(e *Event) error {
	var fit []topo.EdgeRoute
	for _, r := range p.t.Routes {
		if fits(e.Class, r) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return fmt.Errorf("no exposed route fits attack class %s", e.Class)
	}
	if e.Class == "slow_dos" {
		p.slow++
		if (p.slow+p.r.IntN(2))%2 == 0 {
			p.slow = 0
			e.Mode = "headers"
			e.Node = p.t.Edge
			e.Edge = [3]string{"external", p.t.Edge, ""}
			e.Service = fit[p.r.IntN(len(fit))].Service
			p.used[p.t.Edge]++
			return nil
		}
		e.Mode = "body"
	}
	best := fit[:0:0]
	low := math.MaxInt32
	for _, r := range fit {
		if p.used[r.Service] < low {
			low, best = p.used[r.Service], best[:0]
		}
		if p.used[r.Service] == low {
			best = append(best, r)
		}
	}
	r := best[p.r.IntN(len(best))]
	p.used[r.Service]++
	e.Node, e.Service = r.Service, r.Service
	e.Edge = [3]string{p.t.Edge, r.Service, r.Route}
	return nil
}

// fits says which routes a class can go for.
func fits(class string, r topo.EdgeRoute) bool {
	switch class {
	case "ddos_volumetric":
		return r.Method() == "GET"
	case "http_flood":
		return r.Costly
	case "slow_dos":
		return r.Method() == "POST" && r.Kind != "login"
	case "brute_force", "cred_stuffing":
		return r.Kind == "login"
	case "bot_registration":
		return r.Kind == "register"
	case "xss":
		return r.Param != ""
	}
	return false
}
