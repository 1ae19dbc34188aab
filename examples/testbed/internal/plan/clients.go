// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/topo"
)

// Client is one outside address with the user who sits behind it.
type Client struct {
	IP   string
	User string
}

// Population is everybody outside: the /24 groups and hosts that legitimate clients use, groups
// that only newcomers and flash crowds bring, and foreign groups that only attackers have.
type Population struct {
	groups, fresh, foreign []string
	hosts                  [][]int
	groupRank, hostRank    *rng.Zipf
}

const (
	freshGroups   = 60
	foreignGroups = 200
)

// NewPopulation draws the address space. The regular clients belong to the site, whatever the
// seed, as a system keeps its customers from one day to the next; strangers are of the seed.
func NewPopulation(seed uint64, t *topo.Topology) *Population {
	s := t.Session
	p := &Population{groupRank: rng.NewZipf(s.Groups, 0.9), hostRank: rng.NewZipf(s.Hosts, 0.7)}
	r := rng.New(0, "regulars", t.Name)
	p.groups = drawGroups(r, s.Groups, 20, 99)
	strangers := rng.New(seed, "strangers")
	p.fresh = drawGroups(strangers, freshGroups, 100, 129)
	p.foreign = drawGroups(strangers, foreignGroups, 130, 250)
	for range p.groups {
		p.hosts = append(p.hosts, r.Perm(254)[:s.Hosts])
	}
	return p
}

func drawGroups(r *rng.Stream, n, lo, hi int) []string {
	seen, out := map[string]bool{}, []string{}
	for len(out) < n {
		g := fmt.Sprintf("127.%d.%d", lo+r.IntN(hi-lo+1), r.IntN(256))
		if !seen[g] {
			seen[g] = true
			out = append(out, g)
		}
	}
	return out
}

// Regular draws a client who comes again and again.
func (p *Population) Regular(r *rng.Stream) Client {
	g := p.groupRank.Draw(r)
	h := p.hostRank.Draw(r)
	return Client{
		IP:   fmt.Sprintf("%s.%d", p.groups[g], p.hosts[g][h]+1),
		User: fmt.Sprintf("u%d", g*len(p.hosts[g])+h),
	}
}

// Fresh draws a client who was never here: most from networks that are known, some from new ones.
func (p *Population) Fresh(r *rng.Stream) Client {
	user := fmt.Sprintf("n%d", r.IntN(1000000))
	if r.Bool(0.3) {
		return Client{IP: fmt.Sprintf("%s.%d", p.fresh[r.IntN(len(p.fresh))], 1+r.IntN(254)), User: user}
	}
	return Client{IP: p.unused(r), User: user}
}

// unused draws an address of a known network that no regular client has.
func (p *Population) unused(r *rng.Stream) string {
	g := p.groupRank.Draw(r)
	taken := map[int]bool{}
	for _, h := range p.hosts[g] {
		taken[h] = true
	}
	h := r.IntN(254)
	for taken[h] {
		h = (h + 1) % 254
	}
	return fmt.Sprintf("%s.%d", p.groups[g], h+1)
}

// Attackers draws n distinct addresses, every second one from a network that legitimate clients
// use. None is the address of a regular client, so that the truth can count their requests.
func (p *Population) Attackers(r *rng.Stream, n int) []string {
	seen, out := map[string]bool{}, []string{}
	foreign := p.foreign[r.IntN(len(p.foreign)/2):]
	spread := 1 + r.IntN(len(foreign))
	for len(out) < n {
		ip := fmt.Sprintf("%s.%d", foreign[r.IntN(spread)], 1+r.IntN(254))
		if len(out)%2 == 0 {
			ip = p.unused(r)
		}
		if !seen[ip] {
			seen[ip] = true
			out = append(out, ip)
		}
	}
	return out
}
