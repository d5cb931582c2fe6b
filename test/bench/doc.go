// Package bench measures lockd as its users meet it: the built binary in a
// process of its own, clients over loopback. Every figure stands beside that of
// a bare Go echo server, the least a line server can do, measured in turn with it
// on the same machine; their ratio is what can be compared between machines.
//
//	go test -run '^$' -bench . ./test/bench
package bench
