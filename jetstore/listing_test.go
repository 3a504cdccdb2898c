package jetstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// shortWindow is the shortest time in which a server knows a message id again.
const shortWindow = 100 * time.Millisecond

// madeLog is a log in the memory of a server of its own, to which messages are added
// that no store has made.
type madeLog struct {
	t        require.TestingT
	nc       *nats.Conn
	store    *jetstore.Store
	subjects enact.Subjects
	window   time.Duration
	n        int
}

// newMadeLog makes the log. window is how long the index knows a message id again; 0: as
// long as the server chooses.
func newMadeLog(t *testing.T, window time.Duration) *madeLog {
	t.Helper()
	_, nc := startServer(t)
	l := &madeLog{t: t, nc: nc, window: window}
	l.makeStreams(t)
	l.store = l.open(t)
	l.subjects = l.store.Subjects()
	return l
}

// makeStreams makes the streams that are missing.
func (l *madeLog) makeStreams(t *testing.T) {
	t.Helper()
	require.NoError(t, jetstore.EnsureStream(t.Context(), l.nc, jetstore.WithMemoryStorage()))
	if l.window == 0 {
		return
	}
	js := natstest.JetStream(t, l.nc)
	index, err := js.Stream(t.Context(), "ENACT_INDEX")
	require.NoError(t, err)
	cfg := index.CachedInfo().Config
	cfg.Duplicates = l.window
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
}

// open opens the log by a store that knows nothing of it yet.
func (l *madeLog) open(t *testing.T) *jetstore.Store {
	t.Helper()
	s, err := jetstore.Open(t.Context(), l.nc, jetstore.WithMemoryStorage(), jetstore.Patient())
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	return s
}

// creation returns a creation that is made now, of an execution of one event.
func (l *madeLog) creation(tenant enact.TenantID) logtest.Creation {
	l.n++
	now := time.Now()
	return logtest.Creation{
		Subjects: l.subjects, Tenant: tenant, Execution: enact.ExecutionID(fmt.Sprintf("e%d", l.n)),
		Commit: logtest.NewCommit(now), Time: now, Events: []enact.Event{note(1)},
	}
}

// send sends messages, and returns when the server has stored them.
func (l *madeLog) send(messages ...*nats.Msg) {
	// Each stream stores in an order of its own: the last of either is waited for.
	last := make(map[bool]int)
	inIndex := func(m *nats.Msg) bool { return strings.HasPrefix(m.Subject, "enact-index.") }
	for i, m := range messages {
		last[inIndex(m)] = i
	}
	for i, m := range messages {
		if i != last[inIndex(m)] && i%1000 != 999 {
			require.NoError(l.t, l.nc.PublishMsg(m))
			continue
		}
		require.NotContains(l.t, l.ack(m), "error")
	}
}

// ack sends a message and returns the answer.
func (l *madeLog) ack(m *nats.Msg) string {
	ack, err := l.nc.RequestMsg(m, time.Minute)
	require.NoError(l.t, err)
	return string(ack.Data)
}

// record returns the creation's message of the log.
func (l *madeLog) record(c logtest.Creation) *nats.Msg {
	m, err := c.Record()
	require.NoError(l.t, err)
	return m
}

// forget waits until the server knows none of the message ids that were sent so far.
func (l *madeLog) forget(t *testing.T) {
	t.Helper()
	probe := l.creation("probe").Entry()
	l.send(probe)
	natstest.Eventually(t, time.Minute, func() bool {
		var ack struct {
			Duplicate bool `json:"duplicate"`
		}
		require.NoError(t, json.Unmarshal([]byte(l.ack(probe)), &ack))
		return !ack.Duplicate
	}, func() string { return "the server still knows the message id" })
}

// stretchOf is a run of index entries of one kind.
type stretchOf struct {
	tenant int // of those that are listed; -1: of another
	kind   string
	times  int
}

const (
	whole    = "whole"     // the execution has records
	dead     = "dead"      // it has none: its creation crashed
	overtook = "overtaken" // of a creation that lost the race for an execution before it
	twice    = "twice"     // a copy of an entry of the first part
)

func stretches(kinds ...string) *rapid.Generator[[]stretchOf] {
	one := rapid.Custom(func(t *rapid.T) stretchOf {
		return stretchOf{
			tenant: rapid.IntRange(-1, 1).Draw(t, "tenant"),
			kind:   rapid.SampledFrom(kinds).Draw(t, "kind"),
			times:  rapid.SampledFrom([]int{1, 1, 2, 3, 7, 20, 150}).Draw(t, "times"),
		}
	})
	return rapid.SliceOfN(one, 1, 8)
}

// Whatever lies in the index, and however: a list has each execution that has events
// once, in the order of the entries, and pages of any size by offset and by cursor agree,
// from stores that know the list and from others.
func TestListsOfAnyLayout(t *testing.T) {
	l := newMadeLog(t, shortWindow)
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		tenants := []enact.TenantID{enact.TenantID(fmt.Sprintf("a%d", round)), enact.TenantID(fmt.Sprintf("b%d", round))}
		made := make([][]logtest.Creation, 2) // of the executions that have events, in order
		add := func(part []stretchOf, first [2]int) {
			var messages []*nats.Msg
			for _, s := range part {
				for i := range s.times {
					tenant := enact.TenantID("other")
					if s.tenant >= 0 {
						tenant = tenants[s.tenant]
					}
					c := l.creation(tenant)
					at := max(s.tenant, 0)
					switch {
					case s.kind == whole:
						messages = append(messages, l.record(c))
						if s.tenant >= 0 {
							made[at] = append(made[at], c)
						}
					case s.kind == overtook && s.tenant >= 0 && len(made[at]) > 0:
						c.Execution = made[at][i%len(made[at])].Execution
					case s.kind == twice && s.tenant >= 0 && first[at] > 0:
						c = made[at][i%first[at]]
					}
					messages = append(messages, c.Entry())
				}
			}
			l.send(messages...)
		}
		add(stretches(whole, whole, dead, overtook).Draw(rt, "first"), [2]int{})
		first := [2]int{len(made[0]), len(made[1])}
		known := l.store
		_, err := known.ListExecutions(t.Context(), tenants[0], 10, 0)
		require.NoError(rt, err)
		if second := stretches(whole, dead, overtook, twice).Draw(rt, "second"); rapid.IntRange(0, 3).Draw(rt, "more") == 0 {
			l.forget(t)
			add(second, first)
		}
		for at, tenant := range tenants {
			want := []enact.ExecutionID{}
			for _, c := range slices.Backward(made[at]) {
				want = append(want, c.Execution)
			}
			fresh := l.open(t)
			for _, s := range []*jetstore.Store{fresh, known} {
				limit := rapid.SampledFrom([]int{1, 3, 50, 300}).Draw(rt, "limit")
				offset := rapid.IntRange(0, len(want)+1).Draw(rt, "offset")
				page, err := s.ListExecutions(t.Context(), tenant, limit, offset)
				require.NoError(rt, err)
				rest := want[min(offset, len(want)):]
				require.Equal(rt, rest[:min(limit, len(rest))], page, "limit %d, offset %d", limit, offset)
				all, err := s.ListExecutions(t.Context(), tenant, math.MaxInt, 0)
				require.NoError(rt, err)
				require.Equal(rt, want, all)
				var found []enact.ExecutionID
				for x, err := range enact.AllExecutions(t.Context(), s, enact.Query{Tenant: tenant, Limit: max(limit, len(want)/20)}) {
					require.NoError(rt, err)
					require.NoError(rt, x.Err)
					found = append(found, x.ExecutionID)
				}
				require.Equal(rt, want, append([]enact.ExecutionID{}, found...))
			}
		}
	})
}

// A page finds its way back over any number of others' entries, and does not read them.
func TestNewestPageOfASparseTenant(t *testing.T) {
	l := newMadeLog(t, 0)
	var messages []*nats.Msg
	want := []enact.ExecutionID{}
	for i := range 120_000 {
		tenant := enact.TenantID(fmt.Sprintf("dense%d", i%3))
		if i%40_000 == 1000 || i == 500 {
			tenant = "sparse"
		}
		c := l.creation(tenant)
		messages = append(messages, c.Entry())
		if tenant == "sparse" {
			messages = append(messages, l.record(c))
			want = slices.Insert(want, 0, c.Execution)
		}
	}
	l.send(messages...)
	require.Len(t, want, 4)
	for _, limit := range []int{1, 2, 3, 4, 5} {
		s := l.open(t)
		for range 2 {
			got, err := s.ListExecutions(t.Context(), "sparse", limit, 0)
			require.NoError(t, err)
			require.Equal(t, want[:min(limit, 4)], got)
		}
		var found []enact.ExecutionID
		for x, err := range enact.AllExecutions(t.Context(), s, enact.Query{Tenant: "sparse", Limit: limit}) {
			require.NoError(t, err)
			found = append(found, x.ExecutionID)
		}
		require.Equal(t, want, found)
	}
}

// An entry whose execution has no records yet does not count, and does as soon as it has.
func TestACreationUnderWayIsListedOnceItIsStored(t *testing.T) {
	l := newMadeLog(t, 0)
	c := l.creation("t")
	l.send(c.Entry())
	other := l.open(t)
	for _, s := range []*jetstore.Store{l.store, other} {
		for range 2 {
			got, err := s.ListExecutions(t.Context(), "t", 10, 0)
			require.NoError(t, err)
			require.Empty(t, got)
			page, next, err := s.Executions(t.Context(), enact.Query{Tenant: "t"})
			require.NoError(t, err)
			require.Empty(t, page)
			require.Empty(t, next)
		}
	}
	l.send(l.record(c))
	for _, s := range []*jetstore.Store{l.store, other} {
		got, err := s.ListExecutions(t.Context(), "t", 10, 0)
		require.NoError(t, err)
		require.Equal(t, []enact.ExecutionID{c.Execution}, got)
		page, _, err := s.Executions(t.Context(), enact.Query{Tenant: "t"})
		require.NoError(t, err)
		require.Len(t, page, 1)
	}
}

// A message of the index that is no entry is not passed over.
func TestForeignMessagesInTheIndex(t *testing.T) {
	l := newMadeLog(t, 0)
	for name, change := range map[string]func(m *nats.Msg){
		"no message id":     func(m *nats.Msg) { m.Header.Del(nats.MsgIdHdr) },
		"another id":        func(m *nats.Msg) { m.Header.Set(nats.MsgIdHdr, name(m)+"x") },
		"an id in capitals": func(m *nats.Msg) { m.Header.Set(nats.MsgIdHdr, "019C8A5E-E27C-7000-8000-0242AC120002") },
		"no JSON":           func(m *nats.Msg) { m.Data = []byte("{") },
		"another tenant": func(m *nats.Msg) {
			m.Data = []byte(`{"execution_id":"e","tenant_id":"x","timestamp":"2026-01-01T00:00:00Z"}`)
		},
		"no execution": func(m *nats.Msg) {
			m.Data = fmt.Appendf(nil, `{"tenant_id":%q,"timestamp":"2026-01-01T00:00:00Z"}`, tenantOf(m))
		},
		"no time": func(m *nats.Msg) { m.Data = fmt.Appendf(nil, `{"execution_id":"e","tenant_id":%q}`, tenantOf(m)) },
	} {
		tenant := enact.TenantID(name)
		c := l.creation(tenant)
		l.send(c.Entry(), l.record(c))
		m := l.creation(tenant).Entry()
		change(m)
		l.send(m)
		for _, s := range []*jetstore.Store{l.store, l.open(t)} {
			_, err := s.ListExecutions(t.Context(), tenant, 10, 0)
			corrupt, ok := errors.AsType[*enact.CorruptError](err)
			require.True(t, ok, "%s: %v", name, err)
			require.Equal(t, tenant, corrupt.TenantID)
			require.NotZero(t, corrupt.Position)
			_, _, err = s.Executions(t.Context(), enact.Query{Tenant: tenant})
			require.ErrorIs(t, err, enact.ErrCorrupt, name)
		}
	}
}

func name(m *nats.Msg) string { return m.Header.Get(nats.MsgIdHdr) }

func tenantOf(m *nats.Msg) enact.TenantID {
	subjects, _ := enact.NewSubjects("")
	tenant, _ := subjects.ParseIndex(m.Subject)
	return tenant
}

// A server that takes longer for a page of its subjects than others for an answer is waited
// for, and not asked again and again.
func TestTenantsOfABusyServer(t *testing.T) {
	t.Parallel() // it waits most of the time
	fs := startFaultServer(t)
	_, err := fs.observer.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	l, err := fs.connect(jetstore.WithTimeout(time.Minute))
	require.NoError(t, err)
	defer func() { require.NoError(t, l.close()) }()
	l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{{
		At: faultnet.Point{Direction: faultnet.Reply, Class: faultnet.StreamInfo}, Nth: 1, Times: 1 << 20, Fault: faultnet.Delay, Wait: 3 * time.Second,
	}}}))
	tenants, err := l.store.ListTenants(t.Context())
	require.NoError(t, err)
	require.Equal(t, []enact.TenantInfo{{TenantID: "acme", Executions: 1}}, tenants)
}

// Tenants are counted over more than one page of the server's.
func TestManyTenants(t *testing.T) {
	l := newMadeLog(t, 0)
	n := amount(100_050, 100_050, 2050) // a page has 100 000
	messages := make([]*nats.Msg, 0, n+2)
	for i := range n {
		messages = append(messages, l.creation(enact.TenantID(fmt.Sprintf("tenant %06d", i))).Entry())
	}
	messages = append(messages, l.creation("tenant 000007").Entry(), l.creation(enact.TenantID(fmt.Sprintf("tenant %06d", n-43))).Entry())
	l.send(messages...)
	got, err := l.store.ListTenants(t.Context())
	require.NoError(t, err)
	require.Len(t, got, n)
	for i, x := range got {
		want := enact.TenantInfo{TenantID: enact.TenantID(fmt.Sprintf("tenant %06d", i)), Executions: 1}
		if i == 7 || i == n-43 {
			want.Executions = 2
		}
		require.Equal(t, want, x)
	}
}
