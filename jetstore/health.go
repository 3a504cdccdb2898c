package jetstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// HealthStatus sums a [Health] up.
type HealthStatus string

// Health statuses.
const (
	Healthy  HealthStatus = "healthy"  // everything is as it should be
	Degraded HealthStatus = "degraded" // the store serves; with the next fault it may not
	Down     HealthStatus = "down"     // the store does not serve
)

// Health is the state of what a store rests on.
type Health struct {
	Status   HealthStatus   `json:"status"`
	Problems []string       `json:"problems,omitempty"` // what is wrong, for people; none if healthy
	Streams  []StreamHealth `json:"streams,omitempty"`  // the index stream and the log's, as far as they answered
	Err      error          `json:"-"`                  // why it is down: an error of [Store.HealthCheck]
}

// StreamHealth is the state of a stream's replicas, as its leader sees them.
type StreamHealth struct {
	Stream   string          `json:"stream"`
	Leader   string          `json:"leader,omitempty"`   // name of the server; "": the server is part of no cluster
	Replicas []ReplicaHealth `json:"replicas,omitempty"` // the others
}

// ReplicaHealth is the state of a replica that does not lead.
type ReplicaHealth struct {
	Server  string        `json:"name"`
	Current bool          `json:"current"` // it has what the leader has, or will in a moment
	Offline bool          `json:"offline"` // its server is gone
	Silence time.Duration `json:"active"`  // since the leader last heard of it
	Lag     uint64        `json:"lag"`     // operations that it is behind
}

// HealthCheck returns nil if the store can serve: the leaders of both streams answer and
// the settings still keep the log's guarantees. Where each tenant has streams, it checks
// that the server answers; that of [Store.Tenant] checks a tenant's. Errors are those of
// [Open]. It says nothing of replicas, see [Store.Health]: a program that cannot do
// without a replica had better not be taken out of service for it.
func (s *Store) HealthCheck(ctx context.Context) error {
	_, err := s.healthCheck(ctx)
	return err
}

// Health tells whether the store serves, and where it does, whether it would after one
// more fault. It is Down where [Store.HealthCheck] returns an error, for which it waits
// until ctx ends: an election takes 4 to 9 s, in which the store is down. It is Degraded
// where a replica lags or is gone, or where one of the store's two connections is down:
// reads, or appends, wait then.
func (s *Store) Health(ctx context.Context) Health {
	found, err := s.healthCheck(ctx)
	h := Health{Status: Healthy, Streams: found, Err: err}
	for _, stream := range found {
		for _, r := range stream.Replicas {
			switch {
			case r.Offline:
				h.note("the replica of stream %s on %s is offline", stream.Stream, r.Server)
			case !r.Current:
				h.note("the replica of stream %s on %s is behind by %d, heard of %v ago", stream.Stream, r.Server, r.Lag, r.Silence.Round(time.Millisecond))
			}
		}
	}
	for use, nc := range map[string]*nats.Conn{"writes": s.asks.nc, "reads": s.reads.nc} {
		if !nc.IsConnected() {
			h.note("the connection for %s is %s", use, nc.Status())
		}
	}
	switch {
	case err != nil:
		h.Status = Down
		h.Problems = append([]string{err.Error()}, h.Problems...)
	case len(h.Problems) > 0:
		h.Status = Degraded
	}
	return h
}

func (h *Health) note(format string, args ...any) {
	h.Problems = append(h.Problems, fmt.Sprintf(format, args...))
}

// healthCheck returns the streams whose leaders answered, and what is wrong.
func (s *Store) healthCheck(ctx context.Context) ([]StreamHealth, error) {
	ctx, end, err := s.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	if s.tenants != nil {
		return nil, errors.Join(checkServer(s.asks.nc), s.asks.nc.FlushWithContext(ctx), s.reads.nc.FlushWithContext(ctx))
	}
	found, err := check(ctx, s.cfg, s.asks)
	return found.health, err
}
