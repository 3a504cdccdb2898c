package jetstore_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/jetstore"
)

var (
	faultsSeed   = flag.Uint64("faults.seed", 1, "seed of the first round of random faults; the others count up from it")
	faultsRounds = flag.Int("faults.rounds", 0, "rounds of random faults; 0: as many as are due")
)

// faultsAtOnce is how many rounds run side by side: they mostly wait.
const faultsAtOnce = 48

// Whatever the network does to the requests and answers of appends, the log holds
// exactly what was acknowledged or is found committed afterwards.
func TestRandomFaults(t *testing.T) {
	fs := startFaultServer(t)
	count := *faultsRounds
	if count == 0 {
		count = amount(2000, 250, 250)
	}
	t.Logf("seeds %d to %d; -faults.seed and -faults.rounds repeat some of them", *faultsSeed, *faultsSeed+uint64(count)-1)
	var totals tally
	rounds := make([]*round, count)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range faultsAtOnce {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(rounds) && !t.Failed(); i = int(next.Add(1)) - 1 {
				rounds[i] = newRound(fs, *faultsSeed+uint64(i))
				if err := rounds[i].run(&totals); err != nil {
					t.Errorf("round of -faults.seed=%d -faults.rounds=1: %v", rounds[i].seed, err)
				}
			}
		})
	}
	workers.Wait()
	t.Log(totals.String())
	if t.Failed() {
		return
	}
	// Copies of appends that were late have all arrived now: nothing has changed.
	for _, r := range rounds {
		for _, h := range r.histories {
			require.NoError(t, h.check(fs.observer), "after round of -faults.seed=%d", r.seed)
		}
	}
	const enough = 1000 // rounds in which each thing must have happened: what is rare need not in fewer
	if len(rounds) >= enough {
		for o := range totals.outcomes {
			require.NotZero(t, totals.outcomes[o].Load(), "no append was %s: the rounds prove nothing", outcome(o))
		}
		for _, f := range faultnet.Faults() {
			require.NotZero(t, totals.faults[f].Load(), "no frame met fault %q", f)
		}
		for _, what := range []jetstore.Occurrence{jetstore.Retry, jetstore.Overtaken, jetstore.Resolution, jetstore.Duplicate} {
			require.NotZero(t, totals.inside.of(what), "no %s", what)
		}
	}
}

// tally counts what happened in all rounds.
type tally struct {
	outcomes [outcomes]atomic.Int64
	faults   [16]atomic.Int64
	inside   occurrences
}

func (t *tally) String() string {
	text := "appends:"
	for o := range t.outcomes {
		text += fmt.Sprintf(" %d %s;", t.outcomes[o].Load(), outcome(o))
	}
	text += " faults:"
	for _, f := range faultnet.Faults() {
		text += fmt.Sprintf(" %d %s;", t.faults[f].Load(), f)
	}
	return text
}

// round is one schedule of appends and faults, both drawn from its seed.
type round struct {
	fs        *faultServer
	seed      uint64
	rng       *rand.Rand
	histories []*history
	lines     []*line
}

func newRound(fs *faultServer, seed uint64) *round {
	r := &round{fs: fs, seed: seed, rng: rand.New(rand.NewPCG(seed, 0))}
	tenant := enact.TenantID(fmt.Sprintf("round-%d", seed))
	for n := range 1 + r.rng.IntN(3) {
		r.histories = append(r.histories, &history{tenant: tenant, id: enact.ExecutionID(fmt.Sprintf("round-%d-%d", seed, n))})
	}
	return r
}

func (r *round) run(totals *tally) (err error) {
	defer func() {
		for _, l := range r.lines {
			for _, f := range faultnet.Faults() {
				totals.faults[f].Add(int64(l.proxy.Injected(f)))
			}
			err = errors.Join(err, l.close())
		}
	}()
	for n := range 1 + r.rng.IntN(2) {
		l, err := r.fs.connect(jetstore.WithTracer(&totals.inside))
		if err != nil {
			return err
		}
		r.lines = append(r.lines, l)
		l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Seed: r.seed*2 + uint64(n), Rates: drawRates(r.rng)}))
	}
	var appenders sync.WaitGroup
	wrong := make([]error, 2+r.rng.IntN(4))
	for i := range wrong {
		rng := rand.New(rand.NewPCG(r.seed, uint64(i)+1))
		appenders.Go(func() { wrong[i] = r.appends(rng, i) })
	}
	appenders.Wait()
	for _, l := range r.lines {
		l.proxy.Heal()
	}
	if err := errors.Join(wrong...); err != nil {
		return err
	}
	for _, h := range r.histories {
		for _, c := range h.calls {
			store := r.fs.resolver
			if r.rng.IntN(4) == 0 {
				store = r.lines[r.rng.IntN(len(r.lines))].store // healed by now
			}
			if err := c.resolve(store, r.rng.IntN(2) == 0); err != nil {
				return err
			}
			totals.outcomes[c.outcome].Add(1)
		}
		if err := h.check(r.fs.observer); err != nil {
			return err
		}
	}
	return checkList(r.fs.observer, r.histories[0].tenant, r.histories)
}

// drawRates draws which faults there are, and how many: most where records are sent
// and acknowledged, fewer at the questions before, without which nothing is sent.
func drawRates(rng *rand.Rand) map[faultnet.Point]faultnet.Rates {
	strength := 0.01 + 0.1*rng.Float64()
	all := make(map[faultnet.Point]faultnet.Rates)
	for _, at := range faultnet.Points() {
		all[at] = make(faultnet.Rates)
	}
	for _, f := range faultnet.Faults() {
		if rng.IntN(2) == 0 {
			continue
		}
		rate := strength * rng.Float64()
		for at, rates := range all {
			rates[f] = rate
			switch {
			case f == faultnet.CutBefore || f == faultnet.CutAfter:
				rates[f] = rate / 4 // it hits all that is under way
			case at.Class != faultnet.RecordPublish && at.Class != faultnet.BatchStage && at.Class != faultnet.BatchCommit && f != faultnet.Deny:
				rates[f] = rate / 4
			}
		}
	}
	return all
}

// appends is what one appender of a round does.
func (r *round) appends(rng *rand.Rand, appender int) error {
	for n := range 2 + rng.IntN(3) {
		h := r.histories[rng.IntN(len(r.histories))]
		ids, opts := r.drawAppend(rng, h, fmt.Sprintf("%d.%d", appender, n))
		// An append with a key is sent again until it is known to be stored.
		for range 3 {
			l := r.lines[rng.IntN(len(r.lines))]
			ctx, cancel := shortContext(rng)
			c, err := h.append(ctx, l.store, ids, opts)
			cancel()
			if err != nil {
				return err
			}
			if opts.IdempotencyKey == "" || c.outcome != unknownDead && c.outcome != notSent {
				break
			}
		}
	}
	return nil
}

// drawAppend draws an append to h. The ids of its events are its own, or its key's:
// keys are few, and each has two sets of events, so that appends meet over them.
func (r *round) drawAppend(rng *rand.Rand, h *history, name string) (ids []string, opts enact.AppendOptions) {
	switch rng.IntN(6) {
	case 0:
		opts.Expect = enact.Expectation{Kind: enact.ExactSequence}
	case 1:
		opts.Expect = enact.Expectation{Kind: enact.ExactSequence, Sequence: h.acked.Load()}
	case 2:
		opts.Expect = enact.Expectation{Kind: enact.MustExist}
	}
	if rng.IntN(3) == 0 {
		opts.IdempotencyKey = fmt.Sprintf("key%d", rng.IntN(3))
		name = fmt.Sprintf("%s/%d", opts.IdempotencyKey, rng.IntN(8)/7)
	}
	events := 1
	if rng.IntN(2) == 0 {
		events = 2 + rng.IntN(4)
		opts.OneEventPerRecord = rng.IntN(2) == 0
	}
	if opts.IdempotencyKey != "" {
		events = 1 + len(name)%3 // the same for all appends of one set
		events += int(name[len(name)-1] - '0')
	}
	for i := range events {
		ids = append(ids, fmt.Sprintf("%s/%d", name, i))
	}
	return ids, opts
}

// shortContext ends after 50 to 400 ms, by deadline or by cancellation.
func shortContext(rng *rand.Rand) (context.Context, context.CancelFunc) {
	d := time.Duration(50+rng.IntN(350)) * time.Millisecond
	if rng.IntN(4) > 0 {
		return context.WithTimeout(context.Background(), d)
	}
	ctx, cancel := context.WithCancel(context.Background())
	timer := time.AfterFunc(d, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}
