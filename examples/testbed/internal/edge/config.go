// SPDX-License-Identifier: Apache-2.0

// Package edge runs HAProxy in front of the services, turns its log lines into call records and
// its connection table into gauges.
package edge

import (
	"fmt"
	"os"
	"strings"

	"stgraph/testbed/internal/topo"
)

// headerTimeout is how long HAProxy waits for a complete header.
const headerTimeout = "40s"

// logFormat: seconds and microseconds are two fields, because %[date_us] is not padded with zeros;
// both are taken when the line is written, which is the end of the request.
const logFormat = `{"s":%[date],"us":%[date_us],"ci":"%ci","cp":%cp,"rt":"%[var(txn.route)]",` +
	`"st":%ST,"ta":%Ta,"tw":%Tw,"tc":%Tc,"tr":%Tr,"td":%Td,"be":"%b","sv":"%s","u":%U,"b":%B,` +
	`"rc":"%rc","ts":"%ts","user":"%[capture.res.hdr(0)]","inj":"%[capture.res.hdr(1)]"}`

// Config is the text of HAProxy's configuration for a topology.
func Config(t *topo.Topology, net int, socket, logAddr string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `global
  nbthread 1
  maxconn 4000
  stats socket %s mode 600 level admin
  log %s len 2048 format raw local0
defaults
  mode http
  log global
  option forwardfor
  retries 2
  timeout connect 1s
  timeout client 90s
  timeout server 10s
  timeout queue 5s
  timeout http-request %s
  timeout http-keep-alive 30s
frontend %s
  bind %s
  declare capture response len 32
  declare capture response len 4
  http-response capture res.hdr(x-user) id 0
  http-response capture res.hdr(x-injection) id 1
  http-response del-header x-user
  http-response del-header x-injection
`, socket, logAddr, headerTimeout, t.Edge, t.Addr(t.Edge, net))
	for i, r := range t.Routes {
		fmt.Fprintf(&b, "  acl r%d path %s\n  acl m%d method %s\n", i, r.Path(), i, r.Method())
	}
	fmt.Fprintf(&b, "  http-request set-var(txn.route) str(other)\n")
	for i, r := range t.Routes {
		fmt.Fprintf(&b, "  http-request set-var(txn.route) str(\"%s\") if r%d m%d\n", r.Route, i, i)
	}
	fmt.Fprintf(&b, "  log-format %s\n", quote(logFormat))
	for i, r := range t.Routes {
		fmt.Fprintf(&b, "  use_backend %s if r%d\n", r.Service, i)
	}
	fmt.Fprintf(&b, "  default_backend %s\n", t.Default)
	seen := map[string]bool{}
	for _, r := range append(t.Routes[:len(t.Routes):len(t.Routes)], topo.EdgeRoute{Service: t.Default}) {
		if !seen[r.Service] {
			seen[r.Service] = true
			fmt.Fprintf(&b, "backend %s\n  server %s-1 %s maxconn 256\n", r.Service, r.Service, t.Addr(r.Service, net))
		}
	}
	return b.String()
}

// quote makes one configuration word: HAProxy wants blanks and quotes escaped.
func quote(s string) string {
	return strings.NewReplacer(`\`, `\\`, ` `, `\ `, `"`, `\"`).Replace(s)
}

// WriteConfig puts the configuration into a file.
func WriteConfig(path string, t *topo.Topology, net int, socket, logAddr string) error {
	return os.WriteFile(path, []byte(Config(t, net, socket, logAddr)), 0o644)
}
