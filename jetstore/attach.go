package jetstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/enactlog/enact"
)

// Attachment is what a subscriber needs of the store whose log it follows: requests of
// JetStream's API on the connection for reads, and word of the ends of the connection
// and of the store. Package consumer is built on it. It may be used from any number of
// goroutines.
type Attachment struct {
	s      *Store
	detach sync.Once
}

// StreamState is the log's stream as its leader has it.
type StreamState struct {
	Incarnation string // tells two streams of one name apart: of this making of the stream
	First       uint64 // position of its first record, or of the one to come first
	Last        uint64 // position of its last record, or First-1
}

// Attach counts a subscriber in: Shutdown tells it to end and waits until it has
// called Close. It returns enact.ErrClosed, and enact.ErrTenantRequired of a store with a
// stream per tenant: its subscribers follow the log of one, see [Store.Tenant].
func (s *Store) Attach() (*Attachment, error) {
	if s.tenants != nil {
		return nil, enact.ErrTenantRequired
	}
	if err := s.attach(); err != nil {
		return nil, err
	}
	return &Attachment{s: s}, nil
}

// Attach counts a subscriber to the stream that holds the execution in, as [Store.Attach]
// does. Errors are also those of [Store.Tenant].
func (e Execution) Attach(ctx context.Context) (*Attachment, error) {
	s := e.store
	if s.tenants != nil {
		var err error
		if s, err = s.Tenant(ctx, e.tenant); err != nil {
			return nil, err
		}
	}
	return s.Attach()
}

// Close counts the subscriber out. It may be called more than once.
func (a *Attachment) Close() { a.detach.Do(a.s.attached.Done) }

// Store returns the store.
func (a *Attachment) Store() *Store { return a.s }

// Closing returns a channel that is closed when the store's Shutdown begins.
// The connection lasts until the subscriber has called Close.
func (a *Attachment) Closing() <-chan struct{} { return a.s.closing }

// WhileUp returns ctx bounded by the next loss of the connection. end must be called;
// it reports whether the connection was lost.
func (a *Attachment) WhileUp(ctx context.Context) (_ context.Context, end func() (lost bool)) {
	ctx, cancel := context.WithCancel(ctx)
	lost := make(chan bool, 1)
	loss := a.s.reads.line.lost()
	go func() {
		defer cancel()
		select {
		case <-loss:
			lost <- true
		case <-ctx.Done():
			lost <- false
		}
	}()
	return ctx, sync.OnceValue(func() bool {
		cancel()
		return <-lost
	})
}

// Request sends one request of JetStream's API, as in "CONSUMER.INFO.ENACT.billing",
// with body as JSON (nil: none), and decodes the answer into a pointer (nil: not
// looked at). It asks once and waits two seconds at most. Errors: a
// *jetstream.APIError if the answer is one, enact.ErrNotPermitted, the context's, or
// the connection's.
func (a *Attachment) Request(ctx context.Context, subject string, body, into any) error {
	return a.s.reads.request(ctx, subject, body, &anyAnswer{into: into})
}

// anyAnswer decodes an answer into what the caller has, unless it is an error.
type anyAnswer struct {
	answer
	into any
}

// UnmarshalJSON implements json.Unmarshaler.
func (r *anyAnswer) UnmarshalJSON(data []byte) error {
	if err := decodeAnswer(data, &r.answer); err != nil || r.into == nil || r.Error != nil {
		return err
	}
	return decodeAnswer(data, r.into)
}

// Denied returns an error that matches enact.ErrNotPermitted if the last thing that
// went wrong on the connection was a publish or a subscription to the subject for
// which there is no permission. The server says so apart from any request.
func (a *Attachment) Denied(subject string) error {
	if err := a.s.reads.nc.LastError(); forbids(err, subject) {
		return fmt.Errorf("%w: %w", enact.ErrNotPermitted, err)
	}
	return nil
}

// State asks the leader for the state of the log's stream. With a maxAge above 0 an
// answer, or a failure, that another subscriber of the store got within that time is
// good enough. Errors are those of Request, and enact.ErrStreamNotFound.
func (a *Attachment) State(ctx context.Context, maxAge time.Duration) (StreamState, error) {
	if maxAge <= 0 {
		return a.askState(ctx)
	}
	p := &a.s.probe
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return StreamState{}, ctx.Err()
	}
	if p.asked.IsZero() || time.Since(p.asked) >= maxAge {
		asked := time.Now()
		p.state, p.err = a.askState(ctx)
		if ctx.Err() != nil {
			return StreamState{}, ctx.Err() // the asker's end, nobody else's
		}
		p.asked = asked
	}
	return p.state, p.err
}

// probe is the last answer to [Attachment.State].
type probe struct {
	turn  chan struct{} // of one place: held by the one who looks or asks
	asked time.Time
	state StreamState
	err   error
}

func newProbe() probe { return probe{turn: make(chan struct{}, 1)} }

func (a *Attachment) askState(ctx context.Context) (StreamState, error) {
	var info struct {
		streamInfo
		State struct {
			First uint64 `json:"first_seq"`
			Last  uint64 `json:"last_seq"`
		} `json:"state"`
	}
	if err := a.s.reads.request(ctx, "STREAM.INFO."+a.s.cfg.stream, nil, &info); err != nil {
		return StreamState{}, namedStream(err, a.s.cfg.stream)
	}
	state := StreamState{
		Incarnation: incarnationOf(info.Config.Metadata, info.Created), First: info.State.First, Last: info.State.Last,
	}
	a.s.sawIncarnation(state.Incarnation)
	return state, nil
}
