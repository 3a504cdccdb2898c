package codec_test

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// named is the JSON codec under another name.
type named struct {
	codec.JSON
	name string
}

func (c named) Name() string { return c.name }

func TestNewSetNames(t *testing.T) {
	for _, name := range []string{"a", "cbor", "json+zstd", "json+zstd+aes256gcm", "v1.2-x", "0", "+", "-", "."} {
		require.True(t, codec.ValidName(name), name)
		set, err := codec.NewSet(named{name: name})
		require.NoError(t, err, name)
		c, ok := set.Lookup(name)
		require.True(t, ok)
		require.Equal(t, named{name: name}, c)
	}
	for _, name := range []string{"", "A", "Json", "a b", " a", "a ", "a;b", "a;", "a_b", "é", "a\n", "a/b", "\x00", "a\xff"} {
		require.False(t, codec.ValidName(name), name)
		_, err := codec.NewSet(named{name: "ok"}, named{name: name})
		require.ErrorIs(t, err, codec.ErrInvalidName, name)
	}
}

func TestNewSetDuplicates(t *testing.T) {
	_, err := codec.NewSet(named{name: "a"}, named{name: "b"}, named{name: "a"})
	require.ErrorIs(t, err, codec.ErrDuplicateName)
	require.ErrorContains(t, err, `"a"`)

	// JSON may be named, since it is there anyway; nothing else may take its name.
	_, err = codec.NewSet(codec.JSON{}, named{name: "a"}, codec.JSON{})
	require.NoError(t, err)
	_, err = codec.NewSet(named{name: "json"})
	require.ErrorIs(t, err, codec.ErrDuplicateName)
}

func TestLookup(t *testing.T) {
	set, err := codec.NewSet(named{name: "a+b"})
	require.NoError(t, err)
	for header, want := range map[string]codec.Codec{
		"json": codec.JSON{}, "json;x=1": codec.JSON{}, "a+b": named{name: "a+b"}, "a+b;": named{name: "a+b"}, "a+b;key=1;json": named{name: "a+b"},
	} {
		c, ok := set.Lookup(header)
		require.True(t, ok, header)
		require.Equal(t, want, c, header)
	}
	for _, header := range []string{"", ";", ";json", "JSON", "json ", " json", "json+zstd+aes256gcm", "json+br", "a", "a+", "a+b,json"} {
		_, ok := set.Lookup(header)
		require.False(t, ok, header)
	}
}

// many is a codec of several names.
type many struct {
	codec.JSON
	names []string
}

func (m many) Name() string { return m.names[0] }

func (m many) Names() []string { return m.names }

func (m many) Overhead() int { return len(m.names) }

func TestNewSetSeveralNames(t *testing.T) {
	m := &many{names: []string{"a", "b", "json", "a"}}
	set, err := codec.NewSet(m, nil, named{name: "c"})
	require.NoError(t, err)
	for _, name := range []string{"a", "b"} {
		c, ok := set.Lookup(name + ";x")
		require.True(t, ok)
		require.Same(t, m, c)
	}
	c, ok := set.Lookup("json")
	require.True(t, ok)
	require.Equal(t, codec.JSON{}, c, "it is JSON that reads JSON")
	for _, codecs := range [][]codec.Codec{
		{m, named{name: "b"}},
		{named{name: "b"}, m},
		{m, &many{names: []string{"c", "b"}}},
		{&many{names: []string{"json", "b"}}},
	} {
		_, err = codec.NewSet(codecs...)
		require.ErrorIs(t, err, codec.ErrDuplicateName)
	}
	_, err = codec.NewSet(&many{names: []string{"a", "B"}})
	require.ErrorIs(t, err, codec.ErrInvalidName)
	require.Equal(t, 4, codec.Overhead(m))
	require.Zero(t, codec.Overhead(codec.JSON{}))
}

// Zstd is there unless another one takes its place.
func TestSetsReadZstd(t *testing.T) {
	made, err := codec.NewSet()
	require.NoError(t, err)
	for _, set := range []codec.Set{{}, made} {
		c, ok := set.Lookup("json+zstd")
		require.True(t, ok)
		require.IsType(t, &codec.Zstd{}, c)
	}
	mine := newZstd(t, nil, codec.MaxDecoded(1000))
	sealed, _, _ := newSealed(t, mine)
	made, err = codec.NewSet(sealed, mine)
	require.NoError(t, err)
	c, ok := made.Lookup("json+zstd")
	require.True(t, ok)
	require.Same(t, mine, c)
	made, err = codec.NewSet(named{name: "json+zstd"})
	require.NoError(t, err)
	c, ok = made.Lookup("json+zstd")
	require.True(t, ok)
	require.Equal(t, named{name: "json+zstd"}, c)
}

func TestEmptySetHasJSON(t *testing.T) {
	made, err := codec.NewSet()
	require.NoError(t, err)
	for _, set := range []codec.Set{{}, made} {
		c, ok := set.Lookup("json")
		require.True(t, ok)
		require.Equal(t, codec.JSON{}, c)
		require.Equal(t, "json", c.Name())
		_, ok = set.Lookup("cbor")
		require.False(t, ok)
	}
}

// deflated compresses what the JSON codec writes. It holds that codec in a field:
// embedded, it would lend deflated those of its methods that deflated lacks.
type deflated struct{ text codec.JSON }

func (deflated) Name() string { return "json+deflate" }

func (d deflated) Encode(ctx context.Context, dst []byte, place codec.Place, events []enact.Event) ([]byte, string, error) {
	text, _, err := d.text.Encode(ctx, nil, place, events)
	if err != nil {
		return nil, "", err
	}
	b := bytes.NewBuffer(dst)
	w, err := flate.NewWriter(b, flate.BestSpeed)
	if err != nil {
		return nil, "", err
	}
	if _, err := w.Write(text); err != nil {
		return nil, "", err
	}
	err = w.Close()
	return b.Bytes(), d.Name() + ";level=1", err
}

func (d deflated) Decode(ctx context.Context, payload []byte, _ string, place codec.Place, n int) ([]enact.Event, error) {
	const limit = 8 << 20 // a short payload must not fill the memory
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(payload)), limit))
	if err != nil {
		return nil, err
	}
	return d.text.Decode(ctx, text, codec.JSONName, place, n)
}

// A record's Enact-Codec names the codec that reads its payload; what follows the
// name are the codec's own parameters.
func ExampleNewSet() {
	set, err := codec.NewSet(deflated{})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	place := codec.Place{TenantID: "acme", ExecutionID: "exec_1", Sequence: 1}
	payload, header, err := deflated{}.Encode(ctx, nil, place, []enact.Event{
		enact.ExecutionStarted{}, enact.ExecutionPaused{Reason: "waiting for approval"},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(header)

	reader, ok := set.Lookup(header)
	fmt.Println(ok)
	events, err := reader.Decode(ctx, payload, header, place, 2)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range events {
		fmt.Println(e.Type())
	}
	// Output:
	// json+deflate;level=1
	// true
	// execution_started
	// execution_paused
}
