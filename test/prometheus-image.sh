#!/bin/bash
# A stand-in for the image of Prometheus, where there is no registry: Debian's
# prometheus, started as the real one starts it, by the same user.
#
#   prometheus-image.sh TAG    make the image; $DOCKER gets it (default: docker)
set -euo pipefail

[ $# = 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
tag=$1
binary=/usr/bin/prometheus

libraries() { ldd $binary | grep -o '/[^ ]*'; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,etc/prometheus,prometheus}
cp $binary "$root/bin/"
# shellcheck disable=SC2046 # words
cp --parents -L $(libraries) "$root"
echo 'nobody:x:65534:65534:nobody:/home:/bin/false' >"$root/etc/passwd"
chown -R 65534:65534 "$root/prometheus"
# shellcheck disable=SC2086 # words
tar -C "$root" -cf - . | ${DOCKER:-docker} import --change 'USER nobody' --change 'WORKDIR /prometheus' \
  --change 'VOLUME /prometheus' --change 'ENTRYPOINT ["/bin/prometheus"]' \
  --change 'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]' - "$tag"
