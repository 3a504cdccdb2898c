package power

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact/integration/power/powerfs"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// A cluster whose servers sync before they acknowledge loses power as a whole.
func TestWholeCluster(t *testing.T) {
	t.Parallel()
	const rounds = 6
	disks := mountDisks(t, 3, powerfs.Journaled)
	servers := natstest.StartCluster(t, 3, natstest.Options{Dir: disks.dir})
	ensure(t, natstest.URLs(servers))
	w := newWork(t)
	var total tally
	for round := range rounds {
		w.renew()
		s, closeStore := open(t, natstest.URLs(servers))
		w.run(t, s, func() {
			for _, i := range w.random.Perm(len(servers)) {
				servers[i].Kill()
			}
		})
		closeStore()
		total.add(disks.lose(w.some(round), 0, 1, 2))
		natstest.StartAll(servers)
		s, closeStore = open(t, natstest.URLs(servers))
		w.settle(t, s)
		require.Zero(t, w.lost(t, s), "round %d", round)
		closeStore()
	}
	total.report(t, w, rounds, 0)
}

// One server of three loses power, each in its turn, whatever it leads; appends go on
// without it, and what it lacks when it is back it gets from the others.
func TestOneOfThree(t *testing.T) {
	t.Parallel()
	disks := mountDisks(t, 3, powerfs.Journaled)
	servers := natstest.StartCluster(t, 3, natstest.Options{Dir: disks.dir})
	ensure(t, natstest.URLs(servers))
	w := newWork(t)
	var total tally
	rounds := 0
	for _, i := range append(w.random.Perm(len(servers)), w.random.Perm(len(servers))...) {
		w.renew()
		awaitWhole(t, natstest.URLs(servers)) // only then may one be missing
		s, closeStore := open(t, natstest.URLs(servers))
		w.run(t, s, servers[i].Kill)
		total.add(disks.lose(w.some(rounds), i))
		servers[i].Start()
		w.settle(t, s)
		require.Zero(t, w.lost(t, s), "round %d", rounds)
		closeStore()
		rounds++
	}
	total.report(t, w, rounds, 0)
}

// awaitWhole waits until each server has all that there is of both streams.
func awaitWhole(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	for _, stream := range []string{jetstore.DefaultStream, jetstore.DefaultStream + "_INDEX"} {
		var last string
		natstest.Eventually(t, patience, func() bool {
			reply, err := nc.Request("$JS.API.STREAM.INFO."+stream, nil, time.Second)
			if err != nil {
				last = err.Error()
				return false
			}
			last = string(reply.Data)
			var info struct {
				Cluster struct {
					Replicas []struct{ Current bool }
				}
			}
			if err := json.Unmarshal(reply.Data, &info); err != nil || len(info.Cluster.Replicas) != 2 {
				return false
			}
			return info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
		}, func() string { return last })
	}
}
