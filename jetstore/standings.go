package jetstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
)

const (
	// standingsBatch is how many executions' last records are asked for at once; the
	// server takes 1024 subjects (server/stream.go, getDirectMulti).
	standingsBatch = 1000
	standingsBytes = 8 << 20
)

// standing is the end of an execution that has records.
type standing struct {
	last  *record.Record
	fault error // why last is nil: what stands there is no record that can be read
}

// logState asks the log stream's leader for its state. An answer that has not reached
// what this store has met is asked for again.
func (s *Store) logState(ctx context.Context) (*streamInfo, error) {
	return retry(ctx, func() (*streamInfo, error) {
		seen := s.seen.Load() // before the question
		info, err := s.asks.info(ctx, s.cfg.stream, "")
		if err != nil {
			return nil, err
		}
		if info.State.Last < seen {
			return nil, fmt.Errorf("%w: the leader's stream ends at %d, %d was seen", enact.ErrStale, info.State.Last, seen)
		}
		s.sawIncarnation(incarnationOf(info.Config.Metadata, info.Created))
		return info, nil
	})
}

// logEnd returns the position of the log's last message as the leader has it, at least 1.
func (s *Store) logEnd(ctx context.Context) (uint64, error) {
	info, err := s.logState(ctx)
	if err != nil {
		return 0, err
	}
	return max(1, info.State.Last), nil
}

// standings returns the ends of those of the executions that have records.
//
// They come from a replica in one answer, which ends by saying up to which position the
// replica had everything. Only where that is reach or more, what the answer lacks is not
// there, and what it has is the last: a replica that has all that its leader had when it
// was asked may speak for it, unless it shows a part of a staged batch: see inBatch. With
// reach 0, any replica's answer will do: what it lacks may be there all the same.
func (s *Store) standings(ctx context.Context, keys []execution, reach uint64) (map[execution]standing, error) {
	found := make(map[execution]standing, len(keys))
	for part := range slices.Chunk(keys, standingsBatch) {
		if err := s.standingsOf(ctx, part, reach, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (s *Store) standingsOf(ctx context.Context, keys []execution, reach uint64, found map[execution]standing) error {
	for try := range 2 * staleTries {
		upTo, err := s.askReplica(ctx, keys, reach > 0, found)
		if err == nil && upTo >= reach {
			if reach == 0 {
				return nil
			}
			return s.askLeader(ctx, keys, found, func(key execution) bool { return inBatch(found[key].last) })
		}
		if err != nil && !transient(err) {
			return err
		}
		if err == nil && upTo == 0 {
			break // the answer names no position: it had nothing at all
		}
		if waitErr := backoff(ctx, try); waitErr != nil {
			return ended(waitErr, err)
		}
	}
	if reach == 0 {
		return nil
	}
	return s.askLeader(ctx, keys, found, func(execution) bool { return true })
}

// askLeader asks the leader, one by one, for the last records of those of the executions
// that want it, and adds them to found.
func (s *Store) askLeader(ctx context.Context, keys []execution, found map[execution]standing, want func(execution) bool) error {
	for _, key := range keys {
		if !want(key) {
			continue
		}
		last, err := s.lastRecord(ctx, key)
		switch {
		case err != nil && (transient(err) || lasting(err) || ctx.Err() != nil):
			return err
		case err != nil:
			found[key] = standing{fault: err}
		case last != nil:
			found[key] = standing{last: last}
		}
	}
	return nil
}

// askReplica asks one replica for the last records of executions, and adds what it has
// to found. It returns the position up to which the replica had everything, 0 if it had
// none of the executions: then the server does not say. With a witness, one that has
// records, if any is known, is asked for as well.
func (s *Store) askReplica(ctx context.Context, keys []execution, witness bool, found map[execution]standing) (upTo uint64, err error) {
	ask := make(map[string]execution, len(keys)+1)
	for _, key := range keys {
		ask[s.subject(key)] = key
	}
	if w := s.witness.Load(); witness && w != nil {
		ask[s.subject(*w)] = *w
	}
	for {
		req := getRequest{MultiLast: slices.Collect(maps.Keys(ask)), MaxBytes: standingsBytes}
		end, err := s.reads.directAnswers(ctx, s.cfg.stream, req, func(m *message) error {
			key, ok := ask[m.subject]
			if !ok {
				return fmt.Errorf("enact: direct get answered with subject %q, which was not asked for", m.subject)
			}
			delete(ask, m.subject)
			last, err := s.parse(m, key)
			if err == nil {
				s.lanes.meet(key, markOf(last))
			}
			found[key] = standing{last: last, fault: err}
			return nil
		})
		if err != nil {
			return 0, err
		}
		if end.Get("Status") == "404" {
			if len(ask) < len(req.MultiLast) {
				return 0, errors.New("enact: a replica could not read all of the records that it has")
			}
			return 0, nil
		}
		at, err1 := strconv.ParseUint(end.Get("Nats-UpTo-Sequence"), 10, 64)
		left, err2 := strconv.Atoi(end.Get("Nats-Num-Pending"))
		if err := errors.Join(err1, err2); err != nil {
			return 0, fmt.Errorf("enact: direct get ended without saying where: %w", err)
		}
		if upTo == 0 || at < upTo {
			upTo = at
		}
		if left == 0 {
			return upTo, nil
		}
	}
}

// counted returns those of the entries, in their order, whose commits created their
// executions. Once an execution has records their origin never changes, so that is
// remembered; that it has none yet is not.
func (s *Store) counted(ctx context.Context, entries []creation) ([]creation, error) {
	origins := make(map[execution]origin, len(entries))
	var unknown []execution
	for _, e := range entries {
		if _, ok := origins[e.key]; ok {
			continue
		}
		o, ok := s.index.get(e.key)
		if origins[e.key] = o; !ok {
			unknown = append(unknown, e.key)
		}
	}
	// A replica may say yes.
	reach := uint64(0)
	for len(unknown) > 0 {
		found, err := s.standings(ctx, unknown, reach)
		if err != nil {
			return nil, err
		}
		for key, st := range found {
			if origins[key], err = s.originOf(ctx, key, st); err != nil {
				return nil, err
			}
		}
		if reach > 0 {
			break
		}
		unknown = slices.DeleteFunc(unknown, func(key execution) bool { _, ok := found[key]; return ok })
		// It may say no only once it has what the leader has.
		if len(unknown) > 0 {
			if reach, err = s.logEnd(ctx); err != nil {
				return nil, err
			}
		}
	}
	return slices.DeleteFunc(entries, func(e creation) bool { return !origins[e.key].is(e.commit) }), nil
}

// origin is the commit that created an execution. The zero value is none.
type origin struct {
	commit uuid.UUID
	hidden bool // the execution has messages, and none tells its origin
}

// is reports whether the commit created the execution. Where nothing tells, every entry
// counts: what cannot be read is shown, and loads say what is wrong with it.
func (o origin) is(commit uuid.UUID) bool {
	return o.hidden || o.commit == commit && commit != uuid.Nil
}

// originOf returns the origin of an execution that has records. Where the last one
// cannot be read, the first one tells.
func (s *Store) originOf(ctx context.Context, key execution, st standing) (origin, error) {
	r := st.last
	if r == nil {
		var err error
		r, err = s.firstRecord(ctx, key)
		if err != nil {
			if ctx.Err() != nil || transient(err) || lasting(err) {
				return origin{}, err
			}
			return origin{hidden: true}, nil
		}
	}
	o := origin{commit: r.Link.Origin}
	s.index.put(key, o)
	s.witness.Store(&key)
	return o, nil
}

// firstRecord reads the first record of an execution that has messages.
func (s *Store) firstRecord(ctx context.Context, key execution) (*record.Record, error) {
	return s.leaderNext(ctx, key, record.Tail{})
}

// confirmations remembers the origins of executions.
type confirmations struct {
	mu      sync.Mutex
	origins *simplelru.LRU[execution, origin]
}

func newConfirmations(size int) *confirmations {
	return &confirmations{origins: newLRU[execution, origin](size)}
}

func (c *confirmations) get(key execution) (origin, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.origins.Get(key)
}

func (c *confirmations) put(key execution, o origin) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origins.Add(key, o)
}

func (c *confirmations) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origins.Purge()
}
