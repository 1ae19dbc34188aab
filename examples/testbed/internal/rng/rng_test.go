// SPDX-License-Identifier: Apache-2.0

package rng

import (
	"math"
	"testing"
)

func TestStreamsAreNamedAndRepeat(t *testing.T) {
	a, b, c := New(7, "x", 1), New(7, "x", 1), New(7, "x", 2)
	for i := 0; i < 100; i++ {
		va, vb, vc := a.Uint64(), b.Uint64(), c.Uint64()
		if va != vb {
			t.Fatalf("draw %d differs for the same name", i)
		}
		if va == vc {
			t.Fatalf("draw %d is equal for two names", i)
		}
	}
}

func TestMoments(t *testing.T) {
	s := New(1, "moments")
	const n = 200000
	var norm, norm2, exp, poi, ln float64
	for i := 0; i < n; i++ {
		v := s.Norm()
		norm += v
		norm2 += v * v
		exp += s.Exp()
		poi += float64(s.Poisson(42))
		ln += s.LogNormal(5, 0.6)
	}
	check := func(name string, got, want, tol float64) {
		if math.Abs(got-want) > tol {
			t.Errorf("%s: mean %g, want %g", name, got, want)
		}
	}
	check("norm", norm/n, 0, 0.01)
	check("norm2", norm2/n, 1, 0.02)
	check("exp", exp/n, 1, 0.01)
	check("poisson", poi/n, 42, 0.1)
	check("lognormal", ln/n, 5, 0.05)
}

func TestStrataCoverEachPart(t *testing.T) {
	u := New(3, "s").Strata(9)
	seen := map[int]bool{}
	for _, v := range u {
		seen[int(v*9)] = true
	}
	if len(seen) != 9 {
		t.Fatalf("%d of 9 strata hit", len(seen))
	}
}

func TestZipfPrefersLowRanks(t *testing.T) {
	z, s := NewZipf(50, 1.0), New(2, "z")
	count := make([]int, 50)
	for i := 0; i < 50000; i++ {
		count[z.Draw(s)]++
	}
	if !(count[0] > count[4] && count[4] > count[40] && count[49] > 0) {
		t.Fatalf("not Zipf-like: %v", count)
	}
}
