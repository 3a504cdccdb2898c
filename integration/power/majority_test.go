package power

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/integration/power/powerfs"
	"github.com/enactlog/enact/internal/natstest"
)

// Two servers of three acknowledge while the third is away. One of the two loses power, the
// other is gone for a moment, and the one that lost power goes on with the one that was away.
// With synced disks, everything is there. Without, those two are a majority that knows nothing
// of what was acknowledged: one loss of power is enough.
func TestAwayAndPowerLoss(t *testing.T) {
	t.Parallel()
	for name, noSync := range map[string]bool{"synced": false, "not synced": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disks := mountDisks(t, 3, powerfs.Journaled)
			servers := natstest.StartCluster(t, 3, natstest.Options{Dir: disks.dir, NoSync: noSync})
			ensure(t, natstest.URLs(servers))
			w := newWork(t)
			w.renew()
			order := w.random.Perm(3)
			stays, loses, away := servers[order[0]], servers[order[1]], servers[order[2]]
			awaitWhole(t, natstest.URLs(servers))
			disks.ask(request{Sync: true}) // as if this were long ago

			away.Kill()
			s, closeStore := open(t, natstest.URLs(servers))
			w.run(t, s, func() {
				loses.Kill()
				stays.Kill()
			})
			closeStore()
			var total tally
			total.add(disks.lose(nil, order[1]))
			natstest.StartAll([]*natstest.Server{loses, away})
			s, closeStore = open(t, natstest.URLs(servers))
			defer closeStore()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := s.Append(ctx, enact.NewExecutionID(), tenant, enact.ExecutionResumed{})
			require.NoError(t, err)
			if noSync {
				lost := w.lost(t, s)
				require.Positive(t, lost)
				total.report(t, w, 1, lost)
				return
			}
			w.settle(t, s)
			require.Zero(t, w.lost(t, s))
			total.report(t, w, 1, 0)
		})
	}
}
