package record

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// Headers of a record.
const (
	HeaderExpected    = "Nats-Expected-Last-Subject-Sequence"
	HeaderVersion     = "Enact-Version"
	HeaderSequence    = "Enact-Sequence"
	HeaderCount       = "Enact-Count"
	HeaderTime        = "Enact-Time"
	HeaderCodec       = "Enact-Codec"
	HeaderCommit      = "Enact-Commit"
	HeaderKey         = "Enact-Key"
	HeaderLink        = "Enact-Link"
	HeaderMetaPrefix  = "Enact-Meta-"
	HeaderTraceParent = "traceparent"
	HeaderTraceState  = "tracestate"
)

const headerPrefix = "Enact-"

const defaultCodec = "json"

// Message returns the record, to which [Record.After] has given its link, as a
// message for its subject. It returns an [*enact.TooLargeError] if the headers
// exceed their limit.
func (r *Record) Message(subjects enact.Subjects) (*nats.Msg, error) {
	msg, _, err := r.MessageFor(subjects.Execution(r.TenantID, r.ExecutionID))
	return msg, err
}

// MessageFor does the same for who knows the subject, and returns the size of the
// message: the bytes of its headers and payload.
func (r *Record) MessageFor(subject string) (msg *nats.Msg, size int, err error) {
	w := headerWriters.Get().(*headerWriter)
	defer headerWriters.Put(w)
	w.text, w.fields, w.names = w.text[:0], w.fields[:0], 0
	if r.Commit.Index == 1 {
		// The check that makes an append a compare-and-set (ADR-50 allows it on
		// the first record of a batch only).
		w.text = strconv.AppendUint(w.text, r.Previous(), 10)
		w.end(HeaderExpected)
		if r.Key != "" {
			w.set(HeaderKey, enact.EncodeToken(r.Key))
		}
	}
	w.text = strconv.AppendUint(w.text, r.Sequence, 10)
	w.end(HeaderSequence)
	if n := r.Count(); n > 1 {
		w.text = strconv.AppendInt(w.text, int64(n), 10)
		w.end(HeaderCount)
	}
	w.set(HeaderTime, r.timesText)
	if r.Codec != defaultCodec {
		w.set(HeaderCodec, r.Codec)
	}
	w.text = appendCommit(w.text, r.Commit)
	w.end(HeaderCommit)
	w.text = appendLink(w.text, &r.Link, r.Commit.Index)
	w.end(HeaderLink)
	for k, v := range r.Metadata {
		w.set(HeaderMetaPrefix+enact.EncodeToken(k), enact.EncodeToken(v))
	}
	if r.TraceParent != "" {
		w.set(HeaderTraceParent, r.TraceParent)
		if r.TraceState != "" {
			w.set(HeaderTraceState, r.TraceState)
		}
	}
	n := w.size()
	if n > MaxHeaderBytes {
		return nil, 0, &enact.TooLargeError{What: "headers", Size: n, Limit: MaxHeaderBytes, Unit: "bytes"}
	}
	return &nats.Msg{Subject: subject, Header: w.header(), Data: r.Payload}, n + len(r.Payload), nil
}

// headerWriter collects headers with one allocation for the text of all of them and one
// for their values, instead of two for each.
type headerWriter struct {
	text   []byte
	fields []headerField
	names  int // bytes of all names
}

type headerField struct {
	name string
	end  int // of its value in the text
}

var headerWriters = sync.Pool{New: func() any { return new(headerWriter) }}

// end makes what was added to the text since the last header the value of name.
func (w *headerWriter) end(name string) {
	w.fields = append(w.fields, headerField{name, len(w.text)})
	w.names += len(name)
}

func (w *headerWriter) set(name, value string) {
	w.text = append(w.text, value...)
	w.end(name)
}

func (w *headerWriter) header() nats.Header {
	h := make(nats.Header, len(w.fields))
	values := make([]string, len(w.fields))
	text, start := string(w.text), 0
	for i, f := range w.fields {
		values[i] = text[start:f.end]
		h[f.name] = values[i : i+1 : i+1]
		start = f.end
	}
	return h
}

// What a header block has on the wire beside names and values: in all, and for each header.
const (
	blockBytes = len("NATS/1.0\r\n") + len("\r\n")
	fieldBytes = len(": ") + len("\r\n")
)

// size returns what [HeaderBytes] does of the headers.
func (w *headerWriter) size() int {
	return blockBytes + w.names + len(w.text) + len(w.fields)*fieldBytes
}

// HeaderBytes returns the length of a header block on the wire.
func HeaderBytes(h nats.Header) int {
	n := blockBytes
	for k, values := range h {
		for _, v := range values {
			n += len(k) + len(v) + fieldBytes
		}
	}
	return n
}

// Parse decodes a message of the log. It returns an
// [*enact.UnsupportedVersionError] for another version of the format and an
// [*enact.CorruptError] for anything that [Record.Message] would not write. The
// payload is kept as it is, not decoded; it shares memory with data.
func Parse(subjects enact.Subjects, subject string, position uint64, h nats.Header, data []byte) (*Record, error) {
	if err := checkVersion(position, h); err != nil {
		return nil, err
	}
	tenant, execution, err := subjects.ParseExecution(subject)
	if err != nil {
		return nil, (&Record{Position: position}).Corrupt("%v", err)
	}
	r := blank(tenant, execution, position, data)
	if err := r.parseHeaders(h, nil); err != nil {
		return nil, r.Corrupt("%v", err)
	}
	return r, nil
}

// blank returns a record with room for one time, which is what most have.
func blank(tenant enact.TenantID, execution enact.ExecutionID, position uint64, data []byte) *Record {
	var room struct {
		Record
		time [1]time.Time
	}
	r := &room.Record
	r.TenantID, r.ExecutionID, r.Position, r.Payload, r.Times = tenant, execution, position, data, room.time[:0]
	return r
}

// checkVersion comes before all else: nothing is known of another version.
func checkVersion(position uint64, h nats.Header) error {
	if v, ok := h[HeaderVersion]; ok && (len(v) != 1 || v[0] != version) {
		return &enact.UnsupportedVersionError{Position: position, Version: strings.Join(v, ",")}
	}
	return nil
}

// headerTexts is the values of a record's headers, but for those of others and of metadata.
type headerTexts struct {
	expected, count, time, codec, commit, key, link text
}

// text is a header's value, if the header is there.
type text struct {
	value string
	there bool
}

// finder looks for headers by name.
type finder struct {
	h    nats.Header
	left int   // headers that were not looked for
	err  error // the first
}

// find returns a header that may be there.
func (f *finder) find(name string) text {
	values, there := f.h[name]
	if !there {
		return text{}
	}
	f.left--
	value, err := one(name, values)
	if f.err == nil {
		f.err = err
	}
	return text{value, true}
}

// need returns a header that must be there.
func (f *finder) need(name string) text {
	t := f.find(name)
	if !t.there && f.err == nil {
		_, f.err = one(name, nil)
	}
	return t
}

// collect takes the log's headers apart. It looks for each that may be there, and goes
// through all of them only where there are others: going through a map costs more.
func (r *Record) collect(h nats.Header) (headerTexts, error) {
	f := finder{h: h, left: len(h) - 1} // the sequence was read
	t := headerTexts{
		time: f.need(HeaderTime), commit: f.need(HeaderCommit), link: f.need(HeaderLink),
		expected: f.find(HeaderExpected), count: f.find(HeaderCount), codec: f.find(HeaderCodec), key: f.find(HeaderKey),
	}
	if f.err != nil || f.left == 0 {
		return t, f.err
	}
	if v := h[HeaderTraceParent]; len(v) > 0 && v[0] != "" {
		r.TraceParent = v[0]
		if v := h[HeaderTraceState]; len(v) > 0 {
			r.TraceState = v[0]
		}
	}
	for name, values := range h {
		if !strings.HasPrefix(name, headerPrefix) {
			continue
		}
		switch name {
		case HeaderSequence, HeaderTime, HeaderCommit, HeaderLink, HeaderCount, HeaderCodec, HeaderKey:
			continue
		}
		value, err := one(name, values)
		if err == nil {
			err = r.parseMetadata(name, value)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// parseHeaders reads the headers of any record, or, if after is not nil, of none but the one
// that follows it.
func (r *Record) parseHeaders(h nats.Header, after *Tail) error {
	// The sequence comes first: what is wrong with the rest is said of it.
	sequence, err := one(HeaderSequence, h[HeaderSequence])
	if err != nil {
		return err
	}
	if r.Sequence, err = parseUint(sequence); err != nil || r.Sequence == 0 {
		return fmt.Errorf("sequence %q is not a number from 1", clip(sequence))
	}
	if after != nil && (r.Sequence != after.Sequence+1 || r.Position <= after.Position) {
		return errNotNext
	}
	t, err := r.collect(h)
	if err != nil {
		return err
	}
	count := uint64(1)
	if t.count.there {
		if count, err = parseUint(t.count.value); err != nil || count < 2 || count > MaxEvents {
			return fmt.Errorf("count %q is not a number from 2 to %d", clip(t.count.value), MaxEvents)
		}
	}
	if r.Sequence+count-1 < r.Sequence {
		return errors.New("sequence overflows")
	}
	r.timesText = t.time.value
	if r.Times, err = parseTimes(r.Times, r.timesText, int(count)); err != nil {
		return err
	}
	r.Codec = defaultCodec
	if t.codec.there {
		if r.Codec = t.codec.value; r.Codec == defaultCodec || !validCodec(r.Codec) {
			return fmt.Errorf("codec %q is not a codec's name other than %s, and parameters", clip(r.Codec), defaultCodec)
		}
	}
	if r.Commit, err = parseCommit(t.commit.value); err != nil {
		return err
	}
	if after != nil && !r.fits(after.commit) {
		return errNotNext
	}
	if after != nil {
		r.Link = nextLink(*after, r.Commit.ID)
	} else if r.Link, err = parseLink(t.link.value, r.Position, r.Commit.Index); err != nil {
		return err
	}
	if err := r.parseFirst(&t); err != nil {
		return err
	}
	if err := r.checkLink(); err != nil {
		return err
	}
	if after != nil && !r.carries(t.link.value, after.Chain) {
		return errNotNext
	}
	return nil
}

// parseFirst reads what only the first record of an append carries.
func (r *Record) parseFirst(t *headerTexts) error {
	if r.Commit.Index > 1 {
		if t.expected.there || t.key.there {
			return fmt.Errorf("record %d of an append carries %s or %s", r.Commit.Index, HeaderExpected, HeaderKey)
		}
		return nil
	}
	if !t.expected.there {
		_, err := one(HeaderExpected, nil)
		return err
	}
	if n, err := parseUint(t.expected.value); err != nil || n != r.Previous() {
		return fmt.Errorf("%s is %q, the link says %d", HeaderExpected, clip(t.expected.value), r.Previous())
	}
	if t.key.there {
		k, err := enact.DecodeToken(t.key.value)
		if err != nil || k == "" || len(k) > enact.MaxIdempotencyKey || !utf8.ValidString(k) {
			return fmt.Errorf("key %q is not an idempotency key", clip(t.key.value))
		}
		r.Key = k
	}
	return nil
}

// checkLink holds the record's own numbers against each other.
func (r *Record) checkLink() error {
	l := &r.Link
	switch {
	case (l.Number == 1) != (r.Sequence == 1):
		return fmt.Errorf("record %d of the execution begins with event %d", l.Number, r.Sequence)
	case l.Number > r.Sequence:
		return fmt.Errorf("record %d of the execution begins with event %d, which is too low", l.Number, r.Sequence)
	case l.Number > r.Position:
		return fmt.Errorf("record %d of the execution cannot stand at position %d", l.Number, r.Position)
	case l.Number < uint64(r.Commit.Index):
		return fmt.Errorf("record %d of an append cannot be record %d of the execution", r.Commit.Index, l.Number)
	case (l.Number == uint64(r.Commit.Index)) != (l.Origin == r.Commit.ID):
		return fmt.Errorf("org %s does not fit record %d of commit %s", l.Origin, l.Number, r.Commit)
	case len(l.Back) > 0 && l.Back[0].Sequence >= r.Sequence:
		return fmt.Errorf("link: the previous record begins with event %d, this one with %d", l.Back[0].Sequence, r.Sequence)
	}
	return nil
}

func (r *Record) parseMetadata(header, value string) error {
	token, ok := strings.CutPrefix(header, HeaderMetaPrefix)
	if !ok {
		if header == HeaderVersion {
			return fmt.Errorf("version %s is written by leaving %s out", version, HeaderVersion)
		}
		return fmt.Errorf("unknown header %s", clip(header))
	}
	k, err := enact.DecodeToken(token)
	if err != nil || k == "" || !utf8.ValidString(k) {
		return fmt.Errorf("metadata key %q is not percent-encoded UTF-8", clip(token))
	}
	v, err := enact.DecodeToken(value)
	if err != nil || !utf8.ValidString(v) {
		return fmt.Errorf("metadata %q: the value is not percent-encoded UTF-8", clip(k))
	}
	if r.Metadata == nil {
		r.Metadata = make(map[string]string)
	}
	r.Metadata[k] = v
	return nil
}

// one returns the value of a header that is there once.
func one(name string, values []string) (string, error) {
	switch len(values) {
	case 0:
		return "", fmt.Errorf("header %s is missing", clip(name))
	case 1:
		return values[0], nil
	default:
		return "", fmt.Errorf("header %s is there %d times", clip(name), len(values))
	}
}

// validCodec reports whether s can be the value of Enact-Codec: the name of a codec
// (see [codec.Codec]) and, after a ';', parameters, in bytes that a header keeps as
// they are.
func validCodec(s string) bool {
	name, _, _ := strings.Cut(s, ";")
	return codec.ValidName(name) && strings.IndexFunc(s, func(c rune) bool { return c <= ' ' || c > '~' }) < 0
}
