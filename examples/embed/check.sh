#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# check.sh EMBED MODEL: the host loop tells of the flood when it comes, and when it is over.
set -eu
out=$("$1" "$2")
printf '%s\n' "$out"
if printf '%s' "$out" | head -n 1 | grep -q '"state":"open"' &&
    printf '%s' "$out" | grep -q '"verb":"limit","target":"external -> web GET /search"' &&
    printf '%s' "$out" | grep -q '"state":"close"'; then
    exit 0
fi
echo 'an opening, a limit on the flooded route and a closing were expected' >&2
exit 1
