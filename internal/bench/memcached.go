package bench

// What memcached is sent, in its text protocol. It has nothing like a count that
// begins with the first who comes, so there is none of what is shared.

func memcachedStore(command, key string) string { return command + " " + key + " 0 0 1\r\nv\r" }

func memcachedAddDelete(own, _ string) []step {
	return []step{{memcachedStore("add", own), exactly("STORED")}, {"delete " + own + "\r", exactly("DELETED")}}
}

func memcachedSet(own, _ string) []step {
	return []step{{memcachedStore("set", own+"-held"), exactly("STORED")}}
}

func memcachedGet(own, _ string) []step {
	return []step{{"get " + own + "-free\r", exactly("END")}}
}

// memcachedContended differs from a lock in that whoever comes by deletes the key.
func memcachedContended(_, hot string) []step {
	hot += "-contended"
	return []step{
		{memcachedStore("add", hot), answer{text: "STORED", refusal: "NOT_STORED"}},
		{"delete " + hot + "\r", answer{text: "DELETED", refusal: "NOT_FOUND"}},
	}
}

func memcachedPing(_, _ string) []step { return []step{{"mn\r", exactly("MN")}} }

// memcachedFarewell deletes what a connection's operations may leave.
func memcachedFarewell(own string) string {
	return "delete " + own + "-held noreply\r\ndelete " + own + "\r"
}

// memcachedLastFarewell deletes the key that all connections use.
func memcachedLastFarewell(hot string) string { return "delete " + hot + "-contended\r" }
