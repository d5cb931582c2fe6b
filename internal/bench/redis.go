package bench

import (
	"fmt"
	"strings"
)

// resp is a request of Redis without its last line end.
func resp(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func redisSetDel(own, _ string) []step {
	return []step{{resp("SET", own, "v", "NX"), exactly("+OK")}, {resp("DEL", own), exactly(":1")}}
}

func redisSet(own, _ string) []step {
	return []step{{resp("SET", own+"-held", "v"), exactly("+OK")}}
}

func redisExists(own, _ string) []step {
	return []step{{resp("EXISTS", own+"-free"), exactly(":0")}}
}

func redisCount(own, _ string) []step {
	own += "-shared"
	return []step{{resp("INCR", own), exactly(":1")}, {resp("DECR", own), exactly(":0")}}
}

func redisCountHot(_, hot string) []step {
	return []step{
		{resp("INCR", hot), answer{mark: ":", counted: true}},
		{resp("DECR", hot), answer{mark: ":", counted: true, zero: true}},
	}
}

// redisContended differs from a lock in that whoever comes by deletes the key.
func redisContended(_, hot string) []step {
	hot += "-contended"
	return []step{
		{resp("SET", hot, "v", "NX"), answer{text: "+OK", refusal: "$-1"}},
		{resp("DEL", hot), answer{text: ":1", refusal: ":0"}},
	}
}

func redisPing(_, _ string) []step { return []step{{resp("PING"), exactly("+PONG")}} }

// redisFarewell deletes what a connection's operations may leave: keys outlive it.
func redisFarewell(own string) string { return resp("DEL", own, own+"-held", own+"-shared") }

// redisLastFarewell deletes the keys that all connections use.
func redisLastFarewell(hot string) string { return resp("DEL", hot, hot+"-contended") }
