#!/bin/sh
# Prints the licenses of all that is linked into lockd: of Go and of the modules.
# Runs at the top of the repository, with the modules there or to be had.
set -eu

modules() {
  echo "Go $(go env GOVERSION) $(go env GOROOT)"
  go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/lockd | sort -u
}

modules | while read -r module version dir; do
  for file in "$dir"/LICENSE* "$dir"/COPYING* "$dir"/NOTICE*; do
    [ -f "$file" ] || continue
    printf '%s %s, %s\n\n' "$module" "$version" "${file##*/}"
    cat "$file"
    printf '\n\n\n'
  done
done
