package codec

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/enactlog/enact"
)

// source is the events of a record, with their JSON where it is at hand: nil, or one
// text for each event, as enact.AppendEvent writes it.
type source struct {
	events []enact.Event
	texts  []json.RawMessage
}

// n returns the number of events.
func (s *source) n() int { return max(len(s.events), len(s.texts)) }

// EncodeTexts is c.Encode for events whose JSON is at hand, one text for each as
// enact.AppendEvent writes it, which saves the codecs of this package making it again.
// For a codec that [TakesTexts] the events may be nil. The payload may share memory with a
// text. It is no method, so that a codec which embeds one of them cannot pass for it.
func EncodeTexts(ctx context.Context, c Codec, dst []byte, place Place, events []enact.Event, texts []json.RawMessage) (payload []byte, header string, err error) {
	return encode(ctx, c, dst, place, source{events, texts})
}

// TakesTexts reports whether [EncodeTexts] of the codec looks at the texts alone: it is one
// of this package, and so is all that it wraps.
func TakesTexts(c Codec) bool {
	switch c := c.(type) {
	case JSON:
		return true
	case *Zstd:
		return TakesTexts(c.inner)
	case *AES256GCM:
		return TakesTexts(c.inner)
	}
	return false
}

func encode(ctx context.Context, c Codec, dst []byte, place Place, src source) (payload []byte, header string, err error) {
	switch c := c.(type) {
	case JSON:
		if src.texts != nil {
			return appendTexts(dst, src.texts), JSONName, nil
		}
	case *Zstd:
		return c.encode(ctx, dst, place, src)
	case *AES256GCM:
		return c.encode(ctx, dst, place, src)
	}
	return c.Encode(ctx, dst, place, src.events)
}

// wrapper is a codec around another one. In the header it adds its suffix to the other's
// name and keeps the other's parameters: "json" becomes "json+zstd", "cbor;v=2" becomes
// "cbor+zstd;v=2".
type wrapper struct {
	inner  Codec
	suffix string
	names  []string // of what the inner codec writes, its own first
}

// wrap returns the wrapper of a codec, nil for [JSON]. Its error is [ErrInvalidName].
func wrap(inner Codec, suffix string) (wrapper, error) {
	if inner == nil {
		inner = JSON{}
	}
	w := wrapper{inner: inner, suffix: suffix, names: namesOf(inner)}
	for _, name := range w.names {
		if !ValidName(name) {
			return wrapper{}, fmt.Errorf("%w: %q", ErrInvalidName, name)
		}
	}
	return w, nil
}

// Name returns the inner codec's name and the suffix.
func (w *wrapper) Name() string { return w.names[0] + w.suffix }

// wrappedNames returns the names of what the wrapper writes.
func (w *wrapper) wrappedNames() []string {
	names := slices.Clone(w.names)
	for i := range names {
		names[i] += w.suffix
	}
	return names
}

// header returns the header of a payload whose inner header is given. parameters are
// the wrapper's own, with a ';' before each.
func (w *wrapper) header(inner, parameters string) string {
	name, rest := splitHeader(inner)
	return name + w.suffix + parameters + rest
}

// innerHeader returns the header that the inner codec wrote: name is the one in the
// record's header, parameters what is not the wrapper's own of the rest.
func (w *wrapper) innerHeader(name, parameters string) (string, error) {
	inner, ok := strings.CutSuffix(name, w.suffix)
	if !ok || !slices.Contains(w.names, inner) {
		return "", fmt.Errorf("codec %s does not read what was written by %.160q", w.Name(), name)
	}
	if inner == JSONName && parameters != "" {
		return "", unknownParameters(parameters)
	}
	return inner + parameters, nil
}

// unknownParameters is the error for parameters of [JSON], which has none: a later release
// has given it some.
func unknownParameters(parameters string) error {
	return fmt.Errorf("unknown parameters %.160q of the codec", parameters)
}

// decode has the inner codec decode a payload whose wrapping was taken off.
func (w *wrapper) decode(ctx context.Context, payload []byte, header string, place Place, n int) ([]enact.Event, error) {
	if header == JSONName {
		return JSON{}.Decode(ctx, payload, header, place, n)
	}
	return w.inner.Decode(ctx, payload, header, place, n)
}

// splitHeader returns the name in an Enact-Codec header, and the rest with its ';'.
func splitHeader(header string) (name, parameters string) {
	if i := strings.IndexByte(header, ';'); i >= 0 {
		return header[:i], header[i:]
	}
	return header, ""
}
