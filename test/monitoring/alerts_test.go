package monitoring_test

import (
	"strings"
	"syscall"
	"testing"
)

// alertsFire wants the alerts that a loaded server deserves, from the deployed
// rules with nothing but their patience shortened.
func alertsFire(t *testing.T, p *prom, server *lockd) {
	write(t, server.config, read(t, server.config)+"\nlimitz: {}\n")
	server.signal(syscall.SIGHUP)
	for name, says := range map[string]string{
		"LockdReloadFailed":       "a mistake",
		"LockdOldestWaiter":       "has been waiting for a lock",
		"LockdFewConnectionsLeft": "100%",
		"LockdTableNearlyFull":    "Locks and waiters take",
		"LockdRefusesConnections": "turns away 0.",
		"LockdLimitReached":       "denies 0.",
	} {
		annotations := p.alerts(t, name, "firing")
		if !strings.Contains(annotations["description"], says) || !strings.Contains(annotations["description"], server.http) {
			t.Errorf("%s says %q, and not %q with the server's address", name, annotations["description"], says)
		}
	}
	write(t, server.config, strings.Replace(read(t, server.config), "limitz: {}", "", 1))
	server.signal(syscall.SIGHUP)
	p.becomes(t, "lockd_config_last_reload_successful", 1)
	p.becomes(t, `count(ALERTS{alertname="LockdReloadFailed"}) or vector(0)`, 0)
}

// alertsOfTheEnd kills the server again and again, and then for good.
func alertsOfTheEnd(t *testing.T, p *prom, server *lockd) {
	for range 3 {
		started, _ := p.value(t, "process_start_time_seconds")
		server.again(t)
		eventually(t, func() (bool, any) {
			now, ok := p.value(t, "process_start_time_seconds")
			return ok && now != started, "the new process is not scraped"
		})
	}
	p.alerts(t, "LockdRestarts", "firing")
	server.kill()
	p.becomes(t, "up", 0)
	if text := p.alerts(t, "LockdDown", "pending")["summary"]; text != "lockd on "+server.http+" does not answer" {
		t.Errorf("LockdDown says %q", text)
	}
}
