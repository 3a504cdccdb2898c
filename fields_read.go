package enact

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	nanosPerSecond = 1_000_000_000

	maxPooled = 64 << 10 // a larger buffer goes back to the garbage collector
)

// reader reads one JSON object at a time. It is pooled: the decoder's buffers
// cost more than most events.
type reader struct {
	plain bool // what is read is fast, else dec
	fast  plainText

	dec jsontext.Decoder
	src bytes.Buffer
	buf [12]field
	tag string // holds the event's type while it is read
	out []byte // holds what readObject compares with
}

var readerPool = sync.Pool{New: func() any { return new(reader) }}

func newReader(data []byte) *reader {
	r := readerPool.Get().(*reader)
	r.reset(data)
	return r
}

// newPlainReader returns a reader that takes only what is plainly valid. Its errors do not
// say what is wrong.
func newPlainReader(data []byte) *reader {
	r := readerPool.Get().(*reader)
	r.resetPlain(data)
	return r
}

func (r *reader) resetPlain(data []byte) { r.plain, r.fast = true, plainText{text: data} }

func (r *reader) reset(data []byte) {
	r.plain = false
	r.src = *bytes.NewBuffer(data)
	r.dec.Reset(&r.src, rawOptions)
}

// again begins anew.
func (r *reader) again(data []byte) {
	if r.plain {
		r.resetPlain(data)
	} else {
		r.reset(data)
	}
}

func (r *reader) free() {
	if r.plain {
		r.fast = plainText{}
	} else {
		r.src = bytes.Buffer{}
		r.dec.Reset(&r.src)
	}
	clear(r.buf[:])
	r.tag = ""
	if cap(r.out) > maxPooled {
		r.out = nil
	}
	readerPool.Put(r)
}

// open reads the opening brace.
func (r *reader) open() error {
	if r.plain {
		return r.fast.open()
	}
	tok, err := r.dec.ReadToken()
	if err != nil {
		return syntax(err)
	}
	if tok.Kind() != '{' {
		return fmt.Errorf("is %s, not an object", kindName(tok.Kind()))
	}
	return nil
}

// key reads the next key, or ok=false at the closing brace. It is valid until
// the next read.
func (r *reader) key() (key []byte, ok bool, err error) {
	var v []byte
	if r.plain {
		v, ok, err = r.fast.key()
		if err != nil || !ok {
			return nil, false, err
		}
	} else {
		if r.dec.PeekKind() == '}' {
			_, err := r.dec.ReadToken()
			return nil, false, syntax(err)
		}
		if v, err = r.dec.ReadValue(); err != nil {
			return nil, false, syntax(err)
		}
	}
	key, err = unquote(v)
	return key, err == nil, err
}

// value reads the next value, valid until the next read.
func (r *reader) value() ([]byte, error) {
	if r.plain {
		return r.fast.value()
	}
	v, err := r.dec.ReadValue()
	return v, syntax(err)
}

// end makes sure that nothing follows the object.
func (r *reader) end() error {
	if r.plain {
		return r.fast.end()
	}
	// PeekKind would not do: it is 0 at the end and for text that is not JSON.
	if _, err := r.dec.ReadToken(); err != io.EOF {
		return errors.New("something follows the object")
	}
	return nil
}

// members reads the rest of an object into fields, once each; bit i of seen marks
// field i as read already. loose lets keys be spelled in camelCase. A key that is
// no field goes to unknown, or is ignored where that is nil.
func (r *reader) members(fields []field, seen uint32, loose bool, unknown func(key, value []byte) error) error {
	for {
		key, ok, err := r.key()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		i := indexOf(fields, key, loose)
		if i < 0 {
			name := bytes.Clone(key)
			value, err := r.value()
			if err != nil {
				return inField(err, string(name))
			}
			if unknown == nil {
				err = checkLimits(value)
			} else {
				err = unknown(name, value)
			}
			if err != nil {
				return inField(err, string(name))
			}
			continue
		}
		if seen&(1<<i) != 0 {
			return inField(errTwice, fields[i].name)
		}
		seen |= 1 << i
		value, err := r.value()
		if err == nil {
			err = fields[i].read(value)
		}
		if err != nil {
			return inField(err, fields[i].name)
		}
	}
	for i, f := range fields {
		if seen&(1<<i) == 0 && !f.opt {
			return inField(errors.New("is missing"), f.name)
		}
	}
	return nil
}

func indexOf(fields []field, key []byte, loose bool) int {
	for i := range fields {
		if string(key) == fields[i].name || loose && spells(string(key), fields[i].name) {
			return i
		}
	}
	return -1
}

// spells reports whether key is name in snake_case or in camelCase.
func spells(key, name string) bool {
	if key == name {
		return true
	}
	k := 0
	for n := 0; n < len(name); n++ {
		c := name[n]
		if c == '_' {
			n++
			c = name[n] - 'a' + 'A'
		}
		if k >= len(key) || key[k] != c {
			return false
		}
		k++
	}
	return k == len(key)
}

// readObject reads a shaped object from its JSON.
func readObject(data []byte, o shaped) error {
	r := newReader(data)
	defer r.free()
	if err := r.open(); err != nil {
		return err
	}
	sh := o.shape()
	err := r.members(o.fields(r.buf[:0]), 0, true, func(key, value []byte) error {
		if *sh.extra == nil {
			*sh.extra = make(map[string]json.RawMessage)
		}
		if _, twice := (*sh.extra)[string(key)]; twice {
			return errTwice
		}
		if err := checkLimits(value); err != nil {
			return err
		}
		(*sh.extra)[string(key)] = bytes.Clone(value)
		return nil
	})
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return err
	}
	canonical, err := appendCanonical(r.out[:0], o)
	if err != nil || !bytes.Equal(canonical, data) {
		*sh.source = bytes.Clone(data)
	}
	if err == nil {
		r.out = canonical
	}
	return nil
}

// unmarshalObject reads a shaped object that stands alone. into changes only if
// there is no error.
func unmarshalObject[T any, P interface {
	*T
	shaped
}](data []byte, into P) error {
	var read T
	if err := readObject(data, P(&read)); err != nil {
		return inEvent(err, "")
	}
	*into = read
	return nil
}

func (f field) read(v []byte) error {
	null := string(v) == "null"
	if null && f.opt {
		return nil
	}
	switch p := f.ptr.(type) {
	case **string:
		*p = new(string)
	case **StepID:
		*p = new(StepID)
	}
	if s, _, ok := f.text(); ok {
		if v[0] != '"' {
			return wrongKind(v, "a string")
		}
		text, err := unquote(v)
		*s = string(text)
		return err
	}
	switch p := f.ptr.(type) {
	case *uint64:
		return readUint(v, 64, p)
	case *uint32:
		return readUint(v, 32, p)
	case **uint16:
		*p = new(uint16)
		return readUint(v, 16, *p)
	case *int64:
		n, err := strconv.ParseInt(string(v), 10, 64)
		// Rust takes -0 for a float.
		if *p = n; err != nil || string(v) == "-0" {
			return wrongKind(v, "an i64")
		}
	case *bool:
		if *p = string(v) == "true"; !*p && string(v) != "false" {
			return wrongKind(v, "a boolean")
		}
	case **float64:
		n, err := strconv.ParseFloat(string(v), 64)
		if err != nil {
			return wrongKind(v, "an f64")
		}
		*p = &n
	case *json.RawMessage:
		if err := checkLimits(v); err != nil {
			return err
		}
		*p = bytes.Clone(v)
	case *time.Time:
		return readTime(v, p)
	case *Event:
		e, err := ParseEvent(v)
		*p = e
		return err
	case *map[string]string:
		return readStringMap(v, p)
	case **ParentLink:
		*p = new(ParentLink)
		return readObject(v, *p)
	case *Duration:
		return p.read(v)
	case shaped:
		return readObject(v, p)
	default:
		return errFieldType
	}
	return nil
}

func readUint[U uint16 | uint32 | uint64](v []byte, bits int, into *U) error {
	n, err := strconv.ParseUint(string(v), 10, bits)
	if err != nil {
		return wrongKind(v, "a u"+strconv.Itoa(bits))
	}
	*into = U(n)
	return nil
}

func readTime(v []byte, into *time.Time) error {
	if v[0] != '"' {
		return wrongKind(v, "a string")
	}
	text, err := unquote(v)
	if err != nil {
		return err
	}
	if *into, err = ParseTime(string(text)); err != nil {
		return fmt.Errorf("%s: %q", err, clip(string(text)))
	}
	return nil
}

func readStringMap(v []byte, into *map[string]string) error {
	r := newReader(v)
	defer r.free()
	if err := r.open(); err != nil {
		return err
	}
	m := make(map[string]string)
	err := r.members(nil, 0, false, func(key, value []byte) error {
		if _, twice := m[string(key)]; twice {
			return errTwice
		}
		var s string
		if err := required("", &s).read(value); err != nil {
			return err
		}
		m[string(key)] = s
		return nil
	})
	if err == nil && len(m) > 0 {
		*into = m
	}
	return err
}

func (d *Duration) read(v []byte) error {
	if v[0] != '{' {
		ms, err := strconv.ParseUint(string(v), 10, 64)
		if err != nil {
			return wrongKind(v, "a duration: an object of secs and nanos, or whole milliseconds")
		}
		*d = Duration{Secs: ms / 1000, Nanos: uint32(ms%1000) * 1_000_000}
		return nil
	}
	r := newReader(v)
	defer r.free()
	if err := r.open(); err != nil {
		return err
	}
	if err := r.members(d.fields(r.buf[:0]), 0, false, nil); err != nil {
		return err
	}
	carry := uint64(d.Nanos / nanosPerSecond)
	if d.Secs > math.MaxUint64-carry {
		return errors.New("overflows a duration")
	}
	d.Secs, d.Nanos = d.Secs+carry, d.Nanos%nanosPerSecond
	return nil
}

var errTwice = errors.New("is there twice")

// unquote returns the text of a JSON string. Where nothing is escaped it is a
// part of v. jsontext has checked v already.
func unquote(v []byte) ([]byte, error) {
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	text, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil, errors.New("is not a valid string")
	}
	return text, nil
}

func wrongKind(v []byte, want string) error {
	return fmt.Errorf("is %s, not %s", clip(string(v)), want)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "not JSON"
}

// syntax turns jsontext's error into one without Go pointers and prefixes.
func syntax(err error) error {
	if err == nil {
		return nil
	}
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("is not valid JSON: %w", s.Err)
	}
	return errors.New("is not valid JSON: it ends too soon")
}
