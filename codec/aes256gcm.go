package codec

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/enactlog/enact"
)

const (
	aesSuffix = "+aes256gcm"
	keyParam  = ";key="

	// aesOverhead is what sealing adds to a payload: the nonce and the tag.
	aesOverhead = 12 + 16
)

// AES256GCM encrypts what another codec writes with AES-256-GCM (NIST SP 800-38D),
// under the current key of the record's tenant. The key's id stands in the record's
// header: "json+zstd+aes256gcm;key=<id>".
//
// A payload is the nonce, the ciphertext and the tag. Each record gets a nonce of its
// own, 96 bits from the system's random source, also when it is made again for
// another place. With random nonces a key must not encrypt more than 2^32 records
// (SP 800-38D, 8.3), which keeps the chance that two have one nonce below 2^-32: a
// tenant that appends 1000 records a second must have its key rotated within 49 days.
// Nothing counts them across processes; rotating by time is what keeps the bound.
//
// The additional data binds the payload to its tenant, execution, sequence, number of
// events and codec; docs/wire-format.md has the layout.
type AES256GCM struct {
	wrapper
	keys KeyRing
}

// NewAES256GCM returns the encryption of what inner writes; nil means [Zstd] around
// JSON with its defaults. It returns an [*enact.OptionError] without a key ring, or
// ErrInvalidName for an inner codec without a valid name.
func NewAES256GCM(inner Codec, keys KeyRing) (*AES256GCM, error) {
	if keys == nil {
		return nil, &enact.OptionError{Option: "NewAES256GCM", Reason: "there is no key ring"}
	}
	if inner == nil {
		inner = defaultZstd()
	}
	w, err := wrap(inner, aesSuffix)
	if err != nil {
		return nil, err
	}
	return &AES256GCM{wrapper: w, keys: keys}, nil
}

// Names returns the names that Encode gives: those of the inner codec, encrypted.
func (a *AES256GCM) Names() []string { return a.wrappedNames() }

// Overhead returns 28 more than that of the inner codec: nonce and tag.
func (a *AES256GCM) Overhead() int { return Overhead(a.inner) + aesOverhead }

// Encode implements [Codec]. It returns a [*KeyError] if the tenant has no current
// key, or the key ring does not answer.
func (a *AES256GCM) Encode(ctx context.Context, dst []byte, place Place, events []enact.Event) ([]byte, string, error) {
	return a.encode(ctx, dst, place, source{events: events})
}

func (a *AES256GCM) encode(ctx context.Context, dst []byte, place Place, src source) ([]byte, string, error) {
	key, err := a.keys.Current(ctx, place.TenantID)
	if err == nil && !key.usable() {
		err = errNoKey
	}
	if err != nil {
		return nil, "", &KeyError{TenantID: place.TenantID, Err: err}
	}
	plain, header, err := encode(ctx, a.inner, nil, place, src)
	if err != nil {
		return nil, "", err
	}
	header = a.header(header, keyParam+key.id)
	dst = slices.Grow(dst, len(plain)+aesOverhead)
	return key.aead.Seal(dst, nil, plain, additionalData(place, src.n(), header)), header, nil
}

// Decode implements [Codec]. Events whose key was dropped are enact.Unreadable. Where
// the key ring does not answer, or does not know the key, it returns a [*KeyError].
func (a *AES256GCM) Decode(ctx context.Context, payload []byte, header string, place Place, n int) ([]enact.Event, error) {
	name, id, rest, err := parseKeyHeader(header)
	if err != nil {
		return nil, err
	}
	inner, err := a.innerHeader(name, rest)
	if err != nil {
		return nil, err
	}
	key, err := a.keys.Lookup(ctx, place.TenantID, id)
	switch {
	case errors.Is(err, ErrKeyDropped):
		return slices.Repeat([]enact.Event{enact.Unreadable{Codec: header, KeyID: id}}, n), nil
	case err == nil && !key.usable():
		err = errNoKey
	case err == nil && key.id != id:
		err = fmt.Errorf("the key ring answered with key %q", key.id)
	}
	if err != nil {
		return nil, &KeyError{TenantID: place.TenantID, KeyID: id, Err: err}
	}
	plain, err := key.aead.Open(nil, nil, payload, additionalData(place, n, header))
	if err != nil {
		return nil, fmt.Errorf("key %q does not open the payload: it was changed, or written for another place", id)
	}
	return a.decode(ctx, plain, inner, place, n)
}

// parseKeyHeader takes "<name>;key=<id>" apart. rest is what follows with its ';': the
// inner codec's parameters.
func parseKeyHeader(header string) (name, id, rest string, err error) {
	name, parameters := splitHeader(header)
	parameters, ok := strings.CutPrefix(parameters, keyParam)
	if !ok {
		return "", "", "", fmt.Errorf("codec %.160q names no key", header)
	}
	id, rest = splitHeader(parameters)
	if !ValidKeyID(id) {
		return "", "", "", fmt.Errorf("codec %.160q names no valid key", header)
	}
	return name, id, rest, nil
}

// additionalData is what a payload is bound to, beside its key: fields of a 4-byte
// big-endian length and so many bytes, as in the chain. The first tells these from any
// other use of a key.
func additionalData(place Place, n int, header string) []byte {
	b := make([]byte, 0, 6*4+len(adLabel)+len(place.TenantID)+len(place.ExecutionID)+20+4+len(header))
	for _, field := range []string{
		adLabel, string(place.TenantID), string(place.ExecutionID),
		strconv.FormatUint(place.Sequence, 10), strconv.Itoa(n), header,
	} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
		b = append(b, field...)
	}
	return b
}

const adLabel = "enact payload 1"
