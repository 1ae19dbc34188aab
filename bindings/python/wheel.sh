#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the wheel: the package, the library, and the cJSON that the library needs.
# usage: [PYTHON=python3] wheel.sh LIBRARY FOLDER      the wheel goes to FOLDER; PYTHON has pip, setuptools, wheel
set -euo pipefail
[ $# -eq 2 ] || { sed -n 's/^# //p' "$0" >&2; exit 2; }
library=$(readlink -f "$1")
mkdir -p "$2"
folder=$(readlink -f "$2")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp -r "$here/pyproject.toml" "$here/setup.py" "$here/README.md" "$here/libstgraph" "$work"
rm -rf "$work/libstgraph/__pycache__"
cp "$here/../../LICENSE" "$work/libstgraph/LICENSE"
cp "$library" "$work/libstgraph/libstgraph.so.0"
# Everything it needs that is not the C library's own comes along.
ldd "$library" | awk '$2 == "=>" && $1 !~ /^(libc|libm|libpthread|ld-linux.*)\.so/ {print $1, $3}' |
    while read -r name path; do
        cp -L "$path" "$work/libstgraph/$name"
        copyright=/usr/share/doc/$({ dpkg -S "$(readlink -f "$path")" 2>/dev/null || true; } | cut -d: -f1)/copyright
        [ ! -f "$copyright" ] || cp "$copyright" "$work/libstgraph/LICENSE.$name"
    done
cd "$work"
"${PYTHON:-python3}" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$folder" .
