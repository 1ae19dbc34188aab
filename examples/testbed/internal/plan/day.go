// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"math"

	"stgraph/testbed/internal/rng"
	"stgraph/testbed/internal/scenario"
)

// Day is the day pattern: an asymmetric wave in the log domain, mean 1, peak:trough = swing.
type Day struct {
	length, scale, mean float64
}

func wave(x float64) float64 {
	return math.Sin(2*math.Pi*(x-0.3)) + 0.3*math.Sin(4*math.Pi*(x-0.1))
}

// NewDay solves for the amplitude that gives the swing.
func NewDay(length, swing float64) *Day {
	const n = 2000
	lo, hi := math.Inf(1), math.Inf(-1)
	for i := 0; i < n; i++ {
		w := wave(float64(i) / n)
		lo, hi = math.Min(lo, w), math.Max(hi, w)
	}
	d := &Day{length: length, scale: math.Log(swing) / (hi - lo), mean: 1}
	sum := 0.0
	for i := 0; i < n; i++ {
		sum += d.At(length * float64(i) / n)
	}
	d.mean = sum / n
	return d
}

// At is the factor at plan time t.
func (d *Day) At(t float64) float64 {
	return math.Exp(d.scale*wave(t/d.length)) / d.mean
}

// Peak is the time of day with the largest factor.
func (d *Day) Peak() float64 {
	best, at := 0.0, 0.0
	for t := 0.0; t < d.length; t += d.length / 2000 {
		if v := d.At(t); v > best {
			best, at = v, t
		}
	}
	return at
}

// Memory is a log-AR(1) process of mean 1, sampled every memoryStep seconds and linear between.
type Memory struct {
	value []float64
}

const (
	memoryStep = 5.0
	memoryPast = 300.0 // sampled from this long before plan time 0, so that the lead-in has values
)

// NewMemory draws the process for a whole recording.
func NewMemory(seed uint64, m scenario.Memory, length float64) *Memory {
	s := rng.New(seed, "memory")
	n := int((length+2*memoryPast)/memoryStep) + 2
	phi := math.Exp(-memoryStep / m.TauS)
	x, out := m.SD*s.Norm(), make([]float64, n)
	for i := range out {
		out[i] = math.Exp(x - m.SD*m.SD/2)
		x = phi*x + m.SD*math.Sqrt(1-phi*phi)*s.Norm()
	}
	return &Memory{value: out}
}

// At is the factor at plan time t.
func (m *Memory) At(t float64) float64 {
	p := math.Max(0, (t+memoryPast)/memoryStep)
	i := int(p)
	if i >= len(m.value)-1 {
		return m.value[len(m.value)-1]
	}
	f := p - float64(i)
	return m.value[i]*(1-f) + m.value[i+1]*f
}
