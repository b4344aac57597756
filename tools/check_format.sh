#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every C file is as clang-format would write it.
#
# usage: tools/check_format.sh [--fix]
set -euo pipefail
cd "$(dirname "$0")/.."
mapfile -t files < <(git ls-files '*.c' '*.h')
if [ "${1:-}" = --fix ]; then
  exec clang-format -i "${files[@]}"
fi
count=0
[ ${#files[@]} -gt 0 ] || { echo "format: no C files: is git here, and this a checkout?" >&2; exit 1; }
for file in "${files[@]}"; do
  if ! clang-format --dry-run --Werror "$file" >/dev/null 2>&1; then
    echo "$file: not formatted: tools/check_format.sh --fix"
    count=$((count + 1))
  fi
done
echo "format: $count of ${#files[@]} files differ"
[ $count = 0 ]
