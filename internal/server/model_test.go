package server_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A model is a server as docs/protocol.md explains one: slow and obvious, written
// from the text alone. Its clients are known by their addresses.
type model struct {
	lineBytes     int
	connections   int
	exclusive     map[string]string   // the holder of each lock
	shared        map[string][]string // the holders of each lock, in the order they got it
	named         []modelName         // in the order of their last iam
	counts        map[string]int      // by command word; "" counts what was none
	orphans       int
	sharedOrphans int
}

type modelName struct{ addr, name string }

func newModel(lineBytes int) *model {
	return &model{
		lineBytes: lineBytes, counts: make(map[string]int),
		exclusive: make(map[string]string), shared: make(map[string][]string),
	}
}

// modelHTTP is how the answer to an HTTP request begins.
const modelHTTP = "HTTP/1.1 400 Bad Request\r\n"

// all returns the replies to all that a new client sends until it half-closes.
func (m *model) all(addr string, sent []byte) (replies string) {
	for i, line := range bytes.Split(sent, []byte("\n")) {
		if i == 0 && m.isHTTP(string(line)) {
			return modelHTTP
		}
		replies += m.line(addr, string(line))
	}
	return replies
}

// isHTTP tells METHOD TARGET HTTP/1.x, and of a line that is too long its
// beginning METHOD /.
func (m *model) isHTTP(line string) bool {
	method, rest, _ := strings.Cut(line, " ")
	if method == "" || strings.Trim(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-") != "" {
		return false
	}
	if len(line) > m.lineBytes {
		return strings.HasPrefix(rest, "/")
	}
	target, version, _ := strings.Cut(strings.TrimSuffix(rest, "\r"), " ")
	digit, ok := strings.CutPrefix(version, "HTTP/1.")
	return target != "" && ok && len(digit) == 1 && strings.Contains("0123456789", digit)
}

const modelBlanks = " \t\r\v\f"

// line returns the reply to one.
func (m *model) line(addr, line string) string {
	if len(line) > m.lineBytes {
		m.counts[""]++
		return ""
	}
	line = trimBytes(line)
	if line == "" {
		return ""
	}
	word, rest, _ := strings.Cut(line, " ")
	run := modelCommands[word]
	if run == nil {
		m.counts[""]++
		return ""
	}
	m.counts[word]++
	return run(m, addr, joinBytes(rest))
}

func isModelBlank(b byte) bool { return strings.IndexByte(modelBlanks, b) >= 0 }

func trimBytes(s string) string {
	for s != "" && isModelBlank(s[0]) {
		s = s[1:]
	}
	for s != "" && isModelBlank(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// joinBytes makes each run of blanks one space, and drops those at the ends.
func joinBytes(s string) string {
	var out []byte
	for i := range len(s) {
		switch {
		case !isModelBlank(s[i]):
			out = append(out, s[i])
		case len(out) > 0 && out[len(out)-1] != ' ':
			out = append(out, ' ')
		}
	}
	return strings.TrimSuffix(string(out), " ")
}

var modelCommands = map[string]func(m *model, addr, arg string) string{
	"g": (*model).get, "r": (*model).release, "i": (*model).inspect,
	"sg": (*model).sharedGet, "sr": (*model).sharedRelease, "si": (*model).sharedInspect,
	"d": (*model).list, "sd": (*model).sharedList, "dump": (*model).dump,
	"me": (*model).me, "iam": (*model).iam, "who": (*model).who, "q": (*model).stats,
}

func (m *model) get(addr, lock string) string {
	holder, held := m.exclusive[lock]
	if held && holder != addr {
		return "0 Lock Get Failure: " + lock + "\n"
	}
	m.exclusive[lock] = addr
	return "1 Lock Get Success: " + lock + "\n"
}

func (m *model) release(addr, lock string) string {
	if holder, held := m.exclusive[lock]; !held || holder != addr {
		return "0 Lock Release Failure: " + lock + "\n"
	}
	delete(m.exclusive, lock)
	return "1 Lock Release Success: " + lock + "\n"
}

func (m *model) inspect(_, lock string) string {
	if _, held := m.exclusive[lock]; held {
		return "1 Lock Is Locked: " + lock + "\n"
	}
	return "0 Lock Not Locked: " + lock + "\n"
}

func (m *model) sharedGet(addr, lock string) string {
	if !slices.Contains(m.shared[lock], addr) {
		m.shared[lock] = append(m.shared[lock], addr)
	}
	return fmt.Sprintf("%d Shared Lock Get Success: %s\n", len(m.shared[lock]), lock)
}

func (m *model) sharedRelease(addr, lock string) string {
	if !m.dropShared(addr, lock) {
		return "0 Shared Lock Release Failure: " + lock + "\n"
	}
	return "1 Shared Lock Release Success: " + lock + "\n"
}

func (m *model) dropShared(addr, lock string) bool {
	i := slices.Index(m.shared[lock], addr)
	if i < 0 {
		return false
	}
	m.shared[lock] = slices.Delete(m.shared[lock], i, i+1)
	if len(m.shared[lock]) == 0 {
		delete(m.shared, lock)
	}
	return true
}

func (m *model) sharedInspect(_, lock string) string {
	if n := len(m.shared[lock]); n > 0 {
		return fmt.Sprintf("%d Shared Lock Is Locked: %s\n", n, lock)
	}
	return "0 Shared Lock Not Locked: " + lock + "\n"
}

func (m *model) list(_, lock string) (reply string) {
	for _, name := range slices.Sorted(maps.Keys(m.exclusive)) {
		if lock == "" || lock == name {
			reply += name + ": " + m.shownName(m.exclusive[name]) + "\n"
		}
	}
	return reply
}

func (m *model) sharedList(_, lock string) (reply string) {
	for _, name := range slices.Sorted(maps.Keys(m.shared)) {
		for _, holder := range m.shared[name] {
			if lock == "" || lock == name {
				reply += name + ": " + m.shownName(holder) + "\n"
			}
		}
	}
	return reply
}

func (m *model) dump(_, what string) string {
	var parts []string
	if what == "shared" {
		for _, name := range slices.Sorted(maps.Keys(m.shared)) {
			parts = append(parts, name+":["+strings.Join(m.shared[name], " ")+"]")
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(m.exclusive)) {
			parts = append(parts, name+":"+m.exclusive[name])
		}
	}
	return "map[" + strings.Join(parts, " ") + "]\n"
}

func (m *model) shownName(addr string) string {
	for _, n := range m.named {
		if n.addr == addr {
			return n.name
		}
	}
	return addr
}

func (m *model) me(addr, _ string) string { return "1 " + addr + " " + m.shownName(addr) + "\n" }

func (m *model) iam(addr, name string) string {
	m.named = slices.DeleteFunc(m.named, func(n modelName) bool { return n.addr == addr })
	if name != "" {
		m.named = append(m.named, modelName{addr, name})
	}
	return "1 ok\n"
}

func (m *model) who(_, name string) (reply string) {
	for _, n := range m.named {
		if name == "" || name == n.name {
			reply += n.addr + ": " + n.name + "\n"
		}
	}
	return reply
}

func (m *model) stats(_, _ string) string {
	values := map[string]int{
		"connections": m.connections, "invalid_commands": m.counts[""],
		"locks": len(m.exclusive), "shared_locks": len(m.shared),
		"orphans": m.orphans, "shared_orphans": m.sharedOrphans,
	}
	for _, word := range strings.Fields("d dump g i q r sd sg si sr") {
		values["command_"+word] = m.counts[word]
	}
	for _, word := range strings.Fields("iam me who") {
		if m.counts[word] > 0 {
			values["command_"+word] = m.counts[word]
		}
	}
	var reply strings.Builder
	for _, key := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&reply, "%s: %d\n", key, values[key])
	}
	return reply.String()
}

// leave ends a client.
func (m *model) leave(addr string) {
	m.connections--
	m.iam(addr, "")
	maps.DeleteFunc(m.exclusive, func(_, holder string) bool {
		if holder == addr {
			m.orphans++
		}
		return holder == addr
	})
	for lock := range m.shared {
		if m.dropShared(addr, lock) {
			m.sharedOrphans++
		}
	}
}
