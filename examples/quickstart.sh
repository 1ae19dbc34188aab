#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From a bare Debian 12 to incidents: installs what is missing, builds, learns normal traffic from a
# recording of a small microservice system, watches a recording with attacks and shows what it found.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tests/setup.sh
. tests/setup.sh

data=examples/data
model=build/quickstart.stg
program=build/examples/cli/stgraph

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

stg_need "${STG_BUILD_NEEDS[@]}" 'xz|xz-utils'
stg_environment

SECONDS=0
say '1. Build'
mkdir -p build
# shellcheck disable=SC2119
stg_build_release >build/quickstart.log 2>&1 || { tail -n 30 build/quickstart.log; exit 1; }
echo "$program is there after $SECONDS s"

say '2. Learn what normal looks like'
echo "$program learn --calls $data/normal/calls.jsonl.xz --gauges $data/normal/gauges.jsonl.xz --window 5 --day 600 --out $model"
"$program" learn --calls "$data/normal/calls.jsonl.xz" --gauges "$data/normal/gauges.jsonl.xz" \
    --window 5 --day 600 --out "$model"
"$program" inspect "$model"

say '3. Watch another recording, with attacks in it'
echo "$program watch --model $model --calls $data/attacks-a/calls.jsonl.xz --gauges $data/attacks-a/gauges.jsonl.xz --human"
"$program" watch --model "$model" --calls "$data/attacks-a/calls.jsonl.xz" \
    --gauges "$data/attacks-a/gauges.jsonl.xz" --human

say '4. Compare with what really happened'
"$program" eval recording "$data/attacks-a" --model "$model" --incidents

say "Done in $SECONDS s. What to try next:"
cat <<END
  $program watch --model $model --calls $data/attacks-b/calls.jsonl.xz --gauges $data/attacks-b/gauges.jsonl.xz
      one JSON object a line for your own tools; --false-alarms-per-day X is the only knob
  $program graph --calls $data/attacks-a/calls.jsonl.xz --window 60 --format dot | dot -Tsvg > graph.svg
      the service graph as a picture
  examples/testbed/record.sh --topology shop --scenario normal --seed 1 --out /tmp/shop
      record another system in real time, and learn that
  tail -F access.jsonl | $program watch --model $model --calls - --human
      your own traffic: doc/files.md tells the format, doc/embedding.md how to link the library
END
