package jetstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/faultnet"
	"github.com/enactlog/enact/internal/natstest"
)

const (
	enough = time.Minute // bounds waits for what comes for certain
	always = 1 << 20     // of frames that meet a fault
)

// queue is the lane of execution run of tenant acme, which exists, on a store behind a
// proxy. The test drives it: appends wait until it lets the first of them drive.
type queue struct {
	s     *Store
	proxy *faultnet.Proxy
	other *Store // that no fault touches
	lane  *lane
	calls []*queued
}

// queued is an append in the queue.
type queued struct {
	leave context.CancelFunc
	done  chan struct{}

	// Set once done is closed.
	receipt enact.Receipt
	err     error
}

func newQueue(t *testing.T) *queue {
	t.Helper()
	srv := natstest.Start(t, natstest.Options{NoSync: true})
	nc := natstest.Connect(t, srv.URL())
	require.NoError(t, EnsureStream(t.Context(), nc))
	q := new(queue)
	var err error
	q.other, err = Open(t.Context(), nc)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.other.Shutdown(context.Background())) })
	q.proxy, err = faultnet.Start(strings.TrimPrefix(srv.URL(), "nats://"))
	require.NoError(t, err)
	t.Cleanup(q.proxy.Close)
	q.s, err = Connect(t.Context(), q.proxy.URL(), WithNATS(nats.IgnoreDiscoveredServers(), nats.Timeout(enough)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.s.Shutdown(context.Background())) })
	_, err = q.s.Append(t.Context(), "run", "acme", pause("first")[0])
	require.NoError(t, err)
	q.lane = q.s.lanes.acquire(execution{"acme", "run"}, q.s.cfg.subjects)
	t.Cleanup(func() { q.s.lanes.release(q.lane) })
	q.lane.mu.Lock()
	q.lane.driven = true
	q.lane.mu.Unlock()
	return q
}

// length returns how many appends wait.
func (q *queue) length() int {
	q.lane.mu.Lock()
	defer q.lane.mu.Unlock()
	return len(q.lane.waiting)
}

// wait makes n appends wait, in order.
func (q *queue) wait(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		ctx, cancel := context.WithTimeout(context.Background(), 2*enough)
		c := &queued{leave: cancel, done: make(chan struct{})}
		t.Cleanup(func() { cancel(); <-c.done })
		before, reason := q.length(), fmt.Sprint(len(q.calls))
		go func() {
			defer close(c.done)
			c.receipt, c.err = q.s.Execution("acme", "run").Append(ctx, enact.ExecutionPaused{Reason: reason})
		}()
		natstest.Eventually(t, enough, func() bool { return q.length() > before }, func() string { return fmt.Sprintf("append %d does not wait", i) })
		q.calls = append(q.calls, c)
	}
}

// apply makes the proxy lose or hold what rules say.
func (q *queue) apply(rules ...faultnet.Rule) {
	q.proxy.Apply(faultnet.NewSchedule(faultnet.Config{Rules: rules}))
}

// injected waits until the proxy has applied the fault.
func (q *queue) injected(t *testing.T, f faultnet.Fault) {
	t.Helper()
	natstest.Eventually(t, enough, func() bool { return q.proxy.Injected(f) > 0 }, func() string { return "nothing met the fault" })
}

// stored returns the positions of the events that hold, from the second on.
func (q *queue) stored(t *testing.T) (positions map[string]uint64) {
	t.Helper()
	events, err := q.other.LoadEvents(t.Context(), "run")
	require.NoError(t, err)
	positions = make(map[string]uint64)
	for _, e := range events[1:] {
		reason := e.Event.(enact.ExecutionPaused).Reason
		require.NotContains(t, positions, reason, "it is stored twice")
		positions[reason] = e.Position
	}
	return positions
}

var publishes = faultnet.Point{Direction: faultnet.Request, Class: faultnet.RecordPublish}

// Appends that wait for each other are sent as one record by the first of them. When it
// leaves without knowing how that ended, and so do others, one that stays takes the record
// over: all are stored once, and those that left find their events committed.
func TestGroupSurvivesItsDriver(t *testing.T) {
	const all, left = 8, 4
	q := newQueue(t)
	q.wait(t, all)
	q.apply(faultnet.Rule{At: publishes, Nth: 1, Times: always, Fault: faultnet.Drop})
	q.lane.handOver()
	q.injected(t, faultnet.Drop)
	for _, i := range []int{2, 3, 1, 0} { // the first one drives
		c := q.calls[i]
		c.leave()
		<-c.done
		require.ErrorIs(t, c.err, enact.ErrUnknownOutcome, "append %d", i)
		require.ErrorIs(t, c.err, context.Canceled, "append %d", i)
	}
	q.proxy.Heal()
	for i, c := range q.calls[left:] {
		<-c.done
		require.NoError(t, c.err, "append %d", i+left)
		require.Equal(t, uint64(i+left+2), c.receipt.First)
		require.Equal(t, q.calls[left].receipt.Position, c.receipt.Position, "they share a record")
	}
	for i, c := range q.calls[:left] {
		unknown, ok := errors.AsType[*enact.UnknownOutcomeError](c.err)
		require.True(t, ok)
		receipt, err := q.other.Resolve(t.Context(), unknown)
		require.NoError(t, err)
		require.Equal(t, uint64(i+2), receipt.First)
		require.Equal(t, q.calls[left].receipt.Position, receipt.Position)
		require.Equal(t, q.calls[left].receipt.Chain, receipt.Chain)
	}
	require.Len(t, q.stored(t), all)
}

// An append that leaves the queue before its turn was not sent, says so, and is not stored;
// those before and behind it are.
func TestLeavingTheQueue(t *testing.T) {
	const all = 12
	q := newQueue(t)
	q.wait(t, all)
	for i, c := range q.calls {
		if i%3 == 0 {
			c.leave()
			<-c.done
			require.ErrorIs(t, c.err, context.Canceled)
			require.NotErrorIs(t, c.err, enact.ErrUnknownOutcome)
		}
	}
	q.lane.handOver()
	next := uint64(2)
	for i, c := range q.calls {
		<-c.done
		if i%3 != 0 {
			require.NoError(t, c.err, "append %d", i)
			require.Equal(t, next, c.receipt.First, "append %d", i)
			next++
		}
	}
	require.Len(t, q.stored(t), int(next)-2)
}

// A record of several appends that could not be sent while its driver had time is of unknown
// outcome for the driver, too, if another's caller has left with it: whoever resolves that
// one sends the whole record.
func TestDriverThatSentNothing(t *testing.T) {
	q := newQueue(t)
	q.wait(t, 3)
	// What the driver does, with a context that has ended before it can send.
	q.lane.mu.Lock()
	first := q.lane.waiting[0]
	q.lane.waiting = q.lane.waiting[1:]
	q.lane.mu.Unlock()
	g := q.lane.gather(first.c, false)
	require.Len(t, g.members, 3)
	require.NoError(t, g.encode(t.Context(), q.lane))
	require.True(t, q.lane.launch(g))
	leaver, stays := q.calls[1], q.calls[2]
	leaver.leave()
	<-leaver.done
	require.ErrorIs(t, leaver.err, enact.ErrUnknownOutcome)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := q.lane.finish(ended, g, nil)
	require.ErrorIs(t, err, enact.ErrUnknownOutcome)
	require.ErrorIs(t, err, context.Canceled)

	unknown, _ := errors.AsType[*enact.UnknownOutcomeError](leaver.err)
	receipt, err := q.other.Resolve(t.Context(), unknown)
	require.NoError(t, err)
	require.Equal(t, uint64(3), receipt.First)
	q.lane.handOver() // to the one who stays, with the record
	<-stays.done
	require.NoError(t, stays.err)
	require.Equal(t, receipt.Position, stays.receipt.Position)
	require.Len(t, q.stored(t), 3)
	q.calls[0].leave() // the driver whose part the test played still waits
}

// The same record is nobody's once all have time: each is in the queue again.
func TestDriverThatSentNothingAlone(t *testing.T) {
	q := newQueue(t)
	q.wait(t, 3)
	q.calls[0].leave()
	<-q.calls[0].done
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	q.lane.mu.Lock()
	first := q.lane.waiting[0]
	q.lane.waiting = q.lane.waiting[1:]
	q.lane.mu.Unlock()
	g := q.lane.gather(first.c, false)
	require.Len(t, g.members, 2)
	require.NoError(t, g.encode(t.Context(), q.lane))
	require.True(t, q.lane.launch(g))
	_, err := q.lane.finish(ended, g, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, enact.ErrUnknownOutcome)
	require.Equal(t, 1, q.length())
	q.lane.handOver()
	<-q.calls[2].done
	require.NoError(t, q.calls[2].err)
	require.Len(t, q.stored(t), 1)
	q.calls[1].leave()
}

// A store that is shut down while appends wait for answers that never come ends them, each
// with an error that says whether it may be stored.
func TestShutdownEndsAppendsThatWait(t *testing.T) {
	const all = 4
	q := newQueue(t)
	q.wait(t, all)
	lost := []faultnet.Rule{}
	for _, class := range []faultnet.Class{faultnet.RecordPublish, faultnet.LeaderGet, faultnet.StreamInfo} {
		lost = append(lost, faultnet.Rule{At: faultnet.Point{Direction: faultnet.Reply, Class: class}, Nth: 1, Times: always, Fault: faultnet.Drop})
	}
	q.apply(lost...)
	q.lane.handOver()
	q.injected(t, faultnet.Drop)
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, q.s.Shutdown(impatient), context.Canceled, "it had to end calls in flight")
	for i, c := range q.calls {
		<-c.done
		unknown, ok := errors.AsType[*enact.UnknownOutcomeError](c.err)
		require.True(t, ok, "append %d: %v", i, c.err)
		receipt, err := q.other.Resolve(t.Context(), unknown)
		require.NoError(t, err)
		require.Equal(t, uint64(i+2), receipt.First)
	}
	require.Len(t, q.stored(t), all)
	_, err := q.s.Append(t.Context(), "run", "acme", pause("late")[0])
	require.ErrorIs(t, err, enact.ErrClosed)
}
