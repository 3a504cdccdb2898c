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
)

// Contexts of appends that meet one fault: one that outlives the 2 s that a request
// waits for its answer, and one that does not.
const (
	longEnough = time.Minute
	tooShort   = 300 * time.Millisecond
)

// scenario is an append whose requests are known: each is a step at which one thing
// can go wrong.
type scenario struct {
	name    string
	before  int  // appends to the execution beforehand, each with a key, by another store
	warm    bool // one more by the store itself
	events  int
	options enact.AppendOptions
	steps   []faultnet.Class
}

func scenarios() []scenario {
	const (
		publish, stage, commit = faultnet.RecordPublish, faultnet.BatchStage, faultnet.BatchCommit
		get, info              = faultnet.LeaderGet, faultnet.StreamInfo
		direct, index          = faultnet.DirectGet, faultnet.IndexPublish
	)
	exactly := func(n uint64) enact.Expectation {
		return enact.Expectation{Kind: enact.ExactSequence, Sequence: n}
	}
	return []scenario{
		{name: "warm", before: 1, warm: true, events: 1, steps: []faultnet.Class{publish}},
		{name: "cold", before: 2, events: 2, options: enact.AppendOptions{Expect: exactly(2)}, steps: []faultnet.Class{get, publish}},
		{name: "creation", events: 1, steps: []faultnet.Class{get, info, index, publish}},
		{name: "creation that expects to be one", events: 1, options: enact.AppendOptions{Expect: exactly(0)}, steps: []faultnet.Class{info, index, publish}},
		{
			name: "staged", before: 1, warm: true, events: 4,
			options: enact.AppendOptions{OneEventPerRecord: true}, steps: []faultnet.Class{stage, commit},
		},
		{
			name: "keyed", before: 4, events: 3,
			options: enact.AppendOptions{IdempotencyKey: "k", OneEventPerRecord: true}, steps: []faultnet.Class{get, direct, stage, commit},
		},
	}
}

// trial is one scenario with one fault at one step.
type trial struct {
	scenario
	rule    faultnet.Rule
	lasting []faultnet.Rule // what keeps the append from ending before its context
	history *history
	call    *call
}

// everyFrame is for rules that hold for whatever comes.
const everyFrame = 1 << 20

// last makes a loss last: an append that loses its record, or the word on it, once is tried
// again after 2 s, which a busy machine may take for less.
func (tr *trial) last() {
	if tr.rule.Fault != faultnet.Drop {
		return
	}
	tr.rule.Times = everyFrame
	if tr.rule.At.Class != faultnet.LeaderGet {
		// What is asked before the loss is answered, however often it has to be asked.
		tr.lasting = []faultnet.Rule{{
			At: faultnet.Point{Direction: faultnet.Reply, Class: faultnet.LeaderGet}, Nth: 1, Times: everyFrame, Fault: faultnet.Drop,
			Behind: tr.rule.At,
		}}
	}
}

// trials returns every fault at every step, each on an execution of its own.
func trials(prefix string, wait time.Duration) (all []*trial) {
	for _, sc := range scenarios() {
		for _, class := range sc.steps {
			for _, direction := range []faultnet.Direction{faultnet.Request, faultnet.Reply} {
				for _, f := range faultnet.Faults() {
					at := faultnet.Point{Direction: direction, Class: class}
					if f == faultnet.Deny && at != (faultnet.Point{Direction: faultnet.Reply, Class: faultnet.LeaderGet}) {
						continue
					}
					id := fmt.Sprintf("%s-%d", prefix, len(all))
					all = append(all, &trial{
						scenario: sc, rule: faultnet.Rule{At: at, Nth: 1, Fault: f, Wait: wait},
						history: &history{tenant: enact.TenantID(id), id: enact.ExecutionID(id)},
					})
				}
			}
		}
	}
	return all
}

func (tr *trial) String() string {
	return fmt.Sprintf("%s, %s at %s", tr.name, tr.rule.Fault, tr.rule.At)
}

// run does what comes before the append, then the append under the fault.
func (tr *trial) run(fs *faultServer, patience time.Duration) (err error) {
	l, err := fs.connect()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), mendTime)
	defer cancel()
	for n := range tr.before {
		opts := enact.AppendOptions{IdempotencyKey: fmt.Sprintf("before%d", n)}
		if _, err := tr.history.append(ctx, fs.resolver, []string{fmt.Sprintf("before%d/0", n)}, opts); err != nil {
			return err
		}
	}
	if tr.warm {
		if _, err := tr.history.append(ctx, l.store, []string{"warm"}, enact.AppendOptions{}); err != nil {
			return err
		}
	}
	l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: append(tr.lasting, tr.rule)}))
	var ids []string
	for n := range tr.events {
		ids = append(ids, fmt.Sprintf("%s/%d", "k", n))
	}
	appending, cancel := context.WithTimeout(context.Background(), longEnough)
	defer cancel()
	if patience < longEnough {
		defer l.cancelAfter(appending, cancel, tr.rule.Fault, patience)()
	}
	if tr.call, err = tr.history.append(appending, l.store, ids, tr.options); err != nil {
		return err
	}
	if n := l.proxy.Injected(tr.rule.Fault); n == 0 || n > 1 && tr.rule.Times == 0 {
		return errors.New("no frame met the fault: the step is not one of this append")
	}
	return nil
}

// cancelAfter calls cancel so long after the fault has met a frame: a context that ended
// at a set time could end before that, on a busy machine. wait waits for it to be over.
func (l *line) cancelAfter(ctx context.Context, cancel func(), f faultnet.Fault, d time.Duration) (wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(5 * time.Millisecond)
		defer look.Stop()
		for l.proxy.Injected(f) == 0 {
			select {
			case <-look.C:
			case <-ctx.Done():
				return
			}
		}
		select {
		case <-time.After(d):
			cancel()
		case <-ctx.Done():
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func runTrials(t *testing.T, all []*trial, each func(*trial) error) {
	t.Helper()
	var running sync.WaitGroup
	slots := make(chan struct{}, faultsAtOnce)
	for _, tr := range all {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			if err := each(tr); err != nil {
				t.Errorf("%s: %v", tr, err)
			}
		})
	}
	running.Wait()
}

// An append whose context lasts is committed, whatever goes wrong once at any step.
func TestOneFaultAtEachStepIsSurvived(t *testing.T) {
	fs := startFaultServer(t)
	runTrials(t, trials("long", 20*time.Millisecond), func(tr *trial) error {
		if err := tr.run(fs, longEnough); err != nil {
			return err
		}
		if tr.call.outcome != acknowledged {
			return fmt.Errorf("the append ended %s: %w", tr.call.outcome, tr.call.err)
		}
		return errors.Join(tr.history.check(fs.observer), checkList(fs.observer, tr.history.tenant, []*history{tr.history}))
	})
}

// Where the context is too short, the error says whether anything was sent, and what
// was sent is settled afterwards, here or in another process.
func TestOneFaultAtEachStepIsSettled(t *testing.T) {
	fs := startFaultServer(t)
	all := trials("short", time.Second)
	for _, tr := range all {
		tr.last()
	}
	runTrials(t, all, func(tr *trial) error {
		if err := tr.run(fs, tooShort); err != nil {
			return err
		}
		if tr.rule.Fault == faultnet.Drop {
			// Only the messages that commit can be the ones whose loss leaves a doubt.
			sent := tr.rule.At.Class == faultnet.RecordPublish || tr.rule.At.Class == faultnet.BatchCommit
			if sent != errors.Is(tr.call.err, enact.ErrUnknownOutcome) {
				return fmt.Errorf("the append ended %s: %w", tr.call.outcome, tr.call.err)
			}
		}
		if err := tr.call.resolve(fs.resolver, true); err != nil {
			return err
		}
		if tr.call.outcome == unknownDead {
			return errors.New("nobody else appended: nothing can have proven it dead")
		}
		return errors.Join(tr.history.check(fs.observer), checkList(fs.observer, tr.history.tenant, []*history{tr.history}))
	})
}

// An append that was lost is proven dead once another stands in its place, and its
// late copies change nothing.
func TestLostAppendIsDeadBehindAnother(t *testing.T) {
	fs := startFaultServer(t)
	for _, events := range []int{1, 3} {
		h := &history{tenant: "lost", id: enact.ExecutionID(fmt.Sprintf("lost-%d", events))}
		l, err := fs.connect()
		require.NoError(t, err)
		_, err = h.append(t.Context(), l.store, []string{"first"}, enact.AppendOptions{})
		require.NoError(t, err)
		rules := []faultnet.Rule{}
		for _, class := range []faultnet.Class{faultnet.RecordPublish, faultnet.BatchCommit} {
			// It is under way until the store leaves.
			at := faultnet.Point{Direction: faultnet.Request, Class: class}
			rules = append(rules, faultnet.Rule{At: at, Nth: 1, Times: everyFrame, Fault: faultnet.Reorder, Gap: everyFrame, Wait: time.Hour})
		}
		l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: rules}))
		var ids []string
		for n := range events {
			ids = append(ids, fmt.Sprintf("late%d", n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), longEnough)
		wait := l.cancelAfter(ctx, cancel, faultnet.Reorder, tooShort)
		lost, err := h.append(ctx, l.store, ids, enact.AppendOptions{OneEventPerRecord: true})
		wait()
		require.NoError(t, err)
		require.ErrorIs(t, lost.err, enact.ErrUnknownOutcome)
		require.ErrorIs(t, lost.err, context.Canceled)

		_, err = h.append(t.Context(), fs.observer, []string{"in its place"}, enact.AppendOptions{})
		require.NoError(t, err)
		require.NoError(t, lost.resolve(fs.resolver, true))
		require.Equal(t, unknownDead, lost.outcome)
		require.NoError(t, h.check(fs.observer))
		require.NoError(t, l.close(), "what was held arrives now")
		require.NoError(t, h.check(fs.observer))
		require.NoError(t, lost.resolve(fs.observer, false), "settled again, it is the same")
		require.Equal(t, unknownDead, lost.outcome)
	}
}
