package jetstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

const (
	// mendTime bounds what must succeed because nothing is broken any more.
	mendTime = time.Minute
	// leaveTime is how long after the end of its context an append may still be on its
	// way: no time at all, but for a machine that is busy.
	leaveTime = 20 * time.Second
)

// faultServer is a server for many rounds of faults, and stores on it that no fault
// touches: one settles what is unknown, one reads what became of it.
type faultServer struct {
	address            string
	resolver, observer *jetstore.Store
}

func startFaultServer(t *testing.T) *faultServer {
	t.Helper()
	srv, err := embedded.Start(t.Context(), t.TempDir(), embedded.WithPort(-1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, srv.Shutdown(context.Background())) })
	ctx, cancel := context.WithTimeout(t.Context(), mendTime)
	defer cancel()
	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(mendTime))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()))
	fs := &faultServer{address: strings.TrimPrefix(srv.ClientURL(), "nats://")}
	for _, s := range []**jetstore.Store{&fs.resolver, &fs.observer} {
		*s, err = jetstore.Connect(ctx, srv.ClientURL(), jetstore.WithMemoryStorage())
		require.NoError(t, err)
		t.Cleanup(func() { shutDown(t, *s) })
	}
	return fs
}

// line is a store behind a proxy of its own.
type line struct {
	proxy *faultnet.Proxy
	store *jetstore.Store
}

func (fs *faultServer) connect(opts ...jetstore.Option) (*line, error) {
	proxy, err := faultnet.Start(fs.address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), mendTime)
	defer cancel()
	opts = append(opts, jetstore.WithMemoryStorage(), jetstore.WithKeyWindow(1024), // all keys of a round
		jetstore.WithNATS(nats.IgnoreDiscoveredServers(), nats.ReconnectWait(5*time.Millisecond), nats.ReconnectJitter(0, 0)))
	store, err := jetstore.Connect(ctx, proxy.URL(), opts...)
	if err != nil {
		proxy.Close()
		return nil, err
	}
	return &line{proxy, store}, nil
}

// close lets what is under way to the server arrive: the proxy forwards it when the
// store leaves.
func (l *line) close() error {
	err := l.store.Shutdown(context.Background())
	l.proxy.Close()
	return err
}

// outcome is how an append ended, in the end.
type outcome int

const (
	acknowledged outcome = iota
	duplicate
	conflict
	keyReused
	notSent
	unknownCommitted
	unknownDead
	outcomes
)

func (o outcome) String() string {
	return [...]string{
		"acknowledged", "duplicate", "conflict", "key reused", "not sent", "unknown, then committed", "unknown, then dead",
	}[o]
}

// noteOf returns an event that carries an id.
func noteOf(id string) enact.Event { return enact.Custom{EventType: "note", Data: enact.JSON(id)} }

func idOf(e enact.Event) string {
	var id string
	if c, ok := e.(enact.Custom); ok {
		_ = json.Unmarshal(c.Data, &id) // what is no id is one that nobody appended
	}
	return id
}

// call is one append and what became of it.
type call struct {
	execution *history
	ids       []string // of its events
	options   enact.AppendOptions
	floor     uint64 // highest sequence acknowledged before it began
	receipt   enact.Receipt
	err       error
	outcome   outcome
}

// history is an execution of a round and what its appends came to.
type history struct {
	tenant enact.TenantID
	id     enact.ExecutionID
	acked  atomic.Uint64 // highest sequence acknowledged so far

	mu    sync.Mutex
	calls []*call
}

// append appends and notes how it ended. The error is for what no append may do.
func (h *history) append(ctx context.Context, store *jetstore.Store, ids []string, opts enact.AppendOptions) (*call, error) {
	c := &call{execution: h, ids: ids, options: opts, floor: h.acked.Load()}
	b := enact.Batch{TenantID: h.tenant, ExecutionID: h.id, Options: opts}
	for _, id := range ids {
		b.Events = append(b.Events, noteOf(id))
	}
	ended := make(chan time.Time, 1)
	stop := context.AfterFunc(ctx, func() { ended <- time.Now() })
	c.receipt, c.err = store.Commit(ctx, b)
	h.mu.Lock()
	h.calls = append(h.calls, c)
	h.mu.Unlock()
	if c.err == nil {
		raise(&h.acked, c.receipt.Last)
	}
	if !stop() {
		if late := time.Since(<-ended); late > leaveTime {
			return c, fmt.Errorf("an append returned %v after the end of its context: %w", late, c.err)
		}
	}
	return c, c.classify()
}

// raise makes a at least v.
func raise(a *atomic.Uint64, v uint64) {
	for old := a.Load(); v > old && !a.CompareAndSwap(old, v); {
		old = a.Load()
	}
}

// classify tells how the append ended, before anything unknown is resolved. The error
// says that it ended as none may.
func (c *call) classify() error {
	switch _, isConflict := errors.AsType[*enact.ConflictError](c.err); {
	case c.err == nil && c.receipt.Duplicate:
		c.outcome = duplicate
	case c.err == nil:
		c.outcome = acknowledged
	case errors.Is(c.err, enact.ErrUnknownOutcome):
		c.outcome = unknownDead // until it is resolved
	case isConflict:
		c.outcome = conflict
	case errors.Is(c.err, enact.ErrKeyReused):
		c.outcome = keyReused
	case errors.Is(c.err, context.DeadlineExceeded), errors.Is(c.err, context.Canceled):
		c.outcome = notSent
	default:
		c.outcome = notSent // by the contract
		return fmt.Errorf("append of %v to %s: %w", c.ids, c.execution.id, c.err)
	}
	return nil
}

// resolve settles the append with the store if its outcome is unknown, on request
// from its JSON, as another process would.
func (c *call) resolve(store *jetstore.Store, travelled bool) error {
	unknown, ok := errors.AsType[*enact.UnknownOutcomeError](c.err)
	if !ok {
		return nil
	}
	if unknown.Events != len(c.ids) || unknown.IdempotencyKey != c.options.IdempotencyKey || !c.options.Expect.Holds(unknown.First-1) {
		return fmt.Errorf("%w says %d events from %d with key %q", unknown, unknown.Events, unknown.First, unknown.IdempotencyKey)
	}
	if travelled {
		text, err := json.Marshal(unknown)
		if err != nil {
			return err
		}
		unknown = new(enact.UnknownOutcomeError)
		if err := json.Unmarshal(text, unknown); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), mendTime)
	defer cancel()
	receipt, err := store.Resolve(ctx, unknown)
	if err == nil {
		if receipt.First != unknown.First || receipt.Last != unknown.First+uint64(len(c.ids))-1 {
			return fmt.Errorf("%w was resolved as %+v", unknown, receipt)
		}
		c.outcome, c.receipt = unknownCommitted, receipt
		return nil
	}
	proof, ok := errors.AsType[*enact.ConflictError](err)
	if !ok {
		return fmt.Errorf("%w was not resolved: %w", unknown, err)
	}
	if proof.Expected.Holds(proof.Actual) || proof.Expected.Sequence >= unknown.First {
		return fmt.Errorf("%w, of events from %d, is dead: %w", unknown, unknown.First, proof)
	}
	return nil
}

// stored reports whether the append's events are in the log, under this very append
// or an earlier one with its key.
func (c *call) stored() bool {
	return c.outcome == acknowledged || c.outcome == duplicate || c.outcome == unknownCommitted
}

// check compares the outcomes with the log: it holds exactly the events of the
// appends that were acknowledged or found committed, once each, where they were
// acknowledged. That it is gapless and its chain whole is checked by the read.
func (h *history) check(observer *jetstore.Store) error {
	ctx, cancel := context.WithTimeout(context.Background(), mendTime)
	defer cancel()
	events, err := observer.LoadEvents(ctx, h.id)
	if err != nil {
		return fmt.Errorf("execution %s: %w", h.id, err)
	}
	var have []string
	for _, e := range events {
		have = append(have, idOf(e.Event))
	}
	want := make([]string, len(have))
	var wrong []error
	for _, c := range h.calls {
		if c.stored() {
			for i, id := range c.ids {
				n := int(c.receipt.First) - 1 + i
				if n >= len(want) || want[n] != "" && want[n] != id {
					wrong = append(wrong, fmt.Errorf("%s of %v at %d, where %d events are stored", c.outcome, c.ids, n+1, len(have)))
					continue
				}
				want[n] = id
			}
		}
		if err := c.checkOptions(have); err != nil {
			wrong = append(wrong, fmt.Errorf("%s of %v with %+v: %w", c.outcome, c.ids, c.options, err))
		}
	}
	if !slices.Equal(want, have) {
		wrong = append(wrong, fmt.Errorf("execution %s:\nstored       %q\nacknowledged %q%s", h.id, have, want, h.strangers(have, want)))
	}
	return errors.Join(wrong...)
}

// strangers names the appends whose events are stored where none was acknowledged.
func (h *history) strangers(have, want []string) string {
	var text strings.Builder
	for i, id := range have {
		for _, c := range h.calls {
			if id != want[i] && slices.Contains(c.ids, id) {
				fmt.Fprintf(&text, "\n%q at %d is of an append with %+v, which was %s: %v", id, i+1, c.options, c.outcome, c.err)
			}
		}
	}
	return text.String()
}

// checkOptions holds the append's outcome against its expectation and its key.
func (c *call) checkOptions(log []string) error {
	expect := c.options.Expect
	if c.stored() && c.outcome != duplicate {
		if !expect.Holds(c.receipt.First - 1) {
			return fmt.Errorf("stored at %d", c.receipt.First)
		}
		if c.receipt.First <= c.floor {
			return fmt.Errorf("stored at %d, before %d that was acknowledged earlier", c.receipt.First, c.floor)
		}
	}
	if refused, ok := errors.AsType[*enact.ConflictError](c.err); ok {
		if refused.Expected != expect || expect.Holds(refused.Actual) || refused.Actual < c.floor || refused.Actual > uint64(len(log)) {
			return fmt.Errorf("%w, with %d acknowledged before and %d in the end", refused, c.floor, len(log))
		}
	}
	key := c.options.IdempotencyKey
	if key == "" {
		return nil
	}
	others := slices.ContainsFunc(log, func(id string) bool {
		return strings.HasPrefix(id, key+"/") && !slices.Contains(c.ids, id)
	})
	if others && c.stored() || !others && c.outcome == keyReused {
		return fmt.Errorf("the key's events are others: %v", others)
	}
	return nil
}

// checkList requires that the tenant's list holds exactly the executions with events.
func checkList(observer *jetstore.Store, tenant enact.TenantID, histories []*history) error {
	ctx, cancel := context.WithTimeout(context.Background(), mendTime)
	defer cancel()
	want := make(map[enact.ExecutionID]bool)
	for _, h := range histories {
		if slices.ContainsFunc(h.calls, (*call).stored) {
			want[h.id] = true
		}
	}
	listed, err := observer.ListExecutions(ctx, tenant, math.MaxInt, 0)
	if err != nil {
		return err
	}
	have := make(map[enact.ExecutionID]bool)
	for _, id := range listed {
		have[id] = true
	}
	if len(listed) != len(have) || !maps.Equal(want, have) {
		return fmt.Errorf("tenant %s: listed are %v, with events are %v", tenant, listed, want)
	}
	return nil
}
