package locks_test

import (
	"fmt"
	"strconv"
	"sync/atomic"
	"testing"

	"lockd/internal/locks"
)

func BenchmarkGetRelease(b *testing.B) {
	table, s, name := locks.New(locks.Limits{}), locks.NewSession("a"), []byte("some/lock")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = table.Get(s, locks.Exclusive, name)
		table.Release(s, locks.Exclusive, name)
	}
}

func BenchmarkGetReleaseParallel(b *testing.B) {
	table := locks.New(locks.Limits{})
	var workers atomic.Int64
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		id := strconv.FormatInt(workers.Add(1), 10)
		s, name := locks.NewSession(id), []byte("some/lock/"+id)
		for pb.Next() {
			_, _ = table.Get(s, locks.Exclusive, name)
			table.Release(s, locks.Exclusive, name)
		}
	})
}

// BenchmarkSharedHot lets one session come and go where others hold the lock.
func BenchmarkSharedHot(b *testing.B) {
	for _, others := range []int{1, 7, 8, 50, 10_000} {
		b.Run(fmt.Sprintf("others=%d", others), func(b *testing.B) {
			table, s, name := locks.New(locks.Limits{}), locks.NewSession("a"), []byte("hot")
			for range others {
				mustGet(b, table, locks.NewSession("other"), locks.Shared, "hot")
			}
			b.ReportAllocs()
			for b.Loop() {
				_, _ = table.Get(s, locks.Shared, name)
				table.Release(s, locks.Shared, name)
			}
		})
	}
}

func BenchmarkSharedHotParallel(b *testing.B) {
	table, name := locks.New(locks.Limits{}), []byte("hot")
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := locks.NewSession("s")
		for pb.Next() {
			_, _ = table.Get(s, locks.Shared, name)
			table.Release(s, locks.Shared, name)
		}
	})
}

// BenchmarkSharedFlood lets a lock go from none to some holders and back.
func BenchmarkSharedFlood(b *testing.B) {
	for _, n := range []int{8, 50} {
		b.Run(fmt.Sprintf("holders=%d", n), func(b *testing.B) {
			table, sessions, name := locks.New(locks.Limits{}), make([]*locks.Session, n), []byte("hot")
			for i := range sessions {
				sessions[i] = locks.NewSession("s")
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, s := range sessions {
					_, _ = table.Get(s, locks.Shared, name)
				}
				for _, s := range sessions {
					table.Release(s, locks.Shared, name)
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
		if _, err := table.Get(s, locks.Exclusive, name); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInspect(b *testing.B) {
	for _, held := range []int{0, million} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			table := locks.New(locks.Limits{})
			holdMany(b, table, locks.NewSession("a"), held)
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
	table, s, name := locks.New(locks.Limits{}), locks.NewSession("a"), []byte("free")
	holdMany(b, table, s, million)
	b.ReportAllocs()
	for b.Loop() {
		_, _ = table.Get(s, locks.Exclusive, name)
		table.Release(s, locks.Exclusive, name)
	}
}

func BenchmarkLeaveOfAMillion(b *testing.B) {
	table, s := locks.New(locks.Limits{}), locks.NewSession("a")
	for b.Loop() {
		b.StopTimer()
		holdMany(b, table, s, million)
		b.StartTimer()
		table.Leave(s)
	}
}

func BenchmarkListOfAMillion(b *testing.B) {
	table := locks.New(locks.Limits{})
	holdMany(b, table, locks.NewSession("a"), million)
	b.ReportAllocs()
	for b.Loop() {
		table.List(locks.Exclusive)
	}
}

func BenchmarkStats(b *testing.B) {
	for _, held := range []int{0, million} {
		b.Run(fmt.Sprintf("held=%d", held), func(b *testing.B) {
			table := locks.New(locks.Limits{})
			holdMany(b, table, locks.NewSession("a"), held)
			b.ReportAllocs()
			for b.Loop() {
				table.Stats()
			}
		})
	}
}
