package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/pflag"

	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// serverVariable names the server where --server does not, as for the nats CLI.
const serverVariable = "NATS_URL"

// shutdownTimeout bounds the wait for calls in flight when a store is closed.
const shutdownTimeout = 10 * time.Second

// connectionFlags say where the log is.
type connectionFlags struct {
	store   string
	server  string
	creds   string
	tlsCert string
	tlsKey  string
	tlsCA   string
	stream  string
	prefix  string
}

func (c *connectionFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&c.store, "store", "", "directory of a log, opened by a server in this program")
	flags.StringVar(&c.server, "server", "", "URL of the NATS server, several separated by commas (env "+serverVariable+")")
	flags.StringVar(&c.creds, "creds", "", "credentials `file` for --server")
	flags.StringVar(&c.tlsCert, "tlscert", "", "client certificate `file` for --server")
	flags.StringVar(&c.tlsKey, "tlskey", "", "client key `file` for --server")
	flags.StringVar(&c.tlsCA, "tlsca", "", "certificate authority `file` for --server")
	flags.StringVar(&c.stream, "stream", jetstore.DefaultStream, "name of the log's stream")
	flags.StringVar(&c.prefix, "prefix", "", `prefix of the log's subjects (default "enact")`)
}

// given reports whether any of the flags is on the command line.
func (*connectionFlags) given(flags *pflag.FlagSet) bool {
	var own pflag.FlagSet
	new(connectionFlags).add(&own)
	found := false
	own.VisitAll(func(f *pflag.Flag) { found = found || flags.Changed(f.Name) })
	return found
}

// check refuses flags that contradict each other, and fills in the server from the
// environment.
func (c *connectionFlags) check() error {
	switch {
	case c.store != "" && c.server != "":
		return usagef("--store and --server exclude each other")
	case c.store != "" && cmp.Or(c.creds, c.tlsCert, c.tlsKey, c.tlsCA) != "":
		return usagef("--creds, --tlscert, --tlskey and --tlsca are for --server, not for --store")
	case (c.tlsCert == "") != (c.tlsKey == ""):
		return usagef("--tlscert and --tlskey need each other")
	case c.store != "":
		return nil
	}
	if c.server = cmp.Or(c.server, os.Getenv(serverVariable)); c.server == "" {
		return usagef("where is the log? Give --store DIR or --server URL (or set %s)", serverVariable)
	}
	return nil
}

func (c *connectionFlags) natsOptions() []nats.Option {
	var opts []nats.Option
	if c.creds != "" {
		opts = append(opts, nats.UserCredentials(c.creds))
	}
	if c.tlsCert != "" {
		opts = append(opts, nats.ClientCert(c.tlsCert, c.tlsKey))
	}
	if c.tlsCA != "" {
		opts = append(opts, nats.RootCAs(c.tlsCA))
	}
	return opts
}

// access says what a command does to the log.
type access bool

const (
	reads  access = false
	writes access = true
)

// withStore opens the log, calls f and closes the log. Opening is bounded by the
// --timeout. Only a command that writes makes the directory of --store: a name that
// was mistyped must not become an empty log.
func (a *app) withStore(ctx context.Context, need access, f func(*jetstore.Store) error) (err error) {
	if err := a.connection.check(); err != nil {
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
	opts := []jetstore.Option{jetstore.WithStream(c.stream), jetstore.WithPrefix(c.prefix), jetstore.WithTimeout(a.timeout)}
	if c.store == "" {
		return jetstore.Connect(ctx, c.server, append(opts, jetstore.WithNATS(c.natsOptions()...))...)
	}
	if need == reads {
		if _, err := os.Stat(c.store); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no log in %q: the directory does not exist", c.store)
		}
	}
	return embedded.Open(ctx, c.store, embedded.WithStore(opts...))
}

// closeStore closes a store also when ctx has ended.
func closeStore(ctx context.Context, store *jetstore.Store) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	return store.Shutdown(ctx)
}
