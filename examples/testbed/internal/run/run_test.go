// SPDX-License-Identifier: Apache-2.0

package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stgraph/testbed/internal/attack"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/topo"
)

func put(t *testing.T, path, text string) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// fixture is a plan of two pieces of 10 s with an attack in the first.
func fixture() *plan.Plan {
	return &plan.Plan{Topology: "social", Scenario: "s", Seed: 1, DayNS: 1e9, EpochNS: 1764000000e9, Length: 20,
		LeadS: 2, Pieces: []plan.Piece{{From: 0, To: 10}, {From: 10, To: 20}},
		Events: []plan.Event{{ID: 1, Kind: "attack", Class: "http_flood", Start: 2, End: 7, Node: "search",
			Edge: [3]string{"edge", "search", "GET /api/search"}, OwnRate: 0.5, Tool: "hey", Clients: []string{"127.9.0.1"}}}}
}

// recorderAt is a finished recorder of piece k, whose lead-in began at the wall second w.
func recorderAt(t *testing.T, out string, p *plan.Plan, k int, w int64) *recorder {
	r := &recorder{Options: Options{Plan: p, Piece: k, Dir: PieceDir(out, k)}, wall: time.Unix(w, 0),
		began: p.Pieces[k].From - p.LeadS, results: map[int]attack.Result{}}
	r.raw = filepath.Join(r.Dir, "raw")
	return r
}

const edgeLine = `,"src":"external","dst":"edge","side":"server","status":200,"client":"`

func TestPiecesAreShiftedOntoOneClock(t *testing.T) {
	out, p := t.TempDir(), fixture()
	// piece 0: recording starts at wall second 102; the lines at 101 and 112 lie outside
	r := recorderAt(t, out, p, 0, 100)
	put(t, filepath.Join(r.raw, "calls-edge.jsonl"),
		`{"end_ns":101000000000`+edgeLine+`127.9.0.1"}`+"\n"+
			`{"end_ns":105000000000`+edgeLine+`127.9.0.1"}`+"\n"+
			`{"end_ns":106000000000`+edgeLine+`127.9.0.2"}`+"\n"+
			`{"end_ns":112000000000`+edgeLine+`127.9.0.2"}`+"\n")
	put(t, filepath.Join(r.raw, "calls-search.jsonl"),
		`{"end_ns":105500000000,"src":"edge","dst":"search","side":"server","status":200}`+"\n")
	put(t, filepath.Join(r.raw, "gauges-search.jsonl"), `{"time_ns":104000000000,"producer":"search-1","node":"search","open":1,`+
		`"waiting_headers":0,"active":0,"idle":1,"in_flight":0,"oldest_conn_ms":0,"oldest_header_ms":0}`+"\n")
	r.results[1] = attack.Result{StartNS: 104e9, EndNS: 109e9, FirstNS: 1045e8}
	if err := r.finish(ledger{HAProxy: 4, Lines: 4}); err != nil {
		t.Fatal(err)
	}
	// piece 1 was made much later
	r = recorderAt(t, out, p, 1, 90000)
	put(t, filepath.Join(r.raw, "calls-edge.jsonl"), `{"end_ns":90003000000000`+edgeLine+`127.9.0.2"}`+"\n")
	put(t, filepath.Join(r.raw, "gauges-edge.jsonl"), "")
	if err := r.finish(ledger{HAProxy: 1, Lines: 1}); err != nil {
		t.Fatal(err)
	}
	if !Finished(out, p, 0) || !Finished(out, p, 1) {
		t.Error("a finished piece is not seen as one")
	}
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := Merge(out, p, tp); err != nil {
		t.Fatal(err)
	}
	var times []string
	for _, l := range strings.Split(strings.TrimSpace(get(t, filepath.Join(out, "calls.jsonl"))), "\n") {
		times = append(times, l[len(`{"end_ns":`):strings.Index(l, ",")])
	}
	want := "1764000003000000000 1764000003500000000 1764000004000000000 1764000011000000000"
	if got := strings.Join(times, " "); got != want {
		t.Errorf("times %s\nwant  %s", got, want)
	}
	truth := get(t, filepath.Join(out, "truth.jsonl"))
	for _, part := range []string{`"start_ns":1764000002000000000`, `"first_request_ns":1764000002500000000`,
		`"rate":0.2`, `"strength":0.4`, `"edge":["edge","search","GET /api/search"]`} {
		if !strings.Contains(truth, part) {
			t.Errorf("no %s in %s", part, truth)
		}
	}
	if strings.Count(truth, "\n") != 1 {
		t.Errorf("truth of an event twice or not at all: %s", truth)
	}
}

func TestAnotherPlansPieceIsNotKept(t *testing.T) {
	out, p := t.TempDir(), fixture()
	r := recorderAt(t, out, p, 1, 100)
	put(t, filepath.Join(r.raw, "calls-edge.jsonl"), "")
	if err := r.finish(ledger{}); err != nil {
		t.Fatal(err)
	}
	if !Finished(out, p, 1) || Finished(out, p, 0) {
		t.Error("the wrong pieces are finished")
	}
	p.Seed++
	if Finished(out, p, 1) {
		t.Error("a piece of another seed would be kept")
	}
}

func TestCutLineIsAnError(t *testing.T) {
	p := fixture()
	r := recorderAt(t, t.TempDir(), p, 1, 100)
	put(t, filepath.Join(r.raw, "calls-edge.jsonl"), `{"end_ns":103000000000,"src":"exte`)
	if err := r.finish(ledger{}); err == nil || !strings.Contains(err.Error(), "calls-edge.jsonl:1") {
		t.Errorf("got %v", err)
	}
}

func TestSilentAttackIsAnError(t *testing.T) {
	p := fixture()
	r := recorderAt(t, t.TempDir(), p, 0, 100)
	put(t, filepath.Join(r.raw, "calls-edge.jsonl"), "")
	r.results[1] = attack.Result{StartNS: 104e9, EndNS: 109e9}
	if err := r.finish(ledger{}); err == nil || !strings.Contains(err.Error(), "sent nothing") {
		t.Errorf("got %v", err)
	}
}

func TestDeploysCountUp(t *testing.T) {
	p := fixture()
	p.Events = []plan.Event{{Class: "deploy", Node: "auth", Start: 3, Factor: 1.2}, {Class: "deploy", Node: "user", Start: 4},
		{Class: "deploy", Node: "auth", Start: 12, Factor: 0.9}}
	r := recorderAt(t, t.TempDir(), p, 1, 0)
	for at, want := range map[float64]int{0: 1, 3: 1, 10: 2, 13: 3} {
		if v, _ := r.version("auth", at); v != want {
			t.Errorf("version %d at %g, want %d", v, at, want)
		}
	}
	if _, f := r.version("auth", 20); f != 0.9 {
		t.Errorf("factor %g", f)
	}
}
