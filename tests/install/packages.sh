#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian packages, for tests/bare.sh in roots of their own: packages.sh build makes them from the tree into
# /packages, packages.sh try installs those in /packages and uses what they bring.
set -eu
cd "$(dirname "$0")/../.."
export DEBIAN_FRONTEND=noninteractive

build() {
    apt-get update -q
    apt-get install -y -q --no-install-recommends build-essential debhelper meson pkg-config python3 \
        libblas-dev libcjson-dev check lintian
    dpkg-buildpackage -us -uc -b
    mkdir -p /packages
    mv ../*.deb /packages
    # Whoever uploads puts an address of theirs into control and changelog.
    local theirs=initial-upload-closes-no-bugs,bogus-mail-host,bogus-mail-host-in-debian-changelog
    lintian --fail-on error,warning --suppress-tags "$theirs" /packages/*.deb
}

try() {
    apt-get update -q
    apt-get install -y -q --no-install-recommends /packages/libstgraph0_*.deb /packages/stgraph_*.deb
    stgraph --version
    gzip -dc /usr/share/man/man1/stgraph.1.gz | grep -q false
    apt-get install -y -q --no-install-recommends gcc libc6-dev pkg-config /packages/libstgraph-dev_*.deb
    cat >/tmp/use.c <<'EOF'
#include <stdio.h>
#include <stgraph/stgraph.h>
int main(void)
{
    stg_ctx *ctx;
    if (stg_ctx_create(&ctx, NULL) != STG_OK || stg_version() != STG_VERSION_NUMBER)
        return 1;
    stg_ctx_destroy(ctx);
    puts(stg_version_string());
    return 0;
}
EOF
    # shellcheck disable=SC2046
    cc -Wall -Werror /tmp/use.c -o /tmp/use $(pkg-config --cflags --libs stgraph)
    /tmp/use
    apt-get remove -y -q stgraph libstgraph-dev libstgraph0
    [ ! -e /usr/bin/stgraph ]
}

case ${1:-} in
build | try) "$1" ;;
*) sed -n 's/^# //p' "$0" >&2; exit 2 ;;
esac
