# What scripts of deb and rpm share. build.sh puts it in front of them.

units="lockd.service lockd.socket lockd-http.socket lockd-ws.socket"

systemd_runs() { [ -d /run/systemd/system ]; }

reload_units() {
  if systemd_runs; then systemctl daemon-reload || true; fi
}
