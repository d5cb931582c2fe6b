package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Networks is a set of IP networks, and may hold Unix sockets as well. The zero
// value holds no address.
type Networks struct {
	words    []string // as written
	prefixes []netip.Prefix
	unix     bool
}

// ParseNetworks takes CIDRs, single IP addresses and the words loopback,
// private (RFC 1918, unique local and link-local addresses) and any.
func ParseNetworks(words ...string) (Networks, error) { return parseWords(words, false) }

// ParseClients takes what [ParseNetworks] does and the word unix, for the clients
// of Unix sockets.
func ParseClients(words ...string) (Networks, error) { return parseWords(words, true) }

// unixWord stands for the clients of Unix sockets.
const unixWord = "unix"

func parseWords(words []string, unix bool) (Networks, error) {
	n, good := Networks{words: slices.Clone(words)}, "loopback, private or any"
	if unix {
		good = "loopback, private, any or " + unixWord
	}
	for _, word := range words {
		if unix && word == unixWord {
			n.unix = true
			continue
		}
		prefixes, err := parseNetwork(word, good)
		if err != nil {
			return Networks{}, err
		}
		n.prefixes = append(n.prefixes, prefixes...)
	}
	return n, nil
}

// MustParseNetworks is ParseNetworks for words known to be good; it panics on others.
func MustParseNetworks(words ...string) Networks {
	n, err := ParseNetworks(words...)
	if err != nil {
		panic("config: " + err.Error())
	}
	return n
}

// Contains reports whether addr is in one of the networks. An IPv4-mapped IPv6
// address is judged as the IPv4 address it is, and a zone does not matter. The
// zero address stands for the clients of Unix sockets.
func (n Networks) Contains(addr netip.Addr) bool {
	if !addr.IsValid() {
		return n.unix
	}
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(n.prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Words returns the networks as they were written.
func (n Networks) Words() []string { return slices.Clone(n.words) }

// String returns the networks as they were written, separated by blanks.
func (n Networks) String() string { return strings.Join(n.words, " ") }

// parseNetwork knows the words there are for networks. Good lists those that are
// allowed, for an error.
func parseNetwork(word, good string) ([]netip.Prefix, error) {
	switch word {
	case "loopback":
		return parsePrefixes("127.0.0.0/8", "::1/128"), nil
	case "private":
		return parsePrefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7", "fe80::/10"), nil
	case "any":
		return parsePrefixes("0.0.0.0/0", "::/0"), nil
	case unixWord:
		return nil, fmt.Errorf("unix is no network; Unix sockets always pass, leave it out")
	}
	prefix, err := parsePrefix(word, good)
	return []netip.Prefix{prefix}, err
}

func parsePrefixes(texts ...string) []netip.Prefix {
	prefixes := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		prefixes = append(prefixes, netip.MustParsePrefix(text))
	}
	return prefixes
}

// parsePrefix is strict, because whoever misreads this list opens the server:
// what could mean a smaller network than it says is an error.
func parsePrefix(word, good string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(word)
	if addr, addrErr := netip.ParseAddr(word); addrErr == nil {
		if addr.Zone() != "" {
			return prefix, fmt.Errorf("%s has a zone, which is not looked at; write %s", show(word), addr.WithZone(""))
		}
		prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	if err != nil {
		return prefix, fmt.Errorf("%s is not a network; write an IP address, a CIDR such as 10.0.0.0/8, %s", show(word), good)
	}
	if prefix != prefix.Masked() {
		return prefix, fmt.Errorf("%s is not the first address of a network; write %s or %s", show(word), prefix.Masked(), prefix.Addr())
	}
	if prefix.Addr().Is4In6() {
		return prefix, fmt.Errorf("%s never matches, IPv4 clients are judged as IPv4; write %s",
			show(word), netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96))
	}
	return prefix, nil
}
