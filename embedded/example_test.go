package embedded_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"lockd/client"
	"lockd/embedded"
)

func ExampleListen() {
	srv, err := embedded.Listen(context.Background(), embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Destroy()

	// Any client will do; the protocol is plain text.
	conn, err := net.Dial("tcp", strings.TrimPrefix(srv.Addrs()[0], "tcp://"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	fmt.Fprint(conn, "g nightly backup\ni nightly backup\n")
	replies := bufio.NewScanner(conn)
	for range 2 {
		replies.Scan()
		fmt.Println(replies.Text())
	}
	// Output:
	// 1 Lock Get Success: nightly backup
	// 1 Lock Is Locked: nightly backup
}

// A server closes when its last client has left.
func ExampleServer_Close() {
	ctx := context.Background()
	srv, err := embedded.Listen(ctx, embedded.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	conn, err := client.Dial(ctx, srv.Addrs()[0], client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("get:", conn.Get(ctx, "report"))
	left := make(chan struct{})
	go func() {
		conn.Close()
		close(left)
	}()

	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	fmt.Println("close:", srv.Close(ctx))
	<-left
	fmt.Println("orphans:", srv.Stats().Orphans)
	// Output:
	// get: <nil>
	// close: <nil>
	// orphans: 1
}

// Several addresses, and one feature less.
func ExampleOptions() {
	dir, cleanup := scratch()
	defer cleanup()
	srv, err := embedded.Listen(context.Background(), embedded.Options{
		Addresses:   []string{"unix://" + filepath.Join(dir, "lockd.sock"), "ws://127.0.0.1:0"},
		DisableDump: true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Destroy()
	for _, address := range srv.Addrs() {
		scheme, _, _ := strings.Cut(address, "://")
		fmt.Println("listens on", scheme)
	}
	// Output:
	// listens on unix
	// listens on ws
}
