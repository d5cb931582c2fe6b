package protocol_test

import (
	"math"
	"time"

	"lockd/internal/protocol"
)

const hour = time.Hour

// levelTwoReplies has those of docs/protocol.md, "Level 2".
func levelTwoReplies() []reply {
	return append(append(waitReplies(), breakReplies()...), eventReplies()...)
}

func waitReplies() []reply {
	name := []byte("a b")
	granted := func(token uint64, waited time.Duration, name []byte) func([]byte) []byte {
		return func(dst []byte) []byte { return protocol.AppendGranted(dst, token, waited, name) }
	}
	shared := func(count int, token uint64, limit int, waited time.Duration) func([]byte) []byte {
		return func(dst []byte) []byte {
			return protocol.AppendSharedGranted(dst, count, token, limit, waited, name)
		}
	}
	failed := func(f protocol.Failure, name []byte) func([]byte) []byte {
		return func(dst []byte) []byte { return protocol.AppendNotGranted(dst, f, name) }
	}
	sharedFailed := func(f protocol.Failure, name []byte) func([]byte) []byte {
		return func(dst []byte) []byte { return protocol.AppendSharedNotGranted(dst, f, name) }
	}
	const (
		ok  = "1 Lock Get Success: "
		no  = "0 Lock Get Failure: "
		sno = "0 Shared Lock Get Failure: "
	)
	return []reply{
		{ok + "token=1 waited=0 name=a b\n", granted(1, 0, name)},
		{ok + "token=1 waited=0 name=\n", granted(1, 0, nil)},
		{ok + "token=9223372036854775807 waited=0 name=\x00\xff =\n", granted(math.MaxInt64, 0, []byte("\x00\xff ="))},
		{ok + "token=1 waited=1 name=a b\n", granted(1, time.Millisecond, name)},
		{ok + "token=1 waited=0 name=a b\n", granted(1, time.Millisecond-1, name)},
		{ok + "token=1 waited=3600000 name=a b\n", granted(1, hour, name)},
		{ok + "token=1 waited=9223372036854 name=a b\n", granted(1, math.MaxInt64, name)},
		{ok + "token=1 waited=0 name=a b\n", granted(1, -hour, name)}, // a clock that went back
		{"1 Shared Lock Get Success: token=7 max=0 waited=0 name=a b\n", shared(1, 7, 0, 0)},
		{"12345 Shared Lock Get Success: token=7 max=2147483647 waited=250 name=a b\n", shared(12345, 7, math.MaxInt32, 250*time.Millisecond)},
		{no + "reason=held holder=1.2.3.4:5 held=250 queue=0 name=a b\n", failed(protocol.Failure{
			Reason: protocol.ReasonHeld, Holder: "1.2.3.4:5", Held: 250 * time.Millisecond,
		}, name)},
		{no + "reason=queue holder=[::1]:80 held=3600000 queue=17 name=\n", failed(protocol.Failure{
			Reason: protocol.ReasonQueue, Holder: "[::1]:80", Held: hour, Queue: 17,
		}, nil)},
		{no + "reason=too-many holder=- held=0 queue=0 name=\xff\n", failed(protocol.Failure{Reason: protocol.ReasonTooMany}, []byte("\xff"))},
		{no + "reason=timeout holder=- held=0 queue=0 name=a b\n", failed(protocol.Failure{Reason: protocol.ReasonTimeout, Held: -hour}, name)},
		// What belongs to the other kind of lock is not told.
		{no + "reason=cancelled holder=unix:1 held=0 queue=2 name=a b\n", failed(protocol.Failure{
			Reason: protocol.ReasonCancelled, Holder: "unix:1", Queue: 2, Count: 8, Max: 9,
		}, name)},
		{sno + "reason=limit count=3 max=3 queue=0 name=a b\n", sharedFailed(protocol.Failure{
			Reason: protocol.ReasonLimit, Count: 3, Max: 3,
		}, name)},
		{sno + "reason=draining count=0 max=0 queue=4 name=\n", sharedFailed(protocol.Failure{
			Reason: protocol.ReasonDraining, Queue: 4, Holder: "1.2.3.4:5", Held: hour,
		}, nil)},
		{"0 nothing to cancel\n", protocol.AppendNothingToCancel},
	}
}

func breakReplies() []reply {
	return []reply{
		{"2 [::1]:80 web 1\n", func(dst []byte) []byte { return protocol.AppendHandshake(dst, "[::1]:80", "web 1") }},
		{"1 pong\n", protocol.AppendPong},
		{"0 unknown command: x\ty\n", func(dst []byte) []byte { return protocol.AppendUnknown(dst, []byte("x\ty")) }},
		{"0 line too long\n", protocol.AppendTooLong},
		{"0 bad arguments: gw\n", func(dst []byte) []byte { return protocol.AppendBadArguments(dst, protocol.GetWait) }},
		{"0 bad arguments: kick\n", func(dst []byte) []byte { return protocol.AppendBadArguments(dst, protocol.Kick) }},
		{"1 ok count=1\n", func(dst []byte) []byte { return protocol.AppendGone(dst, 1) }},
		{"1 ok count=12345\n", func(dst []byte) []byte { return protocol.AppendGone(dst, 12345) }},
		{"0 not held: a b\n", func(dst []byte) []byte { return protocol.AppendNotHeld(dst, []byte("a b")) }},
		{"0 not held: \n", func(dst []byte) []byte { return protocol.AppendNotHeld(dst, nil) }},
		{"0 no such connection: x\n", func(dst []byte) []byte { return protocol.AppendNoConnection(dst, []byte("x")) }},
		{"0 denied\n", protocol.AppendDenied},
		{"line_bytes: 65536\n", func(dst []byte) []byte { return protocol.AppendInfo(dst, "line_bytes", "65536") }},
		{"\n", protocol.AppendEnd},
	}
}

func eventReplies() []reply {
	event := func(kind string, shared bool, name string) func([]byte) []byte {
		return func(dst []byte) []byte {
			return protocol.AppendEvent(dst, kind, shared, 12, "1.2.3.4:5", []byte(name))
		}
	}
	return []reply{
		{"* granted mode=exclusive token=12 addr=1.2.3.4:5 name=a b\n", event("granted", false, "a b")},
		{"* orphaned mode=shared token=12 addr=1.2.3.4:5 name=\n", event("orphaned", true, "")},
		{"* forced mode=exclusive token=12 addr=1.2.3.4:5 name=\x00\xff=\n", event("forced", false, "\x00\xff=")},
		{"* lost count=1\n", func(dst []byte) []byte { return protocol.AppendLost(dst, 1) }},
		{"* lost count=18446744073709551615\n", func(dst []byte) []byte { return protocol.AppendLost(dst, math.MaxUint64) }},
	}
}
