// SPDX-License-Identifier: Apache-2.0

package service

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

const netID = 201 // addresses that no recording uses

func TestRule(t *testing.T) {
	for v, want := range map[string]bool{"<ScRiPt>alert(1)</script>": true, "<img src=x onerror=x>": true,
		"java&#115;cript:x": false, "1 < 2": false, "scripting course": false, "": false} {
		if suspicious(v) != want {
			t.Errorf("%q: %v", v, !want)
		}
	}
}

func TestPlain(t *testing.T) {
	if got := plain("u7\"},{<x>"); got != "u7x" {
		t.Errorf("got %q", got)
	}
	if len(plain(strings.Repeat("a", 99))) != 24 {
		t.Error("not cut")
	}
}

// start runs services of the social topology in this process.
func start(t *testing.T, names ...string) (string, *topo.Topology, map[string]*Service, func()) {
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	dir, all := t.TempDir(), map[string]*Service{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, len(names))
	for _, n := range names {
		s, err := New(Options{Topo: tp, Name: n, Net: netID, Dir: dir, Version: 1, Factor: 1, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		all[n] = s
		go func() { done <- s.Run(ctx) }()
	}
	for _, n := range names {
		for i := 0; ; i++ {
			if c, err := net.Dial("tcp4", tp.Addr(n, netID)); err == nil {
				c.Close()
				break
			} else if i > 100 {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return dir, tp, all, func() {
		cancel()
		for range names {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
}

func post(t *testing.T, addr, path string, form url.Values) int {
	req, _ := http.NewRequest("POST", "http://"+addr+path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Forwarded-For", "127.20.3.4")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode
}

func read(t *testing.T, dir, name string) []record.Call {
	f, err := os.Open(filepath.Join(dir, "calls-"+name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []record.Call
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var c record.Call
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

func TestLoginIsRecordedOnBothSides(t *testing.T) {
	dir, tp, _, stop := start(t, "auth", "user-db", "cache", "user")
	addr := tp.Addr("auth", netID)
	good := post(t, addr, "/api/login", url.Values{"user": {"u7"}, "pass": {"pw-u7"}})
	bad := post(t, addr, "/api/login", url.Values{"user": {"u7"}, "pass": {"<script>"}})
	stop()
	if good != 200 || bad != 401 {
		t.Errorf("answers %d and %d", good, bad)
	}
	var server []record.Call
	client := 0
	for _, c := range read(t, dir, "auth") {
		if c.Side == "server" {
			server = append(server, c)
		} else if c.Dst == "user-db" {
			client++
		}
	}
	if len(server) != 2 || server[0].Src != "edge" || server[0].User != "u7" || server[0].Group != "127.20.3.0/24" {
		t.Fatalf("server side: %+v", server)
	}
	if fmt.Sprint(server[1].Flags) != "[login login_failed]" || server[1].Injection != 1 || server[1].Status != 401 {
		t.Errorf("failed login: %+v", server[1])
	}
	seen := 0
	for _, c := range read(t, dir, "user-db") {
		if c.Src == "auth" && c.Side == "server" && c.Route == "GET /credentials" {
			seen++
		}
	}
	if client != 2 || seen != 2 {
		t.Errorf("auth made %d calls to user-db, user-db saw %d", client, seen)
	}
}

func TestFailingCalleeIsRetried(t *testing.T) {
	dir, tp, all, stop := start(t, "auth", "user-db")
	all["user-db"].Control("fail 1")
	status := post(t, tp.Addr("auth", netID), "/api/login", url.Values{"user": {"u7"}, "pass": {"x"}})
	stop()
	if status != 502 {
		t.Errorf("answer %d", status)
	}
	var attempts []int
	for _, c := range read(t, dir, "user-db") {
		attempts = append(attempts, c.Attempt)
	}
	if fmt.Sprint(attempts) != "[0 1 2]" {
		t.Errorf("attempts %v", attempts)
	}
}

func TestGaugesTellSlowFromIdle(t *testing.T) {
	_, tp, all, stop := start(t, "compose")
	addr, s := tp.Addr("compose", netID), all["compose"]
	dial := func(text string) net.Conn {
		c, err := net.Dial("tcp4", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, text)
		return c
	}
	body := dial("POST /api/compose HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na=b")
	head := dial("GET / HTTP/1.1\r\nHost: x\r\nX-a")
	idle := dial("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	time.Sleep(400 * time.Millisecond)
	g := s.tracker.gauge(time.Now(), "p", "compose")
	for _, c := range []net.Conn{body, head, idle} {
		c.Close()
	}
	stop()
	if g.Open != 3 || g.InFlight != 1 || g.WaitingHeaders != 1 || g.Idle != 1 {
		t.Errorf("gauge %+v", g)
	}
	if g.OldestHeaderMS < 300 || g.OldestConnMS < 300 {
		t.Errorf("ages %+v", g)
	}
}
