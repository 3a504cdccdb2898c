package codec_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/eventgen"
)

const acme enact.TenantID = "acme"

var place = codec.Place{TenantID: acme, ExecutionID: "exec_1", Sequence: 7}

// newSealed returns encryption around JSON, and its keys: one of acme.
func newSealed(tb testing.TB, inner codec.Codec) (*codec.AES256GCM, *codec.MemoryKeyRing, string) {
	tb.Helper()
	keys := codec.NewMemoryKeyRing()
	id, err := keys.Rotate(tb.Context(), acme)
	require.NoError(tb, err)
	sealed, err := codec.NewAES256GCM(inner, keys)
	require.NoError(tb, err)
	return sealed, keys, id
}

func TestAESNames(t *testing.T) {
	for _, tt := range []struct {
		inner codec.Codec
		names []string
		extra int
	}{
		{nil, []string{"json+zstd+aes256gcm", "json+aes256gcm"}, 28},
		{codec.JSON{}, []string{"json+aes256gcm"}, 28},
		{newZstd(t, nil), []string{"json+zstd+aes256gcm", "json+aes256gcm"}, 28},
		{deflated{}, []string{"json+deflate+aes256gcm"}, 28},
		{newZstd(t, deflated{}), []string{"json+deflate+zstd+aes256gcm", "json+deflate+aes256gcm"}, 28},
	} {
		sealed, _, _ := newSealed(t, tt.inner)
		require.Equal(t, tt.names[0], sealed.Name())
		require.Equal(t, tt.names, sealed.Names())
		require.Equal(t, tt.extra, codec.Overhead(sealed))
		set, err := codec.NewSet(sealed)
		require.NoError(t, err)
		for _, name := range tt.names {
			c, ok := set.Lookup(name + ";key=k")
			require.True(t, ok, name)
			require.Same(t, sealed, c)
		}
	}
	_, err := codec.NewAES256GCM(nil, nil)
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	_, err = codec.NewAES256GCM(named{name: "A"}, codec.NewMemoryKeyRing())
	require.ErrorIs(t, err, codec.ErrInvalidName)
	twice, _, _ := newSealed(t, nil)
	one, _, _ := newSealed(t, codec.JSON{})
	_, err = codec.NewSet(twice, one)
	require.ErrorIs(t, err, codec.ErrDuplicateName, "both read json+aes256gcm, with keys of their own")
}

// Whatever is encrypted decodes to itself where it was written, and takes 28 bytes more
// than it would unencrypted.
func TestAESLaw(t *testing.T) {
	z := newZstd(t, nil)
	for _, inner := range []codec.Codec{codec.JSON{}, z, deflated{}, newZstd(t, versioned{})} {
		sealed, _, id := newSealed(t, inner)
		rapid.Check(t, func(t *rapid.T) {
			ctx := context.Background()
			events := rapid.SliceOfN(rapid.OneOf(eventgen.Event(), eventgen.Unknown()), 1, 6).Draw(t, "events")
			at := codec.Place{TenantID: acme, ExecutionID: enact.ExecutionID(rapid.StringN(1, 40, 128).Draw(t, "execution")), Sequence: rapid.Uint64Min(1).Draw(t, "sequence")}
			plain, plainHeader, err := inner.Encode(ctx, nil, at, events)
			require.NoError(t, err)
			payload, header, err := sealed.Encode(ctx, []byte("before"), at, events)
			require.NoError(t, err)
			name, parameters, _ := strings.Cut(plainHeader, ";")
			require.Equal(t, strings.TrimSuffix(name+"+aes256gcm;key="+id+";"+parameters, ";"), header)
			require.Equal(t, "before", string(payload[:6]))
			payload = payload[6:]
			require.Len(t, payload, len(plain)+28)

			back, err := sealed.Decode(ctx, payload, header, at, len(events))
			require.NoError(t, err)
			clear(payload)
			require.Equal(t, events, back)
		})
	}
}

// The same events at the same place are another payload each time.
func TestAESNonces(t *testing.T) {
	sealed, _, _ := newSealed(t, codec.JSON{})
	seen := make(map[string]bool)
	for range 1000 {
		payload, _, err := sealed.Encode(t.Context(), nil, place, notes(3))
		require.NoError(t, err)
		nonce := string(payload[:12])
		require.False(t, seen[nonce])
		seen[nonce] = true
		require.NotContains(t, string(payload), "note of a longer run") // too long to be there by chance
	}
}

// A payload opens nowhere but where it was written. Unlike a key that is gone, that is
// an error of the payload's own.
func TestAESBindsThePlace(t *testing.T) {
	sealed, keys, id := newSealed(t, nil)
	ctx := t.Context()
	// Another tenant whose key has the same id and, as no key ring would have it, the
	// same secret.
	shared := make([]byte, codec.KeySize)
	for _, tenant := range []enact.TenantID{acme, "globex"} {
		require.NoError(t, keys.Add(ctx, tenant, "shared", shared))
	}
	require.NoError(t, keys.Add(ctx, acme, "shared2", shared))
	require.NoError(t, keys.Add(ctx, acme, "last", shared))
	events := notes(20)
	payload, header, err := sealed.Encode(ctx, nil, place, events)
	require.NoError(t, err)
	require.Equal(t, "json+zstd+aes256gcm;key=last", header)
	_, err = sealed.Decode(ctx, payload, header, place, len(events))
	require.NoError(t, err)

	with := func(change func(p *codec.Place)) codec.Place {
		p := place
		change(&p)
		return p
	}
	require.NoError(t, keys.Add(ctx, "globex", "last", shared))
	for name, tt := range map[string]struct {
		place  codec.Place
		header string
		n      int
	}{
		"tenant":        {with(func(p *codec.Place) { p.TenantID = "globex" }), header, 20},
		"execution":     {with(func(p *codec.Place) { p.ExecutionID = "exec_2" }), header, 20},
		"sequence":      {with(func(p *codec.Place) { p.Sequence++ }), header, 20},
		"fewer events":  {place, header, 19},
		"more events":   {place, header, 21},
		"compression":   {place, "json+aes256gcm;key=last", 20},
		"id of the key": {place, "json+zstd+aes256gcm;key=shared2", 20},
		"another key":   {place, "json+zstd+aes256gcm;key=" + id, 20},
	} {
		t.Run(name, func(t *testing.T) {
			back, err := sealed.Decode(ctx, payload, tt.header, tt.place, tt.n)
			require.ErrorContains(t, err, "does not open the payload")
			require.NotErrorIs(t, err, codec.ErrUnavailable)
			require.Nil(t, back)
		})
	}
}

func TestAESRefusesHeaders(t *testing.T) {
	sealed, _, id := newSealed(t, nil)
	payload, _, err := sealed.Encode(t.Context(), nil, place, notes(1))
	require.NoError(t, err)
	for _, header := range []string{
		"", "json+aes256gcm", "json+aes256gcm;", "json+aes256gcm;key=", "json+aes256gcm;key=;", "json+aes256gcm;Key=" + id, "json+aes256gcm;x=1;key=" + id,
		"json+aes256gcm;key=a/b", "json+aes256gcm;key=a=b", "json+aes256gcm;key=" + strings.Repeat("k", codec.MaxKeyID+1), "json+aes256gcm;key=é", "json;key=", ";key=;",
	} {
		events, err := sealed.Decode(t.Context(), payload, header, place, 1)
		require.ErrorContains(t, err, "key", header)
		require.NotErrorIs(t, err, codec.ErrUnavailable, header)
		require.Nil(t, events)
	}
}

// What a key opens and is no payload of the inner codec is refused too: whoever wrote
// it had the key.
func TestAESRefusesWhatItOpens(t *testing.T) {
	keys := codec.NewMemoryKeyRing()
	_, err := keys.Rotate(t.Context(), acme)
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(nil, keys)
	require.NoError(t, err)
	for name, content := range map[string]string{"json": `{"type":"execution_paused"}`, "json+zstd": "\x00\x01"} {
		writer, err := codec.NewAES256GCM(fixedPayload{name: name, payload: []byte(content)}, keys)
		require.NoError(t, err)
		payload, header, err := writer.Encode(t.Context(), nil, place, paused(1))
		require.NoError(t, err)
		_, err = sealed.Decode(t.Context(), payload, header, place, 1)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "does not open")
		require.NotErrorIs(t, err, codec.ErrUnavailable)
	}
	// By a name that it gave to nothing.
	writer, err := codec.NewAES256GCM(fixedPayload{name: "other", payload: []byte(`{"type":"execution_resumed"}`)}, keys)
	require.NoError(t, err)
	payload, header, err := writer.Encode(t.Context(), nil, place, paused(1))
	require.NoError(t, err)
	_, err = sealed.Decode(t.Context(), payload, header, place, 1)
	require.ErrorContains(t, err, `does not read what was written by "other+aes256gcm"`)
}

// A bomb inside the encryption is one all the same.
func TestAESKeepsTheBound(t *testing.T) {
	keys := codec.NewMemoryKeyRing()
	_, err := keys.Rotate(t.Context(), acme)
	require.NoError(t, err)
	wide, err := codec.NewAES256GCM(newZstd(t, nil, codec.MaxDecoded(16<<20)), keys)
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(nil, keys)
	require.NoError(t, err)
	bomb, header, err := wide.Encode(t.Context(), nil, place, paused(9<<20))
	require.NoError(t, err)
	_, err = sealed.Decode(t.Context(), bomb, header, place, 1)
	require.ErrorIs(t, err, enact.ErrTooLarge)
	_, _, err = sealed.Encode(t.Context(), nil, place, paused(9<<20))
	require.ErrorIs(t, err, enact.ErrTooLarge)
	_, _, err = sealed.Encode(t.Context(), nil, place, []enact.Event{nil})
	require.ErrorIs(t, err, enact.ErrInvalidEvent)
}

// An earlier key reads what it wrote; what is written from now on has the new one.
func TestAESRotation(t *testing.T) {
	sealed, keys, first := newSealed(t, nil)
	ctx := t.Context()
	type written struct {
		payload []byte
		header  string
	}
	var all []written
	ids := []string{first}
	for range 3 {
		payload, header, err := sealed.Encode(ctx, nil, place, notes(2))
		require.NoError(t, err)
		all = append(all, written{payload, header})
		id, err := keys.Rotate(ctx, acme)
		require.NoError(t, err)
		ids = append(ids, id)
	}
	for i, w := range all {
		require.True(t, strings.HasSuffix(w.header, ";key="+ids[i]))
		back, err := sealed.Decode(ctx, w.payload, w.header, place, 2)
		require.NoError(t, err)
		require.Equal(t, notes(2), back)
	}
	// One of them goes: what it wrote does, and nothing else.
	require.NoError(t, keys.Drop(ctx, acme, ids[1]))
	for i, w := range all {
		back, err := sealed.Decode(ctx, w.payload, w.header, place, 2)
		require.NoError(t, err)
		if i == 1 {
			gone := enact.Unreadable{Codec: w.header, KeyID: ids[1]}
			require.Equal(t, []enact.Event{gone, gone}, back)
		} else {
			require.Equal(t, notes(2), back)
		}
	}
}

func TestAESDroppedTenant(t *testing.T) {
	sealed, keys, id := newSealed(t, nil)
	ctx := t.Context()
	payload, header, err := sealed.Encode(ctx, nil, place, notes(2))
	require.NoError(t, err)
	require.NoError(t, keys.DropTenant(ctx, acme))
	back, err := sealed.Decode(ctx, payload, header, place, 2)
	require.NoError(t, err)
	require.Equal(t, []enact.Event{enact.Unreadable{Codec: header, KeyID: id}, enact.Unreadable{Codec: header, KeyID: id}}, back)
	_, _, err = sealed.Encode(ctx, nil, place, notes(2))
	require.Equal(t, &codec.KeyError{TenantID: acme, Err: codec.ErrKeyDropped}, err)
	require.ErrorIs(t, err, codec.ErrKeyDropped)
	require.ErrorIs(t, err, codec.ErrUnavailable)
	require.EqualError(t, err, `codec: current key of tenant "acme": codec: key was dropped`)
}

// A key that the ring never heard of is an error, not enact.Unreadable: it may be the
// wrong ring. Once it is declared lost, its events are.
func TestAESLostKey(t *testing.T) {
	sealed, _, id := newSealed(t, nil)
	ctx := t.Context()
	payload, header, err := sealed.Encode(ctx, nil, place, notes(2))
	require.NoError(t, err)

	empty := codec.NewMemoryKeyRing()
	reader, err := codec.NewAES256GCM(nil, empty)
	require.NoError(t, err)
	_, _, err = reader.Encode(ctx, nil, place, notes(2))
	require.Equal(t, &codec.KeyError{TenantID: acme, Err: codec.ErrKeyUnknown}, err)
	for range 2 { // by a tenant without keys, and by one with others
		_, err = reader.Decode(ctx, payload, header, place, 2)
		require.Equal(t, &codec.KeyError{TenantID: acme, KeyID: id, Err: codec.ErrKeyUnknown}, err)
		require.EqualError(t, err, fmt.Sprintf(`codec: key %q of tenant "acme": codec: key is unknown`, id))
		_, err = empty.Rotate(ctx, acme)
		require.NoError(t, err)
	}
	require.NoError(t, empty.Drop(ctx, acme, id))
	back, err := reader.Decode(ctx, payload, header, place, 2)
	require.NoError(t, err)
	require.IsType(t, enact.Unreadable{}, back[0])
	require.Error(t, empty.Add(ctx, acme, id, make([]byte, codec.KeySize)), "for good")
}

// faultyRing answers what it is told to.
type faultyRing struct {
	key *codec.Key
	err error
}

func (f faultyRing) Current(context.Context, enact.TenantID) (*codec.Key, error) { return f.key, f.err }

func (f faultyRing) Lookup(context.Context, enact.TenantID, string) (*codec.Key, error) {
	return f.key, f.err
}

// A key ring that does not answer is an error that may be over at the next try.
func TestAESKeyRingFaults(t *testing.T) {
	good, _, id := newSealed(t, nil)
	payload, header, err := good.Encode(t.Context(), nil, place, notes(2))
	require.NoError(t, err)
	other, err := codec.NewKey("other", make([]byte, codec.KeySize))
	require.NoError(t, err)
	throttled := errors.New("throttled")
	for name, tt := range map[string]struct {
		ring   faultyRing
		is     error
		reason string
	}{
		"an error":       {faultyRing{err: throttled}, throttled, "throttled"},
		"a key beside":   {faultyRing{key: other, err: throttled}, throttled, "throttled"},
		"a time-out":     {faultyRing{err: fmt.Errorf("kms: %w", context.DeadlineExceeded)}, context.DeadlineExceeded, "deadline"},
		"neither":        {faultyRing{}, codec.ErrUnavailable, "answered without a key"},
		"no key at all":  {faultyRing{key: new(codec.Key)}, codec.ErrUnavailable, "answered without a key"},
		"the wrong key":  {faultyRing{key: other}, codec.ErrUnavailable, `answered with key "other"`},
		"an unknown key": {faultyRing{err: codec.ErrKeyUnknown}, codec.ErrKeyUnknown, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			sealed, err := codec.NewAES256GCM(nil, tt.ring)
			require.NoError(t, err)
			events, err := sealed.Decode(t.Context(), payload, header, place, 2)
			require.Nil(t, events)
			keyErr, ok := errors.AsType[*codec.KeyError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, acme, keyErr.TenantID)
			require.Equal(t, id, keyErr.KeyID)
			require.ErrorIs(t, err, codec.ErrUnavailable)
			require.ErrorIs(t, err, tt.is)
			require.NotErrorIs(t, err, codec.ErrKeyDropped)
			require.ErrorContains(t, err, tt.reason)
			if tt.ring.key != other || tt.ring.err != nil {
				_, _, err = sealed.Encode(t.Context(), nil, place, notes(2))
				require.ErrorIs(t, err, codec.ErrUnavailable)
				require.ErrorIs(t, err, tt.is)
			}
		})
	}
}

// The parser of the header takes what a writer writes and nothing that is not of its
// form; and no header and payload panics.
func FuzzAESDecode(f *testing.F) {
	keys := codec.NewMemoryKeyRing()
	ctx := context.Background()
	secret := []byte(strings.Repeat("k", codec.KeySize))
	if err := keys.Add(ctx, acme, "k1", secret); err != nil {
		f.Fatal(err)
	}
	if err := keys.Drop(ctx, acme, "gone"); err != nil {
		f.Fatal(err)
	}
	sealed, err := codec.NewAES256GCM(nil, keys)
	if err != nil {
		f.Fatal(err)
	}
	good, header, err := sealed.Encode(ctx, nil, place, notes(20))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, header, 20)
	f.Add(good[:10], "json+aes256gcm;key=k1", 20)
	f.Add(good, "json+zstd+aes256gcm;key=gone", 2)
	f.Add(good, "json+zstd+aes256gcm;key=gone;v=1", 2)
	f.Add(good, "json+zstd+aes256gcm;key=", 2)
	f.Fuzz(func(t *testing.T, payload []byte, text string, n int) {
		n = 1 + n&1023
		events, err := sealed.Decode(ctx, payload, text, place, n)
		if err != nil {
			require.Nil(t, events)
			return
		}
		require.Len(t, events, n)
		if gone, ok := events[0].(enact.Unreadable); ok {
			name, parameters, _ := strings.Cut(text, ";")
			key, rest, more := strings.Cut(parameters, ";")
			require.Equal(t, "gone", gone.KeyID)
			require.Equal(t, text, gone.Codec)
			require.Equal(t, "key=gone", key)
			if more {
				key += ";" + rest
			}
			require.Equal(t, text, name+";"+key)
			return
		}
		// Not held against good: another process's seeds are sealed under another nonce.
		require.Equal(t, header, text)
		require.Equal(t, notes(20), events)
	})
}
