package codec

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/enactlog/enact"
)

// keyTable is what a key ring knows, by tenant.
type keyTable map[enact.TenantID]*tenantKeys

// tenantKeys is what is known of one tenant, as it stands in a key file too.
type tenantKeys struct {
	Tenant  enact.TenantID `json:"tenant"`
	Dropped time.Time      `json:"dropped,omitzero"`  // zero: it was not
	Current string         `json:"current,omitempty"` // id of the current key, which may have been dropped since
	Keys    []keyRecord    `json:"keys"`              // in the order in which they came; none once the tenant was dropped
}

// keyRecord is one key. Of one that was dropped only the id is left, so that it never
// gets another secret.
type keyRecord struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Dropped time.Time `json:"dropped,omitzero"`
	Secret  []byte    `json:"secret,omitempty"`

	key *Key
}

func (t keyTable) current(tenant enact.TenantID) (*Key, error) {
	k := t[tenant]
	if k == nil {
		return nil, ErrKeyUnknown
	}
	return k.lookup(k.Current)
}

func (t keyTable) lookup(tenant enact.TenantID, id string) (*Key, error) {
	k := t[tenant]
	if k == nil {
		return nil, ErrKeyUnknown
	}
	return k.lookup(id)
}

func (k *tenantKeys) lookup(id string) (*Key, error) {
	if !k.Dropped.IsZero() {
		return nil, ErrKeyDropped
	}
	i := k.index(id)
	switch {
	case i < 0:
		return nil, ErrKeyUnknown
	case k.Keys[i].key == nil:
		return nil, ErrKeyDropped
	}
	return k.Keys[i].key, nil
}

func (k *tenantKeys) index(id string) int {
	return slices.IndexFunc(k.Keys, func(r keyRecord) bool { return r.ID == id })
}

// of returns the tenant's entry, made if there is none.
func (t keyTable) of(tenant enact.TenantID) (*tenantKeys, error) {
	if err := tenant.Validate(); err != nil {
		return nil, err
	}
	if t[tenant] == nil {
		t[tenant] = &tenantKeys{Tenant: tenant}
	}
	return t[tenant], nil
}

// newKeyID returns a random id of 16 hex digits.
func newKeyID() string {
	var id [8]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}

func (t keyTable) rotate(tenant enact.TenantID) (id string, err error) {
	secret := make([]byte, KeySize)
	_, _ = rand.Read(secret)
	id = newKeyID()
	return id, t.add(tenant, id, secret)
}

func (t keyTable) add(tenant enact.TenantID, id string, secret []byte) error {
	key, err := NewKey(id, secret)
	if err != nil {
		return err
	}
	k, err := t.of(tenant)
	if err != nil {
		return err
	}
	switch i := k.index(id); {
	case !k.Dropped.IsZero():
		return fmt.Errorf("%w: all of tenant %q", ErrKeyDropped, tenant)
	case i >= 0 && k.Keys[i].key == nil:
		return fmt.Errorf("%w: %q of tenant %q", ErrKeyDropped, id, tenant)
	case i >= 0:
		return fmt.Errorf("%w: %q of tenant %q", ErrKeyExists, id, tenant)
	}
	k.Keys = append(k.Keys, keyRecord{ID: id, Created: now(), Secret: slices.Clone(secret), key: key})
	k.Current = id
	return nil
}

func (t keyTable) drop(tenant enact.TenantID, id string) error {
	if !ValidKeyID(id) {
		return &enact.OptionError{Option: "Drop", Reason: fmt.Sprintf("%.160q is not the id of a key", id)}
	}
	k, err := t.of(tenant)
	if err != nil {
		return err
	}
	i := k.index(id)
	switch {
	case !k.Dropped.IsZero():
		return nil
	case i < 0:
		at := now()
		k.Keys = append(k.Keys, keyRecord{ID: id, Created: at, Dropped: at}) // it was lost elsewhere
	case k.Keys[i].key != nil:
		clear(k.Keys[i].Secret)
		k.Keys[i] = keyRecord{ID: id, Created: k.Keys[i].Created, Dropped: now()}
	}
	return nil
}

func (t keyTable) dropTenant(tenant enact.TenantID) error {
	k, err := t.of(tenant)
	if err != nil || !k.Dropped.IsZero() {
		return err
	}
	for _, r := range k.Keys {
		clear(r.Secret)
	}
	*k = tenantKeys{Tenant: tenant, Dropped: now()}
	return nil
}

func (t keyTable) info(tenant enact.TenantID) (keys []KeyInfo, dropped bool) {
	k := t[tenant]
	if k == nil {
		return nil, false
	}
	for _, r := range k.Keys {
		keys = append(keys, KeyInfo{ID: r.ID, Created: r.Created, Dropped: r.Dropped, Current: r.ID == k.Current && r.key != nil})
	}
	return keys, !k.Dropped.IsZero()
}

func (t keyTable) tenants() []enact.TenantID { return slices.Sorted(maps.Keys(t)) }

// now returns the time as key files hold it.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

var (
	_ KeyManager = (*MemoryKeyRing)(nil)
	_ KeyManager = (*FileKeyRing)(nil)
)

// MemoryKeyRing keeps keys in memory: for tests, and for keys that are added at each
// start. What is lost with the process is lost for good, and so is what was encrypted
// with it.
type MemoryKeyRing struct {
	mu    sync.RWMutex
	table keyTable
}

// NewMemoryKeyRing returns an empty key ring.
func NewMemoryKeyRing() *MemoryKeyRing { return &MemoryKeyRing{table: make(keyTable)} }

// Current implements [KeyRing].
func (r *MemoryKeyRing) Current(_ context.Context, tenant enact.TenantID) (*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.current(tenant)
}

// Lookup implements [KeyRing].
func (r *MemoryKeyRing) Lookup(_ context.Context, tenant enact.TenantID, id string) (*Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.lookup(tenant, id)
}

// Rotate implements [KeyManager].
func (r *MemoryKeyRing) Rotate(_ context.Context, tenant enact.TenantID) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.rotate(tenant)
}

// Add implements [KeyManager].
func (r *MemoryKeyRing) Add(_ context.Context, tenant enact.TenantID, id string, secret []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.add(tenant, id, secret)
}

// Drop implements [KeyManager].
func (r *MemoryKeyRing) Drop(_ context.Context, tenant enact.TenantID, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.drop(tenant, id)
}

// DropTenant implements [KeyManager].
func (r *MemoryKeyRing) DropTenant(_ context.Context, tenant enact.TenantID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.table.dropTenant(tenant)
}

// Keys implements [KeyManager].
func (r *MemoryKeyRing) Keys(_ context.Context, tenant enact.TenantID) ([]KeyInfo, bool, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	keys, dropped := r.table.info(tenant)
	return keys, dropped, nil
}

// Tenants implements [KeyManager].
func (r *MemoryKeyRing) Tenants(context.Context) ([]enact.TenantID, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.table.tenants(), nil
}
