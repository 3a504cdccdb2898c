package jetstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	// feedBytes bounds what the answer to one request of a feed may take, beside one
	// message of any size.
	feedBytes = 1 << 20
	// feedRequests is how many requests are under way at a time: while one is worked
	// on, the next is on its way.
	feedRequests = 2
	// feedPatience is the part of api.patience that the next message may take, 500 ms. A replica
	// that lags gives none, and another may have it.
	feedPatience = 4
	// feedIdle is when the server removes a feed whose owner is gone.
	feedIdle = time.Minute
)

// errFeed says that a feed gives nothing more.
var errFeed = errors.New("enact: the consumer gives nothing more")

// feed is an ephemeral pull consumer over one execution's records, from some position
// on. What it delivers comes with far less work for the server, and for the client,
// than the answers to direct gets. It delivers only as many messages as were asked for.
type feed struct {
	a      *api
	stream string
	name   string
	sub    *nats.Subscription
	got    chan *nats.Msg
	timer  *time.Timer
	lost   <-chan struct{}
	under  int     // requests under way
	m      message // that next returned
	before string  // what stands before the position in the reply subject of a message
}

// openFeed makes a feed of the subject's messages from position on. It must be closed,
// also beside an error: a consumer whose making was not answered may be there.
func (a *api) openFeed(ctx context.Context, stream, subject string, position uint64, most int) (*feed, error) {
	f := &feed{
		a: a, stream: stream, name: "enact-read-" + nuid.Next(),
		got: make(chan *nats.Msg, feedRequests*(most+1)), timer: time.NewTimer(a.patience / feedPatience), lost: a.line.lost(),
	}
	var err error
	if f.sub, err = a.nc.ChanSubscribe(a.nc.NewInbox(), f.got); err != nil {
		return f, notSent(err)
	}
	type config struct {
		Name              string        `json:"name"`
		Description       string        `json:"description"`
		DeliverPolicy     string        `json:"deliver_policy"`
		Start             uint64        `json:"opt_start_seq"`
		AckPolicy         string        `json:"ack_policy"`
		ReplayPolicy      string        `json:"replay_policy"`
		Filter            string        `json:"filter_subject"`
		InactiveThreshold time.Duration `json:"inactive_threshold"`
		Replicas          int           `json:"num_replicas"`
		Memory            bool          `json:"mem_storage"`
	}
	body := struct {
		Stream string `json:"stream_name"`
		Config config `json:"config"`
	}{stream, config{
		Name: f.name, Description: "a read of one execution",
		DeliverPolicy: "by_start_sequence", Start: position, AckPolicy: "none", ReplayPolicy: "instant",
		Filter: subject, InactiveThreshold: feedIdle, Replicas: 1, Memory: true,
	}}
	var created answer
	if err := a.request(ctx, "CONSUMER.CREATE."+stream+"."+f.name+"."+subject, body, &created); err != nil {
		return f, err
	}
	return f, nil
}

// close ends the feed and removes its consumer. An error says that the consumer may be
// there yet.
func (f *feed) close() error {
	f.hangUp()
	return f.remove()
}

func (f *feed) hangUp() {
	f.timer.Stop()
	// Its only errors are that the subscription or the connection is closed already.
	_ = f.sub.Unsubscribe()
}

// remove removes the consumer. What nobody removes, the server does after feedIdle.
func (f *feed) remove() error {
	var deleted answer
	err := f.a.request(context.Background(), "CONSUMER.DELETE."+f.stream+"."+f.name, nil, &deleted)
	if hasCode(err, codeConsumerNotFound) {
		return nil
	}
	return err
}

// full reports whether as many requests are under way as should be.
func (f *feed) full() bool { return f.under >= feedRequests }

// ask asks for n more messages.
func (f *feed) ask(n int) error {
	body, err := json.Marshal(struct {
		Batch    int           `json:"batch"`
		MaxBytes int           `json:"max_bytes"`
		Expires  time.Duration `json:"expires"`
	}{n, feedBytes + int(f.a.nc.MaxPayload()), f.a.patience})
	if err != nil {
		return err
	}
	f.under++
	return f.a.nc.PublishMsg(&nats.Msg{
		Subject: f.a.prefix + ".CONSUMER.MSG.NEXT." + f.stream + "." + f.name, Reply: f.sub.Subject, Data: body,
	})
}

// next returns the next message, valid until the next call. It is nil at the end of a
// request; short is then the number of messages that the request did not bring, because of
// their size.
func (f *feed) next(ctx context.Context) (m *message, short int, err error) {
	if f.under == 0 {
		return nil, 0, errFeed
	}
	var msg *nats.Msg
	select {
	case msg = <-f.got:
	default:
		if msg, err = f.wait(ctx); err != nil {
			return nil, 0, err
		}
	}
	if msg.Reply == "" {
		// A request with a bound on bytes ends so, with what it leaves (server/consumer.go).
		// Any other end is that of a consumer which is gone.
		short, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
		if msg.Header.Get("Status") != "409" || err != nil {
			return nil, 0, fmt.Errorf("%w: %s %s", errFeed, msg.Header.Get("Status"), msg.Header.Get("Description"))
		}
		f.under--
		return nil, short, nil
	}
	position, ok := f.position(msg.Reply)
	if !ok {
		return nil, 0, fmt.Errorf("%w: unexpected reply subject %q", errFeed, msg.Reply)
	}
	f.m = message{subject: msg.Subject, position: position, header: msg.Header, data: msg.Data}
	return &f.m, 0, nil
}

// position is ackPosition. The messages of one consumer differ from the position on.
func (f *feed) position(reply string) (uint64, bool) {
	if rest, ok := strings.CutPrefix(reply, f.before); ok && f.before != "" {
		return leadingPosition(rest)
	}
	rest, ok := ackPosition(reply)
	if !ok {
		return 0, false
	}
	f.before = reply[:len(reply)-len(rest)]
	return leadingPosition(rest)
}

// leadingPosition reads a token that is a position.
func leadingPosition(s string) (uint64, bool) {
	text, _, ok := strings.Cut(s, ".")
	position, err := strconv.ParseUint(text, 10, 64)
	return position, ok && err == nil && position > 0
}

// wait waits for the next message.
func (f *feed) wait(ctx context.Context) (*nats.Msg, error) {
	f.timer.Reset(f.a.patience / feedPatience)
	select {
	case msg := <-f.got:
		return msg, nil
	case <-f.timer.C:
		return nil, errNoAnswer
	case <-f.lost:
		return nil, errLost
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ackPosition returns what begins with the stream sequence in the reply subject of a
// delivered message (ADR-15):
//
//	$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<deliveries>.<stream seq>.…
func ackPosition(reply string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(reply, "$JS.ACK.")
	if !ok {
		return "", false
	}
	before := 3
	if strings.Count(rest, ".") > 6 {
		before = 5
	}
	for range before {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return "", false
		}
	}
	return rest, true
}
