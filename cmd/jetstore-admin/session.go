package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/natscontext"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

const (
	// shutdownTimeout bounds the wait for calls in flight when a store is closed.
	shutdownTimeout = 10 * time.Second

	// askTimeout bounds one try of a question; the --timeout bounds the tries together.
	askTimeout = 2 * time.Second

	// noResponderTries is how often nobody must listen to the JetStream API in a row, 100
	// ms apart, until there is no JetStream: a server that starts needs a moment.
	noResponderTries = 10
)

// access says what a command does to the log.
type access bool

const (
	reads  access = false
	writes access = true
)

// session is a command's own connection to the server that holds the log, for what goes
// beyond a store.
type session struct {
	nc        *nats.Conn
	api       string            // subject prefix of the JetStream API
	options   []jetstore.Option // describe the log, for jetstore.Open and its like
	perTenant bool              // the log has a stream for each tenant
	server    *embedded.Server  // the server in this process; nil: it is elsewhere

	mu     sync.Mutex
	asking map[*question]struct{}
}

// question is a request that is under way.
type question struct {
	subject string
	refuse  context.CancelCauseFunc
}

// withStore opens the log, calls f and closes the log. Opening is bounded by the
// --timeout. Only a command that writes makes the directory of --store: a name that
// was mistyped must not become an empty log.
func (a *app) withStore(ctx context.Context, need access, f func(*jetstore.Store) error) (err error) {
	if err := a.connection.resolve(os.Getenv); err != nil {
		return err
	}
	store, err := a.openStore(ctx, need)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore(ctx, store)) }()
	return f(store)
}

func (a *app) openStore(ctx context.Context, need access) (*jetstore.Store, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	c := &a.connection
	opts, err := c.logOptions(a.timeout)
	if err != nil {
		return nil, err
	}
	if c.store != "" {
		if err := c.exists(need); err != nil {
			return nil, err
		}
		return embedded.Open(ctx, c.store, embedded.WithStore(opts...))
	}
	if err := a.jetStreamAnswers(ctx); err != nil {
		return nil, err
	}
	natsOpts, err := c.natsOptions(a.timeout)
	if err != nil {
		return nil, err
	}
	return jetstore.Connect(ctx, c.server, append(opts, jetstore.WithContext(c.context), jetstore.WithNATS(natsOpts...), jetstore.WithNATS(unprinted))...)
}

// unprinted keeps nats.go from writing to stderr what the calls that it concerns return.
var unprinted = nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})

// exists refuses a directory that is not there to a command that only reads.
func (c *connectionFlags) exists(need access) error {
	if need == writes {
		return nil
	}
	if _, err := os.Stat(c.store); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no log in %q: the directory does not exist", c.store)
	}
	return nil
}

// jetStreamAnswers returns an error if the server cannot be had, or nobody listens to the
// JetStream API: a store would ask again until its time is up, as in an election.
func (a *app) jetStreamAnswers(ctx context.Context) (err error) {
	s, err := a.dial(ctx)
	if err != nil {
		return err
	}
	defer s.nc.Close()
	// Every role may ask this; what the answer says is the store's business.
	if err := s.ask(ctx, "STREAM.INFO."+a.connection.stream, nil, nil); errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	return nil
}

// closeStore closes a store also when ctx has ended.
func closeStore(ctx context.Context, store *jetstore.Store) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return store.Shutdown(ctx)
}

// withSession connects, calls f and disconnects. For --store it starts the server; other
// than withStore it makes no streams. Connecting is bounded by the --timeout.
func (a *app) withSession(ctx context.Context, need access, f func(*session) error) (err error) {
	if err := a.connection.resolve(os.Getenv); err != nil {
		return err
	}
	s, err := a.openSession(ctx, need)
	if err != nil {
		return err
	}
	defer func() {
		s.nc.Close()
		if s.server != nil {
			err = errors.Join(err, s.server.Shutdown(context.WithoutCancel(ctx)))
		}
	}()
	return f(s)
}

func (a *app) openSession(ctx context.Context, need access) (*session, error) {
	ctx, cancel := a.bounded(ctx)
	defer cancel()
	if a.connection.store == "" {
		return a.dial(ctx)
	}
	if err := a.connection.exists(need); err != nil {
		return nil, err
	}
	s, err := a.newSession()
	if err != nil {
		return nil, err
	}
	if s.server, err = embedded.Start(ctx, a.connection.store); err != nil {
		return nil, err
	}
	if s.nc, err = nats.Connect("", s.server.InProcess(), nats.ErrorHandler(s.asyncError)); err != nil {
		return nil, errors.Join(err, s.server.Shutdown(ctx))
	}
	return s, nil
}

func (a *app) newSession() (*session, error) {
	opts, err := a.connection.logOptions(a.timeout)
	return &session{api: "$JS.API", options: opts, perTenant: a.connection.perTenant, asking: make(map[*question]struct{})}, err
}

// dial connects to a server elsewhere, as the flags, the environment and the context say.
// opts come last. The connection is the caller's to close.
func (a *app) dial(ctx context.Context, opts ...nats.Option) (*session, error) {
	c := &a.connection
	s, err := a.newSession()
	if err != nil {
		return nil, err
	}
	timeout := a.timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Until(deadline), time.Millisecond)
	}
	own, err := c.natsOptions(timeout)
	if err != nil {
		return nil, err
	}
	all := slices.Concat([]nats.Option{
		nats.Name(programName), nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond), nats.ErrorHandler(s.asyncError),
	}, own, opts)
	domain, api := c.domain, c.api
	if c.context == "" {
		s.nc, err = nats.Connect(c.server, all...)
	} else {
		if c.server != "" {
			all = append(all, func(o *nats.Options) error {
				o.Url, o.Servers = "", strings.Split(strings.ReplaceAll(c.server, " ", ""), ",")
				return nil
			})
		}
		var settings natscontext.Settings
		s.nc, settings, err = natscontext.Connect(c.context, all...)
		if domain == "" && api == "" {
			domain, api = settings.JSDomain, settings.JSAPIPrefix
		}
	}
	if err != nil {
		return nil, &connectError{where: c.where(), err: err}
	}
	switch {
	case api != "":
		s.api = strings.TrimSuffix(api, ".")
	case domain != "":
		s.api = "$JS." + domain + ".API"
	}
	s.options = append(s.options, jetstore.WithAPIPrefix(s.api))
	return s, nil
}

// asyncError ends the questions that the server refused for want of permission, or whose
// answers the connection may not take. That refusal comes apart from the request, and only
// the subject in its text says which is meant.
func (s *session) asyncError(nc *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	// nats.go takes all answers by one subscription to an inbox.
	deaf := strings.Contains(err.Error(), `Subscription to "`+cmp.Or(nc.Opts.InboxPrefix, "_INBOX")+".")
	s.mu.Lock()
	defer s.mu.Unlock()
	for q := range maps.Keys(s.asking) {
		if deaf || strings.Contains(err.Error(), strconv.Quote(q.subject)) {
			q.refuse(fmt.Errorf("%w: %w", enact.ErrNotPermitted, err))
		}
	}
}

// request sends one request of the JetStream API, as in "STREAM.INFO.ENACT", and decodes
// the answer into into, unless that is nil. It returns a [*jetstream.APIError] if the
// answer is one, what matches enact.ErrNotPermitted if the server lets the user not ask,
// and nats.ErrNoResponders if nobody listens. Nothing is asked twice.
func (s *session) request(ctx context.Context, verb string, body, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	q := &question{subject: s.api + "." + verb, refuse: cancel}
	s.mu.Lock()
	s.asking[q] = struct{}{}
	s.mu.Unlock()
	reply, err := s.nc.RequestMsgWithContext(ctx, &nats.Msg{Subject: q.subject, Data: data})
	s.mu.Lock()
	delete(s.asking, q)
	s.mu.Unlock()
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, enact.ErrNotPermitted) {
			return cause
		}
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &failed); err != nil {
		return fmt.Errorf("unexpected answer on %s: %w", q.subject, err)
	}
	if failed.Error != nil {
		return failed.Error
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(reply.Data, into)
}

// ask is request for a question, which is asked again while there is no answer: in an
// election the server is silent, or says that it cannot tell.
func (s *session) ask(ctx context.Context, verb string, body, into any) error {
	unheard := 0
	for {
		try, cancel := context.WithTimeout(ctx, askTimeout)
		err := s.request(try, verb, body, into)
		cancel()
		apiErr, isAPI := errors.AsType[*jetstream.APIError](err)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			if unheard++; unheard == noResponderTries {
				return err
			}
		case errors.Is(err, context.DeadlineExceeded), errors.Is(err, nats.ErrTimeout), isAPI && apiErr.Code >= 500 && !noJetStream(err):
			unheard = 0
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w; last: %w", ctx.Err(), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
