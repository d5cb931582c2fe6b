package protocol_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lockd/internal/protocol"
)

// tooLong stands for a line over the limit in a sequence of lines.
const tooLong = "<too long>"

// A stream is what a connection is read through: it presents to Lines what is
// not yet cut off, with new bytes behind it, as the server does.
type stream struct {
	lines   protocol.Lines
	pending []byte
	got     []string
}

// read brings the next bytes in and cuts off all lines that are whole then.
// Each call to Next gets the limit that the function gives.
func (s *stream) read(piece []byte, limit func() int) error {
	s.pending = append(s.pending, piece...)
	for {
		n := limit()
		line, rest, cut := s.lines.Next(s.pending, n)
		s.pending = slices.Clone(rest)
		switch cut {
		case protocol.Incomplete:
			return nil
		case protocol.Complete:
			if len(line) > n {
				return fmt.Errorf("a line of %d bytes is complete at a limit of %d", len(line), n)
			}
			s.got = append(s.got, string(line))
		case protocol.TooLong:
			if len(line) <= n {
				return fmt.Errorf("a line of %d bytes is too long at a limit of %d", len(line), n)
			}
			s.got = append(s.got, tooLong)
		default:
			return fmt.Errorf("Next returned the cut %d", cut)
		}
	}
}

// model says what must be found in all of a stream's bytes, and what stays.
func model(data []byte, limit int) (lines []string, rest string) {
	parts := strings.Split(string(data), "\n")
	last := len(parts) - 1
	for i, part := range parts {
		switch {
		case len(part) > limit:
			lines = append(lines, tooLong)
		case i < last:
			lines = append(lines, part)
		default:
			rest = part
		}
	}
	return lines, rest
}

// checkPieces holds the lines found in data, read in the pieces given, against
// the model.
func checkPieces(data []byte, pieces [][]byte, limit int) error {
	var s stream
	for _, piece := range pieces {
		if err := s.read(piece, func() int { return limit }); err != nil {
			return err
		}
	}
	want, rest := model(data, limit)
	if !slices.Equal(s.got, want) || string(s.pending) != rest {
		return fmt.Errorf("%q in pieces %q at limit %d gave %q and kept %q; want %q and %q",
			data, pieces, limit, s.got, s.pending, want, rest)
	}
	return nil
}

func TestLinesAreTheSameInEveryCut(t *testing.T) {
	for _, data := range []string{
		"", "\n", "\n\n\n", "a\n", "g a\ng b\n", "a\r\nb\r\n", "abc\nabcd\nab\n", "abcdefgh\nij\n", "abcd\nefghi\nk",
		"abcdefghijkl", "\nabcdef\n\nabcdef", "abcd\n\n\nabcd",
	} {
		for limit := range 6 {
			for cuts := range 1 << max(0, len(data)-1) {
				if err := checkPieces([]byte(data), pieces([]byte(data), cuts), limit); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// pieces cuts data behind byte i where bit i of cuts is set.
func pieces(data []byte, cuts int) (out [][]byte) {
	begin := 0
	for i := range data {
		if cuts>>i&1 == 1 {
			out = append(out, data[begin:i+1])
			begin = i + 1
		}
	}
	return append(out, data[begin:])
}

func TestLinesDoNotDependOnTheCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alphabet := rapid.SampledFrom([]byte("\n\n\nab \r\x00\xff"))
		data := rapid.SliceOfN(alphabet, 0, 300).Draw(t, "data")
		limit := rapid.IntRange(0, 20).Draw(t, "limit")
		var pieces [][]byte
		for left := data; len(left) > 0; {
			n := rapid.IntRange(0, len(left)).Draw(t, "piece")
			pieces = append(pieces, left[:n])
			left = left[n:]
		}
		if err := checkPieces(data, pieces, limit); err != nil {
			t.Fatal(err)
		}
	})
}

func TestALimitThatChangesLosesAndDoublesNoLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.SliceOfN(rapid.SampledFrom([]byte("\n\nabcdef")), 0, 200).Draw(t, "data")
		limit := func() int { return rapid.IntRange(0, 8).Draw(t, "limit") }
		var s stream
		for left := data; len(left) > 0; {
			n := rapid.IntRange(1, len(left)).Draw(t, "piece")
			if err := s.read(left[:n], limit); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
		}
		checkEachLineOnce(t, &s, strings.Split(string(data), "\n"))
	})
}

// checkEachLineOnce wants every line of the stream once, whole or as too long.
// The last has no LF: it is too long or still pending.
func checkEachLineOnce(t *rapid.T, s *stream, lines []string) {
	last := len(lines) - 1
	if len(s.got) < last || len(s.got) > last+1 {
		t.Fatalf("%d lines gave %q", last, s.got)
	}
	for i, got := range s.got {
		if got != tooLong && (i == last || got != lines[i]) {
			t.Fatalf("line %d of %q was given as %q", i, lines, got)
		}
	}
	if rest := string(s.pending); len(s.got) == last && rest != lines[last] || len(s.got) > last && rest != "" {
		t.Fatalf("of %q, %q is pending", lines, rest)
	}
}

func TestTheLimitCountsAllButTheLF(t *testing.T) {
	const limit = 65536
	exactly := strings.Repeat("x", limit)
	for _, tt := range []struct {
		name, data string
		want       []string
		rest       string
	}{
		{"the limit exactly", exactly + "\n", []string{exactly}, ""},
		{"one more", exactly + "x\n", []string{tooLong}, ""},
		{"a CR counts", exactly + "\r\n", []string{tooLong}, ""},
		{"the limit exactly, the LF not there", exactly, nil, exactly},
		{"one more, the LF not there", exactly + "x", []string{tooLong}, ""},
		{"a line before and after", "a\n" + exactly + "x\nb\n", []string{"a", tooLong, "b"}, ""},
		{"several in a row", exactly + "x\n" + exactly + "xx\n" + exactly + "x\nb\n", []string{tooLong, tooLong, tooLong, "b"}, ""},
		{"many times the limit", strings.Repeat("x", 5*limit) + "\nb\n", []string{tooLong, "b"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, size := range []int{1 << 20, limit + 1, limit, 4096} {
				var s stream
				for piece := range slices.Chunk([]byte(tt.data), size) {
					if err := s.read(piece, func() int { return limit }); err != nil {
						t.Fatal(err)
					}
				}
				if !slices.Equal(s.got, tt.want) || string(s.pending) != tt.rest {
					t.Errorf("in pieces of %d: %d lines and %d bytes pending; want %d and %d",
						size, len(s.got), len(s.pending), len(tt.want), len(tt.rest))
				}
			}
		})
	}
}

func TestATooLongLineShowsItsBeginning(t *testing.T) {
	for _, data := range []string{"GET / HTTP/1.1", "GET / HTTP/1.1\n"} {
		var lines protocol.Lines
		line, rest, cut := lines.Next([]byte(data), 5)
		if cut != protocol.TooLong || len(rest) != 0 || string(line) != "GET / HTTP/1.1" {
			t.Errorf("Next(%q) = %q, %q, %d; want the whole line, too long", data, line, rest, cut)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("g a\ng b\n"), []byte{1, 2, 3}, uint8(3))
	f.Add([]byte("abcdefghij\nab\nabcdefghij"), []byte{5, 1}, uint8(4))
	f.Add([]byte("\n\n\n"), []byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, data, sizes []byte, limit uint8) {
		var pieces [][]byte
		left := data
		for _, size := range sizes {
			n := min(int(size), len(left))
			pieces = append(pieces, left[:n])
			left = left[n:]
		}
		if err := checkPieces(bytes.Clone(data), append(pieces, left), int(limit)); err != nil {
			t.Fatal(err)
		}
	})
}
