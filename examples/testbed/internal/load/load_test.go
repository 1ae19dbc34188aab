// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/topo"
)

func TestVisitsComeFromTheirAddressOverOneConnection(t *testing.T) {
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	conns, paths, users := map[string]int{}, map[string]int{}, map[string]bool{}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		mu.Lock()
		conns[r.RemoteAddr]++
		paths[r.Method+" "+r.URL.Path]++
		users[r.Header.Get("X-User")+"/"+r.Form.Get("pass")] = true
		mu.Unlock()
	})}
	go srv.Serve(l)
	defer srv.Close()
	start := time.Now()
	p := &Player{Topo: tp, Target: l.Addr().String(), At: func(s float64) time.Time {
		return start.Add(time.Duration(s * float64(time.Second)))
	}}
	ses := plan.Session{At: 0.1, Client: plan.Client{IP: "127.33.4.5", User: "u9"}, Steps: []plan.Step{
		{Route: "POST /api/login"}, {Route: "POST /api/login", Bad: true, Think: 0.05}, {Route: "GET /", Assets: 2, Think: 0.05}}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	p.Play(ctx, []plan.Session{ses})
	mu.Lock()
	defer mu.Unlock()
	if len(conns) != 1 || p.Requests != 5 || p.Failures != 0 {
		t.Errorf("connections %v, %d requests, %d failures", conns, p.Requests, p.Failures)
	}
	for addr := range conns {
		if host, _, _ := net.SplitHostPort(addr); host != "127.33.4.5" {
			t.Errorf("came from %s", host)
		}
	}
	if paths["GET /media"] != 2 || paths["POST /api/login"] != 2 || !users["u9/pw-u9"] || !users["u9/typo"] {
		t.Errorf("paths %v, users %v", paths, users)
	}
}

func TestHarmlessWordsVary(t *testing.T) {
	seen := map[string]bool{}
	for i := 0; i < 100; i++ {
		seen[Words(rng.New(uint64(i), "w"))] = true
	}
	if len(seen) < 80 {
		t.Errorf("only %d texts", len(seen))
	}
}
