#!/bin/bash
# A Docker engine of its own in throw-away namespaces: it reaches no registry
# and no network but its own, changes no firewall, and when its first process
# ends, the kernel ends all of its containers, mounts and interfaces with it.
# Needs root and Debian's docker.io, iproute2 and util-linux.
#
#   docker.sh up   NAME          start; returns once the engine answers
#   docker.sh exec NAME CMD...   run CMD where the engine's network is, with its
#                                `docker` in the path; with CMD's exit code
#   docker.sh full NAME CMD...   the same, but CMD sees the engine's files, too: it
#                                may write to /etc, which is thrown away
#   docker.sh pid  NAME          print the outer PID of the engine's namespaces
#   docker.sh hold NAME          up, say "ready", wait for the end of stdin, down
#   docker.sh down NAME          end it and clean up; may be repeated
#
# DOCKER_DIR   where the state is kept (default: a folder in $TMPDIR or /tmp)
set -euo pipefail

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1 name=$2
shift 2

dir=${DOCKER_DIR:-${TMPDIR:-/tmp}/docker-engine}/$name
export DOCKER_HOST=unix://$dir/docker.sock DOCKER_CONFIG=$dir/client

pid1() { cat "$dir/pid1"; }

alive() { [ -f "$dir/pid1" ] && kill -0 "$(pid1)" 2>/dev/null; }

dead() { ! alive; }

# inside runs a command in the engine's network, but with the caller's files
# and processes. Debian's docker comes first: others may not fit the engine.
inside() { PATH=/usr/sbin:/usr/bin:$PATH nsenter --net="/proc/$(pid1)/ns/net" -- "$@"; }

# full runs a command in all of the engine's namespaces, where it is called from.
full() { nsenter --target "$(pid1)" --mount --pid --net --wd="$PWD" -- env "PATH=/usr/sbin:/usr/bin:$PATH" "$@"; }

# poll TRIES CMD...: until CMD succeeds, 20 ms apart
poll() {
  local tries=$1
  shift
  for _ in $(seq "$tries"); do "$@" && return; sleep 0.02; done
  return 1
}

down() {
  if alive; then
    kill -9 "$(pid1)" 2>/dev/null || true # the kernel ends the rest with it
    poll 500 dead || true
  fi
  poll 100 no_cgroup || true # busy until its last process is buried
  rm -rf "$dir"
}

no_cgroup() {
  local left
  left=$(find /sys/fs/cgroup -depth -type d -path "*/docker-$name*" 2>/dev/null) || true
  [ -z "$left" ] && return
  xargs rmdir 2>/dev/null <<<"$left"
}

# write_init writes what becomes PID 1 of the namespaces. A shell, as it buries
# those whose parents have ended.
write_init() {
  cat >"$1" <<'INIT'
set -eu
dir=$1 name=$2
mount --make-rprivate /
ip link set lo up
# No address comes from outside, not even where the machine has none of these.
sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.lo.disable_ipv6=0
# What the engine writes there is thrown away with it.
mount -t tmpfs tmpfs /run
mkdir /run/etc /run/etc.work
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work /etc
# - without iptables, published ports go through docker-proxy
# - --oom-score-adjust=0, as less needs a capability that not every machine has
dockerd --config-file "$dir/daemon.json" --data-root "$dir/data" --exec-root "$dir/run" --pidfile "$dir/dockerd.pid" \
  --host "unix://$dir/docker.sock" --iptables=false --ip6tables=false --ip-masq=false \
  --ipv6 --fixed-cidr-v6 fd00:d0c::/64 --oom-score-adjust=0 \
  --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/docker-$name" &
wait
INIT
}

# find_pid1 PARENT: unshare's child
find_pid1() {
  local child
  child=$(cat "/proc/$1/task/$1/children" 2>/dev/null) || true
  child=${child%% *}
  [ -n "$child" ] && echo "$child" >"$dir/pid1"
}

answers() { alive && inside docker version >/dev/null 2>&1; }

up() {
  down
  mkdir -p "$dir/client"
  chmod 711 "$dir"
  echo '{}' >"$dir/daemon.json"
  write_init "$dir/init.sh"
  setsid unshare --mount --pid --mount-proc --net --fork --kill-child --propagation private \
    bash "$dir/init.sh" "$dir" "$name" </dev/null >"$dir/log" 2>&1 &
  if ! poll 100 find_pid1 $! || ! poll 1000 answers; then
    tail -n 20 "$dir/log" >&2
    echo "docker.sh: the engine did not start" >&2
    down
    exit 1
  fi
}

# hold ties the engine to its caller: when that ends, however it does, its end
# of the pipe is closed.
hold() {
  trap '' INT TERM HUP
  up
  echo ready
  cat >/dev/null
  down
}

case $verb in
up | down | hold) "$verb" ;;
exec) inside "$@" ;;
full) full "$@" ;;
pid) pid1 ;;
*) usage ;;
esac
