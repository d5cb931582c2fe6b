# An upgrade leaves the server running. Who removes lockd asks for its end: the
# clients have shutdown.grace to leave.
if [ "$1" = remove ] && systemd_runs; then
  # shellcheck disable=SC2086 # a list
  deb-systemd-invoke stop $units >/dev/null || true
fi
