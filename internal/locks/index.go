package locks

// An index is a hash table whose chains run through what it holds. Go's map
// would find the same, but its keys must be strings of their own, and making one
// for every get costs an allocation that reusing a lock's own buffer does not;
// nor does a map give back what it grew to.
type index[N node[N]] struct {
	chains []N // their number is zero or a power of two
	len    int
}

// A node is a pointer to what an index holds.
type node[N any] interface {
	comparable
	link() *N    // the next in the chain
	key() uint32 // the hash
}

func (l *lock) link() **lock             { return &l.next }
func (l *lock) key() uint32              { return l.hash }
func (h *sharedHold) link() **sharedHold { return &h.next }
func (h *sharedHold) key() uint32        { return holdKey(h.lock, h.session) }

func holdKey(l *lock, s *Session) uint32 { return l.hash ^ s.id }

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
func (x *index[N]) chain(hash uint32) *N {
	return &x.chains[int(hash)&(len(x.chains)-1)]
}

// insert adds n, which must not be there yet.
func (x *index[N]) insert(n N) {
	if x.len == len(x.chains) {
		x.resize(max(minChains, 2*x.len))
	}
	x.push(n)
	x.len++
}

func (x *index[N]) push(n N) {
	at := x.chain(n.key())
	*n.link(), *at = *at, n
}

// remove takes out n, which must be there.
func (x *index[N]) remove(n N) {
	at := x.chain(n.key())
	for *at != n {
		at = (*at).link()
	}
	var none N
	*at, *n.link() = *n.link(), none
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
func (x *index[N]) resize(chains int) {
	old := x.chains
	x.chains = make([]N, chains)
	var none N
	for _, n := range old {
		for n != none {
			next := *n.link()
			x.push(n)
			n = next
		}
	}
}
