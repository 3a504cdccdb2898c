// Package ask sends questions over a NATS connection, one at a time, and tells apart why
// there is no answer. A refusal for want of permission is known at once, where a request of
// nats.go waits until time is up.
package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
)

// Timeout bounds the wait for the first answer.
const Timeout = 5 * time.Second

// One sends a message and returns its answer. A refusal for want of permission matches
// enact.ErrNotPermitted.
func One(ctx context.Context, nc *nats.Conn, msg *nats.Msg) (*nats.Msg, error) {
	answers, err := All(ctx, nc, msg, 0, func([]*nats.Msg) bool { return true })
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// All sends a message and returns its answers: those that come until enough says so of
// them, or until none came for as long as patience. There is at least one unless it returns
// an error.
func All(ctx context.Context, nc *nats.Conn, msg *nats.Msg, patience time.Duration, enough func([]*nats.Msg) bool) ([]*nats.Msg, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	// Its only errors are that it or the connection is closed already.
	defer func() { _ = sub.Unsubscribe() }()
	before := nc.LastError()
	sent := *msg
	sent.Reply = inbox
	if err := nc.PublishMsg(&sent); err != nil {
		return nil, err
	}
	// The server answers in order: what it has against the message comes before the pong.
	if err := flush(ctx, nc); err != nil {
		return nil, err
	}
	if after := nc.LastError(); after != before && errors.Is(after, nats.ErrPermissionViolation) {
		for _, subject := range []string{msg.Subject, inbox} {
			if strings.Contains(after.Error(), strconv.Quote(subject)) {
				return nil, fmt.Errorf("%w: %w", enact.ErrNotPermitted, after)
			}
		}
	}
	next := func(bound time.Duration) (*nats.Msg, error) {
		ctx, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		return sub.NextMsgWithContext(ctx)
	}
	var answers []*nats.Msg
	for bound := Timeout; ; bound = patience {
		answer, err := next(bound)
		switch {
		case err != nil && len(answers) > 0 && ctx.Err() == nil:
			return answers, nil // patience is at its end
		case err != nil:
			return nil, err
		case len(answer.Data) == 0 && answer.Header.Get("Status") == "503":
			return nil, nats.ErrNoResponders
		}
		if answers = append(answers, answer); enough(answers) {
			return answers, nil
		}
	}
}

func flush(ctx context.Context, nc *nats.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	return nc.FlushWithContext(ctx)
}

// JSON sends a request whose answer is JSON, as JetStream's API answers, with body as JSON
// (nil: none) and decodes the answer into a pointer (nil: not looked at). An answer that is an
// error is returned as *jetstream.APIError.
func JSON(ctx context.Context, nc *nats.Conn, subject string, body, into any) error {
	msg := &nats.Msg{Subject: subject}
	if body != nil {
		var err error
		if msg.Data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	answer, err := One(ctx, nc, msg)
	if err != nil {
		return err
	}
	var refused struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &refused); err != nil {
		return fmt.Errorf("unexpected answer on %s: %w", subject, err)
	}
	if refused.Error != nil {
		return refused.Error
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer.Data, into)
}

// Why says in a few words why a question has no answer.
func Why(err error) string {
	switch {
	case errors.Is(err, enact.ErrNotPermitted):
		return "the connection may not ask"
	case errors.Is(err, nats.ErrNoResponders):
		return "nobody answers"
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	}
	return err.Error()
}
