package protocol

import (
	"strconv"
	"time"
)

// The replies of level 2 (docs/protocol.md, "Level 2"). What a program reads in
// them is key=value, the name last, as it may hold blanks.

// Level is the highest level of the protocol that there is.
const Level = 2

// A Reason tells why a gw or sgw was not granted.
type Reason string

// The reasons.
const (
	ReasonHeld      Reason = "held"      // a try, and another holds the lock
	ReasonQueue     Reason = "queue"     // a try, and others wait
	ReasonLimit     Reason = "limit"     // a try, and there are as many holders as asked for
	ReasonTimeout   Reason = "timeout"   // waited as long as asked for
	ReasonCancelled Reason = "cancelled" // by the client, or its end
	ReasonTooMany   Reason = "too-many"  // a limit of the configuration
	ReasonDraining  Reason = "draining"  // the server closes
)

// A Failure is what the reply to a gw or sgw tells that was not granted.
type Failure struct {
	Reason Reason
	Holder string        // gw: the address of who holds the lock; "" is told as "-"
	Held   time.Duration // gw: for how long
	Count  int           // sgw: holders
	Max    int           // sgw: as asked for
	Queue  int           // others that wait
}

// AppendGranted words the reply to a gw that was granted.
func AppendGranted(dst []byte, token uint64, waited time.Duration, name []byte) []byte {
	dst = appendUint(dst, "1 Lock Get Success: token=", token)
	dst = appendMS(dst, " waited=", waited)
	return appendNamed(dst, " name=", name)
}

// AppendSharedGranted words the reply to an sgw that was granted.
func AppendSharedGranted(dst []byte, count int, token uint64, limit int, waited time.Duration, name []byte) []byte {
	dst = strconv.AppendInt(dst, int64(count), 10)
	dst = appendUint(dst, " Shared Lock Get Success: token=", token)
	dst = appendUint(dst, " max=", uint64(limit))
	dst = appendMS(dst, " waited=", waited)
	return appendNamed(dst, " name=", name)
}

// AppendNotGranted words the reply to a gw that was not granted.
func AppendNotGranted(dst []byte, f Failure, name []byte) []byte {
	dst = append(dst, "0 Lock Get Failure: reason="...)
	dst = append(dst, f.Reason...)
	dst = append(dst, " holder="...)
	if f.Holder == "" {
		dst = append(dst, '-')
	}
	dst = append(dst, f.Holder...)
	dst = appendMS(dst, " held=", f.Held)
	dst = appendUint(dst, " queue=", uint64(f.Queue))
	return appendNamed(dst, " name=", name)
}

// AppendSharedNotGranted words the reply to an sgw that was not granted.
func AppendSharedNotGranted(dst []byte, f Failure, name []byte) []byte {
	dst = append(dst, "0 Shared Lock Get Failure: reason="...)
	dst = append(dst, f.Reason...)
	dst = appendUint(dst, " count=", uint64(f.Count))
	dst = appendUint(dst, " max=", uint64(f.Max))
	dst = appendUint(dst, " queue=", uint64(f.Queue))
	return appendNamed(dst, " name=", name)
}

// AppendHandshake words the reply to a me that asked for level 2.
func AppendHandshake(dst []byte, addr, holder string) []byte {
	return appendIdentity(dst, "2 ", addr, holder)
}

// AppendNothingToCancel words the reply to a cancel behind no wait.
func AppendNothingToCancel(dst []byte) []byte { return append(dst, "0 nothing to cancel\n"...) }

// AppendPong words the reply to ping.
func AppendPong(dst []byte) []byte { return append(dst, "1 pong\n"...) }

// AppendUnknown words what a connection of level 2 is told of a line that is no
// command.
func AppendUnknown(dst, word []byte) []byte { return appendNamed(dst, "0 unknown command: ", word) }

// AppendTooLong words what a connection of level 2 is told of a line over the
// limit.
func AppendTooLong(dst []byte) []byte { return append(dst, "0 line too long\n"...) }

// AppendBadArguments words the reply to a command of level 2 whose arguments are
// missing, no numbers, or out of range.
func AppendBadArguments(dst []byte, v Verb) []byte {
	return appendNamed(dst, "0 bad arguments: ", []byte(v.String()))
}

// AppendGone words the reply to fr and kick: so many connections are gone.
func AppendGone(dst []byte, count int) []byte {
	return append(appendUint(dst, "1 ok count=", uint64(count)), '\n')
}

// AppendNotHeld words the reply to an fr that found no holder.
func AppendNotHeld(dst, name []byte) []byte { return appendNamed(dst, "0 not held: ", name) }

// AppendNoConnection words the reply to a kick that found nobody.
func AppendNoConnection(dst, addr []byte) []byte {
	return appendNamed(dst, "0 no such connection: ", addr)
}

// AppendDenied words the reply to a command that the client may not use.
func AppendDenied(dst []byte) []byte { return append(dst, "0 denied\n"...) }

// AppendInfo words a line of info.
func AppendInfo(dst []byte, key, value string) []byte {
	return appendPair(append(dst, key...), value)
}

// AppendEnd words the empty line that ends a listing.
func AppendEnd(dst []byte) []byte { return append(dst, '\n') }

// AppendEvent words what a watcher is told of a lock: kind is granted, released,
// orphaned or forced.
func AppendEvent(dst []byte, kind string, shared bool, token uint64, addr string, name []byte) []byte {
	dst = append(dst, "* "...)
	dst = append(dst, kind...)
	dst = append(dst, " mode="...)
	dst = append(dst, modeWord(shared)...)
	dst = appendUint(dst, " token=", token)
	dst = append(dst, " addr="...)
	dst = append(dst, addr...)
	return appendNamed(dst, " name=", name)
}

// AppendLost words what a watcher is told where events are missing.
func AppendLost(dst []byte, count uint64) []byte {
	return append(appendUint(dst, "* lost count=", count), '\n')
}

func modeWord(shared bool) string {
	if shared {
		return "shared"
	}
	return "exclusive"
}

func appendUint(dst []byte, text string, n uint64) []byte {
	return strconv.AppendUint(append(dst, text...), n, 10)
}

// appendMS appends a duration in whole milliseconds.
func appendMS(dst []byte, text string, d time.Duration) []byte {
	return appendUint(dst, text, uint64(max(d, 0).Milliseconds()))
}
