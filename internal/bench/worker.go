package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// A worker is one connection of a measurement. All of it belongs to its own
// goroutine, but for conn's deadlines, until that has ended.
type worker struct {
	m      *measurement
	conn   net.Conn // nil where there was none to be had; set before connected is done
	script *script
	rec    *recorder

	at     int    // the cycle's request that comes next
	due    int    // the cycle's request whose answer comes next
	buffer []byte // from start to end: what is read and not yet looked at
	start  int
	end    int

	tally
}

// A tally is what a connection counts.
type tally struct {
	succeeded, refused, errors int64
	firstError                 error
}

func (t *tally) add(o tally) {
	t.succeeded += o.succeeded
	t.refused += o.refused
	t.errors += o.errors
	if t.firstError == nil {
		t.firstError = o.firstError
	}
}

func (t *tally) fail(err error) {
	t.errors++
	if t.firstError == nil {
		t.firstError = err
	}
}

const (
	lineBytes   = 128     // of a reply, with room: those for our own names are shorter
	bufferBytes = 4 << 10 // at least
)

func newWorker(m *measurement, id int) *worker {
	own := fmt.Sprintf("%s%06d", m.prefix, id)
	depth := m.Depth
	return &worker{
		m:      m,
		script: newScript(m.target, m.Mix, depth, id, own, m.prefix+"hot"),
		rec:    m.recorders[id%len(m.recorders)],
		buffer: make([]byte, max(bufferBytes, depth*lineBytes)),
	}
}

// work puts the server under load until the measurement is over. The first error of
// the connection ends it, and closes it: others may wait for what it holds.
func (w *worker) work() {
	if err := w.load(); err != nil {
		w.fail(err)
		w.conn.Close()
	}
}

// load sends batch after batch until the measurement is over, and then what is left
// of the operation that is under way.
func (w *worker) load() error {
	for {
		sent := w.m.elapsed()
		if sent >= w.m.end() {
			break
		}
		if err := w.exchange(w.m.Depth, sent); err != nil {
			return err
		}
	}
	return w.finish()
}

// finish ends the operation that is under way, so that nothing stays held.
func (w *worker) finish() error {
	before := (w.at + len(w.script.last) - 1) % len(w.script.last)
	for !w.script.last[before] {
		if err := w.exchange(1, notCounted); err != nil {
			return err
		}
		before = (before + 1) % len(w.script.last)
	}
	return w.say(w.script.farewell)
}

// say sends a last request and does not care what the answer is.
func (w *worker) say(request string) error {
	if request == "" {
		return nil
	}
	if _, err := io.WriteString(w.conn, request); err != nil {
		return err
	}
	_, err := w.conn.Read(w.buffer)
	return err
}

// notCounted is for a batch that was sent when the measurement was over.
const notCounted time.Duration = -1

// exchange sends n requests and reads their answers.
func (w *worker) exchange(n int, sent time.Duration) error {
	if _, err := w.conn.Write(w.script.batch(w.at, n)); err != nil {
		return w.explain(err)
	}
	w.at = (w.at + n) % len(w.script.answers)
	for n > 0 {
		if err := w.read(); err != nil {
			return w.explain(err)
		}
		now := w.m.elapsed()
		counted := sent != notCounted && now > w.m.from
		answered := w.take(n, counted && now <= w.m.end())
		if counted {
			w.rec.record(now-sent, answered)
		}
		n -= answered
	}
	if w.start != w.end {
		return fmt.Errorf("an answer to nothing: %q", short(w.buffer[w.start:w.end]))
	}
	return nil
}

// read gets more bytes behind those that are there.
func (w *worker) read() error {
	copy(w.buffer, w.buffer[w.start:w.end])
	w.start, w.end = 0, w.end-w.start
	if w.end == len(w.buffer) {
		return fmt.Errorf("the answer to %q is too long: %q", w.script.request(w.due), short(w.buffer))
	}
	n, err := w.conn.Read(w.buffer[w.end:])
	if w.end += n; n > 0 {
		return nil
	}
	return err
}

// take judges the lines that have arrived, n at most.
func (w *worker) take(n int, counted bool) (answered int) {
	for answered < n {
		length := bytes.IndexByte(w.buffer[w.start:w.end], '\n')
		if length < 0 {
			return answered
		}
		line := w.buffer[w.start : w.start+length]
		w.start += length + 1
		if length > 0 && line[length-1] == '\r' {
			line = line[:length-1]
		}
		w.judge(line, counted)
		answered++
	}
	return answered
}

// judge holds a line against what must come. A wrong one counts at any time.
func (w *worker) judge(line []byte, counted bool) {
	v := w.script.answers[w.due].judge(line)
	if v == wrong {
		w.fail(fmt.Errorf("the answer to %q is %q", w.script.request(w.due), short(line)))
	}
	if w.due++; w.due == len(w.script.answers) {
		w.due = 0
	}
	if !counted {
		return
	}
	switch v {
	case right:
		w.succeeded++
	case refused:
		w.succeeded++
		w.refused++
	}
}

// explain says what an error of the connection means here.
func (w *worker) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("no answer to %q", w.script.request(w.due))
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the server closed the connection before the answer to %q", w.script.request(w.due))
	}
	return err
}

// short is as much of an answer as is of use.
func short(b []byte) []byte {
	const bytes = 80
	return b[:min(len(b), bytes)]
}
