case "$1" in
  remove)
    reload_units
    ;;
  purge)
    # Fencing tokens start from the clock again.
    rm -rf /var/lib/private/lockd /var/lib/lockd
    for unit in $units; do
      deb-systemd-helper purge "$unit" >/dev/null || true
    done
    reload_units
    # The group stays: its number must not go to another, who would own what it
    # has left behind.
    ;;
  abort-install)
    rm -f /run/lockd-comes
    ;;
esac
