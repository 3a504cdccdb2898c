package jetstore

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// pending returns the error of an append to execution run of tenant acme of which nothing
// has reached the server yet, as another process reads it.
func pending(t *testing.T, s *Store, b enact.Batch) *enact.UnknownOutcomeError {
	t.Helper()
	b.TenantID, b.ExecutionID = "acme", "run"
	c := commitOf(t, s, b)
	l := s.lanes.acquire(c.key, s.cfg.subjects)
	defer s.lanes.release(l)
	require.NoError(t, s.warmUp(t.Context(), l, false))
	g := l.gather(c, true)
	require.NoError(t, g.encode(t.Context(), l))
	text, err := json.Marshal(g.attempt.unknown(errors.New("lost"), c, l.tail.Sequence+1))
	require.NoError(t, err)
	u := new(enact.UnknownOutcomeError)
	require.NoError(t, json.Unmarshal(text, u))
	require.Equal(t, DefaultStream, u.Stream)
	return u
}

// What Resolve would send is held against the record that it is to follow first. A log never
// gets a record that does not continue its execution's history.
func TestResolveSendsNothingThatWasChanged(t *testing.T) {
	s := openInside(t, "")
	for n := range 3 {
		_, err := s.Append(t.Context(), "run", "acme", enact.ExecutionPaused{Reason: strings.Repeat("x", n)})
		require.NoError(t, err)
	}
	batch := enact.Batch{
		Events:  []enact.Event{enact.ExecutionPaused{Reason: "a"}, enact.ExecutionPaused{Reason: "b"}, enact.ExecutionPaused{Reason: "c"}},
		Options: enact.AppendOptions{OneEventPerRecord: true},
	}
	change := func(u *enact.UnknownOutcomeError, i int, header, from, to string) {
		t.Helper()
		h := u.Records[i].Header[header]
		require.Contains(t, h[0], from)
		h[0] = strings.Replace(h[0], from, to, 1)
	}
	for name, spoil := range map[string]func(u *enact.UnknownOutcomeError){
		"payload":  func(u *enact.UnknownOutcomeError) { u.Records[0].Data = []byte(`{"type":"execution_resumed"}`) },
		"metadata": func(u *enact.UnknownOutcomeError) { u.Records[0].Header[record.HeaderMetaPrefix+"a"] = []string{"b"} },
		"time": func(u *enact.UnknownOutcomeError) {
			u.Records[0].Header[record.HeaderTime] = []string{"2026-01-01T00:00:00Z"}
		},
		"number": func(u *enact.UnknownOutcomeError) { change(u, 0, record.HeaderLink, "rec=4", "rec=3") },
		"back": func(u *enact.UnknownOutcomeError) { // the last entry, of record 2
			change(u, 0, record.HeaderLink, ",2@", ",2@1")
		},
		"back in the batch":    func(u *enact.UnknownOutcomeError) { change(u, 1, record.HeaderLink, "back=4@~1", "back=3@~1") },
		"payload in the batch": func(u *enact.UnknownOutcomeError) { u.Records[2].Data = []byte(`{"type":"execution_resumed"}`) },
		"origin":               func(u *enact.UnknownOutcomeError) { change(u, 0, record.HeaderLink, "org=", "org=0") },
	} {
		u := pending(t, s, batch)
		spoil(u)
		_, err := s.Resolve(t.Context(), u)
		require.ErrorIs(t, err, enact.ErrInvalidOption, name)
		events, err := s.LoadEvents(t.Context(), "run")
		require.NoError(t, err, name)
		require.Len(t, events, 3, name)
	}
}

// Resolving once more, or many times at once, is the same as once.
func TestResolveManyTimesAtOnce(t *testing.T) {
	s := openInside(t, "")
	_, err := s.Append(t.Context(), "run", "acme", enact.ExecutionResumed{})
	require.NoError(t, err)
	u := pending(t, s, enact.Batch{Events: []enact.Event{enact.ExecutionResumed{}, enact.ExecutionResumed{}}, Options: enact.AppendOptions{OneEventPerRecord: true}})
	sent := slices.Clone(u.Records)
	for i := range sent {
		sent[i].Header = maps.Clone(sent[i].Header)
	}
	receipts := make([]enact.Receipt, 8)
	var all sync.WaitGroup
	for i := range receipts {
		all.Go(func() {
			var err error
			if receipts[i], err = s.Resolve(t.Context(), u); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, r := range receipts {
		require.Equal(t, receipts[0], r)
		require.Equal(t, []uint64{2, 3}, []uint64{r.First, r.Last})
	}
	require.Equal(t, sent, u.Records, "the error is left as it was")
	again, err := s.Resolve(t.Context(), u)
	require.NoError(t, err)
	require.Equal(t, receipts[0], again)
	events, err := s.LoadEvents(t.Context(), "run")
	require.NoError(t, err)
	require.Len(t, events, 3)
	require.Equal(t, receipts[0].Position, events[2].Position)
}

// What overtook an append has been seen: no answer that is older, as that of a leader which
// has lost its office may be, is taken for what the conflict is with.
func TestWhatOvertookIsSeen(t *testing.T) {
	s := openInside(t, "", Patient())
	other := openAgain(t, s)
	_, err := other.Append(t.Context(), "run", "acme", enact.ExecutionResumed{})
	require.NoError(t, err)
	a := attemptOf(t, s)
	receipt, err := other.Execution("acme", "run").Append(t.Context(), enact.ExecutionResumed{})
	require.NoError(t, err)
	_, _, err = s.settle(t.Context(), a, errNoAnswer)
	require.ErrorIs(t, err, errOvertaken)
	require.Equal(t, receipt.Position, s.lanes.highest(a.key))
}
