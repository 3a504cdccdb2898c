package record

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/codec"
)

// codecVectors is what other implementations make of events: see codec/testdata.
type codecVectors struct {
	Key     string        `json:"key"`
	Secret  string        `json:"secret"`
	Vectors []codecVector `json:"vectors"`
}

type codecVector struct {
	Name       string   `json:"name"`
	Codec      string   `json:"codec"`
	Events     []string `json:"events"`
	Plaintext  string   `json:"plaintext"`
	Nonce      string   `json:"nonce"`
	Additional string   `json:"additional"`
	Payload    string   `json:"payload"`
}

func readCodecVectors(tb testing.TB) (v codecVectors) {
	tb.Helper()
	data, err := os.ReadFile("../../codec/testdata/vectors.json")
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(data, &v))
	return v
}

func (v *codecVectors) named(tb testing.TB, name string) *codecVector {
	tb.Helper()
	for i := range v.Vectors {
		if v.Vectors[i].Name == name {
			return &v.Vectors[i]
		}
	}
	tb.Fatalf("there is no vector %q", name)
	return nil
}

func unhex(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(tb, err)
	return b
}

// codecGoldens are the golden files of records whose payload another implementation
// compressed or encrypted, and the vectors that they hold. All are the second record of
// the golden execution.
var codecGoldens = map[string]string{
	"zstd":           "events, compressed",
	"aes256gcm":      "one event, encrypted",
	"zstd-aes256gcm": "events, compressed and encrypted",
}

// codecRecords returns the records of the golden files, which no tail has been put before.
func codecRecords(tb testing.TB) map[string]*Record {
	tb.Helper()
	vectors := readCodecVectors(tb)
	records := make(map[string]*Record)
	for name, vector := range codecGoldens {
		v := vectors.named(tb, vector)
		r := newRecord(2, 1, 1, len(v.Events))
		r.Codec, r.Payload = v.Codec, unhex(tb, v.Payload)
		records[name] = r
	}
	return records
}

// goldenCodecs reads what the golden files hold.
func goldenCodecs(tb testing.TB) codec.Set {
	tb.Helper()
	vectors := readCodecVectors(tb)
	keys := codec.NewMemoryKeyRing()
	require.NoError(tb, keys.Add(context.Background(), testTenant, vectors.Key, unhex(tb, vectors.Secret)))
	sealed, err := codec.NewAES256GCM(nil, keys)
	require.NoError(tb, err)
	set, err := codec.NewSet(sealed)
	require.NoError(tb, err)
	return set
}

// The golden records decode to the events that the vectors were made of.
func TestGoldenCodecs(t *testing.T) {
	vectors := readCodecVectors(t)
	histories := goldenHistories(t)
	for name, vector := range codecGoldens {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, histories, name)
			require.Len(t, histories[name].records, 1)
			stored, err := histories[name].records[0].Events(t.Context(), goldenCodecs(t))
			require.NoError(t, err)
			v := vectors.named(t, vector)
			require.Len(t, stored, len(v.Events))
			for i, ev := range stored {
				want, err := enact.ParseEvent([]byte(v.Events[i]))
				require.NoError(t, err)
				require.Equal(t, want, ev.Event)
				require.Equal(t, uint64(2+i), ev.Sequence)
			}
		})
	}
}

// The document's example of encryption is the vector, and its fields are the bytes of
// the additional data.
func TestDocumentEncryptionExample(t *testing.T) {
	vectors := readCodecVectors(t)
	v := vectors.named(t, codecGoldens["aes256gcm"])
	additional := unhex(t, v.Additional)
	require.Equal(t, "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", vectors.Secret)

	doc := document(t)
	_, section, ok := strings.Cut(doc, "The record in `aes256gcm.golden`, under the key `"+vectors.Key+"`")
	require.True(t, ok)
	var b strings.Builder
	b.WriteString("| field | length | value |\n| --- | --- | --- |\n")
	var names []string
	for _, row := range rows(t, doc, "| additional data | bytes |") {
		names = append(names, row[0])
	}
	for rest, i := additional, 0; len(rest) > 0; i++ {
		n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		require.Less(t, i, len(names))
		fmt.Fprintf(&b, "| %s | %d | `%s` |\n", names[i], n, rest[4:4+n])
		rest = rest[4+n:]
	}
	fmt.Fprintf(&b, "\nThe %d bytes of additional data in hex, the nonce, the plaintext, and the payload:\n\n```\n", len(additional))
	lines := func(text string) string {
		return strings.TrimSuffix(regexp.MustCompile(`.{64}`).ReplaceAllString(text, "$0\n"), "\n")
	}
	fmt.Fprintf(&b, "%s\n\n%s\n\n%s\n\n%s\n```\n", lines(v.Additional), lines(v.Nonce), lines(v.Plaintext), lines(v.Payload))
	require.True(t, strings.Contains(section, b.String()), "the document must have\n%s", b.String())
}

func TestDocumentCodecLimits(t *testing.T) {
	doc := document(t)
	for _, text := range []string{
		fmt.Sprintf("8 MiB (%d bytes) here", codec.DefaultMaxDecoded),
		fmt.Sprintf("key-id = 1*%d(", codec.MaxKeyID),
		fmt.Sprintf("with the %d bytes of `Enact-Codec: json+zstd` and its line end", len("Enact-Codec: "+codec.ZstdName+"\r\n")),
	} {
		require.True(t, strings.Contains(doc, text), "the document must say %s", text)
	}
}
