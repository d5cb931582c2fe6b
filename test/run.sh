#!/bin/bash
# Everything that can be tested here, as `make test` runs it.
#
# As root on Debian it installs the packages in test/packages.txt and sets
# LOCKD_TEST_FULL=1: a test that lacks something then fails. Elsewhere such
# tests are skipped, and what was left out is said at the end; with CI=true that
# is a failure.
#
# TEST_TIMEOUT   for one package's tests (default 15m)
# TEST_FLAGS     more flags for go test, such as -v or -run
set -uo pipefail
cd "$(dirname "$0")/.." || exit

failed=()
left_out=()

# step NAME CMD...: runs CMD, notes whether it failed, and goes on
step() {
  local name=$1
  shift
  printf '\n== %s\n' "$name"
  "$@" || failed+=("$name")
}

prepare() {
  if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
    step "packages" test/install-packages.sh
    if [ ${#failed[@]} = 0 ]; then
      export LOCKD_TEST_FULL=1 LOCKD_TEST_NEWER_ROOT=$PWD/bin/newer-root
      step "a newer systemd" test/newer-root.sh "$LOCKD_TEST_NEWER_ROOT"
    fi
  fi
  if [ "${LOCKD_TEST_FULL:-}" != 1 ]; then
    unset LOCKD_TEST_FULL
    left_out+=("tests that need root, systemd or the tools in test/packages.txt: run \`make test\` as root on Debian")
  fi
  race=-race
  if ! command -v "$(go env CC)" >/dev/null; then
    race=
    left_out+=("the race detector: install gcc and libc6-dev")
  fi
}

summary() {
  local bar
  bar=$(printf '=%.0s' $(seq 72))
  printf '\n%s\n' "$bar"
  if [ ${#left_out[@]} -gt 0 ]; then
    echo "NOT EVERYTHING WAS TESTED. Left out:"
    printf '  - %s\n' "${left_out[@]}"
    if [ "${CI:-}" = true ]; then failed+=("left out, which CI may not"); fi
  fi
  if [ ${#failed[@]} -gt 0 ]; then
    echo "FAILED:"
    printf '  - %s\n' "${failed[@]}"
    exit 1
  fi
  echo "PASSED: packages, lint, go test $race"
}

prepare
step "build" make -s build
export LOCKD_TEST_BINARY=$PWD/bin/lockd
step "lint" make lint
# The race detector allocates, needs more stack, and is too slow for millions of steps.
step "without the race detector" go test -count=1 -run 'Allocate|StacksStaySmall|MillionsOfSteps' ./internal/protocol ./internal/locks ./internal/server
# shellcheck disable=SC2086 # lists
step "go test" go test $race -count=1 -timeout "${TEST_TIMEOUT:-15m}" ${TEST_FLAGS:-} ./...
summary
