package server

import (
	"sync"
	"sync/atomic"
)

// A socketTable finds sockets by their descriptors. Get may be called by any.
type socketTable struct {
	growing sync.Mutex
	pages   atomic.Pointer[[]*socketPage]
}

type socketPage [1 << 10]atomic.Pointer[socket]

func (t *socketTable) get(fd int) *socket {
	page, place := fd/len(socketPage{}), fd%len(socketPage{})
	if pages := t.pages.Load(); pages != nil && page < len(*pages) {
		return (*pages)[page][place].Load()
	}
	return nil
}

func (t *socketTable) set(fd int, s *socket) {
	page, place := fd/len(socketPage{}), fd%len(socketPage{})
	t.growing.Lock()
	defer t.growing.Unlock()
	var pages []*socketPage
	if there := t.pages.Load(); there != nil {
		pages = *there
	}
	if page >= len(pages) {
		pages = append([]*socketPage(nil), pages...)
		for page >= len(pages) {
			pages = append(pages, new(socketPage))
		}
		t.pages.Store(&pages)
	}
	pages[page][place].Store(s)
}
