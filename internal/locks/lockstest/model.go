package lockstest

import (
	"bytes"
	"cmp"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"lockd/internal/locks"
)

// A Model is the lock table as one would explain it: a map of names to a list of
// holders and a list of those who wait, under one mutex. It is slow and obvious,
// and stands beside a real table in tests to say what is right.
type Model struct {
	// SessionHolds is [locks.Limits.SessionHolds].
	SessionHolds int

	mu        sync.Mutex
	token     uint64 // the last
	locks     map[modelKey]*modelLock
	waits     map[*locks.Session]*modelWait
	orphans   [len(modes)]uint64
	durations [len(modes)]locks.Durations
}

type modelKey struct {
	mode locks.Mode
	name string
}

// A modelLock is in the map while somebody holds it.
type modelLock struct {
	modelKey
	holders []*modelHold // in the order they got it
	queue   []*modelWait // in the order they came
}

type modelHold struct {
	session *locks.Session
	token   uint64
	since   time.Duration
	broken  bool
}

// A modelWait is a session's until it asks what became of it.
type modelWait struct {
	session *locks.Session
	lock    *modelLock
	since   time.Duration
	max     int
	granted bool
	result  locks.Result
}

// NewModel returns an empty model without limits, whose first token is 1.
func NewModel() *Model {
	return &Model{locks: make(map[modelKey]*modelLock), waits: make(map[*locks.Session]*modelWait)}
}

// Get does what [locks.Table.Get] does, but it knows no limit of bytes, and
// [locks.Session.Granted] nothing of it: Granted here does.
func (t *Model) Get(s *locks.Session, r locks.Request) (locks.Result, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.waits[s]; w != nil {
		return t.endWait(w, r.Now)
	}
	l := t.locks[modelKey{r.Mode, string(r.Name)}]
	if l == nil {
		l = &modelLock{modelKey: modelKey{r.Mode, string(r.Name)}}
	}
	if h := l.holdOf(s); h != nil {
		return locks.Result{Holders: len(l.holders), Token: h.token}, nil
	}
	refused := l.refuses(r)
	switch {
	case refused != nil && r.Queue != locks.JoinQueue:
		return l.result(), refused
	case t.SessionHolds > 0 && t.holds(s) >= t.SessionHolds:
		return l.result(), locks.ErrSessionLimit
	case refused != nil:
		w := &modelWait{session: s, lock: l, since: r.Now, max: r.Max}
		l.queue = append(l.queue, w)
		t.waits[s] = w
		return locks.Result{}, locks.ErrWaiting
	}
	if r.Queue != locks.PassQueue {
		observe(&t.durations[r.Mode].Wait, 0)
	}
	return t.grant(l, s, r.Now), nil
}

func (l *modelLock) holdOf(s *locks.Session) *modelHold {
	for _, h := range l.holders {
		if h.session == s {
			return h
		}
	}
	return nil
}

func (l *modelLock) fits(limit int) bool {
	if l.mode == locks.Exclusive {
		limit = 1
	}
	return limit <= 0 || len(l.holders) < limit
}

func (l *modelLock) refuses(r locks.Request) error {
	switch {
	case r.Queue != locks.PassQueue && len(l.queue) > 0:
		return locks.ErrQueue
	case l.fits(r.Max):
		return nil
	case l.mode == locks.Exclusive:
		return locks.ErrHeld
	default:
		return locks.ErrLimit
	}
}

func (l *modelLock) result() locks.Result {
	r := locks.Result{Holders: len(l.holders), Queue: len(l.queue)}
	if l.mode == locks.Exclusive && len(l.holders) > 0 {
		r.Holder, r.Since = l.holders[0].session, l.holders[0].since
	}
	return r
}

func (t *Model) grant(l *modelLock, s *locks.Session, now time.Duration) locks.Result {
	t.token++
	l.holders = append(l.holders, &modelHold{session: s, token: t.token, since: now})
	t.locks[l.modelKey] = l
	l.happened(locks.Granted, l.holders[len(l.holders)-1])
	return locks.Result{Holders: len(l.holders), Token: t.token}
}

func (l *modelLock) happened(kind locks.EventKind, h *modelHold) {
	h.session.Owner().Happened(locks.Event{
		Kind: kind, Mode: l.mode, Token: h.token, Session: h.session, Name: []byte(l.name),
	})
}

func (t *Model) endWait(w *modelWait, now time.Duration) (locks.Result, error) {
	delete(t.waits, w.session)
	if w.granted {
		return w.result, nil
	}
	l := w.lock
	i := slices.Index(l.queue, w)
	l.queue = slices.Delete(l.queue, i, i+1)
	observe(&t.durations[l.mode].Wait, now-w.since)
	t.serve(l, now)
	r := l.result()
	r.Waited = max(now-w.since, 0)
	return r, locks.ErrQueue
}

func (t *Model) serve(l *modelLock, now time.Duration) {
	for len(l.queue) > 0 && l.fits(l.queue[0].max) {
		w := l.queue[0]
		l.queue = l.queue[1:]
		observe(&t.durations[l.mode].Wait, now-w.since)
		w.granted, w.result = true, t.grant(l, w.session, now)
		w.result.Waited = max(now-w.since, 0)
		w.session.Owner().Granted()
	}
}

// Granted tells whether the lock that s waits for has become its own.
func (t *Model) Granted(s *locks.Session) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.waits[s]
	return w != nil && w.granted
}

// Release does what [locks.Table.Release] does.
func (t *Model) Release(s *locks.Session, m locks.Mode, name []byte, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.locks[modelKey{m, string(name)}]
	if l == nil {
		return false
	}
	h := l.holdOf(s)
	if h == nil {
		return false
	}
	t.drop(l, h, locks.Released, now)
	return true
}

func (t *Model) drop(l *modelLock, h *modelHold, kind locks.EventKind, now time.Duration) {
	l.happened(kind, h)
	observe(&t.durations[l.mode].Hold, now-h.since)
	l.holders = slices.DeleteFunc(l.holders, func(other *modelHold) bool { return other == h })
	t.serve(l, now)
	if len(l.holders) == 0 {
		delete(t.locks, l.modelKey)
	}
}

// Leave does what [locks.Table.Leave] does.
func (t *Model) Leave(s *locks.Session, now time.Duration) (orphans int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if w := t.waits[s]; w != nil {
		_, _ = t.endWait(w, now)
	}
	type part struct {
		lock *modelLock
		hold *modelHold
	}
	var parts []part
	for _, l := range t.locks {
		if h := l.holdOf(s); h != nil {
			parts = append(parts, part{l, h})
		}
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.hold.token, b.hold.token) })
	for _, p := range parts {
		kind := locks.Orphaned
		if p.hold.broken {
			kind = locks.Forced
		}
		t.orphans[p.lock.mode]++
		t.drop(p.lock, p.hold, kind, now)
	}
	return len(parts)
}

// Holds returns the number of locks that s holds.
func (t *Model) Holds(s *locks.Session) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.holds(s)
}

func (t *Model) holds(s *locks.Session) (n int) {
	for _, l := range t.locks {
		if l.holdOf(s) != nil {
			n++
		}
	}
	return n
}

// Inspect does what [locks.Table.Inspect] does.
func (t *Model) Inspect(m locks.Mode, name []byte) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := t.locks[modelKey{m, string(name)}]; l != nil {
		return len(l.holders)
	}
	return 0
}

// Break does what [locks.Table.Break] does.
func (t *Model) Break(m locks.Mode, name []byte, token uint64) []*locks.Session {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.locks[modelKey{m, string(name)}]
	if l == nil {
		return nil
	}
	var told []*locks.Session
	for _, h := range l.holders {
		if token == 0 || token == h.token {
			h.broken = true
			h.session.Owner().Break()
			told = append(told, h.session)
		}
	}
	return told
}

// List does what [locks.Table.List] does.
func (t *Model) List(q locks.Query) iter.Seq[locks.Entry] {
	t.mu.Lock()
	defer t.mu.Unlock()
	var found []*modelLock
	for _, l := range t.locks {
		if l.answers(q) {
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(a, b *modelLock) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.mode, b.mode))
	})
	var all []locks.Entry
	for _, l := range found {
		all = append(all, l.entries(q.Waiters)...)
	}
	return slices.Values(all)
}

func (l *modelLock) answers(q locks.Query) bool {
	if l.mode == locks.Exclusive && !q.Exclusive || l.mode == locks.Shared && !q.Shared {
		return false
	}
	if q.Exact {
		return l.name == string(q.Name)
	}
	return bytes.HasPrefix([]byte(l.name), q.Name)
}

func (l *modelLock) entries(waiters bool) []locks.Entry {
	var all []locks.Entry
	for _, h := range l.holders {
		all = append(all, locks.Entry{
			Name: []byte(l.name), Mode: l.mode, Session: h.session, Token: h.token, Since: h.since,
		})
	}
	if !waiters {
		return all
	}
	for _, w := range l.queue {
		all = append(all, locks.Entry{
			Name: []byte(l.name), Mode: l.mode, Session: w.session, Since: w.since, Max: w.max, Waiting: true,
		})
	}
	return all
}
