#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# No mutable global in the library: lists every object that lies in a writable section of the folders' static libraries.
# Constant tables of pointers are relocated once and then read-only (.data.rel.ro); they do not count.
#
# usage: tools/check_globals.sh BUILD_DIR
set -euo pipefail

# Allowed by name, each with its reason.
allowed=(
  leat_alloc_fail_countdown   # thread-local test hook: the n-th allocation fails
)

build=$1
found=0
for library in "$build"/src/*/libleat_*.a; do
  while read -r name; do
    for one in "${allowed[@]}"; do
      [ "$name" != "$one" ] || continue 2
    done
    echo "$library: mutable global $name"
    found=1
  done < <(objdump -t "$library" 2>/dev/null |
    awk -F '\t' '($1 ~ / \.(data|bss|tdata|tbss)$/ && $1 !~ / d +\./) || $1 ~ / \*COM\*$/ {
      sub(/^[0-9a-f]+ +(\.hidden +)?/, "", $2); print $2 }' |
    sort -u)
done
[ $found = 0 ] && echo "globals: none that can change"
exit $found
