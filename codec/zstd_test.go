package codec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
	"github.com/enactlog/enact/internal/eventgen"
)

func newZstd(tb testing.TB, inner codec.Codec, opts ...codec.ZstdOption) *codec.Zstd {
	tb.Helper()
	z, err := codec.NewZstd(inner, opts...)
	require.NoError(tb, err)
	return z
}

// notes returns n events that compress well together.
func notes(n int) []enact.Event {
	events := make([]enact.Event, n)
	for i := range events {
		events[i] = enact.Custom{EventType: "note", Data: enact.JSON(fmt.Sprintf("the %d. note of a longer run", i))}
	}
	return events
}

func paused(size int) []enact.Event {
	return []enact.Event{enact.ExecutionPaused{Reason: strings.Repeat("x", size)}}
}

func TestZstdNames(t *testing.T) {
	z := newZstd(t, nil)
	require.Equal(t, "json+zstd", z.Name())
	require.Equal(t, []string{"json+zstd", "json"}, z.Names())
	require.Zero(t, z.Overhead())
	z = newZstd(t, deflated{})
	require.Equal(t, "json+deflate+zstd", z.Name())
	require.Equal(t, []string{"json+deflate+zstd", "json+deflate"}, z.Names())
	_, err := codec.NewZstd(named{name: "a b"})
	require.ErrorIs(t, err, codec.ErrInvalidName)
}

// A payload that would not become smaller, with its name in the header, stays as it is.
func TestZstdLeavesSmallPayloadsAlone(t *testing.T) {
	z := newZstd(t, nil)
	before := []byte("before")
	kept, compressed := 0, 0
	for size := range 400 {
		events := paused(size)
		plain, _, err := codec.JSON{}.Encode(t.Context(), nil, codec.Place{}, events)
		require.NoError(t, err)
		payload, header, err := z.Encode(t.Context(), before, codec.Place{}, events)
		require.NoError(t, err)
		require.True(t, bytes.HasPrefix(payload, before))
		payload = payload[len(before):]
		if header == codec.JSONName {
			require.Zero(t, compressed, "%d", size)
			kept++
			require.Equal(t, string(plain), string(payload))
		} else {
			compressed++
			require.Equal(t, codec.ZstdName, header)
			require.Less(t, len("Enact-Codec: json+zstd\r\n")+len(payload), len(plain))
		}
		back, err := z.Decode(t.Context(), payload, header, codec.Place{}, 1)
		require.NoError(t, err)
		require.Equal(t, events, back)
	}
	require.NotZero(t, kept)
	require.NotZero(t, compressed)
}

// Whatever is encoded decodes to itself, shares no memory with the payload, and is no
// longer than its JSON.
func TestZstdLaw(t *testing.T) {
	z := newZstd(t, nil)
	event := rapid.OneOf(eventgen.Event(), eventgen.Unknown(), rapid.Map(rapid.IntRange(0, 20_000), func(n int) enact.Event { return paused(n)[0] }))
	rapid.Check(t, func(t *rapid.T) {
		events := rapid.SliceOfN(event, 1, 6).Draw(t, "events")
		payload, header, err := z.Encode(context.Background(), nil, codec.Place{}, events)
		require.NoError(t, err)
		plain, _, err := codec.JSON{}.Encode(context.Background(), nil, codec.Place{}, events)
		require.NoError(t, err)
		require.LessOrEqual(t, len(payload), len(plain))
		texts := make([]json.RawMessage, len(events))
		for i, e := range events {
			texts[i], err = enact.AppendEvent(nil, e)
			require.NoError(t, err)
		}
		again, header2, err := codec.EncodeTexts(context.Background(), z, nil, codec.Place{}, events, texts)
		require.NoError(t, err)
		require.Equal(t, header, header2)
		require.Equal(t, payload, again)

		set, err := codec.NewSet()
		require.NoError(t, err)
		reader, ok := set.Lookup(header)
		require.True(t, ok)
		back, err := reader.Decode(context.Background(), payload, header, codec.Place{}, len(events))
		require.NoError(t, err)
		clear(payload)
		require.Equal(t, events, back)
	})
}

// A few bytes that decode to very many are refused before they are decoded, and the
// writer does not make them.
func TestZstdBound(t *testing.T) {
	ctx := t.Context()
	wide := newZstd(t, nil, codec.MaxDecoded(16<<20))
	bomb, header, err := wide.Encode(ctx, nil, codec.Place{}, paused(10<<20))
	require.NoError(t, err)
	require.Less(t, len(bomb), 8<<10)
	size := 10<<20 + len(`{"type":"execution_paused","reason":""}`)

	for name, z := range map[string]*codec.Zstd{
		"default": newZstd(t, nil), "0": newZstd(t, nil, codec.MaxDecoded(0)), "nil": newZstd(t, nil, nil), "one less": newZstd(t, nil, codec.MaxDecoded(size-1)),
	} {
		limit := codec.DefaultMaxDecoded
		if name == "one less" {
			limit = size - 1
		}
		_, err = z.Decode(ctx, bomb, header, codec.Place{}, 1)
		require.Equal(t, &enact.TooLargeError{What: "payload after decompression", Size: size, Limit: limit, Unit: "bytes"}, err, name)
		_, _, err = z.Encode(ctx, nil, codec.Place{}, paused(10<<20))
		require.Equal(t, &enact.TooLargeError{What: "payload before compression", Size: size, Limit: limit, Unit: "bytes"}, err, name)
	}
	exact := newZstd(t, nil, codec.MaxDecoded(size))
	_, err = exact.Decode(ctx, bomb, header, codec.Place{}, 1)
	require.NoError(t, err)

	for _, limit := range []int{-1, 512<<20 + 1} {
		_, err := codec.NewZstd(nil, codec.MaxDecoded(limit))
		require.ErrorIs(t, err, enact.ErrInvalidOption)
	}
}

// What follows the first frame is bounded with it.
func TestZstdBoundOfLaterFrames(t *testing.T) {
	const limit = 1 << 20
	single := zstd.WithSingleSegment(true)
	payload := append(frame(t, `{"type":"execution_resumed"}`, single), frame(t, strings.Repeat(" ", 64<<20), single)...)
	z := newZstd(t, nil, codec.MaxDecoded(limit))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := z.Decode(t.Context(), payload, "json+zstd", codec.Place{}, 1)
	runtime.ReadMemStats(&after)
	require.Error(t, err)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(32*limit))
}

// frame compresses as a writer does that knows nothing of the log.
func frame(t *testing.T, content string, opts ...zstd.EOption) []byte {
	w, err := zstd.NewWriter(nil, opts...)
	require.NoError(t, err)
	return w.EncodeAll([]byte(content), nil)
}

func TestZstdRefusesPayloads(t *testing.T) {
	const e = `{"type":"execution_resumed"}`
	single := zstd.WithSingleSegment(true)
	good := frame(t, e, single)
	flipped := bytes.Clone(frame(t, strings.Repeat(" ", 500)+e, single, zstd.WithEncoderCRC(true)))
	flipped[len(flipped)-1] ^= 1
	var streamed bytes.Buffer
	w, err := zstd.NewWriter(&streamed)
	require.NoError(t, err)
	_, err = w.Write([]byte(e))
	require.NoError(t, err)
	require.NoError(t, w.Flush()) // so that the size is not known when the frame begins
	require.NoError(t, w.Close())
	less := bytes.Clone(good)
	less[5]-- // the content size, in a frame of one segment and without a dictionary
	skippable := append([]byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0}, "skip"...)

	z := newZstd(t, nil)
	_, err = z.Decode(t.Context(), good, "json+zstd", codec.Place{}, 1)
	require.NoError(t, err)
	for name, tt := range map[string]struct {
		payload []byte
		reason  string
	}{
		"nothing":               {nil, "not a zstd frame"},
		"JSON":                  {[]byte(e), "not a zstd frame"},
		"cut":                   {good[:len(good)-1], "zstd"},
		"cut in its header":     {good[:5], "not a zstd frame"},
		"a flipped checksum":    {flipped, "zstd"},
		"no content size":       {streamed.Bytes(), "without its content size"},
		"a wrong content size":  {less, "zstd"},
		"a byte behind":         {append(bytes.Clone(good), 0), "zstd"},
		"two frames":            {append(bytes.Clone(good), good...), "follow it"},
		"a skippable one first": {append(bytes.Clone(skippable), good...), "skippable"},
		"a dictionary":          {frame(t, e, single, zstd.WithEncoderDictRaw(7, []byte("execution_resumed"))), "dictionary"},
		"no event":              {frame(t, "null", single), "invalid event"},
		"nothing inside":        {frame(t, "", single, zstd.WithZeroFrames(true)), "invalid event"},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := z.Decode(t.Context(), tt.payload, "json+zstd", codec.Place{}, 1)
			require.ErrorContains(t, err, tt.reason)
			require.Nil(t, events)
			require.NotErrorIs(t, err, codec.ErrUnavailable)
			require.NotErrorIs(t, err, enact.ErrTooLarge)
		})
	}
	for _, header := range []string{"json+zstd;", "json+zstd;dict=7", "cbor+zstd", "zstd", "", "json+zstd+zstd", "json+aes256gcm"} {
		_, err := z.Decode(t.Context(), good, header, codec.Place{}, 1)
		require.Error(t, err, header)
	}
}

// What another codec says in the header behind its name is kept, and given back to it.
func TestZstdAroundAnotherCodec(t *testing.T) {
	z := newZstd(t, versioned{})
	events := paused(1000)
	payload, header, err := z.Encode(t.Context(), nil, codec.Place{}, events)
	require.NoError(t, err)
	require.Equal(t, "text+zstd;v=2;x", header)
	back, err := z.Decode(t.Context(), payload, header, codec.Place{}, 1)
	require.NoError(t, err)
	require.Equal(t, events, back)
	_, err = z.Decode(t.Context(), payload, "text+zstd;v=3", codec.Place{}, 1)
	require.ErrorContains(t, err, "text;v=3")

	payload, header, err = z.Encode(t.Context(), nil, codec.Place{}, paused(1))
	require.NoError(t, err)
	require.Equal(t, "text;v=2;x", header)
	_, err = z.Decode(t.Context(), payload, header, codec.Place{}, 1)
	require.NoError(t, err)
	_, _, err = z.Encode(t.Context(), nil, codec.Place{}, []enact.Event{nil})
	require.ErrorIs(t, err, enact.ErrInvalidEvent)
}

// versioned is JSON with parameters.
type versioned struct{ text codec.JSON }

func (versioned) Name() string { return "text" }

func (v versioned) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	payload, _, err := v.text.Encode(ctx, dst, place, events)
	return payload, "text;v=2;x", err
}

func (v versioned) Decode(ctx context.Context, payload []byte, header string, place codec.Place, n int) ([]enact.Event, error) {
	if header != "text;v=2;x" {
		return nil, fmt.Errorf("header %q", header)
	}
	return v.text.Decode(ctx, payload, codec.JSONName, place, n)
}

func TestZstdIsSafeForConcurrentUse(t *testing.T) {
	z := newZstd(t, nil)
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				events := notes(1 + (g*7+i)%40)
				payload, header, err := z.Encode(t.Context(), nil, codec.Place{}, events)
				if err == nil {
					var back []enact.Event
					if back, err = z.Decode(t.Context(), payload, header, codec.Place{}, len(events)); err == nil && len(back) != len(events) {
						err = fmt.Errorf("%d events, want %d", len(back), len(events))
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Never a panic; what decodes is bounded, and encodes to what decodes to the same.
func FuzzZstdDecode(f *testing.F) {
	const limit = 1 << 16
	z, err := codec.NewZstd(nil, codec.MaxDecoded(limit))
	if err != nil {
		f.Fatal(err)
	}
	for _, events := range [][]enact.Event{paused(100), paused(3000), notes(20)} {
		payload, _, err := z.Encode(f.Context(), nil, codec.Place{}, events)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload, len(events))
	}
	f.Add([]byte("\x28\xb5\x2f\xfd\xe0\xff\xff\xff\xff\xff\xff\xff\xff\x03\x00\x00"), 1)
	f.Fuzz(func(t *testing.T, payload []byte, n int) {
		n = 1 + n&1023
		events, err := z.Decode(t.Context(), payload, codec.ZstdName, codec.Place{}, n)
		if err != nil {
			return
		}
		require.Len(t, events, n)
		again, header, err := z.Encode(t.Context(), nil, codec.Place{}, events)
		if err != nil {
			return // what is only read, see FuzzJSONDecode, and what grew when it was put in order
		}
		back, err := z.Decode(t.Context(), again, header, codec.Place{}, n)
		require.NoError(t, err)
		require.Equal(t, events, back)
	})
}
