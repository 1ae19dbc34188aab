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

// States of an incident.
const (
	IncidentOpen   = C.STG_INCIDENT_OPEN
	IncidentUpdate = C.STG_INCIDENT_UPDATE
	IncidentQuiet  = C.STG_INCIDENT_QUIET
	IncidentClose  = C.STG_INCIDENT_CLOSE
)

// Item is a node (Node) or an edge (Src, Dst, Route) and what is said of it: Value is log10 of the evidence
// of members, the score of causes, the contribution of evidence.
type Item struct {
	Node, Src, Dst, Route, Column string
	Observed, Expected, Value     float64
}

// Incident is an incident as one report sees it. Classes from 64 on are benign.
type Incident struct {
	ID, OpenedNs, OnsetNs          uint64
	State, ClassID                 uint32
	ClassName, Technique, Text     string
	Confidence, Severity           float64
	Nodes, Edges, Causes, Evidence []Item
}

// Benign tells a crowd, a deploy or a failure from an attack.
func (i *Incident) Benign() bool { return i.ClassID >= C.STG_CLASS_FLASH_CROWD }

// Report is the judgement of one window.
type Report struct{ shared }

// ReportInfo says what a report says as a whole.
type ReportInfo struct {
	StartNs, EndNs            uint64
	AlarmLevel, Evidence      float64
	Nodes, Incidents, Streams int
	Judged                    bool // false: too little was seen, or the detector still learns
}

func (r *Report) c() *C.stg_report { return (*C.stg_report)(r.use()) }

func (r *Report) raw() C.stg_report_info {
	i := C.stg_report_info{size: C.sizeof_stg_report_info}
	C.stg_report_get_info(r.c(), &i)
	return i
}

// Info says what the report says as a whole.
func (r *Report) Info() ReportInfo {
	defer runtime.KeepAlive(r.handle)
	i := r.raw()
	return ReportInfo{
		uint64(i.start_ns), uint64(i.end_ns), float64(i.alarm_level), float64(i.evidence), int(i.nodes),
		int(i.incidents), int(i.streams), i.judged != 0,
	}
}

// Mask has one byte for each node, 1: in an incident; for Session.Step. A copy.
func (r *Report) Mask() []byte {
	defer runtime.KeepAlive(r.handle)
	i := r.raw()
	return C.GoBytes(unsafe.Pointer(i.mask), C.int(i.nodes))
}

func (r *Report) items(incident, part, count C.uint32_t) ([]Item, error) {
	var items []Item
	for k := C.uint32_t(0); k < count; k++ {
		i := C.stg_item{size: C.sizeof_stg_item}
		if err := check(C.stg_report_item(r.c(), incident, part, k, &i)); err != nil {
			return nil, err
		}
		items = append(items, Item{
			C.GoString(i.node), C.GoString(i.src), C.GoString(i.dst), C.GoString(i.route),
			C.GoString(i.column), float64(i.observed), float64(i.expected), float64(i.value),
		})
	}
	return items, nil
}

// Incidents are all incidents of the report.
func (r *Report) Incidents() ([]Incident, error) {
	defer runtime.KeepAlive(r.handle)
	made := make([]Incident, r.Info().Incidents)
	for k := range made {
		i := C.stg_incident_info{size: C.sizeof_stg_incident_info}
		index := C.uint32_t(k)
		if err := check(C.stg_report_incident(r.c(), index, &i)); err != nil {
			return nil, err
		}
		inc := &made[k]
		*inc = Incident{
			ID: uint64(i.id), OpenedNs: uint64(i.opened_ns), OnsetNs: uint64(i.onset_ns),
			State: uint32(i.state), ClassID: uint32(i.class_id), ClassName: C.GoString(i.class_name),
			Technique: C.GoString(i.technique), Text: C.GoString(i.text),
			Confidence: float64(i.confidence), Severity: float64(i.severity),
		}
		for _, part := range []struct {
			kind, count C.uint32_t
			into        *[]Item
		}{
			{C.STG_ITEM_NODE, i.nodes, &inc.Nodes}, {C.STG_ITEM_EDGE, i.edges, &inc.Edges},
			{C.STG_ITEM_CAUSE, i.causes, &inc.Causes}, {C.STG_ITEM_EVIDENCE, i.evidence, &inc.Evidence},
		} {
			items, err := r.items(index, part.kind, part.count)
			if err != nil {
				return nil, err
			}
			*part.into = items
		}
	}
	return made, nil
}

// DetectorOptions are those of stg_detector_opts; zero is the default.
type DetectorOptions struct {
	FalseAlarmsPerDay float64 // tolerated in 24 hours: the one number the detector is steered by
	Seed              uint64
	Reports           uint32
}

func (o DetectorOptions) c() C.stg_detector_opts {
	return C.stg_detector_opts{
		size: C.sizeof_stg_detector_opts, false_alarms_per_day: C.double(o.FalseAlarmsPerDay),
		seed: C.uint64_t(o.Seed), reports: C.uint32_t(o.Reports),
	}
}

// Detector judges windows.
type Detector struct{ *handle }

// NewDetector makes a detector with the calibration in the bundle, or one that knows nothing (nil).
func NewDetector(b *Bundle, o DetectorOptions) (*Detector, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	opts := o.c()
	var from *C.stg_bundle
	if b != nil {
		defer runtime.KeepAlive(b.handle)
		from = b.c()
	}
	var ptr *C.stg_detector
	var e C.stg_error
	if err := checkText(C.stg_detector_create(&ptr, ctx.c(), from, &opts, &e), &e); err != nil {
		return nil, err
	}
	d := &Detector{new(handle)}
	open(d.handle, "Detector", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_detector_destroy((*C.stg_detector)(p)) })
	return d, nil
}

func (d *Detector) c() *C.stg_detector { return (*C.stg_detector)(d.use()) }

// Learn takes a window of normal traffic, with the forecast that was made before it.
func (d *Detector) Learn(g *Graph, f *Forecast) error {
	defer runtime.KeepAlive(d.handle)
	defer runtime.KeepAlive(g.handle)
	defer runtime.KeepAlive(f.handle)
	return check(C.stg_detector_learn(d.c(), g.c(), f.c()))
}

// Fit fits the calibration to the windows learnt, 60 at least.
func (d *Detector) Fit() error {
	defer runtime.KeepAlive(d.handle)
	var e C.stg_error
	return checkText(C.stg_detector_fit(d.c(), &e), &e)
}

// Store puts the calibration into a bundle.
func (d *Detector) Store(b *Bundle) error {
	defer runtime.KeepAlive(d.handle)
	defer runtime.KeepAlive(b.handle)
	return check(C.stg_detector_store(d.c(), b.c()))
}

// Score judges a window by a forecast that has not seen it; f may be nil.
func (d *Detector) Score(g *Graph, f *Forecast) (*Report, error) {
	defer runtime.KeepAlive(d.handle)
	defer runtime.KeepAlive(g.handle)
	var by *C.stg_forecast
	if f != nil {
		defer runtime.KeepAlive(f.handle)
		by = f.c()
	}
	var ptr *C.stg_report
	if err := check(C.stg_detector_score(d.c(), g.c(), by, &ptr)); err != nil {
		return nil, err
	}
	return &Report{take("Report", unsafe.Pointer(ptr))}, nil
}
