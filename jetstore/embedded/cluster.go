package embedded

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/freeport"
)

// Cluster is several servers in this process that form one JetStream cluster on
// loopback: replication without its hardware, for development and tests.
type Cluster struct {
	servers []*Server
	ports   *freeport.Reservation // of the routes
}

// StartCluster starts n servers, 3 or 5, that keep their streams in dir/n1, dir/n2,
// and so on, and waits until the cluster answers. All listen on free ports of
// 127.0.0.1; [WithPort] is not used. Errors are those of [Start].
func StartCluster(ctx context.Context, dir string, n int, opts ...Option) (*Cluster, error) {
	if n != 3 && n != 5 {
		return nil, &enact.OptionError{Option: "StartCluster", Reason: fmt.Sprintf("%d servers, must be 3 or 5", n)}
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	ports, err := freeport.Reserve(n)
	if err != nil {
		return nil, fmt.Errorf("embedded: %w", err)
	}
	routes := make([]string, n)
	for i, port := range ports.Ports {
		routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", port)
	}
	c := &Cluster{ports: ports}
	for i, port := range ports.Ports {
		node := filepath.Join(dir, fmt.Sprintf("n%d", i+1))
		o := cfg.serverOptions(node)
		o.ServerName = fmt.Sprintf("enact-embedded-n%d", i+1)
		o.Port, o.DontListen = server.RANDOM_PORT, false
		o.Cluster = server.ClusterOpts{Name: "enact-embedded", Host: "127.0.0.1", Port: port}
		o.Routes = server.RoutesFromStr(strings.Join(routes, ","))
		srv, err := start(ctx, node, o, cfg.logger)
		if err != nil {
			return nil, errors.Join(err, c.Shutdown(ctx))
		}
		c.servers = append(c.servers, srv)
	}
	if err := c.ready(ctx); err != nil {
		return nil, errors.Join(err, c.Shutdown(ctx))
	}
	return c, nil
}

// ready waits until the cluster has a leader that knows all its servers.
func (c *Cluster) ready(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readyTimeout)
		defer cancel()
	}
	return poll(ctx, func() bool {
		for _, s := range c.servers {
			if s.srv.JetStreamIsLeader() {
				return len(s.srv.JetStreamClusterPeers()) == len(c.servers)
			}
		}
		return false
	})
}

// ClientURL returns the URLs of all servers, separated by commas.
func (c *Cluster) ClientURL() string {
	urls := make([]string, len(c.servers))
	for i, s := range c.servers {
		urls[i] = s.ClientURL()
	}
	return strings.Join(urls, ",")
}

// Servers returns the cluster's servers.
func (c *Cluster) Servers() []*Server { return c.servers }

// InProcess returns the option that makes nats.Connect use the first server without a
// network.
func (c *Cluster) InProcess() nats.Option { return c.servers[0].InProcess() }

// Shutdown stops all servers. It may be called more than once.
func (c *Cluster) Shutdown(ctx context.Context) error {
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.Shutdown(ctx))
	}
	c.ports.Release()
	return errors.Join(errs...)
}
