package consumer_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// otherConsumer makes a consumer that is not of this package.
func otherConsumer(t *testing.T, s *jetstore.Store, name string) {
	t.Helper()
	_, err := natstest.JetStream(t, s.Conn()).CreateConsumer(t.Context(), s.StreamName(), jetstream.ConsumerConfig{Durable: name, AckPolicy: jetstream.AckExplicitPolicy})
	require.NoError(t, err)
}

func TestList(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	infos, err := consumer.List(t.Context(), s)
	require.NoError(t, err)
	require.Empty(t, infos)

	fill(t, s, "acme", 2)
	otherConsumer(t, s, "a-theirs")
	_, err = consumer.OpenGroup(t.Context(), s, "b-group", consumer.Ordered, consumer.Filter{Tenants: []enact.TenantID{"acme"}}, consumer.WithLabel("billing"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	live := make(chan struct{})
	lasting := consumer.WithHeartbeat(time.Minute) // a consumer is not replaced because the machine stands still
	go func() {
		done <- consumer.Follow(ctx, s, consumer.Filter{}, new(seen).handle, consumer.WithLabel("dashboard"), lasting, consumer.OnLive(func(consumer.Token) { close(live) }))
	}()
	<-live
	for range consumer.Tail(t.Context(), s.Execution("acme", "acme run 0"), 0, consumer.WithLabel("console")) {
		break
	}
	tailed := make(chan struct{})
	go func() {
		defer close(tailed)
		for range consumer.Tail(ctx, s.Execution("acme", "acme run 1"), 0, consumer.WithLabel("console"), lasting) {
		}
	}()
	eventually(t, "all are there", func() bool {
		infos, err = consumer.List(t.Context(), s)
		require.NoError(t, err)
		return len(infos) == 4
	})
	require.Equal(t, []consumer.Kind{consumer.KindOther, consumer.KindGroup, consumer.KindFollow, consumer.KindTail},
		[]consumer.Kind{infos[0].Kind, infos[1].Kind, infos[2].Kind, infos[3].Kind})
	require.Equal(t, []string{"", "billing", "dashboard", "console"}, []string{infos[0].Label, infos[1].Label, infos[2].Label, infos[3].Label})
	require.Equal(t, []string{"enact.acme.*"}, infos[1].Subjects)
	require.Equal(t, "ordered", infos[1].Mode)
	require.Empty(t, infos[1].Client)
	require.Positive(t, infos[1].Pending)
	require.Empty(t, infos[2].Subjects)
	require.Contains(t, infos[2].Client, filepath.Base(os.Args[0])+"[")
	require.Equal(t, []string{s.Subjects().Execution("acme", "acme run 1")}, infos[3].Subjects)
	for _, info := range infos {
		require.WithinDuration(t, time.Now(), info.Created, time.Minute)
		got, err := consumer.Get(t.Context(), s, info.Name)
		require.NoError(t, err)
		require.Equal(t, info.Name, got.Name)
		require.Equal(t, info.Kind, got.Kind)
	}

	require.ErrorIs(t, consumer.Pause(t.Context(), s, infos[2].Name, time.Now().Add(time.Hour)), consumer.ErrNotGroup)
	require.ErrorIs(t, consumer.Resume(t.Context(), s, "a-theirs"), consumer.ErrNotGroup)
	_, err = consumer.Get(t.Context(), s, "nobody")
	require.ErrorIs(t, err, consumer.ErrNotFound)
	require.ErrorIs(t, consumer.Remove(t.Context(), s, "nobody"), consumer.ErrNotFound)
	for _, name := range []string{"", "a.b", "*", ">", "a b"} {
		_, err = consumer.Get(t.Context(), s, name)
		require.ErrorIs(t, err, enact.ErrInvalidOption, name)
	}
	require.NoError(t, consumer.Remove(t.Context(), s, "b-group"))
	require.NoError(t, consumer.Remove(t.Context(), s, "a-theirs"))
	cancel()
	require.NoError(t, <-done)
	<-tailed
	nothingLeft(t, s)
}

// More consumers than one answer lists.
func TestListPages(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	const n = 300
	for i := range n {
		otherConsumer(t, s, fmt.Sprintf("c%03d", i))
	}
	infos, err := consumer.List(t.Context(), s)
	require.NoError(t, err)
	require.Len(t, infos, n)
	for i, info := range infos {
		require.Equal(t, fmt.Sprintf("c%03d", i), info.Name)
	}
}

func TestClosedStore(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	g, err := consumer.OpenGroup(t.Context(), s, "g", consumer.Parallel, consumer.Filter{})
	require.NoError(t, err)
	ends := make(chan error, 3)
	began := make(chan struct{}, 3)
	go func() {
		ends <- consumer.Follow(context.Background(), s, consumer.Filter{}, new(seen).handle, consumer.OnLive(func(consumer.Token) { began <- struct{}{} }))
	}()
	go func() {
		for _, err := range consumer.Tail(context.Background(), s.Execution("acme", "x"), 0, consumer.OnCaughtUp(func(uint64) { began <- struct{}{} })) {
			ends <- err
		}
	}()
	go func() { ends <- g.Run(context.Background(), new(seen).handle) }()
	<-began
	<-began
	eventually(t, "the member asks", func() bool {
		info, err := g.Info(t.Context())
		require.NoError(t, err)
		return info.Waiting > 0
	})
	require.NoError(t, s.Shutdown(t.Context()))
	for range 3 {
		require.ErrorIs(t, <-ends, enact.ErrClosed)
	}
	require.ErrorIs(t, consumer.Follow(t.Context(), s, consumer.Filter{}, new(seen).handle), enact.ErrClosed)
	require.ErrorIs(t, g.Run(t.Context(), new(seen).handle), enact.ErrClosed)
	_, err = consumer.List(t.Context(), s)
	require.ErrorIs(t, err, enact.ErrClosed)
	_, err = consumer.End(t.Context(), s)
	require.ErrorIs(t, err, enact.ErrClosed)
}

// Where each tenant has a stream, a subscriber follows one tenant's log.
func TestStreamPerTenant(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithStreamPerTenant()))
	require.NoError(t, s.EnsureTenant(t.Context(), "acme"))
	run := s.Execution("acme", enact.NewExecutionID())
	_, err := run.AppendBatch(t.Context(), []enact.Event{note(1), enact.ExecutionCompleted{}})
	require.NoError(t, err)

	require.ErrorIs(t, consumer.Follow(t.Context(), s, consumer.Filter{}, new(seen).handle), enact.ErrTenantRequired)
	g, err := consumer.OpenGroup(t.Context(), s, "g", consumer.Ordered, consumer.Filter{})
	require.ErrorIs(t, err, enact.ErrTenantRequired)
	require.Nil(t, g)
	marks, err := consumer.OpenKVCheckpoint(t.Context(), s, "marks")
	require.ErrorIs(t, err, enact.ErrTenantRequired)
	require.Nil(t, marks)
	_, err = consumer.List(t.Context(), s)
	require.ErrorIs(t, err, enact.ErrTenantRequired)
	_, err = consumer.End(t.Context(), s)
	require.ErrorIs(t, err, enact.ErrTenantRequired)

	tailed := 0
	for _, err := range consumer.Tail(t.Context(), run, 0, consumer.UntilEnd()) {
		require.NoError(t, err)
		tailed++
	}
	require.Equal(t, 2, tailed)
	acme, err := s.Tenant(t.Context(), "acme")
	require.NoError(t, err)
	followed := 0
	require.NoError(t, consumer.Follow(t.Context(), acme, consumer.Filter{}, func(context.Context, enact.StoredEvent) error {
		followed++
		return nil
	}, consumer.UntilLive(), consumer.Workers(1)))
	require.Equal(t, 2, followed)
}
