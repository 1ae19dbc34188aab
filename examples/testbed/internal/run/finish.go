// SPDX-License-Identifier: Apache-2.0

package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"

	"stgraph/testbed/internal/attack"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/record"
)

// ledger compares who counted how many requests, over the whole piece with its lead-in.
type ledger struct {
	HAProxy      int64 `json:"haproxy_requests"`
	Lines        int64 `json:"log_lines"`
	Broken       int64 `json:"log_lines_unreadable"`
	Load         int64 `json:"load_requests"`
	LoadFailures int64 `json:"load_failures"`
}

// done is what a finished piece leaves in piece.json; its presence says that the piece is whole.
type done struct {
	Plan    string  `json:"plan"`
	FromS   float64 `json:"from_s"`
	ToS     float64 `json:"to_s"`
	ShiftNS int64   `json:"shift_ns"` // added to wall times
	Ledger  ledger  `json:"ledger"`
	Calls   int     `json:"calls"`
	Gauges  int     `json:"gauges"`
}

// Truth is one line of truth.jsonl.
type Truth struct {
	ID       int     `json:"id"`
	Kind     string  `json:"kind"`
	Class    string  `json:"class"`
	Target   target  `json:"target"`
	StartNS  int64   `json:"start_ns"`
	EndNS    int64   `json:"end_ns"`
	FirstNS  int64   `json:"first_request_ns"`
	Strength float64 `json:"strength"`
	Rate     float64 `json:"rate"`
	Ramp     bool    `json:"ramp"`
	During   string  `json:"during"`
	Tool     string  `json:"tool"`
}

type target struct {
	Node string    `json:"node"`
	Edge [3]string `json:"edge"`
}

// entry is a line with its time.
type entry struct {
	at   int64
	line []byte
}

// finish merges what the processes wrote, on the plan's clock, and writes the truth.
func (r *recorder) finish(led ledger) error {
	part := r.part()
	base := r.Plan.EpochNS + int64(part.From*1e9)
	shift := base - record.EndOf(r.at(part.From))
	lo, hi := base, r.Plan.EpochNS+int64(part.To*1e9)
	calls, err := r.gather("calls-*.jsonl", `{"end_ns":`, shift, lo, hi, filepath.Join(r.Dir, "calls.jsonl"))
	if err != nil {
		return err
	}
	gauges, err := r.gather("gauges-*.jsonl", `{"time_ns":`, shift, lo, hi, filepath.Join(r.Dir, "gauges.jsonl"))
	if err != nil {
		return err
	}
	if err := r.truth(shift); err != nil {
		return err
	}
	data, err := json.MarshalIndent(done{r.Plan.Key(), part.From, part.To, shift, led, calls, gauges}, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.Dir, "piece.json"), append(data, '\n'), 0o644)
}

// gather reads all raw files of a kind, shifts the times, keeps those in [lo, hi), sorts, writes.
func (r *recorder) gather(pattern, head string, shift, lo, hi int64, out string) (int, error) {
	files, err := filepath.Glob(filepath.Join(r.raw, pattern))
	if err != nil {
		return 0, err
	}
	var all []entry
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		for n, line := range bytes.Split(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			e, err := shifted(line, head, shift)
			if err != nil {
				return 0, fmt.Errorf("%s:%d: %w", f, n+1, err)
			}
			if e.at >= lo && e.at < hi {
				all = append(all, e)
			}
		}
	}
	sort.Slice(all, func(i, j int) bool {
		if all[i].at != all[j].at {
			return all[i].at < all[j].at
		}
		return bytes.Compare(all[i].line, all[j].line) < 0
	})
	return len(all), write(out, all)
}

// shifted parses only the time, which is the first field.
func shifted(line []byte, head string, shift int64) (entry, error) {
	if !bytes.HasPrefix(line, []byte(head)) {
		return entry{}, fmt.Errorf("does not begin with %s", head)
	}
	rest := line[len(head):]
	end := bytes.IndexByte(rest, ',')
	if end < 0 || rest[len(rest)-1] != '}' {
		return entry{}, fmt.Errorf("is cut off")
	}
	v, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return entry{}, err
	}
	v += shift
	return entry{v, append(strconv.AppendInt([]byte(head), v, 10), rest[end:]...)}, nil
}

func write(path string, all []entry) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for _, e := range all {
		w.Write(e.line)
		w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// truth writes the events as they really happened. The rate of an attack is counted: requests
// from its addresses in the edge's log, per second at full strength.
func (r *recorder) truth(shift int64) error {
	hits, err := r.hits()
	if err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(r.Dir, "truth.jsonl"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for i := range r.Plan.Events {
		e := &r.Plan.Events[i]
		res, ok := r.results[e.ID]
		if !ok {
			continue
		}
		t := Truth{ID: e.ID, Kind: e.Kind, Class: e.Class, Target: target{e.Node, e.Edge}, Ramp: e.Ramp,
			StartNS: res.StartNS + shift, EndNS: res.EndNS + shift, During: e.During, Tool: e.Tool,
			Strength: e.Strength, Rate: e.Rate}
		if res.FirstNS != 0 {
			t.FirstNS = res.FirstNS + shift
		}
		if e.Kind == "attack" {
			t.Rate = measured(e, res, hits)
			t.Strength = t.Rate / e.OwnRate
			if t.FirstNS == 0 {
				return fmt.Errorf("attack %d (%s by %s) sent nothing; see %s", e.ID, e.Class, e.Tool, r.raw)
			}
		}
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	return f.Close()
}

// hits lists, for each outside client, the end times of its requests at the edge.
func (r *recorder) hits() (map[string][]int64, error) {
	f, err := os.Open(filepath.Join(r.raw, "calls-edge.jsonl"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string][]int64{}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		var c record.Call
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			return nil, err
		}
		if c.Src == "external" {
			out[c.Client] = append(out[c.Client], c.EndNS)
		}
	}
	return out, sc.Err()
}

const lateNS = 15e9 // answers to an attack may end so long after it

func measured(e *plan.Event, res attack.Result, hits map[string][]int64) float64 {
	if e.Class == "slow_dos" {
		return float64(res.Held)
	}
	n := 0
	for _, ip := range e.Clients {
		for _, at := range hits[ip] {
			if at >= res.StartNS && at < res.EndNS+lateNS {
				n++
			}
		}
	}
	return float64(n) / attack.FullSeconds(e)
}
