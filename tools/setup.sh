#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the machine and .venv ready to build, test and run: the first step of every make target.
#
# usage: tools/setup.sh system    Debian packages of tools/system-packages.txt; installs what is missing when root
#        tools/setup.sh python    .venv with requirements.txt and requirements-dev.txt
# LEAT_TORCH_INDEX: URL of a package index with CPU builds of torch, where the configured index has only CUDA builds.
set -euo pipefail
cd "$(dirname "$0")/.."

missing_packages() {
  grep -v '^#' tools/system-packages.txt | while read -r package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
  done
}

setup_system() {
  if ! command -v dpkg-query >/dev/null; then
    echo "setup: not a Debian system; these packages are needed under the names they have here:" >&2
    grep -v '^#' tools/system-packages.txt | sed 's/^/  /' >&2
    return 0
  fi
  local missing
  missing=$(missing_packages | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    echo "setup: packages are missing; install them and try again: sudo apt-get install $missing" >&2
    return 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -q
  # shellcheck disable=SC2086  # a list of names
  apt-get install -q -y --no-install-recommends $missing
}

setup_python() {
  [ -x .venv/bin/python ] || python3 -m venv .venv
  local index=()
  [ -z "${LEAT_TORCH_INDEX:-}" ] || index=(--extra-index-url "$LEAT_TORCH_INDEX")
  .venv/bin/python -m pip install -q "${index[@]}" -r requirements.txt -r requirements-dev.txt
}

case "${1:-}" in
  system) setup_system ;;
  python) setup_python ;;
  *) sed -n '3,7s/^# //p' "$0" >&2; exit 1 ;;
esac
