package memstore

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/enactlog/enact"
)

// DefaultKeyWindow is how many of an execution's last appends are searched for
// an idempotency key, unless [WithKeyWindow] says otherwise.
const DefaultKeyWindow = 64

// Store is an [enact.EventStore], an [enact.Committer] and an [enact.Querier] in memory. [New] makes
// one. All methods may be called from any number of goroutines.
type Store struct {
	now         func() time.Time
	keyWindow   int
	incarnation string // of this store, which cursors are bound to

	mu        sync.RWMutex
	closed    bool
	position  uint64                                 // of the last record of the log; 0: none
	histories map[enact.ExecutionID]*history         // only executions that have events
	created   map[enact.TenantID][]enact.ExecutionID // in order of creation
}

var (
	_ enact.EventStore = (*Store)(nil)
	_ enact.Committer  = (*Store)(nil)
	_ enact.Querier    = (*Store)(nil)
)

// Option is an option of [New].
type Option func(*Store)

// WithClock sets the clock that gives the time of appends without a timestamp;
// nil means [time.Now]. The store calls it under its lock, never from two
// goroutines at once: it must not call the store.
func WithClock(now func() time.Time) Option {
	return func(s *Store) {
		if now == nil {
			now = time.Now
		}
		s.now = now
	}
}

// WithKeyWindow sets how many of an execution's last appends are searched for
// an idempotency key; below 1 means [DefaultKeyWindow].
func WithKeyWindow(n int) Option {
	return func(s *Store) {
		if n < 1 {
			n = DefaultKeyWindow
		}
		s.keyWindow = n
	}
}

// New returns an empty store. It holds nothing but memory: a store that is not
// shut down leaks nothing.
func New(opts ...Option) *Store {
	s := &Store{
		now:         time.Now,
		keyWindow:   DefaultKeyWindow,
		incarnation: uuid.NewString(),
		histories:   make(map[enact.ExecutionID]*history),
		created:     make(map[enact.TenantID][]enact.ExecutionID),
	}
	for _, opt := range opts {
		if opt != nil {
			opt(s)
		}
	}
	return s
}

// Name returns "memory".
func (s *Store) Name() string { return "memory" }

// RequiresNetwork returns false.
func (s *Store) RequiresNetwork() bool { return false }

// SupportsAirGapped returns true.
func (s *Store) SupportsAirGapped() bool { return true }

// HealthCheck returns nil, or [enact.ErrClosed], or the context's error.
func (s *Store) HealthCheck(ctx context.Context) error { return s.admit(ctx) }

// Shutdown waits for the calls in flight, which end without its context, and
// closes the store. A range over [Store.Events] is not waited for: its next
// event is ErrClosed, so that a loop may shut down the store that it reads. It
// always returns nil.
func (s *Store) Shutdown(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// admit decides whether a call may begin: the first error of a closed store, of
// the checks of its arguments, and of an ended context, in this order.
func (s *Store) admit(ctx context.Context, checks ...func() error) error {
	if s.isClosed() {
		return enact.ErrClosed
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (s *Store) isClosed() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.closed
}
