// Package client talks to a lockd server.
//
// A lock has a name, and whoever gets it first has it. It stays theirs until
// they release it or their connection ends, whichever comes first: a program
// that crashes, or a machine that loses its network, holds nothing.
//
// A [Conn] is one connection and so one holder of locks:
//
//	conn, err := client.Dial(ctx, "tcp://127.0.0.1:9999", client.Options{})
//	if err != nil {
//		return err
//	}
//	defer conn.Close() // and with it all its locks are free
//
//	err = conn.Get(ctx, "nightly backup")
//	if errors.Is(err, client.ErrNotAcquired) {
//		return nil // somebody else is at it
//	}
//
// Locks are exclusive ([Conn.Get], one holder) or shared ([Conn.GetShared], any
// number). The two are separate: an exclusive and a shared lock of one name
// have nothing to do with each other.
//
// # Addresses
//
//	tcp://HOST:PORT     port 9999 where none is given; HOST:PORT means the same
//	unix:///PATH        a Unix socket
//	ws://HOST:PORT      WebSocket, port 9998 where none is given
//
// WebSocket brings an HTTP client along, so it is in a package of its own, and
// only who asks for it pays for it:
//
//	client.Dial(ctx, "ws://127.0.0.1:9998", client.Options{Dial: websocket.Dial})
//
// # Calls, contexts and the end of a connection
//
// All methods may be called from any goroutine, and before the connection
// stands ([Open]). Calls go to the server one at a time, first come, first
// served.
//
// A call whose context ends before it was sent leaves the connection as it is.
// One whose context ends while it waits for its reply closes the connection:
// the lock may just have been granted, and only without a connection it is
// certain that nothing is held. The same holds for a reply that does not come
// within [Options.ReadTimeout], or makes no sense.
//
// A connection is never made anew behind your back, for the locks that it held
// are gone. [Conn.Done] and [Options.OnDisconnect] tell when that has happened.
//
// # Errors
//
// Errors say what was tried, and are made for [errors.Is]: [ErrNotAcquired],
// [ErrNotHeld], [ErrDisabled], [ErrUnreachable], [ErrDisconnected] and so on.
// Where the server has refused, [errors.As] finds a [*ReplyError] with its
// words.
//
// # Names
//
// A name may be anything, also empty and also no text, but for a line feed,
// and blanks that the protocol would not carry unchanged: at the ends, several
// in a row, or other ones than the space. Such a name is refused with
// [ErrName] and nothing is sent, since the lock would be another than the one
// asked for.
//
// # Older servers
//
// Servers that know only the first level of the protocol are served as well,
// also those that end lines with CR LF, do not know newer commands, or drop
// what is sent before they have answered. See [Options.QuietTime].
package client
