// SPDX-License-Identifier: Apache-2.0

// Package plan turns (topology, scenario, seed) into a concrete list of what will happen when:
// the legitimate sessions, the attacks and the confounders, and where the recording may be cut.
package plan

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"os"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/topo"
)

// Event is an attack or a confounder. Times are plan seconds.
type Event struct {
	ID       int       `json:"id"`
	Kind     string    `json:"kind"`
	Class    string    `json:"class"`
	Start    float64   `json:"start_s"`
	End      float64   `json:"end_s"`
	Node     string    `json:"node"`
	Edge     [3]string `json:"edge"`
	Strength float64   `json:"strength,omitempty"`
	Rate     float64   `json:"rate,omitempty"`
	OwnRate  float64   `json:"own_rate,omitempty"`
	Ramp     bool      `json:"ramp,omitempty"`
	During   string    `json:"during,omitempty"`
	Tool     string    `json:"tool,omitempty"`
	Mode     string    `json:"mode,omitempty"`
	Service  string    `json:"service,omitempty"`
	Clients  []string  `json:"clients,omitempty"`
	Users    int       `json:"users,omitempty"`
	KeepConn bool      `json:"keep_connections,omitempty"`
	NewShare float64   `json:"new_share,omitempty"`
	RampS    float64   `json:"ramp_s,omitempty"`
	Factor   float64   `json:"factor,omitempty"`
}

// Piece is a part of the recording that is made in one go.
type Piece struct {
	From float64 `json:"from_s"`
	To   float64 `json:"to_s"`
}

// Plan is the whole file.
type Plan struct {
	Topology string  `json:"topology"`
	Scenario string  `json:"scenario"`
	Seed     uint64  `json:"seed"`
	Index    int     `json:"index"`
	Of       int     `json:"of"`
	DayNS    int64   `json:"day_ns"`
	EpochNS  int64   `json:"epoch_ns"`
	Length   float64 `json:"length_s"`
	LeadS    float64 `json:"lead_s"`
	Events   []Event `json:"events"`
	Pieces   []Piece `json:"pieces"`
	Inputs   string  `json:"inputs"` // hash of the topology's and the scenario's contents
}

// epochNS is when every recording begins on paper: pieces are shifted to it, see README.md.
const epochNS = 1764000000 * int64(1e9)

const placeTries = 4000

// Build draws the plan. minutes > 0 replaces the scenario's length; the plan gets longer by
// itself when the events and the gaps between them need more.
func Build(t *topo.Topology, s *scenario.Scenario, seed uint64, index, of int, minutes float64) (*Plan, error) {
	p := &Plan{Topology: t.Name, Scenario: s.Name, Seed: seed, Index: index, Of: of,
		DayNS: int64(s.DayS * 1e9), LeadS: s.LeadS, Inputs: hash(t, s)}
	p.EpochNS = epochNS / p.DayNS * p.DayNS
	if minutes <= 0 {
		minutes = s.Minutes
	}
	attacks, err := drawAttacks(t, s, seed, index, of)
	if err != nil {
		return nil, err
	}
	blocks := makeBlocks(t, s, seed, attacks)
	p.Length = math.Max(minutes*60, math.Ceil(needed(s, blocks)*1.04/10)*10)
	if err := p.place(t, s, blocks); err != nil {
		return nil, err
	}
	tr := NewTraffic(seed, t, s, p.Length, p.Events)
	p.setRates(t, s, tr)
	p.markPeaks(t, s, tr)
	for i := range p.Events {
		p.Events[i].ID = i + 1
	}
	p.cut(s)
	return p, Check(p, t, s)
}

// place tries orders and gaps until the wishes of the scenario (attacks at the peak) come true.
func (p *Plan) place(t *topo.Topology, s *scenario.Scenario, blocks []block) error {
	day := NewDay(s.DayS, s.Swing)
	for try := 0; try < placeTries; try++ {
		r := rng.New(p.Seed, "place", try)
		events := arrange(r, s, blocks, p.Length)
		if events == nil {
			continue
		}
		at := 0
		for i := range events {
			e := &events[i]
			if e.Kind == "attack" && e.During == "" && nearPeak(day, s.DayS, e.Start, e.End) {
				e.During = "peak"
				at++
			}
		}
		if at >= s.Attacks.AtPeak {
			p.Events = events
			return nil
		}
	}
	return fmt.Errorf("no order of the events puts %d attacks at a peak", s.Attacks.AtPeak)
}

const peakHalf = 30.0 // the peak of the day is marked this long before and after its top

func nearPeak(d *Day, length, from, to float64) bool {
	for top := d.Peak(); top < to+peakHalf; top += length {
		if from < top+peakHalf && to > top-peakHalf {
			return true
		}
	}
	return false
}

// cut splits the recording at places that are far from every event.
func (p *Plan) cut(s *scenario.Scenario) {
	from := 0.0
	for p.Length-from > 1.5*s.PieceS {
		at := p.calm(from+s.PieceS, s.LeadS)
		if at <= from || at >= p.Length {
			break
		}
		p.Pieces = append(p.Pieces, Piece{from, at})
		from = at
	}
	p.Pieces = append(p.Pieces, Piece{from, p.Length})
}

// calm finds the second nearest to want that lies `lead` after the last event and before the next.
func (p *Plan) calm(want, lead float64) float64 {
	for d := 0.0; d < p.Length; d++ {
		for _, at := range []float64{want - d, want + d} {
			if at > 0 && at < p.Length && p.quiet(at, lead) {
				return math.Round(at)
			}
		}
	}
	return p.Length
}

func (p *Plan) quiet(at, lead float64) bool {
	for _, e := range p.Events {
		if e.Class != "peak" && at > e.Start-5 && at < e.End+lead+5 {
			return false
		}
	}
	return true
}

// hash names contents; it guards against mixing pieces of different plans, not against malice.
func hash(parts ...interface{}) string {
	h := fnv.New64a()
	for _, v := range parts {
		data, err := json.Marshal(v)
		if err != nil {
			panic(err) // cannot happen: plain structs
		}
		h.Write(data)
	}
	return fmt.Sprintf("%016x", h.Sum64())
}

// Key names the plan: two plans with the same key are the same.
func (p *Plan) Key() string { return hash(p) }

// Save writes the plan as JSON.
func (p *Plan) Save(path string) error {
	data, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// Load reads a plan file.
func Load(path string) (*Plan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p := &Plan{}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}
