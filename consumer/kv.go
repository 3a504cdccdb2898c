package consumer

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Codes of a compare-and-set that did not hold (server/errors.json).
const (
	codeWrongSequence        = 10071
	codeWrongSequenceUnknown = 10164
)

// KVCheckpoint is a [Checkpoint] in a NATS key-value bucket beside the log: for each
// execution the sequence of the last event that was handled. It is for a [Follow] and an
// [Ordered] group, which hand over the events of an execution in order; a [Parallel]
// group refuses it. One bucket serves one handler.
//
// A mark is stored after the handler has returned: after a crash between the two an
// event comes once more. A mark only moves on from what it was: of two processes that
// handle one event at the same time the second is told so ([ErrCheckpointConflict]).
//
// Each event costs a write, and the first one of an execution since the Follow began, or since
// the member became the active one, a question to the leader besides: a Follow counts as the
// bucket's only one while it runs.
type KVCheckpoint struct {
	store  *jetstore.Store
	bucket string
	marks  *lru.Cache[string, mark]
}

// mark is the value of a key.
type mark struct {
	revision, sequence uint64
	by                 *stint // in which this process has saved it; nil: in none, or it was met
}

// EnsureKVCheckpoint makes the bucket where it is missing, with as many replicas as the
// log's stream, and changes nothing where it is not. A bucket's name has letters,
// digits, '_' and '-'. Errors: an [*enact.OptionError], and those of [EnsureDeadLetters].
func EnsureKVCheckpoint(ctx context.Context, store *jetstore.Store, bucket string) error {
	if err := checkBucket(bucket); err != nil {
		return err
	}
	return manage(ctx, store, func(ctx context.Context, at site) error {
		cfg, err := at.besideLog(ctx)
		if err != nil {
			return err
		}
		js, err := jetstream.NewWithAPIPrefix(at.nc, at.prefix)
		if err != nil {
			return err
		}
		_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{
			Bucket: bucket, Description: "Agent executions: events that a handler is done with",
			Storage: cfg.Storage, Replicas: cfg.Replicas,
		})
		if errors.Is(err, jetstream.ErrBucketExists) {
			return nil
		}
		return err
	})
}

// OpenKVCheckpoint opens a bucket. Errors: enact.ErrStreamNotFound if it does not exist,
// and those of [EnsureKVCheckpoint].
func OpenKVCheckpoint(ctx context.Context, store *jetstore.Store, bucket string) (*KVCheckpoint, error) {
	if err := checkBucket(bucket); err != nil {
		return nil, err
	}
	marks, _ := lru.New[string, mark](DefaultCacheSize)
	c := &KVCheckpoint{store: store, bucket: bucket, marks: marks}
	if err := manage(ctx, store, func(ctx context.Context, at site) error { return at.streamExists(ctx, c.stream()) }); err != nil {
		return nil, err
	}
	return c, nil
}

func checkBucket(bucket string) error {
	if bucket == "" || len(bucket) > 200 || enact.EncodeToken(bucket) != bucket {
		return invalid("bucket", "%.100q is not 1 to 200 letters, digits, '_' and '-'", bucket)
	}
	return nil
}

// manage is manage in general; what a subscriber of the store asks for it does in its name, also
// while the store is being shut down.
func (c *KVCheckpoint) manage(ctx context.Context, f func(context.Context, site) error) error {
	if at := stintWithin(ctx, c.store); at != nil {
		return at.manage(ctx, f)
	}
	return manage(ctx, c.store, f)
}

// inOrder says that the checkpoint needs events in order.
func (c *KVCheckpoint) inOrder() {}

func (c *KVCheckpoint) stream() string { return "KV_" + c.bucket }

// subject returns the subject of an execution's key. A key has no '%', but '='.
func (c *KVCheckpoint) subject(ev enact.StoredEvent) string {
	key := enact.EncodeToken(string(ev.TenantID)) + "." + enact.EncodeToken(string(ev.ExecutionID))
	return "$KV." + c.bucket + "." + strings.ReplaceAll(key, "%", "=")
}

// Done implements [Checkpoint].
func (c *KVCheckpoint) Done(ctx context.Context, ev enact.StoredEvent) (bool, error) {
	subject := c.subject(ev)
	// That an event is not done only the leader knows: another member of an ordered group
	// may have been active since this process last looked. Not since one without a break has
	// saved the mark itself: that made a conflict of what the one before it may still save.
	m, ok := c.marks.Get(subject)
	own := ok && m.by != nil && m.by == stintWithin(ctx, c.store) && !m.by.broken.Load()
	if !own && (!ok || ev.Sequence > m.sequence) {
		var err error
		if m, err = c.look(ctx, subject); err != nil {
			return false, err
		}
	}
	return ev.Sequence <= m.sequence, nil
}

// mark returns the value of a key, as this process last met it or as the leader has it.
func (c *KVCheckpoint) mark(ctx context.Context, subject string) (mark, error) {
	if m, ok := c.marks.Get(subject); ok {
		return m, nil
	}
	return c.look(ctx, subject)
}

// look returns the value of a key as the leader has it.
func (c *KVCheckpoint) look(ctx context.Context, subject string) (m mark, err error) {
	err = c.manage(ctx, func(ctx context.Context, at site) error {
		m, _, err = c.ask(ctx, at, subject)
		return err
	})
	if err != nil {
		return m, err
	}
	if met, ok := c.marks.Get(subject); ok && met.revision > m.revision {
		return met, nil // by a leader that has lost its office without knowing it
	}
	c.marks.Add(subject, m)
	return m, nil
}

// headerSave holds an id of the Save that has stored a mark.
const headerSave = "Enact-Save"

// ask asks the leader for the value of a key, and the id of the Save that it is of: nats.go's
// KeyValue would ask any replica, which may be behind.
func (c *KVCheckpoint) ask(ctx context.Context, at site, subject string) (m mark, save string, err error) {
	var resp struct {
		Message struct {
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	err = at.Request(ctx, "STREAM.MSG.GET."+c.stream(), map[string]string{"last_by_subj": subject}, &resp)
	if hasCode(err, codeMessageNotFound) {
		return mark{}, "", nil
	}
	if err != nil {
		return mark{}, "", err
	}
	m.revision = resp.Message.Sequence
	if m.sequence, err = strconv.ParseUint(string(resp.Message.Data), 10, 64); err != nil {
		return mark{}, "", invalid("bucket", "%s holds something else at %s", c.bucket, subject)
	}
	if h, err := nats.DecodeHeadersMsg(resp.Message.Header); err == nil {
		save = h.Get(headerSave)
	}
	return m, save, nil
}

// Save implements [Checkpoint].
func (c *KVCheckpoint) Save(ctx context.Context, ev enact.StoredEvent) error {
	subject := c.subject(ev)
	m, err := c.mark(ctx, subject)
	if err != nil || ev.Sequence <= m.sequence {
		return err
	}
	msg := nats.NewMsg(subject)
	msg.Data = strconv.AppendUint(nil, ev.Sequence, 10)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(m.revision, 10))
	msg.Header.Set(headerSave, nuid.Next())
	revision := uint64(0)
	err = c.manage(ctx, func(ctx context.Context, at site) (err error) {
		if revision, err = at.publish(ctx, msg, c.stream()); isConflict(err) {
			revision, err = c.settle(ctx, at, msg, m, err)
		}
		return err
	})
	switch {
	case err == nil:
		c.marks.Add(subject, mark{revision: revision, sequence: ev.Sequence, by: stintWithin(ctx, c.store)})
		return nil
	case isConflict(err):
		err = fmt.Errorf("%w: event %d of execution %q of tenant %q", ErrCheckpointConflict, ev.Sequence, string(ev.ExecutionID), string(ev.TenantID))
	}
	// What is stored there is not known any more.
	c.marks.Remove(subject)
	return err
}

// settle finds out what has refused a mark behind m: another one, for which refused is the
// error, or the mark itself, from a try whose answer was lost, which is none; then it returns
// where that is. A refusal alone proves nothing.
func (c *KVCheckpoint) settle(ctx context.Context, at site, msg *nats.Msg, m mark, refused error) (revision uint64, err error) {
	now, save, err := c.ask(ctx, at, msg.Subject)
	switch {
	case err != nil:
		return 0, err
	case save == msg.Header.Get(headerSave):
		return now.revision, nil
	case now.revision <= m.revision:
		return 0, fmt.Errorf("consumer: mark of %s is not settled: %v", msg.Subject, refused) // not yet there, or no leader
	}
	return 0, refused
}

func isConflict(err error) bool {
	return hasCode(err, codeWrongSequence) || hasCode(err, codeWrongSequenceUnknown)
}
