package client

import (
	"errors"
	"fmt"
	"time"
)

// The errors that calls return, wrapped in what was tried. Test for them with
// [errors.Is].
var (
	// ErrNotAcquired: another connection holds the lock or waits for it, or the
	// server has reached one of its limits. Where the server has said so, it is
	// wrapped in a [*ReplyError].
	ErrNotAcquired = errors.New("lock not acquired")
	// ErrNotHeld: the lock that is to be released or broken is not held: not by
	// this connection, or not by anybody. Where the server has said so, it is
	// wrapped in a [*ReplyError].
	ErrNotHeld = errors.New("lock not held")
	// ErrDisabled: the server has the feature switched off: dump (listings) or
	// registry (names of clients). It is wrapped in a [*ReplyError].
	ErrDisabled = errors.New("feature is off on the server")
	// ErrUnsupported: the server does not know the command, or the line is longer
	// than it takes, or it speaks only level 1 of the protocol and more was asked
	// for. The connection goes on.
	ErrUnsupported = errors.New("server does not take the command")
	// ErrDenied: this client may not do that; the server's configuration,
	// admin_from, says who may. It is wrapped in a [*ReplyError].
	ErrDenied = errors.New("not allowed")
	// ErrNoConnection: the server has no connection of that address. It is
	// wrapped in a [*ReplyError].
	ErrNoConnection = errors.New("no such connection")
	// ErrName: the name would reach the server as another one. Nothing was sent.
	ErrName = errors.New("name cannot be sent as it is")
	// ErrUnreachable: there never was a connection.
	ErrUnreachable = errors.New("server unreachable")
	// ErrDisconnected: the connection has ended, other than by Close, and every
	// lock that it held is free or will be soon.
	ErrDisconnected = errors.New("connection lost")
	// ErrTimeout: the server did not reply within [Options.ReadTimeout] or, while a lock
	// is held, gave no sign of life within [ClientOptions.KeepAlive]. The connection is
	// closed, so the error is ErrDisconnected as well.
	ErrTimeout = errors.New("no reply in time")
	// ErrProtocol: the server sent what is no reply to what was asked. The
	// connection is closed, so the error is ErrDisconnected as well.
	ErrProtocol = errors.New("unexpected reply")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection closed")
)

// A ReplyError is a refusal in the server's own words.
type ReplyError struct {
	Reply   string   // the line the server sent, such as "0 Lock Get Failure: backup"
	Err     error    // its kind, one of the errors above
	Refusal *Refusal // what the line tells of a lock not acquired; nil at level 1
}

// A Refusal tells why a lock was not acquired.
type Refusal struct {
	// Reason is "held", "queue" or "limit" of a try: another holds the lock,
	// others wait for it, it has as many holders as asked for. Of a wait it is
	// "timeout" or "cancelled". Of either it may be "too-many", where the server
	// has reached a limit of its configuration, or "draining", where it closes.
	Reason string
	// Holder is the address of who holds the exclusive lock, and Held for how
	// long, in whole milliseconds. It is empty where nobody does, or the server
	// has the feature dump off.
	Holder string
	Held   time.Duration
	// Count is how many hold the shared lock.
	Count int
	// Queue is how many others wait for the lock.
	Queue int
}

// Error returns the kind of the refusal and the server's words, quoted: they
// may hold any bytes.
func (e *ReplyError) Error() string { return fmt.Sprintf("%v: server says %q", e.Err, e.Reply) }

// Unwrap returns e.Err.
func (e *ReplyError) Unwrap() error { return e.Err }

// Reasons for a connection's end that the caller never tests for.
var (
	errServerClosed = errors.New("the server closed it")
	errHTTP         = fmt.Errorf("%w: that port speaks HTTP; locks have another, 9999 by default", ErrProtocol)
	errCutReply     = errors.New("the server closed it in the middle of a line")
	errGivenUp      = errors.New("a call was given up while its reply was under way")
)

func unexpected(line string) error { return fmt.Errorf("%w: %q", ErrProtocol, line) }
