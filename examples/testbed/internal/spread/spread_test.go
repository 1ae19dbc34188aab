// SPDX-License-Identifier: Apache-2.0

package spread

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// echo answers each connection with the address that it came from.
func echo(t *testing.T) net.Listener {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			io.WriteString(c, host)
			c.Close()
		}
	}()
	return l
}

func ask(t *testing.T, addr string) string {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestEachConnectionGetsAnAddress(t *testing.T) {
	l := echo(t)
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := Listen(l.Addr().String(), []string{"127.77.0.1", "127.77.0.2", "127.78.0.3"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(ctx)
	for _, want := range []string{"127.77.0.1", "127.77.0.2", "127.78.0.3", "127.77.0.1"} {
		if got := ask(t, r.Addr()); got != want {
			t.Errorf("came from %q, want %q", got, want)
		}
	}
	if r.Count() != 4 || r.First() == 0 {
		t.Errorf("count %d, first %d", r.Count(), r.First())
	}
}

func TestPaceHoldsBack(t *testing.T) {
	l := echo(t)
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := Listen(l.Addr().String(), []string{"127.77.0.1"}, 20)
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(ctx)
	start := time.Now()
	for i := 0; i < 11; i++ {
		ask(t, r.Addr())
	}
	if d := time.Since(start); d < 450*time.Millisecond || d > 1500*time.Millisecond {
		t.Errorf("11 connections at 20/s took %v", d)
	}
}

func TestPaceCanRise(t *testing.T) {
	l := echo(t)
	defer l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := Listen(l.Addr().String(), []string{"127.77.0.1"}, 0.1)
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(ctx)
	start := time.Now()
	ask(t, r.Addr()) // the first one goes at once
	done := make(chan bool)
	for i := 0; i < 10; i++ {
		go func() {
			ask(t, r.Addr())
			done <- true
		}()
	}
	time.Sleep(200 * time.Millisecond)
	if r.Count() != 1 {
		t.Errorf("%d connections at 0.1/s", r.Count())
	}
	r.SetPace(50)
	for i := 0; i < 10; i++ {
		<-done
	}
	if d := time.Since(start); d < 280*time.Millisecond || d > 2*time.Second {
		t.Errorf("took %v", d)
	}
}
