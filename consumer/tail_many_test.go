package consumer_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
	"github.com/enactlog/enact/internal/natstest"
	"github.com/enactlog/enact/jetstore"
)

// onServer returns a store on a server that is a process of its own.
func onServer(t *testing.T) (*natstest.Server, *jetstore.Store) {
	t.Helper()
	srv := natstest.Start(t, natstest.Options{})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, jetstore.EnsureStream(t.Context(), nc))
	nc.Close()
	s, err := jetstore.Connect(t.Context(), srv.URL(), jetstore.WithNATS(nats.Timeout(patience)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Shutdown(context.Background())) })
	return srv, s
}

// Two hundred live tails in one process take little: a goroutine each beside the caller's,
// and some KiB. The server is another process, so that its share does not count.
func TestManyTailsTakeLittle(t *testing.T) {
	const tails = 200
	_, s := onServer(t)
	runs := make([]jetstore.Execution, tails)
	for i := range runs {
		runs[i] = s.Execution("acme", enact.ExecutionID(fmt.Sprint(i)))
		_, err := runs[i].Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	goroutines, heap := usage()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var live, ended sync.WaitGroup
	live.Add(tails)
	for _, run := range runs {
		ended.Go(func() {
			for ev, err := range consumer.Tail(ctx, run, 0) {
				if err != nil {
					t.Error(err)
				}
				if ev.Sequence == 2 {
					live.Done()
				}
			}
		})
	}
	for i, run := range runs {
		_, err := run.Append(t.Context(), note(i))
		require.NoError(t, err)
	}
	live.Wait()
	// Some may still be reading what they have caught up with.
	var moreGoroutines int
	var moreHeap int64
	natstest.Eventually(t, patience, func() bool {
		nowGoroutines, nowHeap := usage()
		moreGoroutines, moreHeap = nowGoroutines-goroutines, nowHeap-heap
		return moreGoroutines <= 2*tails+20 && moreHeap < tails*64<<10
	}, func() string { return fmt.Sprintf("%d goroutines, %d KiB", moreGoroutines, moreHeap>>10) })
	t.Logf("%d tails: %d goroutines, %d KiB", tails, moreGoroutines, moreHeap>>10)
	cancel()
	ended.Wait()
	nothingLeft(t, s)
}

// usage returns the goroutines of the process and the bytes of its heap that are in use.
func usage() (goroutines int, heap int64) {
	runtime.GC()
	runtime.GC() // what the first one lets finalizers release
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtime.NumGoroutine(), int64(m.HeapAlloc)
}
