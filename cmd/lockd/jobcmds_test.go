package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdVanished waits until the process whose number is in a file is gone, or dead
// with nobody to bury it: vanished FILE.
func cmdVanished(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	pid := strings.TrimSpace(ts.ReadFile(args[0]))
	zombie := regexp.MustCompile(`(?m)^State:\s+[ZX]`)
	ts.Check(eventually(func() error {
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err == nil && !zombie.Match(status) {
			return fmt.Errorf("process %s is alive:\n%s", pid, status)
		}
		return nil
	}))
}

// cmdExpect connects and asks until the answer is the wanted one:
// expect ADDRESS LINE REPLY.
func cmdExpect(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	ts.Check(eventually(func() error {
		c, err := dial(args[0])
		if err != nil {
			return err
		}
		defer c.close()
		if _, err := fmt.Fprintln(c.conn, args[1]); err != nil {
			return err
		}
		got, err := c.lines(1)
		if err == nil && got[0] != args[2] {
			err = fmt.Errorf("%q is answered %q, want %q", args[1], got[0], args[2])
		}
		return err
	}))
}

// cmdAwait asks for a listing of level 2 until a line of it has a match:
// await CLIENT LINE REGEXP.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	mustNotNegate(ts, neg)
	c, re := clientOf(ts, args[0]), regexp.MustCompile(args[2])
	ts.Check(eventually(func() error {
		if _, err := fmt.Fprintln(c.conn, args[1]); err != nil {
			return err
		}
		var listing strings.Builder
		for {
			lines, err := c.lines(1)
			switch {
			case err != nil:
				return err
			case lines[0] != "":
				fmt.Fprintln(&listing, lines[0])
			case !re.MatchString(listing.String()):
				return fmt.Errorf("no match for %q in\n%s", re, listing.String())
			default:
				return nil
			}
		}
	}))
}
