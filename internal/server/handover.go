package server

// A lock changes hands when one connection gives it up and the next in the queue
// is told so. A goroutine for that costs much, as the scheduler wakes a thread for
// it; so whoever has given up the lock acts for the one that has it now, as long as
// it takes to answer. A hand-over takes 0.8 of the time that it took with waking, and a lock that
// fifty clients want changes hands 1.3 times as often (BenchmarkHandOver,
// BenchmarkContended).
//
// Server.granted has those that were granted what they waited for and were not told
// yet, linked by conn.grantedBefore. Whoever called the table empties it before doing
// anything that may take long.

// answeredAtOnce is how many of those that were granted its locks a connection
// answers for. The others are woken and answer for themselves, on all processors,
// while this one serves its own client.
const answeredAtOnce = 4

// Granted implements locks.Owner. The shard is locked, so this is only noted, or the
// connection woken where it may take long until somebody looks.
func (c *conn) Granted() {
	if c.srv.leavers.Load() > 0 {
		c.wake()
		return
	}
	if c.noted.Swap(true) {
		return // of an earlier wait, and looked at soon
	}
	for {
		last := c.srv.granted.Load()
		c.grantedBefore = last
		if c.srv.granted.CompareAndSwap(last, c) {
			return
		}
	}
}

// leave has the session of a connection leave the table. Those who get its locks are
// not to wait until all are free, if these are many. What one holds that waits is not
// known: it may be granted more right now.
func (c *conn) leave() (orphans int) {
	if c.pending != nil || c.session.Holds() > answeredAtOnce {
		c.srv.leavers.Add(1)
		defer c.srv.leavers.Add(-1)
	}
	orphans = c.srv.table.Leave(c.session, c.srv.now())
	c.srv.answerGranted()
	return orphans
}

// answerGranted tells those who were granted locks, the first one first.
func (s *Server) answerGranted() {
	if s.granted.Load() == nil { // nearly always
		return
	}
	var first *conn
	for c := s.granted.Swap(nil); c != nil; {
		before := c.grantedBefore
		c.grantedBefore, first = first, c
		c = before
	}
	for n := 0; first != nil; n++ {
		c := first
		first, c.grantedBefore = c.grantedBefore, nil
		c.noted.Store(false)
		if n >= answeredAtOnce || !c.answerFor() {
			c.wake()
		}
	}
}

// answerFor ends the wait of a connection that was granted the lock, where that is
// all there is to do and nobody acts for it. It may be called by any, and waits for
// nothing.
func (c *conn) answerFor() bool {
	if !c.tryOwn() {
		return false // who acts for it now may have looked already
	}
	answered := c.pending == nil || !c.session.Granted() // it has seen
	more := false                                        // is left to do
	if !answered && c.answersAlone() {
		c.endWait()
		c.flush()
		if more = !c.link.roomy(); !more { // what a WebSocket had kept may have filled the backlog
			c.fail(c.link.flush())
		}
		answered = true
	}
	if c.err != nil || more || !c.rest() {
		c.actAside()
	}
	return answered
}

// answersAlone tells whether a granted lock is all that the connection has to look
// at, and the answer cannot wait for the client.
func (c *conn) answersAlone() bool {
	return c.watcher == nil && len(c.unread) == 0 && !c.cut.Load() && c.link.roomy()
}
