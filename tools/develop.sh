#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds into BUILD_DIR and puts libleat.so and the extension into python/sambaflow, so that
# `PYTHONPATH=python python ...` runs what was just built, without an install; so does `.venv/bin/python ...`.
#
# usage: tools/develop.sh BUILD_DIR [--quiet] [meson setup options]
set -euo pipefail
if [ $# -lt 1 ]; then
  sed -n '3,6s/^# \?//p' "$0" >&2
  exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
build=$1
quiet=0
shift
if [ "${1:-}" = --quiet ]; then
  quiet=1
  shift
fi

# Runs a command; with --quiet its output is shown only if it fails.
run() {
  if [ $quiet = 0 ]; then
    "$@"
  else
    local log
    log=$(mktemp)
    "$@" >"$log" 2>&1 || { cat "$log" >&2; rm -f "$log"; return 1; }
    rm -f "$log"
  fi
}

[ -f "$build/build.ninja" ] || run meson setup "$build" "$root" -Dpython=enabled "$@"
extension=$(ninja -C "$build" -t targets all | sed -n 's/^\(_leat\.[^:/]*\.so\): .*/\1/p')
run ninja -C "$build" -j "$(nproc)" libleat.so "$extension" leat

# Renamed into place: a process that has the old library mapped keeps it.
for file in libleat.so "$extension"; do
  target="$root/python/sambaflow/$file"
  if ! cmp -s "$build/$file" "$target"; then
    cp "$build/$file" "$target.new"
    mv "$target.new" "$target"
  fi
done

# What is built is also what .venv has installed: its python finds the package, its bin the command.
if [ -x "$root/.venv/bin/python" ]; then
  site=$("$root/.venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$root/python" >"$site/leat-develop.pth"
  ln -sfn "$(realpath "$build")/leat" "$root/.venv/bin/leat"
fi
[ $quiet = 1 ] || echo "ready: PYTHONPATH=$root/python, command $build/leat"
