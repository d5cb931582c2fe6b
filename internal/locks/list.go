package locks

// A list is doubly linked through its elements, of which it knows the numbers. The
// zero value is empty.
type list[L links] struct {
	first, last ref
	len         uint32
}

// links finds an element's pair of links that a list runs along.
type links interface {
	of(r ref) (prev, next *ref)
}

// append puts the element of that number last, whose link to the one before is prev.
func (l *list[L]) append(via L, r ref, prev *ref) {
	*prev = l.last
	if l.last == 0 {
		l.first = r
	} else {
		_, next := via.of(l.last)
		*next = r
	}
	l.last = r
	l.len++
}

// remove takes out the element that has these links.
func (l *list[L]) remove(via L, prev, next *ref) {
	if *prev == 0 {
		l.first = *next
	} else {
		_, after := via.of(*prev)
		*after = *next
	}
	if *next == 0 {
		l.last = *prev
	} else {
		before, _ := via.of(*next)
		*before = *prev
	}
	*prev, *next = 0, 0
	l.len--
}
