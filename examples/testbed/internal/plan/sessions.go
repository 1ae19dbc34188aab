// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"sort"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// Step is one page view of a session: think, request the route, then some assets.
type Step struct {
	Think   float64
	Route   string
	Assets  int
	Bad     bool // a login with a mistyped password, a name that is taken
	Missing bool // something that is not there: 404
	Seed    uint64
}

// Session is a planned visit. Times are plan seconds.
type Session struct {
	At     float64
	Client Client
	Fresh  bool
	Steps  []Step
}

// Traffic makes the legitimate load of a recording. Every second and every session has its own
// stream, so any part of the recording can be generated alone and always comes out the same.
type Traffic struct {
	seed    uint64
	topo    *topo.Topology
	scen    *scenario.Scenario
	day     *Day
	memory  *Memory
	people  *Population
	flashes []Event
	start   row
	next    map[string]row
}

// NewTraffic prepares the load; flashes are the flash crowds among the events.
func NewTraffic(seed uint64, t *topo.Topology, s *scenario.Scenario, length float64, events []Event) *Traffic {
	tr := &Traffic{seed: seed, topo: t, scen: s, day: NewDay(s.DayS, s.Swing),
		memory: NewMemory(seed, s.Memory, length), people: NewPopulation(seed, t),
		start: newRow(t.Session.Start), next: map[string]row{}}
	for from, m := range t.Session.Next {
		tr.next[from] = newRow(m)
	}
	for _, e := range events {
		if e.Class == "flash_crowd" {
			tr.flashes = append(tr.flashes, e)
		}
	}
	return tr
}

// Rate is the planned number of new sessions a second at plan time t, without flash crowds.
func (tr *Traffic) Rate(t float64) float64 {
	return tr.topo.Session.PerSecond * tr.scen.RateScale * tr.day.At(t) * tr.memory.At(t)
}

// flashShape is a trapezoid from 0 to 1: up within the ramp, down within two ramps.
func flashShape(e Event, t float64) float64 {
	up, down := (t-e.Start)/e.RampS, (e.End-t)/(2*e.RampS)
	v := up
	if down < v {
		v = down
	}
	if v > 1 {
		v = 1
	}
	if v < 0 {
		v = 0
	}
	return v
}

const maxFlashRate = 14.0 // new sessions a second, so that a crowd at the peak does not melt the machine

// Sessions lists the sessions that arrive in plan time [from, to), in order.
func (tr *Traffic) Sessions(from, to float64) []Session {
	var out []Session
	for sec := int(from) - 1; float64(sec) < to; sec++ {
		out = append(out, tr.second(sec, "regular", tr.Rate(float64(sec)+0.5), tr.topo.Session.Newcomers)...)
		for _, f := range tr.flashes {
			t := float64(sec) + 0.5
			extra := tr.Rate(t) * (f.Strength - 1) * flashShape(f, t)
			if extra > maxFlashRate {
				extra = maxFlashRate
			}
			if extra > 0 {
				// of all sessions, old ones included, half and more shall be new clients
				out = append(out, tr.second(sec, "flash", extra, f.NewShare*f.Strength/(f.Strength-1))...)
			}
		}
	}
	kept := out[:0]
	for _, s := range out {
		if s.At >= from && s.At < to {
			kept = append(kept, s)
		}
	}
	sort.SliceStable(kept, func(i, j int) bool { return kept[i].At < kept[j].At })
	return kept
}

func (tr *Traffic) second(sec int, kind string, rate, fresh float64) []Session {
	r := rng.New(tr.seed, "arrivals", kind, sec)
	n := r.Poisson(rate)
	out := make([]Session, 0, n)
	for i := 0; i < n; i++ {
		s := rng.New(tr.seed, "session", kind, sec, i)
		ses := Session{At: float64(sec) + s.Float(), Fresh: s.Bool(fresh)}
		if ses.Fresh {
			ses.Client = tr.people.Fresh(s)
		} else {
			ses.Client = tr.people.Regular(s)
		}
		ses.Steps = tr.walk(s)
		out = append(out, ses)
	}
	return out
}

const maxSteps = 60

// walk draws the pages of a session from the topology's Markov chain.
func (tr *Traffic) walk(r *rng.Stream) []Step {
	m := tr.topo.Session
	var steps []Step
	at := tr.start.draw(r)
	for at != topo.End && len(steps) < maxSteps {
		st := Step{Route: at, Seed: r.Uint64()}
		if len(steps) > 0 {
			st.Think = r.LogNormal(m.ThinkS, m.ThinkSigma)
		}
		kind := tr.topo.EdgeRoute(at).Kind
		st.Bad = (kind == "login" || kind == "register") && r.Bool(m.LoginFailed)
		st.Missing = kind == "" && r.Bool(m.Missing)
		if !st.Missing {
			st.Assets = r.Poisson(m.Assets[at])
		}
		steps = append(steps, st)
		if st.Bad && kind == "login" && r.Bool(0.8) {
			continue // try again
		}
		at = tr.next[at].draw(r)
	}
	return steps
}

// row is a distribution over routes; the keys are sorted because Go's maps have no order.
type row struct {
	keys []string
	p    []float64
}

func newRow(m map[string]float64) row {
	var r row
	for k := range m {
		r.keys = append(r.keys, k)
	}
	sort.Strings(r.keys)
	for _, k := range r.keys {
		r.p = append(r.p, m[k])
	}
	return r
}

func (w row) draw(r *rng.Stream) string {
	u := r.Float()
	for i, k := range w.keys {
		if u -= w.p[i]; u < 0 {
			return k
		}
	}
	return w.keys[len(w.keys)-1]
}

const assetGap = 0.05 // seconds between the assets of a page, with their answers

// Ongoing lists what is left, from plan time t on, of the sessions that began within the last
// `longest` seconds before it: a piece that starts in the middle of the recording starts with the
// visitors who are there, not with an empty house.
func (tr *Traffic) Ongoing(t float64) []Session {
	var out []Session
	for _, s := range tr.Sessions(t-longest, t) {
		at := s.At
		for i, st := range s.Steps {
			at += st.Think
			if at >= t {
				rest := Session{At: at, Client: s.Client, Fresh: s.Fresh}
				rest.Steps = append(rest.Steps, s.Steps[i:]...)
				rest.Steps[0].Think = 0
				out = append(out, rest)
				break
			}
			at += assetGap * float64(st.Assets)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].At < out[j].At })
	return out
}

const longest = 300.0

// Request is one planned request, for counting; it leaves out how long answers take.
type Request struct {
	At    float64
	Route string
}

// Requests lists the planned requests of the given sessions in order of time.
func (tr *Traffic) Requests(list []Session) []Request {
	var out []Request
	for _, s := range list {
		t := s.At
		for _, st := range s.Steps {
			t += st.Think
			out = append(out, Request{t, st.Route})
			for i := 0; i < st.Assets; i++ {
				t += assetGap
				out = append(out, Request{t, tr.topo.Session.AssetRoute})
			}
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].At < out[j].At })
	return out
}
