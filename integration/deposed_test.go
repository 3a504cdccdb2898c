//go:build faults || long

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	deposedStream = jetstore.DefaultStream
	// rawTenant has the subjects that raw messages go to, which no store reads.
	rawTenant = enact.TenantID("raw")
	// rawWriters is how many raw writers are connected to a server.
	rawWriters = 16
	// writeKinds is how many ways to append there are, see write.
	writeKinds = 4
	// deposedExecutions is how many executions the stores append to in a round.
	deposedExecutions = 6
	// refusalTimeout is how long the new leader stands still at most.
	refusalTimeout = 200 * time.Millisecond
	// deposedTimeout is longer than an election; shortTimeout is not.
	deposedTimeout = 30 * time.Second
	shortTimeout   = 1500 * time.Millisecond
)

// whole reports whether every replica has what the leader has.
func (c *cluster) whole() bool {
	current := 0
	for _, r := range c.Replicas {
		if r.Current {
			current++
		}
	}
	return c.Leader != "" && current == 2
}

// A leader that was paused while another was elected answers, when it goes on, as if it
// still led: it refuses what the new leader then stores. Writers that believe it are
// wrong; the store's appends end as their callers are told, each exactly once.
func TestDeposedLeader(t *testing.T) {
	d := newDeposing(t)
	rounds, bound := scaled(2, 40), time.Duration(scaled(50, 900))*time.Second
	begin := time.Now()
	seen := make(map[int]int)
	n := 0
	// Whether the old leader answers anything before it finds that it is none, is up
	// to its scheduler: mostly it does, and if not, more rounds show it.
	for ; n < rounds || len(seen) == 0 && time.Since(begin) < bound; n++ {
		for code, count := range d.round(t) {
			seen[code] += count
		}
	}
	t.Logf("%d rounds: raw publishes that were refused and stored, by code of the refusal: %v; store: %s", n, seen, d.ledger.totals())
}

// deposing is a cluster with writers, both raw and through stores.
type deposing struct {
	servers []*natstest.Server
	stores  []*jetstore.Store // one for each server
	ledger  *ledger
	random  *rand.Rand
}

func newDeposing(t *testing.T) *deposing {
	t.Helper()
	// One processor a server: the order in which a resumed one takes up its work is
	// then one of several, on many the same one nearly always.
	d := &deposing{ledger: newLedger("d"), random: newRandom(t), servers: natstest.StartCluster(t, 3, natstest.Options{NoSync: true, Processors: 1})}
	ensure(t, natstest.URLs(d.servers))
	for _, s := range d.servers {
		d.stores = append(d.stores, open(t, s.URL()))
	}
	return d
}

// round pauses the leader until another is elected, while all write, and lets it go on
// while the new one stands still for a moment: so the deposed leader's answers are the
// first to what has reached both.
func (d *deposing) round(t *testing.T) (refusedAndStored map[int]int) {
	t.Helper()
	all := connect(t, natstest.URLs(d.servers))
	defer all.Close()
	old := named(t, d.servers, awaitReplicas(t, all, deposedStream, (*cluster).whole).Leader)
	stop, halt := context.WithCancel(t.Context())
	defer halt()
	var wg sync.WaitGroup
	executions := make([]enact.ExecutionID, deposedExecutions)
	for i := range executions {
		executions[i] = enact.NewExecutionID()
	}
	errs := make(chan error, len(d.stores)*writeKinds)
	for _, s := range d.stores {
		for kind := range writeKinds {
			random := rand.New(rand.NewPCG(d.random.Uint64(), 0))
			wg.Go(func() { errs <- d.write(t.Context(), stop, random, s, kind, executions) })
		}
	}
	d.awaitAppends(t, 20)

	old.Pause()
	watch := connect(t, others(d.servers, old))
	defer watch.Close()
	c := awaitReplicas(t, watch, deposedStream, func(c *cluster) bool { return c.Leader != "" && c.Leader != old.Name() })
	next := named(t, d.servers, c.Leader)
	// Who waits for an answer of the old leader takes a moment to ask the new one.
	d.awaitAppends(t, 10)
	raw := d.startRaw(t, &wg, stop, old)
	awaitCopies(t, raw, 10*len(raw))
	next.Pause()
	awaitCopies(t, raw, 3*len(raw))
	old.Resume()
	awaitRefusal(raw)
	next.Resume()

	awaitReplicas(t, all, deposedStream, (*cluster).whole)
	halt()
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for _, e := range d.ledger.unsettled() {
		require.NoError(t, d.ledger.settle(within(t, patience), d.stores[d.random.IntN(len(d.stores))], e))
	}
	for _, s := range d.stores {
		require.NoError(t, d.ledger.verify(within(t, patience), s, executions...))
	}
	refusedAndStored = make(map[int]int)
	for _, w := range raw {
		for code, n := range w.refusedAndStored(t, all) {
			refusedAndStored[code] += n
		}
	}
	return refusedAndStored
}

// others returns the URLs of the servers but one.
func others(servers []*natstest.Server, but *natstest.Server) string {
	return natstest.URLs(slices.DeleteFunc(slices.Clone(servers), func(s *natstest.Server) bool { return s == but }))
}

// startRaw starts raw writers on each server but one, each with a subject of its own.
func (d *deposing) startRaw(t *testing.T, wg *sync.WaitGroup, stop context.Context, but *natstest.Server) []*rawWriter {
	t.Helper()
	var raw []*rawWriter
	for _, s := range d.servers {
		if s == but {
			continue
		}
		nc := connect(t, s.URL())
		for range rawWriters {
			w := newRawWriter(t, nc, deposedStream, d.stores[0].Subjects().Execution(rawTenant, enact.NewExecutionID()))
			raw = append(raw, w)
			wg.Go(func() { w.run(stop) })
		}
	}
	return raw
}

// awaitCopies waits until the writers have sent n more copies together.
func awaitCopies(t *testing.T, raw []*rawWriter, n int) {
	t.Helper()
	sent := func() (sum int) {
		for _, w := range raw {
			sum += int(w.sent.Load())
		}
		return sum
	}
	before := sent()
	natstest.Eventually(t, patience, func() bool { return sent() >= before+n }, func() string { return "the raw writers send nothing" })
}

// awaitRefusal waits until one of the writers is refused, but not for long: the leader
// may find in time that it is none.
func awaitRefusal(raw []*rawWriter) {
	refused := func() (sum int) {
		for _, w := range raw {
			sum += w.refused()
		}
		return sum
	}
	deadline := time.NewTimer(refusalTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for before := refused(); refused() == before; {
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
}

// write appends to the executions until stop ends, in one of several ways.
func (d *deposing) write(ctx, stop context.Context, r *rand.Rand, s *jetstore.Store, kind int, executions []enact.ExecutionID) error {
	for stop.Err() == nil {
		execution := executions[r.IntN(len(executions))]
		timeout := deposedTimeout
		if r.IntN(4) == 0 {
			timeout = shortTimeout // these are left unanswered
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		var err error
		switch kind {
		case 0:
			_, err = d.ledger.append(ctx, s, execution, 1)
		case 1:
			_, err = d.ledger.append(ctx, s, execution, 3+r.IntN(10), enact.WithOneEventPerRecord())
		case 2:
			_, err = d.ledger.appendKeyed(ctx, s, execution, 2)
		case 3:
			var latest uint64
			latest, _, err = s.LatestSequence(ctx, execution, enact.InTenant(tenant))
			if err == nil {
				_, err = d.ledger.append(ctx, s, execution, 2, enact.ExpectSequence(latest))
			} else if errors.Is(err, context.DeadlineExceeded) {
				err = nil
			}
		}
		cancel()
		if err != nil {
			return fmt.Errorf("writer %d: %w", kind, err)
		}
	}
	return nil
}

// awaitAppends waits until n more appends are acknowledged.
func (d *deposing) awaitAppends(t *testing.T, n int) {
	t.Helper()
	before := d.ledger.count(stored)
	natstest.Eventually(t, patience, func() bool { return d.ledger.count(stored) >= before+n }, func() string { return "the stores write nothing" })
}
