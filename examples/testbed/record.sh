#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Makes one recording in real time: installs what is missing, builds the testbed, draws the plan,
# records the pieces that are not there yet, merges and packs. Call it again after an interruption:
# finished pieces stay, the one that was cut is made anew.
set -euo pipefail

usage() {
    cat <<'EOF'
usage: record.sh --topology FILE --scenario FILE --seed N --out DIR [options]
  --index I      which recording of a set of three, 1..3 (default 1): decides which attack
                 classes come twice
  --minutes M    length, at least (default: the scenario's)
  --payloads F   CSV with XSS payloads (default: a small grammar)
  --net N        third byte of the services' addresses 127.0.N.x (default 1)
  --plan-only    draw and show the plan, record nothing
EOF
}

here=$(cd "$(dirname "$0")" && pwd)
topology='' scenario='' seed='' out='' index=1 minutes=0 net=1 payloads='' plan_only=''
while [ $# -gt 0 ]; do
    case "$1" in
        --topology) topology=$2; shift 2 ;;
        --scenario) scenario=$2; shift 2 ;;
        --seed) seed=$2; shift 2 ;;
        --out) out=$2; shift 2 ;;
        --index) index=$2; shift 2 ;;
        --minutes) minutes=$2; shift 2 ;;
        --payloads) payloads=$2; shift 2 ;;
        --net) net=$2; shift 2 ;;
        --plan-only) plan_only=1; shift ;;
        -h | --help) usage; exit 0 ;;
        *) echo "record.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
done
if [ -z "$topology" ] || [ -z "$scenario" ] || [ -z "$seed" ] || [ -z "$out" ]; then
    usage >&2
    exit 2
fi

# A bare name means a file that is shipped.
[ -f "$topology" ] || topology="$here/topologies/$topology.json"
[ -f "$scenario" ] || scenario="$here/scenarios/$scenario.json"

install_missing() {
    local want=() pair
    for pair in haproxy:haproxy wrk:wrk hey:hey hydra:hydra slowhttptest:slowhttptest \
        siege:siege ab:apache2-utils xz:xz-utils go:golang-go; do
        command -v "${pair%%:*}" >/dev/null || [ -x "/usr/sbin/${pair%%:*}" ] || want+=("${pair#*:}")
    done
    [ ${#want[@]} -eq 0 ] && return
    echo "record.sh: installing ${want[*]}" >&2
    # policy-rc.d: the packages' own daemons must not start, the testbed runs its own HAProxy
    local policy=''
    if [ ! -e /usr/sbin/policy-rc.d ]; then
        policy=1
        printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
        chmod +x /usr/sbin/policy-rc.d
    fi
    local failed=0
    DEBIAN_FRONTEND=noninteractive apt-get update -qq || failed=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${want[@]}" >&2 || failed=1
    [ -n "$policy" ] && rm -f /usr/sbin/policy-rc.d
    return $failed
}

install_missing
export PATH="$PATH:/usr/sbin"
mkdir -p "$out"
out=$(cd "$out" && pwd)
bin="${TESTBED_BUILD:-$out/.build}/testbed"
mkdir -p "$(dirname "$bin")"
(cd "$here" && CGO_ENABLED=0 go build -buildvcs=false -o "$bin" .)

# The plan depends on nothing but these arguments, so drawing it again changes nothing.
"$bin" plan --topology "$topology" --scenario "$scenario" --seed "$seed" --index "$index" \
    --minutes "$minutes" --out "$out/plan.json"
[ -n "$plan_only" ] && exit 0

ulimit -n "$(ulimit -Hn)" || true
"$bin" record --topology "$topology" --scenario "$scenario" --plan "$out/plan.json" --out "$out" \
    --net "$net" ${payloads:+--payloads "$payloads"} &
child=$!
# the recorder ends all its children, and they end with it even when it is killed
trap 'kill -TERM $child 2>/dev/null; wait $child; exit 130' INT TERM
wait $child
trap - INT TERM

"$bin" check --topology "$topology" --dir "$out"
xz -T2 -6 -k -f "$out/calls.jsonl" "$out/gauges.jsonl"
rm -f "$out/calls.jsonl" "$out/gauges.jsonl"
ls -l "$out"/*.xz >&2
