package record

import (
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// Whatever parses is encoded to the same message again, and whatever does not has an
// error of its kind.
func FuzzParse(f *testing.F) {
	for _, s := range samples(f) {
		f.Add(s.m.Subject, s.position, headerText(s.m.Header), s.m.Data)
	}
	// A few bytes that say that they decode to very many.
	bomb := samples(f)["second"]
	bomb.m.Header[HeaderCodec] = []string{codec.ZstdName}
	f.Add(bomb.m.Subject, bomb.position, headerText(bomb.m.Header), []byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00"))
	f.Fuzz(func(t *testing.T, subject string, position uint64, block, payload []byte) {
		h, err := nats.DecodeHeadersMsg(block)
		if err != nil {
			return
		}
		r, err := Parse(testSubjects, subject, position, h, payload)
		if err != nil {
			if !errors.Is(err, enact.ErrCorrupt) && !errors.Is(err, enact.ErrUnsupportedVersion) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if _, err := r.Events(t.Context(), codec.Set{}); err != nil && !errors.Is(err, enact.ErrCorrupt) && !errors.Is(err, enact.ErrUnknownCodec) && !errors.Is(err, enact.ErrTooLarge) {
			t.Fatalf("an error of no kind: %v", err)
		}
		r.Follows(enact.Chain{})
		m, err := r.Message(testSubjects)
		if errors.Is(err, enact.ErrTooLarge) {
			return
		}
		require.NoError(t, err)
		require.Equal(t, subject, m.Subject)
		require.Equal(t, payload, m.Data)
		for name, values := range m.Header {
			if name == HeaderTraceParent || name == HeaderTraceState {
				require.Equal(t, h[name][:1], values, name)
				continue
			}
			require.Equal(t, h[name], values, name)
		}
		for name := range h {
			if strings.HasPrefix(name, headerPrefix) {
				require.Contains(t, m.Header, name)
			}
		}
	})
}

func FuzzLink(f *testing.F) {
	for _, s := range samples(f) {
		r, err := s.parse()
		require.NoError(f, err)
		f.Add(s.m.Header[HeaderLink][0], s.position, r.Commit.Index)
	}
	f.Fuzz(func(t *testing.T, text string, position uint64, place int) {
		if place < 1 || place > MaxStaged {
			return
		}
		l, err := parseLink(text, position, place)
		if err == nil {
			require.Equal(t, text, string(appendLink(nil, &l, place)))
			require.Len(t, Tail{Number: l.Number, Back: l.Back}.NextBack(), len(naiveNumbers(l.Number)))
		}
	})
}

// naiveNumbers is the definition of Numbers for the record after record n.
func naiveNumbers(n uint64) []uint64 {
	var out []uint64
	for ; n > 0; n -= n & -n {
		out = append(out, n)
	}
	return out
}

func FuzzTimes(f *testing.F) {
	f.Add("2026-02-23T12:00:00Z", 3)
	f.Add("2026-02-23T12:00:00.123456789Z,+5,-7", 3)
	f.Add("+10000-01-01T00:00:00Z,+0,+9223372036854775806", 3)
	f.Add("2026-02-23T12:00:00Z,+0,-0", 3)
	f.Fuzz(func(t *testing.T, text string, n int) {
		n = 1 + n&(MaxEvents-1)
		times, err := parseTimes(nil, text, n)
		if err != nil {
			return
		}
		require.Len(t, times, n)
		again, err := appendTimes(nil, times)
		require.NoError(t, err)
		require.Equal(t, text, string(again))
	})
}

func FuzzCommit(f *testing.F) {
	f.Add(testCommit(1).String() + " 1/1")
	f.Add(testCommit(1).String() + " 999/1000")
	f.Add("urn:uuid:" + testCommit(1).String() + " 1/1")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCommit(text)
		if err == nil {
			require.Equal(t, text, c.String())
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add("user", "ann")
	f.Add("a%20b", "%0D%0A")
	f.Add("%F0%9F%A6%80", "")
	f.Add("%61", "%2e")
	f.Fuzz(func(t *testing.T, key, value string) {
		var r Record
		if err := r.parseMetadata(HeaderMetaPrefix+key, value); err != nil {
			return
		}
		require.Len(t, r.Metadata, 1)
		for k, v := range r.Metadata {
			require.Equal(t, key, enact.EncodeToken(k))
			require.Equal(t, value, enact.EncodeToken(v))
		}
	})
}
