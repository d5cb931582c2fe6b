package locks

// An index is a hash table whose chains run through what it holds. Go's map
// would find the same, but its keys must be strings of their own, and making one
// for every get costs an allocation that reusing a lock's own buffer does not;
// nor does a map give back what it grew to.
type index[T any, P node[T]] struct {
	objects *slab[T]
	chains  []ref // their number is zero or a power of two
	len     int
}

// A node is a pointer to what an index has the numbers of.
type node[T any] interface {
	*T
	link() *ref     // the next in the chain
	hashed() uint32 // the hash
}

func (l *lock) link() *ref           { return &l.own.next }
func (l *lock) hashed() uint32       { return l.hash }
func (h *sharedHold) link() *ref     { return &h.next }
func (h *sharedHold) hashed() uint32 { return h.key }

// holdKey is the hash by which the hold of a session on a lock is found.
func holdKey(l *lock, session ref) uint32 { return l.hash ^ uint32(session) }

const (
	// minChains is where an index begins and the smallest it shrinks to.
	minChains = 64
	// maxChains is how many chains there are for each that the index holds, before it
	// shrinks to two for each. The more, the fewer are hashed anew while a
	// session with a million locks leaves; with two, what comes and goes at the border
	// would resize the index each time.
	maxChains = 8
)

// chain returns where the chain for a hash begins. The index must not be empty.
func (x *index[T, P]) chain(hash uint32) *ref {
	return &x.chains[int(hash)&(len(x.chains)-1)]
}

// insert adds n, whose number is r, and which must not be there yet.
func (x *index[T, P]) insert(r ref, n P) {
	if x.len == len(x.chains) {
		x.resize(max(minChains, 2*x.len))
	}
	x.push(r, n)
	x.len++
}

// push puts n at the end of its chain. So what came first is found first where a
// session leaves, without a look at others that are in no cache.
func (x *index[T, P]) push(r ref, n P) {
	at := x.chain(n.hashed())
	for *at != 0 {
		at = P(x.objects.at(*at)).link()
	}
	*n.link(), *at = 0, r
}

// remove takes out n, whose number is r, and which must be there.
func (x *index[T, P]) remove(r ref, n P) {
	at := x.chain(n.hashed())
	for *at != r {
		at = P(x.objects.at(*at)).link()
	}
	*at, *n.link() = *n.link(), 0
	x.len--
	if chains := len(x.chains); chains > minChains && x.len < chains/maxChains {
		x.resize(max(minChains, chains/(maxChains/2)))
	}
}

// resize hashes all anew, which keeps others from the shard: for some tenths of a
// millisecond in a table with a million locks, and some milliseconds with ten
// (BenchmarkGrow; where the locks are in no cache, three times what that shows).
// Splitting a chain at a time instead (linear hashing) takes a tenth of that, but
// finding a chain is dearer then, and getting and releasing a lock by a tenth.
func (x *index[T, P]) resize(chains int) {
	old := x.chains
	x.chains = make([]ref, chains)
	for _, r := range old {
		for r != 0 {
			n := P(x.objects.at(r))
			next := *n.link()
			x.push(r, n)
			r = next
		}
	}
}
