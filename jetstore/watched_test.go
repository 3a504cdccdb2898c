package jetstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// requests counts what a store asked the server.
type requests struct {
	leader  int // message gets
	info    int // stream infos
	first   int // direct gets of the first record
	batches int // direct gets of more than one record
	points  int // direct gets by position
	made    int // consumers
	removed int // consumers
	pulls   int // requests to consumers
	other   int // anything else
}

// watchedLog is a log in the memory of a server of its own, whose requests are counted.
type watchedLog struct {
	srv    *embedded.Server
	nc     *nats.Conn // of the store, for reads and writes
	store  *jetstore.Store
	raw    *nats.Conn // beside the store: filler, and the count of requests
	filled int
}

func newWatchedLog(t *testing.T) *watchedLog {
	t.Helper()
	srv, nc := startServer(t)
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, jetstore.WithMemoryStorage()))
	store, err := jetstore.Open(t.Context(), nc, jetstore.WithMemoryStorage(), jetstore.Patient())
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, store) })
	raw, err := nats.Connect("", srv.InProcess())
	require.NoError(t, err)
	t.Cleanup(raw.Close)
	return &watchedLog{srv: srv, nc: nc, store: store, raw: raw}
}

// asked returns the requests that came over a connection while f ran, as another one saw them.
func asked(t *testing.T, listener, over *nats.Conn, f func()) (requests []*nats.Msg) {
	t.Helper()
	// What was asked before, and is on its way yet, does not count.
	require.NoError(t, over.FlushTimeout(time.Minute))
	tap, err := listener.SubscribeSync("$JS.API.>")
	require.NoError(t, err)
	defer func() { require.NoError(t, tap.Unsubscribe()) }()
	require.NoError(t, listener.FlushTimeout(time.Minute))
	f()
	// The server may answer a request before it passes it on to others; what comes over one
	// connection it passes on in order.
	const end = "$JS.API.asked"
	require.NoError(t, over.Publish(end, nil))
	for {
		m, err := tap.NextMsg(time.Minute)
		require.NoError(t, err)
		if m.Subject == end {
			return requests
		}
		requests = append(requests, m)
	}
}

// counted returns what the store asked while f ran.
func (l *watchedLog) counted(t *testing.T, f func()) (n requests) {
	t.Helper()
	for _, m := range asked(t, l.raw, l.nc, f) {
		switch name := strings.TrimPrefix(m.Subject, "$JS.API."); name {
		case "STREAM.MSG.GET.ENACT":
			n.leader++
		case "STREAM.INFO.ENACT":
			n.info++
		case "DIRECT.GET.ENACT":
			var get struct {
				Next  string `json:"next_by_subj"`
				Batch int    `json:"batch"`
			}
			require.NoError(t, json.Unmarshal(m.Data, &get))
			switch {
			case get.Batch > 0:
				n.batches++
			case get.Next != "":
				n.first++
			default:
				n.points++
			}
		default:
			switch {
			case strings.HasPrefix(name, "CONSUMER.CREATE.ENACT."):
				n.made++
			case strings.HasPrefix(name, "CONSUMER.DELETE.ENACT."):
				n.removed++
			case strings.HasPrefix(name, "CONSUMER.MSG.NEXT.ENACT."):
				n.pulls++
			default:
				n.other++
			}
		}
	}
	return n
}

// consumers returns the names of the stream's consumers.
func (l *watchedLog) consumers(t require.TestingT) (names []string) {
	js, err := jetstream.New(l.raw, jetstream.WithDefaultTimeout(time.Minute))
	require.NoError(t, err)
	stream, err := js.Stream(context.Background(), "ENACT")
	require.NoError(t, err)
	list := stream.ConsumerNames(context.Background())
	for name := range list.Name() {
		names = append(names, name)
	}
	require.NoError(t, list.Err())
	return names
}

// fill puts n messages of other subjects into the stream.
func (l *watchedLog) fill(t require.TestingT, n int) {
	for i := range n {
		l.filled++
		subject := "enact.filler." + strconv.Itoa(l.filled%1000)
		if i < n-1 {
			require.NoError(t, l.raw.Publish(subject, nil))
			continue
		}
		ack, err := l.raw.Request(subject, nil, time.Minute)
		require.NoError(t, err)
		require.NotContains(t, string(ack.Data), "error")
	}
}

// shape is how an execution comes to lie in the stream.
type shape []stretch

// stretch is times appends of events each, with so many other messages after each.
type stretch struct {
	times, events int
	single        bool // one event a record
	filler        int
}

func (s shape) events() (n int) {
	for _, st := range s {
		n += st.times * st.events
	}
	return n
}

func (s shape) String() string {
	var b strings.Builder
	for _, st := range s {
		fmt.Fprintf(&b, "%dx%d", st.times, st.events)
		if st.single && st.events > 1 {
			b.WriteString("s")
		}
		if st.filler > 0 {
			fmt.Fprintf(&b, "+%d", st.filler)
		}
		b.WriteString(" ")
	}
	return strings.TrimSpace(b.String())
}

// build makes an execution of the shape: its n-th event is note(n).
func (l *watchedLog) build(t require.TestingT, ctx context.Context, s shape) jetstore.Execution {
	run := l.store.Execution("acme", enact.NewExecutionID())
	next := 1
	for _, st := range s {
		for range st.times {
			batch := make([]enact.Event, st.events)
			for i := range batch {
				batch[i] = note(next)
				next++
			}
			var opts []enact.AppendOption
			if st.single {
				opts = append(opts, enact.WithOneEventPerRecord())
			}
			if len(batch) > 0 {
				_, err := run.AppendBatch(ctx, batch, opts...)
				require.NoError(t, err)
			}
			l.fill(t, st.filler)
		}
	}
	return run
}

// expected returns the sequences that a read gives of an execution of n events.
func expected(n, after, limit int, backwards bool) []uint64 {
	var all []uint64
	for i := after + 1; i <= n; i++ {
		all = append(all, uint64(i))
	}
	if backwards {
		slices.Reverse(all)
	}
	if limit > 0 && limit < len(all) {
		all = all[:limit]
	}
	return all
}

// numbered returns the sequences of events of which the n-th is note(n).
func numbered(events []enact.StoredEvent) ([]uint64, error) {
	var all []uint64
	for _, ev := range events {
		if c, ok := ev.Event.(enact.Custom); !ok || string(c.Data) != strconv.FormatUint(ev.Sequence, 10) {
			return nil, fmt.Errorf("event %d is %v", ev.Sequence, ev.Event)
		}
		all = append(all, ev.Sequence)
	}
	return all, nil
}
