package jetstore

import (
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
	loss chan struct{} // closed when the connection is lost next
}

func watch(nc *nats.Conn) *line {
	l := &line{
		nc:     nc,
		events: nc.StatusChanged(nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED),
		done:   make(chan struct{}),
		loss:   make(chan struct{}),
	}
	go func() {
		defer close(l.done)
		for range l.events {
			l.mu.Lock()
			close(l.loss)
			l.loss = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return l
}

// close ends the watch and waits for that.
func (l *line) close() {
	l.nc.RemoveStatusListener(l.events)
	<-l.done
}

// lost returns a channel that is closed when the connection is lost next; nil, on
// which nothing ever comes, if nobody watches it.
func (l *line) lost() <-chan struct{} {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loss
}
