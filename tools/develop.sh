#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds into BUILD_DIR and puts libleat.so and the extension into python/sambaflow, so that
# `PYTHONPATH=python python ...` runs what was just built, without an install.
#
# usage: tools/develop.sh BUILD_DIR [meson setup options]
set -euo pipefail
if [ $# -lt 1 ]; then
  sed -n '3,6s/^# //p' "$0" >&2
  exit 1
fi
root=$(cd "$(dirname "$0")/.." && pwd)
build=$1
shift
if [ -f "$build/build.ninja" ]; then
  [ $# -eq 0 ] || meson configure "$build" "$@"
else
  meson setup "$build" "$root" -Dpython=enabled "$@"
fi
extension=$(ninja -C "$build" -t targets all | sed -n 's/^\(_leat\.[^:/]*\.so\): .*/\1/p')
ninja -C "$build" -j2 libleat.so "$extension" leat
# Renamed into place: a process that has the old library mapped keeps it.
for file in libleat.so "$extension"; do
  cp "$build/$file" "$root/python/sambaflow/.$file.new"
  mv "$root/python/sambaflow/.$file.new" "$root/python/sambaflow/$file"
done
echo "ready: PYTHONPATH=$root/python, command $build/leat"
