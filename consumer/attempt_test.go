package consumer

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore/embedded"
)

// What is given up is one event, or a record that cannot be read: where its dead letter could
// not be stored, and the record can be read, or not any more, that letter is not for what is
// met then.
func TestADeadLetterIsForWhatWasGivenUp(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	att, err := s.Attach()
	require.NoError(t, err)
	defer att.Close()
	var handled []uint64
	m := &member{
		reader: reader{site: siteOf(att), store: s},
		group: &Group{name: "g", mode: Parallel, cfg: groupConfig{
			handling: newHandling(), maxDeliveries: 1, backoff: []time.Duration{time.Millisecond}, onFailure: func(Failure) {},
		}},
		handler: func(_ context.Context, ev enact.StoredEvent) error {
			handled = append(handled, ev.Sequence)
			return nil
		},
	}
	msg := &nats.Msg{Subject: s.Subjects().Execution("acme", "run")}
	event := func(position, sequence uint64) enact.StoredEvent {
		ev := unreadEvent(m.reader, msg, position)
		ev.Sequence, ev.Event = sequence, enact.Custom{EventType: "note", Data: []byte("1")}
		return ev
	}
	unread, failing := errors.New("it cannot be read"), errors.New("it fails")
	var again *tryAgain
	// Nobody stores dead letters yet.
	was, is := &held{position: 7, of: 3}, &held{position: 10, of: 3}
	require.ErrorAs(t, m.failed(t.Context(), was, event(7, 2), failing), &again)
	require.ErrorAs(t, m.failed(t.Context(), is, unreadEvent(m.reader, msg, 10), unread), &again)
	require.NoError(t, EnsureDeadLetters(t.Context(), s))

	// The one's record cannot be read any more: its other events would be acknowledged with it.
	natstest.Eventually(t, time.Minute, func() bool {
		err = m.failed(t.Context(), was, unreadEvent(m.reader, msg, 7), unread)
		return !errors.As(err, &again) // the letter was stored in the time that one is waited for
	}, func() string { return err.Error() })
	require.NoError(t, err)
	// The other one's can be read now.
	require.NoError(t, m.attempt(t.Context(), is, event(10, 4)))
	require.Equal(t, []uint64{4}, handled)

	var letters []DeadLetter
	for letter, err := range DeadLetters(t.Context(), s, "g") {
		require.NoError(t, err)
		letters = append(letters, letter)
	}
	require.Len(t, letters, 1)
	require.Zero(t, letters[0].Sequence)
	require.Equal(t, uint64(7), letters[0].Position)
	require.Contains(t, letters[0].Reason, unread.Error())
}

// A member that is pinned anew may not rely on what it has saved before.
func TestKVCheckpointAsksAfterABreak(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	att, err := s.Attach()
	require.NoError(t, err)
	defer att.Close()
	require.NoError(t, EnsureKVCheckpoint(t.Context(), s, "marks"))
	here, err := OpenKVCheckpoint(t.Context(), s, "marks")
	require.NoError(t, err)
	elsewhere, err := OpenKVCheckpoint(t.Context(), s, "marks")
	require.NoError(t, err)
	ctx := siteOf(att).within(t.Context())
	ev := enact.StoredEvent{TenantID: "acme", ExecutionID: "run", Sequence: 1}
	require.NoError(t, here.Save(ctx, ev))
	ev.Sequence++
	require.NoError(t, elsewhere.Save(t.Context(), ev))
	stintWithin(ctx, s).broken.Store(true)
	done, err := here.Done(ctx, ev)
	require.NoError(t, err)
	require.True(t, done)
}
