package systemd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/slogtest"
	"time"
)

// journalStub is a journal: a socket that speaks the native protocol.
type journalStub struct {
	path string
	conn *net.UnixConn
}

func newJournalStub(t *testing.T) *journalStub {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	return &journalStub{path: path, conn: listen(t, path)}
}

// entry receives one entry, in a datagram or in a file.
func (j *journalStub) entry(t *testing.T) map[string]string {
	t.Helper()
	buf, oob := make([]byte, 1<<20), make([]byte, 64)
	n, oobn, _, _, err := j.conn.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	if oobn > 0 {
		return decodeEntry(t, readPassedFile(t, oob[:oobn]))
	}
	return decodeEntry(t, buf[:n])
}

func readPassedFile(t *testing.T, oob []byte) []byte {
	t.Helper()
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		t.Fatal(err)
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fds[0]), "passed")
	defer file.Close()
	if _, err := file.WriteAt([]byte("x"), 0); !errors.Is(err, syscall.EPERM) {
		t.Errorf("writing to the passed file: %v, want EPERM of a sealed one", err)
	}
	// The journal maps the file; the offset it was passed with means nothing.
	data, err := io.ReadAll(io.NewSectionReader(file, 0, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// decodeEntry reads the native protocol, strictly.
func decodeEntry(t *testing.T, data []byte) map[string]string {
	t.Helper()
	fields := make(map[string]string)
	for len(data) > 0 {
		line, rest, ok := bytes.Cut(data, []byte("\n"))
		if !ok {
			t.Fatalf("entry does not end a line: %q", data)
		}
		name, value, text := strings.Cut(string(line), "=")
		if !text {
			size := binary.LittleEndian.Uint64(rest)
			value, rest = string(rest[8:8+size]), rest[8+size:]
			if !bytes.HasPrefix(rest, []byte("\n")) {
				t.Fatalf("binary field %s of %d bytes does not end a line", name, size)
			}
			rest = rest[1:]
		}
		if _, again := fields[name]; again {
			t.Errorf("field %s is there twice", name)
		}
		fields[name], data = value, rest
	}
	return fields
}

func TestEntryHasPriorityIdentifierMessageAndFields(t *testing.T) {
	var uninteresting any
	tests := []struct {
		name string
		log  func(*slog.Logger)
		want map[string]string
	}{
		{
			"plain", func(l *slog.Logger) { l.Info("listening") },
			map[string]string{"PRIORITY": "6", "MESSAGE": "listening"},
		},
		{
			"debug", func(l *slog.Logger) { l.Debug("read") },
			map[string]string{"PRIORITY": "7", "MESSAGE": "read"},
		},
		{
			"warning", func(l *slog.Logger) { l.Warn("refused", "addr", "192.0.2.1:4711") },
			map[string]string{"PRIORITY": "4", "MESSAGE": "refused addr=192.0.2.1:4711", "LOCKD_ADDR": "192.0.2.1:4711"},
		},
		{
			"error", func(l *slog.Logger) { l.Error("cannot accept", "err", errors.New("too many open files")) },
			map[string]string{"PRIORITY": "3", "MESSAGE": `cannot accept err="too many open files"`, "LOCKD_ERR": "too many open files"},
		},
		{
			"between info and warning", func(l *slog.Logger) { l.Log(context.Background(), slog.LevelInfo+2, "x") },
			map[string]string{"PRIORITY": "6", "MESSAGE": "x"},
		},
		{
			"group", func(l *slog.Logger) {
				l.WithGroup("client").With("addr", "unix:1").Info("x", slog.Group("lock", "name", "n"))
			},
			map[string]string{
				"PRIORITY": "6", "MESSAGE": "x client.addr=unix:1 client.lock.name=n",
				"LOCKD_CLIENT_ADDR": "unix:1", "LOCKD_CLIENT_LOCK_NAME": "n",
			},
		},
		{"kinds of values", func(l *slog.Logger) {
			l.Info("x", "d", 1500*time.Millisecond, "t", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "b", []byte("ab"), "n", -1, "nil", uninteresting)
		}, map[string]string{
			"PRIORITY": "6", "MESSAGE": "x d=1.5s t=2026-01-02T03:04:05Z b=ab n=-1 nil=<nil>",
			"LOCKD_D": "1.5s", "LOCKD_T": "2026-01-02T03:04:05Z", "LOCKD_B": "ab", "LOCKD_N": "-1", "LOCKD_NIL": "<nil>",
		}},
		{
			"control bytes", func(l *slog.Logger) { l.Info("x", "name", "a\nPRIORITY=0\n\x1b[31m\xff\u202e") },
			map[string]string{
				"PRIORITY": "6", "MESSAGE": `x name="a\nPRIORITY=0\n\x1b[31m\xff\u202e"`,
				"LOCKD_NAME": "a\nPRIORITY=0\n\x1b[31m\xff\u202e",
			},
		},
		{
			"NUL and a line break at the end", func(l *slog.Logger) { l.Info("x", "name", "\x00=\n") },
			map[string]string{"PRIORITY": "6", "MESSAGE": `x name="\x00=\n"`, "LOCKD_NAME": "\x00=\n"},
		},
		{
			"control bytes in the message", func(l *slog.Logger) { l.Info("a\nb") },
			map[string]string{"PRIORITY": "6", "MESSAGE": `"a\nb"`},
		},
		{
			"values that need quotes", func(l *slog.Logger) { l.Info("x", "a", "", "b", "c d", "e", `"`, "f", "g=h", "i", "ü") },
			map[string]string{
				"PRIORITY": "6", "MESSAGE": `x a="" b="c d" e="\"" f="g=h" i=ü`,
				"LOCKD_A": "", "LOCKD_B": "c d", "LOCKD_E": `"`, "LOCKD_F": "g=h", "LOCKD_I": "ü",
			},
		},
		{
			"keys the journal would refuse", func(l *slog.Logger) { l.Info("x", "_pid", 1, "2nd", 2, "wait ms", 3, "größe", 4, "", 5) },
			map[string]string{
				"PRIORITY": "6", "MESSAGE": `x _pid=1 2nd=2 "wait ms"=3 größe=4 ""=5`,
				"LOCKD__PID": "1", "LOCKD_2ND": "2", "LOCKD_WAIT_MS": "3", "LOCKD_GR__E": "4", "LOCKD_": "5",
			},
		},
		{
			"keys that mean something to the journal", func(l *slog.Logger) { l.Info("x", "message", "m", "priority", 0) },
			map[string]string{"PRIORITY": "6", "MESSAGE": "x message=m priority=0", "LOCKD_MESSAGE": "m", "LOCKD_PRIORITY": "0"},
		},
		{
			"one field twice", func(l *slog.Logger) { l.With("a", 1).Info("x", "a", 2) },
			map[string]string{"PRIORITY": "6", "MESSAGE": "x a=1 a=2", "LOCKD_A": "2"},
		},
		{
			"a long key", func(l *slog.Logger) { l.Info("x", strings.Repeat("k", 70), "v") },
			map[string]string{
				"PRIORITY": "6", "MESSAGE": "x " + strings.Repeat("k", 70) + "=v",
				"LOCKD_" + strings.Repeat("K", 58): "v",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stub := newJournalStub(t)
			tt.log(slog.New(NewJournalHandler(JournalOptions{Socket: stub.path, Level: slog.LevelDebug, Fallback: failOnWrite{t}})))
			got := stub.entry(t)
			tt.want["SYSLOG_IDENTIFIER"] = "lockd"
			if !maps.Equal(got, tt.want) {
				t.Errorf("the journal got\n%q, want\n%q", got, tt.want)
			}
		})
	}
}

// failOnWrite is the fallback of a handler that must not need one.
type failOnWrite struct{ t *testing.T }

func (f failOnWrite) Write(p []byte) (int, error) {
	f.t.Errorf("fallback was written %.200q", p)
	return len(p), nil
}

func TestLevelCanChangeWhileLogging(t *testing.T) {
	stub := newJournalStub(t)
	var level slog.LevelVar
	log := slog.New(NewJournalHandler(JournalOptions{Socket: stub.path, Level: &level, Fallback: failOnWrite{t}})).With("a", 1)
	log.Debug("dropped")
	level.Set(slog.LevelDebug)
	log.Debug("taken")
	if got := stub.entry(t)["MESSAGE"]; got != "taken a=1" {
		t.Errorf("first message is %q", got)
	}
}

func TestDefaultLevelIsInfo(t *testing.T) {
	h := NewJournalHandler(JournalOptions{})
	if h.Enabled(t.Context(), slog.LevelDebug) || !h.Enabled(t.Context(), slog.LevelInfo) {
		t.Error("the default level is not info")
	}
}

func TestDerivedHandlersDoNotSeeEachOthersAttributes(t *testing.T) {
	stub := newJournalStub(t)
	base := slog.New(NewJournalHandler(JournalOptions{Socket: stub.path})).With("a", 1).WithGroup("g")
	one, two := base.With("b", 2), base.With("c", 3)
	one.Info("x")
	two.Info("y")
	base.Info("z", "d", 4)
	for _, want := range []string{"x a=1 g.b=2", "y a=1 g.c=3", "z a=1 g.d=4"} {
		if got := stub.entry(t)["MESSAGE"]; got != want {
			t.Errorf("message %q, want %q", got, want)
		}
	}
}

func TestRecordLargerThanADatagramIsPassedAsASealedFile(t *testing.T) {
	stub := newJournalStub(t)
	log := slog.New(NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: failOnWrite{t}}))
	name := strings.Repeat("n\n", 500_000)
	log.Info("x", "name", name)
	log.Info("and the connection goes on")
	got := stub.entry(t)
	if got["LOCKD_NAME"] != name || got["MESSAGE"] != "x name="+strconv.Quote(name) {
		t.Errorf("the large value did not survive: %d bytes", len(got["LOCKD_NAME"]))
	}
	if got := stub.entry(t)["MESSAGE"]; got != "and the connection goes on" {
		t.Errorf("next message is %q", got)
	}
}

func TestRecordGoesToTheFallbackWhereThereIsNoJournal(t *testing.T) {
	var out bytes.Buffer
	log := slog.New(NewJournalHandler(JournalOptions{Socket: filepath.Join(t.TempDir(), "none"), Fallback: &out}))
	log.Error("cannot accept", "err", "a\nb")
	log.Info("listening")
	if got, want := out.String(), "<3>cannot accept err=\"a\\nb\"\n<6>listening\n"; got != want {
		t.Errorf("stderr has %q, want %q", got, want)
	}
}

func TestLostRecordIsAnError(t *testing.T) {
	h := NewJournalHandler(JournalOptions{Socket: filepath.Join(t.TempDir(), "none"), Fallback: fullDisk{}})
	if err := h.Handle(t.Context(), slog.Record{Message: "x"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want the fallback's error", err)
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestJournalThatWasMadeAnewIsFoundAgain(t *testing.T) {
	stub := newJournalStub(t)
	log := slog.New(NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: failOnWrite{t}}))
	log.Info("before")
	if got := stub.entry(t)["MESSAGE"]; got != "before" {
		t.Fatalf("message is %q", got)
	}
	stub.conn.Close()
	if err := os.Remove(stub.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	stub.conn = listen(t, stub.path)
	log.Info("after")
	if got := stub.entry(t)["MESSAGE"]; got != "after" {
		t.Errorf("message is %q", got)
	}
}

func TestStuckJournalDelaysOnlyOneRecord(t *testing.T) {
	stub := newJournalStub(t) // which reads nothing
	var out bytes.Buffer
	h := NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: &out})
	h.socket.wait, h.socket.pause = 50*time.Millisecond, time.Hour
	log := slog.New(h)
	start := time.Now()
	const records = 2000 // more than a socket's queue takes
	for range records {
		log.Info("x")
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("%d records took %v, want one wait of %v", records, took, h.socket.wait)
	}
	entries := 0
	for range records - strings.Count(out.String(), "<6>x\n") {
		stub.entry(t)
		entries++
	}
	if entries == 0 || entries == records {
		t.Errorf("the journal got %d of %d records; it was to be stuck in between", entries, records)
	}
}

func TestPausedJournalIsTriedAgain(t *testing.T) {
	stub := newJournalStub(t)
	h := NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: io.Discard})
	h.socket.wait, h.socket.pause = 10*time.Millisecond, time.Nanosecond
	log := slog.New(h)
	for h.socket.paused.IsZero() {
		log.Info("x")
	}
	for range 10 {
		stub.entry(t) // makes room
	}
	log.Info("again")
	for stub.entry(t)["MESSAGE"] != "again" {
	}
}

func TestConcurrentRecordsArriveWhole(t *testing.T) {
	stub := newJournalStub(t)
	log := slog.New(NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: failOnWrite{t}}))
	const writers, each = 8, 50
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				log.Info("x", "id", fmt.Sprintf("%d\n%d", w, i))
			}
		})
	}
	seen := make(map[string]bool)
	for range writers * each {
		seen[stub.entry(t)["LOCKD_ID"]] = true
	}
	wg.Wait()
	if len(seen) != writers*each {
		t.Errorf("%d distinct records arrived, want %d", len(seen), writers*each)
	}
}

func TestStderrIsJournal(t *testing.T) {
	var st syscall.Stat_t
	if err := syscall.Fstat(syscall.Stderr, &st); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, stream string
		want         bool
	}{
		{"not under systemd", "", false},
		{"stderr", fmt.Sprintf("%d:%d", st.Dev, st.Ino), true},
		{"stderr was redirected", fmt.Sprintf("%d:%d", st.Dev, st.Ino+1), false},
		{"malformed", "journal", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("JOURNAL_STREAM", tt.stream)
			if got := StderrIsJournal(); got != tt.want {
				t.Errorf("StderrIsJournal() = %v with JOURNAL_STREAM=%q", got, tt.stream)
			}
		})
	}
}

// slogtest looks at what a record becomes; both ways an entry carries it, in
// MESSAGE and in fields, are decoded for it.
func TestHandlerKeepsSlogsRules(t *testing.T) {
	for name, decode := range map[string]func(map[string]string) map[string]any{
		"message": nestedFromMessage,
		"fields":  nestedFromFields,
	} {
		t.Run(name, func(t *testing.T) {
			var stub *journalStub
			var timed time.Time
			slogtest.Run(t, func(t *testing.T) slog.Handler {
				stub = newJournalStub(t)
				return timeNoter{NewJournalHandler(JournalOptions{Socket: stub.path, Fallback: failOnWrite{t}}), &timed}
			}, func(t *testing.T) map[string]any {
				entry := stub.entry(t)
				got := decode(entry)
				got[slog.LevelKey] = entry["PRIORITY"]
				got[slog.MessageKey], _, _ = strings.Cut(entry["MESSAGE"], " ")
				// An entry has no time: the journal adds its own.
				if !timed.IsZero() {
					got[slog.TimeKey] = timed
				}
				return got
			})
		})
	}
}

// timeNoter notes the time of the last record, which the journal's handler
// leaves out on purpose.
type timeNoter struct {
	slog.Handler
	last *time.Time
}

func (n timeNoter) Handle(ctx context.Context, r slog.Record) error {
	*n.last = r.Time
	return n.Handler.Handle(ctx, r)
}

func (n timeNoter) WithAttrs(attrs []slog.Attr) slog.Handler {
	return timeNoter{n.Handler.WithAttrs(attrs), n.last}
}

func (n timeNoter) WithGroup(name string) slog.Handler {
	return timeNoter{n.Handler.WithGroup(name), n.last}
}

func nestedFromMessage(entry map[string]string) map[string]any {
	nested := make(map[string]any)
	for _, pair := range strings.Fields(entry["MESSAGE"])[1:] {
		key, value, _ := strings.Cut(pair, "=")
		insert(nested, strings.Split(key, "."), value)
	}
	return nested
}

// nestedFromFields takes back the upper-casing; slogtest's groups are upper
// case, its keys lower case.
func nestedFromFields(entry map[string]string) map[string]any {
	nested := make(map[string]any)
	for field, value := range entry {
		if name, ok := strings.CutPrefix(field, fieldPrefix); ok {
			path := strings.Split(name, "_")
			path[len(path)-1] = strings.ToLower(path[len(path)-1])
			insert(nested, path, value)
		}
	}
	return nested
}

func insert(nested map[string]any, path []string, value string) {
	for _, group := range path[:len(path)-1] {
		if nested[group] == nil {
			nested[group] = make(map[string]any)
		}
		nested = nested[group].(map[string]any)
	}
	nested[path[len(path)-1]] = value
}
