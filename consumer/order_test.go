package consumer

import (
	"context"
	"fmt"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact/jetstore"
)

// testMember is an active member of an ordered group on a server that is played. It handles
// a record by naming its position.
func testMember(t *testing.T, server *fakeLink) (m *member, handled chan uint64) {
	handled = make(chan uint64, 100)
	m = &member{
		reader: reader{site: site{link: server, stream: "LOG"}}, held: make(map[uint64]*held), freed: make(chan struct{}, 1),
		group: &Group{store: &jetstore.Store{}, name: "g", mode: Ordered, cfg: groupConfig{failover: time.Second}},
	}
	m.finished, _ = lru.New[uint64, string](finishedPositions)
	m.order.gather()
	m.pool = newPool(t.Context(), poolConfig[struct{}, *held]{
		workers: 1, failed: func(err error) { t.Error(err) },
		run: func(_ context.Context, _ string, _ *struct{}, h *held) (time.Duration, error) {
			handled <- h.position
			return 0, nil
		},
		before: func(a, b *held) bool { return a.position < b.position },
	})
	t.Cleanup(m.pool.close)
	return m, handled
}

// deliver plays the delivery of a record; sent says how often it was before.
func (f *fakeLink) deliver(m *member, position, sequence, sent uint64) {
	f.sequence, f.position = max(f.sequence, sequence), max(f.position, position)
	m.take(&nats.Msg{Subject: "enact.acme.run", Reply: fmt.Sprintf("$JS.ACK.LOG.g.%d.%d.%d.0.0", sent+1, position, sequence)})
}

// logHas plays the search of the log.
func logHas(m *member, positions ...uint64) {
	var items []item
	for _, p := range positions {
		items = append(items, item{Msg: &nats.Msg{Subject: "enact.acme.run"}, position: p})
	}
	m.order.search = &search{found: make(chan []item, 1), stop: func() {}}
	m.order.search.found <- items
	close(m.order.search.found)
}

func requireHandled(t *testing.T, handled <-chan uint64, positions ...uint64) {
	t.Helper()
	for _, want := range positions {
		require.Equal(t, want, <-handled)
	}
	require.Empty(t, handled)
}

// The active member of an ordered group does not run ahead of a delivery that was lost: it
// waits until the record comes again.
func TestOrderedGroupWaitsForALostDelivery(t *testing.T) {
	server := &fakeLink{floor: 9}
	m, handled := testMember(t, server)
	waits := func() {
		t.Helper()
		require.NoError(t, m.gather(t.Context()))
		require.True(t, m.order.gathering)
		require.Empty(t, handled)
	}

	server.deliver(m, 10, 5, 0) // the first that this member is sent
	server.inFlight = 1
	logHas(m, 10)
	require.NoError(t, m.gather(t.Context()))
	requireHandled(t, handled, 10)
	server.deliver(m, 11, 6, 0)
	requireHandled(t, handled, 11) // nothing is missing

	server.deliver(m, 13, 8, 0) // delivery 7, of record 12, was lost
	server.inFlight = 4
	waits()
	server.deliver(m, 14, 9, 0)
	server.inFlight = 5
	waits()
	server.sequence, server.inFlight = 6, 4 // what a deposed leader says, as many as are held
	waits()
	server.sequence, server.inFlight = 9, 5
	server.deliver(m, 12, 10, 1)
	logHas(m, 12, 13, 14)
	require.NoError(t, m.gather(t.Context()))
	requireHandled(t, handled, 12, 13, 14)
	server.deliver(m, 15, 11, 0)
	requireHandled(t, handled, 15)

	server.deliver(m, 12, 8, 2) // by a leader that has not heard of what was sent; it is held
	require.Empty(t, handled)
	server.deliver(m, 16, 9, 0) // what came before it, the numbers do not say
	server.sequence, server.inFlight = 9, 7
	logHas(m, 16)
	require.NoError(t, m.gather(t.Context()))
	requireHandled(t, handled, 16)
}

// As many records as the server waits for word of are not the same ones: one that another
// member still has, or that was lost, comes from the log before what follows it.
func TestOrderedGroupTakesFromTheLogWhatItIsNotSent(t *testing.T) {
	server := &fakeLink{floor: 9, inFlight: 2}
	m, handled := testMember(t, server)
	server.deliver(m, 12, 5, 0)
	server.deliver(m, 10, 6, 1)
	logHas(m, 10, 11, 12)
	require.NoError(t, m.gather(t.Context()))
	requireHandled(t, handled, 10, 11, 12)
	require.Equal(t, uint64(13), m.order.cursor)

	// It comes late, once it was handled: again, for nobody has acknowledged it here.
	m.finish(m.held[11])
	server.deliver(m, 11, 7, 1)
	require.NotContains(t, m.held, uint64(11))
	server.deliver(m, 13, 8, 0)
	requireHandled(t, handled, 13)
}

// A member that gathers hears that it is not pinned any more, also when it hears so late.
func TestAGatheringMemberHearsThatItIsNotPinned(t *testing.T) {
	m, _ := testMember(t, &fakeLink{})
	p := &puller{msgs: make(chan *nats.Msg, 1), room: func() int {
		<-time.After(2 * gatherPause)
		return 0
	}}
	p.msgs <- &nats.Msg{Header: nats.Header{"Status": {"423"}}}
	_, err := m.next(t.Context(), p)
	require.ErrorIs(t, err, errUnpinned)
}

// Laws of order, on any deliveries and answers: records are handed over in the order of the
// log, and none before those that precede it.
func TestOrderOfAnyDeliveries(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		server := &fakeLink{}
		m, handled := testMember(t, server)
		defer m.pool.close()
		const records = 12
		next, sequence := uint64(1), uint64(0) // what the server delivers next
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			sequence++
			lost := rapid.Bool().Draw(rt, "lost")
			position, sent := next, uint64(0)
			if next > records || next > 1 && rapid.Bool().Draw(rt, "again") {
				position = rapid.Uint64Range(1, next-1).Draw(rt, "position")
				sent = rapid.Uint64Range(0, 1).Draw(rt, "sent") // one that found nobody is not counted
			} else {
				next++
			}
			server.sequence, server.position = sequence, next-1
			if !lost {
				server.deliver(m, position, sequence, sent)
			}
			server.inFlight = rapid.IntRange(1, 4).Draw(rt, "in flight") // anything but that all is acknowledged
			if m.order.gathering {
				var all []uint64
				for p := m.order.cursor; p < next; p++ {
					all = append(all, p)
				}
				logHas(m, all...)
				require.NoError(t, m.gather(t.Context()))
			}
		}
		last := uint64(0)
		m.mu.Lock()
		queued := 0
		for _, h := range m.held {
			if h.queued {
				queued++
			}
		}
		m.mu.Unlock()
		for range queued {
			got := <-handled
			require.Equal(rt, last+1, got)
			last = got
		}
	})
}
