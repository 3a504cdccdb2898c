package jetstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// goneWithin bounds how long a consumer or a subscription may outlive its read: it is
// removed, not left to time out.
const goneWithin = 30 * time.Second

// overlap is how many subscriptions more than the reads before a read may leave to the next
// ones: how many of its requests are under way at once depends on the machine. A read that
// leaves one behind each time leaves more.
const overlap = 4

// observedLog is a log on the disk of a server, a process of its own, that tells which
// connections and subscriptions it has.
type observedLog struct {
	*watchedLog
	server *natstest.Server
	dir    string // of the server
	system *nats.Conn
	stream jetstream.Stream
}

// storeName is the name of the store's connection.
const storeName = "observed store"

func newObservedLog(t *testing.T) *observedLog {
	t.Helper()
	dir := t.TempDir()
	server := natstest.Start(t, natstest.Options{Dir: dir, NoSync: true, Extra: `
		accounts {
			APP: { jetstream: enabled, users: [ { user: app, password: app } ] }
			SYS: { users: [ { user: sys, password: sys } ] }
		}
		system_account: SYS
		no_auth_user: app`})
	soon := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectBufSize(-1), nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0)}
	connect := func(opts ...nats.Option) *nats.Conn {
		return natstest.Connect(t, server.URL(), append(soon, opts...)...)
	}
	l := &observedLog{server: server, dir: dir, system: connect(nats.UserInfo("sys", "sys"))}
	raw, nc := connect(), connect(nats.Name(storeName))
	require.NoError(t, jetstore.EnsureStream(t.Context(), raw))
	store, err := jetstore.Open(t.Context(), nc, jetstore.WithTimeout(2*time.Minute)) // also while the server starts again
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, store) })
	l.watchedLog = &watchedLog{nc: nc, store: store, raw: raw}
	l.stream, err = natstest.JetStream(t, raw).Stream(t.Context(), store.StreamName())
	require.NoError(t, err)
	return l
}

// connection is what a server tells of one.
type connection struct {
	Name          string `json:"name"`
	Subscriptions int    `json:"subscriptions"`
}

// subscriptions returns how many subscriptions the server has of the store.
func (l *observedLog) subscriptions(t *testing.T) int {
	t.Helper()
	reply, err := l.system.Request("$SYS.REQ.SERVER.PING.CONNZ", nil, time.Minute)
	require.NoError(t, err)
	var connz struct {
		Data struct {
			Connections []connection `json:"connections"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(reply.Data, &connz))
	all := connz.Data.Connections
	i := slices.IndexFunc(all, func(c connection) bool { return c.Name == storeName })
	require.GreaterOrEqual(t, i, 0, "%s", reply.Data)
	return all[i].Subscriptions
}

// requireNothingLeft checks that the store has about so many subscriptions at most, the server
// the same, and that the stream has no consumers. A store keeps those of requests that
// were answered, for the next ones.
func (l *observedLog) requireNothingLeft(t *testing.T, most int, when string) {
	t.Helper()
	natstest.Eventually(t, goneWithin, func() bool {
		return l.nc.IsConnected() && l.raw.IsConnected() && l.system.IsConnected()
	}, func() string { return when + ": a connection is not made again" })
	subscriptions := l.nc.NumSubscriptions()
	require.LessOrEqual(t, subscriptions, most+overlap, when)
	require.NoError(t, l.nc.FlushTimeout(time.Minute)) // the server has handled what was sent
	var there int
	var consumers []string
	natstest.Eventually(t, goneWithin, func() bool {
		there, consumers = l.subscriptions(t), l.consumers(t)
		return there == subscriptions && len(consumers) == 0
	}, func() string {
		return fmt.Sprintf("%s: %d subscriptions on the server instead of %d, consumers %v", when, there, subscriptions, consumers)
	})
}

// interruption is what happens to a read on its way.
type interruption struct {
	name string
	// happen does it to a read whose context cancel ends. It returns false to break it off.
	happen func(t *testing.T, l *observedLog, cancel func()) (goOn bool)
	fails  error // what a read that goes on ends with; nil: with all its events
	once   bool  // in the middle only, since it takes long
}

func interruptions() []interruption {
	return []interruption{
		{name: "broken off", happen: func(*testing.T, *observedLog, func()) bool { return false }},
		{name: "cancelled", fails: context.Canceled, happen: func(_ *testing.T, _ *observedLog, cancel func()) bool {
			cancel()
			return true
		}},
		{name: "server killed", once: true, happen: func(_ *testing.T, l *observedLog, _ func()) bool {
			l.server.Kill()
			l.server.Start()
			return true
		}},
		{name: "connection lost", happen: func(t *testing.T, l *observedLog, _ func()) bool {
			require.NoError(t, l.nc.ForceReconnect())
			return true
		}},
		{name: "consumers deleted", happen: func(t *testing.T, l *observedLog, _ func()) bool {
			for _, name := range l.consumers(t) {
				// The read may have removed it just now.
				if err := l.stream.DeleteConsumer(t.Context(), name); err != nil {
					require.ErrorIs(t, err, jetstream.ErrConsumerNotFound)
				}
			}
			return true
		}},
	}
}

// A read leaves nothing behind, however it ends and whatever happens to it: no consumer
// and no subscription. What its caller does not end gives all events, as if nothing had
// happened.
func TestReadsLeaveNothing(t *testing.T) {
	l := newObservedLog(t)
	for _, w := range ways() {
		run := l.build(t, t.Context(), w.shape)
		n := w.shape.events()
		for _, is := range interruptions() {
			t.Run(w.name+"/"+is.name, func(t *testing.T) {
				load(t, run, n) // makes the subscriptions that a read needs
				mine := l.nc.NumSubscriptions()
				l.requireNothingLeft(t, mine, "before")
				points := []int{1, n / 2, n - 1}
				if is.once {
					points = points[1:2]
				}
				for _, opts := range [][]enact.ReadOption{nil, {enact.Backwards()}} {
					for _, at := range points {
						l.interrupt(t, run, n, at, is, opts)
						l.requireNothingLeft(t, mine, fmt.Sprint(is.name, " at event ", at))
					}
				}
			})
		}
	}
}

// interrupt iterates over an execution of n events and interrupts that at one of them.
func (l *observedLog) interrupt(t *testing.T, run jetstore.Execution, n, at int, is interruption, opts []enact.ReadOption) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var got []enact.StoredEvent
	var failed error
	for ev, err := range run.Events(ctx, 0, opts...) {
		if failed = err; err != nil {
			break
		}
		got = append(got, ev)
		if len(got) == at && !is.happen(t, l, cancel) {
			return
		}
	}
	require.ErrorIs(t, failed, is.fails, "%d events", len(got))
	if failed != nil {
		return
	}
	sequences, err := numbered(got)
	require.NoError(t, err)
	require.Equal(t, expected(n, 0, 0, opts != nil), sequences)
}

// A load whose context ends at any moment of it leaves nothing behind.
func TestLoadsThatRunOutOfTimeLeaveNothing(t *testing.T) {
	const moments = 25
	l := newObservedLog(t)
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			run := l.build(t, t.Context(), w.shape)
			began := time.Now()
			load(t, run, w.shape.events())
			whole := time.Since(began)
			mine := l.nc.NumSubscriptions()
			late := 0
			for i := range moments {
				ctx, cancel := context.WithTimeout(t.Context(), whole*time.Duration(i)/moments)
				events, err := run.LoadEvents(ctx)
				cancel()
				if err != nil {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					require.Empty(t, events)
					late++
				}
				require.LessOrEqual(t, l.nc.NumSubscriptions(), mine+overlap)
			}
			require.NotZero(t, late)
			l.requireNothingLeft(t, mine, "after all")
		})
	}
}

// A store that is shut down while it is read leaves nothing behind on a connection that is
// its caller's.
func TestReadsOfAStoreThatIsShutDownLeaveNothing(t *testing.T) {
	l := newObservedLog(t)
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			run := l.build(t, t.Context(), w.shape)
			load(t, run, w.shape.events())
			mine := l.nc.NumSubscriptions()
			store, err := jetstore.Open(t.Context(), l.nc)
			require.NoError(t, err)
			var failed error
			count := 0
			for _, failed = range store.Execution(run.Tenant(), run.ID()).Events(t.Context(), 0) {
				if count++; count == 2 {
					shutDown(t, store)
				}
			}
			require.ErrorIs(t, failed, enact.ErrClosed)
			l.requireNothingLeft(t, mine, "after all")
		})
	}
}
