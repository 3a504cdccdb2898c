package jetstore_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
	"github.com/enactlog/enact/storetest"
)

// openApart opens a log with a stream per tenant, in memory.
func openApart(t *testing.T, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	return embedded.ForTest(t, embedded.WithMemoryStorage(), embedded.WithStore(append(opts, jetstore.WithStreamPerTenant())...))
}

// The contract holds with a stream per tenant.
func TestContractWithStreamPerTenant(t *testing.T) {
	storetest.Run(t, func(t *testing.T) enact.EventStore { return &unique{Store: openApart(t)} })
}

// unique is a store with a stream per tenant that keeps, as the suite expects, ids unique
// over all tenants: it knows the tenant of each execution, refuses others, and names it
// where the caller does not.
type unique struct {
	*jetstore.Store
	mu      sync.Mutex
	made    map[enact.TenantID]bool
	tenants map[enact.ExecutionID]enact.TenantID
}

// enter makes the tenant's streams, and refuses an execution of another tenant.
func (u *unique) enter(ctx context.Context, tenant enact.TenantID, id enact.ExecutionID) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if tenant.Validate() != nil || ctx.Err() != nil {
		return nil // the store says so
	}
	if !u.made[tenant] {
		if err := u.EnsureTenant(ctx, tenant); err != nil {
			return err
		}
		if u.made == nil {
			u.made, u.tenants = make(map[enact.TenantID]bool), make(map[enact.ExecutionID]enact.TenantID)
		}
		u.made[tenant] = true
	}
	if owner, ok := u.tenants[id]; ok && owner != tenant {
		exists, err := u.Store.ExecutionExists(ctx, id, enact.InTenant(owner))
		if err != nil {
			return err
		}
		if exists {
			return enact.ErrTenantMismatch
		}
	}
	if id != "" {
		u.tenants[id] = tenant
	}
	return nil
}

func (u *unique) Commit(ctx context.Context, b enact.Batch) (enact.Receipt, error) {
	// What is invalid is so whoever it belongs to.
	if b.Validate() == nil {
		if err := u.enter(ctx, b.TenantID, b.ExecutionID); err != nil {
			return enact.Receipt{}, err
		}
	}
	receipt, err := u.Store.Commit(ctx, b)
	if errors.Is(err, enact.ErrStreamNotFound) && b.Validate() != nil {
		return receipt, b.Validate()
	}
	return receipt, err
}

func (u *unique) Append(ctx context.Context, id enact.ExecutionID, tenant enact.TenantID, e enact.Event, opts ...enact.AppendOption) (uint64, error) {
	return u.AppendBatch(ctx, id, tenant, []enact.Event{e}, opts...)
}

func (u *unique) AppendBatch(ctx context.Context, id enact.ExecutionID, tenant enact.TenantID, events []enact.Event, opts ...enact.AppendOption) (uint64, error) {
	receipt, err := u.Commit(ctx, enact.Batch{TenantID: tenant, ExecutionID: id, Events: events, Options: enact.NewAppendOptions(opts...)})
	return receipt.First, err
}

// named adds the tenant to a read that names none.
func (u *unique) named(ctx context.Context, id enact.ExecutionID, opts []enact.ReadOption) []enact.ReadOption {
	tenant := enact.TenantID("nobody")
	if given := enact.NewReadOptions(opts...).TenantID; given != nil {
		tenant, id = *given, ""
	} else {
		u.mu.Lock()
		if owner, ok := u.tenants[id]; ok {
			tenant = owner
		}
		u.mu.Unlock()
	}
	_ = u.enter(ctx, tenant, "") // the read says what is wrong
	return append(opts[:len(opts):len(opts)], enact.InTenant(tenant))
}

func (u *unique) LoadEvents(ctx context.Context, id enact.ExecutionID, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return u.Store.LoadEvents(ctx, id, u.named(ctx, id, opts)...)
}

func (u *unique) LoadEventsAfter(ctx context.Context, id enact.ExecutionID, after uint64, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return u.Store.LoadEventsAfter(ctx, id, after, u.named(ctx, id, opts)...)
}

func (u *unique) Events(ctx context.Context, id enact.ExecutionID, after uint64, opts ...enact.ReadOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		for ev, err := range u.Store.Events(ctx, id, after, u.named(ctx, id, opts)...) {
			if !yield(ev, err) {
				return
			}
		}
	}
}

func (u *unique) Head(ctx context.Context, id enact.ExecutionID, opts ...enact.ReadOption) (enact.Head, error) {
	return u.Store.Head(ctx, id, u.named(ctx, id, opts)...)
}

func (u *unique) LatestSequence(ctx context.Context, id enact.ExecutionID, opts ...enact.ReadOption) (uint64, bool, error) {
	return u.Store.LatestSequence(ctx, id, u.named(ctx, id, opts)...)
}

func (u *unique) ExecutionExists(ctx context.Context, id enact.ExecutionID, opts ...enact.ReadOption) (bool, error) {
	return u.Store.ExecutionExists(ctx, id, u.named(ctx, id, opts)...)
}

func (u *unique) CountEvents(ctx context.Context, id enact.ExecutionID, opts ...enact.ReadOption) (uint64, error) {
	return u.Store.CountEvents(ctx, id, u.named(ctx, id, opts)...)
}

func (u *unique) ListExecutions(ctx context.Context, tenant enact.TenantID, limit, offset int) ([]enact.ExecutionID, error) {
	if err := u.enter(ctx, tenant, ""); err != nil {
		return nil, err
	}
	return u.Store.ListExecutions(ctx, tenant, limit, offset)
}

func (u *unique) Executions(ctx context.Context, q enact.Query) ([]enact.ExecutionInfo, string, error) {
	if err := u.enter(ctx, q.Tenant, ""); err != nil {
		return nil, "", err
	}
	return u.Store.Executions(ctx, q)
}

// ListTenants leaves out tenants that have streams and no executions.
func (u *unique) ListTenants(ctx context.Context) ([]enact.TenantInfo, error) {
	var some []enact.TenantInfo
	all, err := u.Store.ListTenants(ctx)
	for _, x := range all {
		if x.Executions > 0 {
			some = append(some, x)
		}
	}
	return some, err
}

// One id may live in any number of tenants, who do not know of each other.
func TestTenantsApartShareNothing(t *testing.T) {
	s := openApart(t)
	ctx := t.Context()
	tenants := []enact.TenantID{"a", "b", "a.b", "a_INDEX", "*", ">", "a%2Eb", "%%", "Zürich 漢字", enact.TenantID(strings.Repeat("é", 64)), enact.TenantID(strings.Repeat("é", 63) + "ee")}
	names := make(map[string]enact.TenantID)
	for _, tenant := range tenants {
		require.NoError(t, s.EnsureTenant(ctx, tenant))
		require.NoError(t, s.EnsureTenant(ctx, tenant), "it changes nothing")
		name := s.StreamOf(tenant)
		require.NotContains(t, names, name)
		require.True(t, strings.HasPrefix(name, s.StreamName()+"-"), name)
		require.LessOrEqual(t, len(name), 255)
		names[name] = tenant
	}
	for n, tenant := range tenants {
		run := s.Execution(tenant, "same")
		require.Equal(t, s.StreamOf(tenant), run.StreamName())
		receipt, err := run.Append(ctx, note(n), enact.ExpectSequence(0))
		require.NoError(t, err)
		require.Equal(t, uint64(1), receipt.First)
	}
	for n, tenant := range tenants {
		events, err := s.LoadEvents(ctx, "same", enact.InTenant(tenant))
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, note(n), events[0].Event)
		ids, err := s.ListExecutions(ctx, tenant, 10, 0)
		require.NoError(t, err)
		require.Equal(t, []enact.ExecutionID{"same"}, ids)
	}
	listed, err := s.ListTenants(ctx)
	require.NoError(t, err)
	require.Len(t, listed, len(tenants))
	for _, x := range listed {
		require.Contains(t, tenants, x.TenantID)
		require.Equal(t, uint64(1), x.Executions)
	}
	require.Equal(t, "ENACT-a", s.StreamOf("a"))
	require.Equal(t, "ENACT-a%2Eb", s.StreamOf("a.b"))
	require.Equal(t, "ENACT-a_INDEX", s.StreamOf("a_INDEX"), "the index of a is ENACT_INDEX-a")
}

// callsInTenant are all calls that are about a tenant's executions.
func callsInTenant(s *jetstore.Store, tenant enact.TenantID, opts ...enact.ReadOption) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error { _, err := s.Append(ctx, "e", tenant, note(1)); return err },
		"AppendBatch": func(ctx context.Context) error {
			_, err := s.AppendBatch(ctx, "e", tenant, notes(2))
			return err
		},
		"Commit": func(ctx context.Context) error {
			_, err := s.Commit(ctx, enact.Batch{TenantID: tenant, ExecutionID: "e", Events: notes(1)})
			return err
		},
		"LoadEvents":      func(ctx context.Context) error { _, err := s.LoadEvents(ctx, "e", opts...); return err },
		"LoadEventsAfter": func(ctx context.Context) error { _, err := s.LoadEventsAfter(ctx, "e", 1, opts...); return err },
		"Events": func(ctx context.Context) error {
			for _, err := range s.Events(ctx, "e", 0, opts...) {
				return err
			}
			return nil
		},
		"Head":            func(ctx context.Context) error { _, err := s.Head(ctx, "e", opts...); return err },
		"LatestSequence":  func(ctx context.Context) error { _, _, err := s.LatestSequence(ctx, "e", opts...); return err },
		"ExecutionExists": func(ctx context.Context) error { _, err := s.ExecutionExists(ctx, "e", opts...); return err },
		"CountEvents":     func(ctx context.Context) error { _, err := s.CountEvents(ctx, "e", opts...); return err },
		"ListExecutions":  func(ctx context.Context) error { _, err := s.ListExecutions(ctx, tenant, 1, 0); return err },
		"Executions": func(ctx context.Context) error {
			_, _, err := s.Executions(ctx, enact.Query{Tenant: tenant})
			return err
		},
	}
}

// Every call names its tenant, whose streams nobody makes by calling.
func TestCallsNameATenantThatHasStreams(t *testing.T) {
	s := openApart(t)
	ctx := t.Context()
	reads := []string{"LoadEvents", "LoadEventsAfter", "Events", "Head", "LatestSequence", "ExecutionExists", "CountEvents"}
	require.NoError(t, s.EnsureTenant(ctx, "a"))
	nameless := callsInTenant(s, "a")
	for _, call := range reads {
		require.ErrorIs(t, nameless[call](ctx), enact.ErrTenantRequired, call)
	}
	_, err := s.RebuildIndex(ctx, nil)
	require.ErrorIs(t, err, enact.ErrTenantRequired)
	for call, f := range callsInTenant(s, "stranger", enact.InTenant("stranger")) {
		err := f(ctx)
		require.ErrorIs(t, err, enact.ErrStreamNotFound, call)
		require.ErrorContains(t, err, "-stranger", call)
	}
	for call, f := range callsInTenant(s, "", enact.InTenant("")) {
		require.ErrorIs(t, f(ctx), enact.ErrInvalidID, call)
	}
	require.ErrorIs(t, s.EnsureTenant(ctx, ""), enact.ErrInvalidID)
	_, err = s.Tenant(ctx, "stranger")
	require.ErrorIs(t, err, enact.ErrStreamNotFound)
	require.NoError(t, s.HealthCheck(ctx))
	var names []string
	for name := range natstest.JetStream(t, s.Conn()).StreamNames(ctx).Name() {
		names = append(names, name)
	}
	require.ElementsMatch(t, []string{"ENACT-a", "ENACT_INDEX-a"}, names)
}

// The log of one tenant is a store of its own, which needs no tenant and takes no other.
func TestLogOfOneTenant(t *testing.T) {
	s := openApart(t)
	ctx := t.Context()
	for _, tenant := range []enact.TenantID{"a", "b"} {
		require.NoError(t, s.EnsureTenant(ctx, tenant))
	}
	a, err := s.Tenant(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, s.StreamOf("a"), a.StreamName())
	require.Equal(t, a.StreamName(), a.StreamOf("a"))
	for call, f := range callsInTenant(a, "a") {
		require.NoError(t, f(ctx), call)
	}
	for call, f := range callsInTenant(a, "b", enact.InTenant("b")) {
		require.ErrorIs(t, f(ctx), enact.ErrTenantMismatch, call)
	}
	require.NoError(t, a.HealthCheck(ctx))
	report, err := a.RebuildIndex(ctx, nil)
	require.NoError(t, err)
	require.Equal(t, uint64(1), report.Executions)
	tenants, err := a.ListTenants(ctx)
	require.NoError(t, err)
	require.Equal(t, []enact.TenantInfo{{TenantID: "a", Executions: 1}}, tenants)

	require.NoError(t, a.Shutdown(ctx))
	_, err = a.Append(ctx, "e", "a", note(1))
	require.NoError(t, err, "it ends with the store that it belongs to")
	count, err := s.CountEvents(ctx, "e", enact.InTenant("a"))
	require.NoError(t, err)
	require.Equal(t, uint64(5), count)
	require.NoError(t, s.Shutdown(ctx))
	_, err = a.Append(ctx, "e", "a", note(1))
	require.ErrorIs(t, err, enact.ErrClosed)

	shared := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err = shared.Tenant(ctx, "a")
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	require.ErrorIs(t, shared.EnsureTenant(ctx, "a"), enact.ErrInvalidOption)
	require.ErrorIs(t, jetstore.EnsureTenant(ctx, shared.Conn(), "a"), enact.ErrInvalidOption)
	require.Equal(t, "ENACT", shared.StreamOf("a"))
}

// Streams of tenants do not overlap with a shared one, nor are they taken for another
// tenant's.
func TestStreamsThatAreNotTheTenants(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	ctx := t.Context()
	apart := []jetstore.Option{jetstore.WithStreamPerTenant(), jetstore.WithMemoryStorage()}
	err := jetstore.EnsureTenant(ctx, s.Conn(), "a", apart...)
	refused, ok := errors.AsType[*jetstream.APIError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, jetstream.ErrorCode(10065), refused.ErrorCode, "subjects overlap with an existing stream")
	require.ErrorContains(t, err, "ENACT_INDEX-a")

	other := append([]jetstore.Option{jetstore.WithPrefix("other"), jetstore.WithStream("OTHER")}, apart...)
	require.NoError(t, jetstore.EnsureTenant(ctx, s.Conn(), "a", other...))
	js := natstest.JetStream(t, s.Conn())
	stream, err := js.Stream(ctx, "OTHER-a")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	require.Equal(t, []string{"other.a.*"}, cfg.Subjects)
	require.Equal(t, "a", cfg.Metadata["enact.tenant"])
	cfg.Name, cfg.Subjects = "OTHER-b", []string{"other.c.*"}
	_, err = js.CreateStream(ctx, cfg)
	require.NoError(t, err)
	require.ErrorIs(t, jetstore.EnsureTenant(ctx, s.Conn(), "b", other...), enact.ErrStreamConfig)
}

// What one tenant's stream loses, or a new one under its name, is nothing to another.
func TestATenantsStreamMadeAnew(t *testing.T) {
	s := openApart(t)
	ctx := t.Context()
	for _, tenant := range []enact.TenantID{"a", "b"} {
		require.NoError(t, s.EnsureTenant(ctx, tenant))
		_, err := s.Append(ctx, "e", tenant, note(1))
		require.NoError(t, err)
	}
	js := natstest.JetStream(t, s.Conn())
	for _, name := range []string{"ENACT-a", "ENACT_INDEX-a"} {
		require.NoError(t, js.DeleteStream(ctx, name))
	}
	require.NoError(t, s.EnsureTenant(ctx, "a"))
	seq, err := s.Append(ctx, "e", "a", note(2))
	require.NoError(t, err)
	require.Equal(t, uint64(1), seq)
	seq, err = s.Append(ctx, "e", "b", note(2))
	require.NoError(t, err)
	require.Equal(t, uint64(2), seq)
}

// An execution is followed on its tenant's stream.
func TestTailOnATenantsStream(t *testing.T) {
	s := openApart(t)
	ctx := t.Context()
	require.NoError(t, s.EnsureTenant(ctx, "a"))
	run := s.Execution("a", "e")
	_, err := run.Append(ctx, note(1))
	require.NoError(t, err)
	got := 0
	for ev, err := range consumer.Tail(ctx, run, 0, consumer.UntilEnd(), consumer.OnCaughtUp(func(uint64) {
		_, err := run.AppendBatch(ctx, []enact.Event{note(2), enact.ExecutionCompleted{}})
		require.NoError(t, err)
	})) {
		require.NoError(t, err)
		got++
		require.Equal(t, uint64(got), ev.Sequence)
	}
	require.Equal(t, 3, got)
}
