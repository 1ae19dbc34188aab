// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"stgraph/testbed/internal/record"
	"stgraph/testbed/internal/topo"
)

// line is one HAProxy log line, see logFormat.
type line struct {
	S, US              int64
	CI                 string
	CP                 int
	RT                 string
	ST                 int
	TA, TW, TC, TR, TD int64
	BE, SV             string
	U, B               int64
	RC, TS, User, Inj  string
}

// Collector receives the log over UDP and writes two records a line: the outside client's call as
// the edge serves it, and the edge's own call to the service, if one was chosen.
type Collector struct {
	topo  *topo.Topology
	out   *record.Writer
	sock  *net.UDPConn
	conns map[string]uint32

	mu     sync.Mutex
	lines  int64
	broken int64
}

// NewCollector listens; the buffer is large because HAProxy does not wait for us.
func NewCollector(addr string, t *topo.Topology, out *record.Writer) (*Collector, error) {
	ua, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return nil, err
	}
	sock, err := net.ListenUDP("udp4", ua)
	if err != nil {
		return nil, err
	}
	if err := sock.SetReadBuffer(8 << 20); err != nil {
		return nil, err
	}
	return &Collector{topo: t, out: out, sock: sock, conns: map[string]uint32{}}, nil
}

// Run reads until Close.
func (c *Collector) Run() {
	buf := make([]byte, 1<<16)
	for {
		n, err := c.sock.Read(buf)
		if err != nil {
			return
		}
		recs, err := c.decode(buf[:n])
		c.mu.Lock()
		c.lines++
		if err != nil {
			c.broken++
		}
		c.mu.Unlock()
		for _, r := range recs {
			c.out.Put(r)
		}
	}
}

// Close ends Run.
func (c *Collector) Close() { c.sock.Close() }

// Counts returns how many lines came and how many could not be read.
func (c *Collector) Counts() (lines, broken int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines, c.broken
}

func (c *Collector) decode(data []byte) ([]record.Call, error) {
	var l line
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, fmt.Errorf("log line %q: %w", data, err)
	}
	l.RT, l.User = noDash(l.RT), noDash(l.User)
	key := l.CI + ":" + strconv.Itoa(l.CP)
	conn := c.conns[key]
	if conn == 0 {
		conn = uint32(len(c.conns) + 1)
		c.conns[key] = conn
	}
	in := record.Call{EndNS: l.S*1e9 + l.US*1000, Src: "external", Dst: c.topo.Edge, Route: l.RT,
		Side: "server", Status: positive(l.ST), DurationUS: span(l.TA), Client: l.CI,
		Group: record.GroupOf(l.CI), Conn: conn, User: l.User, BytesIn: l.U, BytesOut: l.B}
	if r := c.topo.EdgeRoute(l.RT); r != nil && r.Kind != "" {
		in.Flags = append(in.Flags, r.Kind)
		if r.Kind == "login" && l.ST == 401 {
			in.Flags = append(in.Flags, "login_failed")
		}
	}
	if l.Inj == "1" {
		in.Injection = 1
	}
	if strings.HasPrefix(l.TS, "c") {
		in.Flags = append(in.Flags, "timeout") // the client did not finish in time
	}
	if l.SV == "<NOSRV>" || strings.HasPrefix(l.TS, "PR") {
		return []record.Call{in}, nil
	}
	return []record.Call{in, c.outward(in, l)}, nil
}

// outward is the edge's call to the service. Queueing at the edge is not part of it.
func (c *Collector) outward(in record.Call, l line) record.Call {
	out := in
	out.Src, out.Dst, out.Side = c.topo.Edge, l.BE, "client"
	out.Conn = 0 // HAProxy does not log which server connection it used
	out.Flags = append([]string(nil), in.Flags...)
	out.DurationUS = span(l.TC) + span(l.TR) + span(l.TD)
	out.FirstByteUS = span(l.TC) + span(l.TR)
	if l.TR < 0 { // no answer: the status is the edge's own
		out.Status, out.FirstByteUS, out.BytesOut = 0, 0, 0
		if out.DurationUS == 0 {
			out.DurationUS = in.DurationUS
		}
	}
	if strings.HasPrefix(l.TS, "s") {
		out.Flags = append(out.Flags, "timeout")
	}
	if n, _ := strconv.Atoi(strings.TrimPrefix(l.RC, "+")); n > 0 {
		out.Attempt = n
		out.Flags = append(out.Flags, "retry")
	}
	return out
}

// noDash: HAProxy writes "-" for what is not there.
func noDash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

func positive(v int) int {
	if v < 0 {
		return 0
	}
	return v
}

// span is whole milliseconds in microseconds; -1 means that it did not come so far.
func span(ms int64) int64 {
	if ms < 0 {
		return 0
	}
	return ms * 1000
}
