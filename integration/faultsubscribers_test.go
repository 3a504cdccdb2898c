//go:build faults

package integration

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/enactlog/enact"
	"github.com/enactlog/enact/consumer"
)

// What client processes subscribe to.
const (
	subFollow   = "follow"
	subOrdered1 = "follow in order"
	subTail     = "tail"
	subOrdered  = "ordered group"
	subParallel = "parallel group"
)

// clientSubscribers are the subscriptions of the client processes.
var clientSubscribers = []string{subFollow, subOrdered1, subTail, subTail, subOrdered, subOrdered, subParallel, subParallel}

// sight is an event that a subscriber was given.
type sight struct {
	Execution enact.ExecutionID
	Sequence  uint64
	Position  uint64
	Name      string
	At        int64 // by clock
}

// report is what a subscriber has seen, in order.
type report struct {
	Subscriber string
	Seen       []sight
	Error      string
}

// subscription runs beside the workers of a client process.
type subscription struct {
	kind string
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	seen []sight
	more chan struct{} // closed, and made anew, when something is seen
	err  error
}

func (s *subscription) add(_ context.Context, ev enact.StoredEvent) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, sight{ev.ExecutionID, ev.Sequence, ev.Position, nameOf(ev), clock()})
	close(s.more)
	s.more = make(chan struct{})
	return nil
}

// subscribe starts the client's subscription.
func (c *client) subscribe() (*subscription, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &subscription{kind: c.script.Subscriber, stop: cancel, done: make(chan struct{}), more: make(chan struct{})}
	var run func() error
	switch s.kind {
	case subFollow:
		run = func() error { return consumer.Follow(ctx, c.feeds, consumer.Filter{}, s.add) }
	case subOrdered1:
		run = func() error {
			return consumer.Follow(ctx, c.feeds, consumer.Filter{}, s.add, consumer.Workers(1), consumer.VerifyChain())
		}
	case subTail:
		run = func() error {
			for ev, err := range consumer.Tail(ctx, c.feeds.Execution(tenant, tailed), 0) {
				if err != nil {
					return err
				}
				_ = s.add(ctx, ev)
			}
			return nil
		}
	case subOrdered, subParallel:
		opening, end := context.WithTimeout(ctx, faultPatience)
		defer end()
		g, err := openFaultGroup(opening, c, s.kind)
		if err != nil {
			cancel()
			return nil, err
		}
		run = func() error { return g.Run(ctx, s.add) }
	default:
		cancel()
		return nil, fmt.Errorf("nothing is named %q", s.kind)
	}
	go func() {
		defer close(s.done)
		err := run()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.err = err
	}()
	return s, nil
}

// groupName is the name of the group's consumer.
func groupName(kind string) string {
	return map[string]string{subOrdered: "ordered", subParallel: "parallel"}[kind]
}

func openFaultGroup(ctx context.Context, c *client, kind string) (*consumer.Group, error) {
	mode := consumer.Parallel
	if kind == subOrdered {
		mode = consumer.Ordered
	}
	return consumer.OpenGroup(ctx, c.feeds, groupName(kind), mode, consumer.Filter{},
		consumer.AckWait(5*time.Second))
}

// report waits until the subscriber has seen so many events, ends it and returns what it
// has seen.
func (s *subscription) report(want int) *report {
	deadline := time.NewTimer(catchUp)
	defer deadline.Stop()
	for waiting := true; waiting; {
		s.mu.Lock()
		have, more := len(s.seen), s.more
		s.mu.Unlock()
		if have >= want {
			break
		}
		select {
		case <-more:
		case <-s.done:
			waiting = false
		case <-deadline.C:
			waiting = false
		}
	}
	s.stop()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &report{Subscriber: s.kind, Seen: s.seen}
	if s.err != nil {
		r.Error = s.err.Error()
	}
	return r
}
