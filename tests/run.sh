#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds and tests. With --full also what is slow: sanitizers, valgrind,
# fuzzing, static analysis, a bare machine. Ends with one line "N passed, N failed, N skipped".
set -u
cd "$(dirname "$0")/.." || exit 2
# shellcheck source=tests/setup.sh
. tests/setup.sh

full=0
case ${1:-} in
'') ;;
--full) full=1 ;;
*) echo "usage: tests/run.sh [--full]" >&2; exit 2 ;;
esac

passed=0 failed=0 skipped=0
logs=build/log
SECONDS=0

say() { printf '%4ds  %s\n' "$SECONDS" "$*"; }

# step NAME COMMAND...: one test that passes, fails, or is skipped with exit code 77.
step() {
    local name=$1 status
    shift
    say "$name"
    "$@" >"$logs/$name.log" 2>&1
    status=$?
    case $status in
    0) passed=$((passed + 1)) ;;
    77) skipped=$((skipped + 1)); say "  skipped: $(tail -n 1 "$logs/$name.log")" ;;
    *) failed=$((failed + 1)); say "  FAILED ($status), the end of $logs/$name.log:"; tail -n 40 "$logs/$name.log" ;;
    esac
    return $status
}

# suite NAME DIR ARGUMENT...: runs Meson's tests and adds up what they say.
suite() {
    local name=$1 dir=$2 log=$2/meson-logs/testlog.json p f s
    shift 2
    # With --setup the log carries the setup's name.
    case " $* " in *' --setup='*) log=${log%.json}-$(sed -n 's/.*--setup=\([a-z]*\).*/\1/p' <<<"$*").json ;; esac
    say "$name"
    rm -f "$log"
    meson test -C "$dir" --no-rebuild --print-errorlogs "$@" >"$logs/$name.log" 2>&1
    local status=$?
    if [ ! -s "$log" ]; then
        failed=$((failed + 1))
        say "  FAILED: no test ran"
        tail -n 20 "$logs/$name.log"
        return 1
    fi
    read -r p f s < <(python3 tests/tally.py "$log")
    [ $status -eq 0 ] || [ "${f:-0}" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    say "  $p passed, $f failed, $s skipped"
    [ "$s" -eq 0 ] || grep -E ' SKIP ' "$logs/$name.log"
    [ $status -eq 0 ] || sed -n '/^=\{20,\}/,$p' "$logs/$name.log" | tail -n 120
    return $status
}

finish() {
    say 'done'
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" -eq 0 ]
    exit
}

mkdir -p "$logs"
needs=("${STG_BUILD_NEEDS[@]}" "${STG_TEST_NEEDS[@]}")
[ $full -eq 0 ] || needs+=("${STG_FULL_NEEDS[@]}")
stg_need "${needs[@]}" || exit 2
stg_environment
step locale stg_locale

step build-release stg_build_release || finish
suite release build
step bindings-go-vet stg_go_binding go vet ./...
step bindings-go stg_go_binding go test ./...
step bindings-go-checked stg_go_checked go test -run 'Test[^S]' ./...
step bindings-go-race stg_go_binding go test -race -run 'Test[^S]|TestShared' ./...

# What another compiler does not change, and what takes long: once is enough.
same=(--no-suite=lint --no-suite=install --no-suite=abi --no-suite=bindings --no-suite=once)
step build-gcc env CC=gcc bash -c '. tests/setup.sh; stg_build build-test-gcc -Dwerror=true' &&
    suite gcc build-test-gcc "${same[@]}"
step build-clang env CC=clang bash -c '. tests/setup.sh; stg_build build-test-clang -Dwerror=true' &&
    suite clang build-test-clang "${same[@]}"

if [ -f examples/testbed/go.mod ]; then
    step go-vet env -C examples/testbed go vet ./...
    step go-test env -C examples/testbed go test ./...
fi

[ $full -eq 0 ] || . tests/full.sh
finish
