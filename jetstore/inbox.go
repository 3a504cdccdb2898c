package jetstore

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errNoAnswer says that nobody answered in the time that a request has, see tryTimeout.
var errNoAnswer = errors.New("enact: no answer in time")

// maxAnswers bounds the messages that answer one request: a full direct-get batch,
// its end, and what the server may repeat.
const maxAnswers = 1026

// inbox takes the answers to one request at a time. nats.go's own requests share one
// subscription and hand each answer on from a goroutine of its own; an inbox gets it
// from the connection's reader directly, and the caller waits for it together with
// everything else that can end the wait. That is one wakeup less for each request, and
// no context.
type inbox struct {
	sub    *nats.Subscription
	prefix string // of its reply subjects; the request's number follows
	got    chan *nats.Msg
	timer  *time.Timer
	number uint64 // of the request
	reply  string // its reply subject
}

// inboxes makes the inboxes of a connection, and keeps those that are idle.
type inboxes struct {
	nc *nats.Conn

	mu     sync.Mutex
	prefix string
	idle   []*inbox
	made   uint64
	closed bool
}

// maxIdle bounds the inboxes that are kept: each is a subscription on the server.
const maxIdle = 128

// take returns an inbox; give or drop must be called with it.
func (is *inboxes) take() (*inbox, error) {
	is.mu.Lock()
	defer is.mu.Unlock()
	if n := len(is.idle); n > 0 {
		in := is.idle[n-1]
		is.idle = is.idle[:n-1]
		return in, nil
	}
	if is.prefix == "" {
		is.prefix = is.nc.NewInbox() + "."
	}
	is.made++
	in := &inbox{
		prefix: is.prefix + strconv.FormatUint(is.made, 10) + ".",
		got:    make(chan *nats.Msg, maxAnswers),
		timer:  time.NewTimer(tryTimeout),
	}
	in.timer.Stop()
	var err error
	in.sub, err = is.nc.ChanSubscribe(in.prefix+"*", in.got)
	return in, err
}

// give takes back an inbox whose request was answered to its end.
func (is *inboxes) give(in *inbox) {
	is.mu.Lock()
	keep := !is.closed && len(is.idle) < maxIdle
	if keep {
		is.idle = append(is.idle, in)
	}
	is.mu.Unlock()
	if !keep {
		is.drop(in)
	}
}

// drop ends an inbox: answers to its request may still come, and nobody waits for them.
func (*inboxes) drop(in *inbox) {
	in.timer.Stop()
	// Its only errors are that the subscription or the connection is closed already.
	_ = in.sub.Unsubscribe()
}

// close drops the inboxes that are idle, and those in use once they are given back.
func (is *inboxes) close() {
	is.mu.Lock()
	idle := is.idle
	is.idle, is.closed = nil, true
	is.mu.Unlock()
	for _, in := range idle {
		is.drop(in)
	}
}

// send sends a request. Its answers come to this inbox.
func (in *inbox) send(nc *nats.Conn, msg *nats.Msg) error {
	in.number++
	var room [64]byte
	in.reply = string(strconv.AppendUint(append(room[:0], in.prefix...), in.number, 10))
	return nc.PublishMsg(&nats.Msg{Subject: msg.Subject, Reply: in.reply, Header: msg.Header, Data: msg.Data})
}

// next waits for the next answer, for patience at most: nats.ErrNoResponders if the
// server says that nobody listens, errLost once lost is closed, errNoAnswer, or ctx's
// error.
func (in *inbox) next(ctx context.Context, lost <-chan struct{}, patience time.Duration) (*nats.Msg, error) {
	in.timer.Reset(patience)
	for {
		select {
		case reply := <-in.got:
			if reply.Subject != in.reply {
				continue // a second answer to an earlier request
			}
			if len(reply.Data) == 0 && reply.Header.Get("Status") == "503" && !isStored(reply) {
				return nil, nats.ErrNoResponders
			}
			return reply, nil
		case <-in.timer.C:
			return nil, errNoAnswer
		case <-lost:
			return nil, errLost
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
