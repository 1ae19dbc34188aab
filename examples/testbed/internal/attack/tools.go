// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"fmt"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/spread"
	"stgraph/testbed/internal/topo"
)

// relay starts the relay of an attack.
func (r *Runner) relay(ctx context.Context, e *plan.Event, pace float64) (*spread.Relay, error) {
	rel, err := spread.Listen(r.Target, e.Clients, pace)
	if err != nil {
		return nil, err
	}
	go rel.Serve(ctx)
	return rel, nil
}

// form is what a flood sends: the free-text parameter, if the route has one.
func (r *Runner) form(e *plan.Event, t *topo.EdgeRoute) string {
	if t.Param == "" {
		return ""
	}
	return url.Values{t.Param: {"a"}}.Encode()
}

// link is the URL through a relay and the body, if the method has one.
func (r *Runner) link(e *plan.Event, rel *spread.Relay) (t *topo.EdgeRoute, link, body string) {
	t = r.Topo.EdgeRoute(e.Edge[2])
	link = "http://" + rel.Addr() + t.Path()
	form := r.form(e, t)
	if t.Method() == "POST" {
		return t, link, form
	}
	if form != "" {
		link += "?" + form
	}
	return t, link, ""
}

func clamp(v, lo, hi float64) int {
	return int(math.Max(lo, math.Min(hi, math.Round(v))))
}

// stepped runs a tool that knows rates once for each phase.
func (r *Runner) stepped(ctx context.Context, e *plan.Event, res *Result) error {
	rel, err := r.relay(ctx, e, 0)
	if err != nil {
		return err
	}
	for _, p := range phases(e) {
		if ctx.Err() != nil {
			break
		}
		args, err := r.steppedArgs(e, rel, e.Rate*p.share, p.seconds)
		if err != nil {
			return err
		}
		step, cancel := context.WithTimeout(ctx, time.Duration(p.seconds*float64(time.Second)))
		note := r.Spawn.RunUntil(step, r.file(e, "log"), args...)
		<-step.Done()
		cancel()
		if note != nil && ctx.Err() == nil {
			res.Note = note.Error()
		}
	}
	res.FirstNS = rel.First()
	return nil
}

func (r *Runner) steppedArgs(e *plan.Event, rel *spread.Relay, rate, seconds float64) ([]string, error) {
	t, link, body := r.link(e, rel)
	span := strconv.Itoa(int(math.Ceil(seconds))) + "s"
	if e.Tool == "wrk" {
		conns := clamp(rate*0.4, 2, 48)
		script := r.file(e, "rate.lua")
		keep := "close"
		if e.KeepConn {
			keep = "keep-alive"
		}
		text := fmt.Sprintf(wrkScript, 1000*float64(conns)/rate, keep, e.ID)
		if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
			return nil, err
		}
		return []string{"wrk", "-t", "1", "-c", strconv.Itoa(conns), "-d", span, "-s", script, link}, nil
	}
	conns := clamp(rate*0.3, 1, 16)
	args := []string{"hey", "-z", span, "-c", strconv.Itoa(conns), "-cpus", "1", "-t", "10",
		"-q", strconv.FormatFloat(rate/float64(conns), 'f', 4, 64), "-m", t.Method()}
	if !e.KeepConn {
		args = append(args, "-disable-keepalive")
	}
	if t.Method() == "POST" {
		args = append(args, "-T", "application/x-www-form-urlencoded", "-d", body)
	}
	return append(args, link), nil
}

// wrkScript spreads the requests of each connection in time.
const wrkScript = `local pause = %f
wrk.headers["Connection"] = "%s"
math.randomseed(%d)
function delay()
  return math.floor(pause * (0.5 + math.random()))
end
`

// toolWait is how many seconds a tool waits for an answer: long, because the relay may hold a
// weak attack's connections back for a while.
const toolWait = "120"

// paced runs a tool that knows no rate; the relay holds its connections back.
func (r *Runner) paced(ctx context.Context, e *plan.Event, res *Result) error {
	steps := phases(e)
	rel, err := r.relay(ctx, e, e.Rate*steps[0].share)
	if err != nil {
		return err
	}
	args, err := r.pacedArgs(e, rel)
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() {
		var note error
		for ctx.Err() == nil { // a tool that gives up early is started again
			note = r.Spawn.RunUntil(ctx, r.file(e, "log"), args...)
			if !sleep(ctx, time.Second) {
				break
			}
		}
		done <- note
	}()
	for _, p := range steps {
		rel.SetPace(e.Rate * p.share)
		sleep(ctx, time.Duration(p.seconds*float64(time.Second)))
	}
	<-ctx.Done()
	<-done
	res.FirstNS = rel.First()
	return nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (r *Runner) pacedArgs(e *plan.Event, rel *spread.Relay) ([]string, error) {
	_, link, body := r.link(e, rel)
	seconds := int(math.Ceil(e.End - e.Start))
	users := strconv.Itoa(clamp(e.Rate, 2, 16))
	switch e.Tool {
	case "hydra":
		return r.hydraArgs(e, rel)
	case "siege":
		rc := r.file(e, "siegerc")
		text := "verbose = false\nlogging = false\nshow-logfile = false\nconnection = close\n" +
			"protocol = HTTP/1.1\nparser = false\ntimeout = " + toolWait + "\nfailures = 1000000\n"
		if err := os.WriteFile(rc, []byte(text), 0o644); err != nil {
			return nil, err
		}
		return []string{"siege", "-R", rc, "-q", "-b", "-c", users, "-t", fmt.Sprintf("%dS", seconds), link}, nil
	}
	args := []string{"ab", "-q", "-r", "-s", toolWait, "-c", users, "-t", strconv.Itoa(seconds), "-n", "1000000"}
	if body != "" {
		file := r.file(e, "body")
		if err := os.WriteFile(file, []byte(body), 0o644); err != nil {
			return nil, err
		}
		args = append(args, "-p", file, "-T", "application/x-www-form-urlencoded")
	}
	if u, err := url.Parse(link); err == nil && u.Path == "" {
		link += "/" // ab wants a path
	}
	return append(args, link), nil
}

// hydraArgs: few users, many passwords, none of them right.
func (r *Runner) hydraArgs(e *plan.Event, rel *spread.Relay) ([]string, error) {
	t := r.Topo.EdgeRoute(e.Edge[2])
	s := rng.New(r.Seed, "hydra", e.ID)
	var users, passes strings.Builder
	for i := 0; i < e.Users; i++ {
		fmt.Fprintf(&users, "u%d\n", s.IntN(200))
	}
	for i := 0.0; i < 2*e.Rate*(e.End-e.Start)+200; i++ {
		fmt.Fprintf(&passes, "guess%d\n", s.IntN(1<<30))
	}
	userFile, passFile := r.file(e, "users"), r.file(e, "passwords")
	if err := os.WriteFile(userFile, []byte(users.String()), 0o644); err != nil {
		return nil, err
	}
	if err := os.WriteFile(passFile, []byte(passes.String()), 0o644); err != nil {
		return nil, err
	}
	port := rel.Addr()[strings.LastIndex(rel.Addr(), ":")+1:]
	return []string{"hydra", "-I", "-u", "-w", toolWait, "-L", userFile, "-P", passFile,
		"-t", strconv.Itoa(clamp(e.Rate, 2, 12)), "-s", port, "127.0.0.1", "http-post-form",
		t.Path() + ":user=^USER^&pass=^PASS^:F=invalid"}, nil
}

// slow holds connections open; slowhttptest ends when the edge has closed them all, so it is
// started again until the attack is over. A ramp is several of them.
func (r *Runner) slow(ctx context.Context, e *plan.Event, res *Result) error {
	rel, err := r.relay(ctx, e, 0)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	held := 0
	for _, p := range phases(e) {
		n := clamp(e.Rate*p.share, 1, 2000) - held
		if n > 0 {
			held += n
			wg.Add(1)
			go func() {
				defer wg.Done()
				for ctx.Err() == nil {
					r.Spawn.RunUntil(ctx, r.file(e, "log"), r.slowArgs(ctx, e, rel, n)...)
					sleep(ctx, 500*time.Millisecond)
				}
			}()
		}
		if !sleep(ctx, time.Duration(p.seconds*float64(time.Second))) {
			break
		}
	}
	wg.Wait()
	res.FirstNS, res.Held = rel.First(), rel.Most()
	return nil
}

func (r *Runner) slowArgs(ctx context.Context, e *plan.Event, rel *spread.Relay, n int) []string {
	path := "/"
	for _, t := range r.Topo.Routes {
		if t.Service == e.Service {
			path = t.Path()
			if t.Method() == "POST" {
				break
			}
		}
	}
	if e.Mode == "body" {
		path = strings.SplitN(e.Edge[2], " ", 2)[1]
	}
	left := 1.0
	if d, ok := ctx.Deadline(); ok {
		left = math.Max(1, math.Ceil(time.Until(d).Seconds()))
	}
	args := []string{"slowhttptest", "-v", "0", "-c", strconv.Itoa(n), "-r", strconv.Itoa(clamp(float64(n)/4, 1, 50)),
		"-i", strconv.Itoa(4 + e.ID%8), "-l", strconv.Itoa(int(left)), "-x", "12", "-p", "5",
		"-u", "http://" + rel.Addr() + path}
	if e.Mode == "body" {
		return append(args, "-B", "-s", "8192", "-t", "POST")
	}
	return append(args, "-H")
}
