// SPDX-License-Identifier: Apache-2.0

package stgraph

import (
	"bytes"
	"errors"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	second = uint64(1e9)
	window = 5 * second
	start  = 1_764_000_000 * second
)

func none(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wants(t testing.TB, err error, kind *Error) {
	t.Helper()
	if !errors.Is(err, kind) || err.Error() == "" {
		t.Fatalf("%v is not %v", err, kind)
	}
}

// builds one window: external -> web -> cart.
func smallGraph(t testing.TB, b *GraphBuilder, i uint64, calls float64) *Graph {
	t.Helper()
	none(t, b.Begin(start+i*window, start+(i+1)*window))
	web, err := b.Node("web")
	none(t, err)
	c, err := b.Node("cart")
	none(t, err)
	for _, e := range []struct {
		src, dst uint32
		route    string
		calls    float64
	}{{0, web, "GET /", calls}, {web, c, "GET /cart", calls / 4}, {web, c, "POST /cart", calls / 4}} {
		edge, err := b.Edge(e.src, e.dst, e.route)
		none(t, err)
		column, err := b.Column(Edge, "calls")
		none(t, err)
		none(t, b.Set(Edge, edge, column, e.calls))
	}
	for name, values := range map[string][2]float64{"calls": {calls, calls / 2}, "errors": {0, 0}, "mean_us": {900, 400}} {
		column, err := b.Column(Node, name)
		none(t, err)
		none(t, b.Set(Node, web, column, values[0]))
		none(t, b.Set(Node, c, column, values[1]))
	}
	g, err := b.Finish()
	none(t, err)
	return g
}

func TestGraph(t *testing.T) {
	b := newBuilder(t)
	g := smallGraph(t, b, 0, 10)
	b.Close()
	b.Close()
	info := g.Info()
	if info.Nodes != 3 || info.Edges != 3 || info.EndNs-info.StartNs != window {
		t.Fatalf("%+v", info)
	}
	web, ok := g.Find("web")
	if !ok || g.Name(Node, web) != "web" || g.Name(Node, 0) != "external" || g.Name(Node, 99) != "" {
		t.Fatal("names")
	}
	calls, ok := g.Column(Node, "calls")
	if !ok || calls[web] != 10 || !math.IsNaN(calls[0]) {
		t.Fatal(calls)
	}
	if _, ok := g.Column(Edge, "nothing"); ok {
		t.Fatal("a column that is not there")
	}
	src, dst, route := g.Edges()
	if len(src) != 3 || src[0] != 0 || dst[0] != uint32(web) || g.Name(Route, int(route[0])) != "GET /" {
		t.Fatal(src, dst, route)
	}
	json, err := g.JSON()
	none(t, err)
	dot, err := g.DOT()
	none(t, err)
	if !strings.Contains(json, `"web"`) || !strings.HasPrefix(dot, "digraph") {
		t.Fatal(json, dot)
	}
	g.Close()
	defer func() {
		if recover() == nil {
			t.Fatal("a closed graph was used")
		}
	}()
	g.Info()
}

func newBuilder(t testing.TB) *GraphBuilder {
	t.Helper()
	b, err := NewGraphBuilder()
	none(t, err)
	return b
}

func callsOf(t testing.TB, lane *Lane, n int, end uint64) []Call {
	t.Helper()
	web, err := lane.Intern(Node, "web")
	none(t, err)
	route, err := lane.Intern(Route, "GET /")
	none(t, err)
	calls := make([]Call, n)
	for i := range calls {
		calls[i] = Call{EndNs: end - uint64(n-i), Dst: web, Route: route, Status: 200, DurationUs: 800}
	}
	return calls
}

func TestLedger(t *testing.T) {
	in, err := NewIngest(IngestOptions{WindowNs: window})
	none(t, err)
	lane, err := in.Lane(LaneOptions{})
	none(t, err)
	calls := callsOf(t, lane, 1000, start+window)
	if n := lane.Push(calls); n != 1000 || lane.Push(nil) != 0 {
		t.Fatal(n)
	}
	none(t, lane.Gauge(&Gauge{TimeNs: start + 1, Node: calls[0].Dst, Open: 7}))
	lane.Beat(start + 2)
	if lane.Hash("a") == lane.Hash("b") || lane.Hash("a") != lane.Hash("a") {
		t.Fatal("hash")
	}
	_, err = lane.Intern(9, "x")
	wants(t, err, ErrInvalid)
	_, err = lane.Intern(Node, "")
	wants(t, err, ErrInvalid)
	g, err := in.CloseWindow(start + window)
	none(t, err)
	web, _ := g.Find("web")
	if open, _ := g.Column(Node, "open"); open[web] != 7 {
		t.Fatal(open)
	}
	lane.Push(callsOf(t, lane, 5, start+window))
	_, err = in.CloseWindow(start + window)
	wants(t, err, ErrTime)
	_, err = in.CloseWindow(start + 2*window)
	none(t, err)
	l, err := in.Ledger()
	none(t, err)
	if l.Pushed != 1005 || l.Late != 5 || l.Pushed != l.Windowed+l.Late+l.Refused+l.Waiting {
		t.Fatalf("%+v", l)
	}
	in.Close()
	defer func() {
		if recover() == nil {
			t.Fatal("a lane outlived its ingest")
		}
	}()
	lane.Push(calls)
}

// What nobody closes the collector does, owners after what belongs to them.
func TestNothingClosed(t *testing.T) {
	var order []string
	var mu sync.Mutex
	for i := 0; i < 20; i++ { // what other tests left
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
	}
	note := func(kind string) {
		mu.Lock()
		defer mu.Unlock()
		if kind == "Reader" || kind == "Lane" || kind == "Ingest" {
			order = append(order, kind)
		}
	}
	freed.Store(&note)
	defer freed.Store(nil)
	func() {
		in, err := NewIngest(IngestOptions{})
		none(t, err)
		lane, err := in.Lane(LaneOptions{Records: 256, Names: 16})
		none(t, err)
		_, err = NewReader(lane, "jsonl")
		none(t, err)
	}()
	got := ""
	for i := 0; i < 200 && got != "Reader Lane Ingest"; i++ {
		runtime.GC()
		time.Sleep(5 * time.Millisecond)
		mu.Lock()
		got = strings.Join(order, " ")
		mu.Unlock()
	}
	if got != "Reader Lane Ingest" {
		t.Fatal(got)
	}
}

func TestLanesCloseTogether(t *testing.T) {
	in, err := NewIngest(IngestOptions{})
	none(t, err)
	var wait sync.WaitGroup
	for i := 0; i < 8; i++ {
		lane, err := in.Lane(LaneOptions{Records: 256, Names: 16})
		none(t, err)
		wait.Add(1)
		go func() {
			defer wait.Done()
			lane.Close()
		}()
	}
	wait.Wait()
	in.Close()
}

func TestSharedLane(t *testing.T) {
	fd, err := LaneFd(LaneOptions{Records: 1024})
	none(t, err)
	lane, err := AttachLane(fd)
	none(t, err)
	in, err := NewIngest(IngestOptions{WindowNs: window})
	none(t, err)
	id, err := in.Attach(fd)
	none(t, err)
	none(t, syscall.Close(fd))
	lane.Push(callsOf(t, lane, 10, start+window))
	lane.Close()
	g, err := in.CloseWindow(start + window)
	none(t, err)
	if calls, _ := g.Column(Edge, "calls"); calls[0] != 10 {
		t.Fatal(calls)
	}
	wants(t, in.Detach(id+1), ErrNotFound)
	none(t, SetSketchKey(7))
	other, err := NewIngest(IngestOptions{})
	none(t, err)
	first, err := in.Lane(LaneOptions{})
	none(t, err)
	second, err := other.Lane(LaneOptions{})
	none(t, err)
	if first.Hash("a") == second.Hash("a") {
		t.Fatal("the key makes no difference")
	}
	none(t, SetSketchKey(0))
}

func TestBundle(t *testing.T) {
	b, err := NewBundle()
	none(t, err)
	data, err := b.Bytes()
	none(t, err)
	_, err = ParseBundle(data)
	none(t, err)
	_, err = ParseBundle([]byte("nonsense"))
	wants(t, err, ErrFormat)
	_, err = ParseBundle(nil)
	wants(t, err, ErrFormat)
	_, err = OpenBundle("/no/such/file")
	wants(t, err, ErrIO)
	wants(t, b.Save("/no/such/folder/x"), ErrIO)
	_, err = LoadModel(b)
	wants(t, err, ErrNotFound)
	text, err := b.Describe()
	none(t, err)
	if !strings.Contains(text, "tensors") {
		t.Fatal(text)
	}
	path := filepath.Join(t.TempDir(), "m")
	none(t, b.Save(path))
	again, err := OpenBundle(path)
	none(t, err)
	if back, err := again.Bytes(); err != nil || !bytes.Equal(back, data) {
		t.Fatal(err)
	}
}

func TestTrainer(t *testing.T) {
	b := newBuilder(t)
	epochs := uint32(0)
	make1 := func(stop bool) *Trainer {
		tr, err := NewTrainer(TrainerOptions{DayNs: 600 * second, Epochs: 2, Units: 4, Layers: 1, Seed: 5,
			Progress: func(p Progress) bool { epochs = p.Epochs; return stop }})
		none(t, err)
		for i := uint64(0); i < 120; i++ {
			g := smallGraph(t, b, i, float64(30+i%7))
			none(t, tr.Add(g))
			g.Close()
		}
		return tr
	}
	tr := make1(false)
	m, err := tr.Run()
	none(t, err)
	tr.Close()
	if info := m.Info(); info.Kind != "dcrnn" || info.Units != 4 || len(info.Inputs) != 3 || epochs != 2 {
		t.Fatalf("%+v, %d epochs", info, epochs)
	}
	_, err = make1(true).Run()
	wants(t, err, ErrCancelled)
	func() {
		defer func() {
			if r := recover(); r != "enough" {
				t.Error(r)
			}
		}()
		tr, err := NewTrainer(TrainerOptions{Progress: func(Progress) bool { panic("enough") }, Units: 4})
		none(t, err)
		for i := uint64(0); i < 120; i++ {
			none(t, tr.Add(smallGraph(t, b, i, 30)))
		}
		tr.Run()
	}()
	_, err = NewTrainer(TrainerOptions{Kind: "oracle"})
	wants(t, err, ErrInvalid)
}

func TestForecastAndJudge(t *testing.T) {
	b := newBuilder(t)
	tr, err := NewTrainer(TrainerOptions{Kind: "persistence", DayNs: 600 * second})
	none(t, err)
	var graphs []*Graph
	for i := uint64(0); i < 300; i++ {
		graphs = append(graphs, smallGraph(t, b, i, float64(36+i*7919%9)))
		none(t, tr.Add(graphs[i]))
	}
	m, err := tr.Run()
	none(t, err)
	d, err := NewDetector(nil, DetectorOptions{})
	none(t, err)
	none(t, teach(d, m, graphs, 0, 1))
	none(t, d.Fit())
	s, err := NewSession(m)
	none(t, err)
	p, err := NewPlanner(PlannerOptions{Enforce: true})
	none(t, err)
	var f *Forecast
	opened := 0
	for i := uint64(0); i < 330; i++ {
		var g *Graph
		if i < 300 {
			g = graphs[i]
		} else if i < 310 {
			g = smallGraph(t, b, i, 40)
		} else {
			g = smallGraph(t, b, i, 900)
		}
		if i >= 300 {
			r, err := d.Score(g, f)
			none(t, err)
			incidents, err := r.Incidents()
			none(t, err)
			for _, inc := range incidents {
				if inc.State == IncidentOpen && i >= 310 {
					opened++
				}
				if len(inc.Causes) == 0 || inc.Text == "" || inc.Benign() != (inc.ClassID >= 64) {
					t.Fatalf("%+v", inc)
				}
			}
			plan, err := p.Plan(g, r, nil)
			none(t, err)
			actions, err := plan.Actions()
			none(t, err)
			for _, a := range actions {
				if a.DryRun || a.Verb == "" {
					t.Fatalf("%+v", a)
				}
			}
			none(t, s.Step(g, r.Mask()))
		} else {
			none(t, s.Step(g, nil))
		}
		f, err = s.Forecast(2)
		none(t, err)
	}
	if opened == 0 {
		t.Fatal("twenty times the calls, and no incident")
	}
	if calls, ok := f.Mean(Node, "calls", 1); !ok || len(calls) != 3 {
		t.Fatal(calls)
	}
	if _, ok := f.Mean(Node, "calls", 2); ok {
		t.Fatal("a step beyond the horizon")
	}
	wants(t, s.Step(graphs[0], nil), ErrTime)
	wants(t, s.Step(graphs[0], []byte{1}), ErrInvalid)
}

func TestSharedBetweenGoroutines(t *testing.T) {
	g := smallGraph(t, newBuilder(t), 0, 10)
	var wait sync.WaitGroup
	for i := 0; i < 4; i++ {
		wait.Add(1)
		go func() {
			defer wait.Done()
			for k := 0; k < 200; k++ {
				if calls, _ := g.Column(Edge, "calls"); calls[0] != 10 {
					t.Error(calls)
				}
			}
		}()
	}
	wait.Wait()
}

func TestBadLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls.jsonl")
	line := `{"end_ns":1764000000000000001,"dst":"web","status":200}` + "\n"
	none(t, os.WriteFile(path, []byte(line+"nonsense\n"+line), 0o600))
	in, err := NewIngest(IngestOptions{WindowNs: window})
	none(t, err)
	close1 := func(end uint64, whole bool) error {
		_, err := in.CloseWindow(end)
		return err
	}
	bad, err := Replay(in, window, []string{path}, nil, 1, close1)
	none(t, err)
	if l, _ := in.Ledger(); l.Pushed != 2 || bad != 1 {
		t.Fatalf("%+v, %d bad lines", l, bad)
	}
	_, err = Replay(in, window, []string{path}, nil, 0, close1)
	wants(t, err, ErrFormat)
	none(t, os.WriteFile(path, nil, 0o600))
	_, err = Replay(in, window, []string{path}, nil, 1, close1)
	wants(t, err, ErrNotFound)
	if _, err := Replay(in, window, []string{path + "x"}, nil, 1, close1); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	lane, err := in.Lane(LaneOptions{})
	none(t, err)
	_, err = NewReader(lane, "xml")
	wants(t, err, ErrUnsupported)
}

// The program's model and incidents, byte for byte.
func TestSameAsTheProgram(t *testing.T) {
	program, data := os.Getenv("STG_PROGRAM"), os.Getenv("STG_RECORDINGS")
	if program == "" || data == "" {
		t.Skip("STG_PROGRAM and STG_RECORDINGS are not set")
	}
	run := func(args ...string) []byte {
		out, err := exec.Command(program, args...).Output()
		none(t, err)
		return out
	}
	file := func(folder, name string) string { return filepath.Join(data, folder, name+".jsonl.xz") }
	calls, gauges := []string{file("normal", "calls")}, []string{file("normal", "gauges")}
	path := filepath.Join(t.TempDir(), "theirs")
	run("learn", "--calls", calls[0], "--gauges", gauges[0], "--day", "600", "--out", path)
	ours, err := Learn(calls, gauges, LearnOptions{Trainer: TrainerOptions{DayNs: 600 * second}})
	none(t, err)
	data1, err := ours.Bytes()
	none(t, err)
	data2, err := os.ReadFile(path)
	none(t, err)
	if !bytes.Equal(data1, data2) {
		t.Fatal("the model differs")
	}
	for _, name := range []string{"attacks-a", "attacks-b"} {
		calls, gauges := file(name, "calls"), file(name, "gauges")
		expected := run("watch", "--model", path, "--calls", calls, "--gauges", gauges)
		var got []byte
		none(t, Watch(ours, []string{calls}, []string{gauges}, MonitorOptions{}, func(line []byte) error {
			got = append(got, line...)
			return nil
		}))
		if !bytes.Equal(got, expected) || bytes.Count(got, []byte("\n")) < 20 {
			t.Fatal("the incidents in " + name + " differ")
		}
	}
}

func TestMonitor(t *testing.T) {
	b := newBuilder(t)
	tr, err := NewTrainer(TrainerOptions{Kind: "persistence", DayNs: 600 * second})
	none(t, err)
	for i := uint64(0); i < 60; i++ {
		none(t, tr.Add(smallGraph(t, b, i, 40)))
	}
	model, err := tr.Run()
	none(t, err)
	bundle, err := NewBundle()
	none(t, err)
	none(t, model.Store(bundle))
	m, err := NewMonitor(bundle, MonitorOptions{Ingest: IngestOptions{MaxNodes: 64}})
	none(t, err)
	if m.Graph() != nil || m.Forecast() != nil {
		t.Fatal("something before the first tick")
	}
	lane, err := m.Lane(LaneOptions{})
	none(t, err)
	lane.Push(callsOf(t, lane, 100, start+window))
	none(t, m.Tick(start+window))
	wants(t, m.Tick(start+window), ErrTime)
	if _, ok, err := m.Event(); ok || err != nil || m.Dropped() != 0 {
		t.Fatal(ok, err)
	}
	g := m.Graph()
	if m.Report() == nil || m.Plan() == nil || m.Next() == nil {
		t.Fatal("nothing after a tick")
	}
	m.Close()
	if calls, _ := g.Column(Edge, "calls"); calls[0] != 100 {
		t.Fatal(calls)
	}
	empty, err := NewBundle()
	none(t, err)
	_, err = NewMonitor(empty, MonitorOptions{})
	wants(t, err, ErrNotFound)
}

// A watch that is stopped somewhere, saved and gone on with tells the same as one that ran through.
func TestSavedState(t *testing.T) {
	data := os.Getenv("STG_RECORDINGS")
	if data == "" {
		t.Skip("STG_RECORDINGS is not set")
	}
	calls := []string{filepath.Join(data, "attacks-a", "calls.jsonl.xz")}
	model, err := Learn([]string{filepath.Join(data, "normal", "calls.jsonl.xz")}, nil,
		LearnOptions{Trainer: TrainerOptions{Kind: "persistence", DayNs: 600 * second}})
	none(t, err)
	halt := errors.New("stopped")
	state := filepath.Join(t.TempDir(), "state.stg")
	told := func(from string, stop int) (out []byte) {
		m, err := NewMonitor(model, MonitorOptions{})
		none(t, err)
		defer m.Close()
		if from != "" {
			none(t, RestoreStateFile(m, from))
		}
		windows := 0
		_, err = Replay(m.Ingest(), window, calls, nil, 0, func(end uint64, whole bool) error {
			if err := m.Tick(end); err != nil {
				if from != "" && errors.Is(err, ErrTime) {
					return nil // judged before
				}
				return err
			}
			for {
				line, ok, err := m.Event()
				none(t, err)
				if !ok {
					break
				}
				out = append(out, line...)
			}
			if windows++; windows == stop {
				none(t, SaveStateFile(m, state))
				return halt
			}
			return nil
		})
		if stop > 0 && !errors.Is(err, halt) || stop == 0 && err != nil {
			t.Fatal(err)
		}
		return out
	}
	if err := RestoreStateFile(new(Monitor), state); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	whole := told("", 0)
	halves := append(told("", 150), told(state, 0)...)
	if !bytes.Equal(whole, halves) || bytes.Count(whole, []byte("\n")) < 10 {
		t.Fatalf("after a restart another story:\n%s\nnot\n%s", halves, whole)
	}
}

// Calls ready in memory, in batches of 4096.
func BenchmarkPush(b *testing.B) {
	in, err := NewIngest(IngestOptions{WindowNs: window})
	none(b, err)
	lane, err := in.Lane(LaneOptions{})
	none(b, err)
	calls := callsOf(b, lane, 4096, start+window)
	b.ResetTimer()
	for n := 0; n < b.N; n += len(calls) {
		if lane.Push(calls) < len(calls) || n%(8*len(calls)) == 0 {
			b.StopTimer()
			none(b, in.Poll())
			b.StartTimer()
		}
	}
}
