package server

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A poller waits for all sockets at once, and its loops act for the connections to
// which something has happened. That costs less than a goroutine for each: an idle
// connection has no stack, and a request neither wakes a goroutine nor takes a read
// to find that nothing more has come (docs/performance.md, "What has helped").
//
// One loop leads: it alone waits in the kernel. The others sleep, and are called one
// by one while there is more to do than those awake get done. So few clients are
// served by one thread, without any changing of threads, and many by all processors.
type poller struct {
	starting sync.Mutex
	started  bool // guarded by starting
	epoll    int
	parking  *os.File // has epoll where there is one processor: see await; else nil
	bell     int      // an eventfd, rung once to end all loops
	pulse    int      // an eventfd, to see whether they run
	sockets  socketTable

	listening sync.Mutex
	listeners map[int]*Listener // by descriptor; guarded by listening

	calls   chan struct{} // to a loop that sleeps, if there is one
	felt    chan struct{} // gets a token when a loop has seen pulse
	ending  chan struct{} // closed by stop
	running sync.WaitGroup
	stopped atomic.Bool
	aside   atomic.Bool // a goroutine was started that acts for a connection
}

const (
	// eventsAtOnce is how many events a loop takes at a time.
	eventsAtOnce = 16
	// manyEvents are so many that another loop is called, and fewEvents so few that
	// a loop other than the leader, which finds them twice, sleeps again.
	manyEvents = eventsAtOnce / 2
	fewEvents  = eventsAtOnce / 4
)

// start starts the loops, unless it has already. Once stopped, it does nothing.
func (p *poller) start() error {
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.started || p.stopped.Load() {
		return nil
	}
	err := p.open()
	p.started = err == nil
	return err
}

func (p *poller) open() (err error) {
	var opened []int
	defer func() {
		if err != nil {
			for _, fd := range opened {
				unix.Close(fd)
			}
		}
	}()
	if p.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	opened = append(opened, p.epoll)
	for fd, events := range map[*int]uint32{&p.bell: unix.EPOLLIN, &p.pulse: unix.EPOLLIN | edgeTriggered} {
		if *fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return os.NewSyscallError("eventfd", err)
		}
		opened = append(opened, *fd)
		if err = p.control(unix.EPOLL_CTL_ADD, *fd, events); err != nil {
			return err
		}
	}
	if runtime.GOMAXPROCS(0) == 1 {
		if err = unix.SetNonblock(p.epoll, true); err != nil {
			return os.NewSyscallError("fcntl", err)
		}
		p.parking = os.NewFile(uintptr(p.epoll), "epoll")
	}
	p.calls, p.ending, p.felt = make(chan struct{}), make(chan struct{}), make(chan struct{}, 1)
	p.running.Go(p.lead)
	for range runtime.GOMAXPROCS(0) - 1 {
		p.running.Go(p.help)
	}
	return nil
}

// ring writes to an eventfd.
func ring(fd int) { unix.Write(fd, []byte{1, 0, 0, 0, 0, 0, 0, 0}) }

// probe returns when a loop has found something to have happened, at once as a rule.
// Where none ever does, it does not return.
func (p *poller) probe() {
	p.starting.Lock()
	defer p.starting.Unlock()
	if !p.started || p.stopped.Load() {
		return
	}
	ring(p.pulse)
	<-p.felt
}

// stop ends the loops and returns when they have ended. No sockets may be left. It
// may be called again.
func (p *poller) stop() {
	p.starting.Lock()
	defer p.starting.Unlock()
	if p.stopped.Swap(true) || !p.started {
		return
	}
	ring(p.bell)
	close(p.ending)
	p.running.Wait()
	for _, fd := range []int{p.bell, p.pulse} {
		unix.Close(fd)
	}
	if p.parking != nil {
		p.parking.Close()
	} else {
		unix.Close(p.epoll)
	}
}

// edgeTriggered has the poller tell of what happens once, when it does.
const edgeTriggered = 1 << 31 // EPOLLET, which package unix has as a negative number

func (p *poller) control(op, fd int, events uint32) error {
	err := unix.EpollCtl(p.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)})
	if errors.Is(err, unix.ENOSPC) {
		return errors.New("more sockets than fs.epoll.max_user_watches allows")
	}
	return os.NewSyscallError("epoll_ctl", err)
}

// add has the poller tell a socket what happens to it. What has happened already, it
// is told at once.
func (p *poller) add(s *socket) error {
	p.sockets.set(s.fd, s)
	return p.control(unix.EPOLL_CTL_ADD, s.fd, awaited)
}

// awaitRoom also has it tell the socket that there is room to write, or no more.
func (p *poller) awaitRoom(s *socket, on bool) error {
	events := uint32(awaited)
	if on {
		events |= unix.EPOLLOUT
	}
	return p.control(unix.EPOLL_CTL_MOD, s.fd, events)
}

// remove must come before the socket is closed. A loop may still deliver an event that
// is late, to this socket or to the next one that has the descriptor: that costs a read
// which finds nothing.
func (p *poller) remove(s *socket) { p.sockets.set(s.fd, nil) }

// addListener has the poller tell a listener when clients come.
func (p *poller) addListener(l *Listener) error {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	if l.ended {
		return nil
	}
	p.listening.Lock()
	defer p.listening.Unlock()
	if p.listeners == nil {
		p.listeners = make(map[int]*Listener)
	}
	p.listeners[l.fd] = l
	return p.control(unix.EPOLL_CTL_ADD, l.fd, unix.EPOLLIN|edgeTriggered)
}

// removeListener must come before the descriptor is closed, which another process may
// have as well.
func (p *poller) removeListener(l *Listener) {
	p.listening.Lock()
	defer p.listening.Unlock()
	if p.listeners[l.fd] == l {
		delete(p.listeners, l.fd)
		p.control(unix.EPOLL_CTL_DEL, l.fd, 0)
	}
}

// listener returns the one with that descriptor, or nil.
func (p *poller) listener(fd int) *Listener {
	p.listening.Lock()
	defer p.listening.Unlock()
	return p.listeners[fd]
}

// lead waits for events and serves them, with help where there are many.
func (p *poller) lead() {
	l := newLoop(p)
	n := 0
	for !p.stopped.Load() {
		if n < fewEvents && len(l.unfinished) == 0 {
			n = l.await()
		} else {
			n = l.take()
		}
		l.serve(n)
	}
}

// help serves events as long as there are many, whenever it is called.
func (p *poller) help() {
	l := newLoop(p)
	for p.called() {
		for idle := 0; idle < 2 && !p.stopped.Load(); {
			n := l.take()
			idle++
			if n >= fewEvents || len(l.unfinished) > 0 {
				idle = 0
			}
			l.serve(n)
		}
		// Nothing may stay unfinished while this loop sleeps.
		for len(l.unfinished) > 0 {
			l.serve(0)
		}
	}
}

// call wakes a loop that sleeps, if there is one.
func (p *poller) call() {
	select {
	case p.calls <- struct{}{}:
	default:
	}
}

// called waits for a call, and is false when the poller stops.
func (p *poller) called() bool {
	select {
	case <-p.calls:
		return true
	case <-p.ending:
		return false
	}
}

// A loop is one of a poller's, and what it has at hand.
type loop struct {
	poller     *poller
	events     []unix.EpollEvent
	unfinished []actor // it acts for, and has given a turn already
	finishing  []actor // the same, of the round before
}

func newLoop(p *poller) *loop {
	return &loop{poller: p, events: make([]unix.EpollEvent, eventsAtOnce)}
}

// take returns the number of events there are.
func (l *loop) take() int {
	n, _ := pollNow(l.poller.epoll, l.events)
	return n
}

// await is take that waits for the first.
func (l *loop) await() int {
	if l.poller.parking != nil {
		return l.park()
	}
	if l.poller.aside.Load() && l.poller.aside.Swap(false) {
		runtime.Gosched() // that goroutine might wait as well
	}
	n, _ := unix.EpollWait(l.poller.epoll, l.events, -1)
	return max(n, 0)
}

// park is await by way of the runtime's poller. A system call that blocks keeps the
// processor for up to 10 ms from goroutines that want to run: too long where it is the
// only one, though it takes a third less time than this.
func (l *loop) park() (n int) {
	raw, err := l.poller.parking.SyscallConn()
	if err != nil {
		return 0 // closed
	}
	raw.Read(func(uintptr) bool {
		n = l.take()
		return n > 0
	})
	return n
}

// serve gives each actor to which something has happened a turn, and then those
// that had one in the round before and were not done.
func (l *loop) serve(n int) {
	if n >= manyEvents {
		l.poller.call()
	}
	l.finishing, l.unfinished = l.unfinished, l.finishing[:0]
	for i := range l.events[:n] {
		l.tell(&l.events[i])
	}
	for i, a := range l.finishing {
		l.finishing[i] = nil
		l.act(a)
	}
}

func (l *loop) tell(e *unix.EpollEvent) {
	fd := int(e.Fd)
	switch s := l.poller.sockets.get(fd); {
	case s != nil:
		if c := s.happened(e.Events); c != nil {
			l.act(c)
		}
	case fd == l.poller.pulse:
		l.poller.felt <- struct{}{}
	default:
		if ln := l.poller.listener(fd); ln != nil && ln.signal(ready) && l.act(ln) {
			l.poller.call() // a turn of it takes long
		}
	}
}

// act reports whether it will have to act on.
func (l *loop) act(a actor) (again bool) {
	if again = a.step(true); again {
		l.unfinished = append(l.unfinished, a)
	}
	return again
}
