package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/internal/ask"
	"github.com/enactlog/enact/internal/scratch"
)

// Numbers of probes, and what is slow.
const (
	roundTripProbes = 20
	appendProbes    = 20
	slowRoundTrip   = 50 * time.Millisecond  // median
	slowAppend      = 250 * time.Millisecond // median
)

// times are how long probes took.
type times []time.Duration

func (ts times) String() string {
	slices.Sort(ts)
	return fmt.Sprintf("median %s, longest %s", short(ts[len(ts)/2]), short(ts[len(ts)-1]))
}

func (ts times) median() time.Duration {
	slices.Sort(ts)
	return ts[len(ts)/2]
}

// short shows a duration to about three digits.
func short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

// roundTrips measures the way to the server and back.
func roundTrips(ctx context.Context, x *examination) []Finding {
	const check = checkRoundTrip
	var took times
	for range roundTripProbes {
		start := time.Now()
		bounded, cancel := context.WithTimeout(ctx, ask.Timeout)
		err := x.Conn.FlushWithContext(bounded)
		cancel()
		if err != nil {
			return []Finding{{
				Check: check, Status: Fail, Found: fmt.Sprintf("after %d pings: %s", len(took), ask.Why(err)),
				Means: "the connection comes and goes, or the server is stuck", Mend: "look at the network and at the server's log",
			}}
		}
		took = append(took, time.Since(start))
	}
	f := Finding{Check: check, Status: OK, Found: took.String()}
	if took.median() > slowRoundTrip {
		f.Status, f.Means = Warn, "every append and every read takes a round trip at least"
		f.Mend = "run programs near the servers"
	}
	return []Finding{f}
}

// appends tries appends, batches and reads in a scratch log.
func appends(ctx context.Context, x *examination) []Finding {
	f := Finding{Check: checkAppends, Status: OK}
	if x.NoProbes {
		f.Status, f.Found = Unknown, "not tried"
		return []Finding{f}
	}
	replicas := 0
	for _, s := range x.streams {
		if s.err == nil {
			replicas = s.config.Replicas
		}
	}
	log, err := scratch.Open(ctx, x.Conn, x.layout, replicas)
	var found []Finding
	if left := x.leftBehind(err); left != nil {
		found = append(found, *left)
	}
	switch {
	case errors.Is(err, enact.ErrNotPermitted) && len(found) == 0:
		f.Status, f.Found = Unknown, "not tried: the connection may not make a scratch stream"
		f.Mend = "examine with an operator's connection"
		return []Finding{f}
	case err != nil:
		f.Status, f.Found = Fail, "no scratch log: "+err.Error()
		f.Means, f.Mend = "the servers do not make the log's streams, or do not answer", "look at the servers' log"
		return append(found, f)
	}
	took, err := try(ctx, log)
	closeErr := log.Close(ctx)
	if left := x.leftBehind(closeErr); left != nil {
		found, closeErr = append(found, *left), nil
	}
	if err = errors.Join(err, closeErr); err != nil {
		f.Status, f.Found = Fail, err.Error()
		f.Means, f.Mend = "appends or reads fail in a log with the same settings", "look at the servers' log"
		return append(found, f)
	}
	f.Found = took.String()
	if took.median() > slowAppend {
		f.Status, f.Means = Warn, "an append is as slow as the slower of the disks that must have it, and the network between them"
		f.Mend = "look at the disks' time for an fsync, and at what else uses them"
	}
	return append(found, f)
}

// leftBehind remembers an error that says that scratch streams stay, and makes a finding of
// it; nil for any other.
func (x *examination) leftBehind(err error) *Finding {
	if _, ok := errors.AsType[*scratch.LeftError](err); !ok {
		return nil
	}
	x.left = err
	return &Finding{
		Check: checkLeftovers, Status: Warn, Found: err.Error(), Means: "the streams of the scratch log stay, and nothing uses them",
		Mend: "remove them, as with: nats stream rm; let the connection remove streams that it may make",
	}
}

// try appends single events and a staged batch, and reads all back.
func try(ctx context.Context, log *scratch.Log) (times, error) {
	run := log.Execution("doctor", enact.NewExecutionID())
	var took times
	event := enact.Custom{EventType: "probe", Data: enact.JSON("probe")}
	for i := range appendProbes {
		start := time.Now()
		if _, err := run.Append(ctx, event, enact.ExpectSequence(uint64(i))); err != nil {
			return nil, fmt.Errorf("append %d: %w", i+1, err)
		}
		took = append(took, time.Since(start))
	}
	batch := []enact.Event{event, event, event}
	if _, err := run.AppendBatch(ctx, batch, enact.WithOneEventPerRecord()); err != nil {
		return nil, fmt.Errorf("staged batch: %w", err)
	}
	events, err := run.LoadEvents(ctx)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if want := appendProbes + len(batch); len(events) != want {
		return nil, fmt.Errorf("read: %d events came back of %d", len(events), want)
	}
	return took, nil
}
