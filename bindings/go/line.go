// SPDX-License-Identifier: Apache-2.0

package stgraph

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"
)

const (
	block  = 65536
	pushes = 8192 // between two polls
)

// unpacker is the program xz at work: the standard library has no decoder.
type unpacker struct {
	io.Reader
	cmd  *exec.Cmd
	name string
}

func unpackXz(name string) (io.ReadCloser, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	cmd := exec.Command("xz", "-dc")
	cmd.Stdin = file
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: xz: %w", name, err)
	}
	return &unpacker{out, cmd, name}, nil
}

func (u *unpacker) Close() error {
	io.Copy(io.Discard, u.Reader)
	if err := u.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: xz: %w", u.name, err)
	}
	return nil
}

func openFile(name string) (io.ReadCloser, error) {
	if strings.HasSuffix(name, ".xz") {
		return unpackXz(name)
	}
	file, err := os.Open(name)
	if err != nil || !strings.HasSuffix(name, ".gz") {
		return file, err
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		file.Close()
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{unpacked, file}, nil
}

// source hands out the records of one kind of files, one behind the other, in the order of time. A record
// behind a later one belongs to where it stands: latest is the latest time so far.
type source struct {
	paths  []string
	calls  bool
	in     *Ingest
	lane   *Lane
	file   io.ReadCloser
	reader *Reader
	ended  bool
	latest uint64
	last   uint64 // time of the last record, which an earlier one may have overtaken
	block  []byte
	wait   uint64 // calls that waited in rings after the last poll for room
	bad    int
	maxBad int
	keys   []uint64 // of what is read ahead
	call   []Call
	gauge  []Gauge
}

func (s *source) close() error {
	if s.reader == nil {
		return nil
	}
	s.reader.Close()
	s.reader = nil
	return s.file.Close()
}

func (s *source) next() (bool, error) {
	if len(s.paths) == 0 {
		return false, nil
	}
	var err error
	if s.file, err = openFile(s.paths[0]); err != nil {
		return false, err
	}
	s.paths = s.paths[1:]
	s.ended = false
	if s.reader, err = NewReader(s.lane, "jsonl"); err != nil {
		s.file.Close()
	}
	return err == nil, err
}

func (s *source) take(calls []Call, gauges []Gauge) bool {
	times := len(s.keys)
	if s.calls {
		for i := range calls {
			s.keys = append(s.keys, maxOf(s.latest, calls[i].EndNs))
			s.latest, s.last = s.keys[len(s.keys)-1], calls[i].EndNs
		}
		s.call = append(s.call, calls...)
	} else {
		for i := range gauges {
			s.keys = append(s.keys, maxOf(s.latest, gauges[i].TimeNs))
			s.latest, s.last = s.keys[len(s.keys)-1], gauges[i].TimeNs
		}
		s.gauge = append(s.gauge, gauges...)
	}
	return len(s.keys) > times
}

func maxOf(a, b uint64) uint64 {
	if a > b {
		return a
	}
	return b
}

// more reads one batch ahead; false: the end.
func (s *source) more() (bool, error) {
	for {
		if s.reader == nil {
			if ok, err := s.next(); !ok {
				return false, err
			}
		}
		calls, gauges, err := s.reader.Next(nil, nil)
		switch {
		case errors.Is(err, ErrAgain):
			if err := s.makeRoom(); err != nil {
				return false, err
			}
		case errors.Is(err, ErrFormat):
			if s.bad++; s.bad > s.maxBad {
				return false, err
			}
		case err != nil:
			return false, err
		case len(calls)+len(gauges) > 0:
			if s.take(calls, gauges) {
				return true, nil
			}
		case s.ended:
			if err := s.close(); err != nil {
				return false, err
			}
		default:
			if err := s.feed(); err != nil {
				return false, err
			}
		}
	}
}

// feed hands the next block to the reader, and at last that there is no more.
func (s *source) feed() error {
	n, err := s.file.Read(s.block)
	if err != nil && err != io.EOF {
		return err
	}
	if n > 0 {
		if err := s.reader.Feed(s.block[:n]); err != nil {
			return err
		}
	}
	if err == io.EOF {
		s.ended = true
		return s.reader.Feed(nil)
	}
	return nil
}

// makeRoom polls, because the ring has no room for a new name. It helps unless the calls in it wait for a
// later window.
func (s *source) makeRoom() error {
	if err := s.in.Poll(); err != nil {
		return err
	}
	ledger, err := s.in.Ledger()
	if err == nil && ledger.Waiting > 0 && ledger.Waiting == s.wait {
		return &Error{Code: ErrLimit.Code, Text: "the lane is full of calls of later windows"}
	}
	s.wait = ledger.Waiting
	return err
}

func (s *source) first() (uint64, bool, error) {
	for len(s.keys) == 0 {
		if ok, err := s.more(); !ok {
			return 0, false, err
		}
	}
	return s.keys[0], true, nil
}

// push pushes all records in front of the first one at end or later.
func (s *source) push(end uint64) error {
	for len(s.keys) == 0 || s.keys[len(s.keys)-1] < end {
		ok, err := s.more()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
	}
	n := 0
	for n < len(s.keys) && s.keys[n] < end {
		n++
	}
	if n > 0 { // the names of what comes stand in the ring already
		if err := s.in.Poll(); err != nil {
			return err
		}
	}
	for at := 0; at < n; at += pushes {
		to := at + pushes
		if to > n {
			to = n
		}
		if s.calls {
			s.lane.Push(s.call[at:to])
		}
		for i := at; !s.calls && i < to; i++ {
			if err := s.lane.Gauge(&s.gauge[i]); err != nil && !errors.Is(err, ErrAgain) {
				return err
			}
		}
		if err := s.in.Poll(); err != nil {
			return err
		}
	}
	s.keys = s.keys[n:]
	if s.calls {
		s.call = s.call[n:]
	} else {
		s.gauge = s.gauge[n:]
	}
	return nil
}

// Replay pushes recorded calls and gauges window by window and calls window at the end of each, which closes
// it. The first window is not whole when the records begin within it; a silence of more than 1000 windows is a
// gap, not thousands of empty ones. Files may be plain, .gz or .xz. More than maxBad bad lines end the replay;
// bad is how many there were.
func Replay(in *Ingest, windowNs uint64, calls, gauges []string, maxBad int,
	window func(end uint64, whole bool) error) (bad int, err error) {
	sources := []*source{
		{paths: calls, calls: true, in: in, block: make([]byte, block), maxBad: maxBad},
		{paths: gauges, in: in, block: make([]byte, block), maxBad: maxBad},
	}
	err = replay(in, windowNs, sources, window)
	return sources[0].bad + sources[1].bad, err
}

func replay(in *Ingest, windowNs uint64, sources []*source, window func(end uint64, whole bool) error) error {
	lane, err := in.Lane(LaneOptions{Names: 65536})
	if err != nil {
		return err
	}
	defer lane.Close()
	for _, s := range sources {
		s.lane = lane
	}
	earliest := func() (uint64, bool, error) {
		least, any := uint64(math.MaxUint64), false
		for _, s := range sources {
			t, ok, err := s.first()
			if err != nil {
				return 0, false, err
			}
			if ok && t < least {
				least, any = t, true
			}
		}
		return least, any, nil
	}
	defer func() {
		for _, s := range sources {
			s.close()
		}
	}()
	t, ok, err := earliest()
	if err != nil {
		return err
	}
	if !ok {
		return noCalls
	}
	end, whole := t/windowNs*windowNs+windowNs, t%windowNs <= windowNs/10
	for {
		for _, s := range sources {
			if err := s.push(end); err != nil {
				return err
			}
		}
		t, ok, err := earliest()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if err := window(end, whole); err != nil {
			return err
		}
		whole = true
		if t > end+1000*windowNs {
			end = t / windowNs * windowNs
		}
		end += windowNs
	}
	latest := sources[0]
	if sources[1].latest >= latest.latest {
		latest = sources[1]
	}
	if latest.last >= end-windowNs/20 {
		if err := window(end, true); err != nil {
			return err
		}
	}
	if sources[0].latest == 0 {
		return noCalls
	}
	return nil
}

var noCalls = &Error{Code: ErrNotFound.Code, Text: "no calls in the input"}

// LearnOptions say how Learn learns; zero is the default.
type LearnOptions struct {
	WindowNs uint64         // length of a window; 0: 5 s
	Lead     int            // windows between a forecast and the window it judges; 0: 1
	Trainer  TrainerOptions // DayNs is the length of the day; Seed 0: 1
}

// Learn learns a model from recorded calls of normal traffic, as "stgraph learn" does, to the same bits. The
// first 60 % of the windows train the forecaster, the rest, which it has not seen, calibrates the detector.
func Learn(calls, gauges []string, o LearnOptions) (*Bundle, error) {
	if o.WindowNs == 0 {
		o.WindowNs = 5e9
	}
	if o.Lead == 0 {
		o.Lead = 1
	}
	if o.Trainer.Seed == 0 {
		o.Trainer.Seed = 1
	}
	in, err := NewIngest(IngestOptions{WindowNs: o.WindowNs})
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var graphs []*Graph
	defer func() {
		for _, g := range graphs {
			g.Close()
		}
	}()
	_, err = Replay(in, o.WindowNs, calls, gauges, 1000, func(end uint64, whole bool) error {
		if !whole {
			return in.skip(end)
		}
		g, err := in.CloseWindow(end)
		if err == nil {
			graphs = append(graphs, g)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	trained := len(graphs) * 6 / 10
	model, err := train(graphs[:trained], o.Trainer)
	if err != nil {
		return nil, err
	}
	defer model.Close()
	return calibrated(in, model, graphs, trained, o.Lead)
}

func train(graphs []*Graph, o TrainerOptions) (*Model, error) {
	trainer, err := NewTrainer(o)
	if err != nil {
		return nil, err
	}
	defer trainer.Close()
	for _, g := range graphs {
		if err := trainer.Add(g); err != nil {
			return nil, err
		}
	}
	return trainer.Run()
}

// teach shows the detector the windows from first on, each with the forecast made lead windows before.
func teach(d *Detector, model *Model, graphs []*Graph, first, lead int) error {
	session, err := NewSession(model)
	if err != nil {
		return err
	}
	defer session.Close()
	made := make([]*Forecast, len(graphs))
	defer func() {
		for _, f := range made {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i, g := range graphs {
		if i >= lead {
			f := made[i-lead]
			if i >= first && f.Info().Ready && f.Covers(g) {
				if err := d.Learn(g, f); err != nil {
					return err
				}
			}
			f.Close()
			made[i-lead] = nil
		}
		if err := session.Step(g, nil); err != nil {
			return err
		}
		if made[i], err = session.Forecast(uint32(lead)); err != nil {
			return err
		}
	}
	return nil
}

func calibrated(in *Ingest, model *Model, graphs []*Graph, first, lead int) (*Bundle, error) {
	d, err := NewDetector(nil, DetectorOptions{})
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := teach(d, model, graphs, first, lead); err != nil {
		return nil, err
	}
	if err := d.Fit(); err != nil {
		return nil, err
	}
	b, err := NewBundle()
	if err != nil {
		return nil, err
	}
	for _, store := range []func(*Bundle) error{model.Store, d.Store, in.Store} {
		if err := store(b); err != nil {
			b.Close()
			return nil, err
		}
	}
	return b, nil
}

// Watch reports incidents in recorded calls: event is called with one line of JSON when one opens, changes or
// closes, the bytes of "stgraph watch".
func Watch(b *Bundle, calls, gauges []string, o MonitorOptions, event func(line []byte) error) error {
	model, err := LoadModel(b)
	if err != nil {
		return err
	}
	window := model.Info().WindowNs
	model.Close()
	m, err := NewMonitor(b, o)
	if err != nil {
		return err
	}
	defer m.Close()
	_, err = Replay(m.Ingest(), window, calls, gauges, 1000000, func(end uint64, whole bool) error {
		if !whole {
			return m.Ingest().skip(end)
		}
		if err := m.Tick(end); err != nil {
			return err
		}
		for {
			line, ok, err := m.Event()
			if err != nil || !ok {
				return err
			}
			if err := event(line); err != nil {
				return err
			}
		}
	})
	return err
}
