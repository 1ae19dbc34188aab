// SPDX-License-Identifier: Apache-2.0

package run

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"

	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/topo"
)

// Finished says whether a piece's folder holds a whole piece of this plan.
func Finished(out string, p *plan.Plan, k int) bool {
	data, err := os.ReadFile(filepath.Join(PieceDir(out, k), "piece.json"))
	var d done
	return err == nil && json.Unmarshal(data, &d) == nil && d.Plan == p.Key() &&
		d.FromS == p.Pieces[k].From && d.ToS == p.Pieces[k].To
}

// PieceDir is where piece k of a recording lies.
func PieceDir(out string, k int) string {
	return filepath.Join(out, fmt.Sprintf("piece-%d", k))
}

// meta is what meta.json says about a recording.
type meta struct {
	Topology string   `json:"topology"`
	Scenario string   `json:"scenario"`
	Seed     uint64   `json:"seed"`
	Index    int      `json:"index"`
	DayNS    int64    `json:"day_ns"`
	StartNS  int64    `json:"start_ns"`
	EndNS    int64    `json:"end_ns"`
	Nodes    []string `json:"nodes"`
	Pieces   []done   `json:"pieces"`
}

// Merge puts the pieces of a finished recording one after the other.
func Merge(out string, p *plan.Plan, t *topo.Topology) error {
	m := meta{Topology: p.Topology, Scenario: p.Scenario, Seed: p.Seed, Index: p.Index, DayNS: p.DayNS,
		StartNS: p.EpochNS, EndNS: p.EpochNS + int64(p.Length*1e9), Nodes: t.Nodes()}
	for k := range p.Pieces {
		data, err := os.ReadFile(filepath.Join(PieceDir(out, k), "piece.json"))
		if err != nil {
			return err
		}
		var d done
		if err := json.Unmarshal(data, &d); err != nil {
			return err
		}
		m.Pieces = append(m.Pieces, d)
	}
	for _, name := range []string{"calls.jsonl", "gauges.jsonl"} {
		if err := join(out, name, len(p.Pieces)); err != nil {
			return err
		}
	}
	if err := joinTruth(out, len(p.Pieces)); err != nil {
		return err
	}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "meta.json"), append(data, '\n'), 0o644)
}

func join(out, name string, pieces int) error {
	f, err := os.Create(filepath.Join(out, name))
	if err != nil {
		return err
	}
	for k := 0; k < pieces; k++ {
		in, err := os.Open(filepath.Join(PieceDir(out, k), name))
		if err != nil {
			return err
		}
		_, err = io.Copy(f, in)
		in.Close()
		if err != nil {
			return err
		}
	}
	return f.Close()
}

func joinTruth(out string, pieces int) error {
	var all []Truth
	for k := 0; k < pieces; k++ {
		f, err := os.Open(filepath.Join(PieceDir(out, k), "truth.jsonl"))
		if err != nil {
			return err
		}
		for dec := json.NewDecoder(f); dec.More(); {
			var t Truth
			if err := dec.Decode(&t); err != nil {
				f.Close()
				return err
			}
			all = append(all, t)
		}
		f.Close()
	}
	sort.Slice(all, func(i, j int) bool { return all[i].StartNS < all[j].StartNS })
	f, err := os.Create(filepath.Join(out, "truth.jsonl"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, t := range all {
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	return f.Close()
}
