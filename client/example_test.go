package client_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"lockd/client"
	"lockd/client/websocket"
	"lockd/embedded"
)

// connect starts a server for an example and returns a client of it, and what
// ends both. In a program, New has the address of a server that is there.
func connect() (*client.Client, func()) {
	address, stop := serve("tcp://127.0.0.1:0")
	c, err := client.New(address, client.ClientOptions{})
	if err != nil {
		log.Fatal(err)
	}
	return c, func() {
		c.Close()
		stop()
	}
}

func serve(address string) (string, func()) {
	srv, err := embedded.Listen(context.Background(), embedded.Options{Addresses: []string{address}})
	if err != nil {
		log.Fatal(err)
	}
	return srv.Addrs()[0], srv.Destroy
}

func Example() {
	address, stop := serve("tcp://127.0.0.1:0")
	defer stop()
	ctx := context.Background()

	c, err := client.New(address, client.ClientOptions{Name: "web 1"})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close() // and with it all its locks are free

	lock, err := c.Lock(ctx, "nightly backup")
	if err != nil {
		log.Fatal(err)
	}
	defer lock.Unlock(ctx)
	fmt.Println("backing up")
	// Output: backing up
}

// Goroutines of one program exclude each other as machines do.
func ExampleClient_Lock() {
	c, stop := connect()
	defer stop()

	lock, err := c.Lock(context.Background(), "report")
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = c.Lock(ctx, "report") // waits for the first
	fmt.Println(errors.Is(err, client.ErrNotAcquired), errors.Is(err, context.DeadlineExceeded))

	if err := lock.Unlock(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: true true
}

// A job that is started on several machines at the same time, by cron say, and
// is to run on one: the others do without.
func ExampleClient_TryLock() {
	c, stop := connect()
	defer stop()

	job := func(machine string) {
		lock, err := c.TryLock(context.Background(), "nightly backup")
		switch {
		case errors.Is(err, client.ErrNotAcquired):
			fmt.Println(machine, "skips it")
			return
		case err != nil:
			log.Fatal(err)
		}
		fmt.Println(machine, "runs it")
		_ = lock // to be unlocked when the job is done
	}
	job("one")
	job("two")
	// Output:
	// one runs it
	// two skips it
}

// At most five at a time, on all machines together.
func ExampleClient_LockShared() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()

	var running []*client.Lock
	for range 5 {
		lock, err := c.LockShared(ctx, "mail gateway", 5) // waits when there are five
		if err != nil {
			log.Fatal(err)
		}
		running = append(running, lock)
		fmt.Println("sending, as number", lock.Holders())
	}
	_, err := c.TryLockShared(ctx, "mail gateway", 5)
	fmt.Println("a sixth:", errors.Is(err, client.ErrNotAcquired))

	for _, lock := range running {
		lock.Unlock(ctx)
	}
	// Output:
	// sending, as number 1
	// sending, as number 2
	// sending, as number 3
	// sending, as number 4
	// sending, as number 5
	// a sixth: true
}

// A program that runs for months and leads while it has the lock. When it loses
// it, or the server, it stops leading, and after a pause stands for it again.
func ExampleLock_Context() {
	c, stop := connect()
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())

	work := func(ctx context.Context) { // until ctx ends
		fmt.Println("leading")
		cancel() // in an example it soon does
		<-ctx.Done()
	}
	lead := func() error {
		lock, err := c.Lock(ctx, "leader")
		if err != nil {
			return err
		}
		defer lock.Unlock(context.WithoutCancel(ctx))
		leading, resign := lock.Context(ctx) // ends when the lock is lost
		defer resign()
		work(leading)
		return lock.Err() // nil while it is held
	}
	for ctx.Err() == nil {
		if err := lead(); err != nil {
			log.Print("not leading: ", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	fmt.Println("done")
	// Output:
	// leading
	// done
}

// A store that refuses those who were delayed past the loss of their lock: it
// remembers the highest token it has seen.
func ExampleLock_Token() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()

	var highest uint64 // kept by the store, with the data
	write := func(token uint64, text string) {
		if token < highest {
			fmt.Println("refused:", text)
			return
		}
		highest = token
		fmt.Println("written:", text)
	}
	acquire := func() (*client.Lock, uint64) {
		lock, err := c.Lock(ctx, "ledger")
		if err != nil {
			log.Fatal(err)
		}
		token, err := lock.Token()
		if err != nil {
			log.Fatal(err)
		}
		return lock, token
	}
	first, old := acquire()
	first.Unlock(ctx) // or it is lost, while what was sent is still under way
	second, token := acquire()
	write(token, "by the second holder")
	write(old, "late, by the first")
	second.Unlock(ctx)
	// Output:
	// written: by the second holder
	// refused: late, by the first
}

func ExampleClient_Watch() {
	c, stop := connect()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	go use(ctx, c, "jobs/backup") // another program, in truth

	for event, err := range c.Watch(ctx, "jobs/") {
		if err != nil {
			log.Fatal(err)
		}
		if event.Kind == client.Released {
			fmt.Println(event.Lock, "is free")
			break
		}
	}
	// Output: jobs/backup is free
}

// use takes a lock and releases it until ctx ends.
func use(ctx context.Context, c *client.Client, name string) {
	for {
		lock, err := c.Lock(ctx, name)
		if err != nil {
			return
		}
		lock.Unlock(ctx)
	}
}

func ExampleClient_List() {
	c, stop := connect()
	defer stop()
	ctx := context.Background()

	for _, name := range []string{"jobs/backup", "jobs/report", "ledger"} {
		if _, err := c.Lock(ctx, name); err != nil {
			log.Fatal(err)
		}
	}
	entries, err := c.List(ctx, client.Query{Prefix: "jobs/"})
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range entries {
		fmt.Println(e.Lock, e.Mode, e.Waiting)
	}
	// Output:
	// jobs/backup exclusive false
	// jobs/report exclusive false
}

// A single connection, and so a single holder, in the hands of the program. Who
// comes second is told so, in the server's words as well.
func ExampleConn_Get() {
	address, stop := serve("tcp://127.0.0.1:0")
	defer stop()
	ctx := context.Background()

	for range 2 { // two connections, two holders
		conn, err := client.Dial(ctx, address, client.Options{})
		if err != nil {
			log.Fatal(err)
		}
		defer conn.Close()
		if err = conn.Get(ctx, "nightly backup"); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("it is ours")
	}
	// Output:
	// it is ours
	// get "nightly backup": lock not acquired: server says "0 Lock Get Failure: nightly backup"
}

// Open does not wait for the connection, calls do.
func ExampleOpen() {
	address, stop := serve("tcp://127.0.0.1:0")
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

	held, err := conn.Inspect(context.Background(), "nightly backup")
	fmt.Println(held, err)
	<-connected
	// Output: false <nil>
}

func ExampleOptions_webSocket() {
	address, stop := serve("ws://127.0.0.1:0")
	defer stop()

	o := client.ClientOptions{Options: client.Options{Dial: websocket.Dial}}
	c, err := client.New(address, o)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	lock, err := c.Lock(context.Background(), "nightly backup")
	fmt.Println(lock.Name(), err)
	// Output: nightly backup <nil>
}
