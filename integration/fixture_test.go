package integration

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

const tenant = enact.TenantID("acme")

// patience bounds what should take a moment on servers that serve.
const patience = 30 * time.Second

// connect returns a connection that buffers nothing while it is down and comes back
// soon after its server does.
func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append(soon(), opts...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func soon() []nats.Option {
	return []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
		// Lost connections are what the tests are about: nothing to print.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
}

// ensure makes the log's streams at url.
func ensure(t *testing.T, url string, opts ...jetstore.Option) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, opts...))
}

// open opens the log at url. The store is shut down when the test ends.
func open(t *testing.T, url string, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	s, err := jetstore.Connect(t.Context(), url, append([]jetstore.Option{jetstore.WithNATS(soon()...)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	return s
}

// shutDown ends a store before its test does.
func shutDown(t *testing.T, s *jetstore.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
}

// within returns a context that ends after d, or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
