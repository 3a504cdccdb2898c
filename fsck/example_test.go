package fsck_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log"
	"os"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/fsck"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// openExample opens a log that end removes.
func openExample() (store *jetstore.Store, end func()) {
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	if store, err = embedded.Open(context.Background(), dir, embedded.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = store.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// Whatever is not what was appended is found, with its place.
func ExampleCheck() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	// Something that is no record, on the execution's subject.
	if _, err := store.Conn().Request(store.Subjects().Execution("acme", "exec_1"), []byte("?"), jetstore.DefaultTimeout); err != nil {
		log.Fatal(err)
	}

	report, err := fsck.Check(ctx, store, fsck.Options{Tenant: "acme"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Clean(), report.Records, "record of", report.Messages, "messages")
	for _, f := range report.Findings {
		fmt.Println(f.Severity, f.Kind, f.ExecutionID, f.Position-report.Streams[0].First)
	}
	fmt.Println(fsck.CrashedCreation.Severity())
	// Output:
	// false 1 record of 2 messages
	// fault foreign_message exec_1 1
	// notice
}

// Heads that are kept elsewhere show later whether the end of a history was changed or
// is missing.
func ExampleNewHeadWriter() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	if _, err := store.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	head, err := store.Head(ctx, "exec_1")
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer // on another machine
	if err := fsck.NewHeadWriter(&file).Write(head); err != nil {
		log.Fatal(err)
	}

	heads := func() iter.Seq2[enact.Head, error] { return fsck.ReadHeads(bytes.NewReader(file.Bytes())) }
	report, err := fsck.Check(ctx, store, fsck.Options{Heads: heads})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Clean(), report.Heads, "head")

	// The history that was kept was another one.
	head.Chain[0]++
	file.Reset()
	if err := fsck.NewHeadWriter(&file).Write(head); err != nil {
		log.Fatal(err)
	}
	report, err = fsck.Check(ctx, store, fsck.Options{Heads: heads})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Clean(), report.Findings[0].Kind)
	// Output:
	// true 1 head
	// false rewritten_end
}

// An index that was lost, and made anew, is filled from the log.
func ExampleRepair() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	for _, id := range []enact.ExecutionID{"exec_1", "exec_2"} {
		if _, err := store.Append(ctx, id, "acme", enact.ExecutionStarted{}); err != nil {
			log.Fatal(err)
		}
	}
	_, err := store.Conn().Request("$JS.API.STREAM.DELETE."+store.IndexName(), nil, jetstore.DefaultTimeout)
	if err != nil {
		log.Fatal(err)
	}
	if err := jetstore.EnsureStream(ctx, store.Conn(), jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}

	added, err := fsck.Repair(ctx, store, "", nil)
	fmt.Println(added, err)
	ids, err := store.ListExecutions(ctx, "acme", 10, 0)
	fmt.Println(ids, err)
	// Output:
	// 2 <nil>
	// [exec_2 exec_1] <nil>
}
