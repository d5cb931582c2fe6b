package locks_test

import (
	"testing"

	"lockd/internal/locks"
)

// dice are random numbers that are the same each time, whatever the version of
// Go: the generator is splitmix64.
type dice uint64

func (d *dice) next() uint64 {
	*d += 0x9e3779b97f4a7c15
	z := uint64(*d)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (d *dice) below(n int) int { return int(d.next() % uint64(n)) }

// step is one of a schedule that has much waiting in it.
func (d *dice) step(clients, names int) step {
	s := step{client: d.below(clients), mode: locks.Mode(d.below(2)), name: d.below(names)}
	switch n := d.below(100); {
	case n < 7:
		s.what = doGet
	case n < 20:
		s.what, s.argument = doTry, d.below(4)
	case n < 53:
		s.what, s.argument = doWait, d.below(4)
	case n < 83:
		s.what = doRelease
	case n < 87:
		s.what = doLeave
	case n < 91:
		s.what, s.argument = doBreak, d.below(16)
	case n < 92:
		s.what, s.argument = doLimit, max(d.below(8)-4, 0)
	default:
		s.what, s.argument = doPass, d.below(38)
	}
	return s
}

// TestTheTableDoesWhatTheModelDoesForMillionsOfSteps has few and many sessions
// want few and many locks.
func TestTheTableDoesWhatTheModelDoesForMillionsOfSteps(t *testing.T) {
	costs := measure(t)
	steps := scheduleSteps
	if testing.Short() {
		steps = min(steps, 400_000)
	}
	phases := []struct{ clients, names, steps int }{
		{3, 1, steps / 4}, {6, 2, steps / 4}, {10, 3, steps / 4}, {16, 3, steps / 8}, {24, 5, steps / 8},
	}
	for i, phase := range phases {
		p, d := newPair(t, costs, phase.clients), dice(i)
		for n := range phase.steps {
			p.do(d.step(phase.clients, phase.names))
			if n%127 == 0 {
				p.compare()
			}
		}
		p.compare()
		p.wantAll()
		p.end()
	}
}

// wantAll wants everything to have come about, and not just by a rare chance.
func (p *pair) wantAll() {
	o, least := p.cameAbout, p.steps/10_000
	for _, err := range []error{
		nil, locks.ErrHeld, locks.ErrLimit, locks.ErrQueue, locks.ErrWaiting, locks.ErrSessionLimit,
	} {
		if o.errs[err] <= least {
			p.fail("%v came about %d times: %+v", err, o.errs[err], o)
		}
	}
	if min(o.granted, o.waitGranted, o.leftGranted, o.forced) <= least {
		p.fail("too little came about: %+v", o)
	}
}
