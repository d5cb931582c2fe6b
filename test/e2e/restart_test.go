package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"lockd/test/machine"
)

// More than systemd's start limit would let through, which would take the socket
// down as well.
const restarts = 10

func TestRestartsInARowRefuseNobody(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		ctx, cancel := context.WithCancel(t.Context())
		visitors := make([]visitor, 4)
		var wg sync.WaitGroup
		for i := range visitors {
			network, address := "tcp", "127.0.0.1:9999"
			if i%2 == 1 {
				network, address = "unix", "/run/lockd.sock"
			}
			wg.Go(func() {
				visitors[i].err = visitors[i].comeAndGo(ctx, m, network, address)
			})
		}
		pids := map[string]bool{m.Property("MainPID"): true}
		for range restarts {
			m.Run("systemctl", "restart", "lockd.service")
			pids[m.Property("MainPID")] = true
		}
		cancel()
		wg.Wait()
		for i, v := range visitors {
			if v.err != nil || v.served == 0 {
				t.Errorf("visitor %d was served %d times, then: %v", i, v.served, v.err)
			}
		}
		if len(pids) != restarts+1 {
			t.Errorf("%d processes served, want one after each restart", len(pids))
		}
		m.WantProperty("ActiveState", "active")
		m.WantProperty("Result", "success")
	})
}

// A visitor connects, takes a lock and leaves, again and again.
type visitor struct {
	served int
	err    error
}

func (v *visitor) comeAndGo(ctx context.Context, m *machine.Machine, network, address string) error {
	for ctx.Err() == nil {
		if err := v.visit(m, network, address); err != nil {
			return err
		}
		v.served++
	}
	return nil
}

func (v *visitor) visit(m *machine.Machine, network, address string) (err error) {
	conn, err := m.Dial(context.Background(), network, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.SetDeadline(time.Now().Add(machine.Deadline)); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(conn, "sg visited"); err != nil {
		return fmt.Errorf("after %d visits: %w", v.served, err)
	}
	if reply, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		return fmt.Errorf("after %d visits: answered %q: %w", v.served, reply, err)
	}
	return nil
}

func TestKillsInARowAreNoStartLimitTrap(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.DropIn("RestartSec=1ms")
		m.Run("systemctl", "start", "lockd.socket", "lockd.service")
		for range restarts {
			pid := m.Property("MainPID")
			m.Run("systemctl", "kill", "--kill-who=main", "--signal=KILL", "lockd.service")
			m.Eventually("another process serves", func() bool {
				return m.Property("MainPID") != pid && m.Property("ActiveState") == "active"
			})
		}
		m.Connect("tcp", "127.0.0.1:9999").Want("g foo", "1 Lock Get Success: foo")
		m.Connect("unix", "/run/lockd.sock").Want("i foo", "1 Lock Is Locked: foo")
	})
}

// Debian 12 has a systemd too old for it.
func TestReloadCanWaitUntilTheConfigurationIsInForce(t *testing.T) {
	m := boot(t, newerRoot(t))
	dropIn, err := os.ReadFile("../../deploy/systemd/notify-reload.conf")
	if err != nil {
		t.Fatal(err)
	}
	m.Write("/etc/systemd/system/lockd.service.d/notify-reload.conf", string(dropIn))
	m.Run("systemctl", "daemon-reload")
	m.Run("systemctl", "start", "lockd.socket", "lockd.service")
	m.WantProperty("Type", "notify-reload")
	c := m.Connect("tcp", "127.0.0.1:9999")
	c.Want("g kept", "1 Lock Get Success: kept")
	pid := m.Property("MainPID")

	for _, dump := range []bool{false, true, false, true} {
		m.Configure(fmt.Sprintf("features:\n  dump: %t\n", dump))
		m.Run("systemctl", "reload", "lockd.service")
		if enabled := c.Ask("dump") != "0 disabled"; enabled != dump {
			t.Errorf("after the reload dump is enabled: %t, want %t", enabled, dump)
		}
	}
	m.Configure("features:\n  dumq: false\n")
	if _, ok := m.Try("systemctl", "reload", "lockd.service"); ok {
		t.Error("a reload with a mistake in the file says that all went well")
	}
	m.WantProperty("ActiveState", "active")
	m.WantProperty("MainPID", pid)
	c.Want("r kept", "1 Lock Release Success: kept")
}
