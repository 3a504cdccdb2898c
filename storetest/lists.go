package storetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func lists() []sentence {
	return []sentence{
		{"a tenant without executions has an empty list", func(f *fixture) {
			require.Empty(f.t, f.listAll())
			require.Empty(f.t, f.list(10, 5))
		}},
		{"executions are listed newest created first", func(f *fixture) {
			require.Equal(f.t, f.createMany(7), f.listAll())
		}},
		{"limit and offset cut pages out of the list", func(f *fixture) {
			all := f.createMany(7)
			for _, limit := range []int{0, 1, 2, 3, 6, 7, 8, math.MaxInt} {
				for _, offset := range []int{0, 1, 2, 5, 6, 7, 8, math.MaxInt} {
					want := all[min(offset, len(all)):]
					want = want[:min(limit, len(want))]
					got := f.list(limit, offset)
					require.Len(f.t, got, len(want), "limit %d, offset %d", limit, offset)
					for i := range want {
						require.Equal(f.t, want[i], got[i], "limit %d, offset %d", limit, offset)
					}
				}
			}
		}},
		{"an execution is listed as soon as its first append is acknowledged", func(f *fixture) {
			for range 5 {
				g := f.on(enact.NewExecutionID())
				g.append(note(1))
				require.Equal(f.t, []enact.ExecutionID{g.execution}, f.list(1, 0))
			}
		}},
		{"appending later does not move an execution", func(f *fixture) {
			all := f.createMany(4)
			for _, id := range all {
				f.on(id).append(note(2))
				f.on(id).appendBatch(notes(3, 5), enact.ExpectExists())
				require.Equal(f.t, all, f.listAll())
			}
		}},
		{"the order is that of creation, whatever the timestamps", func(f *fixture) {
			created := []enact.ExecutionID{}
			for year := 2030; year > 1960; year -= 20 {
				g := f.on(enact.NewExecutionID())
				g.append(note(1), enact.WithTimestamp(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)))
				created = slices.Insert(created, 0, g.execution)
			}
			require.Equal(f.t, created, f.listAll())
		}},
		{"executions of other tenants are not shown", func(f *fixture) {
			other := f.in(newTenant())
			mine, theirs := f.createMany(3), other.createMany(2)
			require.Equal(f.t, mine, f.listAll())
			require.Equal(f.t, theirs, other.listAll())
		}},
		{"a creation that failed is not listed", func(f *fixture) {
			f.append(note(1))
			_, err := f.store.Append(f.ctx, enact.NewExecutionID(), f.tenant, note(1), enact.ExpectExists())
			require.ErrorIs(f.t, err, enact.ErrConflict)
			_, err = f.store.Append(f.ctx, enact.NewExecutionID(), f.tenant, note(1), enact.ExpectSequence(3))
			require.ErrorIs(f.t, err, enact.ErrConflict)
			_, err = f.store.Append(f.ctx, enact.NewExecutionID(), f.tenant, nil)
			require.ErrorIs(f.t, err, enact.ErrInvalidEvent)
			_, err = f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.ExpectSequence(0))
			require.ErrorIs(f.t, err, enact.ErrConflict)
			require.Equal(f.t, []enact.ExecutionID{f.execution}, f.listAll())
		}},
		{"an execution that many create at once is listed once", func(f *fixture) {
			errs := make([]error, writers)
			together(writers, func(i int) {
				_, errs[i] = f.store.Append(f.ctx, f.execution, f.tenant, note(i))
			})
			for _, err := range errs {
				require.NoError(f.t, err)
			}
			require.Equal(f.t, []enact.ExecutionID{f.execution}, f.listAll())
		}},
		{"a negative limit or offset is refused", func(f *fixture) {
			f.append(note(1))
			for _, page := range [][2]int{{-1, 0}, {0, -1}, {-1, -1}, {math.MinInt, 0}, {1, math.MinInt}} {
				_, err := f.store.ListExecutions(f.ctx, f.tenant, page[0], page[1])
				var option *enact.OptionError
				require.ErrorAs(f.t, err, &option, fmt.Sprint(page))
				require.ErrorIs(f.t, err, enact.ErrInvalidOption)
			}
		}},
		{"a list whose context has ended returns its error", func(f *fixture) {
			f.append(note(1))
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			_, err := f.store.ListExecutions(ended, f.tenant, 0, 0)
			require.ErrorIs(f.t, err, context.Canceled)
		}},
	}
}

// createMany creates executions in the fixture's tenant and returns them newest first.
func (f *fixture) createMany(n int) []enact.ExecutionID {
	f.t.Helper()
	created := make([]enact.ExecutionID, n)
	for i := n - 1; i >= 0; i-- {
		created[i] = enact.NewExecutionID()
		f.on(created[i]).append(note(i))
	}
	return created
}
