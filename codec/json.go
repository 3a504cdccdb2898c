package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/jsonscan"
)

// JSONName is the name of the default codec.
const JSONName = "json"

// JSON is the default codec: one event is the event's JSON object, several are an
// array of them.
type JSON struct{}

// Name returns "json".
func (JSON) Name() string { return JSONName }

// Encode implements [Codec].
func (JSON) Encode(_ context.Context, dst []byte, _ Place, events []enact.Event) ([]byte, string, error) {
	var err error
	if len(events) == 1 {
		dst, err = enact.AppendEvent(dst, events[0])
		return dst, JSONName, err
	}
	sep := byte('[')
	for _, e := range events {
		if dst, err = enact.AppendEvent(append(dst, sep), e); err != nil {
			return nil, "", err
		}
		sep = ','
	}
	return append(dst, ']'), JSONName, nil
}

// appendTexts appends the payload that [JSON] makes of events with these texts. One text
// is its own payload.
func appendTexts(dst []byte, texts []json.RawMessage) []byte {
	switch {
	case len(texts) == 1 && dst == nil:
		return texts[0]
	case len(texts) == 1:
		return append(dst, texts[0]...)
	}
	size := 1
	for _, text := range texts {
		size += len(text) + 1
	}
	dst = slices.Grow(dst, size)
	sep := byte('[')
	for _, text := range texts {
		dst = append(append(dst, sep), text...)
		sep = ','
	}
	return append(dst, ']')
}

// Decode implements [Codec].
func (JSON) Decode(_ context.Context, payload []byte, header string, _ Place, n int) ([]enact.Event, error) {
	if name, parameters := splitHeader(header); name == JSONName && parameters != "" {
		return nil, unknownParameters(parameters)
	}
	if n == 1 {
		e, err := enact.ParseEvent(payload)
		if err != nil {
			return nil, err
		}
		return []enact.Event{e}, nil
	}
	if events, ok := plainArray(payload, make([]enact.Event, 0, n), n); ok {
		return events, nil
	}
	return decodeArray(payload, n)
}

// decodeArray decodes any array.
func decodeArray(payload []byte, n int) ([]enact.Event, error) {
	events := make([]enact.Event, 0, n)
	dec := jsontext.NewDecoder(bytes.NewBuffer(payload), jsontext.AllowDuplicateNames(true))
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, errors.New("payload of several events is not a JSON array")
	}
	for dec.PeekKind() != ']' {
		raw, err := dec.ReadValue()
		if err != nil {
			return nil, fmt.Errorf("payload is not valid JSON after %d events", len(events))
		}
		if len(events) == n {
			return nil, fmt.Errorf("payload has more than the record's %d events", n)
		}
		e, err := enact.ParseEvent(raw)
		if err != nil {
			return nil, fmt.Errorf("event %d of the payload: %w", len(events), err)
		}
		events = append(events, e)
	}
	if len(events) != n {
		return nil, fmt.Errorf("payload has %d events, the record says %d", len(events), n)
	}
	_, _ = dec.ReadToken() // the array's end, which PeekKind has seen
	// Not PeekKind again, which says the same of an end and of what is no JSON.
	if _, err := dec.ReadToken(); err != io.EOF {
		return nil, errors.New("something follows the payload's array")
	}
	return events, nil
}

// plainArray decodes an array whose text is plainly valid, of n events. Of anything else it
// is not sure.
func plainArray(payload []byte, events []enact.Event, n int) (_ []enact.Event, ok bool) {
	at := jsonscan.Space(payload, 0)
	if at == len(payload) || payload[at] != '[' {
		return nil, false
	}
	for range n {
		at = jsonscan.Space(payload, at+1) // behind the bracket, or the comma
		end := jsonscan.Value(payload, at)
		if end < 0 {
			return nil, false
		}
		e, err := enact.ParseEvent(payload[at:end])
		if err != nil {
			return nil, false
		}
		events = append(events, e)
		want := byte(',')
		if len(events) == n {
			want = ']'
		}
		if at = jsonscan.Space(payload, end); at == len(payload) || payload[at] != want {
			return nil, false
		}
	}
	return events, jsonscan.Space(payload, at+1) == len(payload)
}
