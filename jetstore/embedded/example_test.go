package embedded_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A log in a directory. It is there again when the program is started again.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	for range 2 {
		store, err := embedded.Open(ctx, dir)
		if err != nil {
			log.Fatal(err)
		}
		seq, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionResumed{})
		fmt.Println(seq, err)
		if err := store.Shutdown(ctx); err != nil { // stops the server, too
			log.Fatal(err)
		}
	}
	// Output:
	// 1 <nil>
	// 2 <nil>
}

// What a store is to be like that embedded opens is said in one place; the server's own
// words go to the program's log.
func ExampleWithStore() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	store, err := embedded.Open(ctx, dir,
		embedded.WithStore(jetstore.WithStream("AGENTS"), jetstore.WithPrefix("agents")),
		embedded.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))) // or slog.Default()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)
	fmt.Println(store.StreamName(), store.Subjects().All())
	// Output: AGENTS agents.*.*
}

// A server that others can reach, as the nats CLI: on a free port of this machine. Its
// streams are synced to disk every second, so the last second is lost with the power.
func ExampleStart() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	srv, err := embedded.Start(ctx, dir, embedded.WithPort(-1), embedded.WithSyncInterval(time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = srv.Shutdown(ctx) }()

	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(30*time.Second)) // another process
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := jetstore.EnsureStream(ctx, nc); err != nil {
		log.Fatal(err)
	}
	store, err := jetstore.Open(ctx, nc)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)
	fmt.Println(store.HealthCheck(ctx))
	// Output: <nil>
}

// Replication without its hardware.
func ExampleStartCluster() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	cluster, err := embedded.StartCluster(ctx, dir, 3, embedded.WithMemoryStorage())
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = cluster.Shutdown(ctx) }()
	nc, err := nats.Connect(cluster.ClientURL(), nats.Timeout(30*time.Second))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	fmt.Println(len(cluster.Servers()), jetstore.DefaultReplicas(nc))
	// Output: 3 3
}

// A log for a test, which is gone when the test ends.
func ExampleForTest() {
	TestAgent := func(t *testing.T) {
		store := embedded.ForTest(t, embedded.WithMemoryStorage())
		if _, err := store.Append(t.Context(), "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
			t.Fatal(err)
		}
	}
	_ = TestAgent // go test runs it
}
