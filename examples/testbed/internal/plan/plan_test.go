// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

func load(t *testing.T, topology, scen string) (*topo.Topology, *scenario.Scenario) {
	tp, err := topo.Load("../../topologies/" + topology + ".json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := scenario.Load("../../scenarios/" + scen + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return tp, s
}

func TestThreeRecordingsMeetTheQuota(t *testing.T) {
	for _, name := range []string{"social", "shop"} {
		tp, s := load(t, name, "attacks")
		for seed := uint64(1); seed <= 25; seed++ {
			var set []*Plan
			for i := 1; i <= 3; i++ {
				p, err := Build(tp, s, seed*0x9e3779b1+uint64(i), i, 3, 0)
				if err != nil {
					t.Fatalf("%s seed %d index %d: %v", name, seed, i, err)
				}
				if p.Length < 1800 || p.Length > 3600 {
					t.Errorf("%s seed %d index %d: %g s long", name, seed, i, p.Length)
				}
				set = append(set, p)
			}
			if err := CheckSet(set); err != nil {
				t.Errorf("%s seed %d: %v", name, seed, err)
			}
		}
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	a, err := Build(tp, s, 5, 1, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := Build(tp, s, 5, 1, 3, 0)
	c, _ := Build(tp, s, 6, 1, 3, 0)
	if !reflect.DeepEqual(a, b) {
		t.Error("the same seed gave two plans")
	}
	if reflect.DeepEqual(a.Events, c.Events) {
		t.Error("two seeds gave the same events")
	}
}

func TestSessionsDoNotDependOnTheCut(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	p, err := Build(tp, s, 11, 1, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr := NewTraffic(11, tp, s, p.Length, p.Events)
	whole := tr.Sessions(0, p.Length)
	var parts []Session
	for at := 0.0; at < p.Length; at += 97.25 {
		parts = append(parts, tr.Sessions(at, math.Min(at+97.25, p.Length))...)
	}
	if !reflect.DeepEqual(whole, parts) {
		t.Errorf("%d sessions as a whole, %d in parts, or others", len(whole), len(parts))
	}
}

// TestPieceStartsWithVisitorsPresent compares the requests of the first minute after a cut with
// those of the uncut recording.
func TestPieceStartsWithVisitorsPresent(t *testing.T) {
	tp, s := load(t, "social", "normal")
	tr := NewTraffic(13, tp, s, 3000, nil)
	count := func(list []Session) (n int) {
		for _, r := range tr.Requests(list) {
			if r.At >= 950 && r.At < 1010 {
				n++
			}
		}
		return n
	}
	whole := count(tr.Sessions(0, 1010))
	cut := count(append(tr.Ongoing(950), tr.Sessions(950, 1010)...))
	if math.Abs(float64(cut-whole)) > 0.02*float64(whole) {
		t.Errorf("%d requests after a cut, %d without", cut, whole)
	}
}

// windows counts the planned requests of a benign plan in windows of w seconds.
func windows(t *testing.T, seed uint64, w float64) (*Traffic, []float64) {
	tp, s := load(t, "social", "normal")
	const length = 6000
	tr := NewTraffic(seed, tp, s, length, nil)
	out := make([]float64, int(length/w))
	for _, r := range tr.Requests(tr.Sessions(-200, length)) {
		if r.At >= 0 && r.At < length {
			out[int(r.At/w)]++
		}
	}
	return tr, out
}

func TestDaySwing(t *testing.T) {
	_, n := windows(t, 3, 30)
	perDay := 600 / 30
	var profile []float64
	for i := 0; i < perDay; i++ {
		sum := 0.0
		for j := i; j < len(n); j += perDay {
			sum += n[j]
		}
		profile = append(profile, sum)
	}
	lo, hi := math.Inf(1), 0.0
	for _, v := range profile {
		lo, hi = math.Min(lo, v), math.Max(hi, v)
	}
	if hi/lo < 5 {
		t.Errorf("peak:trough is %.2f, want at least 5", hi/lo)
	}
}

func TestRateVariesWithMemory(t *testing.T) {
	tr, n := windows(t, 4, 10)
	var ratio []float64
	mean := 0.0
	for i, v := range n {
		// sessions last a while: the day pattern of requests lags that of arrivals by about 12 s
		x := v / tr.day.At(float64(i)*10+5-12)
		ratio = append(ratio, x)
		mean += x / float64(len(n))
	}
	v0, v1 := 0.0, 0.0
	for i := range ratio {
		v0 += (ratio[i] - mean) * (ratio[i] - mean)
		if i > 0 {
			v1 += (ratio[i] - mean) * (ratio[i-1] - mean)
		}
	}
	cv := math.Sqrt(v0/float64(len(ratio))) / mean
	if cv < 0.25 || cv > 0.6 {
		t.Errorf("CV of the rate is %.3f, want .25 to .6", cv)
	}
	if v1/v0 < 0.4 {
		t.Errorf("lag-1 correlation is %.2f: no memory", v1/v0)
	}
}

func TestMeanRateIsModest(t *testing.T) {
	_, n := windows(t, 9, 10)
	sum := 0.0
	for _, v := range n {
		sum += v
	}
	if rate := sum / 6000; rate < 8 || rate > 22 {
		t.Errorf("%.1f edge requests a second", rate)
	}
}

func TestHalfOfTheAttackersComeFromKnownNetworks(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	tr := NewTraffic(21, tp, s, 1800, nil)
	known, regular := map[string]bool{}, map[string]bool{}
	for _, g := range tr.people.groups {
		known[g] = true
	}
	for _, ses := range tr.Sessions(0, 1800) {
		if !ses.Fresh {
			regular[ses.Client.IP] = true
		}
	}
	p, err := Build(tp, s, 21, 1, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	in, all := 0, 0
	for _, e := range p.Events {
		for _, ip := range e.Clients {
			all++
			if known[ip[:strings.LastIndex(ip, ".")]] {
				in++
			}
			if regular[ip] {
				t.Errorf("attacker %s is a regular client", ip)
			}
		}
	}
	if share := float64(in) / float64(all); share < 0.45 || share > 0.55 {
		t.Errorf("%.2f of the attackers come from known networks", share)
	}
}

func TestVisitorsBelongToTheSite(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	seen := map[string]bool{}
	for _, ses := range NewTraffic(1, tp, s, 1800, nil).Sessions(0, 1800) {
		seen[ses.Client.IP] = true
	}
	again, fresh, all := 0, 0, 0
	for _, ses := range NewTraffic(2, tp, s, 1800, nil).Sessions(0, 1800) {
		all++
		if ses.Fresh {
			fresh++
		} else if seen[ses.Client.IP] {
			again++
		}
	}
	if share := float64(fresh) / float64(all); share < 0.05 || share > 0.11 {
		t.Errorf("%.3f of the visits are newcomers'", share)
	}
	if share := float64(again) / float64(all-fresh); share < 0.7 {
		t.Errorf("%.2f of the regular visitors of another recording are known", share)
	}
}

func TestFlashCrowdBringsNewClients(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	p, err := Build(tp, s, 31, 2, 3, 0)
	if err != nil {
		t.Fatal(err)
	}
	tr := NewTraffic(31, tp, s, p.Length, p.Events)
	for _, e := range p.Events {
		if e.Class != "flash_crowd" {
			continue
		}
		fresh, list := 0, tr.Sessions(e.Start+e.RampS, e.End-2*e.RampS)
		for _, ses := range list {
			if ses.Fresh {
				fresh++
			}
		}
		if share := float64(fresh) / float64(len(list)); share < 0.42 {
			t.Errorf("flash crowd of %d sessions: %.2f new (planned %.2f)", len(list), share, e.NewShare)
		}
	}
}

func TestPiecesCutNoEvent(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	for seed := uint64(1); seed < 40; seed++ {
		p, err := Build(tp, s, seed, int(seed%3)+1, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range p.Pieces[1:] {
			for _, e := range p.Events {
				if e.Class != "peak" && c.From > e.Start && c.From-s.LeadS < e.End {
					t.Errorf("seed %d: the cut at %g hits %s [%g, %g]", seed, c.From, e.Class, e.Start, e.End)
				}
			}
		}
	}
}

func TestCheckRejects(t *testing.T) {
	tp, s := load(t, "social", "attacks")
	spoil := map[string]func(*Plan){
		"outside": func(p *Plan) { p.Events[0].Start = -1 },
		"warm-up": func(p *Plan) { p.Events[0].Start = 1 },
		"apart":   func(p *Plan) { last(p).Start = p.Events[0].Start + 1 },
		"pieces":  func(p *Plan) { p.Pieces = nil },
	}
	for word, f := range spoil {
		p, err := Build(tp, s, 8, 1, 3, 0)
		if err != nil {
			t.Fatal(err)
		}
		var keep []Event
		for _, e := range p.Events {
			if e.Class != "peak" {
				keep = append(keep, e)
			}
		}
		p.Events = keep
		f(p)
		if err := Check(p, tp, s); err == nil || !strings.Contains(fmt.Sprint(err), word) {
			t.Errorf("%s: got %v", word, err)
		}
	}
}

func last(p *Plan) *Event { return &p.Events[len(p.Events)-1] }
