// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/proc"
	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/topo"
)

// target counts requests by route and notes the addresses.
type target struct {
	mu    sync.Mutex
	count map[string]int
	from  map[string]bool
}

func (x *target) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	x.mu.Lock()
	x.count[r.Method+" "+r.URL.Path]++
	x.from[host] = true
	x.mu.Unlock()
	if r.URL.Path == "/api/login" {
		w.WriteHeader(http.StatusUnauthorized)
		w.Write([]byte("invalid credentials"))
	}
}

func serve(t *testing.T) (*target, string) {
	x := &target{count: map[string]int{}, from: map[string]bool{}}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: x}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return x, l.Addr().String()
}

// TestToolsKeepTheirRate runs each tool for three seconds at ten requests a second.
func TestToolsKeepTheirRate(t *testing.T) {
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		class, tool, route string
	}{
		{"ddos_volumetric", "wrk", "GET /"}, {"ddos_volumetric", "siege", "GET /"},
		{"http_flood", "hey", "GET /api/search"}, {"http_flood", "ab", "POST /api/compose"},
		{"brute_force", "hydra", "POST /api/login"}, {"cred_stuffing", "testbed", "POST /api/login"},
		{"xss", "testbed", "GET /api/search"}, {"bot_registration", "testbed", "POST /api/register"},
	}
	for i, c := range cases {
		i, c := i, c
		t.Run(c.class+"/"+c.tool, func(t *testing.T) {
			if _, err := exec.LookPath(c.tool); err != nil && c.tool != "testbed" {
				t.Skip("not installed")
			}
			t.Parallel()
			x, addr := serve(t)
			r := &Runner{Topo: tp, Target: addr, Seed: 1, Dir: t.TempDir(), Spawn: proc.NewSpawner()}
			e := &plan.Event{ID: i + 1, Class: c.class, Tool: c.tool, End: 5, Rate: 10, Users: 2,
				Edge: [3]string{"edge", "", c.route}, Clients: []string{"127.77.0.1", "127.77.0.2", "127.77.0.3"}}
			res := r.Run(context.Background(), e)
			x.mu.Lock()
			defer x.mu.Unlock()
			if n := x.count[c.route]; n < 25 || n > 75 {
				t.Errorf("%d requests (%v), want about 50; %s", n, x.count, res.Note)
			}
			if len(x.from) != 3 || res.FirstNS < res.StartNS || res.FirstNS > res.EndNS {
				t.Errorf("addresses %v, first %d of [%d, %d]", x.from, res.FirstNS, res.StartNS, res.EndNS)
			}
		})
	}
}

// TestSlowToolHoldsConnections counts open sockets at a server that never answers.
func TestSlowToolHoldsConnections(t *testing.T) {
	if _, err := exec.LookPath("slowhttptest"); err != nil {
		t.Skip("not installed")
	}
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	_, addr := serve(t)
	for _, mode := range []string{"headers", "body"} {
		r := &Runner{Topo: tp, Target: addr, Dir: t.TempDir(), Spawn: proc.NewSpawner()}
		e := &plan.Event{ID: 1, Class: "slow_dos", Tool: "slowhttptest", Mode: mode, End: 6, Rate: 12,
			Edge: [3]string{"edge", "compose", "POST /api/compose"}, Service: "compose", Clients: []string{"127.77.0.1"}}
		res := r.Run(context.Background(), e)
		if res.Held < 12 || res.Held > 16 {
			t.Errorf("%s: %d connections held, want 12 and a probe; %s", mode, res.Held, res.Note)
		}
	}
}

func TestRampSharesAddUp(t *testing.T) {
	e := &plan.Event{Start: 10, End: 110, Ramp: true}
	sum, last := 0.0, 0.0
	for _, p := range phases(e) {
		sum += p.seconds
		if p.share <= last {
			t.Error("the ramp does not climb")
		}
		last = p.share
	}
	if sum < 99.9 || sum > 100.1 || last != 1 {
		t.Errorf("%g seconds, ends at %g", sum, last)
	}
}

func TestScheduleMeetsTheRate(t *testing.T) {
	for _, ramp := range []bool{false, true} {
		for _, rate := range []float64{0.2, 1, 30} {
			e := &plan.Event{End: 200, Rate: rate, Ramp: ramp}
			list := schedule(e, rng.New(1, "schedule", rate))
			want := rate * FullSeconds(e)
			if n := float64(len(list)); n < 0.93*want-1 || n > 1.07*want+1 {
				t.Errorf("ramp %v, %g/s: %g requests, want %g", ramp, rate, n, want)
			}
			early := 0
			for i, at := range list {
				if i > 0 && at <= list[i-1] || at >= 200 {
					t.Fatalf("ramp %v, %g/s: request %d at %g", ramp, rate, i, at)
				}
				if at < 26 {
					early++
				}
			}
			if limit := 0.4 * rate * 26; ramp && float64(early) > limit+1.6 {
				t.Errorf("%g/s: %d requests in the first step of the ramp", rate, early)
			}
		}
	}
}

func TestPayloads(t *testing.T) {
	s, kinds := rng.New(1, "p"), map[string]bool{}
	for i := 0; i < 500; i++ {
		p := payload(s)
		kinds[p] = true
		if !strings.ContainsAny(p, "<\"") {
			t.Errorf("%q is no payload", p)
		}
	}
	if len(kinds) < 40 {
		t.Errorf("only %d payloads", len(kinds))
	}
	file := filepath.Join(t.TempDir(), "p.csv")
	text := "\"payload\",\"length\",\"attack_type\",\"label\"\n\"a\",\"1\",\"norm\",\"norm\"\n\"<b>\",\"3\",\"xss\",\"anom\"\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadPayloads(file); err != nil || len(got) != 1 || got[0] != "<b>" {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestChildrenEnd starts a shell with a child of its own and stops both.
func TestChildrenEnd(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if err := proc.NewSpawner().RunUntil(ctx, log, "sh", "-c", "trap '' TERM; sleep 60 & echo $!; wait; wait"); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	if !sc.Scan() {
		t.Fatal("the shell said nothing")
	}
	for i := 0; i < 50; i++ { // gone, or a zombie that somebody else has to reap
		data, err := os.ReadFile("/proc/" + sc.Text() + "/stat")
		if err != nil || strings.Contains(string(data), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("child %s lives", sc.Text())
}
