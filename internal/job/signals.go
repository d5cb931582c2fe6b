package job

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// passedOn are the signals that are meant for the command, beside SIGCONT: not
// those that nobody can catch, that tell of an error in this process, or that are
// about its own children or terminal. SIGTSTP stops this process, as it does the
// others of its group.
func passedOn() []syscall.Signal {
	return []syscall.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2,
		unix.SIGALRM, unix.SIGVTALRM, unix.SIGWINCH, unix.SIGIO, unix.SIGPWR, unix.SIGXCPU, unix.SIGXFSZ,
	}
}

// echoTime is how soon after a signal the same one is the same: where one is sent
// to the whole group, it comes directly and by way of the guard.
const echoTime = 50 * time.Millisecond

// signals are those that are caught to be passed on.
type signals struct {
	raw    chan os.Signal
	caught chan syscall.Signal // raw without echoes; closed after release
}

// catchSignals begins to catch, but for what is ignored: that was the wish of who
// has started this process, nohup say, and the command ignores it as well. A guard
// is stopped and continued itself.
func catchSignals(guard bool) *signals {
	s := &signals{raw: make(chan os.Signal, 64), caught: make(chan syscall.Signal)}
	list := passedOn()
	if !guard {
		list = append(list, unix.SIGCONT)
	}
	for _, sig := range list {
		if !signal.Ignored(sig) {
			signal.Notify(s.raw, sig)
		}
	}
	go s.filter()
	return s
}

func (s *signals) filter() {
	defer close(s.caught)
	last := make(map[syscall.Signal]time.Time)
	for raw := range s.raw {
		sig := raw.(syscall.Signal)
		if mayEcho(sig) && time.Since(last[sig]) < echoTime {
			continue
		}
		s.caught <- sig
		last[sig] = time.Now()
	}
}

// mayEcho tells whether a second one is one too many. A size that is told twice
// does no harm, and each SIGCONT may follow a stop.
func mayEcho(s syscall.Signal) bool {
	return s != unix.SIGWINCH && s != unix.SIGCONT
}

func (s *signals) release() {
	signal.Stop(s.raw)
	close(s.raw)
	for range s.caught {
	}
}
