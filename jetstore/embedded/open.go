package embedded

import (
	"context"
	"errors"
	"os"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact/jetstore"
)

// Open starts a server on dir, makes the log's streams where they are missing, and
// opens the log. The store's Shutdown stops the server. Errors are those of [Start]
// and of jetstore.Connect.
func Open(ctx context.Context, dir string, opts ...Option) (*jetstore.Store, error) {
	c, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	srv, err := Start(ctx, dir, opts...)
	if err != nil {
		return nil, err
	}
	store, err := open(ctx, srv, c)
	if err != nil {
		return nil, errors.Join(err, srv.Shutdown(ctx))
	}
	return store, nil
}

func open(ctx context.Context, srv *Server, c *config) (*jetstore.Store, error) {
	nc, err := nats.Connect("", srv.InProcess())
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	if err := jetstore.EnsureStream(ctx, nc, c.store...); err != nil {
		return nil, err
	}
	// Last: whatever the caller's options say, the server is this one and ends with the store.
	storeOpts := append(
		c.store[:len(c.store):len(c.store)],
		jetstore.WithNATS(srv.InProcess()), jetstore.WithLocalServer(srv.Shutdown),
	)
	return jetstore.Connect(ctx, "", storeOpts...)
}

// TB is the part of testing.TB that [ForTest] needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// ForTest opens a log on a server and a directory of the test's own; both are gone
// when the test ends.
func ForTest(t TB, opts ...Option) *jetstore.Store {
	t.Helper()
	dir, err := os.MkdirTemp("", "enact-test-")
	if err != nil {
		t.Fatalf("embedded: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Fatalf("embedded: %v", err)
		}
	})
	store, err := Open(context.Background(), dir, opts...)
	if err != nil {
		t.Fatalf("embedded: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Shutdown(context.Background()); err != nil {
			t.Fatalf("embedded: %v", err)
		}
	})
	return store
}
