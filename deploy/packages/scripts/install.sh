# What the scripts of deb and rpm share that run after the files have come.

lockd=/usr/bin/lockd # not what a PATH finds

# make_group makes the group that /run/lockd.sock belongs to.
make_group() {
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers lockd.conf
  elif ! getent group lockd >/dev/null; then
    groupadd --system lockd
  fi
}

# other_binary_serves: the server that runs was started from another binary than
# the one that is installed. Its own is still there to be compared.
other_binary_serves() {
  systemd_runs || return 1
  pid=$(systemctl show --property=MainPID --value lockd.service) || return 1
  [ "${pid:-0}" != 0 ] && ! cmp -s "/proc/$pid/exe" $lockd
}

# without_settings runs lockd untouched by what the admin's shell has for it.
without_settings() { env -i PATH="$PATH" "$@"; }

ask_server() {
  for server in unix:///run/lockd.sock tcp://127.0.0.1:9999; do
    without_settings $lockd stats --timeout 2s --server "$server" 2>/dev/null && return
  done
}

# held says how many locks are.
held() {
  count=$(printf '%s\n' "$stats" | awk '$1 == "locks" || $1 == "shared_locks" { n += $2 } END { print n + 0 }')
  case $count in
    0) echo "No lock is held on it now." ;;
    1) echo "One lock is held on it now; see \"lockd ls\"." ;;
    *) echo "$count locks are held on it now; see \"lockd ls\"." ;;
  esac
}

# tell_of_restart says what an upgrade leaves to the admin. A restart frees every
# lock, so none is done here.
tell_of_restart() {
  other_binary_serves || return 0
  stats=$(ask_server) || stats=
  running=$(printf '%s\n' "$stats" | awk '$1 == "version" { print $2 }')
  echo "lockd $($lockd version | cut -d ' ' -f 2) is installed, and the server that runs is still ${running:-the old one}."
  if [ "$stats" ]; then held; fi
  echo "A restart frees every lock, so it is left to you. When the clients can do without:"
  echo "  systemctl restart lockd"
}

# check_configuration WHAT: says what is wrong with it, and what that prevents
check_configuration() {
  if ! mistakes=$(without_settings $lockd config check 2>&1); then
    printf '%s\n%s\n' "$1:" "$mistakes"
  fi
}
