#!/bin/bash
# A real systemd as PID 1 in throw-away namespaces, over the machine's own root.
# Nothing it does reaches the machine: every write goes to a tmpfs on top, its
# network is a loopback of its own, its units are the few that are needed to
# start a service. Needs root and Debian's systemd, systemd-sysv and dbus.
#
#   systemd-boot.sh up   NAME          boot; returns once systemd has settled
#   systemd-boot.sh exec NAME CMD...   run CMD inside, with its exit code
#   systemd-boot.sh pid  NAME          print the outer PID of the inner PID 1
#   systemd-boot.sh down NAME          power off and clean up; may be repeated
#
# BOOT_DIR   where the state is kept (default: a folder in $TMPDIR or /tmp)
# BOOT_COPY  "SRC:DST ..." files to put inside before it boots
# BOOT_ROOT  another root to boot, with a newer systemd perhaps (default: /)
set -euo pipefail

usage() { sed -n '2,16s/^# \{0,1\}//p' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1 name=$2
shift 2

dir=${BOOT_DIR:-${TMPDIR:-/tmp}/systemd-boot}/$name
root=${BOOT_ROOT:-/}
cgroups=/sys/fs/cgroup
[ -d $cgroups/unified ] && cgroups=$cgroups/unified # a hybrid of v1 and v2
cgroup=$cgroups/boot-$name

pid1() { cat "$dir/pid1"; }

alive() { [ -f "$dir/pid1" ] && kill -0 "$(pid1)" 2>/dev/null; }

inside() {
  nsenter --target "$(pid1)" --mount --uts --ipc --net --pid --cgroup --root --wd -- \
    env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 TERM=dumb "$@"
}

# poll TRIES CMD...: until CMD succeeds, 20 ms apart
poll() {
  local tries=$1
  shift
  for _ in $(seq "$tries"); do "$@" && return; sleep 0.02; done
  return 1
}

dead() { ! alive; }

down() {
  if alive; then
    kill -s RTMIN+14 "$(pid1)" # power off, now
    if ! poll 100 dead; then
      kill -9 "$(pid1)" 2>/dev/null || true # the kernel ends the rest with it
      poll 200 dead || true
    fi
  fi
  umount -l "$dir/rw" 2>/dev/null || true
  poll 100 no_cgroup || true # busy until its last process is buried
  rm -rf "$dir"
}

no_cgroup() {
  [ -d "$cgroup" ] || return 0
  find "$cgroup" -depth -type d -exec rmdir {} + 2>/dev/null
}

# lay_out fills the upper layer: no unit of the machine's, a target with little
# in it, a journal in memory, and what the caller wants.
lay_out() {
  local up=$1 units=$1/etc/systemd/system f
  mkdir -p "$units" "$up/etc/systemd/journald.conf.d" "$up/var/log/journal"
  for f in "$root"/etc/systemd/system/*; do
    [ -e "$f" ] || [ -L "$f" ] || continue
    mknod "$units/${f##*/}" c 0 0 # a whiteout
  done
  cat >"$units/boot.target" <<'UNIT'
[Unit]
Description=test target
Requires=basic.target dbus.socket
After=basic.target
AllowIsolate=yes
UNIT
  ln -sf boot.target "$units/default.target"
  for f in dev-hugepages.mount dev-mqueue.mount getty.target proc-sys-fs-binfmt_misc.automount \
    sys-fs-fuse-connections.mount sys-kernel-config.mount sys-kernel-debug.mount sys-kernel-tracing.mount \
    systemd-binfmt.service systemd-journald-audit.socket systemd-modules-load.service systemd-networkd.service \
    systemd-pstore.service systemd-random-seed.service systemd-remount-fs.service systemd-resolved.service \
    systemd-sysctl.service systemd-timesyncd.service systemd-udev-trigger.service systemd-udevd.service \
    systemd-update-utmp.service timers.target; do
    ln -sf /dev/null "$units/$f"
  done
  : >"$up/etc/fstab"
  # A machine that starts what is installed on it, as most do.
  mkdir -p "$up/usr/sbin"
  [ ! -e "$root/usr/sbin/policy-rc.d" ] || mknod "$up/usr/sbin/policy-rc.d" c 0 0
  tr -d - </proc/sys/kernel/random/uuid >"$up/etc/machine-id"
  printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\nAudit=no\nReadKMsg=no\n' >"$up/etc/systemd/journald.conf.d/boot.conf"
  for f in ${BOOT_COPY:-}; do
    mkdir -p "$up/$(dirname "${f#*:}")"
    cp -a "${f%%:*}" "$up/${f#*:}"
  done
}

# write_init writes what becomes PID 1: it builds the root and execs systemd.
write_init() {
  cat >"$1" <<'INIT'
set -eu
R=$1/rw/root
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$2,upperdir=$1/rw/up,workdir=$1/rw/work" "$R"
mount -t proc proc "$R/proc" -o nosuid,nodev,noexec
# systemd would raise limits of the whole machine in /proc/sys. What belongs to
# the network namespace stays writable.
mount --bind "$R/proc/sys" "$R/proc/sys"
mount --bind "$R/proc/sys/net" "$R/proc/sys/net"
mount -o remount,bind,ro "$R/proc/sys"
if [ -e "$R/proc/sysrq-trigger" ]; then
  mount --bind "$R/proc/sysrq-trigger" "$R/proc/sysrq-trigger"
  mount -o remount,bind,ro "$R/proc/sysrq-trigger"
fi
mount -t sysfs sysfs "$R/sys" -o ro,nosuid,nodev,noexec 2>/dev/null || mount --rbind -o ro /sys "$R/sys"
mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup" -o nosuid,nodev,noexec
mount -t tmpfs tmpfs "$R/dev" -o mode=755,nosuid
for n in null zero full random urandom tty; do : >"$R/dev/$n"; mount --bind "/dev/$n" "$R/dev/$n"; done
ln -s /proc/self/fd "$R/dev/fd"
ln -s fd/0 "$R/dev/stdin"
ln -s fd/1 "$R/dev/stdout"
ln -s fd/2 "$R/dev/stderr"
mkdir "$R/dev/pts" "$R/dev/shm"
mount -t devpts devpts "$R/dev/pts" -o newinstance,ptmxmode=0666,mode=620
ln -s pts/ptmx "$R/dev/ptmx"
mount -t tmpfs tmpfs "$R/dev/shm" -o mode=1777
mount -t tmpfs tmpfs "$R/run" -o mode=755,nosuid,nodev
mount -t tmpfs tmpfs "$R/tmp" -o mode=1777
mkdir "$R/run/host" "$R/run/old"
cd "$R"
pivot_root . run/old
umount -l /run/old
rmdir /run/old
hostname boot
# container= keeps systemd from what it does to hardware.
exec env -i container=boot PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
  /lib/systemd/systemd --system --log-target=journal --log-level=info --show-status=no
INIT
}

# find_pid1 PARENT: unshare's child, once it is systemd
find_pid1() {
  local child
  child=$(cat "/proc/$1/task/$1/children" 2>/dev/null) || true
  child=${child%% *}
  [ -n "$child" ] && [ "$(cat "/proc/$child/comm" 2>/dev/null)" = systemd ] && echo "$child" >"$dir/pid1"
}

up() {
  down
  mkdir -p "$dir/rw" "$cgroup"
  mount -t tmpfs -o mode=755 boot "$dir/rw"
  mkdir -p "$dir"/rw/{up,work,root}
  lay_out "$dir/rw/up"
  write_init "$dir/init.sh"
  # The shell joins the cgroup before it leaves the cgroup namespace, so that
  # inside this cgroup is the root.
  (
    echo "$BASHPID" >"$cgroup/cgroup.procs"
    ulimit -c 0
    ulimit -n "$(ulimit -Hn)"
    exec setsid unshare --mount --pid --cgroup --uts --ipc --net --fork --propagation private \
      bash "$dir/init.sh" "$dir" "$root" </dev/null >"$dir/console.log" 2>&1
  ) &
  if ! poll 200 find_pid1 $!; then
    cat "$dir/console.log" >&2
    echo "systemd-boot.sh: systemd did not start" >&2
    exit 1
  fi
  poll 500 inside test -S /run/systemd/private
  # "degraded" is for the caller to look at.
  inside systemctl is-system-running --wait || true
}

case $verb in
up | down) "$verb" ;;
exec) inside "$@" ;;
pid) pid1 ;;
*) usage ;;
esac
