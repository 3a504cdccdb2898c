package main

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/enactlog/enact/internal/deployment"
	"github.com/enactlog/enact/jetstore"
)

// Commands of the scripts that are about servers. Each server ends with its script.

// natsServer starts a server with a configuration, on a free port and without syncing:
// nats-server FILE. The variable SERVER is its
// URL, PORT its port. Directories are below the script's, which the file names $WORK.
func natsServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nats-server file")
	}
	file := ts.MkAbs(args[0])
	ts.Check(os.WriteFile(file, []byte(strings.ReplaceAll(ts.ReadFile(args[0]), "$WORK", ts.Getenv("WORK"))), 0o600))
	opts, err := server.ProcessConfigFile(file)
	ts.Check(err)
	opts.Host, opts.Port, opts.NoSigs = "127.0.0.1", server.RANDOM_PORT, true
	if opts.StoreDir != "" {
		opts.StoreDir = ts.MkAbs(opts.StoreDir)
	}
	srv, err := server.NewServer(opts)
	ts.Check(err)
	srv.Start()
	ts.Defer(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(time.Minute) {
		ts.Fatalf("the server of %s does not start", args[0])
	}
	ts.Setenv("SERVER", srv.ClientURL())
	ts.Setenv("PORT", strconv.Itoa(srv.Addr().(*net.TCPAddr).Port))
}

// certificates makes an authority's certificate and a server's in the script's directory:
// ca.pem, server.pem and server-key.pem.
func certificates(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: certificates")
	}
	_, err := deployment.MakeCertificates(ts.Getenv("WORK"))
	ts.Check(err)
}

// connect connects to the script's server: as USER PASSWORD, TOKEN, or nobody.
func connect(ts *testscript.TestScript, who []string) *nats.Conn {
	var opts []nats.Option
	switch len(who) {
	case 1:
		opts = append(opts, nats.Token(who[0]))
	case 2:
		opts = append(opts, nats.UserInfo(who[0], who[1]))
	}
	nc, err := dial(ts.Getenv("SERVER"), opts...)
	ts.Check(err)
	ts.Defer(nc.Close)
	return nc
}

// makeStreams makes the log on the script's server: make-streams [USER PASSWORD | TOKEN]
func makeStreams(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 2 {
		ts.Fatalf("usage: make-streams [user password | token]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ts.Check(jetstore.EnsureStream(ctx, connect(ts, args)))
}

// silence listens to the JetStream API of the script's server, which has none, and never
// answers.
func silence(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: silence")
	}
	nc := connect(ts, nil)
	_, err := nc.SubscribeSync("$JS.API.>")
	ts.Check(err)
	ts.Check(nc.Flush())
}

// writeContext writes a context where the nats CLI keeps them: context NAME KEY=VALUE…
func writeContext(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: context name [key=value...]")
	}
	settings := make(map[string]string)
	for _, pair := range args[1:] {
		key, value, _ := strings.Cut(pair, "=")
		settings[key] = value
	}
	data, err := json.Marshal(settings)
	ts.Check(err)
	file := ts.MkAbs(filepath.Join("config", "nats", "context", args[0]+".json"))
	ts.Check(os.MkdirAll(filepath.Dir(file), 0o700))
	ts.Check(os.WriteFile(file, data, 0o600))
}

// breakStream gives the log's stream a limit: break-stream [USER PASSWORD | TOKEN]
func breakStream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 2 {
		ts.Fatalf("usage: break-stream [user password | token]")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	js, err := jetstream.New(connect(ts, args))
	ts.Check(err)
	stream, err := js.Stream(ctx, jetstore.DefaultStream)
	ts.Check(err)
	config := stream.CachedInfo().Config
	config.MaxMsgs = 100_000
	_, err = js.UpdateStream(ctx, config)
	ts.Check(err)
}

// flip turns over a bit in the middle of a file: flip FILE
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: flip file")
	}
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	data[len(data)/2] ^= 1
	ts.Check(os.WriteFile(file, data, 0o600))
}
