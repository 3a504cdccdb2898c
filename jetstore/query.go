package jetstore

import (
	"context"
	"errors"
	"sync"

	"github.com/enactlog/enact"
)

const (
	// looksPerPage bounds the index entries that one page goes through.
	looksPerPage = 4 * indexBatch

	// statusReaders is how many histories are looked back through at a time.
	statusReaders = 4
)

// Executions implements enact.Querier.
//
// Beside the index, which has the creation, the last record of each execution is read,
// all of a page in one request. Where that does not tell the status, the events before it
// are looked at, and what they told is remembered. A page goes through 4000 index entries
// at most, and then ends with a cursor.
func (s *Store) Executions(ctx context.Context, q enact.Query) (page []enact.ExecutionInfo, next string, err error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, "", err
	}
	defer end()
	if err := q.Validate(); err != nil {
		return nil, "", err
	}
	if s, err = s.of(ctx, q.Tenant); err != nil {
		return nil, "", err
	}
	ctx, seen := s.Observe(ctx, Operation{Kind: Listing, Stream: s.cfg.index(), Tenant: q.Tenant})
	if seen.Watched() {
		defer func() { seen.End(Outcome{Err: err, Events: len(page)}) }()
	}
	var l *listing
	var reach uint64
	var reachErr error
	var both sync.WaitGroup
	both.Go(func() { reach, reachErr = s.logEnd(ctx) })
	both.Go(func() { l, err = s.openListing(ctx, q.Tenant, q.Cursor, min(q.PageSize(), tailEntries)) })
	both.Wait()
	if err := errors.Join(err, reachErr); err != nil {
		return nil, "", err
	}
	p := &queryPage{s: s, q: q, reach: reach, found: []enact.ExecutionInfo{}}
	for n, looked := q.PageSize(), 0; looked < looksPerPage; n = min(2*n, indexBatch) {
		entries, err := l.next(ctx, n)
		if err != nil {
			return nil, "", err
		}
		if len(entries) == 0 {
			return p.found, "", nil
		}
		looked += len(entries)
		if err := p.add(ctx, entries); err != nil {
			return nil, "", err
		}
		next = l.list.Encode(p.place)
		if len(p.found) == q.PageSize() {
			if p.place == entries[len(entries)-1].position && !l.more() {
				next = ""
			}
			break
		}
	}
	return p.found, next, nil
}

// queryPage is a page on its way.
type queryPage struct {
	s     *Store
	q     enact.Query
	reach uint64 // position of the log up to which the page sees
	found []enact.ExecutionInfo
	place uint64 // position of the last entry gone through
}

// row is an execution that may be on the page.
type row struct {
	position uint64
	info     enact.ExecutionInfo
	end      standing
	events   []enact.StoredEvent // of the last record
}

// add goes through entries, newest first, until the page is full.
func (p *queryPage) add(ctx context.Context, entries []creation) error {
	rows, err := p.rows(ctx, entries)
	if err != nil {
		return err
	}
	anyStatus := len(p.q.Status) == 0
	for len(rows) > 0 && len(p.found) < p.q.PageSize() {
		// With a status asked for nobody knows how many are needed.
		part := rows
		if need := p.q.PageSize() - len(p.found); anyStatus && len(part) > need {
			part = rows[:need]
		}
		rows = rows[len(part):]
		if err := p.addStatuses(ctx, part); err != nil {
			return err
		}
		for _, r := range part {
			p.place = r.position
			if p.q.Matches(r.info) {
				if p.found = append(p.found, r.info); len(p.found) == p.q.PageSize() {
					return nil
				}
			}
		}
	}
	p.place = entries[len(entries)-1].position
	return nil
}

// rows returns the executions of the entries that match the query in everything but
// their status, in order.
func (p *queryPage) rows(ctx context.Context, entries []creation) ([]*row, error) {
	var keys []execution
	for _, e := range entries {
		if p.q.MatchesCreated(e.created) {
			keys = append(keys, e.key)
		}
	}
	ends, err := p.s.standings(ctx, keys, p.reach)
	if err != nil {
		return nil, err
	}
	q := p.q
	q.Status = nil
	var rows []*row
	for _, e := range entries {
		end, ok := ends[e.key]
		if !ok {
			continue
		}
		o, err := p.s.originOf(ctx, e.key, end)
		if err != nil {
			return nil, err
		}
		if !o.is(e.commit) {
			continue
		}
		if r := p.s.describe(ctx, e, end); q.Matches(r.info) {
			rows = append(rows, r)
		}
	}
	return rows, nil
}

// describe says what the entry and the last record tell of an execution.
func (s *Store) describe(ctx context.Context, e creation, end standing) *row {
	r := &row{position: e.position, end: end, info: enact.ExecutionInfo{
		TenantID: e.key.tenant, ExecutionID: e.key.id, Created: e.created, Status: enact.StatusUnknown, Err: end.fault,
	}}
	last := end.last
	switch {
	case last == nil:
	case inBatch(last):
		r.info.Err = torn(last)
	default:
		r.info.Events, r.info.Updated = last.Last(), last.Times[len(last.Times)-1]
		if r.events, r.info.Err = last.Events(ctx, s.cfg.codecs); r.info.Err == nil {
			r.info.LastEvent = r.events[len(r.events)-1].Event.Type()
		}
	}
	return r
}

// addStatuses finds the status of each row, some at a time.
func (p *queryPage) addStatuses(ctx context.Context, rows []*row) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan *row)
	var readers sync.WaitGroup
	for range statusReaders {
		readers.Go(func() {
			for r := range next {
				if err := p.addStatus(ctx, r); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, r := range rows {
		if r.info.Err == nil {
			next <- r
		}
	}
	close(next)
	readers.Wait()
	return context.Cause(ctx)
}

// addStatus finds the row's status. That the history cannot be read is the row's own
// matter.
func (p *queryPage) addStatus(ctx context.Context, r *row) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	status, err := p.s.status(ctx, execution{r.info.TenantID, r.info.ExecutionID}, r.end.last, r.events)
	if err != nil {
		if ctx.Err() != nil || transient(err) || lasting(err) {
			return err
		}
		r.info.Err = err
		return nil
	}
	r.info.Status = status
	return nil
}
