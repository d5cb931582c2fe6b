package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

// serve starts a server for an example and returns its address.
func serve(ctx context.Context, address string) (string, func()) {
	srv, err := embedded.Listen(ctx, embedded.Options{Addresses: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	return srv.Addrs()[0], srv.Destroy
}

func Example() {
	ctx := context.Background()
	address, stop := serve(ctx, "tcp://127.0.0.1:0")
	defer stop()

	conn, err := client.Dial(ctx, address, client.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close() // and with it all its locks are free

	if err := conn.Get(ctx, "nightly backup"); err != nil {
		log.Fatal(err)
	}
	fmt.Println("backing up")
	if err := conn.Release(ctx, "nightly backup"); err != nil {
		log.Fatal(err)
	}
	// Output: backing up
}

// Who comes second is told so, in the server's words as well.
func ExampleConn_Get() {
	ctx := context.Background()
	address, stop := serve(ctx, "tcp://127.0.0.1:0")
	defer stop()

	for range 2 { // two connections, two holders
		conn, err := client.Dial(ctx, address, client.Options{})
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()

		err = conn.Get(ctx, "nightly backup")
		switch {
		case err == nil:
			fmt.Println("it is ours")
		case errors.Is(err, client.ErrNotAcquired):
			fmt.Println(err)
		default:
			log.Fatal(err)
		}
	}
	// Output:
	// it is ours
	// get "nightly backup": lock not acquired: server says "0 Lock Get Failure: nightly backup"
}

func ExampleConn_GetShared() {
	ctx := context.Background()
	address, stop := serve(ctx, "tcp://127.0.0.1:0")
	defer stop()

	for _, name := range []string{"reader 1", "reader 2"} {
		conn, err := client.Dial(ctx, address, client.Options{})
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetName(ctx, name); err != nil {
			log.Fatal(err)
		}
		holders, err := conn.GetShared(ctx, "catalogue")
		if err != nil {
			log.Fatal(err)
		}
		held, err := conn.DumpSharedLock(ctx, "catalogue")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(holders, held)
	}
	// Output:
	// 1 [{catalogue reader 1}]
	// 2 [{catalogue reader 1} {catalogue reader 2}]
}

// Open does not wait for the connection, calls do.
func ExampleOpen() {
	ctx := context.Background()
	address, stop := serve(ctx, "tcp://127.0.0.1:0")
	defer stop()

	connected := make(chan struct{})
	conn, err := client.Open(address, client.Options{
		OnConnect: func() { close(connected) },
		OnError:   func(err error) { log.Print(err) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	held, err := conn.Inspect(ctx, "nightly backup")
	fmt.Println(held, err)
	<-connected
	// Output: false <nil>
}

func ExampleOptions_webSocket() {
	ctx := context.Background()
	address, stop := serve(ctx, "ws://127.0.0.1:0")
	defer stop()

	conn, err := client.Dial(ctx, address, client.Options{Dial: websocket.Dial})
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Println(conn.Get(ctx, "nightly backup"))
	// Output: <nil>
}
