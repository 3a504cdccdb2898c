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
	require.Greater(t, len(patterns), 60)
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
	nc, err := nats.Connect(srv.URL(), nats.UserInfo(user, password))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	store, err := jetstore.Open(t.Context(), nc, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { shutDown(t, store) })
	return &victim{nc: nc, js: newJetStream(t, nc), store: store}
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
	var err error
	in.nc, err = nats.Connect(srv.URL(), opts...)
	require.NoError(t, err)
	t.Cleanup(in.nc.Close)
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

// try sends a request whose answer is the intruder's, and reports whether it was refused.
func (in *intruder) try(t *testing.T, subject, body string) (refused bool) {
	t.Helper()
	require.NoError(t, in.nc.PublishRequest(subject, in.inbox.Subject, []byte(body)))
	return in.wasRefused(t, subject)
}

// tryToSubscribe reports whether a subscription was refused.
func (in *intruder) tryToSubscribe(t *testing.T, subject string) (refused bool) {
	t.Helper()
	_, err := in.nc.SubscribeSync(subject)
	require.NoError(t, err)
	return in.wasRefused(t, subject)
}

// wasRefused reports whether the subject was refused. Refusals come to the handler in
// order, in a goroutine of the connection's: with that of a subject which nobody may use,
// all before it are there.
func (in *intruder) wasRefused(t *testing.T, subject string) bool {
	t.Helper()
	barrier := "barrier." + nats.NewInbox()
	require.NoError(t, in.nc.Publish(barrier, nil))
	natstest.Eventually(t, 5*time.Second, func() bool { return in.refused(barrier) }, func() string { return "the barrier was not refused" })
	return in.refused(subject)
}

// heard returns everything that was sent to the intruder.
func (in *intruder) heard(t *testing.T) []byte {
	t.Helper()
	require.NoError(t, in.nc.Flush())
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
	natsOpts := []nats.Option{nats.UserInfo(user, password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})}
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

// With a stream for each tenant, everything of another tenant is refused that a request
// or a subscription names: every request of the JetStream API, and every subject.
func TestStreamPerTenantConfines(t *testing.T) {
	apart := jetstore.WithStreamPerTenant()
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, "", apart),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a", apart),
		"a-reader": permissionsFor(t, jetstore.RoleReader, "a", apart),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: "authorization {\n" + users(t, perms) + "}\n", NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	b := operatorOf(t, srv, "operator", apart)
	for _, tenant := range []enact.TenantID{"a", "b"} {
		require.NoError(t, b.store.EnsureTenant(t.Context(), tenant))
	}
	b.fill(t, "ENACT-b", "ENACT_INDEX-b")
	a := use(t, srv, "a", jetstore.RoleWriter, perms["a"].InboxPrefix, apart)
	use(t, srv, "a-reader", jetstore.RoleReader, perms["a-reader"].InboxPrefix, apart)
	before := b.state(t)

	in := intrude(t, srv, "a", perms["a"].InboxPrefix)
	for _, pattern := range requestPatterns(t) {
		for _, stream := range []string{b.stream, b.index} {
			subject := aimedAt(pattern, stream, watchConsumer)
			require.True(t, in.try(t, subject, `{"seq":1,"last_by_subj":"enact.b.private"}`), subject)
		}
	}
	for _, subject := range []string{
		"enact.b.private", "enact.b.new", "enact-index.b", "enact.a.mine.more", "_INBOX.x", "_INBOX_b.x",
		"$JS.API.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ",
		"$JS.API.STREAM.INFO.ENACT-ab", "$JS.API.CONSUMER.CREATE.ENACT-a.x.enact.b.*", "$JS.API.CONSUMER.CREATE.ENACT-a.x",
		"$JS.API.STREAM.DELETE.ENACT-a", "$JS.API.STREAM.PURGE.ENACT-a", "$JS.API.STREAM.UPDATE.ENACT-a",
	} {
		require.True(t, in.try(t, subject, "{}"), subject)
	}
	for _, subject := range []string{
		">", "*.>", "enact.>", "enact.*.*", "enact.b.*", "enact.a.*", "enact-index.*", "_INBOX.>", "_INBOX_b.>", "*.*",
		"$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "$SYS.ACCOUNT.>",
	} {
		require.True(t, in.tryToSubscribe(t, subject), subject)
	}
	// What it may ask names another tenant's subjects in vain.
	for _, ask := range []struct{ subject, body string }{
		{"STREAM.INFO.ENACT-a", `{"subjects_filter":"enact.b.*"}`},
		{"STREAM.MSG.GET.ENACT-a", `{"last_by_subj":"enact.b.private"}`},
		{"STREAM.MSG.GET.ENACT-a", `{"seq":1,"next_by_subj":"enact.*.private"}`},
		{"DIRECT.GET.ENACT-a", `{"last_by_subj":"enact.b.private"}`},
		{"DIRECT.GET.ENACT-a", `{"multi_last":["enact.b.private",">"]}`},
		{"DIRECT.GET.ENACT-a", `{"seq":1,"next_by_subj":">","batch":100}`},
		{"CONSUMER.CREATE.ENACT-a.spy.enact.a.*", `{"stream_name":"ENACT-a","config":{"name":"spy","filter_subject":"enact.b.*"}}`},
		{"CONSUMER.CREATE.ENACT-a.spy.enact.a.*", `{"stream_name":"ENACT-b","config":{"name":"spy","filter_subject":"enact.a.*"}}`},
		{"CONSUMER.CREATE.ENACT-a.spy.enact.a.*", `{"stream_name":"ENACT-a","config":{"name":"spy","filter_subjects":["enact.b.*"]}}`},
	} {
		require.False(t, in.try(t, "$JS.API."+ask.subject, ask.body), ask.subject)
	}
	require.NotContains(t, string(in.heard(t)), secret)
	require.NotContains(t, string(in.heard(t)), "private")
	allAtOnce(t, callsInTenant(a, "b", enact.InTenant("b")), func(call string, err error) {
		require.ErrorIs(t, err, enact.ErrNotPermitted, call)
	})
	require.Equal(t, before, b.state(t))
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

// On a shared stream foreign writes are refused that name their subject, and foreign reads
// are not: what is read stands in the request.
func TestSharedStreamConfinesWritesAlone(t *testing.T) {
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, ""),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a"),
		"a-reader": permissionsFor(t, jetstore.RoleReader, "a"),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: "authorization {\n" + users(t, perms) + "}\n", NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	nc, err := nats.Connect(srv.URL(), nats.UserInfo("operator", password))
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	b := operatorOf(t, srv, "operator")
	b.fill(t, "ENACT", "ENACT_INDEX")
	a := use(t, srv, "a", jetstore.RoleWriter, perms["a"].InboxPrefix)
	use(t, srv, "a-reader", jetstore.RoleReader, perms["a-reader"].InboxPrefix)
	before := b.state(t)

	// Refused: whatever changes a stream, and writes to another tenant's subjects.
	in := intrude(t, srv, "a", perms["a"].InboxPrefix)
	allowed := regexp.MustCompile(`^\$JS\.(API\.STREAM\.INFO|API\.STREAM\.MSG\.GET|API\.DIRECT\.GET|API\.CONSUMER\.(INFO|MSG\.NEXT|DELETE)|ACK)\.`)
	reads, refused := 0, 0
	for _, pattern := range requestPatterns(t) {
		for _, stream := range []string{b.stream, b.index} {
			subject := aimedAt(pattern, stream, "no-such-consumer")
			if in.try(t, subject, `{}`) {
				refused++
				continue
			}
			require.Regexp(t, allowed, subject)
			reads++
		}
	}
	require.Positive(t, reads)
	require.Greater(t, refused, 10*reads/2)
	for _, subject := range []string{
		"enact.b.private", "enact.b.new", "enact-index.b", "_INBOX.x", "_INBOX_b.x",
		"$JS.API.CONSUMER.CREATE.ENACT.x", "$JS.API.CONSUMER.CREATE.ENACT.x.enact.b.*", "$JS.API.CONSUMER.CREATE.ENACT.x.>",
	} {
		require.True(t, in.try(t, subject, "{}"), subject)
	}
	for _, subject := range []string{">", "enact.>", "enact.b.*", "enact-index.*", "_INBOX.>", "_INBOX_b.>", "$JS.>"} {
		require.True(t, in.tryToSubscribe(t, subject), subject)
	}
	calls := callsInTenant(a, "b")
	for call := range calls {
		if !strings.HasPrefix(call, "Append") && call != "Commit" {
			delete(calls, call)
		}
	}
	require.Len(t, calls, 3)
	allAtOnce(t, calls, func(call string, err error) { require.ErrorIs(t, err, enact.ErrNotPermitted, call) })
	require.NotContains(t, string(in.heard(t)), secret)
	require.Equal(t, before, b.state(t))

	// Possible: to read what another tenant has, and which there are.
	events, err := a.LoadEvents(t.Context(), "private", enact.InTenant("b"))
	require.NoError(t, err)
	require.Equal(t, enact.ExecutionPaused{Reason: secret}, events[0].Event)
	page, _, err := a.Executions(t.Context(), enact.Query{Tenant: "b"})
	require.NoError(t, err)
	require.Len(t, page, 1)
	tenants, err := a.ListTenants(t.Context())
	require.NoError(t, err)
	require.Len(t, tenants, 2)
	require.False(t, in.try(t, "$JS.API.DIRECT.GET.ENACT", `{"seq":1,"next_by_subj":"enact.b.*","batch":10}`))
	require.Contains(t, string(in.heard(t)), secret)
	// And to find out where another tenant's executions end, by the answer to a write of
	// one's own that is checked against theirs.
	guarded := &nats.Msg{Subject: "enact.a.probe", Reply: in.inbox.Subject, Header: nats.Header{
		headerExpected: {"1"}, headerExpectedSubject: {"enact.b.private"},
	}}
	require.NoError(t, in.nc.PublishMsg(guarded))
	require.Contains(t, string(in.heard(t)), fmt.Sprint("wrong last sequence: ", events[0].Position))
	require.Equal(t, before, b.state(t))
}

// What permissions cannot confine within one account: the server itself publishes answers,
// to any subject that a request names for them. That is so on a shared stream and with a
// stream per tenant, and not between accounts.
func TestAnswersAreNotConfined(t *testing.T) {
	apart := jetstore.WithStreamPerTenant()
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, "", apart),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a", apart),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: "authorization {\n" + users(t, perms) + "}\n", NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	b := operatorOf(t, srv, "operator", apart)
	for _, tenant := range []enact.TenantID{"a", "b"} {
		require.NoError(t, b.store.EnsureTenant(t.Context(), tenant))
	}
	b.fill(t, "ENACT-b", "ENACT_INDEX-b")
	in := intrude(t, srv, "a", perms["a"].InboxPrefix)
	for _, a := range answersElsewhere("ENACT-a", "enact.b.private") {
		require.NoError(t, in.nc.PublishRequest(a.subject, a.reply, []byte(a.body)))
	}
	require.NoError(t, in.nc.Flush())
	stream, err := b.js.Stream(t.Context(), b.stream)
	require.NoError(t, err)
	natstest.Eventually(t, 5*time.Second, func() bool {
		info, err := stream.Info(t.Context())
		require.NoError(t, err)
		return info.State.Msgs > 1
	}, func() string { return "no answer was stored: permissions confine more than docs/guarantees.md says" })
	// It does not pass for a record: tenant b learns of it.
	_, err = b.store.LoadEvents(t.Context(), "private", enact.InTenant("b"))
	require.ErrorIs(t, err, enact.ErrCorrupt)
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

// Between accounts there is nothing to refuse: no request and no answer reaches another.
func TestAccountPerTenant(t *testing.T) {
	config := strings.NewReplacer("acme-", "a-", "globex-", "b-", "50GB", "1GB").Replace(guarantees(t, "nats-accounts"))
	srv := natstest.Start(t, natstest.Options{Extra: config, NATS: []nats.Option{nats.UserInfo("a-operator", password)}})
	for _, user := range []string{"a-operator", "b-operator"} {
		nc, err := nats.Connect(srv.URL(), nats.UserInfo(user, password))
		require.NoError(t, err)
		require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
		nc.Close()
	}
	b := operatorOf(t, srv, "b-operator")
	b.fill(t, "ENACT", "ENACT_INDEX")
	use(t, srv, "a-writer", jetstore.RoleWriter, "")
	before := b.state(t)

	// As the operator of tenant a's account, to whom nothing is refused there.
	in := intrude(t, srv, "a-operator", "")
	all, err := in.nc.SubscribeSync(">")
	require.NoError(t, err)
	send := func(subject, reply, body string) {
		require.NoError(t, in.nc.PublishRequest(subject, reply, []byte(body)))
	}
	for _, a := range answersElsewhere("ENACT", "enact.b.private") {
		send(a.subject, a.reply, a.body)
	}
	for _, subject := range []string{"enact.b.private", "enact.b.new", "enact-index.b"} {
		send(subject, in.inbox.Subject, "{}")
	}
	for _, ask := range []struct{ subject, body string }{
		{"$JS.API.STREAM.MSG.GET.ENACT", `{"last_by_subj":"enact.b.private"}`},
		{"$JS.API.DIRECT.GET.ENACT", `{"seq":1,"next_by_subj":">","batch":1000}`},
		{"$JS.API.STREAM.CREATE.SPY", `{"name":"SPY","subjects":["b.>"],"sources":[{"name":"ENACT"}]}`},
		{"$JS.API.CONSUMER.CREATE.ENACT.spy", `{"stream_name":"ENACT","config":{"name":"spy","deliver_subject":"spy","deliver_policy":"all"}}`},
	} {
		send(ask.subject, in.inbox.Subject, ask.body)
	}
	for _, pattern := range requestPatterns(t) {
		for _, stream := range []string{b.stream, b.index} {
			send(aimedAt(pattern, stream, watchConsumer), in.inbox.Subject, "{}")
		}
	}
	require.NotContains(t, string(in.heard(t)), secret)
	for {
		m, err := all.NextMsg(100 * time.Millisecond)
		if errors.Is(err, nats.ErrTimeout) {
			break
		}
		require.NoError(t, err)
		require.NotContains(t, string(m.Data), secret)
	}
	require.Equal(t, before, b.state(t))

	// As a tenant's writer, who may not change the account's own streams.
	in = intrude(t, srv, "a-writer", "")
	for _, request := range []string{"UPDATE", "PURGE", "DELETE", "RESTORE", "MSG.DELETE"} {
		subject := "$JS.API.STREAM." + request + ".ENACT"
		require.True(t, in.try(t, subject, "{}"), subject)
	}
	require.Equal(t, before, b.state(t))
}

// What the documentation shows is what is generated.
func TestPermissionsInTheDocumentation(t *testing.T) {
	require.Equal(t, guarantees(t, "nats-shared-writer"), permissionsFor(t, jetstore.RoleWriter, "acme").Config())
	for _, subject := range append(permissionsFor(t, jetstore.RoleWriter, "").Publish, "_INBOX.>") {
		generic := regexp.MustCompile(`(INFO|GET)\.ENACT(_INDEX)?$`).ReplaceAllString(subject, "$1.*")
		require.Contains(t, guarantees(t, "nats-accounts"), fmt.Sprintf("%q", generic))
	}
}

func TestPermissionsForEachRole(t *testing.T) {
	for _, tc := range []struct {
		name   string
		role   jetstore.Role
		tenant enact.TenantID
		opts   []jetstore.Option
		want   []string // some of what may be published
		not    []string // some of what may not
		inbox  string
	}{
		{"reader of all", jetstore.RoleReader, "", nil, []string{"$JS.API.CONSUMER.CREATE.ENACT.>"}, []string{"enact.*.*", "enact-index.*"}, ""},
		{"writer of all", jetstore.RoleWriter, "", nil, []string{"enact.*.*", "enact-index.*"}, []string{">"}, ""},
		{"operator", jetstore.RoleOperator, "", nil, []string{">"}, nil, ""},
		{"writer of a tenant with an odd id", jetstore.RoleWriter, "a.>", nil, []string{"enact.a%2E%3E.*", "enact-index.a%2E%3E"}, []string{"enact.*.*"}, "_INBOX_a%2E%3E"},
		{
			"other names", jetstore.RoleWriter, "t", []jetstore.Option{jetstore.WithStream("LOG"), jetstore.WithPrefix("p.q"), jetstore.WithDomain("hub")},
			[]string{"$JS.hub.API.DIRECT.GET.LOG_INDEX", "p.q.t.*", "$JS.hub.API.CONSUMER.CREATE.LOG.*.p.q.t.*"}, []string{"$JS.API.DIRECT.GET.LOG"}, "_INBOX_t",
		},
		{
			"stream per tenant", jetstore.RoleReader, "t", []jetstore.Option{jetstore.WithStreamPerTenant()},
			[]string{"$JS.API.DIRECT.GET.ENACT-t", "$JS.API.DIRECT.GET.ENACT_INDEX-t"}, []string{"enact.t.*", "$JS.API.DIRECT.GET.ENACT"}, "_INBOX_t",
		},
		{
			"all streams of tenants", jetstore.RoleWriter, "", []jetstore.Option{jetstore.WithStreamPerTenant()},
			[]string{"$JS.API.DIRECT.GET.*", "enact.*.*"}, []string{"$JS.API.STREAM.UPDATE.*"}, "",
		},
	} {
		p := permissionsFor(t, tc.role, tc.tenant, tc.opts...)
		require.Subset(t, p.Publish, tc.want, tc.name)
		require.NotSubset(t, p.Publish, append(tc.not, "never"), tc.name)
		for _, s := range tc.not {
			require.NotContains(t, p.Publish, s, tc.name)
		}
		require.Equal(t, tc.inbox, p.InboxPrefix, tc.name)
	}
	for _, tc := range []struct {
		role   jetstore.Role
		tenant enact.TenantID
		want   error
	}{
		{"god", "", enact.ErrInvalidOption}, {"", "t", enact.ErrInvalidOption}, {jetstore.RoleOperator, "t", enact.ErrInvalidOption},
		{jetstore.RoleReader, enact.TenantID(strings.Repeat("x", 200)), enact.ErrInvalidID},
	} {
		_, err := jetstore.PermissionsFor(tc.role, tc.tenant)
		require.ErrorIs(t, err, tc.want)
	}
}
