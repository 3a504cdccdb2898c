package jetstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// The tests here are about what a user with the credentials of tenant a can do to tenant
// b, whose executions hold a secret.
const (
	secret        = "the secret of tenant b"
	password      = "x" // of every user
	watchConsumer = "b-watch"
)

// requestPatterns are the subjects of all requests of the JetStream API, taken from the
// source of the server, so that none is forgotten.
func requestPatterns(t *testing.T) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/nats-io/nats-server/v2").Output()
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "server", "jetstream_api.go"))
	require.NoError(t, err)
	var patterns []string
	for _, m := range regexp.MustCompile(`= +"(\$JS\.(?:API|ACK|FC|SNAPSHOT)\.[^"%]*)"`).FindAllStringSubmatch(string(source), -1) {
		if p := strings.TrimSuffix(m[1], "."); p != "$JS.API" && !strings.HasSuffix(m[1], ".") {
			patterns = append(patterns, p)
		}
	}
	for _, m := range regexp.MustCompile(`= +"(\$JS\.[^"]*%s[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
		patterns = append(patterns, strings.ReplaceAll(m[1], "%s", "*"))
	}
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	require.Greater(t, len(patterns), 45)
	require.Contains(t, patterns, "$JS.API.STREAM.PURGE.*")
	require.Contains(t, patterns, "$JS.API.CONSUMER.MSG.NEXT.*.*")
	require.Contains(t, patterns, "$JS.ACK.*.*")
	return patterns
}

// aimedAt fills a pattern with tenant b's names.
func aimedAt(pattern string, names ...string) string {
	tokens := strings.Split(pattern, ".")
	for i, token := range tokens {
		switch {
		case token == ">":
			tokens[i] = "enact.b.private"
		case token == "*" && len(names) > 0:
			tokens[i], names = names[0], names[1:]
		case token == "*":
			tokens[i] = "enact.b.private"
		}
	}
	return strings.Join(tokens, ".")
}

// victim is what tenant b has, seen by an operator.
type victim struct {
	nc            *nats.Conn
	js            jetstream.JetStream
	store         *jetstore.Store
	stream, index string
}

func operatorOf(t *testing.T, srv *natstest.Server, user string, opts ...jetstore.Option) *victim {
	t.Helper()
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo(user, password))
	store, err := jetstore.Open(t.Context(), nc, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, store) })
	return &victim{nc: nc, js: natstest.JetStream(t, nc), store: store}
}

// fill makes what is to be protected: an execution, and a consumer with a message that is
// not acknowledged.
func (v *victim) fill(t *testing.T, stream, index string) {
	t.Helper()
	ctx := t.Context()
	v.stream, v.index = stream, index
	_, err := v.store.Append(ctx, "private", "b", enact.ExecutionPaused{Reason: secret})
	require.NoError(t, err)
	c, err := v.js.CreateConsumer(ctx, v.stream, jetstream.ConsumerConfig{
		Durable: watchConsumer, AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour, FilterSubject: "enact.b.*",
	})
	require.NoError(t, err)
	_, err = c.Next()
	require.NoError(t, err)
}

// state is what the streams and the consumer hold, as JSON.
func (v *victim) state(t *testing.T) string {
	t.Helper()
	var all []any
	for _, name := range []string{v.stream, v.index} {
		s, err := v.js.Stream(t.Context(), name)
		require.NoError(t, err)
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("*.b.>"))
		require.NoError(t, err)
		all = append(all, info.Config, info.State.FirstSeq, info.State.Subjects, info.State.NumDeleted)
	}
	c, err := v.js.Consumer(t.Context(), v.stream, watchConsumer)
	require.NoError(t, err)
	info := c.CachedInfo()
	all = append(all, info.Config, info.AckFloor.Stream, info.NumAckPending)
	text, err := json.Marshal(all)
	require.NoError(t, err)
	events, err := v.store.LoadEvents(t.Context(), "private", enact.InTenant("b"))
	require.NoError(t, err)
	require.Len(t, events, 1)
	return string(text)
}

// intruder has tenant a's credentials, and keeps what the server sends.
type intruder struct {
	nc    *nats.Conn
	inbox *nats.Subscription

	mu       sync.Mutex
	refusals []string
}

func intrude(t *testing.T, srv *natstest.Server, user, inboxPrefix string) *intruder {
	t.Helper()
	in := &intruder{}
	opts := []nats.Option{nats.UserInfo(user, password), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.refusals = append(in.refusals, err.Error())
	})}
	if inboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(inboxPrefix))
	}
	in.nc = natstest.Connect(t, srv.URL(), opts...)
	var err error
	in.inbox, err = in.nc.SubscribeSync(in.nc.NewInbox())
	require.NoError(t, err)
	return in
}

// refused reports whether a refusal names the subject.
func (in *intruder) refused(subject string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, text := range in.refusals {
		if strings.Contains(text, fmt.Sprintf("%q", subject)) {
			return true
		}
	}
	return false
}

// try sends requests whose answers are the intruder's, and returns those that were not
// refused.
func (in *intruder) try(t *testing.T, body string, subjects ...string) (allowed []string) {
	t.Helper()
	for _, subject := range subjects {
		require.NoError(t, in.nc.PublishRequest(subject, in.inbox.Subject, []byte(body)))
	}
	return in.allowed(t, subjects)
}

// tryToSubscribe returns the subjects that a subscription was not refused to.
func (in *intruder) tryToSubscribe(t *testing.T, subjects ...string) (allowed []string) {
	t.Helper()
	for _, subject := range subjects {
		_, err := in.nc.SubscribeSync(subject)
		require.NoError(t, err)
	}
	return in.allowed(t, subjects)
}

// allowed returns those of the subjects that no refusal names. Refusals come to the handler
// in order, in a goroutine of the connection's: with that of a subject which nobody may
// use, all before it are there.
func (in *intruder) allowed(t *testing.T, subjects []string) (allowed []string) {
	t.Helper()
	barrier := "barrier." + nats.NewInbox()
	require.NoError(t, in.nc.Publish(barrier, nil))
	natstest.Eventually(t, time.Minute, func() bool { return in.refused(barrier) }, func() string { return "the barrier was not refused" })
	for _, subject := range subjects {
		if !in.refused(subject) {
			allowed = append(allowed, subject)
		}
	}
	return allowed
}

// aimedAtStreams fills all patterns with the names of both of a log's streams.
func aimedAtStreams(t *testing.T, stream, index, consumer string) (subjects []string) {
	t.Helper()
	for _, pattern := range requestPatterns(t) {
		subjects = append(subjects, aimedAt(pattern, stream, consumer), aimedAt(pattern, index, consumer))
	}
	return subjects
}

// heard returns what was sent to the intruder and has come by now.
func (in *intruder) heard(t *testing.T) []byte {
	t.Helper()
	require.NoError(t, in.nc.FlushTimeout(time.Minute))
	var all bytes.Buffer
	for {
		m, err := in.inbox.NextMsg(50 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			return all.Bytes()
		}
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		require.NoError(t, err)
		fmt.Fprintf(&all, "%v %s\n", m.Header, m.Data)
	}
}

// hears waits until something that holds the text was sent to the intruder: the server may
// answer at any time after it has taken the request.
func (in *intruder) hears(t *testing.T, text string) {
	t.Helper()
	for {
		m, err := in.inbox.NextMsg(time.Minute)
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		require.NoError(t, err, "%q was not heard", text)
		if strings.Contains(fmt.Sprintf("%v %s", m.Header, m.Data), text) {
			return
		}
	}
}

// users makes the configuration of an account's users.
func users(t *testing.T, list map[string]jetstore.Permissions) string {
	t.Helper()
	var b strings.Builder
	for name, p := range list {
		fmt.Fprintf(&b, "{ user: %q, password: %q, permissions: %s }\n", name, password, p.Config())
	}
	return "users: [\n" + b.String() + "]\n"
}

func permissionsFor(t *testing.T, role jetstore.Role, tenant enact.TenantID, opts ...jetstore.Option) jetstore.Permissions {
	t.Helper()
	p, err := jetstore.PermissionsFor(role, tenant, opts...)
	require.NoError(t, err)
	return p
}

// use does everything that a role may do, in tenant a.
func use(t *testing.T, srv *natstest.Server, user string, role jetstore.Role, inboxPrefix string, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	ctx := t.Context()
	natsOpts := []nats.Option{nats.Timeout(time.Minute), nats.UserInfo(user, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
	if inboxPrefix != "" {
		natsOpts = append(natsOpts, nats.CustomInboxPrefix(inboxPrefix))
	}
	s, err := jetstore.Connect(ctx, srv.URL(), append(opts, jetstore.WithNATS(natsOpts...))...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, s) })
	run := s.Execution("a", "mine")
	_, err = run.AppendBatch(ctx, []enact.Event{note(1), note(2), enact.ExecutionCompleted{}}, enact.WithOneEventPerRecord())
	if role == jetstore.RoleReader {
		require.ErrorIs(t, err, enact.ErrNotPermitted)
	} else {
		require.NoError(t, err)
	}
	events, err := run.LoadEvents(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, events)
	page, _, err := s.Executions(ctx, enact.Query{Tenant: "a"})
	require.NoError(t, err)
	require.Len(t, page, 1)
	followed := 0
	for _, err := range consumer.Tail(ctx, run, 0, consumer.UntilEnd()) {
		require.NoError(t, err)
		followed++
	}
	require.Positive(t, followed)
	require.NoError(t, s.HealthCheck(ctx))
	return s
}

// allAtOnce makes all calls, which may take the time of a request that is not answered.
func allAtOnce(t *testing.T, calls map[string]func(context.Context) error, check func(call string, err error)) {
	t.Helper()
	errs := make(map[string]error)
	var mu sync.Mutex
	var all sync.WaitGroup
	for call, f := range calls {
		all.Go(func() {
			err := f(t.Context())
			mu.Lock()
			defer mu.Unlock()
			errs[call] = err
		})
	}
	all.Wait()
	for call, err := range errs {
		check(call, err)
	}
}

// answerElsewhere is a request whose answer goes to a subject that is not the asker's.
type answerElsewhere struct{ subject, reply, body string }

func answersElsewhere(stream, victim string) []answerElsewhere {
	return []answerElsewhere{
		{"enact.a.x", victim, "an acknowledgement"},
		{"$JS.API.DIRECT.GET." + stream, victim, `{"seq":1,"next_by_subj":">"}`},
		{"$JS.API.STREAM.INFO." + stream, victim, ""},
		{"$JS.API.STREAM.MSG.GET." + stream, victim, `{"seq":1}`},
	}
}

// guarantees returns the parts of docs/guarantees.md that are fenced under a name.
func guarantees(t *testing.T, fence string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/guarantees.md")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "```"+fence+"\n")
	require.True(t, ok, fence)
	part, _, ok := strings.Cut(rest, "```")
	require.True(t, ok, fence)
	return part
}
