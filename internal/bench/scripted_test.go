package bench

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A scripted server answers each line that it reads with what reply says, in the
// time of a bubble.
type scripted struct {
	delay time.Duration                          // before each answer
	reply func(n int, line string) (text string) // n counts the lines of a connection from 0
	// firstOnly answers the first line of what it reads at a time and drops the rest.
	firstOnly bool
	// bytewise sends each byte by itself.
	bytewise bool
	served   sync.WaitGroup
}

// hangUp is the reply that closes the connection.
const hangUp = "\x00"

func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	s.served.Go(func() {
		defer far.Close()
		s.serve(far)
	})
	return near, nil
}

func (s *scripted) serve(c net.Conn) {
	reader := bufio.NewReader(c)
	for n := 0; ; n++ {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		if s.firstOnly {
			reader.Discard(reader.Buffered())
		}
		if s.delay > 0 {
			<-time.After(s.delay)
		}
		text := s.reply(n, strings.TrimSuffix(line, "\n"))
		if text == hangUp {
			return
		}
		if err := s.send(c, text); err != nil {
			return
		}
	}
}

func (s *scripted) send(c net.Conn, text string) error {
	if !s.bytewise {
		_, err := io.WriteString(c, text)
		return err
	}
	for _, b := range []byte(text) {
		if _, err := c.Write([]byte{b}); err != nil {
			return err
		}
	}
	return nil
}

// lockd answers as lockd does when it is asked for locks that are free.
func lockd(_ int, line string) string {
	command, name, _ := strings.Cut(line, " ")
	switch command {
	case "g":
		return "1 Lock Get Success: " + name + "\n"
	case "r":
		return "1 Lock Release Success: " + name + "\n"
	case "i":
		return "0 Lock Not Locked: " + name + "\n"
	case "me":
		return "2 1.2.3.4:5 1.2.3.4:5\n"
	}
	return ""
}

func scriptedOptions(t *testing.T, s *scripted, operations string) Options {
	return Options{
		Connections: 1, Depth: 1, Mix: mustMix(t, operations), Duration: time.Second, Rounds: 1,
		Timeout: 5 * time.Second, Dial: s.dial,
	}
}

func mustMix(t *testing.T, text string) Mix {
	t.Helper()
	m, err := ParseMix(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// runScripted measures one scripted server.
func runScripted(t *testing.T, s *scripted, o Options) Result {
	t.Helper()
	results, err := Run(t.Context(), o, []Target{{Name: "scripted"}})
	if err != nil {
		t.Fatal(err)
	}
	s.served.Wait()
	return results[0]
}

func TestPercentilesAreThoseOfTheDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Of 2000: 1800 take 1 ms, 190 take 10 ms, 9 take 50 ms, 1 takes 200 ms.
		delay := func(n int) time.Duration {
			switch n %= 2000; {
			case n == 1000:
				return 200 * time.Millisecond
			case n%200 == 7 && n > 200:
				return 50 * time.Millisecond
			case n%10 == 3 && n >= 100:
				return 10 * time.Millisecond
			}
			return time.Millisecond
		}
		cycle := time.Duration(0)
		for n := range 2000 {
			cycle += delay(n)
		}
		s := &scripted{reply: func(n int, line string) string {
			<-time.After(delay(n))
			return lockd(n, line)
		}}
		o := scriptedOptions(t, s, "inspect")
		o.Duration = 10 * cycle
		r := runScripted(t, s, o).Rounds[0]
		near := func(what string, got, want float64) {
			if got < want || got > 1.001*want {
				t.Errorf("%s is %v, want %v", what, got, want)
			}
		}
		near("p50", r.P50, 1000)
		near("p99", r.P99, 10_000)
		near("p99.9", r.P999, 50_000)
		near("max", r.Max, 200_000)
		near("operations", float64(r.Succeeded), 20_000)
		near("ops/s", r.OpsPerSecond, 20_000/(10*cycle).Seconds())
	})
}

// The answers of a batch of 2 come after 1 and 3 ms.
func TestLatencyIsFromSendingTheBatchToTheRequestsOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(n int, line string) string {
			<-time.After(time.Duration(1+n%2) * time.Millisecond)
			return lockd(n, line)
		}}
		o := scriptedOptions(t, s, "inspect")
		o.Depth, o.Duration = 2, 3*time.Second
		r := runScripted(t, s, o).Rounds[0]
		if r.P50 != 1000 || r.P99 < 3000 || r.P99 > 3003 || r.Succeeded != 2000 {
			t.Errorf("%d operations, p50 %v, p99 %v; want 2000, 1000, 3000", r.Succeeded, r.P50, r.P99)
		}
	})
}

func TestTheWarmUpIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		s := &scripted{reply: func(n int, line string) string {
			d := time.Millisecond
			if time.Since(begin) < time.Second {
				d = 100 * time.Millisecond
			}
			<-time.After(d)
			return lockd(n, line)
		}}
		o := scriptedOptions(t, s, "inspect")
		o.Warmup = 1500 * time.Millisecond
		r := runScripted(t, s, o).Rounds[0]
		if r.Max != 1000 || r.Succeeded != 1000 || r.Seconds != 1 {
			t.Errorf("%d operations in %v s, the slowest took %v µs; want 1000 in 1, 1000", r.Succeeded, r.Seconds, r.Max)
		}
	})
}

func TestWhatGoesWrongIsCountedAndSaid(t *testing.T) {
	tests := map[string]struct {
		reply           func(n int, line string) string
		succeeded, errs int64
		first           string
	}{
		"a failure": {
			func(int, string) string { return "0 Lock Get Failure: x\n" }, 0, 1000,
			`the answer to "g lockd-bench-`,
		},
		"now and then another line": {
			func(n int, line string) string {
				if n == 500 {
					return "what?\n"
				}
				return lockd(n, line)
			}, 999, 1, `is "what?"`,
		},
		"hanging up": {
			func(n int, line string) string {
				if n == 100 {
					return hangUp
				}
				return lockd(n, line)
			}, 100, 1, "the server closed the connection before the answer to \"g lockd-bench-",
		},
		"silence": {
			func(n int, line string) string {
				if n >= 10 {
					return ""
				}
				return lockd(n, line)
			}, 10, 1, "no answer to \"g lockd-bench-",
		},
		"two answers to one": {
			func(n int, line string) string { return lockd(n, line) + "1 more\n" }, 1, 1,
			`an answer to nothing: "1 more\n"`,
		},
		"an answer without an end": {
			func(int, string) string { return strings.Repeat("x", 1<<20) }, 0, 1, "is too long",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &scripted{delay: time.Millisecond, reply: test.reply}
				got := runScripted(t, s, scriptedOptions(t, s, "get-release"))
				n, first := got.Errors()
				if got.Rounds[0].Succeeded != test.succeeded || n != test.errs || !strings.Contains(first, test.first) {
					t.Errorf("%d right, %d errors, first %q; want %d, %d, %q", got.Rounds[0].Succeeded, n, first, test.succeeded, test.errs, test.first)
				}
				if got.Failed() != (test.succeeded == 0) {
					t.Errorf("the server has failed: %v", got.Failed())
				}
			})
		})
	}
}

func TestOneThatDropsPipelinedLinesCanBeMeasuredAtDepth1Only(t *testing.T) {
	for depth, wantErrors := range map[int]int64{1: 0, 4: 3} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{delay: time.Millisecond, firstOnly: true, reply: lockd}
			o := scriptedOptions(t, s, "get-release=2,inspect")
			o.Depth, o.Connections = depth, 3
			r := runScripted(t, s, o)
			if n, first := r.Errors(); n != wantErrors || n > 0 && !strings.HasPrefix(first, "no answer to") {
				t.Errorf("depth %d: %d errors, the first %q; want %d", depth, n, first, wantErrors)
			}
		})
	}
}

func TestARunEndsAfterTheRoundInWhichNothingWorked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: time.Millisecond, reply: func(int, string) string { return "no\n" }}
		o := scriptedOptions(t, s, "inspect")
		o.Rounds = 5
		if r := runScripted(t, s, o); len(r.Rounds) != 1 || !r.Failed() {
			t.Errorf("%d rounds, failed: %v", len(r.Rounds), r.Failed())
		}
	})
}

// Its only answer comes when the measurement is over.
func TestOneThatIsSlowHasNotFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: 3 * time.Second, reply: lockd}
		o := scriptedOptions(t, s, "inspect")
		o.Rounds = 2
		r := runScripted(t, s, o)
		if len(r.Rounds) != 2 || r.Failed() || r.Rounds[0].Succeeded != 0 || r.Rounds[0].P50 < 3e6 || r.Rounds[0].P50 > 3.003e6 {
			t.Errorf("failed: %v, %+v; want two rounds with a latency of 3 s", r.Failed(), r.Rounds)
		}
	})
}

func TestRoundsAreInterleaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: time.Millisecond, reply: lockd}
		o := scriptedOptions(t, s, "inspect")
		o.Rounds = 2
		var seen []string
		last := time.Duration(0)
		o.OnProgress = func(p Progress) {
			at := p.Target + string(rune('0'+p.Round))
			if len(seen) == 0 || seen[len(seen)-1] != at {
				seen = append(seen, at)
			}
			if p.Done < last || p.Done > p.Total || p.Total != 4*time.Second {
				t.Errorf("%v of %v are done, after %v", p.Done, p.Total, last)
			}
			last = p.Done
		}
		if _, err := Run(t.Context(), o, []Target{{Name: "a"}, {Name: "b"}}); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(seen, " "); got != "a1 b1 a2 b2" {
			t.Errorf("measured %s", got)
		}
		if last != 4*time.Second {
			t.Errorf("progress ends at %v", last)
		}
	})
}

func TestARunThatIsBrokenOffHasWhatItMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: time.Millisecond, reply: lockd}
		o := scriptedOptions(t, s, "inspect")
		o.Rounds, o.Warmup = 3, 500*time.Millisecond
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		results, err := Run(ctx, o, []Target{{Name: "a"}, {Name: "b"}})
		if err != nil {
			t.Fatal(err)
		}
		a, b := results[0].Rounds, results[1].Rounds
		if len(a) != 1 || len(b) != 1 || b[0].Seconds != 0.5 || b[0].Succeeded != 500 || b[0].Errors != 0 {
			t.Errorf("a: %+v, b: %+v; want a whole round of a and half a round of b", a, b)
		}
	})
}

func TestAnInterruptDoesNotWaitForOneThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{reply: func(int, string) string { return "" }}
		o := scriptedOptions(t, s, "inspect")
		o.Duration, o.Timeout = time.Hour, time.Hour
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := Run(ctx, o, []Target{{Name: "silent"}}); err != nil {
			t.Fatal(err)
		}
		s.served.Wait()
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

func TestAnswersMayComeInPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: time.Millisecond, reply: lockd, bytewise: true}
		o := scriptedOptions(t, s, "get-release")
		o.Depth = 5
		r := runScripted(t, s, o)
		if n, first := r.Errors(); n > 0 || r.Rounds[0].Succeeded != 1000 {
			t.Errorf("%d right, %d errors, the first: %s", r.Rounds[0].Succeeded, n, first)
		}
	})
}

func TestLevel2OperationsNeedLevel2(t *testing.T) {
	tests := map[string]string{ // what the server answers to the handshake
		"1 1.2.3.4:5 1.2.3.4:5\n": "the server speaks level 1",
		"":                        "the server does not answer",
	}
	for answer, want := range tests {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{reply: func(int, string) string { return answer }}
			_, err := Run(t.Context(), scriptedOptions(t, s, "inspect,wait"), []Target{{Name: "old"}})
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "level 2") {
				t.Errorf("%q: %v, want %q", answer, err, want)
			}
		})
	}
}

// The server is there, and can be had by no more than 3 connections afterwards.
func TestConnectionsThatCannotBeHadAreErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{delay: time.Millisecond, reply: lockd}
		o := scriptedOptions(t, s, "inspect")
		o.Connections = 5
		var dials atomic.Int64
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			if dials.Add(1) > 1+3 { // the first is the probe
				return nil, errors.New("no more")
			}
			return s.dial(ctx, network, address)
		}
		r := runScripted(t, s, o)
		if n, first := r.Errors(); n != 2 || first != "connect: no more" || r.Rounds[0].Succeeded != 3000 {
			t.Errorf("%d right, %d errors, the first: %s; want 3000, 2", r.Rounds[0].Succeeded, n, first)
		}
	})
}

// Its connection must be closed at once: the others wait for its lock.
func TestOneThatFailsWhileItHoldsALockDoesNotStopTheOthers(t *testing.T) {
	lockd := serveEmbedded(t, "tcp://127.0.0.1:0")
	o := shortOptions(t, "wait")
	o.Timeout = time.Minute
	var dials atomic.Int64
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, address)
		if dials.Add(1) == 3 {
			return &garbler{c}, err
		}
		return c, err
	}
	begin := time.Now()
	results, err := Run(t.Context(), o, []Target{lockd})
	if err != nil {
		t.Fatal(err)
	}
	if n, _ := results[0].Errors(); n != 1 || results[0].Failed() || time.Since(begin) > 30*time.Second {
		t.Errorf("%d errors after %v: %+v", n, time.Since(begin), results[0].Rounds)
	}
}

// A garbler adds a line to what it reads.
type garbler struct{ net.Conn }

func (g *garbler) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p[:len(p)/2])
	return n + copy(p[n:], "1 more\n"), err
}

func TestOneThatIsNotThereIsUnreachable(t *testing.T) {
	o := Options{
		Connections: 1, Depth: 1, Mix: mustMix(t, "inspect"), Duration: time.Second, Rounds: 1, Timeout: time.Second,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody there") },
	}
	_, err := Run(t.Context(), o, []Target{{Name: "x"}})
	if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "nobody there") {
		t.Errorf("the error is %v", err)
	}
}
