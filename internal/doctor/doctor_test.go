package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/leaktest"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// A server of a busy machine may be slow to greet.
func TestMain(m *testing.M) {
	greetingTimeout = time.Minute
	leaktest.Main(m)
}

// serve starts servers in this process, one for each configuration, whose jetstream block
// lacks the directory.
func serve(t *testing.T, confs ...string) []*server.Server {
	t.Helper()
	var servers []*server.Server
	for i, conf := range confs {
		file := filepath.Join(t.TempDir(), "server.conf")
		text := fmt.Sprintf("server_name: n%d\nhost: 127.0.0.1\nhttp: 127.0.0.1:-1\n%s\n", i+1, strings.ReplaceAll(conf, "DIR", t.TempDir()))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		opts, err := server.ProcessConfigFile(file)
		require.NoError(t, err)
		opts.NoSigs, opts.NoLog, opts.Port = true, true, -1
		s, err := server.NewServer(opts)
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() {
			s.Shutdown()
			s.WaitForShutdown()
		})
		servers = append(servers, s)
	}
	for _, s := range servers {
		require.True(t, s.ReadyForConnections(time.Minute))
	}
	return servers
}

const plain = `jetstream { store_dir: "DIR" }`

func connect(t *testing.T, s *server.Server, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append(opts, nats.Timeout(time.Minute), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// logOn makes a log and puts an execution with two events into it.
func logOn(t *testing.T, nc *nats.Conn, opts ...jetstore.Option) *jetstore.Store {
	t.Helper()
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc, opts...))
	store, err := jetstore.Open(t.Context(), nc, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Shutdown(context.Background())) })
	return store
}

func appendTo(t *testing.T, store *jetstore.Store, tenant enact.TenantID, n int) {
	t.Helper()
	for range n {
		_, err := store.Execution(tenant, "run").Append(t.Context(), enact.Custom{EventType: "x", Data: enact.JSON(1)})
		require.NoError(t, err)
	}
}

func examine(t *testing.T, p Patient) Report {
	t.Helper()
	p.Patience = max(p.Patience, time.Millisecond)
	r, err := Examine(t.Context(), p)
	require.NoError(t, err)
	for _, f := range r.Findings {
		require.NotEmpty(t, f.Found, f.Check)
		if f.Status == Warn || f.Status == Fail {
			require.NotEmpty(t, f.Means, f)
			require.NotEmpty(t, f.Mend, f)
		}
	}
	return r
}

// of returns the findings of a check.
func (r Report) of(check string) []Finding {
	return slices.DeleteFunc(slices.Clone(r.Findings), func(f Finding) bool { return f.Check != check })
}

// one returns the only finding of a check.
func one(t *testing.T, r Report, check string) Finding {
	t.Helper()
	found := r.of(check)
	require.Len(t, found, 1, "%+v", r.Findings)
	return found[0]
}

// appendsWork checks that appends were tried and succeeded. How fast is the machine's matter:
// slow ones are a warning.
func appendsWork(t *testing.T, r Report) {
	t.Helper()
	f := one(t, r, checkAppends)
	require.Contains(t, []Status{OK, Warn}, f.Status, f)
	require.Contains(t, f.Found, "median ")
}

// state is what the account's streams hold.
func state(t *testing.T, nc *nats.Conn) string {
	t.Helper()
	var list struct {
		Streams []struct {
			Config, State json.RawMessage
		}
		Missing []string // whose leaders have not answered in time
	}
	natstest.Eventually(t, time.Minute, func() bool {
		m, err := nc.Request("$JS.API.STREAM.LIST", nil, time.Minute)
		require.NoError(t, err)
		list.Streams, list.Missing = nil, nil
		require.NoError(t, json.Unmarshal(m.Data, &list))
		return len(list.Missing) == 0
	}, func() string { return fmt.Sprintf("no leader answers for %v", list.Missing) })
	return fmt.Sprintf("%s", list.Streams)
}

// A sound log on one server: nothing fails, nothing is left behind, and nothing changes.
func TestSoundLog(t *testing.T) {
	s := serve(t, plain)[0]
	nc := connect(t, s)
	store := logOn(t, nc)
	appendTo(t, store, "acme", 2)
	before := state(t, nc)
	r := examine(t, Patient{Conn: nc})
	require.Equal(t, before, state(t, nc))
	require.Equal(t, Warn, r.Worst)

	for _, check := range []string{
		checkConnection, checkVersions, checkSettings, checkPlacement, checkClock, checkIngest, checkConsumers, checkLeftovers,
	} {
		require.Equal(t, OK, one(t, r, check).Status, "%+v", r.of(check))
	}
	appendsWork(t, r)
	require.Equal(t, "ENACT, ENACT_INDEX: every setting keeps the log's guarantees", one(t, r, checkSettings).Found)
	require.Equal(t, "nats-server "+server.VERSION+": n1", one(t, r, checkVersions).Found)
	require.Equal(t, Warn, one(t, r, checkReplicas).Status)
	require.Equal(t, Warn, one(t, r, checkPermissions).Status)
	require.Equal(t, Unknown, one(t, r, checkSync).Status)
	require.Equal(t, []Status{OK, Unknown}, []Status{r.of(checkStorage)[0].Status, r.of(checkStorage)[1].Status})
}

// What the monitoring tells: how the server syncs, what it stores, its clock.
func TestMonitoring(t *testing.T) {
	s := serve(t, `jetstream { store_dir: "DIR", sync_interval: always, max_file_store: 1GB }`, plain)
	nc := connect(t, s[0])
	logOn(t, nc)
	at := func(s *server.Server) string { return "http://" + s.MonitorAddr().String() }
	r := examine(t, Patient{Conn: nc, Monitors: []string{at(s[0])}, NoProbes: true, Role: jetstore.RoleOperator})
	require.Equal(t, Finding{Check: checkSync, Status: OK, Found: "n1: fsync before each acknowledgement"}, one(t, r, checkSync))
	require.Len(t, r.of(checkStorage), 2)
	require.Contains(t, r.of(checkStorage)[1].Found, "n1: 0 B of 1.0 GiB")
	require.Equal(t, OK, one(t, r, checkPermissions).Status)
	require.Equal(t, Unknown, one(t, r, checkAppends).Status)

	nc = connect(t, s[1])
	logOn(t, nc)
	r = examine(t, Patient{Conn: nc, Monitors: []string{at(s[1]), "http://127.0.0.1:1"}, NoProbes: true})
	require.Equal(t, Fail, one(t, r, checkSync).Status)
	require.Equal(t, "n1: fsync every 2m0s", strings.Replace(one(t, r, checkSync).Found, "n2", "n1", 1))
	require.Contains(t, r.of(checkVersions)[1].Found, "monitoring http://127.0.0.1:1: ")
}

// Every setting that breaks a guarantee is named, of both streams, and a missing stream.
func TestBrokenSettings(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	r := examine(t, Patient{Conn: nc, NoProbes: true})
	require.Equal(t, Fail, r.Worst)
	require.Equal(t, "ENACT, ENACT_INDEX: there is no such stream", one(t, r, checkSettings).Found)

	logOn(t, nc)
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	require.NoError(t, err)
	for _, name := range []string{"ENACT", "ENACT_INDEX"} {
		info, err := js.StreamInfo(name)
		require.NoError(t, err)
		info.Config.MaxMsgs, info.Config.AllowDirect = 10, name == "ENACT"
		_, err = js.UpdateStream(&info.Config)
		require.NoError(t, err)
	}
	r = examine(t, Patient{Conn: nc, NoProbes: true})
	found := r.of(checkSettings)
	require.Len(t, found, 2)
	require.Equal(t, []Status{Fail, Fail}, []Status{found[0].Status, found[1].Status})
	require.Contains(t, found[0].Found, "ENACT: max_msgs is 10")
	require.NotContains(t, found[0].Found, "allow_direct")
	require.Contains(t, found[1].Found, "ENACT_INDEX: ")
	require.Contains(t, found[1].Found, "allow_direct is false")
	require.Equal(t, Unknown, one(t, r, checkConsumers).Status, "a log that does not open")
}

// What a connection may do is told by the server, or tried with requests that come to
// nothing; the log is the same afterwards.
func TestPermissions(t *testing.T) {
	perms := func(role jetstore.Role, further ...string) string {
		p, err := jetstore.PermissionsFor(role, "")
		require.NoError(t, err)
		p.Publish = append(p.Publish, further...)
		return p.Config()
	}
	user := func(name, permissions string) string {
		return fmt.Sprintf("{ user: %s, password: x, permissions: %s }\n", name, permissions)
	}
	s := serve(t, plain+"\nauthorization { users: [\n"+
		user("operator", perms(jetstore.RoleOperator))+
		user("writer", perms(jetstore.RoleWriter))+
		user("told", perms(jetstore.RoleWriter, "$SYS.REQ.USER.INFO"))+
		user("careless", perms(jetstore.RoleWriter, "$JS.API.>"))+
		user("purger", perms(jetstore.RoleReader, "$JS.API.STREAM.PURGE.*", "$JS.API.STREAM.MSG.DELETE.ENACT"))+
		"] }")[0]
	as := func(name string) *nats.Conn { return connect(t, s, nats.UserInfo(name, "x")) }
	operator := as("operator")
	store := logOn(t, operator)
	appendTo(t, store, "acme", 3)
	before := state(t, operator)
	for _, tt := range []struct {
		user  string
		role  jetstore.Role
		want  Status
		found string
	}{
		{"operator", jetstore.RoleOperator, OK, "may delete, update, purge, restore, delete messages of ENACT"},
		{"operator", "", Warn, "may delete, update, purge, restore, delete messages of ENACT"},
		{"operator", jetstore.RoleWriter, Fail, "may delete, update, purge, restore, delete messages of ENACT"},
		{"writer", jetstore.RoleWriter, OK, "may not delete, update, purge or restore ENACT"},
		{"writer", jetstore.RoleOperator, Warn, "may not delete, update, purge or restore ENACT"},
		{"told", "", OK, "may not delete, update, purge or restore ENACT"},
		{"careless", "", Warn, "may delete, update, purge, restore, delete messages of ENACT"},
		{"purger", jetstore.RoleReader, Fail, "may purge, delete messages of ENACT"},
	} {
		r := examine(t, Patient{Conn: as(tt.user), Role: tt.role, NoProbes: true})
		f := one(t, r, checkPermissions)
		require.Equal(t, tt.want, f.Status, "%s: %+v", tt.user, f)
		require.Equal(t, "the connection "+tt.found, f.Found, tt.user)
		require.Equal(t, before, state(t, operator), tt.user)
	}
	// Who may not make streams is told so, at once.
	r := examine(t, Patient{Conn: as("writer")})
	require.Equal(t, "not tried: the connection may not make a scratch stream", one(t, r, checkAppends).Found)
	require.Equal(t, before, state(t, operator))
}

// Where the API is imported from another account, a connection may do no more than is imported,
// whatever its user may publish.
func TestPermissionsOfAnImportedAPI(t *testing.T) {
	s := serve(t, plain+`
accounts {
  LOG {
    jetstream: enabled
    users: [ { user: boss, password: x } ]
    exports: [ { service: "$JS.API.STREAM.INFO.*" }, { service: "$JS.API.STREAM.PURGE.*" } ]
  }
  APP {
    users: [ { user: app, password: x } ]
    imports: [
      { service: { account: LOG, subject: "$JS.API.STREAM.INFO.*" }, to: "log.API.STREAM.INFO.*" }
      { service: { account: LOG, subject: "$JS.API.STREAM.PURGE.*" }, to: "log.API.STREAM.PURGE.*" }
    ]
  }
}`)[0]
	boss := connect(t, s, nats.UserInfo("boss", "x"))
	appendTo(t, logOn(t, boss), "acme", 3)
	before := state(t, boss)
	r := examine(t, Patient{
		Conn: connect(t, s, nats.UserInfo("app", "x")), Options: []jetstore.Option{jetstore.WithAPIPrefix("log.API")}, NoProbes: true,
	})
	require.Equal(t, "the connection may purge ENACT", one(t, r, checkPermissions).Found)
	require.Equal(t, Finding{Check: checkConsumers, Status: Unknown, Found: "nobody answers"}, one(t, r, checkConsumers))
	require.Equal(t, before, state(t, boss))
}

// Requests that are void come to nothing by each of their two reasons alone.
func TestVoidRequests(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	// Without deny_delete and deny_purge, which would be a third reason.
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	require.NoError(t, err)
	_, err = js.AddStream(&nats.StreamConfig{Name: "ENACT", Subjects: []string{"enact.*.*"}})
	require.NoError(t, err)
	for range 3 {
		_, err = js.Publish("enact.acme.run", nil)
		require.NoError(t, err)
	}
	before := state(t, nc)
	full := map[string]string{"STREAM.UPDATE.": `{"name":"ENACT","subjects":["enact.*.*"],"max_msgs":1}`, "STREAM.MSG.DELETE.": `{"seq":1}`}
	for _, h := range harms {
		for _, msg := range []*nats.Msg{
			{Subject: "$JS.API." + h.request + "ENACT", Data: []byte(h.body)},
			{Subject: "$JS.API." + h.request + "ENACT", Data: []byte(full[h.request]), Header: requiredLevel},
		} {
			answer, err := nc.RequestMsg(msg, time.Minute)
			require.NoError(t, err)
			require.True(t, refusedBy(answer), "%s: %s", msg.Subject, answer.Data)
			require.Equal(t, before, state(t, nc), msg.Subject)
		}
	}
}

// Whoever else takes the log's messages shows.
func TestDuplicateIngest(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	appendTo(t, logOn(t, nc), "acme", 1)
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	require.NoError(t, err)
	for _, c := range []nats.StreamConfig{
		{Name: "COPY", Mirror: &nats.StreamSource{Name: "ENACT"}},
		{Name: "PART", Sources: []*nats.StreamSource{{Name: "ENACT_INDEX"}}},
		{Name: "OTHER", Subjects: []string{"other.*"}, RePublish: &nats.RePublish{Source: "other.*", Destination: "enact.other.{{wildcard(1)}}"}},
		{Name: "FINE", Subjects: []string{"fine.*"}, RePublish: &nats.RePublish{Source: "fine.*", Destination: "finer.{{wildcard(1)}}"}},
		{Name: "ENACT_SCRATCH_Fqp6iYwvxAgyXgZmL02EUZ", Subjects: []string{"scratch.*"}},
	} {
		_, err = js.AddStream(&c)
		require.NoError(t, err)
	}
	info, err := js.StreamInfo("ENACT")
	require.NoError(t, err)
	info.Config.RePublish = &nats.RePublish{Source: "enact.>", Destination: "copy.>"}
	_, err = js.UpdateStream(&info.Config)
	require.NoError(t, err)
	// A program that answers what is published to the log.
	sub, err := nc.Subscribe("enact.>", func(m *nats.Msg) { _ = m.Respond([]byte("thanks")) })
	require.NoError(t, err)
	r := examine(t, Patient{Conn: nc, NoProbes: true, Patience: time.Minute})
	var found []string
	for _, f := range r.of(checkIngest) {
		found = append(found, string(f.Status)+" "+f.Found)
	}
	require.ElementsMatch(t, []string{
		"warn COPY copies ENACT", "warn PART copies ENACT_INDEX", "warn ENACT publishes what it stores again, as copy.>",
		"fail OTHER publishes what it stores as enact.other.{{wildcard(1)}}", "fail more than ENACT answers on enact.*.*",
	}, found)
	require.Equal(t, Finding{
		Check: checkLeftovers, Status: Warn, Found: "ENACT_SCRATCH_Fqp6iYwvxAgyXgZmL02EUZ",
		Means: one(t, r, checkLeftovers).Means, Mend: one(t, r, checkLeftovers).Mend,
	}, one(t, r, checkLeftovers))
	require.NoError(t, sub.Unsubscribe())
}

// Consumers that are far behind, or that nobody serves.
func TestConsumersBehind(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	store := logOn(t, nc)
	appendTo(t, store, "acme", 5)
	js, err := nc.JetStream(nats.MaxWait(time.Minute))
	require.NoError(t, err)
	_, err = js.AddConsumer("ENACT", &nats.ConsumerConfig{Durable: "slow", AckPolicy: nats.AckExplicitPolicy})
	require.NoError(t, err)
	r := examine(t, Patient{Conn: nc, NoProbes: true, Lag: 5})
	require.Equal(t, Finding{Check: checkConsumers, Status: OK, Found: "1 consumer, none of them behind"}, one(t, r, checkConsumers))
	r = examine(t, Patient{Conn: nc, NoProbes: true, Lag: 4})
	require.Equal(t, "other slow of ENACT has 5 records before it", one(t, r, checkConsumers).Found)

	for _, tt := range []struct {
		info consumer.Info
		want string // of what it says
	}{
		{consumer.Info{Kind: consumer.KindGroup, Pending: 3}, "nobody asks for them"},
		{consumer.Info{Kind: consumer.KindGroup, Pending: 3, Waiting: 1}, ""},
		{consumer.Info{Kind: consumer.KindGroup, Pending: 3, InFlight: 1}, ""},
		{consumer.Info{Kind: consumer.KindTail, Pending: 3}, ""},
		{consumer.Info{Kind: consumer.KindGroup, InFlight: 2, Redelivered: 1}, "sent more than once"},
		{consumer.Info{Kind: consumer.KindGroup, Pending: 11, PausedUntil: time.Now()}, "is paused until"},
		{consumer.Info{Kind: consumer.KindGroup, Pending: 3, PausedUntil: time.Now()}, ""},
	} {
		f := judgeConsumer(tt.info, "ENACT", 10)
		require.Equal(t, tt.want == "", f.Status == OK, "%+v", f)
		require.Contains(t, f.Found, tt.want)
	}
}

// A log with a stream per tenant is examined tenant by tenant.
func TestStreamPerTenant(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	apart := []jetstore.Option{jetstore.WithStreamPerTenant()}
	r := examine(t, Patient{Conn: nc, Options: apart, NoProbes: true})
	require.Empty(t, r.of(checkSettings), "there is no tenant")
	for _, tenant := range []enact.TenantID{"b", "a", "c/d"} {
		require.NoError(t, jetstore.EnsureTenant(t.Context(), nc, tenant, apart...))
	}
	r = examine(t, Patient{Conn: nc, Options: apart})
	require.Equal(t, "ENACT-a, ENACT_INDEX-a, ENACT-b, ENACT_INDEX-b and 2 more: every setting keeps the log's guarantees", one(t, r, checkSettings).Found)
	require.Equal(t, OK, one(t, r, checkIngest).Status, "%+v", r.of(checkIngest))
	appendsWork(t, r)
	require.Equal(t, OK, one(t, r, checkConsumers).Status, "%+v", r.of(checkConsumers))
	r = examine(t, Patient{Conn: nc, Options: apart, Tenant: "c/d", NoProbes: true})
	require.Equal(t, "ENACT-c%2Fd, ENACT_INDEX-c%2Fd: every setting keeps the log's guarantees", one(t, r, checkSettings).Found)
	require.Equal(t, OK, one(t, r, checkIngest).Status, "%+v", r.of(checkIngest))
	r = examine(t, Patient{Conn: nc, Options: apart, Tenant: "e", NoProbes: true})
	require.Equal(t, Fail, one(t, r, checkSettings).Status)
}

func TestRefusals(t *testing.T) {
	nc := connect(t, serve(t, plain)[0])
	_, err := Examine(t.Context(), Patient{Conn: nc, Role: "king"})
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	_, err = Examine(t.Context(), Patient{Conn: nc, Options: []jetstore.Option{jetstore.WithStream("a b")}})
	require.ErrorIs(t, err, enact.ErrInvalidOption)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Examine(ctx, Patient{Conn: nc})
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), 0)
	defer cancel()
	r, err := Examine(ctx, Patient{Conn: nc})
	require.NoError(t, err)
	require.Equal(t, Fail, r.Worst)
	nc.Close()
	require.Equal(t, Fail, examine(t, Patient{Conn: nc}).Worst)
}
