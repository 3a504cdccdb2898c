package doctor

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// cluster starts three servers with a system account; each has the further configuration.
func cluster(t *testing.T, further string) []*server.Server {
	t.Helper()
	ports, err := freeport.Reserve(3)
	require.NoError(t, err)
	t.Cleanup(ports.Release)
	var routes []string
	for _, port := range ports.Ports {
		routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", port))
	}
	confs := make([]string, 3)
	for i := range confs {
		confs[i] = fmt.Sprintf(`jetstream { store_dir: "DIR", sync_interval: always }
			accounts { APP: { jetstream: enabled, users: [{user: app, password: x}] }, SYS: { users: [{user: sys, password: x}] } }
			system_account: SYS
			cluster { name: test, listen: "%s", no_advertise: true, routes: [%s] }
			%s`, strings.TrimPrefix(routes[i], "nats://"), strings.Join(routes, ", "), further)
	}
	servers := serve(t, confs...)
	natstest.Eventually(t, time.Minute, func() bool {
		for _, s := range servers {
			if s.JetStreamIsLeader() {
				return len(s.JetStreamClusterPeers()) == len(servers)
			}
		}
		return false
	}, func() string { return "there is no cluster" })
	return servers
}

// Three servers on one host, asked through the system account: all that can be known is.
func TestCluster(t *testing.T) {
	servers := cluster(t, "server_tags: [\"az:a\", \"disk:ssd\"]")
	nc := connect(t, servers[0], nats.UserInfo("app", "x"))
	store := logOn(t, nc)
	appendTo(t, store, "acme", 1)
	system := connect(t, servers[1], nats.UserInfo("sys", "x"))
	// A replica that has just begun is not current yet.
	natstest.Eventually(t, time.Minute, func() bool {
		x, err := newExamination(Patient{Conn: nc})
		require.NoError(t, err)
		x.look(t.Context())
		for _, f := range replicas(t.Context(), x) {
			if f.Status != OK {
				return false
			}
		}
		return true
	}, func() string { return "replicas do not become current" })
	before := state(t, nc)
	r := examine(t, Patient{Conn: nc, System: system, NoProbes: true, Role: jetstore.RoleOperator})
	require.Equal(t, "nats-server "+server.VERSION+": n1, n2, n3", one(t, r, checkVersions).Found)
	require.Equal(t, Finding{Check: checkSync, Status: OK, Found: "n1, n2, n3: fsync before each acknowledgement"}, one(t, r, checkSync))
	require.Len(t, r.of(checkStorage), 4)
	for _, f := range r.of(checkReplicas) {
		require.Contains(t, f.Found, "3 replicas, leader n")
	}
	// The connection knows of one address; the others' places are known by their tags.
	require.Equal(t, Warn, one(t, r, checkPlacement).Status)
	require.Contains(t, one(t, r, checkPlacement).Found, "all are in az:a")
	require.Equal(t, before, state(t, nc))

	// The connection knows all addresses: they are one.
	var urls []string
	for _, s := range servers {
		urls = append(urls, s.ClientURL())
	}
	all, err := nats.Connect(strings.Join(urls, ","), nats.UserInfo("app", "x"), nats.Timeout(time.Minute))
	require.NoError(t, err)
	t.Cleanup(all.Close)
	r = examine(t, Patient{Conn: all})
	require.Contains(t, one(t, r, checkPlacement).Found, "are on one host, 127.0.0.1")
	require.Contains(t, one(t, r, checkVersions).Found, "n1, n2, n3")
	require.Equal(t, Unknown, one(t, r, checkSync).Status)
	appendsWork(t, r)
	require.Equal(t, OK, one(t, r, checkIngest).Status, "%+v", r.of(checkIngest))
	require.Equal(t, before, state(t, nc))
}

func judgeReplicas(peers []peer, n int) Finding {
	x := &examination{}
	s := &stream{}
	s.config.Replicas = n
	s.info.Cluster = &struct {
		Name     string `json:"name"`
		Leader   string `json:"leader"`
		Replicas []peer `json:"replicas"`
	}{Leader: "n1", Replicas: peers}
	x.streams = []*stream{s}
	return replicas(context.Background(), x)[0]
}

func TestReplicas(t *testing.T) {
	on := func(name string) peer { return peer{Name: name, Current: true} }
	for _, tt := range []struct {
		n        int
		replicas []peer
		want     Status
		means    string
	}{
		{3, []peer{on("n2"), on("n3")}, OK, ""},
		{3, []peer{on("n2"), {Name: "n3", Offline: true}}, Warn, "of 3 replicas 2 keep up; 2 must for the log to take appends: one more failure stops it"},
		{5, []peer{on("n2"), on("n3"), on("n4"), {Name: "n5"}}, Warn, "of 5 replicas 4 keep up; 3 must for the log to take appends"},
		{3, []peer{on("n2")}, Warn, "there are fewer copies than were asked for"},
		{4, []peer{on("n2"), on("n3"), on("n4")}, Warn, "4 replicas survive no more failures than 3"},
		{1, nil, Warn, "the log is as durable as one disk, and stands still while its server does"},
	} {
		f := judgeReplicas(tt.replicas, tt.n)
		require.Equal(t, tt.want, f.Status, "%+v", f)
		require.Equal(t, tt.means, f.Means)
	}
}

func TestVersions(t *testing.T) {
	for version, want := range map[string]Status{
		"2.14.4": Fail, "2.9.25": Fail, "2.14.5": Warn, "2.15.0": Warn, "2.15.1": OK, "2.15.2": OK, "2.16.0-RC.1": Warn, "2.16.0": OK, "3.0.1": OK, "": Unknown,
	} {
		require.Equal(t, want, judgeVersion(version, []string{"n1"}).Status, version)
	}
	x := &examination{servers: serverSet{"A": {name: "n1", version: "2.15.1"}, "B": {name: "n2", version: "2.15.2"}}}
	found := versions(t.Context(), x)
	require.Len(t, found, 3)
	require.Equal(t, Warn, found[2].Status)
	require.Equal(t, "2 versions at a time", found[2].Found)
}

func TestClocks(t *testing.T) {
	asked := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	read := func(ahead, took time.Duration) reading {
		return readClock("n1", asked.Add(took/2+ahead), asked, asked.Add(took))
	}
	for _, tt := range []struct {
		readings []reading
		want     Status
	}{
		{nil, Unknown},
		{[]reading{read(0, time.Second)}, OK},
		{[]reading{read(900*time.Millisecond, 10*time.Millisecond)}, OK},
		{[]reading{read(2*time.Second, 4*time.Second)}, OK}, // the answer took longer
		{[]reading{read(0, time.Millisecond), read(-1100*time.Millisecond, time.Millisecond)}, Warn},
		{[]reading{read(time.Hour, time.Second)}, Fail},
	} {
		f := judgeClocks(tt.readings)
		require.Equal(t, tt.want, f.Status, "%+v", f)
	}
	require.Contains(t, judgeClocks([]reading{read(-time.Minute, 0)}).Found, "n1 is 1m0s behind ours")
}

func TestUsage(t *testing.T) {
	for used, want := range map[uint64]Status{0: OK, 79: OK, 80: Warn, 94: Warn, 95: Fail, 200: Fail} {
		require.Equal(t, want, judgeUsage(usage{what: "account", used: used, limit: 100}).Status, used)
	}
	require.Equal(t, OK, judgeUsage(usage{used: 1 << 60}).Status)
}

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern, subject string
		want             bool
	}{
		{">", "a", true},
		{"a.>", "a", false},
		{"a.>", "a.b.c", true},
		{"a.*", "a.b", true},
		{"a.*", "a.b.c", false},
		{"*.b", "a.b", true},
		{"a.b", "a", false},
		{"a", "a.b", false},
	} {
		require.Equal(t, tt.want, covers(tt.pattern, tt.subject), tt)
		require.Equal(t, tt.want, meet(tt.pattern, tt.subject), tt)
		require.Equal(t, tt.want, meet(tt.subject, tt.pattern), tt)
	}
	require.True(t, meet("a.*.c", "a.b.*"))
	require.True(t, meet("*.*.*", "enact.*.*"))
	require.False(t, meet("a.*", "b.>"))
	require.Equal(t, "a.*.*.>", destination("a.{{wildcard(1)}}.$2.>"))
	require.False(t, (&userPermissions{Publish: &struct {
		Allow []string `json:"allow"`
		Deny  []string `json:"deny"`
	}{Deny: []string{"a.*"}}}).mayPublish("a.b"))
}

func TestUnreachable(t *testing.T) {
	r := Unreachable(enact.ErrClosed, "")
	require.Equal(t, Fail, r.Worst)
	require.Len(t, r.Findings, 1)
}
