package protocol_test

import (
	"bytes"
	"testing"
	"time"

	"lockd/internal/protocol"
)

func TestACommandAndItsReplyAllocateNothing(t *testing.T) {
	replies := make([]byte, 0, 1<<10)
	line := make([]byte, 0, 1<<10)
	for _, text := range []string{"g some/lock", "  sg  some \t lock \r", "me lockd/2", "xyzzy foo", "", "q"} {
		allocs := testing.AllocsPerRun(1000, func() {
			line = append(line[:0], text...) // Parse may move its bytes
			c, _ := protocol.Parse(line)
			replies = appendEveryReply(replies[:0], c.Arg)
			replies = protocol.AppendCommand(replies, c)
		})
		if allocs != 0 {
			t.Errorf("%q allocates %v times", text, allocs)
		}
	}
}

func appendEveryReply(dst, name []byte) []byte {
	dst = protocol.AppendGet(dst, true, name)
	dst = protocol.AppendRelease(dst, false, name)
	dst = protocol.AppendInspect(dst, true, name)
	dst = protocol.AppendSharedGet(dst, 1234, name)
	dst = protocol.AppendSharedRelease(dst, true, name)
	dst = protocol.AppendSharedInspect(dst, 1234, name)
	dst = protocol.AppendMe(dst, "127.0.0.1:1234", "web 1")
	dst = protocol.AppendOK(dst)
	dst = protocol.AppendDisabled(dst)
	dst = protocol.AppendHolder(dst, name, "web 1")
	dst = protocol.AppendClient(dst, "127.0.0.1:1234", "web 1")
	dst = protocol.AppendCounter(dst, "locks", 1234567)
	dst = protocol.AppendGranted(dst, 1234567, time.Hour, name)
	dst = protocol.AppendSharedGranted(dst, 1234, 1234567, 5, time.Hour, name)
	f := protocol.Failure{Reason: protocol.ReasonHeld, Holder: "127.0.0.1:1234", Held: time.Hour, Count: 1, Max: 1, Queue: 1}
	dst = protocol.AppendNotGranted(dst, f, name)
	dst = protocol.AppendSharedNotGranted(dst, f, name)
	dst = protocol.AppendHandshake(dst, "127.0.0.1:1234", "web 1")
	dst = protocol.AppendNothingToCancel(dst)
	dst = protocol.AppendPong(dst)
	dst = protocol.AppendUnknown(dst, name)
	dst = protocol.AppendTooLong(dst)
	dst = protocol.AppendBadArguments(dst, protocol.GetWait)
	dst = protocol.AppendGone(dst, 1234)
	dst = protocol.AppendNotHeld(dst, name)
	dst = protocol.AppendNoConnection(dst, name)
	dst = protocol.AppendDenied(dst)
	dst = protocol.AppendInfo(dst, "version", "1.0")
	dst = protocol.AppendEvent(dst, "granted", true, 1234567, "127.0.0.1:1234", name)
	dst = protocol.AppendLost(dst, 1234567)
	return protocol.AppendEnd(dst)
}

func TestTakingArgumentsApartAllocatesNothing(t *testing.T) {
	for _, text := range []string{"250 some lock", "250 5 some lock", "x 1234567 some lock", "- some", "lockd/2", "cancel", ""} {
		arg := []byte(text)
		allocs := testing.AllocsPerRun(1000, func() {
			protocol.ParseWait(arg)
			protocol.ParseSharedWait(arg)
			protocol.ParseBreak(arg)
			protocol.ParseLs(arg)
			protocol.ParseLevel(arg)
			protocol.VerbOf(arg)
		})
		if allocs != 0 {
			t.Errorf("%q allocates %v times", text, allocs)
		}
	}
}

func TestCuttingLinesAllocatesNothing(t *testing.T) {
	data := []byte("g a\nr a\nover the limit\nhalf a")
	allocs := testing.AllocsPerRun(1000, func() {
		var lines protocol.Lines
		rest, cut := data, protocol.Complete
		for cut != protocol.Incomplete {
			_, rest, cut = lines.Next(rest, 8)
		}
	})
	if allocs != 0 {
		t.Errorf("cutting lines allocates %v times", allocs)
	}
}

func BenchmarkParse(b *testing.B) {
	for name, text := range map[string]string{
		"short":    "g some/lock",
		"long":     "g " + string(bytes.Repeat([]byte("x"), 4096)),
		"squeezed": "g  a   b \t c\r",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			line := make([]byte, 0, len(text))
			for b.Loop() {
				line = append(line[:0], text...)
				protocol.Parse(line)
			}
		})
	}
}

func BenchmarkParseAndReply(b *testing.B) {
	line, replies := []byte("g some/lock"), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		c, _ := protocol.Parse(line)
		replies = protocol.AppendGet(replies[:0], true, c.Arg)
	}
}

func BenchmarkParseWaitAndReply(b *testing.B) {
	line, replies := []byte("gw 1000 some/lock"), make([]byte, 0, 256)
	b.ReportAllocs()
	for b.Loop() {
		c, _ := protocol.Parse(line)
		w, _ := protocol.ParseWait(c.Arg)
		replies = protocol.AppendGranted(replies[:0], 1234567, w.Limit, w.Name)
	}
}

func BenchmarkLines(b *testing.B) {
	for name, data := range map[string][]byte{
		"pipeline of 16": bytes.Repeat([]byte("g some/lock\n"), 16),
		"one long":       append(bytes.Repeat([]byte("x"), 60_000), '\n'),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var lines protocol.Lines
			for b.Loop() {
				rest, cut := data, protocol.Complete
				for cut != protocol.Incomplete {
					_, rest, cut = lines.Next(rest, 65536)
				}
			}
		})
	}
}

// BenchmarkLongLineInPieces must not depend on the number of pieces: what was
// searched already is not searched again.
func BenchmarkLongLineInPieces(b *testing.B) {
	data := append(bytes.Repeat([]byte("x"), 60_000), '\n')
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		var lines protocol.Lines
		for n := 1; n < len(data); n += 100 {
			lines.Next(data[:n], 65536)
		}
		lines.Next(data, 65536)
	}
}
