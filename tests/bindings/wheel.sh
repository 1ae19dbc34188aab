#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the wheel from the release build and tries it in a virtual environment that has nothing but NumPy.
set -eu
cd "$(dirname "$0")/../.."
dist=build/dist
rm -rf "$dist" build/venv
export PYTHON=/usr/bin/python3 # Debian's, for which setuptools and wheel were installed
bindings/python/wheel.sh build/lib/libstgraph.so.0 "$dist"
wheels=("$dist"/libstgraph-*-py3-none-*.whl)
if [ ${#wheels[@]} -ne 1 ] || [ ! -f "${wheels[0]}" ]; then
    ls "$dist"
    echo "no wheel, or another tag"
    exit 1
fi
"$PYTHON" -m venv build/venv
build/venv/bin/pip install --quiet "${wheels[0]}"
cd build/venv # not where the sources are
env -u STGRAPH_LIBRARY -u PYTHONPATH bin/python - ../../examples/data <<'EOF'
import sys
from pathlib import Path
import libstgraph as sg
from libstgraph import _abi
inside = Path(sg.__file__).parent
assert Path(_abi._path()).parent == inside, _abi._path()
maps = Path("/proc/self/maps").read_text()
assert str(inside / "libcjson.so.1") in maps, "the system's cJSON was taken"
calls = Path(sys.argv[1], "normal", "calls.jsonl.xz")
model = sg.learn(calls, kind="persistence", day=600)
lines = list(sg.watch(model, Path(sys.argv[1], "attacks-a", "calls.jsonl.xz")))
assert len(lines) > 10, lines
print(sg.version(), len(lines), "events")
EOF
