//go:build faults

package integration

import (
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// fault is something that happens to a cluster. Its function does it, waits until it
// shows, and mends it.
type fault struct {
	name    string
	do      func(*campaign)
	deposes deposition
	least   int // rounds, in any run
	share   int // of the rounds beyond these, weight
}

// deposition says which leaders may go on for some seconds without knowing that they are
// none any more: reads that nobody asked to be newer may be older than they should.
type deposition int

const (
	none    deposition = iota
	ofIndex            // lists come from a stream of its own, with a leader of its own
	ofAny
)

// The faults. Those that need an election take 4 to 9 s, which is why a long run has more
// of the others.
var faultKinds = []*fault{
	{name: leaderKilled, do: (*campaign).killLeader, least: 21, share: 3},
	{name: "follower killed (-9)", do: (*campaign).killFollower, least: 4, share: 8},
	{name: "leader paused until another leads", do: (*campaign).pauseLeader, deposes: ofAny, least: 6, share: 2},
	{name: "server paused for less", do: (*campaign).pauseAny, least: 10, share: 22},
	{name: "leader cut off", do: (*campaign).cutLeader, deposes: ofAny, least: 5, share: 2},
	{name: "follower cut off", do: (*campaign).cutFollower, deposes: ofIndex, least: 12, share: 20},
	{name: "all cut off from each other", do: (*campaign).cutAll, deposes: ofAny, least: 4, share: 8},
	{name: "slow links", do: (*campaign).slowLinks, least: 6, share: 20},
	// A server without space closes its streams only seconds after they have got another
	// leader (server/jetstream.go, disableJetStream), and answers reads until then.
	{name: "disk full", do: (*campaign).fillDisk, deposes: ofAny, least: 6, share: 4},
	{name: "one restarted", do: (*campaign).restartOne, least: 3, share: 5},
	{name: "two restarted at once", do: (*campaign).restartTwo, least: 2, share: 2},
	{name: "all restarted at once", do: (*campaign).restartAll, least: 2, share: 2},
	{name: stepDown, do: (*campaign).stepDown, least: 6, share: 0},
}

const (
	// leaderKilled costs no append an error whose time-out is left to the store.
	leaderKilled = "leader killed (-9)"
	// stepDown is counted apart: nothing breaks.
	stepDown = "leader told to step down"
)

// dealFaults returns the faults of a run of so many rounds, and step-downs beside them, in
// a random order: at least those that there are in any run.
func dealFaults(random *rand.Rand, rounds int) []*fault {
	var deck, shares []*fault
	for _, f := range faultKinds {
		for range f.least {
			deck = append(deck, f)
		}
		for range f.share {
			shares = append(shares, f)
		}
		if f.name == stepDown {
			for range max(rounds/20-f.least, 0) {
				deck = append(deck, f)
			}
			rounds += f.least + max(rounds/20-f.least, 0)
		}
	}
	for len(deck) < rounds {
		deck = append(deck, shares[random.IntN(len(shares))])
	}
	random.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
	return deck
}

func (c *campaign) killLeader() {
	old := c.leader()
	old.Kill()
	c.awaitLeader(old)
	c.awaitWrites()
	old.Start()
}

func (c *campaign) killFollower() {
	s := c.follower()
	s.Kill()
	c.awaitWrites()
	s.Start()
}

func (c *campaign) pauseLeader() {
	old := c.leader()
	old.Pause()
	c.awaitLeader(old)
	c.awaitWrites()
	old.Resume()
}

// pauseAny pauses a server, often the leader, for less than an election takes.
func (c *campaign) pauseAny() {
	s := c.servers[c.random.IntN(len(c.servers))]
	if c.random.IntN(2) == 0 {
		s = c.leader()
	}
	s.Pause()
	c.last(100*time.Millisecond, time.Second)
	s.Resume()
}

func (c *campaign) cutLeader() {
	old := c.leader()
	c.isolate(old)
	c.awaitLeader(old)
	c.awaitWrites()
	c.minorityFails(old)
	c.join()
}

func (c *campaign) cutFollower() {
	s := c.follower()
	c.isolate(s)
	c.minorityFails(s)
	c.awaitWrites()
	c.join()
}

func (c *campaign) cutAll() {
	c.isolate(c.servers...)
	c.minorityFails(c.servers...)
	c.last(0, 500*time.Millisecond)
	c.join()
}

// slowLinks makes what servers say to each other late, by less than makes them think that
// they are alone.
func (c *campaign) slowLinks() {
	for _, w := range c.wires {
		w.Slow(time.Millisecond + time.Duration(c.random.Int64N(int64(50*time.Millisecond))))
	}
	c.awaitWrites()
	c.last(100*time.Millisecond, 500*time.Millisecond)
	c.join()
}

// fillDisk leaves one of the servers no space. It gives up JetStream when it next has to
// write to a new part of a file, and needs a new start.
func (c *campaign) fillDisk() {
	s, logged := c.servers[diskServer], len(c.servers[diskServer].Log(0))
	c.disk.Leave(0)
	c.faultShows(func() bool {
		log := s.Log(logged)
		return strings.Contains(log, "JetStream out of ") && strings.Contains(log, "DISABLED")
	}, func() string { return "a server with a full disk goes on:\n" + s.Log(logged) })
	c.awaitLeader(s)
	c.awaitWrites()
	c.disk.Free()
	s.Kill()
	s.Start()
}

func (c *campaign) restartOne() {
	s := c.servers[c.random.IntN(len(c.servers))]
	s.Stop()
	c.awaitWrites()
	s.Start()
}

// restartTwo leaves a server that can do nothing alone.
func (c *campaign) restartTwo() {
	one := c.random.IntN(len(c.servers))
	two := slices.Delete(slices.Clone(c.servers), one, one+1)
	for _, s := range two {
		s.Kill()
	}
	c.last(0, 500*time.Millisecond)
	natstest.StartAll(two)
}

func (c *campaign) restartAll() {
	for _, s := range c.servers {
		s.Kill()
	}
	natstest.StartAll(c.servers)
}

func (c *campaign) stepDown() {
	stream := []string{jetstore.DefaultStream, jetstore.DefaultStream + "_INDEX"}[c.random.IntN(2)]
	nc, err := nats.Connect(natstest.URLs(c.servers), soon()...)
	require.NoError(c.t, err)
	defer nc.Close()
	_, err = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, patience)
	require.NoError(c.t, err)
}

// isolate cuts servers off from all others. Their monitoring ports show it.
func (c *campaign) isolate(servers ...*natstest.Server) {
	for _, s := range servers {
		i := slices.Index(c.servers, s)
		for pair, w := range c.wires {
			if pair[0] == i || pair[1] == i {
				w.Cut()
			}
		}
	}
	for _, s := range servers {
		var routes struct {
			Routes *int `json:"num_routes"`
		}
		var err error
		c.faultShows(func() bool {
			routes.Routes = nil
			err = s.Monitor("/routez", &routes)
			return err == nil && routes.Routes != nil && *routes.Routes == 0
		}, func() string { return s.Name() + " still has routes, or does not say" })
	}
}

// minorityFails requires that a server that is cut off takes no write.
func (c *campaign) minorityFails(servers ...*natstest.Server) {
	for _, s := range servers {
		op := c.probe(slices.Index(c.servers, s))
		if op.Outcome == stored || op.Error != "" {
			c.t.Errorf("an append to %s, which is cut off, was acknowledged, or failed otherwise: %+v", s.Name(), op)
		}
	}
}

// join ends cuts and delays.
func (c *campaign) join() {
	for _, w := range c.wires {
		w.Heal()
	}
}

// last lets a fault last for a random time, or until a client has failed.
func (c *campaign) last(least, most time.Duration) {
	timer := time.NewTimer(least + time.Duration(c.random.Int64N(int64(most-least))))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.broken:
	case <-c.t.Context().Done():
	}
}
