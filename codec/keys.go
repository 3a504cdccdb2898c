package codec

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/enactlog/enact"
)

// KeyRing has the keys of tenants, for [AES256GCM]. Implementations are safe for
// concurrent use. They are asked for every record, so that a key that is dropped is
// gone at once; one that asks another machine keeps what it was told for a while.
//
// [MemoryKeyRing] and [FileKeyRing] are two. To keep the keys in a key management
// service, let it wrap them: make a data key for the tenant (GenerateDataKey), store
// it wrapped, in a database or a key-value bucket, under tenant and id, and let Lookup
// read it, have the service unwrap it, and keep the [Key] in memory for some minutes
// at most. To drop the tenant delete the wrapped keys, or the service's key that wraps
// them. Return ErrKeyDropped only for what is destroyed for good: a service that is
// away, throttles, has the key disabled or its deletion pending, or lacks a permission,
// is an error of another kind, which makes a read fail instead of giving
// enact.Unreadable, and may be over at the next one.
type KeyRing interface {
	// Current returns the key that the tenant's next records are encrypted with.
	// Errors are ErrKeyUnknown for a tenant without keys, ErrKeyDropped, or why there
	// is no answer just now.
	Current(ctx context.Context, tenant enact.TenantID) (*Key, error)
	// Lookup returns the tenant's key of an id, current or not. It returns an error
	// that matches ErrKeyDropped if the key was destroyed for good, ErrKeyUnknown if
	// it was never heard of, and any other where there is no answer just now.
	Lookup(ctx context.Context, tenant enact.TenantID, id string) (*Key, error)
}

// KeyManager is a [KeyRing] that makes and destroys its keys itself.
type KeyManager interface {
	KeyRing
	// Rotate makes a random key the tenant's current one and returns its id; the
	// tenant's first key comes into being so. Earlier keys stay, for reading. It
	// returns ErrKeyDropped for a tenant that was dropped.
	Rotate(ctx context.Context, tenant enact.TenantID) (id string, err error)
	// Add makes a key from elsewhere the tenant's current one: 32 bytes, which are
	// copied. It returns ErrKeyDropped for a tenant or a key that was dropped,
	// ErrKeyExists for an id that the tenant has, and an [*enact.OptionError] for an
	// id that is not valid or a secret of another length.
	Add(ctx context.Context, tenant enact.TenantID, id string, secret []byte) error
	// Drop destroys one key for good. The tenant may have never had it: so a key that
	// was lost is declared lost, and its records load as enact.Unreadable. Dropping
	// the current key leaves the tenant without one until Rotate.
	Drop(ctx context.Context, tenant enact.TenantID, id string) error
	// DropTenant destroys all of the tenant's keys for good, those that it never had
	// included. The tenant gets no further ones: appends that go on do not bring it
	// back.
	DropTenant(ctx context.Context, tenant enact.TenantID) error
	// Keys returns what there is to know of the tenant's keys, oldest first. dropped
	// says that the tenant was.
	Keys(ctx context.Context, tenant enact.TenantID) (keys []KeyInfo, dropped bool, err error)
	// Tenants returns the tenants that have or had keys, sorted.
	Tenants(ctx context.Context) ([]enact.TenantID, error)
}

// KeyInfo describes a key.
type KeyInfo struct {
	ID      string
	Created time.Time // when it was made or added; for a key that was only ever dropped, when it was
	Dropped time.Time // zero: it was not
	Current bool      // new records are encrypted with it
}

// Sentinels of key rings. What the codec returns is a [*KeyError], which matches them.
var (
	// ErrKeyDropped says that a key was destroyed for good. Its records load as
	// enact.Unreadable.
	ErrKeyDropped = errors.New("codec: key was dropped")
	// ErrKeyUnknown says that a key ring never heard of a key, or that a tenant has
	// none. It may be the wrong key ring, or one that is behind; so it is an error to
	// read a record whose key is unknown. [KeyManager].Drop declares one lost.
	ErrKeyUnknown = errors.New("codec: key is unknown")
	// ErrKeyExists is returned by [KeyManager].Add.
	ErrKeyExists = errors.New("codec: key exists")
)

var errNoKey = errors.New("codec: the key ring answered without a key")

// KeyError says which key could not be had. It matches ErrUnavailable and why: an
// append that it ends stored nothing, a read that it ends may succeed later.
type KeyError struct {
	TenantID enact.TenantID
	KeyID    string // "": the current one
	Err      error  // ErrKeyDropped, ErrKeyUnknown, or what the key ring returned
}

func (e *KeyError) Error() string {
	if e.KeyID == "" {
		return fmt.Sprintf("codec: current key of tenant %q: %v", e.TenantID, e.Err)
	}
	return fmt.Sprintf("codec: key %q of tenant %q: %v", e.KeyID, e.TenantID, e.Err)
}
func (e *KeyError) Unwrap() []error { return []error{ErrUnavailable, e.Err} }

// KeySize is the length of a key's secret in bytes.
const KeySize = 32

// MaxKeyID is the greatest length of a key's id in bytes.
const MaxKeyID = 64

// ValidKeyID reports whether id can be a key's: 1 to [MaxKeyID] letters, digits, '.',
// '_' and '-'.
func ValidKeyID(id string) bool {
	return id != "" && len(id) <= MaxKeyID &&
		strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// Key is a key for [AES256GCM]. However it is printed, it shows its id only.
type Key struct {
	id   string
	aead cipher.AEAD
}

// NewKey makes a key of an id and a secret of [KeySize] bytes, which is copied. It
// returns an [*enact.OptionError].
func NewKey(id string, secret []byte) (*Key, error) {
	if !ValidKeyID(id) {
		return nil, &enact.OptionError{Option: "NewKey", Reason: fmt.Sprintf("id %.160q is not 1 to %d letters, digits, '.', '_' and '-'", id, MaxKeyID)}
	}
	if len(secret) != KeySize {
		return nil, &enact.OptionError{Option: "NewKey", Reason: fmt.Sprintf("the secret of key %q has %d bytes, must have %d", id, len(secret), KeySize)}
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	// It makes the nonces itself, the one way that FIPS 140 allows.
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, err
	}
	return &Key{id: id, aead: aead}, nil
}

// usable reports whether NewKey made the key.
func (k *Key) usable() bool { return k != nil && k.aead != nil }

// ID returns the key's id.
func (k *Key) ID() string { return k.id }

// Format implements fmt.Formatter.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "key "+k.id) }
