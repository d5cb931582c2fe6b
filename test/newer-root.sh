#!/bin/bash
# A root directory with the systemd of the next Debian, for systemd-boot.sh to
# boot (BOOT_ROOT). It takes half a minute, from the package source that this
# machine uses, and is kept. Needs root and mmdebstrap.
#
#   newer-root.sh DIR
set -euo pipefail

suite=trixie # systemd 257
# What the tests call inside.
packages=systemd,systemd-sysv,dbus,procps,iproute2

[ $# = 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
dir=$1

[ ! -d "$dir" ] || exit 0
rm -rf "$dir.new" # of a run that was interrupted
mkdir -p "$(dirname "$dir")"
source=$("$(dirname "$0")/package-source.sh")
mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$dir.new" "deb $source $suite main"
mv "$dir.new" "$dir"
