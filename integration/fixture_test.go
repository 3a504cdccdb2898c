package integration

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

const tenant = enact.TenantID("acme")

// patience bounds what should take a moment on servers that serve. Nothing waits for it
// unless something is wrong.
const patience = 2 * time.Minute

// connect returns a connection that buffers nothing while it is down and comes back
// soon after its server does.
func connect(t *testing.T, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc := patiently(t, func() (*nats.Conn, error) { return nats.Connect(url, append(soon(), opts...)...) })
	t.Cleanup(nc.Close)
	return nc
}

// patiently connects, again where the server takes its time: nats.go gives it 2 s, which is
// what leads a connection away from a server that hangs.
func patiently[T any](t *testing.T, connect func() (T, error)) T {
	t.Helper()
	for began := time.Now(); ; {
		connected, err := connect()
		slow, ok := errors.AsType[net.Error](err)
		if again := errors.Is(err, nats.ErrTimeout) || ok && slow.Timeout(); again && time.Since(began) < patience {
			continue
		}
		require.NoError(t, err)
		return connected
	}
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
	nc := patiently(t, func() (*nats.Conn, error) { return nats.Connect(url) })
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, opts...))
}

// open opens the log at url. The store is shut down when the test ends.
func open(t *testing.T, url string, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	s := patiently(t, func() (*jetstore.Store, error) {
		return jetstore.Connect(t.Context(), url, append([]jetstore.Option{jetstore.WithNATS(soon()...)}, opts...)...)
	})
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
