// SPDX-License-Identifier: Apache-2.0

// Package rng gives named, independent streams of random numbers from one seed. Every draw of
// the testbed comes from here, so that a plan depends on (topology, scenario, seed) only: not on
// the Go release, not on the order in which goroutines run, not on where a recording is cut.
package rng

import (
	"fmt"
	"hash/fnv"
	"math"
)

// Stream is a SplitMix64 generator; its zero value is not useful, use New.
type Stream struct {
	state uint64
}

func mix(z uint64) uint64 {
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb
	return z ^ (z >> 31)
}

// New derives the stream that the labels name from the seed.
func New(seed uint64, labels ...interface{}) *Stream {
	h := fnv.New64a()
	for _, l := range labels {
		fmt.Fprintf(h, "%v\x00", l)
	}
	return &Stream{state: mix(seed+0x9e3779b97f4a7c15) ^ h.Sum64()}
}

// Uint64 returns 64 uniform bits.
func (s *Stream) Uint64() uint64 {
	s.state += 0x9e3779b97f4a7c15
	return mix(s.state)
}

// Float returns a uniform number in [0, 1).
func (s *Stream) Float() float64 {
	return float64(s.Uint64()>>11) / (1 << 53)
}

// Range returns a uniform number in [lo, hi).
func (s *Stream) Range(lo, hi float64) float64 {
	return lo + (hi-lo)*s.Float()
}

// LogRange returns a log-uniform number in [lo, hi).
func (s *Stream) LogRange(lo, hi float64) float64 {
	return lo * math.Exp(s.Float()*math.Log(hi/lo))
}

// IntN returns a uniform integer in [0, n); n must be positive.
func (s *Stream) IntN(n int) int {
	return int(s.Uint64() % uint64(n))
}

// Bool is true with probability p.
func (s *Stream) Bool(p float64) bool {
	return s.Float() < p
}

// Norm returns a standard normal number (Box-Muller, one half used).
func (s *Stream) Norm() float64 {
	u := 1 - s.Float()
	return math.Sqrt(-2*math.Log(u)) * math.Cos(2*math.Pi*s.Float())
}

// Exp returns an exponential number of mean 1.
func (s *Stream) Exp() float64 {
	return -math.Log(1 - s.Float())
}

// LogNormal returns a log-normal number with the given mean and log-scale sigma.
func (s *Stream) LogNormal(mean, sigma float64) float64 {
	return mean * math.Exp(sigma*s.Norm()-sigma*sigma/2)
}

// Poisson returns a Poisson number. Beyond a mean of 30 it splits the mean, which keeps the
// product method exact and its loop short.
func (s *Stream) Poisson(mean float64) int {
	n := 0
	for mean > 30 {
		n += s.Poisson30(30)
		mean -= 30
	}
	return n + s.Poisson30(mean)
}

// Poisson30 is Poisson for means up to 30.
func (s *Stream) Poisson30(mean float64) int {
	limit, p, n := math.Exp(-mean), s.Float(), 0
	for p > limit {
		p *= s.Float()
		n++
	}
	return n
}

// Perm returns a random permutation of 0..n-1.
func (s *Stream) Perm(n int) []int {
	p := make([]int, n)
	for i := range p {
		j := s.IntN(i + 1)
		p[i] = p[j]
		p[j] = i
	}
	return p
}

// Strata returns n numbers in [0, 1), one in each n-th, in random order: each is uniform by
// itself, together they cover the range evenly, so that a few draws show weak and strong ones.
func (s *Stream) Strata(n int) []float64 {
	out := make([]float64, n)
	for i, k := range s.Perm(n) {
		out[i] = (float64(k) + s.Float()) / float64(n)
	}
	return out
}

// Zipf draws ranks 0..n-1 with probability proportional to 1/(rank+1)^exponent.
type Zipf struct {
	cum []float64
}

// NewZipf prepares the cumulative weights.
func NewZipf(n int, exponent float64) *Zipf {
	z := &Zipf{cum: make([]float64, n)}
	sum := 0.0
	for i := range z.cum {
		sum += math.Pow(float64(i+1), -exponent)
		z.cum[i] = sum
	}
	return z
}

// Draw returns one rank.
func (z *Zipf) Draw(s *Stream) int {
	u := s.Float() * z.cum[len(z.cum)-1]
	lo, hi := 0, len(z.cum)-1
	for lo < hi {
		m := (lo + hi) / 2
		if z.cum[m] <= u {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}
