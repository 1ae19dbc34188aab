// SPDX-License-Identifier: Apache-2.0

// Peer of ingest_bench: what one would write in Go first, a map from edge to a struct of counters
// with a histogram of the same bins; in the second run also a set of clients and of networks per
// edge. No queue in between: the calls are read from a slice. Prints nanoseconds per call without
// and with clients, and milliseconds to make a window's numbers.
package main

import (
	"fmt"
	"math"
	"os"
	"sort"
	"syscall"
	"time"
)

const (
	edges = 10000
	calls = 1 << 17
	times = 8
	nodes = 100
	bins  = 896
)

type key struct{ src, dst, route uint32 }

type call struct {
	key
	client, duration, in, out, group uint32
	status                           uint16
	flags                            uint16
}

type edge struct {
	calls, errors, clientErrors, denied uint32
	in, out, duration                   uint64
	latency                             [bins]uint32
	clients, groups                     map[uint32]uint32
}

var state uint64 = 1

func random() uint64 {
	state = state*6364136223846793005 + 1442695040888963407
	return state >> 33
}

func draw() []call {
	share := make([]float64, edges)
	total := 0.0
	for i := range share {
		total += math.Pow(float64(i+1), -1.1)
		share[i] = total
	}
	list := make([]call, calls)
	for i := range list {
		u := float64(random()) / 2147483648.0 * total
		e := uint32(sort.SearchFloat64s(share, u)) * 7919 % edges
		list[i].key = key{1 + e/nodes, 1 + e%nodes, 0}
	}
	for i := range list {
		u := float64(random()+1) / 2147483649.0
		list[i].status = 200
		if random()%100 == 0 {
			list[i].status = 503
		}
		list[i].duration = uint32(500 * math.Pow(u, -0.7))
		list[i].in, list[i].out = 300, 2000
	}
	return list
}

var logGamma = math.Log(1.01 / 0.99)

func count(table map[key]*edge, c *call) {
	e := table[c.key]
	if e == nil {
		e = &edge{}
		table[c.key] = e
	}
	e.calls++
	switch s := c.status; {
	case s == 0 || s >= 500:
		e.errors++
	case s >= 400:
		e.clientErrors++
		if s == 401 || s == 403 || s == 429 {
			e.denied++
		}
	}
	e.in += uint64(c.in)
	e.out += uint64(c.out)
	e.duration += uint64(c.duration)
	bin := 0
	if c.duration > 1 {
		bin = int(math.Ceil(math.Log(float64(c.duration)) / logGamma))
		if bin >= bins {
			bin = bins - 1
		}
	}
	e.latency[bin]++
	if c.client != 0 {
		if e.clients == nil {
			e.clients, e.groups = map[uint32]uint32{}, map[uint32]uint32{}
		}
		e.clients[c.client]++
		e.groups[c.group]++
	}
}

func quantile(e *edge, q float64) float64 {
	rank, below := q*float64(e.calls-1), 0.0
	for k, n := range e.latency {
		if below += float64(n); below > rank {
			return 2 * math.Pow(1.01/0.99, float64(k)) / (1 + 1.01/0.99)
		}
	}
	return math.NaN()
}

type row struct{ calls, errors, p50, p99, mean, clients float64 }

func closeWindow(table map[key]*edge, rows map[key]row) {
	for k, e := range table {
		if e.calls > 0 {
			rows[k] = row{float64(e.calls), float64(e.errors), quantile(e, .5), quantile(e, .99),
				float64(e.duration) / float64(e.calls), float64(len(e.clients))}
		}
		*e = edge{}
	}
}

// Processor time of all threads, the garbage collector's too.
func now() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func median(times []float64) float64 {
	sort.Float64s(times)
	return (times[(len(times)-1)/2] + times[len(times)/2]) / 2
}

func measure(list []call, rounds int) (float64, float64) {
	table, rows := map[key]*edge{}, map[key]row{}
	var pushes, closes []float64
	for round := -1; round < rounds; round++ {
		start := now()
		for t := 0; t < times; t++ {
			for i := range list {
				count(table, &list[i])
			}
		}
		took := float64((now() - start).Nanoseconds()) / (calls * times)
		start = now()
		closeWindow(table, rows)
		closed := float64((now() - start).Nanoseconds()) / 1e6
		if round >= 0 {
			pushes, closes = append(pushes, took), append(closes, closed)
		}
	}
	return median(pushes), median(closes)
}

func main() {
	rounds := 10
	if len(os.Args) > 1 && os.Args[1] == "--quick" {
		rounds = 3
	}
	list := draw()
	plain, closed := measure(list, rounds)
	for i := range list {
		list[i].client = 1 + uint32(random()%5000)
		list[i].group = 1 + list[i].client%300
	}
	clients, _ := measure(list, rounds)
	fmt.Printf("%.3f %.3f %.3f\n", plain, clients, closed)
}
