package jetstore_test

import (
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// unanswered returns the error of an append whose acknowledgement never came: that of the
// first event of execution run of tenant acme, which is stored.
func unanswered(t *testing.T, s *jetstore.Store) *enact.UnknownOutcomeError {
	t.Helper()
	m, err := s.Conn().Request("$JS.API.DIRECT.GET.ENACT.enact.acme.run", nil, time.Minute)
	require.NoError(t, err)
	commit, _, _ := strings.Cut(m.Header["Enact-Commit"][0], " ")
	header := nats.Header{}
	for k, v := range m.Header {
		if strings.HasPrefix(k, "Enact-") || k == "traceparent" || k == jetstreamExpected {
			header[k] = v
		}
	}
	return &enact.UnknownOutcomeError{
		TenantID: "acme", ExecutionID: "run", CommitID: commit, First: 1, Events: 1, Incarnation: incarnation(t, s),
		Records: []enact.PendingRecord{{Header: header, Data: m.Data}},
	}
}

// Resolve takes what may have travelled between processes. What no append has left is
// refused, with what is wrong, and nothing is stored.
func TestResolveRefusesWhatNoAppendHasLeft(t *testing.T) {
	s := embedded.ForTest(t, embedded.WithMemoryStorage())
	_, err := s.Append(t.Context(), "run", "acme", note(1))
	require.NoError(t, err)
	good := unanswered(t, s)
	for name, test := range map[string]struct {
		spoil func(*enact.UnknownOutcomeError)
		says  string
	}{
		"tenant":        {func(u *enact.UnknownOutcomeError) { u.TenantID = "" }, "tenant"},
		"execution":     {func(u *enact.UnknownOutcomeError) { u.ExecutionID = "" }, "execution"},
		"commit id":     {func(u *enact.UnknownOutcomeError) { u.CommitID = "first" }, `commit id "first"`},
		"no records":    {func(u *enact.UnknownOutcomeError) { u.Records = nil }, "0 records"},
		"no events":     {func(u *enact.UnknownOutcomeError) { u.Events = 0 }, "0 events"},
		"no sequence":   {func(u *enact.UnknownOutcomeError) { u.First = 0 }, "from sequence 0"},
		"foreign data":  {func(u *enact.UnknownOutcomeError) { u.Records[0].Data = []byte("?") }, "record 1"},
		"no header":     {func(u *enact.UnknownOutcomeError) { u.Records[0].Header = nil }, "record 1"},
		"other commit":  {func(u *enact.UnknownOutcomeError) { u.CommitID = uuid.Must(uuid.NewV7()).String() }, "belongs to commit"},
		"other place":   {func(u *enact.UnknownOutcomeError) { u.Records = append(u.Records, u.Records[0]) }, "belongs to commit"},
		"other history": {func(u *enact.UnknownOutcomeError) { u.Predecessor = 17 }, "follows position 0, not 17"},
		"other stream":  {func(u *enact.UnknownOutcomeError) { u.Stream = "OTHER" }, `"OTHER"`},
		"no stream":     {func(u *enact.UnknownOutcomeError) { u.Incarnation = "" }, "incarnation"},
		"more events":   {func(u *enact.UnknownOutcomeError) { u.Events = 2 }, "events 1 to 1"},
		"too many":      {func(u *enact.UnknownOutcomeError) { u.Events = math.MaxInt }, "events 1 to 1"},
		"other events":  {func(u *enact.UnknownOutcomeError) { u.First = 2 }, "events 1 to 1"},
		"other key":     {func(u *enact.UnknownOutcomeError) { u.IdempotencyKey = "k" }, "key"},
	} {
		t.Run(name, func(t *testing.T) {
			u := *good
			u.Records = slices.Clone(good.Records)
			u.Records[0].Header = maps.Clone(good.Records[0].Header)
			test.spoil(&u)
			_, err := s.Resolve(t.Context(), &u)
			require.ErrorContains(t, err, test.says)
			require.NotErrorIs(t, err, enact.ErrUnknownOutcome)
		})
	}
	_, err = s.Resolve(t.Context(), nil)
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	head, err := s.Execution("acme", "run").Head(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, head.Sequence)
}
