package cursor_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/cursor"
	"github.com/enactlog/enact/internal/eventgen"
	"github.com/enactlog/enact/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func lists() *rapid.Generator[cursor.List] {
	return rapid.Custom(func(t *rapid.T) cursor.List {
		return cursor.List{Incarnation: rapid.String().Draw(t, "incarnation"), Tenant: eventgen.TenantID().Draw(t, "tenant")}
	})
}

// The text is a promise to callers who keep it: it changes with the version only.
func TestGolden(t *testing.T) {
	l := cursor.List{Incarnation: "9b2e6f0a-6d5c-4d4e-8a52-6b1f1f3a7c11", Tenant: "acme"}
	require.Equal(t, golden, l.Encode(1_900_000_000_000_042))
}

const golden = "AV0L8blNVSi9AAbACjkSwCp99yco"

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, place := lists().Draw(t, "list"), rapid.Uint64().Draw(t, "place")
		text := l.Encode(place)
		require.Equal(t, text, strings.Trim(text, " \r\n=+/"), "it can stand in a URL")
		got, err := l.Decode(text)
		require.NoError(t, err)
		require.Equal(t, place, got)
	})
}

func TestCursorsOfOtherListsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := lists().Draw(t, "a"), lists().Draw(t, "b")
		if a == b {
			return
		}
		_, err := b.Decode(a.Encode(rapid.Uint64().Draw(t, "place")))
		refused(t, err, "another list")
	})
}

// The parts of a list are kept apart: what moves from one to the other is another list.
func TestPartsDoNotRunTogether(t *testing.T) {
	_, err := cursor.List{Incarnation: "a", Tenant: "bc"}.Decode(cursor.List{Incarnation: "ab", Tenant: "c"}.Encode(1))
	refused(t, err, "another list")
}

func TestDamagedCursorsAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lists().Draw(t, "list")
		text := l.Encode(rapid.Uint64().Draw(t, "place"))
		i := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		damaged := text[:i] + rapid.StringMatching(`[A-Za-z0-9_-]?`).Draw(t, "instead") + text[i+1:]
		if damaged == text {
			return
		}
		_, err := l.Decode(damaged)
		refused(t, err, "")
	})
	l := cursor.List{Incarnation: "i", Tenant: "t"}
	newer, err := base64.RawURLEncoding.DecodeString(l.Encode(1))
	require.NoError(t, err)
	newer[0] = 2
	for text, reason := range map[string]string{
		" ":                        "damaged",
		"!":                        "damaged",
		"AQ":                       "damaged",
		l.Encode(1) + "A":          "damaged",
		l.Encode(1) + "\n":         "damaged",
		strings.Repeat("A", 1<<20): "damaged",
		base64.RawURLEncoding.EncodeToString(newer): "another release",
	} {
		_, err := l.Decode(text)
		refused(t, err, reason)
	}
}

func refused(t require.TestingT, err error, reason string) {
	require.ErrorIs(t, err, enact.ErrInvalidCursor)
	var typed *enact.CursorError
	require.ErrorAs(t, err, &typed)
	require.Contains(t, typed.Reason, reason)
}

func FuzzDecode(f *testing.F) {
	l := cursor.List{Incarnation: "i", Tenant: "t"}
	f.Add(l.Encode(0))
	f.Add(cursor.List{}.Encode(1 << 60))
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, text string) {
		place, err := l.Decode(text)
		if err != nil {
			require.ErrorIs(t, err, enact.ErrInvalidCursor)
			return
		}
		require.Equal(t, text, l.Encode(place))
	})
}
