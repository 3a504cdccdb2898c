//go:build faults

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	// diskServer is the server with a small disk, of so many bytes.
	diskServer = 2
	diskSize   = 192 << 20
	// faultPatience bounds what ends by itself on a machine that is busy, elections too.
	faultPatience = 5 * time.Minute
	// probeTimeout bounds an append that must fail.
	probeTimeout = 300 * time.Millisecond
	// writes is how many appends show that a cluster takes them.
	writes = 8
)

// campaign is a cluster, its clients, and faults one after the other.
type campaign struct {
	t       *testing.T
	random  *rand.Rand
	servers []*natstest.Server
	wires   map[[2]int]*faultnet.Wire // from server to server
	disk    *natstest.Disk
	store   *jetstore.Store
	probes  []*jetstore.Store // one on each server, and on no other
	clients []*process
	hearing sync.WaitGroup

	mu      sync.Mutex
	ops     []*operation
	acked   []int64 // calls of acknowledged appends
	stopped int     // clients
	reports []*report
	failed  error         // of a client
	broken  chan struct{} // closed when one has failed

	episodes []*episode // by round
}

// episode is a round: a fault, from before it was done until writes went on after it.
type episode struct {
	fault *fault
	// By clock: when the cluster was whole and clients were told of the round, and when the
	// fault began and ended.
	told, began, ended int64
}

// newFaultCluster starts a cluster with wires between its servers, and makes the log
// there.
func newFaultCluster(t *testing.T, random *rand.Rand) *campaign {
	t.Helper()
	c := &campaign{t: t, random: random, wires: make(map[[2]int]*faultnet.Wire), broken: make(chan struct{}), disk: natstest.MountDisk(t, diskSize)}
	dirs := make([]string, diskServer+1)
	dirs[diskServer] = c.disk.Dir
	c.servers = natstest.StartCluster(t, 3, natstest.Options{
		// A killed process loses nothing that it has written: what is synced matters to
		// a loss of power, of which other tests are.
		NoSync: true, JetStream: "max_file_store: 10GB", Monitor: true, Dirs: dirs, Route: c.wire,
		Extra: "lame_duck_duration: 30s, lame_duck_grace_period: 1s",
	})
	ensure(t, natstest.URLs(c.servers))
	c.store = open(t, natstest.URLs(c.servers), jetstore.WithKeyWindow(1024), jetstore.WithTimeout(faultPatience))
	return c
}

func newCampaign(t *testing.T, random *rand.Rand) *campaign {
	t.Helper()
	c := newFaultCluster(t, random)
	for _, s := range c.servers {
		c.probes = append(c.probes, open(t, s.URL(), jetstore.WithNATS(nats.IgnoreDiscoveredServers())))
	}
	op := c.append(c.store, c.t.Context(), 0, "first")
	require.Equal(t, stored, op.Outcome, op.Error)
	_, board := makeBoard(t)
	for i, subscriber := range clientSubscribers {
		script := clientScript{
			URL: natstest.URLs(rotated(c.servers, i)), Name: fmt.Sprint("c", i), Client: i, Seed: random.Uint64(), Board: board, Subscriber: subscriber,
		}
		p := startProcess(t, "client", script)
		c.clients = append(c.clients, p)
		c.hearing.Go(func() { c.hear(p) })
	}
	// Before the servers, which the clients would miss.
	t.Cleanup(func() {
		for _, p := range c.clients {
			p.kill()
		}
		c.hearing.Wait()
	})
	return c
}

// rotated returns the servers from the i-th on.
func rotated(servers []*natstest.Server, i int) []*natstest.Server {
	i %= len(servers)
	return append(slices.Clone(servers[i:]), servers[:i]...)
}

// wire puts a wire between two servers.
func (c *campaign) wire(from, to int, address string) string {
	w, err := faultnet.NewWire(address)
	require.NoError(c.t, err)
	c.t.Cleanup(w.Close)
	c.wires[[2]int{from, to}] = w
	return w.Address()
}

// hear takes what a client says until it ends.
func (c *campaign) hear(p *process) {
	for {
		var w word
		err := p.line.hear.Decode(&w)
		if err != nil {
			p.kill() // so that it has said all that it has to say
		}
		c.mu.Lock()
		switch {
		case err != nil:
			c.fail(fmt.Errorf("a client ended: %w: %s", err, p.errors.String()))
		case w.Operation != nil:
			c.took(w.Operation)
		case w.Stopped:
			c.stopped++
		case w.Report != nil:
			c.reports = append(c.reports, w.Report)
		}
		c.mu.Unlock()
		if err != nil || w.Report != nil {
			return
		}
	}
}

// took notes an operation, for the one who holds the mutex.
func (c *campaign) took(op *operation) {
	c.ops = append(c.ops, op)
	if op.Kind == opAppend && op.Outcome == stored {
		c.acked = append(c.acked, op.Call)
	}
	if op.Error != "" {
		c.fail(fmt.Errorf("operation failed: %+v", *op))
	}
}

// fail notes the first failure of a client, for the one who holds the mutex.
func (c *campaign) fail(err error) {
	if c.failed == nil {
		c.failed = err
		close(c.broken)
	}
}

// tell gives all clients an order.
func (c *campaign) tell(o order) {
	c.t.Helper()
	for _, p := range c.clients {
		p.say(c.t, o)
	}
}

// await waits for a condition, and fails with the first failure of a client.
func (c *campaign) await(cond func() bool, why func() string) {
	c.t.Helper()
	natstest.Eventually(c.t, faultPatience, func() bool {
		c.mu.Lock()
		err := c.failed
		c.mu.Unlock()
		require.NoError(c.t, err)
		return cond()
	}, why)
}

// faultShows waits until a fault has its effect.
func (c *campaign) faultShows(cond func() bool, why func() string) {
	c.t.Helper()
	c.await(cond, why)
}

// awaitWrites waits until appends that begin now are acknowledged.
func (c *campaign) awaitWrites() {
	c.t.Helper()
	now, n := clock(), 0
	c.await(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		n = 0
		for i := len(c.acked) - 1; i >= max(0, len(c.acked)-1000); i-- {
			if c.acked[i] >= now {
				n++
			}
		}
		return n >= writes
	}, func() string {
		return fmt.Sprintf("%d appends were acknowledged, of %d that show that the cluster takes them", n, writes)
	})
}

// ask waits until a leader of the stream that some server finds fulfils cond.
func (c *campaign) ask(stream string, among []*natstest.Server, cond func(*cluster) bool) *cluster {
	c.t.Helper()
	nc, err := nats.Connect(natstest.URLs(among), append(soon(), nats.RetryOnFailedConnect(true))...)
	require.NoError(c.t, err)
	defer nc.Close()
	var info *cluster
	var a asking
	c.await(func() bool {
		info = a.replicas(nc, stream)
		return info != nil && cond(info)
	}, func() string {
		text, _ := json.Marshal(info)
		return "the replicas of " + stream + " are " + string(text)
	})
	return info
}

// awaitWhole waits until every replica of the log has what its leader has, and all servers
// agree on who leads: none goes on that was deposed.
func (c *campaign) awaitWhole() {
	c.t.Helper()
	for _, stream := range []string{jetstore.DefaultStream, jetstore.DefaultStream + "_INDEX"} {
		c.ask(stream, c.servers, func(info *cluster) bool {
			return info.whole() && !slices.ContainsFunc(c.servers, func(s *natstest.Server) bool { return leaderBy(s, stream) != info.Leader })
		})
	}
}

// leaderBy returns the leader of a stream as a server sees it.
func leaderBy(s *natstest.Server, stream string) string {
	var seen struct {
		Accounts []struct {
			Streams []struct {
				Name    string  `json:"name"`
				Cluster cluster `json:"cluster"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	if s.Monitor("/jsz?streams=true", &seen) != nil {
		return ""
	}
	for _, account := range seen.Accounts {
		for _, one := range account.Streams {
			if one.Name == stream {
				return one.Cluster.Leader
			}
		}
	}
	return ""
}

// leader returns the server that leads the log's stream.
func (c *campaign) leader() *natstest.Server {
	c.t.Helper()
	return named(c.t, c.servers, c.ask(jetstore.DefaultStream, c.servers, (*cluster).whole).Leader)
}

// follower returns a server that does not.
func (c *campaign) follower() *natstest.Server {
	c.t.Helper()
	leader := c.leader()
	rest := slices.DeleteFunc(slices.Clone(c.servers), func(s *natstest.Server) bool { return s == leader })
	return rest[c.random.IntN(len(rest))]
}

// awaitLeader waits until another server leads.
func (c *campaign) awaitLeader(old *natstest.Server) {
	c.t.Helper()
	rest := slices.DeleteFunc(slices.Clone(c.servers), func(s *natstest.Server) bool { return s == old })
	c.ask(jetstore.DefaultStream, rest, func(info *cluster) bool { return info.Leader != "" && info.Leader != old.Name() })
}

// probe appends to the log over one server alone.
func (c *campaign) probe(server int) *operation {
	ctx, cancel := context.WithTimeout(c.t.Context(), probeTimeout)
	defer cancel()
	return c.append(c.probes[server], ctx, server+1, fmt.Sprint("probe", len(c.episodes)))
}

// append is an append of the test's own, to the execution that all append to.
func (c *campaign) append(s *jetstore.Store, ctx context.Context, number int, name string) *operation {
	number += len(clientSubscribers) * clientWorkers
	op := &operation{
		Kind: opAppend, Client: number, Round: uint32(len(c.episodes)), Execution: tailed, Name: fmt.Sprintf("%s.%d", name, number), Events: 1, Call: clock(),
	}
	var err error
	op.Receipt, err = s.Commit(ctx, enact.Batch{
		TenantID: tenant, ExecutionID: tailed, Events: []enact.Event{enact.ExecutionPaused{Reason: eventName(op.Name, 0)}},
	})
	op.settle(err)
	op.Return = clock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took(op)
	return op
}

// run does the faults one after the other, and holds what clients were told against the
// log in the end.
func (c *campaign) run(hand []*fault, total *totals) {
	c.episodes = append(c.episodes, nil) // rounds count from 1
	for _, f := range hand {
		c.awaitWhole()
		e := &episode{fault: f, told: clock()}
		c.tell(order{Round: uint32(len(c.episodes))})
		c.episodes = append(c.episodes, e)
		c.awaitWrites()
		e.began = clock()
		f.do(c)
		c.awaitWrites()
		e.ended = clock()
		c.t.Logf("round %d, %s: %v", len(c.episodes)-1, f.name, time.Duration(e.ended-e.began).Round(time.Millisecond))
	}
	c.awaitWhole()
	c.tell(order{Stop: true})
	c.await(func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.stopped == len(c.clients)
	}, func() string { return "clients do not stop" })
	newVerdict(c, total).reach()
}
