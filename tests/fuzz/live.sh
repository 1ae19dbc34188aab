#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# One live target for some seconds of processor time, whatever else the machine does meanwhile:
# live.sh BUILD TARGET SECONDS. Starts from tests/corpus/TARGET and what earlier runs left in
# BUILD/corpus. Inputs that broke it stand in BUILD/found. The last line says how far it came.
set -u
cd "$(dirname "$0")/../.." || exit 2
build=$1 target=$2 budget=$3
program=$build/tests/fuzz/live_fuzz_$target seeds=tests/corpus/$target
corpus=$build/corpus/$target log=$build/found/$target.log
mkdir -p "$corpus" "$build/found"

# Sets `used`: the seconds that children of this shell have used (a subshell would have none).
look() {
    times >"$build/found/$target.times"
    used=$(tail -n 1 "$build/found/$target.times" | awk '{
        for (i = 1; i <= 2; i++) { split($i, t, "[ms]"); total += t[1] * 60 + t[2] }
        printf "%d\n", total }')
}

# edges MARK FILE: the coverage that libFuzzer says at this point.
edges() { sed -n "s/^#[0-9]*\t$1 *cov: \([0-9]*\).*/\1/p" "$2" | tail -n 1; }

# Counting features for every input that is rarely hit costs more than it finds here.
flags=(-timeout=5 -rss_limit_mb=2048 -max_len=8192 -len_control=10 -entropic=0 -print_final_stats=1
    "-artifact_prefix=$build/found/$target-")

"$program" "${flags[@]}" -runs=0 "$seeds" >"$log" 2>&1 || { tail -n 60 "$log"; exit 1; }
first=$(edges INITED "$log") runs=0 new=0 status=0 now=$first
look
while [ "$used" -lt "$budget" ] && [ $status -eq 0 ]; do
    "$program" "${flags[@]}" -max_total_time=$((budget - used)) "$corpus" "$seeds" >"$log" 2>&1 || status=1
    runs=$((runs + $(sed -n 's/^stat::number_of_executed_units: *//p' "$log")))
    new=$((new + $(sed -n 's/^stat::new_units_added: *//p' "$log")))
    now=$(sed -n 's/^#[0-9]*\t.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    look
done
[ $status -eq 0 ] || grep -v '^#[0-9]' "$log" | tail -n 60
echo "$target: $runs inputs in $used s of processor time, $first edges by the seeds, $now now," \
    "$new inputs added, $([ $status -eq 0 ] && echo nothing found || echo BROKEN)"
exit $status
