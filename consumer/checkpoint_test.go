package consumer_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// ledger is a checkpoint whose memory is stored together with the effects: one thing
// holds both, so that what it says is true whenever a handler stops.
type ledger struct {
	seen
	marks map[string]uint64
}

func key(ev enact.StoredEvent) string { return string(ev.TenantID) + "/" + string(ev.ExecutionID) }

func (l *ledger) Done(_ context.Context, ev enact.StoredEvent) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ev.Sequence <= l.marks[key(ev)], nil
}

func (l *ledger) Save(context.Context, enact.StoredEvent) error { return nil }

func (l *ledger) apply(ctx context.Context, ev enact.StoredEvent) error {
	if err := l.handle(ctx, ev); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks[key(ev)] = ev.Sequence
	return nil
}

// A subscriber that fails again and again, and begins anew without a position, has every
// effect once and in order: after the effect is stored, or before, makes no difference.
func TestCheckpointMakesEffectsExactlyOnce(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 9)
	total := 0
	for _, events := range all {
		total += len(events)
	}
	crash := errors.New("crash")
	books := &ledger{marks: make(map[string]uint64)}
	rounds := 0
	for ; rounds <= 2*total; rounds++ {
		calls := 0
		err := consumer.Follow(t.Context(), s, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
			if calls++; calls == 5 && rounds%2 == 0 {
				return crash
			}
			if err := books.apply(ctx, ev); err != nil {
				return err
			}
			if calls == 5 {
				return crash // the effect is stored, and nobody hears of it
			}
			return nil
		}, consumer.WithCheckpoint(books), consumer.Workers(1), consumer.UntilLive())
		if err == nil {
			break
		}
		require.ErrorIs(t, err, crash)
	}
	require.Greater(t, rounds, 5, "it crashed now and then")
	require.Equal(t, all, books.by)
}

func openCheckpoint(t *testing.T, s *jetstore.Store, bucket string) *consumer.KVCheckpoint {
	t.Helper()
	c, err := consumer.OpenKVCheckpoint(t.Context(), s, bucket)
	require.NoError(t, err)
	return c
}

// An ordered group with a bucket hands each event over once, in order, although the
// group begins anew, and so does a Follow that begins at the beginning.
func TestKVCheckpointRemembers(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 5)
	_, err := consumer.OpenKVCheckpoint(t.Context(), s, "marks")
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"), "again")

	var got seen
	down := errors.New("down")
	g := openGroup(t, s, consumer.Ordered, consumer.WithCheckpoint(openCheckpoint(t, s, "marks")))
	calls := 0
	err = g.Run(t.Context(), func(ctx context.Context, ev enact.StoredEvent) error {
		if calls++; calls > 12 {
			return consumer.Stop(down)
		}
		return got.handle(ctx, ev)
	})
	require.ErrorIs(t, err, down)
	require.NoError(t, g.Remove(t.Context()))
	require.Equal(t, 12, got.count())

	// Another process, another group: it begins with the first event, and calls for none
	// that was handled.
	g = openGroup(t, s, consumer.Ordered, consumer.WithCheckpoint(openCheckpoint(t, s, "marks")))
	stop := member(t, g, got.handle)
	idle(t, g)
	require.NoError(t, stop())
	require.Equal(t, all, got.by)

	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle,
		consumer.WithCheckpoint(openCheckpoint(t, s, "marks")), consumer.UntilLive()))
	require.Equal(t, all, got.by, "nothing came again")
}

// Of two handlers with one bucket that handle the same event the second is told.
func TestKVCheckpointConflict(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 1)["acme/acme run 0"]
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	one, other := openCheckpoint(t, s, "marks"), openCheckpoint(t, s, "marks")
	for _, c := range []*consumer.KVCheckpoint{one, other} {
		done, err := c.Done(t.Context(), all[0])
		require.NoError(t, err)
		require.False(t, done)
	}
	require.NoError(t, one.Save(t.Context(), all[0]))
	require.NoError(t, one.Save(t.Context(), all[0]), "again")
	err := other.Save(t.Context(), all[0])
	require.ErrorIs(t, err, consumer.ErrCheckpointConflict)
	require.ErrorContains(t, err, `event 1 of execution "acme run 0" of tenant "acme"`)

	// What it found is looked at anew.
	done, err := other.Done(t.Context(), all[0])
	require.NoError(t, err)
	require.True(t, done)
	require.NoError(t, other.Save(t.Context(), all[1]))
	require.ErrorIs(t, one.Save(t.Context(), all[1]), consumer.ErrCheckpointConflict)

	// In a subscriber a conflict is a failed attempt.
	err = consumer.Follow(t.Context(), s, consumer.Filter{}, func(ctx context.Context, ev enact.StoredEvent) error {
		return openCheckpoint(t, s, "marks").Save(ctx, ev) // another process, meanwhile
	}, consumer.WithCheckpoint(other), consumer.UntilLive())
	require.ErrorIs(t, err, consumer.ErrCheckpointConflict)
	require.ErrorIs(t, err, consumer.ErrHandler)
}

// Errors of a checkpoint, before and after the handler, are failed attempts.
func TestCheckpointErrors(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	away := errors.New("the database is away")
	for name, c := range map[string]*brokenCheckpoint{"done": {done: away}, "save": {save: away}} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			err := consumer.Follow(t.Context(), s, consumer.Filter{}, func(context.Context, enact.StoredEvent) error {
				calls.Add(1)
				return nil
			}, consumer.WithCheckpoint(c), consumer.UntilLive())
			require.ErrorIs(t, err, away)
			failed, ok := errors.AsType[*consumer.HandlerError](err)
			require.True(t, ok)
			require.Equal(t, uint64(1), failed.Event.Sequence)
			require.Equal(t, name == "save", calls.Load() == 1)
		})
	}
}

type brokenCheckpoint struct{ done, save error }

func (c *brokenCheckpoint) Done(context.Context, enact.StoredEvent) (bool, error) {
	return false, c.done
}
func (c *brokenCheckpoint) Save(context.Context, enact.StoredEvent) error { return c.save }

func TestKVCheckpointRefusesBadInput(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	for _, bucket := range []string{"", "a.b", "a b", "*", "ä", strings.Repeat("x", 201)} {
		require.ErrorIs(t, consumer.EnsureKVCheckpoint(t.Context(), s, bucket), enact.ErrInvalidOption, bucket)
		_, err := consumer.OpenKVCheckpoint(t.Context(), s, bucket)
		require.ErrorIs(t, err, enact.ErrInvalidOption, bucket)
	}
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	c := openCheckpoint(t, s, "marks")
	_, err := consumer.OpenGroup(t.Context(), s, "g", consumer.Parallel, consumer.Filter{}, consumer.WithCheckpoint(c))
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	require.ErrorContains(t, err, "events in order")

	// Something else at the key of an execution, whose id needs escaping.
	ev := enact.StoredEvent{TenantID: "a.b", ExecutionID: "c d", Sequence: 1}
	js := natstest.JetStream(t, s.Conn())
	kv, err := js.KeyValue(t.Context(), "marks")
	require.NoError(t, err)
	_, err = kv.PutString(t.Context(), "a=2Eb.c=20d", "something else")
	require.NoError(t, err)
	_, err = c.Done(t.Context(), ev)
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	require.ErrorContains(t, err, "something else")
}

// A member of an ordered group that becomes the active one again knows what another one has
// stored in between: nothing that is done has an effect again, and nothing that is not counts
// as another handler's.
func TestKVCheckpointAfterAnotherMember(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	all := fill(t, s, "acme", 1)["acme/acme run 0"]
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	members := []*consumer.KVCheckpoint{openCheckpoint(t, s, "marks"), openCheckpoint(t, s, "marks")}
	for i, ev := range all {
		active := members[i%2]
		done, err := active.Done(t.Context(), ev)
		require.NoError(t, err)
		require.False(t, done)
		require.NoError(t, active.Save(t.Context(), ev), "event %d", ev.Sequence)
		// It is lost before it acknowledges the event, which the other one is sent again.
		done, err = members[1-i%2].Done(t.Context(), ev)
		require.NoError(t, err)
		require.True(t, done, "event %d", ev.Sequence)
	}
}

// A mark is saved for an event that was handled while the subscriber ended, whether its
// context ends or the store is shut down.
func TestCheckpointIsSavedAtTheEnd(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	run := s.Execution("acme", "run")
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	for name, end := range map[string]func(cancel func(), store *jetstore.Store){
		"context": func(cancel func(), _ *jetstore.Store) { cancel() },
		"store": func(_ func(), store *jetstore.Store) {
			att, err := store.Attach()
			if err != nil {
				t.Error(err)
				return
			}
			closing := att.Closing()
			att.Close()
			go func() { _ = store.Shutdown(context.Background()) }()
			<-closing
		},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := consumer.End(t.Context(), s)
			require.NoError(t, err)
			receipt, err := run.Append(t.Context(), note(1))
			require.NoError(t, err)
			store, err := jetstore.Open(t.Context(), s.Conn(), jetstore.WithMemoryStorage())
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Shutdown(context.Background())) }()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err = consumer.Follow(ctx, store, consumer.Filter{}, func(context.Context, enact.StoredEvent) error {
				end(cancel, store)
				return nil
			}, consumer.FromToken(token), consumer.WithCheckpoint(openCheckpoint(t, store, "marks")))
			if name == "store" {
				require.ErrorIs(t, err, enact.ErrClosed)
			} else {
				require.NoError(t, err)
			}
			done, err := openCheckpoint(t, s, "marks").Done(t.Context(), enact.StoredEvent{TenantID: "acme", ExecutionID: "run", Sequence: receipt.Last})
			require.NoError(t, err)
			require.True(t, done)
		})
	}
}

// relay passes bytes between a client and a server, but for the first message to the client
// that holds a text.
func relay(t *testing.T, server, text string) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var ended sync.WaitGroup
	var lost atomic.Bool
	t.Cleanup(func() {
		_ = listener.Close()
		ended.Wait()
	})
	ended.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", strings.TrimPrefix(server, "nats://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			ended.Go(func() {
				_, _ = io.Copy(to, client)
				_ = to.Close()
			})
			ended.Go(func() {
				defer func() { _ = client.Close() }()
				for lines := bufio.NewReader(to); ; {
					head, err := lines.ReadString('\n')
					if err != nil {
						return
					}
					var body []byte
					if strings.HasPrefix(head, "MSG ") || strings.HasPrefix(head, "HMSG ") {
						fields := strings.Fields(head)
						n, _ := strconv.Atoi(fields[len(fields)-1])
						body = make([]byte, n+2)
						if _, err := io.ReadFull(lines, body); err != nil {
							return
						}
					}
					if bytes.Contains(body, []byte(text)) && !lost.Swap(true) {
						continue
					}
					if _, err := client.Write(append([]byte(head), body...)); err != nil {
						return
					}
				}
			})
		}
	})
	return "nats://" + listener.Addr().String()
}

// A mark whose acknowledgement is lost is stored once, and is nobody else's.
func TestKVCheckpointLosesAnAnswer(t *testing.T) {
	t.Parallel() // it waits for the answer
	srv := natstest.Start(t, natstest.Options{})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	nc.Close()
	s, err := jetstore.Connect(t.Context(), relay(t, srv.URL(), `"stream":"KV_marks"`), jetstore.WithNATS(nats.IgnoreDiscoveredServers(), nats.Timeout(patience)))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Shutdown(context.Background())) }()
	all := fill(t, s, "acme", 1)
	require.NoError(t, consumer.EnsureKVCheckpoint(t.Context(), s, "marks"))
	var got seen
	require.NoError(t, consumer.Follow(t.Context(), s, consumer.Filter{}, got.handle, consumer.WithCheckpoint(openCheckpoint(t, s, "marks")), consumer.UntilLive()))
	require.Equal(t, all, got.by)
}
