package jetstore_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// openExample opens a log in a directory that end removes.
func openExample(opts ...jetstore.Option) (store *jetstore.Store, end func()) {
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	store, err = embedded.Open(context.Background(), dir, embedded.WithStore(opts...))
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = store.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// A dashboard's page: what failed, newest first, and where the next page begins.
func ExampleStore_Executions() {
	ctx := context.Background()
	store, end := openExample()
	defer end()
	at := time.Date(2026, 2, 23, 12, 0, 0, 0, time.UTC)
	for i, last := range []enact.Event{
		enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "no answer")},
		enact.ExecutionCompleted{},
		enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryToolError, "no such file")},
		enact.StepStarted{StepID: "step_1", StepType: enact.LLMNode, Name: "think"},
	} {
		run := store.Execution("acme", enact.ExecutionID(fmt.Sprint("exec_", i+1)))
		if _, err := run.AppendBatch(ctx, []enact.Event{enact.ExecutionStarted{}, last}, enact.WithTimestamp(at.AddDate(0, 0, i))); err != nil {
			log.Fatal(err)
		}
	}

	query := enact.Query{Tenant: "acme", Status: []enact.Status{enact.StatusFailed}, Limit: 1}
	for {
		page, next, err := store.Executions(ctx, query)
		if err != nil {
			log.Fatal(err)
		}
		for _, x := range page {
			fmt.Println(x.ExecutionID, x.Status, x.Events, x.LastEvent, x.Updated.Format(time.DateOnly))
		}
		if next == "" {
			break
		}
		query.Cursor = next
	}
	// Output:
	// exec_3 failed 2 execution_failed 2026-02-25
	// exec_1 failed 2 execution_failed 2026-02-23
}

// A stream for each tenant: one API, and streams that permissions can keep apart.
func ExampleWithStreamPerTenant() {
	ctx := context.Background()
	store, end := openExample(jetstore.WithStreamPerTenant())
	defer end()
	if err := store.EnsureTenant(ctx, "acme"); err != nil {
		log.Fatal(err)
	}
	run := store.Execution("acme", "exec_1")
	if _, err := run.Append(ctx, enact.ExecutionStarted{}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(run.StreamName())
	_, err := store.CountEvents(ctx, "exec_1")
	fmt.Println(err)
	n, err := store.CountEvents(ctx, "exec_1", enact.InTenant("acme"))
	fmt.Println(n, err)
	// Output:
	// ENACT-acme
	// enact: the call must name a tenant
	// 1 <nil>
}

// What the readers of a tenant need on its streams, for the configuration of the server.
func ExamplePermissionsFor() {
	p, err := jetstore.PermissionsFor(jetstore.RoleReader, "acme", jetstore.WithStreamPerTenant())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Publish[0])
	fmt.Println(p.Subscribe, p.InboxPrefix)
	// Output:
	// $JS.API.STREAM.INFO.ENACT-acme
	// [_INBOX_acme.>] _INBOX_acme
}
