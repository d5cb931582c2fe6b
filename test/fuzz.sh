#!/bin/bash
# Runs each fuzz target of the module for FUZZTIME (default 30s), one after the
# other, and fails if one finds something.
set -euo pipefail
cd "$(dirname "$0")/.."

# "TARGET PACKAGE" a line; `go test -list` prints a package after its targets
targets() {
  go test -list '^Fuzz' ./... | awk '/^Fuzz/ {names[++n] = $1} /^ok/ {for (i = 1; i <= n; i++) print names[i], $2; n = 0}'
}

list=$(targets)
[ -n "$list" ] || { echo "no fuzz targets" >&2; exit 1; }
failed=()
while read -r target package; do
  echo "== $package $target"
  # Minimizing what is interesting, a minute each by default, would eat the time.
  go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-30s}" -fuzzminimizetime 1s "$package" </dev/null || failed+=("$package $target")
done <<<"$list"

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAILED: %s\n' "${failed[@]}"
  exit 1
fi
echo "PASSED: $(wc -l <<<"$list") fuzz targets, ${FUZZTIME:-30s} each"
