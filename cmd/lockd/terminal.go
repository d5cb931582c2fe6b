package main

import (
	"context"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func isInteractive(r io.Reader) bool {
	w, ok := r.(io.Writer) // as files are
	return ok && isTerminal(w)
}

// A screen is what text is laid out for. The zero value is a pipe or a file: as
// wide as need be, and without colours.
type screen struct {
	width, height int // in characters; 0: no end
	bold          bool
}

func screenOf(w io.Writer, env environment) screen {
	if !isTerminal(w) {
		return screen{}
	}
	noColor, _ := env.lookupEnv("NO_COLOR")
	kind, _ := env.lookupEnv("TERM")
	s := screen{bold: noColor == "" && kind != "dumb"}
	if width, height, err := term.GetSize(int(w.(*os.File).Fd())); err == nil {
		s.width, s.height = width, height
	}
	return s
}

// readerCheck is how often it is looked whether anybody reads.
const readerCheck = 500 * time.Millisecond

// whileRead returns a context that ends also when w is a pipe whose reader has
// gone: with rare events "lockd watch | head -1" would stay for hours.
func whileRead(ctx context.Context, w io.Writer) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	f, ok := w.(*os.File)
	if !ok || isTerminal(w) {
		return ctx, cancel
	}
	done := make(chan struct{})
	fd := int32(f.Fd())
	go func() {
		defer close(done)
		for ctx.Err() == nil && !readerGone(fd) {
			select {
			case <-ctx.Done():
			case <-time.After(readerCheck):
			}
		}
		cancel()
	}()
	return ctx, func() { cancel(); <-done }
}

// readerGone reports a pipe without a reader. The poll does not wait.
func readerGone(fd int32) bool {
	fds := []unix.PollFd{{Fd: fd}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLERR != 0
}
