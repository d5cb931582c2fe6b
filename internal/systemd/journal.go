package systemd

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/journal"

	"lockd/internal/human"
)

const (
	// fieldPrefix keeps attributes apart from the fields that the journal gives
	// a meaning (MESSAGE, UNIT, ERRNO, …), whatever they are called.
	fieldPrefix = "LOCKD_"
	// fieldNameBytes is journald's limit; it drops fields with longer names.
	fieldNameBytes = 64
	// identifier is what `journalctl -t` selects by and prints before MESSAGE.
	identifier = "lockd"
)

// StderrIsJournal reports whether standard error goes to the journal, as
// JOURNAL_STREAM says; only then may a service log natively instead.
func StderrIsJournal() bool {
	is, err := journal.StderrIsJournalStream()
	return err == nil && is
}

// JournalOptions are the options of NewJournalHandler.
type JournalOptions struct {
	// Level is the lowest level that is logged; nil means slog.LevelInfo.
	Level slog.Leveler
	// Socket is the path of the journal's socket; empty means systemd's.
	Socket string
	// Fallback takes the records that the journal does not, one line each with
	// the priority as `<N>` before it; nil means os.Stderr.
	Fallback io.Writer
}

// JournalHandler is a slog.Handler that writes to the systemd journal.
//
// A record becomes an entry with PRIORITY (3 error, 4 warning, 6 info, 7
// debug), SYSLOG_IDENTIFIER=lockd, a field per attribute, and a MESSAGE that
// can be read alone, as `journalctl` shows nothing else: the record's message,
// then ` key=value` for each attribute, quoted like slog's text handler does.
// There is no time in it; the journal has its own.
//
// The field of the attribute `addr` in the group `client` is
// LOCKD_CLIENT_ADDR: groups joined by an underscore, upper case, whatever the
// journal does not allow an underscore, cut at 64 bytes. It holds the value
// unquoted. Of attributes that end up with one field name the last one counts;
// MESSAGE has them all.
type JournalHandler struct {
	level  slog.Leveler
	socket *journalSocket
	lost   *fallback
	groups []string
	attrs  []journalAttr
}

// journalAttr is an attribute, flattened: its groups are part of its keys.
type journalAttr struct {
	key   string // as in MESSAGE, groups joined by dots
	field string
	value string
}

// fallback is the writer for records that the journal did not take, shared by
// a handler and all that are derived from it.
type fallback struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// NewJournalHandler returns a handler that connects to the journal with its
// first record.
func NewJournalHandler(o JournalOptions) *JournalHandler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	if o.Socket == "" {
		o.Socket = journalPath
	}
	if o.Fallback == nil {
		o.Fallback = os.Stderr
	}
	return &JournalHandler{
		level:  o.Level,
		socket: &journalSocket{path: o.Socket, wait: journalWait, pause: journalPause},
		lost:   &fallback{w: o.Fallback},
	}
}

// Enabled implements slog.Handler.
func (h *JournalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithGroup implements slog.Handler.
func (h *JournalHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	derived := *h
	derived.groups = append(slices.Clip(h.groups), name)
	return &derived
}

// WithAttrs implements slog.Handler.
func (h *JournalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	derived := *h
	derived.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		derived.attrs = appendAttr(derived.attrs, h.groups, a)
	}
	return &derived
}

// Handle implements slog.Handler. It returns an error only for a record that
// neither the journal nor the fallback took.
func (h *JournalHandler) Handle(_ context.Context, r slog.Record) error {
	attrs := slices.Clip(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		attrs = appendAttr(attrs, h.groups, a)
		return true
	})
	message := messageText(r.Message, attrs)
	priority := int(journalPriority(r.Level))
	if h.socket.send(encodeEntry(priority, message, attrs)) == nil {
		return nil
	}
	return h.lost.write(priority, message)
}

func (f *fallback) write(priority int, message string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := fmt.Fprintf(f.w, "<%d>%s\n", priority, message); err != nil {
		return fmt.Errorf("log to journal fallback: %w", err)
	}
	return nil
}

func journalPriority(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	default:
		return journal.PriDebug
	}
}

// appendAttr appends a, or the attributes of the group that it is, to dst.
func appendAttr(dst []journalAttr, groups []string, a slog.Attr) []journalAttr {
	if a.Equal(slog.Attr{}) {
		return dst
	}
	value := a.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		path := append(slices.Clip(groups), a.Key)
		return append(dst, journalAttr{
			key:   strings.Join(path, "."),
			field: fieldName(path),
			value: valueText(value),
		})
	}
	if a.Key != "" {
		groups = append(slices.Clip(groups), a.Key)
	}
	for _, member := range value.Group() {
		dst = appendAttr(dst, groups, member)
	}
	return dst
}

// fieldName makes the journal's name of the attribute at path, of A-Z, 0-9
// and underscores; the prefix sees to it that it begins with a letter.
func fieldName(path []string) string {
	name := fieldPrefix + strings.Map(fieldRune, strings.Join(path, "_"))
	return name[:min(len(name), fieldNameBytes)]
}

func fieldRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z':
		return r - 'a' + 'A'
	case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return r
	default:
		return '_'
	}
}

func valueText(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().Format(time.RFC3339Nano)
	}
	if b, ok := v.Any().([]byte); ok {
		return string(b)
	}
	return v.String()
}

func messageText(message string, attrs []journalAttr) string {
	var b strings.Builder
	if strings.ContainsFunc(message, human.Hidden) {
		message = strconv.Quote(message)
	}
	b.WriteString(message)
	for _, a := range attrs {
		b.WriteString(" " + quoteIfNeeded(a.key) + "=" + quoteIfNeeded(a.value))
	}
	return b.String()
}

func quoteIfNeeded(s string) string {
	if s == "" || strings.ContainsFunc(s, needsQuotes) {
		return strconv.Quote(s)
	}
	return s
}

func needsQuotes(r rune) bool {
	return r == ' ' || r == '"' || r == '=' || human.Hidden(r)
}
