package jsonlib

import (
	"bytes"
	"encoding/json"
	"errors"

	"github.com/bytedance/sonic"
	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	gojson "github.com/goccy/go-json"
	segmentio "github.com/segmentio/encoding/json"

	"github.com/enactlog/enact"
)

var errTrailing = errors.New("something follows the value")

// library reads and writes events in one way.
type library struct {
	name        string
	readEvent   func(data []byte) (any, error)
	writeEvent  func(event any) ([]byte, error)
	readStored  func(line []byte) (any, error)
	writeStored func(stored any) ([]byte, error)
}

// decoded is a stored event of the libraries that map structs.
type decoded struct {
	storedEvent
	event any
}

// structs makes a library of a pair of functions that map structs: the tag is
// read first, then the whole object into the struct of its type.
func structs(name string, unmarshal func([]byte, any) error, marshal func(any) ([]byte, error)) library {
	readEvent := func(data []byte) (any, error) {
		var t tag
		if err := unmarshal(data, &t); err != nil {
			return nil, err
		}
		event, err := newEvent(t.Type)
		if err != nil {
			return nil, err
		}
		return event, unmarshal(data, event)
	}
	return library{
		name:       name,
		readEvent:  readEvent,
		writeEvent: marshal,
		readStored: func(line []byte) (any, error) {
			var d decoded
			if err := unmarshal(line, &d.storedEvent); err != nil {
				return nil, err
			}
			var err error
			d.event, err = readEvent(d.Event)
			return &d, err
		},
		writeStored: func(stored any) ([]byte, error) {
			d := *stored.(*decoded)
			var err error
			if d.Event, err = marshal(d.event); err != nil {
				return nil, err
			}
			return marshal(&d.storedEvent)
		},
	}
}

// libraries returns the candidates, each with the options that come nearest to
// the rules.
func libraries() []library {
	strictSonic := sonic.Config{CopyString: true, ValidateString: true, CaseSensitive: true}.Froze()
	return []library{
		{
			name:       "enact (jsontext tokens)",
			readEvent:  func(data []byte) (any, error) { return enact.ParseEvent(data) },
			writeEvent: func(event any) ([]byte, error) { return enact.AppendEvent(nil, event.(enact.Event)) },
			readStored: func(line []byte) (any, error) {
				ev := new(enact.StoredEvent)
				return ev, ev.UnmarshalJSON(line)
			},
			writeStored: func(stored any) ([]byte, error) { return stored.(*enact.StoredEvent).AppendJSON(nil) },
		},
		structs("encoding/json", json.Unmarshal, func(v any) ([]byte, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			err := enc.Encode(v)
			return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
		}),
		structs(
			"go-json-experiment/json (v2)",
			func(data []byte, v any) error { return jsonv2.Unmarshal(data, v) },
			func(v any) ([]byte, error) { return jsonv2.Marshal(v, jsontext.PreserveRawStrings(true)) },
		),
		structs("goccy/go-json", gojson.Unmarshal, func(v any) ([]byte, error) {
			return gojson.MarshalWithOption(v, gojson.DisableHTMLEscape())
		}),
		structs("bytedance/sonic", strictSonic.Unmarshal, strictSonic.Marshal),
		structs("segmentio/encoding/json", func(data []byte, v any) error {
			rest, err := segmentio.Parse(data, v, segmentio.DontMatchCaseInsensitiveStructFields)
			if err == nil && len(bytes.TrimSpace(rest)) > 0 {
				return errTrailing
			}
			return err
		}, func(v any) ([]byte, error) { return segmentio.Append(nil, v, 0) }),
	}
}
