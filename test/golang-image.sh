#!/bin/bash
# A stand-in for the image golang:1.26, where there is no registry: this
# machine's Go and busybox. A Dockerfile that begins with the real one builds
# unchanged. Needs Go and Debian's busybox-static.
#
#   golang-image.sh TAG    make the image; $DOCKER gets it (default: docker)
set -euo pipefail

[ $# = 1 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
tag=$1

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
# shellcheck disable=SC2086 # words
files "$root" | ${DOCKER:-docker} import \
  --change 'ENV PATH=/usr/local/go/bin:/bin GOPATH=/go GOTOOLCHAIN=local' - "$tag"
