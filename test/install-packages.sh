#!/bin/bash
# Installs what is missing of the Debian packages in test/packages.txt, and
# starts no service of theirs. Needs root on Debian.
set -euo pipefail
cd "$(dirname "$0")"

missing_packages() {
  local p
  for p in $(sed 's/#.*//' packages.txt); do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || echo "$p"
  done
}

# start_no_service has apt-get start nothing, until this script ends.
start_no_service() {
  local policy=/usr/sbin/policy-rc.d
  [ ! -e $policy ] || return 0
  printf '#!/bin/sh\nexit 101\n' >$policy
  chmod 755 $policy
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

missing=$(missing_packages)
[ -n "$missing" ] || { echo "all there"; exit 0; }
start_no_service
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
apt-get update -q
# shellcheck disable=SC2086 # a list
apt-get install -q -y --no-install-recommends $missing
