// SPDX-License-Identifier: Apache-2.0

package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

// decodeStrict refuses fields that the format does not have.
func decodeStrict(line []byte, v interface{}) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	return d.Decode(v)
}

func eachLine(path string, f func([]byte) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	sc := bufio.NewScanner(file)
	sc.Buffer(nil, 1<<20)
	for n := 1; sc.Scan(); n++ {
		if err := f(sc.Bytes()); err != nil {
			return fmt.Errorf("%s:%d: %w", path, n, err)
		}
	}
	return sc.Err()
}

type sides struct {
	client, server int
}

// tally is what the calls of a recording add up to.
type tally struct {
	last, calls, external int64
	edges                 map[string]*sides
	status                map[int]int
}

func (t *tally) add(line []byte) error {
	var c record.Call
	if err := decodeStrict(line, &c); err != nil {
		return err
	}
	if c.EndNS < t.last {
		return fmt.Errorf("time goes back")
	}
	t.last = c.EndNS
	t.calls++
	if c.Src == "external" {
		t.external++
		t.status[c.Status/100]++
		return nil
	}
	if c.Status == 0 && c.Side == "client" {
		return nil // refused or timed out: the other side may never have seen it
	}
	key := c.Src + " > " + c.Dst + " " + c.Route
	if t.edges[key] == nil {
		t.edges[key] = &sides{}
	}
	if c.Side == "client" {
		t.edges[key].client++
	} else {
		t.edges[key].server++
	}
	return nil
}

// CheckRecording says whether a finished recording is complete: every line readable and in order,
// both sides of at least 95 % of the RPCs, gauges of every node, and no request that HAProxy
// counted but the log lost.
func CheckRecording(dir string, t *topo.Topology, out io.Writer) error {
	sum := &tally{edges: map[string]*sides{}, status: map[int]int{}}
	if err := eachLine(filepath.Join(dir, "calls.jsonl"), sum.add); err != nil {
		return err
	}
	both, all := 0, 0
	for key, s := range sum.edges {
		lo, hi := s.client, s.server
		if lo > hi {
			lo, hi = hi, lo
		}
		both, all = both+lo, all+hi
		if hi >= 20 && float64(lo) < 0.9*float64(hi) {
			return fmt.Errorf("%s: %d on the client's side, %d on the server's", key, s.client, s.server)
		}
	}
	if all == 0 || float64(both) < 0.95*float64(all) {
		return fmt.Errorf("%d of %d calls have both sides", both, all)
	}
	gauges := map[string]int{}
	err := eachLine(filepath.Join(dir, "gauges.jsonl"), func(line []byte) error {
		var g record.Gauge
		err := decodeStrict(line, &g)
		gauges[g.Node]++
		return err
	})
	if err != nil {
		return err
	}
	for _, n := range t.Nodes() {
		if gauges[n] == 0 {
			return fmt.Errorf("no gauge of %s", n)
		}
	}
	if err := checkLedger(dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d calls, %d from outside (status classes %v), %d edges, both sides of %.2f %%, gauges of %d nodes\n",
		sum.calls, sum.external, sum.status, len(sum.edges), 100*float64(both)/float64(all), len(gauges))
	return checkTruth(dir, out)
}

func checkLedger(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return err
	}
	var m meta
	if err := json.Unmarshal(data, &m); err != nil {
		return err
	}
	for k, p := range m.Pieces {
		l := p.Ledger
		if l.Broken > 0 || l.Lines < l.HAProxy || l.HAProxy < l.Load-l.LoadFailures {
			return fmt.Errorf("piece %d: HAProxy counted %d requests, its log has %d lines (%d unreadable), the load sent %d (%d failed)",
				k, l.HAProxy, l.Lines, l.Broken, l.Load, l.LoadFailures)
		}
	}
	return nil
}

func checkTruth(dir string, out io.Writer) error {
	return eachLine(filepath.Join(dir, "truth.jsonl"), func(line []byte) error {
		var t Truth
		if err := decodeStrict(line, &t); err != nil {
			return err
		}
		if t.EndNS <= t.StartNS || t.Kind == "attack" && (t.FirstNS < t.StartNS || t.FirstNS > t.EndNS || t.Rate <= 0) {
			return fmt.Errorf("event %d: times or rate are wrong", t.ID)
		}
		fmt.Fprintf(out, "%3d %-16s %-14s %6.0f s  x%-6.2f %8.2f/s %s %s\n", t.ID, t.Class, t.Target.Node,
			float64(t.EndNS-t.StartNS)/1e9, t.Strength, t.Rate, t.Tool, t.During)
		return nil
	})
}
