#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes the ABI baseline and the layout anew from the tree as it is: refresh.sh [BUILD]
# BUILD must have been made by GCC with debug information; build/ of tests/run.sh is such a one.
# Locations stay in: without them abidiff takes every type for a private one and sees no change.
# What was released must not change: look at the difference before it is committed.
set -eu
cd "$(dirname "$0")/../.."
build=${1:-build}
library=$build/lib/libstgraph.so
ninja -C "$build" >/dev/null
readelf -SW "$library" | grep -q '\.debug_info' || {
    echo "$library has no debug information" >&2
    exit 1
}
abidw --exported-interfaces-only --drop-private-types --headers-dir include --no-corpus-path \
    --no-comp-dir-path --short-locs --out-file tests/abi/stgraph-0.1.abi "$library"
python3 tests/abi/surface.py layout --source . --build "$build" >tests/abi/layout.new
mv tests/abi/layout.new tests/abi/layout.c
git --no-pager diff --stat -- tests/abi 2>/dev/null || true
