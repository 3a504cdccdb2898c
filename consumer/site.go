package consumer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// Codes of the server's answers (server/errors.json of nats-server 2.15).
const (
	codeNoPeers          = 10005 // no suitable servers, also while those of a cluster start
	codeConsumerNotFound = 10014
	codeConsumerExists   = 10148 // with other settings
	codeConsumerGone     = 10149 // removed while it was asked for
	codeNotEnabledForAcc = 10039
	codeNotEnabled       = 10076
	codeStreamNameInUse  = 10058
	codeMessageNotFound  = 10037 // also what a read error looks like
	codeStreamNotFound   = 10059
)

// link is what a subscriber needs of a store: a *jetstore.Attachment, in tests also
// something that plays one.
type link interface {
	Request(ctx context.Context, subject string, body, into any) error
	State(ctx context.Context, maxAge time.Duration) (jetstore.StreamState, error)
	Denied(subject string) error
	WhileUp(ctx context.Context) (context.Context, func() bool)
	Closing() <-chan struct{}
}

// site is where a subscriber works: a stream, and the way to it.
type site struct {
	link
	nc     *nats.Conn
	stream string
	prefix string // of JetStream's API
}

func siteOf(att *jetstore.Attachment) site {
	store := att.Store()
	return site{link: att, nc: store.Conn(), stream: store.StreamName(), prefix: store.APIPrefix()}
}

// stintKey is the key of a subscriber's stint in its handler's context.
type stintKey struct{}

// stint is the time for which a subscriber hands events over without a break: a Follow, or
// from when a member of an ordered group begins to ask until another one is or may be active.
type stint struct {
	site
	broken atomic.Bool // there was a break all the same
}

// within returns a context of a new stint. By it a checkpoint in a NATS bucket finds the site:
// its own way to the store may be closed already while the subscriber ends.
func (s site) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, stintKey{}, &stint{site: s})
}

// stintWithin returns the stint of the store's subscriber to whose handler ctx belongs, nil if
// there is none.
func stintWithin(ctx context.Context, store *jetstore.Store) *stint {
	at, ok := ctx.Value(stintKey{}).(*stint)
	if !ok {
		return nil
	}
	if att, ok := at.link.(*jetstore.Attachment); !ok || att.Store() != store {
		return nil
	}
	return at
}

func hasCode(err error, code jetstream.ErrorCode) bool {
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	return ok && apiErr.ErrorCode == code
}

// lasting reports whether asking again cannot help. What a server without a leader, or
// no server at all, says passes; a refusal of the request itself does not.
func lasting(err error) bool {
	for _, e := range []error{
		enact.ErrNotPermitted, enact.ErrStreamNotFound, enact.ErrClosed, enact.ErrInvalidOption,
		enact.ErrCorrupt, enact.ErrUnsupportedVersion, enact.ErrUnknownCodec,
		ErrStreamChanged, ErrInvalidToken, ErrGroupConfig, ErrNotFound, ErrNotGroup, errNoMore, nats.ErrConnectionClosed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	apiErr, ok := errors.AsType[*jetstream.APIError](err)
	if !ok {
		return false
	}
	switch apiErr.ErrorCode {
	case codeNoPeers, codeMessageNotFound, codeConsumerGone:
		return false
	case codeNotEnabled, codeNotEnabledForAcc:
		return true
	}
	return apiErr.Code >= 400 && apiErr.Code < 500
}

// pause is the wait before a try: it doubles from shortPause to longPause.
type pause struct{ tries int }

const (
	shortPause = 10 * time.Millisecond
	longPause  = 500 * time.Millisecond
)

// wait waits, or for the end of ctx or of the store. Half of the time is random, so
// that subscribers that lost one server do not come back as one.
func (p *pause) wait(ctx context.Context, l link) error {
	d := min(shortPause<<min(p.tries, 10), longPause)
	p.tries++
	return sleep(ctx, l, d/2+rand.N(d/2))
}

func sleep(ctx context.Context, l link, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.Closing():
		return enact.ErrClosed
	}
}

// retry calls f until it succeeds, its error lasts, or ctx or the store ends.
func retry[T any](ctx context.Context, l link, f func() (T, error)) (T, error) {
	for p := (pause{}); ; {
		v, err := f()
		switch {
		case err == nil:
			return v, nil
		case ctx.Err() != nil:
			return v, ctx.Err()
		case lasting(err):
			return v, err
		}
		if waitErr := p.wait(ctx, l); waitErr != nil {
			return v, errors.Join(waitErr, err)
		}
	}
}
