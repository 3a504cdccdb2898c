package jetstore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// deniedGets are the leader gets, in the order that an append makes them, that are
// answered "not found" as if the record could not be read.
var deniedGets = []faultnet.Rule{
	{Nth: 1}, {Nth: 2}, {Nth: 3}, {Nth: 4}, {Nth: 1, Times: 2}, {Nth: 2, Times: 2}, {Nth: 2, Times: 3}, {Nth: 1, Times: 5},
}

// A commit whose acknowledgement is lost is found, whichever of the questions about
// it is answered "not found": that is what a read error looks like, and no proof.
func TestNotFoundProvesNothingOfACommit(t *testing.T) {
	fs := startFaultServer(t)
	var running sync.WaitGroup
	defer running.Wait()
	for n, denied := range deniedGets {
		for kind, opts := range map[string]enact.AppendOptions{"staged": {OneEventPerRecord: true}, "packed": {}} {
			for _, followed := range []bool{true, false} {
				h := &history{tenant: "denied", id: enact.ExecutionID(fmt.Sprintf("denied-%s-%d-%v", kind, n, followed))}
				running.Go(func() {
					if err := fs.denied(t.Context(), h, opts, denied, followed); err != nil {
						t.Errorf("%s: %v", h.id, err)
					}
				})
			}
		}
	}
}

// denied appends a batch whose acknowledgement is lost while gets are denied. Before
// the store learns that the batch stands, others append: to another execution, and,
// where followed, behind it.
func (fs *faultServer) denied(ctx context.Context, h *history, opts enact.AppendOptions, denied faultnet.Rule, followed bool) (err error) {
	l, err := fs.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	if _, err := h.append(ctx, l.store, []string{"first"}, enact.AppendOptions{}); err != nil {
		return err
	}
	denied.At, denied.Fault = faultnet.Point{Direction: faultnet.Reply, Class: faultnet.LeaderGet}, faultnet.Deny
	rules := []faultnet.Rule{denied}
	for _, class := range []faultnet.Class{faultnet.RecordPublish, faultnet.BatchCommit} {
		at := faultnet.Point{Direction: faultnet.Reply, Class: class}
		rules = append(rules, faultnet.Rule{At: at, Nth: 1, Fault: faultnet.Drop})
	}
	l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: rules}))
	done := make(chan error, 1)
	go func() {
		c, err := h.append(ctx, l.store, []string{"a", "b", "c"}, opts)
		done <- errors.Join(err, c.err)
	}()
	if _, _, err := fs.observer.LatestSequence(ctx, h.id, enact.InTenant(h.tenant), enact.AtLeast(4)); err != nil {
		return err
	}
	if _, err := fs.resolver.Append(ctx, h.id+"-other", h.tenant, noteOf("x")); err != nil {
		return err
	}
	if followed {
		if _, err := h.append(ctx, fs.observer, []string{"behind"}, enact.AppendOptions{}); err != nil {
			return err
		}
	}
	return errors.Join(<-done, h.check(fs.observer))
}

// An execution that exists is not taken for a new one because its last record cannot
// be read, neither by appends nor by reads.
func TestNotFoundProvesNoAbsence(t *testing.T) {
	fs := startFaultServer(t)
	for times := 1; times <= 3; times++ {
		h := &history{tenant: "absent", id: enact.ExecutionID(fmt.Sprintf("absent-%d", times))}
		for n := range 3 {
			_, err := h.append(t.Context(), fs.resolver, []string{fmt.Sprint(n)}, enact.AppendOptions{})
			require.NoError(t, err)
		}
		deny := func(l *line) {
			l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{{
				At: faultnet.Point{Direction: faultnet.Reply, Class: faultnet.LeaderGet}, Nth: 1, Times: times, Fault: faultnet.Deny,
			}}}))
		}
		for name, use := range map[string]func(s *jetstore.Store) error{
			"load": func(s *jetstore.Store) error {
				events, err := s.LoadEvents(t.Context(), h.id, enact.InTenant(h.tenant))
				if len(events) < 3 {
					err = errors.Join(err, fmt.Errorf("%d events", len(events)))
				}
				return err
			},
			"latest": func(s *jetstore.Store) error {
				_, ok, err := s.LatestSequence(t.Context(), h.id, enact.InTenant(h.tenant))
				if !ok {
					err = errors.Join(err, errors.New("no events"))
				}
				return err
			},
			"append": func(s *jetstore.Store) error {
				c, err := h.append(t.Context(), s, []string{"appended"}, enact.AppendOptions{})
				return errors.Join(err, c.err)
			},
			"conflict": func(s *jetstore.Store) error {
				opts := enact.AppendOptions{Expect: enact.Expectation{Kind: enact.ExactSequence, Sequence: 77}}
				c, err := h.append(t.Context(), s, []string{"refused"}, opts) // check compares the actual sequence
				if c.outcome != conflict {
					err = errors.Join(err, fmt.Errorf("it ended %s", c.outcome), c.err)
				}
				return err
			},
		} {
			l, err := fs.connect()
			require.NoError(t, err)
			deny(l)
			require.NoError(t, use(l.store), name)
			require.Equal(t, times, l.proxy.Injected(faultnet.Deny), name)
			require.NoError(t, l.close())
		}
		require.NoError(t, h.check(fs.observer))
	}
}

// The same holds where a key's records are looked for: with no replica answering and
// the leader denying, the append asks again instead of calling the history corrupt.
func TestNotFoundProvesNoCorruption(t *testing.T) {
	fs := startFaultServer(t)
	h := &history{tenant: "keys", id: "keys"}
	for n := range 3 {
		_, err := h.append(t.Context(), fs.resolver, []string{fmt.Sprintf("k%d/0", n)}, enact.AppendOptions{IdempotencyKey: fmt.Sprintf("k%d", n)})
		require.NoError(t, err)
	}
	l, err := fs.connect()
	require.NoError(t, err)
	defer func() { require.NoError(t, l.close()) }()
	l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{
		{At: faultnet.Point{Direction: faultnet.Request, Class: faultnet.DirectGet}, Nth: 1, Times: 3, Fault: faultnet.Drop},
		{At: faultnet.Point{Direction: faultnet.Reply, Class: faultnet.LeaderGet}, Nth: 2, Times: 2, Fault: faultnet.Deny},
	}}))
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	defer cancel()
	c, err := h.append(ctx, l.store, []string{"k1/0"}, enact.AppendOptions{IdempotencyKey: "k1"})
	require.NoError(t, err)
	require.Equal(t, duplicate, c.outcome, "%v", c.err)
	// A denial may come later than the answer to what was asked after it.
	natstest.Eventually(t, mendTime, func() bool { return l.proxy.Injected(faultnet.Deny) == 2 },
		func() string { return "the leader was not asked" })
	require.NoError(t, h.check(fs.observer))
}

// A read that was answered before the execution's first append, and hears of it
// afterwards, is a read of the time before: the history is not missing.
func TestAbsenceAnsweredBeforeAnAppend(t *testing.T) {
	const late = 300 * time.Millisecond
	fs := startFaultServer(t)
	l, err := fs.connect()
	require.NoError(t, err)
	defer func() { require.NoError(t, l.close()) }()
	for n, at := range []faultnet.Class{faultnet.LeaderGet, faultnet.StreamInfo} {
		h := &history{tenant: "early", id: enact.ExecutionID(fmt.Sprintf("early-%d", n))}
		l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{{
			At: faultnet.Point{Direction: faultnet.Reply, Class: at}, Nth: 1, Fault: faultnet.Reorder, Gap: 1000, Wait: late,
		}}}))
		read := make(chan error, 1)
		go func() {
			_, err := l.store.LoadEvents(t.Context(), h.id, enact.InTenant(h.tenant))
			read <- err
		}()
		natstest.Eventually(t, mendTime, func() bool { return l.proxy.Injected(faultnet.Reorder) == n+1 },
			func() string { return "the read got no answer" })
		c, err := h.append(t.Context(), l.store, []string{"first"}, enact.AppendOptions{})
		require.NoError(t, err)
		require.NoError(t, c.err)
		require.NoError(t, <-read)
		require.NoError(t, h.check(fs.observer))
	}
}
