package server_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"lockd/internal/server"
)

// A linLock is one of those that a round is about.
type linLock struct {
	shared bool
	name   string
}

// A linRound is a history of a few locks, made by clients that do at once what
// they like.
type linRound struct {
	service *service
	clock   atomic.Int64 // what comes before what
	locks   []linLock
	numbers map[string]int // of connections, by their addresses
	breaks  atomic.Int64   // numbers of fr
	dice    *rand.Rand     // of the goroutine that makes the round

	mu      sync.Mutex
	history map[linLock][]porcupine.Operation
	err     error // what no client may see
}

const (
	linClients     = 5 // that are there at once, and one who looks and breaks
	linConnections = 3 // that each of them may have, one after the other
	linOperations  = 12
)

// round makes a history against a server.
func (s *service) round(seed uint64, n int) *linRound {
	s.Helper()
	r := &linRound{
		service: s, numbers: make(map[string]int), history: make(map[linLock][]porcupine.Operation),
		dice: rand.New(rand.NewPCG(seed, uint64(n))),
	}
	for i := range 1 + r.dice.IntN(3) {
		r.locks = append(r.locks, linLock{r.dice.IntN(2) == 0, fmt.Sprintf("%d%c", n, 'a'+i)})
	}
	var clients []*linClient
	for i := range linClients {
		clients = append(clients, s.linClient(r, everyTransport[i%len(everyTransport)], linConnections))
	}
	admin := s.linClient(r, "unix", 1)
	var all sync.WaitGroup
	for _, c := range clients {
		all.Go(c.live)
	}
	all.Go(admin.lookOn)
	soon(s, "a round is over", async(all.Wait))
	return r
}

func (s *service) linClient(r *linRound, transport string, connections int) *linClient {
	s.Helper()
	c := &linClient{linRound: r, dice: rand.New(rand.NewPCG(r.dice.Uint64(), 0))}
	for range connections {
		conn := s.connectApart(transport)
		conn.ask("ping", "1 pong\n") // only then it is surely there
		r.numbers[conn.addr] = len(r.numbers)
		c.spare = append(c.spare, conn)
	}
	c.reconnect()
	return c
}

// add adds an operation to the history of a lock.
func (r *linRound) add(lock linLock, in linInput, out linOutput, call, ret int64) {
	in.shared = lock.shared
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history[lock] = append(r.history[lock], porcupine.Operation{ClientId: in.who, Input: in, Output: out, Call: call, Return: ret})
}

func (r *linRound) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = errors.Join(r.err, err)
}

var (
	errNoHistory = errors.New("the history is none that one lock can have")
	errNotKnown  = errors.New("it takes too long to find out")
)

// check wants each lock's history to be one that the model can have, whose
// operations each happen at one moment between request and reply.
func (r *linRound) check() error {
	if r.err != nil {
		return r.err
	}
	for lock, history := range r.history {
		result, info := porcupine.CheckOperationsVerbose(linearModel(), history, linPatience)
		switch result {
		case porcupine.Illegal:
			return fmt.Errorf("%w, that of %+v:\n%s", errNoHistory, lock, describe(history, info))
		case porcupine.Unknown:
			return errNotKnown
		}
	}
	return nil
}

// describe lists the operations that can be put into an order, as far as that goes,
// and then the others.
func describe(history []porcupine.Operation, info porcupine.LinearizationInfo) string {
	var order []porcupine.Operation
	for _, partial := range info.PartialLinearizationsOperations()[0] {
		if len(partial) > len(order) {
			order = partial
		}
	}
	var text strings.Builder
	state := any(linState{})
	for _, o := range order {
		_, state = linearModel().Step(state, o.Input, o.Output)
		fmt.Fprintf(&text, "  %s\n      then%s\n", describeOne(o), state.(linState).list())
	}
	fmt.Fprintln(&text, "and these:")
	slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	for _, o := range history {
		if !slices.Contains(order, o) {
			fmt.Fprintf(&text, "  %s\n", describeOne(o))
		}
	}
	return text.String()
}

func describeOne(o porcupine.Operation) string {
	in, ret := o.Input.(linInput), "later"
	if o.Return < math.MaxInt64 {
		ret = strconv.FormatInt(o.Return, 10)
	}
	return fmt.Sprintf("%d to %s: %d %s max=%d: %+v", o.Call, ret, in.who, linKindNames[in.kind], in.max, o.Output)
}

func anybodyMayBreak(s *server.Settings) { s.Admin = func(netip.Addr) bool { return true } }

const (
	linTime     = 6 * time.Second // how long histories are made
	linPatience = 3 * time.Second // with one; nearly all take milliseconds
)

func TestHistoriesAreLinearizable(t *testing.T) {
	s := start(t, with(anybodyMayBreak))
	limit := linTime
	if testing.Short() {
		limit /= 3
	}
	seed, end := rand.Uint64(), time.Now().Add(limit)
	rounds, operations, notKnown := 0, 0, 0
	for ; time.Now().Before(end); rounds++ {
		r := s.round(seed, rounds)
		switch err := r.check(); {
		case errors.Is(err, errNotKnown):
			notKnown++
		case err != nil:
			t.Fatalf("round %d of the seed %d: %v", rounds, seed, err)
		}
		for _, history := range r.history {
			operations += len(history)
		}
	}
	t.Logf("%d rounds, %d operations, %d rounds took too long", rounds, operations, notKnown)
	if notKnown > 1+rounds/50 {
		t.Errorf("of %d rounds %d took too long", rounds, notKnown)
	}
}
