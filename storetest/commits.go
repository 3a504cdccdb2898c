package storetest

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

// header is the way to the end of a history that stores may offer.
type header interface {
	Head(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) (enact.Head, error)
}

// commits are about enact.Committer, which a store need not be: then they hold.
func commits() []sentence {
	type of struct {
		says string
		test func(f *fixture, c enact.Committer)
	}
	all := []of{
		{"a receipt says where the batch is", testReceipts},
		{"a batch committed is as a batch appended", func(f *fixture, c enact.Committer) {
			batch := f.batch(notes(1, 3)...)
			batch.Options = enact.NewAppendOptions(enact.ExpectSequence(0), enact.WithMetadata(map[string]string{"a": "b"}))
			_, err := c.Commit(f.ctx, batch)
			require.NoError(f.t, err)
			require.Equal(f.t, uint64(4), f.append(note(4)))
			f.holds(notes(1, 4)...)
			for _, e := range f.loadN(3, enact.Limit(3)) {
				require.Equal(f.t, map[string]string{"a": "b"}, e.Metadata)
			}
		}},
		{"a refused batch gives no receipt and stores nothing", func(f *fixture, c enact.Committer) {
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			conflict := f.batch(note(1))
			conflict.Options.Expect = enact.Expectation{Kind: enact.MustExist}
			foreign, nameless := f.batch(note(1)), f.batch(note(1))
			foreign.TenantID, nameless.ExecutionID = "", ""
			cases := []struct {
				ctx   context.Context
				batch enact.Batch
				want  error
			}{
				{f.ctx, f.batch(), enact.ErrEmptyBatch},
				{f.ctx, f.batch(nil), enact.ErrInvalidEvent},
				{f.ctx, foreign, enact.ErrInvalidID},
				{f.ctx, nameless, enact.ErrInvalidID},
				{f.ctx, conflict, enact.ErrConflict},
				{ended, f.batch(note(1)), context.Canceled},
			}
			for _, tc := range cases {
				receipt, err := c.Commit(tc.ctx, tc.batch)
				require.ErrorIs(f.t, err, tc.want)
				require.Zero(f.t, receipt)
			}
			f.holdsNothing()
		}},
		{"a batch committed again under its key gives the first receipt, marked as duplicate", func(f *fixture, c enact.Committer) {
			f.append(note(0))
			batch := f.batch(notes(1, 3)...)
			batch.Options.IdempotencyKey = "k"
			first, err := c.Commit(f.ctx, batch)
			require.NoError(f.t, err)
			require.False(f.t, first.Duplicate)
			f.append(note(4))
			again, err := c.Commit(f.ctx, batch)
			require.NoError(f.t, err)
			want := first
			want.Duplicate = true
			require.Equal(f.t, want, again)
			f.holds(notes(0, 4)...)
		}},
		{"each event of a batch may have its own time", func(f *fixture, c enact.Committer) {
			times := oddTimes()
			batch := f.batch(notes(1, len(times))...)
			batch.Timestamps = times
			batch.Options.Timestamp = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // not used
			_, err := c.Commit(f.ctx, batch)
			require.NoError(f.t, err)
			for i, e := range f.loadN(len(times)) {
				sameTime(f.t, times[i], e.Timestamp)
			}
		}},
		{"times of another number than the events are refused", func(f *fixture, c enact.Committer) {
			for _, n := range []int{0, 1, 3} {
				batch := f.batch(notes(1, 2)...)
				batch.Timestamps = make([]time.Time, n)
				_, err := c.Commit(f.ctx, batch)
				require.ErrorIs(f.t, err, enact.ErrInvalidOption)
			}
			f.holdsNothing()
		}},
	}
	sentences := make([]sentence, len(all))
	for i, s := range all {
		sentences[i] = sentence{s.says, func(f *fixture) {
			if c, ok := f.store.(enact.Committer); ok {
				s.test(f, c)
			}
		}}
	}
	return sentences
}

func (f *fixture) batch(events ...enact.Event) enact.Batch {
	return enact.Batch{TenantID: f.tenant, ExecutionID: f.execution, Events: events}
}

func testReceipts(f *fixture, c enact.Committer) {
	h, hasHead := f.store.(header)
	if hasHead {
		head, err := h.Head(f.ctx, f.execution, enact.InTenant(f.tenant))
		require.NoError(f.t, err)
		require.Equal(f.t, enact.Head{TenantID: f.tenant, ExecutionID: f.execution}, head)
	}
	var last enact.Receipt
	chains := map[enact.Chain]bool{{}: true}
	for _, size := range []int{1, 4, 1, 100} {
		receipt, err := c.Commit(f.ctx, f.batch(notes(1, size)...))
		require.NoError(f.t, err)
		require.Equal(f.t, last.Last+1, receipt.First)
		require.Equal(f.t, last.Last+uint64(size), receipt.Last)
		require.Greater(f.t, receipt.Position, last.Position)
		require.False(f.t, chains[receipt.Chain], "a chain value came twice, or is zero")
		require.False(f.t, receipt.Duplicate)
		chains[receipt.Chain] = true
		last = receipt

		tail := f.loadN(1, enact.Backwards(), enact.Limit(1))
		require.Equal(f.t, receipt.Last, tail[0].Sequence)
		if tail[0].Position != 0 { // 0: not known
			require.Equal(f.t, receipt.Position, tail[0].Position)
		}
		if hasHead {
			head, err := h.Head(f.ctx, f.execution)
			require.NoError(f.t, err)
			require.Equal(f.t, enact.Head{
				TenantID: f.tenant, ExecutionID: f.execution, Sequence: receipt.Last, Position: receipt.Position, Chain: receipt.Chain,
			}, head)
		}
	}
}
