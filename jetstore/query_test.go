package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/replay"
)

// questions counts the requests that came over a connection while f ran, by subject.
func questions(t *testing.T, listener, over *nats.Conn, f func()) map[string]int {
	t.Helper()
	n := make(map[string]int)
	for _, m := range asked(t, listener, over, f) {
		n[strings.TrimPrefix(m.Subject, "$JS.API.")]++
	}
	return n
}

// What the newest page costs does not depend on the length of the list, and a page that
// is asked for again costs the question whether it has changed.
func TestCostOfTheNewestPage(t *testing.T) {
	for _, n := range []int{500, 5000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := newMadeLog(t, 0)
			raw := natstest.Connect(t, l.nc.ConnectedUrl())
			var messages []*nats.Msg
			for range n {
				c := l.creation("t")
				messages = append(messages, c.Entry(), l.record(c))
			}
			l.send(messages...)
			list := func(s *jetstore.Store) {
				page, err := s.ListExecutions(t.Context(), "t", 50, 0)
				require.NoError(t, err)
				require.Len(t, page, 50)
			}
			query := func(s *jetstore.Store) {
				page, _, err := s.Executions(t.Context(), enact.Query{Tenant: "t"})
				require.NoError(t, err)
				require.Len(t, page, 50)
			}
			fence := map[string]int{"STREAM.MSG.GET.ENACT_INDEX": 1, "STREAM.INFO.ENACT_INDEX": 1}
			first := map[string]int{"STREAM.MSG.GET.ENACT_INDEX": 1, "STREAM.INFO.ENACT_INDEX": 1, "DIRECT.GET.ENACT_INDEX": 1, "DIRECT.GET.ENACT": 1}
			s := l.open(t)
			require.Equal(t, first, questions(t, raw, l.nc, func() { list(s) }), "first list")
			require.Equal(t, fence, questions(t, raw, l.nc, func() { list(s) }), "list again")
			fence["STREAM.INFO.ENACT"], fence["DIRECT.GET.ENACT"] = 1, 1
			require.Equal(t, fence, questions(t, raw, l.nc, func() { query(s) }), "details")
			s = l.open(t)
			first["STREAM.INFO.ENACT"] = 1
			require.Equal(t, first, questions(t, raw, l.nc, func() { query(s) }), "first with details")
			_, err := s.Append(t.Context(), "new", "t", note(1))
			require.NoError(t, err)
			fence["DIRECT.GET.ENACT_INDEX"] = 1
			require.Equal(t, fence, questions(t, raw, l.nc, func() { query(s) }), "after a creation")
		})
	}
}

// The status of a long execution is looked for once; then only what is new is looked at.
func TestStatusOfALongExecution(t *testing.T) {
	l := newWatchedLog(t)
	run := l.store.Execution("t", "long")
	append := func(events ...enact.Event) {
		_, err := run.AppendBatch(t.Context(), events, enact.WithOneEventPerRecord())
		require.NoError(t, err)
	}
	ask := func() (status enact.Status, reads int) {
		n := l.counted(t, func() {
			page, _, err := l.store.Executions(t.Context(), enact.Query{Tenant: "t"})
			require.NoError(t, err)
			require.Len(t, page, 1)
			require.NoError(t, page[0].Err)
			status = page[0].Status
		})
		return status, n.batches + n.first + n.points // beside the one for all last records
	}
	append(enact.ExecutionPaused{})
	append(notes(700)...)
	status, reads := ask()
	require.Equal(t, enact.StatusPaused, status)
	require.Greater(t, reads, 1)
	for range 3 {
		status, reads = ask()
		require.Equal(t, enact.StatusPaused, status)
		require.Equal(t, 1, reads, "it is remembered")
		append(note(1))
	}
	for _, next := range []struct {
		events []enact.Event
		want   enact.Status
	}{
		{notes(5), enact.StatusPaused},
		{[]enact.Event{enact.ExecutionResumed{}, note(1)}, enact.StatusRunning},
		{notes(900), enact.StatusRunning},
		{[]enact.Event{enact.ExecutionFailed{Error: enact.NewExecutionError(enact.CategoryTimeout, "late")}}, enact.StatusFailed},
		{notes(100), enact.StatusFailed},
		{notes(enact.StatusLookback - 101), enact.StatusFailed},
		{notes(1), enact.StatusRunning},
		{notes(1), enact.StatusRunning},
	} {
		append(next.events...)
		status, _ = ask()
		require.Equal(t, next.want, status)
		// One that remembers nothing says the same.
		fresh, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage())
		require.NoError(t, err)
		page, _, err := fresh.Executions(t.Context(), enact.Query{Tenant: "t"})
		require.NoError(t, err)
		require.Equal(t, next.want, page[0].Status)
		shutDown(t, fresh)
	}
	state, err := replay.Collect(run.Events(t.Context(), 0))
	require.NoError(t, err)
	require.Equal(t, enact.StatusFailed, state.Status, "which is the difference that the look-back makes")
}

// An execution whose end cannot be read is listed, with the reason, and hides no other.
func TestExecutionsThatCannotBeReadAreListed(t *testing.T) {
	l := newMadeLog(t, 0)
	ctx := t.Context()
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	create := func(id enact.ExecutionID, codecs ...jetstore.Option) {
		s, err := jetstore.Open(ctx, l.nc, append(codecs, jetstore.WithMemoryStorage())...)
		require.NoError(t, err)
		_, err = s.AppendBatch(ctx, id, "t", notes(2), enact.WithTimestamp(at))
		require.NoError(t, err)
		shutDown(t, s)
	}
	foreign := func(id enact.ExecutionID, h nats.Header) {
		l.send(&nats.Msg{Subject: l.subjects.Execution("t", id), Header: h})
	}
	create("sound")
	create("other codec", jetstore.WithCodec(otherCodec{}))
	create("foreign end")
	foreign("foreign end", nil)
	create("newer end")
	foreign("newer end", nats.Header{"Enact-Version": {"2"}})
	c := l.creation("t")
	c.Execution = "foreign all through"
	l.send(c.Entry(), &nats.Msg{Subject: l.subjects.Execution("t", c.Execution)})
	create("sound too")

	page, next, err := l.store.Executions(ctx, enact.Query{Tenant: "t"})
	require.NoError(t, err)
	require.Empty(t, next)
	want := []struct {
		id     enact.ExecutionID
		err    error
		events uint64
	}{
		{"sound too", nil, 2},
		{"foreign all through", enact.ErrCorrupt, 0},
		{"newer end", enact.ErrUnsupportedVersion, 0},
		{"foreign end", enact.ErrCorrupt, 0},
		{"other codec", enact.ErrUnknownCodec, 2},
		{"sound", nil, 2},
	}
	require.Len(t, page, len(want))
	listed := []enact.ExecutionID{}
	for i, w := range want {
		x := page[i]
		listed = append(listed, x.ExecutionID)
		require.Equal(t, w.id, x.ExecutionID)
		require.ErrorIs(t, x.Err, w.err, "%s", w.id)
		require.Equal(t, w.events, x.Events, "%s", w.id)
		require.Equal(t, enact.StatusUnknown, x.Status)
		if w.id != c.Execution {
			require.Equal(t, at, x.Created)
		}
		if w.events > 0 {
			require.Equal(t, at, x.Updated)
		}
	}
	for _, s := range []*jetstore.Store{l.store, l.open(t)} {
		got, err := s.ListExecutions(ctx, "t", math.MaxInt, 0)
		require.NoError(t, err)
		require.Equal(t, listed, got)
	}
	failed, _, err := l.store.Executions(ctx, enact.Query{Tenant: "t", LastEvent: []string{enact.TypeCustom}})
	require.NoError(t, err)
	require.Len(t, failed, 2)
}

// A torn execution is one that cannot be read.
func TestATornExecutionIsListed(t *testing.T) {
	c := copyLog(t, shape{{times: 3, events: 1}, {times: 1, events: 20, single: true}})
	a := c.alter()
	a.stream.Cut(c.position(len(c.records) - 2))
	run := a.open(t)
	page, _, err := run.Store().Executions(t.Context(), enact.Query{Tenant: run.Tenant()})
	require.NoError(t, err)
	require.Len(t, page, 1)
	require.ErrorIs(t, page[0].Err, enact.ErrCorrupt)
	require.ErrorContains(t, page[0].Err, "torn")
}

// A page goes through a bounded number of executions, and the pages together through all.
func TestAPageIsShortWhereLittleMatches(t *testing.T) {
	l := newMadeLog(t, 0)
	const n = 9000
	var messages []*nats.Msg
	needle := n / 2
	for i := range n {
		c := l.creation("t")
		if i == needle {
			c.Events = []enact.Event{enact.ExecutionCancelled{Reason: "found"}}
		}
		messages = append(messages, c.Entry(), l.record(c))
	}
	l.send(messages...)
	query := enact.Query{Tenant: "t", Status: []enact.Status{enact.StatusCancelled}}
	var found []enact.ExecutionInfo
	pages := 0
	for {
		page, next, err := l.store.Executions(t.Context(), query)
		require.NoError(t, err)
		found = append(found, page...)
		pages++
		if next == "" {
			break
		}
		query.Cursor = next
	}
	require.Len(t, found, 1)
	require.Equal(t, enact.ExecutionID(fmt.Sprintf("e%d", needle+1)), found[0].ExecutionID)
	require.Equal(t, 3, pages, "4000 executions a page")
}

// Last records may be large, more together than one answer holds.
func TestListsOfLargeRecords(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	large := enact.Custom{EventType: "large", Data: enact.JSON(strings.Repeat("x", 3<<20))}
	want := []enact.ExecutionID{}
	for i := range 7 {
		id := enact.ExecutionID(fmt.Sprint("e", 9-i))
		_, err := s.Append(t.Context(), id, "t", large)
		require.NoError(t, err)
		want = append([]enact.ExecutionID{id}, want...)
	}
	fresh, err := jetstore.Open(t.Context(), s.Conn(), jetstore.WithMemoryStorage())
	require.NoError(t, err)
	defer shutDown(t, fresh)
	got, err := fresh.ListExecutions(t.Context(), "t", 10, 0)
	require.NoError(t, err)
	require.Equal(t, want, got)
	page, _, err := fresh.Executions(t.Context(), enact.Query{Tenant: "t"})
	require.NoError(t, err)
	require.Len(t, page, 7)
	for i, x := range page {
		require.Equal(t, want[i], x.ExecutionID)
		require.Equal(t, "custom", x.LastEvent)
	}
}

// A cursor belongs to the index that it was made from.
func TestACursorDoesNotOutliveItsIndex(t *testing.T) {
	l := newMadeLog(t, 0)
	for range 3 {
		c := l.creation("t")
		l.send(c.Entry(), l.record(c))
	}
	_, next, err := l.store.Executions(t.Context(), enact.Query{Tenant: "t", Limit: 1})
	require.NoError(t, err)
	require.NotEmpty(t, next)
	l.loseIndex(t)
	for _, s := range []*jetstore.Store{l.store, l.open(t)} {
		_, _, err := s.Executions(t.Context(), enact.Query{Tenant: "t", Cursor: next})
		require.ErrorIs(t, err, enact.ErrInvalidCursor)
		page, _, err := s.Executions(t.Context(), enact.Query{Tenant: "t"})
		require.NoError(t, err)
		require.Empty(t, page, "what was kept of the old index is forgotten")
	}
}

// A list that is asked for after an append was acknowledged shows it, in a process that
// knows nothing of the append, over any server, also over one that lags.
func TestListAfterAcknowledge(t *testing.T) {
	const (
		rounds  = 200
		writers = 4
	)
	var writeTo, readFrom []*jetstore.Store
	servers, lag := startLagging(t)
	lag(3 * time.Millisecond)
	for _, srv := range servers {
		// Each call by itself has time enough: how long all of them take is up to the machine.
		writeTo = append(writeTo, connectTo(t, srv.URL(), jetstore.WithTimeout(2*time.Minute)))
		readFrom = append(readFrom, connectTo(t, srv.URL(), jetstore.WithTimeout(2*time.Minute)))
	}
	var done atomic.Int64
	errs := make([]error, writers)
	var all sync.WaitGroup
	for w := range writers {
		tenant := enact.TenantID(fmt.Sprint("t", w))
		all.Go(func() {
			for i := 0; errs[w] == nil && done.Add(1) <= rounds; i++ {
				id := enact.NewExecutionID()
				errs[w] = listedAtOnce(t.Context(), writeTo[(w+i)%3].Execution(tenant, id), readFrom[(w+i/3)%3])
			}
		})
	}
	all.Wait()
	require.NoError(t, errors.Join(errs...))
}

// listedAtOnce creates an execution and completes it, and lists it after each append.
func listedAtOnce(ctx context.Context, run jetstore.Execution, s *jetstore.Store) error {
	for n, event := range []enact.Event{enact.ExecutionStarted{}, enact.ExecutionCompleted{}} {
		if _, err := run.Append(ctx, event); err != nil {
			return err
		}
		ids, err := s.ListExecutions(ctx, run.Tenant(), 1, 0)
		if err != nil {
			return err
		}
		if len(ids) != 1 || ids[0] != run.ID() {
			return fmt.Errorf("execution %s is not the newest after event %d: %v", run.ID(), n+1, ids)
		}
		page, _, err := s.Executions(ctx, enact.Query{Tenant: run.Tenant(), Limit: 3})
		if err != nil {
			return err
		}
		want, _ := enact.StatusAfter(event)
		if len(page) == 0 || page[0].ExecutionID != run.ID() || page[0].Events != uint64(n+1) || page[0].Status != want {
			return fmt.Errorf("execution %s is not described as it stands after event %d: %+v", run.ID(), n+1, page)
		}
	}
	return nil
}
