// The program multitenant keeps two tenants apart: a stream for each, so that permissions
// can confine reads as well as writes, and a key for each, so that what one of them wrote
// can be made unreadable for good.
//
//	go run ./examples/multitenant
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "multitenant:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "enact-multitenant-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()

	// Keys live apart from the log; codec.CreateFileKeyRing keeps them in a file.
	keys := codec.NewMemoryKeyRing()
	sealed, err := codec.NewAES256GCM(nil, keys)
	if err != nil {
		return err
	}
	store, err := embedded.Open(ctx, dir, embedded.WithStore(jetstore.WithStreamPerTenant(), jetstore.WithCodec(sealed)))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Shutdown(context.WithoutCancel(ctx))) }()

	// Both use the same execution id, and do not know of each other.
	tenants := []enact.TenantID{"acme", "globex"}
	for _, tenant := range tenants {
		if err := store.EnsureTenant(ctx, tenant); err != nil {
			return err
		}
		if _, err := keys.Rotate(ctx, tenant); err != nil {
			return err
		}
		if _, err := store.Execution(tenant, "exec_1").Append(ctx, enact.ExecutionPaused{Reason: "a secret of " + string(tenant)}); err != nil {
			return err
		}
	}
	if err := show(ctx, out, store, tenants); err != nil {
		return err
	}

	// What a program of one tenant may do on the server; docs/guarantees.md says what
	// that confines.
	p, err := jetstore.PermissionsFor(jetstore.RoleReader, "acme", jetstore.WithStreamPerTenant())
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "a reader of acme may ask for", p.Publish[0])

	// globex leaves. Its events are still counted and chained, and nobody can read them.
	if err := keys.DropTenant(ctx, "globex"); err != nil {
		return err
	}
	return show(ctx, out, store, tenants)
}

func show(ctx context.Context, out io.Writer, store *jetstore.Store, tenants []enact.TenantID) error {
	for _, tenant := range tenants {
		run := store.Execution(tenant, "exec_1")
		for ev, err := range run.Events(ctx, 0) {
			if err != nil {
				return err
			}
			switch e := ev.Event.(type) {
			case enact.ExecutionPaused:
				fmt.Fprintf(out, "%s: event %d: %s\n", run.StreamName(), ev.Sequence, e.Reason)
			case enact.Unreadable:
				fmt.Fprintf(out, "%s: event %d: its key is gone\n", run.StreamName(), ev.Sequence)
			}
		}
	}
	return nil
}
