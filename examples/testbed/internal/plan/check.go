// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// Check verifies a plan against what an evaluation needs of it.
func Check(p *Plan, t *topo.Topology, s *scenario.Scenario) error {
	const eps = 1e-6
	for i, e := range p.Events {
		if e.Start < 0 || e.End > p.Length+eps || e.End <= e.Start {
			return fmt.Errorf("event %d (%s) lies outside the recording", e.ID, e.Class)
		}
		if e.Class != "peak" && e.Start < s.WarmupS-eps {
			return fmt.Errorf("event %d (%s) starts in the warm-up", e.ID, e.Class)
		}
		if e.Kind == "attack" {
			if err := checkAttack(e, s); err != nil {
				return err
			}
		}
		for _, o := range p.Events[i+1:] {
			if err := checkPair(e, o, s); err != nil {
				return err
			}
		}
	}
	if len(p.Pieces) == 0 || p.Pieces[0].From != 0 || p.Pieces[len(p.Pieces)-1].To != p.Length {
		return fmt.Errorf("the pieces do not cover the recording")
	}
	return nil
}

func checkAttack(e Event, s *scenario.Scenario) error {
	const eps = 1e-6
	if d := e.End - e.Start; d < s.Attacks.Seconds[0]-eps || d > s.Attacks.Seconds[1]+eps {
		return fmt.Errorf("attack %d lasts %.0f s", e.ID, d)
	}
	if len(e.Clients) == 0 || e.Rate <= 0 {
		return fmt.Errorf("attack %d has no clients or no rate", e.ID)
	}
	return nil
}

// checkPair: events keep their distance unless an attack hides in a flash crowd or the peak.
func checkPair(a, b Event, s *scenario.Scenario) error {
	const eps = 1e-6
	if a.Class == "peak" || b.Class == "peak" {
		return nil
	}
	inside := a.Class == "flash_crowd" && b.During == "flash_crowd" && b.Start >= a.Start && b.End <= a.End
	if inside {
		return nil
	}
	want := s.CalmGapS
	if a.Kind == "attack" || b.Kind == "attack" {
		want = s.GapS
	}
	if b.Start-a.End < want-eps {
		return fmt.Errorf("events %d (%s) and %d (%s) are %.1f s apart", a.ID, a.Class, b.ID, b.Class, b.Start-a.End)
	}
	return nil
}

// CheckSet verifies the quota over the recordings that are judged together.
func CheckSet(plans []*Plan) error {
	perClass, perNode, attacks, confounders, ramps := map[string]int{}, map[string]int{}, 0, 0, 0
	for _, p := range plans {
		for _, e := range p.Events {
			if e.Kind != "attack" {
				confounders++
				continue
			}
			attacks++
			perClass[e.Class]++
			perNode[e.Node]++
			if e.Ramp {
				ramps++
			}
		}
	}
	for _, c := range scenario.Classes {
		if perClass[c] < 4 {
			return fmt.Errorf("%d attacks of class %s, want 4", perClass[c], c)
		}
	}
	for n, k := range perNode {
		if float64(k) > 0.35*float64(attacks) {
			return fmt.Errorf("%d of %d attacks go to %s", k, attacks, n)
		}
	}
	if attacks < 24 || confounders < 12 || len(perNode) < 5 {
		return fmt.Errorf("%d attacks, %d confounders, %d targets", attacks, confounders, len(perNode))
	}
	if ramps*3 < attacks || ramps*3 > 2*attacks {
		return fmt.Errorf("%d of %d attacks have ramps", ramps, attacks)
	}
	return nil
}
