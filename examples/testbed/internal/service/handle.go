// SPDX-License-Identifier: Apache-2.0

package service

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

// unknown serves paths that the service does not have.
var unknown = &topo.Route{Name: "other", SleepMS: 1}

// identify fills in who calls what.
func (s *Service) identify(r *http.Request) *request {
	q := &request{start: time.Now(), spec: s.spec.Route(r.Method + " " + r.URL.Path)}
	if q.spec == nil {
		q.spec, q.missing = unknown, true
	}
	q.rec = record.Call{Src: r.Header.Get("X-Src"), Dst: s.opts.Name, Route: q.spec.Name, Side: "server"}
	if q.rec.Src == "" {
		q.rec.Src = s.opts.Topo.Edge
		hops := strings.Split(r.Header.Get("X-Forwarded-For"), ",")
		q.rec.Client = strings.TrimSpace(hops[len(hops)-1])
		q.rec.Group = record.GroupOf(q.rec.Client)
		q.rec.User = plain(r.Header.Get("X-User"))
	}
	q.rec.Attempt, _ = strconv.Atoi(r.Header.Get("X-Attempt"))
	if q.rec.Attempt > 0 {
		q.rec.Flags = append(q.rec.Flags, "retry")
	}
	if q.spec.Kind != "" {
		q.rec.Flags = append(q.rec.Flags, q.spec.Kind)
	}
	return q
}

const maxForm = 1 << 17

// readForm reads the body, however slowly it comes, and looks for payloads. The status is 0 when
// all is well; 408 or no answer for a client that never finishes.
func (s *Service) readForm(q *request, w http.ResponseWriter, r *http.Request) int {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	q.rec.BytesIn = int64(len(data) + len(r.URL.RawQuery))
	if err != nil {
		var ne interface{ Timeout() bool }
		if errors.As(err, &ne) && ne.Timeout() {
			q.rec.Flags = append(q.rec.Flags, "timeout")
		}
		return http.StatusRequestTimeout
	}
	if q.rec.Client == "" {
		return 0 // inner calls carry filler, no form
	}
	raw := r.URL.RawQuery
	if len(data) > 0 {
		raw += "&" + string(data)
	}
	q.form, _ = url.ParseQuery(raw) // what cannot be parsed is left out, the rest stays
	if u := plain(q.form.Get("user")); u != "" {
		q.rec.User = u
	}
	q.missing = q.missing || q.form.Get("missing") != ""
	for _, values := range q.form {
		for _, v := range values {
			if suspicious(v) {
				q.rec.Injection = 1
			}
		}
	}
	return 0
}

// plain keeps a user's name to letters, digits, - and _, at most 24.
func plain(s string) string {
	out := make([]byte, 0, 24)
	for i := 0; i < len(s) && len(out) < 24; i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			out = append(out, c)
		}
	}
	return string(out)
}

// signs are what the simple rule against cross-site scripting looks for.
var signs = []string{"<script", "javascript:", "onerror=", "onload=", "onclick=", "onmouseover=",
	"<iframe", "<svg", "document.cookie", "alert("}

func suspicious(v string) bool {
	low := strings.ToLower(v)
	for _, s := range signs {
		if strings.Contains(low, s) {
			return true
		}
	}
	return false
}

// work takes a worker, spends the route's cost, and makes its calls.
func (s *Service) work(ctx context.Context, q *request) int {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-time.After(3 * time.Second):
		return http.StatusServiceUnavailable
	case <-ctx.Done():
		return 0
	}
	sleep, fails := s.draw(q.spec)
	spin(q.spec.CPUUS)
	time.Sleep(sleep)
	if fails {
		return http.StatusInternalServerError
	}
	outcome := s.outcome(q)
	for i, stage := range q.spec.Stages {
		if i > 0 && outcome == http.StatusNotFound {
			break // it is not there: the rest of the tree has nothing to do
		}
		if !s.stage(ctx, stage, outcome < 300) {
			return http.StatusBadGateway
		}
	}
	return outcome
}

// outcome is the status when nothing breaks.
func (s *Service) outcome(q *request) int {
	switch {
	case q.missing:
		return http.StatusNotFound
	case q.spec.Kind == "login" && q.form.Get("pass") != "pw-"+q.form.Get("user"):
		q.rec.Flags = append(q.rec.Flags, "login_failed")
		return http.StatusUnauthorized
	case q.spec.Kind == "register" && strings.HasPrefix(q.form.Get("user"), "taken"):
		return http.StatusConflict
	}
	return http.StatusOK
}

// draw returns this call's sleep, and whether it fails by itself.
func (s *Service) draw(spec *topo.Route) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ms := s.dice.LogNormal(spec.SleepMS, spec.Sigma) * s.slow * s.opts.Factor
	if time.Since(s.born).Seconds() < s.opts.WarmS {
		ms *= 2.5
	}
	p := 1 - (1-spec.Error)*(1-s.fail)
	return time.Duration(ms * float64(time.Millisecond)), s.dice.Bool(p)
}

// spin burns CPU.
func spin(us float64) {
	for end := time.Now().Add(time.Duration(us) * time.Microsecond); time.Now().Before(end); {
	}
}

// stage makes the calls of a stage in parallel; false when one that matters failed.
func (s *Service) stage(ctx context.Context, calls []topo.Call, ok bool) bool {
	var wg sync.WaitGroup
	good := make([]bool, len(calls))
	for i := range calls {
		c := calls[i]
		good[i] = true
		s.mu.Lock()
		skip := (c.When == "ok" && !ok) || !s.dice.Bool(c.P)
		s.mu.Unlock()
		if skip {
			continue
		}
		wg.Add(1)
		go func(i int) {
			defer wg.Done()
			for n := 0; n < c.Times && good[i]; n++ {
				good[i] = s.caller.call(ctx, c) || c.Optional
			}
		}(i)
	}
	wg.Wait()
	for _, g := range good {
		if !g {
			return false
		}
	}
	return true
}

// Control obeys one line: "slow F" multiplies sleeps, "fail P" makes calls fail.
func (s *Service) Control(line string) {
	var v float64
	word := strings.Fields(line)
	if len(word) != 2 {
		return
	}
	v, err := strconv.ParseFloat(word[1], 64)
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch word[0] {
	case "slow":
		s.slow = v
	case "fail":
		s.fail = v
	}
}
