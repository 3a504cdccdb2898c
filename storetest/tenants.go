package storetest

import (
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func tenants() []sentence {
	return []sentence{
		{"a read without a tenant looks it up", func(f *fixture) {
			f.appendBatch(notes(1, 3))
			f.areNumbered(f.load(), notes(1, 3))
		}},
		{"a read in the execution's tenant sees what one without sees", func(f *fixture) {
			f.appendBatch(notes(1, 3))
			mine := enact.InTenant(f.tenant)
			require.Equal(f.t, f.load(), f.load(mine))
			seq, ok, err := f.store.LatestSequence(f.ctx, f.execution, mine)
			require.NoError(f.t, err)
			require.True(f.t, ok)
			require.Equal(f.t, uint64(3), seq)
			exists, err := f.store.ExecutionExists(f.ctx, f.execution, mine)
			require.NoError(f.t, err)
			require.True(f.t, exists)
			count, err := f.store.CountEvents(f.ctx, f.execution, mine)
			require.NoError(f.t, err)
			require.Equal(f.t, uint64(3), count)
		}},
		{"a read in another tenant does not see the execution", func(f *fixture) {
			f.appendBatch(notes(1, 3))
			neighbour := f.in(newTenant())
			neighbour.append(note(9))
			for _, tenant := range []enact.TenantID{neighbour.tenant, newTenant()} {
				theirs := enact.InTenant(tenant)
				require.Empty(f.t, f.load(theirs))
				after, err := f.store.LoadEventsAfter(f.ctx, f.execution, 1, theirs)
				require.NoError(f.t, err)
				require.Empty(f.t, after)
				ranged, err := collect(f.store.Events(f.ctx, f.execution, 0, theirs))
				require.NoError(f.t, err)
				require.Empty(f.t, ranged)
				seq, ok, err := f.store.LatestSequence(f.ctx, f.execution, theirs)
				require.NoError(f.t, err)
				require.False(f.t, ok)
				require.Zero(f.t, seq)
				exists, err := f.store.ExecutionExists(f.ctx, f.execution, theirs)
				require.NoError(f.t, err)
				require.False(f.t, exists)
				count, err := f.store.CountEvents(f.ctx, f.execution, theirs)
				require.NoError(f.t, err)
				require.Zero(f.t, count)
			}
		}},
		{"creating an id that lives in another tenant is ErrTenantMismatch", func(f *fixture) {
			f.append(note(1))
			thief := f.in(newTenant()).on(f.execution)
			for _, opts := range [][]enact.AppendOption{nil, {enact.ExpectSequence(0)}, {enact.WithIdempotencyKey("k")}} {
				_, err := f.store.Append(f.ctx, thief.execution, thief.tenant, note(2), opts...)
				require.ErrorIs(f.t, err, enact.ErrTenantMismatch)
				_, err = f.store.AppendBatch(f.ctx, thief.execution, thief.tenant, notes(2, 3), opts...)
				require.ErrorIs(f.t, err, enact.ErrTenantMismatch)
			}
			require.Empty(f.t, f.load(enact.InTenant(thief.tenant)))
			require.Empty(f.t, thief.listAll())
			require.Equal(f.t, uint64(2), f.append(note(2)), "the owner goes on")
			f.holds(notes(1, 2)...)
		}},
		{"a key used by the owner is no way in for another tenant", func(f *fixture) {
			f.append(note(1), enact.WithIdempotencyKey("k"))
			_, err := f.store.Append(f.ctx, f.execution, newTenant(), note(1), enact.WithIdempotencyKey("k"))
			require.ErrorIs(f.t, err, enact.ErrTenantMismatch)
		}},
		{"an id refused in one tenant may be created in another", func(f *fixture) {
			_, err := f.store.Append(f.ctx, f.execution, newTenant(), note(1), enact.ExpectExists())
			require.ErrorIs(f.t, err, enact.ErrConflict)
			require.Equal(f.t, uint64(1), f.append(note(1)))
			f.holds(note(1))
		}},
	}
}
