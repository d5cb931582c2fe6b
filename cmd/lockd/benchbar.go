package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"

	"lockd/internal/bench"
)

// A benchBar shows on a terminal how far a run is, and nothing elsewhere.
type benchBar struct {
	terminal *os.File // nil: there is none
	writer   progress.Writer
	tracker  *progress.Tracker
	rendered sync.WaitGroup
	shown    bool // belongs to the renderer until it has ended
}

const (
	barWidth  = 30 // columns
	barUpdate = 200 * time.Millisecond
	eraseLine = "\x1b[1A\r\x1b[K" // the one above, which is where the bar is
)

func newBenchBar(env environment) *benchBar {
	if !isTerminal(env.stderr) {
		return new(benchBar)
	}
	return &benchBar{terminal: env.stderr.(*os.File)}
}

// Write passes on what the renderer writes.
func (b *benchBar) Write(p []byte) (int, error) {
	b.shown = b.shown || len(p) > 0
	return b.terminal.Write(p)
}

func (b *benchBar) show(p bench.Progress) {
	if b.terminal == nil {
		return
	}
	if b.writer == nil {
		b.start(p)
	}
	b.tracker.UpdateMessage(fmt.Sprintf("round %d: %s", p.Round, printable(p.Target)))
	b.tracker.SetValue(min(p.Done.Milliseconds(), b.tracker.Total-1)) // one that is done would stay
}

func (b *benchBar) start(p bench.Progress) {
	b.writer = progress.NewWriter()
	b.writer.SetOutputWriter(b)
	b.writer.SetTrackerLength(barWidth)
	b.writer.SetUpdateFrequency(barUpdate)
	b.writer.SetTrackerPosition(progress.PositionRight)
	if width, _, err := term.GetSize(int(b.terminal.Fd())); err == nil {
		b.writer.SetTerminalWidth(width) // a line that is wrapped could not be taken back
	}
	style := progress.StyleBlocks
	style.Visibility.Value, style.Visibility.Time, style.Visibility.Speed = false, false, false
	style.Options.PercentFormat = "%3.0f%%"
	b.writer.SetStyle(style)
	b.tracker = &progress.Tracker{Total: max(2, p.Total.Milliseconds())}
	b.writer.AppendTracker(b.tracker)
	b.rendered.Go(b.writer.Render)
	for !b.writer.IsRenderInProgress() { // before that, close could not tell when it has ended
		<-time.After(time.Millisecond)
	}
}

// close takes the bar off the terminal.
func (b *benchBar) close() {
	if b.writer == nil {
		return
	}
	for b.writer.IsRenderInProgress() {
		b.writer.Stop() // is lost on one that has only just begun
		<-time.After(time.Millisecond)
	}
	b.rendered.Wait()
	if b.shown {
		io.WriteString(b.terminal, eraseLine) // a terminal that is gone needs none
	}
}
