// SPDX-License-Identifier: Apache-2.0

package topo

import (
	"fmt"
	"math"
	"strings"
)

// Check says what is wrong with a topology: unknown names, cycles, probabilities that do not add
// up. A testbed with a hole in its call tree would record something else than its file says.
func (t *Topology) Check() error {
	if len(t.Services) == 0 || t.Edge == "" {
		return fmt.Errorf("no services or no edge")
	}
	seen := map[string]bool{t.Edge: true, "external": true}
	for _, s := range t.Services {
		if seen[s.Name] {
			return fmt.Errorf("name %q is used twice", s.Name)
		}
		seen[s.Name] = true
		if s.Workers <= 0 || s.Pool <= 0 {
			return fmt.Errorf("%s: workers and pool must be positive", s.Name)
		}
	}
	if t.Service(t.Default) == nil {
		return fmt.Errorf("default service %q is unknown", t.Default)
	}
	if err := t.checkCalls(); err != nil {
		return err
	}
	if err := t.checkExposed(); err != nil {
		return err
	}
	return t.checkSession()
}

func (t *Topology) checkCalls() error {
	for _, s := range t.Services {
		for _, r := range s.Routes {
			if len(strings.Fields(r.Name)) != 2 {
				return fmt.Errorf("%s: route %q is not METHOD /path", s.Name, r.Name)
			}
			for _, stage := range r.Stages {
				for _, c := range stage {
					to := t.Service(c.To)
					if to == nil || to.Route(c.Route) == nil {
						return fmt.Errorf("%s %s calls unknown %s %s", s.Name, r.Name, c.To, c.Route)
					}
				}
			}
		}
	}
	return t.checkDepth()
}

// checkDepth finds cycles: level by level the set of (service, route) that is reached; a tree of
// n routes has no path longer than n.
func (t *Topology) checkDepth() error {
	level, routes := map[string]*Route{}, 0
	for i := range t.Services {
		s := &t.Services[i]
		for j := range s.Routes {
			level[s.Name+" "+s.Routes[j].Name] = &s.Routes[j]
			routes++
		}
	}
	for depth := 0; len(level) > 0; depth++ {
		if depth > routes {
			return fmt.Errorf("the call tree has a cycle")
		}
		next := map[string]*Route{}
		for _, r := range level {
			for _, stage := range r.Stages {
				for _, c := range stage {
					next[c.To+" "+c.Route] = t.Service(c.To).Route(c.Route)
				}
			}
		}
		level = next
	}
	return nil
}

func (t *Topology) checkExposed() error {
	paths := map[string]string{}
	for _, r := range t.Routes {
		if s := t.Service(r.Service); s == nil || s.Route(r.Route) == nil {
			return fmt.Errorf("the edge exposes unknown %s %s", r.Service, r.Route)
		}
		if other, ok := paths[r.Path()]; ok && other != r.Service {
			return fmt.Errorf("path %s goes to two services", r.Path())
		}
		paths[r.Path()] = r.Service
	}
	for _, kind := range []string{"login", "register", "asset"} {
		if len(t.ByKind(kind)) == 0 {
			return fmt.Errorf("no exposed route of kind %q", kind)
		}
	}
	return nil
}

func (t *Topology) checkSession() error {
	s := t.Session
	if s.PerSecond <= 0 || s.Groups <= 0 || s.Hosts <= 0 || s.ThinkS <= 0 {
		return fmt.Errorf("session: per_second, groups, hosts and think_s must be positive")
	}
	if s.Newcomers < 0 || s.Newcomers > 1 {
		return fmt.Errorf("session: newcomers must be a share from 0 to 1")
	}
	if t.EdgeRoute(s.AssetRoute) == nil {
		return fmt.Errorf("session: asset route %q is not exposed", s.AssetRoute)
	}
	if err := t.checkRow("start", s.Start); err != nil {
		return err
	}
	for from, row := range s.Next {
		if err := t.checkRow(from, row); err != nil {
			return err
		}
		for to := range row {
			if to != End && s.Next[to] == nil {
				return fmt.Errorf("session: %q has no next", to)
			}
		}
	}
	return nil
}

func (t *Topology) checkRow(name string, row map[string]float64) error {
	sum := 0.0
	for to, p := range row {
		if to != End && t.EdgeRoute(to) == nil {
			return fmt.Errorf("session %s: route %q is not exposed", name, to)
		}
		sum += p
	}
	if math.Abs(sum-1) > 1e-6 {
		return fmt.Errorf("session %s: probabilities add up to %g", name, sum)
	}
	return nil
}
