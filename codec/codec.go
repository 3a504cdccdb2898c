// Package codec turns the events of a record into the bytes of its payload and
// back. A record names its codec in its Enact-Codec header; a store looks the
// name up in the [Set] that it was given. There is no global registry.
//
// [JSON] is what a store writes unless it is told otherwise. [Zstd] compresses it.
// [AES256GCM] encrypts, with keys that a [KeyRing] holds for each tenant:
//
//	keys, err := codec.OpenFileKeyRing("/etc/enact/keys.json")
//	sealed, err := codec.NewAES256GCM(nil, keys)
//	store, err := jetstore.Connect(ctx, url, jetstore.WithCodec(sealed))
//
// Every record names its own codec, so an execution may hold records of several:
// a log that was written as JSON goes on compressed or encrypted without being
// written again.
//
// # What encryption hides, and what not
//
// Encrypted are the events. Everything else of a record stays plain: tenant and
// execution ids, sequence numbers, times, metadata, idempotency keys, trace context,
// the codec's name with the key's id, and the size of the payload. Compression lets
// the size depend on the content: who can add text of their own to the events of a
// record and watch its size can learn something about the rest of it, so that
// secrets beside such text are better encrypted without compression.
//
// A payload is bound to its tenant, execution, sequence, number of events and codec:
// put anywhere else, or changed, it is refused as corrupt. Encryption does not say
// who wrote a record. Whoever may publish to the log can append plain ones.
package codec

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/enactlog/enact"
)

// Place is where a payload stands. A codec that encrypts binds the payload to it.
type Place struct {
	TenantID    enact.TenantID
	ExecutionID enact.ExecutionID
	Sequence    uint64 // of the record's first event
}

// Codec encodes the events of one record. Implementations are safe for
// concurrent use.
//
// A codec that writes under more than one name also has a method Names() []string,
// which returns all names that Encode may give, without parameters, and that Decode
// takes. "json" may be among them; it is [JSON] that reads it.
//
// A codec whose payload may be longer than the JSON of its events also has a method
// Overhead() int, which bounds by how many bytes; stores leave so much room where
// they fill records.
type Codec interface {
	// Name is the codec's name without parameters, as in "json" or "json+zstd":
	// lower-case letters, digits, '+', '-' and '.'.
	Name() string
	// Encode appends the payload of one or more events to dst. header is the
	// value for Enact-Codec: a name that some codec of the reader's set has, and
	// parameters after a ';', in visible ASCII. It returns an error that matches
	// enact.ErrInvalidEvent for an event that has no encoding, enact.ErrTooLarge
	// for events that Decode would refuse for their size, and ErrUnavailable where
	// what it needs, as a key, cannot be had.
	Encode(ctx context.Context, dst []byte, place Place, events []enact.Event) (payload []byte, header string, err error)
	// Decode returns the n events of a payload, in order; header is the record's
	// Enact-Codec. The events do not share memory with payload. A codec whose key is
	// gone for good returns n times enact.Unreadable and no error. An error that
	// matches ErrUnavailable says that the payload could not be looked at, one that
	// matches enact.ErrTooLarge that it holds more than the codec was told to
	// decode. Any other error says that the payload is not what Encode makes of n
	// events for this place.
	Decode(ctx context.Context, payload []byte, header string, place Place, n int) ([]enact.Event, error)
}

// ErrUnavailable says that what a codec needs cannot be had just now; nothing is
// wrong with the events or the payload. It is matched by [*KeyError].
var ErrUnavailable = errors.New("codec: not available")

// ErrDuplicateName is returned by [NewSet] for two codecs of one name.
var ErrDuplicateName = errors.New("codec: two codecs have one name")

// ErrInvalidName is returned by [NewSet] for a codec whose name breaks the rule of [Codec].
var ErrInvalidName = errors.New("codec: invalid name")

// ValidName reports whether name keeps the rule of [Codec].
func ValidName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// Set is an immutable set of codecs, by name. The zero Set is that of no codecs
// given.
type Set struct{ byName map[string]Codec }

// NewSet returns the set of the given codecs, each under all its names; a nil one is
// left out. [JSON] and a [Zstd] with its defaults are always part of it, so that a
// reader that was told nothing reads whatever is not encrypted. No other codec can
// take JSON's name; one that has Zstd's takes its place.
func NewSet(codecs ...Codec) (Set, error) {
	s := Set{byName: map[string]Codec{JSONName: JSON{}}}
	for _, c := range codecs {
		if _, ok := c.(JSON); ok || c == nil {
			continue
		}
		for i, name := range namesOf(c) {
			if i > 0 && name == JSONName {
				continue
			}
			if !ValidName(name) {
				return Set{}, fmt.Errorf("%w: %q", ErrInvalidName, name)
			}
			if _, ok := s.byName[name]; ok {
				return Set{}, fmt.Errorf("%w: %q", ErrDuplicateName, name)
			}
			s.byName[name] = c
		}
	}
	if _, ok := s.byName[ZstdName]; !ok {
		s.byName[ZstdName] = defaultZstd()
	}
	return s, nil
}

// namesOf returns the codec's names, the one of its Name method first.
func namesOf(c Codec) []string {
	names := []string{c.Name()}
	if several, ok := c.(interface{ Names() []string }); ok {
		for _, name := range several.Names() {
			if name != names[0] {
				names = append(names, name)
			}
		}
	}
	return names
}

// Lookup returns the codec for an Enact-Codec header: the one named by what
// stands before the first ';'.
func (s Set) Lookup(header string) (Codec, bool) {
	name, _, _ := strings.Cut(header, ";")
	if s.byName == nil {
		switch name {
		case JSONName:
			return JSON{}, true
		case ZstdName:
			return defaultZstd(), true
		}
	}
	c, ok := s.byName[name]
	return c, ok
}

// Overhead returns by how many bytes a payload of the codec may be longer than the
// JSON of its events: what its method Overhead says, 0 without one.
func Overhead(c Codec) int {
	if o, ok := c.(interface{ Overhead() int }); ok {
		return o.Overhead()
	}
	return 0
}
