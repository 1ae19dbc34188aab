#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one benchmark and prints JSON lines {"name","value","unit","peer","ratio"}; ratio is how many
# times faster than the peer. Those of "forecast" have keys of their own (forecast_bench.c). Builds what it needs in build-bench/ (release).
# Usage: tests/bench/run.sh NAME [--quick]
set -eu
cd "$(dirname "$0")/../.."

usage() {
    echo "usage: tests/bench/run.sh NAME [--quick]; names: forecast ingest push step" >&2
    exit 2
}
name=${1:-}
quick=()
case "$#${2:-}" in
1) ;;
2--quick) quick=(--quick) ;;
*) usage ;;
esac

build() {
    [ -f build-bench/build.ninja ] ||
        meson setup build-bench --buildtype=release -Dbench=true -Dtests=disabled >&2
    ninja -C build-bench "tests/bench/$1" >&2
}

case $name in
forecast)
    build forecast_bench
    edges=../shared/data/traffic/metr_la_edges.csv
    [ -e "$edges" ] || edges=
    STG_METR_LA=$edges build-bench/tests/bench/forecast_bench "${quick[@]}"
    ;;
ingest)
    build ingest_bench
    peer=()
    if command -v go >/dev/null; then
        go build -o build-bench/ingest_peer tests/bench/ingest_peer.go
        read -ra peer < <(build-bench/ingest_peer "${quick[@]}")
    else
        echo "go is not installed: no peer" >&2
    fi
    build-bench/tests/bench/ingest_bench "${quick[@]}" "${peer[@]}"
    ;;
push)
    build push_bench
    ninja -C build-bench >&2 # the shared library too
    # NumPy may belong to the system's Python only.
    python=python3
    python3 -c 'import numpy' 2>/dev/null || python=/usr/bin/python3
    "$python" tests/bench/push_bench.py build-bench "${quick[@]}"
    ;;
step)
    build step_bench
    # The peer is timed on one thread, with the kernels that BLAS chooses by itself.
    env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE OPENBLAS_NUM_THREADS=1 \
        build-bench/tests/bench/step_bench "${quick[@]}"
    ;;
*) usage ;;
esac
