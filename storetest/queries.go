package storetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/replay"
)

// queries are about enact.Querier, which a store need not be: then they hold.
func queries() []sentence {
	type of struct {
		says string
		test func(f *fixture, q enact.Querier)
	}
	all := []of{
		{"a tenant without executions has an empty page and no next", func(f *fixture, q enact.Querier) {
			page, next, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant})
			require.NoError(f.t, err)
			require.Empty(f.t, page)
			require.Empty(f.t, next)
		}},
		{"an execution is described as it stands after each append", testDescription},
		{"a page is listed newest created first, like ListExecutions", func(f *fixture, q enact.Querier) {
			all := f.createMany(7)
			page, next, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant})
			require.NoError(f.t, err)
			require.Equal(f.t, all, idsOf(page))
			require.Empty(f.t, next)
			require.Equal(f.t, all, f.listAll())
		}},
		{"pages joined by their cursors are the list, whatever their size", func(f *fixture, q enact.Querier) {
			all := f.createMany(11)
			for _, limit := range []int{0, 1, 2, 3, 10, 11, 12, enact.MaxQueryLimit} {
				require.Equal(f.t, all, idsOf(f.pages(q, enact.Query{Tenant: f.tenant, Limit: limit})), "limit %d", limit)
			}
		}},
		{"a page is no longer than its limit, 0 being the default", func(f *fixture, q enact.Querier) {
			f.createMany(enact.DefaultQueryLimit + 3)
			for limit, want := range map[int]int{0: enact.DefaultQueryLimit, 1: 1, 52: 52, 60: enact.DefaultQueryLimit + 3} {
				page, next, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant, Limit: limit})
				require.NoError(f.t, err)
				require.Len(f.t, page, want, "limit %d", limit)
				require.Equal(f.t, want > enact.DefaultQueryLimit+2, next == "", "limit %d", limit)
			}
		}},
		{"a cursor stays in its place while executions are created", testCursorStays},
		{"a cursor may be used again, and with other filters", func(f *fixture, q enact.Querier) {
			all := f.createMany(6)
			_, next, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant, Limit: 2})
			require.NoError(f.t, err)
			for range 2 {
				require.Equal(f.t, all[2:], idsOf(f.pages(q, enact.Query{Tenant: f.tenant, Cursor: next})))
			}
			require.Empty(f.t, f.pages(q, enact.Query{Tenant: f.tenant, Cursor: next, Status: []enact.Status{enact.StatusFailed}}))
		}},
		{"filters choose from the list", testFilters},
		{"the status is the one that package replay finds", testStatuses},
		{"an execution with many events since any gave it a status is running", testLookback},
		{"executions of other tenants are not shown", func(f *fixture, q enact.Querier) {
			other := f.in(newTenant())
			mine, theirs := f.createMany(3), other.createMany(2)
			require.Equal(f.t, mine, idsOf(f.pages(q, enact.Query{Tenant: f.tenant})))
			require.Equal(f.t, theirs, idsOf(f.pages(q, enact.Query{Tenant: other.tenant})))
		}},
		{"a creation that failed is not shown", func(f *fixture, q enact.Querier) {
			_, err := f.store.Append(f.ctx, f.execution, f.tenant, note(1), enact.ExpectExists())
			require.ErrorIs(f.t, err, enact.ErrConflict)
			require.Empty(f.t, f.pages(q, enact.Query{Tenant: f.tenant}))
		}},
		{"an invalid query is refused", testInvalidQueries},
		{"a query whose context has ended returns its error", func(f *fixture, q enact.Querier) {
			f.append(note(1))
			ended, cancel := context.WithCancel(f.ctx)
			cancel()
			_, _, err := q.Executions(ended, enact.Query{Tenant: f.tenant})
			require.ErrorIs(f.t, err, context.Canceled)
			_, err = q.ListTenants(ended)
			require.ErrorIs(f.t, err, context.Canceled)
		}},
		{"tenants are listed in order, each with no fewer executions than it has", testTenantList},
	}
	sentences := make([]sentence, len(all))
	for i, s := range all {
		sentences[i] = sentence{s.says, func(f *fixture) {
			if q, ok := f.store.(enact.Querier); ok {
				s.test(f, q)
			}
		}}
	}
	return sentences
}

// pages returns what the query finds, page by page.
func (f *fixture) pages(q enact.Querier, query enact.Query) []enact.ExecutionInfo {
	f.t.Helper()
	all := []enact.ExecutionInfo{}
	for x, err := range enact.AllExecutions(f.ctx, q, query) {
		require.NoError(f.t, err)
		require.NoError(f.t, x.Err)
		all = append(all, x)
	}
	return all
}

// info returns what a list says of the fixture's execution.
func (f *fixture) info(q enact.Querier) enact.ExecutionInfo {
	f.t.Helper()
	for _, x := range f.pages(q, enact.Query{Tenant: f.tenant}) {
		if x.ExecutionID == f.execution {
			return x
		}
	}
	require.FailNow(f.t, "the execution is not listed")
	return enact.ExecutionInfo{}
}

func idsOf(page []enact.ExecutionInfo) []enact.ExecutionID {
	ids := make([]enact.ExecutionID, len(page))
	for i, x := range page {
		ids[i] = x.ExecutionID
	}
	return ids
}

func testDescription(f *fixture, q enact.Querier) {
	at := time.Date(2026, 2, 23, 12, 0, 0, 123456789, time.UTC)
	want := enact.ExecutionInfo{TenantID: f.tenant, ExecutionID: f.execution, Created: at, Status: enact.StatusUnknown}
	for i, batch := range [][]enact.Event{
		{note(1), note(2)},
		{enact.ExecutionStarted{}},
		{enact.StepStarted{StepID: "s", StepType: enact.LLMNode, Name: "n"}, enact.ExecutionPaused{Reason: "r"}, note(3)},
		{enact.ExecutionResumed{}, enact.ExecutionCompleted{DurationMS: 1}},
		notes(1, 100),
	} {
		// Times need not be in order.
		want.Updated = at.AddDate(0, 0, i*(1-i%2*2))
		f.appendBatch(batch, enact.WithTimestamp(want.Updated))
		want.Events += uint64(len(batch))
		want.LastEvent = batch[len(batch)-1].Type()
		for _, e := range batch {
			if status, ok := enact.StatusAfter(e); ok {
				want.Status = status
			}
		}
		require.Equal(f.t, want, f.info(q))
	}
}

func testCursorStays(f *fixture, q enact.Querier) {
	all := f.createMany(9)
	got := []enact.ExecutionID{}
	query := enact.Query{Tenant: f.tenant, Limit: 2}
	for {
		page, next, err := q.Executions(f.ctx, query)
		require.NoError(f.t, err)
		got = append(got, idsOf(page)...)
		if next == "" {
			break
		}
		query.Cursor = next
		f.createMany(3)
		// What is appended later moves nothing either, and is seen by the pages to come.
		for _, id := range all {
			f.on(id).append(note(2))
		}
		if len(got) < len(all) {
			rest := f.pages(q, query)
			require.Equal(f.t, uint64(1+len(got)/2), rest[0].Events)
		}
	}
	require.Equal(f.t, all, got)
}

func testFilters(f *fixture, q enact.Querier) {
	day := func(n int) time.Time { return time.Date(2026, 3, n, 0, 0, 0, 0, time.UTC) }
	// Created on the first to the sixth, each updated ten days later with an end of its own.
	ends := []enact.Event{
		enact.ExecutionCompleted{},
		enact.ExecutionFailed{Error: fullError()},
		enact.ExecutionCancelled{Reason: "r"},
		enact.ExecutionPaused{Reason: "r"},
		note(1),
		enact.ExecutionCompleted{},
	}
	all := make([]enact.ExecutionInfo, len(ends))
	for i, end := range ends {
		g := f.on(enact.NewExecutionID())
		g.append(enact.ExecutionStarted{}, enact.WithTimestamp(day(1+i)))
		g.append(end, enact.WithTimestamp(day(11+i)))
		status, ok := enact.StatusAfter(end)
		if !ok {
			status = enact.StatusRunning
		}
		all[len(ends)-1-i] = enact.ExecutionInfo{
			TenantID: f.tenant, ExecutionID: g.execution, Created: day(1 + i), Updated: day(11 + i), Events: 2, LastEvent: end.Type(), Status: status,
		}
	}
	for _, query := range []enact.Query{
		{},
		{Status: []enact.Status{enact.StatusCompleted}},
		{Status: []enact.Status{enact.StatusRunning, enact.StatusPaused}},
		{Status: []enact.Status{enact.StatusUnknown}},
		{LastEvent: []string{enact.TypeExecutionFailed, enact.TypeCustom}},
		{LastEvent: []string{"no such type"}},
		{Since: day(3)},
		{Until: day(3)},
		{Since: day(3), Until: day(3).Add(1)},
		{Since: day(2), Until: day(5)},
		{UpdatedSince: day(12), UpdatedUntil: day(14)},
		{UpdatedUntil: day(11)},
		{Status: []enact.Status{enact.StatusCompleted}, Since: day(2), UpdatedUntil: day(17), LastEvent: []string{enact.TypeExecutionCompleted}},
	} {
		query.Tenant = f.tenant
		want := slices.DeleteFunc(slices.Clone(all), func(x enact.ExecutionInfo) bool { return !query.Matches(x) })
		for _, query.Limit = range []int{0, 1, 2} {
			require.Equal(f.t, want, f.pages(q, query), "%+v", query)
		}
	}
	// The interval is half open, which Matches cannot show of itself.
	at := f.pages(q, enact.Query{Tenant: f.tenant, Since: day(3), Until: day(4)})
	require.Len(f.t, at, 1)
	require.Equal(f.t, day(3), at[0].Created)
}

func testStatuses(f *fixture, q enact.Querier) {
	step := enact.StepStarted{StepID: "s", StepType: enact.ToolNode, Name: "n"}
	for name, events := range map[string][]enact.Event{
		"only a step":                {step},
		"started":                    {enact.ExecutionStarted{}},
		"steps after the start":      {enact.ExecutionStarted{}, step, step},
		"a step while paused":        {enact.ExecutionStarted{}, enact.ExecutionPaused{}, step},
		"resumed":                    {enact.ExecutionPaused{}, enact.ExecutionResumed{}, step},
		"a failed step is no end":    {enact.ExecutionStarted{}, enact.StepFailed{StepID: "s", Error: fullError()}},
		"a step after the end":       {enact.ExecutionStarted{}, enact.ExecutionCancelled{}, step},
		"failed, then completed":     {enact.ExecutionFailed{Error: fullError()}, enact.ExecutionCompleted{}},
		"started again after an end": {enact.ExecutionFailed{Error: fullError()}, enact.ExecutionStarted{}, note(1)},
		"of a type yet unknown":      {enact.ExecutionPaused{}, enact.Unknown{Tag: "new", Raw: []byte(`{"type":"new"}`)}},
		"paused long ago":            append([]enact.Event{enact.ExecutionPaused{}}, notes(1, 700)...),
	} {
		for _, opts := range [][]enact.AppendOption{nil, {enact.WithOneEventPerRecord()}} {
			g := f.on(enact.NewExecutionID())
			g.appendBatch(events, opts...)
			state, err := replay.Of(g.load())
			require.NoError(f.t, err)
			require.Equal(f.t, state.Status, g.info(q).Status, "%s, %d options", name, len(opts))
		}
	}
}

func testLookback(f *fixture, q enact.Querier) {
	f.append(enact.ExecutionPaused{})
	f.appendBatch(notes(2, enact.StatusLookback))
	require.Equal(f.t, enact.StatusPaused, f.info(q).Status, "the last event that is looked at")
	f.append(note(0))
	require.Equal(f.t, enact.StatusRunning, f.info(q).Status)
	f.appendBatch([]enact.Event{enact.ExecutionCancelled{}, note(0)})
	require.Equal(f.t, enact.StatusCancelled, f.info(q).Status)

	silent := f.on(enact.NewExecutionID())
	silent.appendBatch(notes(1, enact.StatusLookback))
	require.Equal(f.t, enact.StatusUnknown, silent.info(q).Status, "the whole history was looked at")
}

func testInvalidQueries(f *fixture, q enact.Querier) {
	f.createMany(3)
	other := f.in(newTenant())
	other.createMany(3)
	now := time.Now()
	for _, query := range []enact.Query{
		{Limit: -1},
		{Limit: enact.MaxQueryLimit + 1},
		{Status: []enact.Status{enact.StatusFailed, "dead"}},
		{Since: now, Until: now},
		{UpdatedSince: now, UpdatedUntil: now.Add(-1)},
	} {
		query.Tenant = f.tenant
		_, _, err := q.Executions(f.ctx, query)
		var option *enact.OptionError
		require.ErrorAs(f.t, err, &option, "%+v", query)
	}
	for _, tenant := range []enact.TenantID{"", enact.TenantID(strings.Repeat("x", enact.MaxIDLength+1)), "\xff"} {
		_, _, err := q.Executions(f.ctx, enact.Query{Tenant: tenant})
		require.ErrorIs(f.t, err, enact.ErrInvalidID)
	}
	_, foreign, err := q.Executions(f.ctx, enact.Query{Tenant: other.tenant, Limit: 1})
	require.NoError(f.t, err)
	_, mine, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant, Limit: 1})
	require.NoError(f.t, err)
	for _, text := range []string{foreign, mine + "A", mine[1:], "x", string(f.execution)} {
		_, _, err := q.Executions(f.ctx, enact.Query{Tenant: f.tenant, Cursor: text})
		var typed *enact.CursorError
		require.ErrorAs(f.t, err, &typed, "cursor %q", text)
		require.ErrorIs(f.t, err, enact.ErrInvalidCursor)
	}
}

func testTenantList(f *fixture, q enact.Querier) {
	want := map[enact.TenantID]uint64{}
	for n := range 3 {
		tenant := enact.TenantID(fmt.Sprintf("%s.%d*>", newTenant(), n))
		f.in(tenant).createMany(n + 1)
		want[tenant] = uint64(n + 1)
	}
	tenants, err := q.ListTenants(f.ctx)
	require.NoError(f.t, err)
	require.True(f.t, slices.IsSortedFunc(tenants, func(a, b enact.TenantInfo) int {
		return strings.Compare(string(a.TenantID), string(b.TenantID))
	}))
	for _, x := range tenants {
		if least, ok := want[x.TenantID]; ok {
			require.GreaterOrEqual(f.t, x.Executions, least)
			delete(want, x.TenantID)
		}
		require.NotEqual(f.t, f.tenant, x.TenantID, "a tenant without executions")
	}
	require.Empty(f.t, want)
}
