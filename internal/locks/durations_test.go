package locks_test

import (
	"testing"
	"time"

	"lockd/internal/locks"
)

const us = time.Microsecond

// bounds are the longest durations of all buckets but the last: from a tenth of a
// millisecond to 30 hours.
var bounds = [...]time.Duration{
	100 * us, 400 * us, 1_600 * us, 6_400 * us, 25_600 * us, 102_400 * us, 409_600 * us,
	1_638_400 * us, 6_553_600 * us, 26_214_400 * us, 104_857_600 * us, 419_430_400 * us,
	1_677_721_600 * us, 6_710_886_400 * us, 26_843_545_600 * us, 107_374_182_400 * us,
}

// histogramOf returns the histogram that has counted these.
func histogramOf(durations ...time.Duration) locks.Histogram {
	var h locks.Histogram
	for _, d := range durations {
		i := 0
		for i < len(bounds) && d > bounds[i] {
			i++
		}
		h.Counts[i]++
		h.Micros += uint64(d.Microseconds())
	}
	return h
}

// holdFor has the table hold a lock so long.
func holdFor(t *testing.T, table *locks.Table, m locks.Mode, d time.Duration) {
	t.Helper()
	s := locks.NewSession("a", nil)
	mustGet(t, table, s, m, d.String())
	table.Release(s, m, []byte(d.String()), d)
}

func TestHistogramBoundsAreTheLongestOfTheirBuckets(t *testing.T) {
	if locks.HistogramBuckets != len(bounds)+1 {
		t.Fatalf("%d buckets, want %d", locks.HistogramBuckets, len(bounds)+1)
	}
	for i, bound := range bounds {
		if got := locks.HistogramBound(i); got != bound {
			t.Errorf("the bound of bucket %d is %v, want %v", i, got, bound)
		}
		for d, bucket := range map[time.Duration]int{bound - 1: i, bound: i, bound + 1: i + 1} {
			table := newTable(locks.Limits{})
			holdFor(t, table, locks.Exclusive, d)
			got, _ := table.Durations()
			want := locks.Histogram{Micros: uint64(d.Microseconds())}
			want.Counts[bucket] = 1
			if got.Hold != want {
				t.Errorf("%v is counted as %+v, want bucket %d", d, got.Hold, bucket)
			}
		}
	}
}

func TestDurationsBeyondTheBoundsAreCounted(t *testing.T) {
	table := newTable(locks.Limits{})
	all := []time.Duration{0, 1, 1000 * time.Hour, 100_000 * time.Hour}
	for _, d := range all {
		holdFor(t, table, locks.Shared, d)
	}
	exclusive, shared := table.Durations()
	if want := histogramOf(all...); shared.Hold != want || want.Counts[locks.HistogramBuckets-1] != 2 {
		t.Errorf("counted are %+v, want %+v", shared.Hold, want)
	}
	if exclusive != (locks.Durations{}) || shared.Wait != (locks.Histogram{}) {
		t.Errorf("counted are %+v and %+v too", exclusive, shared.Wait)
	}
}

// A million locks held for some hours are more than a time.Duration can tell.
func TestTheSumOfDurationsIsNotLimitedToOne(t *testing.T) {
	const longest, years = time.Duration(1<<63 - 1), 292
	table := newTable(locks.Limits{})
	for range 3 {
		holdFor(t, table, locks.Exclusive, longest)
	}
	got, _ := table.Durations()
	if sum, year := got.Hold.Micros, uint64(365*24*time.Hour/us); sum/year < 3*years || sum/year > 3*(years+1) {
		t.Errorf("3 times %d years are %d years", years, sum/year)
	}
}

func TestAHoldIsNeverCountedAsShorterThanNothing(t *testing.T) {
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	r := waiting(locks.Exclusive, "x")
	r.Now = time.Second
	_, _ = table.Get(a, r)
	r.Now = 2 * time.Second
	_, _ = table.Get(b, r)
	table.Leave(b, 0)
	table.Leave(a, 0) // by a clock that was read before
	got, _ := table.Durations()
	if want := (locks.Durations{Hold: histogramOf(0), Wait: histogramOf(0, 0)}); got != want {
		t.Errorf("counted are %+v, want %+v", got, want)
	}
}

func TestEveryHoldThatEndsIsCounted(t *testing.T) {
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
		mustGet(t, table, a, m, "x") // at 0
		mustGet(t, table, a, m, "y")
		mustGet(t, table, a, m, "z")
		table.Release(a, m, []byte("z"), time.Millisecond)
		table.Release(a, m, []byte("z"), time.Hour) // held no more
		mustWait(t, table, b, m, "x")
		table.Release(a, m, []byte("x"), time.Second) // to b
		again := waiting(m, "y")
		again.Now = 2 * time.Second
		_, _ = table.Get(a, again)
		table.Break(m, []byte("y"), 0)
		table.Leave(a, time.Minute)
		table.Leave(b, time.Hour)
		want := histogramOf(time.Millisecond, time.Second, time.Minute, time.Hour-time.Second)
		if got := of(table, m); got.Hold != want {
			t.Errorf("mode %d: counted are %+v, want %+v", m, got.Hold, want)
		}
		if got := of(table, 1-m); got != (locks.Durations{}) {
			t.Errorf("of the other mode, counted are %+v", got)
		}
	}
}

func of(table *locks.Table, m locks.Mode) locks.Durations {
	exclusive, shared := table.Durations()
	if m == locks.Shared {
		return shared
	}
	return exclusive
}

func TestEveryWaitIsCountedByItsLength(t *testing.T) {
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		table := newTable(locks.Limits{})
		var s [6]*locks.Session
		for i := range s {
			s[i] = locks.NewSession("s", nil)
		}
		ask := func(s *locks.Session, now time.Duration, wait bool) {
			r := waiting(m, "x")
			r.Now = now
			if !wait {
				r.Queue = locks.HonourQueue
			}
			_, _ = table.Get(s, r)
		}
		want := []time.Duration{}
		check := func(more ...time.Duration) {
			t.Helper()
			want = append(want, more...)
			if got := of(table, m); got.Wait != histogramOf(want...) {
				t.Fatalf("mode %d: counted are %+v, want %v", m, got.Wait, want)
			}
		}
		ask(s[0], 0, true) // granted at once
		check(0)
		ask(s[1], time.Second, false) // refused at once: it did not wait
		check()
		ask(s[0], time.Second, true) // held already
		check()
		for _, w := range s[1:5] {
			ask(w, 2*time.Second, true)
		}
		check()
		ask(s[5], 3*time.Second, false) // refused behind others
		ask(s[1], 3*time.Second, false) // gives up
		check(time.Second)
		table.Leave(s[2], 5*time.Second)
		check(3 * time.Second)
		table.Release(s[0], m, []byte("x"), time.Minute)
		check(58 * time.Second)
		ask(s[3], time.Hour, true) // learns of it, which is counted already
		check()
		table.Leave(s[3], time.Hour)
		check(time.Hour - 2*time.Second)
		table.Leave(s[4], 2*time.Hour) // before it asked
		check()
		ask(s[5], 3*time.Hour, false) // a try granted
		check(0)
		if got := of(table, 1-m); got != (locks.Durations{}) {
			t.Errorf("of the other mode, counted are %+v", got)
		}
	}
}

func TestLevelOneIsNotCountedAsWaiting(t *testing.T) {
	table, a, b := newTable(locks.Limits{}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	for _, m := range []locks.Mode{locks.Exclusive, locks.Shared} {
		mustGet(t, table, a, m, "x")
		_, _ = table.Get(b, request(m, []byte("x")))
		if got := of(table, m).Wait; got != (locks.Histogram{}) {
			t.Errorf("mode %d: counted are %+v", m, got)
		}
	}
}

func TestARequestRefusedByALimitIsNotCountedAsWaiting(t *testing.T) {
	table, a, b := newTable(locks.Limits{SessionHolds: 1}), locks.NewSession("a", nil), locks.NewSession("b", nil)
	mustGet(t, table, a, locks.Exclusive, "x")
	mustGet(t, table, b, locks.Exclusive, "y")
	wantError(t, table, b, waiting(locks.Exclusive, "x"), locks.ErrSessionLimit)
	wantError(t, table, b, waiting(locks.Exclusive, "z"), locks.ErrSessionLimit)
	table.SetLimits(locks.Limits{Bytes: 1})
	wantError(t, table, b, waiting(locks.Exclusive, "x"), locks.ErrTableFull)
	wantError(t, table, b, waiting(locks.Exclusive, "z"), locks.ErrTableFull)
	if got := of(table, locks.Exclusive).Wait; got != (locks.Histogram{}) {
		t.Errorf("counted are %+v", got)
	}
}
