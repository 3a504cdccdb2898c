package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	// unansweredWhile is how long an append waits for an answer of a server that is paused.
	unansweredWhile  = 100 * time.Millisecond
	unansweredEvents = 3
	unansweredKey    = "once"
)

// appenderScript is an append that will not be answered.
type appenderScript struct {
	URL       string
	Execution enact.ExecutionID
}

func unanswered(execution enact.ExecutionID) enact.Batch {
	b := enact.Batch{TenantID: tenant, ExecutionID: execution, Options: enact.AppendOptions{IdempotencyKey: unansweredKey}}
	for i := range unansweredEvents {
		b.Events = append(b.Events, enact.ExecutionPaused{Reason: fmt.Sprint("unanswered ", i)})
	}
	return b
}

// playAppender makes the execution, says so, appends once it is told to, says what
// came of it and waits to be killed.
func playAppender(text []byte, l line) error {
	var script appenderScript
	if err := json.Unmarshal(text, &script); err != nil {
		return err
	}
	all, end := context.WithTimeout(context.Background(), patience)
	defer end()
	out := new(outgoing)
	s, err := jetstore.Connect(all, script.URL, watched(out))
	if err != nil {
		return err
	}
	first, err := s.Append(all, script.Execution, tenant, enact.ExecutionStarted{})
	if err != nil {
		return err
	}
	var told string
	if err := errors.Join(l.say.Encode(first), l.hear.Decode(&told)); err != nil {
		return err
	}
	ctx, cancel := out.context(all, "HPUB "+s.Subjects().Execution(tenant, script.Execution)+" ", unansweredWhile)
	defer cancel()
	_, err = s.Commit(ctx, unanswered(script.Execution))
	pending, ok := errors.AsType[*enact.UnknownOutcomeError](err)
	if !ok {
		return fmt.Errorf("the append ended in %w", err)
	}
	if err := l.say.Encode(pending); err != nil {
		return err
	}
	return l.hear.Decode(&told)
}

// resolverScript is an append to settle.
type resolverScript struct {
	URL     string
	Pending *enact.UnknownOutcomeError
}

// resolution is how an append was settled: one of the two.
type resolution struct {
	Receipt  *enact.Receipt
	Conflict *enact.ConflictError
}

// playResolver settles an append and says how.
func playResolver(text []byte, l line) error {
	var script resolverScript
	if err := json.Unmarshal(text, &script); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := jetstore.Connect(ctx, script.URL)
	if err != nil {
		return err
	}
	var r resolution
	receipt, err := s.Resolve(ctx, script.Pending)
	if err == nil {
		r.Receipt = &receipt
	} else if !errors.As(err, &r.Conflict) {
		return err
	}
	return errors.Join(s.Shutdown(ctx), l.say.Encode(r))
}

// An append that a process left unanswered, before it was killed, is settled by
// another process from the error's JSON, and again with the same end.
func TestResolveInAnotherProcess(t *testing.T) {
	crash := func(server *natstest.Server) {
		server.Kill()
		server.Start()
	}
	for name, tc := range map[string]struct {
		after    func(t *testing.T, server *natstest.Server, s *jetstore.Store, execution enact.ExecutionID) // what happens to the append
		latest   uint64                                                                                      // before it is settled
		conflict bool
	}{
		"the server stores it when it goes on": {
			after: func(t *testing.T, server *natstest.Server, s *jetstore.Store, execution enact.ExecutionID) {
				server.Resume()
				natstest.Eventually(t, patience, func() bool {
					latest, _, err := s.LatestSequence(t.Context(), execution)
					return err == nil && latest == 1+unansweredEvents
				}, func() string { return "the append did not reach the server" })
			},
			latest: 1 + unansweredEvents,
		},
		"the server crashes before it stores it": {
			after:  func(_ *testing.T, server *natstest.Server, _ *jetstore.Store, _ enact.ExecutionID) { crash(server) },
			latest: 1,
		},
		"the server crashes and another append takes its place": {
			after: func(t *testing.T, server *natstest.Server, s *jetstore.Store, execution enact.ExecutionID) {
				crash(server)
				_, err := s.Append(t.Context(), execution, tenant, enact.ExecutionResumed{})
				require.NoError(t, err)
			},
			latest:   2,
			conflict: true,
		},
		"the server crashes and the stream is made again": {
			after: func(t *testing.T, server *natstest.Server, _ *jetstore.Store, _ enact.ExecutionID) {
				crash(server)
				makeAgain(t, server.URL())
			},
			latest:   0,
			conflict: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t, natstest.Options{})
			ensure(t, server.URL())
			s := open(t, server.URL())
			execution := enact.NewExecutionID()
			pending := leaveUnanswered(t, server, execution)
			tc.after(t, server, s, execution)
			latest, _, err := s.LatestSequence(t.Context(), execution)
			require.NoError(t, err)
			require.Equal(t, tc.latest, latest)

			first := resolveElsewhere(t, server, pending)
			loaded, err := s.LoadEvents(t.Context(), execution)
			require.NoError(t, err)
			if tc.conflict {
				require.NotNil(t, first.Conflict)
				require.Equal(t, tc.latest, first.Conflict.Actual)
				require.Len(t, loaded, int(tc.latest))
			} else {
				require.NotNil(t, first.Receipt)
				require.Equal(t, uint64(2), first.Receipt.First)
				require.Equal(t, uint64(1+unansweredEvents), first.Receipt.Last)
				require.Len(t, loaded, 1+unansweredEvents)
				require.Equal(t, first.Receipt.Position, loaded[unansweredEvents].Position)
				for i, e := range unanswered(execution).Events {
					require.Equal(t, e, loaded[1+i].Event)
				}
			}
			require.Equal(t, first, resolveElsewhere(t, server, pending), "settled again")
			again, err := s.LoadEvents(t.Context(), execution)
			require.NoError(t, err)
			require.Equal(t, loaded, again)
		})
	}
}

// leaveUnanswered lets a process append to the server while it is paused, and kills the
// process. The server stays paused.
func leaveUnanswered(t *testing.T, server *natstest.Server, execution enact.ExecutionID) *enact.UnknownOutcomeError {
	t.Helper()
	p := startProcess(t, "appender", appenderScript{URL: server.URL(), Execution: execution})
	var first uint64
	p.hear(t, &first)
	require.Equal(t, uint64(1), first)
	server.Pause()
	p.say(t, "append")
	var pending enact.UnknownOutcomeError
	p.hear(t, &pending)
	p.kill()
	require.Equal(t, execution, pending.ExecutionID)
	require.Equal(t, uint64(2), pending.First)
	require.Equal(t, unansweredEvents, pending.Events)
	require.Equal(t, unansweredKey, pending.IdempotencyKey)
	return &pending
}

func resolveElsewhere(t *testing.T, server *natstest.Server, pending *enact.UnknownOutcomeError) resolution {
	t.Helper()
	var r resolution
	startProcess(t, "resolver", resolverScript{URL: server.URL(), Pending: pending}).hear(t, &r)
	return r
}
