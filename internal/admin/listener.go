package admin

import (
	"net"
	"net/netip"
)

// gatedListener closes connections of addresses that may not connect, before a
// byte is exchanged.
type gatedListener struct {
	net.Listener
	allow   func(netip.Addr) bool // nil: all may
	refused func(netip.Addr)
}

// Accept returns the next connection that may be served.
func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		addr, ok := ipOf(conn)
		if !ok || l.allow == nil || l.allow(addr) {
			return conn, nil
		}
		_ = conn.Close() // nothing was written that could be lost
		l.refused(addr)
	}
}

// ipOf returns the peer's IP address in the form that networks are matched
// with: IPv4-mapped as IPv4, without a zone, which no network contains.
// It reports false where the transport has no IP addresses.
func ipOf(conn net.Conn) (netip.Addr, bool) {
	tcp, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	return tcp.AddrPort().Addr().Unmap().WithZone(""), true
}
