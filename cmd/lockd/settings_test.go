package main

import (
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"lockd/internal/config"
	"lockd/internal/server"
)

func TestHalfOfMemoryIsAtMostHalfOfTheMachines(t *testing.T) {
	const mebibyte = 1 << 20
	got, machine := halfOfMemory(), memoryOfMachine(t)
	if got < mebibyte || got > machine/2 {
		t.Errorf("%d bytes of a machine with %d", got, machine)
	}
}

// memoryOfMachine returns what the kernel tells, in bytes.
func memoryOfMachine(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "MemTotal:" {
			kibibytes, err := strconv.ParseInt(f[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kibibytes << 10
		}
	}
	t.Fatal("no MemTotal in /proc/meminfo")
	return 0
}

// What the server does where nobody has configured it, and what the documents and
// configs/lockd.yaml promise, is the same.
func TestDefaultConfigurationIsTheServersDefault(t *testing.T) {
	d := daemon{config: config.Default()}
	got, want := d.settings(), server.DefaultSettings()
	got.Allow, got.Admin, got.Origins, got.MetricsURL = nil, nil, nil, "" // of the configuration alone
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the configuration's are %+v, the server's %+v", got, want)
	}
}

func TestTheTablesLimitIsTheConfiguredOneOrHalfOfMemory(t *testing.T) {
	for _, tc := range []struct {
		name   string
		limits config.Limits
		want   int64
	}{
		{"configured", config.Limits{TableBytes: 4096}, 4096},
		{"not configured", config.Limits{}, halfOfMemory()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tableLimits(tc.limits).Bytes; got != tc.want {
				t.Errorf("%d bytes, want %d", got, tc.want)
			}
		})
	}
}
