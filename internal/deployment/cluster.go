package deployment

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/enactlog/enact/internal/freeport"
	"github.com/enactlog/enact/internal/natsproc"
	"github.com/enactlog/enact/jetstore"
)

// Names are those of the servers, and, under docker compose, of their hosts.
var Names = [3]string{"n1", "n2", "n3"}

// Default first ports; the second server has the next, and so on. They are those of
// docker-compose.yml.
const (
	clientPort  = 4222
	routePort   = 6222
	monitorPort = 8222
)

// Options of a cluster.
type Options struct {
	Config    string // the directory deploy/nats
	Dir       string // for streams, logs, passwords and certificates; made if it is missing
	TLS       bool
	FreePorts bool // any ports that are free, instead of the default ones
}

// Cluster is three servers. It must be ended with Stop.
type Cluster struct {
	Nodes    []*Node
	secrets  Secrets
	certs    *Certificates         // nil: no TLS
	reserved *freeport.Reservation // nil: the default ports
}

// Node is one server.
type Node struct {
	Name    string
	Log     string // file
	client  string // address
	monitor string // address
	binary  string
	args    []string
	env     []string
	process *natsproc.Process
}

// Start starts a cluster and waits until all servers are healthy. It returns an error that says which server did not come up, and
// what it had to say, or the context's.
func Start(ctx context.Context, opts Options) (_ *Cluster, err error) {
	binary, err := natsproc.Binary(ctx, "")
	if err != nil {
		return nil, err
	}
	var reserved *freeport.Reservation
	if opts.FreePorts {
		if reserved, err = freeport.Reserve(3 * len(Names)); err != nil {
			return nil, fmt.Errorf("deployment: %w", err)
		}
	}
	c, err := prepare(opts, binary, addresses(reserved))
	if err != nil {
		reserved.Release()
		return nil, fmt.Errorf("deployment: %w", err)
	}
	c.reserved = reserved
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	for _, n := range c.Nodes {
		if err := n.launch(); err != nil {
			return nil, err
		}
	}
	for _, n := range c.Nodes {
		if err := n.awaitHealthy(ctx); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// prepare makes what the servers need to start.
func prepare(opts Options, binary string, addresses ports) (*Cluster, error) {
	config, err := filepath.Abs(filepath.Join(opts.Config, "nats.conf"))
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	c := new(Cluster)
	if c.secrets, err = LoadSecrets(filepath.Join(dir, "passwords.env")); err != nil {
		return nil, err
	}
	common := append(os.Environ(), c.secrets.Environment()...)
	if opts.TLS {
		certs, err := MakeCertificates(filepath.Join(dir, "certificates"))
		if err != nil {
			return nil, err
		}
		c.certs = &certs
		config = filepath.Join(filepath.Dir(config), "nats-tls.conf")
		common = append(common, "ENACT_TLS_CERT="+certs.Cert, "ENACT_TLS_KEY="+certs.Key, "ENACT_TLS_CA="+certs.CA)
	}
	common = append(common, "ENACT_ROUTES="+Routes(c.secrets, addresses.routes[:]))
	for i, name := range Names {
		data := filepath.Join(dir, name)
		if err := os.MkdirAll(data, 0o750); err != nil {
			return nil, err
		}
		n := &Node{
			Name: name, Log: filepath.Join(dir, name+".log"), client: addresses.clients[i], monitor: addresses.monitors[i],
			binary: binary, args: []string{"-c", config},
		}
		n.env = append(
			common[:len(common):len(common)],
			"ENACT_NAME="+name, "ENACT_DATA="+data,
			"ENACT_LISTEN="+n.client, "ENACT_MONITOR="+n.monitor, "ENACT_ROUTE_LISTEN="+addresses.routes[i],
		)
		c.Nodes = append(c.Nodes, n)
	}
	return c, nil
}

// Routes returns the value of ENACT_ROUTES for servers that listen for each other on addresses.
func Routes(s Secrets, addresses []string) string {
	var urls []string
	for _, a := range addresses {
		urls = append(urls, fmt.Sprintf("nats://%s:%s@%s", route, s[route], a))
	}
	return "[" + strings.Join(urls, ", ") + "]"
}

type ports struct{ clients, routes, monitors [len(Names)]string }

func addresses(reserved *freeport.Reservation) (p ports) {
	bases := []int{clientPort, routePort, monitorPort}
	for l, list := range []*[len(Names)]string{&p.clients, &p.routes, &p.monitors} {
		for i := range list {
			port := bases[l] + i
			if reserved != nil {
				port = reserved.Ports[l*len(Names)+i]
			}
			list[i] = fmt.Sprintf("127.0.0.1:%d", port)
		}
	}
	return p
}

// EnsureStream makes the log's streams of the shared account where they are missing.
func (c *Cluster) EnsureStream(ctx context.Context) error {
	nc, err := nats.Connect(c.URL(Operator), c.NATS()...)
	if err != nil {
		return fmt.Errorf("deployment: connect as operator: %w", err)
	}
	defer nc.Close()
	return jetstore.EnsureStream(ctx, nc)
}

// URL returns the URLs of the servers, separated by commas, for a user.
func (c *Cluster) URL(user string) string {
	scheme := "nats"
	if c.certs != nil {
		scheme = "tls"
	}
	var urls []string
	for _, n := range c.Nodes {
		urls = append(urls, fmt.Sprintf("%s://%s:%s@%s", scheme, user, c.secrets[user], n.client))
	}
	return strings.Join(urls, ",")
}

// CA returns the file of the authority that signed the servers' certificates, "" without TLS.
func (c *Cluster) CA() string {
	if c.certs == nil {
		return ""
	}
	return c.certs.CA
}

// NATS returns what a connection needs beside the URL.
func (c *Cluster) NATS() []nats.Option {
	if c.certs == nil {
		return nil
	}
	return []nats.Option{nats.RootCAs(c.certs.CA)}
}

// Stop ends all servers, in order, and waits until they are gone.
func (c *Cluster) Stop() {
	for _, n := range c.Nodes {
		if n.process != nil {
			n.process.Stop()
		}
	}
	c.reserved.Release()
}

// PID returns the id of the server's process.
func (n *Node) PID() int { return n.process.PID() }

// Done is closed when the server's process has ended.
func (n *Node) Done() <-chan struct{} { return n.process.Done() }

// Client and Monitor return the addresses for clients and for monitoring.
func (n *Node) Client() string  { return n.client }
func (n *Node) Monitor() string { return "http://" + n.monitor }

// Kill ends the server as a crash would.
func (n *Node) Kill() { n.process.Kill() }

// Start starts the server again and waits until it is healthy.
func (n *Node) Start(ctx context.Context) error {
	if err := n.launch(); err != nil {
		return err
	}
	return n.awaitHealthy(ctx)
}

func (n *Node) launch() error {
	log, err := os.OpenFile(n.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("deployment: %w", err)
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := exec.Command(n.binary, n.args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = n.env, log, log
	if n.process, err = natsproc.Start(cmd); err != nil {
		return fmt.Errorf("deployment: start %s: %w", n.Name, err)
	}
	return nil
}

// awaitHealthy waits until the server says that it is, as the health checks of
// docker-compose.yml do.
func (n *Node) awaitHealthy(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := n.health(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-n.process.Done():
			return fmt.Errorf("deployment: %s has ended: %s", n.Name, n.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("deployment: %s is not healthy: %w: %w", n.Name, context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func (n *Node) health(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, n.Monitor()+"/healthz", http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = reply.Body.Close()
	if reply.StatusCode != http.StatusOK {
		return errors.New(reply.Status)
	}
	return nil
}

// lastWords returns the last line of the server's log.
func (n *Node) lastWords() string {
	text, err := os.ReadFile(n.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}
