package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/enactlog/enact/jetstore"
	"github.com/enactlog/enact/jetstore/embedded"
)

// defaultPort is that of NATS.
const defaultPort = 4222

func (a *app) serverCommand() *cobra.Command {
	var (
		port    int
		verbose bool
	)
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a server on a directory, for development",
		Long: `Run the server that is in this program on the directory --store, until it is
interrupted, so that several programs can use the log in it. The streams are made if they
are missing. Every event is on disk before its append returns.

It listens on 127.0.0.1 only, and lets everybody in: it is for development. Its URL is
what stdout gets, and once it is there the server serves. --timeout bounds the start.`,
		Example: `  jetstore-admin server --store ./data
  jetstore-admin server --store ./data --port -1 -o json`,
		Args: takes(0, 0),
		RunE: a.doLong(func(ctx context.Context, cmd *cobra.Command, _ []string) error {
			if a.connection.store == "" {
				return usagef("--store is required: the directory that the server keeps the log in")
			}
			if err := a.connection.resolve(os.Getenv); err != nil {
				return err
			}
			if port == 0 || port < -1 || port > 65535 {
				return usagef("--port %d is neither within 1 to 65535 nor -1", port)
			}
			return a.serve(ctx, port, verbose)
		}),
	}
	cmd.Flags().IntVar(&port, "port", defaultPort, "listen on this port; -1: on one that is free")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "write what the server logs to stderr")
	return cmd
}

// serverInfo is a server that runs, as printed.
type serverInfo struct {
	URL   string `json:"url"`
	Store string `json:"store"`
}

// serve runs the server until the interrupt, which is a success.
func (a *app) serve(ctx context.Context, port int, verbose bool) (err error) {
	logOpts, err := a.connection.logOptions(a.timeout)
	if err != nil {
		return err
	}
	opts := []embedded.Option{embedded.WithPort(port)}
	if verbose {
		opts = append(opts, embedded.WithLogger(slog.New(slog.NewTextHandler(a.stderr, nil))))
	}
	starting, cancel := a.bounded(ctx)
	defer cancel()
	srv, err := embedded.Start(starting, a.connection.store, opts...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.Shutdown(context.WithoutCancel(ctx))) }()
	if err := ensureOn(starting, srv, logOpts); err != nil {
		return err
	}
	if a.format != formatTable {
		err = writeJSON(a.stdout, a.format, serverInfo{URL: srv.ClientURL(), Store: a.connection.store})
	} else {
		_, err = fmt.Fprintln(a.stdout, srv.ClientURL())
	}
	if err == nil {
		err = a.stdout.Flush()
	}
	if err != nil {
		return err
	}
	a.notice("serving %s; an interrupt (Ctrl-C) ends it", a.connection.store)
	<-ctx.Done()
	a.notice("stopping")
	return nil
}

// ensureOn makes the log's streams where they are missing.
func ensureOn(ctx context.Context, srv *embedded.Server, opts []jetstore.Option) error {
	nc, err := nats.Connect("", srv.InProcess())
	if err != nil {
		return err
	}
	defer nc.Close()
	return jetstore.EnsureStream(ctx, nc, opts...)
}
