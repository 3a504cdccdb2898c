package consumer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// deadLetterSuffix makes the name of the dead letters' stream from the log stream's, and
// deadLetterPrefix the first token of its subjects from the log's prefix.
const (
	deadLetterSuffix = "_DEAD"
	deadLetterPrefix = "-dead"
)

// noID is the token of an id that cannot be read.
const noID = "%"

// maxReason bounds the reason of a dead letter, in bytes.
const maxReason = 4 << 10

// DeadLetter says that a group has given an event up, and why. It does not hold the
// event, which stays where it is: load it by its sequence.
type DeadLetter struct {
	Group       string            `json:"group"`
	TenantID    enact.TenantID    `json:"tenant_id"`
	ExecutionID enact.ExecutionID `json:"execution_id"`
	Sequence    uint64            `json:"sequence"` // 0: the record at the position cannot be read
	Position    uint64            `json:"position"` // of the event's record in the log
	Type        string            `json:"type,omitempty"`
	Attempts    int               `json:"attempts"`
	Panic       bool              `json:"panic"`
	Reason      string            `json:"reason"` // at most 4 KiB
	Time        time.Time         `json:"time"`

	Place uint64 `json:"-"` // position in the dead letters' stream
}

// EnsureDeadLetters makes the stream of the log's dead letters where it is missing, and
// changes nothing where it is not: "<stream>_DEAD", with as many replicas as the log's
// stream, on the subjects "<prefix>-dead.<group>.<tenant>.<execution>". It is an
// ordinary stream: what was looked into may be deleted from it. Errors:
// enact.ErrNotPermitted, enact.ErrStreamNotFound, enact.ErrClosed, the server's, the
// context's, or the connection's.
func EnsureDeadLetters(ctx context.Context, store *jetstore.Store) error {
	return manage(ctx, store, func(ctx context.Context, at site) error {
		err := at.streamExists(ctx, at.stream+deadLetterSuffix)
		if !errors.Is(err, enact.ErrStreamNotFound) {
			return err
		}
		log, err := at.besideLog(ctx)
		if err != nil {
			return err
		}
		err = at.Request(ctx, "STREAM.CREATE."+at.stream+deadLetterSuffix, jetstream.StreamConfig{
			Name:        at.stream + deadLetterSuffix,
			Description: "Agent executions: events that groups have given up",
			Subjects:    []string{deadSubject(store.Subjects(), ">")},
			Storage:     log.Storage,
			Replicas:    log.Replicas,
			Discard:     jetstream.DiscardNew,
			MaxMsgs:     -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1, MaxConsumers: -1,
			AllowDirect: true,
			Metadata:    map[string]string{metaKind: "dead letters"},
		}, nil)
		if hasCode(err, codeStreamNameInUse) {
			return nil
		}
		return err
	})
}

// besideLog returns the storage and the replicas of the log's stream, for one beside it.
func (s site) besideLog(ctx context.Context) (cfg struct {
	Replicas int                   `json:"num_replicas"`
	Storage  jetstream.StorageType `json:"storage"`
}, err error,
) {
	var info struct {
		Config json.RawMessage `json:"config"`
	}
	if err := s.Request(ctx, "STREAM.INFO."+s.stream, nil, &info); err != nil {
		return cfg, s.namedStream(err)
	}
	return cfg, json.Unmarshal(info.Config, &cfg)
}

func checkDeadLetters(ctx context.Context, store *jetstore.Store) error {
	return manage(ctx, store, func(ctx context.Context, at site) error {
		return at.streamExists(ctx, at.stream+deadLetterSuffix)
	})
}

func (s site) streamExists(ctx context.Context, name string) error {
	err := s.Request(ctx, "STREAM.INFO."+name, nil, nil)
	if hasCode(err, codeStreamNotFound) {
		return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, name)
	}
	return err
}

// deadSubject returns a subject of dead letters.
func deadSubject(s enact.Subjects, tokens ...string) string {
	return s.Prefix() + deadLetterPrefix + "." + strings.Join(tokens, ".")
}

// DeadLetters yields the dead letters of a group, or with "" of all groups, oldest
// first, that exist when the range begins. An error is yielded once, last. Errors:
// enact.ErrStreamNotFound if there is no stream of dead letters, and those of [List].
func DeadLetters(ctx context.Context, store *jetstore.Store, group string) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		filter := deadSubject(store.Subjects(), ">")
		if group != "" {
			filter = deadSubject(store.Subjects(), group, ">")
		}
		for next := uint64(1); ; {
			letter, err := nextDeadLetter(ctx, store, filter, next)
			if err == errNoMore || !yield(letter, err) || err != nil {
				return
			}
			next = letter.Place + 1
		}
	}
}

// errNoMore says that there is no further dead letter.
var errNoMore = errors.New("consumer: no more dead letters")

func nextDeadLetter(ctx context.Context, store *jetstore.Store, filter string, from uint64) (letter DeadLetter, err error) {
	err = manage(ctx, store, func(ctx context.Context, at site) error {
		var resp struct {
			Message struct {
				Sequence uint64 `json:"seq"`
				Data     []byte `json:"data"`
			} `json:"message"`
		}
		stream := at.stream + deadLetterSuffix
		err := at.Request(ctx, "STREAM.MSG.GET."+stream, map[string]any{"seq": from, "next_by_subj": filter}, &resp)
		switch {
		case hasCode(err, codeMessageNotFound):
			return errNoMore
		case hasCode(err, codeStreamNotFound):
			return fmt.Errorf("%w: %s", enact.ErrStreamNotFound, stream)
		case err != nil:
			return err
		}
		if err := json.Unmarshal(resp.Message.Data, &letter); err != nil {
			return fmt.Errorf("consumer: dead letter %d: %w", resp.Message.Sequence, err)
		}
		letter.Place = resp.Message.Sequence
		return nil
	})
	return letter, err
}

func newDeadLetter(group string, ev enact.StoredEvent, attempts int, cause error) DeadLetter {
	d := DeadLetter{
		Group: group, TenantID: ev.TenantID, ExecutionID: ev.ExecutionID, Sequence: ev.Sequence, Position: ev.Position,
		Attempts: attempts, Panic: errors.Is(cause, ErrHandlerPanic), Reason: clip(cause.Error()), Time: time.Now().UTC(),
	}
	if ev.Event != nil {
		d.Type = ev.Event.Type()
	}
	return d
}

func clip(s string) string {
	if len(s) > maxReason {
		s = s[:maxReason]
	}
	return strings.ToValidUTF8(s, "")
}

// storeDeadLetter stores a dead letter, once however often it is tried within the
// stream's window for duplicates.
func (rd reader) storeDeadLetter(ctx context.Context, d DeadLetter) error {
	data, err := json.Marshal(d)
	if err != nil {
		return err
	}
	// The ids of what somebody has put on a subject that is no execution's are empty, which a
	// token must not be. No id is encoded as noID.
	msg := nats.NewMsg(deadSubject(rd.store.Subjects(), d.Group,
		cmp.Or(enact.EncodeToken(string(d.TenantID)), noID), cmp.Or(enact.EncodeToken(string(d.ExecutionID)), noID)))
	msg.Data = data
	msg.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s/%d/%d", d.Group, d.Position, d.Sequence))
	_, err = rd.publish(ctx, msg, rd.stream+deadLetterSuffix)
	return err
}

// publish stores one message and returns its position. It asks once and waits two
// seconds at most.
func (s site) publish(ctx context.Context, msg *nats.Msg, stream string) (position uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	reply, err := s.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return 0, errors.Join(err, s.Denied(msg.Subject))
	}
	var ack struct {
		Stream   string              `json:"stream"`
		Sequence uint64              `json:"seq"`
		Error    *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &ack); err != nil {
		return 0, fmt.Errorf("consumer: unexpected answer to a publish: %w", err)
	}
	switch {
	case ack.Error != nil:
		return 0, ack.Error
	case ack.Stream != stream || ack.Sequence == 0:
		return 0, fmt.Errorf("consumer: publish was acknowledged by stream %q, not by %q", ack.Stream, stream)
	}
	return ack.Sequence, nil
}
