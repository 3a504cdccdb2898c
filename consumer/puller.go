package consumer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// How long a request for messages waits on the server. One of a reader that is in a
// hurry to hear that there is nothing more waits for less, and hears it sooner.
const (
	requestExpiry  = 30 * time.Second
	hurryExpiry    = 2 * time.Second
	hurryHeartbeat = 10 * time.Millisecond // a pull request's has no minimum (server/consumer.go, nextReqFromMsg)
)

// expiryFor returns the expiry of requests with a heartbeat: the server wants it to be
// twice as long at least.
func expiryFor(heartbeat time.Duration) time.Duration { return max(requestExpiry, 4*heartbeat) }

// Why a puller ended. None of them lasts: a consumer is asked again, or replaced.
var (
	errStalled  = errors.New("consumer: the server was silent for two heartbeats")
	errGone     = errors.New("consumer: nobody serves the consumer")
	errLost     = errors.New("consumer: connection lost")
	errUnpinned = errors.New("consumer: another member is pinned")
)

// puller asks one JetStream consumer for messages (ADR-13) and takes them from a
// channel: it has no goroutine. At any time requests are out for at most 1.5 times
// batch messages, each request for limited bytes, so that what waits in memory is
// bounded however slow the reader is.
//
// nats.go's own iterators are not used: they replace a consumer in the background, go
// on for ever where a permission is missing, and do not say that a consumer was
// replaced, after which a tail looks at the history.
type puller struct {
	site
	subject   string // of the requests
	batch     int
	bytes     int
	heartbeat time.Duration
	expiry    time.Duration // of a request; at least two heartbeats
	hurry     *bool         // nil: never
	room      func() int    // how many messages there is room for; nil: any
	freed     chan struct{} // there is room again
	group     string        // priority group; "": none
	pin       string        // id by which the server knows that this is the pinned client

	inbox  string
	sub    *nats.Subscription
	msgs   chan *nats.Msg
	up     context.Context // ends when the connection is lost
	endUp  func() bool
	timer  *time.Timer
	serial int          // of the last request
	sent   [2]time.Time // when the last request was sent, and the one before
	// When a request was sent of which it is known that it has reached the server.
	confirmed time.Time

	asked    int       // messages that requests are out for
	due      time.Time // when the server must have sent something while they are
	oversize bool      // the next message is larger than bytes
}

// arrival is what next returns: a message, or word that the consumer is served and has
// nothing new.
type arrival struct {
	msg *nats.Msg
	// Of a heartbeat: sequences of what the consumer delivered last.
	lastStream, lastConsumer uint64
}

// pullRequest is a request for messages (server/jetstream_api.go,
// JSApiConsumerGetNextRequest). Durations are in nanoseconds.
type pullRequest struct {
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes,omitempty"`
	Expires   time.Duration `json:"expires"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
	Group     string        `json:"group,omitempty"`
	Pin       string        `json:"id,omitempty"`
}

// open subscribes to the answers. close must be called.
func (p *puller) open(ctx context.Context) error {
	p.inbox = p.nc.NewInbox()
	// Room for everything that can be out: messages, and what each request may get
	// besides them.
	room := 2*p.batch + 2*int(p.expiry/p.heartbeat) + 64
	if p.hurry != nil && *p.hurry {
		room += 4 * int(hurryExpiry/hurryHeartbeat)
	}
	p.msgs = make(chan *nats.Msg, room)
	p.up, p.endUp = p.WhileUp(ctx)
	p.timer = time.NewTimer(time.Hour)
	p.asked, p.oversize, p.serial = 0, false, 0
	sub, err := p.nc.ChanSubscribe(p.inbox+".*", p.msgs)
	if err != nil {
		p.endUp()
		return err
	}
	p.sub = sub
	return nil
}

func (p *puller) close() {
	if p.sub == nil {
		return
	}
	_ = p.sub.Unsubscribe() // of a connection that is closed: gone with it
	p.endUp()
	p.timer.Stop()
	p.sub = nil
}

// leave is close for who has to give word of each message: it returns those that were
// sent and not taken.
func (p *puller) leave(ctx context.Context) (msgs []*nats.Msg) {
	defer p.close()
	if p.nc.IsConnected() && p.sub.Drain() == nil {
		// Once the flush is answered, everything that was sent before has come.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		_ = p.nc.FlushWithContext(ctx)
	}
	for {
		select {
		case m := <-p.msgs:
			if m.Reply != "" {
				msgs = append(msgs, m)
			}
		default:
			return msgs
		}
	}
}

// ask keeps requests out for half a batch at least, as far as there is room.
func (p *puller) ask() error {
	if p.asked > p.batch/2 {
		return nil
	}
	req := pullRequest{
		Batch: p.batch, MaxBytes: p.bytes, Expires: p.expiry, Heartbeat: p.heartbeat, Group: p.group, Pin: p.pin,
	}
	if p.room != nil {
		if req.Batch = min(req.Batch, p.room()-p.asked); req.Batch <= 0 {
			return nil
		}
	}
	if p.hurry != nil && *p.hurry {
		req.Expires, req.Heartbeat = hurryExpiry, min(p.heartbeat, hurryHeartbeat)
	}
	if p.oversize {
		if p.asked > 0 {
			return nil
		}
		req.Batch, req.MaxBytes = 1, 0
	}
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	p.serial++
	p.sent[0], p.sent[1] = time.Now(), p.sent[0]
	if err := p.nc.PublishRequest(p.subject, p.inbox+"."+strconv.Itoa(p.serial), body); err != nil {
		return errLost
	}
	if p.asked == 0 {
		p.due = p.sent[0].Add(2 * p.heartbeat)
	}
	p.asked += req.Batch
	return nil
}

// next waits for the next message or heartbeat, or for room.
func (p *puller) next(ctx context.Context) (arrival, error) {
	for {
		if err := p.ask(); err != nil {
			return arrival{}, err
		}
		m, err := p.receive(ctx)
		if err != nil || m == nil {
			return arrival{}, err
		}
		p.due = time.Now().Add(2 * p.heartbeat)
		if m.Reply != "" {
			p.asked--
			p.oversize = false
			if p.serial == 1 {
				p.confirm(p.sent[0])
			} else {
				p.confirm(p.sent[1]) // it may be the answer to that one
			}
			return arrival{msg: m}, nil
		}
		if a, told, err := p.status(m); told || err != nil {
			return a, err
		}
	}
}

// confirm notes that a request which was sent then has reached the server.
func (p *puller) confirm(sent time.Time) {
	if sent.After(p.confirmed) {
		p.confirmed = sent
	}
}

// ready returns a message that has come already; ok is false if the next thing is none.
func (p *puller) ready() (m *nats.Msg, ok bool, err error) {
	for {
		select {
		case m := <-p.msgs:
			if m.Reply != "" {
				p.asked--
				p.oversize = false
				_ = p.ask() // next asks again, and says what is wrong
				return m, true, nil
			}
			if _, _, err := p.status(m); err != nil {
				return nil, false, err
			}
		default:
			return nil, false, nil
		}
	}
}

// receive returns nil when there is room again.
func (p *puller) receive(ctx context.Context) (*nats.Msg, error) {
	select {
	case m := <-p.msgs:
		return m, nil
	default:
	}
	if p.asked > 0 {
		p.timer.Reset(time.Until(p.due))
	} else {
		p.timer.Stop() // nothing is owed
	}
	select {
	case m := <-p.msgs:
		return m, nil
	case <-p.freed:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.Closing():
		return nil, enact.ErrClosed
	case <-p.up.Done():
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if p.nc.IsClosed() {
			return nil, nats.ErrConnectionClosed
		}
		return nil, errLost
	case <-p.timer.C:
		// Permission to ask, or to hear the answer, may be what is missing.
		for _, subject := range []string{p.subject, p.inbox + ".*"} {
			if err := p.Denied(subject); err != nil {
				return nil, err
			}
		}
		return nil, errStalled
	}
}

// status looks at an answer that is no message. told is false for one that only ends a
// request. Answers are told apart by status code and by whether they count what a
// request has left (server/consumer.go): those that do end that request alone, the
// others end the consumer, for this client at least.
func (p *puller) status(m *nats.Msg) (a arrival, told bool, err error) {
	switch status := m.Header.Get("Status"); status {
	case "100":
		switch m.Subject[len(p.inbox)+1:] {
		case strconv.Itoa(p.serial):
			p.confirm(p.sent[0])
		case strconv.Itoa(p.serial - 1):
			p.confirm(p.sent[1])
		}
		return arrival{lastStream: number(m.Header, "Nats-Last-Stream"), lastConsumer: number(m.Header, "Nats-Last-Consumer")}, true, nil
	case "408", "409":
		left := m.Header.Get("Nats-Pending-Messages")
		if left == "" {
			return a, false, errGone
		}
		n := number(m.Header, "Nats-Pending-Messages")
		p.asked = max(0, p.asked-int(n))
		// A request that ends with all its bytes was too small for the next message.
		if status == "409" && n > 0 && number(m.Header, "Nats-Pending-Bytes") >= uint64(p.bytes) {
			p.oversize = true
		}
		return a, false, nil
	case "423":
		return a, false, errUnpinned
	case "404", "503":
		return a, false, errGone
	default:
		return a, false, fmt.Errorf("%w: the server refused a pull request: %s %s", errRefused, status, m.Header.Get("Description"))
	}
}

// errRefused is a pull request that the server does not understand.
var errRefused = errors.New("consumer: pull request refused")

// number reads a header with a number, 0 if there is none.
func number(h nats.Header, name string) uint64 {
	n, _ := strconv.ParseUint(h.Get(name), 10, 64)
	return n
}

// delivery is what the reply subject of a delivered message says (server/consumer.go,
// ackReply).
type delivery struct {
	attempt  uint64 // deliveries of the message so far, this one included
	position uint64 // its stream sequence
	sequence uint64 // of the delivery
	stored   int64  // when the message was stored, Unix nanoseconds
	pending  uint64 // messages that the consumer has left to deliver
}

// parseDelivery reads $JS.ACK.<stream>.<consumer>. and the five numbers, before which
// newer servers may have domain and account, and behind them a random token.
func parseDelivery(reply string) (d delivery, ok bool) {
	const v1, v2 = 9, 11 // tokens
	rest, ok := strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return d, false
	}
	skip := 2
	if n := strings.Count(reply, ".") + 1; n >= v2 {
		skip = 4
	} else if n != v1 {
		return d, false
	}
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	var numbers [5]uint64
	for i := range numbers {
		var text string
		text, rest, _ = strings.Cut(rest, ".")
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return d, false
		}
		numbers[i] = n
	}
	return delivery{
		attempt: numbers[0], position: numbers[1], sequence: numbers[2], stored: int64(numbers[3]), pending: numbers[4],
	}, true
}
