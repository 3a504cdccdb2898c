package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/enactlog/enact/internal/deployment"
)

const (
	startTimeout = 10 * time.Minute // with a build of the server, and the recovery of a large log
	awayFor      = 5 * time.Second  // until a server that was killed is started again
)

func clusterCommand() *cobra.Command {
	var opts deployment.Options
	cmd := &cobra.Command{
		Use: "cluster", Short: "Run three servers until interrupted", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCluster(cmd.Context(), cmd.OutOrStdout(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Config, "config", "deploy/nats", "directory of the configuration")
	flags.StringVar(&opts.Dir, "dir", "data/cluster", "directory for streams, logs and passwords")
	flags.BoolVar(&opts.TLS, "tls", false, "with TLS")
	flags.BoolVar(&opts.FreePorts, "free-ports", false, "ports that are free, instead of 4222 and so on")
	return cmd
}

// runCluster runs a cluster until ctx ends. A server that ends meanwhile is started again,
// as docker compose would.
func runCluster(ctx context.Context, out io.Writer, opts deployment.Options) error {
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	say("starting three servers in %s", opts.Dir)
	starting, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := deployment.Start(starting, opts)
	if err != nil {
		return err
	}
	defer func() {
		c.Stop()
		say("all servers have stopped; what they stored is in %s", opts.Dir)
	}()
	if err := c.EnsureStream(starting); err != nil {
		return err
	}
	env, err := writeEnvironment(c, opts.Dir)
	if err != nil {
		return err
	}
	for _, n := range c.Nodes {
		say("  %s  nats://%s  %s  process %d  log %s", n.Name, n.Client(), n.Monitor(), n.PID(), n.Log)
	}
	say(`the log's streams are there. In another terminal:

  . %s
  go run ./cmd/jetstore-admin append --tenant acme new '{"type":"execution_started"}'
  go run ./cmd/jetstore-admin execution ls --tenant acme

or kill -9 one of the processes and append again. Ctrl-C stops everything.`, env)
	return watch(ctx, c, say)
}

// watch starts servers again that end, until ctx does.
func watch(ctx context.Context, c *deployment.Cluster, say func(string, ...any)) error {
	ended := make(chan *deployment.Node)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	await := func(n *deployment.Node) {
		select {
		case <-n.Done():
			select {
			case ended <- n:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
	}
	for _, n := range c.Nodes {
		go await(n)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-ended:
			say("%s has ended; it is started again in %v", n.Name, awayFor)
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(awayFor):
			}
			if err := n.Start(ctx); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			say("%s is back, process %d", n.Name, n.PID())
			go await(n)
		}
	}
}

// writeEnvironment writes a file for the shell that makes jetstore-admin a user of the
// cluster, and returns its path.
func writeEnvironment(c *deployment.Cluster, dir string) (string, error) {
	path := filepath.Join(dir, "platform.env")
	text := fmt.Sprintf("export NATS_URL='%s'\n", c.URL(deployment.Platform))
	if ca := c.CA(); ca != "" {
		text += fmt.Sprintf("export NATS_CA='%s'\n", ca)
	}
	return path, os.WriteFile(path, []byte(text), 0o600)
}
