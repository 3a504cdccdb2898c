package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore/backup"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A log's stream is written to a directory, lost, and made again.
func ExampleTakeDir() {
	ctx := context.Background()
	tmp, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	store, err := embedded.Open(ctx, filepath.Join(tmp, "data"))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	nc, dir, request := store.Conn(), filepath.Join(tmp, "backup"), requester(store.Conn())

	begun := func(snap backup.Snapshot) { fmt.Println("messages:", snap.State.Msgs) }
	if _, err := backup.TakeDir(ctx, nc, request, "ENACT", dir, begun, nil); err != nil {
		log.Fatal(err)
	}
	if err := request(ctx, "STREAM.DELETE.ENACT", nil, new(struct{})); err != nil {
		log.Fatal(err)
	}

	snap, err := backup.OpenDir(dir)
	if err != nil {
		log.Fatal(err)
	}
	if err := snap.Verify(ctx, nil); err != nil {
		log.Fatal(err)
	}
	in, err := snap.Open()
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	state, err := backup.Restore(ctx, nc, request, "ENACT", snap.Snapshot, in, nil)
	fmt.Println("restored:", state.Msgs, err)
	// Output:
	// messages: 1
	// restored: 1 <nil>
}

// A snapshot goes to any writer. What was lost on its way is an error, never a shorter
// snapshot.
func ExampleTake() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	store, err := embedded.Open(ctx, dir)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)

	var out bytes.Buffer
	snap, err := backup.Take(ctx, store.Conn(), requester(store.Conn()), "ENACT", &out, nil, nil)
	fmt.Println(snap.State.Msgs, out.Len() > 0, err)
	// Output: 0 true <nil>
}
