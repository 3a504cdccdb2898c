package jetstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
)

// A server that reads nothing any more holds up whoever writes to it, and all others on the
// connection. Appends end for all that, soon after their contexts (see leaveTime).
func TestServerThatReadsNothing(t *testing.T) {
	t.Parallel() // it waits most of the time
	fs := startFaultServer(t)
	l, err := fs.connect()
	require.NoError(t, err)
	defer func() {
		l.proxy.Close()
		require.NoError(t, l.store.Shutdown(context.Background()))
	}()
	histories := make([]*history, 5) // the first ones fill what lies between
	for i := range histories {
		histories[i] = &history{tenant: "stuck", id: enact.ExecutionID(fmt.Sprintf("stuck-%d", i))}
		_, err := histories[i].append(t.Context(), l.store, []string{"first"}, enact.AppendOptions{})
		require.NoError(t, err)
	}
	l.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: []faultnet.Rule{{
		At: faultnet.Point{Direction: faultnet.Request, Class: faultnet.RecordPublish}, Nth: 1, Fault: faultnet.Delay, Wait: time.Hour,
	}}}))
	large := strings.Repeat("x", 7<<20)
	var all sync.WaitGroup
	for _, h := range histories {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // for all to be written as far as that goes
			defer cancel()
			c, err := h.append(ctx, l.store, []string{large}, enact.AppendOptions{})
			if err != nil {
				t.Error(err)
			}
			if c.err == nil {
				t.Errorf("%s: the server has read it", h.id)
			}
		})
	}
	all.Wait()
}
