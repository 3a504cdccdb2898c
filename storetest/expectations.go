package storetest

import (
	"fmt"
	"math"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func expectations() []sentence {
	return []sentence{
		{"an append succeeds exactly if its expectation holds", func(f *fixture) {
			for _, latest := range []int{0, 1, 2, 7} {
				for _, e := range everyExpectation(uint64(latest)) {
					for _, size := range []int{1, 3} {
						f.sub(fmt.Sprintf("%s of %d events, batch of %d", e, latest, size), func(f *fixture) {
							testExpectation(f, latest, e, size)
						})
					}
				}
			}
		}},
		{"an expectation of a batch is about the execution before it", func(f *fixture) {
			f.appendBatch(notes(1, 4), enact.ExpectSequence(0))
			f.appendBatch(notes(5, 8), enact.ExpectSequence(4))
			_, err := f.store.AppendBatch(f.ctx, f.execution, f.tenant, notes(9, 10), enact.ExpectSequence(9))
			require.ErrorIs(f.t, err, enact.ErrConflict)
			f.holds(notes(1, 8)...)
		}},
		{"an append after a conflict succeeds with the actual sequence", func(f *fixture) {
			f.appendBatch(notes(1, 5))
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(6), enact.ExpectSequence(2))
			var conflict *enact.ConflictError
			require.ErrorAs(f.t, err, &conflict)
			require.Equal(f.t, uint64(6), f.append(note(6), enact.ExpectSequence(conflict.Actual)))
			f.holds(notes(1, 6)...)
		}},
		{"the last expectation given is the one that counts", func(f *fixture) {
			f.append(note(1), enact.ExpectExists(), enact.ExpectSequence(0))
			f.append(note(2), enact.ExpectSequence(9), enact.ExpectExists())
			f.holds(note(1), note(2))
		}},
		{"a store in the same log sees what another appended", func(f *fixture) {
			// Openers that give every store a log of its own make this trivial, not wrong.
			other := f.openOther()
			f.append(note(1))
			_, known, err := other.store.LatestSequence(f.ctx, f.execution)
			require.NoError(f.t, err)
			if !known {
				return
			}
			require.Equal(f.t, uint64(2), other.append(note(2), enact.ExpectSequence(1)))
			_, err = f.store.Append(f.ctx, f.execution, f.tenant, note(3), enact.ExpectSequence(1))
			var conflict *enact.ConflictError
			require.ErrorAs(f.t, err, &conflict)
			require.Equal(f.t, uint64(2), conflict.Actual)
			require.Equal(f.t, uint64(3), f.append(note(3)))
			other.holds(notes(1, 3)...)
		}},
	}
}

func everyExpectation(latest uint64) []enact.Expectation {
	all := []enact.Expectation{
		{Kind: enact.AnySequence},
		{Kind: enact.MustExist},
		{Kind: enact.ExactSequence, Sequence: latest},
		{Kind: enact.ExactSequence, Sequence: latest + 1},
		{Kind: enact.ExactSequence, Sequence: math.MaxUint64},
	}
	if latest > 0 {
		all = append(all, enact.Expectation{Kind: enact.ExactSequence})
	}
	if latest > 1 {
		all = append(all, enact.Expectation{Kind: enact.ExactSequence, Sequence: latest - 1})
	}
	return all
}

func testExpectation(f *fixture, latest int, e enact.Expectation, size int) {
	history := notes(1, latest)
	if latest > 0 {
		f.appendBatch(history)
	}
	added := notes(latest+1, latest+size)
	expect := func(o *enact.AppendOptions) { o.Expect = e }
	var seq uint64
	var err error
	if size == 1 {
		seq, err = f.store.Append(f.ctx, f.execution, f.tenant, added[0], expect)
	} else {
		seq, err = f.store.AppendBatch(f.ctx, f.execution, f.tenant, added, expect)
	}

	holds := e.Kind == enact.AnySequence ||
		e.Kind == enact.MustExist && latest > 0 ||
		e.Kind == enact.ExactSequence && e.Sequence == uint64(latest)
	if holds {
		require.NoError(f.t, err)
		require.Equal(f.t, uint64(latest)+1, seq)
		f.holds(append(history, added...)...)
		return
	}
	var conflict *enact.ConflictError
	require.ErrorAs(f.t, err, &conflict)
	require.ErrorIs(f.t, err, enact.ErrConflict)
	require.Equal(f.t, enact.ConflictError{
		TenantID: f.tenant, ExecutionID: f.execution, Expected: e, Actual: uint64(latest),
	}, *conflict)
	if latest == 0 {
		f.holdsNothing()
	} else {
		f.holds(history...)
	}
}
