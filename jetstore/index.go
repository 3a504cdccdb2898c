package jetstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

// The index stream is dense: it holds one small message for each creation and nothing
// else, all tenants' in the order in which they were stored. Only the newest page of it
// is wanted most of the time, and the server reads forwards only. So a read begins
// where the tenant's entries per position so far let the page begin, and begins again
// where they were fewer; what was read of the tenant's newest entries is kept, and the
// next listing reads only what came since.

const (
	// indexBatch is how many index entries one direct-get batch takes.
	indexBatch = 1000

	// nearEnd is how many positions a batch may pass over behind the entries that it is
	// for. The server looks at about 50 a microsecond when its blocks are in memory.
	nearEnd = 16 << 10

	// maxStep bounds the positions by which a search goes back in one request, and so the
	// blocks that the server may have to load for it while it holds up creations: an
	// entry takes about 250 bytes and a block has 8 MB.
	maxStep = 64 << 10
)

// creation is an entry of the index.
type creation struct {
	key      execution
	commit   uuid.UUID
	position uint64    // in the index stream
	created  time.Time // of the execution's first event
	stored   time.Time // by the server's clock
	rebuilt  bool
}

func byPosition(e creation, position uint64) int { return cmp.Compare(e.position, position) }

func parseEntry(subjects enact.Subjects, m *message) (creation, error) {
	e, err := record.ParseEntry(subjects, m.subject, m.position, m.header, m.data)
	if err != nil {
		return creation{}, err
	}
	stored, err := time.Parse(time.RFC3339Nano, added(m.header, "Nats-Time-Stamp"))
	if err != nil {
		return creation{}, fmt.Errorf("enact: direct get answered without a time: %w", err)
	}
	return creation{
		key: execution{e.TenantID, e.ExecutionID}, commit: e.Commit, position: e.Position, created: e.Created, stored: stored, rebuilt: e.Rebuilt,
	}, nil
}

// indexState is what the leader says of a tenant's entries.
type indexState struct {
	incarnation string
	first, last uint64 // positions of the stream
	total       uint64 // entries of the tenant
}

// gap returns how many positions there are for each entry of the tenant.
func (st *indexState) gap() float64 {
	return max(1, float64(st.last-min(st.first, st.last)+1)/float64(max(1, st.total)))
}

// indexState asks the index stream's leader. An answer that has not reached what this
// store has met of the tenant is asked for again.
func (s *Store) indexState(ctx context.Context, tenant enact.TenantID) (indexState, error) {
	subject := s.cfg.subjects.Index(tenant)
	return retry(ctx, func() (indexState, error) {
		met := s.tails.highest(tenant) // before the question
		info, err := s.asks.info(ctx, s.cfg.index(), subject)
		if err != nil {
			return indexState{}, err
		}
		return indexState{
			incarnation: incarnationOf(info.Config.Metadata, info.Created),
			first:       info.State.First, last: info.State.Last, total: info.State.Subjects[subject],
		}, s.indexReached(info, met)
	})
}

// indexReached returns an error to ask again after if the leader's answer has not reached
// a position that was met, in this incarnation of the index, before the question.
func (s *Store) indexReached(info *streamInfo, met uint64) error {
	if s.tails.sawIncarnation(incarnationOf(info.Config.Metadata, info.Created)) {
		// The log may be another one, too, where the same ids have other origins.
		s.index.reset()
		return nil
	}
	if info.State.Last >= met {
		return nil
	}
	return fmt.Errorf("%w: the leader's index ends at %d, %d was seen", enact.ErrStale, info.State.Last, met)
}

// lastEntry returns the position of the tenant's last entry as the leader has it, 0 if
// it is proven to have none: a message get reports read errors as "not found".
func (s *Store) lastEntry(ctx context.Context, tenant enact.TenantID) (position uint64, err error) {
	subject := s.cfg.subjects.Index(tenant)
	return retry(ctx, func() (uint64, error) {
		met := s.tails.highest(tenant) // before the question
		m, err := s.asks.leaderGet(ctx, s.cfg.index(), getRequest{LastFor: subject})
		if errors.Is(err, errNotFound) {
			st, err := s.indexState(ctx, tenant)
			if err == nil && st.total > 0 {
				err = fmt.Errorf("enact: the leader cannot read the last index entry of subject %q", subject)
			}
			return 0, err
		}
		if err != nil {
			return 0, err
		}
		if m.position < met {
			_, err := s.indexState(ctx, tenant) // the index may be another one
			return 0, cmp.Or(err, fmt.Errorf("%w: the leader's last index entry is at position %d, %d was seen", enact.ErrStale, m.position, met))
		}
		s.tails.meet(tenant, m.position)
		return m.position, nil
	})
}

// indexFence is where a tenant's list ends: a listing shows what is up to there.
type indexFence struct {
	indexState
	lastEntry uint64 // position; 0: the tenant has none
}

// indexFence asks the leader for both at once.
func (s *Store) indexFence(ctx context.Context, tenant enact.TenantID) (at indexFence, err error) {
	var lastErr error
	var both sync.WaitGroup
	both.Go(func() { at.lastEntry, lastErr = s.lastEntry(ctx, tenant) })
	both.Go(func() { at.indexState, err = s.indexState(ctx, tenant) })
	both.Wait()
	return at, cmp.Or(err, lastErr)
}

// entries reads up to n of the tenant's entries from a position on, from one replica.
// pending is how many the replica has from there on.
func (s *Store) entries(ctx context.Context, tenant enact.TenantID, from getRequest, n int) (entries []creation, pending int, err error) {
	from.NextFor, from.Batch, from.MaxBytes = s.cfg.subjects.Index(tenant), min(n, indexBatch), denseBytes
	err = s.reads.directBatch(ctx, s.cfg.index(), from, func(m *message) error {
		e, err := parseEntry(s.cfg.subjects, m)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			more, err := strconv.Atoi(added(m.header, "Nats-Num-Pending"))
			if err != nil {
				return fmt.Errorf("enact: direct get answered without a count: %w", err)
			}
			pending = more + 1
		}
		entries = append(entries, e)
		return nil
	})
	return entries, pending, err
}

// entriesTo reads the tenant's entries from position from to last, in order; an entry is
// known to stand there or behind. about is how many they may be.
func (s *Store) entriesTo(ctx context.Context, tenant enact.TenantID, from, last uint64, about int) ([]creation, error) {
	var all []creation
	for try := 0; ; try++ {
		page, _, err := s.entries(ctx, tenant, getRequest{Seq: from}, max(1, about))
		if err != nil && !transient(err) {
			return nil, err
		}
		for _, e := range page {
			if e.position <= last {
				all = append(all, e)
			}
		}
		if len(page) > 0 {
			if page[len(page)-1].position >= last {
				return all, nil
			}
			from, about, try = page[len(page)-1].position+1, max(1, about-len(page)), 0
			continue
		}
		// The replica lags: another may not.
		if waitErr := backoff(ctx, try); waitErr != nil {
			return nil, ended(waitErr, err)
		}
	}
}

// older goes through a tenant's entries from newer to older ones.
type older struct {
	s      *Store
	tenant enact.TenantID
	first  uint64  // position where the stream begins
	last   uint64  // position where the stream ended not long ago
	end    uint64  // what is left lies before this position
	stop   uint64  // an entry stands here or behind; at most end
	empty  uint64  // from here to end there is none; at most end
	behind int     // entries from end on, not exactly; below 0: not known
	gap    float64 // positions for each entry, hereabouts
}

// olderThan returns the way back from a position, at which or behind which an entry
// stands. behind is how many there are from there on, below 0 if that is not known.
func (s *Store) olderThan(tenant enact.TenantID, at indexFence, position uint64, behind int) *older {
	return &older{
		s: s, tenant: tenant, first: at.first, last: at.last,
		end: position, stop: position, empty: position, behind: behind, gap: at.gap(),
	}
}

// fromLast returns the way back from the tenant's last entry at the fence, with it.
func (s *Store) fromLast(tenant enact.TenantID, at indexFence) *older {
	o := s.olderThan(tenant, at, at.lastEntry+1, 0)
	o.stop = at.lastEntry
	return o
}

// done reports whether nothing is left.
func (o *older) done() bool { return o.empty <= o.first }

// next returns the entries before those it has returned, in order: want of them or
// more; fewer only at the beginning of the list.
func (o *older) next(ctx context.Context, want int) ([]creation, error) {
	var found []creation
	step, passed := o.step(want), false
	for len(found) < want && !o.done() {
		from := max(o.first, o.empty-min(o.empty, step))
		// A step that cannot hold so many is not made smaller, and one behind an empty
		// stretch is not made smaller again.
		most := 4 * want
		if passed || step <= uint64(most) {
			most = math.MaxInt
		}
		entries, n, err := o.window(ctx, from, want-len(found), most)
		switch {
		case err != nil:
			return nil, err
		case n > most:
			step = max(1, min(step-1, step*uint64(2*want)/uint64(n)))
		case n == 0:
			o.empty, step, passed = from, min(4*step, maxStep), true
		default:
			o.gap = max(1, float64(o.end-entries[0].position)/float64(len(entries)))
			o.end, o.stop, o.empty = entries[0].position, entries[0].position, from
			if o.behind >= 0 {
				o.behind += len(entries)
			}
			found = append(entries, found...)
			step, passed = o.step(want-len(found)), false
		}
	}
	return found, nil
}

// step returns a step back that should pass over so many entries: rather too many,
// since another request costs more than some entries more.
func (o *older) step(entries int) uint64 {
	return uint64(min(maxStep, 8+1.25*o.gap*float64(max(0, entries))))
}

// window returns the entries from a position to the end, in order, and their number. If
// they seem to be more than most, which is more than one, it returns their number alone.
func (o *older) window(ctx context.Context, from uint64, want, most int) (entries []creation, number int, err error) {
	ask := o.guess(from, want)
	for try := 0; ; try++ {
		page, pending, err := o.s.entries(ctx, o.tenant, getRequest{Seq: from}, ask)
		if err != nil && !transient(err) {
			return nil, 0, err
		}
		if len(page) == 0 {
			// There is one at least, at stop or behind: the replica lags.
			if waitErr := backoff(ctx, try); waitErr != nil {
				return nil, 0, ended(waitErr, err)
			}
			continue
		}
		if page[len(page)-1].position < o.stop {
			if err := o.count(ctx); err != nil {
				return nil, 0, err
			}
			number = pending - o.behind
			if number > most {
				return nil, number, nil
			}
			rest, err := o.s.entriesTo(ctx, o.tenant, page[len(page)-1].position+1, o.stop, number-len(page)+1)
			if err != nil {
				return nil, 0, err
			}
			page = append(page, rest...)
		}
		// Up to the end, and not with it.
		i, _ := slices.BinarySearchFunc(page, o.end, byPosition)
		return page[:i], i, nil
	}
}

// guess returns how many entries to ask for from a position on. The first one's answer
// tells how many there are; more are asked for at once where the server would not pass
// over much behind the end, should they be fewer than thought.
func (o *older) guess(from uint64, want int) int {
	n := 2*want + 2
	near := o.last < from+nearEnd
	dense := (o.behind < 0 || o.behind > n) && float64(n)*o.gap < nearEnd
	if near || dense {
		return n
	}
	return 1
}

// count learns how many entries there are from end on.
func (o *older) count(ctx context.Context) error {
	for try := 0; o.behind < 0; try++ {
		page, pending, err := o.s.entries(ctx, o.tenant, getRequest{Seq: o.end}, 1)
		if err != nil && !transient(err) {
			return err
		}
		if len(page) > 0 {
			o.behind = pending
			break
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return ended(waitErr, err)
		}
	}
	return nil
}
