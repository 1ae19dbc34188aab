// SPDX-License-Identifier: Apache-2.0

// Command testbed is a small system of microservices under load and attack, and its recorder.
// record.sh drives it; see README.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

var commands = []struct {
	name, help string
	run        func(context.Context, *flag.FlagSet, []string) error
}{
	{"plan", "write what will happen: --topology F --scenario F --seed N --index I --of N --minutes M --out FILE", cmdPlan},
	{"record", "record the pieces of a plan that are missing, then merge: --topology F --scenario F --plan F --out DIR", cmdRecord},
	{"service", "run one service (record starts these)", cmdService},
	{"spread", "relay --listen to --to from the addresses --from A,B,...", cmdSpread},
	{"quota", "check that plans together hold what a judged set needs: PLAN PLAN PLAN", cmdQuota},
	{"check", "check a finished recording: --dir DIR --topology F", cmdCheck},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 {
		for _, c := range commands {
			if c.name == os.Args[1] {
				if err := c.run(ctx, flag.NewFlagSet(c.name, flag.ExitOnError), os.Args[2:]); err != nil {
					fmt.Fprintf(os.Stderr, "testbed %s: %v\n", c.name, err)
					os.Exit(1)
				}
				return
			}
		}
	}
	fmt.Fprintln(os.Stderr, "usage: testbed COMMAND [flags]")
	for _, c := range commands {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", c.name, c.help)
	}
	os.Exit(2)
}
