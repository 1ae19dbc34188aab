// SPDX-License-Identifier: Apache-2.0

// Package topo reads a topology: services, their routes with costs and call trees, what the edge
// exposes, and how a client's session walks over the exposed routes.
package topo

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Call is one RPC that a route makes.
type Call struct {
	To        string  `json:"to"`
	Route     string  `json:"route"`
	P         float64 `json:"p,omitempty"`
	Times     int     `json:"times,omitempty"`
	TimeoutMS int     `json:"timeout_ms,omitempty"`
	Retries   int     `json:"retries,omitempty"`
	Optional  bool    `json:"optional,omitempty"`
	When      string  `json:"when,omitempty"`
}

// Route is one operation of a service: its own cost, then stages of calls; the calls of a stage
// run in parallel, the stages one after the other.
type Route struct {
	Name     string   `json:"name"`
	Kind     string   `json:"kind,omitempty"`
	SleepMS  float64  `json:"sleep_ms"`
	Sigma    float64  `json:"sigma,omitempty"`
	CPUUS    float64  `json:"cpu_us,omitempty"`
	Error    float64  `json:"error,omitempty"`
	InBytes  int      `json:"in_bytes,omitempty"`
	OutBytes int      `json:"out_bytes,omitempty"`
	Stages   [][]Call `json:"stages,omitempty"`
}

// Service is one process.
type Service struct {
	Name    string  `json:"name"`
	Workers int     `json:"workers"`
	Pool    int     `json:"pool"`
	Routes  []Route `json:"routes"`
}

// EdgeRoute is a route that the edge forwards to a service.
type EdgeRoute struct {
	Route   string `json:"route"`
	Service string `json:"service"`
	Kind    string `json:"kind,omitempty"`
	Param   string `json:"param,omitempty"`
	Costly  bool   `json:"costly,omitempty"`
}

// Method is the first word of the route's name.
func (r EdgeRoute) Method() string { return strings.SplitN(r.Route, " ", 2)[0] }

// Path is the second word of the route's name.
func (r EdgeRoute) Path() string { return strings.SplitN(r.Route, " ", 2)[1] }

// Session is the Markov walk of a client.
type Session struct {
	PerSecond   float64                       `json:"per_second"`
	Start       map[string]float64            `json:"start"`
	Next        map[string]map[string]float64 `json:"next"`
	ThinkS      float64                       `json:"think_s"`
	ThinkSigma  float64                       `json:"think_sigma"`
	Assets      map[string]float64            `json:"assets"`
	AssetRoute  string                        `json:"asset_route"`
	LoginFailed float64                       `json:"login_failed"`
	Missing     float64                       `json:"missing"`
	Groups      int                           `json:"groups"`
	Hosts       int                           `json:"hosts"`
	Newcomers   float64                       `json:"newcomers"` // share of sessions
}

// Topology is the whole file.
type Topology struct {
	Name     string      `json:"name"`
	Edge     string      `json:"edge"`
	Default  string      `json:"default"`
	Services []Service   `json:"services"`
	Routes   []EdgeRoute `json:"routes"`
	Session  Session     `json:"session"`
}

// End is the word that ends a session in Session.Next.
const End = "end"

// Load reads and checks a topology file.
func Load(path string) (*Topology, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t := &Topology{}
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.fill()
	if err := t.Check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// fill sets what the file left out.
func (t *Topology) fill() {
	for i := range t.Services {
		s := &t.Services[i]
		for j := range s.Routes {
			for _, stage := range s.Routes[j].Stages {
				for k := range stage {
					fillCall(&stage[k])
				}
			}
		}
	}
}

func fillCall(c *Call) {
	if c.P == 0 {
		c.P = 1
	}
	if c.Times == 0 {
		c.Times = 1
	}
	if c.TimeoutMS == 0 {
		c.TimeoutMS = 1000
	}
}

// Service finds a service by name, or nil.
func (t *Topology) Service(name string) *Service {
	for i := range t.Services {
		if t.Services[i].Name == name {
			return &t.Services[i]
		}
	}
	return nil
}

// Route finds a service's route by name, or nil.
func (s *Service) Route(name string) *Route {
	for i := range s.Routes {
		if s.Routes[i].Name == name {
			return &s.Routes[i]
		}
	}
	return nil
}

// EdgeRoute finds an exposed route by name, or nil.
func (t *Topology) EdgeRoute(name string) *EdgeRoute {
	for i := range t.Routes {
		if t.Routes[i].Route == name {
			return &t.Routes[i]
		}
	}
	return nil
}

// ByKind lists the exposed routes of a kind ("login", "register", "asset").
func (t *Topology) ByKind(kind string) []EdgeRoute {
	var out []EdgeRoute
	for _, r := range t.Routes {
		if r.Kind == kind {
			out = append(out, r)
		}
	}
	return out
}

// Nodes names every node of the graph, the edge first.
func (t *Topology) Nodes() []string {
	out := []string{t.Edge}
	for _, s := range t.Services {
		out = append(out, s.Name)
	}
	return out
}

// Addr is where a node listens; net is the third byte of the address, so that two testbeds can
// run beside each other.
func (t *Topology) Addr(node string, net int) string {
	if node == t.Edge {
		return fmt.Sprintf("127.0.%d.250:18080", net)
	}
	for i := range t.Services {
		if t.Services[i].Name == node {
			return fmt.Sprintf("127.0.%d.%d:19000", net, i+1)
		}
	}
	return ""
}
