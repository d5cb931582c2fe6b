# enable_units does as dh_installsystemd does: what the admin has disabled stays
# disabled. The optional sockets are his to enable.
enable_units() {
  for unit in lockd.service lockd.socket; do
    deb-systemd-helper unmask $unit >/dev/null || true
    if deb-systemd-helper --quiet was-enabled $unit; then
      deb-systemd-helper enable $unit >/dev/null || true
    else
      deb-systemd-helper update-state $unit >/dev/null || true
    fi
  done
  for unit in lockd-http.socket lockd-ws.socket; do
    deb-systemd-helper update-state $unit >/dev/null || true
  done
}

# start_server starts the sockets and the service at once, so that no client
# comes too early and no port is asked for twice. Where it cannot start, the
# package is installed all the same: mending is the admin's.
start_server() {
  systemd_runs || return 0
  if ! deb-systemd-invoke start lockd.socket lockd.service >/dev/null; then
    echo "lockd is installed, but does not start. See: journalctl -u lockd.service -u lockd.socket"
    check_configuration "Its configuration has a mistake"
    echo "When that is mended: systemctl restart lockd.socket lockd"
  fi
}

case "$1" in
  configure | abort-upgrade | abort-deconfigure | abort-remove) ;;
  *) exit 0 ;;
esac
make_group
enable_units
reload_units
if [ -e /run/lockd-comes ] || [ "$1" = abort-remove ]; then
  rm -f /run/lockd-comes
  start_server
else
  tell_of_restart
  check_configuration "The configuration has a mistake, with which lockd does not start"
fi
