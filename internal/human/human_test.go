package human_test

import (
	"math"
	"testing"
	"time"

	"lockd/internal/human"
)

func TestQuantities(t *testing.T) {
	for _, tc := range []struct{ got, want string }{
		{human.Age(0), "0s"},
		{human.Age(time.Minute - 1), "59s"},
		{human.Age(3*time.Minute + 12*time.Second), "3m12s"},
		{human.Age(time.Hour), "1h0m"},
		{human.Age(98*time.Hour + 59*time.Minute), "4d2h"},
		{human.Bytes(0), "0 bytes"},
		{human.Bytes(1023), "1023 bytes"},
		{human.Bytes(1024), "1.0 KiB"},
		{human.Bytes(5 << 30), "5.0 GiB"},
		{human.Bytes(math.MaxInt64), "8.0 EiB"},
		{human.Digits(0), "0"},
		{human.Digits(999), "999"},
		{human.Digits(1000), "1\u202f000"},
		{human.Digits(1234567), "1\u202f234\u202f567"},
	} {
		if tc.got != tc.want {
			t.Errorf("%q, want %q", tc.got, tc.want)
		}
	}
}

func TestHidden(t *testing.T) {
	for r, want := range map[rune]bool{
		'a': false, 'é': false, '鍵': false, ' ': false,
		0: true, '\x1b': true, '\n': true, '\x7f': true, '\u00a0': true, '\u202e': true, '\ufffd': true,
	} {
		if human.Hidden(r) != want {
			t.Errorf("%q: %t", r, !want)
		}
	}
}
