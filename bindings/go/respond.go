// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stgraph/stgraph.h>
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Action is what could be done: "limit" (Value calls a second on the edge Src -> Node), "scale" (replicas of
// Node), "timeout" (seconds that a request may take to arrive). Present is NaN where not known.
type Action struct {
	Key, Incident, ExpiresNs       uint64
	Verb, Node, Src, Route, Reason string
	Value, Present                 float64
	DryRun                         bool
}

// Plan holds the live actions after one window. The library never acts.
type Plan struct{ shared }

func (p *Plan) c() *C.stg_plan { return (*C.stg_plan)(p.use()) }

// Actions are all actions of the plan.
func (p *Plan) Actions() ([]Action, error) {
	defer runtime.KeepAlive(p.handle)
	made := make([]Action, int(C.stg_plan_actions(p.c())))
	for k := range made {
		a := C.stg_action{size: C.sizeof_stg_action}
		if err := check(C.stg_plan_action(p.c(), C.uint32_t(k), &a)); err != nil {
			return nil, err
		}
		made[k] = Action{
			uint64(a.key), uint64(a.incident), uint64(a.expires_ns), C.GoString(a.verb), C.GoString(a.node),
			C.GoString(a.src), C.GoString(a.route), C.GoString(a.reason), float64(a.value),
			float64(a.present), a.dry_run != 0,
		}
	}
	return made, nil
}

// PlannerOptions are those of stg_planner_opts; zero is the default.
type PlannerOptions struct {
	TTLNs, DwellNs uint64
	MinConfidence  float64
	Plans          uint32
	Enforce        bool // false: actions are marked as a dry run
}

func (o PlannerOptions) c() C.stg_planner_opts {
	opts := C.stg_planner_opts{
		size: C.sizeof_stg_planner_opts, ttl_ns: C.uint64_t(o.TTLNs), dwell_ns: C.uint64_t(o.DwellNs),
		min_confidence: C.double(o.MinConfidence), plans: C.uint32_t(o.Plans),
	}
	if o.Enforce {
		opts.enforce = 1
	}
	return opts
}

// Planner makes plans.
type Planner struct{ *handle }

// NewPlanner makes a planner.
func NewPlanner(o PlannerOptions) (*Planner, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	opts := o.c()
	var ptr *C.stg_planner
	if err := check(C.stg_planner_create(&ptr, ctx.c(), &opts)); err != nil {
		return nil, err
	}
	p := &Planner{new(handle)}
	open(p.handle, "Planner", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_planner_destroy((*C.stg_planner)(p)) })
	return p, nil
}

// Plan makes the plan for the window of graph and report; f covers windows after it and may be nil.
func (p *Planner) Plan(g *Graph, r *Report, f *Forecast) (*Plan, error) {
	defer runtime.KeepAlive(p.handle)
	defer runtime.KeepAlive(g.handle)
	defer runtime.KeepAlive(r.handle)
	var next *C.stg_forecast
	if f != nil {
		defer runtime.KeepAlive(f.handle)
		next = f.c()
	}
	var ptr *C.stg_plan
	if err := check(C.stg_planner_plan((*C.stg_planner)(p.use()), g.c(), r.c(), next, &ptr)); err != nil {
		return nil, err
	}
	return &Plan{take("Plan", unsafe.Pointer(ptr))}, nil
}
