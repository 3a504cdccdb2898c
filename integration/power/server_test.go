package power

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/integration/power/powerfs"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// serverRounds is how often one server loses power.
const serverRounds = 12

// A server that syncs before it acknowledges loses power amid appends: every acknowledged
// event is there, whether of the rest the disk kept nothing or a part.
func TestOneServer(t *testing.T) {
	t.Parallel()
	disks := mountDisks(t, 1, powerfs.Journaled)
	server := natstest.Start(t, natstest.Options{Dir: disks.dir + "/n1"})
	ensure(t, server.URL())
	w := newWork(t)
	var total tally
	for round := range serverRounds {
		if round%4 == 0 {
			w.renew()
		}
		s, closeStore := open(t, server.URL())
		w.run(t, s, server.Kill)
		closeStore()
		loss := disks.lose(w.some(round), 0)
		server.Start()
		s, closeStore = open(t, server.URL())
		w.settle(t, s)
		require.Zero(t, w.lost(t, s), "round %d", round)
		closeStore()
		total.add(loss)
	}
	total.report(t, w, serverRounds, 0)
}

// The same server with its default setting, which syncs every two minutes, loses what it
// has acknowledged: this is what the tests above would see.
func TestDefaultSettingLoses(t *testing.T) {
	t.Parallel()
	disks := mountDisks(t, 1, powerfs.Journaled)
	server := natstest.Start(t, natstest.Options{Dir: disks.dir + "/n1", NoSync: true})
	ensure(t, server.URL())
	w := newWork(t)
	var total tally
	const rounds = 3
	lost := 0
	for range rounds {
		w.renew()
		disks.ask(request{Sync: true}) // as if this were long ago
		s, closeStore := open(t, server.URL())
		w.run(t, s, server.Kill)
		closeStore()
		total.add(disks.lose(nil, 0))
		server.Start()
		s, closeStore = open(t, server.URL())
		n := w.lost(t, s)
		closeStore()
		require.Positive(t, n)
		lost += n
	}
	total.report(t, w, rounds, lost)
}

// A stream is kept in files of 8 MiB, and what fills several survives as well: on file systems
// that journal, as ext4 and xfs do. Where a directory must be synced for what was made in it to
// be there, as POSIX has it, it does not: the server does not sync the directory of a new file.
func TestSeveralFiles(t *testing.T) {
	t.Parallel()
	for _, order := range []powerfs.Order{powerfs.Journaled, powerfs.Strict} {
		t.Run(order.String(), func(t *testing.T) {
			t.Parallel()
			disks := mountDisks(t, 1, order)
			server := natstest.Start(t, natstest.Options{Dir: disks.dir + "/n1"})
			ensure(t, server.URL())
			w := newWork(t)
			w.damage = order == powerfs.Strict // where half a batch is in a file that is gone
			w.renew()
			for _, h := range w.histories {
				h.padding = strings.Repeat(" ", 64<<10)
			}
			disks.ask(request{Sync: true}) // as if the stream had been made long ago
			s, closeStore := open(t, server.URL())
			w.run(t, s, server.Kill)
			closeStore()
			require.Greater(t, w.events()*64<<10, 9<<20, "one file held it all")
			var total tally
			total.add(disks.lose(nil, 0))
			server.Start()
			s, closeStore = open(t, server.URL())
			defer closeStore()
			if order == powerfs.Journaled {
				w.settle(t, s)
				require.Zero(t, w.lost(t, s))
				total.report(t, w, 1, 0)
				return
			}
			lost := w.lost(t, s)
			require.Positive(t, lost, "the server has learnt to sync directories: docs/guarantees.md says that it has not")
			total.report(t, w, 1, lost)
		})
	}
}

// On such a file system the stream itself is lost, if its directory was made just before.
func TestNewStreamOnStrictDisk(t *testing.T) {
	t.Parallel()
	disks := mountDisks(t, 1, powerfs.Strict)
	server := natstest.Start(t, natstest.Options{Dir: disks.dir + "/n1"})
	ensure(t, server.URL())
	w := newWork(t)
	w.renew()
	s, closeStore := open(t, server.URL())
	w.run(t, s, server.Kill)
	closeStore()
	var total tally
	total.add(disks.lose(nil, 0))
	server.Start()
	_, err := jetstore.Connect(t.Context(), server.URL())
	require.ErrorIs(t, err, enact.ErrStreamNotFound, "the server has learnt to sync directories: docs/guarantees.md says that it has not")
	total.report(t, w, 1, w.events())
}
