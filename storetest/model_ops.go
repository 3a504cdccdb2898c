package storetest

import (
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/enactlog/enact"
)

// operation is one step of the model test. Its fields are small numbers, so that
// a failure shrinks to a short list that can be read.
type operation interface{ run(m *machine) }

func operations() *rapid.Generator[operation] {
	return rapid.OneOf(
		asOperation(listings), // first: what a failure shrinks to
		asOperation(selections),
		asOperation(questions),
		asOperation(writes), asOperation(writes), // histories must grow to be worth reading
	)
}

func asOperation[O operation](draw func(t *rapid.T) O) *rapid.Generator[operation] {
	return rapid.Custom(func(t *rapid.T) operation { return draw(t) })
}

// write appends a batch.
type write struct {
	execution, tenant int
	events            []int  // of the events of eventPool
	expect            string // relative to the latest sequence, see expectation
	key               string
	metadata          int    // number of pairs
	seconds           int64  // timestamp, of the Unix epoch; 0: none
	ownTimes          bool   // each event its own time, where the store can
	method            string // "Append", "AppendBatch" or "Commit"
	onePerRecord      bool
}

// eventPool is small, so that keys are used again with the same events.
var eventPool = []enact.Event{
	note(0),
	enact.StepCompleted{StepID: "s", Output: new(awkward)},
	enact.ToolCallStarted{Input: enact.JSON(strings.Repeat("x", 1000))},
	enact.ExecutionFailed{Error: fullError()},
	enact.Custom{EventType: "invalid: it has no data"},
}

func writes(t *rapid.T) write {
	return write{
		execution:    rapid.IntRange(0, 2).Draw(t, "execution"),
		tenant:       rapid.IntRange(0, 4).Draw(t, "tenant") / 4, // mostly the first, or nothing would be stored twice
		events:       rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 3), rapid.IntRange(0, 4)), 0, 5).Draw(t, "events"),
		expect:       rapid.SampledFrom([]string{"", "", "", "none", "latest", "exists", "before", "beyond"}).Draw(t, "expect"),
		key:          rapid.SampledFrom([]string{"", "k", "K "}).Draw(t, "key"),
		metadata:     rapid.IntRange(0, 2).Draw(t, "metadata"),
		seconds:      rapid.SampledFrom([]int64{0, 0, 1, -8_000_000_000}).Draw(t, "seconds"),
		ownTimes:     rapid.Bool().Draw(t, "own times"),
		method:       rapid.SampledFrom([]string{"Append", "AppendBatch", "Commit"}).Draw(t, "method"),
		onePerRecord: rapid.Bool().Draw(t, "one per record"),
	}
}

func (w write) run(m *machine) {
	batch := enact.Batch{TenantID: m.tenants[w.tenant], ExecutionID: m.executions[w.execution]}
	for _, e := range w.events {
		batch.Events = append(batch.Events, eventPool[e])
	}
	batch.Options = enact.AppendOptions{
		Expect:            m.expectation(batch, w.expect),
		IdempotencyKey:    w.key,
		OneEventPerRecord: w.onePerRecord,
	}
	for n := range w.metadata {
		enact.WithMetadata(map[string]string{strings.Repeat("k:", n+1): awkward})(&batch.Options)
	}
	if w.seconds != 0 {
		batch.Options.Timestamp = time.Unix(w.seconds, 1)
	}
	committer, commits := m.store.(enact.Committer)
	switch {
	case w.method == "Commit" && commits:
		if w.ownTimes {
			for n := range batch.Events {
				batch.Timestamps = append(batch.Timestamps, time.Unix(w.seconds, int64(-n)))
			}
		}
		want, wantErr := m.model.Commit(m.ctx, batch)
		got, err := committer.Commit(m.ctx, batch)
		m.sameError(wantErr, err)
		want.Position, want.Chain = got.Position, got.Chain // each store's own
		m.equal(want, got, "receipt")
	case w.method == "Append" && len(batch.Events) > 0:
		want, wantErr := m.model.Append(m.ctx, batch.ExecutionID, batch.TenantID, batch.Events[0], given(batch.Options))
		got, err := m.store.Append(m.ctx, batch.ExecutionID, batch.TenantID, batch.Events[0], given(batch.Options))
		m.sameError(wantErr, err)
		m.equal(want, got, "sequence")
	default:
		want, wantErr := m.model.AppendBatch(m.ctx, batch.ExecutionID, batch.TenantID, batch.Events, given(batch.Options))
		got, err := m.store.AppendBatch(m.ctx, batch.ExecutionID, batch.TenantID, batch.Events, given(batch.Options))
		m.sameError(wantErr, err)
		m.equal(want, got, "first sequence")
	}
}

func given(options enact.AppendOptions) enact.AppendOption {
	return func(o *enact.AppendOptions) { *o = options }
}

// expectation turns a word into an expectation for the execution's state.
func (m *machine) expectation(b enact.Batch, word string) enact.Expectation {
	head := m.head(b.ExecutionID)
	exactly := func(n uint64) enact.Expectation {
		return enact.Expectation{Kind: enact.ExactSequence, Sequence: n}
	}
	switch {
	case word == "":
		return enact.Expectation{}
	case word == "none", head.Sequence > 0 && head.TenantID != b.TenantID:
		// The contract does not say whether an expectation that fails in one
		// tenant or the execution's life in another is found first.
		return exactly(0)
	case word == "latest":
		return exactly(head.Sequence)
	case word == "before" && head.Sequence > 0:
		return exactly(head.Sequence - 1)
	case word == "exists":
		return enact.Expectation{Kind: enact.MustExist}
	}
	return exactly(head.Sequence + 1)
}

// head returns the end of an execution's history in the model.
func (m *machine) head(execution enact.ExecutionID) enact.Head {
	head, err := m.model.Head(m.ctx, execution)
	m.sameError(nil, err)
	return head
}

// read reads an execution in every way.
type read struct {
	execution int
	tenant    int // -1: none named
	after     uint64
	limit     int
	backwards bool
	atLeast   bool // the latest sequence
}

func selections(t *rapid.T) read {
	return read{
		execution: rapid.IntRange(0, 2).Draw(t, "execution"),
		tenant:    rapid.IntRange(-1, 1).Draw(t, "tenant"),
		after:     rapid.Uint64Range(0, 12).Draw(t, "after"),
		limit:     rapid.IntRange(-1, 12).Draw(t, "limit"),
		backwards: rapid.Bool().Draw(t, "backwards"),
		atLeast:   rapid.Bool().Draw(t, "at least"),
	}
}

func (r read) run(m *machine) {
	execution := m.executions[r.execution]
	head := m.head(execution)
	opts := []enact.ReadOption{enact.Limit(r.limit)}
	if r.backwards {
		opts = append(opts, enact.Backwards())
	}
	sees := true
	if r.tenant >= 0 {
		opts = append(opts, enact.InTenant(m.tenants[r.tenant]))
		sees = m.tenants[r.tenant] == head.TenantID
	}
	// A sequence that is out of sight would be waited for by stores that wait.
	if r.atLeast && sees {
		opts = append(opts, enact.AtLeast(head.Sequence))
	}
	m.compareReads(execution, r.after, opts...)
}

// listing lists a tenant.
type listing struct{ tenant, limit, offset int }

func listings(t *rapid.T) listing {
	return listing{
		tenant: rapid.IntRange(0, 1).Draw(t, "tenant"),
		limit:  rapid.IntRange(-1, 5).Draw(t, "limit"),
		offset: rapid.IntRange(-1, 5).Draw(t, "offset"),
	}
}

func (l listing) run(m *machine) { m.compareLists(m.tenants[l.tenant], l.limit, l.offset) }

// question lists what of a tenant matches. Times are not asked for: the model's clock has
// its own.
type question struct {
	tenant, limit int
	status        []enact.Status
	last          []string
}

func questions(t *rapid.T) question {
	return question{
		tenant: rapid.IntRange(0, 1).Draw(t, "tenant"),
		limit:  rapid.IntRange(-1, 3).Draw(t, "limit"),
		status: rapid.SampledFrom([][]enact.Status{nil, nil, {enact.StatusUnknown}, {enact.StatusFailed}, {"", enact.StatusFailed}}).Draw(t, "status"),
		last:   rapid.SampledFrom([][]string{nil, nil, {enact.TypeCustom}, {enact.TypeExecutionFailed, enact.TypeCustom}}).Draw(t, "last event"),
	}
}

func (o question) run(m *machine) {
	m.compareQueries(enact.Query{Tenant: m.tenants[o.tenant], Limit: o.limit, Status: o.status, LastEvent: o.last})
}
