// SPDX-License-Identifier: Apache-2.0

// Package proc starts child processes so that none outlives the recorder: each has a process
// group of its own, is ended by its id, and dies with its parent (PR_SET_PDEATHSIG).
package proc

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Spawner starts children from one locked thread: the kernel sends the death signal when the
// thread that forked ends, so it must be one that stays.
type Spawner struct {
	jobs chan func()
}

// NewSpawner starts the thread.
func NewSpawner() *Spawner {
	s := &Spawner{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread()
		for f := range s.jobs {
			f()
		}
	}()
	return s
}

// Child is a running process.
type Child struct {
	Name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{}
	err   error
}

// Start runs args with output appended to a log file.
func (s *Spawner) Start(log string, args ...string) (*Child, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c := &Child{Name: args[0], cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = f, f
	c.cmd.Dir = dirOf(log)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	started := make(chan error)
	s.jobs <- func() { started <- c.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return "."
}

// Say writes one line to the child's standard input.
func (c *Child) Say(format string, v ...interface{}) error {
	_, err := fmt.Fprintf(c.stdin, format+"\n", v...)
	return err
}

// Done is closed when the child has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Stop ends the child: politely, and after `grace` for good.
func (c *Child) Stop(grace time.Duration) {
	c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(grace):
		syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.done
	}
}

// RunUntil runs args and ends them when the context ends.
func (s *Spawner) RunUntil(ctx context.Context, log string, args ...string) error {
	c, err := s.Start(log, args...)
	if err != nil {
		return err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		c.Stop(500 * time.Millisecond)
		return nil
	}
}

// Lines calls f for each line of standard input and returns at its end: how a child listens to Say.
func Lines(in io.Reader, f func(string)) {
	for sc := bufio.NewScanner(in); sc.Scan(); {
		f(sc.Text())
	}
}
