// Package codec turns the events of a record into the bytes of its payload and
// back. A record names its codec in its Enact-Codec header; a store looks the
// name up in the [Set] that it was given. There is no global registry.
package codec

import (
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
type Codec interface {
	// Name is the codec's name without parameters, as in "json" or "json+zstd":
	// lower-case letters, digits, '+', '-' and '.'.
	Name() string
	// Encode appends the payload of one or more events to dst. header is the
	// value for Enact-Codec: a name that some codec of the reader's set has, and
	// parameters after a ';', in visible ASCII. It returns an error that matches
	// enact.ErrInvalidEvent for an event that has no encoding.
	Encode(dst []byte, place Place, events []enact.Event) (payload []byte, header string, err error)
	// Decode returns the n events of a payload, in order; header is the record's
	// Enact-Codec. It returns an error for a payload that does not hold exactly n
	// events. The events do not share memory with payload. A codec whose key is
	// gone returns n times enact.Unreadable and no error.
	Decode(payload []byte, header string, place Place, n int) ([]enact.Event, error)
}

// ErrDuplicateName is returned by [NewSet] for two codecs of one name.
var ErrDuplicateName = errors.New("codec: two codecs have one name")

// ErrInvalidName is returned by [NewSet] for a codec whose name breaks the rule of [Codec].
var ErrInvalidName = errors.New("codec: invalid name")

// ValidName reports whether name keeps the rule of [Codec].
func ValidName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789+-.") == ""
}

// Set is an immutable set of codecs, by name.
type Set struct{ byName map[string]Codec }

// NewSet returns the set of the given codecs. [JSON] is always part of it, given or
// not; no other codec can take its name.
func NewSet(codecs ...Codec) (Set, error) {
	s := Set{byName: map[string]Codec{JSONName: JSON{}}}
	for _, c := range codecs {
		if _, ok := c.(JSON); ok {
			continue
		}
		name := c.Name()
		if !ValidName(name) {
			return Set{}, fmt.Errorf("%w: %q", ErrInvalidName, name)
		}
		if _, ok := s.byName[name]; ok {
			return Set{}, fmt.Errorf("%w: %q", ErrDuplicateName, name)
		}
		s.byName[name] = c
	}
	return s, nil
}

// Lookup returns the codec for an Enact-Codec header: the one named by what
// stands before the first ';'.
func (s Set) Lookup(header string) (Codec, bool) {
	name, _, _ := strings.Cut(header, ";")
	if s.byName == nil && name == JSONName {
		return JSON{}, true
	}
	c, ok := s.byName[name]
	return c, ok
}
