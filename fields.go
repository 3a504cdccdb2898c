package enact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/enactlog/enact/internal/jsonscan"
)

// field is one member of a JSON object and the variable that holds it. The
// variable's type decides how it is written, read and validated; a pointer, or
// raw JSON in an optional field, is null when nil.
type field struct {
	name string
	ptr  any
	opt  bool
}

// object is anything whose JSON is an object of fields in a set order.
type object interface{ fields([]field) []field }

// shaped objects keep unknown keys and the spelling that they were read with.
type shaped interface {
	object
	shape() shape
}

type shape struct {
	extra  *map[string]json.RawMessage
	source *json.RawMessage // as read, where that is not what would be written
}

func required(name string, ptr any) field { return field{name: name, ptr: ptr} }
func optional(name string, ptr any) field { return field{name: name, ptr: ptr, opt: true} }

// fieldsPool holds lists of fields for writing and validating. The fields of an
// object come through an interface, so that a list on the stack would escape.
var fieldsPool = sync.Pool{New: func() any { return new([12]field) }}

func putFields(list *[12]field) {
	clear(list[:])
	fieldsPool.Put(list)
}

// rawOptions lets raw JSON repeat keys, as serde_json does. What jsontext
// refuses by default stays refused: invalid UTF-8 and lone surrogates.
var rawOptions = jsontext.AllowDuplicateNames(true)

// text returns the string behind the string-like field types, and whether it may
// be empty.
func (f field) text() (s *string, empty, ok bool) {
	switch p := f.ptr.(type) {
	case *string:
		return p, true, true
	case *StepID:
		return (*string)(p), false, true
	case *ExecutionID:
		return (*string)(p), false, true
	case *TenantID:
		return (*string)(p), false, true
	case *StepType:
		return (*string)(p), false, true
	case *StepSourceType:
		return (*string)(p), false, true
	case *ParentType:
		return (*string)(p), false, true
	case *ErrorCategory:
		return (*string)(p), false, true
	case *BackoffStrategy:
		return (*string)(p), false, true
	case **string:
		return *p, true, true
	case **StepID:
		return (*string)(*p), false, true
	}
	return nil, false, false
}

// Writing.

func appendFields(dst []byte, tag string, o object, strict bool) ([]byte, error) {
	buf := fieldsPool.Get().(*[12]field)
	defer putFields(buf)
	dst = append(dst, `{"type":"`...)
	dst = append(dst, tag...)
	dst = append(dst, '"')
	for _, f := range o.fields(buf[:0]) {
		if strict {
			if err := f.validate(writingChecks); err != nil {
				return nil, inEvent(inField(err, f.name), tag)
			}
		}
		var err error
		if dst, err = f.appendMember(append(dst, ','), f.name); err != nil {
			return nil, inEvent(err, tag)
		}
	}
	return append(dst, '}'), nil
}

func appendObject(dst []byte, o object) ([]byte, error) {
	if s, ok := o.(shaped); ok {
		if src := *s.shape().source; src != nil && unchanged(s, src) {
			return append(dst, src...), nil
		}
	}
	return appendCanonical(dst, o)
}

func appendCanonical(dst []byte, o object) ([]byte, error) {
	buf := fieldsPool.Get().(*[12]field)
	defer putFields(buf)
	var err error
	sep := byte('{')
	for _, f := range o.fields(buf[:0]) {
		if dst, err = f.appendMember(append(dst, sep), f.name); err != nil {
			return nil, err
		}
		sep = ','
	}
	if s, ok := o.(shaped); ok {
		extra := *s.shape().extra
		for _, key := range sortedKeys(extra) {
			if err := checkExtraKey(o, key); err != nil {
				return nil, err
			}
			raw := extra[key]
			if dst, err = optional(key, &raw).appendMember(append(dst, sep), key); err != nil {
				return nil, err
			}
		}
	}
	return append(dst, '}'), nil
}

// unchanged reports whether reading source again gives o.
func unchanged(o shaped, source []byte) bool {
	again := reflect.New(reflect.TypeOf(o).Elem()).Interface().(shaped)
	return readObject(source, again) == nil && reflect.DeepEqual(o, again)
}

func (f field) appendMember(dst []byte, name string) ([]byte, error) {
	dst, err := jsontext.AppendQuote(dst, name)
	if err != nil {
		return nil, &EventError{Field: name, Reason: "the key is not valid UTF-8"}
	}
	dst, err = f.appendValue(append(dst, ':'))
	if err != nil {
		return nil, inField(err, f.name)
	}
	return dst, nil
}

func (f field) appendValue(dst []byte) ([]byte, error) {
	if s, _, ok := f.text(); ok {
		if s == nil {
			return append(dst, "null"...), nil
		}
		dst, err := jsontext.AppendQuote(dst, *s)
		if err != nil {
			return nil, errors.New("is not valid UTF-8")
		}
		return dst, nil
	}
	switch p := f.ptr.(type) {
	case *uint64:
		return strconv.AppendUint(dst, *p, 10), nil
	case *uint32:
		return strconv.AppendUint(dst, uint64(*p), 10), nil
	case *int64:
		return strconv.AppendInt(dst, *p, 10), nil
	case *bool:
		return strconv.AppendBool(dst, *p), nil
	case **uint16:
		if *p == nil {
			return append(dst, "null"...), nil
		}
		return strconv.AppendUint(dst, uint64(**p), 10), nil
	case **float64:
		if *p == nil {
			return append(dst, "null"...), nil
		}
		return appendFloat(dst, **p)
	case *json.RawMessage:
		if *p == nil {
			if !f.opt {
				return nil, errMissing
			}
			return append(dst, "null"...), nil
		}
		if err := checkRaw(*p); err != nil {
			return nil, err
		}
		return append(dst, *p...), nil
	case *time.Time:
		dst = append(dst, '"')
		return append(AppendTime(dst, *p), '"'), nil
	case *Event:
		return AppendEvent(dst, *p)
	case *map[string]string:
		return appendStringMap(dst, *p)
	case **ParentLink:
		if *p == nil {
			return append(dst, "null"...), nil
		}
		return appendObject(dst, *p)
	case object:
		return appendObject(dst, p)
	}
	return nil, errFieldType
}

func appendStringMap(dst []byte, m map[string]string) ([]byte, error) {
	sep := byte('{')
	for _, key := range sortedKeys(m) {
		value := m[key]
		var err error
		if dst, err = required(key, &value).appendMember(append(dst, sep), key); err != nil {
			return nil, err
		}
		sep = ','
	}
	if sep == '{' {
		dst = append(dst, '{')
	}
	return append(dst, '}'), nil
}

// appendFloat writes the shortest text that reads back as v, always with a point
// or an exponent so that it stays a float for readers that tell the two apart.
func appendFloat(dst []byte, v float64) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil, errors.New("is not finite")
	}
	if a := math.Abs(v); a != 0 && (a < 1e-5 || a >= 1e16) {
		dst = strconv.AppendFloat(dst, v, 'e', -1, 64)
		// strconv pads the exponent to two digits; JSON does not ask for it.
		if n := len(dst); n >= 4 && (dst[n-3] == '-' || dst[n-3] == '+') && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
		return dst, nil
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	if !slices.Contains(dst[start:], '.') {
		dst = append(dst, '.', '0')
	}
	return dst, nil
}

// Validating.

func validateFields(tag string, o object) error {
	buf := fieldsPool.Get().(*[12]field)
	defer putFields(buf)
	for _, f := range o.fields(buf[:0]) {
		if err := f.validate(allChecks); err != nil {
			return inEvent(inField(err, f.name), tag)
		}
	}
	return nil
}

func validateObject(o object, scope checks) error {
	buf := fieldsPool.Get().(*[12]field)
	defer putFields(buf)
	for _, f := range o.fields(buf[:0]) {
		if err := f.validate(scope); err != nil {
			return inField(err, f.name)
		}
	}
	s, ok := o.(shaped)
	if !ok {
		return nil
	}
	extra := *s.shape().extra
	for _, key := range sortedKeys(extra) {
		if err := checkExtraKey(o, key); err != nil {
			return err
		}
		if raw := extra[key]; raw != nil {
			if err := checkRaw(raw); err != nil {
				return inField(err, key)
			}
		}
	}
	return nil
}

// checkExtraKey refuses a key that would make the object one that no reader accepts.
func checkExtraKey(o object, key string) error {
	var buf [10]field
	switch {
	case slices.ContainsFunc(o.fields(buf[:0]), func(f field) bool { return spells(key, f.name) }):
		return inField(errors.New("is a known key, it has no place in Extra"), key)
	case !utf8.ValidString(key):
		return inField(errors.New("the key is not valid UTF-8"), strings.ToValidUTF8(key, "\ufffd"))
	}
	return nil
}

// checks says which checks validating makes.
type checks int

const (
	allChecks     checks = iota
	writingChecks        // those that writing does not make anyhow: not the costly ones
)

func (f field) validate(scope checks) error {
	if s, empty, ok := f.text(); ok {
		switch {
		case s == nil:
			return nil
		case !utf8.ValidString(*s):
			return errors.New("is not valid UTF-8")
		case *s == "" && !empty:
			return errors.New("is empty")
		}
		switch f.ptr.(type) {
		case *StepID, **StepID:
			if len(*s) > MaxIDLength {
				return fmt.Errorf("has %d bytes, at most %d are allowed", len(*s), MaxIDLength)
			}
		}
		return nil
	}
	switch p := f.ptr.(type) {
	case **float64:
		if *p != nil && (math.IsNaN(**p) || math.IsInf(**p, 0)) {
			return errors.New("is not finite")
		}
	case *json.RawMessage:
		if *p == nil && f.opt {
			return nil
		}
		if scope == allChecks {
			return checkRaw(*p)
		}
	case **ParentLink:
		if *p != nil {
			return validateObject(*p, scope)
		}
	case *Duration:
		if p.Nanos >= nanosPerSecond {
			return inField(errors.New("is not below 1000000000"), "nanos")
		}
	case object:
		return validateObject(p, scope)
	}
	return nil
}

var (
	errMissing   = errors.New("is missing; JSON(nil) stands for null")
	errFieldType = errors.New("has no JSON form")
)

// checkRaw returns nil for what the seed's reader accepts as any JSON: one value,
// valid UTF-8, paired surrogates, within checkLimits.
func checkRaw(raw json.RawMessage) error {
	if raw == nil {
		return errMissing
	}
	if !validRaw(raw) {
		return errors.New("is not valid JSON: " + clip(string(raw)))
	}
	return checkLimits(raw)
}

// validRaw reports whether raw is one value of valid JSON. What is plainly that does not
// need the tokenizer, which takes several times as long.
func validRaw(raw []byte) bool {
	if end := jsonscan.Value(raw, jsonscan.Space(raw, 0)); end >= 0 && jsonscan.Space(raw, end) == len(raw) {
		return true
	}
	return jsontext.Value(raw).IsValid(rawOptions)
}

// MaxJSONDepth is how deep arrays and objects of raw JSON may be nested. serde_json
// stops at 128 levels, of which an event takes up to four around its raw JSON.
const MaxJSONDepth = 120

// checkLimits refuses, in valid JSON, numbers beyond a float64 and nesting beyond
// MaxJSONDepth: the seed's reader does, and what one reader of the log refuses has
// no place in it. Only a long number or one with an exponent can be out of range.
func checkLimits(raw []byte) error {
	depth := 0
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			i = endOfString(raw, i+1)
		case c == '[' || c == '{':
			if depth++; depth > MaxJSONDepth {
				return fmt.Errorf("is nested more than %d deep", MaxJSONDepth)
			}
		case c == ']' || c == '}':
			depth--
		case c == '-' || isDigit(c):
			start, exponent := i, false
			for ; i < len(raw) && (isDigit(raw[i]) || raw[i] == '.' || raw[i] == '-' || raw[i] == '+' || raw[i] == 'e' || raw[i] == 'E'); i++ {
				exponent = exponent || raw[i] == 'e' || raw[i] == 'E'
			}
			if exponent || i-start > 300 {
				if _, err := strconv.ParseFloat(string(raw[start:i]), 64); err != nil {
					return errors.New("number out of range: " + clip(string(raw[start:i])))
				}
			}
			i--
		}
	}
	return nil
}

// endOfString returns the index of the quote that ends the string whose text begins at
// i, in valid JSON.
func endOfString(raw []byte, i int) int {
	for {
		quote := i + bytes.IndexByte(raw[i:], '"')
		escape := bytes.IndexByte(raw[i:quote], '\\')
		if escape < 0 {
			return quote
		}
		i += escape + 2 // the escaped byte may be a quote
	}
}

// inField puts name before the path of the error's field.
func inField(err error, name string) error {
	var e *EventError
	if !errors.As(err, &e) {
		return &EventError{Field: name, Reason: err.Error()}
	}
	c := *e
	if c.Field == "" {
		c.Field = name
	} else {
		c.Field = name + "." + c.Field
	}
	return &c
}

func inEvent(err error, tag string) error {
	var e *EventError
	if !errors.As(err, &e) {
		return &EventError{Type: tag, Reason: err.Error()}
	}
	c := *e
	if c.Type == "" {
		c.Type = tag
	}
	return &c
}

func sortedKeys[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
