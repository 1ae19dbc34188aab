# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# The slow part of tests/run.sh --full; sourced by it, uses its step, suite and logs.
: "${logs:?}"

# Library and tests under AddressSanitizer and UndefinedBehaviorSanitizer, then ThreadSanitizer. What
# the lint, ABI and install suites look at is the same as in the release build.
sanitize() {
    local name=$1 kind=$2
    step "build-$name" env CC=clang bash -c \
        '. tests/setup.sh; stg_build "$@"' - "build-test-$name" -Dwerror=true \
        "-Db_sanitize=$kind" -Db_lundef=false -Dbuildtype=debugoptimized &&
        suite "$name" "build-test-$name" --no-suite=lint --no-suite=install --no-suite=abi \
            --no-suite=bindings --timeout-multiplier=10
}
# As Meson's limits of time are multiplied, so are libcheck's.
export CK_TIMEOUT_MULTIPLIER=10
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1
export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1
sanitize asan address,undefined
sanitize tsan thread

# The debug build of GCC under valgrind: leaks and uninitialised values.
suite valgrind build-test-gcc --setup=valgrind --suite=unit --suite=fuzz
suite valgrind-cycles build-test-gcc --setup=valgrind cycles

# Static analysis at zero findings.
step analyzer env CC=gcc bash -c '. tests/setup.sh; stg_build "$@"' - build-test-analyzer \
    -Dwerror=true -Dtests=disabled -Dcli=disabled -Dbuildtype=debug -Dc_args=-fanalyzer

# Every fuzz target lives for some seconds of processor time; STG_FUZZ_SECONDS=1200 is the long run.
step build-fuzz env CC=clang bash -c '. tests/setup.sh; stg_build "$@"' - build-test-fuzz \
    -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false -Dbuildtype=debugoptimized &&
    for target in tests/fuzz/fuzz_*.c; do
        target=$(basename "$target" .c)
        step "${target/_/-}" tests/fuzz/live.sh build-test-fuzz "${target#fuzz_}" "${STG_FUZZ_SECONDS:-60}"
        say "  $(tail -n 1 "$logs/${target/_/-}.log")"
    done

# Killed and restored twenty times in one recording.
step restarts python3 tests/cli/state_test.py build/examples/cli/stgraph examples/data 20

# The page of a report in a browser.
step report-page /usr/bin/python3 tests/cli/report_test.py build/examples/cli/stgraph examples/data build/report

# What is exported in ONNX Runtime; the wheel in an environment of its own, the Go module in a clean
# cache.
step onnx-runtime tests/bindings/onnx_runtime.sh
step wheel tests/bindings/wheel.sh
step bindings-go-clean tests/bindings/go_clean.sh

# A machine on which nothing was done before.
step bare tests/bare.sh
