package e2e_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"lockd/test/machine"
)

func TestJournalEntriesCarryPriorityAndFields(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("log:\n  level: debug\n")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		address := strings.Fields(c.Ask("me"))[1]
		c.Close()

		stamp := regexp.MustCompile(`\d{2}:\d{2}:\d{2}|time=`)
		var priorities, fields string
		m.Eventually("the client's coming and going is there", func() bool {
			priorities, fields = "", ""
			for _, entry := range entries(t, m) {
				priorities += entry["PRIORITY"]
				for name, value := range entry {
					if strings.HasPrefix(name, "LOCKD_") && value == address {
						fields += name + " "
					}
				}
				if entry["_TRANSPORT"] != "journal" || entry["SYSLOG_IDENTIFIER"] != "lockd" {
					t.Fatalf("entry over %s of %s: %s", entry["_TRANSPORT"], entry["SYSLOG_IDENTIFIER"], entry["MESSAGE"])
				}
				if stamp.MatchString(entry["MESSAGE"]) {
					t.Fatalf("message with a time of its own: %s", entry["MESSAGE"])
				}
			}
			return fields != ""
		})
		if !strings.Contains(priorities, "6") || !strings.Contains(priorities, "7") {
			t.Errorf("priorities %q, want info and debug among them", priorities)
		}
	})
}

// entries are the journal's of lockd itself, without what systemd says of it.
func entries(t *testing.T, m *machine.Machine) []map[string]string {
	t.Helper()
	out := m.Run("journalctl", "--output=json", "--all", "_SYSTEMD_UNIT=lockd.service")
	var entries []map[string]string
	for line := range strings.Lines(out) {
		var raw map[string]any
		if err := json.Unmarshal([]byte(line), &raw); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		entry := make(map[string]string)
		for name, value := range raw {
			if text, ok := value.(string); ok {
				entry[name] = text
			}
		}
		entries = append(entries, entry)
	}
	return entries
}

func TestStartIsOneLineWithEveryAddress(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Run("systemctl", "start", "lockd.socket", "lockd-ws.socket", "lockd-http.socket", "lockd.service")
		var lines []string
		for _, entry := range entries(t, m) {
			if strings.Contains(entry["MESSAGE"], ":9999") {
				lines = append(lines, entry["MESSAGE"])
			}
		}
		if len(lines) != 1 {
			t.Fatalf("lines with an address: %q, want one", lines)
		}
		for _, address := range []string{"/run/lockd.sock", ":9998", ":9996"} {
			if !strings.Contains(lines[0], address) {
				t.Errorf("%q does not name %s", lines[0], address)
			}
		}
	})
}

func TestWhatAClientSendsCannotForgeAnEntry(t *testing.T) {
	onEverySystemd(t, func(t *testing.T, m *machine.Machine) {
		m.Configure("log:\n  level: debug\n")
		m.Run("systemctl", "start", "lockd.service")
		c := m.Connect("tcp", "127.0.0.1:9999")
		c.Want("iam \x1b[31mevil\x00", "1 ok")
		c.Want("g \x1b[31mname", "1 Lock Get Success: \x1b[31mname")
		c.Close()
		other := m.Connect("tcp", "127.0.0.1:9999")
		m.Eventually("the client is gone", func() bool { return other.Ask("i \x1b[31mname") != "1 Lock Is Locked: \x1b[31mname" })
		for _, entry := range entries(t, m) {
			if strings.ContainsAny(entry["MESSAGE"], "\x1b\x00\n") {
				t.Errorf("message with control characters: %q", entry["MESSAGE"])
			}
		}
	})
}
