package main

import (
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"lockd":              main,
		"lockd-activated":    execActivated,
		"lockd-few-files":    execFewFiles,
		"lockd-unprivileged": execUnprivileged,
	})
}

// TestScripts runs the scripts in testdata/script against the real main. What
// they need beyond the commands of testscript is in the *cmds_test.go files.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition:           condition,
		Cmds:                scriptCommands(),
		Setup:               func(e *testscript.Env) error { return setUpStage(t, e) },
	})
}

func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"launch":   cmdLaunch,
		"serve":    cmdServe,
		"signal":   cmdSignal,
		"ended":    cmdEnded,
		"log":      cmdLog,
		"occupy":   cmdOccupy,
		"fifo":     cmdFIFO,
		"feed":     cmdFeed,
		"client":   cmdClient,
		"ask":      cmdAsk,
		"token":    cmdToken,
		"expect":   cmdExpect,
		"await":    cmdAwait,
		"vanished": cmdVanished,
		"terminal": cmdTerminal,
		"type":     cmdType,
		"screen":   cmdScreen,
		"left":     cmdLeft,
		"say":      cmdSay,
		"gone":     cmdGone,
		"leave":    cmdLeave,
		"crowd":    cmdCrowd,
		"throng":   cmdThrong,
		"upgrade":  cmdUpgrade,
		"get":      cmdGet,
		"tally":    cmdTally,
		"listen":   cmdListen,
		"manager":  cmdManager,
		"notified": cmdNotified,
		"reload":   cmdReload,

		"old-server": cmdOldServer,
	}
}

// A stage is what a script has at its disposal. Scripts run one command at a
// time, so nothing in it is guarded.
type stage struct {
	started   []*process          // all, in their order
	processes map[string]*process // the last of each name
	clients   map[string]*peer
	terminals map[string]*terminal
	token     uint64 // the highest that a client was given
	sockets   map[string]*os.File
	fifos     map[string]*os.File
	manager   *manager
}

type stageKey struct{}

func stageOf(ts *testscript.TestScript) *stage { return ts.Value(stageKey{}).(*stage) }

func setUpStage(t *testing.T, e *testscript.Env) error {
	s := &stage{
		processes: make(map[string]*process), clients: make(map[string]*peer), terminals: make(map[string]*terminal),
		sockets: make(map[string]*os.File), fifos: make(map[string]*os.File),
	}
	e.Values[stageKey{}] = s
	e.Setenv("HOST", loopbackOf(e.WorkDir))
	e.Vars = append(e.Vars, promptRaceDetector)
	e.Setenv("ESC", "\x1b")
	e.Setenv("CSI", "\u009b") // which some terminals take for ESC [
	e.Setenv("RLO", "\u202e") // turns the direction of writing
	e.Setenv("BYTE", "a\xff") // is no UTF-8
	e.Setenv("SHIPPED", must(filepath.Abs("../../configs/lockd.yaml")))
	e.Defer(func() { s.clear(t) })
	return nil
}

// loopbackOf gives each script its own loopback address, so that it can use any
// port number without meeting anybody else's.
func loopbackOf(dir string) string {
	h := fnv.New32a()
	h.Write([]byte(dir))
	sum := h.Sum32()
	return fmt.Sprintf("127.%d.%d.%d", 1+sum>>16%254, sum>>8%256, 1+sum%254)
}

// clear ends what the script left running, and looks for what no script must
// bring about.
func (s *stage) clear(t *testing.T) {
	for _, c := range s.clients {
		c.close()
	}
	for _, t := range s.terminals {
		t.close()
	}
	for _, f := range s.sockets {
		f.Close()
	}
	for _, f := range s.fifos {
		f.Close()
	}
	for _, p := range s.started {
		p.cmd.Process.Kill()
		<-p.done
		for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
			if text := p.stderr.text(); strings.Contains(text, bad) {
				t.Errorf("%s wrote %q:\n%s", p.cmd, bad, text)
			}
		}
	}
	if s.manager != nil {
		s.manager.close()
	}
}

// condition knows "root", and "ports": whether ports below 1024 need a privilege
// here.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "ports":
		first, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start")
		return strings.TrimSpace(string(first)) != "0", err
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
