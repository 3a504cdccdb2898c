package jetstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// longestSilence is how long a connection of a store's own may bring no answer before it
// tries another server. It is longer than an election (4 to 9 s), during which no server
// has answers.
const longestSilence = 10 * time.Second

// leastSilence is how long a caller must have waited who left without an answer.
const leastSilence = 100 * time.Millisecond

// silence leaves a server that answers pings, or not even those, but has no answers: one
// that was cut off from the others, that hangs, or whose JetStream is off. nats.go
// reconnects only once a connection is lost, and notices a server that hangs after
// minutes. A nil silence never leaves.
type silence struct {
	nc *nats.Conn

	mu    sync.Mutex
	since time.Time // the first question since the last answer; zero: the last one was answered
}

// heard notes how a question ended that was asked at a time.
func (s *silence) heard(asked time.Time, err error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !unanswered(err):
		s.since = time.Time{}
	case time.Since(asked) < leastSilence && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		// The caller had no time to hear anything.
	case s.since.IsZero() || s.since.After(asked):
		s.since = asked
	case time.Since(s.since) > longestSilence && s.nc.IsConnected():
		s.since = time.Now() // the next server has as much time
		// What waits for an answer learns that none will come, and asks again. The only
		// error is that the connection was closed.
		_ = s.nc.ForceReconnect()
	}
}

// unanswered reports whether a question ended without an answer of somebody who knows:
// none came, or one that says that there is no leader.
func unanswered(err error) bool {
	if err == nil {
		return false
	}
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok {
		return apiErr.Code == 503
	}
	return errors.Is(err, errNoAnswer) || errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, enact.ErrNotPermitted) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
