//go:build faults || long

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	readExecutions = 4                    // that are there before the election, and as many that come after it
	readRepeats    = 40                   // reads of a store at a time
	rawReaders     = 8                    // of each connection
	rawPause       = 2 * time.Millisecond // between two questions of one
	rawWaiting     = 500                  // questions that wait for the old leader to go on
)

// A leader that was paused while another was elected answers, when it goes on, from what
// it had. A store that has seen more does not believe it, whether it appended that, read
// it over another node, or was told by AtLeast.
func TestReadsAfterAnElection(t *testing.T) {
	e := newElecting(t)
	// Whether the old leader answers before it finds that it is none, is up to its
	// scheduler: it does in one round of three, about.
	rounds := scaled(1, 60)
	for range rounds {
		e.round(t)
	}
	t.Logf("%d rounds: of %d raw leader gets %d were stale; of %d reads none was older than what its store had seen, %d than what another had",
		rounds, e.rawReads.Load(), e.rawStale.Load(), e.reads.Load(), e.unseen.Load())
	if rounds > 20 {
		require.NotZero(t, e.rawStale.Load(), "no stale answer was to be had: the rounds show nothing")
	}
}

// electing is a cluster with a store on each server.
type electing struct {
	servers []*natstest.Server
	stores  []*witness // by server

	reads, unseen      atomic.Int64 // by stores, and those older than what another store had seen
	rawReads, rawStale atomic.Int64
}

// witness is a store that remembers how far it has seen each execution.
type witness struct {
	*jetstore.Store
	name string
	mu   sync.Mutex
	seen map[enact.ExecutionID]uint64
}

func newWitness(s *jetstore.Store, name string) *witness {
	return &witness{Store: s, name: name, seen: make(map[enact.ExecutionID]uint64)}
}

func (w *witness) floor(id enact.ExecutionID) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[id]
}

func (w *witness) saw(id enact.ExecutionID, sequence uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[id] = max(w.seen[id], sequence)
}

func newElecting(t *testing.T) *electing {
	t.Helper()
	e := &electing{servers: natstest.StartCluster(t, 3, natstest.Options{NoSync: true, Processors: 1})}
	ensure(t, natstest.URLs(e.servers))
	for _, s := range e.servers {
		e.stores = append(e.stores, newWitness(open(t, s.URL(), jetstore.WithTimeout(patience)), "the store on "+s.Name()))
	}
	return e
}

// told is what was acknowledged of an execution before the reads began.
type told struct {
	id       enact.ExecutionID
	sequence uint64
	position uint64
}

// election is one round.
type election struct {
	*electing
	t                *testing.T
	executions       []told           // half of them are there before the election
	old, next, third *natstest.Server // the leader before, the one after, and the other
	torn             *witness         // asks the old leader and reads from others
	raw              []*rawReader
	known            chan struct{} // closed once the executions are written
}

// round pauses the leader, writes under the next one, and lets the old one go on while the
// next stands still: so the first answers are those of the old one, to everybody.
func (e *electing) round(t *testing.T) {
	t.Helper()
	all := connect(t, natstest.URLs(e.servers))
	defer all.Close()
	r := &election{electing: e, t: t, executions: make([]told, 2*readExecutions), known: make(chan struct{})}
	r.old = named(t, e.servers, awaitReplicas(t, all, jetstore.DefaultStream, (*cluster).whole).Leader)
	moveIndex(t, all, r.old)
	r.writeBefore()
	r.torn = newWitness(openTorn(t, r.old.URL(), others(e.servers, r.old)), "the store between two servers")
	defer shutDown(t, r.torn.Store)
	for _, s := range e.servers {
		for range rawReaders {
			reader := newRawReader(t, connect(t, s.URL()), r.executions, r.known)
			defer reader.nc.Close()
			r.raw = append(r.raw, reader)
		}
	}

	stop, halt := context.WithCancel(t.Context())
	defer halt()
	var wg sync.WaitGroup
	r.old.Pause()
	// A server that goes on takes up its connections in the order in which something came
	// over them, or in the reverse: some questions must come before its rivals' votes.
	for i, reader := range r.raw {
		wg.Go(func() { reader.run(stop, i%2 == 0) })
	}
	wg.Go(func() { _, _ = r.torn.Head(stop, r.executions[0].id, enact.InTenant(tenant)) })
	r.awaitElection()
	r.writeAfter()
	close(r.known)

	r.next.Pause()
	errs := make(chan error, 3*readRepeats)
	for _, w := range []*witness{r.on(r.old), r.on(r.third), r.torn} {
		for kind := range readRepeats {
			// The store on the old leader has seen nothing of this, but may be told.
			atLeast := w == r.on(r.old) && kind%2 == 0
			wg.Go(func() { errs <- e.readOn(t.Context(), stop, w, r.executions, kind, atLeast) })
		}
	}
	awaitQuestions(t, r.raw, rawWaiting)
	r.old.Resume()
	awaitAnswer(r.raw)
	r.next.Resume()
	awaitReplicas(t, all, jetstore.DefaultStream, (*cluster).whole)
	halt()
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	for _, reader := range r.raw {
		e.rawReads.Add(reader.answered.Load())
		e.rawStale.Add(reader.stale.Load())
	}
}

// on returns the store on a server.
func (e *electing) on(s *natstest.Server) *witness { return e.stores[slices.Index(e.servers, s)] }

// writeBefore begins half of the executions and lets every store see them all.
func (r *election) writeBefore() {
	r.t.Helper()
	for i := range r.executions {
		r.executions[i].id = enact.NewExecutionID()
		if i < readExecutions {
			r.append(r.t, r.stores[i%len(r.stores)], &r.executions[i])
		}
	}
	for _, w := range r.stores {
		for _, x := range r.executions {
			require.NoError(r.t, r.read(r.t.Context(), w, x, 0))
		}
	}
}

// awaitElection waits until a server other than the paused one leads.
func (r *election) awaitElection() {
	r.t.Helper()
	watch := connect(r.t, others(r.servers, r.old))
	defer watch.Close()
	c := awaitReplicas(r.t, watch, jetstore.DefaultStream, func(c *cluster) bool { return c.Leader != "" && c.Leader != r.old.Name() })
	r.next = named(r.t, r.servers, c.Leader)
	for _, s := range r.servers {
		if s != r.old && s != r.next {
			r.third = s
		}
	}
}

// writeAfter appends to all executions over the two servers that go on and lets all stores
// see it but the one on the server that is paused.
func (r *election) writeAfter() {
	r.t.Helper()
	writers := []*witness{r.on(r.next), r.on(r.third)}
	for i := range r.executions {
		r.append(r.t, writers[i%2], &r.executions[i])
	}
	for i, x := range r.executions {
		reader := writers[(i+1)%2]
		require.NoError(r.t, r.read(r.t.Context(), reader, x, 0))
		require.Equal(r.t, x.sequence, reader.floor(x.id))
		// Its questions to the leader go to the old one, but it has other ways to see. One in
		// three of these goes to the old one, too.
		var a asking
		natstest.Eventually(r.t, patience, func() bool {
			ctx, cancel := context.WithTimeout(r.t.Context(), a.next())
			defer cancel()
			head, err := r.torn.Head(ctx, x.id, enact.InTenant(tenant), enact.AllowStale())
			r.torn.saw(x.id, head.Sequence)
			return err == nil && head.Sequence == x.sequence
		}, func() string { return "the replica lags" })
	}
}

// awaitQuestions waits until the readers together have asked n times more.
func awaitQuestions(t *testing.T, raw []*rawReader, n int64) {
	t.Helper()
	asked := func() (sum int64) {
		for _, r := range raw {
			sum += r.asked.Load()
		}
		return sum
	}
	before := asked()
	natstest.Eventually(t, patience, func() bool { return asked() >= before+n }, func() string { return "the raw readers ask nothing" })
}

// awaitAnswer waits until one of the readers is answered, but not for long.
func awaitAnswer(raw []*rawReader) {
	deadline := time.NewTimer(refusalTimeout)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		for _, r := range raw {
			if r.answered.Load() > 0 {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return
		}
	}
}

// moveIndex makes another server than old lead the index stream, so that executions can be
// created without a second election.
func moveIndex(t *testing.T, nc *nats.Conn, old *natstest.Server) {
	t.Helper()
	const index = jetstore.DefaultStream + "_INDEX"
	for awaitReplicas(t, nc, index, (*cluster).whole).Leader == old.Name() {
		_, err := nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+index, nil, patience)
		require.NoError(t, err)
	}
}

// openTorn opens a store whose questions to the leader go over one server and whose bulk
// reads over another, as happens to a store that was given both.
func openTorn(t *testing.T, asks, reads string) *jetstore.Store {
	t.Helper()
	return open(t, asks, jetstore.WithNATS(func(o *nats.Options) error {
		if o.Name == "enact reads" {
			o.Servers = strings.Split(reads, ",")
		}
		return nil
	}))
}

// append adds events to an execution and notes where it ends.
func (e *electing) append(t *testing.T, w *witness, x *told) {
	t.Helper()
	receipt, err := w.Commit(t.Context(), enact.Batch{
		TenantID: tenant, ExecutionID: x.id, Events: []enact.Event{enact.ExecutionResumed{}, enact.ExecutionResumed{}},
	})
	require.NoError(t, err)
	x.sequence, x.position = receipt.Last, receipt.Position
	w.saw(x.id, receipt.Last)
}

// readOn reads the executions in turn until stop ends.
func (e *electing) readOn(ctx, stop context.Context, w *witness, executions []told, kind int, atLeast bool) error {
	for i := 0; stop.Err() == nil; i++ {
		x := executions[(i+kind)%len(executions)]
		var opts []enact.ReadOption
		if atLeast {
			opts = append(opts, enact.AtLeast(x.sequence))
		}
		if err := e.read(ctx, w, x, kind+i, opts...); err != nil {
			return err
		}
	}
	return nil
}

// read reads an execution in one of several ways and holds the answer against what the
// store has seen, or was told.
func (e *electing) read(ctx context.Context, w *witness, x told, kind int, opts ...enact.ReadOption) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	least := max(w.floor(x.id), enact.NewReadOptions(opts...).AtLeast)
	opts = append(opts, enact.InTenant(tenant))
	var got uint64
	var err error
	switch kind % 5 {
	case 0:
		var head enact.Head
		head, err = w.Head(ctx, x.id, opts...)
		got = head.Sequence
	case 1:
		var events []enact.StoredEvent
		events, err = w.LoadEvents(ctx, x.id, opts...)
		got = uint64(len(events))
	case 2:
		got, _, err = w.LatestSequence(ctx, x.id, opts...)
	case 3:
		got, err = w.CountEvents(ctx, x.id, opts...)
	case 4:
		for ev, failed := range w.Events(ctx, x.id, 0, opts...) {
			got, err = max(got, ev.Sequence), failed
		}
	}
	if err != nil {
		return fmt.Errorf("%s: read %d: %w", w.name, kind%5, err)
	}
	if got < least {
		return fmt.Errorf("%s: read %d of %s: its end is %d, %d was seen", w.name, kind%5, x.id, got, least)
	}
	e.reads.Add(1)
	if got < x.sequence {
		e.unseen.Add(1)
	}
	w.saw(x.id, got)
	return nil
}

// rawReader asks the leader for the last records of executions, as a client does that
// takes what it answers at its word.
type rawReader struct {
	nc         *nats.Conn
	executions []told
	known      <-chan struct{} // closed once the executions are written
	inbox      string
	asked      atomic.Int64
	answered   atomic.Int64
	stale      atomic.Int64
}

func newRawReader(t *testing.T, nc *nats.Conn, executions []told, known <-chan struct{}) *rawReader {
	t.Helper()
	r := &rawReader{nc: nc, executions: executions, known: known, inbox: nc.NewInbox()}
	_, err := nc.Subscribe(r.inbox+".*", r.take)
	require.NoError(t, err)
	return r
}

// run asks again and again once it is known what an answer must reach, until stop ends,
// whether it is answered or not: so that much lies before a paused server when it goes on.
// If early, it asks once before.
func (r *rawReader) run(stop context.Context, early bool) {
	if early {
		r.ask(0, "early")
	}
	select {
	case <-stop.Done():
		return
	case <-r.known:
	}
	tick := time.NewTicker(rawPause)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % len(r.executions) {
		select {
		case <-stop.Done():
			return
		case <-tick.C:
			r.ask(i, strconv.Itoa(i))
		}
	}
}

func (r *rawReader) ask(i int, reply string) {
	subjects, _ := enact.NewSubjects("")
	body, _ := json.Marshal(map[string]string{"last_by_subj": subjects.Execution(tenant, r.executions[i].id)})
	if r.nc.PublishRequest("$JS.API.STREAM.MSG.GET."+jetstore.DefaultStream, r.inbox+"."+reply, body) == nil {
		r.asked.Add(1)
	}
}

func (r *rawReader) take(m *nats.Msg) {
	var answer struct {
		Error *struct {
			Code int `json:"err_code"`
		} `json:"error"`
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
	}
	i, err := strconv.Atoi(m.Subject[len(r.inbox)+1:])
	if err != nil || json.Unmarshal(m.Data, &answer) != nil {
		return // asked early, or nobody is there
	}
	<-r.known
	r.answered.Add(1)
	const notFound = 10037
	switch {
	case answer.Error != nil && answer.Error.Code != notFound: // no leader, for now
	case answer.Message.Sequence < r.executions[i].position:
		r.stale.Add(1)
	}
}
