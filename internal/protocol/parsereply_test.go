package protocol_test

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"lockd/internal/protocol"
)

// What is appended ends with the LF that readers of lines take off.
func line(t *rapid.T, text []byte) string {
	got, ok := bytes.CutSuffix(text, []byte("\n"))
	if !ok || bytes.IndexByte(got, '\n') >= 0 {
		t.Fatalf("%q is not one line", text)
	}
	return string(got)
}

var (
	drawToken  = rapid.Uint64Range(1, math.MaxInt64)
	drawCount  = rapid.IntRange(0, math.MaxInt32)
	drawMS     = rapid.Map(rapid.Int64Range(0, int64(math.MaxInt64/time.Millisecond)), func(n int64) time.Duration { return time.Duration(n) * time.Millisecond })
	drawName   = rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\n"), []byte(" name=")) })
	drawAddr   = rapid.SampledFrom([]string{"1.2.3.4:5", "[::1]:80", "unix:17"})
	drawReason = rapid.SampledFrom([]protocol.Reason{
		protocol.ReasonHeld, protocol.ReasonQueue, protocol.ReasonLimit, protocol.ReasonTimeout,
		protocol.ReasonCancelled, protocol.ReasonTooMany, protocol.ReasonDraining,
	})
)

func checkWaitReply(t *rapid.T, text []byte, shared bool, want protocol.WaitReply) {
	got, ok := protocol.ParseWaitReply(line(t, text), shared)
	if !ok || got != want {
		t.Fatalf("%q is read as %+v, %t; want %+v", text, got, ok, want)
	}
	if _, ok := protocol.ParseWaitReply(line(t, text), !shared); ok {
		t.Fatalf("%q is taken for a lock of the other mode", text)
	}
}

func TestRepliesToWaitsAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName.Draw(t, "name")
		token, waited := drawToken.Draw(t, "token"), drawMS.Draw(t, "waited")
		granted := protocol.WaitReply{Count: 1, Token: token, Waited: waited, Name: string(name)}
		checkWaitReply(t, protocol.AppendGranted(nil, token, waited, name), false, granted)
		granted.Count = max(drawCount.Draw(t, "holders"), 1)
		limit := drawCount.Draw(t, "limit")
		checkWaitReply(t, protocol.AppendSharedGranted(nil, granted.Count, token, limit, waited, name), true, granted)

		f := protocol.Failure{Reason: drawReason.Draw(t, "reason"), Queue: drawCount.Draw(t, "queue")}
		shared := f
		f.Held = drawMS.Draw(t, "held")
		if rapid.Bool().Draw(t, "has a holder") {
			f.Holder = drawAddr.Draw(t, "holder")
		}
		checkWaitReply(t, protocol.AppendNotGranted(nil, f, name), false, protocol.WaitReply{Failure: f, Name: string(name)})
		shared.Count, shared.Max = drawCount.Draw(t, "count"), limit
		checkWaitReply(t, protocol.AppendSharedNotGranted(nil, shared, name), true, protocol.WaitReply{Failure: shared, Name: string(name)})
	})
}

func TestEventsAreReadAsTheyWereMeant(t *testing.T) {
	kinds := rapid.SampledFrom([]string{"granted", "released", "orphaned", "forced"})
	rapid.Check(t, func(t *rapid.T) {
		name := drawName.Draw(t, "name")
		want := protocol.Event{
			Kind: kinds.Draw(t, "kind"), Shared: rapid.Bool().Draw(t, "shared"),
			Token: drawToken.Draw(t, "token"), Addr: drawAddr.Draw(t, "address"), Name: string(name),
		}
		text := protocol.AppendEvent(nil, want.Kind, want.Shared, want.Token, want.Addr, name)
		if got, ok := protocol.ParseEvent(line(t, text)); !ok || got != want {
			t.Fatalf("%q is read as %+v, %t", text, got, ok)
		}
		lost := protocol.Event{Kind: "lost", Lost: drawToken.Draw(t, "count")}
		text = protocol.AppendLost(nil, lost.Lost)
		if got, ok := protocol.ParseEvent(line(t, text)); !ok || got != lost {
			t.Fatalf("%q is read as %+v, %t", text, got, ok)
		}
		gone := drawCount.Draw(t, "gone")
		if n, ok := protocol.ParseGone(line(t, protocol.AppendGone(nil, gone))); !ok || n != gone {
			t.Fatalf("%d gone are read as %d, %t", gone, n, ok)
		}
	})
}

func TestEntriesAreReadAsTheyWereMeant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := protocol.Entry{
			Name: drawName.Draw(t, "name"), Shared: rapid.Bool().Draw(t, "shared"), Waiting: rapid.Bool().Draw(t, "waiting"),
			Addr: drawAddr.Draw(t, "address"), Who: string(drawName.Draw(t, "who")), Age: drawMS.Draw(t, "age"),
			Since: time.UnixMilli(rapid.Int64Range(0, 1<<40).Draw(t, "since")).UTC(),
		}
		switch {
		case !want.Waiting:
			want.Token = drawToken.Draw(t, "token")
		case want.Shared:
			want.Max = drawCount.Draw(t, "max")
		}
		text := new(protocol.EntryEncoder).Append(nil, want)
		got, ok := protocol.ParseEntry([]byte(line(t, text)))
		if !ok || !sameEntry(got, want) {
			t.Fatalf("%s is read as %+v, %t; want %+v", text, got, ok, want)
		}
	})
}

func sameEntry(a, b protocol.Entry) bool {
	same := bytes.Equal(a.Name, b.Name) && a.Since.Equal(b.Since)
	return same && a.Shared == b.Shared && a.Waiting == b.Waiting && a.Addr == b.Addr && a.Who == b.Who &&
		a.Token == b.Token && a.Max == b.Max && a.Age == b.Age
}

func TestWhatLaterVersionsAddIsPassedOver(t *testing.T) {
	r, ok := protocol.ParseWaitReply("1 Lock Get Success: zone=b token=7 lease= waited=5 name=a name=b", false)
	if want := (protocol.WaitReply{Count: 1, Token: 7, Waited: 5 * time.Millisecond, Name: "a name=b"}); !ok || r != want {
		t.Errorf("a grant: %+v, %t", r, ok)
	}
	r, ok = protocol.ParseWaitReply("0 Shared Lock Get Failure: why=x reason=new-one name=", true)
	if want := (protocol.WaitReply{Failure: protocol.Failure{Reason: "new-one"}}); !ok || r != want {
		t.Errorf("a refusal: %+v, %t", r, ok)
	}
	e, ok := protocol.ParseEvent("* forced by=admin mode=shared token=7 addr=unix:1 name=a")
	if want := (protocol.Event{Kind: "forced", Shared: true, Token: 7, Addr: "unix:1", Name: "a"}); !ok || e != want {
		t.Errorf("an event: %+v, %t", e, ok)
	}
	entry, ok := protocol.ParseEntry([]byte(`{"zone":{"a":[1]},"name":"a","mode":"exclusive","state":"held","addr":"x","token":"7","since":"2026-03-29T12:05:06.789Z","ms":0}`))
	if !ok || string(entry.Name) != "a" || entry.Token != 7 {
		t.Errorf("an entry: %+v, %t", entry, ok)
	}
}

func TestWhatIsNoReplyToAWaitIsNotRead(t *testing.T) {
	for _, text := range []string{
		"", "1", "1 ok", "1 Lock Get Success: a", "1 Lock Get Success: name=a",
		"1 Lock Get Success: token=0 waited=0 name=a",
		"1 Lock Get Success: token=-1 waited=0 name=a",
		"1 Lock Get Success: token=9223372036854775808 waited=0 name=a",
		"1 Lock Get Success: token=1 waited=9223372036855 name=a",
		"1 Lock Get Success: token=1 waited=x name=a",
		"1 Lock Get Success: token=1 waited=0",
		"1 Lock Get Success: token=1 waited=0 Name=a",
		"1 Lock Get Success:token=1 waited=0 name=a",
		"0 Lock Get Success: token=1 waited=0 name=a",
		"-1 Lock Get Success: token=1 waited=0 name=a",
		" 1 Lock Get Success: token=1 waited=0 name=a",
		"1 Lock Release Success: token=1 name=a",
		"1 Lock Get Failure: reason=held holder=- held=0 queue=0 name=a",
		"0 Lock Get Failure: a",
		"0 Lock Get Failure: name=a",
		"0 Lock Get Failure: reason= holder=- held=0 queue=0 name=a",
		"0 Lock Get Failure: reason=held holder= held=0 queue=0 name=a",
		"0 Lock Get Failure: reason=held holder=- held=0 queue=-1 name=a",
		"0 Lock Get Failure: reason=held holder=- held=0 queue=0",
		"0 Lock Get Maybe: reason=held name=a",
		"1 Shared Lock Get Success: token=1 max=0 waited=0 name=a",
	} {
		if r, ok := protocol.ParseWaitReply(text, false); ok {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
	for _, text := range []string{
		"0 Shared Lock Get Failure: reason=limit count=2147483648 max=1 queue=0 name=a",
		"0 Shared Lock Get Failure: reason=limit count=1 max=x queue=0 name=a",
	} {
		if r, ok := protocol.ParseWaitReply(text, true); ok {
			t.Errorf("%q is read as %+v", text, r)
		}
	}
}

func TestWhatIsNoEventIsNotRead(t *testing.T) {
	for _, text := range []string{
		"", "*", "* ", "* granted", "1 ok", "*granted mode=shared token=1 addr=x name=a",
		"* granted mode=shared token=1 addr=x", "* granted mode=both token=1 addr=x name=a",
		"* granted mode=shared token=0 addr=x name=a", "* granted mode=shared token=x addr=x name=a",
		"* granted mode=shared addr=x name=a", "* granted mode=shared token=1 addr= name=a",
		"* stolen mode=shared token=1 addr=x name=a",
		"* lost", "* lost 5", "* lost count=", "* lost count=-1", "* lost count=1 2", "* lost n=1",
	} {
		if e, ok := protocol.ParseEvent(text); ok {
			t.Errorf("%q is read as %+v", text, e)
		}
	}
	for _, text := range []string{"", "1 ok", "1 ok count=", "1 ok count=-1", "1 ok count=2147483648", "0 ok count=1", "1 ok count=1 "} {
		if n, ok := protocol.ParseGone(text); ok {
			t.Errorf("%q is read as %d", text, n)
		}
	}
}

func TestWhatIsNoEntryIsNotRead(t *testing.T) {
	const good = `{"name":"a","mode":"exclusive","state":"held","addr":"x","who":"","token":"1","since":"2026-03-29T12:05:06.789Z","ms":0}`
	if _, ok := protocol.ParseEntry([]byte(good)); !ok {
		t.Fatal("not even the good one is read")
	}
	for _, tt := range []struct{ from, to string }{
		{`{"name"`, `"name"`},
		{`"a"`, `1`},
		{`"exclusive"`, `"both"`},
		{`"held"`, `"free"`},
		{`"token":"1",`, ``},
		{`"token":"1"`, `"token":1`},
		{`"token":"1"`, `"token":"-1"`},
		{`"token":"1"`, `"token":"9223372036854775808"`},
		{`2026-03-29T12:05:06.789Z`, `yesterday`},
		{`"ms":0`, `"ms":-1`},
		{`"ms":0`, `"ms":9223372036855`},
		{`"name":"a"`, `"name":"a","name_base64":"%"`},
	} {
		text := strings.Replace(good, tt.from, tt.to, 1)
		if text == good {
			t.Fatalf("%q is not in the good one", tt.from)
		}
		if e, ok := protocol.ParseEntry([]byte(text)); ok {
			t.Errorf("%s is read as %+v", text, e)
		}
	}
}

// FuzzAnswers wants what is read to be the same when it is worded and read again.
func FuzzAnswers(f *testing.F) {
	f.Add("1 Lock Get Success: token=7 waited=5 name=a b", false)
	f.Add("3 Shared Lock Get Success: token=7 max=5 waited=5 name=\xff", true)
	f.Add("0 Lock Get Failure: reason=held holder=- held=5 queue=1 name=", false)
	f.Add("* granted mode=shared token=7 addr=x name=a", true)
	f.Add("* lost count=5", false)
	f.Add(`{"name":"a","name_base64":"/w==","mode":"shared","state":"waiting","addr":"x","who":"","max":3,"since":"2026-03-29T12:05:06.789Z","ms":1}`, false)
	f.Fuzz(func(t *testing.T, text string, shared bool) {
		if strings.Contains(text, "\n") {
			return
		}
		if r, ok := protocol.ParseWaitReply(text, shared); ok {
			again, ok := protocol.ParseWaitReply(wordWaitReply(r, shared), shared)
			if !ok || again != onlyTold(r, shared) {
				t.Errorf("%+v is read again as %+v, %t", r, again, ok)
			}
		}
		if e, ok := protocol.ParseEvent(text); ok {
			again, ok := protocol.ParseEvent(wordEvent(e))
			if e.Addr != "" && (!ok || again != e) {
				t.Errorf("%+v is read again as %+v, %t", e, again, ok)
			}
		}
		if e, ok := protocol.ParseEntry([]byte(text)); ok {
			checkStable(t, e)
		}
	})
}

func wordWaitReply(r protocol.WaitReply, shared bool) string {
	var text []byte
	switch name := []byte(r.Name); {
	case shared && r.Count > 0:
		text = protocol.AppendSharedGranted(nil, r.Count, r.Token, 0, r.Waited, name)
	case shared:
		text = protocol.AppendSharedNotGranted(nil, r.Failure, name)
	case r.Count > 0:
		text = protocol.AppendGranted(nil, r.Token, r.Waited, name)
	default:
		text = protocol.AppendNotGranted(nil, r.Failure, name)
	}
	return strings.TrimSuffix(string(text), "\n")
}

// onlyTold leaves out what such a reply has no words for.
func onlyTold(r protocol.WaitReply, shared bool) protocol.WaitReply {
	if shared {
		r.Failure.Holder, r.Failure.Held = "", 0
		return r
	}
	r.Failure.Count, r.Failure.Max, r.Count = 0, 0, min(r.Count, 1)
	return r
}

func wordEvent(e protocol.Event) string {
	text := protocol.AppendLost(nil, e.Lost)
	if e.Kind != "lost" {
		text = protocol.AppendEvent(nil, e.Kind, e.Shared, e.Token, e.Addr, []byte(e.Name))
	}
	return strings.TrimSuffix(string(text), "\n")
}

func checkStable(t *testing.T, e protocol.Entry) {
	if year := e.Since.UTC().Year(); year < 0 || year > 9999 {
		return // no RFC 3339 has it
	}
	once := encode(e)
	again, ok := protocol.ParseEntry([]byte(strings.TrimSuffix(once, "\n")))
	if !ok || encode(again) != once {
		t.Errorf("%+v is read again as %+v, %t", e, again, ok)
	}
}
