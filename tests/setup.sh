# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034
# Common to the scripts that start from a bare Debian 12: install what is missing, make the release
# build in build/. Source it from bash with the project's root as working directory; it sets no
# shell options.

# Tools and libraries that building and running needs: "test|package". A test that begins with "pc:"
# asks pkg-config, one with "file:" looks for a file, any other is a command.
STG_BUILD_NEEDS=(
    'git|git' 'dpkg-architecture|dpkg-dev' 'meson|meson' 'ninja|ninja-build' 'gcc|gcc' 'pkg-config|pkg-config' 'python3|python3'
    'pc:blas|libblas-dev' 'pc:libcjson|libcjson-dev' 'file:/usr/include/stdlib.h|libc6-dev'
)

# What the tests need on top of that.
STG_TEST_NEEDS=(
    'pc:check|check' 'g++|g++' 'clang|clang' 'go|golang-go' 'abidw|abigail-tools' 'pmccabe|pmccabe'
    'doxygen|doxygen' 'shellcheck|shellcheck' 'readelf|binutils' 'xz|xz-utils'
    'file:/usr/lib/python3/dist-packages/numpy/__init__.py|python3-numpy'
    'file:/usr/share/i18n/locales/de_DE|locales'
)

# What tests/run.sh --full needs on top of that.
STG_FULL_NEEDS=(
    'chromedriver|chromium-driver' 'chromium|chromium'
    'file:/usr/lib/python3/dist-packages/scipy/__init__.py|python3-scipy' 'pip3|python3-pip'
    'file:/usr/lib/python3/dist-packages/wheel/__init__.py|python3-wheel'
    'file:/usr/lib/python3/dist-packages/setuptools/__init__.py|python3-setuptools'
    'file:/usr/lib/python3.11/ensurepip/__init__.py|python3-venv'
    'valgrind|valgrind' 'debootstrap|debootstrap' 'file:/usr/lib/llvm-14/lib/libFuzzer.a|libfuzzer-14-dev'
    'file:/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux/libclang_rt.asan-x86_64.a|libclang-rt-14-dev'
)

stg_have() {
    case $1 in
    pc:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pc:}" ;;
    file:*) [ -e "${1#file:}" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

# stg_need NEED...: installs the packages whose test fails. Returns 2 with a message when that is
# not possible.
stg_need() {
    local need missing=()
    for need in "$@"; do
        stg_have "${need%%|*}" || missing+=("${need##*|}")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing packages: ${missing[*]}" >&2
        echo "as root: apt-get install ${missing[*]}" >&2
        return 2
    fi
    echo "installing ${missing[*]}"
    stg_apt "${missing[@]}" || return 2
    for need in "$@"; do
        stg_have "${need%%|*}" && continue
        echo "${need##*|} is installed, but ${need%%|*} is still not there" >&2
        return 2
    done
}

# Lists of packages may be absent or old: one more try after an update.
stg_apt() {
    local log status
    log=$(mktemp) || return 2
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends "$@" >"$log" 2>&1 ||
        { apt-get update -q >>"$log" 2>&1 &&
            apt-get install -y -q --no-install-recommends "$@" >>"$log" 2>&1; }
    status=$?
    [ $status -eq 0 ] || { tail -n 20 "$log" >&2; echo "apt-get could not install: $*" >&2; }
    rm -f "$log"
    return $status
}

# A bare machine may have no home, and a clone may belong to another user than the one who builds.
stg_environment() {
    local cache=$PWD/build/.cache
    export GOCACHE=${GOCACHE:-$cache/go-build} GOPATH=${GOPATH:-$cache/go}
    export GOFLAGS=${GOFLAGS:--buildvcs=false} GOTOOLCHAIN=${GOTOOLCHAIN:-local}
    export LC_ALL=C.UTF-8
}

# A locale with a decimal comma for the tests, whatever the machine has.
stg_locale() {
    local folder=$PWD/build/locale
    [ -e "$folder/de_DE.UTF-8" ] || { mkdir -p "$folder" && localedef -i de_DE -f UTF-8 "$folder/de_DE.UTF-8"; } || return 1
    export LOCPATH=$folder
}

# stg_go_binding COMMAND...: runs it in bindings/go against the release build.
stg_go_binding() {
    env -C bindings/go PKG_CONFIG_PATH="$PWD/build/meson-uninstalled" LD_LIBRARY_PATH="$PWD/build/lib" \
        CGO_CFLAGS="-g -O2 -I$PWD/include -I$PWD/build/include" \
        STG_PROGRAM="$PWD/build/examples/cli/stgraph" STG_RECORDINGS="$PWD/examples/data" "$@"
}

# The same with every check that cgo has: what is a variable of the program to one version of Go is
# an experiment of the compiler to later ones.
stg_go_checked() {
    local minor
    minor=$(go version | sed -n 's/.*go1\.\([0-9]*\).*/\1/p')
    if [ "${minor:-0}" -ge 21 ]; then
        GOEXPERIMENT=cgocheck2 GOGC=1 stg_go_binding "$@"
    else
        GODEBUG=cgocheck=2 GOGC=1 stg_go_binding "$@"
    fi
}

# stg_build DIR OPTION...: configures DIR, or brings an existing one to these options, and builds it.
stg_build() {
    local dir=$1
    shift
    if [ -f "$dir/build.ninja" ] && ! meson configure "$dir" "$@" >/dev/null 2>&1; then
        rm -rf "$dir/meson-private" "$dir/build.ninja"
    fi
    if [ ! -f "$dir/build.ninja" ]; then
        meson setup "$dir" "$@" || return 1
    fi
    ninja -C "$dir"
}

# Optimised, without assertions, with debug information (the ABI is compared through it).
STG_RELEASE_OPTIONS=(-Doptimization=3 -Ddebug=true -Db_ndebug=true)

stg_build_release() {
    stg_build build "${STG_RELEASE_OPTIONS[@]}" "$@"
}
