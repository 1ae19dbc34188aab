#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the library into a root of its own and builds a program against the Go module there, with a clean
# GOPATH and cache, no network, and nothing but pkg-config to find the library.
set -eu
cd "$(dirname "$0")/../.."
top=$PWD
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
DESTDIR=$work/root meson install -C build --no-rebuild --quiet
pc=$(dirname "$(find "$work/root" -name stgraph.pc)")
mkdir "$work/host"
cat >"$work/host/go.mod" <<EOF
module host

go 1.19

require stgraph v0.0.0

replace stgraph => $top/bindings/go
EOF
cat >"$work/host/main.go" <<'EOF'
package main

import (
	"fmt"

	"stgraph"
)

func main() {
	in, err := stgraph.NewIngest(stgraph.IngestOptions{})
	if err != nil {
		panic(err)
	}
	defer in.Close()
	fmt.Println(stgraph.Version())
}
EOF
export GOPATH=$work/go GOCACHE=$work/cache GOFLAGS=-mod=mod GOPROXY=off PKG_CONFIG_PATH=$pc \
    PKG_CONFIG_SYSROOT_DIR=$work/root
lib=$(dirname "$(find "$work/root" -name libstgraph.so.0)")
cd "$work/host"
LD_LIBRARY_PATH=$lib go run .
