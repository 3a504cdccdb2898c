package integration

import (
	"bytes"
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact/jetstore"
)

// outgoing watches what a store sends to its server: an append can be left unanswered once
// it was sent, however long that takes, where a time-out may end before. It is the dialer of
// the store's connections.
type outgoing struct {
	mu     sync.Mutex
	awaits []*await
}

// await is a text that is to be sent.
type await struct {
	text []byte
	ends map[net.Conn][]byte // of what was sent, where the text may begin
	sent chan struct{}       // closed when it was
}

// watched lets a store's connections be watched.
func watched(out *outgoing) jetstore.Option { return jetstore.WithNATS(nats.SetCustomDialer(out)) }

// Dial implements nats.CustomDialer.
func (o *outgoing) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	return &watchedConn{conn, o}, nil
}

// context returns a context that ends a while after a text was sent, from now on.
func (o *outgoing) context(ctx context.Context, text string, while time.Duration) (context.Context, context.CancelFunc) {
	a := &await{text: []byte(text), ends: make(map[net.Conn][]byte), sent: make(chan struct{})}
	o.mu.Lock()
	o.awaits = append(o.awaits, a)
	o.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		select {
		case <-a.sent:
		case <-ctx.Done():
			return
		}
		timer := time.NewTimer(while)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// wrote ends the wait for texts that were sent with this.
func (o *outgoing) wrote(c net.Conn, b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.awaits = slices.DeleteFunc(o.awaits, func(a *await) bool {
		all := append(a.ends[c], b...)
		if bytes.Contains(all, a.text) {
			close(a.sent)
			return true
		}
		a.ends[c] = slices.Clone(all[max(0, len(all)-len(a.text)+1):])
		return false
	})
}

// watchedConn is a connection of a store that is watched.
type watchedConn struct {
	net.Conn
	out *outgoing
}

func (c *watchedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.out.wrote(c, b[:n])
	return n, err
}
