package jetstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/logtest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/internal/record"
	"github.com/enactlog/enact/jetstore"
)

const (
	headerExpected        = "Nats-Expected-Last-Subject-Sequence"
	headerExpectedSubject = "Nats-Expected-Last-Subject-Sequence-Subject" // where the server looks instead
)

// authorization makes the configuration of a server's users, who have time to say who they are:
// of its own a server gives them two seconds.
func authorization(t *testing.T, list map[string]jetstore.Permissions) string {
	t.Helper()
	return "authorization {\ntimeout: 60\n" + users(t, list) + "}\n"
}

// With a stream for each tenant, everything of another tenant is refused that a request
// or a subscription names: every request of the JetStream API, and every subject.
func TestStreamPerTenantConfines(t *testing.T) {
	t.Parallel() // it waits for requests that nobody answers
	apart := jetstore.WithStreamPerTenant()
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, "", apart),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a", apart),
		"a-reader": permissionsFor(t, jetstore.RoleReader, "a", apart),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: authorization(t, perms), NATS: []nats.Option{nats.UserInfo("operator", password)},
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
	require.Empty(t, in.try(t, `{"last_by_subj":"enact.b.private"}`, aimedAtStreams(t, b.stream, b.index, watchConsumer)...))
	require.Empty(t, in.try(
		t, "{}",
		"enact.b.private", "enact.b.new", "enact-index.b", "enact.a.mine.more", "_INBOX.x", "_INBOX_b.x",
		"$JS.API.INFO", "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ",
		"$JS.API.STREAM.INFO.ENACT-ab", "$JS.API.CONSUMER.CREATE.ENACT-a.x.enact.b.*", "$JS.API.CONSUMER.CREATE.ENACT-a.x",
		"$JS.API.STREAM.DELETE.ENACT-a", "$JS.API.STREAM.PURGE.ENACT-a", "$JS.API.STREAM.UPDATE.ENACT-a",
	))
	require.Empty(t, in.tryToSubscribe(
		t, ">", "*.>", "enact.>", "enact.*.*", "enact.b.*", "enact.a.*", "enact-index.*", "_INBOX.>", "_INBOX_b.>", "*.*",
		"$JS.>", "$JS.API.>", "$JS.ACK.>", "$JS.EVENT.>", "$SYS.>", "$SYS.ACCOUNT.>",
	))
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
		require.NotEmpty(t, in.try(t, ask.body, "$JS.API."+ask.subject), ask.subject)
	}
	require.NotContains(t, string(in.heard(t)), secret)
	require.NotContains(t, string(in.heard(t)), "private")
	allAtOnce(t, callsInTenant(a, "b", enact.InTenant("b")), func(call string, err error) {
		require.ErrorIs(t, err, enact.ErrNotPermitted, call)
	})
	require.Equal(t, before, b.state(t))
}

// A connection that was not given its tenant's inbox prefix hears no answers: it is told why.
// And where it hears some only, an append of which it says that it was not made was not.
func TestInboxPrefixIsMissing(t *testing.T) {
	t.Parallel() // it waits for answers that do not come
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, ""),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a"),
		"few":      permissionsFor(t, jetstore.RoleWriter, "a"),
	}
	few := perms["few"]
	few.Subscribe = []string{"few.*.1.*"} // the first inbox of a connection
	perms["few"] = few
	srv := natstest.Start(t, natstest.Options{
		Extra: authorization(t, perms), NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", password))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))

	quiet := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	_, err := jetstore.Connect(patiently(t), srv.URL(), jetstore.WithNATS(nats.UserInfo("a", password), quiet))
	require.ErrorIs(t, err, enact.ErrNotPermitted)
	require.ErrorContains(t, err, "inbox prefix")
	require.ErrorContains(t, err, `"_INBOX.`)

	var s *jetstore.Store
	ids := make([]enact.ExecutionID, 4)
	// begin makes a store and, one after another, for which the first inbox is enough, executions.
	begin := func() (err error) {
		s, err = jetstore.Connect(patiently(t), srv.URL(), jetstore.WithNATS(nats.UserInfo("few", password), nats.CustomInboxPrefix("few"), quiet))
		if err != nil {
			return err
		}
		for i := range ids {
			ids[i] = enact.NewExecutionID()
			if _, err := s.Append(t.Context(), ids[i], "a", enact.ExecutionStarted{}); err != nil {
				return errors.Join(err, s.Shutdown(context.Background()))
			}
		}
		return nil
	}
	// A request that is not answered in time costs the first inbox: then another store begins.
	natstest.Eventually(t, 3*time.Minute, func() bool {
		err = begin()
		return err == nil
	}, func() string { return err.Error() })
	defer func() { require.NoError(t, s.Shutdown(context.Background())) }()
	var appends sync.WaitGroup
	errs := make([]error, len(ids))
	for i, id := range ids {
		appends.Go(func() { _, errs[i] = s.Append(t.Context(), id, "a", enact.ExecutionResumed{}) })
	}
	appends.Wait()
	all, err := jetstore.Open(t.Context(), nc)
	require.NoError(t, err)
	defer func() { require.NoError(t, all.Shutdown(context.Background())) }()
	for i, err := range errs {
		latest, _, loadErr := all.LatestSequence(t.Context(), ids[i])
		require.NoError(t, loadErr)
		if !errors.Is(err, enact.ErrUnknownOutcome) {
			require.Equal(t, err == nil, latest == 2, "%v", err)
		}
	}
}

// On a shared stream foreign writes are refused that name their subject, and foreign reads
// are not: what is read stands in the request.
func TestSharedStreamConfinesWritesAlone(t *testing.T) {
	t.Parallel() // it waits for requests that nobody answers
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, ""),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a"),
		"a-reader": permissionsFor(t, jetstore.RoleReader, "a"),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: authorization(t, perms), NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", password))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	b := operatorOf(t, srv, "operator")
	b.fill(t, "ENACT", "ENACT_INDEX")
	a := use(t, srv, "a", jetstore.RoleWriter, perms["a"].InboxPrefix)
	use(t, srv, "a-reader", jetstore.RoleReader, perms["a-reader"].InboxPrefix)
	before := b.state(t)

	// Refused: whatever changes a stream, and writes to another tenant's subjects.
	in := intrude(t, srv, "a", perms["a"].InboxPrefix)
	allowed := regexp.MustCompile(`^\$JS\.(API\.STREAM\.INFO|API\.STREAM\.MSG\.GET|API\.DIRECT\.GET|API\.CONSUMER\.(INFO|MSG\.NEXT|DELETE)|ACK)\.`)
	requests := aimedAtStreams(t, b.stream, b.index, "no-such-consumer")
	reads := in.try(t, "{}", requests...)
	for _, subject := range reads {
		require.Regexp(t, allowed, subject)
	}
	require.Len(t, reads, 11, "of %d requests: %v", len(requests), reads)
	require.Empty(t, in.try(
		t, "{}",
		"enact.b.private", "enact.b.new", "enact-index.b", "_INBOX.x", "_INBOX_b.x",
		"$JS.API.CONSUMER.CREATE.ENACT.x", "$JS.API.CONSUMER.CREATE.ENACT.x.enact.b.*", "$JS.API.CONSUMER.CREATE.ENACT.x.>",
	))
	require.Empty(t, in.tryToSubscribe(t, ">", "enact.>", "enact.b.*", "enact-index.*", "_INBOX.>", "_INBOX_b.>", "$JS.>"))
	_, err := a.Append(t.Context(), "private", "b", note(1))
	require.ErrorIs(t, err, enact.ErrNotPermitted)
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
	require.NotEmpty(t, in.try(t, `{"seq":1,"next_by_subj":"enact.b.*","batch":10}`, "$JS.API.DIRECT.GET.ENACT"))
	in.hears(t, secret)
	// And to find out where another tenant's executions end, by the answer to a write of
	// one's own that is checked against theirs.
	guarded := &nats.Msg{Subject: "enact.a.probe", Reply: in.inbox.Subject, Header: nats.Header{
		headerExpected: {"1"}, headerExpectedSubject: {"enact.b.private"},
	}}
	require.NoError(t, in.nc.PublishMsg(guarded))
	in.hears(t, fmt.Sprint("wrong last sequence: ", events[0].Position))
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
		Extra: authorization(t, perms), NATS: []nats.Option{nats.UserInfo("operator", password)},
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
	natstest.Eventually(t, time.Minute, func() bool {
		info, err := stream.Info(t.Context())
		require.NoError(t, err)
		return info.State.Msgs > 1
	}, func() string { return "no answer was stored: permissions confine more than docs/guarantees.md says" })
	// It does not pass for a record: tenant b learns of it.
	_, err = b.store.LoadEvents(t.Context(), "private", enact.InTenant("b"))
	require.ErrorIs(t, err, enact.ErrCorrupt)
}

// On a shared stream that is a way to forge a record: its content is stored as a tenant's own
// message, checked against the other tenant's last one, and comes back as the answer to a
// read that is published on the other's subject.
func TestForgeryOnASharedStream(t *testing.T) {
	perms := map[string]jetstore.Permissions{
		"operator": permissionsFor(t, jetstore.RoleOperator, ""),
		"a":        permissionsFor(t, jetstore.RoleWriter, "a"),
	}
	srv := natstest.Start(t, natstest.Options{
		Extra: authorization(t, perms), NATS: []nats.Option{nats.UserInfo("operator", password)},
	})
	nc := natstest.Connect(t, srv.URL(), nats.UserInfo("operator", password))
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	b := operatorOf(t, srv, "operator")
	b.fill(t, "ENACT", "ENACT_INDEX")
	in := intrude(t, srv, "a", perms["a"].InboxPrefix)

	last, err := in.nc.Request("$JS.API.DIRECT.GET.ENACT", []byte(`{"last_by_subj":"enact.b.private"}`), time.Minute)
	require.NoError(t, err)
	position, err := strconv.ParseUint(last.Header.Get("Nats-Sequence"), 10, 64)
	require.NoError(t, err)
	r, err := record.Parse(b.store.Subjects(), "enact.b.private", position, last.Header, last.Data)
	require.NoError(t, err)
	forged := &record.Record{
		TenantID: "b", ExecutionID: "private", Times: []time.Time{time.Now().UTC()}, Codec: "json",
		Commit: record.Commit{ID: logtest.NewCommit(time.Now()), Index: 1, Of: 1}, Payload: []byte(`{"type":"execution_paused","reason":"forged"}`),
	}
	_, err = forged.After(r.Tail())
	require.NoError(t, err)
	m, err := forged.Message(b.store.Subjects())
	require.NoError(t, err)
	m.Header[headerExpectedSubject] = []string{m.Subject}
	m.Subject = "enact.a.mould"
	ack, err := in.nc.RequestMsg(m, time.Minute)
	require.NoError(t, err)
	var stored struct {
		Seq uint64 `json:"seq"`
	}
	require.NoError(t, json.Unmarshal(ack.Data, &stored), "%s", ack.Data)
	require.NotZero(t, stored.Seq, "%s", ack.Data)
	require.NoError(t, in.nc.PublishRequest("$JS.API.DIRECT.GET.ENACT", "enact.b.private", fmt.Appendf(nil, `{"seq":%d}`, stored.Seq)))
	require.NoError(t, in.nc.Flush())
	events, err := b.store.LoadEvents(t.Context(), "private", enact.InTenant("b"), enact.AtLeast(2))
	require.NoError(t, err)
	require.Equal(t, enact.ExecutionPaused{Reason: "forged"}, events[1].Event, "permissions confine more than docs/guarantees.md says")
}

// Between accounts there is nothing to refuse: no request and no answer reaches another.
func TestAccountPerTenant(t *testing.T) {
	config := strings.NewReplacer("acme-", "a-", "globex-", "b-", "50GB", "1GB").Replace(guarantees(t, "nats-accounts"))
	srv := natstest.Start(t, natstest.Options{Extra: config, NATS: []nats.Option{nats.UserInfo("a-operator", password)}})
	for _, user := range []string{"a-operator", "b-operator"} {
		nc, err := nats.Connect(srv.URL(), nats.UserInfo(user, password), nats.Timeout(time.Minute))
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
	for _, subject := range aimedAtStreams(t, b.stream, b.index, watchConsumer) {
		send(subject, in.inbox.Subject, "{}")
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
	require.Empty(t, in.try(
		t, "{}", "$JS.API.STREAM.UPDATE.ENACT", "$JS.API.STREAM.PURGE.ENACT", "$JS.API.STREAM.DELETE.ENACT",
		"$JS.API.STREAM.RESTORE.ENACT", "$JS.API.STREAM.MSG.DELETE.ENACT",
	))
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
			"other names", jetstore.RoleWriter, "t",
			[]jetstore.Option{jetstore.WithStream("LOG"), jetstore.WithPrefix("p.q"), jetstore.WithDomain("hub")},
			[]string{"$JS.hub.API.DIRECT.GET.LOG_INDEX", "p.q.t.*", "$JS.hub.API.CONSUMER.CREATE.LOG.*.p.q.t.*"},
			[]string{"$JS.API.DIRECT.GET.LOG"},
			"_INBOX_t",
		},
		{
			"stream per tenant", jetstore.RoleReader, "t",
			[]jetstore.Option{jetstore.WithStreamPerTenant()},
			[]string{"$JS.API.DIRECT.GET.ENACT-t", "$JS.API.DIRECT.GET.ENACT_INDEX-t"},
			[]string{"enact.t.*", "$JS.API.DIRECT.GET.ENACT"},
			"_INBOX_t",
		},
		{
			"all streams of tenants", jetstore.RoleWriter, "",
			[]jetstore.Option{jetstore.WithStreamPerTenant()},
			[]string{"$JS.API.DIRECT.GET.*", "enact.*.*"},
			[]string{"$JS.API.STREAM.UPDATE.*"},
			"",
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
		{"god", "", enact.ErrInvalidOption},
		{"", "t", enact.ErrInvalidOption},
		{jetstore.RoleOperator, "t", enact.ErrInvalidOption},
		{jetstore.RoleReader, enact.TenantID(strings.Repeat("x", 200)), enact.ErrInvalidID},
	} {
		_, err := jetstore.PermissionsFor(tc.role, tc.tenant)
		require.ErrorIs(t, err, tc.want)
	}
}
