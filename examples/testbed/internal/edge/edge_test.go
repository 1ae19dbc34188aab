// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

func social(t *testing.T) *topo.Topology {
	tp, err := topo.Load("../../topologies/social.json")
	if err != nil {
		t.Fatal(err)
	}
	return tp
}

func TestHAProxyTakesTheConfiguration(t *testing.T) {
	bin, err := exec.LookPath("haproxy")
	if err != nil {
		if bin, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			t.Skip("no haproxy")
		}
	}
	for _, name := range []string{"social", "shop"} {
		tp, err := topo.Load("../../topologies/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		cfg := filepath.Join(dir, "haproxy.cfg")
		if err := WriteConfig(cfg, tp, 9, filepath.Join(dir, "s.sock"), "127.0.9.251:15140"); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(bin, "-c", "-f", cfg).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

func TestLogLineBecomesTwoRecords(t *testing.T) {
	c := &Collector{topo: social(t), conns: map[string]uint32{}}
	recs, err := c.decode([]byte(`{"s":1764000000,"us":42,"ci":"127.20.3.4","cp":5000,"rt":"POST /api/login",` +
		`"st":401,"ta":12,"tw":0,"tc":1,"tr":10,"td":0,"be":"auth","sv":"auth-1","u":312,"b":100,` +
		`"rc":"0","ts":"--","user":"u7","inj":"-"}`))
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"login", "login_failed"}
	want := []record.Call{
		{EndNS: 1764000000000042000, Src: "external", Dst: "edge", Route: "POST /api/login", Side: "server",
			Status: 401, DurationUS: 12000, Client: "127.20.3.4", Group: "127.20.3.0/24", Conn: 1, User: "u7",
			BytesIn: 312, BytesOut: 100, Flags: flags},
		{EndNS: 1764000000000042000, Src: "edge", Dst: "auth", Route: "POST /api/login", Side: "client",
			Status: 401, DurationUS: 11000, FirstByteUS: 11000, Client: "127.20.3.4", Group: "127.20.3.0/24",
			User: "u7", BytesIn: 312, BytesOut: 100, Flags: flags},
	}
	if !reflect.DeepEqual(recs, want) {
		t.Errorf("got  %+v\nwant %+v", recs, want)
	}
}

func TestOddLogLines(t *testing.T) {
	c := &Collector{topo: social(t), conns: map[string]uint32{}}
	half := `{"s":1,"us":2,"ci":"127.20.3.4","cp":1,"rt":"-","st":408,"ta":40000,"tw":-1,"tc":-1,"tr":-1,"td":-1,` +
		`"be":"edge","sv":"<NOSRV>","u":0,"b":0,"rc":"0","ts":"cR","user":"-","inj":"-"}`
	recs, err := c.decode([]byte(half))
	if err != nil || len(recs) != 1 || recs[0].Route != "" || recs[0].User != "" || recs[0].Status != 408 {
		t.Errorf("half a header: %+v %v", recs, err)
	}
	dead := `{"s":1,"us":2,"ci":"127.20.3.4","cp":1,"rt":"GET /","st":504,"ta":10000,"tw":0,"tc":0,"tr":-1,"td":-1,` +
		`"be":"frontend","sv":"frontend-1","u":0,"b":0,"rc":"+1","ts":"sH","user":"-","inj":"-"}`
	recs, err = c.decode([]byte(dead))
	if err != nil || len(recs) != 2 || recs[1].Status != 0 || recs[1].Attempt != 1 || recs[1].DurationUS != 10000000 {
		t.Errorf("no answer: %+v %v", recs, err)
	}
	if _, err = c.decode([]byte(`{"s":1,`)); err == nil {
		t.Error("half a line was taken")
	}
}

const fds = `  4 : st=0x1(x) owner=0x1 iocb=0x1(sock_accept_iocb) l.st=RDY fe=edge fam=ipv4 lport=18080
  8 : st=0x21(cl) owner=0x8 back=0 cflg=0x300 fam=ipv4 lport=18080 rport=1 fe=edge mux=H1 ctx=0xa h1c.flg=0x100 .sub=1 h1s=0xb .req.state=MSG_HDR_NAME .res.state=MSG_RPBEFORE
  9 : st=0x21(cl) owner=0x9 back=0 cflg=0x300 fam=ipv4 lport=18080 rport=2 fe=edge mux=H1 ctx=0xc h1c.flg=0x40400 .sub=1
 11 : st=0x21(cl) owner=0xb back=0 cflg=0x300 fam=ipv4 lport=18080 rport=3 fe=edge mux=H1 ctx=0xd h1c.flg=0x400 .sub=1
 12 : st=0x21(cl) owner=0xc back=0 cflg=0x300 fam=unix fe=GLOBAL mux=PASS ctx=0xe
 13 : st=0x21(cl) owner=0xd back=0 cflg=0x300 fam=ipv4 lport=18080 rport=4 fe=edge mux=H1 ctx=0xf h1c.flg=0x200 .sub=1 h1s=0x5 .req.state=MSG_DATA .res.state=MSG_RPBEFORE
 14 : st=0x21(cl) owner=0xe back=1 cflg=0x300 fam=ipv4 lport=1 px=auth mux=H1 ctx=0x9 h1c.flg=0x0 .sub=1
`

func TestGaugesFromFDs(t *testing.T) {
	g := NewGauger("", "edge")
	t0 := time.Unix(1764000000, 0)
	g.fold(fds, t0)
	v := g.fold(fds, t0.Add(7*time.Second))
	want := record.Gauge{TimeNS: 1764000007000000000, Producer: "edge-1", Node: "edge", Open: 4,
		WaitingHeaders: 2, Active: 1, Idle: 1, InFlight: 1, OldestConnMS: 7000, OldestHeaderMS: 7000}
	if v != want {
		t.Errorf("got %+v", v)
	}
	if g.fold("", t0.Add(8*time.Second)); len(g.conns) != 0 {
		t.Error("closed connections are remembered")
	}
}
