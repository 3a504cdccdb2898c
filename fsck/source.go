package fsck

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

const (
	codeNotFound = 10037 // no message found (server/errors.json)

	// patience is how long a stage goes on asking a server that does not answer as it should.
	patience = 30 * time.Second
	// leaderTries is how often a copy is asked for a message that the leader has, over about 15
	// seconds: it may lag, or its server be busy. What has no message then is asked for those
	// behind it oftenTold times.
	leaderTries = 8
	oftenTold   = 3
)

// message is a message of a stream and where it stands.
type message struct {
	*nats.Msg
	position uint64
}

// source reads a stream.
type source struct {
	att    *jetstore.Attachment
	stream string
	filter string // subjects; "": all
	// pinned is the server whose copy is read, and no other; "": any. It must be the leader.
	pinned string
}

// streamInfo is the part of STREAM.INFO that a check looks at.
type streamInfo struct {
	Created time.Time `json:"created"`
	Config  struct {
		First    uint64            `json:"first_seq"`
		Replicas int               `json:"num_replicas"`
		Metadata map[string]string `json:"metadata"`
	} `json:"config"`
	State struct {
		Messages uint64            `json:"messages"`
		First    uint64            `json:"first_seq"`
		Last     uint64            `json:"last_seq"`
		NumSubj  uint64            `json:"num_subjects"`
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	Cluster *clusterInfo `json:"cluster"`
}

type clusterInfo struct {
	Leader   string `json:"leader"`
	Replicas []struct {
		Name    string `json:"name"`
		Current bool   `json:"current"`
		Offline bool   `json:"offline"`
	} `json:"replicas"`
}

// bounds returns the positions that the stream should have messages at. last is first-1
// for a stream that is empty.
func (i *streamInfo) bounds() (first, last uint64) {
	first = max(i.Config.First, 1)
	return first, max(i.State.Last, first-1)
}

func (i *streamInfo) incarnation() string {
	if id := i.Config.Metadata["enact.incarnation"]; id != "" {
		return id
	}
	return i.Created.UTC().Format(time.RFC3339Nano)
}

// request asks until there is an answer, or asking is of no use.
func request[T any](ctx context.Context, att *jetstore.Attachment, subject string, body any) (*T, error) {
	return insist(ctx, func() (*T, error) {
		into := new(T)
		return into, att.Request(ctx, subject, body, into)
	})
}

// insist calls f until it succeeds, its error lasts, or patience is at its end.
func insist[T any](ctx context.Context, f func() (T, error)) (T, error) {
	for began := time.Now(); ; {
		v, err := f()
		if err == nil || lasting(err) || ctx.Err() != nil || time.Since(began) > patience {
			return v, err
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return v, err
		}
	}
}

// lasting reports whether asking again cannot help.
func lasting(err error) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.Code >= 400 && apiErr.Code < 500 || errors.Is(err, enact.ErrNotPermitted) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, enact.ErrStreamNotFound)
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func (s *source) info(ctx context.Context, filter string) (*streamInfo, error) {
	var body any
	if filter != "" {
		body = map[string]string{"subjects_filter": filter}
	}
	return request[streamInfo](ctx, s.att, "STREAM.INFO."+s.stream, body)
}

// leaderNext returns the leader's first message from a position on; nil: there is none.
func (s *source) leaderNext(ctx context.Context, from uint64) (*message, error) {
	filter := s.filter
	if filter == "" {
		filter = ">"
	}
	type answer struct {
		Message struct {
			Subject  string `json:"subject"`
			Sequence uint64 `json:"seq"`
			Header   []byte `json:"hdrs"`
			Data     []byte `json:"data"`
		} `json:"message"`
	}
	a, err := request[answer](ctx, s.att, "STREAM.MSG.GET."+s.stream, map[string]any{"seq": from, "next_by_subj": filter})
	if apiErr, ok := errors.AsType[*jetstream.APIError](err); ok && apiErr.ErrorCode == codeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m := &message{&nats.Msg{Subject: a.Message.Subject, Data: a.Message.Data}, a.Message.Sequence}
	if len(a.Message.Header) > 0 {
		// What is no header of a record's is told by parsing it as one.
		m.Header, _ = nats.DecodeHeadersMsg(a.Message.Header)
	}
	return m, nil
}

// reading is what a reader of a source is told of.
type reading struct {
	message func(message) error
	// gap tells of positions from first to last that have no message. It is called only for
	// a source without a filter.
	gap func(first, last uint64)
	// lacks tells of a message that the leader has and the copy that is read has not.
	lacks func(position uint64)
}

// read reads the messages from position next up to last, in order. It goes on behind
// whatever is missing, and over losses of its consumer.
func (s *source) read(ctx context.Context, next, last uint64, r reading) error {
	failures, tries, progress := 0, leaderTries, time.Now()
	for next <= last {
		before := next
		err := s.readFeed(ctx, &next, last, r)
		if next > before {
			failures, progress = 0, time.Now()
		}
		switch {
		case err == nil || errors.Is(err, errQuiet):
			if next > last {
				return nil
			}
			told := failures == tries
			if failures, err = s.ahead(ctx, &next, last, failures, tries, r); err != nil {
				return err
			}
			if told && failures == 0 {
				tries = oftenTold
			}
		case ctx.Err() != nil || lasting(err) || errors.As(err, new(*handlerError)) || time.Since(progress) > patience:
			return err
		default:
			if err := pause(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// ahead goes on where the copy gives nothing more. What the leader says is final.
func (s *source) ahead(ctx context.Context, next *uint64, last uint64, failures, tries int, r reading) (int, error) {
	m, err := s.leaderNext(ctx, *next)
	switch {
	case err != nil:
		return 0, err
	case m == nil || m.position > last:
		if s.filter == "" {
			r.gap(*next, last)
		}
		*next = last + 1
	case m.position > *next:
		if s.filter == "" {
			r.gap(*next, m.position-1)
		}
		*next = m.position
	case failures < tries:
		// The copy lags, or a leader is being elected.
		return failures + 1, pause(ctx, 50*time.Millisecond<<failures)
	default:
		if s.pinned != "" {
			r.gap(*next, *next)
		} else {
			r.lacks(*next)
			if err := r.message(*m); err != nil {
				return 0, err
			}
		}
		*next++
	}
	return 0, nil
}

// handlerError is what the handler of messages returned.
type handlerError struct{ err error }

func (e *handlerError) Error() string { return e.err.Error() }
func (e *handlerError) Unwrap() error { return e.err }

// readFeed reads through one consumer, as far as it goes.
func (s *source) readFeed(ctx context.Context, next *uint64, last uint64, r reading) error {
	f, err := openFeed(ctx, s, *next)
	if err != nil {
		return err
	}
	defer f.close()
	for *next <= last && f.pending > 0 {
		m, err := f.next(ctx)
		if err != nil {
			return err
		}
		if m.position > last {
			if s.filter == "" {
				if err := s.hole(ctx, next, last+1, r); err != nil {
					return err
				}
			}
			*next = last + 1
			return nil
		}
		if m.position < *next {
			return fmt.Errorf("fsck: the consumer goes back from position %d to %d", *next, m.position)
		}
		if m.position > *next && s.filter == "" {
			if err := s.hole(ctx, next, m.position, r); err != nil {
				return err
			}
		}
		if err := r.message(m); err != nil {
			return &handlerError{err}
		}
		*next = m.position + 1
	}
	return nil // where it has no more, the leader says whether that is so
}

// hole looks at positions that the copy has no message at. Those that the leader has are
// taken from there.
func (s *source) hole(ctx context.Context, next *uint64, end uint64, r reading) error {
	for *next < end {
		if s.pinned != "" {
			r.gap(*next, end-1)
			*next = end
			return nil
		}
		m, err := s.leaderNext(ctx, *next)
		if err != nil {
			return err
		}
		if m == nil || m.position >= end {
			r.gap(*next, end-1)
			*next = end
			return nil
		}
		if m.position > *next {
			r.gap(*next, m.position-1)
		}
		r.lacks(m.position)
		if err := r.message(*m); err != nil {
			return &handlerError{err}
		}
		*next = m.position + 1
	}
	return nil
}

// parsePending reads how many messages a request did not bring.
func parsePending(h nats.Header) (int, bool) {
	n, err := strconv.Atoi(h.Get("Nats-Pending-Messages"))
	return n, err == nil
}

func mustJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // maps of strings and numbers can be written
	}
	return data
}
