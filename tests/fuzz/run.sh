#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds fuzz targets with clang (libFuzzer, ASan, UBSan) and runs each over its corpus, then for some seconds:
#   tests/fuzz/run.sh [seconds] [work folder] [target ...]
# A target is a file fuzz_<target>.c here; all if none is named. Its corpus is what corpus_<target> and tests/data hold,
# what seed_pef writes, and what earlier runs left in the work folder. A crash leaves its input there and ends the run.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-20}
work=${2:-$root/build-fuzz}
[ $# -ge 2 ] && shift 2 || set --
if [ $# -eq 0 ]; then
  for file in "$root"/tests/fuzz/fuzz_*.c; do
    name=${file##*/fuzz_}
    set -- "$@" "${name%.c}"
  done
fi
mkdir -p "$work"
build=$work/build
[ -f "$build/build.ninja" ] ||
  CC=${CLANG:-clang} meson setup "$build" "$root" -Dpython=disabled -Dxsmm=disabled -Dtests=disabled -Dfuzz=enabled \
    -Db_sanitize=address,undefined -Db_lundef=false >"$work/log_setup" 2>&1 || { cat "$work/log_setup"; exit 1; }
ninja -C "$build" fuzz_targets >"$work/log_build" 2>&1 || { tail -40 "$work/log_build"; exit 1; }

mkdir -p "$work/seeds_pef" "$work/seeds_io"
"$build/tests/fuzz/seed_pef" "$work/seeds_pef"
for name in 1.0/bf16_infer 1.1/integers_infer; do
  cp "$root/tests/data/pef/$name/program.pef" "$work/seeds_pef/version_${name##*/}"
done
find "$root/tests/data" -maxdepth 1 -type f ! -name '*.py' -exec cp {} "$work/seeds_io" \;
for target in "$@"; do
  case $target in
    pef) seeds=$work/seeds_pef ;;
    graph) seeds=$root/tests/data/graphs ;;
    rules) seeds=$root/src/rule/rules ;;
    *) seeds=$work/seeds_io ;;
  esac
  [ ! -d "$root/tests/fuzz/corpus_$target" ] || seeds="$seeds $root/tests/fuzz/corpus_$target"
  mkdir -p "$work/corpus_$target"
  # shellcheck disable=SC2086  # seeds is a list of folders
  "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=2048 -timeout=20 \
    -print_final_stats=1 -print_funcs=0 -artifact_prefix="$work/crash_${target}_" "$work/corpus_$target" $seeds \
    >"$work/log_$target" 2>&1 || { tail -60 "$work/log_$target"; exit 1; }
  units=$(sed -n 's/^stat::number_of_executed_units: *//p' "$work/log_$target")
  echo "fuzz_$target: $seconds s, $units inputs"
done
