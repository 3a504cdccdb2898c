package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

const (
	stormWriters = 16
	stormPause   = 150 * time.Millisecond // between two faults, about
	stormTimeout = 3 * time.Minute        // of a call: elections follow one another, on a machine that is busy
	catchUp      = 90 * time.Second       // of subscribers, once the faults are over
	// Of consumers that could not be removed under the faults: the server does it.
	removal = 2*consumer.InactiveThreshold + patience
)

// Subscribers see each event once and in order, groups at least once, while writers
// write, connections are cut, consumers are deleted and the server is killed.
func TestSubscribersOnOneServer(t *testing.T) {
	newStorm(t, []*natstest.Server{natstest.Start(t, natstest.Options{})}).run(t)
}

// storm is a log with writers, subscribers and faults.
type storm struct {
	servers []*natstest.Server
	proxies []*faultnet.Proxy // one for each server; subscribers connect through them
	random  *rand.Rand
	control *nats.Conn
	writer  *jetstore.Store
	runs    []jetstore.Execution
	faults  map[string]int

	subscribers sync.WaitGroup
	stop        context.CancelFunc // of the subscribers
	tails       []*sighting
	follows     []*sighting
	ordered     *sighting
	parallel    *sighting
	groups      []*consumer.Group
}

// sighting is what a subscriber, or the members of a group, have seen.
type sighting struct {
	name   string
	tenant enact.TenantID    // "": of all
	only   enact.ExecutionID // "": of all
	mu     sync.Mutex
	events []enact.StoredEvent
	err    error
}

func (s *sighting) add(_ context.Context, ev enact.StoredEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, ev)
	return nil
}

// place is where an event stands.
type place struct {
	id       enact.ExecutionID
	sequence uint64
}

// distinct returns what was seen, each once.
func (s *sighting) distinct() map[place]bool {
	seen := make(map[place]bool)
	for _, ev := range s.events {
		seen[place{ev.ExecutionID, ev.Sequence}] = true
	}
	return seen
}

func (s *sighting) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

var stormTenants = []enact.TenantID{"acme", "bolt", "cord"}

func newStorm(t *testing.T, servers []*natstest.Server) *storm {
	t.Helper()
	st := &storm{servers: servers, random: newRandom(t), faults: make(map[string]int)}
	ensure(t, natstest.URLs(servers))
	for _, srv := range servers {
		u, err := url.Parse(srv.URL())
		require.NoError(t, err)
		proxy, err := faultnet.Start(u.Host)
		require.NoError(t, err)
		t.Cleanup(proxy.Close)
		st.proxies = append(st.proxies, proxy)
	}
	st.control = connect(t, natstest.URLs(servers))
	st.writer = open(t, natstest.URLs(servers), jetstore.WithTimeout(stormTimeout))
	for i := range stormExecutions {
		tenant := stormTenants[i%len(stormTenants)]
		st.runs = append(st.runs, st.writer.Execution(tenant, enact.ExecutionID(fmt.Sprintf("%s-%d", tenant, i))))
	}
	return st
}

// through opens the log by way of the proxies, one of them first.
func (st *storm) through(t *testing.T, first int) *jetstore.Store {
	t.Helper()
	urls := ""
	for i := range st.proxies {
		urls += "," + st.proxies[(first+i)%len(st.proxies)].URL()
	}
	return open(t, urls[1:], jetstore.WithTimeout(stormTimeout), jetstore.WithNATS(nats.IgnoreDiscoveredServers(), nats.DontRandomize()))
}

func (st *storm) run(t *testing.T) {
	// Something to begin with, so that the tenants are known.
	for _, run := range st.runs[:len(stormTenants)] {
		_, err := run.Append(t.Context(), enact.ExecutionStarted{})
		require.NoError(t, err)
	}
	st.subscribe(t)
	writing, seeds := make(chan struct{}), st.random.Uint64()
	go func() {
		defer close(writing)
		st.write(t, seeds)
	}()
	began := time.Now()
	for ended := false; !ended || len(st.faults) < len(stormFaults(len(st.servers))); {
		select {
		case <-writing:
			ended = true
		default:
		}
		pause := time.NewTimer(stormPause/2 + time.Duration(st.random.Int64N(int64(stormPause))))
		<-pause.C
		st.fault(t)
	}
	<-writing
	t.Logf("%v of writing and faults: %v", time.Since(began).Round(time.Millisecond), st.faults)
	truth := st.load(t)
	st.await(t, truth)
	st.stop()
	st.subscribers.Wait()
	for _, s := range append(append(st.tails, st.follows...), st.ordered, st.parallel) {
		require.NoError(t, s.err, s.name)
	}
	for _, s := range append(st.tails, st.follows...) {
		truth.once(t, s)
	}
	truth.inOrder(t, st.ordered)
	truth.atLeastOnce(t, st.parallel)
	for _, g := range st.groups {
		require.NoError(t, g.Remove(t.Context()))
	}
	var left []consumer.Info
	natstest.Eventually(t, removal, func() bool {
		var err error
		left, err = consumer.List(t.Context(), st.writer)
		require.NoError(t, err)
		return len(left) == 0
	}, func() string { return fmt.Sprintf("consumers are left: %+v", left) })
}

// subscribe starts tails, follows and groups.
func (st *storm) subscribe(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	st.stop = cancel
	t.Cleanup(cancel)
	soon := consumer.WithHeartbeat(500 * time.Millisecond)
	s := st.through(t, 0)
	for i := range stormTails {
		run := st.runs[i*len(st.runs)/stormTails]
		seen := &sighting{name: "tail of " + string(run.ID()), tenant: run.Tenant(), only: run.ID()}
		st.tails = append(st.tails, seen)
		st.subscribers.Go(func() {
			for ev, err := range consumer.Tail(ctx, s.Execution(run.Tenant(), run.ID()), 0, soon) {
				if err != nil {
					seen.failed(err)
					return
				}
				_ = seen.add(ctx, ev)
			}
		})
	}
	for i, f := range []struct {
		name   string
		tenant enact.TenantID
		opts   []consumer.FollowOption
	}{
		{name: "follow of all", opts: []consumer.FollowOption{consumer.VerifyChain()}},
		{name: "follow in order", opts: []consumer.FollowOption{consumer.Workers(1)}},
		{name: "follow with a short memory", opts: []consumer.FollowOption{consumer.WithCacheSize(3), consumer.Window(40, 0)}},
		{name: "follow of a tenant", tenant: "bolt"},
	} {
		s := st.through(t, i)
		filter := consumer.Filter{}
		if f.tenant != "" {
			filter.Tenants = []enact.TenantID{f.tenant}
		}
		seen := &sighting{name: f.name, tenant: f.tenant}
		st.follows = append(st.follows, seen)
		st.subscribers.Go(func() {
			if err := consumer.Follow(ctx, s, filter, seen.add, append(f.opts, soon)...); err != nil {
				seen.failed(err)
			}
		})
	}
	st.ordered, st.parallel = &sighting{name: "ordered group"}, &sighting{name: "parallel group"}
	for _, g := range []struct {
		mode consumer.Mode
		seen *sighting
	}{{consumer.Ordered, st.ordered}, {consumer.Parallel, st.parallel}} {
		for member := range 3 {
			group, err := consumer.OpenGroup(t.Context(), st.through(t, member), string(g.mode), g.mode, consumer.Filter{}, soon,
				consumer.AckWait(2*time.Second), consumer.FailoverAfter(2*time.Second), consumer.Backoff(time.Millisecond))
			require.NoError(t, err)
			if member == 0 {
				st.groups = append(st.groups, group)
			}
			st.subscribers.Go(func() {
				if err := group.Run(ctx, g.seen.add); err != nil {
					g.seen.failed(err)
				}
			})
		}
	}
}

// write appends from all writers to all executions, single events, packed batches and
// staged ones.
func (st *storm) write(t *testing.T, seed uint64) {
	var writers sync.WaitGroup
	for w := range stormWriters {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		writers.Go(func() {
			for range stormAppends / stormWriters {
				run := st.runs[random.IntN(len(st.runs))]
				events := make([]enact.Event, 1+random.IntN(4)*random.IntN(4))
				for i := range events {
					events[i] = enact.ExecutionPaused{Reason: fmt.Sprint(w, " ", random.Uint64())}
				}
				var opts []enact.AppendOption
				if random.IntN(4) == 0 {
					opts = append(opts, enact.WithOneEventPerRecord())
				}
				if _, err := run.AppendBatch(t.Context(), events, opts...); err != nil {
					t.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	writers.Wait()
}

// stormFaults are the faults on so many servers.
func stormFaults(servers int) []string {
	faults := []string{"cut", "delete ephemeral consumers", "delete groups", "restart"}
	if servers > 1 {
		faults = append(faults, "kill the leader")
	}
	return faults
}

// fault does one of them, those that cost time not often.
func (st *storm) fault(t *testing.T) {
	t.Helper()
	all := stormFaults(len(st.servers))
	what := all[st.random.IntN(len(all))]
	if n := st.faults[what]; (what == "restart" || what == "kill the leader") && n >= stormRestarts {
		what = "cut"
	}
	st.faults[what]++
	switch what {
	case "cut":
		for _, p := range st.proxies {
			p.Cut(time.Duration(st.random.Int64N(int64(50 * time.Millisecond))))
		}
	case "delete ephemeral consumers", "delete groups":
		ctx := within(t, stormTimeout)
		infos, err := consumer.List(ctx, st.writer)
		require.NoError(t, err)
		for _, info := range infos {
			if (info.Kind == consumer.KindGroup) == (what == "delete groups") {
				// It may be gone by itself.
				if err := consumer.Remove(ctx, st.writer, info.Name); err != nil {
					require.ErrorIs(t, err, consumer.ErrNotFound)
				}
			}
		}
	case "restart":
		st.restart(st.servers[st.random.IntN(len(st.servers))])
	case "kill the leader":
		leader := awaitReplicas(t, st.control, jetstore.DefaultStream, func(c *cluster) bool { return c.Leader != "" })
		st.restart(named(t, st.servers, leader.Leader))
	}
}

func (st *storm) restart(srv *natstest.Server) {
	if len(st.servers) == 1 || st.random.IntN(2) == 0 {
		srv.Kill()
	} else {
		srv.Stop()
	}
	srv.Start()
}

// truth is what the log holds: what subscribers should have seen.
type truth struct {
	of  map[enact.ExecutionID][]enact.StoredEvent
	all int
}

func (st *storm) load(t *testing.T) *truth {
	t.Helper()
	tr := &truth{of: make(map[enact.ExecutionID][]enact.StoredEvent)}
	for _, run := range st.runs {
		events, err := run.LoadEvents(t.Context())
		require.NoError(t, err)
		tr.of[run.ID()] = events
		tr.all += len(events)
	}
	return tr
}

// of returns how many events a subscriber should see.
func (tr *truth) wanted(s *sighting) int {
	n := 0
	for id, events := range tr.of {
		if len(events) > 0 && (s.tenant == "" || s.tenant == events[0].TenantID) && (s.only == "" || s.only == id) {
			n += len(events)
		}
	}
	return n
}

// await waits until all subscribers have seen as much as there is.
func (st *storm) await(t *testing.T, tr *truth) {
	t.Helper()
	began := time.Now()
	for _, s := range append(st.tails, st.follows...) {
		want, have := tr.wanted(s), 0
		natstest.Eventually(t, catchUp, func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			have = len(s.events)
			return have >= want || s.err != nil
		}, func() string { return fmt.Sprintf("%s has seen %d of %d events", s.name, have, want) })
	}
	ctx := within(t, stormTimeout)
	for i, g := range st.groups {
		var info consumer.Info
		seen, have := []*sighting{st.ordered, st.parallel}[i], 0
		natstest.Eventually(t, catchUp, func() bool {
			var err error
			if info, err = g.Info(ctx); err != nil {
				require.ErrorIs(t, err, consumer.ErrNotFound) // it was deleted, and is not made again yet
			}
			seen.mu.Lock()
			defer seen.mu.Unlock()
			have = len(seen.distinct())
			return err == nil && info.Lag() == 0 && have == tr.all || seen.err != nil
		}, func() string { return fmt.Sprintf("group has seen %d of %d events: %+v", have, tr.all, info) })
	}
	t.Logf("%d events; caught up after %v", tr.all, time.Since(began).Round(time.Millisecond))
}

// once requires that a subscriber has seen each event once, in order.
func (tr *truth) once(t *testing.T, s *sighting) {
	t.Helper()
	require.Len(t, s.events, tr.wanted(s), s.name)
	next := make(map[enact.ExecutionID]int)
	for i, got := range s.events {
		want := tr.of[got.ExecutionID][next[got.ExecutionID]]
		require.Equal(t, want, got, "%s, event %d of %d", s.name, i, len(s.events))
		next[got.ExecutionID]++
		if s.name == "follow in order" && i > 0 {
			require.GreaterOrEqual(t, got.Position, s.events[i-1].Position)
		}
	}
}

// inOrder requires that all events were seen, and none before one that precedes it in the
// log: what comes again comes after it has come first.
func (tr *truth) inOrder(t *testing.T, s *sighting) {
	t.Helper()
	tr.atLeastOnce(t, s)
	seen := make(map[enact.ExecutionID]uint64)
	position := uint64(0)
	for _, got := range s.events {
		if got.Sequence <= seen[got.ExecutionID] {
			continue
		}
		require.Equal(t, seen[got.ExecutionID]+1, got.Sequence, "%s: execution %s", s.name, got.ExecutionID)
		require.GreaterOrEqual(t, got.Position, position, "%s: execution %s", s.name, got.ExecutionID)
		seen[got.ExecutionID], position = got.Sequence, got.Position
	}
}

// atLeastOnce requires that all events were seen as they are.
func (tr *truth) atLeastOnce(t *testing.T, s *sighting) {
	t.Helper()
	for _, got := range s.events {
		require.Equal(t, tr.of[got.ExecutionID][got.Sequence-1], got, s.name)
	}
	distinct := len(s.distinct())
	require.Equal(t, tr.all, distinct, s.name)
	t.Logf("%s: %d events came again", s.name, len(s.events)-distinct)
}
