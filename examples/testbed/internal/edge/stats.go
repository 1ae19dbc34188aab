// SPDX-License-Identifier: Apache-2.0

package edge

import (
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"stgraph/testbed/internal/record"
)

// command asks HAProxy's runtime API one thing.
func command(socket, text string) (string, error) {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, text+"\n"); err != nil {
		return "", err
	}
	data, err := io.ReadAll(c)
	return string(data), err
}

// Requests is HAProxy's own count of requests at a frontend, for the ledger.
func Requests(socket, frontend string) (int64, error) {
	text, err := command(socket, "show stat")
	if err != nil {
		return 0, err
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "# "))).ReadAll()
	if err != nil || len(rows) == 0 {
		return 0, fmt.Errorf("show stat: %v", err)
	}
	col := map[string]int{}
	for i, name := range rows[0] {
		col[name] = i
	}
	for _, r := range rows[1:] {
		if r[col["pxname"]] == frontend && r[col["svname"]] == "FRONTEND" {
			return strconv.ParseInt(r[col["req_tot"]], 10, 64)
		}
	}
	return 0, fmt.Errorf("show stat has no frontend %s", frontend)
}

type connState int

const (
	stateIdle connState = iota
	stateHeaders
	stateActive
)

type seen struct {
	state connState
	since time.Time
	mark  int
}

// Gauger turns "show fd" into gauges. HAProxy keeps no age of a state, so ages count from the poll
// that saw the state first: they are right to one poll.
type Gauger struct {
	socket, node string
	conns        map[string]*seen
	mark         int
}

// NewGauger reads from a stats socket.
func NewGauger(socket, node string) *Gauger {
	return &Gauger{socket: socket, node: node, conns: map[string]*seen{}}
}

// Poll takes the state now.
func (g *Gauger) Poll() (record.Gauge, error) {
	text, err := command(g.socket, "show fd")
	if err != nil {
		return record.Gauge{}, err
	}
	return g.fold(text, time.Now()), nil
}

func (g *Gauger) fold(text string, now time.Time) record.Gauge {
	out := record.Gauge{TimeNS: record.EndOf(now), Producer: g.node + "-1", Node: g.node}
	g.mark++
	for _, l := range strings.Split(text, "\n") {
		key, state, ok := parseFD(l, g.node)
		if !ok {
			continue
		}
		s := g.conns[key]
		if s == nil || s.state != state {
			s = &seen{state: state, since: now}
			g.conns[key] = s
		}
		s.mark = g.mark
		out.Open++
		add(&out, s, now)
	}
	for k, s := range g.conns {
		if s.mark != g.mark {
			delete(g.conns, k)
		}
	}
	return out
}

func add(out *record.Gauge, s *seen, now time.Time) {
	age := now.Sub(s.since).Milliseconds()
	switch s.state {
	case stateIdle:
		out.Idle++
		return
	case stateActive:
		out.Active++
		out.InFlight++
	case stateHeaders:
		out.WaitingHeaders++
		if age > out.OldestHeaderMS {
			out.OldestHeaderMS = age
		}
	}
	if age > out.OldestConnMS {
		out.OldestConnMS = age
	}
}

// usedBefore is the flag that HTTP/1 connections have in HAProxy 2.6 between two requests.
const usedBefore = 0x40000

// parseFD reads one line of "show fd": a client connection of the frontend is idle between two
// requests, waits for a header (nothing or part of one came), or has a request under way.
func parseFD(l, frontend string) (key string, state connState, ok bool) {
	f := map[string]string{}
	for _, w := range strings.Fields(l) {
		if i := strings.IndexByte(w, '='); i > 0 {
			f[w[:i]] = w[i+1:]
		}
	}
	if f["fe"] != frontend || f["back"] != "0" || f["mux"] != "H1" {
		return "", 0, false
	}
	key = f["owner"] + " " + f["rport"] + " " + f["ctx"]
	req, busy := f[".req.state"]
	flags, _ := strconv.ParseUint(strings.TrimPrefix(f["h1c.flg"], "0x"), 16, 64)
	switch {
	case busy && (strings.HasPrefix(req, "MSG_RQ") || strings.HasPrefix(req, "MSG_HDR")):
		return key, stateHeaders, true
	case busy:
		return key, stateActive, true
	case flags&usedBefore != 0:
		return key, stateIdle, true
	}
	return key, stateHeaders, true
}
