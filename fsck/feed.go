package fsck

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"
)

const (
	feedBatch = 1000    // messages that a consumer is asked for at a time
	feedBytes = 4 << 20 // and the bytes of the answer, beside one message of any size
	feedQuiet = 500 * time.Millisecond
	feedIdle  = 30 * time.Second // when the server removes a consumer that nobody reads

	// placements is how many consumers are made to get one on a certain server: the meta
	// leader places a consumer of one replica on any of the stream's (server/jetstream_cluster.go).
	placements = 64
)

// errQuiet says that a consumer gives nothing just now.
var errQuiet = errors.New("fsck: the consumer gives nothing")

// feed is an ephemeral consumer over a stream in order. It delivers only what was asked
// for, so that nothing is dropped on the way; what it delivers costs about half of what
// direct gets cost.
type feed struct {
	s       *source
	name    string
	sub     *nats.Subscription
	got     chan *nats.Msg
	timer   *time.Timer
	owed    int    // messages that were asked for and are to come
	pending uint64 // messages to come, as the server counts them
}

type consumerInfo struct {
	Pending uint64       `json:"num_pending"`
	Cluster *clusterInfo `json:"cluster"`
}

func openFeed(ctx context.Context, s *source, position uint64) (*feed, error) {
	for range placements {
		f, at, err := makeFeed(ctx, s, position)
		if err != nil || s.pinned == "" || at == s.pinned {
			return f, err
		}
		f.close()
	}
	return nil, fmt.Errorf("fsck: none of %d consumers was placed on server %q", placements, s.pinned)
}

// makeFeed makes a consumer and returns the name of its server.
func makeFeed(ctx context.Context, s *source, position uint64) (f *feed, at string, err error) {
	nc := s.att.Store().Conn()
	f = &feed{s: s, name: "enact-fsck-" + nuid.Next(), got: make(chan *nats.Msg, 4*feedBatch), timer: time.NewTimer(feedQuiet)}
	if f.sub, err = nc.ChanSubscribe(nc.NewInbox(), f.got); err != nil {
		return nil, "", err
	}
	config := map[string]any{
		"name": f.name, "description": "a check of the log", "deliver_policy": "by_start_sequence", "opt_start_seq": position,
		"ack_policy": "none", "replay_policy": "instant", "inactive_threshold": feedIdle, "num_replicas": 1, "mem_storage": true,
	}
	subject := "CONSUMER.CREATE." + s.stream + "." + f.name
	if s.filter != "" {
		config["filter_subject"] = s.filter
		subject += "." + s.filter
	}
	var info consumerInfo
	if err := s.att.Request(ctx, subject, map[string]any{"stream_name": s.stream, "config": config}, &info); err != nil {
		f.close()
		return nil, "", err
	}
	f.pending = info.Pending
	if info.Cluster != nil {
		at = info.Cluster.Leader
	}
	return f, at, nil
}

// close removes the consumer. What nobody removes, the server does after feedIdle.
func (f *feed) close() {
	f.timer.Stop()
	_ = f.sub.Unsubscribe() // its only errors are that it is closed already
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = f.s.att.Request(ctx, "CONSUMER.DELETE."+f.s.stream+"."+f.name, nil, nil)
}

// ask keeps two requests under way: while one is worked on, the next is on its way.
func (f *feed) ask() error {
	for f.owed <= feedBatch {
		nc := f.s.att.Store().Conn()
		body := mustJSON(map[string]any{"batch": feedBatch, "max_bytes": feedBytes + int(nc.MaxPayload()), "expires": 10 * time.Second})
		subject := f.s.att.Store().APIPrefix() + ".CONSUMER.MSG.NEXT." + f.s.stream + "." + f.name
		if err := nc.PublishMsg(&nats.Msg{Subject: subject, Reply: f.sub.Subject, Data: body}); err != nil {
			return err
		}
		f.owed += feedBatch
	}
	return nil
}

// next returns the next message, or errQuiet if there is none for a while.
func (f *feed) next(ctx context.Context) (message, error) {
	for {
		if err := f.ask(); err != nil {
			return message{}, err
		}
		var m *nats.Msg
		select {
		case m = <-f.got:
		default:
			var err error
			if m, err = f.wait(ctx); err != nil {
				return message{}, err
			}
		}
		if m.Reply == "" {
			// A request with a bound on bytes ends so, with what it leaves (server/consumer.go).
			n, ok := parsePending(m.Header)
			if !ok {
				return message{}, fmt.Errorf("fsck: the consumer ended: %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
			}
			f.owed -= n
			continue
		}
		meta, err := m.Metadata()
		if err != nil {
			return message{}, fmt.Errorf("fsck: unexpected reply subject %q: %w", m.Reply, err)
		}
		f.owed--
		f.pending = meta.NumPending
		return message{m, meta.Sequence.Stream}, nil
	}
}

// wait waits for the next message.
func (f *feed) wait(ctx context.Context) (*nats.Msg, error) {
	f.timer.Reset(feedQuiet)
	select {
	case m := <-f.got:
		return m, nil
	case <-f.timer.C:
		return nil, errQuiet
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
