// SPDX-License-Identifier: Apache-2.0

// Package load plays the planned sessions against the edge, in real time and open loop: sessions
// arrive when the plan says, however the services fare; within a session the visitor thinks after
// each answer, as people do.
package load

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"stgraph/testbed/internal/httpc"
	"stgraph/testbed/internal/plan"
	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/topo"
)

// Player plays sessions.
type Player struct {
	Topo     *topo.Topology
	Target   string
	At       func(planSeconds float64) time.Time // plan time to wall time
	Requests int64
	Failures int64
}

// Play starts every session at its time and returns when the context ends.
func (p *Player) Play(ctx context.Context, sessions []plan.Session) {
	var wg sync.WaitGroup
	for i := range sessions {
		s := &sessions[i]
		if !sleepUntil(ctx, p.At(s.At)) {
			break
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			p.visit(ctx, s)
		}()
	}
	<-ctx.Done()
	wg.Wait()
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

const (
	agent     = "Mozilla/5.0 (X11; Linux x86_64) testbed visitor"
	patience  = 10 * time.Second
	assetWait = 40 * time.Millisecond
)

// visit walks through one session over one kept connection.
func (p *Player) visit(ctx context.Context, s *plan.Session) {
	c := &httpc.Client{From: s.Client.IP, To: p.Target, Agent: agent, Timeout: patience}
	defer c.Close()
	for _, st := range s.Steps {
		if !sleepUntil(ctx, time.Now().Add(time.Duration(st.Think*float64(time.Second)))) {
			return
		}
		r := p.Topo.EdgeRoute(st.Route)
		p.request(ctx, c, r, Form(r, s.Client.User, st), s.Client.User)
		asset := p.Topo.EdgeRoute(p.Topo.Session.AssetRoute)
		for i := 0; i < st.Assets; i++ {
			if !sleepUntil(ctx, time.Now().Add(assetWait)) {
				return
			}
			form := url.Values{"id": {fmt.Sprint((st.Seed + uint64(i)) % 997)}}
			p.request(ctx, c, asset, form, s.Client.User)
		}
	}
}

func (p *Player) request(ctx context.Context, c *httpc.Client, r *topo.EdgeRoute, form url.Values, user string) {
	if ctx.Err() != nil {
		return
	}
	atomic.AddInt64(&p.Requests, 1)
	if status, err := c.Do(ctx, r.Method(), r.Path(), form, user); err != nil || status >= 500 {
		atomic.AddInt64(&p.Failures, 1)
	}
}

// Form is what a visitor sends with a step.
func Form(r *topo.EdgeRoute, user string, st plan.Step) url.Values {
	s := rng.New(st.Seed, "form")
	form := url.Values{}
	switch {
	case r.Kind == "login":
		form.Set("user", user)
		form.Set("pass", "pw-"+user)
		if st.Bad {
			form.Set("pass", "typo")
		}
	case r.Kind == "register":
		form.Set("user", fmt.Sprintf("r%d", s.IntN(1<<30)))
		if st.Bad {
			form.Set("user", fmt.Sprintf("taken%d", s.IntN(1<<20)))
		}
		form.Set("pass", "secret")
	case r.Param != "":
		form.Set(r.Param, Words(s))
	}
	if st.Missing {
		form.Set("missing", "1")
	}
	return form
}

var vocabulary = []string{"weekend", "garden", "football", "recipe", "holiday", "music", "rain",
	"the", "a", "with", "my", "new", "best", "photo", "train", "coffee", "tomorrow", "friends",
	"scripting course", "1 < 2", "rock & roll", "50% off", "it's", "\"quoted\"", "C++", "a=b"}

// Words is a harmless text, with some signs that only look like markup.
func Words(s *rng.Stream) string {
	text := ""
	for n := 1 + s.IntN(8); n > 0; n-- {
		if text != "" {
			text += " "
		}
		text += vocabulary[s.IntN(len(vocabulary))]
	}
	return text
}
