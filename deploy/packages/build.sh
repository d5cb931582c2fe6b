#!/bin/bash
# Builds the packages into a directory, as `make dist` does into dist/: for each
# architecture a deb, an rpm and a tar.gz with the static binary, and SHA256SUMS.
#
#   build.sh DIRECTORY
#
# VERSION            what `git describe` says, or for example 1.2.3
# COMMIT             the commit
# SOURCE_DATE_EPOCH  the date of every file, in seconds since 1970
# ARCHES             default "amd64 arm64"
# MAINTAINER         whom the packages name as their maintainer
#
# The first three are taken from git where they are not given. The same source,
# these, and the same Go make the same bytes, in whatever directory.
set -euo pipefail

[ $# = 1 ] || { sed -n '2,15s/^# \{0,1\}//p' "$0" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)
cd "$(dirname "$0")/../.."
top=$PWD

umask 022
export LC_ALL=C TZ=UTC GOTOOLCHAIN=local GOFLAGS=-buildvcs=false CGO_ENABLED=0 GOOS=linux
export MAINTAINER=${MAINTAINER:-The lockd authors <lockd@localhost>}
arches=${ARCHES:-amd64 arm64}

describe() {
  version=${VERSION:-$(git describe --tags --always --dirty)}
  commit=${COMMIT:-$(git rev-parse --verify -q HEAD || echo unknown)}
  if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then
    SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) || {
      echo "build.sh: there is no commit to take the date from: set SOURCE_DATE_EPOCH" >&2
      exit 2
    }
  fi
  export SOURCE_DATE_EPOCH
  PACKAGE_VERSION=$(deploy/packages/version.sh "$version" "$SOURCE_DATE_EPOCH")
  export PACKAGE_VERSION
}

# build ARCH OUTPUT
build() {
  GOARCH=$1 go build -trimpath -ldflags "-s -w -X main.version=$PACKAGE_VERSION -X main.commit=$commit" -o "$2" ./cmd/lockd
}

debian_changelog() {
  cat <<END
lockd ($PACKAGE_VERSION-1) unstable; urgency=medium

  * See changelog.gz for what is new.

 -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
END
}

# script NAME PART...: the script, behind the parts that it needs
script() {
  local name=$1 part
  shift
  {
    printf '#!/bin/sh\nset -e\n'
    for part in "$@" "$name"; do
      echo
      cat "$top/deploy/packages/scripts/$part.sh"
    done
  } >"scripts/$name"
}

# lay_out fills the current directory with what is the same for every architecture.
lay_out() {
  cp -r "$top"/{README.md,CHANGELOG.md,LICENSE,configs,deploy} .
  mkdir docs man completions scripts
  cp "$top"/docs/*.{md,png} docs
  rm -rf deploy/packages configs/*.go
  cp "$top"/deploy/packages/{nfpm.yaml,copyright,lintian-overrides,needrestart.conf} .

  "./$native" man man
  rm man/lockd-serve.8 # a link, which the packages make themselves
  gzip -n -9 man/*
  "./$native" completion bash >completions/lockd.bash
  "./$native" completion zsh >completions/_lockd
  "./$native" completion fish >completions/lockd.fish

  (cd "$top" && deploy/third-party-licenses.sh) | gzip -n -9 >third-party-licenses.txt.gz
  debian_changelog | gzip -n -9 >changelog.Debian.gz
  gzip -n -9 <CHANGELOG.md >changelog.gz
  script deb-preinst
  script deb-postinst common install
  script deb-prerm common
  script deb-postrm common
  script rpm-postinst common install
  script rpm-prerm common
  script rpm-postrm common
  chmod -R u=rwX,go=rX .
}

# date_all gives every file the one date.
date_all() { find . -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +; }

# package ARCH: the deb and the rpm
package() {
  local rpm=x86_64
  [ "$1" = amd64 ] || rpm=aarch64
  ARCH=$1 "$nfpm" package --packager deb --target "$out/lockd_$PACKAGE_VERSION-1_$1.deb"
  ARCH=$1 "$nfpm" package --packager rpm --target "$out/lockd-$PACKAGE_VERSION-1.$rpm.rpm"
}

# archive ARCH: the tar.gz, laid out as the checkout is after `make build`
archive() {
  local name=lockd-$PACKAGE_VERSION-linux-$1
  mkdir -p "$name/bin"
  cp -r README.md CHANGELOG.md LICENSE third-party-licenses.txt.gz configs deploy docs man completions "$name"
  cp lockd "$name/bin/lockd"
  find "$name" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
  tar --sort=name --owner=0 --group=0 --numeric-owner --format=gnu -cf - "$name" | gzip -n >"$out/$name.tar.gz"
  rm -r "$name"
}

main() {
  local work arch
  describe
  rm -f "$out"/lockd[-_]* "$out/SHA256SUMS"
  work=$(mktemp -d)
  # shellcheck disable=SC2064 # this directory
  trap "rm -rf '$work'" EXIT
  nfpm=$(GOOS='' go tool -n -modfile=tools/nfpm/go.mod nfpm)
  for arch in $arches; do build "$arch" "$work/$arch/lockd"; done
  native=$(go env GOHOSTARCH)/lockd # writes man pages and completions
  [ -e "$work/$native" ] || GOOS=$(go env GOHOSTOS) build "$(go env GOHOSTARCH)" "$work/$native"
  cd "$work"
  lay_out
  for arch in $arches; do
    install -m 755 "$arch/lockd" lockd
    date_all
    package "$arch"
    archive "$arch"
  done
  cd "$out"
  sha256sum lockd[-_]* >SHA256SUMS
}

main
