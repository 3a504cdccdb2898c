package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// A load of 20 events, each a record, beside the raw reads that could do it: the
// leader's last message and a direct-get batch, which see what a load sees but check
// nothing, and an ordered consumer, which may be behind.
func BenchmarkLoad20(b *testing.B) {
	places(b, func(b *testing.B, p *place) {
		ctx := context.Background()
		run := p.store.Execution("acme", enact.NewExecutionID())
		for range 20 {
			_, err := run.Append(ctx, payload(256))
			check(b, err)
		}
		load := func(int) {
			events, err := run.LoadEvents(ctx)
			check(b, err)
			if len(events) != 20 {
				b.Fatal(len(events))
			}
		}
		for _, raw := range []struct {
			name string
			read func(subject string, n int) error
		}{{"leader-and-batch", p.rawFencedRead}, {"ordered-consumer", p.rawConsumer}} {
			b.Run(raw.name, func(b *testing.B) {
				b.ReportAllocs()
				subject := p.store.Subjects().Execution(run.Tenant(), run.ID())
				compare(b, func(int) { check(b, raw.read(subject, 20)) }, load)
			})
		}
	})
}

// 100 000 events of one execution, each a record, with as many of others between
// them, beside a raw ordered consumer that decodes and checks nothing.
func BenchmarkLoad100000(b *testing.B) {
	places(b, func(b *testing.B, p *place) {
		const n, batch = 100_000, 500
		ctx := context.Background()
		run := p.store.Execution("acme", enact.NewExecutionID())
		other := p.store.Execution("acme", enact.NewExecutionID())
		events := make([]enact.Event, batch)
		for i := range events {
			events[i] = payload(256)
		}
		for range n / batch {
			for _, e := range []jetstore.Execution{run, other} {
				_, err := e.AppendBatch(ctx, events, enact.WithOneEventPerRecord())
				check(b, err)
			}
		}
		subject := p.store.Subjects().Execution(run.Tenant(), run.ID())
		compare(b,
			func(int) { check(b, p.rawConsumer(subject, n)) },
			func(int) {
				got := 0
				for _, err := range run.Events(ctx, 0) {
					check(b, err)
					got++
				}
				if got != n {
					b.Fatal(got)
				}
			})
	})
}

// consumer makes an ordered consumer of a subject of the log. The client never deletes it
// and a server takes 1000 on a stream (server/jetstream_api.go,
// JSDefaultMaxConsumersPerStream): it is to go soon after it was used.
func (p *place) consumer(subject string) (jetstream.Consumer, error) {
	return p.js.OrderedConsumer(context.Background(), p.store.StreamName(), jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject}, InactiveThreshold: 300 * time.Millisecond,
	})
}

// rawConsumer reads n messages of a subject of the log through an ordered consumer.
func (p *place) rawConsumer(subject string, n int) error {
	c, err := p.consumer(subject)
	if err != nil {
		return err
	}
	messages, err := c.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for range n {
		if _, err := messages.Next(); err != nil {
			return err
		}
	}
	return nil
}

// rawFencedRead asks the leader for a subject's last message and any replica for all n.
func (p *place) rawFencedRead(subject string, n int) error {
	body, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return err
	}
	reply, err := p.nc.Request("$JS.API.STREAM.MSG.GET."+p.store.StreamName(), body, patience)
	if err != nil {
		return err
	}
	if bytes.Contains(reply.Data, []byte(`"error"`)) {
		return fmt.Errorf("leader get: %s", reply.Data)
	}
	return p.rawBatch(subject, n)
}

// rawBatch asks any replica for a subject's n messages.
func (p *place) rawBatch(subject string, n int) error {
	return p.rawDirect(map[string]any{"seq": 1, "next_by_subj": subject, "batch": n}, n)
}

// rawDirect asks any replica for n messages, and again where it does not have them all yet.
func (p *place) rawDirect(request any, n int) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		got, err := p.direct(body, n)
		switch {
		case err != nil || got >= n:
			return err
		case time.Since(began) > patience:
			return fmt.Errorf("a replica lags: it has %d messages of %d", got, n)
		}
	}
}

// direct makes one request of up to n messages and returns how many came.
func (p *place) direct(body []byte, n int) (got int, err error) {
	replies := make(chan *nats.Msg, n+1)
	inbox := p.nc.NewRespInbox()
	sub, err := p.nc.ChanSubscribe(inbox, replies)
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := p.nc.PublishMsg(&nats.Msg{Subject: "$JS.API.DIRECT.GET." + p.store.StreamName(), Reply: inbox, Data: body}); err != nil {
		return 0, err
	}
	for {
		if m := <-replies; m.Header.Get("Status") != "" {
			return got, nil
		}
		got++
	}
}
