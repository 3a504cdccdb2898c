package jetstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
)

// A store with a stream per tenant has a part for each tenant, which is a store on that
// tenant's streams. Its methods find the part and go on there. Parts share the
// connections, the count of calls in flight, and the caches that are kept by tenant and
// execution; what belongs to a stream each has for itself.

const (
	// openTenants is how many parts are kept. One that is dropped forgets up to where it
	// has seen its streams, not what was met of its executions.
	openTenants = 1024

	// maxStreamName is the server's limit, in bytes.
	maxStreamName = 255
)

// tenants holds the parts used last, and of more tenants which incarnation of their
// stream was met.
type tenants struct {
	mu           sync.Mutex
	parts        *simplelru.LRU[enact.TenantID, *Store]
	incarnations *simplelru.LRU[enact.TenantID, string]
}

func newTenants() *tenants {
	return &tenants{
		parts:        newLRU[enact.TenantID, *Store](openTenants),
		incarnations: newLRU[enact.TenantID, string](openTenants * metFactor),
	}
}

// get returns the tenant's part, nil if none is kept.
func (ts *tenants) get(tenant enact.TenantID) *Store {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	s, _ := ts.parts.Get(tenant)
	return s
}

// keep returns the tenant's part, which is s unless another is kept by now.
func (ts *tenants) keep(tenant enact.TenantID, s *Store) *Store {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if kept, ok := ts.parts.Get(tenant); ok {
		return kept
	}
	ts.parts.Add(tenant, s)
	// The caches that the parts share outlive them.
	if met, ok := ts.incarnations.Get(tenant); ok && met != s.incarnation() {
		s.forget()
	}
	ts.incarnations.Add(tenant, s.incarnation())
	return s
}

// forTenant returns the configuration of a tenant's streams.
func (c *config) forTenant(tenant enact.TenantID) *config {
	part := *c
	part.perTenant, part.tenant = false, &tenant
	token := enact.EncodeToken(string(tenant))
	if len(c.index())+len("-")+len(token) > maxStreamName {
		// No token has two '%' in a row.
		sum := sha256.Sum256([]byte(tenant))
		token = "%%" + base64.RawURLEncoding.EncodeToString(sum[:])
	}
	part.stream, part.indexName = c.stream+"-"+token, c.index()+"-"+token
	return &part
}

// of returns the store that has the tenant's executions: s itself, or its part for the
// tenant. It returns enact.ErrStreamNotFound for a tenant without streams, and
// enact.ErrTenantMismatch where s is another tenant's part.
func (s *Store) of(ctx context.Context, tenant enact.TenantID) (*Store, error) {
	if s.part && tenant != *s.cfg.tenant {
		return nil, fmt.Errorf("%w: the store is that of %q", enact.ErrTenantMismatch, *s.cfg.tenant)
	}
	if s.tenants == nil {
		return s, nil
	}
	if err := tenant.Validate(); err != nil {
		return nil, err
	}
	if part := s.tenants.get(tenant); part != nil {
		return part, nil
	}
	part := &Store{
		cfg: s.cfg.forTenant(tenant), reads: s.reads, asks: s.asks, gate: s.gate, part: true, probe: newProbe(),
		lanes: s.lanes, index: s.index, statuses: s.statuses,
	}
	if err := part.openLog(ctx); err != nil {
		return nil, err
	}
	return s.tenants.keep(tenant, part), nil
}

// ofRead is of for a read, which names its tenant by an option or not at all. It returns
// enact.ErrTenantRequired for one that must and does not.
func (s *Store) ofRead(ctx context.Context, o *enact.ReadOptions) (*Store, error) {
	if o.TenantID == nil {
		if s.tenants != nil {
			return nil, enact.ErrTenantRequired
		}
		o.TenantID = s.cfg.tenant
		return s, nil
	}
	return s.of(ctx, *o.TenantID)
}

// partFor is ofRead for a call that is not counted in.
func (s *Store) partFor(ctx context.Context, o *enact.ReadOptions) (*Store, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	return s.ofRead(ctx, o)
}

// Tenant returns the log of one tenant of a store with a stream per tenant: a store that
// knows no other tenant, and whose calls need not name theirs. It belongs to s, ends with
// it, and is not shut down itself. A call that names another tenant returns
// enact.ErrTenantMismatch. Errors are those of [Open] and enact.ErrInvalidID.
//
// Of a store with one stream for all tenants it returns enact.ErrInvalidOption.
func (s *Store) Tenant(ctx context.Context, tenant enact.TenantID) (*Store, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if s.tenants == nil {
		return nil, &enact.OptionError{Option: "WithStreamPerTenant", Reason: "was not given: the tenants share a stream"}
	}
	return s.of(ctx, tenant)
}

// EnsureTenant makes the streams of a tenant, as the function of that name does. Of a store
// with one stream for all tenants it returns enact.ErrInvalidOption.
func (s *Store) EnsureTenant(ctx context.Context, tenant enact.TenantID) error {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	if s.tenants == nil {
		return &enact.OptionError{Option: "WithStreamPerTenant", Reason: "was not given: the tenants share a stream"}
	}
	if err := tenant.Validate(); err != nil {
		return err
	}
	return ensureStreams(ctx, s.asks.nc, s.cfg.forTenant(tenant))
}
