package jetstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// startExample starts a server that stands for one elsewhere, on a free port.
func startExample() (srv *embedded.Server, end func()) {
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	srv, err = embedded.Start(context.Background(), dir, embedded.WithMemoryStorage(), embedded.WithPort(-1))
	if err != nil {
		log.Fatal(err)
	}
	return srv, func() {
		_ = srv.Shutdown(context.Background())
		_ = os.RemoveAll(dir)
	}
}

// The streams are made once, by an operator or by the first program; every program opens
// them. The store owns the connections that Connect makes.
func ExampleConnect() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, end := startExample()
	defer end()
	operator, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer operator.Close()
	streams := []jetstore.Option{
		jetstore.WithStream("AGENTS"), jetstore.WithPrefix("agents"),
		jetstore.WithMemoryStorage(), // for this example only: nothing would survive the server
	}
	if err := jetstore.EnsureStream(ctx, operator, streams...); err != nil {
		log.Fatal(err)
	}

	store, err := jetstore.Connect(ctx, srv.ClientURL(), append(streams,
		jetstore.WithNATS(nats.Name("billing")), // and credentials, TLS
		jetstore.WithTimeout(time.Minute),       // of calls whose context has no deadline
		jetstore.WithCacheSize(100_000),         // executions that are appended to in turn
		jetstore.WithKeyWindow(256),             // records that are searched for an idempotency key
	)...)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Shutdown(ctx)
	fmt.Println(store.StreamName(), store.Subjects().All(), store.RequiresNetwork())
	// Output: AGENTS agents.*.* true
}

// Over a connection of the program's own, which outlives the store. A log that was never
// made is not made by opening it.
func ExampleOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, end := startExample()
	defer end()
	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	_, err = jetstore.Open(ctx, nc, jetstore.WithMemoryStorage())
	fmt.Println(errors.Is(err, enact.ErrStreamNotFound))
	if err := jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}
	store, err := jetstore.Open(ctx, nc, jetstore.WithMemoryStorage())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.Shutdown(ctx), nc.IsConnected())
	fmt.Println(jetstore.DefaultReplicas(nc)) // on a cluster 3
	// Output:
	// true
	// <nil> true
	// 1
}

// Where and as whom is said by the environment, as for the nats CLI.
func ExampleFromEnv() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, end := startExample()
	defer end()
	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}

	// export NATS_URL=nats://…
	if err := os.Setenv("NATS_URL", srv.ClientURL()); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.Unsetenv("NATS_URL") }()
	store, err := jetstore.FromEnv(ctx, jetstore.WithMemoryStorage())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.Shutdown(ctx))
	// Output: <nil>
}

// What `nats context save` has written is all that a program needs to be told.
func ExampleWithContext() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, end := startExample()
	defer end()
	nc, err := nats.Connect(srv.ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "enact-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	saved := filepath.Join(dir, "staging.json") // by the CLI, which has a name for it
	text, err := json.Marshal(map[string]string{"url": srv.ClientURL()})
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(saved, text, 0o600); err != nil {
		log.Fatal(err)
	}

	store, err := jetstore.Connect(ctx, "", jetstore.WithContext(saved), jetstore.WithMemoryStorage())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.Shutdown(ctx))
	// Output: <nil>
}

// A server that is the program's own, in its process: package embedded does this.
func ExampleWithLocalServer() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	srv, end := startExample()
	defer end()
	nc, err := nats.Connect("", srv.InProcess(), nats.Timeout(time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()
	if err := jetstore.EnsureStream(ctx, nc, jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}

	store, err := jetstore.Connect(ctx, "", jetstore.WithMemoryStorage(),
		jetstore.WithNATS(srv.InProcess()), jetstore.WithLocalServer(srv.Shutdown))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(store.RequiresNetwork(), store.SupportsAirGapped())
	fmt.Println(store.Shutdown(ctx)) // and the server's
	// Output:
	// false true
	// <nil>
}

// Three copies, on servers of one zone. What a tool makes streams of is the same.
func ExampleConfigs() {
	records, index, err := jetstore.Configs("", jetstore.WithReplicas(3), jetstore.WithPlacement("eu", "ssd"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(records.Name, records.Subjects, index.Name, index.Subjects)
	fmt.Println(records.Replicas, records.Placement.Cluster, records.Placement.Tags, records.DenyDelete)

	// What somebody has made of it.
	changed := records
	changed.DenyDelete = false
	err = jetstore.CheckConfig(changed, records)
	if broken, ok := errors.AsType[*enact.StreamConfigError](err); ok {
		fmt.Println(broken.Problems[0].Setting, "is", broken.Problems[0].Have)
	}
	// Streams of one name are told apart.
	fmt.Println(jetstore.Incarnation(records, time.Time{}) == jetstore.Incarnation(index, time.Time{}))
	// Output:
	// ENACT [enact.*.*] ENACT_INDEX [enact-index.*]
	// 3 eu [ssd] true
	// deny_delete is false
	// false
}

// Where a log is, for programs that look at its streams themselves.
func ExampleLayoutOf() {
	layout, err := jetstore.LayoutOf("zürich", jetstore.WithStreamPerTenant(), jetstore.WithDomain("hub"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(layout.Log.Name, layout.Log.Subject)
	fmt.Println(layout.APIPrefix + ".STREAM.INFO." + layout.Index.Name)

	imported, err := jetstore.LayoutOf("", jetstore.WithAPIPrefix("hub.api"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(imported.APIPrefix)

	records, _, err := jetstore.Configs("")
	if err != nil {
		log.Fatal(err)
	}
	records.AllowRollup = true
	for _, problem := range imported.Log.Problems(&records) {
		fmt.Println(problem.Setting)
	}
	// Output:
	// ENACT-z%C3%BCrich enact.z%C3%BCrich.*
	// $JS.hub.API.STREAM.INFO.ENACT_INDEX-z%C3%BCrich
	// hub.api
	// allow_rollup_hdrs
}

func ExampleCheckServerVersion() {
	fmt.Println(jetstore.CheckServerVersion("2.15.2"))
	fmt.Println(jetstore.CheckServerVersion("2.10.29"))
	// Output:
	// <nil>
	// enact: server too old: 2.10.29, need 2.14.5
}

// The permissions of a role in the words of the server's configuration.
func ExamplePermissions_Config() {
	p, err := jetstore.PermissionsFor(jetstore.RoleWriter, "", jetstore.WithStream("AGENTS"))
	if err != nil {
		log.Fatal(err)
	}
	lines := strings.Split(p.Config(), "\n")
	fmt.Println(strings.Join(lines[:3], "\n"))
	// Output:
	// {
	//   publish: { allow: [
	//     "$JS.API.STREAM.INFO.AGENTS"
}

// The streams of a tenant are made by whoever may make streams; then the tenant has a
// store that knows no other one.
func ExampleEnsureTenant() {
	ctx := context.Background()
	store, end := openExample(jetstore.WithStreamPerTenant())
	defer end()
	if err := jetstore.EnsureTenant(ctx, store.Conn(), "acme", jetstore.WithStreamPerTenant(), jetstore.WithMemoryStorage()); err != nil {
		log.Fatal(err)
	}
	acme, err := store.Tenant(ctx, "acme")
	if err != nil {
		log.Fatal(err)
	}
	seq, err := acme.Append(ctx, "exec_1", "acme", enact.ExecutionStarted{})
	fmt.Println(seq, err, store.StreamOf("acme") == acme.StreamName())
	n, err := acme.CountEvents(ctx, "exec_1") // whose tenant need not be named
	fmt.Println(n, err)
	// Output:
	// 1 <nil> true
	// 1 <nil>
}
