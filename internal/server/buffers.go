package server

import (
	"sync"
	"unsafe"
)

const (
	// inputSize is read at a time. It bounds what one read can bring, so that a
	// client that sends without end takes turns with the others.
	inputSize = 16 << 10
	// outputSize holds the replies to what one read brought, nearly always.
	outputSize = 64 << 10
)

// buffers is a pool of byte slices of one capacity. A connection has a buffer
// only while there are bytes in it; an idle one has none.
type buffers struct {
	size int
	pool sync.Pool // of *byte, the first of size: a slice would cost an allocation to put
}

// get returns an empty slice with the pool's capacity.
func (b *buffers) get() []byte {
	if p, ok := b.pool.Get().(*byte); ok {
		return unsafe.Slice(p, b.size)[:0]
	}
	return make([]byte, 0, b.size)
}

// put gives back what get returned. A slice of another capacity has grown or
// was made elsewhere, and is left to the collector.
func (b *buffers) put(p []byte) {
	if cap(p) == b.size {
		b.pool.Put(unsafe.SliceData(p))
	}
}
