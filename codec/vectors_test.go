package codec_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// vector is a payload that another implementation made: see testdata/vectors.mjs.
type vector struct {
	Name       string            `json:"name"`
	Tenant     enact.TenantID    `json:"tenant"`
	Execution  enact.ExecutionID `json:"execution"`
	Sequence   uint64            `json:"sequence,string"`
	Codec      string            `json:"codec"`
	Events     []string          `json:"events"`
	Plaintext  hexBytes          `json:"plaintext"`
	Nonce      hexBytes          `json:"nonce"`
	Additional hexBytes          `json:"additional"`
	Payload    hexBytes          `json:"payload"`
}

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

func (v *vector) place() codec.Place {
	return codec.Place{TenantID: v.Tenant, ExecutionID: v.Execution, Sequence: v.Sequence}
}

func (v *vector) events(t *testing.T) []enact.Event {
	events := make([]enact.Event, len(v.Events))
	for i, text := range v.Events {
		var err error
		events[i], err = enact.ParseEvent([]byte(text))
		require.NoError(t, err)
	}
	return events
}

func readVectors(t *testing.T) (key string, secret []byte, vectors []vector) {
	data, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var file struct {
		Key     string   `json:"key"`
		Secret  hexBytes `json:"secret"`
		Vectors []vector `json:"vectors"`
	}
	require.NoError(t, json.Unmarshal(data, &file))
	require.NotEmpty(t, file.Vectors)
	return file.Key, file.Secret, file.Vectors
}

// oneKey is a key ring that has the same key for everybody.
type oneKey struct{ key *codec.Key }

func (o oneKey) Current(context.Context, enact.TenantID) (*codec.Key, error) { return o.key, nil }

func (o oneKey) Lookup(context.Context, enact.TenantID, string) (*codec.Key, error) {
	return o.key, nil
}

// What OpenSSL and the reference implementation of zstd wrote is read, and what is
// encrypted here is, byte for byte, what OpenSSL makes of it.
func TestKnownAnswers(t *testing.T) {
	id, secret, vectors := readVectors(t)
	key, err := codec.NewKey(id, secret)
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(nil, oneKey{key})
	require.NoError(t, err)
	set, err := codec.NewSet(sealed)
	require.NoError(t, err)
	encrypted, compressed := 0, 0
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			reader, ok := set.Lookup(v.Codec)
			require.True(t, ok, v.Codec)
			events, err := reader.Decode(t.Context(), v.Payload, v.Codec, v.place(), len(v.Events))
			require.NoError(t, err)
			require.Equal(t, v.events(t), events)

			if strings.Contains(v.Codec, "+zstd") {
				compressed++
			}
			if v.Nonce == nil {
				return
			}
			encrypted++
			require.Equal(t, []byte(v.Additional), codec.AdditionalData(v.place(), len(v.Events), v.Codec))
			fixed, err := codec.FixedNonceKey(id, secret, v.Nonce)
			require.NoError(t, err)
			// What stands in for compression gives what the other implementation compressed.
			name, _, _ := strings.Cut(v.Codec, "+aes256gcm")
			writer, err := codec.NewAES256GCM(fixedPayload{name: name, payload: v.Plaintext}, oneKey{fixed})
			require.NoError(t, err)
			payload, header, err := writer.Encode(t.Context(), []byte("before"), v.place(), v.events(t))
			require.NoError(t, err)
			require.Equal(t, v.Codec, header)
			require.Equal(t, append([]byte("before"), v.Payload...), payload)
			if name != codec.JSONName {
				return
			}
			plain, err := codec.NewAES256GCM(codec.JSON{}, oneKey{fixed})
			require.NoError(t, err)
			payload, header, err = plain.Encode(t.Context(), nil, v.place(), v.events(t))
			require.NoError(t, err)
			require.Equal(t, v.Codec, header)
			require.Equal(t, []byte(v.Payload), payload)
		})
	}
	require.NotZero(t, encrypted)
	require.NotZero(t, compressed)
}

// fixedPayload writes the same payload for all events.
type fixedPayload struct {
	codec.JSON
	name    string
	payload []byte
}

func (f fixedPayload) Name() string { return f.name }

func (f fixedPayload) Encode(_ context.Context, dst []byte, _ codec.Place, _ []enact.Event) ([]byte, string, error) {
	return append(dst, f.payload...), f.name, nil
}

// Each bit of what another implementation wrote matters.
func TestKnownAnswersDependOnEachBit(t *testing.T) {
	id, secret, vectors := readVectors(t)
	key, err := codec.NewKey(id, secret)
	require.NoError(t, err)
	sealed, err := codec.NewAES256GCM(nil, oneKey{key})
	require.NoError(t, err)
	v := vectors[0]
	require.NotEmpty(t, v.Nonce)
	for i := range len(v.Payload) * 8 {
		payload := bytes.Clone(v.Payload)
		payload[i/8] ^= 1 << (i % 8)
		_, err := sealed.Decode(t.Context(), payload, v.Codec, v.place(), 1)
		require.ErrorContains(t, err, "does not open the payload", "bit %d", i)
	}
	for n := range len(v.Payload) {
		_, err := sealed.Decode(t.Context(), v.Payload[:n], v.Codec, v.place(), 1)
		require.ErrorContains(t, err, "does not open the payload", "%d bytes", n)
	}
	wrong := bytes.Clone(secret)
	wrong[31] ^= 1
	other, err := codec.NewKey(id, wrong)
	require.NoError(t, err)
	sealed, err = codec.NewAES256GCM(nil, oneKey{other})
	require.NoError(t, err)
	_, err = sealed.Decode(t.Context(), v.Payload, v.Codec, v.place(), 1)
	require.ErrorContains(t, err, "does not open the payload")
}
