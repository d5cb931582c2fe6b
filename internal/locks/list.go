package locks

// A list is doubly linked through its elements, along the links that the type
// parameter L names. The zero value is empty.
type list[N any, L links[N]] struct {
	first, last *N
	len         int
}

// links tells which of an element's pairs of pointers a list runs along.
type links[N any] interface {
	of(n *N) (prev, next **N)
}

func (l *list[N, L]) append(n *N) {
	var via L
	prev, _ := via.of(n)
	*prev = l.last
	if l.last == nil {
		l.first = n
	} else {
		_, next := via.of(l.last)
		*next = n
	}
	l.last = n
	l.len++
}

func (l *list[N, L]) remove(n *N) {
	var via L
	prev, next := via.of(n)
	if *prev == nil {
		l.first = *next
	} else {
		_, after := via.of(*prev)
		*after = *next
	}
	if *next == nil {
		l.last = *prev
	} else {
		before, _ := via.of(*next)
		*before = *prev
	}
	*prev, *next = nil, nil
	l.len--
}
