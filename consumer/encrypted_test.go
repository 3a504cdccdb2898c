package consumer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// switchedRing does not answer look-ups while it is away.
type switchedRing struct {
	*codec.MemoryKeyRing
	away error
}

func (r *switchedRing) Lookup(ctx context.Context, tenant enact.TenantID, id string) (*codec.Key, error) {
	if r.away != nil {
		return nil, r.away
	}
	return r.MemoryKeyRing.Lookup(ctx, tenant, id)
}

// A tail reads encrypted records from the history and live, goes on behind those whose
// key is dropped, and ends with the error of a key ring that does not answer.
func TestTailOfEncryptedRecords(t *testing.T) {
	ctx := t.Context()
	writerKeys := codec.NewMemoryKeyRing()
	keys := &switchedRing{MemoryKeyRing: writerKeys}
	_, err := writerKeys.Rotate(ctx, "acme")
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(nil, keys)
	require.NoError(t, err)
	s := embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(jetstore.WithCodec(sealed)))
	run := s.Execution("acme", enact.NewExecutionID())
	appendOne := func(n int) {
		t.Helper()
		_, err := run.Append(ctx, note(n))
		require.NoError(t, err)
	}
	appendOne(1)

	throttled := errors.New("throttled")
	next := uint64(1)
	var failed error
	for ev, err := range consumer.Tail(ctx, run, 0) {
		if err != nil {
			failed = err
			break
		}
		require.Equal(t, next, ev.Sequence)
		switch next {
		case 1: // from the history
			require.Equal(t, note(1), ev.Event)
			appendOne(2)
		case 2: // live
			require.Equal(t, note(2), ev.Event)
			key, err := keys.Current(ctx, "acme")
			require.NoError(t, err)
			appendOne(3)
			require.NoError(t, keys.Drop(ctx, "acme", key.ID()))
			_, err = keys.Rotate(ctx, "acme")
			require.NoError(t, err)
			appendOne(4)
		case 3:
			require.IsType(t, enact.Unreadable{}, ev.Event)
		case 4:
			require.Equal(t, note(4), ev.Event)
			keys.away = throttled
			appendOne(5)
		}
		next++
	}
	require.Equal(t, uint64(5), next)
	require.ErrorIs(t, failed, throttled)
	require.ErrorIs(t, failed, enact.ErrPayload)

	// Started again where it ended, it goes on.
	keys.away = nil
	for ev, err := range consumer.Tail(ctx, run, next-1) {
		require.NoError(t, err)
		require.Equal(t, uint64(5), ev.Sequence)
		require.Equal(t, note(5), ev.Event)
		break
	}
	nothingLeft(t, s)
}
