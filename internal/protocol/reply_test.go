package protocol_test

import (
	"math"
	"testing"

	"lockd/internal/protocol"
)

type reply struct {
	want   string
	append func(dst []byte) []byte
}

func TestRepliesAreByteForByte(t *testing.T) {
	name := []byte("a b")
	tests := []reply{
		{"1 Lock Get Success: a b\n", func(dst []byte) []byte { return protocol.AppendGet(dst, true, name) }},
		{"0 Lock Get Failure: a b\n", func(dst []byte) []byte { return protocol.AppendGet(dst, false, name) }},
		{"1 Lock Get Success: \n", func(dst []byte) []byte { return protocol.AppendGet(dst, true, nil) }},
		{"1 Lock Get Success: \x00\xff\n", func(dst []byte) []byte { return protocol.AppendGet(dst, true, []byte("\x00\xff")) }},
		{"1 Lock Release Success: a b\n", func(dst []byte) []byte { return protocol.AppendRelease(dst, true, name) }},
		{"0 Lock Release Failure: a b\n", func(dst []byte) []byte { return protocol.AppendRelease(dst, false, name) }},
		{"1 Lock Is Locked: a b\n", func(dst []byte) []byte { return protocol.AppendInspect(dst, true, name) }},
		{"0 Lock Not Locked: a b\n", func(dst []byte) []byte { return protocol.AppendInspect(dst, false, name) }},
		{"1 Shared Lock Get Success: a b\n", func(dst []byte) []byte { return protocol.AppendSharedGet(dst, 1, name) }},
		{"12345 Shared Lock Get Success: a b\n", func(dst []byte) []byte { return protocol.AppendSharedGet(dst, 12345, name) }},
		{"0 Shared Lock Get Failure: a b\n", func(dst []byte) []byte { return protocol.AppendSharedGet(dst, 0, name) }},
		{"1 Shared Lock Release Success: a b\n", func(dst []byte) []byte { return protocol.AppendSharedRelease(dst, true, name) }},
		{"0 Shared Lock Release Failure: a b\n", func(dst []byte) []byte { return protocol.AppendSharedRelease(dst, false, name) }},
		{"1 Shared Lock Is Locked: a b\n", func(dst []byte) []byte { return protocol.AppendSharedInspect(dst, 1, name) }},
		{"207 Shared Lock Is Locked: a b\n", func(dst []byte) []byte { return protocol.AppendSharedInspect(dst, 207, name) }},
		{"0 Shared Lock Not Locked: a b\n", func(dst []byte) []byte { return protocol.AppendSharedInspect(dst, 0, name) }},
		{"1 [::1]:80 web 1\n", func(dst []byte) []byte { return protocol.AppendMe(dst, "[::1]:80", "web 1") }},
		{"1 unix:1 unix:1\n", func(dst []byte) []byte { return protocol.AppendMe(dst, "unix:1", "unix:1") }},
		{"1 ok\n", protocol.AppendOK},
		{"0 disabled\n", protocol.AppendDisabled},
		{"a b: web 1\n", func(dst []byte) []byte { return protocol.AppendHolder(dst, name, "web 1") }},
		{": unix:1\n", func(dst []byte) []byte { return protocol.AppendHolder(dst, nil, "unix:1") }},
		{"1.2.3.4:5: web 1\n", func(dst []byte) []byte { return protocol.AppendClient(dst, "1.2.3.4:5", "web 1") }},
		{"command_g: 0\n", func(dst []byte) []byte { return protocol.AppendCounter(dst, "command_g", 0) }},
		{"locks: 18446744073709551615\n", func(dst []byte) []byte { return protocol.AppendCounter(dst, "locks", math.MaxUint64) }},
	}
	for _, tt := range append(tests, levelTwoReplies()...) {
		if got := tt.append(nil); string(got) != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
		if got := tt.append([]byte("before\n")); string(got) != "before\n"+tt.want {
			t.Errorf("behind another reply: got %q, want %q", got, tt.want)
		}
	}
}
