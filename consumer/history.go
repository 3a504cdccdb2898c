package consumer

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

// history is what a subscriber of many executions knows of one: where the part that it
// has passed on ends. Of one that is new, or was forgotten, it knows a position up to
// which there is nothing to miss.
type history struct {
	floor   uint64 // while nothing else is known: records up to here were passed on, or are not wanted
	tail    record.Tail
	proven  bool // tail has a number, an origin and a chain value
	chained bool // the chain value is checked
}

// known reports whether records of the execution were passed on.
func (h *history) known() bool { return h.tail.Position > 0 }

// end returns the position of the last record that was passed on, as far as it is known.
func (h *history) end() uint64 { return max(h.floor, h.tail.Position) }

// continues reports whether r is what follows.
func (h *history) continues(r *record.Record) bool {
	t := &h.tail
	switch {
	case !h.known():
		return r.Previous() <= h.floor
	case r.Sequence != t.Sequence+1 || r.Previous() != t.Position:
		return false
	}
	return !h.proven || r.Link.Number == t.Number+1 && r.Link.Origin == t.Origin && (!h.chained || r.Follows(t.Chain))
}

// pass notes that r was passed on.
func (h *history) pass(r *record.Record) { h.tail, h.proven = r.Tail(), true }

// passEvent notes that an event was passed on that the store has read.
func (h *history) passEvent(ev enact.StoredEvent) {
	h.tail, h.proven = record.Tail{Sequence: ev.Sequence, Position: ev.Position}, false
}

// reader reads parts of histories back from the log, whose reads are the authority on
// what a history is: they are fenced, and check the chain.
type reader struct {
	site
	store *jetstore.Store
}

// parse decodes a message of the stream.
func (rd reader) parse(m *nats.Msg, position uint64) (*record.Record, error) {
	return record.Parse(rd.store.Subjects(), m.Subject, position, m.Header, m.Data)
}

// events passes on the events of an execution behind what h knows up to the record at
// position last. first is the position of the first record that is wanted where h knows
// none, and seen that of a record which has been delivered. A history that does not reach
// last that way is corrupt, once the answers are as recent as what was delivered.
func (rd reader) events(ctx context.Context, subject string, h *history, first, last, seen uint64, pass func(enact.StoredEvent) error) error {
	tenant, id, err := rd.store.Subjects().ParseExecution(subject)
	if err != nil {
		return &enact.CorruptError{Position: last, Reason: err.Error()}
	}
	run := rd.store.Execution(tenant, id)
	after := h.tail.Sequence
	if !h.known() {
		if after, err = rd.before(ctx, subject, min(first, h.floor+1)); err != nil {
			return err
		}
	}
	return confirmed(ctx, rd, seen, recentReads{
		read: func(ctx context.Context) error {
			reached := uint64(0)
			for ev, err := range run.Events(ctx, after) {
				if err != nil {
					return err
				}
				if ev.Position > last {
					break
				}
				if err := pass(ev); err != nil {
					return err
				}
				after, reached = ev.Sequence, ev.Position
				h.passEvent(ev)
			}
			if reached != last {
				return &enact.CorruptError{
					TenantID: tenant, ExecutionID: id, Position: last,
					Reason: fmt.Sprintf("the record is not part of the history, which event %d of it precedes", after),
				}
			}
			return nil
		},
		end: func(ctx context.Context) (uint64, error) {
			head, err := run.Head(ctx)
			return head.Position, err
		},
	})
}

// recentReads are reads of one history.
type recentReads struct {
	read func(context.Context) error           // goes on where the one before has ended
	end  func(context.Context) (uint64, error) // position of the history's last record
}

// confirmed reads, and takes a history for corrupt only on answers that are as recent as
// the record at position seen. A leader that has lost its office without knowing it gives
// older ones for some seconds (server/raft.go). Once an answer has reached that far the
// store accepts no older one. Servers that are away for longer than the store waits are
// waited for.
func confirmed(ctx context.Context, l link, seen uint64, r recentReads) error {
	reached := false
	for p := (pause{}); ; {
		err := r.read(ctx)
		if errors.Is(err, enact.ErrCorrupt) && !errors.Is(err, ErrHandler) && !reached {
			var end uint64
			if end, err = r.end(ctx); err == nil && end >= seen {
				reached = true
				continue
			}
		} else if !away(ctx, err) {
			return err
		}
		if err != nil && !away(ctx, err) {
			return err
		}
		if waitErr := p.wait(ctx, l); waitErr != nil {
			return errors.Join(waitErr, err)
		}
	}
}

// away reports whether an error of a read is that no server answered in time.
func away(ctx context.Context, err error) bool {
	return errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrHandler) && ctx.Err() == nil
}

// before returns the sequence before the first event of the subject at a position or
// behind it, as the leader has it.
func (rd reader) before(ctx context.Context, subject string, position uint64) (uint64, error) {
	r, err := retry(ctx, rd, func() (*record.Record, error) { return rd.leaderNext(ctx, subject, position) })
	if err != nil {
		return 0, err
	}
	return r.Sequence - 1, nil
}

// leaderNext reads the first record of a subject from a position on from the leader.
func (rd reader) leaderNext(ctx context.Context, subject string, position uint64) (*record.Record, error) {
	var resp struct {
		Message struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	err := rd.Request(ctx, "STREAM.MSG.GET."+rd.stream, map[string]any{"seq": position, "next_by_subj": subject}, &resp)
	if err != nil {
		return nil, err
	}
	m := &nats.Msg{Subject: resp.Message.Subject, Data: resp.Message.Data}
	if m.Header, err = nats.DecodeHeadersMsg(resp.Message.Header); err != nil {
		m.Header = nil // not something that the log writes: parsing says so
	}
	return rd.parse(m, resp.Message.Sequence)
}
