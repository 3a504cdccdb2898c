package embedded_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func open(t *testing.T, dir string, opts ...embedded.Option) *jetstore.Store {
	t.Helper()
	s, err := embedded.Open(t.Context(), dir, opts...)
	require.NoError(t, err)
	return s
}

func shutDown(t *testing.T, s *jetstore.Store) {
	t.Helper()
	require.NoError(t, s.Shutdown(context.Background()))
}

// What was acknowledged is there after a restart, number, time, metadata and chain,
// and the history goes on from it.
func TestARestartChangesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	run := s.Execution("acme", "run-1")
	_, err := run.Append(t.Context(), enact.ExecutionStarted{Metadata: enact.JSON(map[string]int{"n": 1})},
		enact.WithMetadata(map[string]string{"correlation": "c 1\n"}))
	require.NoError(t, err)
	for i := range 20 {
		_, err := run.AppendBatch(t.Context(), []enact.Event{
			enact.StepStarted{StepID: enact.NewStepID(), StepType: enact.LLMNode, Name: fmt.Sprint(i)},
			enact.Custom{EventType: "x", Data: enact.JSON(i)},
		}, enact.WithIdempotencyKey(fmt.Sprint("key ", i)))
		require.NoError(t, err)
	}
	before, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	head, err := run.Head(t.Context())
	require.NoError(t, err)
	shutDown(t, s)

	s = open(t, dir)
	defer shutDown(t, s)
	run = s.Execution("acme", "run-1")
	after, err := run.LoadEvents(t.Context())
	require.NoError(t, err)
	require.Equal(t, before, after)
	again, err := run.Head(t.Context())
	require.NoError(t, err)
	require.Equal(t, head, again)
	receipt, err := run.AppendBatch(t.Context(), []enact.Event{before[39].Event, before[40].Event}, enact.WithIdempotencyKey("key 19"))
	require.NoError(t, err)
	require.Equal(t, enact.Receipt{First: 40, Last: 41, Position: head.Position, Chain: head.Chain, Duplicate: true}, receipt, "the key is in the log")
	receipt, err = run.Append(t.Context(), enact.ExecutionCompleted{}, enact.ExpectSequence(41))
	require.NoError(t, err)
	require.Equal(t, uint64(42), receipt.First)
	list, err := s.ListExecutions(t.Context(), "acme", 10, 0)
	require.NoError(t, err)
	require.Equal(t, []enact.ExecutionID{"run-1"}, list)
}

func TestOneProcessAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := embedded.Open(t.Context(), dir)
	require.ErrorIs(t, err, embedded.ErrDirectoryInUse)
	require.ErrorContains(t, err, dir)
	_, err = s.Append(t.Context(), "e", "t", enact.ExecutionStarted{})
	require.NoError(t, err, "the one who has it is not disturbed")
	shutDown(t, s)
	shutDown(t, open(t, dir))
}

func TestDirectoryThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := embedded.Open(t.Context(), filepath.Join(file, "sub"))
	require.Error(t, err)
	require.ErrorContains(t, err, "file")
}

// A start that fails says why and frees the directory.
func TestAStartThatFailsSaysWhy(t *testing.T) {
	dir := t.TempDir()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	defer func() { require.NoError(t, srv.Shutdown(context.Background())) }()
	var taken int
	_, err = fmt.Sscanf(srv.ClientURL()[strings.LastIndex(srv.ClientURL(), ":"):], ":%d", &taken)
	require.NoError(t, err)
	_, err = embedded.Start(t.Context(), dir, embedded.WithPort(taken))
	require.ErrorIs(t, err, embedded.ErrStart)
	require.ErrorContains(t, err, "address already in use")
	shutDown(t, open(t, dir))
}

func TestNoPortUnlessAsked(t *testing.T) {
	srv, err := embedded.Start(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Empty(t, srv.ClientURL())
	nc, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	nc.Close()
	require.NoError(t, srv.Shutdown(t.Context()))
	require.NoError(t, srv.Shutdown(t.Context()), "again")

	srv, err = embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	require.Contains(t, srv.ClientURL(), "127.0.0.1")
	nc, err = nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	require.NoError(t, err)
	nc.Close()
	require.NoError(t, srv.Shutdown(t.Context()))
}

func TestNeedsNoNetwork(t *testing.T) {
	s := embedded.ForTest(t)
	require.False(t, s.RequiresNetwork())
	require.True(t, s.SupportsAirGapped())
	require.NoError(t, s.HealthCheck(t.Context()))
}

func TestMemoryStorageLeavesNoMessages(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "e", "t", enact.ExecutionStarted{})
	require.NoError(t, err)
	shutDown(t, s)
	s = open(t, dir, embedded.WithMemoryStorage())
	defer shutDown(t, s)
	exists, err := s.ExecutionExists(t.Context(), "e")
	require.NoError(t, err)
	require.False(t, exists)
}

// The store's shutdown stops the server, also where its options speak of another one.
func TestOptionsDoNotKeepTheServer(t *testing.T) {
	dir := t.TempDir()
	shutDown(t, open(t, dir, embedded.WithStore(jetstore.WithLocalServer(nil))))
	shutDown(t, open(t, dir))
}

func TestOptionsAreChecked(t *testing.T) {
	for name, opt := range map[string]embedded.Option{
		"port":          embedded.WithPort(70000),
		"sync interval": embedded.WithSyncInterval(-1),
	} {
		_, err := embedded.Open(t.Context(), t.TempDir(), opt)
		require.ErrorIs(t, err, enact.ErrInvalidOption, name)
	}
	_, err := embedded.Open(t.Context(), t.TempDir(), embedded.WithStore(jetstore.WithStream("a.b")))
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	s := open(t, t.TempDir(), embedded.WithSyncInterval(time.Minute))
	shutDown(t, s)
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := t.TempDir()
	_, err := embedded.Open(ctx, dir)
	require.ErrorIs(t, err, context.Canceled)
	shutDown(t, open(t, dir))
}
