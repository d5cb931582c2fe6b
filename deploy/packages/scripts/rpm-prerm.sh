# $1 is how many versions will be left. Who removes the last asks for the end of
# the server: the clients have shutdown.grace to leave.
if [ "$1" = 0 ] && command -v systemctl >/dev/null; then
  if systemd_runs; then
    # shellcheck disable=SC2086 # a list
    systemctl stop $units || true
  fi
  # shellcheck disable=SC2086 # a list
  systemctl --no-reload disable $units || true
fi
