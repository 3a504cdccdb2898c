package jetstore

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// errLost says that the connection was lost before the answer came.
var errLost = errors.New("enact: connection lost before the answer")

// line watches a connection, so that whoever waits for an answer on it learns at once
// that none will come: nats.go lets requests run into their time-outs.
type line struct {
	nc     *nats.Conn
	events chan nats.Status
	done   chan struct{}

	mu   sync.Mutex
	up   context.Context // ends when the connection is lost next
	lost context.CancelFunc
}

func watch(nc *nats.Conn) *line {
	l := &line{nc: nc, events: nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED), done: make(chan struct{})}
	l.up, l.lost = context.WithCancel(context.Background())
	go func() {
		defer close(l.done)
		for range l.events {
			l.mu.Lock()
			l.lost()
			l.up, l.lost = context.WithCancel(context.Background())
			l.mu.Unlock()
		}
	}()
	return l
}

// close ends the watch and waits for that.
func (l *line) close() {
	l.nc.RemoveStatusListener(l.events)
	<-l.done
	l.lost()
}

// whileUp returns ctx bounded by the connection's next loss. end must be called; it
// reports whether the connection was lost.
func (l *line) whileUp(ctx context.Context) (_ context.Context, end func() (lost bool)) {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(up, cancel)
	return ctx, func() bool {
		stop()
		cancel()
		return up.Err() != nil
	}
}
