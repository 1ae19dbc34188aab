// SPDX-License-Identifier: Apache-2.0

package stgraph

/*
#include <stdlib.h>
#include <stgraph/stgraph.h>
#include "progress.h"
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Model is what was learnt.
type Model struct{ shared }

// ModelInfo says what a model is.
type ModelInfo struct {
	Kind                                         string
	WindowNs, DayNs, Parameters                  uint64
	History, Horizon, Layers, Units, Hops, Nodes uint32
	Inputs, Targets                              []string
	Filter, Recursion, Decoder, Cell             string // of nets
	StatefulOK                                   bool   // its state may be carried on
	Lags                                         uint32
	NoTime                                       bool
}

// LoadModel takes the model out of a bundle; ErrNotFound if it has none.
func LoadModel(b *Bundle) (*Model, error) {
	defer runtime.KeepAlive(b.handle)
	var ptr *C.stg_model
	var e C.stg_error
	if err := checkText(C.stg_model_load(&ptr, b.c(), &e), &e); err != nil {
		return nil, err
	}
	return &Model{take("Model", unsafe.Pointer(ptr))}, nil
}

// Supports says how the numbers of a random walk's support stand in it.
type Supports uint32

// The orders of supports; the zero value is what the model says.
const (
	SupportsModel        Supports = C.STG_SUPPORTS_MODEL
	SupportsExact        Supports = C.STG_SUPPORTS_EXACT
	SupportsPortReversed Supports = C.STG_SUPPORTS_PORT_REVERSED
)

// ImportOptions of ImportModel; zero values are what the file says, or the library's default.
type ImportOptions struct {
	Format, Column, Filter string
	Supports               Supports
	History, Horizon       uint32
	WindowNs, DayNs        uint64
	Mean, Deviation        float64 // Deviation 0: not known, sessions have to be told
}

// ImportModel makes a model from the bytes of a checkpoint of another code, as torch.save or safetensors
// wrote it. Nothing in it is executed.
func ImportModel(data []byte, o ImportOptions) (*Model, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(ctx.handle)
	if len(data) == 0 {
		return nil, &Error{Code: C.STG_E_FORMAT, Text: "the checkpoint is empty"}
	}
	opts := (*C.stg_import_opts)(C.calloc(1, C.sizeof_stg_import_opts))
	defer C.free(unsafe.Pointer(opts))
	opts.size = C.sizeof_stg_import_opts
	for _, text := range []struct {
		to   **C.char
		from string
	}{{&opts.format, o.Format}, {&opts.column, o.Column}, {&opts.filter, o.Filter}} {
		if text.from != "" {
			*text.to = C.CString(text.from)
			defer C.free(unsafe.Pointer(*text.to))
		}
	}
	opts.supports = C.uint32_t(o.Supports)
	opts.history, opts.horizon = C.uint32_t(o.History), C.uint32_t(o.Horizon)
	opts.window_ns, opts.day_ns = C.uint64_t(o.WindowNs), C.uint64_t(o.DayNs)
	opts.mean, opts.deviation = C.double(o.Mean), C.double(o.Deviation)
	var ptr *C.stg_model
	var e C.stg_error
	status := C.stg_model_import(&ptr, ctx.c(), unsafe.Pointer(&data[0]), C.size_t(len(data)), opts, &e)
	if err := checkText(status, &e); err != nil {
		return nil, err
	}
	return &Model{take("Model", unsafe.Pointer(ptr))}, nil
}

func (m *Model) c() *C.stg_model { return (*C.stg_model)(m.use()) }

// Store puts the model into a bundle, in place of one that is there.
func (m *Model) Store(b *Bundle) error {
	defer runtime.KeepAlive(m.handle)
	defer runtime.KeepAlive(b.handle)
	return check(C.stg_model_store(m.c(), b.c()))
}

func word(s *C.char) string {
	if s == nil {
		return ""
	}
	return C.GoString(s)
}

// Info says what the model is.
func (m *Model) Info() ModelInfo {
	defer runtime.KeepAlive(m.handle)
	i := C.stg_model_info{size: C.sizeof_stg_model_info}
	C.stg_model_get_info(m.c(), &i)
	columns := func(kind, n C.uint32_t) (names []string) {
		for k := C.uint32_t(0); k < n; k++ {
			names = append(names, C.GoString(C.stg_model_column(m.c(), kind, k)))
		}
		return names
	}
	return ModelInfo{
		Kind: C.GoString(i.kind), WindowNs: uint64(i.window_ns), DayNs: uint64(i.day_ns),
		Parameters: uint64(i.parameters), History: uint32(i.history), Horizon: uint32(i.horizon),
		Layers: uint32(i.layers), Units: uint32(i.units), Hops: uint32(i.hops), Nodes: uint32(i.nodes),
		Lags: uint32(i.lags), NoTime: i.time == C.STG_TIME_NONE, Filter: word(i.filter),
		Recursion: word(i.recursion), Decoder: word(i.decoder), Cell: word(i.cell), StatefulOK: i.stateful_ok != 0,
		Inputs: columns(0, i.inputs), Targets: columns(1, i.targets),
	}
}

// Session is a running use of a model on one graph.
type Session struct{ *handle }

// GraphMode says where the weights of a net's supports come from while a session runs.
type GraphMode uint32

// The weights as the model and the first graph have them, those of the last window, their mean.
const (
	GraphStatic GraphMode = C.STG_GRAPH_STATIC
	GraphWindow GraphMode = C.STG_GRAPH_WINDOW
	GraphEWMA   GraphMode = C.STG_GRAPH_EWMA
)

// SessionOptions of NewSessionWith. All but Forecasts take the place of what a model of kind
// "dcrnn_series" says: Mean and Deviation have one number for each of its input columns.
type SessionOptions struct {
	Forecasts       uint32
	Supports        Supports
	Stateful        bool      // the state of a net is carried on, for models that are StatefulOK
	Graph           GraphMode // how the supports of a net follow the graph
	GraphRate       float64   // of GraphEWMA; 0: 0.02
	Mean, Deviation []float64
}

// NewSession makes a session.
func NewSession(m *Model) (*Session, error) { return NewSessionWith(m, SessionOptions{}) }

// NewSessionWith makes a session with options.
func NewSessionWith(m *Model, o SessionOptions) (*Session, error) {
	defer runtime.KeepAlive(m.handle)
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	inputs := len(m.Info().Inputs)
	if len(o.Mean) != len(o.Deviation) || len(o.Mean) != 0 && len(o.Mean) != inputs {
		return nil, &Error{Code: C.STG_E_INVALID, Text: "mean and deviation need one number for each input"}
	}
	opts := (*C.stg_session_opts)(C.calloc(1, C.sizeof_stg_session_opts))
	defer C.free(unsafe.Pointer(opts))
	opts.size = C.sizeof_stg_session_opts
	opts.forecasts, opts.supports = C.uint32_t(o.Forecasts), C.uint32_t(o.Supports)
	opts.graph, opts.graph_rate = C.uint32_t(o.Graph), C.double(o.GraphRate)
	if o.Stateful {
		opts.mode = C.STG_MODE_STATEFUL
	}
	if len(o.Mean) != 0 {
		scale := (*C.double)(C.calloc(C.size_t(2*inputs), C.sizeof_double))
		defer C.free(unsafe.Pointer(scale))
		both := unsafe.Slice((*float64)(unsafe.Pointer(scale)), 2*inputs)
		copy(both, o.Mean)
		copy(both[inputs:], o.Deviation)
		opts.mean = scale
		opts.deviation = (*C.double)(unsafe.Pointer(&both[inputs]))
	}
	var ptr *C.stg_session
	if err := check(C.stg_session_create(&ptr, ctx.c(), m.c(), opts)); err != nil {
		return nil, err
	}
	s := &Session{new(handle)}
	open(s.handle, "Session", unsafe.Pointer(ptr), func(p unsafe.Pointer) { C.stg_session_destroy((*C.stg_session)(p)) })
	return s, nil
}

func (s *Session) c() *C.stg_session { return (*C.stg_session)(s.use()) }

// Step takes a window in; mask may be nil, else one byte for each node: other than 0 enters with its
// forecast, because it is in an incident.
func (s *Session) Step(g *Graph, mask []byte) error {
	defer runtime.KeepAlive(s.handle)
	defer runtime.KeepAlive(g.handle)
	var first *C.uint8_t
	if mask != nil {
		if len(mask) != g.Info().Nodes {
			return &Error{Code: C.STG_E_INVALID, Text: "mask must have one byte for each node"}
		}
		first = (*C.uint8_t)(unsafe.Pointer(&mask[0]))
	}
	return check(C.stg_session_step(s.c(), g.c(), first))
}

// Forecast of the next horizon windows after the last step.
func (s *Session) Forecast(horizon uint32) (*Forecast, error) {
	defer runtime.KeepAlive(s.handle)
	var ptr *C.stg_forecast
	if err := check(C.stg_session_forecast(s.c(), C.uint32_t(horizon), &ptr)); err != nil {
		return nil, err
	}
	return &Forecast{take("Forecast", unsafe.Pointer(ptr))}, nil
}

// Forecast is what a session expects; indices are those of the last graph stepped.
type Forecast struct{ shared }

func (f *Forecast) c() *C.stg_forecast { return (*C.stg_forecast)(f.use()) }

// ForecastInfo says what a forecast covers.
type ForecastInfo struct {
	StartNs, WindowNs, Topology uint64
	Horizon, Nodes, Edges       int
	Ready                       bool // false while the session has seen less than the model's history
}

// Info says what the forecast covers.
func (f *Forecast) Info() ForecastInfo {
	defer runtime.KeepAlive(f.handle)
	i := C.stg_forecast_info{size: C.sizeof_stg_forecast_info}
	C.stg_forecast_get_info(f.c(), &i)
	return ForecastInfo{
		uint64(i.start_ns), uint64(i.window_ns), uint64(i.topology), int(i.horizon), int(i.nodes),
		int(i.edges), i.ready != 0,
	}
}

// Covers tells if the graph's window is one of those forecast.
func (f *Forecast) Covers(g *Graph) bool {
	fi, gi := f.Info(), g.Info()
	return gi.StartNs >= fi.StartNs && gi.EndNs <= fi.StartNs+uint64(fi.Horizon)*fi.WindowNs
}

// Mean is a copy of the expected values of a column of kind Node or Edge for the window step, from 0.
func (f *Forecast) Mean(kind uint32, column string, step int) ([]float64, bool) {
	defer runtime.KeepAlive(f.handle)
	raw, length := bytesOf(column)
	p := C.stg_forecast_mean(f.c(), C.uint32_t(kind), charOf(raw), length, C.uint32_t(step))
	if p == nil {
		return nil, false
	}
	info := f.Info()
	n := info.Nodes
	if kind == Edge {
		n = info.Edges
	}
	return append([]float64(nil), unsafe.Slice((*float64)(unsafe.Pointer(p)), n)...), true
}

// Progress is handed to TrainerOptions.Progress after every batch.
type Progress struct {
	Epoch, Epochs, Batch, Batches                uint32
	TrainLoss, ValidLoss, BestLoss, LearningRate float64
}

// NoHops makes a model without a graph.
const NoHops = C.STG_NO_HOPS

// TrainerOptions are those of stg_trainer_opts; zero is the default.
type TrainerOptions struct {
	Kind, Inputs, Targets                                                               string
	Progress                                                                            func(Progress) (stop bool)
	DayNs, Seed                                                                         uint64
	LearningRate, ClipNorm, ValidShare                                                  float64
	History, Horizon, Layers, Units, Hops, Epochs, Patience, Batch, Threads, Curriculum uint32
	Loss, Optimizer, Schedule, Milestones, Mask                                         string
	Filter, Recursion, Decoder, Cell                                                    string
	Lags, Warmup                                                                        uint32
	NoTime                                                                              bool
	HuberDelta, Epsilon, Beta1, Beta2, WeightDecay, RateFactor, RateFloor               float64
}

// Trainer learns a model from graphs added in the order of time.
type Trainer struct {
	*handle
	call *progressCall // nil: nobody asked
}

// progressCall holds a panic until C has put its own things in order.
type progressCall struct {
	fn     func(Progress) bool
	caught any
}

//export stgGoProgress
func stgGoProgress(p *C.stg_train_progress, h C.uintptr_t) (stop C.int32_t) {
	call := cgo.Handle(h).Value().(*progressCall)
	defer func() {
		if r := recover(); r != nil {
			call.caught, stop = r, 1
		}
	}()
	if call.fn(Progress{
		uint32(p.epoch), uint32(p.epochs), uint32(p.batch), uint32(p.batches), float64(p.train_loss),
		float64(p.valid_loss), float64(p.best_loss), float64(p.learning_rate),
	}) {
		return 1
	}
	return 0
}

func timeOf(none bool) C.uint32_t {
	if none {
		return C.STG_TIME_NONE
	}
	return C.STG_TIME_OF_DAY
}

func text(s string, keep *[]unsafe.Pointer) *C.char {
	if s == "" {
		return nil
	}
	c := C.CString(s)
	*keep = append(*keep, unsafe.Pointer(c))
	return c
}

// NewTrainer makes a trainer.
func NewTrainer(o TrainerOptions) (*Trainer, error) {
	ctx, err := DefaultContext()
	if err != nil {
		return nil, err
	}
	var texts []unsafe.Pointer
	opts := C.stg_trainer_opts{
		size: C.sizeof_stg_trainer_opts, kind: text(o.Kind, &texts), inputs: text(o.Inputs, &texts),
		targets: text(o.Targets, &texts), day_ns: C.uint64_t(o.DayNs), seed: C.uint64_t(o.Seed),
		learning_rate: C.double(o.LearningRate), clip_norm: C.double(o.ClipNorm),
		valid_share: C.double(o.ValidShare), history: C.uint32_t(o.History),
		horizon: C.uint32_t(o.Horizon), layers: C.uint32_t(o.Layers), units: C.uint32_t(o.Units),
		hops: C.uint32_t(o.Hops), epochs: C.uint32_t(o.Epochs), patience: C.uint32_t(o.Patience),
		filter: text(o.Filter, &texts), recursion: text(o.Recursion, &texts), decoder: text(o.Decoder, &texts),
		cell: text(o.Cell, &texts), warmup: C.uint32_t(o.Warmup), lags: C.uint32_t(o.Lags), time: timeOf(o.NoTime),
		batch: C.uint32_t(o.Batch), threads: C.uint32_t(o.Threads), curriculum: C.uint32_t(o.Curriculum),
		loss: text(o.Loss, &texts), optimizer: text(o.Optimizer, &texts), schedule: text(o.Schedule, &texts),
		milestones: text(o.Milestones, &texts), huber_delta: C.double(o.HuberDelta), epsilon: C.double(o.Epsilon),
		beta1: C.double(o.Beta1), beta2: C.double(o.Beta2), weight_decay: C.double(o.WeightDecay),
		rate_factor: C.double(o.RateFactor), rate_floor: C.double(o.RateFloor), mask: text(o.Mask, &texts),
	}
	var progress cgo.Handle
	var call *progressCall
	if o.Progress != nil {
		call = &progressCall{fn: o.Progress}
		progress = cgo.NewHandle(call)
	}
	release := func() {
		for _, p := range texts {
			C.free(p)
		}
		if progress != 0 {
			progress.Delete()
		}
	}
	var ptr *C.stg_trainer
	var e C.stg_error
	if err := checkText(C.stg_go_trainer_create(&ptr, ctx.c(), &opts, C.uintptr_t(progress), &e), &e); err != nil {
		release()
		return nil, err
	}
	t := &Trainer{new(handle), call}
	open(t.handle, "Trainer", unsafe.Pointer(ptr), func(p unsafe.Pointer) {
		C.stg_trainer_destroy((*C.stg_trainer)(p))
		release()
	})
	return t, nil
}

func (t *Trainer) c() *C.stg_trainer { return (*C.stg_trainer)(t.use()) }

// Add adds the next window; its columns are copied.
func (t *Trainer) Add(g *Graph) error {
	defer runtime.KeepAlive(t.handle)
	defer runtime.KeepAlive(g.handle)
	return check(C.stg_trainer_add(t.c(), g.c()))
}

// Run learns from all windows added.
func (t *Trainer) Run() (*Model, error) {
	defer runtime.KeepAlive(t.handle)
	var ptr *C.stg_model
	var e C.stg_error
	status := C.stg_trainer_run(t.c(), &ptr, &e)
	if t.call != nil && t.call.caught != nil {
		caught := t.call.caught
		t.call.caught = nil
		panic(caught)
	}
	if err := checkText(status, &e); err != nil {
		return nil, err
	}
	return &Model{take("Model", unsafe.Pointer(ptr))}, nil
}
