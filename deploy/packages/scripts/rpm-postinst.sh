make_group
# $1 is how many versions are now installed.
if [ "$1" = 1 ] && command -v systemctl >/dev/null; then
  # The system's presets decide. Also= carries lockd.socket along; the optional
  # sockets are the admin's to enable.
  systemctl --no-reload preset lockd.service || true
fi
reload_units
if [ "$1" != 1 ]; then
  tell_of_restart
  check_configuration "The configuration has a mistake, with which lockd does not start"
fi
