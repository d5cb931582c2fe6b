// Package client talks to a lockd server.
//
// A lock has a name, and whoever gets it first has it. It stays theirs until
// they release it or their connection ends, whichever comes first: a program
// that crashes, or a machine that loses its network, holds nothing.
//
// A [Client] acquires locks, each over a connection of its own:
//
//	c, err := client.New("tcp://127.0.0.1:9999", client.ClientOptions{})
//	if err != nil {
//		return err
//	}
//	defer c.Close() // and with it all its locks are free
//
//	lock, err := c.Lock(ctx, "nightly backup") // waits for its turn
//	if err != nil {
//		return err
//	}
//	defer lock.Unlock(ctx)
//
// Locks are exclusive ([Client.Lock], one holder) or shared ([Client.LockShared],
// any number, or up to a limit). The two are separate: an exclusive and a shared
// lock of one name have nothing to do with each other.
//
// A [Conn] is a single connection, and so a single holder of any number of locks,
// for programs that want to say themselves what is sent, and when.
//
// # Addresses
//
//	tcp://HOST:PORT     port 9999 where none is given; HOST:PORT means the same
//	unix:///PATH        a Unix socket
//	ws://HOST:PORT      WebSocket, port 9998 where none is given
//
// WebSocket brings an HTTP client along, so it is in a package of its own, and
// only who asks for it pays for it: set [Options.Dial] to the Dial of
// lockd/client/websocket.
//
// # Waiting
//
// Who waits for a lock gets it in the order of asking. [Client.Lock] and
// [Client.LockShared] wait as long as their context lets them, [Client.TryLock]
// and [Client.TryLockShared] not at all. When the context ends during a wait, the
// wait ends on the server as well, and nothing is held.
//
// # Loss of a lock
//
// A lock is lost with its connection: the server was stopped, or the network is
// gone. Then [Lock.Done] is closed, within [ClientOptions.KeepAlive] also where
// nothing tells of it, and the work under the lock must stop. No lock is acquired
// anew behind your back: what it guarded may have changed in between. A program
// that runs for long starts over with a new Lock, after a pause; the example of
// [Lock.Context] shows how.
//
// Work that was delayed may still arrive after the loss. Where that does harm,
// send [Lock.Token] along: it rises with every grant, so a store that remembers
// the highest can refuse what comes with a lower one.
//
// # Commands
//
// What the methods of a [Conn] send, and where docs/protocol.md tells of it:
//
//	Get, Release, Inspect                          g, r, i         Exclusive locks
//	GetShared, ReleaseShared, InspectShared        sg, sr, si      Shared locks
//	Wait, WaitShared                               gw, sgw, cancel Waiting
//	Dump, DumpLock, DumpShared, DumpSharedLock     d, sd           Listings
//	List                                           ls              Seeing
//	Watch of a Client                              watch           Watching
//	Name, SetName, Clients, ClientsNamed           me, iam, who    Names of clients
//	Break, Kick                                    fr, kick        Breaking
//	Stats                                          q               Counters
//	Level                                          me              The handshake
//	Ping, Info                                     ping, info      Level 2
//
// # Calls on a connection
//
// All methods of a [Conn] may be called from any goroutine, and before the
// connection stands ([Open]). They go to the server one at a time, first come,
// first served.
//
// A call whose context ends before it was sent leaves the connection as it is.
// One whose context ends while it waits for its reply closes the connection,
// unless it is a [Conn.Wait] or [Conn.WaitShared], which is cancelled: the lock
// may just have been granted, and only without a connection it is certain that
// nothing is held. The same holds for a reply that does not come within
// [Options.ReadTimeout], or makes no sense. [Conn.Done] and [Options.OnDisconnect]
// tell of the end.
//
// # Errors
//
// Errors say what was tried, and are made for [errors.Is]: [ErrNotAcquired],
// [ErrNotHeld], [ErrDisabled], [ErrUnreachable], [ErrDisconnected] and so on.
// Where the server has refused, [errors.As] finds a [*ReplyError] with its
// words, and in it the [Refusal] that tells why a lock was not acquired.
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
// what is sent before they have answered (see [Options.QuietTime]). They have no
// queue, so [Client.Lock] tries again and again, at random intervals of up to a
// second. What they cannot do at all, such as a limit of holders, a token or
// [Client.Watch], is ErrUnsupported.
package client
