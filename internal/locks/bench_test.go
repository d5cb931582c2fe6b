package locks_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"lockd/internal/locks"
)

func BenchmarkGetRelease(b *testing.B) {
	table, s, name := newTable(locks.Limits{}), locks.NewSession("a", nil), []byte("some/lock")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = table.Get(s, request(locks.Exclusive, name))
		table.Release(s, locks.Exclusive, name, 0)
	}
}

func BenchmarkGetReleaseParallel(b *testing.B) {
	table := newTable(locks.Limits{})
	var workers atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		id := strconv.FormatInt(workers.Add(1), 10)
		s, name := locks.NewSession(id, nil), []byte("some/lock/"+id)
		for pb.Next() {
			_, _ = table.Get(s, request(locks.Exclusive, name))
			table.Release(s, locks.Exclusive, name, 0)
		}
	})
}

// BenchmarkSharedHot lets one session come and go where others hold the lock.
func BenchmarkSharedHot(b *testing.B) {
	for _, others := range []int{1, 7, 8, 50, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			table, s, name := newTable(locks.Limits{}), locks.NewSession("a", nil), []byte("hot")
			for range others {
				mustGet(b, table, locks.NewSession("other", nil), locks.Shared, "hot")
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = table.Get(s, request(locks.Shared, name))
				table.Release(s, locks.Shared, name, 0)
			}
		})
	}
}

func BenchmarkSharedHotParallel(b *testing.B) {
	table, name := newTable(locks.Limits{}), []byte("hot")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := locks.NewSession("s", nil)
		for pb.Next() {
			_, _ = table.Get(s, request(locks.Shared, name))
			table.Release(s, locks.Shared, name, 0)
		}
	})
}

// BenchmarkSharedFlood lets a lock go from none to some holders and back.
func BenchmarkSharedFlood(b *testing.B) {
	for _, n := range []int{8, 50} {
		b.Run(fmt.Sprintf("holders=%d", n), func(b *testing.B) {
			table, sessions, name := newTable(locks.Limits{}), make([]*locks.Session, n), []byte("hot")
			for i := range sessions {
				sessions[i] = locks.NewSession("s", nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, s := range sessions {
					_, _ = table.Get(s, request(locks.Shared, name))
				}
				for _, s := range sessions {
					table.Release(s, locks.Shared, name, 0)
				}
			}
		})
	}
}

const million = 1_000_000

// holdMany makes s hold n locks.
func holdMany(b *testing.B, table *locks.Table, s *locks.Session, n int) {
	b.Helper()
	name := make([]byte, 0, 32)
	for i := range n {
		name = strconv.AppendInt(append(name[:0], "some/lock/"...), int64(i), 10)
		if _, err := table.Get(s, request(locks.Exclusive, name)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInspect(b *testing.B) {
	for _, held := range []int{0, million} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			table := newTable(locks.Limits{})
			holdMany(b, table, locks.NewSession("a", nil), held)
			for _, tt := range []struct{ name, lock string }{{"first", "some/lock/0"}, {"free", "free"}} {
				b.Run(tt.name, func(b *testing.B) {
					name := []byte(tt.lock)
					b.ReportAllocs()
					for b.Loop() {
						table.Inspect(locks.Exclusive, name)
					}
				})
			}
		})
	}
}

func BenchmarkGetReleaseBesideAMillion(b *testing.B) {
	table, s, name := newTable(locks.Limits{}), locks.NewSession("a", nil), []byte("free")
	holdMany(b, table, s, million)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = table.Get(s, request(locks.Exclusive, name))
		table.Release(s, locks.Exclusive, name, 0)
	}
}

func BenchmarkLeaveOfAMillion(b *testing.B) {
	table, s := newTable(locks.Limits{}), locks.NewSession("a", nil)
	for b.Loop() {
		b.StopTimer()
		holdMany(b, table, s, million)
		b.StartTimer()
		table.Leave(s, 0)
	}
}

func BenchmarkListOfAMillion(b *testing.B) {
	table := newTable(locks.Limits{})
	holdMany(b, table, locks.NewSession("a", nil), million)
	b.ReportAllocs()
	for b.Loop() {
		goAlong(table, locks.Query{Exclusive: true})
	}
}

func BenchmarkStats(b *testing.B) {
	for _, held := range []int{0, million} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			table := newTable(locks.Limits{})
			holdMany(b, table, locks.NewSession("a", nil), held)
			b.ReportAllocs()
			for b.Loop() {
				table.Stats()
			}
		})
	}
}

var queueLengths = [...]int{1, 100, 10_000}

// BenchmarkHandOver lets a lock go from its holder to the next in the queue, and
// the holder to its end.
func BenchmarkHandOver(b *testing.B) {
	for _, waiters := range queueLengths {
		b.Run(fmt.Sprintf("queue=%d", waiters), func(b *testing.B) {
			table, r, i := newTable(locks.Limits{}), waiting(locks.Exclusive, "x"), 0
			sessions := ring(b, table, locks.Exclusive, waiters)
			b.ReportAllocs()
			for b.Loop() {
				if !handOver(table, sessions, i, r) {
					b.Fatal("the lock is not handed over")
				}
				i++
			}
		})
	}
}

// BenchmarkWithdraw lets those who wait leave the queue from anywhere in it, and
// wait anew.
func BenchmarkWithdraw(b *testing.B) {
	for _, waiters := range queueLengths {
		b.Run(fmt.Sprintf("queue=%d", waiters), func(b *testing.B) {
			table, r, dice := newTable(locks.Limits{}), waiting(locks.Exclusive, "x"), dice(0)
			sessions := ring(b, table, locks.Exclusive, waiters)[1:]
			b.ReportAllocs()
			for b.Loop() {
				s := sessions[dice.below(len(sessions))]
				_, _ = table.Get(s, r)
				if _, err := table.Get(s, r); !errors.Is(err, locks.ErrWaiting) {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLeaveWaiting lets those who wait end.
func BenchmarkLeaveWaiting(b *testing.B) {
	for _, waiters := range queueLengths {
		b.Run(fmt.Sprintf("queue=%d", waiters), func(b *testing.B) {
			table, r, dice := newTable(locks.Limits{}), waiting(locks.Exclusive, "x"), dice(0)
			sessions := ring(b, table, locks.Exclusive, waiters)[1:]
			b.ReportAllocs()
			for b.Loop() {
				s := sessions[dice.below(len(sessions))]
				table.Leave(s, 0)
				if _, err := table.Get(s, r); !errors.Is(err, locks.ErrWaiting) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkListOfALongQueue(b *testing.B) {
	table := newTable(locks.Limits{})
	ring(b, table, locks.Exclusive, 10_000)
	q := locks.Query{Exclusive: true, Waiters: true}
	for _, exact := range []bool{false, true} {
		b.Run(fmt.Sprintf("exact=%t", exact), func(b *testing.B) {
			q.Name, q.Exact = []byte("x"), exact
			b.ReportAllocs()
			for b.Loop() {
				goAlong(table, q)
			}
		})
	}
}
