#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds every fuzz target with clang (libFuzzer, ASan, UBSan) and runs each for some seconds:
#   tests/fuzz/run.sh [seconds] [work folder] [target ...]
# Seeds are the fixtures of tests/data, tests/fuzz/corpus_* and what seed_pef writes. A crash leaves its input in the work folder.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-20}
work=${2:-$root/build-fuzz}
[ $# -ge 2 ] && shift 2 || set --
[ $# -gt 0 ] || set -- pef pt pickle safetensors npy idx rules options
clang=${CLANG:-$(command -v clang-14 || command -v clang)}
flags="-std=gnu17 -g -O1 -D_GNU_SOURCE -DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION -DLEAT_VERSION=\"fuzz\""
flags="$flags -I$root/include -I$root/src -I$root/tests/c"
sanitize="address,undefined -fno-sanitize-recover=all"
sources="$root/src/base/*.c $root/src/pef/*.c $root/src/io/*.c"
libraries="-lcjson -lz -lm"
options="$root/src/ir/*.c $root/src/arch/*.c $root/src/driver/option*.c $root/src/driver/say.c"
options="$options $root/src/driver/cmd_option.c"
compiler="$root/src/ir/*.c $root/src/arch/*.c $root/src/fuse/*.c $work/rule_files.c"

mkdir -p "$work/seeds_pef" "$work/seeds_io" "$work/seeds_rules"
# shellcheck disable=SC2086  # flags and sources are lists
$clang $flags $root/tests/fuzz/seed_pef.c $root/tests/c/pef_demo.c $root/tests/c/pef_zoo.c $sources $libraries \
  -o "$work/seed_pef"
"$work/seed_pef" "$work/seeds_pef"
cp "$root"/tests/data/*.* "$work/seeds_io"
rm -f "$work/seeds_io/make.py"
cp "$root"/src/fuse/rules/*.yaml "$work/seeds_rules"
python3 "$root/tools/embed_text.py" "$work/rule_files.c" leat_rule_files "$root"/src/fuse/rules/*.yaml
for target in "$@"; do
  more="" seeds=$work/seeds_io
  case $target in
    pef) seeds=$work/seeds_pef ;;
    options) seeds=$root/tests/fuzz/corpus_options more="$options" ;;
    rules) seeds=$work/seeds_rules more="$compiler -lyaml" ;;
  esac
  # shellcheck disable=SC2086
  $clang $flags -fsanitize=fuzzer,$sanitize "$root/tests/fuzz/fuzz_$target.c" $sources $more $libraries \
    -o "$work/fuzz_$target"
  mkdir -p "$work/corpus_$target"
  echo "fuzz_$target: $seconds s"
  "$work/fuzz_$target" -max_total_time="$seconds" -max_len=16384 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 \
    -artifact_prefix="$work/crash_${target}_" "$work/corpus_$target" "$seeds" >"$work/log_$target" 2>&1 ||
    { tail -40 "$work/log_$target"; exit 1; }
  grep -E "number_of_executed_units|peak_rss" "$work/log_$target"
done
