package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An operation is one or more requests that belong together: after the last of
// them nothing is held that the first has taken, unless it says so.
type operation struct {
	name   string
	about  string
	level2 bool                         // old servers do not know it
	lockd  func(own, hot string) []step // own is the connection's name, hot is everybody's
	// nil where they have nothing like it
	redis, memcached func(own, hot string) []step
}

// stepsFor is what makes up the operation for a kind of server; nil where that has
// nothing like it. An echo server is sent what lockd is.
func (o operation) stepsFor(k Kind) func(own, hot string) []step {
	switch k {
	case Redis:
		return o.redis
	case Memcached:
		return o.memcached
	}
	return o.lockd
}

// operations has all of them. A request counts as one operation in the figures, so
// get-release counts two.
func operations() []operation {
	return []operation{
		{"get-release", "g and r of a lock of the connection's own", false, getRelease, redisSetDel, memcachedAddDelete},
		{"get", "g of a lock that the connection already holds", false, get, redisSet, memcachedSet},
		{"inspect", "i of a lock that nobody holds", false, inspect, redisExists, memcachedGet},
		{"shared", "sg and sr of a shared lock of the connection's own", false, shared, redisCount, nil},
		{"shared-hot", "sg and sr of one shared lock for all", false, sharedHot, redisCountHot, nil},
		{"contended", "g and r of one lock for all; whether it is had or not is both right", false, contended, redisContended, memcachedContended},
		{"wait", "gw and r of one lock for all, first come first served (level 2)", true, wait, nil, nil},
		{"ping", "ping (level 2)", true, ping, redisPing, memcachedPing},
	}
}

// Operations describes all operations, a line for each: its name and what it sends.
func Operations() [][2]string {
	var all [][2]string
	for _, o := range operations() {
		all = append(all, [2]string{o.name, o.about})
	}
	return all
}

func getRelease(own, _ string) []step {
	return []step{
		{"g " + own, exactly("1 Lock Get Success: " + own)},
		{"r " + own, exactly("1 Lock Release Success: " + own)},
	}
}

func get(own, _ string) []step {
	own += "-held"
	return []step{{"g " + own, exactly("1 Lock Get Success: " + own)}}
}

func inspect(own, _ string) []step {
	own += "-free"
	return []step{{"i " + own, exactly("0 Lock Not Locked: " + own)}}
}

func shared(own, _ string) []step {
	return []step{
		{"sg " + own, exactly("1 Shared Lock Get Success: " + own)},
		{"sr " + own, exactly("1 Shared Lock Release Success: " + own)},
	}
}

func sharedHot(_, hot string) []step {
	return []step{
		{"sg " + hot, answer{counted: true, text: " Shared Lock Get Success: " + hot}},
		{"sr " + hot, exactly("1 Shared Lock Release Success: " + hot)},
	}
}

func contended(_, hot string) []step {
	hot += "-contended"
	return []step{
		{"g " + hot, answer{text: "1 Lock Get Success: " + hot, refusal: "0 Lock Get Failure: " + hot}},
		{"r " + hot, answer{text: "1 Lock Release Success: " + hot, refusal: "0 Lock Release Failure: " + hot}},
	}
}

func wait(_, hot string) []step {
	hot += "-wait"
	return []step{
		{"gw -1 " + hot, answer{text: "1 Lock Get Success: token=", end: " name=" + hot}},
		{"r " + hot, exactly("1 Lock Release Success: " + hot)},
	}
}

func ping(_, _ string) []step { return []step{{"ping", exactly("1 pong")}} }

// A weighted is an operation's part of a mix.
type weighted struct {
	operation operation
	weight    int
}

// A Mix is operations and how often each comes compared with the others.
type Mix []weighted

// maxWeight bounds the sum of a mix's weights, and so what a connection's requests
// take, which are made up beforehand.
const maxWeight = 100

// ParseMix takes an operation's name, or NAME=WEIGHT,NAME=WEIGHT…, where a weight
// that is left out is 1.
func ParseMix(text string) (Mix, error) {
	var m Mix
	sum := 0
	for part := range strings.SplitSeq(text, ",") {
		w, err := parseWeighted(part)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(m, func(o weighted) bool { return o.operation.name == w.operation.name }) {
			return nil, fmt.Errorf("operation %q is there twice", w.operation.name)
		}
		m = append(m, w)
		sum += w.weight
	}
	if sum > maxWeight {
		return nil, fmt.Errorf("the weights add up to %d; want %d or less", sum, maxWeight)
	}
	return m, nil
}

func parseWeighted(part string) (weighted, error) {
	name, number, has := strings.Cut(strings.TrimSpace(part), "=")
	weight := 1
	if has {
		var err error
		if weight, err = strconv.Atoi(number); err != nil || weight < 1 || weight > maxWeight {
			return weighted{}, fmt.Errorf("operation %q has the weight %q; want 1 to %d", name, number, maxWeight)
		}
	}
	all := operations()
	var names []string
	for _, o := range all {
		if o.name == name {
			return weighted{o, weight}, nil
		}
		names = append(names, o.name)
	}
	return weighted{}, fmt.Errorf("unknown operation %q; want %s", name, strings.Join(names, ", "))
}

// String is the mix as ParseMix takes it.
func (m Mix) String() string {
	if len(m) == 1 {
		return m[0].operation.name
	}
	var parts []string
	for _, w := range m {
		parts = append(parts, fmt.Sprintf("%s=%d", w.operation.name, w.weight))
	}
	return strings.Join(parts, ",")
}

func (m Mix) level2() bool {
	return slices.ContainsFunc(m, func(w weighted) bool { return w.operation.level2 })
}

// sequence spreads the operations evenly, each as often as its weight: whoever is
// furthest behind comes next.
func (m Mix) sequence() []operation {
	sum := 0
	for _, w := range m {
		sum += w.weight
	}
	due := make([]int, len(m))
	var s []operation
	for range sum {
		next := 0
		for i, w := range m {
			if due[i] += w.weight; due[i] > due[next] {
				next = i
			}
		}
		due[next] -= sum
		s = append(s, m[next].operation)
	}
	return s
}
