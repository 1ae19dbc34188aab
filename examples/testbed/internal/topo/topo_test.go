// SPDX-License-Identifier: Apache-2.0

package topo

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestShippedTopologies(t *testing.T) {
	files, err := filepath.Glob("../../topologies/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d topologies (%v), want at least two", len(files), err)
	}
	for _, f := range files {
		tp, err := Load(f)
		if err != nil {
			t.Fatal(err)
		}
		if len(tp.Services) < 12 {
			t.Errorf("%s: %d services, want at least 12", f, len(tp.Services))
		}
		targets := map[string]bool{}
		for _, r := range tp.Routes {
			targets[r.Service] = true
		}
		if len(targets) < 6 {
			t.Errorf("%s: the edge reaches %d services, want at least 6", f, len(targets))
		}
	}
}

func load(t *testing.T) *Topology {
	tp, err := Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

func TestCheckFindsFaults(t *testing.T) {
	faults := map[string]func(*Topology){
		"unknown": func(tp *Topology) { tp.Services[0].Routes[0].Stages[0][0].To = "nobody" },
		"cycle": func(tp *Topology) {
			tp.Service("cache").Route("GET /get").Stages = [][]Call{{{To: "frontend", Route: "GET /"}}}
		},
		"add up":   func(tp *Topology) { tp.Session.Start["GET /"] += 0.1 },
		"twice":    func(tp *Topology) { tp.Services[1].Name = tp.Services[0].Name },
		"exposes":  func(tp *Topology) { tp.Routes[0].Service = "cache" },
		"positive": func(tp *Topology) { tp.Services[2].Workers = 0 },
	}
	for word, spoil := range faults {
		tp := load(t)
		spoil(tp)
		if err := tp.Check(); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("fault %q: got %v", word, err)
		}
	}
}

func TestAddressesDiffer(t *testing.T) {
	tp, seen := load(t), map[string]bool{}
	for _, n := range tp.Nodes() {
		a := tp.Addr(n, 1)
		if a == "" || seen[a] {
			t.Errorf("node %s: address %q", n, a)
		}
		seen[a] = true
	}
	if tp.Addr("nobody", 1) != "" {
		t.Error("an unknown node has an address")
	}
}
