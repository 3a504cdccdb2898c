package consumer_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/jetstore/embedded"
)

// A token's text is read back, in JSON too, and any other text is refused with what is
// wrong.
func TestTokenText(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	fill(t, s, "acme", 1)
	end, err := consumer.End(t.Context(), s)
	require.NoError(t, err)
	require.False(t, end.IsZero())
	require.Positive(t, end.Position())
	for _, token := range []consumer.Token{end, end.Rewind(1), end.Rewind(1 << 62), end.Rewind(0)} {
		parsed, err := consumer.ParseToken(token.String())
		require.NoError(t, err)
		require.Equal(t, token, parsed)
		data, err := json.Marshal(map[string]consumer.Token{"at": token})
		require.NoError(t, err)
		var back map[string]consumer.Token
		require.NoError(t, json.Unmarshal(data, &back))
		require.Equal(t, token, back["at"])
	}
	require.Equal(t, uint64(1), end.Rewind(1<<63).Position())

	var zero consumer.Token
	require.True(t, zero.IsZero())
	require.Empty(t, zero.String())
	require.Equal(t, zero, zero.Rewind(3))
	require.NoError(t, zero.UnmarshalText(nil))

	text := end.String()
	for _, bad := range []string{
		"", "e1.", "e1", text[:len(text)-1], text[1:], text + "A", "e2" + text[2:], text + "\n", "E" + text[1:], "12",
	} {
		_, err := consumer.ParseToken(bad)
		refused, ok := errors.AsType[*consumer.TokenError](err)
		require.True(t, ok, "%q: %v", bad, err)
		require.ErrorIs(t, err, consumer.ErrInvalidToken)
		require.Equal(t, bad, refused.Token)
	}
	// One letter is another: the checksum tells.
	for i := len("e1."); i < len(text); i++ {
		changed := []byte(text)
		if changed[i]++; changed[i] > 'z' {
			changed[i] = 'a'
		}
		_, err := consumer.ParseToken(string(changed))
		require.ErrorIs(t, err, consumer.ErrInvalidToken)
	}
}

// What parses is what would be written; nothing panics.
func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{
		"", "e1.", "e1.AAAA", "e1.AQBhYWFhYQ", "e1.mubjpLaRrAMAN2M2OTI3MjQtZWJmOC00YTIzLTgwMTItZTUwYzEzNjJmYzUwPQgIpQ",
		"e1.gICAgICAgICAgICAAQBhAAAAAA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token, err := consumer.ParseToken(text)
		if err != nil {
			require.ErrorIs(t, err, consumer.ErrInvalidToken)
			require.True(t, token.IsZero())
			return
		}
		require.Equal(t, text, token.String())
		require.Positive(t, token.Position())
	})
}
