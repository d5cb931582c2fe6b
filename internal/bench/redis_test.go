package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"lockd/test/servers"
)

// askRedis sends an inline command and returns the first line of the answer.
func askRedis(t *testing.T, hostPort, command string) string {
	t.Helper()
	c, err := net.Dial("tcp", hostPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintf(c, "%s\r\n", command)
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return strings.TrimSpace(line)
}

func TestRedisAnswersEachOperationRightlyAndKeepsNothing(t *testing.T) {
	hostPort, pid := servers.Redis(t)
	for _, operation := range Operations() {
		name := operation[0]
		if name == "wait" {
			continue // see below
		}
		for _, depth := range []int{1, 3, 16} {
			o := shortOptions(t, name)
			o.Depth = depth
			r := measureOne(t, o, "redis://"+hostPort)
			if n, first := r.Errors(); n > 0 || r.Failed() {
				t.Errorf("%s at depth %d: %d errors (%s), %d right answers", name, depth, n, first, r.Rounds[0].Succeeded)
			}
			if size := askRedis(t, hostPort, "DBSIZE"); size != ":0" {
				t.Errorf("%s at depth %d leaves keys: %s", name, depth, size)
			}
			if r.Target.PID != pid {
				t.Errorf("its process is taken to be %d, but is %d", r.Target.PID, pid)
			}
		}
	}
}

func TestRedisIsSentTheCommandsThatAreLikeOurs(t *testing.T) {
	hostPort, _ := servers.Redis(t)
	measureOne(t, shortOptions(t, "get-release,inspect,shared-hot,ping"), "redis://"+hostPort)
	c, err := net.Dial("tcp", hostPort)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, "INFO commandstats\r\nQUIT\r\n")
	stats, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"set", "del", "exists", "incr", "decr", "ping"} {
		if !strings.Contains(string(stats), "cmdstat_"+command+":") {
			t.Errorf("%s was not sent:\n%s", command, stats)
		}
	}
}
