package main

import (
	"context"
	"regexp"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// openGroup makes a group on the server that is the variable SERVER, or, of mode "other",
// a consumer that is none: group NAME MODE
func openGroup(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: group name mode")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	store, err := jetstore.Connect(ctx, ts.Getenv("SERVER"))
	ts.Check(err)
	defer func() { ts.Check(store.Shutdown(ctx)) }()
	if args[1] == "other" {
		js, err := jetstream.New(store.Conn())
		ts.Check(err)
		_, err = js.CreateConsumer(ctx, store.StreamName(), jetstream.ConsumerConfig{Durable: args[0], AckPolicy: jetstream.AckExplicitPolicy})
		ts.Check(err)
		return
	}
	_, err = consumer.OpenGroup(ctx, store, args[0], consumer.Mode(args[1]), consumer.Filter{}, consumer.WithLabel("made by a script"))
	ts.Check(err)
}

var tokenText = regexp.MustCompile(`to go on from here: --after (\S+)\n`)

// takeToken makes the variable TOKEN of what the last command's stderr says.
func takeToken(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: token")
	}
	m := tokenText.FindStringSubmatch(ts.ReadFile("stderr"))
	if m == nil {
		ts.Fatalf("no token on stderr")
	}
	ts.Setenv("TOKEN", m[1])
}

// A group that somebody runs is not removed by mistake.
func TestRemoveGroupInUse(t *testing.T) {
	srv := listen(t, t.TempDir(), true)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	store, err := jetstore.Connect(t.Context(), srv.ClientURL())
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Shutdown(context.Background())) }()
	g, err := consumer.OpenGroup(t.Context(), store, "billing", consumer.Ordered, consumer.Filter{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done, called := make(chan error, 1), make(chan struct{}, 1)
	go func() {
		done <- g.Run(ctx, func(context.Context, enact.StoredEvent) error { called <- struct{}{}; return nil })
	}()
	_, err = store.Append(t.Context(), "run", "acme", enact.ExecutionStarted{})
	require.NoError(t, err)
	<-called // it asks for more

	code, stdout, stderr := admin(t, "", "consumer", "rm", "--server", srv.ClientURL(), "billing")
	require.Equal(t, exitError, code)
	require.Empty(t, stdout)
	require.Equal(t, "jetstore-admin: group \"billing\" is in use, and would be made again: end who uses it first, or give --force\n", stderr)
	cancel()
	require.NoError(t, <-done)
	code, _, stderr = admin(t, "", "consumer", "rm", "--server", srv.ClientURL(), "billing", "--force")
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, `removed group "billing", which had acknowledged everything up to position `)
	infos, err := consumer.List(t.Context(), store)
	require.NoError(t, err)
	require.Empty(t, infos)
}

// Where each tenant has a stream, --tenant says which.
func TestLogOf(t *testing.T) {
	shared := embedded.ForTest(t, embedded.WithMemoryStorage())
	log, err := logOf(t.Context(), shared, &tenantFlag{id: "acme"})
	require.NoError(t, err)
	require.Same(t, shared, log)

	each := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithStreamPerTenant()))
	require.NoError(t, each.EnsureTenant(t.Context(), "acme"))
	_, err = logOf(t.Context(), each, &tenantFlag{})
	require.True(t, isUsage(err), "%v", err)
	_, err = logOf(t.Context(), each, &tenantFlag{id: "nobody"})
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	log, err = logOf(t.Context(), each, &tenantFlag{id: "acme"})
	require.NoError(t, err)
	require.Equal(t, jetstore.DefaultStream+"-acme", log.StreamName())
	_, err = consumer.OpenGroup(t.Context(), log, "billing", consumer.Parallel, consumer.Filter{})
	require.NoError(t, err)
	infos, err := consumer.List(t.Context(), log)
	require.NoError(t, err)
	require.Len(t, infos, 1)
}
