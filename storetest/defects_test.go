package storetest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/enactlog/enact"
)

// defect is a way to break a store that is in order.
type defect struct {
	breaks      string // group and sentence, as in "lists/executions are listed newest created first"
	seenByModel bool
	in          func(enact.EventStore) enact.EventStore
}

var defects = map[string]defect{
	"batches are appended one by one": {
		breaks: "batches/a batch with one invalid event stores nothing", seenByModel: true,
		in: func(s enact.EventStore) enact.EventStore { return oneByOne{s} },
	},
	"expectations are ignored": {
		breaks: "concurrency/of concurrent creations one succeeds", seenByModel: true,
		in: changing(func(o *enact.AppendOptions) { o.Expect = enact.Expectation{} }),
	},
	"keys are ignored": {
		breaks: "idempotency keys/a retry succeeds even though its expectation no longer holds", seenByModel: true,
		in: changing(func(o *enact.AppendOptions) { o.IdempotencyKey = "" }),
	},
	"keys are trimmed": {
		breaks: "idempotency keys/a key is any UTF-8 of up to 256 bytes and kept apart from its like",
		in:     changing(func(o *enact.AppendOptions) { o.IdempotencyKey = strings.TrimSpace(o.IdempotencyKey) }),
	},
	"values of metadata are trimmed": {
		breaks: "metadata/metadata is kept exactly, with every event of the append", seenByModel: true,
		in: changing(func(o *enact.AppendOptions) {
			for k, v := range o.Metadata {
				o.Metadata[k] = strings.TrimSpace(v)
			}
		}),
	},
	"times are cut to milliseconds": {
		breaks: "timestamps/a timestamp is kept to the nanosecond and given in UTC", seenByModel: true,
		in: changing(func(o *enact.AppendOptions) { o.Timestamp = o.Timestamp.Truncate(time.Millisecond) }),
	},
	"after includes the sequence": {
		breaks: "reads/after, Limit and Backwards choose the events", seenByModel: true,
		in: loading(func(ctx context.Context, s enact.EventStore, execution enact.ExecutionID, after uint64, opts []enact.ReadOption) ([]enact.StoredEvent, error) {
			return s.LoadEventsAfter(ctx, execution, max(after, 1)-1, opts...)
		}),
	},
	"the tenant of a read is ignored": {
		breaks: "tenants/a read in another tenant does not see the execution", seenByModel: true,
		in: loading(func(ctx context.Context, s enact.EventStore, execution enact.ExecutionID, after uint64, opts []enact.ReadOption) ([]enact.StoredEvent, error) {
			return s.LoadEventsAfter(ctx, execution, after, append(opts, func(o *enact.ReadOptions) { o.TenantID = nil })...)
		}),
	},
	"raw JSON is compacted": {
		breaks: "raw JSON/the data of a custom event is kept byte for byte",
		in: loading(func(ctx context.Context, s enact.EventStore, execution enact.ExecutionID, after uint64, opts []enact.ReadOption) ([]enact.StoredEvent, error) {
			events, err := s.LoadEventsAfter(ctx, execution, after, opts...)
			for i := range events {
				if c, ok := events[i].Event.(enact.Custom); ok {
					var b bytes.Buffer
					err = errors.Join(err, json.Compact(&b, c.Data))
					events[i].Event = enact.Custom{EventType: c.EventType, Data: b.Bytes()}
				}
			}
			return events, err
		}),
	},
	"loads share memory": {
		breaks: "immutability/changing what was loaded does not change the log",
		in:     func(s enact.EventStore) enact.EventStore { return &caching{EventStore: s} },
	},
	"the last event comes late": {
		breaks: "appends/a read sees every append acknowledged before it began", seenByModel: true,
		in: loading(func(ctx context.Context, s enact.EventStore, execution enact.ExecutionID, after uint64, opts []enact.ReadOption) ([]enact.StoredEvent, error) {
			events, err := s.LoadEventsAfter(ctx, execution, after, opts...)
			return events[:max(len(events), 1)-1], err
		}),
	},
	"dots in ids become underscores": {
		breaks: "ids/an execution may have any id, kept apart from its like",
		in:     func(s enact.EventStore) enact.EventStore { return underscores{s} },
	},
	"lists begin with the oldest": {
		breaks: "lists/executions are listed newest created first", seenByModel: true,
		in: func(s enact.EventStore) enact.EventStore { return oldestFirst{s} },
	},
	"cursors count from the newest": {
		breaks: "queries/a cursor stays in its place while executions are created",
		in:     func(s enact.EventStore) enact.EventStore { return countingCursors{s, s.(enact.Querier)} },
	},
	"pages are shown before filters": {
		breaks: "queries/filters choose from the list", seenByModel: true,
		in: describing(func(ctx context.Context, s enact.Querier, q enact.Query) ([]enact.ExecutionInfo, string, error) {
			return s.Executions(ctx, enact.Query{Tenant: q.Tenant, Limit: q.Limit, Cursor: q.Cursor})
		}),
	},
	"the last event decides the status": {
		breaks: "queries/the status is the one that package replay finds", seenByModel: true,
		in: describing(func(ctx context.Context, s enact.Querier, q enact.Query) ([]enact.ExecutionInfo, string, error) {
			page, next, err := s.Executions(ctx, q)
			for i := range page {
				if page[i].LastEvent == enact.TypeCustom || page[i].LastEvent == enact.TypeStepStarted {
					page[i].Status = enact.StatusRunning
				}
			}
			return page, next, err
		}),
	},
	"errors are yielded twice": {
		breaks: "iteration/an error is yielded once, last, beside a zero event",
		in:     func(s enact.EventStore) enact.EventStore { return twice{s} },
	},
	"a closed store is healthy": {
		breaks: "lifecycle/after Shutdown every call is ErrClosed",
		in:     func(s enact.EventStore) enact.EventStore { return healthy{s} },
	},
}

// oneByOne stores the events of a batch by appends of their own.
type oneByOne struct{ enact.EventStore }

func (s oneByOne) AppendBatch(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, events []enact.Event, opts ...enact.AppendOption) (uint64, error) {
	if len(events) == 0 {
		return 0, enact.ErrEmptyBatch
	}
	var first uint64
	for i, e := range events {
		seq, err := s.Append(ctx, execution, tenant, e, opts...)
		if err != nil {
			return 0, err
		}
		if i == 0 {
			first = seq
		}
	}
	return first, nil
}

// changed changes the options of every append.
type changed struct {
	enact.EventStore
	change enact.AppendOption
}

func changing(change enact.AppendOption) func(enact.EventStore) enact.EventStore {
	return func(s enact.EventStore) enact.EventStore { return changed{s, change} }
}

func (s changed) Append(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, e enact.Event, opts ...enact.AppendOption) (uint64, error) {
	return s.EventStore.Append(ctx, execution, tenant, e, append(opts, s.change)...)
}

func (s changed) AppendBatch(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, events []enact.Event, opts ...enact.AppendOption) (uint64, error) {
	return s.EventStore.AppendBatch(ctx, execution, tenant, events, append(opts, s.change)...)
}

// loaded loads events by a function of its own.
type loaded struct {
	enact.EventStore
	load loader
}

type loader func(ctx context.Context, s enact.EventStore, execution enact.ExecutionID, after uint64, opts []enact.ReadOption) ([]enact.StoredEvent, error)

func loading(load loader) func(enact.EventStore) enact.EventStore {
	return func(s enact.EventStore) enact.EventStore { return loaded{s, load} }
}

func (s loaded) LoadEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return s.load(ctx, s.EventStore, execution, 0, opts)
}

func (s loaded) LoadEventsAfter(ctx context.Context, execution enact.ExecutionID, after uint64, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	return s.load(ctx, s.EventStore, execution, after, opts)
}

// caching hands out the same slice for as long as the history does not grow.
type caching struct {
	enact.EventStore
	cache sync.Map // of []enact.StoredEvent by enact.ExecutionID
}

func (s *caching) LoadEvents(ctx context.Context, execution enact.ExecutionID, opts ...enact.ReadOption) ([]enact.StoredEvent, error) {
	events, err := s.EventStore.LoadEvents(ctx, execution, opts...)
	if known, ok := s.cache.Load(execution); ok && err == nil && len(opts) == 0 && len(known.([]enact.StoredEvent)) == len(events) {
		return known.([]enact.StoredEvent), nil
	}
	s.cache.Store(execution, events)
	return events, err
}

// underscores encodes execution ids badly.
type underscores struct{ enact.EventStore }

func (s underscores) Append(ctx context.Context, execution enact.ExecutionID, tenant enact.TenantID, e enact.Event, opts ...enact.AppendOption) (uint64, error) {
	plain := enact.ExecutionID(strings.ReplaceAll(string(execution), ".", "_"))
	return s.EventStore.Append(ctx, plain, tenant, e, opts...)
}

// oldestFirst lists in the wrong direction.
type oldestFirst struct{ enact.EventStore }

func (s oldestFirst) ListExecutions(ctx context.Context, tenant enact.TenantID, limit, offset int) ([]enact.ExecutionID, error) {
	list, err := s.EventStore.ListExecutions(ctx, tenant, limit, offset)
	slices.Reverse(list)
	return list, err
}

// countingCursors has cursors that say how many executions are before the next page.
type countingCursors struct {
	enact.EventStore
	enact.Querier
}

func (s countingCursors) Executions(ctx context.Context, q enact.Query) ([]enact.ExecutionInfo, string, error) {
	const mark = "skip "
	if err := q.Validate(); err != nil {
		return nil, "", err
	}
	skip := 0
	if n, ok := strings.CutPrefix(q.Cursor, mark); ok {
		var err error
		if skip, err = strconv.Atoi(n); err != nil {
			return nil, "", &enact.CursorError{Reason: err.Error()}
		}
		q.Cursor = ""
	}
	size := q.PageSize()
	q.Limit = enact.MaxQueryLimit
	page, _, err := s.Querier.Executions(ctx, q)
	if err != nil {
		return nil, "", err
	}
	page = page[min(skip, len(page)):]
	if len(page) <= size {
		return page, "", nil
	}
	return page[:size], mark + strconv.Itoa(skip+size), nil
}

// described answers queries by a function of its own.
type described struct {
	enact.EventStore
	enact.Querier
	answer describer
}

type describer func(context.Context, enact.Querier, enact.Query) ([]enact.ExecutionInfo, string, error)

func describing(answer describer) func(enact.EventStore) enact.EventStore {
	return func(s enact.EventStore) enact.EventStore { return described{s, s.(enact.Querier), answer} }
}

func (s described) Executions(ctx context.Context, q enact.Query) ([]enact.ExecutionInfo, string, error) {
	return s.answer(ctx, s.Querier, q)
}

// twice goes on after an error.
type twice struct{ enact.EventStore }

func (s twice) Events(ctx context.Context, execution enact.ExecutionID, after uint64, opts ...enact.ReadOption) iter.Seq2[enact.StoredEvent, error] {
	return func(yield func(enact.StoredEvent, error) bool) {
		for e, err := range s.EventStore.Events(ctx, execution, after, opts...) {
			if !yield(e, err) || err != nil && !yield(e, err) {
				return
			}
		}
	}
}

// healthy is so whatever happens.
type healthy struct{ enact.EventStore }

func (healthy) HealthCheck(context.Context) error { return nil }
