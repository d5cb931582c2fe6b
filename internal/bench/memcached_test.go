package bench

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"lockd/test/servers"
)

// memcachedStat returns one of its counters.
func memcachedStat(t *testing.T, hostPort, name string) string {
	t.Helper()
	c, err := net.Dial("tcp", hostPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(c, "stats\r\n")
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if value, found := strings.CutPrefix(lines.Text(), "STAT "+name+" "); found {
			return value
		}
	}
	t.Fatalf("it has no counter %s", name)
	return ""
}

func TestMemcachedAnswersEachOperationRightlyAndKeepsNothing(t *testing.T) {
	hostPort, pid := servers.Memcached(t)
	fit := 0
	for _, operation := range Operations() {
		name := operation[0]
		o := shortOptions(t, name)
		target, err := ParseTarget("memcached://" + hostPort)
		if err != nil {
			t.Fatal(err)
		}
		if target.Fits(o.Mix) != nil {
			continue
		}
		fit++
		for _, depth := range []int{1, 3, 16} {
			o.Depth = depth
			r := measureOne(t, o, "memcached://"+hostPort)
			if n, first := r.Errors(); n > 0 || r.Failed() {
				t.Errorf("%s at depth %d: %d errors (%s), %d right answers", name, depth, n, first, r.Rounds[0].Succeeded)
			}
			if items := memcachedStat(t, hostPort, "curr_items"); items != "0" {
				t.Errorf("%s at depth %d leaves %s keys", name, depth, items)
			}
			if r.Target.PID != pid {
				t.Errorf("its process is taken to be %d, but is %d", r.Target.PID, pid)
			}
		}
	}
	if fit != 5 {
		t.Errorf("%d operations fit", fit)
	}
}
