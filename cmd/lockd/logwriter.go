package main

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// logLines is how many lines wait for a slow reader of the log before more are
// dropped.
const logLines = 1024

// A logWriter keeps whoever logs from waiting for whoever reads the log: a pager
// that is paused, a collector that hangs, a full disk must not stop the server.
// Lines that find no room are dropped, and counted where they would have been.
type logWriter struct {
	out     io.Writer
	lines   chan []byte // nil is the end
	dropped atomic.Uint64
	ended   chan struct{} // closed by run
}

// newLogWriter starts a goroutine that writes to out, until close.
func newLogWriter(out io.Writer) *logWriter {
	w := &logWriter{out: out, lines: make(chan []byte, logLines), ended: make(chan struct{})}
	go w.run()
	return w
}

// Write implements io.Writer. P is one line. It never fails.
func (w *logWriter) Write(p []byte) (int, error) {
	select {
	case w.lines <- bytes.Clone(p):
	default:
		w.dropped.Add(1)
	}
	return len(p), nil
}

func (w *logWriter) run() {
	defer close(w.ended)
	for line := range w.lines {
		if n := w.dropped.Swap(0); n > 0 {
			fmt.Fprintf(w.out, "lockd: %d lines of the log are lost, its reader was too slow\n", n)
		}
		if line == nil {
			return
		}
		w.out.Write(line) // where it fails there is nobody to tell
	}
}

// flushTime is how long close waits for a slow reader.
const flushTime = time.Second

// close writes what is waiting, if that can be done soon. What is logged
// afterwards is lost.
func (w *logWriter) close() {
	timer := time.NewTimer(flushTime)
	defer timer.Stop()
	select {
	case w.lines <- nil:
	case <-timer.C:
		return
	}
	select {
	case <-w.ended:
	case <-timer.C:
	}
}
