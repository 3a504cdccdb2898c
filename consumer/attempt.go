package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
)

// handle handles a record in a worker: it returns a wait before it is to be tried again,
// or an error that ends the member.
func (m *member) handle(ctx context.Context, _ string, _ *struct{}, h *held) (again time.Duration, err error) {
	m.active.Add(1)
	defer m.active.Add(-1)
	m.mu.Lock()
	msg := h.msg
	m.mu.Unlock()
	n := uint64(0)
	pass := func(ev enact.StoredEvent) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if n++; n <= h.done {
			return nil
		}
		if m.group.selects == nil || m.group.selects(ev.Event) {
			if err := m.attempt(ctx, h, ev); err != nil {
				return err
			}
		}
		h.done, h.failures, h.givenUp = n, 0, nil
		return nil
	}
	err = m.events(ctx, msg, h, pass)
	if err != nil && ctx.Err() != nil {
		return 0, nil // it is given back
	}
	if unreadable(err) {
		// The record as a whole is what failed.
		err = m.failed(ctx, h, unreadEvent(m.reader, msg, h.position), err)
	}
	switch wait, retry := errors.AsType[*tryAgain](err); {
	case retry:
		return wait.after, nil
	case err != nil && (err == errDeposed || stops(err) || lasting(err)):
		return 0, err
	case err != nil:
		// The log could not be read just now.
		return longPause, nil
	}
	m.finish(h)
	return 0, nil
}

// tryAgain says that an event is to be tried again.
type tryAgain struct{ after time.Duration }

func (e *tryAgain) Error() string { return fmt.Sprintf("consumer: again in %v", e.after) }

// events passes on the events of a record, or of the batch that it ends.
func (m *member) events(ctx context.Context, msg *nats.Msg, h *held, pass func(enact.StoredEvent) error) error {
	if h.of > 1 {
		var unknown history
		unknown.floor = h.position // nothing is known: from the batch's first record on
		return m.reader.events(ctx, msg.Subject, &unknown, h.position-uint64(h.of-1), h.position, h.position, pass)
	}
	if h.events == nil {
		r, err := m.parse(msg, h.position)
		if err != nil {
			return err
		}
		if h.events, err = r.Events(ctx, m.store.Codecs()); err != nil {
			return err
		}
	}
	for _, ev := range h.events {
		if err := pass(ev); err != nil {
			return err
		}
	}
	return nil
}

// attempt tries one event. nil means that it is done with.
func (m *member) attempt(ctx context.Context, h *held, ev enact.StoredEvent) error {
	cfg := &m.group.cfg
	if m.group.mode == Ordered && !m.pinned() {
		return errDeposed
	}
	switch most := cfg.maxDeliveries; {
	case h.hasGivenUp(ev):
		return m.bury(ctx, h)
	case most > 0 && h.before >= most:
		return m.giveUp(ctx, h, ev, h.before, errNoAnswer)
	}
	err := cfg.pass(ctx, m.handler, ev, h.before+h.failures+1)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case stops(err):
		cfg.onFailure(Failure{Group: m.group.name, Err: err})
		return err
	}
	return m.failed(ctx, h, ev, err)
}

// errNoAnswer is the reason of a dead letter whose deliveries were not answered.
var errNoAnswer = errors.New("no member answered: it crashed, hung, was cut off or was stopped each time")

// failed counts a failed attempt and says whether there is to be another one.
func (m *member) failed(ctx context.Context, h *held, ev enact.StoredEvent, cause error) error {
	if h.hasGivenUp(ev) {
		return m.bury(ctx, h)
	}
	cfg := &m.group.cfg
	h.failures++
	attempts := h.before + h.failures
	if cfg.maxDeliveries > 0 && attempts >= cfg.maxDeliveries {
		return m.giveUp(ctx, h, ev, attempts, cause)
	}
	again := cfg.backoff[min(attempts, len(cfg.backoff))-1]
	cfg.onFailure(Failure{Group: m.group.name, Err: cause, Again: again})
	return &tryAgain{again}
}

// givenUp is an event that is not tried any more, and its dead letter, which is to be stored.
type givenUp struct {
	letter DeadLetter
	cause  error
}

// hasGivenUp reports whether the event is given up, or what stands for the record as a whole.
func (h *held) hasGivenUp(ev enact.StoredEvent) bool {
	return h.givenUp != nil && h.givenUp.letter.Sequence == ev.Sequence
}

// giveUp makes a dead letter of an event.
func (m *member) giveUp(ctx context.Context, h *held, ev enact.StoredEvent, attempts int, cause error) error {
	h.givenUp = &givenUp{newDeadLetter(m.group.name, ev, attempts, cause), cause}
	return m.bury(ctx, h)
}

// bury stores the dead letter of an event that is given up. Only then is it done with.
func (m *member) bury(ctx context.Context, h *held) error {
	cause := h.givenUp.cause
	if err := m.storeDeadLetter(ctx, h.givenUp.letter); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		m.group.cfg.onFailure(Failure{Group: m.group.name, Err: errors.Join(cause, err), Again: longPause})
		return &tryAgain{longPause}
	}
	m.group.cfg.onFailure(Failure{Group: m.group.name, Err: cause, DeadLetter: true})
	return nil
}

// finish acknowledges a record.
func (m *member) finish(h *held) {
	m.mu.Lock()
	delete(m.held, h.position)
	msg := h.msg
	m.finished.Add(h.position, msg.Reply)
	m.mu.Unlock()
	m.answer(msg, ackDone)
	if msg.Reply != "" {
		m.answered.Store(&msg.Reply)
	}
	m.wake()
}

// wake has the member look again at what it has and wants.
func (m *member) wake() {
	select {
	case m.freed <- struct{}{}:
	default:
	}
}

// answer sends word of a delivery. One that is lost is missed by the server, which sends
// the record again. Nobody waits for word of what was not sent.
func (m *member) answer(msg *nats.Msg, what []byte) {
	if msg.Reply != "" {
		_ = m.nc.Publish(msg.Reply, what)
	}
}

// unreadEvent stands for the events of a record that cannot be read.
func unreadEvent(rd reader, msg *nats.Msg, position uint64) enact.StoredEvent {
	ev := enact.StoredEvent{Position: position}
	ev.TenantID, ev.ExecutionID, _ = rd.store.Subjects().ParseExecution(msg.Subject)
	return ev
}
