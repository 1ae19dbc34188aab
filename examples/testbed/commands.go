// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stgraph/testbed/internal/attack"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/proc"
	"stgraph/testbed/internal/run"
	"stgraph/testbed/internal/scenario"
	"stgraph/testbed/internal/service"
	"stgraph/testbed/internal/spread"
	"stgraph/testbed/internal/topo"
)

func cmdPlan(_ context.Context, f *flag.FlagSet, args []string) error {
	tf, sf := f.String("topology", "", "topology file"), f.String("scenario", "", "scenario file")
	seed, index := f.Uint64("seed", 1, "seed"), f.Int("index", 1, "which of the recordings of a set")
	of := f.Int("of", 3, "recordings in the set")
	minutes := f.Float64("minutes", 0, "length, at least (0 = the scenario's)")
	out := f.String("out", "", "file to write")
	f.Parse(args)
	t, err := topo.Load(*tf)
	if err != nil {
		return err
	}
	s, err := scenario.Load(*sf)
	if err != nil {
		return err
	}
	p, err := plan.Build(t, s, *seed, *index, *of, *minutes)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := p.Save(*out); err != nil {
			return err
		}
	}
	show(p)
	return nil
}

// show prints the plan for people.
func show(p *plan.Plan) {
	fmt.Printf("%s on %s, seed %d: %.0f s in %d pieces, %d events\n", p.Scenario, p.Topology, p.Seed,
		p.Length, len(p.Pieces), len(p.Events))
	for _, e := range p.Events {
		fmt.Printf("%6.0f %6.0f  %-16s %-14s %-26s x%-6.2f %7.2f  ramp=%-5v %s %s %s\n", e.Start, e.End, e.Class,
			e.Node, e.Edge[2], e.Strength, e.Rate, e.Ramp, e.Tool, e.Mode, e.During)
	}
}

func cmdRecord(ctx context.Context, f *flag.FlagSet, args []string) error {
	tf, sf := f.String("topology", "", "topology file"), f.String("scenario", "", "scenario file")
	pf, out := f.String("plan", "", "plan file"), f.String("out", "", "folder of the recording")
	net := f.Int("net", 1, "third byte of the services' addresses")
	payloads := f.String("payloads", "", "CSV with XSS payloads (default: own grammar)")
	f.Parse(args)
	t, err := topo.Load(*tf)
	if err != nil {
		return err
	}
	s, err := scenario.Load(*sf)
	if err != nil {
		return err
	}
	p, err := plan.Load(*pf)
	if err != nil {
		return err
	}
	var list []string
	if *payloads != "" {
		if list, err = attack.ReadPayloads(*payloads); err != nil {
			return err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(*out)
	if err != nil {
		return err
	}
	topoFile, err := filepath.Abs(*tf)
	if err != nil {
		return err
	}
	for k := range p.Pieces {
		if run.Finished(dir, p, k) {
			fmt.Fprintf(os.Stderr, "piece %d is there already\n", k)
			continue
		}
		err := run.Piece(ctx, run.Options{Self: self, TopoFile: topoFile, Topo: t, Scen: s, Plan: p, Piece: k,
			Dir: run.PieceDir(dir, k), Net: *net, Payloads: list})
		if err != nil {
			return fmt.Errorf("piece %d: %w", k, err)
		}
	}
	return run.Merge(dir, p, t)
}

func cmdService(ctx context.Context, f *flag.FlagSet, args []string) error {
	tf, name := f.String("topology", "", "topology file"), f.String("name", "", "service")
	net, dir := f.Int("net", 1, "third byte of the addresses"), f.String("dir", ".", "folder for records")
	version, factor := f.Int("version", 1, "version"), f.Float64("factor", 1, "latency factor")
	warm, seed := f.Float64("warm", 0, "slow seconds at the start"), f.Uint64("seed", 1, "seed")
	f.Parse(args)
	t, err := topo.Load(*tf)
	if err != nil {
		return err
	}
	s, err := service.New(service.Options{Topo: t, Name: *name, Net: *net, Dir: *dir, Version: *version,
		Factor: *factor, WarmS: *warm, Seed: *seed})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		proc.Lines(os.Stdin, s.Control)
		cancel() // the recorder is gone
	}()
	return s.Run(ctx)
}

func cmdSpread(ctx context.Context, f *flag.FlagSet, args []string) error {
	to, from := f.String("to", "", "target host:port"), f.String("from", "", "source addresses, comma between")
	rate := f.Float64("rate", 0, "connections a second (0 = as they come)")
	f.Parse(args)
	r, err := spread.Listen(*to, strings.Split(*from, ","), *rate)
	if err != nil {
		return err
	}
	fmt.Println(r.Addr())
	r.Serve(ctx)
	return nil
}

func cmdCheck(_ context.Context, f *flag.FlagSet, args []string) error {
	tf, dir := f.String("topology", "", "topology file"), f.String("dir", "", "folder of the recording")
	f.Parse(args)
	t, err := topo.Load(*tf)
	if err != nil {
		return err
	}
	return run.CheckRecording(*dir, t, os.Stdout)
}

func cmdQuota(_ context.Context, f *flag.FlagSet, args []string) error {
	f.Parse(args)
	var set []*plan.Plan
	for _, file := range f.Args() {
		p, err := plan.Load(file)
		if err != nil {
			return err
		}
		set = append(set, p)
	}
	return plan.CheckSet(set)
}
