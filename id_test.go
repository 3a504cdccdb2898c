package enact_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
)

func TestIDs(t *testing.T) {
	for _, id := range []string{"x", " ", ".", "*", ">", "\x00", "\x7f", "é 漢 🦀", strings.Repeat("x", 128), strings.Repeat("🦀", 32)} {
		require.NoError(t, enact.ExecutionID(id).Validate(), id)
		require.NoError(t, enact.TenantID(id).Validate(), id)
		require.NoError(t, enact.StepID(id).Validate(), id)
	}
	for _, tt := range []struct{ id, reason string }{
		{"", "is empty"},
		{strings.Repeat("x", 129), "has 129 bytes, at most 128 are allowed"},
		{strings.Repeat("🦀", 33), "has 132 bytes, at most 128 are allowed"},
		{"a\xff", "is not valid UTF-8"},
		{"\xed\xa0\x80", "is not valid UTF-8"},
	} {
		for kind, err := range map[string]error{
			"execution id": enact.ExecutionID(tt.id).Validate(),
			"tenant id":    enact.TenantID(tt.id).Validate(),
			"step id":      enact.StepID(tt.id).Validate(),
		} {
			require.ErrorIs(t, err, enact.ErrInvalidID)
			got, ok := errors.AsType[*enact.IDError](err)
			require.True(t, ok)
			require.Equal(t, enact.IDError{Kind: kind, ID: tt.id, Reason: tt.reason}, *got)
		}
	}
}

func TestNewIDs(t *testing.T) {
	const n = 1000
	seen := make(map[string]bool)
	for range n {
		execution, step := enact.NewExecutionID(), enact.NewStepID()
		require.Regexp(t, `^exec_[0-9A-Za-z]{27}$`, string(execution))
		require.Regexp(t, `^step_[0-9A-Za-z]{27}$`, string(step))
		require.NoError(t, execution.Validate())
		require.NoError(t, step.Validate())
		require.Equal(t, string(execution), enact.EncodeToken(string(execution)), "a fresh id needs no encoding")
		seen[string(execution)], seen[string(step)] = true, true
	}
	require.Len(t, seen, 2*n)
}

// Ids that could widen a subject or switch the server's checks off become one
// plain token each, all distinct.
func TestHostileIDsAreTokens(t *testing.T) {
	ids := []string{
		".", "..", "*", ">", "a.b", "a.*", "a.>", " ", "a b", "\t", "\r\n", "%", "%%", "%41", "%2E", "$", "$SYS", "$JS.API", "_INBOX", "\x00", "\x7f", "\x01\x1f",
		"🦀", "é", "e\u0301", "/", "\\", "a", "A", "-", "~", ":", "+", "\u00a0",
	}
	subjects, err := enact.NewSubjects("")
	require.NoError(t, err)
	seen := make(map[string]string)
	for _, id := range ids {
		token := enact.EncodeToken(id)
		require.Regexp(t, `^[A-Za-z0-9_%-]+$`, token, "%q", id)
		require.NotContains(t, seen, token, "%q and %q", id, seen[token])
		seen[token] = id
		back, err := enact.DecodeToken(token)
		require.NoError(t, err)
		require.Equal(t, id, back)

		for _, other := range ids {
			subject := subjects.Execution(enact.TenantID(id), enact.ExecutionID(other))
			require.Equal(t, 2, strings.Count(subject, "."), subject)
			tenant, execution, err := subjects.ParseExecution(subject)
			require.NoError(t, err)
			require.Equal(t, id, string(tenant))
			require.Equal(t, other, string(execution))
		}
	}
}

func TestEncodeToken(t *testing.T) {
	for in, out := range map[string]string{
		"": "", "aZ09_-": "aZ09_-", "a.b": "a%2Eb", "*": "%2A", ">": "%3E", " ": "%20", "%": "%25", "\x7f": "%7F", "\x00": "%00", "é": "%C3%A9", "🦀": "%F0%9F%A6%80",
	} {
		require.Equal(t, out, enact.EncodeToken(in))
	}
}

func TestDecodeTokenRefuses(t *testing.T) {
	for _, token := range []string{
		"%", "%2", "a%", "a%2", "%2e", "%c3%a9", "%C3%a9", "%41", "%61", "%30", "%5F", "%2D", "%GG", "%2G", "%G2", "% 2", "%%", "%+1",
		".", "a.b", "*", ">", " ", "a b", "é", "\x7f", "\x00", "%2E.", "%2E*", "a%2E ",
	} {
		_, err := enact.DecodeToken(token)
		require.ErrorIs(t, err, enact.ErrInvalidID, "%q", token)
		require.ErrorContains(t, err, "is not percent-encoded")
	}
}

func TestSubjects(t *testing.T) {
	for prefix, want := range map[string]string{"": "enact", "log": "log", "a.b-c.D_9": "a.b-c.D_9", strings.Repeat("x", 128): strings.Repeat("x", 128)} {
		s, err := enact.NewSubjects(prefix)
		require.NoError(t, err)
		require.Equal(t, want, s.Prefix())
		require.Equal(t, want+".t%2E1.e%20x", s.Execution("t.1", "e x"))
		require.Equal(t, want+".*.e%2E", s.AnyTenant("e."))
		require.Equal(t, want+".t%2A.*", s.Tenant("t*"))
		require.Equal(t, want+".*.*", s.All())
		require.Equal(t, want+"-index.t%3E", s.Index("t>"))
		require.Equal(t, want+"-index.*", s.AllIndex())
	}
	for _, prefix := range []string{".", "a.", ".a", "a..b", "a b", "a.*", ">", "$SYS", "a%", "é", "\x7f", "a\n", strings.Repeat("x", 129)} {
		_, err := enact.NewSubjects(prefix)
		require.ErrorIs(t, err, enact.ErrInvalidOption, "%q", prefix)
		got, ok := errors.AsType[*enact.OptionError](err)
		require.True(t, ok)
		require.Equal(t, "prefix", got.Option)
	}
}

func TestParseExecutionRefuses(t *testing.T) {
	s, err := enact.NewSubjects("a.b")
	require.NoError(t, err)
	for _, subject := range []string{
		"", "a.b", "a.b.", "a.b.t", "a.b.t.", "a.b..e", "a.b.t.e.x", "a.c.t.e", "x.a.b.t.e", "a.b-index.t", "A.b.t.e", "a.b.*.e", "a.b.t.>", "a.b.t.%2e", "a.b.%41.e",
		"a.b.t." + strings.Repeat("x", 129), "a.b.%FF.e", "a.b.t.%ED%A0%80",
	} {
		_, _, err := s.ParseExecution(subject)
		require.ErrorIs(t, err, enact.ErrInvalidID, "%q", subject)
	}
}

func TestParseIndexRefuses(t *testing.T) {
	s, err := enact.NewSubjects("a.b")
	require.NoError(t, err)
	for _, subject := range []string{
		"", "a.b-index", "a.b-index.", "a.b.t", "a.b-index.t.x", "a-index.t", "x.a.b-index.t", "a.b-index.*", "a.b-index.>", "a.b-index.%2e", "a.b-index.%41",
		"a.b-index." + strings.Repeat("x", 129), "a.b-index.%FF",
	} {
		_, err := s.ParseIndex(subject)
		require.ErrorIs(t, err, enact.ErrInvalidID, "%q", subject)
	}
}

func TestEventTypesAreDistinct(t *testing.T) {
	types := enact.EventTypes()
	require.Len(t, types, 16)
	slices.Sort(types)
	require.Len(t, slices.Compact(types), 16)
	require.NotEqual(t, types[0], enact.EventTypes()[0], "the caller may change the slice")
}
