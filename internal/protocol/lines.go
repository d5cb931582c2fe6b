package protocol

import "bytes"

// A Cut says what [Lines.Next] found.
type Cut uint8

// The outcomes of [Lines.Next].
const (
	Incomplete Cut = iota // no whole line: read on
	Complete              // a line
	TooLong               // a line over the limit, of which nothing may be run
)

// Lines cuts the bytes of one connection into lines, whatever the pieces they
// arrive in (docs/protocol.md, "Lines"). The zero value is ready. It keeps no
// bytes itself: what is incomplete stays with the caller, who presents it again
// with more behind it.
type Lines struct {
	searched int  // bytes of the incomplete line known to hold no LF
	skipping bool // the rest of a line over the limit is still to come
}

// Next cuts the first line off buf and returns it without its LF, and the rest
// of buf behind it. A line of more than limit bytes is reported as TooLong once,
// as soon as that is known, with the bytes of it that are there; what follows of
// it, up to its LF, is passed over. With Incomplete, rest is what must be
// presented again.
func (l *Lines) Next(buf []byte, limit int) (line, rest []byte, cut Cut) {
	if l.skipping {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 {
			return nil, nil, Incomplete
		}
		l.skipping = false
		buf = buf[i+1:]
	}
	i := bytes.IndexByte(buf[l.searched:], '\n')
	if i >= 0 {
		i += l.searched
		l.searched = 0
		line, rest, cut = buf[:i], buf[i+1:], Complete
		if i > limit {
			cut = TooLong
		}
		return line, rest, cut
	}
	if len(buf) > limit {
		l.searched, l.skipping = 0, true
		return buf, nil, TooLong
	}
	l.searched = len(buf)
	return nil, buf, Incomplete
}
