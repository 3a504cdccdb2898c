package enact_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func TestQueryValidate(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, q := range []enact.Query{
		{},
		{Limit: enact.MaxQueryLimit, Cursor: "looked at by the store"},
		{Status: []enact.Status{enact.StatusUnknown, enact.StatusRunning, enact.StatusPaused, enact.StatusCompleted, enact.StatusFailed, enact.StatusCancelled}},
		{LastEvent: []string{"", "anything"}},
		{Since: at, Until: at.Add(1), UpdatedSince: at.Add(1)},
		{Until: at, UpdatedUntil: at},
	} {
		q.Tenant = "t"
		require.NoError(t, q.Validate(), "%+v", q)
	}
	for option, q := range map[string]enact.Query{
		"Limit":        {Limit: -1},
		"Limit ":       {Limit: enact.MaxQueryLimit + 1},
		"Status":       {Status: []enact.Status{""}},
		"Status ":      {Status: []enact.Status{"Running"}},
		"Until":        {Since: at, Until: at},
		"UpdatedUntil": {UpdatedSince: at, UpdatedUntil: at.Add(-1)},
	} {
		q.Tenant = "t"
		var typed *enact.OptionError
		require.ErrorAs(t, q.Validate(), &typed, "%+v", q)
		require.Equal(t, strings.TrimSpace(option), typed.Option)
	}
	require.ErrorIs(t, enact.Query{}.Validate(), enact.ErrInvalidID)
	require.Equal(t, enact.DefaultQueryLimit, enact.Query{}.PageSize())
	require.Equal(t, 3, enact.Query{Limit: 3}.PageSize())
}

func TestQueryMatches(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	x := enact.ExecutionInfo{Created: at, Updated: at.Add(time.Hour), LastEvent: "custom", Status: enact.StatusPaused}
	for _, tc := range []struct {
		q    enact.Query
		want bool
	}{
		{enact.Query{}, true},
		{enact.Query{Since: at}, true},
		{enact.Query{Since: at.Add(1)}, false},
		{enact.Query{Until: at}, false},
		{enact.Query{Until: at.Add(1)}, true},
		{enact.Query{Since: at.In(time.FixedZone("east", 3600)), Until: at.Add(1)}, true},
		{enact.Query{UpdatedSince: at.Add(time.Hour)}, true},
		{enact.Query{UpdatedSince: at.Add(time.Hour + 1)}, false},
		{enact.Query{UpdatedUntil: at.Add(time.Hour)}, false},
		{enact.Query{LastEvent: []string{"custom"}}, true},
		{enact.Query{LastEvent: []string{"Custom", "x"}}, false},
		{enact.Query{Status: []enact.Status{enact.StatusFailed, enact.StatusPaused}}, true},
		{enact.Query{Status: []enact.Status{enact.StatusFailed}}, false},
		{enact.Query{Status: []enact.Status{enact.StatusPaused}, LastEvent: []string{"x"}}, false},
	} {
		require.Equal(t, tc.want, tc.q.Matches(x), "%+v", tc.q)
	}
}

// threePages has two executions on each of three pages, then fails.
type threePages struct {
	asked []enact.Query
	err   error
}

func (p *threePages) Executions(_ context.Context, q enact.Query) ([]enact.ExecutionInfo, string, error) {
	p.asked = append(p.asked, q)
	n := len(p.asked)
	if n > 3 {
		return nil, "", p.err
	}
	return []enact.ExecutionInfo{{Events: uint64(2*n - 1)}, {Events: uint64(2 * n)}}, strings.Repeat("c", n), nil
}

func (*threePages) ListTenants(context.Context) ([]enact.TenantInfo, error) { return nil, nil }

func TestAllExecutions(t *testing.T) {
	for _, end := range []error{nil, errors.New("late")} {
		from := &threePages{err: end}
		query := enact.Query{Tenant: "t", Limit: 2, Cursor: "first", Status: []enact.Status{enact.StatusFailed}}
		var got []uint64
		var failed error
		for x, err := range enact.AllExecutions(t.Context(), from, query) {
			require.NoError(t, failed, "an error is the last")
			if failed = err; err == nil {
				got = append(got, x.Events)
			}
		}
		require.Equal(t, []uint64{1, 2, 3, 4, 5, 6}, got)
		require.Equal(t, end, failed)
		require.Len(t, from.asked, 4)
		for i, q := range from.asked {
			want := query
			want.Cursor = []string{"first", "c", "cc", "ccc"}[i]
			require.Equal(t, want, q)
		}
	}
	from := &threePages{}
	for x := range enact.AllExecutions(t.Context(), from, enact.Query{}) {
		if x.Events == 3 {
			break
		}
	}
	require.Len(t, from.asked, 2, "what is not ranged over is not asked for")
}

func TestStatusAfter(t *testing.T) {
	for _, tc := range []struct {
		event  enact.Event
		status enact.Status
		ok     bool
	}{
		{enact.ExecutionStarted{}, enact.StatusRunning, true},
		{enact.ExecutionResumed{}, enact.StatusRunning, true},
		{enact.ExecutionPaused{}, enact.StatusPaused, true},
		{enact.ExecutionCompleted{}, enact.StatusCompleted, true},
		{enact.ExecutionFailed{}, enact.StatusFailed, true},
		{enact.ExecutionCancelled{}, enact.StatusCancelled, true},
		{enact.StepFailed{}, enact.StatusUnknown, false},
		{enact.Custom{}, enact.StatusUnknown, false},
		{enact.Unreadable{}, enact.StatusUnknown, false},
		{nil, enact.StatusUnknown, false},
	} {
		status, ok := enact.StatusAfter(tc.event)
		require.Equal(t, tc.status, status, "%T", tc.event)
		require.Equal(t, tc.ok, ok, "%T", tc.event)
		require.Equal(t, enact.Terminal(tc.event), ok && status.Terminal(), "%T", tc.event)
	}
}
