package enact

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendEvent appends the event's JSON to dst. It returns an [*EventError]
// (ErrInvalidEvent) where [Event].Validate would for a reason that concerns
// JSON, and for nil or a pointer to an event.
func AppendEvent(dst []byte, e Event) ([]byte, error) {
	if err := checkVariant(e); err != nil {
		return nil, err
	}
	return e.appendJSON(slices.Grow(dst, usualEvent), false)
}

// usualEvent is the room that most events need, so that dst grows once.
const usualEvent = 192

// checkVariant refuses nil, and a pointer to a variant: it has the methods of an
// Event too, but may be nil, and no type switch over the variants sees it.
func checkVariant(e Event) error {
	if e == nil {
		return &EventError{Reason: "is nil"}
	}
	if reflect.TypeOf(e).Kind() == reflect.Pointer {
		return &EventError{Reason: "is a pointer, events are values"}
	}
	return nil
}

// ParseEvent reads the JSON of one event. "type" may stand anywhere, an absent
// optional is null, unknown keys are ignored. It returns an [*EventError]
// (ErrInvalidEvent) for text that is not one JSON object with a string "type",
// an absent required key, a known key that is there twice, a value of the wrong
// type or out of range, or a lone surrogate. An unknown type gives [Unknown].
// The event does not share memory with data.
func ParseEvent(data []byte) (Event, error) {
	r := newPlainReader(data)
	defer r.free()
	if e, err := r.event(data); err == nil {
		return e, nil
	}
	r.reset(data)
	return r.event(data)
}

// event reads data as an event.
func (r *reader) event(data []byte) (Event, error) {
	tag, first, err := r.findTag()
	if err != nil {
		return nil, inEvent(err, "")
	}
	var seen uint32
	if first {
		seen = 1
	} else {
		// The tag stood behind other keys: read them again, now that they have a meaning.
		r.again(data)
		if err := r.open(); err != nil {
			return nil, inEvent(err, tag)
		}
	}
	var e Event
	if read := readerOf(tag); read != nil {
		e, err = read(r, seen)
	} else {
		err = r.members(append(r.buf[:0], required("type", &r.tag)), seen, false, nil)
		e = Unknown{Tag: tag, Raw: bytes.Clone(bytes.TrimSpace(data))}
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, inEvent(err, tag)
	}
	return e, nil
}

// findTag reads up to and including the value of "type". first reports that it
// was the first key, as every writer of the log puts it.
func (r *reader) findTag() (tag string, first bool, err error) {
	if err := r.open(); err != nil {
		return "", false, err
	}
	for n := 0; ; n++ {
		key, ok, err := r.key()
		if err != nil {
			return "", false, err
		}
		if !ok {
			return "", false, inField(errors.New("is missing"), "type")
		}
		is := string(key) == "type"
		v, err := r.value()
		if err != nil {
			return "", false, err
		}
		if !is {
			continue
		}
		if v[0] != '"' {
			return "", false, inField(wrongKind(v, "a string"), "type")
		}
		text, err := unquote(v)
		if err != nil {
			return "", false, inField(err, "type")
		}
		return tagOf(text), n == 0, nil
	}
}

// readAs reads the members of one variant; seen is 1 if "type" has been read.
func readAs[T any, P interface {
	*T
	object
}](r *reader, seen uint32) (Event, error) {
	e := new(T)
	if err := r.members(P(e).fields(append(r.buf[:0], required("type", &r.tag))), seen, false, nil); err != nil {
		return nil, err
	}
	return any(*e).(Event), nil
}

// unmarshalAs reads an event and insists on its type.
func unmarshalAs[T Event](data []byte, into *T) error {
	e, err := ParseEvent(data)
	if err != nil {
		return err
	}
	v, ok := e.(T)
	if !ok {
		return &EventError{Type: e.Type(), Field: "type", Reason: "is not " + (*into).Type()}
	}
	*into = v
	return nil
}

// Type returns the type as it was read.
func (u Unknown) Type() string { return u.Tag }

// Validate implements [Event]: Raw must be an event of type Tag, and Tag a type
// that is not known here and not reserved ("enact." and what follows).
func (u Unknown) Validate() error {
	e, err := ParseEvent(u.Raw)
	if err != nil {
		return err
	}
	switch {
	case e.Type() != u.Tag:
		return &EventError{Type: u.Tag, Field: "type", Reason: "differs from the raw object's, " + clip(e.Type())}
	case readerOf(u.Tag) != nil:
		return &EventError{Type: u.Tag, Field: "type", Reason: "is a known type, which Unknown cannot carry"}
	case strings.HasPrefix(u.Tag, "enact."):
		return &EventError{Type: u.Tag, Field: "type", Reason: "is reserved"}
	}
	return nil
}

func (u Unknown) appendJSON(dst []byte, _ bool) ([]byte, error) {
	if err := u.Validate(); err != nil {
		return nil, err
	}
	return append(dst, u.Raw...), nil
}

// MarshalJSON returns Raw.
func (u Unknown) MarshalJSON() ([]byte, error) { return u.appendJSON(nil, false) }

// Type returns "enact.unreadable".
func (Unreadable) Type() string { return typeUnreadable }

// Validate always returns an [*EventError]: what cannot be read cannot be appended.
func (Unreadable) Validate() error {
	return &EventError{Type: typeUnreadable, Reason: "stands for an event that cannot be read, it cannot be appended"}
}

func (u Unreadable) appendJSON(dst []byte, strict bool) ([]byte, error) {
	if strict {
		return nil, u.Validate()
	}
	return appendFields(dst, typeUnreadable, &u, false)
}

// MarshalJSON writes {"type":"enact.unreadable","codec":…,"key_id":…}.
func (u Unreadable) MarshalJSON() ([]byte, error) { return u.appendJSON(nil, false) }

// StoredEvent is an event as the log holds it. Its JSON is the seed's
// StoredEvent: the keys sequence, execution_id, tenant_id, event and timestamp in
// that order, then position, metadata, traceparent and tracestate where they are set.
type StoredEvent struct {
	Sequence    uint64 // within the execution, from 1, without gaps
	ExecutionID ExecutionID
	TenantID    TenantID
	Event       Event
	Timestamp   time.Time         // when the event occurred, UTC
	Position    uint64            // stream sequence of the event's record; 0: not known
	Metadata    map[string]string // of the event's append; nil: none
	Trace       TraceContext      // of the event's append; zero: none, or none that is valid
}

func (s *StoredEvent) fields(f []field) []field {
	f = append(f, required("sequence", &s.Sequence), required("execution_id", &s.ExecutionID),
		required("tenant_id", &s.TenantID), required("event", &s.Event), required("timestamp", &s.Timestamp))
	return append(f, optional("position", &s.Position), optional("metadata", &s.Metadata),
		optional("traceparent", &s.Trace.Parent), optional("tracestate", &s.Trace.State))
}

// unset reports whether a field beyond the seed's has nothing to say.
func (s *StoredEvent) unset(f *field) bool {
	switch f.ptr {
	case &s.Position:
		return s.Position == 0
	case &s.Metadata:
		return len(s.Metadata) == 0
	case &s.Trace.Parent:
		return s.Trace.Parent == ""
	case &s.Trace.State:
		return s.Trace.State == ""
	}
	return false
}

// AppendJSON appends the event's JSON to dst, on one line. It returns an
// [*EventError] (ErrInvalidEvent) if the event has no JSON form.
func (s StoredEvent) AppendJSON(dst []byte) ([]byte, error) {
	var buf [12]field
	start := len(dst)
	dst = slices.Grow(dst, 2*usualEvent)
	sep := byte('{')
	for _, f := range s.fields(buf[:0]) {
		if f.opt && s.unset(&f) {
			continue
		}
		var err error
		if dst, err = f.appendMember(append(dst, sep), f.name); err != nil {
			return nil, inEvent(err, "")
		}
		sep = ','
	}
	dst = append(dst, '}')
	if bytes.ContainsAny(dst[start:], "\n\r") {
		// Raw JSON may hold line ends between its tokens.
		line := jsontext.Value(bytes.Clone(dst[start:]))
		if err := line.Compact(rawOptions); err != nil {
			return nil, &EventError{Reason: err.Error()}
		}
		dst = append(dst[:start], line...)
	}
	return dst, nil
}

// MarshalJSON is [StoredEvent.AppendJSON]. encoding/json escapes '<', '>' and '&'
// in its result, equal by value.
func (s StoredEvent) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil) }

// UnmarshalJSON reads a stored event by the rules of [ParseEvent]; the time may
// have any offset.
func (s *StoredEvent) UnmarshalJSON(data []byte) error {
	r := newReader(data)
	defer r.free()
	if err := r.open(); err != nil {
		return inEvent(err, "")
	}
	var read StoredEvent
	err := r.members(read.fields(r.buf[:0]), 0, false, nil)
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return inEvent(err, "")
	}
	*s = read
	return nil
}
