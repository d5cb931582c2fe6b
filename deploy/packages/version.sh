#!/bin/bash
# Prints the version of the packages for what `git describe` says: one that dpkg
# and rpm both take, and that sorts as the commits came, so that an upgrade is an
# upgrade.
#
#   version.sh DESCRIBED SECONDS
#
#   v1.2.3             1.2.3
#   v1.2.3-rc1         1.2.3~rc1                        before 1.2.3
#   v1.2.3-4-g9623fad  1.2.3+4.g9623fad                 after 1.2.3
#   9623fad-dirty      0.0.0~git20261127233828.9623fad.dirty   before all others
#
# SECONDS since 1970 are the date of the commit.
set -euo pipefail

[ $# = 2 ] || { sed -n '2,14s/^# \{0,1\}//p' "$0" >&2; exit 2; }
described=$1 seconds=$2

dirty=''
if [[ $described == *-dirty ]]; then
  dirty=dirty
  described=${described%-dirty}
fi

number='v[0-9]+(\.[0-9]+)*|[0-9]+(\.[0-9]+)+' # without a dot it may be a commit
if [[ $described =~ ^($number)([-~]([A-Za-z][A-Za-z0-9.]*))?(-([0-9]+)-(g[0-9a-f]+))?$ ]]; then
  version=${BASH_REMATCH[1]#v}${BASH_REMATCH[5]:+~${BASH_REMATCH[5]}}
  more=${BASH_REMATCH[7]}${BASH_REMATCH[8]:+.${BASH_REMATCH[8]}}
  more+=${dirty:+${more:+.}$dirty}
  echo "$version${more:++$more}"
elif [[ $described =~ ^[A-Za-z0-9]+$ ]]; then
  echo "0.0.0~git$(date -u -d "@$seconds" +%Y%m%d%H%M%S).$described${dirty:+.$dirty}"
else
  echo "version.sh: \"$1\" is no version; want 1.2.3, 1.2.3-rc1, or what git describe says" >&2
  exit 2
fi
