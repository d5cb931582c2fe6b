package locks

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"unsafe"
)

// A ref is the number of an object in a [slab]; 0 stands for none.
//
// What a table is made of refers to each other by number, not by pointer. So the
// collector has nothing to look for in it: with pointers it went through a million
// locks for 0.2 s in each cycle and took both of two processors for 12 ms at a
// time, which others waited for. And a number is half as large.
type ref uint32

// A slab has all objects of one kind in a table, in chunks. An object stays where
// it is. At may be called from any goroutine, without a mutex: a place in chunks is
// written only while there is no object in its chunk, and whoever has a ref has got it
// after that, under the mutex of a shard.
type slab[T any] struct {
	chunks atomic.Pointer[[]*chunk[T]] // by number; 0 is none

	mu   sync.Mutex // guards what chunks has and all below. It is a leaf
	last uint32     // the highest number given to a chunk yet
	idle []uint32   // numbers up to that which no chunk has now
}

// chunkSlots makes a chunk of locks an object of 2 KiB: 256 shards with hardly a lock in
// each take half a megabyte, of every kind there is 2.3, and a million locks are 32,000
// objects for the collector.
const (
	chunkSlots = 1<<slotBits - 1 // one less leaves room for the rest of a chunk
	slotBits   = 5
	allFree    = 1<<chunkSlots - 1
	// maxRef leaves a bit for [sharedRef].
	maxRef = 1<<31 - 1
)

// A chunk has no pointers where T has none.
type chunk[T any] struct {
	slots      [chunkSlots]T
	free       uint32 // a bit for each slot
	number     uint32
	prev, next uint32 // in the list of its stock
}

// at returns the object of that number, which must be there.
func (s *slab[T]) at(r ref) *T {
	return &(*s.chunks.Load())[r>>slotBits].slots[r&(1<<slotBits-1)]
}

func (s *slab[T]) chunk(number uint32) *chunk[T] { return (*s.chunks.Load())[number] }

// add returns a new chunk.
func (s *slab[T]) add() *chunk[T] {
	c := &chunk[T]{free: allFree}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.idle); n > 0 {
		c.number, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		s.last++
		c.number = s.last
		s.makeRoom()
	}
	(*s.chunks.Load())[c.number] = c
	return c
}

// makeRoom makes chunks long enough for the last number.
func (s *slab[T]) makeRoom() {
	if s.last > maxRef>>slotBits {
		panic("locks: more than two thousand million objects of a kind") // beyond 128 GiB
	}
	chunks := s.chunks.Load()
	if chunks == nil {
		chunks = new([]*chunk[T])
	}
	if int(s.last) < len(*chunks) {
		return
	}
	more := make([]*chunk[T], max(8, 2*len(*chunks)))
	copy(more, *chunks)
	s.chunks.Store(&more)
}

// remove gives c, in which nothing is, to the collector.
func (s *slab[T]) remove(c *chunk[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	(*s.chunks.Load())[c.number] = nil
	s.idle = append(s.idle, c.number)
}

// A stock is the part of a slab that one shard takes from and gives back to: some
// chunks of its own. It belongs to the shard's mutex. Of chunks with nothing in
// them it keeps one, so that getting and releasing allocates nothing in the steady
// state, and a burst leaves next to no memory behind.
type stock[T any] struct {
	*slab[T]
	roomy *chunk[T] // the first of those with free slots
	empty *chunk[T] // the one of them with nothing in it
}

// take returns a new object, all zero, and its number.
func (s *stock[T]) take() (ref, *T) {
	c := s.roomy
	switch {
	case c == nil:
		c = s.add()
		s.link(c)
	case c == s.empty:
		s.empty = nil
	}
	slot := bits.TrailingZeros32(c.free)
	c.free &^= 1 << slot
	if c.free == 0 {
		s.unlink(c)
	}
	return ref(c.number<<slotBits | uint32(slot)), &c.slots[slot]
}

// give takes an object back.
func (s *stock[T]) give(r ref) {
	c, slot := s.chunk(uint32(r>>slotBits)), r&(1<<slotBits-1)
	var none T
	c.slots[slot] = none
	if c.free == 0 {
		s.link(c)
	}
	c.free |= 1 << slot
	switch {
	case c.free != allFree:
	case s.empty == nil:
		s.empty = c
	default:
		s.unlink(c)
		s.remove(c)
	}
}

// link puts c first.
func (s *stock[T]) link(c *chunk[T]) {
	c.prev, c.next = 0, 0
	if first := s.roomy; first != nil {
		c.next, first.prev = first.number, c.number
	}
	s.roomy = c
}

func (s *stock[T]) unlink(c *chunk[T]) {
	var next *chunk[T]
	if c.next != 0 {
		next = s.chunk(c.next)
		next.prev = c.prev
	}
	if c.prev != 0 {
		s.chunk(c.prev).next = c.next
	} else {
		s.roomy = next
	}
}

const refBytes = int64(unsafe.Sizeof(ref(0)))
