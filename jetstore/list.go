package jetstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/hashicorp/golang-lru/v2/simplelru"

	"github.com/enactlog/enact"
)

// indexBatch is how many index entries one direct-get batch takes.
const indexBatch = 1000

// ListExecutions implements enact.Lister.
//
// The tenant's entries in the index stream are read in order of creation. An entry
// counts if its commit id is the origin of the execution's records: those of
// creations that crashed or lost a race do not, and of entries written twice one does.
func (s *Store) ListExecutions(ctx context.Context, tenant enact.TenantID, limit, offset int) ([]enact.ExecutionID, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if err := tenant.Validate(); err != nil {
		return nil, err
	}
	if err := enact.ValidatePage(limit, offset); err != nil {
		return nil, err
	}
	executions := []enact.ExecutionID{}
	if limit == 0 {
		return executions, nil
	}
	entries, err := s.indexEntries(ctx, tenant)
	if err != nil {
		return nil, err
	}
	taken := make(map[uuid.UUID]bool)
	for _, e := range slices.Backward(entries) {
		if taken[e.commit] {
			continue
		}
		taken[e.commit] = true
		confirmed, err := s.confirm(ctx, e)
		if err != nil {
			return nil, err
		}
		if !confirmed {
			continue
		}
		if offset > 0 {
			offset--
			continue
		}
		if executions = append(executions, e.key.id); len(executions) == limit {
			break
		}
	}
	return executions, nil
}

// creation is an entry of the index.
type creation struct {
	key      execution
	commit   uuid.UUID
	position uint64 // in the index stream
}

// indexEntries returns the tenant's entries up to the last one that the leader has,
// in the stream's order.
func (s *Store) indexEntries(ctx context.Context, tenant enact.TenantID) ([]creation, error) {
	subject := s.cfg.subjects.Index(tenant)
	last, err := retry(ctx, func() (*message, error) {
		m, err := s.asks.leaderGet(ctx, s.cfg.index(), getRequest{LastFor: subject})
		if errors.Is(err, errNotFound) {
			return nil, s.proveUnlisted(ctx, subject)
		}
		return m, err
	})
	if err != nil || last == nil {
		return nil, err
	}
	var entries []creation
	next := uint64(1)
	for try := 0; next <= last.position; try++ {
		before := next
		req := getRequest{Seq: next, NextFor: subject, Batch: indexBatch, MaxBytes: denseBytes}
		err := s.reads.directBatch(ctx, s.cfg.index(), req, func(m *message) error {
			if m.position > last.position {
				return nil
			}
			e, err := parseEntry(m, tenant)
			if err != nil {
				return err
			}
			entries, next = append(entries, e), m.position+1
			return nil
		})
		if err != nil && !transient(err) {
			return nil, err
		}
		if next > before {
			try = 0
			continue
		}
		// The replica lags: another may not.
		if waitErr := backoff(ctx, try); waitErr != nil {
			return nil, ended(waitErr, err)
		}
	}
	return entries, nil
}

// proveUnlisted returns nil if the index stream really has no entry of the subject:
// a message get reports read errors as "not found". An error means to ask again, also
// because an entry may have come just now.
func (s *Store) proveUnlisted(ctx context.Context, subject string) error {
	info, err := s.asks.info(ctx, s.cfg.index(), subject)
	if err != nil {
		return err
	}
	if info.State.Subjects[subject] > 0 {
		return fmt.Errorf("enact: the leader cannot read the last index entry of subject %q", subject)
	}
	return nil
}

func parseEntry(m *message, tenant enact.TenantID) (creation, error) {
	corrupt := func(reason string) (creation, error) {
		return creation{}, &enact.CorruptError{TenantID: tenant, Position: m.position, Reason: "index entry: " + reason}
	}
	var e indexEntry
	if err := json.Unmarshal(m.data, &e); err != nil {
		return corrupt(err.Error())
	}
	id, err := uuid.Parse(m.header.Get(headerMsgID))
	if err != nil {
		return corrupt("the message id is not a commit id")
	}
	if e.TenantID != tenant {
		return corrupt(fmt.Sprintf("it names tenant %q", e.TenantID))
	}
	if err := e.ExecutionID.Validate(); err != nil {
		return corrupt(err.Error())
	}
	return creation{key: execution{tenant, e.ExecutionID}, commit: id, position: m.position}, nil
}

// confirm reports whether an entry's commit created the execution. A replica may say
// yes; only the leader may say no. Once there are records their origin never
// changes, so either answer is remembered; that there are none yet is not.
func (s *Store) confirm(ctx context.Context, e creation) (bool, error) {
	if origin, ok := s.index.get(e.key); ok {
		return origin == e.commit, nil
	}
	last, err := s.anyLast(ctx, e.key)
	if err != nil || last == nil {
		if last, err = s.lastRecord(ctx, e.key); err != nil || last == nil {
			return false, err
		}
	}
	s.index.put(e.key, last.Link.Origin)
	return last.Link.Origin == e.commit, nil
}

// confirmations remembers the origins of executions.
type confirmations struct {
	mu      sync.Mutex
	origins *simplelru.LRU[execution, uuid.UUID]
}

func newConfirmations(size int) *confirmations {
	return &confirmations{origins: newLRU[execution, uuid.UUID](size)}
}

func (c *confirmations) get(key execution) (uuid.UUID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.origins.Get(key)
}

func (c *confirmations) put(key execution, origin uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origins.Add(key, origin)
}

func (c *confirmations) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.origins.Purge()
}
