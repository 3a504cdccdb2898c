package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// fakeLink plays a server that knows one consumer.
type fakeLink struct {
	link
	sequence uint64 // of its last delivery
	inFlight int
}

func (f *fakeLink) Closing() <-chan struct{} { return nil }

func (f *fakeLink) Request(_ context.Context, subject string, _, into any) error {
	if !strings.HasPrefix(subject, "CONSUMER.INFO.") {
		return errors.New("unexpected request " + subject)
	}
	return json.Unmarshal(fmt.Appendf(nil, `{"config":{},"delivered":{"consumer_seq":%d},"num_ack_pending":%d}`, f.sequence, f.inFlight), into)
}

// A read that ends early is not a corrupt history before the answers are as recent as
// what was delivered: a deposed leader gives older ones.
func TestCorruptionIsConfirmed(t *testing.T) {
	corrupt := &enact.CorruptError{Position: 9, Reason: "it ends early"}
	for name, test := range map[string]struct {
		ends  []uint64 // of the history, as one leader after the other has it
		reads []error
		want  error
	}{
		"right at once":    {reads: []error{nil}},
		"an old answer":    {ends: []uint64{7, 7, 9}, reads: []error{corrupt, corrupt, corrupt, nil}},
		"caught up":        {ends: []uint64{7}, reads: []error{corrupt, nil}},
		"really so":        {ends: []uint64{9}, reads: []error{corrupt, corrupt}, want: enact.ErrCorrupt},
		"old, then really": {ends: []uint64{5, 12}, reads: []error{corrupt, corrupt, corrupt}, want: enact.ErrCorrupt},
		"no answer":        {reads: []error{context.DeadlineExceeded, nil}},
		"of the handler":   {reads: []error{&HandlerError{Err: context.DeadlineExceeded}}, want: ErrHandler},
		"another error":    {reads: []error{enact.ErrClosed}, want: enact.ErrClosed},
	} {
		t.Run(name, func(t *testing.T) {
			err := confirmed(t.Context(), &fakeLink{}, 9, recentReads{
				read: func(context.Context) error {
					err := test.reads[0]
					test.reads = test.reads[1:]
					return err
				},
				end: func(context.Context) (uint64, error) {
					end := test.ends[0]
					test.ends = test.ends[1:]
					return end, nil
				},
			})
			require.ErrorIs(t, err, test.want)
			require.Empty(t, test.reads)
			require.Empty(t, test.ends)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := confirmed(ctx, &fakeLink{}, 9, recentReads{
		read: func(context.Context) error { return corrupt },
		end:  func(context.Context) (uint64, error) { cancel(); return 1, nil },
	})
	require.ErrorIs(t, err, context.Canceled)
}

// The active member of an ordered group does not run ahead of a delivery that was lost: it
// waits until the record comes again.
func TestOrderedGroupWaitsForALostDelivery(t *testing.T) {
	server := &fakeLink{}
	handled := make(chan uint64, 10)
	m := &member{
		reader: reader{site: site{link: server, stream: "LOG"}}, held: make(map[uint64]*held), gathering: true,
		group: &Group{store: &jetstore.Store{}, name: "g", mode: Ordered, cfg: groupConfig{failover: time.Second}},
	}
	m.finished, _ = lru.New[uint64, struct{}](finishedPositions)
	m.pool = newPool(t.Context(), poolConfig[struct{}, *held]{
		workers: 1, failed: func(err error) { t.Error(err) },
		run: func(_ context.Context, _ string, _ *struct{}, h *held) (time.Duration, error) {
			handled <- h.position
			return 0, nil
		},
		before: func(a, b *held) bool { return a.position < b.position },
	})
	defer m.pool.close()
	deliver := func(position, sequence uint64) {
		server.sequence = max(server.sequence, sequence)
		m.take(&nats.Msg{Subject: "enact.acme.run", Reply: fmt.Sprintf("$JS.ACK.LOG.g.1.%d.%d.0.0", position, sequence)})
	}
	waits := func() {
		t.Helper()
		m.gather(t.Context())
		require.True(t, m.gathering)
		require.Empty(t, handled)
	}

	deliver(10, 5) // the first that this member is sent
	server.inFlight = 1
	m.gather(t.Context())
	require.Equal(t, uint64(10), <-handled)
	deliver(11, 6)
	require.Equal(t, uint64(11), <-handled, "nothing is missing")

	deliver(13, 8) // delivery 7, of record 12, was lost
	server.inFlight = 4
	waits()
	deliver(14, 9)
	server.inFlight = 5
	waits()
	server.sequence, server.inFlight = 6, 4 // what a deposed leader says, as many as are held
	waits()
	server.sequence, server.inFlight = 9, 5
	deliver(12, 10)
	m.gather(t.Context())
	for _, want := range []uint64{12, 13, 14} {
		require.Equal(t, want, <-handled)
	}
	deliver(15, 11)
	require.Equal(t, uint64(15), <-handled)
	require.False(t, m.regressed)

	// A new leader that has not heard of deliveries 8 and on uses their numbers again: it
	// waits for word of other records than the member holds, though they may be as many.
	deliver(12, 8)
	require.True(t, m.regressed)
}
