#!/bin/bash
# A stand-in for the image golang:1.26, where there is no registry: this
# machine's Go, busybox, and the modules that a checkout needs, as a module
# proxy of files. A Dockerfile that begins with the real one builds unchanged,
# without a network. Needs Go and Debian's busybox-static.
#
#   golang-image.sh MODULE   make the image; $DOCKER gets it (default: docker)
set -euo pipefail

usage() { sed -n '2,7s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# = 1 ] && [ -f "$1/go.mod" ] || usage
module=$1

# proxy DIR: the modules that `go mod download` would fetch, and no others
proxy() {
  local cache
  cache=$(go env GOMODCACHE)/cache/download
  (cd "$module" && GOMODCACHE=$1/cache GOFLAGS=-modcacherw GOPROXY=file://$cache,$(go env GOPROXY) go mod download)
  mv "$1/cache/cache/download" "$1/proxy"
  rm -rf "$1/cache"
}

tools() {
  local applet
  mkdir -p "$1"/{bin,etc,go,root,tmp}
  chmod 1777 "$1/tmp"
  cp /bin/busybox "$1/bin/"
  for applet in $(/bin/busybox --list | grep -vx busybox); do ln -s busybox "$1/bin/$applet"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$1/etc/passwd"
}

# files prints the image's files as an archive, without what builds no program:
# documents, tests, the sources of the go command.
files() {
  local goroot
  goroot=$(go env GOROOT)
  goroot=${goroot#/}
  tar -cf - --exclude="$goroot"/{api,doc,misc,test,src/cmd} --exclude=testdata --exclude='*_test.go' \
    --transform="s,^$goroot,usr/local/go," -C "$1" . -C / "$goroot"
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tools "$root"
proxy "$root"
# shellcheck disable=SC2086 # words
files "$root" | ${DOCKER:-docker} import \
  --change 'ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local GOPROXY=file:///proxy' - golang:1.26
