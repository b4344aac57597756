#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Tries the README's commands where nothing was ever installed: makes a bare Debian 12 root, clones the committed state
# of this repository into it and runs commands there, as root and without what this machine happens to have.
#
# usage: tools/fresh_machine.sh [--root DIR] [--mirror URL] [--with PATH]... [--keep] [COMMAND...]
#   --root DIR     where the root is made (default: a new folder in /var/tmp, which needs 12 GB)
#   --mirror URL   Debian packages (default: http://deb.debian.org/debian)
#   --with PATH    a file or folder of this machine that is seen at the same place, read-only: package sources, pip's
#                  configuration, certificates, data. Settings of pip and proxies in the environment are passed on.
#   --keep         leaves the root in place
#   COMMAND        default: "make demo" "make test"
# The status is that of the first command that failed. Needs root and debootstrap.
set -euo pipefail
repository=$(cd "$(dirname "$0")/.." && pwd)
mirror=http://deb.debian.org/debian
root= keep=0 with=() clone=srv/leat
while [ $# -gt 0 ]; do
  case "$1" in
    --root) root=$2; shift 2 ;;
    --mirror) mirror=$2; shift 2 ;;
    --with) with+=("$2"); shift 2 ;;
    --keep) keep=1; shift ;;
    -h | --help) sed -n '3,14s/^# \{0,1\}//p' "$0"; exit 0 ;;
    -*) echo "fresh_machine: unknown option $1; see --help" >&2; exit 2 ;;
    *) break ;;
  esac
done
[ $# -gt 0 ] || set -- "make demo" "make test"
[ "$(id -u)" -eq 0 ] || { echo "fresh_machine: only root can make and enter another root" >&2; exit 1; }
command -v debootstrap >/dev/null || { echo "fresh_machine: debootstrap is missing: apt-get install debootstrap" >&2; exit 1; }
[ -n "$root" ] || root=$(mktemp -d /var/tmp/leat-fresh-XXXXXX)

mounts=()
mount_into() {  # SOURCE TARGET OPTIONS
  mount --bind "$1" "$2"
  mounts=("$2" "${mounts[@]}")
  mount -o "remount,bind,$3" "$2"
}
leave() {
  for place in "${mounts[@]}"; do umount -l "$place"; done
  [ $keep = 1 ] || rm -rf --one-file-system "$root"
}
trap leave EXIT

[ -e "$root/etc/debian_version" ] || debootstrap --variant=minbase bookworm "$root" "$mirror" >"$root.log" 2>&1 || {
  tail -20 "$root.log" >&2
  exit 1
}
for place in proc sys dev dev/shm dev/pts; do mount_into "/$place" "$root/$place" rw; done
for path in "${with[@]}"; do
  if [ -d "$path" ]; then mkdir -p "$root$path"; else install -D /dev/null "$root$path"; fi
  mount_into "$path" "$root$path" ro
done
# Names are resolved as here; nothing else of this machine is seen.
cp --remove-destination -L /etc/resolv.conf /etc/hosts "$root/etc/"
rm -rf "$root/$clone"
git clone -q --no-hardlinks "$repository" "$root/$clone"

passed_on=$(env | grep -iE '^(pip_[a-z_]+|https?_proxy|no_proxy|ssl_cert_file|leat_torch_index)=' || true)
enter() {
  local settings=()
  mapfile -t settings <<<"$passed_on"
  chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin ${passed_on:+"${settings[@]}"} \
    bash -c "cd /$clone && $1"
}
enter "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends make" >/dev/null
for line in "$@"; do
  echo "fresh machine: $line"
  enter "$line"
done
