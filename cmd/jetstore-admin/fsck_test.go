package main

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/jetstore"
)

// publish stores a message on the script's server, as anybody may who may publish there:
// publish SUBJECT TEXT
func publish(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: publish subject text")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, err := jetstream.New(connect(ts, nil))
	ts.Check(err)
	_, err = js.Publish(ctx, args[0], []byte(args[1]))
	ts.Check(err)
}

// loseIndex makes the index stream on the script's server anew, empty: lose-index
func loseIndex(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: lose-index")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, err := jetstream.New(connect(ts, nil))
	ts.Check(err)
	ts.Check(js.DeleteStream(ctx, jetstore.DefaultStream+"_INDEX"))
	ts.Check(jetstore.EnsureStream(ctx, js.Conn()))
}

// makeTenant makes the streams of a tenant on the script's server: make-tenant TENANT
func makeTenant(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: make-tenant tenant")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ts.Check(jetstore.EnsureTenant(ctx, connect(ts, nil), enact.TenantID(args[0]), jetstore.WithStreamPerTenant()))
}
