#!/bin/bash
# Docker Compose 2, as `docker compose`. This Debian has version 1 only, so it
# is taken from the next one, from the package source that this machine uses,
# and kept. Nothing is installed. Needs Debian.
#
#   compose.sh FILE    FILE becomes the plugin, to be named docker-compose
set -euo pipefail

suite=trixie # Compose 2.26
inside=usr/libexec/docker/cli-plugins/docker-compose

[ $# = 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
file=$1

# apt works on lists of its own; those of the machine stay as they are.
apt() {
  apt-get -qq -o APT::Sandbox::User=root -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none \
    -o Dir::Etc::SourceList="$dir/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State="$dir/state" -o Dir::Cache="$dir/cache" "$@"
}

[ ! -x "$file" ] || exit 0
source=$("$(dirname "$0")/package-source.sh")
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir -p "$dir"/{state/lists,cache/archives}/partial "$(dirname "$file")"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $source $suite main" >"$dir/sources.list"
apt update
(cd "$dir" && apt download docker-compose)
dpkg-deb --fsys-tarfile "$dir"/docker-compose_*.deb | tar -xO "./$inside" >"$file.new"
chmod 755 "$file.new"
mv "$file.new" "$file" # whole, or not at all
