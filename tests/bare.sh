#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tries the tree on bare machines: bare.sh [quickstart|tests|packages]...   (nothing named: both, as far as
# they are there). Each gets its own Debian 12 from debootstrap, a clone of what is committed, and
# nothing else. Needs root, debootstrap and the package mirror that this machine uses; takes minutes.
# Log and times are in build/log/bare-*.log. Exit code 77: cannot be tried here.
set -u
cd "$(dirname "$0")/.." || exit 2
top=$PWD
suite=bookworm
logs=$top/build/log
mkdir -p "$logs"

[ "$(id -u)" -eq 0 ] || { echo "skipped: only root can make a root folder"; exit 77; }
command -v debootstrap >/dev/null || { echo "skipped: debootstrap is missing"; exit 77; }

work=$(mktemp -d -p "${TMPDIR:-/var/tmp}" stgraph-bare-XXXXXX) || exit 2
mounted=()

# Only what was mounted here is unmounted, and nothing is deleted while something still is.
# shellcheck disable=SC2317
cleanup() {
    local i
    for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do
        umount "${mounted[i]}" || umount -l "${mounted[i]}"
    done
    if grep -q " $work/" /proc/mounts; then
        echo "something is still mounted under $work; it stays" >&2
    else
        rm -rf --one-file-system "$work"
    fi
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# The mirror that this machine takes Debian from.
mirror() {
    local found
    found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n "s/^deb \(\[[^]]*\] \)\{0,1\}\(https\{0,1\}:[^ ]*\) $suite .*/\2/p" | head -n 1)
    [ -n "$found" ] || found=$(awk -v suite=$suite '/^URIs:/ { uri = $2 }
        /^Suites:/ { for (i = 2; i <= NF; i++) if ($i == suite) { print uri; exit } }' \
        /etc/apt/sources.list.d/*.sources 2>/dev/null)
    echo "${found:-http://deb.debian.org/debian}"
}

# One download for all roots.
base() {
    debootstrap --variant=minbase --include=ca-certificates,git "$suite" "$work/base" "$(mirror)" \
        >"$logs/bare-debootstrap.log" 2>&1 || { tail -n 20 "$logs/bare-debootstrap.log"; return 1; }
    # How this machine reaches its mirror: name server, proxy, certificates.
    cp -L /etc/resolv.conf "$work/base/etc/resolv.conf"
    local part
    for part in /etc/apt/apt.conf /etc/apt/apt.conf.d/*[Pp]roxy*; do
        if [ -f "$part" ]; then cp "$part" "$work/base$part"; fi
    done
    echo "deb $(mirror) $suite main" >"$work/base/etc/apt/sources.list"
    [ ! -d /usr/local/share/ca-certificates ] ||
        cp -r /usr/local/share/ca-certificates "$work/base/usr/local/share/"
}

# root NAME: a fresh root with the clone in /stgraph.
root() {
    local dir=$work/$1
    cp -a "$work/base" "$dir" || return 1
    # Its device nodes are its own, made by debootstrap: nothing of this machine is bound into it.
    mkdir -p "$dir/dev/shm" && chmod 1777 "$dir/dev/shm"
    mount -t proc proc "$dir/proc" || return 1
    mounted+=("$dir/proc")
    # Pseudo terminals, as every machine has them.
    mkdir -p "$dir/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$dir/dev/pts" || return 1
    mounted+=("$dir/dev/pts")
    ln -sfn pts/ptmx "$dir/dev/ptmx"
    git bundle create -q "$dir/stgraph.bundle" HEAD || return 1
    inside "$1" 'git clone -q /stgraph.bundle /stgraph && rm /stgraph.bundle && update-ca-certificates' \
        >>"$logs/bare-$1.log" 2>&1
}

# inside NAME COMMAND: without home, terminal or anything of this environment.
inside() {
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        ${http_proxy:+http_proxy=$http_proxy} ${https_proxy:+https_proxy=$https_proxy} \
        chroot "$work/$1" /bin/sh -c "cd / && $2"
}

failed=0
# try NAME SCRIPT
try() {
    local name=$1 script=$2 begin=$SECONDS status
    : >"$logs/bare-$name.log"
    if [ ! -e "${script%% *}" ]; then
        echo "bare $name: $script is not there"
        failed=1
        return
    fi
    root "$name" && inside "$name" "cd stgraph && $script" >>"$logs/bare-$name.log" 2>&1
    status=$?
    echo "bare $name: exit code $status after $((SECONDS - begin)) s: $(tail -n 1 "$logs/bare-$name.log")"
    [ $status -eq 0 ] || { failed=1; tail -n 30 "$logs/bare-$name.log"; }
}

# Packages are built in one root and installed in another.
packages() {
    try packages-build "tests/install/packages.sh build"
    [ -d "$work/packages-build/packages" ] || return
    mkdir "$work/base/packages"
    cp "$work/packages-build"/packages/*.deb "$work/base/packages"
    try packages-try "tests/install/packages.sh try"
}

git diff --quiet HEAD || echo "note: changes that are not committed are not tried"
base || exit 1
echo "bare: debootstrap took $SECONDS s"
for what in "${@:-quickstart tests packages}"; do
    for name in $what; do
        case $name in
        quickstart) try quickstart examples/quickstart.sh ;;
        tests) try tests tests/run.sh ;;
        packages) packages ;;
        *) echo "usage: tests/bare.sh [quickstart|tests|packages]..." >&2; exit 2 ;;
        esac
    done
done
exit $failed
